"""What a StudyPanel asks: its settings, and the question that they make of a preset."""

from collections.abc import Mapping
from functools import cached_property

import traitlets
import yaml

from itl.browser.preset import on_taxonomy
from itl.errors import ItlError, one_of
from itl.machine import Machine, expand_home
from itl.packs.counts import count_images
from itl.panels.panel import OWN_TARGET, Panel
from itl.panels.typed_text import read_conditions, read_options, read_seeds
from itl.presets import Preset
from itl.runs.design import Margin, Task
from itl.runs.plan import VAL_FRACTION
from itl.runs.question import Question
from itl.runs.questions import QUESTIONS, questions_of
from itl.runs.study import Study
from itl.settings import spec_of
from itl.sources.registry import SOURCES, reads_files
from itl.specs import Packing

LEAST, MOST = 0.0001, 0.5  # share of the gain that a margin may be here
OWN_METHODS = ("finetune", "probe", "knn")
TARGET_SOURCES = [kind for kind, source in SOURCES.items() if reads_files(kind) and not source.annotates]


class StudySettings(Panel):
    """The settings of a StudyPanel: the base of its picture and controls."""

    preset: Preset
    machine: Machine
    taxonomy: str | None  # of the selection that was taken; None: the preset's

    question = traitlets.Unicode(help="the notebook that asks it, such as 01-data-size")
    conditions = traitlets.Unicode(help="what the question compares: its own parameters, as YAML")
    tasks = traitlets.Tuple(help="names of tasks; the first is the main one")
    seeds = traitlets.Unicode(help="whole numbers")
    margin = traitlets.Float(Margin().share, min=LEAST, max=MOST, help="share of the gain: no change matters")
    images_folder = traitlets.Unicode("", help="own images to pre-train on, by class; '' the preset's")
    target_folder = traitlets.Unicode("", help="own images to measure on, as target_source says: target own")
    target_source = traitlets.Unicode("folder", help="how own images to measure on are read: see `itl check`")
    options = traitlets.Unicode("", help="how own folders are read, as YAML: target: {empty: skip}")
    message = traitlets.Unicode("", help="what was done last")
    chosen = (
        *("question", "conditions", "tasks", "seeds", "margin"),
        *("images_folder", "target_folder", "target_source", "options"),
    )
    settings = (*chosen, "message")

    @cached_property
    def questions(self) -> list[str]:
        """The questions that the preset asks, by notebook. ItlError if it asks none."""
        stems = [stem for stem in QUESTIONS if stem in self.preset.notebooks]
        if not stems:
            raise ItlError(f"preset {self.preset.name} asks no question; name one that does, such as demo")
        return stems

    @property
    def study(self) -> type[Study]:
        """The pydantic model of the question."""
        return QUESTIONS[self.question]

    @property
    def own_names(self) -> list[str]:
        """The parameters that say what the question compares, and not with which images and recipes."""
        return [name for name in self.study.model_fields if name not in Study.model_fields]

    @traitlets.validate("question")
    def _known(self, proposal: dict) -> str:
        stem = one_of(self.questions, proposal["value"], f"question of preset {self.preset.name}")
        questions_of(self.preset, stem)  # refuses settings that cannot be
        return stem

    @traitlets.observe("question")
    def _from_preset(self, change: dict) -> None:
        """Take the conditions, tasks and seeds of the preset, and so its taxonomy."""
        settings, self.taxonomy = self.preset.notebooks[self.question], None
        own = {name: settings[name] for name in self.own_names if name in settings}
        with self.hold_trait_notifications():
            self.conditions = yaml.safe_dump(own, sort_keys=False, default_flow_style=None, width=100)
            self.tasks = tuple(settings["tasks"])
            of_subset = (own.get("subset") or {}).get("seed", 0)
            self.seeds = ", ".join(map(str, settings.get("seeds") or [of_subset]))
            self.margin = settings.get("margin", {}).get("share", Margin().share)

    @traitlets.validate("target_source")
    def _of_one_class_an_image(self, proposal: dict) -> str:
        return one_of(TARGET_SOURCES, proposal["value"], "source of images of one class each")

    def offered_tasks(self) -> list[str]:
        """List the tasks of the preset's questions, and those on own images where a folder is given."""
        listed = [self.preset.notebooks[stem]["tasks"] for stem in self.questions]
        tasks = dict.fromkeys(task for tasks in (*listed, self.tasks) for task in tasks)
        if not self.target_folder:
            return [task for task in tasks if not is_on_own(task)]
        return list(tasks | dict.fromkeys(f"{method}@{OWN_TARGET}" for method in OWN_METHODS))

    def parameters(self) -> dict[str, object]:
        """Return the question's parameters, as a preset holds them."""
        given = self.preset.notebooks[self.question]
        every = [self.preset.notebooks[stem] for stem in (*self.questions, self.question)]  # its own count
        settings = {name: value for name, value in given.items() if name not in self.own_names}
        options = read_options(self.options)
        for name, folder in (("images", self.images_folder), ("target", self.target_folder)):
            if options[name] and not folder:
                raise ItlError(f"options of {name} are for its folder, which is not given; give it, or none")
        settings["images"] = self._usual_images(options["images"])
        targets = {name: images for other in every for name, images in other["targets"].items()}
        if self.target_folder:
            targets[OWN_TARGET] = self._own_target(options["target"], settings["images"])
        tuning = {name: recipe for other in every for name, recipe in other["tuning"].items()}
        tasks = [Task.read(name) for name in self.tasks]
        used, methods = {task.target for task in tasks}, {task.method for task in tasks}
        if OWN_TARGET in used - targets.keys():
            name = next(task.name for task in tasks if task.target == OWN_TARGET)
            raise ItlError(f"{name} needs images to measure on; give their target folder, or leave it out")
        chosen = {
            "tasks": list(self.tasks),
            "targets": {name: images for name, images in targets.items() if name in used},
            "tuning": {name: recipe for name, recipe in tuning.items() if name in methods},
            "seeds": read_seeds(self.seeds),
            "margin": {**settings.get("margin", {}), "share": round(self.margin, 4)},
        }
        conditions = read_conditions(self.conditions)
        if others := sorted(conditions.keys() & chosen.keys()):
            raise ItlError(
                f"conditions say what is compared, not {' and '.join(others)}: tasks, seeds and margin have "
                f"controls of their own, and targets and tuning are those of the preset"
            )
        if self.images_folder and "images" in conditions:
            raise ItlError("images are said twice, by conditions and by their folder; leave one of them")
        if self.taxonomy is not None and conditions.get("taxonomy", self.taxonomy) != self.taxonomy:
            raise ItlError("conditions name another taxonomy than the selection was made on; remove it there")
        return on_taxonomy(settings | conditions | chosen, self.taxonomy)

    def _usual_images(self, options: Mapping[str, object]) -> dict[str, object]:
        """Return the images that are asked on where conditions name none."""
        usual = dict(self.preset.notebooks[self.question]["images"])
        return self._own_images("folder", self.images_folder, options, usual) if self.images_folder else usual

    def _own_images(
        self, source: str, path: str, options: Mapping[str, object], usual: Mapping[str, object]
    ) -> dict[str, object]:
        """Say how own images of a *source* at *path* are packed: as large as the preset's."""
        folder = expand_home(path).absolute()
        if not folder.exists():
            raise ItlError(f"there is no {folder}; give the path of a folder of images by class")
        packing = {"source": source, "path": str(folder), "size": usual["size"]}
        return packing | ({"options": options} if options else {})

    def _own_target(self, options: Mapping[str, object], usual: Mapping[str, object]) -> dict[str, object]:
        """Say how own images to measure on are packed; of a folder without splits some are held out."""
        images = self._own_images(self.target_source, self.target_folder, options, usual)
        if self.target_source == "folder":
            counts = count_images(spec_of(Packing, images, OWN_TARGET), OWN_TARGET, self.machine)
            if set(counts.splits) == {"train"}:
                images["options"] = {"val_fraction": VAL_FRACTION, **options}
        return images

    def ask(self) -> Question:
        """Make the question; ItlError where it cannot be asked."""
        made = self.study.ask(**self.parameters())
        made.check_comparisons()
        return made


def is_on_own(task: str) -> bool:
    """Say whether a *task* is on the images of target_folder."""
    return task.partition("@")[2] == OWN_TARGET
