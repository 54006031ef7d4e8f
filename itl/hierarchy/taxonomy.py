"""WordNet's nouns as a tree of wnids: parents, depths, leaves, and words for searching."""

import hashlib
import re
from collections.abc import Container, Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from itl.errors import ItlError, nearest
from itl.iteration import grouped

WNID = re.compile(r"n\d{8}")
SNAPSHOT = Path(__file__).with_name("snapshot.tsv")
ANOTHER_TREE = (
    "--taxonomy nltk@FOLDER (in a preset, taxonomy: nltk@FOLDER) has every noun of WordNet, and a CSV with "
    "lines child,parent, as --taxonomy FILE.csv, has any other classes"
)
SNAPSHOT_DIGEST = "364251832f3b"  # of the tree in it, which runs need not name


class Synset(NamedTuple):
    """One meaning of words, and these words."""

    wnid: str  #: n and the noun's byte offset in WordNet 3.0, which identifies it
    name: str  #: such as dog.n.01
    lemmas: tuple[str, ...]  #: spaces written as underscores, the usual word first
    gloss: str
    hypernyms: tuple[str, ...]  #: wnids, in the order of WordNet's file


class Taxonomy:
    """Some wnids, the leaves, and all their ancestors; immutable.

    >>> tree = Taxonomy.snapshot()
    >>> tree.class_name("n02084071"), tree.depth("n02084071"), len(tree.leaves_under("n02084071"))
    ('dog', 13, 118)
    """

    def __init__(self, synsets: Iterable[Synset], leaves: Iterable[str]) -> None:
        """Make the tree of *synsets*, which include all their hypernyms; *leaves* are some of their wnids."""
        self._synsets = {synset.wnid: synset for synset in sorted(synsets)}
        self.leaves = tuple(sorted(set(leaves)))  # sorted wnids are the usual order of ILSVRC
        self._paths: dict[str, tuple[str, ...]] = {}
        self._ancestors: dict[str, frozenset[str]] = {}
        named = set(self.leaves).union(*(synset.hypernyms for synset in self._synsets.values()))
        missing = sorted(named - self._synsets.keys())
        if missing:
            raise ItlError(
                f"{len(missing)} leaves or hypernyms are not among the {len(self)} synsets given, "
                f"such as {missing[0]}; give these too"
            )
        # The first by name, not the first in the file, which differs for 30 of ImageNet's nodes: the paper's
        # label sets come from a version of NLTK that sorted hypernyms. Capitals come before small letters:
        # label sets of trees with both would change under their digest if case did not count.
        self._parents = {
            wnid: min(synset.hypernyms, key=lambda hypernym: self[hypernym].name, default=None)
            for wnid, synset in self._synsets.items()
        }
        self._children: dict[str | None, list[str]] = {wnid: [] for wnid in (None, *self._synsets)}
        for wnid, parent in self._parents.items():
            self._children[parent].append(wnid)

    @classmethod
    @cache
    def snapshot(cls) -> "Taxonomy":
        """Return the 1000 classes of ILSVRC-2012 and all their ancestors, from the file shipped with itl."""
        synsets, leaves = [], []
        for line in SNAPSHOT.read_text(encoding="utf-8").splitlines()[1:]:
            wnid, leaf, name, lemmas, hypernyms, gloss = line.split("\t")
            synsets.append(Synset(wnid, name, tuple(lemmas.split("|")), gloss, tuple(hypernyms.split())))
            leaves += [wnid] if leaf == "1" else []
        return cls(synsets, leaves)

    @classmethod
    def nltk_nouns(cls, folder: Path | None = None) -> "Taxonomy":
        """Build the tree of all 82,115 nouns of NLTK's WordNet, in seconds; its leaves have none below them.

        The *folder* holds corpora/wordnet; by default NLTK's data path is searched.
        """
        reader = _nltk_reader(folder)
        nouns = reader.raw("data.noun")
        offsets = re.findall(r"^(\d{8}) ", nouns, re.M)
        synsets = [_synset_from_nltk(reader, nouns, f"n{offset}") for offset in offsets]
        above = {hypernym for synset in synsets for hypernym in synset.hypernyms}
        return cls(synsets, {synset.wnid for synset in synsets} - above)

    def restricted(self, leaves: Iterable[str]) -> "Taxonomy":
        """Return the part of this tree above *leaves*, some of its wnids; it makes the same label sets."""
        leaves = list(leaves)
        above = frozenset().union(*map(self.ancestors, leaves))
        part = Taxonomy([self[wnid] for wnid in above], leaves)
        part.digest = self.digest  # it names the tree that labels are made from
        return part

    @cached_property
    def digest(self) -> str:
        """Digest what its label sets depend on: wnids, names and hypernyms; '' for the snapshot's."""
        lines = (repr((synset.wnid, synset.name, synset.hypernyms)) for synset in self._synsets.values())
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
        return "" if digest == SNAPSHOT_DIGEST else digest

    def __getitem__(self, wnid: str) -> Synset:
        """Return the synset of *wnid*; ItlError, with the nearest wnid or word, if there is none."""
        if wnid not in self._synsets:
            raise ItlError(f"{self.describe_unknown(str(wnid))}{ANOTHER_TREE}")
        return self._synsets[wnid]

    def __contains__(self, wnid: object) -> bool:
        """Say whether *wnid* is a leaf or an ancestor of one."""
        return wnid in self._synsets

    def __iter__(self) -> Iterator[str]:
        """Iterate over all wnids, sorted."""
        return iter(self._synsets)

    def __len__(self) -> int:
        """Return the number of synsets: leaves and their ancestors."""
        return len(self._synsets)

    def parent(self, wnid: str) -> str | None:
        """Return the hypernym of *wnid* whose name is first, as Python sorts text; None for the root."""
        return self._parents[self[wnid].wnid]

    def children(self, wnid: str) -> list[str]:
        """Return the wnids whose parent is *wnid*, sorted."""
        return list(self._children[self[wnid].wnid])

    def path(self, wnid: str) -> list[str]:
        """Return the path from *wnid* (first) to the root (last), parent by parent."""
        return list(self._path(wnid))

    def depth(self, wnid: str) -> int:
        """Return the number of parents above *wnid*: 0 for the root."""
        return len(self._path(wnid)) - 1

    def ancestors(self, wnid: str) -> frozenset[str]:
        """Return all wnids that *wnid* is a kind of, by any path, and *wnid* itself."""
        if wnid not in self._ancestors:
            todo, above = [self[wnid].wnid], set[str]()
            while todo:  # by no call of itself: chains may be long
                node = todo.pop()
                todo += set(self[node].hypernyms) - above
                above.add(node)
            self._ancestors[wnid] = frozenset(above)
        return self._ancestors[wnid]

    def leaves_under(self, wnid: str) -> list[str]:
        """Return the leaves that are a kind of *wnid*, by any path, sorted; a leaf is under itself."""
        return list(self._leaves_under.get(self[wnid].wnid, ()))

    def group_by_ancestor(self, wnids: Iterable[str]) -> dict[str, list[str]]:
        """Map each node that some of *wnids* are a kind of, by any path, to these in their order."""
        return grouped((node, wnid) for wnid in wnids for node in self.ancestors(wnid))

    def walk_open(self, opened: Container[str], among: Container[str]) -> Iterator[str]:
        """Yield the roots and the children of *opened* nodes that are *among* these, siblings by name."""
        waiting = [root for root in self._children[None][::-1] if root in among]
        while waiting:
            wnid = waiting.pop()
            yield wnid
            if wnid in opened:
                children = sorted(self._children[wnid], key=lambda child: (self.class_name(child), child))
                waiting += [child for child in children[::-1] if child in among]

    def lowest_common_ancestor(self, a: str, b: str) -> str:
        """Return the deepest wnid on the parent paths of both *a* and *b*; in WordNet there is one.

        ItlError if they are under different roots.
        """
        path_of_b = set(self._path(b))
        shared = next((wnid for wnid in self._path(a) if wnid in path_of_b), None)
        if shared is None:
            raise ItlError(
                f"{a} and {b} have no common ancestor: their roots are "
                f"{self._path(a)[-1]} and {self._path(b)[-1]}; take two under one root"
            )
        return shared

    def search(self, text: str) -> list[Synset]:
        """Find synsets by word, synset name, wnid or gloss, ignoring case; the best match first.

        First synsets with exactly this name, then those with a name that starts with it, has a word that
        starts with it, or contains it anywhere, last those whose gloss has a word that starts with it. Among
        equals, those with more leaves are first.

        >>> [synset.name for synset in Taxonomy.snapshot().search("Sea cow")]
        ['sea_cow.n.01']
        """
        query = _plain(text)
        if not query:
            return []
        ranked = []
        for synset, names, gloss in self._texts:
            if (rank := _match_rank(query, names, gloss)) is not None:
                ranked.append((rank, -len(self._leaves_under.get(synset.wnid, ())), synset))
        return [synset for _, _, synset in sorted(ranked)]

    def class_name(self, wnid: str) -> str:
        """Return the usual word for *wnid*. It is not unique: two leaves are called crane."""
        return self[wnid].lemmas[0].replace("_", " ")

    def name_with_word(self, name: str) -> str:
        """Return the class *name*, with the usual word behind it if it is a wnid of the tree.

        >>> Taxonomy.snapshot().name_with_word("n02084071"), Taxonomy.snapshot().name_with_word("my cats")
        ('n02084071 (dog)', 'my cats')
        """
        return f"{name} ({self.class_name(name)})" if name in self else name

    def _path(self, wnid: str) -> tuple[str, ...]:
        if wnid not in self._paths:
            path = [self[wnid].wnid]
            while (parent := self._parents[path[-1]]) is not None:
                path.append(parent)
            self._paths[wnid] = tuple(path)
        return self._paths[wnid]

    @cached_property
    def _leaves_under(self) -> dict[str, list[str]]:
        return self.group_by_ancestor(self.leaves)

    @cached_property
    def _texts(self) -> list[tuple[Synset, tuple[str, ...], str]]:
        """The names and the gloss of each synset in plain lower case, for `search`."""
        return [
            (synset, tuple(map(_plain, (*synset.lemmas, synset.name, wnid))), " " + _plain(synset.gloss))
            for wnid, synset in self._synsets.items()
        ]

    def describe_unknown(self, wnid: str) -> str:
        """Say that *wnid* is not in this tree, and what may have been meant, before what else would work."""
        hits = [] if WNID.fullmatch(wnid) else [synset.wnid for synset in self.search(wnid)[:3]]
        if not hits:
            wnids = {name: synset.wnid for synset, names, _ in self._texts for name in names}
            hits = [wnids[name] for name in nearest(_plain(wnid), wnids)]
        described = ", ".join(f"{hit} ({self[hit].name})" for hit in hits)
        hint = f"did you mean {described}? " if hits else ""
        return f"no {wnid!r} among the {len(self)} synsets of this taxonomy; {hint}"


