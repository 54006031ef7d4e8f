"""Average precision by hand, beside a slow reading of the development kit's rules, and beside COCO's tool."""

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies

from itl import ItlError
from itl.evaluation.voc_ap import FALSE_POSITIVE as FP
from itl.evaluation.voc_ap import IGNORED, action_ap, average_precision, judge, mean_ap, voc_ap
from itl.evaluation.voc_ap import TRUE_POSITIVE as TP
from itl.sources.boxes import SIDES, iou_of

METRICS = ["07", "area"]
DOG, FAR = (1, 1, 10, 10), (50, 50, 60, 60)


def objects(*rows: tuple) -> pd.DataFrame:
    """Objects from image, name, box, difficult."""
    return pd.DataFrame(
        [(image, name, *box, hard) for image, name, box, hard in rows],
        columns=["image", "name", *SIDES, "difficult"],
    )


def detections(*rows: tuple) -> pd.DataFrame:
    """Detections from image, class, score, box."""
    return pd.DataFrame(
        [(image, name, score, *box) for image, name, score, box in rows],
        columns=["image", "class", "score", *SIDES],
    )


def slow_ap(world: pd.DataFrame, answers: pd.DataFrame, name: str) -> dict[str, float]:
    """The rules of VOCevaldet and VOCap, one detection and one object at a time: both metrics."""
    ours = [row for row in world.to_dict("records") if row["name"] == name]
    positives = sum(not row["difficult"] for row in ours)
    taken, hits, wrong, recalls, precisions = set(), 0, 0, [], []
    ranked = sorted(answers[answers["class"] == name].to_dict("records"), key=lambda row: -row["score"])
    for answer in ranked:  # sorted() is stable, as MATLAB's sort is
        most, nearest = -math.inf, None
        for number, thing in enumerate(ours):
            wide = min(answer["xmax"], thing["xmax"]) - max(answer["xmin"], thing["xmin"]) + 1
            high = min(answer["ymax"], thing["ymax"]) - max(answer["ymin"], thing["ymin"]) + 1
            if thing["image"] == answer["image"] and wide > 0 and high > 0:
                sizes = [
                    (box["xmax"] - box["xmin"] + 1) * (box["ymax"] - box["ymin"] + 1)
                    for box in (answer, thing)
                ]
                shared = wide * high / (sum(sizes) - wide * high)
                if shared > most:
                    most, nearest = shared, number
        if most >= 0.5 and ours[nearest]["difficult"]:
            continue
        right = most >= 0.5 and nearest not in taken
        taken.add(nearest if right else None)
        hits, wrong = hits + right, wrong + (not right)
        recalls.append(hits / positives if positives else math.nan)
        precisions.append(hits / (hits + wrong))
    return {metric: slow_mean(recalls, precisions, metric) if positives else math.nan for metric in METRICS}


def slow_mean(recalls: list[float], precisions: list[float], metric: str) -> float:
    """Average the precision over the recall, with loops."""
    pairs = list(zip(recalls, precisions, strict=True))
    if metric == "07":
        levels = [step * 0.1 for step in range(11)]
        return (
            sum(max((precision for at, precision in pairs if at >= level), default=0) for level in levels)
            / 11
        )
    total, before = 0.0, 0.0
    for number, (at, _) in enumerate(pairs):
        total += (at - before) * max(precisions[number:])
        before = at
    return total


