"""A notebook before it runs: its cells, and the parameters that it declares."""

import ast
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from itl.errors import ItlError, pick
from itl.presets import Preset, find_notebooks
from itl.words import one_line

TYPES: dict[str, Any] = {kind.__name__: kind for kind in (str, int, float, bool, list, dict)}  # of parameters
PAGES_OF_REPORT = ("index", "runs")  # that no notebook makes


def read_cells(path: Path) -> list[dict]:
    """Return the cells of the notebook at *path*, of format 4, the source of each as one text.

    This reads plain JSON, because importing nbformat would take longer than a report that has nothing to do.
    ItlError if it is of another format.
    """
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        return [
            cell | {"source": "".join(cell["source"]), "metadata": {**cell["metadata"], "tags": tags(cell)}}
            for cell in cells
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ItlError(f"{path} is not a notebook of format 4; save it again with JupyterLab") from error


def tags(cell: Mapping) -> list[str]:
    """Return the tags of a notebook cell."""
    return [str(tag) for tag in cell["metadata"].get("tags", [])]


def title_of(cells: Iterable[Mapping], stem: str) -> str:
    """Return the first line of text of a notebook without its heading's signs; *stem* where there is none."""
    text = next((cell["source"] for cell in cells if cell["cell_type"] == "markdown"), "")
    return text.partition("\n")[0].lstrip("# ").strip() or stem


def first_tagged(cells: Iterable[Mapping], tag: str) -> Mapping[str, Any]:
    """Return the first cell that carries *tag*, or an empty one."""
    return next((cell for cell in cells if tag in tags(cell)), {"source": "", "outputs": [], "metadata": {}})


def declared_parameters(path: Path) -> dict[str, Any]:
    """Return the type of every parameter that the notebook at *path* declares, as str or list[int].

    ItlError if its cell of parameters cannot be read.
    """
    source = first_tagged(read_cells(path), "parameters")["source"]
    try:
        statements = ast.parse(source).body
        return {
            statement.target.id: _type_of(statement.annotation)
            for statement in statements
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
        }
    except (SyntaxError, ValueError, KeyError, TypeError) as error:
        reason = f"the parameters of {path} cannot be read ({one_line(error)})"
        raise ItlError(f"{reason}; declare them as seeds: list[int] = [0]") from error


def _type_of(annotation: ast.expr) -> Any:
    """Return the type that *annotation* names, such as list[int]; no code of a notebook is executed."""
    if isinstance(annotation, ast.Name):
        return TYPES[annotation.id]
    if isinstance(annotation, ast.Subscript):
        return TYPES[ast.unparse(annotation.value)][_type_of(annotation.slice)]
    if isinstance(annotation, ast.Tuple):
        return tuple(_type_of(part) for part in annotation.elts)
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return _type_of(annotation.left) | _type_of(annotation.right)
    if isinstance(annotation, ast.Constant) and annotation.value is None:
        return None
    raise TypeError(f"{ast.unparse(annotation)} is not a type")


def check_parameters(path: Path, parameters: Mapping[str, object]) -> None:
    """Refuse *parameters* that a notebook lacks, or has of another type: papermill would only warn."""
    declared = declared_parameters(path)
    for name, value in parameters.items():
        wanted = pick(declared, name, f"parameter of {path.stem}")
        try:
            TypeAdapter(wanted).validate_python(value, strict=True)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].lower()
            raise ItlError(f"{path.stem}: the parameter {name} is {value!r}; {reason}") from None


def notebooks_of(
    preset: Preset, folder: Path | None = None, unchecked: Collection[str] = ()
) -> dict[str, Path]:
    """Map each notebook of *preset* to its file, in *folder* or where they are found by default.

    ItlError for one that is not there or is called as one of the report's own pages, and for parameters as in
    `check_parameters`; those of notebooks that are *unchecked* are not looked at.
    """
    if own := preset.notebooks.keys() & set(PAGES_OF_REPORT):
        name = min(own)
        raise ItlError(
            f"preset {preset.name} has a notebook called {name}, and {name}.html is a page of every report; "
            f"rename the notebook, also in the preset"
        )
    known = find_notebooks(folder)
    paths = {name: pick(known, name, f"notebook of preset {preset.name}") for name in preset.notebooks}
    for name in sorted(paths.keys() - set(unchecked)):
        check_parameters(paths[name], preset.notebooks[name])
    return paths
