"""Runs: what each kind of spec does, on one machine or on the ranks of one torchrun."""

import atexit
import gc
import json
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any

import torch
from torch import distributed

from itl.errors import ItlError, pick
from itl.evaluation.accuracy import scores
from itl.evaluation.finetune import LR_SCORES_FILE, search_so_far
from itl.evaluation.methods import METHODS
from itl.evaluation.target import multilabel_target, target_of
from itl.hierarchy.taxonomies import tree_of_digest
from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import Machine
from itl.notes import warn
from itl.packs.pack import Pack, scored_split
from itl.packs.paths import open_by_digest
from itl.packs.subset import Selection, manifest, select
from itl.processes import failure_text, free_frames
from itl.runs.progress import worse_than_guessing
from itl.runs.provenance import mixed, provenance
from itl.runs.store import BEGUN, LOG_FILE, MANIFEST_FILE, PROVENANCE_FILE, WEIGHTS_FILE, Store
from itl.specs import DetectionRecipe, Pretrain, Spec, Transfer, Weights, key, pretraining_of
from itl.storage import CHECKPOINT_FILE, read_mapping, write_atomic
from itl.training.batches import Batches, device
from itl.training.checkpoint import trained_seconds
from itl.training.loop import Diverged, join_ranks, load_weights, predict, save_weights, train
from itl.training.nets import Classifier, build_for, set_norm_statistics
from itl.training.numerics import autocast, described, repeatable
from itl.training.weights import fill_body, load_kept

OBJECT_DEVICE = torch.device("cpu")  # over gloo: ranks may wait for hours, which would keep NCCL busy
TRAINING_TOGETHER = Event()  # on rank 0: the others train with it, and would wait for it if it failed
RANKS_WAIT = timedelta(days=3650)  # without end: rank 0 may evaluate for days; a rank that ends is noticed
CHOSEN_SETTINGS = ("strength", "lr")  # by an evaluator, which returns them beside its metrics


def perform(spec: Spec, store: Store, machine: Machine) -> dict:
    """Return the result of *spec*. If it is not done, do it, from its last checkpoint.

    ItlError if files of the run cannot be read or written.
    """
    try:
        with store.claim(spec) as folder:
            result = store.result(spec) or _perform(spec, store, folder, machine)
            store.remove_temporary(spec)
            return result
    except OSError as error:
        raise ItlError(
            f"run {key(spec)} stopped: {error}; fix the cause and repeat the command, it resumes there"
        ) from error


def _perform(spec: Spec, store: Store, folder: Path, machine: Machine) -> dict:
    if isinstance(spec, Transfer):
        machine = machine.replace(rank=0, ranks=1)  # the other ranks share trainings only
    if not (folder / BEGUN).exists():  # a search is that of a finished run, which is done again
        (folder / LR_SCORES_FILE).unlink(missing_ok=True)
    if store.state(spec) == "to do":  # there is no checkpoint: it starts anew, and so does its log
        (folder / LOG_FILE).unlink(missing_ok=True)
    earlier, seconds = _resumed(folder)
    begun = mixed(earlier, _provenance(spec, machine))
    started = time.monotonic() - seconds
    store.write(spec, BEGUN, begun)  # of whatever code goes on from it
    with repeatable(machine):
        if isinstance(spec, Pretrain):
            result = pretrain(spec, folder, machine)
        else:
            result = transfer(spec, store, folder, machine)
    # With the paths of files, which keys leave out.
    labels = spec.labels if isinstance(spec, Transfer) else spec.subset.labels
    took = {"labels": labels, "seconds": time.monotonic() - started}
    store.write(spec, PROVENANCE_FILE, mixed(begun, _provenance(spec, machine)) | took)
    store.finish(spec, result)
    return result


def _provenance(spec: Spec, machine: Machine) -> dict[str, Any]:
    """Return what makes the result of *spec* on *machine*, for its provenance."""
    recipe = spec.recipe or pretraining_of(spec).recipe  # a frozen net is computed as it was trained
    trains = spec.recipe is not None and recipe.total_steps(1) > 0
    compiles = trains and not isinstance(recipe, DetectionRecipe)  # see itl.training.loop.train
    return provenance(machine) | described(machine, recipe.precision, compiles)


def _resumed(folder: Path) -> tuple[dict[str, Any], float]:
    """Return the provenance of what the run in *folder* goes on from, and its seconds; {} and 0 for nothing.

    A run goes on from a checkpoint of its own, or from the search for a learning rate. Its seconds are those
    of their epochs: times of files would follow the clock and copies.
    """
    search_s, searched = search_so_far(folder)
    trainings = [path.parent for path in folder.glob(f"**/{CHECKPOINT_FILE}")]
    seconds = search_s + sum(trained_seconds(training) for training in trainings if training not in searched)
    return read_mapping(folder / BEGUN) if searched or trainings else {}, seconds


