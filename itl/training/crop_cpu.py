"""Crop, resize, flip and normalise a batch of uint8 images in one pass: in torch, and in numba for a CPU."""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import numba
import numpy as np
import torch

from itl.errors import ItlError
from itl.specs import IMAGENET_MEAN, IMAGENET_STD

MEAN, STD = IMAGENET_MEAN, IMAGENET_STD  # as most published nets expect
# Factor and summand (3,) from grey levels, 0 to 255, to normalised values
SCALE = (1 / (255 * np.array(STD))).astype(np.float32)
SHIFT = (-np.array(MEAN) / np.array(STD)).astype(np.float32)
IMAGES_PER_TASK = 32  # that a thread crops at once: 0.3 ms of work
PLAIN_BYTES = 2**28  # of images as float32, cropped at once by plain torch


def compiled(function: Callable) -> Callable:
    """Compile *function* with numba, and keep the code for other processes where a folder can be written.

    numba raises RuntimeError where it can keep it neither beside this file nor in the user's cache.
    """
    compile_it = functools.partial(numba.njit, nogil=True, fastmath=True, boundscheck=False)
    try:
        return compile_it(cache=True)(function)
    except RuntimeError:
        return compile_it()(function)


def batch_crop(images: torch.Tensor, boxes: torch.Tensor, flips: torch.Tensor, pixels: int) -> torch.Tensor:
    """Crop a box from each image, resize it with antialiasing to a square, flip and normalise.

    As torchvision's antialiased ``resized_crop``: a triangle filter as wide as the scale, cut off at the box.

    Args:
        images: uint8 (B, H, W, 3).
        boxes: (B, 4): top, left, height and width, in pixels, whole or not.
        flips: Which crops to mirror, bool (B,).
        pixels: Side of the result: float32 (B, 3, pixels, pixels), channels_last, on the device of *images*.

    Raises:
        ItlError: on the CPU, a box is not inside its image.
    """
    if images.device.type == "cpu":  # checking on a GPU would wait for it
        _refuse_boxes_outside(boxes.numpy(), images.shape[1:3])
    top, left, height, width = boxes.to(images.device, torch.float32).unbind(1)
    rows = _weights(top, height, images.shape[1], pixels)  # (B, pixels, H)
    columns = _weights(left, width, images.shape[2], pixels)  # (B, pixels, W)
    flips = flips.to(images.device)[:, None, None]
    columns = torch.where(flips, columns.flip(1), columns)
    with torch.autocast(images.device.type, enabled=False):  # a batch may be asked for inside a forward pass
        crops = torch.einsum("bph,bhwc->bpwc", rows, images.float())
        crops = torch.einsum("bqw,bpwc->bpqc", columns, crops)
    scale, shift = normalisation_on(crops.device)
    return torch.addcmul(shift, crops, scale).contiguous().permute(0, 3, 1, 2)


