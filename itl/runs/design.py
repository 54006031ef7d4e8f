"""The design of a question: its conditions, seeds and tasks, the runs they need and what is compared."""

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from itl.errors import ItlError, pick
from itl.evaluation.methods import METHODS, main_metrics
from itl.hierarchy.label_sets import check_from_few_to_many, needs_tree
from itl.hierarchy.taxonomies import open_taxonomy
from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import Machine, data_entry, expand_home, project_folder
from itl.packs.paths import pack_folder, packed
from itl.runs.own_weights import OwnWeights
from itl.specs import Packing, Pretrain, Recipe, Spec, Subset, Transfer, key, pretraining_of
from itl.storage import read_mapping, write_text
from itl.words import counted

UNPACKED = "unpacked"  # begins what stands for the digest of a pack to be built
UNTRAINED = (0, "none")  # how conditions name the net without pre-training
NAME = re.compile(r"[\w-]+")  # of a method or a target
TASK = re.compile(rf"({NAME.pattern})@({NAME.pattern})(?:/([^/:]+))?(?::([1-9]\d*))?")

Columns = tuple[tuple[str, object], ...]  # of results, each with a value: they tell a condition from others


def columns(**values: object) -> Columns:
    """Return what tells a condition from others: its *values*, by the columns that results have for them."""
    return tuple(values.items())


@dataclass(frozen=True)
class Condition:
    """One value of what a question varies: how results name it, and the subset that it stands for.

    No pre-training is spelled ``trained=False`` without weights, and in no other way; presets and results
    call it 0 or none.
    """

    columns: Columns
    labels: str = "original"  #: {seed} in it is the run's seed
    classes: int | None = None
    images_per_class: int | None = None
    trained: bool = True  #: False: the net as initialised or, if it has weights, with these
    leaves: int | None = None  #: of the pack's classes in each class; None: all
    at_most: bool = False  #: a class may have fewer images than images_per_class
    recipe: Recipe | None = None  #: its own; None: the question's
    names: tuple[tuple[str, str], ...] = ()  #: what its tasks' labels stand for, such as half-a
    weights: OwnWeights | None = None  #: that the net has already
    seeds: tuple[int, ...] = ()  #: its own; none given: the question's
    tree: str = ""  #: digest of the taxonomy that its classes were chosen on; '' where none is said

    @property
    def values(self) -> list[object]:
        """Its values in these columns, which alone name it where all conditions have the same."""
        return [value for _, value in self.columns]

    @property
    def untrained(self) -> bool:
        """Whether the net is as initialised: the baseline without pre-training."""
        return not self.trained and self.weights is None

    def labels_of(self, task: "Task", seed: int) -> str:
        """Return the label method of *task* for the nets of this condition."""
        return with_seed(dict(self.names).get(task.labels, task.labels), seed)


@dataclass(frozen=True)
class Comparison:
    """Two conditions to be compared, by the columns that they have in results."""

    of: Columns
    against: Columns
    tasks: tuple[str, ...] = ()  #: by name; none given: every task


@dataclass(frozen=True)
class Task:
    """A measurement, as METHOD@TARGET, METHOD@TARGET/LABELS or either with :IMAGES_PER_CLASS.

    The target ``images`` is the pre-training's own pack; LABELS is a method of `itl labels` for its classes.
    """

    name: str
    method: str
    target: str
    labels: str = "original"
    images_per_class: int | None = None  #: of its training images; None keeps all

    @classmethod
    def read(cls, text: str) -> "Task":
        """Make a task of its name.

        ItlError if *text* is no such name, or asks for 0 images of each class.

        >>> Task.read("knn@images/bottom-up@9:5")
        Task(name=..., method='knn', target='images', labels='bottom-up@9', images_per_class=5)
        """
        parts = TASK.fullmatch(text) if isinstance(text, str) else None
        if isinstance(text, str) and re.fullmatch(r"[^:]+:0+", text):
            raise ItlError(
                f"task {text} would learn from 0 images of each class; give 1 or more, or leave :0 out"
            )
        if parts is None:
            raise ItlError(
                f"task {text!r} is not METHOD@TARGET, METHOD@TARGET/LABELS or either with "
                f":IMAGES_PER_CLASS, as in finetune@scenes or probe@images/bottom-up@9:5"
            )
        method, target, labels, count = parts.groups()
        return cls(text, method, target, labels or "original", int(count) if count else None)

    @property
    def measures_transfer(self) -> bool:
        """Whether it does; scores only predict it."""
        return not METHODS[self.method].predicts


@dataclass(frozen=True)
class Run:
    """A spec, and how results name it."""

    spec: Spec
    columns: Columns
    seed: int
    task: str
    target: str
    method: str


