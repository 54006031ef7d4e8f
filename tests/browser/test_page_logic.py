"""The page's logic is that of Python: random clicks and the search, run in quickjs without a browser."""

import csv
import io
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from itl import ItlError
from itl.browser.choice import Choice
from itl.browser.tree_columns import columns, script
from itl.browser.widget import HierarchyBrowser
from itl.hierarchy.label_sets import label_set
from itl.hierarchy.taxonomy import Taxonomy
from itl.specs import Subset

BASES = ["original", *(f"bottom-up@{n}" for n in range(19)), *(f"top-down@{n}" for n in (1, 2, 3))]
PARTS = ["", "half-random-a@3", "half-random-b@0", "half-minimal-a", "half-minimal-b"]
QUERIES = ["husky", "Sea cow", "n02084071", "dog", "it", "fur", "a", "  ", "zzz", "dog.n.01"]
ELSEWHERE = (
    "This page has no kernel: halves and numbers of classes need JupyterLab; “Start again” drops them."
)
NO_CLASS = "no class is left; tick some, or choose another cut"
RUN = """
const tree = new Tree(COLUMNS), search = new Search(tree);
function click(clicks) {
    const choice = new Choice(tree, NOTHING);
    for (const [act, value] of clicks) {
        if (act === "tick") choice.toggle(tree.number.get(value));
        else if (act === "cut") choice.cutAt(tree.number.get(value));
        else choice[act] = value;
    }
    const dropped = new Set(choice.pascal ? [] : tree.underPascal);
    const sizes = tally(tree, choice.kept(dropped)).map(([node, leaves]) => [tree.wnid[node], leaves]);
    return [choice.toDict(), sizes, Array.from(choice.states()), choice.labelsCsv(choice.kept(dropped))];
}
const find = (text) => search.find(text).map((at) => tree.wnid[at]);
"""


@cache
def clickable(tree: Taxonomy) -> tuple[list[str], list[str], list[str]]:
    """All nodes, those with more than three leaves, and those on the parent path of a leaf."""
    wide = [wnid for wnid in tree if len(tree.leaves_under(wnid)) > 3]
    return list(tree), wide, sorted(set().union(*map(tree.path, tree.leaves)))


def random_clicks(tree: Taxonomy, draw: random.Random) -> list[tuple[str, object]]:
    """Some clicks as a person might make them, mostly on the tree."""
    nodes, wide, paths = clickable(tree)
    acts = {
        "tick": lambda: draw.choice(nodes if draw.random() < 0.4 else wide),
        "cut": lambda: draw.choice(paths),
        "base": lambda: draw.choice(BASES),
        "pascal": lambda: draw.random() < 0.5,
        "half": lambda: draw.choice(PARTS),
        "images_per_class": lambda: draw.choice([None, 1, 2]),
        "classes": lambda: draw.choice([None, 1, 2, 5]),
        "seed": lambda: draw.randint(0, 9),
    }
    weights = [8, 2, 2, 1, 1, 1, 1, 1]
    return [(act, acts[act]()) for act in draw.choices(list(acts), weights, k=draw.randint(1, 6))]


def choice_after(tree: Taxonomy, clicks: list[tuple[str, object]]) -> Choice:
    """What the same operations give in Python."""
    choice = Choice()
    for act, value in clicks:
        if act == "tick":
            choice = choice.toggle(tree, value)
        elif act == "cut":
            choice = cut_at(choice, tree, value)
        else:
            choice = replace(choice, **{act: value})
    return choice


def cut_at(choice: Choice, tree: Taxonomy, wnid: str) -> Choice:
    """Make *wnid* a class in place of all below it; where it is one, merge it into the node above.

    The first such click makes the present classes the user's own cut.
    """
    nodes = choice.nodes if choice.base == "cut" else {*label_set(tree, choice.base, tree.leaves).classes}
    below = {node for node in nodes if wnid in tree.path(node)}
    cut = nodes - {wnid} if wnid in nodes else nodes - below | {wnid}
    return replace(choice, base="cut", nodes=frozenset(cut))


def subset_of(tree: Taxonomy, choice: Choice) -> tuple[Subset | None, str]:
    """The Subset that is chosen, or why there is none."""
    try:
        return choice.subset(tree, tree.leaves, ""), ""
    except ItlError as error:
        return None, str(error)


def class_sizes(tree: Taxonomy, labels: str) -> dict[str, int]:
    """How many leaves each class has; {} where *labels* keep none."""
    try:
        return Counter(label_set(tree, labels, tree.leaves).class_of.values())
    except ItlError:
        return {}


def labels_csv(tree: Taxonomy, labels: str) -> str:
    """What `itl labels` prints; the header alone where *labels* keep nothing."""
    try:
        class_of = label_set(tree, labels, tree.leaves).class_of
    except ItlError:
        class_of = {}
    return "wnid,label\n" + "".join(f"{wnid},{class_of[wnid]}\n" for wnid in sorted(class_of))


def tick_states(tree: Taxonomy, choice: Choice) -> list[int]:
    """Of every node 2 where all its leaves are ticked, 1 where some are, 0 where none is."""
    unticked = Counter(node for leaf in choice.unticked for node in tree.ancestors(leaf))
    return [int(unticked[wnid] < len(tree.leaves_under(wnid))) if unticked[wnid] else 2 for wnid in tree]


@pytest.fixture(scope="module")
def imagenet() -> Taxonomy:
    return Taxonomy.snapshot()


