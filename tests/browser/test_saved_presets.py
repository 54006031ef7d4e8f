"""Presets that are saved from the browser: the question of data size within what is selected."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from itl import ItlError
from itl.browser.choice import Choice
from itl.browser.widget import HierarchyBrowser
from itl.hierarchy.taxonomy import Synset, Taxonomy
from itl.packs.pack import Pack
from itl.packs.paths import build_or_open, find_source
from itl.presets import load_preset
from itl.runs import questions
from itl.specs import Packing, Subset
from tests.worlds import here

ROOT = Path(__file__).parents[2]
CANINE, MAMMAL = "n02083346", "n01861778"


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project with the shipped presets, and we stand in it."""
    shutil.copytree(ROOT / "params", tmp_path / "params")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_saved_preset_asks_its_question_within_the_selection(demo, project):
    browser = HierarchyBrowser(demo)
    browser.subset = Subset(demo.digest, f"bottom-up@9+without@{CANINE}", images_per_class=4)
    assert browser.save("no-dogs") == project / "params/no-dogs.yaml"
    preset = load_preset("no-dogs", project / "params")
    (question,) = questions.questions_of(preset)
    assert {condition.labels for condition in question.conditions} == {browser.subset.labels}
    sizes = {(condition.trained, condition.images_per_class) for condition in question.conditions}
    assert sizes == {(False, None), (True, 4)}
    assert question.images.size == 16
    assert dict(question.images.options)["classes"] == 40
    assert preset.notebooks["99-summary"] == {}


def test_the_preset_that_a_saved_one_follows_may_leave_its_seeds_to_the_subset(demo, project):
    path = project / "params/demo.yaml"
    settings = yaml.safe_load(path.read_text())
    question = settings["notebooks"]["01-data-size"]
    question["subset"] = {"labels": "bottom-up@9", "seed": 3}
    del question["seeds"]
    path.write_text(yaml.safe_dump(settings))
    browser = HierarchyBrowser(demo)
    browser.subset = Subset(demo.digest, "original", images_per_class=4, seed=5)
    browser.save("short")
    (question,) = questions.questions_of(load_preset("short", project / "params"))
    assert question.seeds == (5,)


def test_a_saved_preset_names_the_images_that_were_ticked(project):
    for folder in ("plants", "backup/plants", "other"):
        for wnid in ("n02119789", "n02100735"):
            for split in ("train", "val"):
                (images := project / "data" / folder / split / wnid).mkdir(parents=True)
                Image.new("RGB", (16, 16), (90, 9, 9)).save(images / "1.png")
    path, plants = project / "params/demo.yaml", {"source": "folder", "path": "plants", "size": 16}
    settings = yaml.safe_load(path.read_text())
    usual = plants | {"unreadable": 0.05}  # changes no pixels
    settings["notebooks"]["01-data-size"]["images"] = usual
    path.write_text(yaml.safe_dump(settings))
    packing, machine = Packing(**plants), here(project, data=(str(project / "data"),))
    packs = {"usual": build_or_open(packing, "images", machine)}
    for name, folder in (("other", "other"), ("backup", "backup/plants"), ("by-hand", "plants")):
        source = project / "data" / folder
        packs[name] = Pack.build(packing, project / f"of-{name}", path=source, workers=1)
    expected = {
        "usual": usual,
        "other": plants | {"fit": "squash", "path": str(project / "data/other")},
        "backup": plants | {"fit": "squash", "path": str(project / "data/backup/plants")},
        "by-hand": plants | {"fit": "squash", "path": str(project / "data/plants")},
    }
    for name, pack in packs.items():
        HierarchyBrowser(pack).save(f"from-{name}")
        preset = load_preset(f"from-{name}", project / "params")
        assert preset.notebooks["01-data-size"]["images"] == expected[name]
        assert preset.notebooks["00-hierarchy"]["images"] == expected[name]
        (question,) = questions.questions_of(preset)
        assert str(find_source(question.images, "images", machine)) == pack.summary["path"]


def test_a_saved_preset_is_asked_on_the_browsers_tree(demo, project):
    path = project / "params/demo.yaml"
    path.write_text(
        path.read_text().replace("  01-data-size:\n", "  01-data-size:\n    taxonomy: rooms.csv\n")
    )
    assert load_preset("demo", project / "params").notebooks["01-data-size"]["taxonomy"] == "rooms.csv"
    HierarchyBrowser(demo).save("mine")
    (question,) = questions.questions_of(load_preset("mine", project / "params"))
    assert question.taxonomy == ""


def test_labels_of_a_tree_without_a_name_are_in_no_preset(demo, project):
    """A preset would be asked on another tree, whose classes are others."""
    wnids = sorted(set(demo.table["wnid"]))
    pairs = [("root", ""), ("a", "root"), ("b", "root"), *((wnid, "ab"[wnid > wnids[3]]) for wnid in wnids)]
    mine = Taxonomy(
        [Synset(name, name, (name,), "", (parent,) * bool(parent)) for name, parent in pairs], wnids
    )
    browser = HierarchyBrowser(demo, tree=mine)
    assert browser.save("all-of-them").exists()  # their own labels need no tree
    assert yaml.safe_load(browser.summary["yaml"]) == {"subset": {"labels": "original", "seed": 0}}
    browser.subset = Subset(demo.digest, "bottom-up@1", tree=mine.digest)
    assert browser.summary["yaml"].startswith("# labels bottom-up@1 are made from a tree without a name, ")
    assert dict(browser.summary["facts"])["classes"] == "2", "which is shown all the same"
    with pytest.raises(ItlError, match="^labels bottom-up@1 are made from a tree without a name, which"):
        browser.save("two")
    browser = HierarchyBrowser(demo, tree=Taxonomy.snapshot())
    browser.subset = Subset(demo.digest, "bottom-up@9")
    (question,) = questions.questions_of(load_preset(browser.save("of-wordnet").stem, project / "params"))
    assert question.taxonomy == ""


