"""Label sets: exact on the tiny tree, and equal to the published counts."""

import csv
import io
import random
import re
from hashlib import sha256
from itertools import pairwise, product

import pytest

from itl import ItlError
from itl.hierarchy.halves import CONTROL_DEPTH, GROUP_DEPTH, control_groups, groups_at, matched_control
from itl.hierarchy.label_sets import (
    LABEL_METHODS,
    bottom_up,
    describe_methods,
    halves_minimal,
    halves_random,
    label_set,
    needs_tree,
    split_method,
    top_down,
    without,
)
from itl.hierarchy.taxonomy import Synset, Taxonomy
from itl.hierarchy.voc_classes import PASCAL

LEAVES = ["husky", "poodle", "trout", "car"]
BOTTOM_UP = [999, 977, 918, 877, 820, 753, 694, 596, 486, 345, 206, 79, 36, 17, 9, 5, 2, 1]  # levels 17..0
TOP_DOWN = [127, 10, 2]  # rounds 1..3
PASCAL_LEAVES = {
    "aeroplane": 1,
    "bicycle": 2,
    "bird": 59,
    "boat": 6,
    "bottle": 7,
    "bus": 3,
    "car": 10,
    "cat": 7,
    "chair": 4,
    "cow": 0,
    "diningtable": 1,
    "dog": 118,
    "horse": 1,
    "motorbike": 1,
    "person": 3,
    "pottedplant": 2,
    "sheep": 1,
    "sofa": 1,
    "train": 1,
    "tvmonitor": 1,
}
METHODS = [
    "original",
    "bottom-up@2",
    "top-down@1",
    "without-pascal",
    "half-random-a@0",
    "half-random-b@0",
    "half-balanced@3",
    "half-along-tree@3",
    "half-minimal-a",
    "half-minimal-b",
    "cut@n00015388,n00021939",
]
IN_ORDER = [  # the kinds of parts that are joined by +: one of each, in this order
    ["bottom-up@2", "top-down@1", "cut@dog", "file@classes.csv"],
    ["without-pascal", "without-matched@0", "without-random@0"],
    [
        "half-random-a@0",
        "half-random-b@0",
        "half-balanced@0",
        "half-along-tree@0",
        "half-minimal-a",
        "half-minimal-b",
    ],
    ["only@dog"],
    ["without@dog"],
]


@pytest.fixture(scope="module")
def imagenet():
    return Taxonomy.snapshot()


# the tiny tree


def test_the_control_leaves_out_as_many_classes_and_none_of_pascals(imagenet):
    without_pascal = label_set(imagenet, "without-pascal", imagenet.leaves).class_of.keys()
    controls = [label_set(imagenet, f"without-random@{seed}", imagenet.leaves) for seed in (0, 1)]
    for control in controls:
        assert len(control.class_of) == 771
        assert set(imagenet.leaves) - without_pascal < control.class_of.keys(), "PASCAL's own all stay"
        assert all(wnid == label for wnid, label in control.class_of.items())
    assert controls[0] != controls[1]
    assert label_set(imagenet, "without-random@0", imagenet.leaves[::-1]) == controls[0]


def test_the_control_needs_enough_others(imagenet):
    dogs_and_a_fish = sorted(imagenet.leaves_under("n02084071"))[:3] + ["n01440764"]
    with pytest.raises(ItlError, match="leaves out 3 other classes, .* of the 4 only 1 are others"):
        label_set(imagenet, "without-random@0", dogs_and_a_fish)
    as_many = [*dogs_and_a_fish[1:], "n01443537"]  # two dogs, two fish: no fish would stay
    with pytest.raises(ItlError, match="leaves out 2 other classes, .* of the 4 only 2 are others"):
        label_set(imagenet, "without-random@0", as_many)
    assert len(label_set(imagenet, "without-random@0", [*as_many, "n01484850"]).class_of) == 3


