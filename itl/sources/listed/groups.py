"""Columns that say of which person or thing an image is, and training images that are held out by one."""

from collections.abc import Callable, Collection, Iterable, Mapping

from itl import counted, pick
from itl.hierarchy.class_lists import is_missing
from itl.sources.records import Record, examples, refuse_group_alone, split_off_val
from itl.sources.split_names import words_of

GROUP_WORDS = {  # in names of columns
    *("patient", "subject", "participant", "person", "driver", "individual", "group", "lesion", "case"),
    *("study", "series", "slide", "sequence", "seq", "video", "clip", "location", "site", "station"),
}


def hold_out(
    records: list[Record],
    fraction: float,
    group: str | None,
    columns: Collection[str],
    cells: Callable[[str], Mapping[str, object]],
) -> tuple[list[Record], list[str]]:
    """Move *fraction* of the training images of each class to val, as `split_off_val` does.

    Args:
        records: All images.
        fraction: The option val_fraction.
        group: The option of this name: images with one value in this column go together; None for one by one.
        columns: The columns that there are, but for those of images and labels.
        cells: Returns the values of one of them, by the ids of training images.

    Returns:
        The records, and notes: on images without a value, and on other columns that train and val share.

    Raises:
        ItlError: If there is no such column, or nothing to be held out.
    """
    refuse_group_alone(group, fraction)
    if not fraction:
        return split_off_val(records, fraction), []
    if group is not None:
        pick(dict.fromkeys(columns), group, "column, as the option group names it,")
    groups = _texts(cells(group)) if group is not None else {}
    divided = split_off_val(records, fraction, groups=groups)
    others = [name for name in columns if name != group and not GROUP_WORDS.isdisjoint(words_of(name))]
    notes = [note for name in others if (note := _describe_divided(divided, name, _texts(cells(name))))]
    alone = sum(record.split in ("train", "val") and record.id not in groups for record in divided)
    if group is not None and alone:
        notes.append(f"{counted(alone, 'images have')} no value of {group}, and are held out one by one")
    return divided, notes


def _texts(cells: Mapping[str, object]) -> dict[str, str]:
    """Return *cells* as text, without empty ones."""
    return {image: str(cell).strip() for image, cell in cells.items() if not is_missing(cell)}


def _describe_divided(records: Iterable[Record], column: str, texts: Mapping[str, str]) -> str:
    """Say which values of *column* both train and val have, by the *texts* of images; '' if none."""
    values: dict[str, set[str]] = {"train": set(), "val": set()}
    for record in records:
        if record.id in texts and record.split in values:
            values[record.split].add(texts[record.id])
    shared = sorted(values["train"] & values["val"])
    if not shared:
        return ""
    return (
        f"train and val share {counted(len(shared), 'values')} of the column {column}, such as "
        f"{examples(shared)}; the option group={column} holds the images of each out together"
    )
