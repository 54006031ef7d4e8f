"""Notebooks are pages: one shape, no programs, stored without outputs, and every preset fits them."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from itl.presets import load_preset
from itl.report.notebook_file import check_parameters, declared_parameters, tags
from itl.runs.design import Margin
from itl.runs.questions import QUESTIONS
from tests.worlds import PRESETS

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ORDER = ["parameters", "plan", "run", "table", "figure", "paper", "answer", "provenance"]
RUNS = {"plan", "run", "paper"}  # tags of notebooks that ask a question of the study
ASKS_NOTHING = {"00", "99"}
OWN_TASK = {"08", "09", "10"}  # of questions that the paper did not ask
PROGRAM = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.Try, ast.AsyncFunctionDef)
SYNTAX = (ast.comprehension, ast.Lambda)  # programs too, only shorter

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
    if path.stem[:2] in OWN_TASK:
        wanted.remove("paper")
    assert in_order == wanted


@each_notebook
def test_tables_show_their_texts_whole_in_jupyterlab_too(path):
    assert any("tables.show_whole_texts()" in cell.source for cell in code_cells(path))


@each_notebook
def test_a_page_and_not_a_program(path):
    cells = code_cells(path)
    assert len(cells) <= 13
    for cell in cells:
        if "parameters" in tags(cell):
            assert len(ast.parse(cell.source).body) <= 16, cell.source
        else:
            assert len([line for line in cell.source.splitlines() if line.strip()]) <= 8, cell.source
        nodes = list(ast.walk(ast.parse(cell.source)))
        assert not [node for node in nodes if isinstance(node, PROGRAM + SYNTAX)], cell.source


@each_notebook
def test_begins_with_a_question(path):
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert first.source.splitlines()[0].endswith("?")


def parameter_cell(path: Path):
    (cell,) = [cell for cell in code_cells(path) if "parameters" in tags(cell)]
    return cell


@each_notebook
def test_parameters_are_declared_with_help_papermill_can_read(path):
    source = parameter_cell(path).source
    for statement in ast.parse(source).body:
        last = source.splitlines()[statement.end_lineno - 1]
        assert isinstance(statement, ast.AnnAssign), last
        ast.literal_eval(statement.value)
        assert "|" not in ast.unparse(statement.annotation), "papermill does not see such a parameter"
        assert "#" not in ast.unparse(statement.value), "papermill cuts the default there"
        assert "#" in last, "the comment is the help text, which papermill takes from the last line"


def shown_parameters(stem: str) -> dict[str, object]:
    """The parameters of notebook *stem* in preset demo, or else in my-task or another preset."""
    others = sorted(path.stem for path in (ROOT / "params").glob("*.yaml"))
    presets = (load_preset(name, ROOT / "params") for name in ("demo", "my-task", *others))
    return next(preset.notebooks[stem] for preset in presets if stem in preset.notebooks)


def defaults(source: str) -> dict[str, object]:
    """The value that a cell of parameters gives each of them."""
    return {statement.target.id: ast.literal_eval(statement.value) for statement in ast.parse(source).body}


def with_values(source: str, values: dict[str, object]) -> str:
    """Write a cell of parameters anew with *values*; a value that is too long for a line is over several."""
    lines = source.splitlines()
    statements = []
    for statement in ast.parse(source).body:
        name, kind = statement.target.id, ast.unparse(statement.annotation)
        comment = lines[statement.end_lineno - 1].partition("#")[2].strip()
        statements.append(f"{name}: {kind} = {values[name]!r}  # {comment}\n")
    formatted = [_formatted(statement).rstrip() for statement in statements]
    return "\n".join(_aligned(text) for text in formatted)


def _formatted(code: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--line-length", "110", "-"]
    return subprocess.run(command, input=code, capture_output=True, text=True, check=True).stdout


def _aligned(code: str) -> str:
    """Put the help of a parameter of one line where the others have theirs, if that fits."""
    value, _, comment = code.partition("  # ")
    aligned = f"{value:60}# {comment}"
    return aligned if "\n" not in code and len(value) < 60 and len(aligned) <= 110 else code


@pytest.mark.parametrize("stem", ["00-hierarchy", *QUESTIONS])
def test_parameters_are_those_of_the_first_preset_that_has_the_notebook(stem):
    """So that what `make report` has done, a notebook in JupyterLab finds done.

    After a change of params/demo.yaml or my-task.yaml, ITL_REWRITE_NOTEBOOKS=1 in the environment writes them
    into notebooks.
    """
    path, shown = ROOT / "notebooks" / f"{stem}.ipynb", shown_parameters(stem)
    source = parameter_cell(path).source
    if os.environ.get("ITL_REWRITE_NOTEBOOKS") and defaults(source) != defaults(source) | shown:
        source = with_values(source, defaults(source) | shown)
        notebook = json.loads(path.read_text("utf-8"))
        (cell,) = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
        cell["source"] = source.splitlines(keepends=True)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")
    assert defaults(source) == defaults(source) | shown


def test_parameters_are_written_as_people_would():
    source = 'net: str = "small"      # a net\ntasks: list = ["a"]  # what is measured'
    assert with_values(source, {"net": "alexnet", "tasks": ["a" * 30, "b" * 30, "c" * 30]}) == (
        f'net: str = "alexnet"{" " * 40}# a net\n'
        f'tasks: list = [\n    "{"a" * 30}",\n    "{"b" * 30}",\n    "{"c" * 30}",\n]  # what is measured'
    )


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_presets_give_only_what_notebooks_declare(preset):
    loaded = load_preset(preset)
    notebooks = {path.stem: path for path in NOTEBOOKS}
    for stem, parameters in loaded.notebooks.items():
        check_parameters(notebooks[stem], parameters)
        declared = set(declared_parameters(notebooks[stem])) - {"preset"}  # which a report gives itself
        fields = QUESTIONS[stem].model_fields if stem in QUESTIONS else {}
        optional = {name for name, field in fields.items() if not field.is_required()}
        assert set(parameters) <= declared
        assert declared - set(parameters) <= optional, "a preset leaves nothing to a default of demo"


NOT_ON_THEIR_PAGES = {"repeats", "cap"}  # of questions about one's own task


@pytest.mark.parametrize("stem", QUESTIONS)
def test_a_preset_can_give_whatever_a_question_takes(stem):
    fields, declared = QUESTIONS[stem].model_fields, declared_parameters(ROOT / "notebooks" / f"{stem}.ipynb")
    assert set(fields) - set(declared) == (NOT_ON_THEIR_PAGES if stem[:2] in OWN_TASK else set())


@pytest.mark.parametrize("stem", QUESTIONS)
def test_what_presets_may_leave_out_has_the_default_of_the_question(stem):
    given = defaults(parameter_cell(ROOT / "notebooks" / f"{stem}.ipynb").source)
    fields = {name: field for name, field in QUESTIONS[stem].model_fields.items() if name in given}
    assert set(fields) == set(given)
    shown = shown_parameters(stem)
    optional = {name: field.default for name, field in fields.items() if not field.is_required()}
    for name in optional.keys() - shown.keys() - {"margin"}:
        assert given[name] == (list(optional[name]) if isinstance(optional[name], tuple) else optional[name])
    assert Margin(**given["margin"]) == fields["margin"].default
