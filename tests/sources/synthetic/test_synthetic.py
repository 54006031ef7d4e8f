"""The demo world: the same bytes everywhere, near classes alike, boxes exact."""

import hashlib
import inspect
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from itl import ItlError
from itl.hierarchy.taxonomy import Taxonomy
from itl.hierarchy.voc_classes import PASCAL
from itl.sources.boxes import crop_with_context
from itl.sources.registry import open_source
from itl.sources.synthetic.appearance import GENES, Appearances, draw, inner_step, looks_of, reach
from itl.sources.synthetic.classes import DemoClasses, DemoKinds, spread_leaves
from itl.sources.synthetic.planted import HARMFUL, HELPFUL, SURFACE_NAMES, DemoPlanted, DemoSurfaces
from itl.sources.synthetic.shapes import Pose, Window, limb, random_stream, rgb, slab, tight_box, unit, wave
from itl.sources.synthetic.targets import (
    ACTION_POSES,
    SCENES,
    DemoActions,
    DemoDetection,
    DemoScenes,
    annotate_visible,
    positions,
)

SOURCES = [
    DemoClasses(),
    DemoScenes(),
    DemoDetection(),
    DemoActions(),
    DemoKinds(),
    DemoPlanted(),
    DemoSurfaces(),
]
PINNED = [
    "9bacc3daa241",
    "757661833906",
    "8a402d525867",
    "b7322fca1ff6",
    "7121c9046f6e",
    "3ebcdf0bd36a",
    "85f008480e6a",
]
EVERY_SOURCE = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.kind)


