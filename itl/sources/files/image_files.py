"""Image files decoded: JPEGs by a fast decoder, the rest by Pillow; and what kind of file it was."""

import functools
import io
import math
import re
import threading
from collections.abc import Callable
from contextlib import nullcontext
from os.path import splitext
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from itl.errors import ItlError

JPEG_FORMATS = ("JPEG", "MPO")  # MPO: a JPEG followed by more images
FORMATS_OF_SUFFIX = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), JPEG_FORMATS),
    **dict.fromkeys((".png", ".apng"), ("PNG",)),
    **{".bmp": ("BMP",), ".gif": ("GIF",), ".webp": ("WEBP",)},
    **dict.fromkeys((".jp2", ".j2k", ".jpx"), ("JPEG2000",)),
    **dict.fromkeys((".tif", ".tiff"), ("TIFF",)),
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), ("PPM",)),
}
UNREAD_SUFFIXES = {  # of images too
    *(".avif", ".heic", ".heif", ".jxl", ".svg", ".tga", ".psd", ".exr", ".hdr", ".ico", ".pcx", ".dds"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".eps", ".pdf", ".dcm"),
}
# Nothing else is opened: Pillow would start Ghostscript for an EPS file, whatever its name.
FORMATS = tuple(dict.fromkeys(names[0] for names in FORMATS_OF_SUFFIX.values()))
HEIF_BRANDS = ("avif", "avis", "heic", "heix", "hevc", "hevx", "mif1", "msf1")  # of HEIC and AVIF
LATE_EXIF = "EXIF ignored behind the pixels"  # of a PNG; a pack joins kinds with commas
CORRUPT = "corrupt"  # a JPEG with damage that only strict decoders refuse
XMP = ("xmp", "XML:com.adobe.xmp")  # Pillow would take an orientation from it, browsers do not
PNG_BITS_OFFSET = 24  # where a PNG has the bits of a sample, in bytes
ORIENTATION_TAG = 0x0112  # of EXIF and TIFF
BITS_PER_SAMPLE_TAG, COMPRESSION_TAG, PHOTOMETRIC_TAG, PLANES_TAG = 0x0102, 0x0103, 0x0106, 0x011C  # of TIFF
SAMPLE_FORMAT_TAG = 0x0153  # 2: signed numbers
OPENING_BYTES = 1 << 30  # of memory: WebP's decoder takes 8 bytes a pixel before it says how many there are
DECODING_BYTES = 32  # of memory, of a pixel: JPEG 2000's decoder takes most
MAX_READS = 1 << 20  # of the parts of one header by Pillow, which looks for markers byte by byte
STRIP_PIXELS = 1 << 22  # converted at a time: all of a large image would be in memory four times
LARGE_PIXELS = 1 << 26  # of an image that is decoded while no other so large is
_ONE_LARGE = threading.Lock()
UPRIGHT = {  # turns pixels (H, W, 3) of each orientation upright
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


class ImageHeader(NamedTuple):
    """The sides of an image, upright, in pixels, and its EXIF orientation, 1 to 8."""

    width: int
    height: int
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height without the orientation."""
        return self.size if self.orientation < 5 else (self.height, self.width)


def pixels_of(data: bytes, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Decode an image file, upright.

    What Pillow refuses is refused. The orientation is that of the EXIF block, or of a TIFF's tags, before the
    pixels: `read_header` sees no other, and both must agree for boxes to fit.

    Returns:
        The pixels, uint8 (H, W, 3), and what is unusual about the file, such as ("PNG", "misnamed").
    """
    image = _open(data)
    kinds = _kinds(image, data, name)
    orientation = _orientation(image)
    is_plain_jpeg = image.format in JPEG_FORMATS and image.mode in ("L", "RGB")
    pixels = None
    with _ONE_LARGE if image.width * image.height > LARGE_PIXELS else nullcontext():
        if is_plain_jpeg:
            pixels, kind = _decode_jpeg(data)
            kinds += (kind,) if kind else ()
        if pixels is None:
            had_exif = "exif" in image.info
            pixels = _decode_by_pillow(image)
            kinds += (LATE_EXIF,) if image.format == "PNG" and not had_exif and "exif" in image.info else ()
        if image.format != "TIFF":  # Pillow turns these itself
            pixels = UPRIGHT[orientation](pixels)
        del image  # which has the pixels too
    return np.ascontiguousarray(pixels), kinds


def read_header(data: bytes) -> ImageHeader:
    """Return size and orientation of an image; decodes no pixel.

    *data* is the file, or its start; ItlError, with the reason, if it has no complete header.
    """
    image = _open(data)
    width, height = image.size
    orientation = _orientation(image)
    if orientation >= 5 and image.format != "TIFF":  # whose size Pillow gives upright
        width, height = height, width
    return ImageHeader(width, height, orientation)


class _CountedReads(io.BytesIO):
    """A file whose header may be read in `MAX_READS` parts: one of zeros would take minutes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.left: float = MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise OSError("its header does not end")
        return super().read(size)


def _open(data: bytes) -> Image.Image:
    """Open an image by its content, not by its name; reads the header only."""
    if not data:
        raise ItlError("the file is empty")
    try:
        image = Image.open(file := _CountedReads(data), formats=FORMATS)
        file.left = math.inf  # run-length decoders read each run
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise all kinds of errors
        if data[4:8] == b"ftyp" and data[8:12].decode("latin-1") in HEIF_BRANDS:
            raise ItlError("a HEIC or AVIF image, whatever its name; convert it to JPEG or PNG") from error
        raise ItlError(_reason(error, OPENING_BYTES * (data[8:12] == b"WEBP"))) from error
    for name in XMP:
        image.info.pop(name, None)
    if image.format == "PNG" and "transparency" in image.info:
        _scale_transparent_colour(image, bits=data[PNG_BITS_OFFSET])
    is_signed = isinstance(image, TiffImageFile) and 2 in image.tag_v2.get(SAMPLE_FORMAT_TAG, ())
    if image.mode == "F" or is_signed or (image.mode == "I" and image.format == "TIFF"):
        bits = f"signed {_bits(image)}-bit" if is_signed and _bits(image) < 32 else "32-bit"
        raise ItlError(f"it has {bits} pixels, whose range is unknown; convert it to unsigned 8 or 16 bit")
    if isinstance(image, TiffImageFile):
        _refuse_mixed_planes(image)
    return image


def _scale_transparent_colour(image: Image.Image, bits: int) -> None:
    """Scale the colour that a PNG of so many *bits* names transparent, as Pillow scales its samples alone."""
    colour = image.info["transparency"]
    if bits in (2, 4) and image.mode == "L":
        image.info["transparency"] = colour % 2**bits * 255 // (2**bits - 1)
    if bits == 16 and image.mode == "RGB":
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _refuse_mixed_planes(image: TiffImageFile) -> None:
    """Raise ItlError for colours of more than 8 bits, one after another: Pillow reads raw ones as 8 bits."""
    is_raw, in_planes = image.tag_v2.get(COMPRESSION_TAG, 1) == 1, image.tag_v2.get(PLANES_TAG) == 2
    if is_raw and in_planes and _bits(image) > 8 and len(image.getbands()) > 1:
        raise ItlError(
            f"its {_bits(image)}-bit colours lie one after another uncompressed, which Pillow misreads; "
            f"save it with its colours interleaved"
        )


def _kinds(image: Image.Image, data: bytes, name: str) -> tuple[str, ...]:
    """Return what is unusual about a file, in words that the pack's summary counts."""
    bits, suffix = _bits(image), splitext(name)[1].lower()
    is_deep = image.mode.startswith("I") or (image.format == "PNG" and data[PNG_BITS_OFFSET] == 16)
    is_deep |= isinstance(image, TiffImageFile) and bits in (12, 16)
    kinds = {
        image.format or "": image.format not in JPEG_FORMATS,
        "grey": image.mode in ("1", "L", "LA", "I") or image.mode.startswith("I;"),
        "CMYK": image.mode == "CMYK",
        "palette": image.mode in ("P", "PA"),
        "alpha": _has_alpha(image),
        f"{bits}-bit": is_deep,
        "EXIF-rotated": _orientation(image) != 1,
        "misnamed": image.format not in FORMATS_OF_SUFFIX.get(suffix, (image.format,)),
    }
    return tuple(kind for kind, applies in kinds.items() if applies)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info


def _orientation(image: Image.Image) -> int:
    """Return the orientation that the header of *image* states; 1 where it states none.

    The base class reads it: a PNG's own method decodes the pixels, and would keep an error from `load`.
    """
    if image.format in JPEG_FORMATS and "exif" not in image.info:
        return 1  # the common case, without parsing
    try:
        exif = Image.Exif()
        if "exif" in image.info:  # Pillow may have read a JPEG's, with its XMP
            exif.load(image.info["exif"])
        else:
            exif = Image.Image.getexif(image)
        orientation = exif.get(ORIENTATION_TAG, 1)
    except Exception:  # a damaged EXIF block does not make the image unreadable
        return 1
    return orientation if orientation in UPRIGHT else 1


def _decode_jpeg(data: bytes) -> tuple[np.ndarray | None, str]:
    """Decode with simplejpeg or torchvision, at twice Pillow's speed; None for a file that both refuse.

    Both give the same pixels. simplejpeg is strict, so what it refuses and torchvision decodes is corrupt.
    Decoding at a reduced scale (Pillow's ``draft``) gains nothing on files of ImageNet's size, at an error of
    0.2 to 1.5 grey levels.

    Returns:
        The pixels, and what is unusual, or "".
    """
    kind = ""
    if simplejpeg := simplejpeg_decoder():
        try:
            return simplejpeg(data, colorspace="RGB", strict=True), ""
        except ValueError:
            kind = CORRUPT
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    try:
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        pixels = decode_jpeg(encoded, mode=ImageReadMode.RGB)
    except RuntimeError:  # Pillow may read it, or says why it cannot be read
        return None, "refused by torchvision"
    return pixels.permute(1, 2, 0).numpy(), kind


@functools.cache
def simplejpeg_decoder() -> Callable | None:
    """Return the decoder of simplejpeg, which recognises corrupt JPEGs; None on a machine that lacks it."""
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return None
    return decode_jpeg


def _decode_by_pillow(image: Image.Image) -> np.ndarray:
    """Decode with Pillow to (H, W, 3): transparent parts white, deep pixels as `_to_8_bit` has them."""
    try:
        image.load()
        pixels = np.empty((image.height, image.width, 3), np.uint8)
        rows = max(1, STRIP_PIXELS // image.width)
        for top in range(0, image.height, rows):
            strip = image  # small images are one, which need not be copied
            if rows < image.height:
                strip = image.crop((0, top, image.width, min(top + rows, image.height)))
            if image.mode.startswith("I"):
                pixels[top : top + rows] = _to_8_bit(image, np.asarray(strip))[:, :, None]
                continue
            if _has_alpha(strip):
                strip = strip.convert("RGBA")
                strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip)
            pixels[top : top + rows] = np.asarray(strip.convert("RGB"))
        return pixels
    except MemoryError:
        raise
    except Exception as error:
        memory = DECODING_BYTES * image.width * image.height
        raise ItlError(_reason(error, memory * (image.format in ("WEBP", "JPEG2000")))) from error


def _bits(image: Image.Image) -> int:
    """Return the bits of a sample that a TIFF states, or 1; 16 of others, which Pillow scales to mode I."""
    return image.tag_v2.get(BITS_PER_SAMPLE_TAG, (1,))[0] if isinstance(image, TiffImageFile) else 16


def _to_8_bit(image: Image.Image, samples: np.ndarray) -> np.ndarray:
    """Return the 8 upper bits of grey *samples* of 12 or 16 bits, uint8 (H, W); white is bright."""
    pixels = (samples >> (_bits(image) - 8)).astype(np.uint8)
    pixels[samples == image.info.get("transparency", -1)] = 255
    # Pillow inverts 8-bit samples of such a TIFF, but not deeper ones.
    is_white_zero = isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_TAG) == 0
    return 255 - pixels if is_white_zero else pixels


def _reason(error: Exception, memory: int) -> str:
    """Return in one line why Pillow failed; without addresses, so that it is the same every time.

    MemoryError where there are fewer bytes than *memory*: some decoders say of that what they say of damage.
    """
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow can read"
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, which Pillow refuses; make it smaller"
        )
    np.empty(memory, np.uint8)
    text = " ".join(re.sub(r"0x[0-9a-f]+", "", str(error)).split())
    return f"{text or 'damaged'} ({type(error).__name__})"