@pytest.mark.parametrize(
    ("method", "class_of"),
    [
        ("original", {"husky": "husky", "poodle": "poodle", "trout": "trout", "car": "car"}),
        ("bottom-up@3", {"husky": "husky", "poodle": "poodle", "trout": "trout", "car": "car"}),
        ("bottom-up@2", {"husky": "dog", "poodle": "dog", "trout": "fish", "car": "car"}),
        ("bottom-up@1", {"husky": "animal", "poodle": "animal", "trout": "animal", "car": "vehicle"}),
        ("bottom-up@0", {"husky": "entity", "poodle": "entity", "trout": "entity", "car": "entity"}),
        ("top-down@1", {"husky": "dog", "poodle": "dog", "trout": "fish", "car": "vehicle"}),
        ("top-down@2", {"husky": "entity", "poodle": "entity", "trout": "entity", "car": "entity"}),
        ("without-pascal", {"husky": "husky", "poodle": "poodle", "trout": "trout", "car": "car"}),
        ("cut@animal", {"husky": "animal", "poodle": "animal", "trout": "animal"}),
        ("cut@animal,dog", {"husky": "dog", "poodle": "dog", "trout": "animal"}),
        ("cut@animal,car,entity", {"husky": "animal", "poodle": "animal", "trout": "animal", "car": "car"}),
    ],
)
def test_methods_on_the_tiny_tree(tree, method, class_of):
    labels = label_set(tree, method, LEAVES)
    assert labels.class_of == class_of
    assert labels.classes == sorted(set(class_of.values()))


def test_help_names_every_method_with_an_argument_that_it_takes():
    text = describe_methods()
    assert text.startswith("original, bottom-up@9, top-down@")
    for name, method in LABEL_METHODS.items():
        assert f"{name}@{method.argument.example}" in text if method.argument else f"{name}," in text


@pytest.mark.parametrize(("kind", "next_kind"), list(pairwise(IN_ORDER)))
def test_parts_are_joined_in_one_order(kind, next_kind):
    for first, second in product(kind, next_kind):
        assert split_method(f"{first}+{second}") == [first, second]
        assert split_method(f"original+{second}") == [second]
        with pytest.raises(ItlError, match=re.escape(f"is spelt {first}+{second}")):
            split_method(f"{second}+{first}")


@pytest.mark.parametrize("kind", IN_ORDER)
def test_a_method_has_one_part_of_a_kind(kind):
    for first, second in product(kind, kind):
        with pytest.raises(ItlError, match=re.escape(f"two parts of one kind, {first} and {second}; keep")):
            split_method(f"{first}+{second}")


def test_parts_keep_what_all_of_them_keep(tree):
    labels = label_set(tree, "bottom-up@2+only@animal+without@fish", LEAVES)
    assert labels.class_of == {"husky": "dog", "poodle": "dog"}
    assert label_set(tree, "top-down@1+without@vehicle", LEAVES).classes == ["dog", "fish"]


def test_any_part_may_need_the_tree():
    assert needs_tree("half-random-a@0+without@dog")
    assert needs_tree("bottom-up@2+half-random-a@0")
    assert needs_tree("file@classes.csv")  # which may list names
    assert not needs_tree("original+half-random-b@0")


@pytest.mark.parametrize("seed", [-3, 0, 12])
def test_a_seed_is_spelt_one_way(seed):
    wnids = [f"class {number}" for number in range(9)]
    assert label_set(Taxonomy.snapshot(), f"half-random-a@{seed}", wnids) == halves_random(wnids, seed)[0]


@pytest.mark.parametrize("number", [0, 1, 12])
def test_balanced_halves_are_numbered_from_0(tree, number):
    assert len(label_set(tree, f"half-balanced@{number}", LEAVES).class_of) == 2


def test_bottom_up_moves_only_the_deepest(tree):
    labels = bottom_up(tree, ["husky", "poodle", "trout", "car"], level=2)
    assert labels.class_of == {"husky": "dog", "poodle": "dog", "trout": "fish", "car": "car"}


def test_bottom_up_says_how_far_it_can_go(tree):
    with pytest.raises(ItlError, match="level from 0 to 3"):
        bottom_up(tree, ["husky", "car"], level=9)


def test_without_drops_by_any_path(tree):
    assert without(tree, LEAVES, ["pet"]).classes == ["car", "husky", "trout"]
    assert without(tree, LEAVES, ["dog", "car"], "no-dogs").class_of == {"trout": "trout"}


def test_nodes_of_a_cut_have_no_order(tree):
    assert label_set(tree, "cut@dog,animal,dog", LEAVES) == label_set(tree, "cut@animal,dog", LEAVES)


def test_original_takes_any_class(tree):
    labels = label_set(tree, "original", ["kitchen", "husky", "tall, old building"])
    assert labels.classes == ["husky", "kitchen", "tall, old building"]
    assert list(csv.reader(io.StringIO(labels.to_csv())))[-1] == ["tall, old building"] * 2


