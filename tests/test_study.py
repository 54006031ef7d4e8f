"""Questions: their runs, and what is said from made-up results."""

from pathlib import Path

import pandas as pd
import pytest

from itl import ItlError, study
from itl.config import Pretrain, Transfer
from itl.settings import Preset
from itl.store import Store
from tests.worlds import SETTINGS, here, small_study

NOWHERE = here(Path("/nowhere"))


def made_up(few: list[float], many: list[float]) -> pd.DataFrame:
    """Results of a data-size question whose numbers are these, one for each seed."""
    what = {"task": "probe@scenes", "metric": "accuracy"}
    rows = [
        {"images_per_class": count, "seed": seed, **what, "value": value}
        for count, values in ((25, few), (50, many))
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def compare(results: pd.DataFrame):
    asked = {"of": {"images_per_class": 25}, "against": {"images_per_class": 50}}
    return study.contrast(results, task="probe@scenes", metric="accuracy", **asked)


def test_runs_are_conditions_times_seeds_times_tasks():
    runs = small_study().runs(NOWHERE)
    trained = {run.spec for run in runs if isinstance(run.spec, Pretrain)}
    tried = {run.spec for run in runs if isinstance(run.spec, Transfer)}
    assert (len(trained), len(tried)) == (4, 6)                 # sizes x seeds; with the untrained, x tasks
    untrained = [run.spec.pretrain for run in runs if dict(run.columns)["images_per_class"] == 0]
    assert {spec.recipe.total_steps(10) for spec in untrained} == {0}
    assert {spec.subset.images_per_class for spec in untrained} == {1}


def test_seeds_pair_the_conditions():
    runs = small_study().runs(NOWHERE)
    few, many = ([run for run in runs if dict(run.columns)["images_per_class"] == count] for count in (4, 12))
    assert [run.seed for run in few] == [run.seed for run in many]
    assert [run.spec.seed for run in few] == [run.seed for run in few]


def test_all_keeps_every_image():
    question = small_study(images_per_class=["all"])
    assert {r.spec.subset.images_per_class for r in question.runs(NOWHERE) if r.task == "own"} == {None}


def granularity(**changes):
    settings = {name: value for name, value in SETTINGS.items() if name != "images_per_class"}
    return study.granularity(**settings | {"label_sets": ["none", "bottom-up@5", "original"]} | changes)


def test_label_sets_are_conditions_and_share_nets_with_the_data_size():
    coarse = granularity(tasks=["induction@images", "induction@images/bottom-up@5:3"])
    runs = coarse.runs(NOWHERE)
    trained = [run for run in runs if run.task == "own"]
    assert [dict(run.columns)["label_set"] for run in trained] == ["bottom-up@5"] * 2 + ["original"] * 2
    assert [run.spec.subset.labels for run in trained] == ["bottom-up@5"] * 2 + ["original"] * 2
    assert {run.spec.subset.images_per_class for run in trained} == {None}
    assert {(run.spec.labels, run.spec.images_per_class) for run in runs if run.method == "induction"} == {
        ("original", None), ("bottom-up@5", 3)
    }
    nets = {run.spec.pretrain for run in runs if run.method == "induction"}
    sizes = small_study(images_per_class=[0, "all"]).runs(NOWHERE)
    others = {run.spec.pretrain for run in sizes if run.task != "own"}
    assert others < nets                                        # the untrained, and those of all images
    assert len(nets) == 6


def test_label_sets_that_are_none():
    with pytest.raises(ItlError, match="no label method .*called 'bottomup'; did you mean 'bottom-up'"):
        granularity(label_sets=["bottomup@5"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tasks": ["prob@scenes"]}, "no transfer method called 'prob'; did you mean 'probe'"),
        ({"tasks": ["probe@scene"]}, "did you mean 'scenes'"),
        ({"recipe": {"step": 3}}, "no setting of recipe called 'step'; did you mean 'steps'"),
        ({"images": {"source": "demo", "sise": 3}}, "did you mean 'size'"),
        ({"images_per_class": ["many"]}, "whole numbers from 0, or 'all'; got 'many'"),
        ({"images_per_class": []}, "needs values"),
        ({"seeds": [1, 1]}, "no seed twice"),
    ],
)
def test_questions_that_cannot_be_asked(changes, says):
    with pytest.raises(ItlError, match=says):
        small_study(**changes)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (SETTINGS | {"image_per_class": [3]}, "'image_per_class'; did you mean 'images_per_class'"),
        ({name: SETTINGS[name] for name in SETTINGS if name != "net"}, "lacks 1 of 7 parameters; add net"),
        (SETTINGS | {"tasks": ["actions@scenes"]}, "needs a recipe; tuning has finetune: add actions"),
        (SETTINGS | {"tasks": ["actions@scenes/original@1"], "tuning": {"actions": {}}}, "leave the labels"),
        (SETTINGS | {"tuning": {"finetun": {}}}, "'finetun'; did you mean 'finetune'"),
        (SETTINGS | {"tuning": {"detection": {"region": "rpn"}}}, "'region'; did you mean 'regions'"),
        (SETTINGS | {"tasks": ["knn@images:0"]}, "is not METHOD@TARGET, METHOD@TARGET/LABELS or either with"),
        (SETTINGS | {"seeds": 3}, "seeds of 01-data-size in preset mini should be a list, not 3"),
        (SETTINGS | {"tasks": "finetune@scenes"}, "tasks of .* should be a list, not 'finetune@scenes'"),
        (SETTINGS | {"recipe": [1]}, "recipe of .* should be a mapping"),
        (SETTINGS | {"net": 18}, "net of .* should be text"),
        (SETTINGS | {"targets": {"scenes": 3}}, "target scenes should be a mapping"),
    ],
)
def test_presets_that_ask_wrongly(settings, says):
    preset = Preset(name="mini", about="a test", notebooks={"01-data-size": settings})
    with pytest.raises(ItlError, match=says):
        study.questions_of(preset)


