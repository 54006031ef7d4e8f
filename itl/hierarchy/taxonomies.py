"""Trees other than the snapshot: all nouns of NLTK's WordNet, or a user's table of children and parents.

A run names its tree by digest. The tree itself is kept in a folder beside packs and runs, where every process
that does the run finds it.
"""

import csv
import json
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from itl.errors import ItlError
from itl.hierarchy.class_lists import is_missing
from itl.hierarchy.taxonomy import Synset, Taxonomy, describe_alike
from itl.machine import expand_home
from itl.notes import warn
from itl.storage import read_json, text_lines, write_text

COLUMNS = ("child", "parent", "name")  # of a table; the last may be left out
ADVICE = (
    "a taxonomy is nltk@FOLDER (where FOLDER holds NLTK's corpora/wordnet) or a CSV file with the header "
    "child,parent[,name]"
)

opened: dict[object, Taxonomy] = {}  # in this process, by where they were read and by digest


def open_taxonomy(name: str, folders: Iterable[Path] = ()) -> Taxonomy:
    """Open the tree that users call *name*, once in a process unless its file has changed.

    Args:
        name: '' for the snapshot; nltk or nltk@FOLDER; or the path of a CSV file.
        folders: where a relative path is looked up, in order; by default the current one.
    """
    if not name:
        return Taxonomy.snapshot()
    kind, _, folder = name.partition("@")
    is_nltk = kind == "nltk"
    path = None if name == "nltk" else _existing(folder if is_nltk else name, folders)
    read = is_nltk, path and (path.resolve(), path.stat().st_mtime_ns, path.stat().st_size)
    if read not in opened:
        tree = Taxonomy.nltk_nouns(path) if is_nltk or path is None else read_table(path)
        opened[read] = opened[tree.digest] = tree
    return opened[read]


def keep_taxonomy(tree: Taxonomy, folder: Path) -> None:
    """Write *tree* to *folder*, where `tree_of_digest` finds it; the snapshot comes with itl and is not."""
    path = folder / f"{tree.digest}.json"
    if tree.digest and not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps({"leaves": tree.leaves, "synsets": [tree[wnid] for wnid in tree]}))


def tree_of_digest(digest: str, folder: Path) -> Taxonomy:
    """Return the tree with *digest*, '' for the snapshot, that this process opened or that *folder* keeps.

    ItlError if neither has it.
    """
    if not digest:
        return Taxonomy.snapshot()
    if digest not in opened:
        path = folder / f"{digest}.json"
        if not path.exists():
            raise ItlError(
                f"the taxonomy {digest} of this run is not in {folder}; `itl run PRESET` puts it there"
            )
        kept = read_json(path, "delete it, and repeat `itl run` with its preset")
        synsets = [
            Synset(wnid, name, tuple(lemmas), gloss, tuple(above))
            for wnid, name, lemmas, gloss, above in kept["synsets"]
        ]
        tree = Taxonomy(synsets, kept["leaves"])
        if tree.digest != digest:
            raise ItlError(f"{path} is not the tree that its name says; delete it, and repeat `itl run`")
        opened[digest] = tree
    return opened[digest]


def read_table(path: Path) -> Taxonomy:
    """Read a tree from a CSV file with the header child,parent or child,parent,name.

    A child with several parents has a line for each. Where one parent is needed, it is the first by name,
    with capitals before small letters; a node without a name is called by its id. A root has a line with no
    parent, or none at all; ``nan``, as pandas writes an empty cell, is no parent and no name, unless it is a
    child too. Leaves are those that are no parent.

    ItlError if the file cannot be read or has no lines, its header is another, a line has no child or too
    many values or an open quote, or a node has two names or is above itself.
    """
    lines = _csv_lines(path)
    header = [column.strip().lower() for column in lines[0][1]] if lines else []
    if header != list(COLUMNS[: len(header)]) or len(header) < 2:
        raise ItlError(f"{path} begins with {','.join(header) or 'nothing'!r}; {ADVICE}")
    parents: dict[str, dict[str, None]] = {}  # of each node, each once
    names: dict[str, str] = {}
    rows = [(number, line) for number, line in lines[1:] if line]
    children = {line[0].strip() for _, line in rows}
    for number, line in rows:
        child, parent, name = [*(field.strip() for field in line), "", ""][:3]
        parent, name = ("" if is_missing(one) and one not in children else one for one in (parent, name))
        if not child or len(line) > len(header):
            raise ItlError(f"line {number} of {path} is {','.join(line)!r}; it should be {','.join(header)}")
        if name and names.setdefault(child, name) != name:
            raise ItlError(f"{child} is called {names[child]!r} and {name!r} in {path}; keep one name")
        parents.setdefault(child, {})
        if parent:
            parents[child][parent] = None
            parents.setdefault(parent, {})
    if not parents:
        raise ItlError(f"{path} has a header and no lines; {ADVICE}")
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        circle = " is under ".join(reversed(error.args[1]))
        raise ItlError(f"{circle} in {path}; a tree has no circles") from None
    _note_roots(parents, path)
    above = {parent for hypernyms in parents.values() for parent in hypernyms}
    synsets = [
        Synset(node, names.get(node, node), (names.get(node, node),), "", tuple(sorted(hypernyms)))
        for node, hypernyms in parents.items()
    ]
    return Taxonomy(synsets, parents.keys() - above)


def _csv_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the numbered lines of a CSV file, as cells; ItlError if a cell goes on in the next line."""
    try:
        text = unicodedata.normalize("NFC", path.read_text("utf-8-sig"))  # as the names of folders are
        reader = csv.reader([*text_lines(text), ""])  # into which a quote that nothing closes runs on
        lines = [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ItlError(f"cannot read the taxonomy {path}: {error}; {ADVICE}") from error
    if quoted := next((number for number, (end, _) in enumerate(lines, 1) if end != number), None):
        raise ItlError(f"line {quoted} of {path} has a quote that does not close in it; remove or close it")
    return lines


def _note_roots(parents: Mapping[str, Collection[str]], path: Path) -> None:
    """Warn of several roots, and of nodes that differ in case or blanks alone: perhaps one, mistyped."""
    roots = [node for node, hypernyms in parents.items() if not hypernyms]
    notes = describe_alike(parents)
    if len(roots) > 1:
        few = f"{', '.join(roots[:3])}{' …' * (len(roots) > 3)}"
        notes += [f"it has {len(roots)} roots, {few}, and classes under two of them have no node in common"]
    if notes:
        warn(f"{path}: {'; '.join(notes)}; correct it if that is not meant")


def _existing(name: str, folders: Iterable[Path]) -> Path:
    """Return the path that *name* stands for, in the first of *folders* that has it."""
    candidates = [Path(folder) / expand_home(name) for folder in folders or (Path.cwd(),)]
    path = next((candidate for candidate in candidates if candidate.exists()), None)
    if path is None:
        raise ItlError(f"no taxonomy at {', '.join(map(str, candidates))}; {ADVICE}")
    return path
