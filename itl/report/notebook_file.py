"""A notebook before it runs: its cells, and the parameters that it declares."""

import ast
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from itl import ItlError, pick

TYPES = {
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
    "list": (list, "a list"),
    "dict": (dict, "a mapping"),
}
PLURALS = {"str": "texts", "int": "whole numbers", "float": "numbers", "dict": "mappings"}


def read_cells(path: Path) -> list[dict]:
    """Return the cells of the notebook at *path*, the source of each as one text.

    This reads plain JSON, because importing nbformat would take longer than a report that has nothing to do.

    Raises:
        ItlError: the file is not a notebook of format 4.
    """
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        return [cell | {"source": "".join(cell["source"])} for cell in cells]
    except (ValueError, KeyError, TypeError) as error:
        raise ItlError(f"{path} is not a notebook of format 4; save it again with JupyterLab") from error


def tags(cell: Mapping) -> list[str]:
    """Return the tags of a notebook cell."""
    return cell["metadata"].get("tags", [])


def first_tagged(cells: Iterable[Mapping], tag: str) -> dict:
    """Return the first cell that carries *tag*, or an empty one."""
    return next((cell for cell in cells if tag in tags(cell)), {"source": "", "outputs": [], "metadata": {}})


def declared_parameters(path: Path) -> dict[str, ast.expr]:
    """Return the annotation of every parameter that the notebook at *path* declares."""
    statements = ast.parse(first_tagged(read_cells(path), "parameters")["source"]).body
    return {line.target.id: line.annotation for line in statements if isinstance(line, ast.AnnAssign)}


def check_parameters(path: Path, parameters: Mapping[str, object]) -> None:
    """Refuse *parameters* that papermill would only warn about, and then run the notebook on its defaults.

    Raises:
        ItlError: the notebook at *path* does not declare a parameter, or declares another type.
    """
    declared = declared_parameters(path)
    for name, value in parameters.items():
        annotation = pick(declared, name, f"parameter of {path.stem}")
        if not fits(value, annotation):
            raise ItlError(f"{path.stem}: {name} should be {type_name(annotation)}, not {value!r}")


def fits(value: object, annotation: ast.expr) -> bool:
    """Say whether *value* is what *annotation* declares: str, int, float, bool, list, dict, list[int], …"""
    outer, inner = _type_parts(annotation)
    if outer not in TYPES:
        return True
    if isinstance(value, bool) and outer != "bool":
        return False  # a bool is an int in Python, but not to people
    if not isinstance(value, TYPES[outer][0]):
        return False
    return outer != "list" or inner is None or all(fits(item, inner) for item in value)


def type_name(annotation: ast.expr) -> str:
    """Name a type for people: list[int] is a list of whole numbers."""
    outer, inner = _type_parts(annotation)
    name = TYPES[outer][1] if outer in TYPES else ast.unparse(annotation)
    plural = PLURALS.get(ast.unparse(inner)) if outer == "list" and inner is not None else None
    return f"{name} of {plural}" if plural else name


def _type_parts(annotation: ast.expr) -> tuple[str, ast.expr | None]:
    """Take list[int] apart: "list" and the expression int."""
    if isinstance(annotation, ast.Subscript):
        return ast.unparse(annotation.value), annotation.slice
    return ast.unparse(annotation), None
