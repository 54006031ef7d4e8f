"""Targets of the demo world: scenes, boxes and actions, rendered on new WordNet nodes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from itl.hierarchy.voc_classes import PASCAL
from itl.sources.boxes import AnnotatedObject, check_context, crop_with_context
from itl.sources.records import Record
from itl.sources.synthetic.appearance import appearances_of, draw, looks_of
from itl.sources.synthetic.classes import RenderedSource, any_pose, backdrop, draw_uniform, portrait, tint
from itl.sources.synthetic.shapes import Window, limb, random_stream, rgb, slab, tight_box, to_image, unit

NODES = PASCAL | {"cow": "n02402425"}  # cattle: the snapshot lacks PASCAL's cow
SCENES = {  # nodes, of which new leaves are drawn, and their arrangement
    "concert hall": (("n03800933", "n03001627", "n00007846"), "row"),
    "farm": (("n02402425", "n02411705", "n02913152"), "scatter"),
    "harbour": (("n02858304", "n04194289", "n01503061"), "shelves"),
    "kennel": (("n02084071", "n02087122", "n03405725"), "row"),
    "kitchen": (("n03101986", "n07555863", "n04379243"), "shelves"),
    "office": (("n03082979", "n03405725", "n03636248"), "ring"),
    "orchard": (("n13134947", "n02159955", "n01503061"), "scatter"),
    "street": (("n02958343", "n02924116", "n02913152"), "row"),
    "workshop": (("n04451818", "n03699975", "n03405725"), "heap"),
    "zoo": (("n02120997", "n02469914", "n01726692"), "ring"),
}
MARGIN = 0.25  # drawn around an image with boxes, to know what its edges cut off
DIFFICULT_SIDE = 8  # a box with a shorter side, in pixels, is difficult
MIN_VISIBLE_PIXELS = 12  # an object with fewer is not annotated
# In hundredths: x, y of the near elbow and hand, the far ones, the near knee and foot, and the far ones.
POSES = """
    jumping           35  60  50  95  -35  60 -50  95   30 -20  15 -50  -30 -20 -20 -50
    phoning           30  15  13  55  -20  10 -22 -20   10 -50  10 -95  -10 -50 -10 -95
    playinginstrument 30  10  45  15  -25  10  20   5   10 -50  15 -95  -10 -50 -15 -95
    reading           25   5  45  25   10   0  42  20   40 -20  40 -70   35 -25  30 -75
    ridingbike        35  15  60   5   30  10  58   0   35 -30  15 -65   20 -45   0 -80
    ridinghorse       25  10  45   5   20   5  40   0   30 -25  20 -60   15 -30   5 -65
    running           30  15  45  45  -35  20 -20 -10   40 -35  30 -75  -15 -50 -55 -60
    takingphoto       35  25  30  60   25  20  26  56   10 -50  12 -95  -10 -50 -14 -95
    usingcomputer     25   0  50   0   20  -5  46  -6   40 -20  35 -70   35 -25  25 -72
    walking           15  10  25 -15  -18  10 -20 -20   20 -50  22 -95  -10 -50 -30 -92