def digest(source, count: int = 40) -> str:
    """The sha256 of *count* of the pictures of *source*, spread over its records."""
    records = source.records()
    pixels = hashlib.sha256()
    for record in records[:: len(records) // count][:count]:
        pixels.update(source.read(record).tobytes())
    return pixels.hexdigest()


@pytest.fixture(scope="module")
def world() -> Taxonomy:
    return Taxonomy.snapshot()


@EVERY_SOURCE
def test_records_are_sorted_unique_and_complete(source):
    records = source.records()
    assert [record.id for record in records] == sorted({record.id for record in records})
    assert records == source.records()
    per_class = {split: getattr(source, split) for split in {record.split for record in records}}
    assert len(records) == len({record.wnid for record in records}) * sum(per_class.values())


@EVERY_SOURCE
def test_images_are_uint8_of_the_asked_size(source):
    image = source.read(source.records()[0])
    if source.kind == "demo-actions":  # the figure with some context, cut off at the image's edges
        [figure] = source.annotation(source.records()[0])
        rows, columns = crop_with_context(figure.box, source.context, source.size, source.size)
        assert image.shape == (rows.stop - rows.start, columns.stop - columns.start, 3)
        assert image.shape[0] > figure.box[3] - figure.box[1]
    else:
        assert image.shape == (source.size, source.size, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous


@EVERY_SOURCE
def test_an_image_depends_on_nothing_but_seed_and_record(source):
    records = source.records()[:24]
    one_by_one = [source.read(record).tobytes() for record in records]
    copy = pickle.loads(pickle.dumps(source))
    with ThreadPoolExecutor(4) as pool:
        backwards = pool.map(lambda record: copy.read(record).tobytes(), reversed(records))
        assert list(backwards) == one_by_one[::-1]
    assert len(set(one_by_one)) == len(records)
    reseeded = type(source)(seed=1)
    assert reseeded.read(records[0]).tobytes() != one_by_one[0]


def test_another_process_draws_the_same_bytes():
    script = "\n".join(
        [
            "import hashlib",
            "from itl.sources.synthetic.classes import DemoClasses",
            "from itl.sources.synthetic.classes import DemoKinds",
            "from itl.sources.synthetic.planted import DemoPlanted, DemoSurfaces",
            "from itl.sources.synthetic.targets import DemoActions, DemoDetection, DemoScenes",
            inspect.getsource(digest),
            f"print(*map(digest, {SOURCES}))",
        ]
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )
    assert run.stdout.split() == [digest(source) for source in SOURCES]


def test_every_machine_draws_the_same_bytes():
    assert [digest(source)[:12] for source in SOURCES] == PINNED


def test_leaves_are_spread_in_pairs_of_siblings(world):
    leaves = spread_leaves(world, 40)
    assert leaves == sorted(set(leaves)) == DemoClasses().names
    assert set(leaves) <= set(world.leaves)
    families = [world.parent(wnid) for wnid in leaves]
    assert sum(families.count(family) >= 2 for family in families) == 40
    pascal = {wnid for wnid in leaves if world.ancestors(wnid) & set(PASCAL.values())}
    assert 5 <= len(pascal) <= 20


@pytest.mark.parametrize("count", [2, 3, 7, 999, 1000])
def test_any_number_of_classes(world, count):
    assert len(set(spread_leaves(world, count))) == count


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (DemoClasses, {"classes": 1}, "from 2 to 1000 classes, not 1"),
        (DemoClasses, {"classes": 1001}, "from 2 to 1000 classes, not 1001"),
        (DemoClasses, {"train": 0}, "train of at least 1, not 0"),
        (DemoScenes, {"classes": 99}, f"from 2 to {len(SCENES)} classes, not 99"),
        (DemoClasses, {"train": 10**10}, "train of at most 100,000, not 10,000,000,000"),
        (DemoScenes, {"size": 8193}, "size of at most 8,192, not 8,193"),
        (DemoScenes, {"size": -4}, "size of at least 1, not -4"),
        (DemoDetection, {"test": 0}, "test of at least 1, not 0"),
        (DemoActions, {"train": 0}, "train of at least 1, not 0"),
        (DemoPlanted, {"classes": 1}, "source demo-planted has from 2 to 1000 classes, not 1"),
        (DemoSurfaces, {"train": 0}, "train of at least 1, not 0"),
        (DemoKinds, {"classes": 1}, "from 2 to 100 classes, not 1"),
        (DemoKinds, {"test": 0}, "test of at least 1, not 0"),
        (DemoKinds, {"under": "n02099601"}, "n02099601 .golden_retriever.n.01. is a leaf; give its parent"),
        (
            DemoKinds,
            {"under": "bird"},
            "no 'bird' .* n01503061 .*[?] source demo-kinds knows no other",
        ),
        (DemoKinds, {"under": ""}, "no '' among .* taxonomy; source demo-kinds knows no other taxonomy$"),
    ],
)
def test_impossible_worlds_are_refused(make, settings, message):
    with pytest.raises(ItlError, match=message):
        make(**settings)


def test_a_node_looks_like_its_parent_changed_a_little(world):
    appearances = Appearances(world)
    leaf = "n02099601"  # golden retriever
    parent = world.parent(leaf)
    change = np.abs(appearances.genes(leaf) - appearances.genes(parent))
    assert 0 < change.max() < 0.6
    assert (Appearances(world).genes(leaf) == appearances.genes(leaf)).all()
    assert (Appearances(world, seed=1).genes(leaf) != appearances.genes(leaf)).all()
    assert (inner_step(12) < inner_step(6)).all()


def test_new_kinds_are_spread_over_the_families_under_their_nodes(world):
    birds = DemoKinds(classes=8)
    assert [record.wnid for record in birds.records()][:: birds.test][:8] == sorted(birds.families)
    assert len(set(birds.families.values())) == 8
    assert all("n01503061" in world.path(family) for family in birds.families.values())
    assert all(world.children(family) for family in birds.families.values())
    assert not set(birds.families) & set(world)
    both = DemoKinds(under="n03405725,n01503061", classes=40).families.values()
    assert {node for family in both for node in ("n03405725", "n01503061") if node in world.path(family)} == {
        "n03405725",
        "n01503061",
    }


def test_new_kinds_of_one_family_are_numbered_and_differ():
    many = DemoKinds(under="n02512053", classes=20)  # fish, of which there are 13 families
    assert sorted({name.partition("-")[2] for name in many.families}) == ["0", "1"]
    twins = [name for name in many.families if f"{name[:9]}-1" in many.families]
    assert many.class_names[twins[0]].startswith("new ")
    appearances = Appearances(Taxonomy.snapshot(), many.seed)
    one, other = (appearances.new_leaf(twins[0][:9], f"{twins[0][:9]}-{number}") for number in (0, 1))
    assert np.abs(one - other).max() > 0.05


