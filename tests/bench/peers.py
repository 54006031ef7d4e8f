"""What people use instead, as functions that worker processes can find."""

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from PIL import Image


class Absent(Exception):
    """Raised where what we are measured beside is not installed; the message says what."""


def pillow_square(file: bytes) -> np.ndarray:
    """One image file as Pillow decodes it and resizes it to 256 × 256."""
    image = Image.open(io.BytesIO(file)).convert("RGB")
    return np.asarray(image.resize((256, 256), Image.Resampling.BILINEAR))


def coco_scorer(objects: pd.DataFrame, detections: pd.DataFrame) -> Callable[[], float]:
    """A go at scoring *detections* with torchmetrics; tensors are made beforehand, as a loop has them.

    Difficult objects are its crowds. It is asked for the one IoU that VOC takes.
    """
    try:
        import faster_coco_eval  # noqa: F401
        from torchmetrics.detection import MeanAveragePrecision
    except ImportError as error:
        raise Absent(f"{error.name} is not installed") from error
    classes = {name: number for number, name in enumerate(sorted(objects["name"].unique()))}
    sides = ["xmin", "ymin", "xmax", "ymax"]

    def tensors(frame: pd.DataFrame, name: str) -> dict[str, torch.Tensor]:
        boxes = torch.tensor(frame[sides].to_numpy(np.float32))
        boxes[:, 2:] += 1                                       # its boxes end where the last pixel ends
        return {"boxes": boxes, "labels": torch.tensor(frame[name].map(classes).to_numpy(np.int64))}

    truth, seen = dict(list(objects.groupby("image"))), dict(list(detections.groupby("image")))
    targets, answers = [], []
    for image in sorted({*truth, *seen}):
        own, found = truth.get(image, objects[:0]), seen.get(image, detections[:0])
        crowds = torch.tensor(own["difficult"].to_numpy(np.int64))
        targets.append(tensors(own, "name") | {"iscrowd": crowds})
        scores = torch.tensor(found["score"].to_numpy(np.float32))
        answers.append(tensors(found, "class") | {"scores": scores})

    def score() -> float:
        metric = MeanAveragePrecision(backend="faster_coco_eval", iou_thresholds=[0.5])
        metric.update(answers, targets)
        return float(metric.compute()["map"])

    return score
