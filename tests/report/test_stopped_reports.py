"""What a report leaves where runs failed, or where it was stopped or killed."""

import threading
import time
from shutil import copyfile

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from itl import ItlError
from itl.report.build import report
from itl.runs.executors import with_needs
from itl.runs.questions import questions_of
from itl.runs.store import Store
from tests.report.test_build import make, preset, write_notebook, write_question
from tests.worlds import SETTINGS, SHARED, here, pretend


def test_a_page_is_made_as_soon_as_its_runs_are_done(tmp_path, monkeypatch, rated, no_kernels):
    """While the runs of the second question are under way, the first page stands and the index links it."""
    questions = {"01_data_size": SETTINGS | {"images_per_class": [4, 12]}}
    questions["02_class_count"] = SHARED | {"label_sets": ["none", "original"]}
    first, second = both = questions_of(preset(**questions))
    for question in both:
        question.prepare(here(tmp_path))
    for name, settings in questions.items():
        write_question(tmp_path, name.replace("_", "-"), settings)
    states, folder = [], tmp_path / "reports/test"
    pages = {first: folder / "01-data-size.html", second: folder / "02-class-count.html"}

    def execute(specs, store, machine, watch):
        """Stand in for the runs: those of a question at once, then as long as its page takes."""
        for question in (first, second):
            pretend(with_needs([run.spec for run in question.runs(here(tmp_path))]), store)
            end, index = time.monotonic() + 120, ""
            while f'href="{pages[question].name}"' not in index and time.monotonic() < end:
                watch()
                time.sleep(0.05)
                index = (folder / "index.html").read_text()
            states.append((pages[second].exists(), index))

    monkeypatch.setattr("itl.runs.question.execute", execute)
    make(tmp_path, preset(**questions))
    (second_made, index), _ = states
    assert not second_made
    assert "This report is under way: " in index
    assert '<meta http-equiv="refresh"' in index
    assert 'href="01-data-size.html"' in index
    assert "to come" in index
    index = (folder / "index.html").read_text()
    assert "under way: " not in index
    assert "http-equiv" not in index
    assert 'href="02-class-count.html"' in index


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (ItlError("2 of the runs failed"), "2 of the runs failed"),
        (KeyboardInterrupt("Ctrl-C"), "the report was stopped; `itl report test"),
        (None, "01-data-size: its runs are not all done, so there is no page; `itl run` does them"),
    ],
)
@pytest.mark.usefixtures("rated", "no_kernels")
def test_failed_runs_leave_the_pages_of_other_questions(tmp_path, monkeypatch, failure, says):
    settings = SETTINGS | {"images_per_class": [4, 12]}
    (question,) = questions_of(preset(**{"01_data_size": settings}))
    question.prepare(here(tmp_path))
    write_notebook(tmp_path / "notebooks/00-hierarchy.ipynb", new_markdown_cell("# Tree"), new_code_cell("1"))
    write_question(tmp_path, "01-data-size", settings)

    def execute(specs, store, machine, watch):
        watch()
        while not (tmp_path / "reports/test/00-hierarchy.html").exists():
            time.sleep(0.01)
        if failure:
            raise failure  # else they are removed as soon as they are done

    monkeypatch.setattr("itl.runs.question.execute", execute)
    with pytest.raises((ItlError, KeyboardInterrupt), match=str(failure or says)):
        make(tmp_path, preset(**{"00_hierarchy": {}, "01_data_size": settings}))
    index = (tmp_path / "reports/test/index.html").read_text()
    assert 'href="00-hierarchy.html"' in index
    assert says in index
    assert "under way" not in index


@pytest.mark.usefixtures("rated")
def test_a_stopped_report_names_the_pages_that_still_waited_for_others(tmp_path, monkeypatch):
    """One page is made at a time: Ctrl-C comes while the first is being executed."""
    settings, free = SETTINGS | {"images_per_class": [4, 12]}, threading.Event()
    wanted = preset(**{"00_hierarchy": {}, "01_data_size": settings})
    (question,) = questions_of(wanted)
    question.prepare(here(tmp_path))
    pretend(with_needs([run.spec for run in question.runs(here(tmp_path))]), Store(tmp_path / "runs"))
    write_notebook(tmp_path / "notebooks/00-hierarchy.ipynb", new_markdown_cell("# Tree"), new_code_cell("1"))
    write_question(tmp_path, "01-data-size", settings)

    def execute(specs, store, machine, watch):
        watch()
        raise KeyboardInterrupt

    execute_notebook = "itl.report.execute_notebook.execute_notebook"
    monkeypatch.setattr(execute_notebook, lambda source, target, *_: free.wait() and copyfile(source, target))
    monkeypatch.setattr("itl.report.execute_notebook.interrupt_all", free.set)
    monkeypatch.setattr("itl.runs.question.execute", execute)
    with pytest.raises(KeyboardInterrupt):
        report(wanted, tmp_path / "reports/test", here(tmp_path, workers=1), tmp_path / "notebooks")
    index = (tmp_path / "reports/test/index.html").read_text()
    assert 'id="01-data-size"' in index
    assert "Not all pages of this report were made: the report was stopped; `itl report test" in index


@pytest.mark.usefixtures("rated")
def test_a_stopped_report_of_one_notebook_goes_on_with_it(tmp_path, monkeypatch):
    settings = SETTINGS | {"images_per_class": [4, 12]}
    write_question(tmp_path, "01-data-size", settings)

    def execute(specs, store, machine, watch):
        raise KeyboardInterrupt

    monkeypatch.setattr("itl.runs.question.execute", execute)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, preset(**{"01_data_size": settings}), only="01-data-size")
    index = (tmp_path / "reports/test/index.html").read_text()
    assert "the report was stopped; `itl report test --only 01-data-size" in index
