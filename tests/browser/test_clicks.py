"""The page does what Python does: 200 random sequences of clicks, and the search."""

import json
import random
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from itl import ItlError
from itl.browser.choice import Choice
from itl.browser.tree_columns import columns
from itl.hierarchy.taxonomy import Taxonomy
from itl.specs import Subset
from tests.browser.lab import ROOT
from tests.browser.steps import OPEN, settled, shot

BASES = ["original", *(f"bottom-up@{n}" for n in range(19)), *(f"top-down@{n}" for n in (1, 2, 3))]
PARTS = ["", "half-random-a@3", "half-random-b@0", "half-minimal-a", "half-minimal-b"]
CLICK = """async (sequences) => {
    const root = document.querySelector(".itl-browser");
    const find = (selector) => root.querySelector(selector);
    const set = (input, value, event) => {
        input[input.type === "checkbox" || input.type === "radio" ? "checked" : "value"] = value;
        input.dispatchEvent(new Event(event, {bubbles: true}));
    };
    const quiet = async () => {
        while (find("[aria-busy=true]")) await new Promise((done) => setTimeout(done, 1));
    };
    const labelled = (label) => find(`[aria-label="${label}"]`);
    const acts = {
        tick: (wnid) => { set(find(".query"), wnid, "input"); find(".row .box").click(); },
        cut: (wnid) => { set(find(".query"), wnid, "input"); find(".row .mark").click(); },
        base: (base) => {
            const [method, at] = base.split("@"), slider = find(".slider");
            set(find(`[value="${method}"]`), true, "change");
            if (at) set(slider, method === "bottom-up" ? slider.max - at : at, "input");
        },
        pascal: (kept) => set(find("[type=checkbox]"), !kept, "change"),
        half: (half) => {
            const [name, seed] = half.split("@");
            set(find("select"), name, "change");
            if (seed !== undefined) set(labelled("seed of the random half"), seed, "change");
        },
        images_per_class: (count) => set(labelled("images of each class"), count ?? "", "change"),
        classes: (count) => set(labelled("number of classes"), count ?? "", "change"),
        seed: (seed) => set(labelled("seed that picks classes and images"), seed, "change"),
    };
    const told = [];
    for (const sequence of sequences) {
        [...root.querySelectorAll("button")].find((button) => button.textContent === "Start again").click();
        for (const [act, value] of sequence) acts[act](value);
        await quiet();
        told.push([".yaml", ".problem", ".summary", ".told"].map((each) => find(each).textContent));
    }
    return told;
}"""


def random_clicks(tree: Taxonomy, draw: random.Random) -> list[tuple[str, object]]:
    """Some clicks as a person might make them, mostly on the tree."""
    nodes, wide = list(tree), [wnid for wnid in tree if len(tree.leaves_under(wnid)) > 3]
    paths = sorted(set().union(*map(tree.path, tree.leaves)))
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


def after(tree: Taxonomy, clicks: list[tuple[str, object]]) -> tuple[Subset | None, str]:
    """What the same operations give in Python, or why they give none."""
    choice = Choice()
    for act, value in clicks:
        if act == "tick":
            choice = choice.toggle(tree, value)
        elif act == "cut":
            choice = choice.cut_at(tree, value, tree.leaves)
        else:
            choice = replace(choice, **{act: value})
    try:
        return choice.subset(tree, tree.leaves, ""), ""
    except ItlError as error:
        return None, str(error)


def test_200_random_click_sequences_give_the_subset_that_python_gives(notebook, page):
    tree, draw = Taxonomy.snapshot(), random.Random(5)
    sequences = [random_clicks(tree, draw) for _ in range(200)]
    notebook(OPEN).run()
    settled(page)
    said = page.evaluate(CLICK, sequences)
    whole = 0
    for clicks, (text, problem, facts, shown) in zip(sequences, said, strict=True):
        subset, refused = after(tree, clicks)
        if refused:
            assert (text, problem) == ("", refused), clicks
        elif not problem:                               # the pack may have too few images for it
            told = yaml.safe_load(text)["subset"]
            assert Subset("", **told) == subset, clicks
            classes = re.match(r"classes([\d,]+)( of|images)", facts).group(1)
            assert f": {classes} class" in shown, "the page counts as the kernel does"
            whole += 1
    assert whole > 120
    shot(page, "clicks")


QUERIES = ["husky", "Sea cow", "n02084071", "dog", "it", "fur", "a", "  ", "zzz", "dog.n.01"]


def test_search_finds_what_python_finds_in_the_same_order(tmp_path: Path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node on this machine to run the page's search alone")
    tree = Taxonomy.snapshot()
    (tmp_path / "columns.json").write_text(json.dumps(columns(tree, dict.fromkeys(tree.leaves, 0), False)))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(ROOT / "itl/browser/page/tree.js", tmp_path)
    (tmp_path / "run.js").write_text(
        'import { readFileSync } from "node:fs"; import { Search, Tree } from "./tree.js";'
        'const tree = new Tree(JSON.parse(readFileSync("columns.json"))), search = new Search(tree);'
        "const find = (text) => search.find(text).map((at) => tree.wnid[at]);"
        "console.log(JSON.stringify(JSON.parse(process.argv[2]).map(find)));"
    )
    command = [node, "run.js", json.dumps(QUERIES)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    wanted = [[synset.wnid for synset in tree.search(query)] for query in QUERIES]
    assert json.loads(done.stdout) == wanted
