"""Influence: effects read from runs, the trial on fresh seeds, and their page."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from itl import ItlError
from itl.analysis import comparisons, image_effects, influence, wording
from itl.evaluation.target import CORRECT_FILE
from itl.machine import Machine
from itl.packs.paths import packed
from itl.presets import Preset, find_notebooks
from itl.report.notebook_file import read_cells
from itl.report.notebook_page import NotebookPage
from itl.runs.executors import with_needs
from itl.runs.question import Question
from itl.runs.store import Store
from itl.runs.task_questions import Influence
from itl.specs import Pretrain
from tests.worlds import IMAGES, MADE, SETTINGS, here

STUDY = {name: value for name, value in SETTINGS.items() if name != "images_per_class"} | {
    "images": {**IMAGES, "options": {**IMAGES["options"], "classes": 8}},
    "tasks": ["knn@scenes", "probe@scenes"],
    "halves": 20,
}


def pretended(home: Path, **changes) -> tuple[Question, Store, Machine, str]:
    """An influence of 8 classes whose runs are pretended: the first gives 6 points, all else nothing.

    Of the 12 test images nets are right on the first 6, and with that class on 3 more.
    """
    question = Influence.ask(**STUDY | changes)
    machine = here(home)
    packs = question.prepare(machine)
    store, random = Store(machine.runs), np.random.default_rng(0)
    wnid = sorted(set(packs["images"].table["wnid"]))[0]
    for spec in with_needs(run.spec for run in question.runs(machine)):
        store.write(spec, "provenance.json", MADE)
    for run in question.runs(machine):
        if isinstance(run.spec, Pretrain):
            store.finish(run.spec, {"classes": 4, "images": 48, "metrics": {"accuracy": 50.0}})
        else:
            kept = run.spec.pretrain.trained and wnid in kept_by(run.spec.pretrain, packs["images"])
            value = 40 + 6 * kept + 10 * run.spec.pretrain.trained + 0.1 * random.normal()
            correct = np.arange(12) < 6 + 3 * kept
            if run.method == "knn":
                np.save(store.folder(run.spec) / CORRECT_FILE, correct)
            store.finish(run.spec, {"metrics": {"knn5": value, "accuracy": 50.0}})
    return question, store, machine, wnid


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return pretended(tmp_path_factory.mktemp("study"))


def kept_by(spec: Pretrain, pack) -> set[str]:
    from itl.packs.subset import manifest, select

    return set(manifest(pack, select(pack, spec.subset, "train"))["wnid"])


def test_effects_are_read_from_runs(study):
    question, store, machine, wnid = study
    table = influence.effects(question, store, machine).set_index("node")
    assert table.loc[wnid, "verdict"] == "helps"
    assert table.loc[wnid, "effect"] == pytest.approx(6, abs=0.5)
    assert table.loc[wnid, "share"] == pytest.approx(6 / 16, abs=0.05)
    assert set(influence.estimators(question, store, machine)["estimator"]) == set(influence.ESTIMATORS)
    with pytest.raises(ItlError, match="no estimator called 'lasso'"):
        influence.effects(question, store, machine, estimator="lasso")
    with pytest.raises(ItlError, match="no task of influence called 'knn@scene'; did you mean"):
        influence.effects(question, store, machine, task="knn@scene")


def test_halves_along_the_tree_give_the_difference_of_means_no_interval_and_no_verdict(tmp_path):
    """It takes the effects of neighbours for a class's own; the other estimators do not."""
    question, store, machine, wnid = pretended(tmp_path, half_method="half-along-tree")
    every = influence.estimators(question, store, machine)
    plain = every["estimator"] == "difference of means"
    assert every.loc[plain, ["low", "high", "p", "q"]].isna().all(axis=None)
    assert every.loc[~plain, ["low", "high", "p", "q"]].notna().all(axis=None)
    assert np.isfinite(every["effect"]).all()
    assert set(every.loc[plain, "verdict"]) == {"cannot tell"}
    assert "helps" in set(every.loc[~plain, "verdict"])
    beside = influence.beside_each_other(every)["difference of means"]
    assert beside["nodes with a verdict"] == "0"
    assert not beside.str.contains(" to ").any()


