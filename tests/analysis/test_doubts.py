"""Reasons to doubt an answer: each appears where it applies, and only there."""

import json
import math
import re
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from itl.analysis import doubts as module
from itl.analysis import scored_images
from itl.analysis.comparisons import Answer, answer, contrasts
from itl.analysis.doubts import (
    alike_by_other_halves,
    diverged,
    doubts,
    doubts_text,
    edge_of_grid,
    exposure,
    no_better_than_one_class,
    sampling_error,
    thin_classes,
    trained_otherwise,
    unfinished,
    unlike_budgets,
    without_pascal,
)
from itl.analysis.option_grid import grid_of
from itl.analysis.origins import mixed, origins
from itl.analysis.wording import answer_text
from itl.runs.executors import with_needs
from itl.runs.leakage import Leakage
from itl.runs.questions import BOTH, overlap, split
from itl.runs.store import Store
from itl.runs.task_questions import Advice
from itl.specs import Pretrain, Recipe
from tests.analysis.test_comparisons import noisy, question
from tests.analysis.test_doublings import grid
from tests.worlds import MADE, SETTINGS, SHARED, here, pretend, small_study


def pretended(home, odd: int | None = None):
    """A data-size question whose runs are all pretended, the run at *odd* by another commit and device."""
    machine = here(home)
    data_size, store = small_study(seeds=[0, 1, 2]), Store(machine.runs)
    runs = list(data_size.runs_on(dict.fromkeys(data_size.packings(), "digest")))
    object.__setattr__(data_size, "runs", lambda machine: runs)
    if odd is not None:
        store.write(runs[odd].spec, "provenance.json", MADE | {"commit": "decade", "device": "C"})
        store.finish(runs[odd].spec, {"classes": 4, "images": 3, "metrics": {"accuracy": 51.0, "knn5": 51.0}})
    pretend([spec for spec in with_needs([run.spec for run in runs]) if store.state(spec) != "done"], store)
    return data_size, store, machine, runs


@pytest.fixture
def study(tmp_path):
    """A question whose runs are all pretended: itself, its store, its machine and its runs."""
    return pretended(tmp_path)


def log(store: Store, run, losses: list[float]) -> None:
    rows = [{"epoch": index + 1, "step": 10 * (index + 1), "loss": loss} for index, loss in enumerate(losses)]
    (store.path(run.spec) / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_nets_that_still_learned_are_named(study):
    _, store, _, runs = study
    trained = [run for run in runs if isinstance(run.spec, Pretrain)]
    for run in trained:
        log(store, run, [3.0, 2.0, 1.5, 1.45, 1.44])
    assert unfinished(trained, store) == ""
    log(store, trained[-1], [3.0, 2.0, 1.5, 1.4, 0.4])  # of three nets
    text = unfinished(trained, store)
    assert text == (
        "Nets were still learning when training ended: with images per class 12 the loss in the last "
        "fifth was 24 % below that in the fifth before."
    )


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5, 6, 7, 10, 30])
def test_a_loss_that_is_flat_for_the_second_half_is_not_said_to_fall(study, epochs):
    """Rows have the means of epochs, of which few say nothing of the last fifth."""
    _, store, _, runs = study
    run = next(run for run in runs if isinstance(run.spec, Pretrain))
    steps = np.array_split(np.concatenate([np.linspace(6.9, 2.0, 300), np.full(300, 2.0)]), epochs)
    log(store, run, [float(part.mean()) for part in steps])
    assert unfinished([run], store) == ""


@pytest.mark.parametrize(("epochs", "is_said"), [(5, True), (6, True), (7, True), (10, True), (4, False)])
def test_a_loss_that_falls_evenly_is_compared_between_fifths(study, epochs, is_said):
    """From 5.9 to 0.9 the fifths before the last and last have means of 2.4 and 1.4, whatever an epoch is."""
    _, store, _, runs = study
    run = next(run for run in runs if isinstance(run.spec, Pretrain))
    losses = [float(part.mean()) for part in np.array_split(np.linspace(5.9, 0.9, 4200), epochs)]
    log(store, run, losses)
    text = unfinished([run], store)
    if not is_said:
        assert text == ""
    else:
        said = int(re.search(r"was (\d+) % below", text)[1])
        assert said == pytest.approx(100 * (1 - 1.4 / 2.4), abs=5)


