"""Questions that cannot be asked: each is refused in one line, before anything runs."""

import pytest

from itl import ItlError
from itl.presets import Preset
from itl.runs import questions
from tests.worlds import IMAGES, SETTINGS, small_study

OBJECTS = {"source": "demo-detection", "size": 32, "fit": "pad"}
DETECTION = {"tasks": ["detection@o"], "tuning": {"detection": {}}}
PEOPLE = {"targets": {"people": {"source": "demo-actions", "size": 32}}}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tasks": ["prob@scenes"]}, "no transfer method called 'prob'; did you mean 'probe'"),
        ({"tasks": ["probe@scene"]}, "did you mean 'scenes'"),
        ({"recipe": {"lrs": [0.1, 0.2]}}, "pre-training has one learning rate; got lrs .0.1, 0.2.; give lr"),
        ({"recipe": {"steps": 0}}, "recipe trains for 0 steps; give epochs or steps of at least 1"),
        ({"recipe": {"epochs": 1, "steps": 3}}, "recipe: a recipe has either epochs or steps; got 1 epochs"),
        ({"recipe": {"step": 3}}, "no setting of recipe called 'step'; did you mean 'steps'"),
        ({"images": {"source": "demo", "sise": 3}}, "did you mean 'size'"),
        ({"images_per_class": [0, "many"]}, "whole numbers from 0, or 'all'; got 'many'"),
        ({"images_per_class": []}, "data-size needs values to compare, got none; give two or more"),
        ({"images_per_class": ["all"]}, "got images_per_class .'all'.; give two or more, or leave it out"),
        ({"images_per_class": [4, 12, 4]}, "data-size needs each value once; 4 is given twice"),
        ({"tasks": []}, "data-size needs a task, got none; give one, such as probe@scenes"),
        ({"seeds": [1, 1]}, "data-size needs each seed once; 1 is given twice"),
        ({"seeds": []}, "data-size needs a seed, got none; give one, such as 0"),
        ({"seeds": [], "subset": {}}, "data-size needs a seed, got none; give one, such as 0"),
        ({"seeds": [0, 1.5]}, "item 2 of seeds of data-size should be a whole number, not 1.5"),
        ({"seeds": [0, -1]}, "item 2 of seeds of data-size should be at least 0, not -1"),
        ({"cap": -1}, "cap of data-size should be at least 0, not -1"),
        ({"cap": 1}, "cap of data-size should be 0, for a fixed number of seeds, or at least 3, not 1"),
        (
            {"cap": 3, "seeds": [0, 1, 2, 3]},
            "cap of data-size is at most how many seeds there may be, and it is 3 for 4 seeds; "
            "give 4 or more, or 0",
        ),
        ({"repeats": True}, "repeats of data-size should be a whole number, not True"),
        (
            {"tasks": ["knn@scenes", "knn@scenes"]},
            "data-size needs each task once; knn@scenes is given twice",
        ),
        (
            {"targets": {"my t (1)": SETTINGS["targets"]["scenes"]}, "tasks": ["knn@my t (1)"]},
            r"a target is called by letters, digits, - and _, as tasks name it; got 'my t .1.'",
        ),
        (
            {"tasks": ["knn@scenes", "knn@scenes/original"]},
            "data-size needs each task once; knn@scenes/original is another of them, written otherwise",
        ),
        (
            {"tasks": ["scores@scenes", "knn@scenes"]},
            "data-size is judged by its first task, and scores@scenes measures no transfer; put another "
            "first, such as probe@scenes",
        ),
        ({"tasks": ["detection@scenes"]}, "detection@scenes needs annotated objects, and source demo-scenes"),
        (
            PEOPLE | {"tasks": ["knn@people"]},
            "knn@people needs one class for each image, and source demo-actions of people has annotated "
            "objects instead; measure it by actions@people or detection@people",
        ),
        (
            {"targets": {"o": OBJECTS | {"fit": "crop"}}} | DETECTION,
            "detection@o needs whole images, and o has fit crop; give it fit: pad",
        ),
        (
            {"targets": {"o": OBJECTS}} | DETECTION | {"tuning": {"detection": {"regions": "file"}}},
            "detection@o takes regions from a file, and o has none; give it the option proposals: FILE",
        ),
        (
            {"images": IMAGES | {"options": 40}},
            r"options of images should be a mapping, \{NAME: VALUE\}, not 40",
        ),
        ({"images": IMAGES | {"options": {40: 1}}}, "^a name in options of images should be text, not 40$"),
        ({"images": {"source": "voc2007"}}, "images of data-size are learned from, one class for each, and"),
        ({"images": {"size": 32}}, "images lacks its source, such as folder"),
        ({"targets": {"o": {}}}, "target o lacks its source, such as folder"),
        ({"images": IMAGES | {"path": "birds"}}, "source demo renders its images and reads no files, so not"),
        ({"seeds": [2**32]}, "item 1 of seeds of data-size should be below 4,294,967,296, not 4294967296"),
        ({"recipe": {"lr": 0}}, "recipe: lr should be above 0, not 0: a net would learn nothing"),
        ({"tuning": {"finetune": {"lrs": [0, 0.1]}}}, "finetune recipe: lr should be above 0, not 0"),
        (
            {"tuning": {"detection": {"rois": 3}}},
            "of 3 rois, a foreground of 0.25 leaves none for objects; give rois of at least 4",
        ),
        (
            {"tuning": {"detection": {"rois": 16, "foreground": 0.05}}},
            "of 16 rois, a foreground of 0.05 leaves none .*; give rois of at least 20",
        ),
        (
            {"tuning": {"actions": {"label_smoothing": 0.1}}},
            "actions recipe: .*, so there is no label_smoothing",
        ),
        ({"tuning": {"finetune": {"steps": 0}}}, "finetune recipe: epochs or steps should be above 0, not 0"),
        ({"repeats": 10**12}, "repeats of data-size should be at most 10,000, not 1000000000000"),
        ({"targets": {"images": IMAGES}}, "a target called images would stand for the images that nets are"),
        (
            {"subset": {"images_per_class": 3}},
            r"subset has images_per_class 3, and images_per_class of data-size \[0, 4, 12\], so that",
        ),
        ({"subset": {"without": ["abc"]}}, "subset has without, which data-size does not take"),
        (
            {"subset": {"seed": 0, "classes": 2}, "seeds": [5]},
            r"subset has seed 0, and seeds of data-size \[5\], so",
        ),
        ({"subset": {"seed": 9}}, r"subset has seed 9, and seeds of data-size \[0, 1\], so that 9 would be"),
        ({"repeats": 0}, "repeats of data-size should be above 0, not 0"),
        ({"repeats": 2}, "none of its tasks trains there; leave repeats out, or add a task by .*finetune"),
        ({"subset": {"seed": -3}}, "subset: seed should be from 0 to 4,294,967,295, not -3"),
        ({"seeds": [True, 2]}, "item 1 of seeds of data-size should be a whole number, not True"),
    ],
)
def test_questions_that_cannot_be_asked(changes, says):
    with pytest.raises(ItlError, match=says):
        small_study(**changes)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (SETTINGS | {"image_per_class": [3]}, "'image_per_class'; did you mean 'images_per_class'"),
        ({name: SETTINGS[name] for name in SETTINGS if name != "net"}, "lacks 1 of its settings; add net"),
        ({**SETTINGS, "tasks": ["finetune@scenes"], "tuning": {}}, "tuning has none: add finetune"),
        (
            SETTINGS | PEOPLE | {"tasks": ["actions@people"]},
            "needs a recipe; tuning has finetune: add actions",
        ),
        (
            SETTINGS | PEOPLE | {"tasks": ["actions@people/original@1"], "tuning": {"actions": {}}},
            "leave the labels",
        ),
        (SETTINGS | {"tuning": {"finetun": {}}}, "'finetun'; did you mean 'finetune'"),
        (SETTINGS | {"tuning": {"detection": {"region": "rpn"}}}, "'region'; did you mean 'regions'"),
        (
            SETTINGS | {"tasks": ["knn@images:0"]},
            "task knn@images:0 would learn from 0 images of each class; give",
        ),
        (SETTINGS | {"seeds": 3}, "01-data-size in preset mini: seeds of data-size should be a list, not 3"),
        (SETTINGS | {"tasks": "finetune@scenes"}, "tasks of .* should be a list, not 'finetune@scenes'"),
        (SETTINGS | {"recipe": {"steps": -9}}, "^01-data-size in preset mini: recipe: steps .*, not -9$"),
        (
            SETTINGS | {"tuning": {"finetune": {"lr": -1}}},
            ".* mini: finetune recipe: lr should be .*, not -1.0$",
        ),
        (SETTINGS | {"recipe": [1]}, "recipe should be a mapping"),
        (SETTINGS | {"net": 18}, "net of .* should be text"),
        (SETTINGS | {"targets": {"scenes": 3}}, "target scenes should be a mapping"),
    ],
)
def test_presets_that_ask_wrongly(settings, says):
    preset = Preset(name="mini", about="a test", notebooks={"01-data-size": settings})
    with pytest.raises(ItlError, match=says):
        questions.questions_of(preset)


