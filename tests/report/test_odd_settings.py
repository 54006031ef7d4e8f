"""What a plan passes, its page can be made of: notebooks of questions with settings that no preset has."""

import ast
import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import itl.runs.question
from itl import ItlError
from itl.runs.questions import QUESTIONS
from tests.worlds import IMAGES, SCENES, execute_here

ROOT = Path(__file__).parents[2]
WORLD = {
    "images": IMAGES | {"options": IMAGES["options"] | {"classes": 16, "train": 6, "val": 2}},
    "targets": {"scenes": SCENES},
    "net": "small-half",
    "tasks": ["knn@scenes"],
    "seeds": [0, 1],
    "recipe": {"steps": 2, "batch": 8, "pixels": 16},
}
NODES = "n00015388,n00021939"  # animal and artifact
ODD = [
    ("01-data-size", {"images_per_class": ["all", 2, 0]}),
    ("01-data-size", {"images_per_class": [0, "all"], "passes": 1, "seeds": [5]}),
    ("02-class-count", {"label_sets": ["none", "original"]}),
    ("02-class-count", {"label_sets": ["original", f"cut@{NODES}"]}),
    ("02-class-count", {"label_sets": ["only@n00015388", "without-pascal", "original"], "classes": [3]}),
    ("04-budget", {"budgets": [["4 x 6", "8 x 3"], ["2 x 6", "all x at most 1"]]}),
    ("05-overlap", {"seeds": [3], "margin": {"points": {"knn5": 1.0}}}),
    ("06-split", {"halves": ["random"], "tasks": ["knn@images/half-a"]}),
    ("07-coarse-or-fine", {"cuts": [f"cut@{NODES}"], "images_per_class": 2}),
    ("10-advice", {"label_sets": ["original"], "images_per_class": [2, "all"], "seeds": [5]}),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A home whose packs are built once."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.parametrize(("stem", "odd"), ODD, ids=lambda value: value if isinstance(value, str) else "")
def test_a_page_can_be_made_of_what_is_planned(home, monkeypatch, rated, stem, odd):
    monkeypatch.setenv("ITL_HOME", str(home))
    plt.switch_backend("agg")
    monkeypatch.setattr(itl.runs.question, "execute", execute_here)
    names: dict[str, object] = {}
    for cell in json.loads((ROOT / f"notebooks/{stem}.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code":
            shown = execute("".join(cell["source"]), names)
            if "parameters" in cell["metadata"].get("tags", ()):
                defaults = QUESTIONS[stem].plain_defaults()
                names |= {name: value for name, value in defaults.items() if name in names} | WORLD | odd
            repr(shown)
    plt.close("all")


def execute(source: str, names: dict[str, object]) -> object:
    """Execute a cell and return what it shows: the value of its last line."""
    body = ast.parse(source).body
    last = [body.pop()] if isinstance(body[-1], ast.Expr) else []
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last[0].value), "cell", "eval"), names) if last else None


def test_one_condition_alone_has_no_answer(home, monkeypatch, rated):
    with pytest.raises(ItlError, match="data-size has nothing to compare; give two values or more"):
        test_a_page_can_be_made_of_what_is_planned(
            home,
            monkeypatch,
            rated,
            "01-data-size",
            {"subset": {"images_per_class": 4}, "images_per_class": []},
        )
