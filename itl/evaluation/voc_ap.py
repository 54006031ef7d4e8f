"""Average precision as the VOC development kit computes it: of detections, and of labelled scores."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from itl import ItlError, pick
from itl.sources.boxes import SIDES, first_invalid_box, iou_of

RECALL_LEVELS = np.arange(0, 1.1, 0.1)  # as 0:0.1:1 in Octave; 0.1 * 3 is not 0.3
TRUE_POSITIVE, FALSE_POSITIVE, IGNORED = 1, 0, -1  # what a detection, or a label, counts as


@dataclass(frozen=True)
class Boxes:
    """Boxes of classes on images: columns of the same length n."""

    images: np.ndarray  # int (n,): a number of the image
    classes: np.ndarray  # int (n,)
    boxes: np.ndarray  # (n, 4): xmin, ymin, xmax, ymax; 1-based, inclusive


@dataclass(frozen=True)
class Objects(Boxes):
    """Annotated objects."""

    difficult: np.ndarray  # bool (n,)


@dataclass(frozen=True)
class Detections(Boxes):
    """Detected objects."""

    scores: np.ndarray  # (n,)


def average_precision(hits: np.ndarray, positives: int, metric: str = "07") -> float:
    """Compute the average precision of detections, 0 to 1; NaN without positives, where the kit divides by 0.

    Args:
        hits: Whether each detection is a true positive, bool (n,), the highest score first.
        positives: Number of objects, detected or not.
        metric: "07" is the mean, over the recalls 0, 0.1, ... 1, of the highest precision at that recall or
            above (VOC until 2009). "area" is the area below that highest precision (VOC since 2010).

    >>> average_precision(np.array([True, False, True]), 4, "area")
    0.41666666666666663
    """
    area = pick({"07": False, "area": True}, metric, "metric")
    if not positives:
        return float("nan")
    true_positives = np.cumsum(hits)
    recall = np.append(true_positives / positives, np.inf)
    precision = np.append(true_positives / np.arange(1, len(hits) + 1), 0.0)
    highest = np.maximum.accumulate(precision[::-1])[::-1]  # at this recall or above
    if area:
        return float(np.diff(recall[:-1], prepend=0.0) @ highest[:-1])
    return float(highest[np.searchsorted(recall, RECALL_LEVELS)].mean())


def average_precisions(
    objects: Objects, detections: Detections, classes: int, metric: str = "07", iou: float = 0.5
) -> np.ndarray:
    """Compute the average precision (classes,) of each class, as ``VOCevaldet`` does (see `judge`).

    It is NaN for a class without objects. Equal scores rank in the order of *detections*, of which ItlError
    names the first, by its number from 1, with a score of NaN or an invalid box.
    """
    _refuse_invalid(detections)
    ranked = _rank(detections.scores)
    verdicts = judge(objects, detections, iou, ranked)
    ranked = ranked[verdicts[ranked] != IGNORED]
    scored = ~np.asarray(objects.difficult, bool)
    positives = np.bincount(objects.classes[scored], minlength=classes)
    hits, owner = verdicts[ranked] == TRUE_POSITIVE, detections.classes[ranked]
    precisions = np.empty(classes)
    for label in range(classes):
        precisions[label] = average_precision(hits[owner == label], int(positives[label]), metric)
    return precisions


def judge(
    objects: Objects, detections: Detections, iou: float = 0.5, ranked: np.ndarray | None = None
) -> np.ndarray:
    """Decide what each detection counts as: int8 (n,), TRUE_POSITIVE, FALSE_POSITIVE or IGNORED.

    A detection is matched to the object of its class and image that it overlaps most, the first of equals,
    whether or not that object is matched already. Below *iou* it is a false positive. One that is matched to
    a difficult object is ignored. Of several matched to one object, the highest score is the true positive.
    *ranked* is their order by score, where that is known already.
    """
    ranked = _rank(detections.scores) if ranked is None else ranked
    matches, best = _match(objects, detections)
    verdicts = np.full(len(matches), FALSE_POSITIVE, np.int8)
    ranked = ranked[best[ranked] >= iou]
    difficult = np.asarray(objects.difficult, bool)[matches[ranked]]
    verdicts[ranked[difficult]] = IGNORED
    lowest_first = ranked[~difficult][::-1]
    detection_of = np.full(len(objects.images), -1)
    detection_of[matches[lowest_first]] = lowest_first  # written last: the highest score
    verdicts[detection_of[detection_of >= 0]] = TRUE_POSITIVE
    return verdicts


def _rank(scores: np.ndarray) -> np.ndarray:
    """Return the order of scores (n,): the highest first, equal ones as they are."""
    return np.argsort(-np.asarray(scores, np.float64), kind="stable")


def _refuse_invalid(detections: Detections) -> None:
    if (invalid := np.isnan(detections.scores)).any():
        raise ItlError(
            f"detection {invalid.argmax() + 1} has the score nan, which has no rank; the net has "
            f"diverged, or the scores are damaged"
        )
    if first := first_invalid_box(detections.boxes):
        raise ItlError(f"detection {first[0] + 1}: {first[1]}")


def _match(objects: Objects, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
    """Match each detection to the object of its image and class that it overlaps most; return it and the IoU.

    These are 0 and −inf for a detection without such an object.
    """
    matches, best = np.zeros(len(detections.images), np.int64), np.full(len(detections.images), -np.inf)
    object_groups, detection_groups, groups = _image_class_groups(objects, detections)
    order = np.argsort(object_groups, kind="stable")  # objects of one group side by side
    sizes = np.bincount(object_groups, minlength=groups)
    starts = np.cumsum(sizes) - sizes
    matchable = np.flatnonzero(sizes[detection_groups])  # detections with an object in their group
    counts = sizes[detection_groups[matchable]]
    # Every such detection with every object of its group: pairs (P,), detection after detection
    first_pair, pair_detection = np.cumsum(counts) - counts, np.repeat(matchable, counts)
    number_in_group = np.arange(len(pair_detection)) - np.repeat(first_pair, counts)
    pair_object = order[starts[detection_groups[pair_detection]] + number_in_group]
    overlaps = iou_of(detections.boxes[pair_detection], objects.boxes[pair_object])
    if len(matchable):
        best[matchable] = np.maximum.reduceat(overlaps, first_pair)
        winners = np.flatnonzero(overlaps == best[pair_detection])
        winners = winners[::-1]  # written last: the first of equals
        matches[pair_detection[winners]] = pair_object[winners]
    return matches, best


def _image_class_groups(objects: Objects, detections: Detections) -> tuple[np.ndarray, np.ndarray, int]:
    """Number the pair of image and class of each object and detection, from 0; also return their number."""
    classes = 1 + max(objects.classes.max(initial=0), detections.classes.max(initial=0))
    of_objects = objects.images.astype(np.int64) * classes + objects.classes
    of_detections = detections.images.astype(np.int64) * classes + detections.classes
    groups, pairs = pd.factorize(np.concatenate([of_objects, of_detections]))
    return groups[: len(of_objects)], groups[len(of_objects) :], len(pairs)


def voc_ap(
    objects: pd.DataFrame,
    detections: pd.DataFrame,
    metric: str = "07",
    iou: float = 0.5,
    known: Iterable[str] = (),
) -> dict[str, float]:
    """Compute the average precision of each class by name.

    Args:
        objects: Columns image, name, xmin, ymin, xmax, ymax and difficult; boxes are 1-based, inclusive.
        detections: Columns image, class, score, xmin, ymin, xmax and ymax, with boxes as for *objects*.
        metric: "07" or "area"; see `average_precision`.
        iou: Overlap from which a detection counts.
        known: Classes that may be detected although no object here is of them; ItlError for any other.

    Returns:
        0 to 1 for each class of *objects* and each class detected, sorted by name; NaN for a class without
        objects, or with difficult ones alone.
    """
    (annotated, detected), names = _numbered(objects["name"], detections["class"])
    classes = dict.fromkeys([*names[np.unique(annotated)], *known])
    for name in names.difference(list(classes)):
        row = 1 + (detections["class"] == name).to_numpy().argmax()
        pick(classes, name, f"annotated class (row {row} of the detections)")
    (object_images, detection_images), _ = _numbered(objects["image"], detections["image"])
    boxes, scores = detections[SIDES].to_numpy(np.float64), detections["score"].to_numpy(np.float64)
    difficult = objects["difficult"].to_numpy(bool)
    true_objects = Objects(object_images, annotated, objects[SIDES].to_numpy(np.float64), difficult)
    detected_objects = Detections(detection_images, detected, boxes, scores)
    precisions = average_precisions(true_objects, detected_objects, len(names), metric, iou)
    return dict(zip(names, precisions.tolist(), strict=True))


def _numbered(names: pd.Series, others: pd.Series) -> tuple[list[np.ndarray], pd.Index]:
    """Number *names* and *others* by the sorted distinct ones of both; return the numbers and those."""
    numbers, distinct = pd.factorize(pd.concat([names, others], ignore_index=True), sort=True)
    return np.split(numbers, [len(names)]), pd.Index(distinct)


def mean_ap(precisions: Iterable[float]) -> float:
    """Return the mean of average precisions that are not NaN; NaN where all are.

    >>> mean_ap([0.5, float("nan"), 1.0])
    0.75
    """
    defined = [precision for precision in precisions if not np.isnan(precision)]
    return sum(defined) / len(defined) if defined else float("nan")


def action_ap(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute the average precision (C,) of each class, by area, as ``VOCevalaction`` does; NaN without a 1.

    A score of −inf, for what was not scored, ranks last; equal *scores* (N, C) rank in the order of the rows.
    Of *labels* (N, C) 1 is a positive, 0 a negative, and −1 is left out.

    Raises:
        ItlError: Shapes differ, a score is NaN, or a label is another number.

    >>> action_ap(np.array([[0.9], [0.8], [0.7], [0.6]]), np.array([[1], [-1], [0], [1]]))
    array([0.83333333])
    """
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape:
        raise ItlError(
            f"action AP takes scores (N, C) and labels of the same shape; got {scores.shape} and "
            f"{labels.shape}"
        )
    if np.isnan(scores).any():
        rows = int(np.isnan(scores).any(1).sum())
        raise ItlError(
            f"{rows} of {len(scores)} rows of scores hold NaN, which has no rank; the net has "
            f"diverged, or give −inf to what is not scored"
        )
    if other := np.setdiff1d(labels, (TRUE_POSITIVE, FALSE_POSITIVE, IGNORED)).tolist():
        raise ItlError(f"action AP takes labels that are 1, 0 or, to leave out, -1; got {other[:3]}")
    ranked = np.take_along_axis(labels, np.argsort(-scores, axis=0, kind="stable"), 0)
    columns = (column[column != IGNORED] == TRUE_POSITIVE for column in ranked.T)
    return np.array([average_precision(hits, int(hits.sum()), "area") for hits in columns])