def random_world(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A few images, objects of three classes, some difficult, and detections: near ones, doubles, ties."""
    random = np.random.default_rng(seed)
    count, names = random.integers(1, 12), ["cat", "cow", "dog"][: random.integers(1, 4)]
    boxes = np.sort(random.integers(1, 13, (count, 2, 2)), 1).reshape(count, 4)
    images = random.integers(0, random.integers(1, 5), count)
    rows = [
        (f"image {image}", random.choice(names), box, random.random() < 0.25)
        for image, box in zip(images, boxes, strict=True)
    ]
    answers = []
    for _ in range(random.integers(0, 25)):
        image, name, box, _ = rows[random.integers(count)]
        name = name if random.random() < 0.9 else random.choice([row[1] for row in rows])
        moved = np.sort((box + random.integers(-2, 3, 4)).reshape(2, 2), 0).ravel() + random.choice([0, 0.25])
        answers.append((image, name, random.integers(0, 8) / 8, moved))
    return objects(*rows), detections(*answers)


def test_random_sets_score_as_the_development_kit_has_it():
    cases = Counter()
    for seed in range(500, 750):  # world 606 has 0.9, which is rare
        world, answers = random_world(seed)
        slow = {name: slow_ap(world, answers, name) for name in sorted(set(world["name"]))}
        for metric in METRICS:
            precisions = voc_ap(world, answers, metric)
            wanted = {name: both[metric] for name, both in slow.items()}
            assert precisions == pytest.approx(wanted, rel=0, abs=1e-12, nan_ok=True), f"seed {seed}"
            cases.update(round(value, 1) for value in precisions.values() if not math.isnan(value))
            cases["NaN"] += sum(map(math.isnan, precisions.values()))
    assert len(cases) == 12, "the worlds are too tame"  # NaN, and all from 0.0 to 1.0


@pytest.mark.parametrize(("limit", "sizes"), [(100, [18]), (13, [12, 6]), (12, [6, 12]), (1, [6, 6, 6])])
def test_few_pairs_are_held_at_once_and_the_verdicts_are_the_same(limit, sizes, monkeypatch):
    """Two objects and three detections on each of three images, in turn: in blocks of whole images."""
    world = objects(*((image, "dog", box, False) for box in (DOG, FAR) for image in "cab"))
    answers = detections(*((image, "dog", 0.5, box) for box in (DOG, (1, 1, 9, 9), FAR) for image in "abc"))
    held = []
    monkeypatch.setattr("itl.evaluation.voc_ap.PAIRS_AT_ONCE", limit)
    monkeypatch.setattr(
        "itl.evaluation.voc_ap.iou_of", lambda *pairs: held.append(len(pairs[0])) or iou_of(*pairs)
    )
    assert judge(world, answers).tolist() == [TP] * 3 + [FP] * 3 + [TP] * 3
    assert held == sizes


@pytest.mark.parametrize("limit", [1, 20])
def test_random_sets_are_judged_alike_in_blocks(limit, monkeypatch):
    worlds = [random_world(seed) for seed in range(30)]
    whole = [judge(*world).tolist() for world in worlds]
    monkeypatch.setattr("itl.evaluation.voc_ap.PAIRS_AT_ONCE", limit)
    assert [judge(*world).tolist() for world in worlds] == whole


def test_recall_that_hits_a_level_exactly():
    hits = np.array([True, True, True, False])  # recall 0.3, level 0.30000000000000004
    assert average_precision(hits, 10) == pytest.approx(3 / 11)
    assert average_precision(np.array([True] * 6), 10) == pytest.approx(6 / 11)
    assert average_precision(np.array([True] * 7), 10) == pytest.approx(7 / 11)
    assert average_precision(np.array([True] * 5), 10) == pytest.approx(6 / 11)  # 0.5 is 0.5
    assert average_precision(np.array([True] * 10), 10) == 1.0


def test_area_by_hand():
    hits = np.array([False, True, True, False, True])  # precision 0, 1/2, 2/3, 2/4, 3/5
    assert average_precision(hits, 4, "area") == pytest.approx((2 / 3 + 2 / 3 + 3 / 5) / 4)
    assert average_precision(hits, 4) == pytest.approx((6 * 2 / 3 + 2 * 3 / 5) / 11)
    assert average_precision(np.zeros(0, bool), 4, "area") == average_precision(np.zeros(0, bool), 4) == 0.0
    assert math.isnan(average_precision(np.zeros(3, bool), 0))


@pytest.mark.parametrize(
    ("world", "answers", "verdicts"),
    [
        ([(0, DOG, False)], [(0, 0.9, DOG), (0, 0.8, DOG)], [TP, FP]),  # a double
        ([(0, DOG, False)], [(0, 0.8, DOG), (0, 0.9, DOG)], [FP, TP]),  # the higher score has it
        ([(0, DOG, False)], [(0, 0.9, DOG), (0, 0.9, DOG)], [TP, FP]),  # a tie: the first has it
        ([(0, DOG, False)], [(1, 0.9, DOG), (0, 0.8, FAR)], [FP, FP]),  # another image, elsewhere
        ([(0, DOG, True)], [(0, 0.9, DOG), (0, 0.8, DOG)], [IGNORED, IGNORED]),
        ([(0, DOG, False)], [(0, 0.9, (1, 1, 10, 5))], [TP]),  # IoU of 0.5 exactly
        ([(0, DOG, False)], [(0, 0.9, (1, 1, 10, 4.9))], [FP]),
        # the second is nearest to the first object, which is taken, though the other would do and is free
        ([(0, DOG, False), (0, (1, 1, 10, 8), False)], [(0, 0.9, DOG), (0, 0.8, DOG)], [TP, FP]),
        ([(0, DOG, True), (0, DOG, False)], [(0, 0.9, DOG)], [IGNORED]),  # of equals the first
        ([(0, DOG, False), (0, DOG, True)], [(0, 0.9, DOG), (0, 0.8, DOG)], [TP, FP]),
    ],
)
def test_what_a_detection_counts_as(world, answers, verdicts):
    annotated = objects(*((image, "dog", box, hard) for image, box, hard in world))
    judged = judge(annotated, detections(*((image, "dog", score, box) for image, score, box in answers)))
    assert judged.tolist() == verdicts


def test_half_is_enough_unless_more_is_asked_for():
    table = objects(("a", "dog", DOG, False)), detections(("a", "dog", 0.5, (1, 1, 10, 5)))
    assert (voc_ap(*table), voc_ap(*table, iou=0.6)) == ({"dog": 1.0}, {"dog": 0.0})


def test_classes_without_what_it_takes():
    world = objects(("a", "dog", DOG, False), ("a", "cat", DOG, True), ("b", "cow", DOG, False))
    answers = detections(("a", "dog", 0.5, DOG), ("a", "cat", 0.5, DOG), ("b", "sheep", 0.5, DOG))
    precisions = voc_ap(world, answers, known=["sheep"])
    assert list(precisions) == ["cat", "cow", "dog", "sheep"]
    assert math.isnan(precisions["cat"])  # difficult ones alone
    assert math.isnan(precisions["sheep"])  # none at all
    assert (precisions["cow"], precisions["dog"]) == (0.0, 1.0)  # none detected; found
    assert mean_ap(precisions.values()) == 0.5
    assert math.isnan(mean_ap([math.nan]))
    assert voc_ap(world, answers[:0]) == pytest.approx({"cat": math.nan, "cow": 0, "dog": 0}, nan_ok=True)


ANSWERS = strategies.lists(strategies.tuples(strategies.floats(-5, 5), strategies.booleans()), max_size=30)


@given(ANSWERS, strategies.sampled_from(METRICS), strategies.integers(0, 5))
def test_average_precision_is_a_part_that_only_hits_raise(answers, metric, missed):
    hits = np.array([hit for _, hit in sorted(answers, key=lambda answer: -answer[0])], bool)
    positives = int(hits.sum()) + missed
    value = average_precision(hits, positives, metric)
    if positives:
        assert 0 <= value <= 1 + 1e-12
        assert average_precision(np.append(hits, False), positives, metric) == value  # last, and wrong
        assert average_precision(np.append(False, hits), positives, metric) <= value
        assert average_precision(np.sort(hits)[::-1], positives, metric) >= value


def test_coco_agrees_where_its_rules_are_the_same():
    """With 101 objects each of COCO's 101 recalls lies in a step of its own: its mean is the area's.

    None is difficult, no two overlap and none is detected twice, so that both match alike; COCO's widths are
    those of inclusive boxes.
    """
    faster = pytest.importorskip("faster_coco_eval", reason="faster-coco-eval is not installed")
    random = np.random.default_rng(0)
    corners = [
        (image, 1 + 60 * column, 1 + 60 * line)
        for image in range(6)
        for column in range(5)
        for line in range(5)
    ]
    world = objects(*((image, "dog", (x, y, x + 39, y + 29), False) for image, x, y in corners[:101]))
    answers = []
    for number, (image, x, y) in enumerate(corners):
        right, wrong = number < 101 and random.random() < 0.8, random.random() < 0.4
        shift = random.integers(0, 8) if right else 45 if wrong else None
        if shift is not None:
            answers.append((image, "dog", random.random(), (x + shift, y, x + shift + 39, y + 29)))
    answers = detections(*answers)

    def coco(frame: pd.DataFrame) -> list[dict]:
        boxes = frame[SIDES].to_numpy(float)
        sides = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2] + 1]).tolist()
        boxes = enumerate(zip(frame["image"].tolist(), sides, strict=True), 1)
        same = {"category_id": 1, "iscrowd": 0}
        return [
            same | {"id": number, "image_id": image, "bbox": side, "area": side[2] * side[3]}
            for number, (image, side) in boxes
        ]

    truth = faster.COCO(
        {
            "images": [{"id": image} for image in range(6)],
            "annotations": coco(world),
            "categories": [{"id": 1, "name": "dog"}],
        }
    )
    seen = [row | {"score": score} for row, score in zip(coco(answers), answers["score"], strict=True)]
    tool = faster.COCOeval_faster(truth, truth.loadRes(seen), iouType="bbox", print_function=len)
    tool.run()
    ours = voc_ap(world, answers, "area")["dog"]
    assert 0.3 < ours < 0.9
    assert tool.stats_as_dict["AP_50"] == pytest.approx(ours, abs=1e-6)


def slow_action_ap(scores: list[float], labels: list[int]) -> float:
    """The rules of VOCevalaction, one person at a time."""
    recalls, precisions, hits, wrong = [], [], 0, 0
    for number in sorted(range(len(scores)), key=lambda number: -scores[number]):
        hits, wrong = hits + (labels[number] == 1), wrong + (labels[number] == 0)
        if labels[number] != -1:
            recalls.append(hits / labels.count(1) if labels.count(1) else math.nan)
            precisions.append(hits / (hits + wrong))
    return slow_mean(recalls, precisions, "area") if labels.count(1) else math.nan


@pytest.mark.parametrize("seed", range(20))
def test_actions_score_as_the_development_kit_has_it(seed):
    random = np.random.default_rng(seed)
    scores = np.round(random.random((30, 6)), 1)
    scores[random.random(scores.shape) < 0.1] = -np.inf
    labels = random.choice([1, 0, -1], scores.shape, p=[0.3, 0.5, 0.2])
    labels[:, 5] = random.choice([0, -1], 30)  # an action nobody does
    slow = [slow_action_ap(*pair) for pair in zip(scores.T.tolist(), labels.T.tolist(), strict=True)]
    assert action_ap(scores, labels).tolist() == pytest.approx(slow, rel=0, abs=1e-12, nan_ok=True)


def test_actions_refuse_what_has_no_score():
    with pytest.raises(ItlError, match="1 of 2 rows of scores hold NaN"):
        action_ap(np.array([[0.5], [math.nan]]), np.array([[1], [0]]))


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([("a", "dog", math.nan, DOG)], "detection 1 has the score nan"),
        (
            [("a", "dog", 0.5, DOG), ("a", "dog", 0.5, (1, 1, math.inf, 5))],
            r"detection 2: .*inf.* is not finite",
        ),
        ([("a", "dog", 0.5, (10, 1, 1, 10))], r"detection 1: the box \(10, 1, 1, 10\) has no area"),
        (
            [("a", "dog", 0.5, DOG), ("a", "dog", 0.5, DOG), ("a", "dgo", 0.5, DOG)],
            r"no annotated class \(row 3 of the detections\) called 'dgo'; .*'dog'",
        ),
        ([("a", "dog", 0.5, DOG)] * 2 + [("a", "dog", math.nan, DOG)], "detection 3 has the score nan"),
        ([("a", "dog", 0.5, DOG)] * 2 + [("a", "dog", 0.5, FAR[::-1])], "detection 3: the box"),
    ],
)
def test_detections_refuse_what_has_no_score(answers, words):
    with pytest.raises(ItlError, match=words):
        voc_ap(objects(("a", "dog", DOG, False)), detections(*answers))


def test_an_unknown_metric_is_refused():
    with pytest.raises(ItlError, match="no metric called 'aera'; did you mean 'area'"):
        average_precision(np.array([True]), 1, "aera")