def describe_alike(names: Iterable[str]) -> list[str]:
    """Say which of *names* differ in case or blanks alone, one text for all that are alike.

    >>> describe_alike(["Fish", "dog", "fish"])
    ['Fish and fish differ in case or blanks alone']
    """
    alike = grouped((" ".join(name.casefold().split()), name) for name in names)
    groups = (" and ".join(group) for group in alike.values() if len(group) > 1)
    return [f"{group} differ in case or blanks alone" for group in groups]


def _plain(text: str) -> str:
    return " ".join(text.replace("_", " ").lower().split())


def _match_rank(query: str, names: tuple[str, ...], gloss: str) -> int | None:
    """Return how well names or gloss match *query*, 0 best; None if they do not."""
    if query in names:
        return 0
    if any(name.startswith(query) for name in names):
        return 1
    if any(" " + query in name for name in names):
        return 2
    if any(query in name for name in names):
        return 3
    return 4 if " " + query in gloss else None


def _nltk_reader(folder: Path | None = None):
    """Return NLTK's WordNet, loaded: that in *folder*, or that on NLTK's data path."""
    import nltk  # slow to import, and the snapshot does not need it
    from nltk.corpus import wordnet
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.corpus.util import LazyCorpusLoader

    if folder is not None:
        nltk.data.path.insert(0, str(folder.absolute()))  # NLTK opens no file of a folder that is not on it
        wordnet = LazyCorpusLoader("wordnet", WordNetCorpusReader, {})  # {}: no words of other languages
    try:
        wordnet.ensure_loaded()
        version = wordnet.get_version()
    except (LookupError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if isinstance(error, OSError) else "no corpora/wordnet"
        where = f"in {folder} or " if folder else ""
        raise ItlError(
            f"NLTK cannot load WordNet ({reason} {where}on its data path); "
            "run `python -m nltk.downloader wordnet` where there is internet, "
            "or set NLTK_DATA to a folder that holds corpora/wordnet"
        ) from error
    if version != "3.0":
        raise ItlError(
            f"wnids are offsets in WordNet 3.0, but NLTK has WordNet {version}; "
            "install 3.0 with `python -m nltk.downloader wordnet`"
        )
    return wordnet


def _synset_from_nltk(reader, nouns: str, wnid: str) -> Synset:
    """Return the synset of *wnid*: the words from NLTK, the rest from its file *nouns*, one line per synset.

    NLTK keeps hypernyms as a set, so their order differs between processes, and it takes the text around an
    example for part of the definition.
    """
    offset = int(wnid[1:])
    line = nouns[offset : nouns.find("\n", offset)]
    if not line.startswith(wnid[1:] + " "):
        raise ItlError(f"WordNet 3.0 has no noun {wnid}; a wnid is n and the offset of one, like n02084071")
    pointers, _, gloss = line.partition(" | ")
    # A named thing, such as a planet, is an instance of its kind (@i); five are kinds of another too.
    offsets = re.findall(r" @i? (\d{8}) n ", pointers)
    synset = reader.synset_from_pos_and_offset("n", offset)
    hypernyms = tuple(f"n{number}" for number in offsets)
    gloss = gloss.partition('; "')[0].rstrip(" ;")  # without the examples
    return Synset(wnid, synset.name(), tuple(synset.lemma_names()), gloss, hypernyms)
