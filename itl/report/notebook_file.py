"""A notebook as a report sees it before it runs: its cells, and the parameters that it declares."""

import ast
import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from itl import ItlError

TYPES = {
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
    "list": (list, "a list"),
    "dict": (dict, "a mapping"),
}
SEVERAL = {"str": "texts", "int": "whole numbers", "float": "numbers", "dict": "mappings"}


def cells(path: Path) -> list[dict]:
    """Return the cells of the notebook at *path*, each source as one text.

    As plain JSON: a report of which nothing is out of date would wait longest for nbformat's import.
    """
    try:
        found = json.loads(path.read_text("utf-8"))["cells"]
        return [cell | {"source": "".join(cell["source"])} for cell in found]
    except (ValueError, KeyError, TypeError) as error:
        raise ItlError(f"{path} is not a notebook of format 4; save it anew with JupyterLab") from error


def tags(cell: Mapping) -> list[str]:
    """Return the tags of a notebook cell."""
    return cell["metadata"].get("tags", [])


def tagged(cells: Iterable[Mapping], tag: str) -> dict:
    """Return the first cell that carries *tag*, or an empty one."""
    return next((cell for cell in cells if tag in tags(cell)), {"source": "", "outputs": [], "metadata": {}})


def declared(path: Path) -> dict[str, ast.expr]:
    """Return the annotation of every parameter that the notebook at *path* declares."""
    lines = ast.parse(tagged(cells(path), "parameters")["source"]).body
    return {line.target.id: line.annotation for line in lines if isinstance(line, ast.AnnAssign)}


def check_parameters(path: Path, given: Mapping[str, object]) -> None:
    """Refuse parameters that the notebook at *path* does not declare, or values of another type.

    Papermill itself only warns, after which the notebook runs on its defaults.
    """
    known = declared(path)
    for name, value in given.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? It" if near else "it"
            takes = ", ".join(known) or "none"
            raise ItlError(f"{path.stem} has no parameter {name!r}; {hint} takes {takes}")
        if not fits(value, known[name]):
            raise ItlError(f"{path.stem}: {name} should be {plain(known[name])}, not {value!r}")


def fits(value: object, annotation: ast.expr) -> bool:
    """Say whether *value* is what *annotation* declares: str, int, float, bool, list, dict, list[int], …"""
    outer, inner = _parts(annotation)
    if outer not in TYPES:
        return True
    if isinstance(value, bool) and outer != "bool":
        return False                        # Python counts True as an int; people do not
    if not isinstance(value, TYPES[outer][0]):
        return False
    return outer != "list" or inner is None or all(fits(each, inner) for each in value)


def plain(annotation: ast.expr) -> str:
    """Name a type for people: list[int] is a list of whole numbers."""
    outer, inner = _parts(annotation)
    words = TYPES[outer][1] if outer in TYPES else ast.unparse(annotation)
    many = SEVERAL.get(ast.unparse(inner)) if outer == "list" and inner is not None else None
    return f"{words} of {many}" if many else words


def _parts(annotation: ast.expr) -> tuple[str, ast.expr | None]:
    if isinstance(annotation, ast.Subscript):
        return ast.unparse(annotation.value), annotation.slice
    return ast.unparse(annotation), None
