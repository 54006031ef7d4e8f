"""The row on VOC's average precision."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from itl.bench.work import Work
from itl.evaluation.voc_ap import mean_ap, voc_ap
from itl.hierarchy.voc_classes import PASCAL
from itl.sources.boxes import SIDES


def scoring(folder: Path, device: str) -> Work:
    """Score 100,000 detections on as many images (5,000) and objects (12,497) as VOC 2007 test has."""
    del folder, device
    objects, detections = made_up_detections(5000, 12_497, 100_000)
    peers, absent, peer = {}, {}, "torchmetrics, faster_coco_eval"
    try:
        peers[peer] = coco_scorer(objects, detections)
    except ImportError as error:
        absent[peer] = str(error)

    def ours() -> float:
        return mean_ap(voc_ap(objects, detections, "area").values())

    def agree() -> str:
        theirs = "".join(f", COCO's at IoU 0.5 {score():.3f}" for score in peers.values())
        return f"VOC's AP {ours():.3f}{theirs}"

    return Work("VOC AP of 100,000 boxes", "detections", len(detections), ours, peers, absent, agree=agree)


def made_up_detections(images: int, count: int, detected: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw objects of PASCAL's classes, 15 % difficult, and detections, half of them near an object."""
    random = np.random.default_rng(0)
    names, ids = np.array(sorted(PASCAL)), np.array([f"{number:06}" for number in range(images)])

    def boxes(number: int) -> np.ndarray:
        corner, size = random.uniform(1, 300, (number, 2)), random.uniform(20, 200, (number, 2))
        return np.hstack([corner, corner + size]).round()

    objects = pd.DataFrame(boxes(count), columns=SIDES)
    objects["image"], objects["name"] = random.choice(ids, count), random.choice(names, count)
    objects["difficult"] = random.random(count) < 0.15
    near = objects.iloc[random.integers(0, count, detected // 2)]
    moved = np.vstack([near[SIDES] + random.normal(0, 10, (len(near), 4)), boxes(detected - len(near))])
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    image_ids = np.concatenate([near["image"], random.choice(ids, detected - len(near))])
    classes = np.concatenate([near["name"], random.choice(names, detected - len(near))])
    scores = np.concatenate([random.beta(3, 2, len(near)), random.beta(2, 3, detected - len(near))])
    detections = pd.DataFrame(moved, columns=SIDES)
    detections["image"], detections["class"], detections["score"] = image_ids, classes, scores
    return objects, detections.sample(frac=1, random_state=0)


def coco_scorer(objects: pd.DataFrame, detections: pd.DataFrame) -> Callable[[], float]:
    """Return torchmetrics' scoring of *detections*; tensors are made beforehand, as a loop has them.

    Difficult objects are its crowds, and it computes only the one IoU that VOC takes.
    """
    import faster_coco_eval  # noqa: F401
    from torchmetrics.detection import MeanAveragePrecision

    classes = {name: number for number, name in enumerate(sorted(objects["name"].unique()))}
    sides = ["xmin", "ymin", "xmax", "ymax"]

    def tensors(frame: pd.DataFrame, name: str) -> dict[str, torch.Tensor]:
        boxes = torch.tensor(frame[sides].to_numpy(np.float32))
        boxes[:, 2:] += 1  # torchmetrics' boxes end where the last pixel ends
        return {"boxes": boxes, "labels": torch.tensor(frame[name].map(classes).to_numpy(np.int64))}

    objects_of, detections_of = dict(list(objects.groupby("image"))), dict(list(detections.groupby("image")))
    targets, predictions = [], []
    for image in sorted({*objects_of, *detections_of}):
        annotated, detected = objects_of.get(image, objects[:0]), detections_of.get(image, detections[:0])
        crowds = torch.tensor(annotated["difficult"].to_numpy(np.int64))
        targets.append(tensors(annotated, "name") | {"iscrowd": crowds})
        scores = torch.tensor(detected["score"].to_numpy(np.float32))
        predictions.append(tensors(detected, "class") | {"scores": scores})

    def score() -> float:
        metric = MeanAveragePrecision(backend="faster_coco_eval", iou_thresholds=[0.5])
        metric.update(predictions, targets)
        return float(metric.compute()["map"])

    return score
