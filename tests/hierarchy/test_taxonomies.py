"""Trees that users bring: tables of children and parents, kept where runs find them by digest."""

import warnings
from pathlib import Path

import pytest

from itl import ItlError
from itl.hierarchy import taxonomies
from itl.hierarchy.label_sets import label_set, needs_tree
from itl.hierarchy.taxonomies import keep_taxonomy, open_taxonomy, read_table, tree_of_digest
from itl.hierarchy.taxonomy import Taxonomy

TABLE = """child,parent,name
thing,,
living room,thing,lounge
kitchen,thing,
sofa bed,living room,
sofa bed,kitchen,
pan,kitchen,
"""


@pytest.fixture
def table(tmp_path, monkeypatch) -> Path:
    """A table of classes with plain names, in a process that has opened no tree."""
    monkeypatch.setattr(taxonomies, "opened", {})
    path = tmp_path / "rooms.csv"
    path.write_text(TABLE, "utf-8-sig")
    return path


def test_several_roots_and_names_that_differ_in_case_alone_are_said(table):
    table.write_text("child,parent\nfir,Conifer\nconifer,plant\noak,plant\n")
    said = "Conifer and conifer differ in case or blanks alone; it has 2 roots, Conifer, plant, and classes"
    with pytest.warns(UserWarning, match=said):
        read_table(table)


@pytest.mark.parametrize("empty", ["", "nan", "NaN"])
def test_an_empty_parent_or_name_may_be_written_as_pandas_does(table, empty):
    table.write_text(f"child,parent,name\ncat,animal,Cat\ncar,vehicle,Car\nanimal,{empty},{empty}\n")
    with pytest.warns(UserWarning, match="it has 2 roots, animal, vehicle, and"):
        tree = read_table(table)
    assert (tree.path("cat"), tree.class_name("animal")) == (["cat", "animal"], "animal")


def test_a_node_may_be_called_nan(table):
    table.write_text("child,parent\nbutter nan,nan\nnan,bread\n")
    assert read_table(table).path("butter nan") == ["butter nan", "nan", "bread"]


def test_accents_of_a_table_may_be_composed_or_not(table):
    table.write_text("child,parent\nche\u0302ne,plant\nsapin,plant\n")
    assert "ch\u00eane" in read_table(table)


def test_minimal_halves_need_a_tree_that_is_deep_enough(table):
    tree = read_table(table)
    with pytest.raises(
        ItlError, match="share a node at depth 4, and the deepest of these 2 classes lies at depth 2"
    ):
        label_set(tree, "half-minimal-a", tree.leaves)


def test_a_table_is_a_tree(table):
    with warnings.catch_warnings(action="error"):
        tree = read_table(table)
    assert tree.leaves == ("pan", "sofa bed")
    assert tree.path("sofa bed") == ["sofa bed", "kitchen", "thing"], "kitchen comes before lounge"
    assert tree.ancestors("sofa bed") == {"sofa bed", "kitchen", "living room", "thing"}
    assert tree.class_name("living room") == "lounge"
    assert label_set(tree, "bottom-up@1", tree.leaves).class_of == {"pan": "kitchen", "sofa bed": "kitchen"}


@pytest.mark.parametrize("lines", ["cat,animal,\ncat,pet,Cat\n", "cat,pet,Cat\ncat,animal,\n"])
def test_a_name_may_stand_on_any_line_of_a_node(table, lines):
    table.write_text(f"child,parent,name\nanimal,thing\npet,thing\n{lines}")
    tree = read_table(table)
    assert (tree.class_name("cat"), tree.class_name("pet")) == ("Cat", "pet")
    assert tree["cat"].lemmas == ("Cat",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("child,parent,name\nb,a,b\nb,c,C\n", "b is called 'b' and 'C' in .*; keep one name"),
        ("", "begins with 'nothing'; a taxonomy is nltk@FOLDER"),
        ("parent,child\na,b\n", "begins with 'parent,child'; a taxonomy is nltk@FOLDER"),
        ("child,parent\n", "has a header and no lines"),
        ("child,parent\nb,a\n,a\n", "line 3 of .* is ',a'; it should be child,parent"),
        ("child,parent\nb,a,c\n", "line 2 of .* is 'b,a,c'; it should be child,parent"),
        ("child,parent,name\nb,a,B\nb,c,C\n", "b is called 'B' and 'C' in .*; keep one name"),
        ("child,parent\na,b\nb,c\nc,a\n", "is under .* is under .* in .*; a tree has no circles"),
        (
            'child,parent\n"rim,wheel\nwheel,thing\n',
            "line 2 of .* has a quote that does not close in it; remove",
        ),
        ('child,parent\nwheel,thing\n"rim,wheel\n', "line 3 of .* has a quote that does not close in it"),
        ('child,parent\n"a\nb",c\n', "line 2 of .* has a quote that does not close in it"),
        ("child,parent\na,a\n", "a is under a in .*; a tree has no circles"),
    ],
)
def test_tables_that_are_none(table, text, message):
    table.write_text(text)
    with pytest.raises(ItlError, match=message) as raised:
        read_table(table)
    assert "\n" not in str(raised.value)


def test_quotes_that_close_in_their_line(table):
    table.write_text('child,parent\n"rim, 12\'",wheel\n\n12" rim,"wheel"\n')
    assert read_table(table).leaves == ('12" rim', "rim, 12'")


