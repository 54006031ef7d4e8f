"""The tree as the page of the browser takes it: columns of equal length, one place for each node."""

from collections.abc import Mapping
from importlib.resources import files

from itl.hierarchy.label_sets import top_down_rounds
from itl.hierarchy.taxonomy import Taxonomy

MODULES = ("tree", "choice", "rows", "treeview", "colours", "panels", "main")   # each uses those before it


def columns(tree: Taxonomy, images: Mapping[str, int], counted: bool) -> dict[str, object]:
    """Lay out *tree*, sorted by wnid; *images* is how many each class that is labelled has, if *counted*.

    >>> columns(tree, {"husky": 3}, True)["hypernyms"][:2]      # of animal, the root; of car, vehicle
    [[3], [9]]
    """
    place = {wnid: at for at, wnid in enumerate(tree)}
    leaves = set(tree.leaves)
    synsets = [tree[wnid] for wnid in tree]
    above = []
    for synset in synsets:
        parent = tree.parent(synset.wnid)
        rest = [place[each] for each in synset.hypernyms if each != parent]
        above.append(([] if parent is None else [place[parent]]) + rest)
    return {
        "wnid": [synset.wnid for synset in synsets],
        "synset": [synset.name for synset in synsets],
        "name": [tree.class_name(synset.wnid) for synset in synsets],
        "words": [list(synset.lemmas) for synset in synsets],
        "gloss": [synset.gloss for synset in synsets],
        "hypernyms": above,
        "leaf": [int(wnid in leaves) for wnid in tree],
        "images": [images.get(wnid, 0) for wnid in tree],
        "labelled": [int(wnid in images) for wnid in tree],
        "counted": counted,
    }


def rounds(tree: Taxonomy, wnids: list[str]) -> list[list[int]]:
    """Return for every round top-down the place of the class of each of *wnids*."""
    place = {wnid: at for at, wnid in enumerate(tree)}
    return [[place[class_of[wnid]] for wnid in wnids] for class_of in top_down_rounds(tree, wnids)[1:]]


def script() -> str:
    """Join the modules of the page into the one that a widget can load; they need no building."""
    folder = files("itl") / "browser/page"
    texts = ((folder / f"{name}.js").read_text("utf-8") for name in MODULES)
    lines = (line for text in texts for line in text.splitlines() if not line.startswith("import "))
    last = "export default"
    return "\n".join(line if line.startswith(last) else line.removeprefix("export ") for line in lines)


def style() -> str:
    """Return the page's style sheet."""
    return (files("itl") / "browser/page/browser.css").read_text("utf-8")
