"""A notebook before it runs: its cells, and the parameters that it declares."""

import ast
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from itl import ItlError, one_line, one_of, pick
from itl.presets import Preset, find_notebooks

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


def declared_parameters(path: Path) -> list[str]:
    """Return the name of every parameter that the notebook at *path* declares, as in seeds: list = [0].

    ItlError if its cell of parameters cannot be read.
    """
    source = first_tagged(read_cells(path), "parameters")["source"]
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError) as error:
        reason = f"the parameters of {path} cannot be read ({one_line(error)})"
        raise ItlError(f"{reason}; declare them as seeds: list = [0]") from error
    targets = [statement.target for statement in statements if isinstance(statement, ast.AnnAssign)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def check_parameters(path: Path, parameters: Iterable[str]) -> None:
    """Refuse *parameters* that a notebook lacks: papermill would only warn."""
    declared = declared_parameters(path)
    for name in parameters:
        one_of(declared, name, f"parameter of {path.stem}")


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
