"""A report is made again: what failed, other origins of the same numbers, another preset of the same name."""

import errno
from pathlib import Path
from shutil import copyfile, copytree, rmtree

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from itl import ItlError
from itl.presets import Preset, load_preset
from itl.report.build import make_page, pages_of, report
from itl.runs.executors import with_needs
from itl.runs.questions import questions_of
from itl.runs.store import Store
from tests.report.test_build import make, preset, tagged_cell, write_notebook
from tests.worlds import MADE, SETTINGS, here, pretend

SIZES = SETTINGS | {"images_per_class": [4, 12]}


@pytest.fixture(autouse=True)
def no_kernels(monkeypatch):
    """Notebooks become pages as they are: to start a kernel for each takes seconds."""
    execute = "itl.report.execute_notebook.execute_notebook"
    monkeypatch.setattr(execute, lambda source, target, *_: copyfile(source, target))


def of_sizes(home: Path, steps: int = 12) -> Preset:
    """A preset of one question with nets of so many *steps*, and its notebook in *home*."""
    settings = SIZES | {"recipe": SETTINGS["recipe"] | {"steps": steps}}
    declared = "\n".join(f"{name}: {type(value).__name__} = {value!r}" for name, value in settings.items())
    cells = new_markdown_cell("# How many?"), tagged_cell("parameters", declared), new_code_cell("1")
    write_notebook(home / "notebooks/01-data-size.ipynb", *cells)
    return preset(**{"01_data_size": settings})


def pretend_runs(wanted: Preset, home: Path) -> None:
    """Finish all runs of the preset in no time."""
    (question,) = questions_of(wanted)
    question.prepare(here(home))
    pretend(with_needs([run.spec for run in question.runs(here(home))]), Store(home / "runs"))


@pytest.mark.usefixtures("rated")
def test_an_index_after_failed_runs_links_only_what_is_there(tmp_path, monkeypatch):
    wanted, folder = of_sizes(tmp_path), tmp_path / "reports/test"
    pretend_runs(wanted, tmp_path)
    make(tmp_path, wanted)
    assert 'href="results.csv"' in (folder / "index.html").read_text()

    def fail(specs, store, machine, watch):
        raise ItlError("all runs failed")

    monkeypatch.setattr("itl.runs.question.execute", fail)
    with pytest.raises(ItlError, match="all runs failed"):
        make(tmp_path, of_sizes(tmp_path, steps=14))
    index = (folder / "index.html").read_text()
    assert not {"results.csv", "contrasts.csv"} & {path.name for path in folder.iterdir()}
    assert 'href="results.csv"' not in index
    assert 'href="contrasts.csv"' not in index
    assert "At a glance" not in index
    assert 'href="runs.html"' in index


@pytest.mark.parametrize(
    ("made", "changes"),
    [
        ({}, False),
        ({"torch": "2.99"}, True),
        ({"itl": "0.9.0"}, True),
        ({"precision": "fp16"}, True),
        ({"seconds": 1.0}, True),
        ({"command": "itl run test", "finished": "later"}, False),
    ],
)
def test_a_page_is_made_again_where_what_made_its_runs_is_another(tmp_path, monkeypatch, made, changes):
    wanted = of_sizes(tmp_path)
    before = fingerprint(wanted, tmp_path, tmp_path / "before")
    for name, value in made.items():
        monkeypatch.setitem(MADE, name, value)
    assert (fingerprint(wanted, tmp_path, tmp_path / "after") != before) == changes


def test_a_page_is_made_again_where_losses_that_its_doubts_rest_on_are_others(tmp_path):
    wanted = of_sizes(tmp_path)
    before = fingerprint(wanted, tmp_path, tmp_path)
    folder = next((tmp_path / "runs").glob("pretrain/*/result.json")).parent
    (folder / "log.jsonl").write_text('{"epoch": 1, "step": 12, "loss": 9.9}\n')
    assert fingerprint(wanted, tmp_path, tmp_path) != before


def fingerprint(wanted: Preset, project: Path, home: Path) -> str:
    """That of the page of a notebook of *project* with runs in *home*, done in no time if they were not."""
    if not (home / "runs").exists():
        pretend_runs(wanted, home)
    (page,) = pages_of(wanted, home / "reports/test", here(home), project / "notebooks")
    return page.fingerprint()