def test_a_chain_may_be_deeper_than_python_calls(table):
    table.write_text("child,parent\n" + "".join(f"{node},{node + 1}\n" for node in range(2000)))
    tree = read_table(table)
    assert (tree.depth("0"), len(tree.ancestors("0")), tree.leaves_under("2000")) == (2000, 2001, ["0"])
    assert label_set(tree, "bottom-up@1999", tree.leaves).class_of == {"0": "1"}


def test_a_tree_is_found_again_by_its_digest(table, tmp_path, monkeypatch):
    tree = open_taxonomy("rooms.csv", [tmp_path / "elsewhere", tmp_path])
    assert open_taxonomy(str(table)) is tree, "opened once"
    assert tree_of_digest(tree.digest, tmp_path / "kept") is tree, "in this process"
    keep_taxonomy(tree, tmp_path / "kept")
    monkeypatch.setattr(taxonomies, "opened", {})
    again = tree_of_digest(tree.digest, tmp_path / "kept")
    assert (again.digest, again.leaves, list(again)) == (tree.digest, tree.leaves, list(tree))
    monkeypatch.setattr(taxonomies, "opened", {})
    with pytest.raises(ItlError, match=f"taxonomy {tree.digest} of this run is not in .*`itl run PRESET`"):
        tree_of_digest(tree.digest, tmp_path / "lost")
    (tmp_path / "kept" / f"{tree.digest}.json").rename(tmp_path / "kept/abcdefabcdef.json")
    with pytest.raises(
        ItlError, match="abcdefabcdef.json is not the tree that its name says; delete it, and"
    ):
        tree_of_digest("abcdefabcdef", tmp_path / "kept")
    with pytest.raises(ItlError, match="no taxonomy at .*lost.csv; a taxonomy is nltk@FOLDER"):
        open_taxonomy("lost.csv", [tmp_path])


def test_a_table_that_was_changed_or_lies_elsewhere_is_read_anew(table, tmp_path):
    assert "pan" in open_taxonomy(str(table))
    table.write_text("child,parent\npot,kitchen\n")
    assert list(open_taxonomy("rooms.csv", [tmp_path])) == ["kitchen", "pot"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "rooms.csv").write_text("child,parent\ncup,kitchen\n")
    assert list(open_taxonomy("rooms.csv", [tmp_path / "other"])) == ["cup", "kitchen"]


def test_the_order_of_lines_is_no_part_of_a_tree(tmp_path):
    header, *lines = "child,parent", "cat,pet", "cat,beast", "pet,thing", "beast,thing"
    trees = []
    for number, order in enumerate([lines, lines[::-1]]):
        (path := tmp_path / f"{number}.csv").write_text("\n".join([header, *order]))
        trees.append(read_table(path))
    assert trees[0].digest == trees[1].digest
    assert trees[0]["cat"] == trees[1]["cat"]


def test_the_parent_on_the_path_is_the_first_by_name_with_capitals_first_and_ids_for_names(tmp_path):
    lines = ["child,parent,name", "dog,canine,Dog", "dog,pet,Dog", "canine,animal,canine", "pet,animal,Pet"]
    (path := tmp_path / "tree.csv").write_text("\n".join(lines))
    assert read_table(path).path("dog") == ["dog", "pet", "animal"]
    path.write_text("\n".join(lines).replace("animal,Pet", "animal,"))
    assert read_table(path).path("dog") == ["dog", "canine", "animal"]


def test_a_line_is_counted_as_an_editor_does(tmp_path):
    (path := tmp_path / "tree.csv").write_text('child,parent,name\r\n\r\ncat,pet,"a, cat"\r\n,pet,dog\r\n')
    with pytest.raises(ItlError, match="line 4 of .* is ',pet,dog'"):
        read_table(path)


def test_the_snapshot_has_no_digest_and_is_kept_nowhere(tmp_path):
    snapshot = Taxonomy.snapshot()
    keep_taxonomy(snapshot, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    copy = Taxonomy(map(snapshot.__getitem__, snapshot), snapshot.leaves)
    assert copy.digest == snapshot.digest == "", "the same tree by another way"
    assert tree_of_digest("", tmp_path) is Taxonomy.snapshot()


def test_a_digest_is_of_what_label_sets_depend_on(tree):
    dogs = tree.restricted(["husky", "poodle"])
    assert dogs.digest == tree.digest != ""
    assert set(dogs) == {"husky", "poodle", "dog", "pet", "animal", "entity"}
    renamed = [tree[wnid]._replace(name="a_fish.n.01") if wnid == "fish" else tree[wnid] for wnid in tree]
    assert Taxonomy(renamed, tree.leaves).digest != tree.digest
    glossed = [tree[wnid]._replace(gloss="") for wnid in tree]
    assert Taxonomy(glossed, tree.leaves).digest == tree.digest


def test_random_halves_and_original_labels_take_plain_names(tree):
    rooms = ["kitchen", "attic", "cellar"]
    assert set(label_set(tree, "half-random-a@0", rooms).class_of) < set(rooms)
    with pytest.raises(ItlError, match="needs wnids of the tree; 3 of 3 are not.*--taxonomy nltk@"):
        label_set(tree, "bottom-up@1", rooms)
    assert [name for name in ("original", "half-random-a@1", "cut@b") if needs_tree(name)] == ["cut@b"]
