"""Detection: train an R-CNN on a net's backbone, detect the objects of the test images, score as VOC does."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from itl.evaluation.fast_rcnn import Detector, detection_loss, reset_norm_statistics
from itl.evaluation.finetune import choose_recipe
from itl.evaluation.methods import Metrics
from itl.evaluation.target import Target
from itl.evaluation.voc_ap import average_precision, mean_ap, ranked_hits
from itl.machine import Machine
from itl.sources.annotated.proposals import recall
from itl.sources.boxes import SIDES
from itl.specs import DetectionRecipe, Transfer
from itl.storage import write_atomic
from itl.training.detection_batches import DetectionBatches
from itl.training.detection_nets import detection_backbone
from itl.training.loop import train
from itl.training.nets import Classifier
from itl.training.numerics import autocast


def detection(spec: Transfer, net: Classifier, target: Target, folder: Path, machine: Machine) -> Metrics:
    """Train a detector that starts as *net*; write what it detects to *folder*, as detections.parquet.

    Returns:
        In percent: map (11-point, as VOC 2007 is scored), map_area (as VOC is since 2010) and recall (of
        objects that are not difficult: how many some region proposal overlaps by half or more); see
        `itl.evaluation.finetune.choose_recipe`.
    """

    def evaluate(part: Target, recipe: DetectionRecipe, run_folder: Path) -> Metrics:
        return _mean_aps(part, _train_and_detect(spec, net, part, recipe, run_folder, machine)[0])

    recipe, chosen = choose_recipe(spec, target, folder, evaluate)
    detections, regions = _train_and_detect(spec, net, target, recipe, folder, machine)
    metrics = _mean_aps(target, detections)
    write_atomic(folder / "detections.parquet", lambda path: detections.to_parquet(path, index=False))
    metrics["recall"] = 100 * recall(_test_objects(target), regions.__getitem__)
    return metrics | chosen


def _test_objects(target: Target) -> pd.DataFrame:
    return target.pack.objects[target.pack.objects["row"].isin(target.test.rows)]


def _mean_aps(target: Target, detections: pd.DataFrame) -> Metrics:
    """Return map and map_area of *detections* in the test images of *target*."""
    objects = _test_objects(target).rename(columns={"row": "image"})
    ranked = ranked_hits(objects, detections, known=target.test.classes).values()
    return {
        name: 100 * mean_ap(average_precision(*of_class, metric) for of_class in ranked)
        for name, metric in (("map", "07"), ("map_area", "area"))
    }


def _train_and_detect(
    spec: Transfer, net: Classifier, target: Target, recipe: DetectionRecipe, folder: Path, machine: Machine
) -> tuple[pd.DataFrame, dict[int, np.ndarray]]:
    """Train a detector on the training images of *target*; return what `detect` does on the test ones."""
    backbone = detection_backbone(spec.pretrain.net, net)
    detector = Detector(backbone, len(target.train.classes), recipe, spec.fit_seed)
    train_batches = DetectionBatches(target.pack, target.train, recipe, spec.fit_seed, machine)
    test_batches = DetectionBatches(target.pack, target.test, recipe, spec.fit_seed, machine)
    reset_norm_statistics(detector, train_batches, spec.fit_seed)
    train(detector, train_batches, recipe, folder, machine, seed=spec.fit_seed, objective=detection_loss)
    return detect(detector, test_batches, target.test.classes, machine)


def detect(
    net: Detector, batches: DetectionBatches, classes: tuple[str, ...], machine: Machine
) -> tuple[pd.DataFrame, dict[int, np.ndarray]]:
    """Run *net* on every image of *batches*; return detections, and the regions (n, 4) looked at by row.

    Detections have columns image (its row in the pack), class, score, xmin, ymin, xmax and ymax. Boxes are
    1-based and inclusive, in pixels of the image files.
    """
    torch.set_num_threads(machine.threads)
    net.to(batches.device, memory_format=torch.channels_last).eval()
    tables, regions = [], {}
    with torch.no_grad(), autocast(batches.device, net.recipe.precision):
        outputs = (output for images, _ in batches.in_order() for output in net(images))
        for position, output in enumerate(outputs):
            row = int(batches.rows[position])
            regions[row] = batches.to_file_boxes(position, output["regions"])
            tables.append(_table(row, classes, output, batches.to_file_boxes(position, output["boxes"])))
    return pd.concat(tables, ignore_index=True), regions


def _table(row: int, classes: tuple[str, ...], output: dict[str, Tensor], boxes: np.ndarray) -> pd.DataFrame:
    names = np.array(classes, object)[output["labels"].cpu().numpy() - 1]
    columns = {"image": row, "class": names, "score": output["scores"].double().cpu().numpy()}
    return pd.DataFrame(columns | dict(zip(SIDES, boxes.T, strict=True)))
