"""The nets of a store, found by the keys of their runs, and the targets that each was measured on."""

import json
import shlex
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from itl.errors import ItlError, did_you_mean
from itl.evaluation.methods import METHODS
from itl.machine import Machine
from itl.runs.store import PROVENANCE_FILE, Store
from itl.specs import (
    FILE_NAME,
    IMAGENET_MEAN,
    IMAGENET_STD,
    NUMERICS,
    Pretrain,
    Spec,
    Transfer,
    canonical,
    key,
    pretraining_of,
)
from itl.storage import read_mapping

LEAST_KEY = 4  # letters of a key that may stand for it


def net_of(run: str | Spec, store: Store) -> Pretrain:
    """Return the pre-training that *run* is or measures: a spec, the key of one, or its beginning.

    ItlError if the key belongs to no run here, to several, or to a run of another version of itl.
    """
    if isinstance(run, Spec):
        return pretraining_of(run)
    if not isinstance(run, str):
        raise ItlError(
            f"a run is called by its key or the beginning of it, as runs.csv lists them; got {run!r}"
        )
    folder = _folder_of(run, store)
    content = _read(folder)
    spec = _pretrain(content)
    is_net = "Pretrain" in content
    if spec is None or content.get("numerics") != NUMERICS or (is_net and key(spec) != folder.name):
        here = f"; for this one it would be {key(spec)}" if spec and is_net else ""
        raise ItlError(f"run {folder.name} is of another version of itl{here}; repeat it with `itl run`")
    labels = _with_paths(spec.subset.labels, store.path(spec))
    return replace(spec, subset=replace(spec.subset, labels=labels))


def _with_paths(labels: str, folder: Path) -> str:
    """Return *labels*, of a spec.json, with the paths of files that the run in *folder* read them from."""
    if "file@#" not in labels:
        return labels
    recorded = str(read_mapping(folder / PROVENANCE_FILE).get("labels"))
    return recorded if FILE_NAME.sub("file@", recorded) == labels else labels


def _folder_of(run: str, store: Store) -> Path:
    """Return the folder of the run whose key is *run*, or begins so; ItlError if that is none, or several."""
    matches = [folder for folder in _folders(store) if folder.name.startswith(run)]
    if len(matches) != 1 or len(run) < LEAST_KEY:
        keys = [folder.name for folder in _folders(store)]
        more = f"give its first {LEAST_KEY} letters, or as many as no other run has; " if matches else ""
        verb = "has" if len(matches) == 1 else "have"
        raise ItlError(
            f"the run {run!r} was asked for; {len(matches)} of the {len(keys)} runs in {store.root} {verb} a "
            f"key that begins so; {more}{did_you_mean(run, keys)}`itl plan PRESET --runs` lists the keys"
        )
    return matches[0]


def targets_of(net: Pretrain, store: Store) -> dict[str, Transfer]:
    """Return one measurement of *net* in *store* for each target of one class an image, by what it is called.

    That is the target's name, with its labels and images per class where these are not all, and the digest of
    its pack where several packs were called so. The measurements have the method knn: they say which images
    there are.
    """
    of_net = json.loads(canonical(net))["Pretrain"]
    targets: dict[str, dict[str, Transfer]] = defaultdict(dict)  # by name, by pack
    for folder in _folders(store):
        content = _read(folder).get("Transfer", {})
        method = METHODS.get(content.get("method"))  # None: of another version
        if not method or method.annotated or content.get("pretrain") != of_net:
            continue
        labels, count = content.get("labels", "original"), content["images_per_class"]
        target, tree = content["target"], content.get("tree", "")
        name = target + (f"/{labels}" if labels != "original" else "") + (f":{count}" if count else "")
        pack, labels = content["pack"], _with_paths(labels, folder)
        targets[name][pack] = Transfer(
            net, "knn", target, pack, images_per_class=count, seed=net.seed, labels=labels, tree=tree
        )
    return {
        f"{name} (pack {pack})" if len(targets[name]) > 1 else name: measured
        for name in sorted(targets)
        for pack, measured in sorted(targets[name].items())
    }


def export_net(run: str, path: str | Path, machine: Machine) -> str:
    """Write the net of *run* to *path*, by the names of torchvision or timm; return notes on its use.

    ItlError for a run that trains its net on a target: its final weights are not kept.
    """
    from itl.runs.perform import load_net  # here: it imports torch
    from itl.training.weights import export_weights

    store, path = Store(machine.runs), Path(path)
    spec = net_of(run, store)
    measured = _read(_folder_of(run, store)).get("Transfer")
    if measured and METHODS[measured["method"]].recipe:
        command = shlex.join(["itl", "export", key(spec), str(path), *machine.options])
        raise ItlError(
            f"run {run} trains its net on {measured['target']} ({measured['method']}), and the weights that "
            f"this ends with are not kept; `{command}` writes the net that it begins with"
        )
    model = export_weights(load_net(spec, store), spec.net, spec.recipe.pixels, path)
    mean, std = (spec.weights.mean, spec.weights.std) if spec.weights else (IMAGENET_MEAN, IMAGENET_STD)
    untrained = "" if spec.trained else " (as initialised: it is trained on nothing)"
    if spec.weights:
        untrained = " (its head is new: it is trained on nothing)"
    return (
        f"{path}: {spec.net} of run {key(spec)}{untrained}, for images of {spec.recipe.pixels} "
        f"pixels less mean {list(mean)}, divided by std {list(std)} (RGB from 0 to 1); {model} loads it"
    )


def _folders(store: Store) -> list[Path]:
    """List the folders of all runs."""
    return sorted(path.parent for path in store.root.glob("*/*/spec.json"))


def _read(folder: Path) -> dict:
    return read_mapping(folder / "spec.json", "`itl run` makes it again")


def _pretrain(content: dict) -> Pretrain | None:
    """Make the pre-training of the *content* of a spec.json; None where another version wrote it."""
    from pydantic import TypeAdapter, ValidationError  # a GPU machine that only trains may lack it

    fields = content["Pretrain"] if "Pretrain" in content else content.get("Transfer", {}).get("pretrain")
    try:
        return TypeAdapter(Pretrain).validate_python(fields)
    except ValidationError:
        return None
