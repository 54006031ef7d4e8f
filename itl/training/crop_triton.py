"""The crop of a whole batch on a GPU in one pass: a Triton kernel; imported only where there is a GPU.

Resizing is separable: each image line is resized across, then each output line is a weighted sum of a few
resized lines. A program makes a strip of lines of one crop and walks down the image once, with the last few
resized lines in a window in registers, so that an image is read once and a crop written once.

What bounds it is the number of instructions, not memory: an output value takes about a dozen loads and
multiplications, where the bytes moved leave time for about twenty. So neighbouring threads hold neighbouring
values of the interleaved line (few memory transactions), a byte is converted and weighted by one instruction
(`_line`), and boxes that are enlarged, most of them, take two taps a side instead of three.
"""

import torch
import triton
import triton.language as tl

from itl import ItlError
from itl.training.crop_cpu import MEAN, STD

STRIP, SHORT_STRIP = 16, 8              # output lines a program; short where the batch is small
FULL = 2**13                            # programs that keep a large GPU busy with long strips
THREAD_REGISTERS = 110                  # for weights and the window of one thread, of the 128 it may have
SECTOR_BYTES = 32                       # what a GPU reads from memory at a time
BYTE, LINE = 2.0**127, 2.0**22          # together 2**149: the bits of a byte are a float32 of byte / 2**149


