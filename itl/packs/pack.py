"""A pack: every image of a source once, as a uint8 square of one size, with a table of the images."""

import os
import shlex
from collections.abc import Container
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from itl.errors import ItlError
from itl.machine import cpu_count, expand_home
from itl.packs.journal import checksum
from itl.specs import Packing
from itl.storage import changed_file, read_mapping, refuse_system_error
from itl.words import counted, examples

PACK_AGAIN = "move the pack away, then repeat or run `itl pack` again"


def scored_split(splits: Container[str]) -> str:
    """Return the name of the split that targets are scored on, of those that there are.

    >>> scored_split(["train", "val", "test"]), scored_split(["train", "val"])
    ('test', 'val')
    """
    return "test" if "test" in splits else "val"


class Pack:
    """A finished pack, opened for reading; needs NumPy, not torch.

    ``images`` is a memory map, uint8 (N, size, size, 3); row n of ``table`` describes image n.
    """

    def __init__(self, folder: Path, summary: dict) -> None:
        """Take what `open` read from *folder*; call `open` or `build` instead."""
        self.folder = folder
        self.summary = summary
        self.digest: str = summary["digest"]
        self.size: int = summary["request"]["size"]

    def __reduce__(self) -> tuple:
        """Pickle the folder's path, not the pixels."""
        return _open_again, (self.folder, self.digest)

    def __len__(self) -> int:
        """Return the number of images."""
        return self.summary["images"]

    @cached_property
    def images(self) -> np.memmap:
        """All images: uint8 (N, size, size, 3), read from the disk when they are accessed."""
        return np.load(self.file("images.npy"), mmap_mode="r")

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per image: image (its id), wnid, split, width and height of the original, checksum."""
        return pq.read_table(self.file("index.parquet")).to_pandas()

    @cached_property
    def objects(self) -> pd.DataFrame:
        """One row per annotated object: row (of its image), name, xmin to ymax, difficult, truncated.

        Boxes are 1-based and inclusive, in pixels of the original.

        Raises:
            ItlError: If the source annotates no objects.
        """
        if self.summary.get("objects") is None:
            raise ItlError(
                f"{self.folder} holds no annotated objects, as detection and actions need; pack a source "
                f"that has them, such as voc2007 or voc2012-action"
            )
        return pq.read_table(self.file("objects.parquet")).to_pandas()

    def regions(self, row: int) -> np.ndarray:
        """Return the region proposals of the image in *row*, the best first.

        Returns:
            float32 (n, 4): xmin, ymin, xmax, ymax, as in `objects`.

        Raises:
            ItlError: If the source was packed without a file of region proposals.
        """
        boxes, offsets = self._regions
        return boxes[offsets[row] : offsets[row + 1]]

    @cached_property
    def _regions(self) -> tuple[np.ndarray, np.ndarray]:
        if self.summary.get("regions") is None:
            raise ItlError(
                f"regions: file needs region proposals, but {self.folder} holds none; pack the source with "
                f"the option proposals=FILE, or use regions: windows"
            )
        with np.load(self.file("regions.npz")) as arrays:
            return arrays["boxes"], arrays["offsets"]

    def file(self, name: str) -> Path:
        """Return the path of the pack's file *name*; ItlError if the folder holds another pack by now."""
        if read_mapping(self.folder / "pack.json", PACK_AGAIN).get("digest") != self.digest:
            raise _replaced(self.folder)
        return self.folder / name

    @classmethod
    def open(cls, out: str | Path) -> "Pack":
        """Open the finished pack in the folder *out*.

        Raises:
            ItlError: With what to do, if there is no finished pack, or it is damaged or cannot be read.
        """
        out = _named(Path(out))
        if out.name.endswith(".partial") or not out.exists():
            _refuse_unfinished(out)
        _refuse_lost_summary(out)
        if not (out / "pack.json").exists():
            if packs := [str(file.parent) for file in sorted(out.glob("*/pack.json"))]:
                way = "give that" if len(packs) == 1 else "give one of them"
                raise ItlError(f"{out} is not a pack, but holds {examples(packs)}; {way}")
            raise ItlError(
                f"{out} is not a pack; if it holds images, pack them to another folder: "
                f"`itl pack folder {shlex.quote(str(out))} --out PACK`"
            )
        try:
            summary = read_mapping(out / "pack.json", PACK_AGAIN)
            if damaged := changed_file(out, summary.get("files", {})):
                raise OSError(f"{damaged} is missing, or its size has changed")
            pack = cls(out, summary)
            shape, rows = pack.images.shape, pq.read_metadata(out / "index.parquet").num_rows
            expected = (len(pack), pack.size, pack.size, 3)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            refuse_system_error(out, error)
            reason = " ".join(str(error).split())  # Arrow's errors have several lines
            raise ItlError(
                f"{out} should be a pack but is not one, or is damaged ({reason}); {PACK_AGAIN}"
            ) from error
        if shape != expected or rows != len(pack):
            raise ItlError(
                f"{out} is damaged: {counted(len(pack), 'images were')} packed, images.npy is {shape}, "
                f"the table has {counted(rows, 'rows')}; {PACK_AGAIN}"
            )
        return pack

    @classmethod
    def build(
        cls, packing: Packing, out: str | Path, *, path: str | Path | None = None, workers: int | None = None
    ) -> "Pack":
        """Build the pack of *packing*, or open it if it is built already and its source has not changed.

        After a kill at any moment, the next call continues and ends with the same bytes.

        Args:
            packing: Source, size and fit, and how many images may be unreadable.
            out: Folder of the pack.
            path: Where the source's files are on this machine; None where images are rendered.
            workers: Images decoded at the same time; None: as many as there are cores.

        Raises:
            ItlError: If *out* is another pack, or too many images are unreadable.
        """
        from itl.packs.build import build_pack  # imports decoders, which reading does without
        from itl.packs.source_state import PackRequest

        if workers is not None and workers < 1:
            raise ItlError(f"workers are images decoded side by side, a number from 1, not {workers}")
        out = _behind_link(_named(Path(out)))  # so that it is written, and later replaced, where its disk is
        _refuse_lost_summary(out)
        if (out / "pack.json").is_file():
            cls.open(out)  # says what is damaged
        build_pack(PackRequest(packing, expand_home(path) if path else None), out, workers or cpu_count())
        return cls.open(out)

    def damaged(self) -> list[str]:
        """Return the ids of the images whose pixels differ from their checksums; reads all pixels."""
        rows = zip(self.images, self.table["image"], self.table["checksum"], strict=True)
        return [image for pixels, image, stored in rows if checksum(pixels) != stored]