def test_nets_that_ended_worse_than_guessing_are_named(study):
    _, store, _, runs = study
    trained = [run for run in runs if isinstance(run.spec, Pretrain)]
    for run in trained:
        log(store, run, [3.0, 1.4])  # of four classes
    assert diverged(runs, store) == ""
    log(store, trained[-1], [3.0, 4e18])
    assert diverged(runs, store) == (
        "Nets ended worse than guessing, such as one with images per class 12: a loss of 4e+18 in its last "
        "epoch, and guessing among 4 classes has 1.39. A lower lr may train them."
    )


def test_exposure_differs_where_a_smaller_set_has_as_many_steps(study):
    data_size, _, _, runs = study
    rows = [
        {"run": module.key(run.spec), "images": 16 if dict(run.columns)["images_per_class"] == 4 else 48}
        for run in runs
    ]
    compared = [run for run in runs if dict(run.columns)["images_per_class"] in (4, 12)]
    text = exposure(pd.DataFrame(rows), compared)
    assert text == (
        "Nets have seen each of their images 6 times (images per class 4) or 2 times (images per class 12): "
        "exposure differs too."
    )
    assert exposure(pd.DataFrame(rows).assign(images=48), compared) == ""
    for images, times in ((64, "1.5 times"), (96, "1 time")):
        more = pd.DataFrame(rows).replace({"images": 48}, images).replace({"images": 16}, 40)
        seen = f"2.4 times (images per class 4) or {times} (images per class 12)"
        assert (
            exposure(more, compared) == f"Nets have seen each of their images {seen}: exposure differs too."
        )
    whole = Recipe(steps=10, batch=512)  # of all images, where there are fewer
    for recipe, expected in (
        (whole, ""),
        (
            Recipe(epochs=3, batch=4),
            "Nets were trained for 12 steps (images per class 4) or 36 steps (images per class 12): "
            "how long they learned differs too.",
        ),
    ):
        trained = [
            replace(run, spec=replace(run.spec, recipe=recipe))
            for run in compared
            if isinstance(run.spec, Pretrain)
        ]
        rows = [
            {"run": module.key(run.spec), "images": 16 if dict(run.columns)["images_per_class"] == 4 else 48}
            for run in trained
        ]
        assert exposure(pd.DataFrame(rows), trained) == expected


@pytest.mark.parametrize(("images", "is_said"), [(0, True), (4, True), (8, False), (12, True)])
def test_learning_rates_of_the_nets_that_the_answer_rests_on_count(tmp_path, monkeypatch, images, is_said):
    """Those without pre-training are among them: margin, share and control rest on their scores."""
    recipe = {"steps": 2, "batch": 4, "pixels": 24, "lrs": [0.01, 0.02, 0.04]}
    counts = [0, 4, 8, 12]
    searched = small_study(tasks=["finetune@scenes"], tuning={"finetune": recipe}, images_per_class=counts)
    fits = [
        replace(run, task="probe@x")
        for run in searched.runs_on(dict.fromkeys(searched.packings(), "digest"))
        if run.task.startswith("finetune")
    ]
    store = Store(tmp_path)
    for run in fits:
        lr = 0.04 if run.columns == (("images_per_class", images),) else 0.02
        store.write(run.spec, "provenance.json", MADE)
        store.finish(run.spec, {"metrics": {"accuracy": 50.0}, "chosen": {"lr": lr}})
    made = answer_on(pack_of(["a"] * 1000), dict(zip(counts, (30, 60, 65, 70), strict=True)), monkeypatch)
    made.question.runs = lambda machine: fits
    made.question.run_leakage = lambda machine: SimpleNamespace(by_task=lambda runs: {})
    assert any("learning rate at the edge" in reason for reason in doubts(made, store, None)) == is_said


