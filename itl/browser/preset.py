"""A selection as a preset: as YAML to copy, and as a file that `itl plan` takes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from itl.errors import ItlError
from itl.machine import project_folder
from itl.packs.pack import Pack
from itl.packs.paths import is_built_of
from itl.packs.subset import SubsetCounts
from itl.presets import Preset, write_preset
from itl.runs.questions import DATA_SIZE, questions_of
from itl.settings import spec_of
from itl.specs import Packing, Subset
from itl.words import counted


def as_yaml(subset: Subset, taxonomy: str | None) -> str:
    """Write *subset* as a notebook's block in a preset holds it, with the name of its *taxonomy* if any.

    >>> print(as_yaml(Subset("", "bottom-up@1", images_per_class=50), "rooms.csv"), end="")
    subset:
      labels: bottom-up@1
      images_per_class: 50
      seed: 0
    taxonomy: rooms.csv
    """
    block = on_taxonomy({"subset": settings(subset)}, taxonomy)
    return yaml.safe_dump(block, sort_keys=False, width=10_000)


def settings(subset: Subset) -> dict[str, Any]:
    """Write *subset* as plain values, without its pack and without what is not set."""
    names = ("labels", "classes", "images_per_class", "seed")
    return {name: value for name in names if (value := getattr(subset, name)) is not None}


def on_taxonomy(question: Mapping[str, Any], taxonomy: str | None) -> dict[str, Any]:
    """Return the settings of a *question*, asked on *taxonomy*, '' for the snapshot; None: on its own.

    >>> on_taxonomy({"net": "small", "taxonomy": "rooms.csv"}, "")
    {'net': 'small'}
    """
    if taxonomy is None:
        return dict(question)
    others = {name: value for name, value in question.items() if name != "taxonomy"}
    return others | ({"taxonomy": taxonomy} if taxonomy else {})


def save(
    name: str, subset: Subset, kept: SubsetCounts, pack: Pack | None, base: Preset, taxonomy: str | None
) -> Path:
    """Write ``params/NAME.yaml``, *base*'s question of data size within *subset*, `on_taxonomy`.

    It has those numbers of images per class of *base* that the smallest class allows, and all images.

    ItlError if *base* does not ask it, without a pack, which says what images are, and for a single class.
    """
    if DATA_SIZE not in base.notebooks:
        raise ItlError(
            f"a selection becomes the question {DATA_SIZE}, which preset {base.name} does not ask; give "
            f"HierarchyBrowser a preset that does, such as demo"
        )
    if pack is None:
        raise ItlError(
            f"preset {name} needs images to name and to count, and this browser shows the tree alone; make "
            f"it with a pack, as HierarchyBrowser(pack=...)"
        )
    if len(kept.images) == 1:
        raise ItlError(
            f"preset {name} would train nets on one class, which teaches them nothing; choose more"
        )
    question = on_taxonomy(base.notebooks[DATA_SIZE], taxonomy)
    images = images_of(pack, question["images"])
    limit = min(kept.images.values(), default=0)
    question |= {"images": images, "subset": settings(subset)}
    if counts := question.get("images_per_class"):  # else that of subset
        sizes = [count for count in counts if count != "all" and count < limit]
        if not sizes:
            raise ItlError(
                f"preset {name} would compare numbers of images per class as {base.name} does, which has "
                f"{', '.join(map(str, counts))}, and none is below the {limit} of the smallest class chosen; "
                f"choose more images or larger classes, or give HierarchyBrowser a preset with a smaller "
                f"number, such as 0"
            )
        question["images_per_class"] = [*sizes, subset.images_per_class or "all"]
    seeds = question.get("seeds", [subset.seed])
    if subset.seed not in seeds:  # the first is what the browser shows
        question["seeds"] = [subset.seed + number for number in range(len(seeds))]
    notebooks = {DATA_SIZE: question, "99-summary": {}}
    if not question.get("taxonomy"):  # the page shows WordNet, where other classes have no place
        notebooks = {"00-hierarchy": {"images": images}, **notebooks}
    about = f"{counted(len(kept.images), 'classes')} chosen in the browser, with the recipe of {base.name}."
    questions_of(Preset(name=name, about=about, notebooks=notebooks))  # refuses what cannot be asked
    return write_preset(name, {"about": about, "notebooks": notebooks}, project_folder() / "params")


def images_of(pack: Pack, usual: Mapping[str, object]) -> dict[str, object]:
    """Say which images *pack* is made of: as *usual* where runs built it so, else with where they lie."""
    if is_built_of(pack.folder, spec_of(Packing, usual, "images"), "images"):
        return dict(usual)
    request = {name: value for name, value in pack.summary["request"].items() if value != {}}
    return request | ({"path": pack.summary["path"]} if pack.summary["path"] else {})
