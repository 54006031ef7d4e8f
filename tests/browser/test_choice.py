"""Choices: each is written as one label method, and read back from it; any spelling but one is refused."""

import doctest
import random

import pytest

import itl.browser.choice
from itl import ItlError
from itl.browser.choice import Choice, label_expression, minimal_cover
from itl.hierarchy.label_sets import label_set
from itl.hierarchy.taxonomy import Synset, Taxonomy
from itl.specs import Pretrain, Subset, Transfer, key

LEAVES = ("car", "husky", "poodle", "trout")


@pytest.fixture(scope="module")
def imagenet():
    return Taxonomy.snapshot()


# parts joined by +


@pytest.mark.parametrize(
    ("method", "class_of"),
    [
        ("only@fish", {"trout": "trout"}),
        ("only@dog,vehicle", {"husky": "husky", "poodle": "poodle", "car": "car"}),
        ("only@pet", {"poodle": "poodle"}),  # by any path
        ("without@pet", {"husky": "husky", "trout": "trout", "car": "car"}),
        ("only@animal+without@pet", {"husky": "husky", "trout": "trout"}),
        ("bottom-up@2+without@pet", {"husky": "dog", "trout": "fish", "car": "car"}),
        ("top-down@1+only@animal", {"husky": "dog", "poodle": "dog", "trout": "fish"}),
        ("cut@animal,dog+without-pascal+only@animal", {"husky": "dog", "poodle": "dog", "trout": "animal"}),
    ],
)
def test_parts_keep_what_all_of_them_keep(tree, method, class_of):
    assert label_set(tree, method, LEAVES).class_of == class_of


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("without@dog+original", r"is spelt original\+without@dog"),
        ("bottom-up@2+original", "has two parts of one kind, bottom-up@2 and original; keep one"),
        ("without@dog+bottom-up@2", r"is spelt bottom-up@2\+without@dog"),
        ("without@dog+only@animal", r"is spelt only@animal\+without@dog"),
        ("bottom-up@2+cut@dog", "has two parts of one kind, bottom-up@2 and cut@dog; keep one"),
        ("half-random-a@0+half-minimal-a", "has two parts of one kind"),
        ("without@dog,animal", "without@dog,animal is spelt without@animal"),
        ("without@dog,car", "without@dog,car is spelt without@car,dog"),
        ("only@dog,dog", "only@dog,dog is spelt only@dog"),
        ("only@dgo", "no 'dgo' among"),
        ("only", "only needs wnids, as in only@"),
        ("without@", "without needs wnids"),
        ("without@dog+", "no label method called ''"),
        ("bottom-up@2+withuot@dog", "no label method called 'withuot'; did you mean 'without'"),
        ("without@entity", "without@entity leaves none of the 4 classes"),
        ("only@fish+without@trout", "keeps none of the 4 classes"),
    ],
)
def test_other_spellings_are_refused_in_a_line(tree, method, says):
    with pytest.raises(ItlError, match=says) as caught:
        label_set(tree, method, LEAVES)
    assert "\n" not in str(caught.value)


def test_original_before_other_parts_changes_nothing(tree):
    joined, alone = (label_set(tree, method, LEAVES) for method in ("original+without@dog", "without@dog"))
    assert joined == alone
    assert Subset("0", "original+without@dog") == Subset("0", "without@dog")
    transfers = [
        Transfer(Pretrain(Subset("0")), "knn", "images", "0", labels=labels)
        for labels in ("original+half-random-a@0", "half-random-a@0")
    ]
    assert len({key(transfer) for transfer in transfers}) == 1


def test_runs_of_old_spellings_keep_their_keys():
    """Whoever has runs on disk finds them again."""
    kept = {
        "original": "46f65cd65f1b",
        "bottom-up@9": "06d438adf5bd",
        "without-pascal": "b665ce7a2620",
        "half-random-a@0": "50ca49f017ed",
    }
    assert {labels: key(Pretrain(Subset("0", labels))) for labels in kept} == kept


def test_only_keeps_nothing_of_other_classes(tree):
    with pytest.raises(ItlError, match="only@fish keeps none of the 2 classes; name a node above some"):
        label_set(tree, "only@fish", ["husky", "car"])


# clicks


def test_a_click_unticks_all_below_by_any_path_and_the_next_ticks_them(tree):
    once = Choice().toggle(tree, "pet")
    assert once.unticked == {"poodle"}
    assert once.toggle(tree, "dog").unticked == set()  # one of two was ticked: now both are
    assert once.toggle(tree, "dog").toggle(tree, "dog").unticked == {"husky", "poodle"}


@pytest.mark.parametrize(
    ("clicks", "parts"),
    [
        ("", []),
        ("dog", ["without@dog"]),
        ("husky", ["without@husky"]),
        ("animal", ["without@animal"]),  # only@car would be as short: this one first
        ("entity dog", ["only@dog"]),
        ("entity animal husky", ["without@car,husky"]),
        ("husky trout", ["without@husky,trout"]),
    ],
)
def test_ticks_are_expressed_with_the_fewest_wnids(tree, clicks, parts):
    choice = Choice()
    for wnid in clicks.split():
        choice = choice.toggle(tree, wnid)
    assert label_expression(tree, choice.unticked) == parts