@pytest.mark.parametrize(("chosen", "edge"), [(0.01, True), (0.02, False), (0.04, True), (None, False)])
def test_a_learning_rate_at_the_edge_of_those_tried_is_named(tmp_path, chosen, edge):
    recipe = {"steps": 2, "batch": 4, "pixels": 24, "lrs": [0.01, 0.02, 0.04]}
    searched = small_study(tasks=["finetune@scenes"], tuning={"finetune": recipe})
    run = list(searched.runs_on(dict.fromkeys(searched.packings(), "digest")))[-1]
    store = Store(tmp_path)
    store.write(run.spec, "provenance.json", MADE)
    store.finish(run.spec, {"metrics": {"accuracy": 50.0}, "chosen": {"lr": chosen} if chosen else {}})
    text = edge_of_grid([run], store)
    assert bool(text) == edge
    assert not edge or text.startswith("1 of 1 fits chose a learning rate at the edge of those tried (0.0")


def test_results_of_different_origin_are_named(tmp_path):
    data_size, store, machine, runs = pretended(tmp_path / "alike")
    made = origins(data_size, store, machine)
    assert mixed(made, made) == ""
    net = next(index for index, run in enumerate(runs) if isinstance(run.spec, Pretrain))
    data_size, store, machine, runs = pretended(tmp_path / "mixed", odd=net)
    measured = [module.key(run.spec) for run in runs if getattr(run.spec, "pretrain", None) == runs[net].spec]
    assert mixed(measured, origins(data_size, store, machine)) == "2 commits, 2 devices", (
        "that of the net counts"
    )


def made_up(levels: dict, monkeypatch, test_images: int = 1000, leaks=(), **settings) -> list[str]:
    """Doubts about made-up results, whose target has so many test images."""
    made = answer_on(pack_of(["a"] * test_images), levels, monkeypatch, **settings)
    by_task = {f"probe@{leak.target}": leak for leak in leaks}
    made.question.run_leakage = lambda machine: SimpleNamespace(by_task=lambda runs: by_task)
    return doubts(made, Store("nowhere"), None)


def pack_of(test: list[str], trained: str = "") -> SimpleNamespace:
    """A pack by the classes of its *test* images; each, and each that is *trained*, has one to learn."""
    wnids = [*sorted({*test, *trained}), *test]
    splits = ["train"] * (len(wnids) - len(test)) + ["test"] * len(test)
    table = pd.DataFrame({"image": [str(row) for row in range(len(wnids))], "wnid": wnids, "split": splits})
    return SimpleNamespace(summary={"splits": Counter(splits)}, table=table, digest="x", folder="x")


def answer_on(pack: SimpleNamespace, levels: dict, monkeypatch, **settings) -> Answer:
    """Made-up results, all whose images are those of *pack*."""
    monkeypatch.setattr(scored_images, "packed", lambda packing, name, machine: pack)
    study = question(*levels)
    study.seeds = (0, 1)
    study.runs, study.packings = (lambda machine: []), (lambda: {"x": None, "images": None})
    results = noisy(levels, **settings).assign(run="")
    return Answer(study, results, contrasts(study, results))


FINE = {0: 30, 25: 60, 50: 60, "all": 70}


@pytest.mark.parametrize(
    ("labels", "images"),
    [
        ("", 30),  # 10 of class a, 20 of b, and none of the 900 that there is no training image of
        ("/half-random-a@0", 20),
        ("/half-random-b@0", 10),
        ("/half-random-b@1", 20),
        ("/half-random-b@{seed}", 10),  # the fewest of any seed
    ],
)
def test_a_test_set_is_the_images_of_the_tasks_own_classes(monkeypatch, labels, images):
    pack = pack_of([*"a" * 10, *"b" * 20, *"z" * 900])
    pack.table.loc[2, "split"] = "test"  # the training image of z
    task = f"probe@images{labels}"
    made = answer_on(pack, {0: 50, "all": 50}, monkeypatch, task=task)
    assert sampling_error(made, task, None) == pytest.approx(100 * math.sqrt(0.25 / images))


