"""Where the images of a pack lie, and how many there are: listed once, and again when files change."""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from itl import ItlError
from itl.machine import Machine
from itl.packs import paths, source_state
from itl.packs.counts import count_images
from itl.packs.pack import Pack
from itl.packs.paths import build_or_open, open_packed
from itl.packs.source_state import PackRequest, changes_since
from itl.sources.annotated.proposal_files import write_regions
from itl.sources.folders.class_folders import ClassFolders
from itl.specs import Packing, key
from itl.storage import hold_lock
from tests.annotated import voc2007, written
from tests.pictures import encoded, smooth
from tests.worlds import IMAGES, here


def test_a_data_set_beside_its_zip_is_refused_with_both_named(tmp_path):
    (tmp_path / "tiny-imagenet-200").mkdir()
    (tmp_path / "tiny-imagenet-200.zip").touch()
    packing, machine = Packing("tiny-imagenet", "tiny-imagenet*"), here(tmp_path, data=(str(tmp_path),))
    both = f"found 2 matches .{tmp_path}/tiny-imagenet-200, {tmp_path}/tiny-imagenet-200.zip.; give --data"
    with pytest.raises(ItlError, match=both):
        paths.find_source(packing, "images", machine)
    one = machine.replace(data=(f"images={tmp_path}/tiny-imagenet-200.zip",))
    assert paths.find_source(packing, "images", one) == tmp_path / "tiny-imagenet-200.zip"


def test_of_two_packs_with_one_digest_a_whole_one_is_opened(tmp_path):
    machine, packing = (
        here(tmp_path),
        Packing("demo", size=16, options={"classes": 2, "train": 1, "size": 16}),
    )
    pack = Pack.build(packing, machine.packs / "b")
    shutil.copytree(pack.folder, machine.packs / "a")
    assert opened(pack, machine) == "a"
    with (machine.packs / "a/images.npy").open("r+b") as file:  # as of a copy that was interrupted
        file.seek(-100, os.SEEK_END)
        file.write(bytes(100))
    assert opened(pack, machine) == "b", "what runs learn from"
    (machine.packs / "a/images.npy").unlink()
    assert opened(pack, machine) == "b"
    (machine.packs / "b/images.npy").unlink()
    with pytest.raises(ItlError, match="packs/b "):
        paths.find_by_digest(pack.digest, machine)
    assert paths.find_by_digest("0" * 12, machine) is None


def opened(pack: Pack, machine: Machine) -> str:
    """Name the folder of the pack that runs on *pack* open."""
    return paths.open_by_digest(pack.digest, machine).folder.name


