"""The demo world: rendered images of ILSVRC classes, where classes near in WordNet look alike."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from itl import ItlError
from itl.hierarchy.taxonomy import Taxonomy
from itl.sources.records import Record
from itl.sources.synthetic.appearance import GENES, Appearances, draw, look
from itl.sources.synthetic.shapes import Pose, Window, chance, finish, rgb, slab, unit, wave

WITHIN = 0.13                               # how far an image's object differs from its class, for each gene
FAMILY = 2                                  # classes taken side by side from one family


def spread_leaves(tree: Taxonomy, count: int) -> list[str]:
    """Choose *count* leaves of *tree*, sorted: families of siblings, spread evenly over the tree."""
    ordered = sorted(tree.leaves, key=lambda wnid: tree.path(wnid)[::-1])
    stretches = -(-count // FAMILY)
    edges = [len(ordered) * number // stretches for number in range(stretches + 1)]
    chosen = []
    for start, stop in zip(edges, edges[1:], strict=False):
        families = {}
        for wnid in ordered[start:stop]:
            families.setdefault(tree.parent(wnid), []).append(wnid)
        largest_first = sorted(families.values(), key=lambda family: (-len(family), family))
        chosen += [wnid for family in largest_first for wnid in family][:FAMILY]
    return sorted(chosen[:count])


def positive(kind: str, **settings: int) -> None:
    """Refuse numbers of pictures or pixels below 1."""
    for name, number in settings.items():
        if number < 1:
            raise ItlError(f"source {kind} takes {name} from 1 up, not {number}")


def between(random: np.random.Generator, *ranges: tuple[float, float]) -> list[float]:
    """Draw one number from each of *ranges* (low, high)."""
    drawn = random.random(len(ranges)).tolist()
    return [low + (high - low) * part for (low, high), part in zip(ranges, drawn, strict=True)]


def backdrop(random: np.random.Generator, size: int, hue: float | None = None) -> np.ndarray:
    """A wall over a floor, each with its own tint and pattern, as a canvas: float32 (3, size, size)."""
    hues = random.random(2).tolist()
    if hue is not None:
        hues = [hue + 0.2 * (each - 0.5) for each in hues]
    horizon, angle, count, contrast = between(random, (0.3, 0.9), (-1, 1), (2, 9), (0, 45))
    saturations, values = random.random(2).tolist(), between(random, (0.25, 0.95), (0.25, 0.95))
    x = np.arange(size, dtype=np.float32) / size
    y = x[:, None]
    cos, sin = unit(angle)
    pattern = contrast * (wave((cos * x + sin * y) * count) - 0.5)
    wall, floor = (rgb(hue, 0.45 * saturation, value)
                   for hue, saturation, value in zip(hues, saturations, values, strict=True))
    below = np.clip((y - horizon) * size * 0.5 + 0.5, 0, 1)
    return wall + below * (floor - wall) + pattern * (1 - 0.6 * below) + 25 * (0.5 - y)


def clutter(canvas: np.ndarray, random: np.random.Generator, count: int, reach: tuple[float, float]) -> None:
    """Litter *canvas* with *count* bars, boxes and discs, as long as *reach* says in parts of the image."""
    size = canvas.shape[1]
    unseen = np.zeros(canvas.shape[1:], np.float32)
    for _ in range(count):
        x, y, length, width, turn, roundness, hue, saturation, value = between(
            random, (0, size), (0, size), reach, (0.25, 1.0), (-1, 1), (0, 1), (0, 1), (0, 0.9), (0.15, 1.0))
        window = Window.on(canvas, unseen, Pose(x, y, length * size, turn), reach=1.5)
        window.paint(slab(window.u, window.v, (1.0, width), roundness * width),
                     rgb(hue, saturation, value), rim=0.25)


def portrait(canvas: np.ndarray, genes: np.ndarray, random: np.random.Generator, pose: Pose) -> np.ndarray:
    """Draw one individual of the class that has *genes*; return how much of each pixel it covers."""
    mask = np.zeros(canvas.shape[1:], np.float32)
    differing = 2 * WITHIN * (random.random((2, len(GENES))).sum(0) - 1)
    draw(canvas, mask, pose, look(genes + differing), gait=0.3 * (float(random.random()) - 0.5))
    return mask


def any_pose(random: np.random.Generator, size: int, scale: tuple[float, float]) -> Pose:
    """A pose near the middle of the image, with an object *scale* times half the image in size."""
    half = size / 2
    x, y, factor, turn, squeeze, bright, right, up, flip = between(
        random, (-0.3, 0.3), (-0.3, 0.3), scale, (-0.22, 0.22), (0.7, 1.0),
        (0.7, 1.2), (-0.3, 0.3), (0, 0.3), (0, 1))
    return Pose(half * (1 + x), half * (1 + y), half * factor, turn, flip < 0.5, squeeze, (bright, right, up))


def coloured_light(canvas: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The same scene under a lamp of another colour, so that colour alone does not give a class away."""
    lamp = between(random, (0.7, 1.15), (0.7, 1.15), (0.7, 1.15))
    return canvas * np.array(lamp, np.float32)[:, None, None]


@dataclass(frozen=True)
class DemoClasses:
    """Pictures of *classes* ILSVRC leaves, *train* and *val* of each, *size* pixels wide."""

    classes: int = 40
    train: int = 200
    val: int = 50
    seed: int = 0
    size: int = 48
    kind = "demo"

    def __post_init__(self) -> None:
        """Refuse a world that cannot be drawn."""
        positive(self.kind, classes=self.classes, train=self.train, val=self.val, size=self.size)
        leaves = len(Taxonomy.snapshot().leaves)
        if not 2 <= self.classes <= leaves:
            raise ItlError(f"source {self.kind} has from 2 to {leaves} classes, not {self.classes}")

    @cached_property
    def wnids(self) -> list[str]:
        """The classes, sorted."""
        return spread_leaves(Taxonomy.snapshot(), self.classes)

    @cached_property
    def _genes(self) -> dict[str, np.ndarray]:
        appearances = Appearances(Taxonomy.snapshot(), self.seed)
        return {wnid: appearances.genes(wnid) for wnid in self.wnids}

    def records(self) -> list[Record]:
        """One record for each picture, sorted by id."""
        return [
            Record(f"{split}/{wnid}_{number:05d}", wnid, split, ())
            for split, count in (("train", self.train), ("val", self.val))
            for wnid in self.wnids
            for number in range(count)
        ]

    def read(self, record: Record) -> np.ndarray:
        """Render the picture of *record*: uint8 (size, size, 3), a pure function of the seed and its id."""
        random = chance("demo image", self.seed, record.id)
        canvas = backdrop(random, self.size)
        clutter(canvas, random, 5, (0.04, 0.16))
        portrait(canvas, self._genes[record.wnid], random, any_pose(random, self.size, (0.65, 1.1)))
        clutter(canvas, random, 2, (0.04, 0.12))
        return finish(coloured_light(canvas, random), 12, random)
