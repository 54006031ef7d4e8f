"""WebDataset shards: tars in which the files of one sample share a name up to its first dot."""

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from itl.errors import ItlError, no_such, one_of
from itl.hierarchy.taxonomy import WNID
from itl.iteration import grouped
from itl.sources.files.archives import Listing, Member, ZipMember, open_listing
from itl.sources.files.image_files import UNREAD_SUFFIXES
from itl.sources.files.json_text import int_if_whole, parse_json
from itl.sources.held_out import split_off_val
from itl.sources.listed.container_files import ContainerSource, sample_id
from itl.sources.listed.labels import NO_LABEL, describe_missing, ranks_of_class
from itl.sources.listed.numbered_classes import (
    contradiction,
    is_number,
    name_of,
    names_of_numbers,
    read_names,
)
from itl.sources.records import Record, is_image, plain_label, suffix_of
from itl.sources.split_names import split_of_cell, split_of_path
from itl.words import counted, examples

NAME_KEYS = ("class_name", "wnid", "synset", "label_name", "class", "category")  # of a sample's JSON
TEXT_KEYS = ("name", "text")  # which may also be of the image: they name no class, but tell two numberings
LABEL_KEYS = ("label", "cls", "target", "class_id", "label_id")
LABEL_FILES = ("json", "cls", "txt")  # suffixes, in the order in which they are read
MAX_LABEL_BYTES = 1 << 20  # of the .cls, .txt or .json of one sample
NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # the last: bytes that are no UTF-8


@dataclass(slots=True)
class Sample:
    """The files of one key in one shard."""

    shard: str
    key: str
    image: str  # its name in the shard
    member: Member  # of the image
    number: str = ""  # its class as a number, if it has one
    name: str = ""  # its class as a name, if it has one
    wnid: str = ""  # what its JSON has beside a name that is a word
    text: str = ""  # what its JSON has by one of TEXT_KEYS
    keys: str = ""  # what its JSON has, if that tells no class
    split: str = ""  # that its JSON has

    @property
    def label(self) -> str:
        """Its class, as a number where it has one; empty without a label."""
        return self.number or self.name