def test_csv(tree):
    assert label_set(tree, "bottom-up@2", LEAVES).to_csv() == (
        "wnid,label\ncar,car\nhusky,dog\npoodle,dog\ntrout,fish\n"
    )


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("botom-up@2", "no label method called 'botom-up'; did you mean 'bottom-up'"),
        ("", "no label method called ''"),
        (
            "file@a+b.csv",
            "no label method called 'b.csv'; a . begins another method: name a file without . in",
        ),
        ("file@a.csv+withuot@dog", "no label method called 'withuot'; did you mean 'without'. a . begins"),
        (
            "file@c#1.csv",
            "file needs a file without # in its path, as in file@superclasses.csv; got 'file@c#1",
        ),
        ("original+original", "'original.original' has two parts of one kind, original and original"),
        ("original@", "original takes nothing after it, but got '@'; write original"),
        ("half-minimal-a@3", "half-minimal-a takes nothing after it, but got '@3'"),
        ("bottom-up", "bottom-up needs a level, as in bottom-up@9; got 'bottom-up'"),
        ("bottom-up@", "bottom-up needs a level"),
        ("bottom-up@two", "bottom-up needs a level, as in bottom-up@9; got 'bottom-up@two'"),
        ("bottom-up@02", "bottom-up needs a level"),
        ("bottom-up@2.0", "bottom-up needs a level"),
        ("bottom-up@2@2", "bottom-up needs a level"),
        ("bottom-up@٢", "bottom-up needs a level"),
        ("bottom-up@4", "a level from 0 to 3 on these classes, not 4"),
        ("bottom-up@-1", "a level from 0 to 3 on these classes, not -1"),
        ("top-down", "top-down needs a number of rounds, as in top-down@1"),
        ("top-down@0", "from 1 to 2 rounds on these classes, not 0"),
        ("top-down@3", "from 1 to 2 rounds on these classes, not 3"),
        ("half-random-a@x", "half-random-a needs a seed, as in half-random-a@0"),
        ("half-random-a@-0", "half-random-a needs a seed"),
        ("half-random-b@00", "half-random-b needs a seed"),
        ("half-balanced@-1", "half-balanced needs a number from 0 to 9,999, as in half-balanced@0"),
        ("half-balanced@01", "half-balanced needs a number from 0"),
        ("half-balanced@10000", "half-balanced needs a number from 0 to 9,999"),
        ("half-along-tree@-1", "half-along-tree needs a number from 0 to 9,999, as in half-along-tree@0"),
        ("without-matched@0,", "without-matched needs a seed, or a seed and wnids, as in without-matched@0"),
        ("without-matched@dog", "without-matched needs a seed, or a seed and wnids"),
        ("without-matched@0,poodle,husky", "is spelt without-matched@0,husky,poodle"),
        ("without-matched@0,animal", "leaves out 3 other classes, as many as are under these nodes"),
        ("without-random@", "without-random needs a seed"),
        ("only@dog,,car", "only needs wnids"),
        ("only@vehicle,dog", "only@vehicle,dog is spelt only@dog,vehicle"),
        ("without@animal,dog", "without@animal,dog is spelt without@animal"),
        ("without@dog,dog", "without@dog,dog is spelt without@dog"),
        ("cut", "cut needs wnids, as in cut@n00015388,n00021939; got 'cut'"),
        ("cut@dog,", "cut needs wnids"),
        ("cut@dgo", "no 'dgo' among .*did you mean dog"),
        ("cut@dog,pet", r"cut at pet \(pet.n.01\) labels none of the 4 classes: 1 are below it, but not by"),
    ],
)
def test_bad_methods_are_refused_in_a_line(tree, method, says):
    with pytest.raises(ItlError, match=says) as caught:
        label_set(tree, method, LEAVES)
    assert "\n" not in str(caught.value)


def test_cut_needs_classes_below(tree):
    with pytest.raises(ItlError, match=r"cut at fish .* labels none of the 1 classes: none is below it"):
        label_set(tree, "cut@fish", ["husky"])


