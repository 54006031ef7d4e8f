"""Subsets: nested, written down, and refused where there are not enough images."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itl import ItlError
from itl.hierarchy.taxonomy import Taxonomy
from itl.packs.subset import SubsetCounts, check_enough, count_subset, manifest, merge, select
from itl.specs import Subset

DOG, FOX, CAR, PIZZA = "n02113799", "n02119022", "n04285008", "n07873807"


def world(train: dict[str, int], **others: dict[str, int]) -> SimpleNamespace:
    """A pack without pixels: so many images of each class, for each split."""
    rows = [
        (f"{split}/{wnid}/{number}", wnid, split)
        for split, counts in {"train": train, **others}.items()
        for wnid, count in counts.items()
        for number in range(count)
    ]
    table = pd.DataFrame(rows, columns=["image", "wnid", "split"])
    counts = table["split"].value_counts().to_dict()
    return SimpleNamespace(table=table, summary={"splits": counts}, folder="world", digest="d")


PACK = world({DOG: 6, FOX: 9, CAR: 5, PIZZA: 7}, val={DOG: 2, FOX: 2, CAR: 2})


def kept_images(split: str = "train", **subset) -> pd.DataFrame:
    return manifest(PACK, select(PACK, Subset("d", **subset), split))


def test_everything_is_the_default():
    selection = select(PACK, Subset("d"))
    assert selection.classes == (DOG, FOX, CAR, PIZZA)
    assert selection.rows.tolist() == list(range(27))
    assert selection.labels.tolist() == [0] * 6 + [1] * 9 + [2] * 5 + [3] * 7
    assert selection.rows.dtype == selection.labels.dtype == np.int64


def test_a_manifest_names_image_wnid_and_class():
    table = kept_images("val", classes=4)
    assert list(table.columns) == ["image", "wnid", "label"]
    assert table.iloc[0].tolist() == [f"val/{DOG}/0", DOG, DOG]
    assert len(table) == 6


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 99), images=st.integers(1, 4), classes=st.integers(1, 3))
def test_smaller_subsets_lie_inside_larger_ones(seed, images, classes):
    small = set(kept_images(seed=seed, images_per_class=images, classes=classes)["image"])
    more_images = set(kept_images(seed=seed, images_per_class=images + 1, classes=classes)["image"])
    more_classes = set(kept_images(seed=seed, images_per_class=images, classes=classes + 1)["image"])
    assert len(small) == images * classes
    assert small < more_images
    assert small < more_classes


def test_the_same_images_stay_when_the_pack_grows():
    """The rank of an image depends on its id and the seed only."""
    subset = Subset("d", images_per_class=3)
    few, many = world({DOG: 5}), world({DOG: 50})
    first = manifest(many, select(many, subset))["image"]
    among_few = [image for image in first if int(image.split("/")[-1]) < 5]
    assert set(among_few) <= set(manifest(few, select(few, subset))["image"])


def test_seeds_differ_and_repeat():
    sets = [tuple(kept_images(seed=seed, images_per_class=3)["image"]) for seed in (0, 1, 0)]
    assert sets[0] == sets[2] != sets[1]


def test_other_splits_keep_all_images_of_the_classes_kept():
    subset = Subset("d", classes=3, images_per_class=1, seed=3)
    train, val = select(PACK, subset), select(PACK, subset, "val")
    assert train.classes == val.classes
    assert len(train.rows) == 3
    assert len(val.rows) == 2 * len({DOG, FOX, CAR} & set(val.classes))


def test_coarse_labels_count_images_per_coarse_class():
    selection = select(PACK, Subset("d", labels="bottom-up@8", images_per_class=5))
    assert len(selection.classes) == 3
    assert np.bincount(selection.labels).tolist() == [5, 5, 5]
    table = manifest(PACK, selection)
    assert set(table["label"]) == set(selection.classes)
    assert table["wnid"].isin([DOG, FOX, CAR, PIZZA]).all()


def test_left_out_classes_are_left_out():
    assert set(kept_images(labels="without-pascal")["wnid"]) == {FOX, PIZZA}


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ((DOG,), "without standard poodle"),
        ((DOG, FOX, CAR), "without standard poodle, red fox, sports car"),
        ((DOG, FOX, CAR, PIZZA), "without standard poodle, red fox, sports car and 1 more"),
    ],
)
def test_what_labels_leave_out_is_counted_under_the_names_of_at_most_three_nodes(nodes, words):
    images = dict.fromkeys((DOG, FOX, CAR, PIZZA, "n01440764"), 3)
    counts = count_subset(Taxonomy.snapshot(), images, Subset("d", f"without@{','.join(nodes)}"))
    assert counts.left_out == {words: len(nodes)}


def test_plain_class_names_are_labels_too():
    pack = world({"Bedroom": 2, "Coast": 3}, test={"Coast": 1})
    assert select(pack, Subset("d"), "test").labels.tolist() == [1]


@pytest.mark.parametrize(
    ("subset", "message"),
    [
        ({"images_per_class": 6}, rf"6 images per class were asked for; class {CAR} has 5 in train \(1 of 4"),
        ({"images_per_class": 0}, "images_per_class should be at least 1, not 0"),
        ({"classes": 5}, "5 classes were asked for; with labels original the pack has 4"),
        (
            {"classes": 5, "labels": f"without@{','.join(Taxonomy.snapshot().leaves[:20])}"},
            r"5 classes .* with labels without@.{91}… the pack has 4; ask for 4 at most$",
        ),
        ({"classes": 0}, "classes should be at least 1, not 0"),
        ({"labels": "orignal"}, "original"),
    ],
)
def test_too_much_is_refused_with_what_there_is(subset, message):
    with pytest.raises(ItlError, match=message):
        kept_images(**subset)


def test_unknown_and_empty_splits():
    with pytest.raises(ItlError, match="did you mean 'val'"):
        kept_images("vall")
    pack = world({FOX: 1, DOG: 2}, val={DOG: 1})
    says = f"keeps none of the 1 val images of world; its classes are such as {FOX}; choose other labels"
    with pytest.raises(ItlError, match=says):
        select(pack, Subset("d", labels="without-pascal"), "val")


def test_at_most_so_many_images_keeps_all_of_smaller_classes():
    counts = kept_images(images_per_class=6, at_most=True)["wnid"].value_counts()
    assert counts.to_dict() == {DOG: 6, FOX: 6, CAR: 5, PIZZA: 6}
    kept = count_subset(
        Taxonomy.snapshot(), {DOG: 6, FOX: 9, CAR: 5}, Subset("d", images_per_class=6, at_most=True)
    )
    assert kept.images == {DOG: 6, FOX: 6, CAR: 5}


def test_one_leaf_of_each_class_is_the_same_in_every_split():
    train = kept_images(labels="bottom-up@5", leaves=1)
    assert train.groupby("label")["wnid"].nunique().eq(1).all()
    assert train["label"].nunique() == kept_images(labels="bottom-up@5")["label"].nunique() < 4
    val = kept_images("val", labels="bottom-up@5", leaves=1)
    assert set(val["wnid"]) <= set(train["wnid"])
    drawn = {
        tuple(sorted(set(kept_images(labels="bottom-up@5", leaves=1, seed=seed)["wnid"])))
        for seed in range(9)
    }
    assert len(drawn) > 1, "the seed draws them"
    with pytest.raises(ItlError, match="leaves should be at least 1, not 0"):
        kept_images(leaves=0)


def test_a_name_of_labels_is_no_subset():
    with pytest.raises(ItlError, match=r"^subset is a Subset, such as Subset\(pack.digest, 'original'\);"):
        select(PACK, "original")


def test_a_subset_of_another_pack_is_refused():
    pack = world({DOG: 2, FOX: 2})
    pack.summary["digest"] = "this"
    for digest in ("", "this"):
        assert len(select(pack, Subset(digest, images_per_class=1)).rows) == 2
    says = r"^the subset is of pack other, and .* is this; .*replace\(subset, pack='this'\)$"
    with pytest.raises(ItlError, match=says):
        select(pack, Subset("other", images_per_class=1))


def test_labels_of_another_tree_are_refused(tree):
    says = (
        f"^bottom-up@5 is of taxonomy of WordNet, as it comes with itl; got {tree.digest}; give the taxonomy"
    )
    with pytest.raises(ItlError, match=says):
        select(PACK, Subset("d", "bottom-up@5"), tree=tree)
    with pytest.raises(ItlError, match="^bottom-up@5 is of taxonomy abc; got that one; give the taxonomy"):
        select(PACK, Subset("d", "bottom-up@5", tree="abc"))
    assert len(select(PACK, Subset("d"), tree=tree).classes) == 4, "original labels need no tree"


def test_a_pack_without_training_images_has_the_classes_of_its_split():
    pack = world({}, test={FOX: 2, DOG: 1})
    selection = select(pack, Subset("d", images_per_class=1), "test")
    assert (selection.classes, selection.labels.tolist()) == ((DOG, FOX), [1, 1, 0])


def test_images_that_other_packs_have_are_left_out_of_training_alone(monkeypatch):
    seen = {f"train/{DOG}/0", f"train/{CAR}/4", f"val/{DOG}/0"}
    monkeypatch.setattr(
        "itl.packs.subset.seen_images", lambda pack, others: seen if others == ("e",) else set()
    )
    kept = kept_images(without=("e",))
    assert len(kept) == 25
    assert seen.isdisjoint(kept["image"])
    assert len(kept_images("val", without=("e",))) == 6
    assert len(kept_images(without=("e",), images_per_class=4)) == 16
    with pytest.raises(ItlError, match=f"class {CAR} has 4 in train"):
        kept_images(without=("e",), images_per_class=5)


@pytest.mark.parametrize("subset", [{}, {"images_per_class": 5}, {"images_per_class": 9, "at_most": True}])
def test_a_class_whose_images_are_all_left_out_is_refused(monkeypatch, subset):
    seen = {f"train/{CAR}/{number}" for number in range(5)} | {f"train/{DOG}/0"}
    monkeypatch.setattr("itl.packs.subset.seen_images", lambda pack, others: seen)
    says = (
        f"^leave_out_duplicates leaves out all training images of {CAR} \\(1 of 4 classes\\), as each is "
        f"among the images that a target is scored on; set it to false, or keep only classes that have other"
    )
    with pytest.raises(ItlError, match=says):
        kept_images(without=("e",), **subset)
    assert len(kept_images(labels=f"without@{CAR}", without=("e",))) == 21
    assert len(kept_images("val", without=("e",), **subset)) == 6


COUNTS = {DOG: 6, FOX: 9, CAR: 5, PIZZA: 7}


def counted(images: dict[str, int] = COUNTS, **subset) -> SubsetCounts:
    return count_subset(Taxonomy.snapshot(), images, Subset("d", **subset))


def test_what_is_counted_is_what_is_kept():
    assert counted() == SubsetCounts(COUNTS, {wnid: [wnid] for wnid in COUNTS}, 4, {})
    three = counted(classes=3, seed=3, images_per_class=5)
    classes = select(PACK, Subset("d", classes=3, seed=3)).classes
    left_out = {"1 class not picked by seed 3": 1}
    assert three == SubsetCounts(dict.fromkeys(classes, 5), {wnid: [wnid] for wnid in classes}, 4, left_out)
    coarse = counted(labels="bottom-up@8")
    selection = select(PACK, Subset("d", labels="bottom-up@8"))
    assert list(coarse.images.values()) == np.bincount(selection.labels).tolist()
    assert (tuple(coarse.images), sorted(coarse.leaves.values())) == (selection.classes, [1, 1, 2])
    assert sum(counted(labels="bottom-up@8", leaves=1).leaves.values()) == 3
    assert sum(counted(labels="bottom-up@0", leaves=3).leaves.values()) == 3


def test_without_a_pack_only_classes_are_counted():
    none = counted(dict.fromkeys(COUNTS, 0), images_per_class=5)
    assert (set(none.images.values()), sum(none.leaves.values())) == ({0}, 4)
    with pytest.raises(ItlError, match=rf"5 images per class .* class {DOG} has 0 in train \(1 of 4"):
        counted(COUNTS | {DOG: 0}, images_per_class=5)
    with pytest.raises(ItlError, match=rf"6 images per class .* class {CAR} has 5 in train \(1 of 4"):
        counted(images_per_class=6)


@pytest.mark.parametrize(
    ("labels", "left_out"),
    [
        ("without-pascal", {"without pascal": 2}),
        ("cut@n02083346", {"under no class of the cut": 2}),
        ("half-random-a@0", {"half-random-a@0": 2}),
        ("cut@n02083346+without-pascal", {"without pascal": 2, "under no class of the cut": 1}),
        (f"only@{DOG},{FOX}", {"only standard poodle, red fox": 2}),
    ],
)
def test_what_leaves_classes_out_is_named_once_for_each_class(labels, left_out):
    assert counted(labels=labels).left_out == left_out


def test_splits_of_one_pack_are_merged_in_the_order_of_its_rows():
    train, val = select(PACK, Subset("d")), select(PACK, Subset("d", labels="without@n07873807"), "val")
    with pytest.raises(ItlError, match="one has 4, the other 3; give both images of every class"):
        merge(train, val)
    both = merge(val, select(PACK, Subset("d", labels="without@n07873807")))
    assert both.rows.tolist() == [*range(20), *range(27, 33)]
    assert both.labels.tolist() == [0] * 6 + [1] * 9 + [2] * 5 + [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("counts", "way"),
    [
        ((3, 1), "ask for at most 1, or leave out the classes that have fewer$"),
        ((1, 1), "ask for at most 1$"),
    ],
)
def test_other_classes_are_only_offered_where_some_have_enough(counts, way):
    with pytest.raises(
        ItlError, match=f"2 images per class were asked for; class .* has 1 in train .*; {way}"
    ):
        check_enough(counts, ["a", "b"], 2)
