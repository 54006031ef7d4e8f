"""A picture of the browser's state for where nothing runs: pages on a disk, other people's mail."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from itl.hierarchy.taxonomy import Taxonomy

MOST = 300                                  # rows; more would be a list, not a picture
BOXES = ("☐", "◪", "☑")
WORDS = ("unticked", "some below unticked", "ticked")
CELL = "min-width:0;padding:1px 10px 1px 0;text-align:{};white-space:nowrap;vertical-align:top"


def picture(
    tree: Taxonomy, opened: Sequence[str], shown: str, unticked: frozenset[str],
    images: Mapping[str, int] | None, facts: Mapping[str, object],
) -> str:
    """Write the tree as far as it is open, the selection and the counts as HTML without script or style.

    *facts* is what the browser's summary holds: classes, facts and problem; and perhaps colours.
    """
    colours = facts.get("colours") or {}
    heads = ["synset", "", "classes", *(["images"] if images is not None else [])]
    heads += [f"{colours['label']} ({colours['unit']})"] if colours else []
    cells = "".join(_cell(escape(head), number=nth > 1, tag="th") for nth, head in enumerate(heads))
    rows, more = [], 0
    for wnid in in_order(tree, set(opened)):
        if len(rows) == MOST:
            more += 1
            continue
        rows.append(_row(tree, wnid, wnid == shown, unticked, images, facts))
    left = f"<p>… and {more:,} more nodes that are open.</p>" if more else ""
    told = [f"{escape(str(name))}: {escape(str(value))}" for name, value in facts.get("facts", ())]
    trouble = f"<p>{escape(str(facts['problem']))}</p>" if facts.get("problem") else ""
    body = "".join(rows)
    return (f'<div class="itl-picture"><p>{" · ".join(told)}</p>{trouble}'
            f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>{left}"
            "<p>☑ ticked, ◪ in part, ☐ not; ◆ a class, of so many original ones; ↑2 two parents.</p></div>")


def in_order(tree: Taxonomy, opened: set[str]) -> Iterator[str]:
    """List what is to be seen: the roots, and what is below each open node, by name."""
    waiting = [wnid for wnid in tree if tree.parent(wnid) is None][::-1]
    while waiting:
        wnid = waiting.pop()
        yield wnid
        if wnid in opened:
            children = sorted(tree.children(wnid), key=lambda child: (tree.class_name(child), child))
            waiting += children[::-1]


def _row(
    tree: Taxonomy, wnid: str, chosen: bool, unticked: frozenset[str], images: Mapping[str, int] | None,
    facts: Mapping[str, object],
) -> str:
    below = tree.leaves_under(wnid)
    out = sum(leaf in unticked for leaf in below)
    state = 2 if not out else int(out < len(below))
    size = facts.get("classes", {}).get(wnid)
    name = escape(tree.class_name(wnid))
    name = f"<b>{name}</b>" if chosen else name
    parents = len(tree[wnid].hypernyms)
    several = f" ↑{parents}" if parents > 1 else ""
    box = f'<span title="{WORDS[state]}">{BOXES[state]}</span>'
    first = f'<span style="padding-left:{1.1 * tree.depth(wnid):.1f}em">{box} {name}{several}</span>'
    cells = [_cell(first), _cell(f"◆ {size}" if size else "")]
    cells.append(_cell(f"{len(below):,}", number=True))
    if images is not None:
        cells.append(_cell(f"{images.get(wnid, 0):,}", number=True))
    if colours := facts.get("colours"):
        value = colours["values"].get(wnid)
        sign = "+" if colours["change"] else ""
        cells.append(_cell("" if value is None else f"{value:{sign}.1f}".replace("-", "−"), number=True))
    return f"<tr>{''.join(cells)}</tr>"


def _cell(content: str, number: bool = False, tag: str = "td") -> str:
    return f'<{tag} style="{CELL.format("right" if number else "left")}">{content}</{tag}>'


def words(facts: Mapping[str, object]) -> str:
    """Say the same in one line of plain text."""
    told = [f"{name}: {value}" for name, value in facts.get("facts", ())]
    return "HierarchyBrowser · " + " · ".join([*told, *filter(None, [facts.get("problem")])])