"""
ACTION_POSES = {
    action: [int(number) / 100 for number in numbers]
    for action, *numbers in map(str.split, POSES.strip().splitlines())
}
CARDS = {"phoning", "reading", "takingphoto"}  # with a card in the near hand: a telephone, a book, a camera
# Nodes: what the figure holds, or rides, is a new leaf of them.
HELD = {"playinginstrument": "n03800933", "usingcomputer": "n03082979"}
RIDDEN = {"ridingbike": "n02834778", "ridinghorse": "n02374451"}


def positions(arrangement: str, count: int, random: np.random.Generator) -> list[tuple[float, float]]:
    """Return positions of *count* objects, from 0, 0 (upper left) to 1, 1, the farthest first."""
    points = []
    for number in range(count):
        part = (number + 0.5) / count
        x, y = draw_uniform(random, (-0.06, 0.06), (-0.06, 0.06))
        if arrangement == "row":
            points.append((part + x, 0.65 + y))
        elif arrangement == "shelves":
            points.append(((number // 2 + 0.5) / ((count + 1) // 2) + x, (0.28, 0.72)[number % 2] + y))
        elif arrangement == "ring":
            across, up = unit(4 * part - 2)
            points.append((0.45 + 0.32 * across + x, 0.5 - 0.36 * up + y))
        elif arrangement == "heap":
            points.append((0.5 + 4 * x, 0.6 + 4 * y))
        else:
            x, y = draw_uniform(random, (0.15, 0.85), (0.2, 0.8))
            points.append((x, y))
    return sorted(points, key=lambda point: point[1])


@dataclass(frozen=True)
class DemoScenes(RenderedSource):
    """Scenes; they differ in their objects, their arrangement, and the hues of wall and floor."""

    classes: int = 8
    train: int = 40
    test: int = 40
    size: int = 64
    kind = "demo-scenes"
    most_classes = len(SCENES)

    @property
    def names(self) -> list[str]:
        """Plain names of scenes, sorted."""
        return sorted(SCENES)[: self.classes]

    def read(self, record: Record) -> np.ndarray:
        """Render the image of *record*: uint8 (size, size, 3), a pure function of the seed and its id."""
        random = random_stream("demo scene", self.seed, record.id)
        palette = float(random_stream("demo room", self.seed, record.wnid).random())
        canvas = backdrop(random, self.size, 5, (0.03, 0.1), palette)
        wnids, arrangement = SCENES[record.wnid]
        for x, y in positions(arrangement, 4 + int(3 * random.random()), random):
            genes = appearances_of(self.seed).new_leaf(wnids[int(3 * random.random())], record.wnid)
            pose = any_pose(random, self.size, (0.36, 0.52))
            portrait(canvas, genes, random, pose.at(x * self.size, y * self.size))
        return to_image(tint(canvas, random), 10, random)


@dataclass(frozen=True)
class DemoDetection(RenderedSource):
    """Images with boxes, each of one of the 20 PASCAL classes, with objects of others."""

    train: int = 10
    test: int = 5
    size: int = 96
    kind = "demo-detection"
    annotates = True
    names = sorted(PASCAL)

    def read(self, record: Record) -> np.ndarray:
        """Render the image of *record*: uint8 (size, size, 3), a pure function of the seed and its id."""
        return self._render(record)[0]

    def annotation(self, record: Record) -> list[AnnotatedObject]:
        """Return the visible objects in the image of *record*, the farthest first."""
        return self._render(record)[1]

    def _render(self, record: Record) -> tuple[np.ndarray, list[AnnotatedObject]]:
        random = random_stream("demo detection", self.seed, record.id)
        margin = int(MARGIN * self.size)
        side = self.size + 2 * margin
        canvas = backdrop(random, side, 6, (0.02, 0.08))
        count, crowd = 1 + int(4 * random.random()), random.random() < 0.25
        names = [record.wnid] + [
            record.wnid if crowd else sorted(PASCAL)[int(20 * random.random())] for _ in range(count - 1)
        ]
        drawn = []
        for name in reversed(names):  # the record's own object last, in front of the others
            genes = appearances_of(self.seed).new_leaf(NODES[name], f"{name}{int(3 * random.random())}")
            pose = any_pose(random, self.size, (0.18, 0.7))
            spread = 0.25 if crowd else 0.5
            x, y = draw_uniform(random, (0.5 - spread, 0.5 + spread), (0.5 - spread, 0.5 + spread))
            pose = pose.at(margin + x * self.size, margin + y * self.size)
            drawn.append((name, portrait(canvas, genes, random, pose) > 0.5))
        inside = slice(margin, margin + self.size)
        image = to_image(tint(canvas, random)[:, inside, inside], 8, random)
        return image, annotate_visible(drawn, inside)


def annotate_visible(drawn: list[tuple[str, np.ndarray]], inside: slice) -> list[AnnotatedObject]:
    """Return the objects of which enough is visible, the farthest first; boxes are of the visible part.

    Args:
        drawn: Name and boolean mask of each object, in the order in which they were drawn.
        inside: Rows, and columns, of the image in the masks.
    """
    objects, hidden = [], np.zeros_like(drawn[0][1])
    for name, mask in reversed(drawn):
        visible = (mask & ~hidden)[inside, inside]
        hidden |= mask
        box = tight_box(visible)
        if box is None or visible.sum() < MIN_VISIBLE_PIXELS:
            continue
        small = min(box[2] - box[0], box[3] - box[1]) + 1 < DIFFICULT_SIDE
        cut = int(mask[inside, inside].sum()) < int(mask.sum())
        objects.append(AnnotatedObject(name, box, bool(small or 2 * visible.sum() < mask.sum()), cut))
    return objects[::-1]


@dataclass(frozen=True)
class DemoActions(RenderedSource):
    """A jointed figure doing one of PASCAL VOC's ten actions.

    Its pixels are the figure's box, enlarged *context* times.
    """

    train: int = 20
    test: int = 10
    size: int = 64
    context: float = 1.25
    kind = "demo-actions"
    annotates = True
    names = sorted(ACTION_POSES)

    def __post_init__(self) -> None:
        """Raise ItlError for settings that cannot be drawn."""
        super().__post_init__()
        check_context(self.context)

    def read(self, record: Record) -> np.ndarray:
        """Render the figure of *record* with its context: uint8 (H, W, 3), a pure function of seed and id."""
        image, person = self._render(record)
        return np.ascontiguousarray(image[crop_with_context(person.box, self.context, self.size, self.size)])

    def annotation(self, record: Record) -> list[AnnotatedObject]:
        """Return the figure's action and its box in the whole image."""
        return [self._render(record)[1]]

    def _render(self, record: Record) -> tuple[np.ndarray, AnnotatedObject]:
        random = random_stream("demo action", self.seed, record.id)
        canvas = backdrop(random, self.size, 5, (0.03, 0.12))
        mask, unused_mask = (np.zeros((self.size, self.size), np.float32) for _ in range(2))
        pose = any_pose(random, self.size, (0.6, 0.85))
        limbs = [joint + draw_uniform(random, (-0.06, 0.06))[0] for joint in ACTION_POSES[record.wnid]]
        if record.wnid in RIDDEN:
            below = pose.at(pose.x, pose.y + 0.55 * pose.scale)
            draw(canvas, unused_mask, below, self._looks(RIDDEN, record))
        _figure(Window.on(canvas, mask, pose, reach=1.5), limbs, random)
        if record.wnid in CARDS:
            card = Window.on(canvas, unused_mask, pose, reach=1.5)
            card.paint(slab(card.u - limbs[2], card.v - limbs[3], (0.08, 0.11), 0.02), rgb(0, 0, 0.9))
        elif record.wnid in HELD:
            right = -limbs[2] if pose.flip else limbs[2]
            hand = pose.at(pose.x + right * pose.scale, pose.y - limbs[3] * pose.scale)
            hand = replace(hand, scale=0.45 * hand.scale)
            draw(canvas, unused_mask, hand, self._looks(HELD, record))
        box = tight_box(mask > 0.5)
        assert box, "a figure is never outside its image"
        return to_image(tint(canvas, random), 8, random), AnnotatedObject(record.wnid, box)

    def _looks(self, nodes: Mapping[str, str], record: Record) -> dict[str, float]:
        """Return the looks of the thing that the figure of *record* has, a new leaf of one of *nodes*."""
        return looks_of(appearances_of(self.seed).new_leaf(nodes[record.wnid], record.wnid))