def test_counterfactuals_are_on_fresh_seeds(study):
    question, store, machine, wnid = study
    table, ball = influence.effects(question, store, machine), "n02778669"
    likely = table["node"] == ball
    table = table.assign(effect=table["effect"].where(~likely, 1.0), p=table["p"].where(~likely, 0.0))
    table.loc[table["node"] == wnid, "verdict"] = wording.CANNOT_TELL
    trial = influence.counterfactual(question, table, machine, nodes=1, seeds=2)
    assert trial.seeds == (20, 21)
    labels = {condition.columns[0][1]: condition.labels for condition in trial.conditions}
    assert labels["the helpful alone"] == f"only@{ball}"
    assert labels["without the harmful"].startswith("without@")
    for of_helpful, of_harmful, first in (
        ("helps", "cannot tell", "the helpful alone"),
        ("helps", "hurts", "without the harmful"),
        ("cannot tell", "cannot tell", "without the harmful"),
    ):
        changed = table.assign(verdict=np.where(table["effect"] > 0, of_helpful, of_harmful))
        tried = influence.counterfactual(question, changed, machine, nodes=1, seeds=2)
        assert tried.comparisons[0].of == (("pretrained_on", first),)


def test_a_class_is_not_kept_all_alone(study, rated):
    """A net of one class has a loss of 0, and learns nothing."""
    question, store, machine, wnid = study
    table = influence.effects(question, store, machine)
    table["verdict"] = np.where(table["node"] == wnid, wording.HELPS, wording.CANNOT_TELL)
    assert influence.strongest(table, question.tree(machine), 1, 3) == [wnid]
    trial = influence.counterfactual(question, table, machine, seeds=2)
    names = [condition.columns[0][1] for condition in trial.conditions]
    assert names == ["none", "all classes", "without as many others", "without the harmful"]
    table = table[table["node"] == wnid]
    assert influence.counterfactual(question, table, machine) is None


def test_a_node_without_a_control_is_passed_over(study, rated):
    """Of 8 classes two are balls, and the six others have no two that lie as near to each other."""
    question, store, machine, wnid = study
    table, ball = influence.effects(question, store, machine), "n02778669"
    table = table.assign(effect=np.where(table["node"] == wnid, 1.0, -1.0), verdict=wording.CANNOT_TELL)
    table = table.assign(p=np.where(table["node"] == ball, 0.1, 0.2))
    assert influence.strongest(table, question.tree(machine), -1, 1) == [ball]
    for verdict in (wording.HURTS, wording.CANNOT_TELL):
        table.loc[table["node"] == ball, "verdict"] = verdict
        table.loc[table["node"] == wnid, "verdict"] = wording.HELPS
        trial = influence.counterfactual(question, table, machine, nodes=1, seeds=2)
        (left_out,) = [one.labels for one in trial.conditions if one.labels.startswith("without@")]
        assert ball not in left_out
        trial.plan(store, machine)
        assert trial.comparisons[0].of == (("pretrained_on", "without the harmful"),), "one class alone helps"


def test_without_a_node_to_try_a_page_has_the_effects_alone(study):
    """As of two classes, of which none has fewer than half."""
    question, store, machine, _ = study
    table = influence.effects(question, store, machine).assign(all_classes=2)
    assert influence.counterfactual(question, table, machine) is None
    values = {"question": question, "effects": table, "machine": machine, "store": store, "nodes": 3}
    values |= {"influence": influence, "doubts": None, "fresh_seeds": 5}
    values["Markdown"] = lambda text, metadata: text
    cells = {cell["id"]: cell["source"] for cell in read_cells(find_notebooks()["08-influence"])}
    for name in ("trial", "answer", "doubts"):
        exec(cells[name], values)
    assert values["answer"] is values["entry"] is None
    assert influence.answer_text(table, None).endswith(f"\n\n{influence.NO_TRIAL}")


