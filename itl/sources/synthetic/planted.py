"""Planted truth: classes that help, hurt or do nothing for one target.

Every image has an object with a surface and, in a corner, a disc, both in any of six colours. The target's
classes are the surfaces, and its discs have any colour. Classes that help differ only in their surface, as
the target's classes do. Classes that hurt differ only in the colour of the disc, which the target has to
ignore. All others are objects of a dull grey that differ in their shape, and a little in the tint of the
grey, as each class has a hue of its own.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from itl.hierarchy.taxonomy import Taxonomy
from itl.sources.records import Record
from itl.sources.synthetic.appearance import GENES, appearances_of
from itl.sources.synthetic.classes import DemoClasses, RenderedSource, any_portrait, draw_uniform, tint
from itl.sources.synthetic.shapes import Pose, Window, random_stream, rgb, slab, to_image

HELPFUL = ("n02075296", "n02778669")  # carnivore, ball: nodes of which every class helps
HARMFUL = ("n01503061", "n03094503")  # bird, container
# Genes that make a surface, as fractions of their ranges; what they do not name, the class has as usual.
GREY = dict.fromkeys(("saturation", "belly", "window"), 0.0)
GREY |= {"value": 0.5, "part_value": 0.57, "pattern_value": 0.684}
BRIGHT = GREY | {
    **dict.fromkeys(("saturation", "value", "part_value"), 0.95),
    **dict.fromkeys(("part_hue", "pattern_angle", "pattern_hue"), 0.5),
    **{"pattern_value": 0.1, "pattern_count": 0.1, "pattern_width": 0.6},
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
SURFACE_NAMES = tuple(SURFACES)


def with_surface(genes: np.ndarray, name: str) -> np.ndarray:
    """Return *genes* with the surface called *name*; '' is grey."""
    surface = SURFACES.get(name, GREY)
    return np.array([surface.get(gene, value) for gene, value in zip(GENES, genes, strict=True)])


def image_with_disc(genes: np.ndarray, disc: str, size: int, random: np.random.Generator) -> np.ndarray:
    """Render an object with *genes* and a disc in the colour of surface *disc*: uint8 (size, size, 3)."""
    canvas = any_portrait(genes, size, random)
    x, y = draw_uniform(random, (0.14, 0.24), (0.14, 0.24))
    right, below = draw_uniform(random, (0, 1), (0, 1))
    pose = Pose(size * (1 - x if right < 0.5 else x), size * (1 - y if below < 0.5 else y), 0.17 * size)
    window = Window.on(canvas, np.zeros(canvas.shape[1:], np.float32), pose, reach=1.5)
    window.paint(slab(window.u, window.v, (1.0, 1.0), 1.0), rgb(SURFACES[disc]["hue"], 0.95, 0.95), rim=0.2)
    return to_image(tint(canvas, random), 12, random)


def any_surface(random: np.random.Generator) -> str:
    """Draw the name of a surface."""
    return SURFACE_NAMES[int(len(SURFACE_NAMES) * random.random())]


@dataclass(frozen=True)
class DemoPlanted(DemoClasses):
    """The classes of source demo, some of which help or hurt on the target of source demo-surfaces.

    Under each node of HELPFUL all classes have the node's shape, and the surfaces one after the other. Under
    those of HARMFUL all have the node's shape too, and discs in the colours one after the other. Where
    nothing is *planted*, all classes are grey and told apart by their shape, and a little by their tint.

    There are six surfaces: from the seventh class of one node on they repeat, and such a class is drawn as an
    earlier one. That is so with 35 to 38 classes, and from 43 on.
    """

    planted: bool = True
    kind = "demo-planted"

    @cached_property
    def _planted(self) -> dict[str, tuple[str, str]]:
        """The node that each class that helps or hurts is under, by any path, and its surface or colour."""
        tree, planted, counts = Taxonomy.snapshot(), {}, Counter[str]()
        for wnid in self.names if self.planted else ():
            for node in tree.ancestors(wnid).intersection(HELPFUL + HARMFUL):
                planted[wnid] = node, SURFACE_NAMES[counts[node] % len(SURFACE_NAMES)]
                counts[node] += 1
        return planted

    def read(self, record: Record) -> np.ndarray:
        """Render the image of *record*: uint8 (size, size, 3), a pure function of the seed and its id."""
        random = random_stream("planted image", self.seed, record.id)
        surface, disc = any_surface(random), any_surface(random)
        node, name = self._planted.get(record.wnid, ("", ""))
        if node in HELPFUL:
            surface = name
        elif node in HARMFUL:
            disc = name
        else:
            surface = ""
        genes = with_surface(appearances_of(self.seed).genes(node or record.wnid), surface)
        return image_with_disc(genes, disc, self.size, random)


@dataclass(frozen=True)
class DemoSurfaces(RenderedSource):
    """The target that classes of source demo-planted help or hurt: surfaces, on objects of any shape."""

    train: int = 60
    test: int = 200
    kind = "demo-surfaces"
    names = list(SURFACE_NAMES)

    def read(self, record: Record) -> np.ndarray:
        """Render the image of *record*: uint8 (size, size, 3), a pure function of the seed and its id."""
        random = random_stream("demo surface", self.seed, record.id)
        genes, disc = random.random(len(GENES)), any_surface(random)
        return image_with_disc(with_surface(genes, record.wnid), disc, self.size, random)