@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_a_mean_of_classes_accuracies_is_as_uncertain_as_simulated(monkeypatch, spread):
    """Classes of 1 to 200 images, each with an accuracy of its own, which is not known."""
    counts = dict(zip("abcdefgh", (1, 2, 4, 8, 20, 50, 100, 200), strict=True))
    random = np.random.default_rng(0)
    accuracies = 0.6 + spread * np.array([1, -1, -1, 1, -1, 1, 1, -1])
    sets = random.binomial(list(counts.values()), accuracies, (20_000, 8)) / list(counts.values())
    pack = pack_of([*"".join(name * count for name, count in counts.items())])
    made = answer_on(pack, {0: 60, "all": 60}, monkeypatch, task="probe@x")
    all_images = sampling_error(made, "probe@x", None)
    assert all_images == pytest.approx(100 * math.sqrt(0.24 / 385))
    pack.summary["metric"] = "per_class"
    error = sampling_error(made, "probe@x", None)
    assert error == pytest.approx(100 * sets.mean(1).std(), rel=0.05)
    assert error > 3 * all_images


def test_classes_that_labels_leave_out_are_not_called_thin(monkeypatch):
    pack, texts = pack_of([*"abbbbb"]), {}
    for half in "ab":
        task = f"probe@images/half-random-{half}@0"
        texts[half] = thin_classes(task, answer_on(pack, FINE, monkeypatch, task=task), None)
    says = "The test split of images, on which it is scored, has fewer than 5 images of 1 class, such as a."
    assert texts == {"a": "", "b": says}


def test_options_are_scored_on_the_images_of_the_tasks_own_classes(tmp_path, rated, monkeypatch):
    tasks = ["knn@images", "knn@images/half-random-a@0", "knn@scenes"]
    settings = SETTINGS | {"images_per_class": [4, 12], "tasks": tasks}
    question, machine = Advice.ask(**settings, label_sets=["original"]), here(tmp_path)
    store = Store(machine.runs)
    assert np.isnan(grid_of(question, store, machine).scored_images).all(), "nothing is packed"
    question.prepare(machine)
    assert grid_of(question, store, machine).scored_images.tolist() == [16, 8, 12]
    monkeypatch.setattr(scored_images, "is_per_class", lambda pack: True)
    assert grid_of(question, store, machine).effective_images.tolist() == [16, 8, 12], (
        "classes have as many each"
    )


def test_doubts_that_results_alone_show(monkeypatch):
    fine = {0: 30, 25: 60, 50: 60, "all": 70}
    assert made_up(fine, monkeypatch) == []
    assert made_up(fine, monkeypatch, seeds=3) == ["It rests on 3 seeds."]
    floor = made_up({0: 1, 25: 1.5, 50: 1.5, "all": 1.5}, monkeypatch, size=0.1)
    assert floor[0].startswith("On this task nothing can be called the same: a floor")
    (few,) = made_up(fine, monkeypatch, test_images=50)
    assert few == "It is scored on 50 test images: another such set would move a score by about 7.0 points."


def of_budgets(random: np.random.Generator, added: float = 0.0, images: int = 200) -> str:
    """What is said of two budgets, where the smaller one's design of more images has *added* points."""
    study, results = grid(2.0, 3.5, 0.0, [(40, 25), (20, 50), (40, 100), (20, images)])
    results["value"] += random.normal(0, 0.3, len(results))
    results.loc[results["design"] == "20 × 50", "value"] += added
    return unlike_budgets(Answer(study, results, contrasts(study, results)))


def test_budgets_that_a_mean_hides_are_named():
    text = of_budgets(np.random.default_rng(1), added=8.0)
    found = re.fullmatch(
        r"The change is a mean over budgets that differ: \+(.+) points with 1,000 images, \+(.+) with 4,000 "
        r"\(p of no difference: <0.001\).",
        text,
    )
    assert (float(found[1]), float(found[2])) == (pytest.approx(9.5, abs=0.4), pytest.approx(1.5, abs=0.4))


def test_budgets_whose_designs_differ_a_little_are_compared_too():
    assert "with 3,970 (p" in of_budgets(np.random.default_rng(1), added=8.0, images=197)


def test_budgets_that_lie_on_a_plane_are_seldom_said_to_differ():
    said = [of_budgets(np.random.default_rng(seed)) for seed in range(200)]
    assert 0.01 < np.mean([bool(text) for text in said]) < 0.1


