"""What is imported is declared in pyproject.toml, and what is declared is used."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import itl

ROOT = Path(itl.__file__).parents[1]
BROUGHT_BY_OTHERS = {"triton"}  # by torch, where there is a GPU
STARTED_NOT_IMPORTED = {"ipykernel", "jupyterlab"}


def imported(folder: Path, but: str = "") -> set[str]:
    """Distributions that the modules under *folder* import; those whose path contains *but* are left out."""
    names = set()
    for path in folder.rglob("*.py"):
        if but and but in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
    owners = packages_distributions()
    names -= {"itl", "tests", "__future__", "_typeshed", *sys.stdlib_module_names}  # typeshed: for checkers
    return {normal(owners.get(name, [name])[0]) for name in names}


def normal(requirement: str) -> str:
    """The name of a requirement, as registries compare names."""
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


def declared(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    return {normal(requirement) for requirements in lists for requirement in requirements}


def test_what_the_package_imports_is_declared():
    assert imported(ROOT / "itl", but="bench") - declared("bench", "slurm") - BROUGHT_BY_OTHERS == set()


def test_what_is_declared_is_imported():
    assert declared() - imported(ROOT / "itl") - STARTED_NOT_IMPORTED == set()