def test_a_preset_asks_what_its_notebook_would():
    preset = Preset(name="mini", about="a test", notebooks={"01-data-size": SETTINGS, "99-summary": {}})
    assert study.questions_of(preset) == [small_study()]


def test_no_results_yet_is_one_line(tmp_path):
    machine = here(tmp_path)
    with pytest.raises(ItlError, match="no run of data-size is done"):
        small_study().results(Store(machine.runs), machine)


@pytest.mark.parametrize(
    ("few", "many", "verdict"),
    [
        ([50, 51, 52], [55, 56, 57.5], "a loss beyond seed noise"),
        ([55, 56, 57.5], [50, 51, 52], "a gain beyond seed noise"),
        ([50, 51, 52], [51, 50, 52], "no difference beyond seed noise"),
        ([50, 51], [60, 61.5], "too few seeds to say"),
    ],
)
def test_verdict_follows_the_numbers(few, many, verdict):
    assert compare(made_up(few, many)).verdict == verdict


def test_contrast_pairs_by_seed_and_leaves_out_the_unpaired():
    results = made_up([50.0, 52.0, 99.0], [51.0, 54.0])
    assert (compare(results).n, compare(results).mean) == (2, -1.5)
    shuffled = results.sample(frac=1, random_state=0)
    assert compare(shuffled) == compare(results)


def test_contrast_of_what_is_not_there():
    with pytest.raises(ItlError, match="no seed has accuracy"):
        compare(made_up([], [50.0]))
    with pytest.raises(ItlError, match="no task in these results called 'knn@scenes'"):
        study.contrast(made_up([1.0], [2.0]), task="knn@scenes", metric="accuracy", of={}, against={})


def test_summary_shows_mean_interval_and_n():
    table = study.summary(made_up([50.0, 51.0, 52.0], [60.0]))
    row = table.loc[("probe@scenes", "accuracy")]
    assert row.to_dict() == {25: "51.0 ± 2.5", 50: "60.0", "n": "1 to 3"}
    assert study.summary(made_up([1.0, 2.0], [3.0, 5.0]), metric="accuracy").loc["probe@scenes", "n"] == "2"


def test_beside_paper_sets_the_same_change_beside_the_published_one():
    table = study.beside_paper(made_up([50, 51, 52], [55, 56, 57.5]), "data-size")
    assert table["whose"].tolist() == ["paper", "ours"]
    paper, ours = table["compared"]
    assert (paper, ours) == ("500 instead of 1000 images per class", "25 instead of 50 images per class")
    assert table["change"].tolist() == ["−1.5", "−5.2 (−5.9 to −4.4)"]


def test_beside_paper_has_nothing_of_ours_beside_it_where_one_size_was_tried():
    table = study.beside_paper(made_up([1, 2, 3], [4, 5, 6]).query("images_per_class == 50"), "data-size")
    assert table["whose"].tolist() == ["paper"]


def test_beside_paper_counts_the_images_of_all():
    results = made_up([50, 51, 52], [55, 56, 57.5]).replace({"images_per_class": {50: "all"}})
    results = results.assign(classes=4, images=4 * 52)
    table = study.beside_paper(results, "data-size")
    assert table["compared"].tolist()[1] == "25 instead of all images per class"
    assert table["change"].tolist() == ["−1.5", "−5.2 (−5.9 to −4.4)"]
