"""Shapes, paint and random numbers of the demo world, in exact arithmetic: the same bytes on every machine.

Sums, products, quotients and square roots are rounded alike on every machine. Sines, powers and matrix
products are not, so they are not used.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

EDGE_SHADE = 0.55  # of an object's outline, relative to its middle


def random_stream(*words: object) -> np.random.Generator:
    """Return a random generator that is a pure function of *words*, on every machine and in every run."""
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def wave(t: np.ndarray | float) -> np.ndarray:
    """Return the triangle wave of period 1 that is 0 at whole numbers and 1 half-way."""
    return 1 - np.abs(2 * (t - np.floor(t)) - 1)


def unit(t: float) -> tuple[float, float]:
    """Return the direction (x, y) whose half-angle has tangent *t*: 0 is right, 1 is up, -1 is down.

    >>> unit(0), unit(1)
    ((1.0, 0.0), (0.0, 1.0))
    """
    return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)


def rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """Return a colour as float32 (3, 1, 1), from 0 to 255; hue 1 is hue 0 again.

    >>> rgb(0, 1, 1).ravel().tolist()
    [255.0, 0.0, 0.0]
    """
    ramps = (abs((hue + shift) % 1.0 * 6 - 3) - 1 for shift in (0.0, 2 / 3, 1 / 3))
    tints = [1 - saturation * (1 - min(max(ramp, 0), 1)) for ramp in ramps]
    return np.array([255 * value * tint for tint in tints], np.float32)[:, None, None]


def limb(u: np.ndarray, v: np.ndarray, start: tuple, end: tuple, radii: tuple) -> np.ndarray:
    """Return the distance to a rod from *start* to *end*, with *radii* at its two ends."""
    across, up = end[0] - start[0], end[1] - start[1]
    x, y = u - start[0], v - start[1]
    along = np.clip((x * across + y * up) / (across * across + up * up), 0, 1)
    x, y = x - along * across, y - along * up
    return np.sqrt(x * x + y * y) - (radii[0] + along * (radii[1] - radii[0]))


def slab(u: np.ndarray, v: np.ndarray, half: tuple, corner: float) -> np.ndarray:
    """Return the distance to a box of half-sides *half* (numbers or arrays), corners rounded by *corner*."""
    x, y = np.abs(u) - (half[0] - corner), np.abs(v) - (half[1] - corner)
    outside_x, outside_y = np.maximum(x, 0), np.maximum(y, 0)
    outside = np.sqrt(outside_x * outside_x + outside_y * outside_y)
    return outside + np.minimum(np.maximum(x, y), 0) - corner


@dataclass(frozen=True)
class Pose:
    """Where an object is in its image, and in what light."""

    x: float  # of its centre, in pixels
    y: float
    scale: float  # pixels per unit of the object, which is about 2 units wide
    turn: float = 0.0  # tangent of half its angle, counter-clockwise
    flip: bool = False
    squeeze: float = 1.0  # fraction of its length that is visible
    light: tuple[float, float, float] = (1.0, 0.0, 0.0)  # brightness, and its slope to the right and up

    def at(self, x: float, y: float) -> "Pose":
        """Return the same pose at another position."""
        return replace(self, x=x, y=y)


@dataclass(frozen=True)
class Window:
    """The part of a canvas that an object can touch, with the object's own coordinates for its pixels."""

    pixels: np.ndarray  # view of the canvas, float32 (3, h, w), 0 to 255
    mask: np.ndarray  # view of the object's mask, float32 (h, w): its coverage
    u: np.ndarray  # (h, w), to the object's right
    v: np.ndarray  # (h, w), up
    scale: float
    light: np.ndarray | float  # brightness of a lit surface

    @classmethod
    def on(cls, canvas: np.ndarray, mask: np.ndarray, pose: Pose, reach: float) -> "Window":
        """Return the window of an object that extends at most *reach* units from its centre."""
        height, width = mask.shape
        left, right = _span(pose.x, reach * pose.scale, width)
        top, bottom = _span(pose.y, reach * pose.scale, height)
        x = (np.arange(left, right, dtype=np.float32) + (0.5 - pose.x)) / pose.scale
        y = (pose.y - 0.5 - np.arange(top, bottom, dtype=np.float32))[:, None] / pose.scale
        cos, sin = unit(pose.turn)
        u, v = cos * x + sin * y, cos * y - sin * x
        brightness, right_slope, up_slope = pose.light
        light = brightness + right_slope * x + up_slope * y
        u = u * ((-1 if pose.flip else 1) / pose.squeeze)
        return cls(canvas[:, top:bottom, left:right], mask[top:bottom, left:right], u, v, pose.scale, light)

    def paint(self, distance: np.ndarray, colour: np.ndarray, rim: float = 0.07) -> None:
        """Cover the pixels where *distance* is negative.

        Args:
            distance: To the edge of the shape, (h, w), in units of the object.
            colour: (3, 1, 1) or (3, h, w).
            rim: Width of the dark rim, in units of the object.
        """
        cover = np.clip(0.5 - distance * self.scale, 0, 1)
        shade = np.clip(EDGE_SHADE - distance * ((1 - EDGE_SHADE) / rim), EDGE_SHADE, 1) * self.light
        np.maximum(self.mask, cover, out=self.mask)
        painted = colour * shade
        painted -= self.pixels
        painted *= cover
        self.pixels[...] += painted


def _span(centre: float, reach: float, size: int) -> tuple[int, int]:
    """Return the pixels from *centre* - *reach* to *centre* + *reach*, inside the image."""
    return max(0, min(size, int(centre - reach))), max(0, min(size, int(centre + reach + 1)))


def tight_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """Return the tight 1-based inclusive (xmin, ymin, xmax, ymax) of a boolean *mask*; None if it is empty.

    >>> tight_box(np.array([[0, 0, 0], [0, 1, 1]], bool))
    (2, 2, 3, 2)
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return int(columns[0]) + 1, int(rows[0]) + 1, int(columns[-1]) + 1, int(rows[-1]) + 1


def to_image(canvas: np.ndarray, noise: float, random: np.random.Generator) -> np.ndarray:
    """Return the canvas as an image, uint8 (h, w, 3), with grey noise of ± *noise* levels."""
    grain = random.random(canvas.shape[1:], dtype=np.float32)
    canvas = canvas + (2 * noise * grain - (noise - 0.5))
    return np.ascontiguousarray(np.clip(canvas, 0, 255).astype(np.uint8).transpose(1, 2, 0))
