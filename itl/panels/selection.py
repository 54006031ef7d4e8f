"""The selection of a HierarchyBrowser as the conditions of a StudyPanel."""

from collections.abc import Mapping, Sequence
from typing import Any

from itl.browser.preset import images_of, settings
from itl.browser.widget import HierarchyBrowser
from itl.errors import ItlError
from itl.hierarchy.label_sets import label_set
from itl.packs.subset import MAX_LABELS_SHOWN
from itl.runs.study import Study
from itl.settings import spec_of
from itl.specs import Packing
from itl.words import shortened


def with_selection(
    conditions: Mapping[str, Any],
    browser: HierarchyBrowser,
    studies: Sequence[type[Study]],
    usual: Mapping[str, Any],
) -> tuple[dict[str, Any], str]:
    """Return *conditions* of the first of *studies* with the selection of *browser*, and what was taken.

    They name the images of the browser's pack where these are others than *usual*.

    ItlError if the study takes no selection of classes; it names those of *studies* that do.
    """
    values, subset, study, notes = dict(conditions), browser.subset, studies[0], []
    taken = settings(subset)
    if "subset" in study.model_fields:
        values["subset"] = taken
    elif "label_sets" in study.model_fields:
        values["label_sets"] = list(dict.fromkeys([*values.get("label_sets", []), subset.labels]))
        taken = {"labels": subset.labels}
        if subset.classes or subset.images_per_class:
            notes.append(f"{study.name} takes no numbers of classes or images.")
        classes = list(browser.images)
        if len(label_set(browser.tree, subset.labels, classes).class_of) < len(classes):
            notes.append("These labels leave classes out, whose images their nets do not see.")
    else:
        able = [other.name for other in studies if {"subset", "label_sets"} & other.model_fields.keys()]
        others = " or ".join(able) or "a preset that asks data-size"
        raise ItlError(f"{study.name} takes no selection of classes; choose {others}")
    words = [f"{name.replace('_', ' ')} {value}" for name, value in taken.items()]
    notes.insert(0, f"Taken: {', '.join(shortened(text, MAX_LABELS_SHOWN) for text in words)}.")
    if browser.pack is not None:
        values.pop("images", None)
        images = images_of(browser.pack, usual)
        if spec_of(Packing, images, "images") != spec_of(Packing, usual, "images"):
            values["images"] = images
            notes.append("The images are those of the browser's pack.")
    return values, " ".join(notes)
