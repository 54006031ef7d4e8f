"""The selection of a HierarchyBrowser as the conditions of a StudyPanel."""

from collections.abc import Mapping
from typing import Any

from itl import ItlError
from itl.browser.preset import images_of, settings
from itl.browser.widget import HierarchyBrowser
from itl.runs.study import Study
from itl.settings import spec_of
from itl.specs import Packing


def with_selection(
    conditions: Mapping[str, Any], browser: HierarchyBrowser, study: type[Study], usual: Mapping[str, Any]
) -> tuple[dict[str, Any], str]:
    """Return *conditions* of a *study* with the selection of *browser*, and what to tell people about it.

    They name the images of the browser's pack where these are others than *usual*.

    ItlError if the study takes no selection of classes.
    """
    values, subset, notes = dict(conditions), browser.subset, []
    if "subset" in study.model_fields:
        values["subset"] = settings(subset)
    elif "label_sets" in study.model_fields:
        values["label_sets"] = list(dict.fromkeys([*values.get("label_sets", []), subset.labels]))
        if subset.classes or subset.images_per_class:
            notes.append(f"The labels are taken; {study.name} takes no numbers of classes or images.")
    else:
        raise ItlError(f"{study.name} takes no selection of classes; choose data-size or class-count")
    if browser.pack is not None:
        values.pop("images", None)
        images = images_of(browser.pack, usual)
        if spec_of(Packing, images, "images") != spec_of(Packing, usual, "images"):
            values["images"] = images
            notes.append("The images are those of the browser's pack.")
    return values, " ".join(notes)
