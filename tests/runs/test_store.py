"""The run store: whole or absent, one at a time."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from itl import ItlError
from itl.runs.store import Store
from itl.specs import Subset, canonical, key

SPEC = Subset("p")

HOLD = """
import sys
from itl.specs import Subset
from itl.runs.store import Store
with Store(sys.argv[1]).claim(Subset("p")) as folder:
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(root):
    """A process that holds the claim of SPEC until its standard input ends."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", HOLD, root], **pipes)
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_run_is_done_when_its_result_is_there(tmp_path):
    store = Store(tmp_path)
    assert (store.result(SPEC), store.state(SPEC)) == (None, "to do")
    folder = store.folder(SPEC)
    assert folder.parent.name == "subset"
    assert json.loads((folder / "spec.json").read_text())["Subset"]["pack"] == "p"
    (folder / "checkpoint.safetensors").touch()
    assert store.state(SPEC) == "partial"
    store.finish(SPEC, {"metrics": {"accuracy": 50.0}})
    assert (store.state(SPEC), store.result(SPEC)) == ("done", {"metrics": {"accuracy": 50.0}})
    with pytest.raises(ItlError, match="is finished; delete"):
        store.finish(SPEC, {"metrics": {}})


def test_a_number_that_is_none_is_not_published(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        Store(tmp_path).finish(SPEC, {"accuracy": float("nan")})
    assert Store(tmp_path).result(SPEC) is None


def test_a_claim_is_held_by_one_and_the_other_waits(tmp_path, caplog):
    holder, claimed = hold(tmp_path), threading.Event()

    def claim():
        with Store(tmp_path).claim(SPEC):
            claimed.set()

    waiting = threading.Thread(target=claim)
    waiting.start()
    while not caplog.messages and waiting.is_alive():
        time.sleep(0.01)
    assert str(holder.pid) in caplog.messages[0]
    assert not claimed.is_set()
    holder.stdin.close()
    waiting.join()
    assert claimed.is_set()
    assert holder.wait() == 0


def test_a_killed_holder_leaves_no_claim(tmp_path, caplog):
    holder = hold(tmp_path)
    holder.kill()
    holder.wait()
    with Store(tmp_path).claim(SPEC):
        assert caplog.messages == []


def test_a_claim_clears_what_a_killed_holder_half_wrote(tmp_path):
    store = Store(tmp_path)
    (store.folder(SPEC) / ".checkpoint.safetensors.123").write_bytes(b"half")
    with store.claim(SPEC) as folder:
        assert not list(folder.glob(".checkpoint*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ItlError, match="cannot make .* Permission denied"):
        Store(tmp_path / "runs").folder(SPEC)


def test_a_file_in_the_way_is_one_line(tmp_path):
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(ItlError, match="cannot make"):
        Store(tmp_path / "runs").folder(SPEC)


def test_a_full_disk_is_one_line_and_keeps_what_was_there(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.write(SPEC, "provenance.json", {"commit": "old"})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("itl.storage.os.replace", full)
    with pytest.raises(ItlError, match="No space left on device; free space"):
        store.write(SPEC, "provenance.json", {"commit": "new"})
    assert store.read(SPEC, "provenance.json") == {"commit": "old"}
    assert [path.name for path in store.path(SPEC).iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("name", ["result.json", "weights.safetensors", "manifest.csv", "provenance.json"])
@pytest.mark.parametrize("part", [0, 2])
def test_a_run_with_a_file_cut_by_a_power_cut_is_not_done(tmp_path, name, part):
    store = Store(tmp_path)
    folder = store.folder(SPEC)
    for other in ("weights.safetensors", "manifest.csv", "provenance.json"):
        (folder / other).write_text("0123456789")
    store.finish(SPEC, {"metrics": {}})
    assert store.state(SPEC) == "done"
    os.truncate(folder / name, (folder / name).stat().st_size // part if part else 0)
    with pytest.warns(UserWarning, match=f"{folder / name} is .*`itl run` does the run again"):
        assert store.state(SPEC) == "to do"
    with pytest.warns(UserWarning, match="does the run again"), store.claim(SPEC):
        assert not (folder / "result.json").exists()
    store.finish(SPEC, {"metrics": {}})
    assert store.result(SPEC) == {"metrics": {}}


def test_a_file_of_the_same_size_with_other_content_is_not_read(tmp_path):
    """As an interrupted copy leaves it, or a power cut in a file whose blocks were set aside."""
    store = Store(tmp_path)
    for name in ("weights.safetensors", "manifest.csv"):
        (store.folder(SPEC) / name).write_text("0123456789")
    store.finish(SPEC, {"metrics": {}})
    path = store.file(SPEC, "weights.safetensors")
    assert path.read_text() == "0123456789"
    assert not store.file(SPEC, "none.csv").exists()
    path.write_bytes(b"01234" + bytes(5))
    with pytest.raises(ItlError, match="its content has changed; remove .*result.json, then `itl run` does"):
        store.file(SPEC, "weights.safetensors")
    assert store.file(SPEC, "manifest.csv").exists(), "one is damaged and not the other"


@pytest.mark.filterwarnings("ignore:.*`itl run` does the run again")
def test_a_result_without_numbers_or_without_its_files_is_done_again(tmp_path):
    store = Store(tmp_path)
    (store.folder(SPEC) / "weights.safetensors").write_text("0123456789")
    store.finish(SPEC, {"metrics": {}})
    (store.path(SPEC) / "weights.safetensors").unlink()
    with pytest.warns(UserWarning, match="weights.safetensors is missing; `itl run` does the run again"):
        assert store.state(SPEC) == "to do"
    with store.claim(SPEC):
        store.finish(SPEC, {"metrics": {}})
    assert store.state(SPEC) == "done"
    (store.path(SPEC) / "result.json").write_text("{}")
    with pytest.warns(UserWarning, match="result.json is damaged: .*; `itl run` does the run again"):
        assert store.state(SPEC) == "to do"
    for text in (
        '{"classes": 4, "files": {}}',
        '{"metrics": [1], "files": {}}',
        '{"metrics": {}, "files": []}',
        '{"metrics": {"accuracy": "61"}, "files": {}}',
        '{"metrics": {"accuracy": null}, "files": {}}',
        '{"metrics": {"accuracy": NaN}, "files": {}}',
    ):
        (store.path(SPEC) / "result.json").write_text(text)
        with pytest.warns(UserWarning, match="result.json is damaged: it lacks files, or metrics that are"):
            assert store.state(SPEC) == "to do"


def test_a_result_that_cannot_be_read_for_now_is_not_done_again(tmp_path):
    """As where another user's files are for that user alone: it may be whole."""
    store = Store(tmp_path)
    result = store.folder(SPEC) / "result.json"
    result.symlink_to(result)  # too many levels of links, for root too
    for ask in (store.result, store.state, lambda spec: store.claim(spec).__enter__()):
        with pytest.raises(ItlError, match="cannot read .*result.json: .*; allow reading it, then repeat"):
            ask(SPEC)
    assert result.is_symlink()