@pytest.fixture(scope="module")
def page(imagenet) -> Callable:
    """Calls a function of the page: its name and one argument, as JSON both ways."""
    quickjs = pytest.importorskip("quickjs", reason="the package quickjs is not installed")
    context = quickjs.Context()
    values = {
        "COLUMNS": columns(imagenet, dict.fromkeys(imagenet.leaves, 0), False),
        "NOTHING": Choice().to_dict(),
    }
    for name, value in values.items():
        context.eval(f"const {name} = {json.dumps(value)};")
    context.eval(script(("tree", "choice")))
    context.eval(RUN)
    return lambda name, value: json.loads(context.eval(f"JSON.stringify({name}({json.dumps(value)}))"))


def test_200_random_click_sequences_make_the_choice_that_python_makes(imagenet, page):
    tree, draw, counted = imagenet, random.Random(5), 0
    for _ in range(200):
        clicks = random_clicks(tree, draw)
        fields, sizes, states, labels = page("click", clicks)
        choice = choice_after(tree, clicks)
        assert fields == choice.to_dict(), clicks
        assert states == tick_states(tree, choice), clicks
        subset, refused = subset_of(tree, choice)
        if not refused and not choice.half and choice.classes is None:  # else the kernel counts
            assert dict(sizes) == class_sizes(tree, subset.labels), clicks
            assert labels == labels_csv(tree, subset.labels), clicks
            counted += 1
    assert counted > 80


@pytest.mark.parametrize("name", ["n02084071", "cat, black", 'the "other"', "two\nlines", "Schäfer's; a|b"])
def test_names_of_classes_are_cells_of_a_table_whatever_they_hold(page, name):
    assert next(csv.reader(io.StringIO(page("csvCell", name), newline=""))) == [name]


@pytest.mark.parametrize("query", QUERIES)
def test_search_finds_what_python_finds_in_the_same_order(imagenet, page, query):
    assert page("find", query) == [synset.wnid for synset in imagenet.search(query)]


@pytest.fixture
def exported(tree, tmp_path) -> Callable:
    """What a page without a kernel says of a choice of three classes with images."""
    quickjs = pytest.importorskip("quickjs", reason="the package quickjs is not installed")
    context = quickjs.Context()
    context.eval(script(("tree", "choice", "rows", "standalone")))

    def summary(choice: Choice, **outside: int) -> dict:
        browser = HierarchyBrowser(tree=tree)
        browser.choice = choice
        browser.columns = columns(tree, {"husky": 2, "poodle": 5, "trout": 9} | outside, True)
        page = browser.to_html(tmp_path / "tree.html").read_text()
        fields = page.split('id="fields">')[1].split("</script>")[0]
        return json.loads(context.eval(f"JSON.stringify(new FileModel({fields}).summary())"))

    return summary


@pytest.mark.parametrize(
    ("settings", "images"),
    [({}, "16"), ({"images_per_class": 2}, "6"), ({"images_per_class": 1, "seed": 3}, "3")],
)
def test_without_a_kernel_images_are_counted_as_with_one(exported, settings, images):
    facts = [["classes", "3"], ["images", images]]
    assert exported(Choice(**settings)) == {"facts": facts, "dropped": [], "outside": []}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"images_per_class": -5}, "images_per_class should be at least 1, not -5"),
        ({"images_per_class": 0}, "images_per_class should be at least 1, not 0"),
        ({"images_per_class": 3}, "3 images per class were asked for; class husky has 2; ask for at most 2"),
        ({"seed": -1}, "seed should be from 0 to 4,294,967,295, not -1"),
        ({"seed": 2**32}, "seed should be from 0 to 4,294,967,295, not 4294967296"),
        ({"unticked": frozenset(("husky", "poodle", "trout"))}, NO_CLASS),
        ({"base": "cut"}, NO_CLASS),
        ({"half": "half-minimal-a"}, ELSEWHERE),
        ({"classes": 2}, ELSEWHERE),
    ],
)
def test_without_a_kernel_what_cannot_be_is_a_problem(exported, settings, problem):
    assert exported(Choice(**settings)) == {"problem": problem, "facts": [], "dropped": [], "outside": []}


@pytest.mark.parametrize(("settings", "images"), [({}, "24"), ({"images_per_class": 1}, "5")])
def test_without_a_kernel_classes_outside_of_the_tree_are_counted_too(exported, settings, images):
    facts = [["classes", "5"], ["images", images]]
    expected = {"facts": facts, "dropped": [], "outside": ["kitchen", "zebra"]}
    assert exported(Choice(**settings), zebra=7, kitchen=1) == expected


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"base": "bottom-up@1"},
            "not in the tree: 2 of the pack's classes, such as kitchen; only original and ra",
        ),
        ({"pascal": False}, "not in the tree: 2"),
        ({"unticked": frozenset(("husky",))}, "not in the tree: 2"),
        (
            {"images_per_class": 2},
            "2 images per class were asked for; class kitchen has 1; ask for at most 1",
        ),
    ],
)
def test_without_a_kernel_what_classes_outside_of_the_tree_cannot_be_is_a_problem(
    exported, settings, problem
):
    assert exported(Choice(**settings), zebra=7, kitchen=1)["problem"].startswith(problem)


def test_classes_outside_of_the_tree_are_in_the_labels(page):
    kept = "new Map([[tree.number.get('n02084071'), tree.number.get('n02084071')]])"
    labels = page(f"((names) => new Choice(tree, NOTHING).labelsCsv({kept}, names))", ["yak", "a,b"])
    assert labels == 'wnid,label\n"a,b","a,b"\nn02084071,n02084071\nyak,yak\n'