def save_array(array: np.ndarray, path: Path) -> None:
    """Write *array* to exactly *path*: given a name, `np.save` adds the suffix .npy."""
    with path.open("wb") as file:
        np.save(file, array)


def _open_again(folder: Path, digest: str) -> Pack:
    """Open the pack in *folder* for another process; ItlError if it is not that of *digest* any more."""
    pack = Pack.open(folder)
    if pack.digest != digest:
        raise _replaced(folder)
    return pack


def _replaced(folder: Path) -> ItlError:
    return ItlError(
        f"{folder} has been packed anew since it was opened, as its source changed; repeat the command, "
        f"which opens the new pack"
    )


def _refuse_lost_summary(folder: Path) -> None:
    """Raise ItlError where *folder* holds a pack's pixels without the pack.json that says what they are."""
    if (folder / "images.npy").exists() and not (folder / "pack.json").exists():
        raise ItlError(
            f"{folder / 'pack.json'} is missing, so that the pack cannot be read; move {folder} away and "
            f"repeat: it is packed again"
        )


def _named(out: Path) -> Path:
    """Return *out* under its name, where it is given as . or ..: other files of a pack have names like it."""
    return Path(os.path.realpath(out)) if out.name in ("", "..") else out


def _behind_link(out: Path) -> Path:
    """Return the folder that *out* leads to, where it is a symbolic link; else *out*."""
    return Path(os.path.realpath(out)) if out.is_symlink() else out  # Path.resolve fails in a loop of links


def _refuse_unfinished(out: Path) -> None:
    out = _behind_link(out)
    finished = out.with_name(out.name.removesuffix(".partial"))
    partial = finished.with_name(finished.name + ".partial")
    unreadable = partial / "unreadable.csv"
    if unreadable.exists() and unreadable.stat().st_size and (count := len(pd.read_csv(unreadable))):
        raise ItlError(
            f"the packing of {finished} was refused or interrupted, or is still running: "
            f"{counted(count, 'images cannot')} be read, as {unreadable} says; repair or remove them and "
            f"run the same `itl pack` again, or let it leave them out with --allow-unreadable"
        )
    if partial.exists():
        raise ItlError(
            f"the packing of {finished} was interrupted or is still running; run the same `itl pack` again: "
            f"unless the source has changed since, it keeps what is done"
        )
    raise ItlError(
        f"no pack at {finished}; make one with `itl pack SOURCE PATH --size S --out "
        f"{shlex.quote(str(finished))}`"
    )
