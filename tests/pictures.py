"""What tests on images share: pictures made on the fly, small trees and archives of them."""

import io
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from itl.packs.pack import Pack

REAL = Path(__file__).parents[2] / "shared/data"  # public research images, where a machine has them
FILES = ("images.npy", "index.parquet", "unreadable.csv")
FOX, CAR = "n02119022", "n04285008"


def encoded(pixels: np.ndarray, format: str = "PNG", mode: str | None = None, **settings) -> bytes:
    """Encode an array as an image file."""
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, format, **settings)
    return file.getvalue()


def with_late_exif(data: bytes) -> bytes:
    """Move the EXIF block of a PNG behind its pixels."""
    start = data.index(b"eXIf") - 4
    chunk = data[start : start + 12 + struct.unpack(">I", data[start : start + 4])[0]]
    return data.replace(chunk, b"").replace(struct.pack(">I", 0) + b"IEND", chunk + bytes(4) + b"IEND")


def smooth(height: int, width: int) -> np.ndarray:
    """A picture without sharp edges, brighter to the right and redder to the bottom: uint8 (H, W, 3)."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    return np.stack([200 * y + 30, 200 * x + 30, np.full_like(x, 90)], axis=2).astype(np.uint8)


def tree(root: Path, *names: str) -> Path:
    """Write files whose content is their own name; a name that ends with a slash is an empty folder."""
    for name in names:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(name.encode())
    return root


def tarred(path: Path, members: dict[str, bytes | None], **links: str) -> Path:
    """Write a tar of files (None: a folder) and symbolic links."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            member.size = len(content or b"")
            tar.addfile(member, io.BytesIO(content or b""))
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return path


def listed(source) -> list[tuple[str, str, str]]:
    """What the records of *source* say, after checking that each can be read."""
    assert all(source.read(record) for record in source.records())
    return [(record.id, record.wnid, record.split) for record in source.records()]


def same(pack: Pack, other: Pack) -> bool:
    """Whether two packs have the same bytes."""
    return pack.digest == other.digest and all(
        (pack.folder / name).read_bytes() == (other.folder / name).read_bytes() for name in FILES
    )


def forked(work: Callable[[], object]) -> int:
    """Run *work* in a child; returns its process id."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return child
