"""Verdicts of advice on simulated worlds: equal options, few images, one seed, and true differences."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from itl.analysis.advice import BEST, WORSE, Advice, advise, answer_text
from itl.analysis.expected_scores import noise_before, verdict_quantile
from itl.analysis.option_grid import Grid
from itl.analysis.scored_images import ScoredImages
from itl.analysis.statistics import LEVEL
from itl.analysis.verdicts import CANNOT_TELL
from tests.analysis.test_advice import OPTIONS, world

WORLDS = 15
GAIN = 8.0  # of pre-training, in points
MANY = 1000  # scored images


def grid_of_values(values: np.ndarray, images: int = MANY) -> Grid:
    """Make a grid of *values* (tasks, OPTIONS, seeds), rounded to shares of so many scored *images*."""
    grid, _ = world(0, effect=0.0)
    count, _, seeds = values.shape
    shares = 100 * np.round(values * images / 100) / images
    rows = [(*place, float(value)) for place, value in np.ndenumerate(shares)]
    return replace(
        grid,
        tasks=grid.tasks[:count],
        features=grid.features[:count],
        measurements=pd.DataFrame(rows, columns=["task", "option", "seed", "value"]),
        task_hours=grid.task_hours[:count],
        declared_margins=grid.declared_margins[:count],
        scored_images=np.full(count, float(images)),
        effective_images=np.full(count, float(images)),
        seeds=tuple(range(seeds)),
    )


def worlds(
    tasks: int, seeds: int, noise: float, images: int = MANY, spread: float = 0.0
) -> Iterator[tuple[Grid, np.ndarray]]:
    """Yield grids and the true means of task 0; options differ by *spread* on each task, nets by *noise*."""
    random = np.random.default_rng(int(100 * tasks + 10 * seeds + noise))
    for _ in range(WORLDS):
        means = random.normal(50, 8, (tasks, 1)) + random.normal(0, spread, (tasks, OPTIONS))
        means[:, 1:] += GAIN
        yield (
            grid_of_values(means[:, :, None] + random.normal(0, noise, (tasks, OPTIONS, seeds)), images),
            means[0],
        )


def declared(grid: Grid, count: int) -> Grid:
    """Return the same measurements in a grid of *count* tasks, as of a preset of more tasks."""
    wide, _ = world(0, effect=0.0)
    images = np.full(count, grid.scored_images[0])
    return replace(
        grid,
        tasks=wide.tasks[:count],
        features=wide.features[:count],
        task_hours=wide.task_hours[:count],
        declared_margins=wide.declared_margins[:count],
        scored_images=images,
        effective_images=images,
    )


def few_images(tasks: int, images: int) -> Iterator[tuple[Grid, np.ndarray]]:
    """Yield grids of one seed and the true means of task 0; some images are harder (Rasch 1960)."""
    random = np.random.default_rng(0)
    for _ in range(WORLDS):
        hardness, able = random.normal(0, 1.5, (tasks, 1, images)), random.normal(0, 0.25, (tasks, OPTIONS))
        right = 1 / (1 + np.exp(hardness - able[:, :, None]))
        values = 100 * (random.random(right.shape) < right).mean(2)
        yield grid_of_values(values[:, :, None], images), 100 * right[0].mean(1)


def claims(grid: Grid, truth: np.ndarray) -> tuple[Advice, np.ndarray, np.ndarray]:
    """Advise on task 0: which pre-trained options are called worse than the choice, and which truly are."""
    advice = advise(grid, grid.tasks[0])
    table = advice.table.set_index("option").loc[grid.options["option"]]
    chosen = truth[list(table.index).index(advice.choice["option"])]
    return advice, (table["verdict"] == WORSE).to_numpy()[1:], (truth < chosen - 1e-9)[1:]


@pytest.mark.parametrize(
    ("tasks", "seeds", "noise", "images"),
    [(1, 1, 2, MANY), (1, 1, 5, 400), (3, 1, 8, 40), (1, 3, 2, MANY), (2, 3, 2, MANY), (3, 2, 8, 40)],
)
def test_of_equal_options_few_are_called_worse_and_none_the_best(tasks, seeds, noise, images):
    judged = [claims(*made) for made in worlds(tasks, seeds, noise, images)]
    called = np.array([worse for _, worse, _ in judged])
    assert called.sum() / (WORLDS * (OPTIONS - 2)) <= LEVEL  # one of the pre-trained is the choice
    assert BEST not in {advice.verdict for advice, _, _ in judged}


def test_tasks_that_are_only_declared_are_no_evidence():
    judged = []
    for grid, truth in worlds(tasks=1, seeds=2, noise=5.0):
        advice, called, _ = claims(declared(grid, 8), truth)
        alone, wide = advise(grid, grid.tasks[0]).table, advice.table
        for column in ("expected", "low", "high"):
            assert wide[column].to_numpy() == pytest.approx(alone[column].to_numpy(), abs=0.01)
        assert wide["verdict"].tolist() == alone["verdict"].tolist()
        judged.append(called)
        assert advice.verdict != BEST
    assert np.mean(judged) <= LEVEL


def test_a_task_shows_how_options_differ_by_the_share_of_them_that_is_measured():
    """Of those that are pre-trained, and not by second nets; the task itself always counts."""
    grid = declared(grid_of_values(np.full((3, OPTIONS, 2), 50.0)), 5)

    def count(rows: str, task: int) -> float:
        return replace(grid, measurements=grid.measurements.query(rows)).informative_tasks(task)

    assert [grid.informative_tasks(task) for task in (0, 2, 3, 4)] == [3, 3, 4, 4]
    assert [count("task == 0", task) for task in (0, 4)] == [1, 2]
    assert count("task != 1 or option < 2", 0) == 2  # no pre-training and one option
    assert count("task != 1 or option < 3", 0) == pytest.approx(2.2)  # one difference of five
    assert count("option == 1", 0) == count("option == 0", 0) == 1


@pytest.mark.parametrize(("tasks", "least"), [(1, 0.4), (3, 0.4)])
def test_true_differences_are_found_with_three_seeds(tasks, least):
    judged = [claims(*made) for made in worlds(tasks, seeds=3, noise=2.0, spread=5.0)]
    worse, true = (np.concatenate([row[number] for row in judged]) for number in (1, 2))
    assert (worse & ~true).sum() <= LEVEL * worse.sum()
    assert worse[true].mean() >= least
    assert any(advice.verdict == BEST for advice, _, _ in judged)


def test_a_net_that_failed_is_no_obstacle():
    """The search for the noise then tries values near 0, where matrices are nearly singular."""
    random = np.random.default_rng(604)
    values = random.normal(50, 8, (4, 1)) + GAIN * (np.arange(OPTIONS) > 0)
    values = values[:, :, None] + random.normal(size=(4, OPTIONS, 3)) * 0.5
    values[:, random.integers(1, OPTIONS), 0] -= 12
    table = advise(grid_of_values(np.clip(values, 0, 100), 2000), "probe@target0").table
    assert (table["low"] < table["expected"]).all()


def test_with_few_images_intervals_cover():
    held = []
    for grid, truth in few_images(tasks=3, images=15):
        table = advise(grid, grid.tasks[0]).table.set_index("option").loc[grid.options["option"]]
        held += list((table["low"] <= truth) & (truth <= table["high"]))
    assert np.mean(held) >= 0.9


def test_one_seed_gives_no_verdict_and_the_answer_says_why():
    grid, _ = next(worlds(tasks=3, seeds=1, noise=1.0, spread=5.0))
    advice = advise(grid, grid.tasks[0])
    assert set(advice.table["verdict"]) == {CANNOT_TELL}
    assert "No option has two nets on a task yet" in answer_text(advice)
    twice = grid.with_value(1, 2, 1, 50.0)
    assert (grid.repeats, twice.repeats, twice.with_value(1, 0, 1, 50.0).repeats) == (0, 1, 1)
    assert "No option has two nets" not in answer_text(advise(twice, grid.tasks[0]))


def noisier_target(ratio: float, seeds: int) -> float:
    """How many of equal options are called worse on a target of *seeds* nets, noisier than other tasks."""
    random, wrong = np.random.default_rng(0), []
    for _ in range(WORLDS):
        means = random.normal(50, 8, (4, 1)) + GAIN * (np.arange(OPTIONS) > 0)
        noise = np.array([ratio, 1, 1, 1])[:, None, None] * random.normal(size=(4, OPTIONS, 3))
        grid = grid_of_values(means[:, :, None] + noise)
        known = grid.measurements.query(f"task != 0 or seed < {seeds}").reset_index(drop=True)
        wrong.append(claims(replace(grid, measurements=known), means[0])[1])
    return float(np.mean(wrong))


def test_a_task_without_a_second_net_may_be_twice_as_noisy_as_the_others():
    assert noisier_target(2.0, seeds=1) <= LEVEL
    assert noisier_target(6.0, seeds=2) <= 2 * LEVEL


def test_verdicts_on_a_task_without_a_second_net_name_the_noise_that_they_take():
    grid, _ = next(worlds(tasks=4, seeds=3, noise=1.0, spread=8.0))
    target = grid.tasks[0]
    says = "No option has a second net on this task yet, so verdicts take the noise"
    once = replace(
        grid, measurements=grid.measurements.query("task != 0 or seed == 0").reset_index(drop=True)
    )
    assert set(advise(once, target).table["verdict"]) != {CANNOT_TELL}
    assert says in answer_text(advise(once, target))
    assert [once.repeats_on(task) for task in range(4)] == [0, *[2 * (OPTIONS - 1)] * 3]
    assert once.repeats == 6 * (OPTIONS - 1)
    again = once.with_value(0, 1, 1, float(once.measurements["value"].iloc[1]))
    assert again.repeats_on(0) == 1
    assert set(advise(again, target).table["verdict"]) != {CANNOT_TELL}
    assert says not in answer_text(advise(again, target))
    one_seed = replace(once, measurements=once.measurements.query("seed == 0"))
    assert set(advise(one_seed, target).table["verdict"]) == {CANNOT_TELL}
    assert "second net on this task" not in answer_text(advise(one_seed, target))


def test_a_verdict_takes_the_smaller_of_two_quantiles():
    one_sided = {1: 6.314, 2: 2.920, 8: 1.860}  # of Student's t at 5 %, from a table
    assert verdict_quantile(9, 100, 7) == pytest.approx(one_sided[8], abs=1e-3)
    assert verdict_quantile(3, 2, 7) == pytest.approx(one_sided[2], abs=1e-3)
    assert verdict_quantile(9, 1, 7) == pytest.approx(one_sided[1], abs=1e-3), "one repeat says little"
    assert verdict_quantile(1, 10, 5) == pytest.approx(2.764, abs=1e-3), "10 degrees of freedom at 1 %"
    assert verdict_quantile(9, 0, 7) == math.inf


def test_noise_before_is_what_images_leave():
    task, values = np.array([0, 0, 1, 3]), np.array([10.0, 30.0, 50.0, 100.0])
    factors = noise_before(task, values, np.array([100.0, 625.0, 10.0, 5.0]))
    assert np.exp(factors) == pytest.approx([20 * 80 / 100 / 4, 1, 1, 1])
    assert not noise_before(task, values, np.full(4, math.nan)).any()


def test_classes_of_few_images_that_count_alike_leave_more_to_chance():
    """The mean of the accuracies of classes with 1 and 99 images is as uncertain as a share of 4."""
    counts = {"cat": 1, "dog": 99, "eel": 0}
    alike, by_class = ScoredImages(counts), ScoredImages(counts, per_class=True)
    assert (alike.effective, alike.one_class_score) == (100, 99)
    assert by_class.effective == pytest.approx(2**2 / (1 + 1 / 99))
    assert math.isnan(ScoredImages({"eel": 0}, per_class=True).effective)
    assert by_class.one_class_score == 50
    assert math.isnan(ScoredImages({}).one_class_score)
    sets = np.random.default_rng(0).binomial((1, 99), 0.5, (20_000, 2)) / (1, 99)
    assert sets.mean(1).std() == pytest.approx(math.sqrt(0.25 / by_class.effective), rel=0.02)


def test_verdicts_are_by_the_effective_images_and_the_answer_names_all():
    """As many options are called worse as if a few images were all that is scored."""
    few_sure = 0
    for grid, _ in worlds(tasks=3, seeds=3, noise=2.0, spread=5.0):
        uneven = replace(grid, effective_images=np.full(3, 10.0))
        few, many = (
            advise(replace(grid, scored_images=images, effective_images=images), grid.tasks[0])
            for images in (np.full(3, 10.0), np.full(3, float(MANY)))
        )
        advice = advise(uneven, grid.tasks[0])
        assert advice.table["verdict"].tolist() == few.table["verdict"].tolist()
        assert advice.table["expected"].tolist() == few.table["expected"].tolist()
        assert f"scored on the same {MANY:,} images" in answer_text(advice)
        few_sure += (many.table["verdict"] == WORSE).sum() - (few.table["verdict"] == WORSE).sum()
    assert few_sure > 0


def test_with_many_images_noise_is_as_if_their_number_were_not_known():
    grid, _ = next(worlds(tasks=3, seeds=2, noise=2.0, spread=3.0))
    known, unknown = grid.fit(), replace(grid, effective_images=np.full(3, math.nan)).fit()
    for name, value in vars(known).items():
        np.testing.assert_array_equal(value, getattr(unknown, name))