def tree_distances(tree: Taxonomy, wnids: list[str]) -> np.ndarray:
    """How far apart classes are, 0 to 1: the share of their paths to the root that they do not share."""

    def distance(a: str, b: str) -> float:
        return 1 - 2 * tree.depth(tree.lowest_common_ancestor(a, b)) / (tree.depth(a) + tree.depth(b))

    return np.array([[distance(a, b) for b in wnids] for a in wnids])


def test_siblings_look_more_alike_than_far_classes(world):
    wnids = spread_leaves(world, 200)
    appearances = Appearances(world)
    looks = np.stack([wave(appearances.genes(wnid) / 2) for wnid in wnids])
    apart = np.sqrt(((looks[:, None] - looks) ** 2).sum(2))
    distances, pairs = tree_distances(world, wnids), ~np.eye(len(wnids), dtype=bool)
    siblings = np.array([[world.parent(a) == world.parent(b) for b in wnids] for a in wnids]) & pairs
    assert spearmanr(apart[pairs], distances[pairs]).statistic > 0.4
    assert apart[siblings].max() < np.median(apart[pairs])
    assert apart[siblings].min() > 0.3  # and none are the same


def simple_features(image: np.ndarray) -> np.ndarray:
    """A picture as coarse pixels, and histograms of edge directions and of colours."""
    grey = image.mean(2)
    right, down = np.diff(grey, axis=1)[1:], np.diff(grey, axis=0)[:, 1:]
    strength = np.abs(right) + np.abs(down)
    direction = (np.arctan2(down, right) % np.pi / np.pi * 8).astype(int) % 8
    edges = [
        np.bincount(direction[y : y + 11, x : x + 11].ravel(), strength[y : y + 11, x : x + 11].ravel(), 8)
        for y in (0, 10, 20)
        for x in (0, 10, 20)
    ]
    tints = (image[6:26, 6:26] // 64).reshape(-1, 3).astype(int) @ [16, 4, 1]
    coarse = image.reshape(8, 4, 8, 4, 3).mean((1, 3)).ravel()
    counts = np.concatenate([*edges, np.bincount(tints, minlength=64)])
    return np.concatenate([coarse / 20, np.sqrt(counts)])


def test_classes_are_learnable_and_near_ones_confused_most(world):
    source = DemoClasses(train=25, val=15, size=32)
    records, wnids = source.records(), source.names
    features = np.stack([simple_features(source.read(record)) for record in records])
    labels = np.array([wnids.index(record.wnid) for record in records])
    train = np.array([record.split == "train" for record in records])
    features = StandardScaler().fit(features[train]).transform(features)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5).fit(features[train], labels[train])
    beliefs = model.predict_proba(features[~train])
    assert 0.15 < (beliefs.argmax(1) == labels[~train]).mean() < 0.60  # chance is 0.025
    taken_for = np.stack([beliefs[labels[~train] == label].mean(0) for label in range(len(wnids))])
    pairs, distances = ~np.eye(len(wnids), dtype=bool), tree_distances(world, wnids)
    assert spearmanr(taken_for[pairs], distances[pairs]).statistic < -0.15
    assert taken_for[pairs & (distances < 0.2)].mean() > 1.8 * taken_for[pairs & (distances > 0.5)].mean()


def test_shapes_and_colours():
    grid = np.array([[0.0, 1.0, 3.0]])
    assert limb(grid, 0 * grid, (0, 0), (1, 0), (0.5, 0.5)) == pytest.approx(np.array([[-0.5, -0.5, 1.5]]))
    assert slab(grid, 0 * grid, (1.0, 0.5), 0.0) == pytest.approx(np.array([[-0.5, 0.0, 2.0]]))
    assert rgb(1 / 3, 1, 1).ravel() == pytest.approx([0, 255, 0])
    assert (unit(0), unit(1), unit(-1)) == ((1, 0), (0, 1), (0, -1))
    assert wave(np.array([0, 0.25, 0.5, 1.0])).tolist() == [0, 0.5, 1, 0]