def test_only_and_without_together_where_that_is_shorter(imagenet):
    choice = Choice()
    for wnid in ("n00001740", "n00015388", "n02084071"):  # nothing, then animals, then no dogs
        choice = choice.toggle(imagenet, wnid)
    assert label_expression(imagenet, choice.unticked) == ["only@n00015388", "without@n02084071"]


def test_the_work_for_a_cover_grows_with_the_nodes_and_not_with_their_square():
    """In ImageNet-21k's tree a click would take many seconds."""

    class Counting(dict):
        lookups = 0

        def __getitem__(self, wnid):
            self.lookups += 1
            return super().__getitem__(wnid)

    names = [f"n{number}" for number in range(100)]
    synsets = [Synset("root", "root", ("root",), "", ())]
    tree = Taxonomy([*synsets, *(Synset(name, name, (name,), "", ("root",)) for name in names)], names)
    leaves = Counting({wnid: frozenset(tree.leaves_under(wnid)) for wnid in tree})
    assert minimal_cover(tree, leaves, set(names[1:])) == set(names[1:])
    assert leaves.lookups <= 8 * len(tree)


def test_nothing_ticked_is_no_selection(tree):
    with pytest.raises(ItlError, match="no class is ticked; tick some"):
        Choice().toggle(tree, "entity").labels(tree, LEAVES)


@pytest.mark.parametrize("name", ["red, green", "C+"])
def test_a_name_that_label_sets_would_divide_is_not_named_in_one(name):
    names = {"colour": (), "blue": ("colour",), name: ("colour",)}
    tree = Taxonomy([Synset(node, node, (node,), "", above) for node, above in names.items()], ["blue", name])
    assert Choice().toggle(tree, "blue").labels(tree, tree.leaves) == "without@blue"
    for choice in (Choice().toggle(tree, name), Choice("cut", nodes=frozenset({name}))):
        with pytest.raises(ItlError) as error:
            choice.labels(tree, tree.leaves)
        says = f"label sets cannot name {name!r}, as , and + end names there; call it otherwise"
        assert str(error.value) == says


def test_a_cut_at_no_node_has_no_labels(tree):
    with pytest.raises(ItlError, match="the cut is at 0 nodes, none above a class"):
        Choice("cut").labels(tree, LEAVES)


def test_a_cut_names_only_nodes_that_label_a_class(tree):
    choice = Choice("cut", nodes=frozenset({"animal", "dog", "fish", "vehicle"}))
    assert choice.labels(tree, ["husky", "trout"]) == "cut@dog,fish"


def test_a_class_above_another_cannot_be_left_out_alone(tree):
    nested = Taxonomy(map(tree.__getitem__, tree), [*LEAVES, "dog", "animal"])
    assert Choice().toggle(nested, "dog").labels(nested, nested.leaves) == "without@dog"
    with pytest.raises(ItlError, match="ticked unlike a class above or below it"):
        Choice().toggle(nested, "dog").toggle(nested, "husky").labels(nested, nested.leaves)


@pytest.mark.parametrize(
    ("classes", "unticked", "parts"),
    [
        (["dog", "animal"], {"animal"}, ["only@car,dog,trout"]),
        (["dog", "animal"], {"animal", "trout"}, ["only@car,dog"]),
        (["dog", "animal"], {"animal", "husky"}, ["only@car,dog,trout", "without@husky"]),
        (["dog", "animal"], {"animal", "dog"}, ["only@car,husky,poodle,trout"]),
        (["dog"], {"dog"}, ["only@car,husky,poodle,trout"]),
    ],
)
def test_a_class_is_left_out_alone_where_none_above_it_is_ticked(tree, classes, unticked, parts):
    nested = Taxonomy(map(tree.__getitem__, tree), [*LEAVES, *classes])
    assert label_expression(nested, unticked) == parts
    kept = label_set(nested, "+".join(parts), nested.leaves).class_of.keys()
    assert kept == {*nested.leaves} - unticked


def test_whatever_ticks_label_sets_can_express_are_expressed(tree):
    """All ticks of the tree's classes, of which any of two inner nodes may be one."""
    for classes in ([], ["dog"], ["animal"], ["dog", "animal"]):
        nested = Taxonomy(map(tree.__getitem__, tree), [*LEAVES, *classes])
        below = {wnid: {*nested.leaves_under(wnid)} for wnid in nested}
        for number in range(1, 2 ** len(nested.leaves)):
            kept = {wnid for at, wnid in enumerate(nested.leaves) if number >> at & 1}
            unticked = {*nested.leaves} - kept
            inner = {wnid for wnid in unticked if below[wnid] & kept}
            if any(below[wnid] & inner for wnid in kept):
                with pytest.raises(ItlError, match="is ticked unlike a class above or below it"):
                    label_expression(nested, unticked)
            else:
                labels = "+".join(label_expression(nested, unticked)) or "original"
                assert label_set(nested, labels, nested.leaves).class_of.keys() == kept