def test_an_image_that_may_not_be_read_ends_no_plan(tmp_path, monkeypatch):
    """A pack leaves some of them out."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(encoded(smooth(9, 9)))

    def denied(source, record):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ClassFolders, "read", denied)
    assert count_images(Packing("folder", str(tmp_path)), "images", here(tmp_path)).images == 2


def test_one_data_set_by_two_ways_is_one(tmp_path):
    (tmp_path / "data/photos").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    machine = here(tmp_path, data=(f"{tmp_path}/data", f"{tmp_path}/data/", f"{tmp_path}/link"))
    assert paths.find_source(Packing("folder", "photos"), "images", machine) == tmp_path / "data/photos"


def test_a_dot_is_the_folder_of_data_itself(tmp_path):
    machine = here(tmp_path, data=(f"{tmp_path}/photos",))
    (tmp_path / "photos").mkdir()
    assert paths.find_source(Packing("folder", "."), "images", machine) == tmp_path / "photos"


def test_a_name_with_two_paths_is_refused(tmp_path):
    machine = here(tmp_path, data=("images=a", "images=b"))
    with pytest.raises(ItlError, match="^images has 2 paths, a and b; leave one of them$"):
        paths.find_source(Packing("folder"), "images", machine)


def test_a_folder_that_may_be_meant_is_offered(tmp_path):
    (tmp_path / "leaves").mkdir()
    machine = here(tmp_path, data=(str(tmp_path),))
    with pytest.raises(ItlError, match=r"images as leavs in .*; found nothing \(did you mean 'leaves'\?\)"):
        paths.find_source(Packing("folder", path="leavs"), "images", machine)


def test_a_path_may_begin_at_the_home_of_the_user_and_one_here_is_offered(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    machine = here(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.find_source(Packing("folder", "~/photos"), "images", machine) == tmp_path / "photos"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ItlError, match="give --data FOLDER or --data images=photos, which is in this folder"):
        paths.find_source(Packing("folder", "photos"), "images", machine)


def test_options_that_are_offered_are_written_as_in_a_preset_and_are_read(tmp_path):
    photos, machine = tmp_path / "photos", here(tmp_path)
    for name in ("held out/cat", "held out/dog", "train/cat", "train/dog"):
        (photos / name).mkdir(parents=True)
        (photos / name / "1.png").write_bytes(encoded(smooth(9, 9)))
    with pytest.raises(ItlError) as refused:
        count_images(Packing("folder", str(photos)), "images", machine)
    assert "--option" not in str(refused.value)
    offered = re.search(r"options: (\{.*?\})", str(refused.value))
    options = tuple(yaml.safe_load(offered[1]).items())
    assert options[0] == ("splits", "train=train,val=held out")
    assert count_images(Packing("folder", str(photos), options=options), "images", machine).images == 4


def test_region_proposals_are_counted(tmp_path):
    path = written(tmp_path, voc2007())
    boxes = np.array([[1.0, 1, 9, 9], [2, 2, 30, 30]])
    write_regions(path / "regions.npz", {f"{number:06d}": boxes for number in range(1, 6)})
    packing = Packing("voc2007", str(path), 32, "pad", {"proposals": str(path / "regions.npz")})
    assert count_images(packing, "images", here(tmp_path)).regions == 10


def test_a_source_is_listed_once_and_its_pack_counts_the_same(tmp_path, monkeypatch):
    machine, packing = here(tmp_path), Packing(**IMAGES | {"options": tuple(IMAGES["options"].items())})
    listed = count_images(packing, "images", machine)
    monkeypatch.setattr("itl.packs.counts.open_source", None)  # to list again would fail
    assert count_images(packing, "images", machine) == listed
    monkeypatch.undo()
    paths.build_or_open(packing, "images", machine)
    assert count_images(packing, "images", machine) == replace(listed, packed=True, seconds=0.0)
    assert (listed.images, listed.splits) == (64, {"train": 48, "val": 16})
    assert (set(listed.train.values()), listed.packed, listed.seconds > 0) == ({12}, False, True)


def test_a_cached_listing_is_refreshed(tmp_path):
    photos, machine = tmp_path / "photos", here(tmp_path)
    for count in (1, 2):
        for name in ("cat", "dog"):
            path = photos / name / f"{count}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(smooth(9, 9)))
        assert count_images(Packing("folder", str(photos)), "images", machine).images == 2 * count


def test_what_reads_results_opens_the_pack_that_the_runs_are_of(tmp_path):
    folder, machine = tmp_path / "photos", here(tmp_path, data=(f"images={tmp_path / 'photos'}",))
    for name in ("cat/0.png", "dog/1.png"):
        (folder / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "train" / name).write_bytes(encoded(smooth(8, 8)))
    packing = Packing("folder", size=8)
    with pytest.raises(ItlError, match="^images is not packed at .*; `itl run PRESET` packs it anew$"):
        open_packed(packing, "images", machine)
    before = build_or_open(packing, "images", machine)
    shutil.copy(folder / "train/cat/0.png", folder / "train/cat/2.png")
    assert open_packed(packing, "images", machine).digest == before.digest, "as it is"
    assert build_or_open(packing, "images", machine).digest != before.digest


def test_a_new_source_is_walked_twice_and_a_known_one_once(tmp_path, monkeypatch):
    """For the state of its files, and to list them with their classes."""
    photos, machine, scandir, scanned = tmp_path / "photos", here(tmp_path), os.scandir, []
    for name in ("cat", "dog"):
        (photos / name).mkdir(parents=True)
        (photos / name / "1.png").write_bytes(encoded(smooth(9, 9)))

    def counted(path):
        scanned.append(Path(path).name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    for walks in (2, 1):
        count_images(Packing("folder", str(photos)), "images", machine)
        assert [scanned.count(name) for name in ("photos", "cat", "dog")] == [walks] * 3
        scanned.clear()


def test_how_many_images_may_be_unreadable_moves_no_pack(tmp_path):
    strict, lenient = Packing("demo"), Packing("demo", unreadable=0.05)
    folders = {paths.pack_folder(packing, "images", here(tmp_path)) for packing in (strict, lenient)}
    assert len(folders) == 1
    assert key(strict) == key(Packing("demo", unreadable=0.01)) != key(lenient)


def test_without_data_a_pack_of_moved_images_serves_and_one_of_others_does_not(tmp_path):
    packing, machine = Packing("folder", path="photos", size=8), here(tmp_path, data=())
    folders = [tmp_path / name / "photos" for name in "abc"]
    for number, folder in enumerate(folders):
        for label in ("cat", "dog"):
            (folder / label).mkdir(parents=True)
            (folder / label / "1.png").write_bytes(encoded(smooth(8, 8 + number // 2)))  # a and b are alike
        paths.build_or_open(packing, "images", machine.replace(data=(f"images={folder}",)))
        if number < 2:
            assert paths.packed(packing, "images", machine).summary["records"]
    with pytest.raises(ItlError, match="found nothing.*; images.*, images.* are built, of other paths"):
        paths.pack_folder(packing, "images", machine)


def test_a_folder_in_it_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    def fail(*_):
        raise PermissionError(13, "Permission denied", "photos/birds")

    monkeypatch.setattr("itl.packs.counts.open_source", fail)
    photos = tmp_path / "photos"
    photos.mkdir()
    with pytest.raises(ItlError, match=r"^cannot read photos/birds: Permission denied$"):
        count_images(Packing("folder", str(photos)), "images", here(tmp_path))


@pytest.fixture
def noted(tmp_path) -> tuple[Pack, PackRequest]:
    """A pack of two images, and a request of them after a file was added that is no image."""
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.png").write_bytes(encoded(smooth(9, 9)))
    request = PackRequest(Packing("folder", size=8), tmp_path / "photos")
    pack = Pack.build(request.packing, tmp_path / "pack", path=request.path)
    (tmp_path / "photos/notes.txt").write_text("nothing")
    return pack, request


def test_who_only_looks_leaves_a_pack_alone_that_was_replaced_meanwhile(noted, tmp_path, monkeypatch):
    pack, request = noted
    digest_of = source_state.listing_digest

    def while_another_packs(*listing):
        monkeypatch.setattr(source_state, "listing_digest", digest_of)
        (tmp_path / "photos/dog/2.png").write_bytes(encoded(smooth(9, 9)))
        Pack.build(request.packing, pack.folder, path=request.path)
        return digest_of(*listing)

    monkeypatch.setattr(source_state, "listing_digest", while_another_packs)
    assert changes_since(pack.folder, pack.summary, request) == ""
    assert len(Pack.open(pack.folder)) == 3


def test_who_only_looks_does_not_wait_for_who_packs(noted, tmp_path):
    pack, request = noted
    link = tmp_path / "elsewhere/link"
    link.parent.mkdir()
    link.symlink_to(pack.folder)
    with hold_lock(tmp_path / "pack.lock", "packing"):
        assert changes_since(link, pack.summary, request) == ""
    assert Pack.open(pack.folder).summary == pack.summary
    assert changes_since(link, pack.summary, request) == ""
    assert Pack.open(pack.folder).summary["source_state"] == request.source_state()
    assert list(link.parent.iterdir()) == [link]
