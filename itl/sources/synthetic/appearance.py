"""The appearance of a WordNet node in the demo world: that of its parent with small changes."""

from functools import cache

import numpy as np

from itl.hierarchy.taxonomy import Taxonomy
from itl.sources.synthetic.shapes import Pose, Window, limb, random_stream, rgb, slab, unit, wave

Range = tuple[float, float]
SHAPE: dict[str, Range] = {  # genes, each with its lowest and highest number
    **{"length": (0.34, 0.72), "height": (0.16, 0.60), "roundness": (0.0, 1.0)},
    **{"taper": (-0.7, 0.7), "bend": (-0.5, 0.5), "crest": (-0.25, 0.25), "crest_count": (1.5, 6.0)},
    **{"head": (0.02, 0.38), "head_at": (-0.2, 1.0), "head_roundness": (-0.2, 1.2), "neck": (-0.10, 0.40)},
    **{"snout": (-0.20, 0.50), "ears": (-0.15, 0.45), "ears_apart": (0.0, 1.0)},
    **{"legs": (-1.0, 5.5), "leg_length": (0.10, 0.50), "leg_width": (0.03, 0.11), "foot": (-0.20, 0.25)},
    **{"tail": (-0.20, 0.75), "tail_at": (-0.4, 0.9), "tail_width": (0.02, 0.12)},
}
SURFACE: dict[str, Range] = {  # these differ mostly low in the tree; shapes differ high
    **{"hue": (0.0, 1.0), "saturation": (0.15, 0.95), "value": (0.40, 1.0)},
    **{"part_hue": (-0.35, 0.35), "part_value": (0.3, 1.0), "belly": (-1.2, 0.6), "belly_value": (0.2, 1.0)},
    **{"pattern": (0.0, 1.0), "pattern_angle": (-1.0, 1.0), "pattern_count": (2.0, 5.5)},
    **{"pattern_width": (0.15, 0.6), "pattern_hue": (0.2, 0.8), "pattern_value": (0.05, 1.0)},
    **{"eye": (-0.3, 0.6), "window": (-0.20, 0.26), "window_count": (1.0, 4.5)},
}
GENES = SHAPE | SURFACE  # an appearance has a number for each, in this order
IS_OF_SURFACE = np.array([gene in SURFACE for gene in GENES])
LEAF_STEP = np.where(IS_OF_SURFACE, 0.20, 0.11)  # siblings must differ, mostly by their surface
SHRINKAGE = [1.0, 0.82, 0.67, 0.55, 0.45, 0.37, 0.30, 0.25, 0.20, 0.17, 0.14, 0.11, 0.09, 0.08, 0.06, 0.05]


def inner_step(depth: int) -> np.ndarray:
    """Return how far an inner node at *depth* differs from its parent in each gene: less with every level."""
    return np.where(IS_OF_SURFACE, 0.30, 0.42) * SHRINKAGE[min(max(0, depth - 4), len(SHRINKAGE) - 1)]


class Appearances:
    """The appearance of every node of *tree*, drawn from *seed*."""

    def __init__(self, tree: Taxonomy, seed: int = 0) -> None:
        """Prepare appearances; each is drawn when it is first used."""
        self.tree, self.seed = tree, seed
        self._known: dict[str, np.ndarray] = {}

    def genes(self, wnid: str) -> np.ndarray:
        """Return the appearance of *wnid*, a number for each of `GENES`; beyond 0 and 1 they fold back."""
        if wnid not in self._known:
            parent = self.tree.parent(wnid)
            if parent is None:
                self._known[wnid] = random_stream("demo", self.seed, wnid).random(len(GENES))
            else:
                size = inner_step(self.tree.depth(wnid)) if self.tree.children(wnid) else LEAF_STEP
                self._known[wnid] = self.genes(parent) + self._change(wnid, size)
        return self._known[wnid]

    def new_leaf(self, wnid: str, name: str) -> np.ndarray:
        """Return the appearance of a new leaf called *name* under the node *wnid*."""
        path = f"{wnid}/{name}"
        if path not in self._known:
            self._known[path] = self.genes(wnid) + self._change(path, LEAF_STEP)
        return self._known[path]

    def _change(self, name: str, size: np.ndarray) -> np.ndarray:
        """Draw a change, about normal (three uniform numbers summed) with *size* as standard deviation."""
        uniform = random_stream("demo", self.seed, name).random((3, len(GENES)))
        return size * (2 * (uniform[0] + uniform[1] + uniform[2]) - 3)


