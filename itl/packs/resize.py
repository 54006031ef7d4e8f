"""Resizing one uint8 image, antialiased: torchvision's pixels to the last bit, in about half its time.

Both passes sum in integers, as torch's kernel does: across into lines of bytes, then down. LLVM finds vectors
for the way down by itself. Across, where neighbours lie three bytes apart, they are written out: four pixels
at a time, of each of which one load of 16 bytes brings four taps.
"""

import functools
from collections.abc import Iterable, Iterator

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from itl import ItlError

BYTE, WORD = ir.IntType(8), ir.IntType(32)
TAPS = 4                                        # that one load of 16 bytes brings, with a byte to spare
PART = ir.VectorType(BYTE, 16)
LANES = ir.VectorType(WORD, 16)                 # four pixels with a fourth colour that nobody reads
BESIDE = [4 * pixel + colour for pixel in range(4) for colour in range(3)] + [3, 7, 11, 15]


def resized(pixels: np.ndarray, shape: tuple[int, int], window: tuple[int, int, int, int]) -> np.ndarray:
    """Bring *pixels*, uint8 (H, W, 3), to *shape* (height, width), and cut the *window* out of it.

    The window is top, left, height, width. What ``interpolate`` of torch gives with mode bilinear and
    antialias: a triangle as wide as the shrinking asks, weights of 16 bits, bytes between the two passes.
    Raises ItlError for other arrays, and for a window that is not on the image: the kernel reads memory.

    >>> resized(np.arange(12, dtype=np.uint8).reshape(1, 4, 3), (1, 2), (0, 0, 1, 2)).tolist()
    [[[2, 3, 4], [7, 8, 9]]]
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ItlError(f"resized takes uint8 (H, W, 3), not {pixels.dtype} {pixels.shape}")
    top, left, height, width = window
    if not (0 <= top < top + height <= shape[0] and 0 <= left < left + width <= shape[1]):
        raise ItlError(f"window {window} is not on an image of {shape}; take top, left, height, width")
    pixels = np.ascontiguousarray(pixels).view()
    pixels.flags.writeable = False              # of this view: one compiled kernel for all arrays
    out = np.empty((height, width, 3), np.uint8)
    _resize(pixels, _taps(pixels.shape[0], shape[0]), _taps(pixels.shape[1], shape[1]), top, left, out)
    return out


@functools.lru_cache(64)                        # most images of a source are of a few sizes
@numba.njit(nogil=True, cache=True, boundscheck=False)
def _taps(size, pixels):
    """First source pixel, number and weights of what each of *pixels* takes of *size*; the weights' bits."""
    scale = size / pixels
    reach = max(scale, 1.0)
    most = (2 * int(np.ceil(reach)) + 1 + TAPS - 1) // TAPS * TAPS
    exact = np.zeros((pixels, most))
    first, count = np.empty(pixels, np.int64), np.empty(pixels, np.int64)
    for each in range(pixels):
        centre = scale * (each + 0.5)
        a, b = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), size)
        for j in range(a, b):
            exact[each, j - a] = max(0.0, 1 - abs((j - centre + 0.5) / reach))
        exact[each] /= exact[each].sum()
        first[each], count[each] = a, b - a
    bits, largest = 0, exact.max()
    while bits < 22 and int(0.5 + largest * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    return first, count, (0.5 + exact * (1 << bits)).astype(np.int32), bits


@numba.njit(nogil=True, cache=True, boundscheck=False)
def _resize(image, down, across, top, left, out):
    """Fill *out*, whose corner is *top*, *left* of the resized *image*."""
    row, count, weights, bits = down
    height, width = out.shape[:2]
    low, high = row[top], row[top + height - 1] + count[top + height - 1]
    lines = np.empty((high - low, 3 * width + 16), np.uint8)           # stores of 16 go beyond the end
    _across(image[low:high], across, left, width, lines)
    sums = np.empty(3 * width, np.int32)
    for y in range(height):
        to, last = out[y].reshape(-1), row[top + y] + count[top + y] - 1 - low
        sums[:] = 1 << (bits - 1)
        for tap in range(0, count[top + y], 2):
            at = row[top + y] + tap - low
            one, other = lines[at], lines[min(at + 1, last)]
            weight, beside = weights[top + y, tap], weights[top + y, tap + 1]
            for k in range(3 * width):
                sums[k] += weight * np.int32(one[k]) + beside * np.int32(other[k])
        for k in range(3 * width):
            to[k] = min(sums[k] >> np.int32(bits), np.int32(255))


@numba.njit(nogil=True, cache=True, boundscheck=False)
def _across(image, taps, left, width, lines):
    """Resize each line of *image* to *width* pixels of *lines*, from *left* of the resized one on."""
    column, count, weights, bits = taps
    quads, loads = (width + 3) // 4, (count.max() + TAPS - 1) // TAPS
    starts = np.zeros((quads, 4), np.int64)                             # bytes; four pixels at a time
    table = np.zeros((quads, TAPS * loads, 4, 4), np.int32)             # a weight for each colour
    for x in range(width):
        starts[x // 4, x % 4] = 3 * column[left + x]
        for tap in range(TAPS * loads):
            table[x // 4, tap, x % 4] = weights[left + x, tap]
    span = 3 * image.shape[1]
    read = starts.max() + 3 * TAPS * loads + 4                          # bytes from the start of a line on
    near = min(len(image), read // span + 1)                            # lines that end too near the array's
    safe = len(image) - near
    _lines(image[:safe].reshape(-1), span, starts, table, bits, lines[:safe])
    rest = np.zeros(near * span + read, np.uint8)
    rest[:near * span] = image[safe:].reshape(-1)
    _lines(rest, span, starts, table, bits, lines[safe:])


@numba.njit(nogil=True, boundscheck=False)
def _lines(source, span, starts, table, bits, lines):
    """Resize the lines of *source*, each *span* bytes long and free to be read beyond its end."""
    for y in range(len(lines)):
        for quad in range(len(starts)):
            _four(source, y * span, starts, table, quad, bits, lines, y * lines.shape[1] + 12 * quad)


@intrinsic
def _four(typing, source, at, starts, table, quad, bits, lines, to):
    """Weigh four pixels of the line at byte *at* of *source*, and store them from byte *to* of *lines* on."""
    def build(context, builder, signature, values):
        _, at, _, _, quad, bits, _, to = values
        whole, bits = at.type, builder.trunc(bits, WORD)
        kinds = (source, starts, table, lines)
        arrays = [context.make_array(kind)(context, builder, value)
                  for kind, value in zip(kinds, (values[0], values[2], values[3], values[6]), strict=True)]

        def place(array: int, index: ir.Value, kind: ir.Type) -> ir.Value:
            return builder.bitcast(builder.gep(arrays[array].data, [index]), kind.as_pointer())

        loads = builder.sdiv(cgutils.unpack_tuple(builder, arrays[2].shape)[1], whole(TAPS))
        offsets = [builder.add(builder.mul(quad, whole(4)), whole(pixel)) for pixel in range(4)]
        begins = [builder.add(at, builder.load(place(1, offset, whole))) for offset in offsets]
        half = builder.shl(WORD(1), builder.sub(bits, WORD(1)))
        total = cgutils.alloca_once_value(builder, _everywhere(builder, half))
        with cgutils.for_range(builder, loads) as loop:
            off = builder.mul(loop.index, whole(3 * TAPS))
            parts = [builder.load(place(0, builder.add(begin, off), PART), align=1) for begin in begins]
            row = builder.mul(builder.add(builder.mul(quad, loads), loop.index), whole(16 * TAPS))
            for tap, pixels in enumerate(_spread(builder, parts)):
                weights = builder.load(place(2, builder.add(row, whole(16 * tap)), LANES), align=4)
                builder.store(builder.add(builder.load(total), builder.mul(pixels, weights)), total)
        found = builder.lshr(builder.load(total), _everywhere(builder, bits))
        most = _everywhere(builder, WORD(255))
        found = builder.trunc(builder.select(builder.icmp_unsigned("<", found, most), found, most), PART)
        builder.store(_mixed(builder, found, found, BESIDE), place(3, to, PART), align=1)
        return context.get_dummy_value()

    return types.void(source, at, starts, table, quad, bits, lines, to), build


def _spread(builder: ir.IRBuilder, parts: list[ir.Value]) -> Iterator[ir.Value]:
    """For each tap the four pixels that it weighs, one of each of *parts*, a word for each colour."""
    halves = [_mixed(builder, *pair, range(32)) for pair in (parts[:2], parts[2:])]
    together, zero = _mixed(builder, *halves, range(64)), ir.Constant(ir.VectorType(BYTE, 64), None)
    for tap in range(TAPS):
        wanted = [16 * pixel + 3 * tap + colour for pixel in range(4) for colour in range(4)]
        order = [each for byte in wanted for each in (byte, 64, 64, 64)]        # 64: a byte of zero
        yield builder.bitcast(_mixed(builder, together, zero, order), LANES)


def _mixed(builder: ir.IRBuilder, one: ir.Value, other: ir.Value, order: Iterable[int]) -> ir.Value:
    """Elements of *one*, then *other*, in *order*."""
    numbers = list(order)
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(WORD, len(numbers)), numbers))


def _everywhere(builder: ir.IRBuilder, word: ir.Value) -> ir.Value:
    one = builder.insert_element(ir.Constant(LANES, ir.Undefined), word, WORD(0))
    return _mixed(builder, one, one, [0] * 16)
