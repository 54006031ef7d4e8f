"""The taxonomy: exact on the tiny tree and the snapshot, by its definition on random trees."""

import pickle
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itl import ItlError
from itl.hierarchy.taxonomy import SNAPSHOT, Synset, Taxonomy

DOG, CANINE, DOMESTIC_ANIMAL, ENTITY = "n02084071", "n02083346", "n01317541", "n00001740"


@pytest.fixture(scope="module")
def snapshot():
    return Taxonomy.snapshot()


# the tiny tree


def test_parent_is_the_first_by_name_not_in_the_file(tree):
    assert tree["poodle"].hypernyms == ("pet", "dog")
    assert tree.parent("poodle") == "dog"
    assert tree.parent("entity") is None


def test_paths_and_depths(tree):
    assert tree.path("husky") == ["husky", "dog", "animal", "entity"]
    assert tree.depth("husky") == 3
    assert (tree.path("entity"), tree.depth("entity")) == (["entity"], 0)


def test_any_path_and_parent_path_differ(tree):
    assert tree.ancestors("poodle") == {"poodle", "dog", "pet", "animal", "entity"}
    assert tree.leaves_under("pet") == ["poodle"]
    assert tree.children("pet") == []
    assert tree.children("dog") == ["husky", "poodle"]
    assert tree.leaves_under("animal") == ["husky", "poodle", "trout"]
    assert tree.leaves_under("car") == ["car"]


def test_lowest_common_ancestor(tree):
    assert tree.lowest_common_ancestor("husky", "poodle") == "dog"
    assert tree.lowest_common_ancestor("husky", "dog") == "dog"
    assert tree.lowest_common_ancestor("husky", "husky") == "husky"
    assert tree.lowest_common_ancestor("husky", "car") == "entity"


def test_two_roots_have_no_common_ancestor():
    two = Taxonomy([Synset(wnid, f"{wnid}.n.01", (wnid,), "", ()) for wnid in "ab"], "ab")
    with pytest.raises(ItlError, match="a and b have no common ancestor: their roots are a and b"):
        two.lowest_common_ancestor("a", "b")


def test_classes_are_grouped_by_all_they_are_a_kind_of(tree):
    groups = tree.group_by_ancestor(["trout", "poodle"])
    assert groups.keys() == tree.ancestors("trout") | tree.ancestors("poodle")
    assert groups["animal"] == groups["entity"] == ["trout", "poodle"]
    assert groups["pet"] == groups["dog"] == ["poodle"]


def test_nodes_come_in_the_order_of_the_tree(tree):
    below_animal = ["dog", "husky", "poodle", "fish", "trout", "pet"]
    assert list(tree.walk_open(tree, tree)) == ["entity", "animal", *below_animal, "vehicle", "car"]
    opened, among = {"entity", "animal"}, {"entity", "animal", "dog", "husky", "vehicle"}
    assert list(tree.walk_open(opened, among)) == ["entity", "animal", "dog", "vehicle"]
    assert list(tree.walk_open(tree, {"animal", "dog"})) == [], "its root is not among them"


def test_siblings_are_in_the_order_of_their_names_and_roots_of_their_wnids():
    words = {"a": "last", "b": "middle", "c": "first", "d": "first"}
    below = [Synset(wnid, f"{word}.n.01", (word,), "", ("top",)) for wnid, word in words.items()]
    roots = [Synset(name, f"{name}.n.01", (name,), "", ()) for name in ("alone", "top")]
    two = Taxonomy([*below, *roots], words)
    assert list(two.walk_open(two, two)) == ["alone", "top", "c", "d", "a", "b"]


def test_it_is_a_collection(tree):
    assert len(tree) == len(list(tree)) == 10
    assert "pet" in tree
    assert "cow" not in tree
    assert None not in tree
    assert tree.leaves == ("car", "husky", "poodle", "trout")


def test_what_it_returns_is_the_callers(tree):
    tree.path("husky").clear()
    tree.children("dog").clear()
    tree.leaves_under("dog").clear()
    assert (tree.path("husky")[0], tree.children("dog")[0], tree.leaves_under("dog")[0]) == ("husky",) * 3


@pytest.mark.parametrize(
    "ask", ["__getitem__", "parent", "children", "path", "depth", "ancestors", "leaves_under", "class_name"]
)
def test_unknown_wnids_are_refused(tree, ask):
    with pytest.raises(ItlError, match="no 'huskie' among .*did you mean husky"):
        getattr(tree, ask)("huskie")


