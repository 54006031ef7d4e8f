"""The tree as the browser's page takes it: columns of equal length, with nodes numbered by wnid."""

from collections.abc import Mapping
from importlib.resources import files

from itl.hierarchy.label_sets import top_down_rounds
from itl.hierarchy.taxonomy import Taxonomy

MODULES = ("tree", "choice", "rows", "treeview", "colours", "panels", "main", "standalone")  # in their order


def columns(tree: Taxonomy, images: Mapping[str, int], counted: bool) -> dict[str, object]:
    """Lay out *tree* as columns with one entry a node, sorted by wnid.

    *images* has how many images each labelled class has; *counted* says whether these are known. Classes
    outside of the tree are listed beside the columns, with their images.

    >>> sum(columns(Taxonomy.snapshot(), {}, False)["leaf"])
    1000
    """
    number = {wnid: index for index, wnid in enumerate(tree)}
    leaves = set(tree.leaves)
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
    }


def rounds(tree: Taxonomy, wnids: list[str]) -> list[list[int]]:
    """Return, for every round top-down, the number of the node that is the class of each of *wnids*."""
    number = {wnid: index for index, wnid in enumerate(tree)}
    return [[number[class_of[wnid]] for wnid in wnids] for class_of in top_down_rounds(tree, wnids)[1:]]


def script(modules: tuple[str, ...] = MODULES) -> str:
    """Join *modules* of the page into one that a widget can load; they need no building."""
    folder = files("itl") / "browser/page"
    lines = []
    for name in modules:
        for line in (folder / f"{name}.js").read_text("utf-8").splitlines():
            if not line.startswith("import "):
                lines.append(line if line.startswith("export default") else line.removeprefix("export "))
    return "\n".join(lines)


def style() -> str:
    """Return the page's style sheet."""
    return (files("itl") / "browser/page/browser.css").read_text("utf-8")
