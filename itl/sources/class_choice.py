"""Classes of a source chosen, or merged, by a list in a file: ImageNet-100, living17, one's own."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from itl import ItlError, counted
from itl.hierarchy.class_lists import read_class_list
from itl.hierarchy.taxonomy import Taxonomy
from itl.sources.layout import Layout

NOT_CHOSEN = "images of classes that the list does not have"


def choose_classes(layout: Layout, file: Path | None, counts: Mapping[str, int]) -> Layout:
    """Return *layout* with the classes of the list in *file* alone, named as what they count as.

    Args:
        layout: What the folders stand for.
        file: A list as `read_class_list` reads it; None keeps all classes.
        counts: Images that lie directly in each folder.

    Raises:
        ItlError: If a line is no class, or the source has none, or one alone, of the classes.
    """
    if file is None:
        return layout
    chosen = class_map(file, layout.classes, layout.class_names)
    class_of, left_out = {}, Counter(layout.left_out)
    for folder, (split, name) in layout.class_of.items():
        if name in chosen:
            class_of[folder] = (split, chosen[name])
        else:
            left_out[NOT_CHOSEN] += counts[folder]
    return replace(layout, class_of=class_of, left_out=left_out)


def class_map(file: Path, classes: list[str], names: Mapping[str, str]) -> dict[str, str]:
    """Return what those of *classes* count as that the list in *file* has; *names* are words for wnids.

    Raises:
        ItlError: If a line is no class, or of several *classes* none, or one alone, is left.
    """
    known = {name: wnid for wnid, name in names.items()} | {name: name for name in classes}
    listed = read_class_list(Path(file), Taxonomy.snapshot(), known)
    chosen = {name: listed[name] for name in classes if name in listed}
    if not chosen:
        raise ItlError(f"{file} lists {counted(len(listed), 'classes')}, of which the images have none")
    if len(chosen) == 1 < len(classes):  # several that count as one are said to
        raise ItlError(
            f"{file} keeps one class of {len(classes):,}, {next(iter(chosen))}, and one alone tells nothing "
            f"apart; list two or more"
        )
    return chosen
