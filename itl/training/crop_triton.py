"""The crop of a whole batch on a GPU in one pass: a Triton kernel; imported only where there is a GPU.

Resizing is separable: each image line is resized across, then each output line is a weighted sum of a few
resized lines. A program makes a strip of output lines of one crop. It walks down the image once and keeps the
last few resized lines, the window, in registers: an image is read once and a crop is written once.

Its speed is limited by instructions and waiting for the cache, not by memory. Hence: threads take
neighbouring pairs of values, so that they write whole words; one instruction converts a byte and weighs it
(`_line`); a side that is not shrunk takes two taps instead of three; and a thread needs few registers, so
that many can wait at once.
"""

import torch
import triton
import triton.language as tl

from itl.errors import ItlError
from itl.training.crop_cpu import SCALE, SHIFT, plain_crop

STRIP, SHORT_STRIP = 16, 7  # output lines of a program; short where the batch is small
FULL = 2**13  # programs that keep a large GPU busy with long strips
REGISTERS, MORE_REGISTERS = 72, 128  # of a thread: 28 warps share a multiprocessor, or 16
WORKING = 54  # of the first, for the weights and the window
TAPS_LIMIT = 12  # image lines, or columns, in a value: all are unrolled, and 19 compile for minutes
SECTOR_BYTES = tl.constexpr(32)  # what a GPU reads from memory at a time
BYTE = tl.constexpr(2.0**127)  # factor of the weights across; see _line
LINE = tl.constexpr(2.0**22)  # factor of the weights down: times BYTE it is 2**149