def test_images_that_a_class_helps(study):
    question, store, machine, wnid = study
    scored = image_effects.images_scored(question, store, machine)
    images = scored.effects(wnid)
    assert list(images["effect"].round(4)) == [0.0] * 9 + [100.0] * 3
    assert list(images["correct"].round(6)) == [100.0] * 6 + [0.0] * 3 + [50.0] * 3
    (target,) = (packed(packing, name, machine) for name, packing in question.targets)
    assert set(target.table["split"].iloc[images["row"]]) == {"test"}
    more = Influence.ask(**STUDY | {"halves": STUDY["halves"] + 2})  # of which two nets are not trained yet
    assert np.array_equal(image_effects.images_scored(more, store, machine).correct, scored.correct)
    with pytest.raises(ItlError, match="no node with classes called 'n00000000'"):
        scored.effects("n00000000")
    with pytest.raises(ItlError, match="20 of 20 runs of probe@scenes keep no predictions"):
        image_effects.images_scored(question, store, machine, "probe@scenes")
    with pytest.raises(ItlError, match="all 20 nets score 50 on probe@scenes"):
        influence.effects(question, store, machine, "probe@scenes")


def test_tables_for_people(study):
    question, store, machine, wnid = study
    every = influence.estimators(question, store, machine)
    beside = influence.beside_each_other(every)
    assert list(beside.columns) == list(influence.ESTIMATORS)
    assert beside.index[-1] == "nodes with a verdict"
    readable = influence.readable(influence.effects(question, store, machine), count=2)
    assert list(readable.index) == [0, 1, 2, 3]
    assert set(readable["verdict"]) <= {"helps", "hurts", "cannot tell"}
    assert readable["effect"].iloc[0].startswith("−")
    assert readable["effect"].iloc[-1].startswith("+")


def test_a_report_has_every_effect_and_the_trial_on_fresh_seeds(study, tmp_path):
    question, store, machine, wnid = study
    settings = {"tasks": ["knn@scenes"], "nodes": 1, "fresh_seeds": 2}
    preset = Preset(name="own", about="", notebooks={"08-influence": STUDY | settings})
    page = NotebookPage(preset, find_notebooks()["08-influence"], tmp_path, machine)
    table = influence.effects(question, store, machine)
    trial = influence.counterfactual(question, table, machine, nodes=1, seeds=2)
    assert page.trial.conditions == trial.conditions
    assert page.trial.seeds == (20, 21)
    for spec in with_needs(run.spec for run in trial.runs(machine)):
        if store.state(spec) != "done":
            store.write(spec, "provenance.json", MADE)
            store.finish(
                spec, {"classes": 4, "images": 48, "metrics": {"accuracy": 50.0, "knn5": 51.0 + spec.seed}}
            )
    frames = {ending: pd.read_csv(io.StringIO(text)) for ending, text in page.tables().items()}
    assert list(dict.fromkeys(frames["-contrasts.csv"]["question"])) == ["influence", "counterfactual"]
    assert {20, 21} <= set(frames[".csv"]["seed"])
    every = frames["-effects.csv"]
    assert every.groupby("estimator").size().nunique() == 1
    assert set(every["estimator"]) == set(influence.ESTIMATORS)
    assert wnid in set(every["node"])
    assert {"effect", "low", "high", "p", "q", "share", "verdict"} <= set(every.columns)
    answer = comparisons.answer(trial, store, machine)
    text = influence.answer_text(table, answer)
    helping = table[table["verdict"] == "helps"]
    assert f"Most helpful: **{helping.iloc[-1]['name']}** (+" in text
    nothing = influence.answer_text(table.assign(verdict="cannot tell"), answer)
    assert f"none of {len(table)} nodes and classes can be said to help or to hurt.\n\n" in nothing
    assert "Most" not in nothing
    assert "Tried on fresh seeds, with the likeliest nodes, as these have no verdict: Without the" in nothing
    harmful = table["node"].isin(trial.conditions[3].labels.partition("@")[2].split(","))
    known = table.assign(verdict=np.where(harmful, "hurts", "cannot tell"))
    assert "Tried on fresh seeds: Without the harmful instead of" in influence.answer_text(known, answer)
    other = NotebookPage(preset, find_notebooks()["00-hierarchy"], tmp_path, machine)
    assert other.trial is None


def test_too_few_runs_say_so(study, tmp_path):
    question, _, machine, _ = study
    with pytest.raises(ItlError, match="no run of influence is done"):
        influence.effects(question, Store(tmp_path / "empty"), machine)
