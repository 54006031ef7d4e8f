"""Validation images that are held out of the training images of a source."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from itl.errors import ItlError
from itl.sources.records import Record
from itl.words import counted

K = TypeVar("K")


def refuse_group_alone(group: str | None, fraction: float) -> None:
    """Raise ItlError for an option *group* without val_fraction, whose value is *fraction*."""
    if group is not None and not fraction:
        raise ItlError(
            f"the option group={group} says what val_fraction holds out together, which is not set; set "
            f"val_fraction=0.1, or leave group out"
        )


def split_off_val(
    records: list[Record], fraction: float, groups: Mapping[str, str] = MappingProxyType({})
) -> list[Record]:
    """Move *fraction* of each class from train to val: the images whose ids have the lowest hashes.

    Images of one of *groups*, by their ids, go together whatever their classes: where val has too few of one
    of these, but not with more than twice its part of any, or all of it; groups of several classes until val
    has its part of all images. Records keep their group.
    ItlError for a *fraction* that is none, or above 0 where some *records* are val already, or none would be.

    >>> cats = [Record(f"{number}.jpg", "cat", "train") for number in range(4)]
    >>> group_of = {"0.jpg": "a", "1.jpg": "b", "2.jpg": "a", "3.jpg": "c"}
    >>> [record.split for record in split_off_val(cats, 0.5, group_of)]
    ['val', 'train', 'val', 'train']
    """
    if not 0 <= fraction < 1:
        raise ItlError(
            f"val_fraction is a part of the training images, 0 or more and less than 1, not {fraction}"
        )
    if not fraction:
        return records
    counts = Counter(record.split for record in records)
    if counts["val"]:
        raise ItlError(
            f"val_fraction={fraction} is set, but there are {counted(counts['val'], 'val images')}; "
            f"leave it out"
        )
    train = [record for record in records if record.split == "train"]
    together: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in sorted(train, key=lambda record: hashlib.sha256(record.id.encode()).digest()):
        group = groups.get(record.id, "")
        together[group, "" if group else record.id].append(record)
    images = [
        Counter(record.wnid for record in group) if len(group) > 1 else {group[0].wnid: 1}  # of a million
        for group in together.values()
    ]
    chosen = choose_groups(images, fraction)
    val = {
        record.id for number, group in enumerate(together.values()) if number in chosen for record in group
    }
    if train and not val:
        why, cure = "every class has one alone", "give classes more, or a split val or test instead"
        if max(Counter(record.wnid for record in train).values()) > 1:
            why, cure = "every group has too much of a class", "set another group, or leave both out"
        raise ItlError(f"val_fraction={fraction} holds out no image, as {why}; {cure}")
    return [
        replace(record, split="val" if record.id in val else record.split, group=groups.get(record.id, ""))
        if record.id in val or record.id in groups
        else record
        for record in records
    ]


def describe_groups(records: Sequence[Record], groups: Mapping[str, str], group: str) -> list[str]:
    """Return notes on images outside of *groups*, and on groups that test shares.

    Args:
        records: All images, of which some are held out.
        groups: The group of images, by ids.
        group: The option that says these.
    """
    notes = []
    fitted = [record for record in records if record.split != "test"]
    if alone := sum(record.id not in groups for record in fitted):
        count = counted(alone, "images have")
        notes.append(f"{count} no group, by the option group={group}, and are held out one by one")
    of_test = {groups[record.id] for record in records if record.split == "test" and record.id in groups}
    if shared := sorted(of_test.intersection(groups.get(record.id) for record in fitted)):
        count = counted(len(shared), "groups")
        notes.append(f"test has images of {count} of train or val, such as {shared[0]}, by group={group}")
    return notes


def choose_groups(groups: Sequence[Mapping[K, int]], fraction: float) -> set[int]:
    """Return which of *groups*, in this order, make up a *fraction* of each class: see `split_off_val`.

    Each group has its images of each class.

    >>> choose_groups([{"cat": 9}, {"cat": 2}, {"cat": 2, "dog": 1}, {"dog": 1}, {"cat": 7}], 0.2)
    {1, 2}
    """
    totals = Counter[K]()
    for group in groups:
        totals.update(group)
    parts = {label: min(count - 1, max(1, round(fraction * count))) for label, count in totals.items()}
    most = {label: min(2 * part, totals[label] - 1) for label, part in parts.items()}
    wanted, taken, chosen = sum(parts.values()), Counter[K](), set()
    for number, group in enumerate(groups):
        is_short = any(taken[label] < parts[label] for label in group)
        is_short &= len(group) == 1 or taken.total() < wanted
        if is_short and all(taken[label] + count <= most[label] for label, count in group.items()):
            taken.update(group)
            chosen.add(number)
    return chosen
