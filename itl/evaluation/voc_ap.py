"""Average precision as the VOC development kit computes it: of detections, and of labelled scores."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from itl.errors import ItlError, pick
from itl.sources.boxes import NO_SIDE, SIDES, first_invalid_box, iou_of

RECALL_LEVELS = np.arange(0, 1.1, 0.1)  # as 0:0.1:1 in Octave; 0.1 * 3 is not 0.3
PAIRS_AT_ONCE = 1_000_000  # of a detection and an object of one image, about 200 bytes each
TRUE_POSITIVE, FALSE_POSITIVE, IGNORED = 1, 0, -1  # what a detection, or a label, counts as


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


def voc_ap(
    objects: pd.DataFrame,
    detections: pd.DataFrame,
    metric: str = "07",
    iou: float = 0.5,
    known: Iterable[str] = (),
) -> dict[str, float]:
    """Compute the average precision of each class by name, as ``VOCevaldet`` does: see `judge`.

    *metric* is "07" or "area", as in `average_precision`; the other arguments are as in `ranked_hits`.

    Returns:
        0 to 1 for each class of *objects* and each class detected, sorted by name; NaN for a class without
        objects, or with difficult ones alone.
    """
    ranked = ranked_hits(objects, detections, iou, known)
    return {name: average_precision(hits, positives, metric) for name, (hits, positives) in ranked.items()}


def ranked_hits(
    objects: pd.DataFrame, detections: pd.DataFrame, iou: float = 0.5, known: Iterable[str] = ()
) -> dict[str, tuple[np.ndarray, int]]:
    """Return the hits and the number of positives of each class by name, as `average_precision` takes them.

    Args:
        objects: Columns image, name, xmin, ymin, xmax, ymax and difficult; boxes are 1-based, inclusive.
        detections: Columns image, class, score, xmin, ymin, xmax and ymax, with boxes as for *objects*. Equal
            scores rank in their order.
        iou: Overlap from which a detection counts.
        known: Classes that may be detected although no object here is of them.

    Raises:
        ItlError: for a detection of another class, with a score of NaN or an invalid box, by its number.
    """
    annotated, detected = (set(names.unique()) for names in (objects["name"], detections["class"]))
    classes = dict.fromkeys([*sorted(annotated), *known])
    for name in sorted(detected - classes.keys()):
        row = 1 + (detections["class"] == name).to_numpy().argmax()
        pick(classes, name, f"annotated class (row {row} of the detections)")
    _refuse_invalid(detections)
    verdicts = judge(objects, detections, iou)
    judged = detections[["class", "score"]].assign(hit=verdicts == TRUE_POSITIVE)[verdicts != IGNORED]
    ranked = judged.sort_values("score", ascending=False, kind="stable").groupby("class")["hit"]
    hits = {name: column.to_numpy() for name, column in ranked}
    positives = objects.loc[~objects["difficult"].to_numpy(bool), "name"].value_counts()
    return {
        name: (hits.get(name, np.zeros(0, bool)), int(positives.get(name, 0)))
        for name in sorted(annotated | detected)
    }


def _refuse_invalid(detections: pd.DataFrame) -> None:
    if (invalid := np.isnan(detections["score"].to_numpy(np.float64))).any():
        raise ItlError(
            f"detection {invalid.argmax() + 1} has the score nan, which has no rank; the net has "
            f"diverged, or the scores are damaged"
        )
    if first := first_invalid_box(detections[SIDES].to_numpy(np.float64), NO_SIDE):
        raise ItlError(f"detection {first[0] + 1}: {first[1]}")


def judge(objects: pd.DataFrame, detections: pd.DataFrame, iou: float = 0.5) -> np.ndarray:
    """Decide what each detection counts as: int8 (n,), TRUE_POSITIVE, FALSE_POSITIVE or IGNORED.

    A detection is matched to the object of its class and image that it overlaps most, the first of equals,
    whether or not that object is matched already. Below *iou* it is a false positive. One that is matched to
    a difficult object is ignored. Of several matched to one object, the highest score is the true positive,
    the first of equals. Columns are as in `ranked_hits`.
    """
    images = pd.concat([objects["image"], detections["image"]]).factorize()[0]
    annotated, detected = np.split(images, [len(objects)])
    counts = [np.bincount(part, minlength=len(images)) for part in (annotated, detected)]
    block_of = np.cumsum(counts[0] * counts[1]) // PAIRS_AT_ONCE  # of each image
    verdicts = np.full(len(detections), FALSE_POSITIVE, np.int8)
    for block in np.unique(block_of[detected]):
        rows, others = (np.flatnonzero(block_of[part] == block) for part in (detected, annotated))
        verdicts[rows] = _judge_block(objects.iloc[others], detections.iloc[rows], iou)
    return verdicts


def _judge_block(objects: pd.DataFrame, detections: pd.DataFrame, iou: float) -> np.ndarray:
    """Do what `judge` does, on images of which all pairs of a detection and an object are in memory."""
    detected = detections[["image", "class", "score"]].assign(detection=np.arange(len(detections)))
    annotated = objects[["image", "name"]].assign(object=np.arange(len(objects)))
    pairs = detected.merge(annotated, left_on=["image", "class"], right_on=["image", "name"])
    boxes, others = (frame[SIDES].to_numpy(np.float64) for frame in (detections, objects))
    pairs["iou"] = iou_of(boxes[pairs["detection"]], others[pairs["object"]])
    near = pairs[pairs["iou"] >= iou].sort_values(["iou", "object"], ascending=[False, True])
    matches = near.drop_duplicates("detection")
    difficult = objects["difficult"].to_numpy(bool)[matches["object"]]
    ranked = matches[~difficult].sort_values(["score", "detection"], ascending=[False, True])
    verdicts = np.full(len(detections), FALSE_POSITIVE, np.int8)
    verdicts[matches.loc[difficult, "detection"]] = IGNORED
    verdicts[ranked.drop_duplicates("object")["detection"]] = TRUE_POSITIVE
    return verdicts


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
        ItlError: A score is NaN.

    >>> action_ap(np.array([[0.9], [0.8], [0.7], [0.6]]), np.array([[1], [-1], [0], [1]]))
    array([0.83333333])
    """
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    if np.isnan(scores).any():
        rows = int(np.isnan(scores).any(1).sum())
        raise ItlError(
            f"{rows} of {len(scores)} rows of scores hold NaN, which has no rank; the net has "
            f"diverged, or give −inf to what is not scored"
        )
    ranked = np.take_along_axis(labels, np.argsort(-scores, axis=0, kind="stable"), 0)
    columns = (column[column != IGNORED] == TRUE_POSITIVE for column in ranked.T)
    return np.array([average_precision(hits, int(hits.sum()), "area") for hits in columns])
