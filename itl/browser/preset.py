"""A selection as a preset: in words to copy, and as a file that `itl plan` takes."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from itl.packs.pack import Pack
from itl.packs.subset import SubsetCounts
from itl.presets import Preset, write_preset
from itl.runs.questions import DATA_SIZE, questions_of
from itl.specs import Subset


def as_yaml(subset: Subset) -> str:
    """Write *subset* as a notebook's block in a preset holds it.

    >>> print(as_yaml(Subset("", "bottom-up@9", images_per_class=50)), end="")
    subset:
      labels: bottom-up@9
      images_per_class: 50
      seed: 0
    """
    return yaml.safe_dump({"subset": settings(subset)}, sort_keys=False, width=10_000)


def settings(subset: Subset) -> dict[str, object]:
    """Write *subset* as plain values, without its pack and without what is not given."""
    fields = {"labels": subset.labels, "classes": subset.classes, "images_per_class": subset.images_per_class}
    return {name: value for name, value in fields.items() if value is not None} | {"seed": subset.seed}


def save(
    name: str, subset: Subset, kept: SubsetCounts, pack: Pack | None, base: Preset, folder: Path
) -> Path:
    """Write preset *name*: the question of data size asked within *subset*, with the rest as in *base*.

    It asks for those numbers of images per class of *base* that the smallest class allows, and for all.
    """
    asked = dict(base.notebooks[DATA_SIZE])
    images = dict(asked["images"]) if pack is None else _images_of(pack, asked["images"])
    most = min(kept.images.values(), default=0)
    sizes = [count for count in asked["images_per_class"] if count != "all" and count < most]
    asked |= {"images": images, "images_per_class": [*sizes, subset.images_per_class or "all"]}
    asked["subset"] = settings(subset)
    notebooks = {"00-hierarchy": {"images": images}, DATA_SIZE: asked, "99-summary": {"preset": name}}
    about = f"{len(kept.images):,} classes chosen in the browser, with the recipe of {base.name}."
    questions_of(Preset(name=name, about=about, notebooks=notebooks))       # refuses what could not be asked
    return write_preset(name, {"about": about, "notebooks": notebooks}, folder)


def _images_of(pack: Pack, usual: Mapping[str, object]) -> dict[str, object]:
    """Say which images *pack* is made of: as *usual*, with its path, where those are the same."""
    made = {name: value for name, value in pack.summary["request"].items() if value != {}}
    given = {name: value for name, value in usual.items() if name != "path"}
    same = {"fit": "squash"} | given == made
    return dict(usual) if same else made