def test_what_is_saved_or_copied_names_the_tree_and_has_no_page_on_wordnet(demo, project):
    wnids = sorted(set(demo.table["wnid"]))
    pairs = [("a", "all"), ("b", "all"), *((wnid, "ab"[wnid > wnids[3]]) for wnid in wnids)]
    rows = "".join(f"{child},{parent}\n" for child, parent in pairs)
    (project / "mine.csv").write_text(f"child,parent\n{rows}")
    browser = HierarchyBrowser(demo, taxonomy="mine.csv")
    browser.subset = Subset(demo.digest, "bottom-up@1", tree=browser.tree.digest)
    copied = yaml.safe_load(browser.summary["yaml"])
    assert copied == {"subset": {"labels": "bottom-up@1", "seed": 0}, "taxonomy": "mine.csv"}
    saved = load_preset(browser.save("mine").stem, project / "params").notebooks
    assert list(saved) == ["01-data-size", "99-summary"]
    assert saved["01-data-size"].items() >= copied.items()


def test_a_preset_that_would_compare_no_numbers_of_images_is_not_saved(demo, project):
    settings = yaml.safe_load((project / "params/demo.yaml").read_text())
    settings["notebooks"]["01-data-size"]["images_per_class"] = [3, 12]
    (project / "params/few.yaml").write_text(yaml.safe_dump(settings))
    browser = HierarchyBrowser(demo, preset="few")
    browser.save("three-and-all")
    (question,) = questions.questions_of(load_preset("three-and-all", project / "params"))
    assert {condition.images_per_class for condition in question.conditions} == {3, None}
    browser.subset = Subset(demo.digest, "original", images_per_class=3)
    says = (
        "preset three would compare numbers of images per class as few does, which has 3, 12, and none is "
        "below the 3 of the smallest class chosen; choose more images or larger classes, or give Hierarchy"
    )
    with pytest.raises(ItlError, match=f"^{says}"):
        browser.save("three")


def test_a_preset_without_the_question_of_data_size_is_no_base(demo, project):
    with pytest.raises(ItlError, match="^a selection becomes the question 01-data-size, which preset my-"):
        HierarchyBrowser(demo, preset="my-task-photos").save("mine")


def test_a_preset_is_saved_of_a_pack_alone(project):
    says = "preset no-pack needs images to name and to count, and this browser shows the tree alone; make it "
    with pytest.raises(ItlError, match=re.escape(says) + r"with a pack, as HierarchyBrowser\(pack=...\)$"):
        HierarchyBrowser().save("no-pack")


def test_a_preset_of_one_class_is_not_saved(demo, project):
    browser = HierarchyBrowser(demo)
    browser.subset = Subset(demo.digest, "cut@n00001740")
    with pytest.raises(
        ItlError, match="preset all would train nets on one class, which teaches them nothing"
    ):
        browser.save("all")


def test_the_first_seed_of_a_saved_preset_is_the_one_that_is_shown(demo, project):
    browser = HierarchyBrowser(demo)
    browser.subset = Subset(demo.digest, classes=5, seed=7)
    browser.save("five")
    (question,) = questions.questions_of(load_preset("five", project / "params"))
    assert question.seeds == (7, 8, 9)


def test_the_page_saves_what_it_shows_though_the_last_click_is_still_on_its_way(demo, project):
    browser, said = HierarchyBrowser(demo), []
    browser.send = lambda message, buffers: said.append(message)
    choice = browser.choice.toggle(browser.tree, MAMMAL)
    browser.answer({"kind": "save", "name": "no-mammals", "choice": choice.to_dict()})
    assert said == [{"kind": "saved", "text": "Saved: itl plan no-mammals"}]
    (question,) = questions.questions_of(load_preset("no-mammals", project / "params"))
    assert question.conditions[0].labels == browser.subset.labels == f"without@{MAMMAL}"
    browser.answer({"kind": "save", "name": "no-mammals", "choice": choice.to_dict()})
    assert said[1] == said[0], "a second click saves the same"
    browser.answer({"kind": "save", "name": "no-mammals", "choice": Choice().to_dict()})
    assert (said[2]["kind"], said[2]["about"]) == ("trouble", "save")
    assert "exists already" in said[2]["text"]


def test_a_preset_is_never_written_over(demo, project):
    browser = HierarchyBrowser(demo)
    before = (project / "params/demo.yaml").read_text()
    with pytest.raises(ItlError, match="demo.yaml exists already; choose another name"):
        browser.save("demo")
    assert (project / "params/demo.yaml").read_text() == before


@pytest.mark.parametrize("name", ["", "../x", "No Dogs", "a/b", ".hidden"])
def test_a_presets_name_is_a_files_name(demo, project, name):
    with pytest.raises(ItlError, match="a preset's name has small letters"):
        HierarchyBrowser(demo).save(name)