def plain_crop(
    images: torch.Tensor,
    rows: torch.Tensor,
    boxes: torch.Tensor,
    flips: torch.Tensor,
    pixels: int,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Do what `crop_triton.fused_crop` does by `batch_crop`, a few images at once to save memory."""
    count = max(1, PLAIN_BYTES // (4 * images.shape[1:].numel()))
    parts = zip(*(part.split(count) for part in (rows, boxes, flips)), strict=True)
    crops = [batch_crop(images[row], box, flip, pixels).to(dtype) for row, box, flip in parts]
    return torch.cat(crops)


def normalised(images: torch.Tensor) -> torch.Tensor:
    """Convert uint8 images (B, 3, H, W) to the float32 values that nets expect."""
    scale, shift = (values[:, None, None] for values in normalisation_on(images.device))
    return torch.addcmul(shift, images.float(), scale)


def _weights(start: torch.Tensor, length: torch.Tensor, size: int, pixels: int) -> torch.Tensor:
    """Return the weights (B, pixels, size) of *size* pixels in each of *pixels*; rows sum to one."""
    step = (length / pixels)[:, None, None]
    centre = start[:, None, None] + (torch.arange(pixels, device=start.device)[:, None] + 0.5) * step
    pixel = torch.arange(size, device=start.device)
    weights = (1 - (pixel + 0.5 - centre).abs() / step.clamp(min=1)).clamp(min=0)
    inside = (pixel >= start.floor()[:, None, None]) & (pixel < (start + length).ceil()[:, None, None])
    weights = weights * inside
    return weights / weights.sum(2, keepdim=True)


@functools.cache
def normalisation_on(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return SCALE and SHIFT on *device*, copied only once: a copy from the host waits for the device."""
    return torch.from_numpy(SCALE).to(device), torch.from_numpy(SHIFT).to(device)


def gather_crop(
    images: np.ndarray,
    rows: np.ndarray,
    boxes: np.ndarray,
    flips: np.ndarray,
    out: np.ndarray,
    threads: Executor | None = None,
) -> torch.Tensor:
    """Do what ``batch_crop(images[rows], ...)`` does, on the CPU in one pass; *images* may be a memory map.

    The crops fill *out*, float32 (B, pixels, pixels, 3); returned is a view of it, (B, 3, pixels, pixels).
    *threads* share the batch; their number changes no value. They are not numba's, which end the process when
    two Python threads call them at once, or after a fork. ItlError if a row is none of *images*, or a box is
    not inside its image.
    """
    assert (out.dtype, len(out)) == (np.float32, len(rows))  # the kernel writes there unchecked
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(images):
        raise ItlError(
            f"rows {rows.min()} to {rows.max()} asked of {len(images)} images; take 0 to {len(images) - 1}"
        )
    _refuse_boxes_outside(boxes, images.shape[1:3])
    images = images.view(np.ndarray)
    images.flags.writeable = False  # of this view: maps and arrays share one compiled kernel
    boxes = np.ascontiguousarray(boxes, np.float32)
    scale, shift = (np.tile(values, images.shape[2]) for values in (SCALE, SHIFT))
    parts = [slice(start, start + IMAGES_PER_TASK) for start in range(0, len(rows), IMAGES_PER_TASK)]

    def crop(part: slice) -> None:
        _crop(images, rows[part], boxes[part], flips[part], scale, shift, out[part])

    list(threads.map(crop, parts) if threads else map(crop, parts))  # waits, and raises what a thread raised
    return torch.from_numpy(out).permute(0, 3, 1, 2)


def _refuse_boxes_outside(boxes: np.ndarray, size: Sequence[int]) -> None:
    """Raise ItlError for boxes that are not on an image of *size*: the kernel would read other memory."""
    start, length = boxes[:, :2], boxes[:, 2:]
    outside = (start < 0) | (length <= 0) | (start + length > np.array(size, np.float32))
    if outside.any():
        box = boxes[outside.any(1)][0].tolist()
        raise ItlError(f"box {box} is not on a {size[0]} x {size[1]} image; take top, left, height, width")


@compiled
def _taps(start, length, size, weights, first, count):
    """Fill *weights* (pixels, taps), *first* and *count* with the triangle filter's taps along one side."""
    pixels = len(first)
    step = length / pixels
    reach = max(step, np.float32(1))
    low, high = max(0, int(np.floor(start))), min(size, int(np.ceil(start + length)))
    for pixel in range(pixels):
        centre = start + (pixel + np.float32(0.5)) * step
        a = max(low, int(np.floor(centre - reach + np.float32(0.5))))
        b = min(high, int(np.floor(centre + reach + np.float32(0.5))))
        total = np.float32(0)
        for j in range(a, b):
            weight = max(np.float32(0), 1 - abs(j + np.float32(0.5) - centre) / reach)
            weights[pixel, j - a] = weight
            total += weight
        for j in range(b - a):
            weights[pixel, j] /= total
        first[pixel], count[pixel] = a, b - a


@compiled
def _crop(images, rows, boxes, flips, scale, shift, out):
    """Crop images[rows] into *out*: for each line a vertical pass over whole rows, then a horizontal one."""
    height, width, pixels = images.shape[1], images.shape[2], out.shape[1]
    most = 2 * max(height, width) // pixels + 4
    down, across = np.empty((pixels, most), np.float32), np.empty((pixels, most), np.float32)
    top, many = np.empty(pixels, np.int64), np.empty(pixels, np.int64)
    left, wide = np.empty(pixels, np.int64), np.empty(pixels, np.int64)
    line = np.empty(3 * width, np.float32)
    for b in range(len(rows)):
        image = images[rows[b]].reshape(height, 3 * width)
        _taps(boxes[b, 0], boxes[b, 2], height, down, top, many)
        if flips[b]:
            _taps(boxes[b, 1], boxes[b, 3], width, across[::-1], left[::-1], wide[::-1])
        else:
            _taps(boxes[b, 1], boxes[b, 3], width, across, left, wide)
        start = 3 * min(left[0], left[pixels - 1])
        stop = 3 * max(left[0] + wide[0], left[pixels - 1] + wide[pixels - 1])
        shown = image[:, start:stop]
        for y in range(pixels):
            _blend_rows(shown[top[y] : top[y] + many[y]], down[y], scale, shift, line[start:stop])
            _blend_columns(line, across, left, wide, out[b, y])


# A negative index would count from the end, and the check for that keeps a loop from being vectorised. So the
# loops below run over whole slices, and indices are unsigned.


@compiled
def _blend_rows(rows, weights, scale, shift, line):
    """Fill *line* with the weighted sum of *rows*, normalised."""
    line[:] = 0
    for tap in range(len(rows)):
        weight, row = weights[tap], rows[tap]
        for x in range(len(line)):
            line[x] += weight * np.float32(row[x])
    for x in range(len(line)):
        line[x] = line[x] * scale[x] + shift[x]


@compiled
def _blend_columns(line, weights, first, count, out):
    """Fill *out* (pixels, 3) with weighted sums of the pixels of *line*."""
    for x in range(len(out)):
        red, green, blue = np.float32(0), np.float32(0), np.float32(0)
        for tap in range(count[x]):
            weight, at = weights[x, tap], np.uintp(3 * (first[x] + tap))
            red += weight * line[at]
            green += weight * line[at + np.uintp(1)]
            blue += weight * line[at + np.uintp(2)]
        out[x, 0], out[x, 1], out[x, 2] = red, green, blue