@cache
def appearances_of(seed: int) -> Appearances:
    """Return the appearances of the snapshot's nodes, drawn from *seed*, once in a process."""
    return Appearances(Taxonomy.snapshot(), seed)


def looks_of(genes: np.ndarray) -> dict[str, float]:
    """Return the genes by name, folded into their ranges."""
    folded = wave(genes / 2).tolist()
    ranges = zip(GENES.items(), folded, strict=True)
    return {gene: low + (high - low) * value for (gene, (low, high)), value in ranges}


def reach(looks: dict[str, float]) -> float:
    """Return how far, at most, the object that *looks* describes extends from its centre."""
    length, height = looks["length"], looks["height"]
    wide = length * (1 + abs(looks["taper"]))
    body = max(wide, height + max(0.0, looks["crest"]) + 0.5 * abs(looks["bend"]) * wide)
    legs = height + looks["leg_length"] + max(0.25, looks["foot"])
    head = max(length, height) + max(0.0, looks["neck"]) + 1.5 * looks["head"]
    tail = 0.8 * length + max(0.0, looks["tail"]) + 0.3
    return max(1.25 * body, 0.3 + legs, head + max(0.0, looks["snout"], looks["ears"]), tail)


def draw(canvas: np.ndarray, mask: np.ndarray, pose: Pose, looks: dict[str, float], gait: float = 0) -> None:
    """Draw the object that *looks* describes: what is behind its body, the body, the head.

    Args:
        canvas: float32 (3, h, w), 0 to 255; drawn on.
        mask: float32 (h, w); raised to the coverage of the object.
        pose: Position, scale and light.
        looks: As `looks_of` returns them.
        gait: How far the feet are shifted, in units of the object.
    """
    window = Window.on(canvas, mask, pose, reach(looks))
    part = rgb(looks["hue"] + looks["part_hue"], looks["saturation"], looks["part_value"])
    for distance in _behind(window.u, window.v, looks, gait):
        window.paint(distance, part)
    window.paint(_body(window.u, window.v, looks), _surface(window.u, window.v, looks))
    if looks["window"] > 0.03:
        window.paint(_windows(window.u, window.v, looks), part, rim=0.03)
    if looks["head"] > 0.1:
        _draw_head(window, looks, part)


def _body(u: np.ndarray, v: np.ndarray, looks: dict[str, float]) -> np.ndarray:
    """Return the distance to the body: a rounded box, bent, tapered, with a crest along its back."""
    length, height = looks["length"], looks["height"]
    bent = v - looks["bend"] * (u * u - 0.15)
    taper = 1 + looks["taper"] * np.clip(bent / height, -1, 1)
    if looks["crest"] > 0:
        spikes = 1 + looks["crest"] / height * wave(u * looks["crest_count"])
        bent = np.where(bent > 0, bent / spikes, bent)
    corner = looks["roundness"] * min(length * (1 - abs(looks["taper"])), height)
    return slab(u, bent, (length * taper, height), corner)


def _behind(u: np.ndarray, v: np.ndarray, looks: dict[str, float], gait: float) -> list[np.ndarray]:
    """Return the distances to the legs (or wheels), and to the tail."""
    length, height, parts = looks["length"], looks["height"], []
    count, width = int(looks["legs"]), looks["leg_width"]
    if count > 0:
        gap = 1.6 * length / max(1, count - 1)
        middle = (count - 1) / 2
        nearest = np.clip(np.floor(u / gap + (middle + 0.5)), 0, count - 1) - middle
        beside, foot = u - gap * nearest, -height - looks["leg_length"]
        parts.append(limb(beside, v, (0, -0.5 * height), (gait, foot), (1.3 * width, width)))
        if looks["foot"] > 0.04:
            parts.append(limb(beside, v, (gait, foot), (gait + 0.01, foot), (looks["foot"], looks["foot"])))
    if looks["tail"] > 0.05:
        x, y = unit(looks["tail_at"])
        start = (-0.8 * length, 0.3 * height * y)
        end = (start[0] - (looks["tail"] + 0.15) * x, start[1] + (looks["tail"] + 0.15) * y)
        parts.append(limb(u, v, start, end, (1.6 * looks["tail_width"], 0.7 * looks["tail_width"])))
    return parts


