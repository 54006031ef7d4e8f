"""Finding the images that lists and JSON files name: by their whole path, its last parts, or ids."""

import unicodedata
from collections.abc import Collection, Iterator
from functools import cached_property

from itl.errors import ItlError
from itl.iteration import grouped
from itl.sources.files.archives import Listing
from itl.sources.records import is_image, stem_of
from itl.sources.split_names import split_of_folders, split_of_path
from itl.words import counted, examples

COPY_AGAIN = "copy it again, or remove it"
FEW = 8  # images of one last name, that are looked at one by one


class NoSuchImageError(ItlError):
    """A list names an image that is not there."""


class ImageNames:
    """Finds images by the names that lists or JSON files give them, which may begin in other folders."""

    def __init__(self, listing: Listing) -> None:
        """Take the files of a source."""
        self.images = sorted(filter(is_image, listing.files))
        self.by_last_name = grouped((image.rpartition("/")[2], image) for image in self.images)
        self.folders = {folder.rpartition("/")[2] for folder in listing.folders}
        self._by_tail: dict[int, dict[tuple[str, str], list[str]]] = {}  # depth -> as `_tails` says
        self._named: dict[str, str] = {}  # image -> its name in a list
        self._elsewhere: dict[str, str] = {}  # the same, where the last part of that name alone is right

    def find(self, name: str, split: str) -> str:
        """Return the image that a list of *split* calls *name*: in that folder, or in one of its split.

        As many of the last parts of *name* count as are there. ItlError if the image is not there, lies in
        another folder that is there too, or several match.
        """
        name = unicodedata.normalize("NFC", name)  # as the names of files are
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        for depth in range(len(parts), 0, -1):
            matches = self._ending_in("/".join(parts[-depth:]), depth, split)
            if len(matches) == 1:
                image = self.take(matches[0], "/".join(parts))
                self._refuse_other_folder(image, parts, depth)
                return image
            if matches and depth < len(parts):
                break  # images of other folders
            if matches:
                raise ItlError(
                    f"{name[:80]!r} could be any of {examples(matches)}; write its folder too, as in "
                    f"{max(matches[:FEW], key=len)}"
                )
        near = self._by_stem.get(stem_of(name).casefold(), [])
        cure = f"did you mean {near[0]}?" if len(near) == 1 else COPY_AGAIN
        if len(near) > 1:
            cure += f", or correct its name, if it is one of {examples(near[:FEW])}"
        raise NoSuchImageError(f"lists {name[:80]!r}, but there is no such image; {cure}")

    def _ending_in(self, tail: str, depth: int, split: str) -> list[str]:
        """Return the images, sorted, whose last parts, *depth* of them, are *tail*.

        If some of several lie in folders of *split*, it is these alone.
        """
        alike = self.by_last_name.get(tail.rpartition("/")[2], [])
        if len(alike) <= FEW:
            matches = [image for image in alike if image == tail or image.endswith(f"/{tail}")]
            return [image for image in matches if split_of_folders(image) == split] or matches
        if depth not in self._by_tail:  # study1/view1.jpg may be in the folder of each patient
            self._by_tail[depth] = grouped(self._tails(depth))
        of_depth = self._by_tail[depth]
        return of_depth.get((tail, split)) or of_depth.get((tail, ""), [])

    def _tails(self, depth: int) -> Iterator[tuple[tuple[str, str], str]]:
        """Yield images by *depth* last parts of their names, with the split of their folders and with ""."""
        for image in self.images:
            tail = "/".join(image.split("/")[-depth:])
            if tail.count("/") == depth - 1:
                yield from (((tail, split), image) for split in {"", split_of_folders(image) or ""})

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        """The images of each name without suffix and case."""
        return grouped((stem_of(image).casefold(), image) for image in self.images)

    def take(self, image: str, name: str) -> str:
        """Return *image*, taken for what a list calls *name*; ItlError if it was for another name too."""
        other = self._named.setdefault(image, name)
        if other != name and not (f"/{name}".endswith(f"/{other}") or f"/{other}".endswith(f"/{name}")):
            raise ItlError(
                f"lists {name[:80]!r} and {other[:80]!r}, but there is {image} alone; copy the other image, "
                f"or remove its line"
            )
        return image

    def describe_elsewhere(self) -> list[str]:
        """Return a note on images that were found by the last part of their names alone, if there are any.

        ItlError if one lies in a folder that a list names for other images, as of another class.
        """
        if not self._elsewhere:
            return []
        named = {image: name for image, name in self._named.items() if image not in self._elsewhere}
        image_of = {image.rpartition("/")[0]: image for image, name in named.items() if "/" in name}
        for image, name in self._elsewhere.items():
            if other := image_of.get(image.rpartition("/")[0]):
                raise ItlError(
                    f"a list has {name[:80]!r}, which is not there, though {image} is, in the folder of "
                    f"{other}, which is listed too; copy the image again, or correct the list"
                )
        image, name = next(iter(self._elsewhere.items()))
        several = counted(len(self._elsewhere), "images are")
        return [f"{several} not in the folder that a list names, such as {name}, taken to be {image}"]

    def refuse_other_split(self, image: str, name: str, split: str) -> None:
        """Raise ItlError if *image* is in a folder of another split than *split*, that of a list.

        A *name* in that list which tells the other split is clear.
        """
        other = split_of_folders(image)
        if other not in (None, split, split_of_path(name), split_of_folders(name)):
            raise ItlError(
                f"lists {name[:80]!r}, but of that name there is only {image}, in a folder of another split; "
                f"copy the image that is meant, write its folder too, or name each list by an option"
            )

    @cached_property
    def splits(self) -> set[str]:
        """The splits whose folders hold images."""
        return {split for image in self.images if (split := split_of_folders(image))}

    @staticmethod
    def describe_other_split(images: Collection[str], split: str, file: str) -> list[str]:
        """Return a note if some of the *images* of *split* that *file* lists are in folders of another."""
        elsewhere = [image for image in images if split_of_folders(image) not in (None, split)]
        if not elsewhere:
            return []
        count = counted(len(elsewhere), "images are")
        folder = f"in a folder of another split, such as {elsewhere[0]}"
        return [f"{file}: {count} {folder}; they are {split} images, as the list says"]

    def _refuse_other_folder(self, image: str, parts: list[str], depth: int) -> None:
        """Raise ItlError if *image*, whose name ends in *depth* of the *parts*, is in another folder."""
        if depth == len(parts):
            return
        parent, inside = parts[-depth - 1], image.split("/")[:-1]
        splits = {split_of_folders(f"{parent}/"), split_of_folders(image)} - {None}
        if len(splits) == 2 or (parent in self.folders and parent not in inside):
            raise ItlError(
                f"lists {'/'.join(parts)[:80]!r}, which is not there, though {image} is; correct the list, "
                f"or move the image"
            )
        if depth == 1:
            self._elsewhere.setdefault(image, "/".join(parts))