def test_box_of_a_drawn_slab_is_exact():
    canvas, mask = np.zeros((3, 20, 30), np.float32), np.zeros((20, 30), np.float32)
    window = Window.on(canvas, mask, Pose(x=12.0, y=9.0, scale=1.0), reach=8)
    window.paint(slab(window.u, window.v, (5.0, 3.0), 0.0), np.full((3, 1, 1), 200, np.float32))
    assert tight_box(mask > 0.5) == (8, 7, 17, 12)  # pixels 7..16 and 6..11, counted from 1
    assert (canvas.max(0) > 0).sum() == 60
    assert tight_box(np.zeros((3, 3), bool)) is None


def test_no_object_reaches_beyond_its_reach():
    for number in range(200):
        looks = looks_of(3 * random_stream("looks", number).random(len(GENES)))
        mask = np.zeros((96, 96), np.float32)
        draw(np.zeros((3, 96, 96), np.float32), mask, Pose(48, 48, 14.0), looks, gait=0.15)
        farthest = np.abs(np.argwhere(mask > 0.5) + 0.5 - 48).max() / 14
        assert farthest < reach(looks)  # else its window may have cut it


def test_what_is_seen_of_things_drawn_one_over_the_other():
    def block(top, bottom, left, right):
        mask = np.zeros((40, 40), bool)
        mask[top:bottom, left:right] = True
        return mask

    drawn = [
        ("far", block(12, 28, 10, 26)),
        ("hidden", block(22, 24, 22, 24)),
        ("near", block(10, 30, 18, 30)),
        ("outside", block(0, 5, 0, 40)),
    ]
    objects = annotate_visible(drawn, slice(10, 30))
    by_name = {one.name: one for one in objects}
    assert [one.name for one in objects] == ["far", "near"]
    assert by_name["near"].box == (9, 1, 20, 20)
    assert not by_name["near"].truncated
    assert by_name["far"].box == (1, 3, 8, 18)  # columns 10..17 are seen, of 10..25
    assert not by_name["far"].difficult


def test_a_thing_cut_by_the_edge_is_truncated_and_difficult_when_less_than_half_is_left():
    inside, masks = slice(10, 30), []
    for left in (25, 15, 2):  # columns outside of 16: 11, 1 and 8 on the other side
        masks.append(np.zeros((40, 40), bool))
        masks[-1][12:28, left : left + 16] = True
    objects = [annotate_visible([("thing", mask)], inside)[0] for mask in masks]
    assert [one.box for one in objects] == [(16, 3, 20, 18), (6, 3, 20, 18), (1, 3, 8, 18)]
    assert [one.truncated for one in objects] == [True, True, True]
    assert [one.difficult for one in objects] == [True, False, False]


def test_detection_annotations_are_sound():
    source = DemoDetection()
    objects = [(one, record) for record in source.records() for one in source.annotation(record)]
    assert {record.wnid for record in source.records()} == set(PASCAL) == {one.name for one, _ in objects}
    for one, _ in objects:
        left, top, right, bottom = one.box
        assert 1 <= left <= right <= source.size
        assert 1 <= top <= bottom <= source.size
    for what in ("difficult", "truncated"):
        assert 0.03 < np.mean([getattr(one, what) for one, _ in objects]) < 0.5
    assert max(len(source.annotation(record)) for record in source.records()[:60]) >= 3


def test_action_boxes_hold_the_figure():
    source = DemoActions()
    assert {record.wnid for record in source.records()} == set(ACTION_POSES)
    assert len(ACTION_POSES) == 10
    for record in source.records()[::7]:
        [figure] = source.annotation(record)
        left, top, right, bottom = figure.box
        assert figure.name == record.wnid
        assert 1 <= left < right <= source.size
        assert 1 <= top < bottom <= source.size
        assert bottom - top > source.size / 4


