"""Validation images that are held out of the training images of a source."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from itl.errors import ItlError
from itl.iteration import grouped
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

    Images of one group, which *groups* has by their ids, go together, whatever their classes; other images go
    one by one. A group goes to val if a class of it lacks images there, unless a class would then have more
    than twice its part in val, or no image in train. A group of several classes goes only while val lacks
    images of all classes together. Records keep their group.

    ItlError for a *fraction* outside of [0, 1); and, above 0, if some *records* are val already, or no image
    can be held out.

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
    if count := sum(record.split == "val" for record in records):
        raise ItlError(
            f"val_fraction={fraction} is set, but there are {counted(count, 'val images')}; leave it out"
        )
    train = [record for record in records if record.split == "train"]
    in_order = sorted(train, key=lambda record: hashlib.sha256(record.id.encode()).digest())
    # An image without group is one of its own; its key, a tuple, is the name of no group.
    together = list(grouped((groups.get(record.id) or (record.id,), record) for record in in_order).values())
    chosen = choose_groups(list(map(_count_classes, together)), fraction)
    val = {record.id for number in chosen for record in together[number]}
    if train and not val:
        why, cure = "every class has one alone", "give classes more, or a split val or test instead"
        if max(_count_classes(train).values()) > 1:
            why, cure = "every group has too much of a class", "set another group, or leave both out"
        raise ItlError(f"val_fraction={fraction} holds out no image, as {why}; {cure}")
    return [
        replace(record, split="val" if record.id in val else record.split, group=groups.get(record.id, ""))
        if record.id in val or record.id in groups
        else record
        for record in records
    ]


def _count_classes(records: Sequence[Record]) -> Mapping[str, int]:
    if len(records) == 1:  # most groups are one image; a Counter for each of a million takes seconds
        return {records[0].wnid: 1}
    return Counter(record.wnid for record in records)


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
        is_wanted = any(taken[label] < parts[label] for label in group)
        is_wanted &= len(group) == 1 or taken.total() < wanted
        if is_wanted and all(taken[label] + count <= most[label] for label, count in group.items()):
            taken.update(group)
            chosen.add(number)
    return chosen
