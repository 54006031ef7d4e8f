"""Reports where data of a preset are not on this machine."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from itl import ItlError
from itl.presets import Preset
from itl.report.build import report
from itl.runs.executors import with_needs
from itl.runs.questions import questions_of
from itl.runs.store import Store
from tests.worlds import SETTINGS, SHARED, here, pretend

SCENES = {name: {"source": "folder", "path": name, "size": 24} for name in ("indoor", "outdoor")}
PRESET = Preset(
    name="test",
    about="Two questions; the targets of the second are on another machine.",
    notebooks={
        "01-data-size": SETTINGS | {"images_per_class": [4, 12]},
        "02-class-count": SHARED
        | {"label_sets": ["none", "original"], "targets": SCENES, "tasks": ["knn@indoor", "knn@outdoor"]},
    },
)


@pytest.fixture
def notebooks(tmp_path):
    """Notebooks of both questions that show nothing."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name, settings in PRESET.notebooks.items():
        declared = "\n".join(f"{key}: {type(value).__name__} = {value!r}" for key, value in settings.items())
        parameters = new_code_cell(declared, metadata={"tags": ["parameters"]})
        cells = [new_markdown_cell(f"# {name}?"), parameters, new_code_cell("1")]
        nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
    return folder


def test_all_that_is_missing_is_named_and_an_earlier_report_stays(tmp_path, notebooks):
    out = tmp_path / "report"
    out.mkdir()
    (out / "index.html").write_text("of before")
    with pytest.raises(
        ItlError, match=r"^2 data sets cannot be planned \(indoor, outdoor\): looked for indo"
    ):
        report(PRESET, out, here(tmp_path), notebooks)
    assert (out / "index.html").read_text() == "of before"


def test_one_notebook_needs_no_data_of_others(tmp_path, monkeypatch, notebooks):
    copy = "itl.report.execute_notebook.execute_notebook"
    monkeypatch.setattr(copy, lambda source, target, *_: target.write_bytes(source.read_bytes()))
    (question,), machine = questions_of(PRESET, "01-data-size"), here(tmp_path)
    question.prepare(machine)
    runs = question.runs(machine)
    pretend(with_needs([run.spec for run in runs]), Store(machine.runs))
    index = report(PRESET, tmp_path / "report", machine, notebooks, only="01-data-size").read_text()
    assert 'href="01-data-size.html"' in index
    assert "; not counted: 02-class-count, whose data are not here" in index
