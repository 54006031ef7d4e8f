"""Advice on simulated worlds whose truth is known, and what cannot be advised."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from itl import ItlError
from itl.analysis.advice import (
    BEST as CALLED_BEST,
)
from itl.analysis.advice import (
    NO_OTHER,
    Budget,
    advise,
    answer_text,
    describe,
    frontier,
    next_experiment,
    readable,
)
from itl.analysis.expected_scores import expected_rise
from itl.analysis.option_grid import Grid, grid_of, nearness
from itl.analysis.pilot import Experiment
from itl.analysis.verdicts import CANNOT_TELL
from itl.evaluation.scores import similarities
from itl.packs.paths import packed
from itl.packs.subset import select
from itl.runs.leakage import Leakage
from itl.runs.questions import advice
from itl.runs.store import Store
from itl.specs import Subset
from tests.annotated import jpeg, written
from tests.worlds import SETTINGS, here

TASKS, OPTIONS, SEEDS = 9, 7, 3
BEST = 5


def world(seed: int, effect: float, measured: int = SEEDS) -> tuple[Grid, np.ndarray]:
    """Make a grid on which option BEST is better by *effect*, and the true means of task 0.

    On task 0 each option has so many nets *measured*, on the others all have.
    """
    random = np.random.default_rng(seed)
    levels, gains = random.normal(30, 8, TASKS), random.normal(12, 2, TASKS)
    means = levels[:, None] + np.where(np.arange(OPTIONS) > 0, gains[:, None], 0.0)
    means[:, 1:] += (effect > 0) * random.normal(0, 2, (TASKS, OPTIONS - 1))
    means[:, BEST] += effect
    rows = [
        (task, option, net, means[task, option] + random.normal(0, 2))
        for task in range(TASKS)
        for option in range(OPTIONS)
        for net in range(SEEDS if task else measured)
    ]
    images = np.array([0, *(100 * 2 ** np.arange(OPTIONS - 1))])
    options = pd.DataFrame(
        {
            "option": [f"option {number}" for number in range(OPTIONS)],
            "trained": images > 0,
            "drawn": (images > 0) & (images < 500),
            "one_net": False,
            "images": images,
            "classes": np.minimum(images, 10),
            "hours": np.where(images > 0, 1.0, 0.0),
        }
    )
    sizes = np.log10(np.maximum(images, 100.0))
    features = np.broadcast_to(((sizes - sizes.mean()) / sizes.std())[None, :, None], (TASKS, OPTIONS, 1))
    table = pd.DataFrame(rows, columns=["task", "option", "seed", "value"])
    tasks = tuple(f"probe@target{number}" for number in range(TASKS))
    unknown = np.full((4, TASKS), math.nan)  # margins and images
    return Grid(tasks, options, features, table, np.full(TASKS, 0.1), *unknown, tuple(range(SEEDS))), means[0]


def test_the_planted_option_is_advised_and_intervals_cover():
    right, held = 0, []
    for seed in range(12):
        grid, truth = world(seed, effect=8.0, measured=1)
        advice = advise(grid, "probe@target0")
        right += advice.choice["option"] == f"option {BEST}"
        table = advice.table.set_index("option").loc[grid.options["option"]]
        held += list((table["low"] <= truth) & (truth <= table["high"]))
    assert right >= 11
    assert 0.85 <= np.mean(held) <= 0.98, np.mean(held)


def test_without_differences_nothing_is_called_the_best():
    grids = [world(seed, 0.0, measured=1)[0] for seed in range(12)]
    small = [
        replace(grid, declared_margins=np.full(TASKS, 0.3)) for grid in grids
    ]  # a margin that noise exceeds
    assert CALLED_BEST not in {advise(grid, "probe@target0").verdict for grid in grids}
    assert {advise(grid, "probe@target0").verdict for grid in small} == {CANNOT_TELL}


def test_a_lead_that_few_images_may_have_by_chance_is_not_the_best():
    grid, _ = world(0, effect=8.0, measured=SEEDS)
    lines = {}
    for scored in (25, 10_000):
        images = np.full(TASKS, float(scored))
        made = advise(replace(grid, scored_images=images, effective_images=images), "probe@target0")
        lines[scored] = made.verdict
        assert f"All nets are scored on the same {scored:,} images." in answer_text(made)
    assert lines == {25: CANNOT_TELL, 10_000: CALLED_BEST}
    assert "scored on" not in answer_text(advise(grid, "probe@target0"))


def test_the_answer_and_the_figure_name_what_one_class_would_score():
    grid, _ = world(0, effect=8.0, measured=SEEDS)
    made = advise(replace(grid, one_class=np.array([16.65, *[math.nan] * (TASKS - 1)])), "probe@target0")
    assert "Always naming one class would score 16.6 %." in answer_text(made)
    (text,) = [text for text in frontier(made).texts if text.get_text() == "always\none class"]
    ax = text.axes
    ax.figure.canvas.draw()
    assert text.get_window_extent().x0 > ax.get_window_extent().x1, "beside what a budget dims and cuts"
    unknown = advise(grid, "probe@target0")
    assert "one class" not in answer_text(unknown)
    assert "always\none class" not in [text.get_text() for text in frontier(unknown).texts]


def test_of_a_loss_no_shares_are_given():
    grid, _ = world(0, effect=8.0, measured=SEEDS)
    rows = grid.measurements
    lower = rows["value"].where((rows["task"] > 0) | (rows["option"] == 0), rows["value"] - 40)
    made = advise(replace(grid, measurements=rows.assign(value=lower)), "probe@target0")
    assert made.gain < 0
    assert set(readable(made)["share of gain"]) == {""}
    assert "The option of the most images, option 6, is expected to be no better than no" in answer_text(made)


@pytest.mark.parametrize("kind", ["untrained", "trained"])
def test_of_a_gain_nothing_is_known_before_nets_of_both_kinds_are_measured(kind):
    """As after the first run of a pilot, which is the baseline."""
    grid, _ = world(0, effect=8.0)
    rows = grid.measurements[(grid.measurements["option"] == 0) == (kind == "untrained")]
    made = advise(replace(grid, measurements=rows), "probe@target0")
    assert math.isnan(made.gain)
    assert math.isnan(made.margin)
    text = answer_text(made)
    assert "There are no shares of a gain before a net with and one without pre-training are mea" in text
    assert "no better than" not in text
    assert set(readable(made)["share of gain"]) == {""}


@pytest.mark.parametrize("untrained", [100.0, 90.0])
def test_scores_without_any_noise_are_advised_on(untrained):
    """As of nets that are all right on all images."""
    grid, _ = world(0, effect=8.0)
    rows = grid.measurements
    made = advise(
        replace(grid, measurements=rows.assign(value=np.where(rows["option"] > 0, 100.0, untrained))),
        "probe@target0",
    )
    assert made.choice["expected"] == pytest.approx(100, abs=0.1)


def test_expected_scores_are_percent_and_ranked_as_they_were():
    grid, _ = world(0, effect=8.0, measured=SEEDS)
    usual = advise(grid, "probe@target0").table
    higher = grid.measurements.assign(value=grid.measurements["value"] + 99.5 - usual["expected"].max())
    table = advise(replace(grid, measurements=higher), "probe@target0").table
    assert list(table["option"]) == list(usual["option"])
    assert table["expected"].max() < table["high"].max() == 100
    lower = grid.measurements.assign(value=grid.measurements["value"] + 0.5 - usual["expected"].min())
    table = advise(replace(grid, measurements=lower), "probe@target0").table
    assert table["expected"].min() > table["low"].min() == 0


def test_the_answer_says_what_its_verdict_means_and_why_there_are_no_shares():
    made = advise(world(0, effect=8.0, measured=SEEDS)[0], "probe@target0")
    unsure = replace(made, verdict=NO_OTHER, table=made.table.assign(share_low=math.nan))
    text = answer_text(unsure)
    assert (
        'The verdict "none better by more than the margin" means that each other option, looked at alone, is '
        "better by more than 1.9 points with a probability of at most 5 %."
    ) in text
    assert "No share of the gain is given: the gain itself may be 0." in text
    assert set(readable(unsure)["share of gain"]) == {""}
    assert "No share" not in answer_text(made)


def test_a_task_without_measurements_is_predicted_from_the_others_and_begins_with_the_yardstick():
    grid, _ = world(1, effect=6.0, measured=0)
    advice = advise(grid, "probe@target0")
    assert advice.choice["option"] == f"option {BEST}"
    assert advice.choice["measured"] == 0
    assert advice.experiment is not None
    assert advice.experiment.name == "option 0"
    assert math.isnan(advice.experiment.gain)
    above = replace(grid, measurements=grid.measurements.assign(value=99.9))
    assert "ceiling" not in answer_text(advise(above, "probe@target0")), "of other tasks"
    assert "This is a ceiling" in answer_text(advise(above, "probe@target1"))


def test_the_cheaper_of_equals_is_measured_first():
    grid, _ = world(6, effect=0.0, measured=1)
    slow = grid.options.assign(hours=np.where(grid.options.index == 3, 0.01, 1000.0))
    experiment = next_experiment(replace(grid, options=slow), 0, grid.posterior, np.ones(OPTIONS, bool))
    assert experiment is not None
    assert experiment.option == 3


def test_a_net_that_is_there_need_not_be_trained():
    grid, _ = world(2, effect=6.0, measured=1)
    nets = frozenset((option, 2) for option in range(OPTIONS))
    experiment = next_experiment(replace(grid, nets=nets), 0, grid.posterior, np.ones(OPTIONS, bool))
    assert experiment is not None
    assert (experiment.seed, experiment.hours) == (2, pytest.approx(0.1))


def test_no_experiment_is_left_where_every_net_is_measured():
    grid, _ = world(3, effect=6.0)
    assert advise(grid, "probe@target0").experiment is None
    assert "--pilot" not in describe(grid, "probe@target0")


@pytest.mark.parametrize(
    ("gain", "says", "offered"),
    [
        (0.0, "No experiment is worth its time: none adds 0.02 points.", False),
        (1.0, "Next: ", True),
    ],
)
def test_a_pilot_is_offered_where_an_experiment_is_worth_its_time(monkeypatch, gain, says, offered):
    best = Experiment(1, "option 1", 0, hours=0.1, gain=gain)
    monkeypatch.setattr("itl.analysis.advice.next_experiment", lambda *_: best)
    text = describe(world(3, effect=6.0, measured=1)[0], "probe@target0")
    assert says in text
    assert ("--pilot 4" in text) == offered


def test_a_net_that_is_worth_its_time_goes_before_one_that_adds_little_in_seconds(monkeypatch):
    grid, _ = world(3, effect=0.0, measured=1)
    cheap = replace(grid, nets=frozenset({(1, 1)}), task_hours=np.full(TASKS, 0.001))
    for gains, option in (([0.01, 0.3, 0, 0, 0, 0.2], 2), ([0.01, 0.015, 0, 0, 0, 0], 1)):
        monkeypatch.setattr("itl.analysis.pilot.expected_gains", lambda *_, gains=gains: np.array(gains))
        experiment = next_experiment(cheap, 0, grid.posterior, np.ones(OPTIONS, bool))
        assert (experiment.option, experiment.worthwhile) == (option, option == 2)


def test_a_budget_leaves_out_what_is_larger():
    grid, _ = world(4, effect=8.0)
    advice = advise(grid, "probe@target0", Budget(500, "images"))
    assert advice.choice["images"] <= 500
    assert advice.table.loc[advice.table["images"] > 500, "affordable"].eq(False).all()
    assert advise(grid, "probe@target0", Budget(1600, "labels")).choice["option"] == f"option {BEST}"


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget(), "the best option for target0, linear probe: "),
        (Budget(1600, "labels"), "the best option for target0, linear probe within 1,600 labels: "),
        (Budget(2.5, "hours"), "the best option for target0, linear probe within 2.5 hours: "),
    ],
)
def test_the_answer_names_the_budget(budget, words):
    assert f"**option {BEST}** is {words}" in answer_text(
        advise(world(4, effect=8.0)[0], "probe@target0", budget)
    )


def test_whatever_the_verdict_the_answer_names_the_budget():
    made = advise(world(4, effect=8.0)[0], "probe@target0", Budget(100, "images"))
    texts = [answer_text(replace(made, verdict=verdict)) for verdict in (CALLED_BEST, NO_OTHER, CANNOT_TELL)]
    assert [text.count("target0, linear probe within 100 images") for text in texts] == [1, 1, 1]


def test_expected_rise_is_the_integral():
    random, z = np.random.default_rng(0), np.linspace(-8, 8, 8001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    for _ in range(50):
        count = random.integers(1, 8)
        means, slopes = random.normal(size=count), random.normal(size=count) * random.integers(0, 2, count)
        integral = ((means[:, None] + slopes[:, None] * z).max(0) * density).sum() - means.max()
        assert expected_rise(means, slopes) == pytest.approx(integral, abs=1e-4)


@pytest.mark.parametrize(
    ("number", "unit"),
    [
        ("2", "days"),
        ("-1", "hours"),
        ("nan", "hours"),
        ("inf", "hours"),
        ("2,5", "hours"),
        ("0", "images"),
        ("many", "hours"),
    ],
)
def test_other_budgets_are_refused(number, unit):
    with pytest.raises(ItlError, match="--budget takes a number above 0 and one of hours, images, labels"):
        Budget.read(number, unit)


def test_images_and_labels_are_whole():
    assert Budget.read("1,500", "label") == Budget(1500, "labels")
    assert Budget.read("2.5", "hours") == Budget(2.5, "hours")
    with pytest.raises(ItlError, match="--budget takes whole images; got 5000.5 images"):
        Budget.read("5000.5", "images")


def test_a_budget_that_nothing_fits_is_refused():
    with pytest.raises(
        ItlError, match="no option with pre-training fits 50 images; the smallest takes 100 images"
    ):
        advise(world(5, 0.0)[0], "probe@target0", Budget(50, "images"))


def test_weights_that_one_has_are_measured_once():
    grid, _ = world(6, 0.0, measured=0)
    once = grid.measurements.assign(task=0, seed=0).drop_duplicates("option")
    all_own = grid.options.assign(one_net=True)
    advice = advise(replace(grid, options=all_own, measurements=once), "probe@target0")
    assert (advice.experiment, advice.pilot.nets) == (None, 0), "nothing is left"
    assert advise(replace(grid, measurements=once), "probe@target0").experiment.option > 0


def test_nothing_measured_names_a_pilot():
    grid, _ = world(6, 0.0)
    with pytest.raises(ItlError, match="with --pilot 4 does it"):
        advise(replace(grid, measurements=grid.measurements.iloc[:0]), "probe@target0")


def test_a_narrow_frontier_writes_numbers_plainly_too():
    grid, _ = world(4, effect=8.0)
    near = grid.options.assign(images=np.where(grid.options["images"] > 0, 16 + 5 * grid.options.index, 0))
    ax = frontier(advise(replace(grid, options=near), "probe@target0"))
    ax.figure.canvas.draw()
    labels = [label.get_text() for label in ax.get_xticklabels(which="minor")]
    assert {"20", "30", "40"} <= set(labels)
    assert not any("$" in label for label in labels)


def test_options_of_one_cost_lie_near_it_and_not_across_the_axis():
    grid, _ = world(4, effect=8.0)
    ax = frontier(advise(grid, "probe@target0"), "hours")
    hours = ax.collections[-1].get_offsets()[:, 0]
    assert len(set(grid.options["hours"][grid.trained])) == 1
    assert max(hours) / min(hours) <= 1.21
    assert ax.get_xlim()[1] / ax.get_xlim()[0] >= 3.99


def test_the_frontier_names_what_leads_and_writes_numbers_plainly():
    ax = frontier(advise(world(4, effect=8.0)[0], "probe@target0"))
    ax.figure.canvas.draw()
    letters = dict(line.split("  ")[::-1] for line in ax.get_title("left").splitlines())
    assert letters[f"option {BEST}"] in {text.get_text() for text in ax.texts}
    assert "1,000" in {label.get_text() for label in ax.get_xticklabels()}
    baselines = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert len(baselines) == 1
    assert ax.texts[-1].get_text() == "option 0"
    assert baselines[0].get_ydata()[0] == ax.texts[-1].xy[1]


def test_at_a_ceiling_no_net_improves_the_choice_by_more_than_is_left():
    grid, _ = world(0, effect=0.0, measured=1)
    near = grid.measurements.assign(value=(grid.measurements["value"] + 60).clip(upper=100.0))
    advice = advise(replace(grid, measurements=near), "probe@target0")
    left = 100 - advice.table["expected"].max()
    assert advice.experiment.gain <= left < 5
    assert "This is a ceiling: scores of " in answer_text(advice)
    assert "ceiling" not in answer_text(advise(grid, "probe@target0"))


def test_a_pilot_takes_what_is_left_and_trains_no_net_that_is_there():
    grid, _ = world(0, effect=0.0, measured=1)
    count, hours = advise(grid, "probe@target0").pilot
    assert (count, hours) == (4, pytest.approx(4 * 1.1))  # of 6 × 3 nets one in four, an hour and 0.1 each
    there = replace(
        grid, nets=frozenset((option, seed) for option in range(OPTIONS) for seed in range(SEEDS))
    )
    assert advise(there, "probe@target0").pilot == (4, pytest.approx(4 * 0.1))
    last = there
    for option in range(1, OPTIONS):
        for seed in range(1, SEEDS):
            if (option, seed) != (1, 1):
                last = last.with_value(0, option, seed, 40.0)
    assert advise(last, "probe@target0").pilot == (1, pytest.approx(0.1))


def test_a_pilot_counts_the_yardstick_that_is_missing():
    """Every net but those without pre-training is measured: one of these is what comes next."""
    grid, _ = world(3, effect=6.0)
    rows = grid.measurements
    mine = (rows["task"] == 0) & (rows["option"] == grid.baseline_option)
    text = describe(replace(grid, measurements=rows[~mine]), "probe@target0")
    assert "Next: option 0, seed 0" in text
    assert text.endswith("A pilot of 1 more net takes about 6 minutes: --pilot 1")


def test_a_pilot_is_never_of_no_net():
    """What is left are other seeds of the baseline, or nets over the budget that are trained already."""
    grid, _ = world(3, effect=6.0)
    rows, mine = grid.measurements, grid.measurements["task"] == 0
    again = mine & (rows["option"] == grid.baseline_option) & (rows["seed"] > 0)
    text = describe(replace(grid, measurements=rows[~again]), "probe@target0")
    assert "Next: option 0, seed 1, 6 minutes, another net of the baseline of every gain." in text
    assert text.endswith("A pilot of 1 more net takes about 6 minutes: --pilot 1")
    nets = frozenset((option, seed) for option in range(1, OPTIONS) for seed in range(SEEDS))
    over = replace(grid, measurements=rows[~(mine & (rows["option"] == 6))], nets=nets)
    advice = advise(over, "probe@target0", Budget(400, "images"))
    assert (advice.experiment.option, advice.pilot.nets) == (6, SEEDS)


def test_all_options_that_may_be_the_best_are_counted():
    made = advise(world(0, effect=0.0)[0], "probe@target0")
    words = [CANNOT_TELL, "the same", "worse", "worse", "the same", CANNOT_TELL, CANNOT_TELL]
    table = made.table.assign(verdict=words, affordable=[True] * (OPTIONS - 1) + [False])
    text = answer_text(replace(made, verdict=CANNOT_TELL, table=table))
    assert text.startswith("**Cannot tell** which of 4 options is the best")


def test_where_every_net_is_measured_an_answer_that_cannot_tell_says_what_would_help():
    made = advise(world(0, effect=0.0, measured=SEEDS)[0], "probe@target0")
    assert made.experiment is None
    says = "Every net is measured. What may still tell: more seeds in the preset, whose nets `itl advise` can"
    assert says in answer_text(replace(made, verdict=CANNOT_TELL))
    assert "What may still tell" not in answer_text(replace(made, verdict=CALLED_BEST))
    rows = made.grid.measurements
    once = replace(made.grid, measurements=rows[rows["seed"] == 0])
    one_seed = answer_text(replace(made, verdict=CANNOT_TELL, grid=once))
    assert "What may still tell" not in one_seed
    assert "there is no verdict before a second seed" in one_seed
    table = made.table.assign(expected=99.0, measured=True)
    at_ceiling = replace(made, verdict=CANNOT_TELL, table=table)
    text = answer_text(at_ceiling)
    assert (
        "scores of 99 % leave no room for a difference, which a target with harder images may show." in text
    )
    assert "What may still tell" not in text


def test_an_answer_says_that_nets_have_seen_what_they_are_scored_on():
    grid, _ = world(3, effect=6.0)
    seen = pd.DataFrame({"image": ["a", "b"], "other": ["x", "y"], "kind": ["exact", "near"]})
    leaks = {f"probe@{name}": Leakage(name, "test", 40, seen[:0], seen) for name in ("target0", "target1")}
    leaking = replace(grid, leaks=leaks)
    says = "Nets have seen some of what they are scored on: of 40 test images of target0, 2 "
    assert says in answer_text(advise(leaking, "probe@target0"))
    own = replace(grid, leaks={"probe@target0": Leakage("target0", "test", 40, seen, seen[:0])})
    assert answer_text(advise(own, "probe@target0")).endswith(
        "The target's other splits have some of what nets are scored on: of 40 test images of target0, 0 "
        "(0 exact, 0 near) are in the pre-training images, 2 (1 exact, 1 near) in its other splits."
    )
    assert "have seen" not in answer_text(advise(leaking, "probe@target2"))


def test_a_task_that_is_not_there_is_named_with_its_nearest():
    with pytest.raises(ItlError, match="no task of this advice called 'probe@target'; did you mean"):
        advise(world(0, 0.0)[0], "probe@target")


def test_nearness_is_that_of_the_classes_that_nets_learn(tmp_path):
    """Halves depend on all classes of a pack, those that are not in the tree too."""
    names = ("n01503061", "n02084071", "n02121620", "n04524313", "plain a", "plain b")
    near, kept = {}, {}
    for folder, classes in (("mixed", names), ("plain", names[4:])):
        files = {f"{split}/{name}/1.jpg": jpeg() for split in ("train", "val") for name in classes}
        images = {"source": "folder", "path": str(written(tmp_path / folder, files)), "size": 8}
        sets = [f"half-balanced@{number}" for number in range(3)]
        question = advice(
            **SETTINGS
            | {"images": images, "images_per_class": ["all"], "label_sets": sets, "tasks": ["knn@images"]}
        )
        machine = here(tmp_path)
        question.prepare(machine)
        near[folder] = nearness(question, machine)[0, 1:]
        pack, tree = packed(question.images, "images", machine), question.tree(machine)
        for number, half in enumerate(sets):
            learned = set(pack.table["wnid"][select(pack, Subset(pack.digest, half), "train").rows])
            kept[folder, number] = [name for name in names[:4] if name in learned]
    assert np.isnan(near["plain"]).all()
    for number in range(3):
        matrix = np.array(similarities(tree, names[:4], kept["mixed", number]))
        assert near["mixed"][number] == pytest.approx([matrix.max(1).mean(), matrix.max(0).mean()])


def test_what_seeds_draw_counts_by_the_largest_draw_and_is_as_near_as_draws_are_on_average(tmp_path, rated):
    """Classes have 2 to 7 images, so that no two halves need have the same number."""
    names = ("n02110185", "n02109961", "n02085620", "n01440764", "n04285008", "n03445777")  # three are dogs
    files = {f"train/{name}/{i}.jpg": jpeg() for size, name in enumerate(names, 2) for i in range(size)}
    files |= {f"val/{name}/{i}.jpg": jpeg() for name in names for i in range(2)}
    images = {"source": "folder", "path": str(written(tmp_path / "images", files)), "size": 8}
    wanted = {"images": images, "images_per_class": ["all"], "tasks": ["knn@images"], "seeds": [0, 1, 3]}
    machine, of = here(tmp_path), {}
    for sets in (["half-random-a@{seed}", "original"], [f"half-random-a@{seed}" for seed in (0, 1, 3)]):
        question = advice(**SETTINGS | wanted | {"label_sets": sets})
        question.prepare(machine)
        options = grid_of(question, Store(tmp_path / "runs"), machine).options
        of[len(sets)] = (
            options["images"].tolist(),
            options["classes"].tolist(),
            nearness(question, machine)[0],
        )
    (images, classes, near), (of_draws, _, near_of_draws) = of[2], of[3]
    assert images == [0, max(of_draws), 27]
    assert len(set(of_draws[1:])) > 1
    assert classes == [0, 3, 6]
    np.testing.assert_allclose(near[1], near_of_draws[1:].mean(0))
    assert np.ptp(near_of_draws[1:], 0).max() > 0.01


@pytest.mark.parametrize(
    ("number", "unit"), [(math.nan, "images"), (0, "hours"), (-1, "labels"), (5, "pictures")]
)
def test_a_budget_made_in_python_is_checked(number, unit):
    with pytest.raises(ItlError, match=f"above 0 and one of hours, images, labels; got {number} {unit}"):
        Budget(number, unit)


@pytest.mark.parametrize("budget", ["100 images", 5, None])
def test_advice_takes_a_budget(budget):
    with pytest.raises(ItlError, match=r"a budget is an advice.Budget, such as Budget\(2, 'hours'\); got "):
        advise(world(4, effect=8.0)[0], "probe@target0", budget)
