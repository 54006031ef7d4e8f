"""The taxonomy from WordNet itself, through NLTK: equal to the shipped snapshot, and larger where asked."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from itl import ItlError
from itl.hierarchy.taxonomy import Taxonomy

DEBIAN = Path("/usr/share/wordnet")  # of the packages wordnet-base and wordnet-sense-index
# What Debian leaves out: the lexicographers' files, in WordNet's documented order.
NOUNS = (
    "Tops act animal artifact attribute body cognition communication event feeling food group location "
    "motive object person phenomenon plant possession process quantity relation shape state substance "
    "time"
)
VERBS = (
    "body change cognition communication competition consumption contact creation emotion motion "
    "perception possession social stative weather"
)
DOG, ENTITY = "n02084071", "n00001740"


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory):
    """NLTK's WordNet 3.0: the one it has, or Debian's with the three things NLTK misses."""
    import nltk

    try:
        nltk.corpus.wordnet.ensure_loaded()
    except (LookupError, OSError):
        if not (DEBIAN / "data.noun").exists() or not (DEBIAN / "index.sense").exists():
            pytest.skip("no WordNet: neither NLTK's nor Debian's wordnet-base and wordnet-sense-index")
        root = tmp_path_factory.mktemp("nltk")
        shutil.copytree(DEBIAN, root / "corpora/wordnet")
        (root / "corpora/wordnet/lexnames").write_text(lexnames())
        nltk.data.path.insert(0, str(root))


def lexnames() -> str:
    """The file that NLTK wants: number, name and part of speech of every lexicographers' file."""
    names = [
        ("adj", "all"),
        ("adj", "pert"),
        ("adv", "all"),
        *(("noun", name) for name in NOUNS.split()),
        *(("verb", name) for name in VERBS.split()),
        ("adj", "ppl"),
    ]
    speech = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}
    lines = (f"{number:02d}\t{kind}.{name}\t{speech[kind]}\n" for number, (kind, name) in enumerate(names))
    return "".join(lines)


def published(name: str) -> list[str]:
    """A list of wnids that timm brings along; found without importing timm, which would import torch."""
    spec = importlib.util.find_spec("timm")
    return (Path(spec.origin).parent / f"data/_info/{name}_synsets.txt").read_text().split()


def test_the_leaves_are_those_timm_lists():
    assert list(Taxonomy.snapshot().leaves) == published("imagenet")


@pytest.fixture(scope="module")
def nouns(wordnet) -> Taxonomy:
    """All nouns, which take ten seconds."""
    return Taxonomy.nltk_nouns()


def test_snapshot_equals_a_rebuild(nouns):
    snapshot, rebuilt = Taxonomy.snapshot(), nouns.restricted(published("imagenet"))
    assert [rebuilt[wnid] for wnid in rebuilt] == [snapshot[wnid] for wnid in snapshot]
    assert rebuilt.leaves == snapshot.leaves


def test_nltk_serves_the_larger_imagenet(nouns):
    leaves = published("imagenet22k")[::4]
    tree = nouns.restricted(leaves)
    assert list(tree.leaves) == sorted(leaves)
    assert [wnid for wnid in tree if tree.parent(wnid) is None] == [ENTITY]
    assert tree.leaves_under(ENTITY) == sorted(leaves)
    assert len(tree.leaves_under(DOG)) == 47


def test_a_noun_has_every_kind_it_is_of_or_an_instance_of(nouns):
    from nltk.corpus import wordnet as reader

    both = ["n08472590", "n09026499", "n09053185", "n09380117", "n09479238"]  # Alabama, Orion, ...
    for wnid in [*both, *list(nouns)[::500]]:
        noun = reader.synset_from_pos_and_offset("n", int(wnid[1:]))
        kinds = {f"n{kind.offset():08}" for kind in (*noun.hypernyms(), *noun.instance_hypernyms())}
        assert set(nouns[wnid].hypernyms) == kinds


def test_without_a_corpus_it_says_where_to_get_one(monkeypatch, tmp_path):
    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.corpus.util import LazyCorpusLoader

    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    monkeypatch.setattr(nltk.corpus, "wordnet", LazyCorpusLoader("wordnet", WordNetCorpusReader, {}))
    with pytest.raises(ItlError, match="NLTK cannot load WordNet.*nltk.downloader wordnet.*NLTK_DATA"):
        Taxonomy.nltk_nouns()
    for name in ("data.noun", "index.noun"):  # as Debian leaves it: no lexnames
        (tmp_path / "corpora/wordnet").mkdir(parents=True, exist_ok=True)
        (tmp_path / "corpora/wordnet" / name).touch()
    with pytest.raises(ItlError, match="NLTK cannot load WordNet.*lexnames") as caught:
        Taxonomy.nltk_nouns()
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_given_comes_before_what_nltk_has(wordnet, monkeypatch, tmp_path):
    import nltk

    monkeypatch.setattr(nltk.data, "path", list(nltk.data.path))
    (tmp_path / "corpora/wordnet").mkdir(parents=True)
    (tmp_path / "corpora/wordnet/data.noun").touch()
    with pytest.raises(ItlError, match="NLTK cannot load WordNet"):
        Taxonomy.nltk_nouns(tmp_path)
