"""Average precision as the VOC development kit computes it: of detections, and of labelled scores."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from itl import ItlError, pick
from itl.sources.boxes import SIDES, first_invalid_box, iou_of

LEVELS = np.arange(0, 1.1, 0.1)             # the kit's 0:0.1:1 as floats: 0.30000000000000004 is one of them
FOUND, FALSE, IGNORED = 1, 0, -1            # what a detection, or a label, counts as


@dataclass(frozen=True)
class Objects:
    """Annotated objects, an entry each: images and classes int (n,), boxes (n, 4), difficult bool (n,)."""

    images: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray                       # 1-based, inclusive
    difficult: np.ndarray


@dataclass(frozen=True)
class Detections:
    """Detected objects, an entry each: images and classes int (n,), boxes (n, 4), scores (n,)."""

    images: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray                       # 1-based, inclusive
    scores: np.ndarray


def average_precision(hits: np.ndarray, positives: int, metric: str = "07") -> float:
    """Average precision, 0 to 1, of *hits*, bool (n,), in the order of their score, with *positives* in all.

    metric "07": the mean, over the recalls 0, 0.1, ... 1, of the highest precision at that recall or above
    (VOC until 2009); "area": the area below that highest precision (VOC since 2010). Without positives
    there is nothing to average: NaN, where the development kit divides by zero.

    >>> average_precision(np.array([True, False, True]), 4, "area")
    0.41666666666666663
    """
    area = pick({"07": False, "area": True}, metric, "metric")
    if not positives:
        return float("nan")
    found = np.cumsum(hits)
    recall = np.append(found / positives, np.inf)
    precision = np.append(found / np.arange(1, len(hits) + 1), 0.0)
    highest = np.maximum.accumulate(precision[::-1])[::-1]          # at this recall or above
    if area:
        return float(np.diff(recall[:-1], prepend=0.0) @ highest[:-1])
    return float(highest[np.searchsorted(recall, LEVELS)].mean())


def average_precisions(
    objects: Objects, detections: Detections, classes: int, metric: str = "07", iou: float = 0.5
) -> np.ndarray:
    """Average precision of each of *classes*: float64 (classes,), 0 to 1, NaN where there is no object.

    Equal scores rank in the order of *detections*. Follows ``VOCevaldet``: see `judge`. Raises ItlError, with
    the number of the detection from 1, for a score or a box that is none.
    """
    _refuse_unsound(detections)
    ranked = _ranked(detections.scores)
    verdicts = _judged(objects, detections, ranked, iou)
    ranked = ranked[verdicts[ranked] != IGNORED]
    scored = ~np.asarray(objects.difficult, bool)
    positives = np.bincount(objects.classes[scored], minlength=classes)
    hits, owner = verdicts[ranked] == FOUND, detections.classes[ranked]
    return np.array([average_precision(hits[owner == each], int(positives[each]), metric)
                     for each in range(classes)])


def judge(objects: Objects, detections: Detections, iou: float = 0.5) -> np.ndarray:
    """What each detection counts as: int8 (n,), FOUND, FALSE or IGNORED.

    A detection takes the object that it overlaps most, of its class in its image, the first of equals,
    whether or not another has taken it. Below *iou* it is false. A difficult object makes it ignored. Of the
    detections that take one object the first by score has found it, and the others are false.
    """
    return _judged(objects, detections, _ranked(detections.scores), iou)


def _judged(objects: Objects, detections: Detections, ranked: np.ndarray, iou: float) -> np.ndarray:
    taken, best = _nearest(objects, detections)
    verdicts = np.full(len(taken), FALSE, np.int8)
    ranked = ranked[best[ranked] >= iou]                            # the rest is false
    hidden = np.asarray(objects.difficult, bool)[taken[ranked]]
    verdicts[ranked[hidden]] = IGNORED
    last_first = ranked[~hidden][::-1]
    finder = np.full(len(objects.images), -1)
    finder[taken[last_first]] = last_first                          # written last: the first by score
    verdicts[finder[finder >= 0]] = FOUND
    return verdicts


def _ranked(scores: np.ndarray) -> np.ndarray:
    """Places of *scores* (n,), the highest first; equal ones stay in order, as in a stable sort.

    NumPy's stable sort takes several times as long as its quick one with a sort of the equal ones after it.
    """
    falling = -np.asarray(scores, np.float64)
    order = np.argsort(falling)
    falling = falling[order]
    run = np.cumsum(np.append(False, falling[1:] != falling[:-1])[: len(order)]) * len(order)
    return np.sort(run + order) - run


def _refuse_unsound(detections: Detections) -> None:
    if (unsound := np.isnan(detections.scores)).any():
        raise ItlError(f"detection {unsound.argmax() + 1} has the score nan, which has no rank; the net has "
                       f"diverged, or the scores are damaged")
    if found := first_invalid_box(detections.boxes):
        raise ItlError(f"detection {found[0] + 1}: {found[1]}")


def _nearest(objects: Objects, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
    """The object that each detection overlaps most, int (n,), and how much; without one, 0 and −inf."""
    taken, best = np.zeros(len(detections.images), np.int64), np.full(len(detections.images), -np.inf)
    span = 1 + max(objects.classes.max(initial=0), detections.classes.max(initial=0))
    places = [each.images.astype(np.int64) * span + each.classes for each in (objects, detections)]
    groups = pd.factorize(np.concatenate(places))[0]                # an image and a class: a small number
    group, asked = np.split(groups, [len(places[0])])
    order = np.argsort(group, kind="stable")                        # objects of one image and class together
    sizes = np.bincount(group, minlength=groups.max(initial=0) + 1)
    starts = np.cumsum(sizes) - sizes
    few = np.flatnonzero(sizes[asked])                              # detections with any object to take
    counts = sizes[asked[few]]
    firsts, owner = np.cumsum(counts) - counts, np.repeat(few, counts)
    within = np.arange(len(owner)) - np.repeat(firsts, counts)
    pairs = order[starts[asked[owner]] + within]                    # their objects, one after the other
    found = iou_of(detections.boxes[owner], objects.boxes[pairs])
    if len(few):
        best[few] = np.maximum.reduceat(found, firsts)
        winners = np.flatnonzero(found == best[owner])
        taken[owner[winners][::-1]] = pairs[winners][::-1]          # written last: the first of equals
    return taken, best


def voc_ap(
    objects: pd.DataFrame, detections: pd.DataFrame, metric: str = "07", iou: float = 0.5,
    known: Iterable[str] = (),
) -> dict[str, float]:
    """Average precision, 0 to 1, of each class by name: those of *objects* and those detected, sorted.

    *objects* has the columns image, name, xmin to ymax and difficult; *detections* has image, class, score
    and xmin to ymax. A class without objects, or with difficult ones alone, has NaN. Raises ItlError for a
    detection of a class that is neither among *objects* nor in *known*: classes that had no object here.
    """
    (annotated, detected), names = _numbered(objects["name"], detections["class"])
    classes = dict.fromkeys([*names[np.unique(annotated)], *known])
    for name in names.difference(list(classes)):
        row = 1 + (detections["class"] == name).to_numpy().argmax()
        pick(classes, name, f"annotated class (row {row} of the detections)")
    (there, seen), _ = _numbered(objects["image"], detections["image"])
    sides = [frame[SIDES].to_numpy(np.float64) for frame in (objects, detections)]
    found = average_precisions(
        Objects(there, annotated, sides[0], objects["difficult"].to_numpy(bool)),
        Detections(seen, detected, sides[1], detections["score"].to_numpy(np.float64)),
        len(names), metric, iou,
    )
    return dict(zip(names, found.tolist(), strict=True))


def _numbered(names: pd.Series, others: pd.Series) -> tuple[list[np.ndarray], pd.Index]:
    """*names* and *others* as numbers of the sorted distinct ones, which are returned too."""
    numbers, distinct = pd.factorize(pd.concat([names, others], ignore_index=True), sort=True)
    return np.split(numbers, [len(names)]), pd.Index(distinct)


def mean_ap(found: Iterable[float]) -> float:
    """Mean of the average precisions *found*, without those that are NaN; NaN where all are.

    >>> mean_ap([0.5, float("nan"), 1.0])
    0.75
    """
    known = [each for each in found if not np.isnan(each)]
    return sum(known) / len(known) if known else float("nan")


def action_ap(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Average precision of each column of *scores* (N, C), as ``VOCevalaction`` has it: float64 (C,), 0 to 1.

    *labels* (N, C): 1 is an example, 0 is none, −1 is left out of the scoring. A score of −inf, for what was
    not scored, ranks last; equal scores rank in the order of the rows. A column without a 1 has NaN.

    >>> action_ap(np.array([[0.9], [0.8], [0.7], [0.6]]), np.array([[1], [-1], [0], [1]]))
    array([0.83333333])
    """
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape:
        raise ItlError(f"action AP takes scores (N, C) and labels of the same shape; got {scores.shape} and "
                       f"{labels.shape}")
    if np.isnan(scores).any():
        rows = int(np.isnan(scores).any(1).sum())
        raise ItlError(f"{rows} of {len(scores)} rows of scores hold NaN, which has no rank; the net has "
                       f"diverged, or give −inf to what is not scored")
    if other := np.setdiff1d(labels, (FOUND, FALSE, IGNORED)).tolist():
        raise ItlError(f"action AP takes labels that are 1, 0 or, to leave out, -1; got {other[:3]}")
    ranked = np.take_along_axis(labels, np.argsort(-scores, axis=0, kind="stable"), 0)
    columns = (column[column != IGNORED] == FOUND for column in ranked.T)
    return np.array([average_precision(hits, int(hits.sum()), "area") for hits in columns])
