"""Columns that say of which person or thing an image is, and training images that are held out by one."""

from collections.abc import Callable, Collection, Mapping

from itl.errors import one_of
from itl.hierarchy.class_lists import is_missing
from itl.sources.held_out import describe_groups, refuse_group_alone, split_off_val
from itl.sources.records import Record


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
        cells: Returns the values of one of them, by the ids of images.

    Returns:
        The records, and notes on images without a value, and on groups that test has too.

    Raises:
        ItlError: If there is no such column, or nothing to be held out.
    """
    refuse_group_alone(group, fraction)
    if not fraction or group is None:
        return split_off_val(records, fraction), []
    one_of(columns, group, "column, as the option group names it,")
    groups = {image: str(cell).strip() for image, cell in cells(group).items() if not is_missing(cell)}
    train = {record.id for record in records if record.split == "train"}
    of_train = {image: text for image, text in groups.items() if image in train}
    divided = split_off_val(records, fraction, groups=of_train)
    return divided, describe_groups(divided, groups, group)