@dataclass(frozen=True)
class Margin:
    """The change that does not matter on a task, declared before results: a smaller one means the same.

    It is a share of the gain from pre-training on the task, or points where these are declared for the task's
    main metric.
    """

    share: float = 0.2  #: of the gain: all images and classes against no pre-training
    points: tuple[tuple[str, float], ...] = ()  #: by main metric, as accuracy or map

    def __post_init__(self) -> None:
        """Check the numbers and the metrics."""
        metrics = dict.fromkeys(main_metrics())
        for metric, _ in self.points:
            pick(metrics, metric, "main metric of a task")
        if not 0 < self.share <= 0.5 or not all(0 < points < 100 for _, points in self.points):
            raise ItlError(
                f"a margin's share lies above 0 and up to 0.5, as the gain has to be twice the margin, and "
                f"its points between 0 and 100; got share {self.share}, points {dict(self.points)}"
            )


@dataclass(frozen=True)
class Design:
    """What a question takes: conditions × seeds, each pre-trained once and measured on every task."""

    name: str
    images: Packing
    targets: tuple[tuple[str, Packing], ...]
    net: str
    conditions: tuple[Condition, ...]
    tasks: tuple[Task, ...]
    seeds: tuple[int, ...]
    recipe: Recipe
    tuning: tuple[tuple[str, Recipe], ...]  #: by method, for those that train the net
    comparisons: tuple[Comparison, ...] = ()  #: that answer it, the main one first
    margin: Margin = Margin()
    taxonomy: str = ""  #: as `itl.hierarchy.taxonomies.open_taxonomy` takes it
    repeats: int = 1  #: fits of each net to each target, by methods that train there
    cap: int = 0  #: seeds are added one by one until it is decided, to at most so many; 0: they are fixed
    leave_out_duplicates: bool = False  #: pre-training images that are test images of a task too
    afterwards: str = ""  #: what its notebook runs once these runs are known, for people who plan
    nodes_of: str = ""  #: the pack whose classes must be in the tree: its page is of nodes above them

    def packings(self) -> dict[str, Packing]:
        """Return every pack that the question needs, by name."""
        return {"images": self.images, **dict(self.targets)}

    def tree(self, machine: Machine) -> Taxonomy:
        """Open the tree of the labels; one in a file lies in the project or a data folder.

        ItlError if classes of a condition were chosen on another one.
        """
        folders = [expand_home(path) for name, path in map(data_entry, machine.data) if not name]
        tree = open_taxonomy(self.taxonomy, [project_folder(), *folders])
        if other := {condition.tree for condition in self.conditions} - {"", tree.digest}:
            raise ItlError(
                f"the subset was chosen on the taxonomy {other.pop()}, and {self.taxonomy} is {tree.digest} "
                f"now; choose the subset anew, or take tree out of it if it means the same there"
            )
        return tree

    def check_comparisons(self) -> None:
        """Raise ItlError where nothing is compared."""
        if not self.comparisons:
            raise ItlError(f"{self.name} has nothing to compare; give two values or more")

    def check_classes(self, classes: Mapping[str, Collection[str]], machine: Machine) -> None:
        """Raise ItlError for *classes* that its page or its runs could not work with.

        Its page is of nodes of the tree, and the tree lacks classes; or runs afterwards name nodes in label
        methods, and a name would be divided there; or label sets that it compares in their order are not from
        few classes to many.

        *classes* are those of each pack, by its name. Nets are trained without nodes of their classes, so the
        tree must have all; in a target there need be a node above two.
        """
        compared = [
            with_seed(condition.labels, self.seeds[0])
            for condition in self.conditions
            if [name for name, _ in condition.columns] == ["label_set"]
            and condition.trained
            and not (condition.classes or condition.weights)
        ]
        if compared:
            check_from_few_to_many(self.tree(machine), compared, sorted(classes["images"]))
        if not self.nodes_of:
            return
        name, tree = self.nodes_of, self.tree(machine)
        lacking = [wnid for wnid in classes[name] if wnid not in tree]
        needed = len(classes[name]) if name == "images" else 2
        if len(classes[name]) - len(lacking) < needed:
            raise ItlError(
                f"{self.name} looks at nodes of the tree above classes of {name}, and the tree lacks "
                f"{counted(len(lacking), 'classes')}, such as {lacking[0]}; set taxonomy to a tree of them, "
                f"a CSV with lines child,parent, or take {name} with wnids as classes"
            )
        nodes = set().union(*(tree.ancestors(wnid) for wnid in classes[name] if wnid in tree))
        if self.afterwards and (divided := sorted(node for node in nodes if re.search("[,+]", node))):
            raise ItlError(
                f"{self.name} trains nets without classes that a label method names, as only@A,B, and a "
                f"comma or + divides names there; got {', '.join(map(repr, divided[:3]))}: rename the "
                f"folder, and its node in the taxonomy, or list the images with classes of other names"
            )

    def own_weights(self) -> list[OwnWeights]:
        """List the weights that conditions have instead of training."""
        return [condition.weights for condition in self.conditions if condition.weights]

    def runs(self, machine: Machine, outdated: Collection[Path] = ()) -> list[Run]:
        """List the runs; where a pack is not built yet, or *outdated*, their keys are not known.

        Where seeds were added until the question was decided, those that were not needed are left out.
        """
        runs = self._runs_of_all_seeds(machine, outdated)
        if not self.cap:
            return runs
        stop = read_mapping(self._stop_file(runs, machine), "`itl run --until-decided` makes it again")
        seeds = self.seeds[: stop.get("seeds", len(self.seeds))]
        return [run for run in runs if run.seed in seeds]

    def stop_at(self, seeds: int, machine: Machine) -> None:
        """Keep that no more than so many *seeds* are needed: plans, runs and pages then take these."""
        file = self._stop_file(self._runs_of_all_seeds(machine), machine)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps({"seeds": seeds}))

    def _stop_file(self, runs: Sequence[Run], machine: Machine) -> Path:
        """Return the file of `stop_at`: another for other *runs* of all seeds, comparisons, margin or cap."""
        # Fields of Comparison and Margin are named in the text: renamed, what was decided is not found again.
        judged = (self.comparisons, self.margin, self.cap, [key(run.spec) for run in runs])
        digest = hashlib.sha256(repr(judged).encode()).hexdigest()[:12]
        return machine.runs / "decided" / f"{digest}.json"

    def _runs_of_all_seeds(self, machine: Machine, outdated: Collection[Path] = ()) -> list[Run]:
        digests = {}
        for name, packing in self.packings().items():
            folder = pack_folder(packing, name, machine)
            pack = None if folder in outdated else packed(packing, name, machine)
            digests[name] = pack.digest if pack else f"{UNPACKED} {folder.name}"
        return list(self.runs_on(digests, self.tree(machine).digest))

    def runs_on(self, digests: Mapping[str, str], tree: str = "") -> Iterator[Run]:
        """Yield the runs on packs with these *digests*, by the names of `packings`; *tree* is one too."""
        targets = {digests[task.target] for task in self.tasks} if self.leave_out_duplicates else ()
        without, tuning = tuple(sorted(targets)), dict(self.tuning)
        for condition in self.conditions:
            for seed in condition.seeds or self.seeds:
                pretrain = self.pretraining(condition, digests["images"], seed, tree, without)
                if condition.trained:
                    yield Run(pretrain, condition.columns, seed, "own", "own classes", "pretrain")
                for task in self.tasks:
                    labels, method = condition.labels_of(task, seed), METHODS[task.method]
                    target = task.target, digests[task.target], task.images_per_class
                    recipe = tuning.get(task.method)
                    of_tree = tree if needs_tree(labels) or method.tree else ""
                    for repeat in range(self.repeats if method.recipe else 1):  # others have no noise of fits
                        spec = Transfer(
                            pretrain, task.method, *target, recipe, seed, labels, tree=of_tree, repeat=repeat
                        )
                        yield Run(spec, condition.columns, seed, task.name, task.target, task.method)

    def pretraining(
        self, condition: Condition, digest: str, seed: int, tree: str = "", without: tuple[str, ...] = ()
    ) -> Pretrain:
        """Return the pre-training of *condition* on the pack with *digest*, and the *tree* of a digest.

        It is *without* the duplicates of what packs with these digests score.
        """
        recipe = condition.recipe or self.recipe
        if not condition.trained:
            recipe = replace(recipe, epochs=0, steps=None)
        if own := condition.weights:
            recipe = replace(recipe, pixels=own.pixels or recipe.pixels)
            return Pretrain(Subset(digest), own.net, recipe, weights=own.weights)
        labels = with_seed(condition.labels, seed)
        tree = tree if needs_tree(labels) else ""
        sizes = condition.classes, condition.images_per_class
        subset = Subset(digest, labels, *sizes, seed, tree, condition.leaves, condition.at_most, without)
        return Pretrain(subset, self.net, recipe, seed)


def is_packed(spec: Spec) -> bool:
    """Say whether the packs of a run are built; before, its key is not known."""
    subset = pretraining_of(spec).subset
    packs = [subset.pack, *subset.without, *([spec.pack] if isinstance(spec, Transfer) else [])]
    return not any(digest.startswith(UNPACKED) for digest in packs)


def with_seed(labels: str, seed: int) -> str:
    """Write *seed* into a label method where it has {seed}; whatever else a user wrote stays as it is."""
    return labels.replace("{seed}", str(seed))
