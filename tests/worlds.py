"""The smallest study that is a study: a few rendered classes, a few steps, two seeds."""

from pathlib import Path

from itl.config import Machine
from itl.question import Question
from itl.study import data_size

IMAGES = {"source": "demo", "size": 32, "options": {"classes": 4, "train": 12, "val": 4, "size": 32}}
SCENES = {"source": "demo-scenes", "size": 32, "options": {"classes": 3, "train": 6, "test": 4, "size": 32}}
SETTINGS = {
    "images": IMAGES,
    "targets": {"scenes": SCENES},
    "net": "small",
    "images_per_class": [0, 4, 12],
    "tasks": ["knn@scenes"],
    "seeds": [0, 1],
    "recipe": {"steps": 12, "batch": 8, "pixels": 24},
    "finetune": {"steps": 4, "batch": 8, "pixels": 24},
}


def small_study(**changes) -> Question:
    """The data-size question on the smallest world."""
    return data_size(**SETTINGS | changes)


def here(home: Path, **changes) -> Machine:
    """This machine, with everything under *home* and a checkpoint after every epoch."""
    return Machine(home=home, workers=2, threads=1, checkpoint_seconds=0).replace(**changes)