@pytest.mark.parametrize("arrangement", sorted({how for _, how in SCENES.values()}))
def test_positions_are_in_the_image(arrangement):
    points = np.array([positions(arrangement, 6, random_stream("places", number)) for number in range(20)])
    assert points.shape == (20, 6, 2)
    assert points.min() > 0
    assert points.max() < 1


def images_by_class(source, count: int = 30) -> dict[str, list[np.ndarray]]:
    """Draw the first images of each class."""
    records: dict[str, list] = {}
    for record in source.records():
        records.setdefault(record.wnid, []).append(record)
    return {wnid: [source.read(record) for record in listed[:count]] for wnid, listed in records.items()}


@pytest.fixture(scope="module")
def planted() -> dict[str, list[np.ndarray]]:
    return images_by_class(DemoPlanted())


def hue_vectors(images: list[np.ndarray], middle: bool) -> np.ndarray:
    """Where the most saturated pixels of images, in their middle or around it, lie on the circle of hues."""
    side = len(images[0])
    inside, half = np.zeros((side, side), bool), slice(side // 4, -side // 4)
    inside[half, half] = True
    vectors = []
    for image in images:
        pixels = image[inside == middle].astype(float)
        colour = pixels @ np.exp(2j * np.pi * np.arange(3) / 3)
        vectors.append(colour[np.abs(colour).argsort()[-len(colour) // 10 :]].mean())
    return np.array(vectors)


@pytest.mark.parametrize(("nodes", "middle"), [(HELPFUL, True), (HARMFUL, False)])
def test_what_is_planted_is_in_the_pixels(world, planted, nodes, middle):
    """Classes that help have a colour each in the middle, those that hurt around it, and others nowhere."""
    alike = {True: [], False: []}
    for wnid, images in planted.items():
        vectors = hue_vectors(images, middle)
        told_apart = not world.ancestors(wnid).isdisjoint(nodes)
        alike[told_apart].append(np.abs(vectors.mean()) / np.abs(vectors).mean())
    assert len(alike[True]) == 10
    assert min(alike[True]) > max(alike[False])
    assert np.mean(alike[True]) > 2 * np.mean(alike[False])
    nothing = DemoPlanted(planted=False)
    wnid = next(wnid for wnid in nothing.names if not world.ancestors(wnid).isdisjoint(nodes))
    records = [record for record in nothing.records() if record.wnid == wnid]
    vectors = hue_vectors([nothing.read(record) for record in records[:30]], middle)
    assert np.abs(vectors.mean()) / np.abs(vectors).mean() < min(alike[True])


def test_the_target_is_told_apart_as_what_helps_is():
    images = images_by_class(DemoSurfaces())
    alike = {
        middle: [
            np.abs((v := hue_vectors(images[name], middle)).mean()) / np.abs(v).mean()
            for name in SURFACE_NAMES
        ]
        for middle in (True, False)
    }
    assert min(alike[True]) > 0.5
    assert max(alike[False]) < 0.5


def test_new_leaves_are_drawn_under_every_inner_node():
    """Also under those that lie on no leaf's own path, such as tableware, and not under a leaf."""
    tree = Taxonomy.snapshot()
    for name in ("tableware.n.01", "product.n.02", "domestic_animal.n.01"):
        (node,) = [wnid for wnid in tree if tree[wnid].name == name]
        source = open_source("demo-kinds", under=node, classes=3, train=1, test=1)
        leaves = set(tree.leaves_under(node))
        for family in source.families.values():
            assert leaves & set(tree.leaves_under(family)), f"{family} has a class under {name}"
    with pytest.raises(ItlError, match="is a leaf; give its parent"):
        open_source("demo-kinds", under=tree.leaves[0])


@pytest.mark.parametrize("context", [0, -1, float("nan")])
def test_no_context_leaves_nothing_of_a_person(context):
    with pytest.raises(ItlError, match="context enlarges a person's box, 1 is the box alone; it cannot be"):
        open_source("demo-actions", context=float(context))
    assert crop_with_context((10, 10, 11, 11), 0.4, 20, 20) == (slice(10, 11), slice(10, 11))
