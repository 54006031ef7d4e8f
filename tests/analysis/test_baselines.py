"""Nets held against no pre-training and against chance, on the classes of induction."""

import json
import math
from types import SimpleNamespace

import pandas as pd
import pytest

from itl.analysis import comparisons
from itl.analysis.comparisons import baselines
from itl.analysis.statistics import MAIN_SHARE
from itl.analysis.verdicts import GAIN, SAME
from itl.presets import find_notebooks
from tests.analysis.test_comparisons import frame, noisy, question


def test_baselines_hold_every_net_against_none_and_chance():
    values = {"none": [10, 10.1, 9.9], "bottom-up@5": [20.9, 21.1, 21], "original": [31.2, 31.3, 31.5]}
    study = question(*values, column="label_set")
    results = frame(values, column="label_set", task="induction@images")
    results = pd.concat([results, results.assign(metric="knn5"), results.assign(metric="chance", value=10.0)])
    table = baselines(study, results, "induction@images").query("metric == 'accuracy'")
    assert dict(zip(table["compared"], table["change"].round(2), strict=True)) == {
        "labels cut at depth 5 instead of no pre-training": 11.0,
        "labels cut at depth 5 instead of chance": 11.0,
        "original labels instead of no pre-training": 21.33,
        "original labels instead of chance": 21.33,
        "no pre-training instead of chance": 0.0,
    }
    assert table["verdict"].iloc[-1] == SAME, "within a fifth of what original labels give"
    main = table.iloc[0]
    assert main["compared"] == "labels cut at depth 5 instead of no pre-training"
    assert main["p_adjusted"] == pytest.approx(main["p"] / MAIN_SHARE), (
        "an untrained net at chance costs nothing"
    )
    given = {"question": study, "answer": SimpleNamespace(results=results), "tasks": ["induction@images"]}
    cells = json.loads(find_notebooks()["03-granularity"].read_text("utf-8"))["cells"]
    (source,) = ["".join(cell["source"]) for cell in cells if "baselines(" in "".join(cell["source"])]
    exec(source, given | {"comparisons": comparisons})  # it takes columns that the table has


def test_rows_against_chance_have_the_gain_of_pretraining():
    """Coarse labels score near chance, and fine ones no more than no pre-training: nothing is the same."""
    study = question("none", "bottom-up@5", "original", column="label_set")
    results = noisy(
        {"none": 50, "bottom-up@5": 12, "original": 48}, column="label_set", task="induction@images"
    )
    results = pd.concat([results, results.assign(metric="knn5"), results.assign(metric="chance", value=10.0)])
    rows = baselines(study, results, "induction@images").query("metric == 'accuracy'").set_index("compared")
    assert rows["gain"].tolist() == pytest.approx([-2] * 5)
    coarse = rows.loc["labels cut at depth 5 instead of chance"]
    assert (coarse["verdict"], round(coarse["change"], 9), math.isnan(coarse["margin"])) == (GAIN, 2, True)
    assert "pre-training itself gives −2.0 points" in coarse["control"]


def test_a_net_alone_is_held_against_chance():
    study, values = question("all"), frame({"all": [60.0, 62.0, 64.0]}, task="induction@images")
    results = pd.concat([values, values.assign(metric="knn5"), values.assign(metric="chance", value=25.0)])
    rows = baselines(study, results, "induction@images").query("metric == 'accuracy'")
    assert rows[["compared", "change"]].values.tolist() == [["all images per class instead of chance", 37.0]]
    assert rows["control"].tolist() == ["what pre-training gives was not measured"]
