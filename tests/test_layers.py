"""What holds of the code as text: the order of rooms, no circles, sizes, and what tests may name."""

import ast
import re
import subprocess
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import itl

ROOMS = [
    "words",
    "errors",
    "notes",
    "iteration",
    "machine",
    "processes",
    "storage",
    "spec_checks",
    "specs",
    "settings",
    "presets",
    "hierarchy",
    "sources",
    "packs",
    "training",
    "evaluation",
    "runs",
    "analysis",
    "report",
    "browser",
    "panels",
    "bench",
    "arguments",
    "terminal",
    "commands",
    "__main__",
]
SOURCES = ["files", "what all sources share", "synthetic", "listed", "folders", "annotated", "published"]
OF_ALL_SOURCES = ["registry", "check"]  # after all of them
ROOT = Path(itl.__file__).parent


@cache
def modules() -> dict[str, Path]:
    """All modules by their name inside itl, such as training.loop."""
    files = [path for path in sorted(ROOT.rglob("*.py")) if path.name != "__init__.py"]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}


@cache
def syntax_of(path: Path) -> ast.Module:
    """The parsed code of *path*."""
    return ast.parse(path.read_text())


@cache
def imported(path: Path) -> set[str]:
    """The itl modules that *path* imports, anywhere in it."""
    names = set()
    for node in ast.walk(syntax_of(path)):
        if isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.removeprefix("itl.") for name in names} & modules().keys()


def test_every_room_has_its_place_in_the_order():
    assert {name.partition(".")[0] for name in modules()} == set(ROOMS)


def test_a_room_uses_only_rooms_before_it():
    for module, path in modules().items():
        order = ROOMS.index(module.partition(".")[0])
        later = {name for name in imported(path) if ROOMS.index(name.partition(".")[0]) > order}
        assert not later, f"{module} imports {sorted(later)}, which come after it"


def order_in_sources(module: str) -> int:
    """Where a module of sources stands among their folders."""
    folder, _, name = module.removeprefix("sources.").rpartition(".")
    order = SOURCES + OF_ALL_SOURCES
    return order.index(folder or (name if name in OF_ALL_SOURCES else "what all sources share"))


def test_a_folder_of_sources_uses_only_those_before_it():
    sources = {name: path for name, path in modules().items() if name.startswith("sources.")}
    for module, path in sources.items():
        used = imported(path) & sources.keys()
        later = {name for name in used if order_in_sources(name) > order_in_sources(module)}
        assert not later, f"{module} imports {sorted(later)}, which come after it"


@pytest.mark.parametrize("room", ["analysis", "report", "browser", "panels"])
def test_what_reads_results_builds_no_pack(room):
    """Of a changed source it would be another pack than that of the runs, which then count as gone."""
    for module, path in modules().items():
        if module.startswith(f"{room}."):
            assert not names_used(syntax_of(path)) & {"build_or_open", "build_pack"}, module


def test_no_folder_has_more_modules_than_a_reader_looks_through():
    folders = Counter(path.parent for path in modules().values())
    assert max(folders.values()) <= 30, folders.most_common(1)


def test_no_modules_import_each_other_in_a_circle():
    order = TopologicalSorter({module: imported(path) for module, path in modules().items()}).static_order()
    assert set(order) == modules().keys()  # a circle raises CycleError, which names it


def private_names(tree: ast.AST) -> set[str]:
    """The names that a module defines for itself alone: _name of a function, class, variable or attribute."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return {name for name in names if name.startswith("_") and not name.endswith("_")}


def names_used(tree: ast.AST) -> set[str]:
    """The names that a test takes from elsewhere: imported, an attribute, or a text that is patched."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            names |= set() if own else {node.attr}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names |= set(re.findall(r"(?<=\.)_\w+|^_\w+$", node.value))  # of code, or of setattr
    return names


def test_tests_go_through_public_names():
    private = set().union(*(private_names(syntax_of(path)) for path in modules().values()))
    for path in Path(__file__).parent.rglob("*.py"):
        used = names_used(ast.parse(path.read_text())) & private
        assert not used, f"{path.name} uses {sorted(used)}: give them public names, or test what shows them"


def test_house_numbers():
    for path in modules().values():
        lines = path.read_text().count("\n")
        assert lines <= 500, f"{path.name} has {lines} lines; does it hold two nouns?"
        for node in ast.walk(syntax_of(path)):
            if isinstance(node, ast.FunctionDef):
                length = node.end_lineno - node.lineno + 1
                assert length <= 60, f"{path.name}: {node.name} has {length} lines"


def test_no_links_are_kept():
    """A link points to one machine's files."""
    kept = subprocess.run(
        ["git", "ls-files", "--stage"], cwd=ROOT.parent, capture_output=True, text=True, check=False
    )
    if kept.returncode:
        pytest.skip("not a git checkout")
    assert [line for line in kept.stdout.splitlines() if line.startswith("120000")] == []