def fused_crop(
    images: torch.Tensor,
    rows: torch.Tensor,
    boxes: torch.Tensor,
    flips: torch.Tensor,
    pixels: int,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Do what ``batch_crop(images[rows], boxes, flips, pixels)`` does in one pass, on a GPU.

    Nothing waits for the GPU, and the same input gives the same bits; it can be part of a CUDA graph.

    Args:
        images: uint8 (N, H, W, 3), contiguous, as are the others; all on one device.
        rows: int64 (B,), which image each crop shows. Out of range is undefined: to look would be to wait.
        boxes: float32 (B, 4), top, left, height and width in pixels, on the image, whole or not.
        flips: bool (B,), whether the crop is mirrored.
        pixels: side of the crops.
        dtype: float32 or bfloat16.

    Returns:
        Normalised crops of *dtype*, (B, 3, pixels, pixels), channels_last.

    Raises:
        ItlError: for another dtype, layout or shape.
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
        height, width = images.shape[1:3]
        fixed, options = _layout(len(rows), height, width, pixels)
        grid = (len(rows) * triton.cdiv(pixels, fixed["STRIP"]),)
        scale, shift = [1 / (255 * std) for std in STD], [-m / s for m, s in zip(MEAN, STD, strict=True)]
        with torch.cuda.device_of(images):  # where Triton launches
            arguments = images, rows, boxes, flips, out, height, width, *scale, *shift
            _crop[grid](*arguments, **fixed, **options)
    return out.permute(0, 3, 1, 2)


def _layout(count: int, height: int, width: int, pixels: int) -> tuple[dict[str, int], dict[str, int]]:
    """Constants of the kernel for crops of this size, and options of its launch."""
    down, across = (min(side, max(2, triton.cdiv(2 * side, pixels))) for side in (height, width))
    lanes = max(32, triton.next_power_of_2(pixels))
    warps = 1  # all threads compute the weights of a line: the fewer warps, the less of that
    while warps < lanes // 32 and 3 * lanes // (32 * warps) * (down + across + 3) > THREAD_REGISTERS:
        warps *= 2
    strip = STRIP if count * triton.cdiv(pixels, STRIP) >= FULL else SHORT_STRIP
    sectors = triton.next_power_of_2(triton.cdiv(3 * width, SECTOR_BYTES))
    fixed = {"PIXELS": pixels, "DOWN": down, "ACROSS": across, "LANES": lanes, "STRIP": strip}
    fixed |= {"SECTORS": sectors, "SECTOR_BYTES": SECTOR_BYTES, "BYTE": BYTE, "LINE": LINE}
    return fixed, {"num_warps": warps, "maxnreg": 128, "enable_fp_fusion": True}


@triton.jit(do_not_specialize_on_alignment=["rows", "boxes", "flips", "out"])  # parts of an epoch's: one kernel
def _crop(
    images, rows, boxes, flips, out, height, width,
    red_scale, green_scale, blue_scale, red_shift, green_shift, blue_shift,
    PIXELS: tl.constexpr, DOWN: tl.constexpr, ACROSS: tl.constexpr, LANES: tl.constexpr, STRIP: tl.constexpr,
    SECTORS: tl.constexpr, SECTOR_BYTES: tl.constexpr, BYTE: tl.constexpr, LINE: tl.constexpr,
):  # fmt: skip
    """Make STRIP lines of one crop; a box that is not shrunk takes two taps a side, else DOWN and ACROSS."""
    STRIPS: tl.constexpr = (PIXELS + STRIP - 1) // STRIP
    TWO_DOWN: tl.constexpr = DOWN if DOWN < 2 else 2
    TWO_ACROSS: tl.constexpr = ACROSS if ACROSS < 2 else 2
    at = (tl.program_id(0) // STRIPS).to(tl.int64)
    start = tl.program_id(0) % STRIPS * STRIP
    stop = tl.minimum(start + STRIP, PIXELS)
    image = images + tl.load(rows + at) * height * width * 3
    target = out + (at * PIXELS + start) * (3 * PIXELS)
    flip = tl.load(flips + at) != 0
    top, left = tl.load(boxes + 4 * at), tl.load(boxes + 4 * at + 1)
    tall, wide = tl.load(boxes + 4 * at + 2), tl.load(boxes + 4 * at + 3)
    image += _read_ahead(image, top, left, tall, wide, width, start, stop, PIXELS, SECTORS, SECTOR_BYTES)
    scales, shifts = (red_scale, green_scale, blue_scale), (red_shift, green_shift, blue_shift)
    if tl.maximum(tall, wide) <= PIXELS:
        _strip(
            image, top, left, tall, wide, flip, target, height, width, start, stop, scales, shifts,
            PIXELS, TWO_DOWN, TWO_ACROSS, False, LANES, BYTE, LINE,
        )  # fmt: skip
    else:
        _strip(
            image, top, left, tall, wide, flip, target, height, width, start, stop, scales, shifts,
            PIXELS, DOWN, ACROSS, True, LANES, BYTE, LINE,
        )  # fmt: skip


@triton.jit
def _read_ahead(
    image, top, left, tall, wide, width, start, stop,
    PIXELS: tl.constexpr, SECTORS: tl.constexpr, SECTOR_BYTES: tl.constexpr,
):  # fmt: skip
    """Bring what the strip shows into the cache, with one byte of each sector; return 0.

    A program needs one image line after the other and would wait for memory at each; so it waits once. The
    compiler must not see that it is 0, or it would leave out the reading.
    """
    LINES: tl.constexpr = 512 // SECTORS if SECTORS < 512 else 1
    step = tall / PIXELS
    reach = tl.maximum(step, 1.0)
    line = tl.maximum(tl.floor(top + (start + 0.5) * step - reach), tl.floor(top)).to(tl.int32)
    last = tl.minimum(tl.ceil(top + (stop - 0.5) * step + reach), tl.ceil(top + tall)).to(tl.int32) - 1
    byte = 3 * tl.floor(left).to(tl.int32) + SECTOR_BYTES * tl.arange(0, SECTORS)
    byte = tl.minimum(byte, 3 * tl.ceil(left + wide).to(tl.int32) - 1)
    seen = tl.zeros([LINES, SECTORS], tl.uint8)
    while line <= last:
        lines = tl.minimum(line + tl.arange(0, LINES), last)
        seen |= tl.load(image + 3 * width * lines[:, None] + byte[None, :])
        line += LINES
    return (tl.max(seen.to(tl.int32)) > 255).to(tl.int32)


@triton.jit
def _strip(
    image, top, left, tall, wide, flip, target, height, width, start, stop, scales, shifts,
    PIXELS: tl.constexpr, DOWN: tl.constexpr, ACROSS: tl.constexpr, SHRUNK: tl.constexpr,
    LANES: tl.constexpr, BYTE: tl.constexpr, LINE: tl.constexpr,
):  # fmt: skip
    """Make the output lines from *start* to *stop*.

    An output line is 3 * PIXELS values, red, green, blue, red ...; each of LANES lanes makes one of each third.
    """
    lane = tl.arange(0, LANES)
    offsets, weights, shift = (), (), ()
    for third in tl.static_range(3):
        value = tl.minimum(third * PIXELS + lane, 3 * PIXELS - 1)
        channel, column = value % 3, value // 3
        column = tl.where(flip, PIXELS - 1 - column, column)
        first, shares = _taps(column, left, wide, width, PIXELS, ACROSS, SHRUNK)
        offsets += (3 * first + channel,)
        weights += (_scaled(shares, _of_channel(channel, scales) * BYTE, ACROSS),)
        shift += (_of_channel(channel, shifts) / LINE,)
    next_line, shares = _taps(start, top, tall, height, PIXELS, DOWN, SHRUNK)
    source = image + next_line * width * 3
    window = ()
    for _ in tl.static_range(DOWN):
        window += (_line(source, offsets, weights, shift, ACROSS),)
        source += 3 * width
        next_line += 1
    for y in range(start, stop):
        first_line, down = _taps(y, top, tall, height, PIXELS, DOWN, SHRUNK)
        while next_line < first_line + DOWN:
            window = window[1:] + (_line(source, offsets, weights, shift, ACROSS),)
            source += 3 * width
            next_line += 1
        for third in tl.static_range(3):
            total = down[0] * LINE * window[0][third]
            for tap in tl.static_range(1, DOWN):
                total += down[tap] * LINE * window[tap][third]
            tl.store(target + third * PIXELS + lane, total.to(target.dtype.element_ty), mask=lane < PIXELS)
        target += 3 * PIXELS


@triton.jit
def _taps(place, start, length, size, PIXELS: tl.constexpr, TAPS: tl.constexpr, SHRUNK: tl.constexpr):
    """Which source pixels an output pixel at *place* of a side shows: the first, and the shares of TAPS.

    The shares are a triangle as wide as the shrinking asks, cut off at the box, and sum to one. Enlarged, the
    triangle reaches one pixel: that is linear interpolation, and its cutting off is holding the place on the box.
    """
    centre = start + (place + 0.5) * (length / PIXELS)
    low, high = tl.floor(start).to(tl.int32), tl.ceil(start + length).to(tl.int32)
    if SHRUNK:
        reach = tl.maximum(length / PIXELS, 1.0)
        slope = 1 / reach
        first = tl.floor(centre - reach + 0.5).to(tl.int32)
        first = tl.minimum(tl.maximum(tl.minimum(first, high - TAPS), low), size - TAPS)
        shares, total = (), 0.0
        for tap in tl.static_range(TAPS):
            share = tl.maximum(1 - tl.abs(first + 0.5 - centre + tap) * slope, 0.0)
            on_box = (first + tap - low).to(tl.uint32) < (high - low).to(tl.uint32)  # unsigned: not below low
            share = tl.where(on_box, share, 0.0)
            shares += (share,)
            total += share
        shares = _scaled(shares, 1 / total, TAPS)
    else:
        centre = tl.minimum(tl.maximum(centre - 0.5, low), high - 1)
        first = tl.minimum(centre.to(tl.int32), size - TAPS)
        shares = (1 - (centre - first),)
        if TAPS == 2:
            shares += (centre - first,)
    return first, shares


@triton.jit
def _line(source, offsets, weights, shift, ACROSS: tl.constexpr):
    """One image line resized across, normalised, and divided by LINE: its three thirds.

    The bits of a byte, read as a float32, are its value / 2**149, a denormal number, and a GPU multiplies
    those at full speed. So the weights, times 2**127, convert the byte too.
    """
    thirds = ()
    for third in tl.static_range(3):
        total = shift[third]
        for tap in tl.static_range(ACROSS):
            byte = tl.load(source + offsets[third] + 3 * tap)
            total += weights[third][tap] * byte.to(tl.int32).to(tl.float32, bitcast=True)
        thirds += (total,)
    return thirds


@triton.jit
def _of_channel(channel, values):
    return tl.where(channel == 0, values[0], tl.where(channel == 1, values[1], values[2]))


@triton.jit
def _scaled(values, factor, COUNT: tl.constexpr):
    """Each of COUNT values times *factor*."""
    scaled = ()
    for i in tl.static_range(COUNT):
        scaled += (values[i] * factor,)
    return scaled