def of_halves(random_change: float, change: float = -8.0, noise: int = 0) -> str:
    """What is said where A + B instead of A changes scores by *change*, and by *random_change* if random."""
    return alike_by_other_halves(on_halves(random_change, change, noise))


def on_halves(random_change: float, change: float, noise: int = 0, longer: float = 5.0) -> Answer:
    """The answer where A + B, as many passes instead of A changes scores by *longer*; see `of_halves`."""
    study = split(**SHARED | {"halves": ["minimal", "random"], "tasks": ["probe@images/half-a"]})
    random, rows = np.random.default_rng(noise), []
    for condition in study.conditions:
        (_, kind), (_, learned) = condition.columns
        changes = {"minimal": change, "random": random_change}
        level = {"none": 20.0, "A": 60.0, BOTH: 60.0 + changes[kind]}.get(learned, 60.0 + longer)
        for seed in range(5):
            value = level + random.normal(0, 1.0)
            sizes = {"classes": 4 * condition.trained, "images": 100 * condition.trained}
            named = dict(condition.columns) | {"task": study.tasks[0].name, "metric": "accuracy"}
            rows.append(named | sizes | {"seed": seed, "value": value})
    results = pd.DataFrame(rows)
    return Answer(study, results, contrasts(study, results))


@pytest.mark.parametrize(
    ("change", "longer", "verdict"),
    [
        (-8.0, 15.0, "a gain"),
        (-8.0, -9.0, ""),
        (-8.0, 0.0, "the same"),
        (9.0, -15.0, "a loss"),
        (0.3, 20.0, "a gain"),
        (0.3, 0.5, ""),
    ],
)
def test_a_verdict_that_turns_with_longer_training_says_so(change, longer, verdict):
    text = trained_otherwise(on_halves(0.0, change, longer=longer))
    if not verdict:
        assert text == ""
        return
    says = re.fullmatch(
        r"It depends on how long nets are trained: A \+ B, as many passes instead of A, minimal halves is "
        r"(.+) \(([+−]\d+\.\d) points\)\.",
        text,
    )
    assert says[1] == verdict
    assert float(says[2].replace("−", "-")) == pytest.approx(longer, abs=1.5)


def test_a_loss_that_random_halves_have_too_is_not_one_of_far_classes():
    says = (
        r"With random halves the change is −[78]\.\d points \(p of no difference: 0\.\d+\): "
        r"nothing shows that the kind of halves matters."
    )
    assert re.fullmatch(says, of_halves(-8.0))
    assert of_halves(0.0) == "", "the two differ beyond noise"
    assert of_halves(0.0, change=0.0) == "", "nothing changes"


def test_halves_that_change_scores_alike_are_seldom_said_to_differ():
    assert np.mean([bool(of_halves(-8.0, noise=seed)) for seed in range(100)]) > 0.88


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ("aaaaabbbbbccccc", ""),
        ("aaaaabbbbb", "no image of 1 class, such as c."),
        ("aaaaabbbbcccc", "fewer than 5 images of 2 classes, such as b, c."),
        ("aaaaab", "no image of 1 class, such as c and fewer than 5 images of 1 class, such as b."),
    ],
)
def test_classes_that_are_hardly_scored_are_named(monkeypatch, classes, says):
    text = thin_classes("probe@x", answer_on(pack_of([*classes], "abc"), FINE, monkeypatch), None)
    assert text == (f"The test split of x, on which it is scored, has {says}" if says else "")


@pytest.mark.parametrize(("largest", "is_said"), [(59, False), (61, True), (95, True)])
@pytest.mark.parametrize("per_class", [False, True])
def test_nets_that_are_no_better_than_the_largest_class_are_named(monkeypatch, largest, is_said, per_class):
    """Those that are compared, with 25 and all images per class; those with 50 may be worse."""
    pack = pack_of([*"a" * (100 - largest), *"b" * largest])
    pack.summary["metric"] = "per_class" if per_class else "accuracy"
    made = answer_on(pack, {0: 30, 25: 60, 50: 40, "all": 70}, monkeypatch, size=0.0)
    says = (
        "With images per class 25 it scores 60.0 percent, and always naming the largest class, b, would score"
    )
    text = no_better_than_one_class("probe@x", made, None)
    assert text == (f"{says} {largest}.0." if is_said and not per_class else "")


