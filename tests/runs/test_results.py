"""Results of several questions in one table."""

import io
import shutil
from dataclasses import replace

import pandas as pd
import pytest

from itl import ItlError
from itl.runs.executors import with_needs
from itl.runs.results import changed_sources, describe_missing, notes_on, results_of, words_as_text
from itl.runs.store import Store
from itl.specs import Pretrain, pretraining_of
from tests.annotated import images, written
from tests.worlds import here, pretend, run_here, small_study


def test_a_folder_that_may_not_be_read_ends_no_table(tmp_path, monkeypatch):
    question, machine = small_study(), here(tmp_path)
    question.prepare(machine)

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("itl.runs.results.changes_since", denied)
    assert changed_sources([question], machine) == []


def test_a_net_whose_classes_have_no_val_image_has_no_scores_of_its_own(tmp_path):
    """Val has a dog of the pack, and no bird."""
    birds, dog = ("n01530575", "n01531178"), "n02085620"
    names = [f"train/{wnid}/{number}.jpg" for wnid in (*birds, dog) for number in range(4)]
    root = written(tmp_path / "animals", images(*names, f"val/{dog}/9.jpg"))
    question = small_study(
        images={"source": "folder", "path": str(root), "size": 32},
        net="small-half",
        images_per_class=[],
        subset={"labels": "only@n01503061"},
        seeds=[0],
        recipe={"steps": 2, "batch": 4, "pixels": 16},
    )
    machine = here(tmp_path)
    table = question.results(run_here(question, machine), machine)
    assert set(table["task"]) == {"knn@scenes"}


def test_columns_of_numbers_and_words_are_written_as_text_and_others_as_they_are():
    table = pd.DataFrame(
        {
            "images_per_class": [0, 25, "all"],
            "label_set": ["none", None, "original"],
            "mixed": [1.5, None, "none"],
            "seed": [0, 1, 2],
            "value": [1.5, float("nan"), 2.0],
        }
    )
    file = io.BytesIO()
    words_as_text(table).to_parquet(file, index=False)
    again = pd.read_parquet(io.BytesIO(file.getvalue()))
    assert list(again["images_per_class"]) == ["0", "25", "all"]
    assert [value for value in again["mixed"] if not pd.isna(value)] == ["1.5", "none"]
    assert again["mixed"].isna().tolist() == again["label_set"].isna().tolist() == [False, True, False]
    kept = ["seed", "value"]
    pd.testing.assert_frame_equal(again[kept], table[kept])


def test_a_question_without_a_finished_run_is_named_beside_the_results_of_the_others(tmp_path):
    machine = here(tmp_path)
    larger = replace(small_study(net="resnet18"), name="data-size of a larger net")
    store, questions = Store(machine.runs), [small_study(), larger]
    with pytest.raises(ItlError, match="no run of data-size, data-size of a larger net is done in .*itl run"):
        results_of(questions, store, machine)
    for wrong in ([], questions[0]):
        with pytest.raises(ItlError, match="results are those of a list of questions, one at least"):
            results_of(wrong, store, machine)
    questions[0].prepare(machine)
    pretend(with_needs(run.spec for run in questions[0].runs(machine)), store)
    table = results_of(questions, store, machine)
    pd.testing.assert_frame_equal(table, questions[0].results(store, machine))
    assert describe_missing(questions[:1], table, store, machine) == ""
    assert describe_missing(questions, table, store, machine) == (
        "12 of 24 runs are not done and not in this table, which has nothing of data-size of a larger net"
    )
    left = "12 of 24 runs are not done and not in this table, which has nothing of data-size of a larger net"
    assert notes_on(table, questions, store, machine, "itl run x") == [f"{left}; `itl run x` does them"]
    with pytest.raises(ItlError, match="no run of data-size of a larger net is done"):
        questions[1].results(store, machine)


def test_runs_are_not_said_to_be_missing_where_only_their_packs_are(tmp_path):
    machine = here(tmp_path)
    question, store = small_study(), Store(machine.runs)
    question.prepare(machine)
    pretend(with_needs(run.spec for run in question.runs(machine)), store)
    (pack,) = (path for path in machine.packs.glob("images-*") if path.is_dir())
    shutil.rmtree(pack)
    with pytest.raises(
        ItlError, match="as far as that is known without the packs of images, which are not built"
    ):
        question.results(store, machine)


def test_finished_runs_on_lost_nets_are_said_to_be_missing_too(tmp_path):
    """Two nets of four; each was measured by knn too."""
    machine = here(tmp_path)
    question, store = small_study(), Store(machine.runs)
    question.prepare(machine)
    pretend(specs := question.specs(machine), store)
    nets = [spec for spec in specs if isinstance(spec, Pretrain) and spec.trained]
    for net in nets[:2]:
        (store.path(net) / "manifest.csv").unlink()
    with pytest.warns(UserWarning, match="manifest.csv is missing"):
        table = question.results(store, machine)
    with pytest.warns(UserWarning, match="manifest.csv is missing"):
        text = describe_missing([question], table, store, machine)
    assert text == "2 of 12 runs are not done and not in this table, nor 2 finished runs on lost nets"
    runs = {store.path(spec).name for spec in specs if pretraining_of(spec).trained}
    assert len(runs) - len(runs & set(table["run"])) == 4
