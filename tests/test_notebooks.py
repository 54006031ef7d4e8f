"""Notebooks are pages: one shape, no programs, stored without outputs, and every preset fits them."""

import ast
from pathlib import Path

import nbformat
import pytest

from itl.presets import load_preset
from itl.report.notebook_file import check_parameters, declared_parameters, tags
from itl.runs.question import Margin
from itl.runs.questions import QUESTIONS

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PRESETS = sorted((ROOT / "params").glob("*.yaml"))
ORDER = ["parameters", "plan", "run", "table", "figure", "paper", "answer", "provenance"]
RUNS = {"plan", "run", "paper"}             # tags of notebooks that ask a question of the study
ASKS_NOTHING = {"00", "99"}
PROGRAM = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.Try, ast.AsyncFunctionDef)
SYNTAX = (ast.comprehension, ast.Lambda)                        # programs too, only shorter

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_are_notebooks_and_presets():
    assert [path.stem for path in NOTEBOOKS][0] == "00-hierarchy"
    assert {"demo", "tiny"} <= {path.stem for path in PRESETS}


@each_notebook
def test_valid_and_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(path))
    assert all(not cell["id"].startswith("cell-") for cell in notebook.cells), "ids should be names that last"


@each_notebook
def test_tags_once_each_and_in_order(path):
    in_order = [tag for cell in code_cells(path) for tag in tags(cell)]
    wanted = [tag for tag in ORDER if path.stem[:2] not in ASKS_NOTHING or tag not in RUNS]
    assert in_order == wanted


@each_notebook
def test_a_page_and_not_a_program(path):
    cells = code_cells(path)
    assert len(cells) <= 13
    for cell in cells:
        most = 15 if "parameters" in tags(cell) else 8          # one a line, with its help
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= most, cell.source
        nodes = list(ast.walk(ast.parse(cell.source)))
        assert not [node for node in nodes if isinstance(node, PROGRAM + SYNTAX)], cell.source


@each_notebook
def test_begins_with_a_question(path):
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert first.source.splitlines()[0].endswith("?")


@each_notebook
def test_parameters_are_declared_with_help_papermill_can_read(path):
    (cell,) = [cell for cell in code_cells(path) if "parameters" in tags(cell)]
    for line, statement in zip(cell.source.splitlines(), ast.parse(cell.source).body, strict=True):
        assert isinstance(statement, ast.AnnAssign), line
        ast.literal_eval(statement.value)
        assert "|" not in ast.unparse(statement.annotation), "papermill does not see such a parameter"
        assert "#" not in ast.unparse(statement.value), "papermill cuts the default there"
        assert "#" in line, "the comment is the help text"


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_presets_give_only_what_notebooks_declare(preset):
    loaded = load_preset(preset.stem, preset.parent)
    notebooks = {path.stem: path for path in NOTEBOOKS}
    for stem, parameters in loaded.notebooks.items():
        check_parameters(notebooks[stem], parameters)
        declared = set(declared_parameters(notebooks[stem])) - {"preset"}      # which a report gives itself
        fields = QUESTIONS[stem].model_fields if stem in QUESTIONS else {}
        optional = {name for name, field in fields.items() if not field.is_required()}
        assert set(parameters) <= declared
        assert declared - set(parameters) <= optional, "a preset leaves nothing to a default of demo"


@pytest.mark.parametrize("stem", QUESTIONS)
def test_what_presets_may_leave_out_has_the_default_of_the_question(stem):
    (path,) = [path for path in NOTEBOOKS if path.stem == stem]
    (cell,) = [cell for cell in code_cells(path) if "parameters" in tags(cell)]
    defaults = {line.target.id: ast.literal_eval(line.value) for line in ast.parse(cell.source).body}
    fields = {name: field for name, field in QUESTIONS[stem].model_fields.items() if name in defaults}
    assert set(fields) == set(defaults)
    for name in ("taxonomy", "repeats", "cap"):
        assert defaults[name] == fields[name].default
    assert Margin(**defaults["margin"]) == fields["margin"].default