def _surface(u: np.ndarray, v: np.ndarray, looks: dict[str, float]) -> np.ndarray:
    """Return the colour of body and head at every pixel: stripes, checks or spots, another tone below."""
    cos, sin = unit(looks["pattern_angle"])
    count = looks["pattern_count"]
    stripes = wave((cos * u + sin * v) * count)
    across = wave((cos * v - sin * u) * count)
    kind = looks["pattern"]
    if kind < 0.4:
        level = stripes
    elif kind < 0.7:
        level = 0.5 * (stripes + across)
    else:
        level = np.minimum(stripes, across)
    drawn = np.clip((looks["pattern_width"] - level) * 5 + 0.5, 0, 1)
    ground = rgb(looks["hue"], looks["saturation"], looks["value"])
    ink = rgb(looks["hue"] + looks["pattern_hue"], looks["saturation"], looks["pattern_value"])
    colour = ground + drawn * (ink - ground)
    low = np.clip((looks["belly"] * looks["height"] - v) * 12 + 0.5, 0, 1)
    belly = rgb(looks["hue"] + looks["part_hue"] / 2, 0.5 * looks["saturation"], looks["belly_value"])
    colour += low * (belly - colour)
    return colour


def _windows(u: np.ndarray, v: np.ndarray, looks: dict[str, float]) -> np.ndarray:
    """Return the distance to a row of marks along the body: windows, buttons, spots."""
    count = int(looks["window_count"])
    gap = 1.3 * looks["length"] / count
    middle = (count - 1) / 2
    nearest = np.clip(np.floor(u / gap + (middle + 0.5)), 0, count - 1) - middle
    side = min(looks["window"], 0.42 * gap)
    return slab(u - gap * nearest, v - 0.15 * looks["height"], (side, side), 0.5 * side)


def _draw_head(window: Window, looks: dict[str, float], part: np.ndarray) -> None:
    """Paint the neck, the ears, the snout, then the head with its eye."""
    size, roundness = looks["head"], min(max(looks["head_roundness"], 0.0), 1.0)
    x, y = unit(looks["head_at"])
    neck = max(0.0, looks["neck"])
    start = (0.6 * looks["length"] * x, 0.6 * looks["height"] * y)
    centre = ((0.95 * looks["length"] + neck) * x, (0.95 * looks["height"] + neck) * y)
    u, v = window.u - centre[0], window.v - centre[1]
    surface = _surface(window.u, window.v - centre[1], looks)
    if neck > 0.05:
        window.paint(limb(window.u, window.v, start, centre, (0.6 * size, 0.45 * size)), surface)
    if looks["ears"] > 0.05:
        apart = size * looks["ears_apart"]
        tip = (1.2 * apart, 0.7 * size + looks["ears"])
        window.paint(limb(np.abs(u), v, (0.7 * apart, 0.5 * size), tip, (0.09, 0.03)), part)
    if looks["snout"] > 0.05:
        window.paint(
            limb(u, v, (0.5 * size, -0.2 * size), (size + looks["snout"], -0.25 * size), (0.5 * size, 0.05)),
            part,
        )
    window.paint(slab(u, v, (size, size), size * roundness), surface)
    if looks["eye"] > 0:
        eye = size * (0.15 + 0.3 * looks["eye"])
        spot = limb(u, v, (0.35 * size, 0.2 * size), (0.36 * size, 0.2 * size), (eye, eye))
        window.paint(spot, np.full((3, 1, 1), 245, np.float32), rim=0.5 * eye)
