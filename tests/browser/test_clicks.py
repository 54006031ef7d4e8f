"""Clicks in a browser do what they do in Python; test_page_logic.py runs many more without one."""

import random
import re

import yaml

from itl.hierarchy.taxonomy import Taxonomy
from itl.specs import Subset
from tests.browser.steps import OPEN, settled, shot
from tests.browser.test_page_logic import choice_after, random_clicks, subset_of

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
        told.push([".yaml", ".problem", ".summary", ".base-text"].map((each) => find(each).textContent));
    }
    return told;
}"""


ACTS = re.findall(r"^        (\w+): \(", CLICK, re.MULTILINE)


def test_random_click_sequences_give_the_subset_that_python_gives(notebook, page):
    tree, draw = Taxonomy.snapshot(), random.Random(5)
    sequences = [random_clicks(tree, draw) for _ in range(10)]
    assert {act for clicks in sequences for act, _ in clicks} == set(ACTS), "each control is used"
    notebook(OPEN).run()
    settled(page)
    said = page.evaluate(CLICK, sequences)
    whole = 0
    for clicks, (text, problem, facts, shown) in zip(sequences, said, strict=True):
        subset, refused = subset_of(tree, choice_after(tree, clicks))
        if refused:
            assert (text, problem) == ("", refused), clicks
        elif not problem:  # the pack may have too few images for it
            fields = yaml.safe_load(text)["subset"]
            assert Subset("", **fields) == subset, clicks
            classes = re.match(r"classes([\d,]+)( of|images)", facts).group(1)
            assert f": {classes} class" in shown, "the page counts as the kernel does"
            whole += 1
    assert whole > 4
    shot(page, "clicks")