class ImageFinder(ImageNames):
    """Finds the images that lists name: from the root, by the last parts of their path, or by ids."""

    def __init__(self, listing: Listing) -> None:
        """Take the files of a source."""
        super().__init__(listing)
        self.files = listing.files
        self.found_by_stem: set[str] = set()  # images that lists name without their suffix

    def find(self, entry: str, split: str) -> str:
        """Return the name in the listing of the image that a list of *split* calls *entry*.

        An *entry* without the suffix of an image is the id of one: its name without the suffix. ItlError if
        there is none, or several could be meant.
        """
        entry = unicodedata.normalize("NFC", entry).replace("\\", "/").removeprefix("./").lstrip("/")
        candidates = self.by_last_name.get(entry.rpartition("/")[2], [])
        if len(candidates) == 1 and candidates[0].endswith(f"/{entry}"):  # of which there may be millions
            return self.take(candidates[0], entry)
        if not is_image(entry):
            image = self._find_stem(entry, split)
            self.found_by_stem.add(image)
            return image
        return self.take(entry, entry) if entry in self.files else super().find(entry, split)

    def has_stem(self, entry: str) -> bool:
        """Say whether *entry* may be the id of an image."""
        return entry.rpartition("/")[2] in self.suffixes

    @cached_property
    def suffixes(self) -> dict[str, list[str]]:
        """The suffixes of images, by the last part of their names without it."""
        return grouped((stem_of(last), last[last.rfind(".") :]) for last in self.by_last_name)

    def _find_stem(self, entry: str, split: str) -> str:
        """Return the image whose name without its suffix is *entry*; ItlError if there is none or several."""
        suffixes = self.suffixes.get(entry.rpartition("/")[2], [])
        if len(suffixes) > 1:
            raise ItlError(f"{entry[:80]!r} could be any of {', '.join(sorted(suffixes))}; add the suffix")
        return super().find(entry + "".join(suffixes), split)
