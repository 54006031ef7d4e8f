"""Which folders of a tree hold no images of a class: masks, predictions and images without labels."""

from collections import Counter, defaultdict
from collections.abc import Collection

from itl.sources.folder_names import (
    folder_of_masked,
    is_class_of_labels,
    is_of_masks,
    is_of_photos,
    is_unlabelled,
)

OF_MASKS = "images in folders of masks"  # why they are left out
Parts = tuple[str, ...]  # of the path of a folder


def folders_left_out(
    merged: Counter[Parts], class_level: int | None = None, nested: bool = False
) -> dict[Parts, str]:
    """Return why some of the folders *merged*, with their images, are no classes, and hold none.

    Those are predictions and unlabelled images beside two classes or more. If the level of classes is chosen,
    they are also masks: beside images above or below it, or in a class beside a folder of as many images,
    as cat GT beside cat.

    >>> folders_left_out(Counter([("cat",), ("dog",), ("unlabeled",)]))
    {('unlabeled',): 'images in folders called unlabeled'}
    >>> merged = [("cat", "images"), ("cat", "masks"), ("dog", "dog"), ("dog", "dog GT"), ("masks",)]
    >>> list(folders_left_out(Counter(merged), class_level=1))
    [('cat', 'masks'), ('dog', 'dog GT')]
    """
    inside: dict[Parts, set[str]] = defaultdict(set)  # folder -> the folders in it
    for parts in merged:
        for depth, name in enumerate(parts):
            inside[parts[:depth]].add(name)
    of_level = class_level is not None or nested
    reasons: dict[Parts, str] = {}
    for folder, names in inside.items():  # tens of thousands of names: none is compared with all others
        if of_level and len(folder) + 1 != class_level:
            masks = filter(is_of_masks, names) if any(map(is_of_photos, names)) else ()
            reasons |= {(*folder, name): OF_MASKS for name in masks}
        elif not of_level and (unlabelled := set(filter(is_unlabelled, names))):
            classes = names - unlabelled
            for name in unlabelled if len(classes) > 1 else ():
                if not is_class_of_labels(name, classes):
                    reasons[*folder, name] = f"images in folders called {name}"
    if class_level is not None:
        reasons |= dict.fromkeys(_masks_in_classes(merged, class_level), OF_MASKS)
    ends = ((parts, parts[:depth]) for parts in merged for depth in range(1, len(parts) + 1))
    return {parts: reasons[start] for parts, start in ends if start in reasons}


def _masks_in_classes(merged: Counter[Parts], level: int) -> Collection[Parts]:
    """Return folders in classes, on *level*, that are called after others of as many images, as cat GT."""
    named = {parts: (*parts[:-1], folder_of_masked(parts[-1])) for parts in merged if len(parts) > level}
    pairs = {masks: photos for masks, photos in named.items() if photos in merged}
    return pairs if all(merged[masks] == merged[photos] for masks, photos in pairs.items()) else ()