def pretrain(spec: Pretrain, folder: Path, machine: Machine) -> dict:
    """Train a net on its subset, keep the weights and score it on the pack's own validation images.

    A net with weights is not trained or scored here: its new head knows nothing.

    Returns:
        classes, images (numbers), manifest (a digest) and metrics (percent, by name).
    """
    if spec.weights:
        return _take_weights(spec, spec.weights, folder, machine)
    pack = open_by_digest(spec.subset.pack, machine)
    selection = select(pack, spec.subset, "train", tree_of(spec, machine))
    table = manifest(pack, selection)
    write_atomic(folder / MANIFEST_FILE, lambda path: table.to_csv(path, index=False))
    net = fit(spec, pack, selection, folder, machine)
    if not spec.trained:
        size, count = spec.recipe.batch, len(selection.rows)
        while count > 1 and count % size == 1:  # a last image alone has no variance
            size += 1
        recipe = replace(spec.recipe, batch=size)
        batches = Batches(pack, selection, recipe, spec.seed, machine.replace(rank=0, ranks=1))
        with autocast(batches.device, spec.recipe.precision):
            set_norm_statistics(net.eval(), batches.in_order(), lambda batch: net(batch[0]))
    elif worse := worse_than_guessing(folder, len(selection.classes)):
        warn(f"run {key(spec)} ended with {worse}; an lr below {spec.recipe.lr:g} may do better")
    save_weights(net, folder / WEIGHTS_FILE)
    return {
        "classes": len(selection.classes),
        "images": len(selection.rows),
        "manifest": sha256((folder / MANIFEST_FILE).read_bytes()).hexdigest()[:12],
        "metrics": own_scores(spec, net, pack, machine.replace(rank=0, ranks=1)),
    }


def _take_weights(spec: Pretrain, weights: Weights, folder: Path, machine: Machine) -> dict:
    """Give the net of *spec* the *weights* that are kept in `machine.weights`; see `pretrain`."""
    classes = 1  # its head is replaced, whatever it is measured on
    net = build_for(spec, classes)
    tensors, note = load_kept(weights, machine.weights)
    fill_body(net, spec.net, tensors)
    save_weights(net, folder / WEIGHTS_FILE)
    return {"classes": classes, "images": 0, "weights": note, "metrics": {}}


def tree_of(spec: Pretrain, machine: Machine) -> Taxonomy:
    """Return the tree that the labels of *spec* are made from."""
    return tree_of_digest(spec.subset.tree, machine.taxonomies)


def fit(spec: Pretrain, pack: Pack, selection: Selection, folder: Path, machine: Machine) -> Classifier:
    """Build and train the net of *spec*, with every rank of a torchrun at once."""
    if machine.ranks > 1 and machine.rank == 0:
        TRAINING_TOGETHER.set()
        distributed.broadcast_object_list([(spec, folder)], src=0, device=OBJECT_DEVICE)
    net = build_for(spec, len(selection.classes)).to(device(machine))
    batches = Batches(pack, selection, spec.recipe, spec.seed, machine)
    train(
        net, batches, spec.recipe, folder, machine, seed=spec.seed, log=partial(_log_epoch, folder, machine)
    )
    TRAINING_TOGETHER.clear()
    return net


def own_scores(spec: Pretrain, net: Classifier, pack: Pack, machine: Machine) -> dict[str, float]:
    """Score *net* on every validation image of the classes it was trained on; {} where the pack has none."""
    tree, all_images = tree_of(spec, machine), replace(spec.subset, images_per_class=None, without=())
    trained_on = pack.table["wnid"].iloc[select(pack, all_images, "train", tree).rows]
    if not pack.table.loc[pack.table["split"] == "val", "wnid"].isin(trained_on).any():
        return {}
    selection = select(pack, spec.subset, "val", tree)
    batches = Batches(pack, selection, spec.recipe, spec.seed, machine)
    return scores(*predict(net, batches, machine, spec.recipe.precision))


