"""Detection: train an R-CNN on a net's parts, find the objects of the test images, score them as VOC does."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from itl import ItlError
from itl.evaluation.fast_rcnn import Detector, calibrate, locate
from itl.evaluation.finetune import chosen_lr, recipe_of
from itl.evaluation.lr_search import chosen
from itl.evaluation.target import Target
from itl.evaluation.voc_ap import mean_ap, voc_ap
from itl.machine import Machine
from itl.sources.boxes import SIDES
from itl.sources.proposals import recall
from itl.specs import DetectionRecipe, Transfer
from itl.storage import write_atomic
from itl.training.detection_batches import Pictures
from itl.training.detection_nets import parts
from itl.training.loop import train
from itl.training.nets import Classifier
from itl.training.numerics import autocast


def detection(
    spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine
) -> dict[str, float]:
    """Train a detector that starts as *net* on the training images; find the objects of the test images once.

    Returns, in percent: map (11-point, as VOC 2007 is scored), map_area (as VOC is since 2010), recall (of
    objects not difficult that some region proposal overlaps by half or more), and the lr that was chosen on
    val, if any. What was found lies in *folder* as detections.parquet, with 1-based inclusive boxes.
    """
    recipe = recipe_of(spec)
    if not isinstance(recipe, DetectionRecipe):
        raise ItlError(f"detection on {spec.target} takes a detection recipe, not one of fine-tuning")

    def score(tried: DetectionRecipe, place: Path) -> float:
        part = target.to_choose(spec.seed)
        return _scores(part, _fitted(spec, net, part, tried, place, machine)[0])["map"]

    recipe = chosen(recipe, folder, score)
    found, regions = _fitted(spec, net, target, recipe, folder, machine)
    write_atomic(folder / "detections.parquet", lambda path: found.to_parquet(path, index=False))
    covered = 100 * recall(_objects(target), regions.__getitem__)
    return _scores(target, found) | {"recall": covered} | chosen_lr(spec, recipe)


def _fitted(
    spec: Transfer, net: Classifier, target: Target, recipe: DetectionRecipe, folder: Path, machine: Machine
) -> tuple[pd.DataFrame, dict[int, np.ndarray]]:
    """Train a detector on the training images; what it finds in the test images, and in which regions."""
    detector = Detector(parts(spec.pretrain.net, net), len(target.train.classes), recipe, spec.seed)
    learn, test = (Pictures(target.pack, each, recipe, spec.seed, machine)
                   for each in (target.train, target.test))
    calibrate(detector, learn, spec.seed)
    train(detector, learn, recipe, folder, machine, seed=spec.seed, objective=locate)
    return find(detector, test, target.test.classes, machine)


def find(
    net: Detector, pictures: Pictures, classes: tuple[str, ...], machine: Machine
) -> tuple[pd.DataFrame, dict[int, np.ndarray]]:
    """What *net* finds in every image: columns image (its row in the pack), class, score, xmin to ymax.

    Boxes are 1-based and inclusive, in pixels of the originals. Also the regions it looked at, by row.
    """
    torch.set_num_threads(machine.threads)
    net.to(pictures.device, memory_format=torch.channels_last).eval()
    tables, regions, place = [], {}, 0
    with torch.no_grad(), autocast(pictures.device, net.recipe.precision):
        for view, _ in pictures.in_order():
            for found in net(view):
                row = int(pictures.rows[place])
                regions[row] = pictures.original(place, found["regions"])
                tables.append(_table(row, classes, found, pictures.original(place, found["boxes"])))
                place += 1
    return pd.concat(tables, ignore_index=True), regions


def _table(row: int, classes: tuple[str, ...], found: dict[str, Tensor], boxes: np.ndarray) -> pd.DataFrame:
    names = np.array(classes, object)[found["labels"].cpu().numpy() - 1]
    told = {"image": row, "class": names, "score": found["scores"].double().cpu().numpy()}
    return pd.DataFrame(told | dict(zip(SIDES, boxes.T, strict=True)))


def _scores(target: Target, found: pd.DataFrame) -> dict[str, float]:
    objects = _objects(target).rename(columns={"row": "image"})
    return {name: 100 * mean_ap(voc_ap(objects, found, metric, known=target.test.classes).values())
            for name, metric in (("map", "07"), ("map_area", "area"))}


def _objects(target: Target) -> pd.DataFrame:
    return target.pack.objects[target.pack.objects["row"].isin(target.test.rows)]