def written(path: Path, about: str) -> Path:
    """A preset file of the notebook a, which asks nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"about: {about}\nnotebooks:\n  a: {{}}\n")
    return path


def test_a_report_of_another_preset_file_of_the_same_name_is_said(tmp_path, caplog):
    (home := tmp_path / "project").mkdir()
    write_notebook(home / "notebooks/a.ipynb", new_markdown_cell("# So?"))

    def notes(file: Path, home: Path = home) -> list[str]:
        caplog.clear()
        report(load_preset(str(file)), home / "reports/mini", here(home), home / "notebooks")
        return [line for line in caplog.messages if "replaces" in line]

    own = written(home / "params/mini.yaml", "Mine.")
    other = written(tmp_path / "elsewhere/mini.yaml", "Another.")
    assert notes(own) == notes(written(own, "Mine, edited.")) == []
    says = (
        f"{home}/reports/mini holds the report of {own}, which that of {other} now replaces; to keep both, "
    )
    assert notes(other) == [says + "give one preset another name"]
    assert notes(other) == []
    assert len(notes(own)) == 1
    copy = tmp_path / "copy"
    copytree(home, copy)
    assert notes(written(copy / "params/mini.yaml", "A copy, edited."), copy) == []
    (moved := tmp_path / "moved").mkdir()
    own.rename(moved / "mini.yaml")
    assert notes(moved / "mini.yaml") == [], "the file that made it is no longer there"


def test_a_page_is_made_again_where_its_taxonomy_says_something_else(tmp_path):
    """The same labels do not need the tree, though pages name its nodes."""
    mine, prints = tmp_path / "mine.csv", []
    for name in ("a dog", "a dog", "a hound"):
        mine.write_text(f"child,parent,name\nn02084071,n00001740,{name}\n")
        wanted = preset(**{"01_data_size": SIZES | {"taxonomy": str(mine)}})
        pages = pages_of(wanted, tmp_path / "reports/test", here(tmp_path))
        if not prints:
            pretend_runs(wanted, tmp_path)
        prints.append(pages[0].fingerprint())
    assert prints[0] == prints[1] != prints[2]


def test_a_notebook_that_is_changed_while_its_page_is_made_is_made_again(tmp_path, monkeypatch):
    wanted = of_sizes(tmp_path)
    pretend_runs(wanted, tmp_path)
    source = tmp_path / "notebooks/01-data-size.ipynb"

    def execute(notebook, target, *_):
        copyfile(notebook, target)
        source.write_text(source.read_text().replace("How many?", "How few?"))

    monkeypatch.setattr("itl.report.execute_notebook.execute_notebook", execute)
    make(tmp_path, wanted)
    (page,) = pages_of(wanted, tmp_path / "reports/test", here(tmp_path), tmp_path / "notebooks")
    assert "How many?" in (tmp_path / "reports/test/01-data-size.html").read_text()
    assert not page.is_current()
    make(tmp_path, wanted)
    assert "How few?" in (tmp_path / "reports/test/01-data-size.html").read_text()
    assert page.is_current()


def test_ones_own_notebooks_are_made_last_and_again_with_what_they_may_read(tmp_path, monkeypatch):
    """As summaries: they may show any result, and the preset's words, whether they declare it or not."""
    wanted, made = of_sizes(tmp_path), []
    declared = tagged_cell("parameters", "preset: str = 'demo'  # whose results are read")
    write_notebook(tmp_path / "notebooks/00-mine.ipynb", new_markdown_cell("# Mine"), declared)
    write_notebook(tmp_path / "notebooks/50-any.ipynb", new_markdown_cell("# Any"))
    wanted.notebooks.update({"00-mine": {}, "50-any": {}})
    pretend_runs(of_sizes(tmp_path), tmp_path)

    def execute(source, target, *_):
        made.append(source.stem)
        copyfile(source, target)

    def made_again(changed: Preset) -> list[str]:
        made.clear()
        make(tmp_path, changed)
        return made

    monkeypatch.setattr("itl.report.execute_notebook.execute_notebook", execute)
    own = ["00-mine", "50-any"]
    assert made_again(wanted)[-2:] == own
    assert made_again(wanted) == []
    run = next((tmp_path / "runs/pretrain").glob("*/result.json")).parent
    (run / "log.jsonl").write_text('{"epoch": 1, "step": 12, "loss": 9.9}\n')
    assert made_again(wanted) == ["01-data-size", *own]
    assert made_again(wanted.model_copy(update={"about": "Other words."})) == own
    rmtree(run)
    with pytest.raises(
        ItlError, match="50-any: its runs are not all done, so there is no page; `itl run` does"
    ):
        make(tmp_path, wanted, only="50-any")