def test_what_is_kept_beside_a_result_is_named_when_damaged(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(
        ItlError, match="provenance.json is missing; remove .*result.json, then `itl run` does"
    ):
        store.read(SPEC, "provenance.json")
    (store.folder(SPEC) / "provenance.json").touch()
    with pytest.raises(ItlError, match="provenance.json is empty; remove .*result.json, then `itl run` does"):
        store.read(SPEC, "provenance.json")


def test_a_damaged_spec_is_written_again(tmp_path):
    store = Store(tmp_path)
    whole = (store.folder(SPEC) / "spec.json").read_text()
    (checkpoint := store.folder(SPEC) / "checkpoint.safetensors").touch()
    again = json.dumps(json.loads(whole), indent=1)  # as an editor may write it
    for damaged in (whole[:9], "\0" * len(whole), "\0" * 9 + whole[9:], again):
        (store.folder(SPEC) / "spec.json").write_text(damaged)
        with pytest.warns(UserWarning, match="spec.json is damaged; it is made again"):
            assert (store.folder(SPEC) / "spec.json").read_text() == whole
        assert checkpoint.exists()


def test_a_folder_copied_from_another_run_is_not_taken_for_the_run(tmp_path):
    store, other = Store(tmp_path), Subset("q")
    (store.folder(other) / "weights.safetensors").write_text("0123456789")
    store.finish(other, {"metrics": {"accuracy": 47.0}})
    shutil.copytree(store.path(other), store.path(SPEC))
    again = f"{store.path(SPEC)}/result.json is that of run {key(other)}; `itl run` does the run again"
    with pytest.warns(UserWarning, match=again):
        assert (store.state(SPEC), store.state(other)) == ("to do", "done")
    with pytest.warns(UserWarning, match="spec.json is that of another run; it is made again"):
        store.folder(SPEC)
    with pytest.warns(UserWarning, match=again):
        store.finish(SPEC, {"metrics": {"accuracy": 42.5}})
    assert [store.result(spec)["metrics"]["accuracy"] for spec in (SPEC, other)] == [42.5, 47.0]
    result = json.loads((store.path(SPEC) / "result.json").read_text())
    assert result.pop("run") == key(SPEC)
    (store.path(SPEC) / "result.json").write_text(json.dumps(result))  # as an older itl wrote it
    assert store.result(SPEC) == {"metrics": {"accuracy": 42.5}}


@pytest.mark.filterwarnings("ignore:.*it is made again")
def test_a_run_resumes_from_checkpoints_of_its_own_alone(tmp_path):
    """A folder of an unfinished run, copied to that of another, would have it go on from other weights."""
    store, other = Store(tmp_path), Subset("q")
    names = ("begun.json", "checkpoint.safetensors", "choose-0.1/checkpoint.safetensors")
    (store.folder(other) / "choose-0.1").mkdir()
    for name in names:
        (store.path(other) / name).touch()
    shutil.copytree(store.path(other), store.path(SPEC))
    os.truncate(store.path(other) / "spec.json", 9)
    for spec in (SPEC, other):
        store.folder(spec)
    assert [(store.path(SPEC) / name).exists() for name in names] == [False] * 3
    assert [(store.path(other) / name).exists() for name in names] == [True] * 3


def test_a_spec_that_another_process_writes_meanwhile_is_not_damaged(tmp_path, monkeypatch, recwarn):
    store, exists = Store(tmp_path), Path.exists
    file = store.path(SPEC) / "spec.json"

    def exists_soon(path: Path) -> bool:
        before = exists(path)
        if path == file and not before:
            path.write_text(canonical(SPEC))  # by the other process
        return before

    with monkeypatch.context() as patched:
        patched.setattr(Path, "exists", exists_soon)
        store.folder(SPEC)
    assert file.read_text() == canonical(SPEC)
    assert not recwarn.list