def transfer(spec: Transfer, store: Store, folder: Path, machine: Machine) -> dict:
    """Measure a pre-trained net on a target.

    Returns:
        classes and images (of the target's training), split and protocol (of its test images), metrics
        (by name, in percent but for scores) and chosen (settings, by name).

    Raises:
        ItlError: The method is unknown, or keeps the net frozen and *spec* has a recipe.
    """
    method = pick(METHODS, spec.method, "transfer method")
    if spec.recipe is not None and method.recipe is None:
        raise ItlError(
            f"{spec.method} keeps the net frozen and uses no recipe; got {spec.recipe}; leave it out"
        )
    net = load_net(spec.pretrain, store)
    pack = open_by_digest(spec.pack, machine)
    if method.annotated:
        target = multilabel_target(spec, pack)
    else:
        target = target_of(spec, pack, tree_of_digest(spec.tree, machine.taxonomies))
    metrics = method.load()(spec, net.to(device(machine)), target, folder, machine)
    chosen = {name: metrics.pop(name) for name in CHOSEN_SETTINGS if name in metrics}
    if "lr" in chosen and spec.recipe is not None:
        chosen["lr_at_edge"] = chosen["lr"] in (min(spec.recipe.lrs), max(spec.recipe.lrs))
    counts = {"classes": len(target.train.classes), "images": len(target.train.rows)}
    split = "train" if method.predicts else scored_split(pack.summary["splits"])
    protocol = {"split": split, "protocol": pack.summary.get("protocol", "")}
    return counts | protocol | {"metrics": metrics, "chosen": chosen}


def load_net(spec: Pretrain, store: Store) -> Classifier:
    """Build the net of *spec* with the weights of its finished run.

    It takes images float32 (B, 3, P, P) of the recipe's pixels P, normalised as `itl export` says, and gives
    outputs (B, classes); its ``body`` gives features. ItlError if the run is not done.
    """
    if not isinstance(spec, Pretrain):
        raise ItlError(
            f"load_net takes the spec of a pre-training, not {spec!r}; of the key of a run: "
            f"load_net(net_of(KEY, store), store)"
        )
    net = build_for(spec, store.finished(spec)["classes"])
    load_weights(net, store.file(spec, WEIGHTS_FILE))
    return net


def _log_epoch(folder: Path, machine: Machine, row: dict) -> None:
    """Append an epoch's *row*, with the device, to the log in *folder*, which progress bars read."""
    with open(folder / LOG_FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps(row | {"device": machine.devices[0]}) + "\n")


def perform_together(specs: list[Spec], store: Store, machine: Machine) -> dict[Spec, BaseException]:
    """Do *specs* in turn under torchrun: rank 0 leads, the others help wherever it trains.

    Returns:
        What failed, with the runs that need it, alike on all ranks; its errors are texts but on rank 0.

    Raises:
        ItlError: Another rank ended, or cannot be reached.
        Exception: Rank 0 failed, other than by `Diverged`, while the others trained with it.
    """
    if TRAINING_TOGETHER.is_set():  # by runs of another question
        raise ItlError("the other ranks still wait in a training that failed; repeat the command to resume")
    join_ranks(machine, RANKS_WAIT)
    atexit.unregister(distributed.destroy_process_group)  # which could wait for ranks that are lost
    try:
        failed = _lead(specs, store, machine) if machine.rank == 0 else _follow(machine)
        distributed.barrier()  # no rank leaves while another still listens
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):  # which has no error of its own
            raise ItlError(
                f"rank {machine.rank} has lost another one, which says why it ended, if it could; what is "
                f"finished is kept: repeat the command to resume"
            ) from error
        raise
    gc.collect()  # wrapped nets, in cycles, hold on to the group and its threads
    atexit.register(distributed.destroy_process_group)
    return failed


def _lead(specs: list[Spec], store: Store, machine: Machine) -> dict[Spec, BaseException]:
    """Do *specs* in turn as rank 0, and tell the others what failed; see `fit` for what they train."""
    failed: dict[Spec, BaseException] = {}
    for spec in specs:
        if (net := pretraining_of(spec)) in failed:
            failed[spec] = failed[net]
            continue
        try:
            perform(spec, store, machine)
        except Exception as error:
            if TRAINING_TOGETHER.is_set() and not isinstance(error, Diverged):
                raise  # all ranks notice alike that a training diverges, and nothing else
            TRAINING_TOGETHER.clear()
            free_frames(error)  # they hold the net, and memory of the GPU
            failed[spec] = error
    failures = {spec: failure_text(error) for spec, error in failed.items()}
    distributed.broadcast_object_list([failures], src=0, device=OBJECT_DEVICE)
    return failed


def _follow(machine: Machine) -> dict[Spec, BaseException]:
    """Train with rank 0 whatever it trains, until it tells what failed."""
    while True:
        box: list[Any] = [None]
        distributed.broadcast_object_list(box, src=0, device=OBJECT_DEVICE)
        if isinstance(box[0], dict):
            return {spec: ItlError(text) for spec, text in box[0].items()}
        spec, folder = box[0]
        pack = open_by_digest(spec.subset.pack, machine)
        with suppress(Diverged):  # rank 0 says so, and goes on to the next
            selection = select(pack, spec.subset, "train", tree_of(spec, machine))
            fit(spec, pack, selection, folder, machine)