@pytest.mark.parametrize("method", [method for method in METHODS if needs_tree(method)])
def test_most_methods_take_no_classes_outside_the_tree(imagenet, method):
    with pytest.raises(ItlError, match=r"4 of 5 are not: 'attic', 'bar', 'cave', \.\.\.; original and"):
        label_set(imagenet, method, ["n02099601", "cave", "bar", "attic", "dam"])
    with pytest.raises(ItlError, match=r"3 of 4 are not: 'attic', 'bar', 'cave'; original and"):
        label_set(imagenet, method, ["n02099601", "cave", "bar", "attic"])


@pytest.mark.parametrize("method", METHODS)
def test_no_class_is_no_label_set(imagenet, method):
    with pytest.raises(ItlError, match="has no class to label"):
        label_set(imagenet, method, [])


@pytest.mark.parametrize(
    ("method", "wnids", "says"),
    [
        ("without-pascal", ["n02099601", "n02099712"], "without-pascal leaves none of the 2 classes"),
        ("half-random-a@0", ["n02099601"], "two halves need at least two classes, not 1"),
        ("half-minimal-b", ["n02099601", "n02099712"], "two groups, but all are under n00004258 at depth 4"),
    ],
)
def test_nothing_left_is_refused(imagenet, method, wnids, says):
    with pytest.raises(ItlError, match=says):
        label_set(imagenet, method, wnids)


# the published sets


def test_bottom_up_has_the_published_counts(imagenet):
    counts = [len(bottom_up(imagenet, imagenet.leaves, level).classes) for level in range(17, -1, -1)]
    assert counts == BOTTOM_UP
    assert len(bottom_up(imagenet, imagenet.leaves, 18).classes) == 1000


def test_top_down_has_the_published_counts(imagenet):
    assert [len(top_down(imagenet, imagenet.leaves, rounds).classes) for rounds in (1, 2, 3)] == TOP_DOWN


def test_pascal_overlap_has_the_published_counts(imagenet):
    below = {name: set(imagenet.leaves_under(wnid)) for name, wnid in PASCAL.items() if wnid in imagenet}
    assert PASCAL.keys() - below.keys() == {"cow"}
    assert {"cow": 0} | {name: len(leaves) for name, leaves in below.items()} == PASCAL_LEAVES
    kept = label_set(imagenet, "without-pascal", imagenet.leaves).class_of.keys()
    assert len(kept) == 771
    assert set(imagenet.leaves) - kept == set().union(*below.values())
    assert len(set().union(*below.values())) == 229


def test_minimal_halves_of_imagenet(imagenet):
    a, b = halves_minimal(imagenet, imagenet.leaves)
    assert (len(a.classes), len(b.classes)) == (522, 478)
    assert set(a.classes).isdisjoint(b.classes)
    assert sorted(a.classes + b.classes) == list(imagenet.leaves)
    above_a, above_b = ({above for wnid in half.classes for above in imagenet.path(wnid)} for half in (a, b))
    assert max(map(imagenet.depth, above_a & above_b)) == 3
    groups = groups_at(imagenet, imagenet.leaves, GROUP_DEPTH)
    sizes = {imagenet[node].name: len(group) for node, group in groups.items()}
    assert len(sizes) == 17
    assert list(sizes.items())[:2] == [("artifact.n.01", 522), ("living_thing.n.01", 407)]
    assert label_set(imagenet, "half-minimal-a", imagenet.leaves) == a
    assert label_set(imagenet, "half-minimal-b", imagenet.leaves) == b


def test_random_halves_of_imagenet(imagenet):
    a, b = (label_set(imagenet, f"half-random-{half}@7", imagenet.leaves) for half in "ab")
    assert len(a.classes) == len(b.classes) == 500
    assert sorted(a.classes + b.classes) == list(imagenet.leaves)
    other = label_set(imagenet, "half-random-a@8", imagenet.leaves)
    assert 200 < len(set(other.classes) & set(a.classes)) < 300  # 250 by chance, give or take 8


def test_random_halves_stay_as_they_are():
    """Runs are kept under these names: another draw for the same seed would be another result."""
    a, b = halves_random(["n01440764", "n01443537", "n01484850", "n01491361", "n01494475"], seed=0)
    assert (a.classes, b.classes) == (["n01440764", "n01491361", "n01494475"], ["n01443537", "n01484850"])


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_wnids_does_not_matter(imagenet, method):
    shuffled = random.Random(0).sample(imagenet.leaves, 1000)
    labels = label_set(imagenet, method, shuffled)
    assert labels.to_csv() == label_set(imagenet, method, imagenet.leaves).to_csv()