def test_random_clicks_on_imagenet_say_exactly_what_is_ticked_and_are_read_back(imagenet):
    random_ = random.Random(0)
    nodes = list(imagenet)
    for _ in range(150):
        choice = Choice()
        for _ in range(random_.randint(1, 10)):
            choice = choice.toggle(imagenet, random_.choice(nodes))
        if len(choice.unticked) == 1000:
            continue
        subset = choice.subset(imagenet, imagenet.leaves, "0")
        kept = label_set(imagenet, subset.labels, imagenet.leaves).class_of.keys()
        assert kept == set(imagenet.leaves) - choice.unticked
        assert Choice.read(imagenet, subset) == choice


def test_the_same_ticks_are_the_same_subset_however_they_came_about(imagenet):
    dogs, canines = "n02084071", "n02083346"
    straight = Choice().toggle(imagenet, dogs)
    round_about = Choice().toggle(imagenet, canines)
    for child in imagenet.children(canines):
        if child != dogs:
            round_about = round_about.toggle(imagenet, child)
    assert round_about == straight
    assert straight.labels(imagenet, imagenet.leaves) == "without@n02084071"


@pytest.mark.parametrize(
    "labels",
    [
        "original",
        "bottom-up@9",
        "top-down@2",
        "without-pascal",
        "half-random-b@3",
        "half-minimal-a",
        "cut@n00015388,n00021939",
        "bottom-up@9+without@n02084071",
        "only@n00015388+without@n02084071",
        "top-down@1+without-pascal+half-random-a@7+only@n00015388+without@n02121620",
    ],
)
def test_every_subset_is_shown_and_said_again(imagenet, labels):
    subset = Subset("0", labels, classes=3, images_per_class=5, seed=2)
    choice = Choice.read(imagenet, subset)
    assert choice.subset(imagenet, imagenet.leaves, "0") == subset
    assert Choice.from_dict(choice.to_dict()) == choice


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"labels": "bottom-up@9+without-random@0"}, "without-random@0"),
        ({"labels": "bottom-up@9+without-matched@0"}, "without-matched@0"),
        ({"labels": "bottom-up@9+half-balanced@0"}, "half-balanced@0"),
        ({"labels": "half-along-tree@3+only@n00015388"}, "half-along-tree@3"),
        ({"leaves": 1}, "leaves"),
        ({"images_per_class": 5, "at_most": True}, "at_most"),
        ({"without": ("digest",)}, "without"),
    ],
)
def test_a_subset_that_no_choice_is_is_refused(imagenet, settings, part):
    with pytest.raises(ItlError) as refused:
        Choice.read(imagenet, Subset("0", **settings))
    assert str(refused.value) == (
        f"a browser does not show {part} of a subset, only labels by original, bottom-up, top-down, cut, "
        f"without-pascal, half-random-a, half-random-b, half-minimal-a, half-minimal-b, only, without, and "
        f"classes, images_per_class and seed; leave it out, or give the subset to questions.data_size"
    )


def test_classes_of_a_list_and_another_tree_are_no_choice(imagenet, tree, tmp_path):
    (tmp_path / "list.csv").write_text("wnid,label\nn02084071,dog\n")
    with pytest.raises(ItlError, match=f"does not show file@{tmp_path}/list.csv#[0-9a-f]{{8}} of a subset"):
        Choice.read(imagenet, Subset("0", f"file@{tmp_path}/list.csv"))
    of_words = Subset("0", "bottom-up@2", tree=tree.digest)
    assert Choice.read(tree, of_words).subset(tree, LEAVES, "0") == of_words
    says = f"the subset is of taxonomy {tree.digest}, and the browser shows the snapshot; give Hierarchy"
    with pytest.raises(ItlError, match=says):
        Choice.read(imagenet, of_words)


def test_a_choice_has_only_its_own_settings():
    with pytest.raises(ItlError, match="no setting of a choice called 'unticket'; did you mean 'unticked'"):
        Choice.from_dict({"unticket": []})


def test_expressions_are_quick_on_imagenet_21k_size():
    """An expression is made on every click; the widest tree has 21,841 nodes."""
    synsets = [Synset("w00000", "w.n.00000", ("w",), "", ())]
    above = {f"w{number:05d}": f"w{(number - 1) // 4:05d}" for number in range(1, 21841)}
    synsets += [Synset(wnid, f"{wnid}.n.01", ("w",), "", (parent,)) for wnid, parent in above.items()]
    inner = {synset.hypernyms[0] for synset in synsets[1:]}
    wide = Taxonomy(synsets, [synset.wnid for synset in synsets if synset.wnid not in inner])
    assert Choice().toggle(wide, "w00002").labels(wide, wide.leaves) == "without@w00002"


def test_examples_are_true():
    result = doctest.testmod(itl.browser.choice)
    assert result.attempted >= 3
    assert not result.failed