@pytest.mark.parametrize("by_file", [True, False])
def test_a_preset_that_is_changed_while_its_report_is_made_makes_no_page_of_both(
    tmp_path, monkeypatch, by_file
):
    declared = tagged_cell("parameters", "preset: str = 'demo'  # whose results are read")
    write_notebook(tmp_path / "notebooks/a.ipynb", new_markdown_cell("# Mine"), declared)
    (tmp_path / "params").mkdir()
    file = written(tmp_path / "params/mine.yaml", "as it was")
    monkeypatch.chdir(tmp_path)
    wanted = load_preset(file if by_file else "mine")

    def execute(source, target, *_):
        copyfile(source, target)
        written(file, "changed meanwhile")

    monkeypatch.setattr("itl.report.execute_notebook.execute_notebook", execute)
    with pytest.raises(
        ItlError, match="^a: preset mine was changed while the report was made; make it again"
    ):
        make(tmp_path, wanted)
    assert not (tmp_path / "reports/test/a.html").exists()


def test_a_table_that_was_edited_is_written_again_and_enters_no_other(tmp_path):
    wanted, folder = of_sizes(tmp_path), tmp_path / "reports/test"
    pretend_runs(wanted, tmp_path)
    make(tmp_path, wanted)
    table = folder / "01-data-size.csv"
    right = table.read_text()
    assert "51.25" in right
    table.write_text(right.replace("51.25", "91.25"))  # as long as before
    make(tmp_path, wanted)
    assert table.read_text() == right
    assert "91.25" not in (folder / "results.csv").read_text()


def test_a_report_that_ends_with_a_damaged_run_is_not_under_way(tmp_path, monkeypatch):
    wanted = of_sizes(tmp_path)
    pretend_runs(wanted, tmp_path)

    def damaged(*_):
        raise ItlError("the manifest of a run is damaged")

    monkeypatch.setattr("itl.report.build.publish_runs", damaged)
    with pytest.raises(ItlError, match="manifest of a run is damaged"):
        make(tmp_path, wanted)
    index = (tmp_path / "reports/test/index.html").read_text()
    assert "under way" not in index
    assert "refresh" not in index


def test_a_report_that_may_only_be_read_says_what_helps(tmp_path, monkeypatch):
    monkeypatch.setattr("itl.report.build.os.access", lambda path, mode: path != tmp_path / "reports")
    (tmp_path / "reports").mkdir()
    with pytest.raises(
        ItlError, match="it may only be read; where runs may only be read, make a folder with"
    ):
        make(tmp_path, of_sizes(tmp_path))
    assert not (tmp_path / "runs").exists(), "nothing is measured before"

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("itl.report.build.existing_part", refuse)
    with pytest.raises(ItlError, match="^cannot write .*: Permission denied; where runs may only be read"):
        make(tmp_path, of_sizes(tmp_path))


def test_a_page_that_is_made_again_leaves_other_pages_whose_names_begin_like_it(tmp_path):
    for name in ("a", "a-figure-mine", "a-browser-mine"):
        write_notebook(tmp_path / f"notebooks/{name}.ipynb", new_markdown_cell("# So?"))
    wanted, folder = preset(a={}, a_figure_mine={}, a_browser_mine={}), tmp_path / "reports/test"
    make(tmp_path, wanted)
    pages = {path.name for path in folder.glob("a*")}
    assert len(pages) == 3 * len((".ipynb", ".html", ".json"))
    write_notebook(tmp_path / "notebooks/a.ipynb", new_markdown_cell("# How so?"))
    make(tmp_path, wanted, only="a")
    assert {path.name for path in folder.glob("a*")} == pages


def test_tables_of_all_questions_are_never_older_than_a_page(tmp_path):
    """Also where the report is killed before it joins them again."""
    wanted, folder = of_sizes(tmp_path), tmp_path / "reports/test"
    write_notebook(tmp_path / "notebooks/50-any.ipynb", new_markdown_cell("# Any"))
    pretend_runs(wanted, tmp_path)
    wanted.notebooks["50-any"] = {}
    make(tmp_path, wanted)
    sizes, other = pages_of(wanted, folder, here(tmp_path), tmp_path / "notebooks")
    joined = [folder / "results.csv", folder / "contrasts.csv"]
    assert make_page(other) == ""
    assert [path.exists() for path in joined] == [True, True], "it has no table"
    assert make_page(sizes) == ""
    assert [path.exists() for path in joined] == [False, False]
    make(tmp_path, wanted)
    assert [path.exists() for path in joined] == [True, True]