@pytest.mark.parametrize(
    ("synsets", "leaves"),
    [
        ([Synset("a", "a.n.01", ("a",), "", ("b",))], ["a"]),
        ([Synset("a", "a.n.01", ("a",), "", ())], ["a", "b"]),
    ],
)
def test_a_tree_with_holes_is_refused(synsets, leaves):
    with pytest.raises(ItlError, match="1 leaves or hypernyms are not among the 1 synsets given, such as b"):
        Taxonomy(synsets, leaves)


def test_a_tree_is_named_by_what_its_label_sets_depend_on(tree, snapshot):
    assert snapshot.digest == ""
    assert (len(tree.digest), int(tree.digest, 16) > 0) == (12, True)
    glossed = [synset._replace(gloss="another") for synset in map(tree.__getitem__, tree)]
    assert Taxonomy(glossed, tree.leaves).digest == Taxonomy(glossed, ["dog"]).digest == tree.digest
    renamed = [synset._replace(name=f"{synset.name}0") for synset in glossed]
    assert Taxonomy(renamed, tree.leaves).digest != tree.digest
    assert tree.restricted(["husky"]).digest == tree.digest, "it makes the same label sets"


# search and errors, on the snapshot


def test_search_takes_the_best_first(snapshot):
    names = [synset.name for synset in snapshot.search("dog")]
    assert names[0] == "dog.n.01"  # called so
    assert names.index("dogsled.n.01") < names.index("hunting_dog.n.01")  # starts so; has the word
    assert names.index("hunting_dog.n.01") < names.index("borzoi.n.01")  # the gloss


def test_search_ranks_the_match_before_the_number_of_leaves():
    inner = {"dog": 1, "dogs": 2, "hot_dog": 3, "bulldog": 4, "with a dog's head": 5, "in adogio": 6}
    synsets, leaves = [], []
    for number, (text, count) in enumerate(inner.items()):
        word, gloss = (f"w{number}", text) if " " in text else (text, "")
        synsets.append(Synset(f"i{number}", f"{word}.n.01", (word,), gloss, ()))
        below = [f"{number}-{leaf}" for leaf in range(count)]
        synsets += [Synset(leaf, f"{leaf}.n.01", (leaf,), "", (f"i{number}",)) for leaf in below]
        leaves += below
    result = [synset.wnid for synset in Taxonomy(synsets, leaves).search("dog")]
    assert result == ["i0", "i1", "i2", "i3", "i4"]


def test_search_takes_more_leaves_first_among_equals():
    synsets = [Synset(name, f"{name}.n.01", (name,), "", ()) for name in ("cats", "catsharks")]
    leaves = {"tabby": "cats", "nurse": "catsharks", "coral": "catsharks"}
    synsets += [Synset(name, f"{name}.n.01", (name,), "", (parent,)) for name, parent in leaves.items()]
    assert [one.wnid for one in Taxonomy(synsets, leaves).search("cat")] == ["catsharks", "cats"]


@pytest.mark.parametrize(
    "text",
    [
        "golden retriever",
        "GOLDEN_Retriever",
        " golden  retriever ",
        "n02099601",
        "golden_retriever.n.01",
        "having a long silky golden coat",
    ],
)
def test_search_takes_words_names_wnids_and_glosses(snapshot, text):
    assert snapshot.search(text)[0].wnid == "n02099601"


@pytest.mark.parametrize("text", ["", "  ", "_", "xyzzy", "[*"])
def test_search_may_find_nothing(snapshot, text):
    assert snapshot.search(text) == []


@pytest.mark.parametrize(
    ("wnid", "says"),
    [
        ("n02084072", "no 'n02084072' among the 1860 synsets .*; did you mean n02084071 \\(dog.n.01\\)"),
        ("dog", "no 'dog' among the 1860 synsets .*; did you mean n02084071 \\(dog.n.01\\)"),
        ("terier", "did you mean n02092468 \\(terrier.n.01\\)"),
        ("xyzzy", "no 'xyzzy' among the 1860 synsets of this taxonomy; --taxonomy nltk@FOLDER"),
        ("", "no '' among the 1860"),
        ("two\nlines", r"no 'two\\nlines' among"),
    ],
)
def test_unknown_wnids_name_the_nearest(snapshot, wnid, says):
    with pytest.raises(ItlError, match=says) as caught:
        snapshot[wnid]
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(".n.") <= 3, "at most three are named"


# the snapshot