@pytest.mark.parametrize(
    ("classes", "is_said"),
    [
        (["bridge", "n09246464"], True),  # a cliff
        (["bridge", "dining table"], False),
        (["bridge", "n02085620"], False),  # a dog
    ],
)
def test_a_target_without_pascals_classes_shows_nothing_of_them(monkeypatch, classes, is_said):
    monkeypatch.setattr(scored_images, "packed", lambda packing, name, machine: pack_of(classes))
    machine = SimpleNamespace(data=())
    of_pascal, of_images = overlap(**SHARED), small_study()
    task = of_pascal.tasks[0].name
    says = "is one of PASCAL's by its name, so the answer is not about its own classes."
    assert (says in without_pascal(task, SimpleNamespace(question=of_pascal), machine)) == is_said
    assert without_pascal(task, SimpleNamespace(question=of_images), machine) == ""


@pytest.mark.parametrize(("seen", "named"), [(9, False), (10, True)])
def test_test_images_that_nets_have_seen_are_named(monkeypatch, seen, named):
    pretraining = pd.DataFrame({"other": [f"image{number}" for number in range(seen)], "kind": "exact"})
    leak = Leakage("x", "test", 1000, pretraining[:2], pretraining)
    reasons = made_up({0: 30, 25: 60, 50: 60, "all": 70}, monkeypatch, leaks=[leak])
    assert bool(reasons) == named
    assert not named or reasons[0] == (
        "Nets have seen some of what they are tested on: of 1,000 test images of x, 10 (10 exact, 0 near) "
        "are in the pre-training images, 2 (2 exact, 0 near) in its other splits."
    )
    made = answer_on(pack_of(["a"] * 1000), FINE, monkeypatch)
    table = contrasts(made.question, made.results, leaks={"probe@x": leak})
    note = f"nets have seen {seen} of the 1,000 test images" * named
    assert set(table["note"]) == {note}, "at a glance too: it stands beside the verdict"
    assert answer_text(table.iloc[0]).endswith(f"({note})**." if named else "**.")
    own = Leakage("x", "test", 1000, pretraining, pretraining[:0])
    table = contrasts(made.question, made.results, leaks={"probe@x": own})
    note = f"the target's other splits have {seen} of the 1,000 test images" * named
    assert set(table["note"]) == {note}, "pre-training has none of them"
    reasons = made_up({0: 30, 25: 60, 50: 60, "all": 70}, monkeypatch, leaks=[own])
    assert not named or reasons[0] == (
        "The target's other splits have some of what nets are tested on: of 1,000 test images of x, 0 "
        "(0 exact, 0 near) are in the pre-training images, 10 (10 exact, 0 near) in its other splits."
    )


def test_the_three_strongest_doubts_are_listed(monkeypatch):
    monkeypatch.setattr(module, "doubts", lambda *_: ["one.", "two.", "three.", "four."])
    text = doubts_text(None, None, None)
    assert text.startswith("**Reasons to doubt it**, the strongest of 4:")
    assert text.splitlines()[2:] == ["* one.", "* two.", "* three."]
    monkeypatch.setattr(module, "doubts", lambda *_: ["one.", "two."])
    assert doubts_text(None, None, None) == "**Reasons to doubt it**:\n\n* one.\n* two."
    monkeypatch.setattr(module, "doubts", lambda *_: [])
    assert "None of the usual reasons" in doubts_text(None, None, None)


def test_an_answer_of_the_store_knows_what_made_it(tmp_path):
    for odd in (None, 3):
        data_size, store, machine, _ = pretended(tmp_path / str(odd), odd)
        mixtures = answer(data_size, store, machine).contrasts["mixed"]
        assert mixtures.str.contains("2 commits, 2 devices").any() == (odd is not None)


def test_a_class_name_is_shown_as_it_is(monkeypatch):
    monkeypatch.setattr(module, "doubts", lambda *_: ["no image of *x*, such as <b>a_b"])
    assert doubts_text(None, None, None).endswith("\n\n* no image of \\*x\\*, such as \\<b\\>a\\_b")
