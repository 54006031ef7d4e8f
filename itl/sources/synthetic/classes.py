"""The demo world: rendered images of ILSVRC classes; classes that are near in WordNet look alike."""

from abc import abstractmethod
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from itl.errors import ItlError
from itl.hierarchy.taxonomy import Taxonomy
from itl.iteration import grouped
from itl.sources.records import Record
from itl.sources.source import Source
from itl.sources.split_names import SPLIT_ORDER
from itl.sources.synthetic.appearance import GENES, appearances_of, draw, looks_of
from itl.sources.synthetic.shapes import Pose, Window, random_stream, rgb, slab, to_image, unit, wave

INDIVIDUAL_STEP = 0.13  # how far an image's object differs from its class, for each gene
LARGEST = dict.fromkeys(SPLIT_ORDER, 100_000) | {"size": 8192}  # images of a class, and the size of a pack
CLASSES_PER_FAMILY = 2  # siblings that are chosen together


def spread_leaves(tree: Taxonomy, count: int) -> list[str]:
    """Choose *count* leaves of *tree*, sorted: families of siblings, spread evenly over the tree."""
    ordered = sorted(tree.leaves, key=lambda wnid: tree.path(wnid)[::-1])
    ranges = -(-count // CLASSES_PER_FAMILY)
    edges = [len(ordered) * number // ranges for number in range(ranges + 1)]
    chosen = []
    for start, stop in zip(edges, edges[1:], strict=False):
        families = grouped((tree.parent(wnid), wnid) for wnid in ordered[start:stop])
        largest_first = sorted(families.values(), key=lambda family: (-len(family), family))
        chosen += [wnid for family in largest_first for wnid in family][:CLASSES_PER_FAMILY]
    return sorted(chosen[:count])


def draw_uniform(random: np.random.Generator, *ranges: tuple[float, float]) -> list[float]:
    """Draw one number from each of *ranges* (low, high)."""
    fractions = random.random(len(ranges)).tolist()
    return [low + (high - low) * part for (low, high), part in zip(ranges, fractions, strict=True)]


def backdrop(
    random: np.random.Generator, size: int, shapes: int, reach: tuple[float, float], hue: float | None = None
) -> np.ndarray:
    """Return a wall above a floor, with tints, a pattern and *shapes*, as a canvas: float32 (3, size, size).

    The *reach* of the shapes is as in `clutter`.
    """
    hues = random.random(2).tolist()
    if hue is not None:
        hues = [hue + 0.2 * (shift - 0.5) for shift in hues]
    horizon, angle, count, contrast = draw_uniform(random, (0.3, 0.9), (-1, 1), (2, 9), (0, 45))
    saturations, values = random.random(2).tolist(), draw_uniform(random, (0.25, 0.95), (0.25, 0.95))
    x = np.arange(size, dtype=np.float32) / size
    y = x[:, None]
    cos, sin = unit(angle)
    pattern = contrast * (wave((cos * x + sin * y) * count) - 0.5)
    wall, floor = (
        rgb(hue, 0.45 * saturation, value)
        for hue, saturation, value in zip(hues, saturations, values, strict=True)
    )
    below = np.clip((y - horizon) * size * 0.5 + 0.5, 0, 1)
    canvas = wall + below * (floor - wall) + pattern * (1 - 0.6 * below) + 25 * (0.5 - y)
    clutter(canvas, random, shapes, reach)
    return canvas


def clutter(canvas: np.ndarray, random: np.random.Generator, count: int, reach: tuple[float, float]) -> None:
    """Draw *count* bars, boxes and discs on *canvas*; *reach*: their length, as fractions of the image."""
    size = canvas.shape[1]
    unused_mask = np.zeros(canvas.shape[1:], np.float32)
    for _ in range(count):
        x, y, length, width, turn, roundness, hue, saturation, value = draw_uniform(
            random, (0, size), (0, size), reach, (0.25, 1.0), (-1, 1), (0, 1), (0, 1), (0, 0.9), (0.15, 1.0)
        )
        window = Window.on(canvas, unused_mask, Pose(x, y, length * size, turn), reach=1.5)
        window.paint(
            slab(window.u, window.v, (1.0, width), roundness * width), rgb(hue, saturation, value), rim=0.25
        )


def portrait(canvas: np.ndarray, genes: np.ndarray, random: np.random.Generator, pose: Pose) -> np.ndarray:
    """Draw one individual of the class with *genes*; returns its coverage of each pixel, float32 (h, w)."""
    mask = np.zeros(canvas.shape[1:], np.float32)
    difference = 2 * INDIVIDUAL_STEP * (random.random((2, len(GENES))).sum(0) - 1)
    draw(canvas, mask, pose, looks_of(genes + difference), gait=0.3 * (float(random.random()) - 0.5))
    return mask


def any_pose(random: np.random.Generator, size: int, scale: tuple[float, float]) -> Pose:
    """Return a pose near the middle of the image, of an object *scale* times as large as half the image."""
    half = size / 2
    x, y, factor, turn = draw_uniform(random, (-0.3, 0.3), (-0.3, 0.3), scale, (-0.22, 0.22))
    squeeze, bright, right, up, flip = draw_uniform(
        random, (0.7, 1.0), (0.7, 1.2), (-0.3, 0.3), (0, 0.3), (0, 1)
    )
    return Pose(half * (1 + x), half * (1 + y), half * factor, turn, flip < 0.5, squeeze, (bright, right, up))


def tint(canvas: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the scene under a lamp of another colour, so that colour alone does not identify a class."""
    lamp = draw_uniform(random, (0.7, 1.15), (0.7, 1.15), (0.7, 1.15))
    return canvas * np.array(lamp, np.float32)[:, None, None]


@dataclass(frozen=True)
class RenderedSource(Source):
    """As many images of each class as the field of a split says, *size* pixels wide, drawn from *seed*.

    A source derives from it, and overrides `names` and `read`; one with the field ``classes`` says in
    `most_classes` how many it has.
    """

    train: int = 200
    seed: int = 0
    size: int = 48
    rendered = True

    def __post_init__(self) -> None:
        """Raise ItlError for settings that cannot be drawn."""
        for field in fields(self):
            number = getattr(self, field.name)
            if field.name == "classes" and not 2 <= number <= self.most_classes:
                raise ItlError(f"source {self.kind} has from 2 to {self.most_classes} classes, not {number}")
            largest = LARGEST.get(field.name)
            if largest and not 1 <= number <= largest:
                limit = "at least 1" if number < 1 else f"at most {largest:,}"
                raise ItlError(f"source {self.kind} takes {field.name} of {limit}, not {number:,}")

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """The classes, sorted."""

    @property
    def most_classes(self) -> int:
        """How many classes there are to choose from."""
        return len(self.names)

    def records(self) -> list[Record]:
        """Return one record for each image, sorted by id."""
        return [
            Record(f"{split}/{name}_{number:05d}", name, split)
            for split in sorted(SPLIT_ORDER)
            for name in self.names
            for number in range(getattr(self, split, 0))
        ]


@dataclass(frozen=True)
class DemoClasses(RenderedSource):
    """Images of *classes* ILSVRC leaves."""

    classes: int = 40
    val: int = 50
    kind = "demo"

    @property
    def most_classes(self) -> int:
        """All leaves."""
        return len(Taxonomy.snapshot().leaves)

    @cached_property
    def names(self) -> list[str]:
        """The classes, sorted."""
        return spread_leaves(Taxonomy.snapshot(), self.classes)

    def read(self, record: Record) -> np.ndarray:
        """Render the image of *record*: uint8 (size, size, 3), a pure function of the seed and its id."""
        random = random_stream("demo image", self.seed, record.id)
        return class_image(appearances_of(self.seed).genes(record.wnid), self.size, random)


@dataclass(frozen=True)
class DemoKinds(RenderedSource):
    """Images of *classes* new leaves under the nodes *under*, rendered as those of source demo.

    The leaves are spread over the families (the parents of ILSVRC leaves) under these nodes. They are not in
    the tree, so no net was pre-trained on them. A class is named by the wnid of its family and a number, as
    n01524359-0, so that its position in the tree is known.
    """

    under: str = "n01503061"  # wnids of inner nodes, with commas between them; this is bird
    classes: int = 8
    train: int = 40
    test: int = 100
    kind = "demo-kinds"
    most_classes = 100  # more siblings cannot be told apart in a small image

    def __post_init__(self) -> None:
        """Raise ItlError for settings that cannot be drawn."""
        super().__post_init__()
        tree = Taxonomy.snapshot()
        for node in self.under.split(","):
            if node not in tree:
                raise ItlError(f"{tree.describe_unknown(node)}source {self.kind} knows no other taxonomy")
            if not _families_under(node):
                raise ItlError(
                    f"source {self.kind} draws new leaves under inner nodes of the tree, and {node} "
                    f"({tree[node].name}) is a leaf; give its parent {tree.parent(node)}"
                )

    @cached_property
    def families(self) -> dict[str, str]:
        """The parent of each class, by the name of the class."""
        tree = Taxonomy.snapshot()
        parents = set().union(*map(_families_under, self.under.split(",")))
        ordered = sorted(parents, key=lambda wnid: tree.path(wnid)[::-1])
        chosen = [ordered[len(ordered) * number // self.classes] for number in range(self.classes)]
        names = [f"{family}-{chosen[:number].count(family)}" for number, family in enumerate(chosen)]
        return dict(zip(names, chosen, strict=True))

    @property
    def class_names(self) -> dict[str, str]:
        """Words for the classes."""
        tree = Taxonomy.snapshot()
        return {name: f"new {tree.class_name(family)}" for name, family in self.families.items()}

    @property
    def names(self) -> list[str]:
        """The classes, sorted."""
        return sorted(self.families)

    def read(self, record: Record) -> np.ndarray:
        """Render the image of *record*: uint8 (size, size, 3), a pure function of the seed and its id."""
        random = random_stream("demo kind", self.seed, record.id)
        genes = appearances_of(self.seed).new_leaf(self.families[record.wnid], record.wnid)
        return class_image(genes, self.size, random)


def _families_under(node: str) -> set[str]:
    """Return the parents of ILSVRC leaves under *node*: by their paths or, where there are none, by any."""
    tree = Taxonomy.snapshot()
    paths = [tree.path(leaf) for leaf in tree.leaves]
    by_path = {path[1] for path in paths if node in path[1:]}
    return by_path or {path[1] for path in paths if node in tree.ancestors(path[0]) - {path[0]}}


def any_portrait(genes: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Return a canvas with one individual of the class with *genes*."""
    canvas = backdrop(random, size, 5, (0.04, 0.16))
    portrait(canvas, genes, random, any_pose(random, size, (0.65, 1.1)))
    return canvas


def class_image(genes: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Render one image of the class with *genes*: uint8 (size, size, 3)."""
    canvas = any_portrait(genes, size, random)
    clutter(canvas, random, 2, (0.04, 0.12))
    return to_image(tint(canvas, random), 12, random)