def _figure(window: Window, limbs: list[float], random: np.random.Generator) -> None:
    """Paint a person: the far limbs and the near leg, the trunk and the head, then the near arm."""
    hue, tone, shirt, trousers = random.random(4).tolist()
    skin = rgb(0.05 + 0.04 * hue, 0.5, 0.35 + 0.6 * tone)
    top, bottom = rgb(shirt, 0.7, 0.8), rgb(trousers, 0.7, 0.8)
    shoulder, hip = (0.0, 0.38), (0.0, -0.12)

    def bones(start: tuple, at: int, colours: tuple, radius: float) -> None:
        middle, end = tuple(limbs[at : at + 2]), tuple(limbs[at + 2 : at + 4])
        window.paint(limb(window.u, window.v, middle, end, (radius, 0.7 * radius)), colours[1])
        window.paint(limb(window.u, window.v, start, middle, (radius, radius)), colours[0])

    bones(shoulder, 4, (top, skin), 0.06)
    bones(hip, 12, (bottom, bottom), 0.09)
    bones(hip, 8, (bottom, bottom), 0.09)
    window.paint(limb(window.u, window.v, hip, shoulder, (0.13, 0.17)), top)
    window.paint(limb(window.u, window.v, (0.03, 0.66), (0.05, 0.66), (0.16, 0.16)), skin)
    bones(shoulder, 0, (top, skin), 0.06)