def test_snapshot_holds_the_classes_of_imagenet(snapshot):
    assert len(snapshot.leaves) == 1000
    assert len(snapshot) == 1860
    assert set().union(*map(snapshot.ancestors, snapshot.leaves)) == set(snapshot)
    assert snapshot.path(snapshot.leaves[0])[-1] == ENTITY
    assert max(map(snapshot.depth, snapshot.leaves)) == 18
    assert Taxonomy.snapshot() is snapshot


def test_the_dog_is_a_canine_first(snapshot):
    gloss = (
        "a member of the genus Canis (probably descended from the common wolf) that has been "
        "domesticated by man since prehistoric times; occurs in many breeds"
    )
    lemmas = ("dog", "domestic_dog", "Canis_familiaris")
    assert snapshot[DOG] == Synset(DOG, "dog.n.01", lemmas, gloss, (CANINE, DOMESTIC_ANIMAL))
    assert snapshot.parent(DOG) == CANINE
    several = [wnid for wnid in snapshot if len(snapshot[wnid].hypernyms) > 1]
    assert sum(snapshot.parent(wnid) != snapshot[wnid].hypernyms[0] for wnid in several) == 30


def test_names_are_not_unique(snapshot):
    names = [snapshot.class_name(wnid) for wnid in snapshot.leaves]
    assert [name for name in sorted(set(names)) if names.count(name) > 1] == ["crane", "maillot"]
    assert snapshot.class_name("n02099601") == "golden retriever"


def test_loading_needs_the_standard_library_only(record_property):
    code = """if True:
        import sys, time
        import itl.hierarchy.label_sets
        from itl.hierarchy.taxonomy import Taxonomy
        started = time.perf_counter()
        Taxonomy.snapshot()
        print(1000 * (time.perf_counter() - started))
        print(*{"torch", "pandas", "numpy", "nltk", "networkx"} & set(sys.modules))
    """
    milliseconds, imported = subprocess.check_output([sys.executable, "-c", code], text=True).split("\n")[:2]
    record_property("snapshot_milliseconds", milliseconds)
    print(f"the snapshot loads in {float(milliseconds):.1f} ms")
    assert imported == ""


def test_inner_nodes_may_be_leaves(tree):
    inner = Taxonomy(map(tree.__getitem__, tree), ["dog", "husky"])
    assert inner.leaves_under("dog") == ["dog", "husky"]


def test_the_licence_is_shipped():
    text = SNAPSHOT.with_name("wordnet-LICENSE").read_text()
    assert "WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved." in text


# random trees


@st.composite
def taxonomies(draw):
    """A few nodes, each but the first with one or two hypernyms made before it; the names in any order."""
    count = draw(st.integers(2, 14))
    names = draw(st.permutations(range(count)))
    synsets = []
    for number in range(count):
        earlier = st.integers(0, max(0, number - 1))
        above = draw(st.lists(earlier, min_size=1, max_size=2, unique=True)) if number else []
        hypernyms = tuple(f"w{node:02d}" for node in above)
        synsets.append(Synset(f"w{number:02d}", f"{names[number]:02d}.n.01", ("word",), "", hypernyms))
    leaves = draw(st.sets(st.sampled_from([synset.wnid for synset in synsets]), min_size=1))
    return Taxonomy(synsets, leaves)


@given(taxonomies())
@settings(max_examples=60, deadline=None)
def test_a_random_tree_is_what_the_words_say(tree):
    for wnid in tree:
        closure, todo = set(), [wnid]
        while todo:
            closure.add(todo.pop())
            todo = [above for node in closure for above in tree[node].hypernyms if above not in closure]
        path = tree.path(wnid)
        assert tree.ancestors(wnid) == closure
        assert path[0] == wnid
        assert path[-1] == "w00"
        for below, above in zip(path, path[1:], strict=False):
            assert tree[above].name == min(tree[node].name for node in tree[below].hypernyms)
            assert below in tree.children(above)
        assert tree.depth(wnid) == len(path) - 1
        assert tree.leaves_under(wnid) == [leaf for leaf in tree.leaves if wnid in tree.ancestors(leaf)]
        for other in tree:
            shared = set(path) & set(tree.path(other))
            assert tree.lowest_common_ancestor(wnid, other) == max(shared, key=tree.depth)


@given(taxonomies())
@settings(max_examples=20, deadline=None)
def test_random_trees_survive_pickle(tree):
    again = pickle.loads(pickle.dumps(tree))
    assert [again[wnid] for wnid in again] == [tree[wnid] for wnid in tree]
    assert again.leaves == tree.leaves