@dataclass(frozen=True)
class WebDataset(ContainerSource):
    """Shards in a folder, or one shard; the names of shards, or of their folders, tell the splits."""

    image: str | None = None  # suffix of the image, such as jpg, where samples have several
    label: str | None = None  # cls, txt or json; None takes all that samples have, which must agree
    kind = "webdataset"
    suffix = ".tar"
    expected = (
        "a folder of plain .tar shards, such as imagenet1k-train-0000.tar and imagenet1k-validation-00.tar, "
        "with KEY.jpg and KEY.cls, KEY.json or KEY.txt"
    )
    how_to_add_splits = "write shards of another split, whose names tell it, such as val-000000.tar"

    def __post_init__(self) -> None:
        """Refuse a label file that is never read."""
        if self.label is not None:
            one_of(LABEL_FILES, self.label, "value of the option label")

    @cached_property
    def listing(self) -> Listing:
        """The images of all samples, as SHARD/NAME."""
        files = {f"{sample.shard}/{sample.image}": sample.member for sample in self._samples}
        left_out = sum((listing.left_out for listing in self._shards.values()), self._count_others())
        return Listing(files, left_out=left_out)

    @property
    def left_out(self) -> Counter:
        """Samples of a split without a label; the other files of a sample are part of it."""
        bare = Counter(self._split_of[sample.shard] for sample in self._samples if not sample.label)
        reasons = {f"unlabelled samples of {split}": count for split, count in sorted(bare.items())}
        return self.listing.left_out + Counter(reasons)

    @property
    def layout(self) -> str:
        """How many shards there are."""
        return f"WebDataset in {counted(len(self._shards), 'shards')}{self._missing_parts}"

    @property
    def labelled_by(self) -> str:
        """What says the class of an image, and where names of numbers come from."""
        return self._classes[1]

    def records(self) -> list[Record]:
        """Return one record for each labelled sample, sorted by id; ItlError if some of a split have none."""
        has_splits = any(map(split_of_path, self._shards))
        self._refuse_unlabelled()
        labelled, (names, _) = self._labelled, self._classes
        if not has_splits:
            self._refuse_folders_of_splits(sample.image for sample in labelled)
        records = []
        for sample in labelled:
            split, wnid = self._split_of[sample.shard], names[sample.label]
            if sample.split not in ("", split):
                raise ItlError(
                    f"{self.path}: {'' if has_splits else 'the names of its shards tell no split, so '}the "
                    f"images of {sample.shard} would be {split}, but {sample.key}.json in it has the split "
                    f"{sample.split}; write shards of each split, such as {sample.split}-000000.tar"
                )
            name = sample_id(sample.image, split if has_splits else "", wnid)
            records.append(Record(name, wnid, split, sample.member))
        if len({record.id for record in records}) < len(records):  # keys that start anew in each shard
            pairs = zip(labelled, records, strict=True)
            stems = {sample.shard: Path(sample.shard).with_suffix("").as_posix() for sample in labelled}
            alone = {stem.rpartition("/")[2] for stem in stems.values()}
            if len(alone) == len(stems):  # else shards of one name lie in several folders
                stems = {shard: stem.rpartition("/")[2] for shard, stem in stems.items()}
            records = [replace(row, id=f"{stems[sample.shard]}/{row.id}") for sample, row in pairs]
        twice = [name for name, count in Counter(record.id for record in records).items() if count > 1]
        if twice:
            raise ItlError(f"{self.path}: {twice[0]} is in the shards twice; write every sample once")
        return self._validate(split_off_val(records, self.val_fraction))

    def _refuse_unlabelled(self) -> None:
        """Raise ItlError if some samples of a split have no label, or if none has."""
        unlabelled = [sample for sample in self._samples if not sample.label]
        bare = grouped((self._split_of[sample.shard], sample) for sample in unlabelled)
        total = Counter(self._split_of[sample.shard] for sample in self._samples)
        for split, samples in bare.items():
            count = f"{len(samples):,} of {total[split]:,} samples of {split} have no label, such as"
            if len(samples) < total[split] and samples[0].keys:
                raise ItlError(f"{self.path}: {count} {samples[0].key}: {_describe_keys(samples[0])}")
            if len(samples) < total[split]:
                raise ItlError(
                    f"{self.path}: {count} {samples[0].key} in {samples[0].shard}; write KEY.cls beside each "
                    f"image"
                )
        if not self._labelled:
            in_folders = all("/" in sample.image for sample in self._samples)
            way = "; if folders are classes, unpack the tars and take the source folder" if in_folders else ""
            if example := next((sample for sample in self._samples if sample.keys), None):
                raise ItlError(f"{self.path}: no image has a label: {_describe_keys(example)}{way}")
            raise ItlError(
                f"{self.path}: no image has a label, a file .cls, .json or .txt that has its name up to the "
                f"first dot; such as {self._samples[0].image} in {self._samples[0].shard}{way}"
            )

    @cached_property
    def notes(self) -> Sequence[str]:
        """Names that may be those of other numbers, and words for no label."""
        notes = describe_missing(set(self._classes[0].values()))
        if self._unlike_words:
            notes.append(f"by the JSON of samples {self._unlike_words}; classes are the words, not the wnids")
        return [*self._describe_zero({sample.number for sample in self._labelled}), *notes]

    @cached_property
    def _shards(self) -> dict[str, Listing]:
        """The files of each shard, by its name relative to the path."""
        shards = {name: open_listing(file) for name, file in self._files.items()}
        for name, listing in shards.items():
            if any(isinstance(member, ZipMember) for member in listing.files.values()):
                raise ItlError(f"{self.path}: {name} is a zip by its content; write its files to a plain tar")
            images = filter(is_image, listing.files) if listing.repeated else ()
            keys = {_split_at_first_dot(image)[0] for image in images}
            of_samples = [file for file in listing.repeated if is_image(file) or _labels_one_of(file, keys)]
            if of_samples:
                raise ItlError(
                    f"{self.path}: in {name} {counted(len(of_samples), 'files have')} a name that came "
                    f"before, so several samples have one key; write the shard again, each under a key of "
                    f"its own, such as CLASS_NUMBER"
                )
        return shards

    @property
    def _image_suffix(self) -> str:
        """The option image as samples have it: png for .PNG; empty without it."""
        return (self.image or "").lower().removeprefix(".")

    @cached_property
    def _samples(self) -> list[Sample]:
        """All samples with an image, with their labels."""
        samples: list[Sample] = []
        bare: list[str] = []
        for shard, listing in self._shards.items():
            samples += self._read_shard(shard, listing, bare)
        if self.image is not None and not samples:
            images = [name for listing in self._shards.values() for name in listing.files if is_image(name)]
            suffixes = {_split_at_first_dot(image)[1] for image in images}
            if suffixes and self._image_suffix not in suffixes:
                raise no_such(suffixes, self.image, f"suffix of images in {self.path}")
        if not samples:
            raise ItlError(
                f"{self.path}: its {counted(len(self._shards), 'shards hold')} no images; {self.expected}"
            )
        if bare:
            raise ItlError(
                f"{self.path}: {counted(len(bare), 'samples have')} no image in a format that is read, such "
                f"as {bare[0]}; write the shards again"
            )
        return samples

    def _read_shard(self, shard: str, listing: Listing, bare: list[str]) -> Iterator[Sample]:
        """Yield the samples of one shard that have an image; add the labels without one to *bare*."""
        groups: dict[str, dict[str, str]] = {}
        for name in listing.files:
            key, suffix = _split_at_first_dot(name)
            first = groups.setdefault(key, {}).setdefault(suffix, name)
            if first != name:
                raise ItlError(
                    f"{self.path}: {first} and {name} of {shard} differ in case alone; write the shard again "
                    f"with one of them, or each under a key of its own"
                )
        with self._files[shard].open("rb") as file:
            for key, by_suffix in groups.items():
                images = {suffix: name for suffix, name in by_suffix.items() if is_image(name)}
                unread = any(suffix_of(name) in UNREAD_SUFFIXES for name in by_suffix.values())
                if not images and (unread or "cls" in by_suffix):
                    bare.append(f"{by_suffix.get('cls', max(by_suffix.values()))} in {shard}")
                elif not images:
                    listing.left_out["files of no image"] += len(by_suffix)
                if self.image is not None and images:
                    wanted = self._image_suffix
                    images = {suffix: name for suffix, name in images.items() if suffix == wanted}
                    listing.left_out[f"samples without an image {wanted}"] += not images
                if len(images) > 1:
                    self._refuse_several(shard, images, by_suffix)
                for suffix, name in images.items():
                    sample = Sample(shard, key, name, listing.files[name])
                    members = {end: listing.files[other] for end, other in by_suffix.items()}
                    self._add_label(sample, members, file)
                    if not sample.label:
                        self._refuse_dots(shard, name, suffix, by_suffix)
                    yield sample

    def _refuse_several(self, shard: str, images: Mapping[str, str], by_suffix: Mapping[str, str]) -> None:
        """Raise ItlError for a sample of several *images*, with advice by which one of them has a label."""
        if by_suffix.keys().isdisjoint([self.label] if self.label else LABEL_FILES):
            for suffix, name in images.items():
                self._refuse_dots(shard, name, suffix, by_suffix)
        raise ItlError(
            f"{self.path}: a sample of {shard} has several images, {examples(images.values())}, as keys end "
            f"at the first dot; choose one by what follows that, with the option "
            f"image={min(images, key=len)}, or write the shards again with keys without dots"
        )

    def _refuse_dots(self, shard: str, image: str, suffix: str, by_suffix: Mapping[str, str]) -> None:
        """Raise ItlError if an unlabelled *image* has a label file with the dots of its name."""
        end, dot, _ = suffix.rpartition(".")
        labels = [self.label] if self.label else LABEL_FILES
        unread = next((by_suffix[f"{end}.{label}"] for label in labels if f"{end}.{label}" in by_suffix), "")
        if dot and unread:
            raise ItlError(
                f"{self.path}: {image} in {shard} has no label, as keys end at the first dot and {unread} is "
                f"not read; write the shards again with keys without dots"
            )

    def _add_label(self, sample: Sample, members: dict[str, Member], file: BinaryIO) -> None:
        """Read number and name of the class from the label files of a sample in its open shard."""
        texts = dict.fromkeys(LABEL_FILES, "")
        for suffix in texts:
            if suffix in members and self.label in (None, suffix):
                file.seek(members[suffix].offset)
                data = file.read(min(members[suffix].size or 0, MAX_LABEL_BYTES))
                texts[suffix] = data.decode("utf-8", errors="surrogateescape").strip()
        if texts["json"]:
            where = f"{sample.shard}: {sample.key}.json"
            content = _read_json(texts["json"], where)
            sample.split = split_of_cell(str(content.get("split", "")))
            sample.number, name, wnid, sample.keys = _labels_of_json(content, where)
            sample.name = self._text_label(sample, name, "json")
            sample.wnid = sys.intern(wnid)  # few of millions differ
            texts_of_json = [content[key] for key in TEXT_KEYS if isinstance(content.get(key), str)]
            sample.text = plain_label(texts_of_json[0]).casefold() if texts_of_json else ""
        for suffix in ("cls", "txt"):
            label = texts[suffix]
            if label in ("", NO_LABEL):
                continue
            is_name = not is_number(label)
            known = sample.name if is_name else sample.number
            same = plain_label(label) == known if is_name else label.lstrip("0") == known.lstrip("0")
            if known and not same:
                if is_name and suffix == "txt":  # a caption
                    continue
                raise ItlError(
                    f"{self.path}: the label of {sample.key} in {sample.shard} is {label[:40]!r} by its "
                    f".{suffix} and {known[:40]!r} by another file; correct one, or take the option "
                    f"label={suffix}"
                )
            if not is_name:
                sample.number = known or label
            elif not sample.number:
                sample.name = known or self._text_label(sample, label, suffix)

    def _text_label(self, sample: Sample, label: str, suffix: str) -> str:
        """Return the *label* that a sample's file *suffix* has, on one line; ItlError if it is no text."""
        if NO_TEXT.search(label):
            data = label.encode("utf-8", errors="surrogateescape")
            raise ItlError(
                f"{self.path}: the label of {sample.key} in {sample.shard} is no text, but the bytes "
                f"{data[:20]!r} of its .{suffix}; write it, name or number, as text in UTF-8 to KEY.cls"
            )
        return plain_label(label)

    @cached_property
    def _labelled(self) -> list[Sample]:
        """The samples that have a label: one label for 01 and 1, and for a wnid and its word in JSON."""
        labelled = [sample for sample in self._samples if sample.label]
        numbers = {sample.number for sample in labelled}
        if len({number.lstrip("0") for number in numbers}) < len(numbers):
            for sample in labelled:
                sample.number = sample.number and (sample.number.lstrip("0") or "0")
        words = {sample.wnid: sample.name for sample in labelled if sample.wnid}
        for sample in labelled:
            if sample.name in words:
                if self._unlike_words:
                    raise ItlError(
                        f"{self.path}: {sample.key} has the wnid {sample.name} alone, and by the JSON of "
                        f"others {self._unlike_words}; write names or wnids to the KEY.cls of all samples, "
                        f"and take the option label=cls"
                    )
                sample.name = words[sample.name]
        return labelled

    @cached_property
    def _unlike_words(self) -> str:
        """Which wnids and words in the JSON of samples are not of each other; empty if all are."""
        return contradiction((sample.wnid, sample.name) for sample in self._samples if sample.wnid)

    @cached_property
    def _classes(self) -> tuple[dict[str, str], str]:
        """The class of each label, a name or what a number stands for, and what told it."""
        samples = self._labelled
        numbered = [sample for sample in samples if sample.number]
        if not numbered:
            if self.names:
                name = samples[0].name
                raise ItlError(f"the option names is for labels that are numbers, but one is {name[:40]!r}")
            names = {sample.name for sample in samples}
            if len(names) > max(2, len(samples) // 2):
                raise ItlError(
                    f"{self.path}: {counted(len(samples), 'samples have')} {len(names):,} different texts, "
                    f"such as {examples(sorted(names), 1)[:60]!r}: captions, not classes; write KEY.cls"
                )
            return {name: name for name in names}, "the names in its samples"
        if len(numbered) < len(samples):
            other = next(sample for sample in samples if not sample.number)
            raise ItlError(
                f"{self.path}: {other.key} has the class {other.name!r}, others have a number; write names, "
                f"or numbers, to the KEY.cls of all samples, and take the option label=cls"
            )
        numbers = {sample.number for sample in numbered}
        if self.names:
            file = str(self.names)
            names_in_file = read_names(self.names.read_bytes(), file)
            classes = {number: name_of(number, names_in_file, file) for number in numbers}
            return classes, f"the numbers in its samples, named by {file}"
        self._refuse_two_names((sample, sample.name) for sample in numbered if sample.name)
        hints = {  # what may name the numbers, the surest first
            "the JSON of samples": ((sample.number, sample.name) for sample in numbered),
            "the wnids in their keys": ((sample.number, _wnid_of(sample.key)) for sample in numbered),
        }
        for what, pairs in hints.items():
            if (named := names_of_numbers(pairs)).keys() == numbers:
                return named, f"the numbers in its samples, named by {what}"
        self._refuse_two_numberings(self._repeated_texts(numbered))
        unnamed = {number: number for number in numbers}
        return unnamed, "numbers without names (the option names=FILE gives them)"

    def _repeated_texts(self, numbered: Iterable[Sample]) -> list[tuple[Sample, str]]:
        """Return samples whose text is one of several splits, and it; none if no text repeats in a split."""
        texts = [(sample, sample.text) for sample in numbered if sample.text]
        counts = Counter(text for _, text in {(self._split_of[sample.shard], text) for sample, text in texts})
        shared = [(sample, text) for sample, text in texts if counts[text] > 1]
        return shared if len(shared) > sum(count for count in counts.values() if count > 1) else []

    def _refuse_two_numberings(self, named: Iterable[tuple[Sample, str]]) -> None:
        """Raise ItlError if two splits give a number other texts, as where each numbers its own classes.

        Texts of a split that has several for a number, or one for several, may be no classes, as captions.
        """
        by_split: dict[str, dict[tuple[str, str], tuple[Sample, str]]] = defaultdict(dict)
        for sample, name in named:
            names = by_split[self._split_of[sample.shard]]
            names.setdefault((sample.number, name), (sample, name))
        for split, names in list(by_split.items()):
            if any(len(set(side)) < len(names) for side in zip(*names, strict=True)):
                del by_split[split]
        self._refuse_two_names(chain.from_iterable(names.values() for names in by_split.values()))

    def _refuse_two_names(self, named: Iterable[tuple[Sample, str]]) -> None:
        """Raise ItlError if samples give a number different names."""
        first_of: dict[str, tuple[Sample, str]] = {}  # by number
        for sample, name in named:
            first, first_name = first_of.setdefault(sample.number, (sample, name))
            if name != first_name:
                raise ItlError(
                    f"{self.path}: the class {sample.number} is {first_name!r} by {first.key} in "
                    f"{first.shard}, but {name!r} by {sample.key} in {sample.shard}; number the classes "
                    f"alike in all shards, or, if the numbers are right, say what they stand for with the "
                    f"option names=FILE"
                )


def _split_at_first_dot(name: str) -> tuple[str, str]:
    """Return the key of the sample that the file *name* of a shard is of, and its suffix in lower case."""
    folder, slash, last = name.rpartition("/")
    stem, _, suffix = last.partition(".")
    return folder + slash + stem, suffix.lower()


def _labels_one_of(name: str, keys: Collection[str]) -> bool:
    """Say whether the file *name* labels a sample: KEY.cls, or another where an image has that of *keys*."""
    key, suffix = _split_at_first_dot(name)
    return suffix in LABEL_FILES and (key in keys or suffix == "cls")


def _describe_keys(sample: Sample) -> str:
    """Say that the JSON of a *sample* tells no class, and what would."""
    return (
        f"{sample.key}.json in {sample.shard} has {sample.keys}, and a class is read as text or a whole "
        f"number by {', '.join(LABEL_KEYS)}, {', '.join(NAME_KEYS[:-1])} or {NAME_KEYS[-1]}; write it so, "
        f"or to KEY.cls"
    )


def _read_json(text: str, where: str) -> dict[str, Any]:
    """Return what a sample's JSON has by key; a value alone is its label."""
    try:
        content = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise ItlError(f"{where} is not valid JSON ({str(error)[:60]}); write the shard again") from None
    return content if isinstance(content, dict) else {"label": content}


def _labels_of_json(content: Mapping[str, Any], where: str) -> tuple[str, str, str, str]:
    """Return number and name of the class that a sample's JSON tells, and what it has if none of these.

    Before the latter is its wnid, if the name is another word: empty without one.
    """
    values = {
        key: str(value).strip()
        for key in (*LABEL_KEYS, *NAME_KEYS)
        if isinstance(value := int_if_whole(content.get(key)), str | int) and not isinstance(value, bool)
    }
    if "class" in values and (ranks := ranks_of_class(list(content))):
        del values["class"]
        if not values:
            raise ItlError(
                f"{where} may have its label in {', '.join(ranks[:-1])} or {ranks[-1]}; write it as KEY.cls, "
                f"and take the option label=cls"
            )
    numbers = {key: value for key, value in values.items() if is_number(value) and value != NO_LABEL}
    by_value = {value.lstrip("0"): f"{value} by its {key}" for key, value in numbers.items()}
    if len(by_value) > 1:
        raise ItlError(
            f"{where}: the class is {', but '.join(by_value.values())}; remove the others, or write the "
            f"right ones as KEY.cls and take the option label=cls"
        )
    names = [value for value in values.values() if value and not is_number(value)]
    wnid = next(filter(WNID.fullmatch, names), "")
    name = next(iter(names), "")
    keys = "" if values else examples([f"{key} {value!r:.20}".strip() for key, value in content.items()], 8)
    return next(iter(numbers.values()), ""), name, "" if wnid == name else wnid, keys


def _wnid_of(key: str) -> str:
    """Return the wnid with which the name of a sample, or its folder, starts; empty without one."""
    return next((part[:9] for part in reversed(key.split("/")) if WNID.match(part)), "")