def test_tasks_on_frozen_features_need_no_tuning():
    frozen = {name: value for name, value in SETTINGS.items() if name != "tuning"}
    preset = Preset(name="mini", about="a test", notebooks={"01-data-size": frozen})
    assert questions.questions_of(preset) == [small_study(tuning={})]


@pytest.mark.parametrize(
    ("margin", "message"),
    [
        ({"points": 2}, r"^points of margin should be a mapping, \{NAME: VALUE\}, not 2$"),
        ({"points": [2]}, r"^points of margin should be a mapping, \{NAME: VALUE\}, not \[2\]$"),
        ({"points": {"knn5": "two"}}, "^item knn5 of points of margin should be a number, not 'two'$"),
        ({"shares": 0.1}, "no setting of margin called 'shares'; did you mean 'share'"),
        ({"share": 0.6}, "as the gain has to be twice the margin"),
        ({"share": 0}, "a margin's share lies above 0 and up to 0.5"),
        ({"points": {"accuracy": -1}}, "points between 0 and 100; got share 0.2, points {'accuracy': -1.0}"),
        (
            {"points": {"accuracy": 100}},
            "its points between 0 and 100; got share 0.2, points {'accuracy': 100",
        ),
        ({"points": {"mapp": 1}}, "no main metric of a task called 'mapp'; did you mean 'map'"),
        (
            {"points": {"knn5": 1, "accuracy": 2}},
            "has 2 points of accuracy, and no task of this question has accuracy; there is knn5: name",
        ),
        (
            {"share": 0.5, "points": {"knn5": 1}},
            "a share of 0.5, which no task is judged by: points are declared for knn5; leave the share out",
        ),
    ],
)
def test_margins_that_are_none(margin, message):
    with pytest.raises(ItlError, match=message):
        small_study(margin=margin)
