"""What a plan passes, its page can be made of: notebooks of questions with settings that no preset has."""

import ast
import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.text import Text

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
SETS = [f"cut@{NODES}", "original"]
SOME = {"label_sets": [SETS[0], "only@n00015388", "original"], "classes": [3]}
BUDGETS = {"budgets": [["4 x 6", "8 x 3"], ["2 x 6", "all x at most 1"]]}
ODD = [  # notebook, settings, how the answer begins, and what the figure names
    (
        "01-data-size",
        {"images_per_class": ["all", 2, 0]},
        "2 instead of all images per",
        {"none", "2", "all"},
    ),
    (
        "01-data-size",
        {"images_per_class": [0, "all"], "passes": 1, "seeds": [5]},
        "All images per class instead of no pre-training, equal steps",
        {"none", "all"},
    ),
    (
        "02-class-count",
        {"label_sets": ["none", "original"]},
        "Original labels instead of no pre-training",
        {"all classes", "none", "16"},
    ),
    (
        "02-class-count",
        {"label_sets": SETS[::-1]},
        f"{SETS[0].capitalize()} instead of original labels",
        {"cut at chosen nodes", "2", "16"},
    ),
    (
        "02-class-count",
        SOME,
        f"{SETS[0].capitalize()} instead of original labels",
        {"cut at chosen nodes", "some classes with\nall their images", "2", "3", "16"},
    ),
    ("04-budget", BUDGETS, "Twice the images of each class", {"12 images", "16 images", "24 images"}),
    (
        "05-overlap",
        {"seeds": [3], "margin": {"points": {"knn5": 1.0}}},
        "Without PASCAL's instead of without as many others",
        {"without PASCAL's instead of all classes", "all classes instead of no pre-training"},
    ),
    (
        "06-split",
        {"halves": ["random"], "tasks": ["knn@images/half-a"]},
        "A + B instead of A, random halves",
        {"A + B, as many passes instead of A, random halves"},
    ),
    (
        "07-coarse-or-fine",
        {"cuts": SETS[:1], "images_per_class": 2},
        f"Coarse instead of fine, {SETS[0]}",
        {f"fine instead of no pre-training, {SETS[0]}"},
    ),
    (
        "10-advice",
        {"label_sets": ["original"], "images_per_class": [2, "all"], "seeds": [5]},
        "**Cannot tell** which of 3 options is the best",
        {"A  original, 2 images per class\nB  original, all images per class"},
    ),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A home whose packs are built once."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.parametrize(("stem", "odd", "begins", "named"), ODD)
def test_a_page_can_be_made_of_what_is_planned(home, monkeypatch, rated, stem, odd, begins, named):
    answer, texts = shown_by(stem, odd, home, monkeypatch)
    assert answer.startswith(begins)
    assert "nan" not in answer
    assert named <= texts


def shown_by(stem: str, odd: dict, home: Path, monkeypatch) -> tuple[str, set[str]]:
    """Execute the notebook *stem*; return the text of its answer, and the texts in its figures."""
    monkeypatch.setenv("ITL_HOME", str(home))
    plt.switch_backend("agg")
    monkeypatch.setattr(itl.runs.question, "execute", execute_here)
    names: dict[str, object] = {}
    answer = ""
    for cell in json.loads((ROOT / f"notebooks/{stem}.ipynb").read_text())["cells"]:
        tags = cell["metadata"].get("tags", ())
        if cell["cell_type"] == "code":
            shown = execute("".join(cell["source"]), names)
            repr(shown)
            answer = shown.data if "answer" in tags else answer
            if "parameters" in tags:
                defaults = QUESTIONS[stem].plain_defaults()
                names |= {name: value for name, value in defaults.items() if name in names} | WORLD | odd
    drawn = [plt.figure(number).findobj(Text) for number in plt.get_fignums()]
    plt.close("all")
    return answer, {text.get_text() for texts in drawn for text in texts}


def execute(source: str, names: dict[str, object]) -> object:
    """Execute a cell and return what it shows: the value of its last line."""
    body = ast.parse(source).body
    last = [body.pop()] if isinstance(body[-1], ast.Expr) else []
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last[0].value), "cell", "eval"), names) if last else None


def test_one_condition_alone_has_no_answer(home, monkeypatch, rated):
    alone = {"subset": {"images_per_class": 4}, "images_per_class": []}
    with pytest.raises(ItlError, match="data-size has nothing to compare; give two values or more"):
        shown_by("01-data-size", alone, home, monkeypatch)