def test_the_control_of_pascal_loses_groups_as_it_does(imagenet):
    """Groups are those of the paper's 486 classes at depth 9; numbers of the control stand on the page."""
    groups = [set(group) for group in groups_at(imagenet, imagenet.leaves, 9).values()]

    def emptied(method: str) -> tuple[int, int]:
        left_out = set(imagenet.leaves) - label_set(imagenet, method, imagenet.leaves).class_of.keys()
        return len(left_out), sum(group <= left_out for group in groups)

    assert len(groups) == 486
    assert emptied("without-pascal") == (229, 21)
    assert {emptied(f"without-matched@{seed}") for seed in range(5)} == {(229, 25)}
    random = [emptied(f"without-random@{seed}")[1] for seed in range(10)]
    assert (min(random), max(random)) == (119, 139)
    assert (min(random) - 21) / 5 >= 25 - 21, "the imbalance is at most a fifth of that of random classes"


def test_a_control_is_whole_subtrees_without_the_removed(imagenet):
    pascal = set(imagenet.leaves) - set(label_set(imagenet, "without-pascal", imagenet.leaves).class_of)
    control = matched_control(imagenet, imagenet.leaves, pascal, seed=3)
    assert control.isdisjoint(pascal)
    assert control != matched_control(imagenet, imagenet.leaves, pascal, seed=4), (
        "the seed draws among equals"
    )
    groups = [
        set(group) for group in groups_at(imagenet, imagenet.leaves, 9).values() if set(group) & control
    ]
    assert all(group <= control or group & pascal for group in groups)


def test_a_control_stays_as_it_is(imagenet):
    """Runs are kept under its name, as those of random halves are."""
    csv_text = label_set(imagenet, "without-matched@0", imagenet.leaves).to_csv()
    assert sha256(csv_text.encode()).hexdigest()[:12] == "68edf08535a2"


def test_a_control_of_a_small_tree(tree):
    assert groups_at(tree, LEAVES, 2) == {"dog": ["husky", "poodle"], "car": ["car"], "fish": ["trout"]}
    assert list(groups_at(tree, LEAVES, 2)) == ["dog", "car", "fish"], "the largest first, then by name"
    assert list(groups_at(tree, ["trout", "car"], 1)) == ["animal", "vehicle"], "not by their classes"
    assert groups_at(tree, LEAVES, 9) == {wnid: [wnid] for wnid in LEAVES}
    assert len(matched_control(tree, LEAVES, {"trout"}, seed=0)) == 1
    dogs_and_two_fish = [*Taxonomy.snapshot().leaves_under("n02084071"), "n01440764", "n01443537"]
    with pytest.raises(ItlError, match="leaves out 118 other classes, as many .* only 2 are others"):
        label_set(Taxonomy.snapshot(), "without-matched@0", dogs_and_two_fish)
    with pytest.raises(ItlError, match="nothing to match: none of the 2 classes is PASCAL's"):
        label_set(Taxonomy.snapshot(), "without-matched@0", dogs_and_two_fish[-2:])


def test_the_control_of_a_whole_group_is_the_group_nearest_in_size():
    groups = {"a": 2, "b": 3, "c": 6}
    nodes = [Synset("top", "top.n.01", ("top",), "", ())]
    above = "top"
    for depth in range(CONTROL_DEPTH - 1):  # groups are under nodes at this depth
        nodes.append(Synset(f"d{depth}", f"d{depth}.n.01", ("d",), "", (above,)))
        above = f"d{depth}"
    for group, size in groups.items():
        nodes.append(Synset(group, f"{group}.n.01", (group,), "", (above,)))
        nodes += [Synset(f"{group}{n}", f"{group}{n}.n.01", ("x",), "", (group,)) for n in range(size)]
    leaves = [f"{group}{n}" for group, size in groups.items() for n in range(size)]
    tree = Taxonomy(nodes, leaves)
    assert [len(group) for group in groups_at(tree, leaves, CONTROL_DEPTH).values()] == [6, 3, 2]
    for seed in range(3):
        assert matched_control(tree, leaves, {"a0", "a1"}, seed) == {"b0", "b1", "b2"}
        assert matched_control(tree, leaves, {"b0", "b1", "b2"}, seed) == {"a0", "a1"}


