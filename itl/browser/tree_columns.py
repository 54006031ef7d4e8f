"""The tree as the browser's page takes it: columns of equal length, with nodes numbered by wnid."""

import re
from collections.abc import Mapping
from importlib.resources import files

from itl.hierarchy.label_sets import top_down_rounds
from itl.hierarchy.taxonomy import Taxonomy
from itl.hierarchy.voc_classes import PASCAL

MODULES = ("tree", "choice", "rows", "treeview", "colours", "panels", "main", "standalone")  # in their order


def columns(tree: Taxonomy, images: Mapping[str, int], counted: bool) -> dict[str, object]:
    """Lay out *tree* as columns with one entry a node, sorted by wnid.

    *images* has how many images each labelled class has; *counted* says whether these are known. Beside the
    columns lie the classes outside of the tree with their images, for every round top-down the node that is
    the class of each labelled one, and which of these are under a class of PASCAL.

    >>> sum(columns(Taxonomy.snapshot(), {}, False)["leaf"])
    1000
    """
    number = {wnid: index for index, wnid in enumerate(tree)}
    leaves, pascal = set(tree.leaves), set(PASCAL.values())
    labelled = [wnid for wnid in tree if wnid in images]
    synsets = [tree[wnid] for wnid in tree]
    hypernyms = []
    for synset in synsets:
        parent = tree.parent(synset.wnid)
        hypernyms.append([number[wnid] for wnid in sorted(synset.hypernyms, key=lambda one: one != parent)])
    return {
        "wnid": [synset.wnid for synset in synsets],
        "synset": [synset.name for synset in synsets],
        "name": [tree.class_name(synset.wnid) for synset in synsets],
        "words": [list(synset.lemmas) for synset in synsets],
        "gloss": [synset.gloss for synset in synsets],
        "hypernyms": hypernyms,
        "leaf": [int(wnid in leaves) for wnid in tree],
        "images": [images.get(wnid, 0) for wnid in tree],
        "labelled": [int(wnid in images) for wnid in tree],
        "counted": counted,
        "outside": [[wnid, images[wnid]] for wnid in sorted(images) if wnid not in number],
        "rounds": [
            [number[class_of[wnid]] for wnid in labelled] for class_of in top_down_rounds(tree, labelled)[1:]
        ],
        "underPascal": [number[wnid] for wnid in labelled if tree.ancestors(wnid) & pascal],
    }


def script(modules: tuple[str, ...] = MODULES) -> str:
    """Join *modules* of the page into one that a widget can load; they need no building."""
    folder = files("itl") / "browser/page"
    code = "".join((folder / f"{name}.js").read_text("utf-8") for name in modules)
    return re.sub(r"^(import .*\n|export (?!default))", "", code, flags=re.MULTILINE)


def style() -> str:
    """Return the page's style sheet."""
    return (files("itl") / "browser/page/browser.css").read_text("utf-8")