def fused_crop(
    images: torch.Tensor,
    rows: torch.Tensor,
    boxes: torch.Tensor,
    flips: torch.Tensor,
    pixels: int,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Do what ``batch_crop(images[rows], boxes, flips, pixels)`` does in one pass, on a GPU.

    Nothing waits for the GPU, the same input gives the same bits, and a CUDA graph can capture it. Where
    images are more than six times as large as crops, `plain_crop` does it, in several passes.

    Args:
        images: uint8 (N, H, W, 3), contiguous like all others, and on the same device.
        rows: int64 (B,), the image of each crop. They must be in range: to look would be to wait.
        boxes: float32 (B, 4): top, left, height, width in pixels, whole or not. They must be on the image.
        flips: bool (B,), whether a crop is mirrored.
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
        shapes = f"{tuple(images.shape)}, {len(rows)}, {tuple(boxes.shape)} and {len(flips)}"
        raise ItlError(
            f"fused_crop takes images (N, H, W, 3), B rows, boxes (B, 4) and B flips, not {shapes}"
        )
    height, width = images.shape[1:3]
    if max(most_taps(height, pixels), most_taps(width, pixels)) > TAPS_LIMIT:
        return plain_crop(images, rows, boxes, flips, pixels, dtype)
    out = torch.empty((len(rows), pixels, pixels, 3), dtype=dtype, device=images.device)
    if len(rows):
        constants, options = launch_options(len(rows), height, width, pixels)
        grid = (len(rows) * triton.cdiv(pixels, constants["STRIP"]),)
        with torch.cuda.device_of(images):  # where Triton launches
            arguments = images, rows, boxes, flips, out, height, width, *SCALE.tolist(), *SHIFT.tolist()
            crop_kernel[grid](*arguments, **constants, **options)
    return out.permute(0, 3, 1, 2)


def most_taps(side: int, pixels: int) -> int:
    """Return how many of *side* image pixels one of *pixels* can show: twice as many as it is wide.

    >>> most_taps(64, 56), most_taps(512, 56), most_taps(1, 5)
    (3, 19, 1)
    """
    return min(side, max(2, triton.cdiv(2 * side, pixels)))


def launch_options(count: int, height: int, width: int, pixels: int) -> tuple[dict[str, int], dict[str, int]]:
    """The kernel's constants for *count* crops of this size, and the options of its launch."""
    down, across = most_taps(height, pixels), most_taps(width, pixels)
    lanes = max(64, triton.next_power_of_2(pixels))
    registers = REGISTERS if 6 * (down + across + 3) <= WORKING else MORE_REGISTERS
    strip = STRIP if count * triton.cdiv(pixels, STRIP) >= FULL else SHORT_STRIP
    sectors = triton.next_power_of_2(triton.cdiv(3 * width, SECTOR_BYTES.value))
    constants = {"PIXELS": pixels, "DOWN": down, "ACROSS": across}
    constants |= {"STRIP": strip, "LANES": lanes, "SECTORS": sectors}
    # A thread makes six values of a line: three pairs. 16 warps at most: 32 have too few registers
    return constants, {"num_warps": min(lanes // 64, 16), "maxnreg": registers, "enable_fp_fusion": False}


# fmt: off
@triton.jit(do_not_specialize_on_alignment=["rows", "boxes", "flips", "out"])
def crop_kernel(
    images, rows, boxes, flips, out, height, width,
    red_scale, green_scale, blue_scale, red_shift, green_shift, blue_shift,
    PIXELS: tl.constexpr, DOWN: tl.constexpr, ACROSS: tl.constexpr,
    STRIP: tl.constexpr, LANES: tl.constexpr, SECTORS: tl.constexpr,
):
    """Make STRIP lines of one crop. A side takes DOWN or ACROSS taps, or two where the box is not shrunk.

    Nothing is compiled for an alignment of rows, boxes and flips: they are parts of an epoch's. With that of
    *out* the compiler would choose wider writes, and move values between threads for them.
    """
    STRIPS: tl.constexpr = (PIXELS + STRIP - 1) // STRIP
    TWO_DOWN: tl.constexpr = DOWN if DOWN < 2 else 2  # an image may be one pixel high
    TWO_ACROSS: tl.constexpr = ACROSS if ACROSS < 2 else 2
    at = (tl.program_id(0) // STRIPS).to(tl.int64)
    start = tl.program_id(0) % STRIPS * STRIP
    stop = tl.minimum(start + STRIP, PIXELS)
    image = images + tl.load(rows + at) * height * width * 3
    target = out + (at * PIXELS + start) * (3 * PIXELS)
    flip = tl.load(flips + at) != 0
    top, left = tl.load(boxes + 4 * at), tl.load(boxes + 4 * at + 1)
    tall, wide = tl.load(boxes + 4 * at + 2), tl.load(boxes + 4 * at + 3)
    image += _read_ahead(image, top, left, tall, wide, width, start, stop, PIXELS, SECTORS)
    given = (
        image, (top, left, tall, wide), flip, target, (height, width), (start, stop),
        (red_scale, green_scale, blue_scale), (red_shift, green_shift, blue_shift),
    )
    if tall <= PIXELS:
        if wide <= PIXELS:
            _strip(*given, PIXELS, LANES, TWO_DOWN, False, TWO_ACROSS, False)
        else:
            _strip(*given, PIXELS, LANES, TWO_DOWN, False, ACROSS, True)
    else:
        if wide <= PIXELS:
            _strip(*given, PIXELS, LANES, DOWN, True, TWO_ACROSS, False)
        else:
            _strip(*given, PIXELS, LANES, DOWN, True, ACROSS, True)


@triton.jit
def _read_ahead(
    image, top, left, tall, wide, width, start, stop, PIXELS: tl.constexpr, SECTORS: tl.constexpr
):
    """Bring what the strip shows into the cache, by one byte of each sector of it; return 0.

    A program needs one image line after the other, and would wait for memory at each. So it waits once: that
    takes a fifth less time. The compiler must not see that the number is 0, or it would not read at all.
    """
    LINES: tl.constexpr = 256 // SECTORS if SECTORS < 256 else 1
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
    image, box, flip, target, size, lines, scales, shifts, PIXELS: tl.constexpr, LANES: tl.constexpr,
    DOWN: tl.constexpr, SHRUNK_DOWN: tl.constexpr, ACROSS: tl.constexpr, SHRUNK_ACROSS: tl.constexpr,
):
    """Make the output lines from the first to the second of *lines*.

    An output line is 3 * PIXELS values: red, green, blue, red ... It is made in six parts: the even and the
    odd values of each third.
    """
    top, left, tall, wide = box
    height, width = size
    start, stop = lines
    pair = tl.arange(0, LANES // 2)
    offsets, weights, shift = (), (), ()
    for part in tl.static_range(6):
        value = tl.minimum(part // 2 * PIXELS + 2 * pair + part % 2, 3 * PIXELS - 1)
        channel, column = value % 3, value // 3
        column = tl.where(flip, PIXELS - 1 - column, column)
        first, shares = _taps(column, left, wide, width, PIXELS, ACROSS, SHRUNK_ACROSS)
        offsets += ((3 * first + channel).to(tl.uint32),)  # no registers for their signs
        weights += (_scaled(shares, _of_channel(channel, scales) * BYTE, ACROSS),)
        shift += (_of_channel(channel, shifts) / LINE,)
    next_line, shares = _taps(start, top, tall, height, PIXELS, DOWN, SHRUNK_DOWN)
    source = image + next_line * width * 3
    window = ()
    for _ in tl.static_range(DOWN):
        window += (shift,)  # of the right shape; each is replaced before it is used
    for y in range(start, stop):
        first_line, shares = _taps(y, top, tall, height, PIXELS, DOWN, SHRUNK_DOWN)
        while next_line < first_line + DOWN:
            window = window[1:] + (_line(source, offsets, weights, shift, ACROSS),)
            source += 3 * width
            next_line += 1
        shares = _scaled(shares, LINE, DOWN)
        for third in tl.static_range(3):
            even, odd = shares[0] * window[0][2 * third], shares[0] * window[0][2 * third + 1]
            for tap in tl.static_range(1, DOWN):
                even = tl.fma(shares[tap], window[tap][2 * third], even)
                odd = tl.fma(shares[tap], window[tap][2 * third + 1], odd)
            _store(target + third * PIXELS, even, odd, PIXELS, LANES)
        target += 3 * PIXELS


@triton.jit
def _taps(pixel, start, length, size, PIXELS: tl.constexpr, TAPS: tl.constexpr, SHRUNK: tl.constexpr):
    """The first of the TAPS source pixels that the output *pixel* of a side shows, and their shares.

    The shares are a triangle as wide as the shrinking asks, cut off at the box; they sum to one. If nothing
    is shrunk, the triangle reaches one pixel: linear interpolation, with its centre held on the box.
    """
    step = tl.div_rn(length, PIXELS * 1.0)
    centre = start + (pixel + 0.5) * step
    low, high = tl.floor(start).to(tl.int32), tl.ceil(start + length).to(tl.int32)
    if SHRUNK:
        reach = tl.maximum(step, 1.0)
        slope = 1 / reach
        first = tl.floor(centre - reach + 0.5).to(tl.int32)
        first = tl.minimum(tl.maximum(tl.minimum(first, high - TAPS), low), size - TAPS)
        shares, total = (), 0.0
        for tap in tl.static_range(TAPS):
            share = tl.maximum(tl.fma(tl.abs(first + 0.5 - centre + tap), -slope, 1.0), 0.0)
            on_box = (first + tap - low).to(tl.uint32) < (high - low).to(tl.uint32)  # below low it is huge
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
    """The six parts of an image line, resized across and normalised; divided by LINE.

    The bits of a byte, read as a float32, are a denormal number: the byte's value / 2**149. A GPU multiplies
    those as fast as others. So no instruction converts a byte: weights times BYTE, then times LINE, do.
    """
    parts = ()
    for part in tl.static_range(6):
        total = shift[part]
        for tap in tl.static_range(ACROSS):
            byte = tl.load(source + offsets[part] + 3 * tap)
            total = tl.fma(weights[part][tap], byte.to(tl.int32).to(tl.float32, bitcast=True), total)
        parts += (total,)
    return parts


@triton.jit
def _store(target, even, odd, PIXELS: tl.constexpr, LANES: tl.constexpr):
    """Write PIXELS values; an even number of them as pairs, which then lie on whole words.

    They are marked as the first to leave the cache, which images need: 2 to 3 % less time.
    """
    kind: tl.constexpr = target.dtype.element_ty
    if PIXELS % 2 == 0:
        lane = tl.arange(0, LANES)
        pairs = tl.reshape(tl.join(even.to(kind), odd.to(kind)), [LANES])
        words = tl.multiple_of(target + lane, kind.primitive_bitwidth // 4)  # bytes of two values
        tl.store(words, pairs, mask=lane < PIXELS, cache_modifier=".cs")
    else:
        lane = 2 * tl.arange(0, LANES // 2)
        tl.store(target + lane, even.to(kind), mask=lane < PIXELS)
        tl.store(target + lane + 1, odd.to(kind), mask=lane + 1 < PIXELS)


@triton.jit
def _of_channel(channel, values):
    return tl.where(channel == 0, values[0], tl.where(channel == 1, values[1], values[2]))


@triton.jit
def _scaled(values, factor, COUNT: tl.constexpr):
    """Each of COUNT *values* times *factor*."""
    scaled = ()
    for i in tl.static_range(COUNT):
        scaled += (values[i] * factor,)
    return scaled
