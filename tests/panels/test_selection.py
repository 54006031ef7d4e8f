"""The selection of a browser in a StudyPanel: its classes, numbers, tree and images."""

import contextlib

import pytest
import yaml

from itl import ItlError
from itl.browser.widget import HierarchyBrowser
from itl.packs.pack import Pack
from itl.packs.paths import build_or_open
from itl.panels.selection import with_selection
from itl.panels.study import StudyPanel
from itl.runs.questions import Budget, DataSize, Granularity, Split
from itl.specs import Packing, Subset
from tests.panels.test_study import write_classes


def test_the_browsers_selection_is_taken_over(machine):
    browser = HierarchyBrowser()
    panel = StudyPanel("smallest", browser, machine)
    browser.subset = Subset("", "bottom-up@9", images_per_class=4)
    panel.take_selection()
    assert yaml.safe_load(panel.conditions)["subset"] == {
        "labels": "bottom-up@9",
        "images_per_class": 4,
        "seed": 0,
    }
    assert panel.message == "Taken: labels bottom-up@9, images per class 4, seed 0."
    panel.question = "02-class-count"
    panel.take_selection()
    assert yaml.safe_load(panel.conditions)["label_sets"][-1] == "bottom-up@9"
    with pytest.raises(ItlError, match=r"StudyPanel\(browser=browser\)"):
        StudyPanel("smallest", machine=machine).take_selection()


@pytest.mark.parametrize("numbers", [{"classes": 5}, {"images_per_class": 4}])
def test_numbers_of_a_selection_are_not_left_out_silently(machine, numbers):
    browser = HierarchyBrowser()
    browser.subset = Subset("", "bottom-up@9", **numbers)
    panel = StudyPanel("smallest", browser, machine)
    panel.question = "02-class-count"
    panel.take_selection()
    assert panel.message == "Taken: labels bottom-up@9. class-count takes no numbers of classes or images."
    assert yaml.safe_load(panel.conditions)["label_sets"] == [
        "none",
        "bottom-up@5",
        "original",
        "bottom-up@9",
    ]


def test_labels_that_leave_classes_out_change_the_images_and_say_so(machine):
    browser = HierarchyBrowser()
    panel = StudyPanel("smallest", browser, machine)
    panel.question, browser.subset = "02-class-count", Subset("", "without@n02084071")
    panel.take_selection()
    says = "These labels leave classes out, whose images their nets do not see."
    assert panel.message == f"Taken: labels without@n02084071. {says}"


@pytest.mark.parametrize(
    ("studies", "choose"),
    [
        ([Budget, DataSize, Granularity, Split], "data-size or granularity"),
        ([Budget, Split], "a preset that asks data-size"),
    ],
)
def test_a_question_without_a_selection_names_those_that_take_one(studies, choose):
    with pytest.raises(ItlError, match=f"budget takes no selection of classes; choose {choose}$"):
        with_selection({}, HierarchyBrowser(), studies, {})


def test_a_selection_is_asked_on_the_browsers_tree(machine, project):
    """The preset's own tree is another: its label sets would mean other classes."""
    (project / "rooms.csv").write_text("child,parent\npan,kitchen\nbed,room\nkitchen,house\nroom,house\n")
    preset = yaml.safe_load((project / "params/smallest.yaml").read_text())
    for question in preset["notebooks"].values():
        question["taxonomy"] = "rooms.csv"
    (project / "params/rooms.yaml").write_text(yaml.safe_dump(preset))
    browser = HierarchyBrowser()
    panel = StudyPanel("rooms", browser, machine)
    assert panel.ask().taxonomy == "rooms.csv"
    panel.take_selection()
    assert panel.ask().taxonomy == ""
    panel.question = "02-class-count"
    assert panel.ask().taxonomy == "rooms.csv", "its label sets are the preset's again"
    (project / "notebooks").mkdir(exist_ok=True)
    with contextlib.chdir(project / "notebooks"):  # the tree lies in the project, as for presets
        browser = HierarchyBrowser(taxonomy="rooms.csv")
    of_rooms = StudyPanel("smallest", browser, machine)
    of_rooms.take_selection()
    assert of_rooms.ask().taxonomy == "rooms.csv"
    of_rooms.conditions += "\ntaxonomy: other.csv"
    with pytest.raises(ItlError, match="conditions name another taxonomy than the selection was made on"):
        of_rooms.ask()
    unnamed = StudyPanel("rooms", HierarchyBrowser(tree=of_rooms.browser.tree), machine)
    unnamed.take_selection()
    assert unnamed.ask().taxonomy == "rooms.csv", "which tree it shows is not known by name"


def test_a_selection_brings_the_images_that_it_was_made_of(project, machine):
    """The preset's images are others: its classes would be left out by none of the labels."""
    write_classes(project / "rooms", "train/bath", "train/street", "val/bath", "val/street", images=4)
    (project / "rooms.csv").write_text("child,parent\nbath,indoor\nstreet,outdoor\nindoor,all\noutdoor,all\n")
    rooms = {"source": "folder", "path": str(project / "rooms"), "size": 16}
    pack = Pack.build(Packing(**rooms), project / "of-rooms", path=project / "rooms", workers=1)
    browser = HierarchyBrowser(pack, taxonomy="rooms.csv")
    panel = StudyPanel("smallest", browser, machine)
    usual = panel.ask().images
    panel.images_folder, panel.options = str(project), "{images: {empty: skip}}"
    panel.take_selection()
    assert (panel.images_folder, panel.options) == ("", ""), "the conditions name the images"
    assert (panel.ask().images, panel.ask().taxonomy) == (Packing(**rooms), "rooms.csv")
    images = "The images are those of the browser's pack. The folder of images is emptied."
    taken = "Taken: labels original, seed 0."
    assert panel.message == f"{taken} {images}"
    assert yaml.safe_load(panel.conditions)["images"] == rooms | {"fit": "squash"}
    own = StudyPanel("smallest", browser, machine)
    own.images_folder = str(project / "rooms")
    browser.pack = build_or_open(own.ask().images, "images", machine)
    own.take_selection()
    assert (own.images_folder, own.message) == (str(project / "rooms"), taken), "these are its images already"
    panel.browser = HierarchyBrowser(build_or_open(usual, "images", machine))
    panel.take_selection()
    assert (panel.ask().images, panel.ask().taxonomy, panel.message) == (usual, "", taken)
    assert "images" not in yaml.safe_load(panel.conditions)


def test_a_closed_browser_is_no_hindrance():
    browser = HierarchyBrowser()
    browser.close()
    panel = StudyPanel(browser=browser)
    assert panel.widget().children
    assert panel.browser is browser
