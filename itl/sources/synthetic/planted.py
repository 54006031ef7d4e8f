"""Planted truth: classes that help, hurt or do nothing for one target, which asks for surfaces alone.

Six surfaces differ in colour and pattern. The target's classes are these surfaces, on objects of any shape.
Classes that help differ from each other in nothing but their surface, so a net must look at it. Classes that
hurt carry any of the surfaces, another on each image, so a net learns to overlook them. All others are grey.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from itl.hierarchy.taxonomy import Taxonomy
from itl.sources.records import Record
from itl.sources.source import Source
from itl.sources.synthetic.appearance import GENES, Appearances
from itl.sources.synthetic.classes import DemoClasses, class_image, numbered_records, require_positive
from itl.sources.synthetic.shapes import random_stream

HELPFUL = ("n02075296", "n02778669")  # carnivore, ball: nodes of which every class helps
HARMFUL = ("n01503061", "n03094503")  # bird, container
# Genes that make a surface, as fractions of their ranges; what they do not name, the class has as usual.
GREY = {
    "saturation": 0.0,
    "value": 0.5,
    "part_value": 0.57,
    "belly": 0.0,
    "pattern_value": 0.684,
    "window": 0.0,
}
BRIGHT = GREY | {
    "saturation": 0.95,
    "value": 0.95,
    "part_value": 0.95,
    "part_hue": 0.5,
    "pattern_value": 0.1,
    "pattern_width": 0.6,
    "pattern_count": 0.1,
    "pattern_angle": 0.5,
    "pattern_hue": 0.5,
}
STRIPES, CHECKS, SPOTS = 0.1, 0.55, 0.9
SURFACES = {  # by name, sorted
    "blue checks": BRIGHT | {"hue": 0.7, "pattern": CHECKS},
    "cyan stripes": BRIGHT | {"hue": 0.53, "pattern": STRIPES},
    "green spots": BRIGHT | {"hue": 0.37, "pattern": SPOTS},
    "purple spots": BRIGHT | {"hue": 0.87, "pattern": SPOTS},
    "red stripes": BRIGHT | {"hue": 0.05, "pattern": STRIPES},
    "yellow checks": BRIGHT | {"hue": 0.2, "pattern": CHECKS},
}
NAMES = tuple(SURFACES)


def with_surface(genes: np.ndarray, surface: Mapping[str, float]) -> np.ndarray:
    """Return *genes* with those of *surface* in their stead."""
    return np.array([surface.get(gene.name, value) for gene, value in zip(GENES, genes, strict=True)])


@dataclass(frozen=True)
class DemoPlanted(DemoClasses):
    """The classes of source demo, some of which help or hurt on the target of source demo-surfaces.

    Under each node of HELPFUL all classes have the node's shape and the surfaces one after the other, under
    those of HARMFUL each class has its own shape, and all others have their own shape in grey.
    """

    kind = "demo-planted"

    @cached_property
    def _genes(self) -> dict[str, np.ndarray]:
        appearances, genes = Appearances(self._tree, self.seed), {}
        counts: Counter[str] = Counter()
        for wnid in self.wnids:
            node = self._planted(wnid, HELPFUL)
            surface = SURFACES[NAMES[counts[node] % len(NAMES)]] if node else GREY
            genes[wnid] = with_surface(appearances.genes(node or wnid), surface)
            counts[node] += 1
        return genes

    @property
    def _tree(self) -> Taxonomy:
        return Taxonomy.snapshot()

    def _planted(self, wnid: str, nodes: tuple[str, ...]) -> str:
        """Return which of *nodes* the class *wnid* is under, by any path; '' for none."""
        return next((node for node in nodes if node in self._tree.ancestors(wnid)), "")

    def read(self, record: Record) -> np.ndarray:
        """Render the image of *record*: uint8 (size, size, 3), a pure function of the seed and its id."""
        random = random_stream("planted image", self.seed, record.id)
        genes = self._genes[record.wnid]
        if self._planted(record.wnid, HARMFUL):
            genes = with_surface(genes, SURFACES[NAMES[int(len(NAMES) * random.random())]])
        return class_image(genes, self.size, random)


@dataclass(frozen=True)
class DemoSurfaces(Source):
    """The target that classes of source demo-planted help or hurt: surfaces, on objects of any shape."""

    train: int = 60
    test: int = 200
    seed: int = 0
    size: int = 48
    kind = "demo-surfaces"
    rendered = True

    def __post_init__(self) -> None:
        """Raise ItlError for settings that cannot be drawn."""
        require_positive(self.kind, train=self.train, test=self.test, size=self.size)

    def records(self) -> list[Record]:
        """Return one record for each image, sorted by id; the class is the name of the surface."""
        return numbered_records(list(NAMES), {"test": self.test, "train": self.train})

    def read(self, record: Record) -> np.ndarray:
        """Render the image of *record*: uint8 (size, size, 3), a pure function of the seed and its id."""
        random = random_stream("demo surface", self.seed, record.id)
        return class_image(with_surface(random.random(len(GENES)), SURFACES[record.wnid]), self.size, random)