def tree_of(parents: dict[str, str]) -> Taxonomy:
    """A tree of nodes by their parents; those that have no child are its leaves."""
    nodes = {*parents, *parents.values()}
    synsets = [
        Synset(node, f"{node}.n.01", (node,), "", tuple(filter(None, [parents.get(node)]))) for node in nodes
    ]
    return Taxonomy(synsets, nodes - {*parents.values()})


def test_a_control_in_a_shallow_tree_is_whole_subtrees():
    """Eighteen classes at depth 3, three under each of six nodes; two of these are food."""
    groups = {"fruit": "food", "bread": "food", "tool": "gear", "toy": "gear", "cat": "beast", "dog": "beast"}
    parents = groups | dict.fromkeys(groups.values(), "thing")
    parents |= {f"{group}{number}": group for group in groups for number in range(3)}
    tree = tree_of(parents)
    assert len(control_groups(tree, tree.leaves)) == 6
    food, controls = set(tree.leaves_under("food")), set()
    for seed in range(6):
        left_out = (
            set(tree.leaves) - label_set(tree, f"without-matched@{seed},food", tree.leaves).class_of.keys()
        )
        assert len(left_out) == 6
        assert len({leaf[:-1] for leaf in left_out}) == 2, "two whole groups"
        assert not left_out & food
        controls.add(frozenset(left_out))
    assert len(controls) > 1, "drawn by seed"
    part = tree.restricted(leaf for leaf in tree.leaves if leaf[-1] != "2")
    assert len(control_groups(part, part.leaves)) == 6, "as a part of a tree does"


@pytest.mark.parametrize(
    ("paths", "sizes"),
    [
        ("a/b/1 a/b/2 a/c/3 a/c/4 d/e/5 d/e/6", [2, 2, 2]),
        ("a/b/1 a/b/2 a/c/3 a/d/4", [2, 1, 1]),  # half have another in their group
        ("a/b/1 a/b/2 a/c/3 a/d/4 e/5", [4, 1]),  # fewer do at depth 2
        ("1 2 3", [1, 1, 1]),  # no depth makes groups
        ("a/1 a/2 a/3", [1, 1, 1]),  # nor two of them
        ("a/b/c/d/e/f/g/h/i/1 a/b/c/d/e/f/g/h/i/2 a/b/c/d/e/f/g/h/j/k/3", [2, 1]),  # no deeper than 9
    ],
)
def test_groups_of_another_tree_are_at_the_deepest_level_that_makes_them(paths, sizes):
    parents = {node: above for path in paths.split() for above, node in pairwise(["top", *path.split("/")])}
    tree = tree_of(parents)
    assert sorted(map(len, control_groups(tree, tree.leaves)), reverse=True) == sizes


def test_groups_of_the_usual_tree_are_at_depth_9_whatever_the_classes(imagenet):
    few = imagenet.leaves[::100]
    expected = [set(group) for group in groups_at(imagenet, few, CONTROL_DEPTH).values()]
    assert control_groups(imagenet, few) == expected
    assert max(map(len, expected)) == 1


def test_a_control_of_another_size_is_refused(imagenet):
    """The one group left beside 358 instruments and the like has 631 classes."""
    message = "should leave out about 358 other classes, as many as are under these nodes, .* allow 631; name"
    with pytest.raises(ItlError, match=message):
        label_set(imagenet, "without-matched@0,n03575240", imagenet.leaves)
    labels = label_set(imagenet, "without-matched@0,n03563967", imagenet.leaves)  # 38 implements
    assert len(imagenet.leaves) - len(labels.class_of) == 39, "as near as whole subtrees allow"


def test_a_matched_control_of_any_nodes_has_none_of_them(imagenet):
    dogs = set(imagenet.leaves_under("n02084071"))
    controls = set()
    for seed in range(4):
        labels = label_set(imagenet, f"without-matched@{seed},n02084071", imagenet.leaves)
        left_out = set(imagenet.leaves) - labels.class_of.keys()
        assert not left_out & dogs
        assert len(dogs) - 5 <= len(left_out) <= len(dogs)
        controls.add(frozenset(left_out))
    assert len(controls) > 1, "each seed leaves out others"
    pascal = label_set(imagenet, "without-pascal", imagenet.leaves).class_of.keys()
    assert pascal.isdisjoint(dogs)


def test_one_class_as_text_is_no_list_of_letters(tree):
    with pytest.raises(ItlError, match=r"^classes are given as a list; got 'trout': give \['trout'\]$"):
        label_set(tree, "original", "trout")
