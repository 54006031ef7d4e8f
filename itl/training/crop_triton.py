"""The crop of a whole batch on a GPU in one pass: a Triton kernel; imported only where there is a GPU."""

import torch
import triton
import triton.language as tl

from itl import ItlError
from itl.training.crop_cpu import MEAN, STD

LINES, COLUMNS = 16, 16                 # of the output that one warp makes: 8 pixels a thread, whole at 112


def fused_crop(
    images: torch.Tensor, rows: torch.Tensor, boxes: torch.Tensor, flips: torch.Tensor, pixels: int,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Do what ``batch_crop(images[rows], boxes, flips, pixels)`` does in one pass, on a GPU.

    images uint8 (N, H, W, 3), rows int64 (B,), boxes float32 (B, 4), flips bool (B,): contiguous, on one
    device. Returns *dtype*, float32 or bfloat16, (B, 3, pixels, pixels), channels_last. Raises ItlError for
    what has another dtype, layout or shape. Rows and boxes must be on the images: to look would be to wait.
    """
    wanted = {"images": torch.uint8, "rows": torch.int64, "boxes": torch.float32, "flips": torch.bool}
    for (name, kind), part in zip(wanted.items(), (images, rows, boxes, flips), strict=True):
        if part.dtype != kind or not part.is_contiguous():
            raise ItlError(f"fused_crop takes {name} as contiguous {kind}, not {part.dtype}, {part.stride()}")
    if images.ndim != 4 or images.shape[3] != 3 or boxes.shape != (len(rows), 4) or len(flips) != len(rows):
        found = f"{tuple(images.shape)}, {len(rows)}, {tuple(boxes.shape)} and {len(flips)}"
        raise ItlError(f"fused_crop takes images (N, H, W, 3), B rows, boxes (B, 4) and B flips, not {found}")
    out = torch.empty((len(rows), pixels, pixels, 3), dtype=dtype, device=images.device)
    if len(rows):
        grid = len(rows), triton.cdiv(pixels, LINES), triton.cdiv(pixels, COLUMNS)
        height, width = images.shape[1:3]
        scale, shift = [1 / (255 * each) for each in STD], [-m / s for m, s in zip(MEAN, STD, strict=True)]
        with torch.cuda.device_of(images):              # where Triton launches
            given = images, rows, boxes, flips, out, height, width, *scale, *shift
            _crop[grid](*given, pixels, LINES, COLUMNS, num_warps=1)
    return out.permute(0, 3, 1, 2)


@triton.jit
def _taps(place, start, length, pixels):
    """Of each output line: its first source line and how far off its centre that is; how many, and 1 / reach.

    All of them lie on the box, so that nothing need be masked; beyond the reach the triangle is zero.
    """
    step = length / pixels
    reach = tl.maximum(step, 1.0)
    centre = start + (place + 0.5) * step
    low, high = tl.floor(start).to(tl.int32), tl.ceil(start + length).to(tl.int32)
    count = tl.minimum(tl.ceil(2 * reach).to(tl.int32), high - low)
    first = tl.floor(centre - reach - 0.5).to(tl.int32) + 1
    first = tl.maximum(tl.minimum(first, high - count), low)
    return first, first + 0.5 - centre, count, 1 / reach


@triton.jit(do_not_specialize_on_alignment=["rows", "boxes", "flips"])      # parts of an epoch's: one kernel
def _crop(
    images, rows, boxes, flips, out, height, width,
    red_scale, green_scale, blue_scale, red_shift, green_shift, blue_shift,
    PIXELS: tl.constexpr, LINES: tl.constexpr, COLUMNS: tl.constexpr,
):
    """Make LINES x COLUMNS of the output of one image: every output pixel sums over its few source pixels."""
    at = tl.program_id(0).to(tl.int64)
    line = tl.program_id(1) * LINES + tl.arange(0, LINES)
    column = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    seen = tl.where(tl.load(flips + at) != 0, PIXELS - 1 - column, column)
    box = boxes + 4 * at
    top, down_off, tall, down_narrow = _taps(line, tl.load(box), tl.load(box + 2), PIXELS)
    left, across_off, wide, across_narrow = _taps(seen, tl.load(box + 1), tl.load(box + 3), PIXELS)
    image = images + tl.load(rows + at) * height * width * 3
    corner = (top * width)[:, None] + left[None, :]
    red = tl.zeros([LINES, COLUMNS], tl.float32)
    green, blue = red, red
    down_total, across_total = tl.zeros([LINES], tl.float32), tl.zeros([COLUMNS], tl.float32)
    for y in range(tall):
        down = tl.maximum(1 - tl.abs(down_off + y) * down_narrow, 0.0)
        down_total += down
        across_total = tl.zeros([COLUMNS], tl.float32)
        for x in range(wide):
            across = tl.maximum(1 - tl.abs(across_off + x) * across_narrow, 0.0)
            across_total += across
            weight = down[:, None] * across[None, :]
            source = image + 3 * (corner + (y * width + x))
            red += weight * tl.load(source).to(tl.float32)
            green += weight * tl.load(source + 1).to(tl.float32)
            blue += weight * tl.load(source + 2).to(tl.float32)
    whole = 1 / (down_total[:, None] * across_total[None, :])
    target = out + at * (3 * PIXELS * PIXELS) + 3 * (line[:, None] * PIXELS + column[None, :])
    inside = (line[:, None] < PIXELS) & (column[None, :] < PIXELS)
    kind = out.dtype.element_ty
    tl.store(target, (red * whole * red_scale + red_shift).to(kind), mask=inside)
    tl.store(target + 1, (green * whole * green_scale + green_shift).to(kind), mask=inside)
    tl.store(target + 2, (blue * whole * blue_scale + blue_shift).to(kind), mask=inside)
