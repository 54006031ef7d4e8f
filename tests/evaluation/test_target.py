"""Targets: what is learned from, chosen by and scored on; the choice of settings; actions."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from itl import ItlError
from itl.evaluation import finetune as module
from itl.evaluation.finetune import LR_SCORES_FILE, actions, independent, map_percent, select_lr
from itl.evaluation.target import Target, hold_out, multilabel_target, target_of
from itl.machine import Machine
from itl.packs.subset import Selection, merge
from itl.specs import Pretrain, Recipe, Subset, Transfer, canonical
from itl.training.loop import Diverged
from itl.training.nets import build
from tests.worlds import Boxes, boxes_pack

torch.set_num_threads(1)
MACHINE = Machine(threads=1, checkpoint_seconds=0.0)


def spec(few: int | None = None, method: str = "finetune", seed: int = 0, recipe: Recipe | None = None):
    """The spec of one measurement."""
    pretrain = Pretrain(Subset("a pack"), recipe=Recipe(pixels=16))
    return Transfer(pretrain, method, "there", "there", few, recipe, seed)


def classes_pack(**counts: int) -> Boxes:
    """Stand in for a pack with so many images of each of two classes in each split."""
    rows = [
        (f"{split}/{name}{number}", name, split)
        for split, count in counts.items()
        for name in ("ash", "oak")
        for number in range(count)
    ]
    table = pd.DataFrame(rows, columns=["image", "wnid", "split"])
    summary = {"splits": {split: 2 * count for split, count in counts.items()}}
    return Boxes(
        images=np.zeros((len(table), 8, 8, 3), np.uint8), table=table, summary=summary, folder="there"
    )


def splits(pack: Boxes, selection: Selection) -> dict[str, int]:
    """How many images of each split are selected."""
    return pack.table["split"].iloc[selection.rows].value_counts().to_dict()


def test_the_final_fit_takes_val_too_where_there_is_a_test_split():
    pack = classes_pack(train=6, val=3, test=4)
    target = target_of(spec(), pack)
    assert splits(pack, target.train) == {"train": 12, "val": 6}
    assert splits(pack, target.test) == {"test": 8}
    part = target.validation_target(seed=0)
    assert splits(pack, part.train) == {"train": 12}
    assert splits(pack, part.test) == {"val": 6}


def test_where_labels_keep_no_image_of_val_a_part_is_held_out(tree):
    pack = classes_pack(train=10, val=3, test=4)
    pack.table["wnid"] = pack.table["wnid"].map({"ash": "husky", "oak": "trout"})
    pack.table.loc[(pack.table["split"] == "val"), "wnid"] = "trout"
    husky, trout = (replace(spec(), labels=f"only@{name}", tree=tree.digest) for name in ("husky", "trout"))
    target = target_of(husky, pack, tree)
    assert splits(pack, target.train) == {"train": 10}
    part = target.validation_target(seed=0)
    assert (splits(pack, part.train), splits(pack, part.test)) == ({"train": 8}, {"train": 2})
    assert splits(pack, target_of(trout, pack, tree).train) == {"train": 10, "val": 6}


def test_the_source_says_by_what_papers_compare():
    pack = classes_pack(train=6, test=4)
    assert not target_of(spec(), pack).per_class
    pack.summary["metric"] = "per_class"
    assert target_of(spec(), pack).per_class
    assert target_of(spec(), pack).validation_target(seed=0).per_class


@pytest.mark.parametrize("counts", [{"train": 10, "val": 4}, {"train": 10, "test": 4}])
def test_without_a_split_to_choose_on_a_fifth_is_held_out(counts):
    pack = classes_pack(**counts)
    target = target_of(spec(), pack)
    assert splits(pack, target.train) == {"train": 20}
    assert splits(pack, target.test) == {list(counts)[1]: 8}
    part = target.validation_target(seed=0)
    assert splits(pack, part.train) == {"train": 16}
    assert splits(pack, part.test) == {"train": 4}
    assert np.intersect1d(part.train.rows, part.test.rows).size == 0


def test_few_shots_are_of_train_alone_and_nested():
    pack = classes_pack(train=6, val=3, test=4)
    rows = [set(target_of(spec(few), pack).train.rows) for few in (1, 2, 5)]
    assert [len(part) for part in rows] == [2, 4, 10]
    assert rows[0] < rows[1] < rows[2]
    assert splits(pack, target_of(spec(5), pack).train) == {"train": 10}


def test_annotated_images_have_an_answer_for_each_class():
    pack = boxes_pack({"train": 20, "val": 4, "test": 10})
    target = multilabel_target(spec(method="detection"), pack)
    assert target.train.classes == ("blue", "red")
    assert target.train.labels.shape == (24, 2)
    assert splits(pack, target.validation_target(0).test) == {"val": 4}
    for row in range(20):
        things = pack.objects[(pack.objects["row"] == row)]
        sure, present = set(things[~things["difficult"]]["name"]), set(things["name"])
        expected = [1 if name in sure else -1 if name in present else 0 for name in ("blue", "red")]
        assert target.train.labels[row].tolist() == expected


def test_few_annotated_images_are_those_that_rank_first_for_some_class():
    pack = boxes_pack({"train": 40, "test": 10})
    rows = [multilabel_target(spec(few, "detection"), pack).train for few in (1, 3, 8)]
    for few, selection in zip((1, 3, 8), rows, strict=True):
        assert few <= (selection.labels > 0).sum(0).min()
        assert len(selection.rows) <= 2 * few
    assert set(rows[0].rows) < set(rows[1].rows) < set(rows[2].rows)
    assert list(multilabel_target(spec(3, "detection", seed=1), pack).train.rows) != list(rows[1].rows)
    with pytest.raises(ItlError, match="999 images per class were asked for; class red has 26 in train"):
        multilabel_target(spec(999, "detection"), pack)


def test_a_target_without_an_object_to_score_is_refused():
    pack = boxes_pack({"train": 8, "test": 3})
    pack.objects = pack.objects[pack.objects["row"] < 8]
    with pytest.raises(ItlError, match="there has no test image with an object that is scored"):
        multilabel_target(spec(method="detection"), pack)


@pytest.mark.parametrize("difficult", [True, False])
def test_no_learning_rate_is_chosen_on_images_without_an_object_to_score(tmp_path, difficult):
    pack = boxes_pack({"train": 20, "val": 4, "test": 10})
    in_val = pack.objects["row"].between(20, 23)
    if difficult:
        pack.objects.loc[in_val, "difficult"] = True
    else:
        pack.objects = pack.objects[~in_val]
    several = spec(method="actions", recipe=Recipe(lrs=(0.1, 0.01), pixels=16))
    target = multilabel_target(several, pack)
    says = "chosen from lrs: 4 val images have no object that is scored; annotate some, or give one lr$"
    with pytest.raises(ItlError, match=says):
        actions(several, build("small", 4, 16, 0), target, tmp_path, MACHINE)
    assert list(tmp_path.iterdir()) == [], "nothing is trained"
    one = replace(several, recipe=Recipe(lr=0.1, epochs=0, pixels=16))
    assert actions(one, build("small", 4, 16, 0), target, tmp_path, MACHINE).keys() == {"map"}


def test_held_out_images_need_an_object_to_score_too():
    labels = np.array([[1, 0], [0, 1], [0, 0], [0, 0]])
    train = Selection(np.arange(4), labels, ("a", "b"))
    test = Selection(np.arange(4, 6), labels[:2], ("a", "b"))
    with pytest.raises(ItlError, match="1 held-out training image has no object that is scored;"):
        Target(boxes_pack({"train": 4, "test": 2}), train, test).validation_target(0)


def test_images_of_no_one_class_are_not_classified():
    pack = classes_pack(train=6, test=4)
    pack.table["wnid"] = ""
    with pytest.raises(ItlError, match="take detection@there or actions@there, not probe"):
        target_of(spec(method="probe"), pack)


def test_hold_out_counts_a_row_as_of_its_rarest_answer():
    labels = np.zeros((30, 3), np.int64)
    labels[:, 0] = 1
    labels[:5, 1] = 1
    labels[25:, 0] = 0
    fitted, held = hold_out(labels, seed=0)
    assert len(held) == 1 + 4 + 1  # a fifth of 5 with the rare answer, of 20, of 5 without any
    assert (labels[held, 1]).sum() == 1
    assert sorted([*fitted, *held]) == list(range(30))


def test_people_of_one_photo_are_held_out_together():
    pack = people({"train": 60, "val": 10})
    pack.table["image"] = [f"VOC2012/2010_{row // 3:06d}#{row % 3 + 1}" for row in range(len(pack))]
    for seed in range(5):
        part = multilabel_target(spec(method="actions"), pack).validation_target(seed)
        fitted, held = set(part.train.rows // 3), set(part.test.rows // 3)
        assert not fitted & held
        assert fitted | held == set(range(20))
        assert 3 <= len(held) <= 5  # a fifth of each action's photos, in whole photos


@pytest.mark.parametrize(
    ("labels", "groups", "sizes"),
    [
        ("aaaabbbb", "00112233", {2 + 2}),  # one of two groups of each class
        ("aaaaaaaaaabbbbbbbbbb", "01234567890123456789", {2 * 2}),  # a fifth of ten that are of both classes
        ("aaaabb", "001122", {2 + 1}),  # all images of b are of one group: one by one
        ("aaaaaaaaaabbbbbbbbbb", "00000111112222233333", {5 + 5}),  # one of two people of each class
        ("aabbcc", "010212", {2 + 1}),  # a group of two classes; a second would leave one bare: one by one
        ("aaaaaabb", "00000011", {1 + 1}),  # each class is of one group: one by one
        ("aaaaaaaaaaaabb", "00000000001123", {2 + 1}),  # a group of ten is far more than a fifth of twelve
    ],
)
def test_images_of_one_group_are_held_out_together(labels, groups, sizes):
    labels = np.array([ord(label) - ord("a") for label in labels])
    groups = np.array([int(group) for group in groups])
    for seed in range(20):
        fitted, held = hold_out(labels, seed, groups)
        assert sorted([*fitted, *held]) == list(range(len(labels)))
        assert set(labels[fitted]) == set(labels[held]) == set(labels)
        assert len(held) in sizes
        divided = set(groups[fitted]) & set(groups[held])
        assert all(len(set(groups[labels == label])) < 3 for label in labels[np.isin(groups, [*divided])])


def test_frames_of_one_clip_are_not_taken_for_people_of_one_photo():
    pack = boxes_pack({"train": 40, "test": 4})
    pack.table["image"] = [f"clip#{row:06d}" for row in range(len(pack))]
    assert 0 < len(multilabel_target(spec(), pack).validation_target(0).test.rows) < 20


def test_two_splits_of_other_classes_are_not_merged():
    one, other = (Selection(np.arange(2), np.arange(2), names) for names in (("a", "b"), ("a", "c")))
    with pytest.raises(ItlError, match="if they have the same classes"):
        merge(one, other)


def scored(scores: dict[float, float | None], calls: list):
    """A way to score recipes that notes the calls; None diverges."""

    def score(recipe: Recipe, folder) -> float:
        calls.append(recipe.lr)
        assert recipe.lrs == ()
        folder.mkdir()
        (folder / "checkpoint").write_text("something to be removed")
        if scores[recipe.lr] is None:
            raise Diverged("loss became nan")
        return scores[recipe.lr]

    return score


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ({0.1: 50.0, 0.01: 40.0}, 0.1),
        ({0.1: 40.0, 0.01: 40.0, 0.001: 3.0}, 0.01),
        ({0.1: None, 0.01: 1.0}, 0.01),
        ({0.1: None, 0.01: 0.0}, 0.01),
    ],
)
def test_the_best_learning_rate_is_chosen_and_the_scores_kept(tmp_path, scores, best):
    calls = []
    recipe = Recipe(lrs=tuple(scores))
    assert select_lr(recipe, tmp_path, scored(scores, calls)) == replace(recipe, lr=best, lrs=())
    assert calls == sorted(scores)
    kept = {repr(lr): scores[lr] for lr in scores} | {"seconds": 0.0}
    assert json.loads((tmp_path / LR_SCORES_FILE).read_text()) == kept
    assert [path.name for path in tmp_path.iterdir()] == [LR_SCORES_FILE]
    assert select_lr(recipe, tmp_path, None).lr == best  # all are scored already


@pytest.mark.parametrize("lr", [0.1, 0.01, 0.001])
def test_a_learning_rate_without_a_score_is_not_chosen(tmp_path, lr):
    scores = {0.1: 30.0, 0.01: 20.0, 0.001: 10.0} | {lr: float("nan")}
    best = 0.01 if lr == 0.1 else 0.1
    for score in (scored(scores, []), None):
        assert select_lr(Recipe(lrs=tuple(scores)), tmp_path, score).lr == best
    (tmp_path / "nothing").mkdir()
    nothing = {0.2: float("nan"), 0.4: None}
    with pytest.raises(ItlError, match=r"diverges at each of lrs 0\.2, 0\.4; give lower ones"):
        select_lr(Recipe(lrs=tuple(nothing)), tmp_path / "nothing", scored(nothing, []))


def test_a_choice_cut_short_goes_on(tmp_path):
    def stop(recipe: Recipe, folder) -> float:
        if recipe.lr == 0.1:
            raise KeyboardInterrupt
        return 30.0

    recipe, calls = Recipe(lrs=(0.01, 0.1)), []
    with pytest.raises(KeyboardInterrupt):
        select_lr(recipe, tmp_path, stop)
    (tmp_path / "choose-0.01").mkdir()  # as a kill may leave it, once the score is written
    assert select_lr(recipe, tmp_path, scored({0.1: 20.0}, calls)).lr == 0.01
    assert [path.name for path in tmp_path.iterdir()] == [LR_SCORES_FILE]
    assert calls == [0.1]


def test_where_all_diverge_that_is_said_and_one_rate_is_no_choice(tmp_path):
    with pytest.raises(ItlError, match=r"diverges at each of lrs 0\.1, 1\.0; give lower ones"):
        select_lr(Recipe(lrs=(1.0, 0.1)), tmp_path, scored({0.1: None, 1.0: None}, []))
    assert select_lr(Recipe(lr=0.3), tmp_path, None) == Recipe(lr=0.3)


def test_specs_without_a_choice_keep_their_key():
    assert "lrs" not in canonical(spec(recipe=Recipe()))
    assert canonical(spec()).count("labels") == 1  # the subset's
    assert '"lrs":[0.1,0.2]' in canonical(spec(recipe=Recipe(lrs=(0.1, 0.2))))


def test_what_is_not_known_of_an_action_is_not_learned_from():
    outputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = torch.tensor([[1, 0, -1], [0, 0, 1], [-1, -1, -1], [1, 1, 0]])
    loss = independent(lambda images: outputs, None, targets, Recipe())
    by_hand = (
        sum(
            binary_cross_entropy_with_logits(outputs[row, column], targets[row, column].float())
            for row in range(4)
            for column in range(3)
            if targets[row, column] >= 0
        )
        / 4
    )
    torch.testing.assert_close(loss, by_hand)
    loss.backward()
    assert ((outputs.grad == 0) == (targets < 0)).all()


def test_mean_ap_by_hand():
    outputs = torch.tensor([[0.9, 0.1], [0.8, 0.7], [0.7, 0.9]])
    labels = torch.tensor([[1, 0], [0, 1], [1, -1]])
    assert map_percent(outputs, labels) == pytest.approx(100 * ((1 + 2 / 3) / 2 + 1) / 2)


def people(counts: dict[str, int]) -> Boxes:
    """Stand in for a pack of persons who do red things, blue things, or both."""
    random = np.random.default_rng(0)
    pack = boxes_pack(counts)
    doing = random.integers(1, 4, len(pack))
    pack.images = random.integers(0, 60, (len(pack), 20, 20, 3), dtype=np.uint8)
    pack.images[doing & 1 > 0, :, :10, 0] += 150
    pack.images[doing & 2 > 0, :, 10:, 2] += 150
    rows = [
        (row, name, 1.0, 1.0, 9.0, 9.0, False, False)
        for row, both in enumerate(doing)
        for bit, name in ((1, "red"), (2, "blue"))
        if both & bit
    ]
    pack.objects = pd.DataFrame(rows, columns=list(pack.objects.columns))
    return pack


def test_actions_learn_each_by_itself(tmp_path):
    recipe = Recipe(steps=40, batch=16, lr=0.05, pixels=16, precision="fp32", augment="centre", flip=False)
    transfer = spec(method="actions", recipe=recipe)
    target = multilabel_target(transfer, people({"train": 64, "test": 64}))
    metrics = actions(transfer, build("small", 5, 16, 0), target, tmp_path, MACHINE)
    assert list(metrics) == ["map"]
    assert metrics["map"] > 90


def test_actions_choose_on_what_is_held_out(tmp_path, monkeypatch):
    seen = []

    def finetune_and_predict(net, part, recipe, *rest):
        seen.append((recipe.lr, len(part.test.rows)))
        return torch.tensor(part.test.labels).float(), torch.tensor(part.test.labels)

    monkeypatch.setattr(module, "finetune_and_predict", finetune_and_predict)
    target = multilabel_target(spec(method="actions"), people({"train": 40, "val": 20}))
    transfer = spec(method="actions", recipe=Recipe(lrs=(0.1, 0.2)))
    assert actions(transfer, SimpleNamespace(), target, tmp_path, MACHINE) == {"map": 100.0, "lr": 0.1}
    held = len(target.fit_and_val_rows(0)[1])
    assert seen == [(0.1, held), (0.2, held), (0.1, 20)]
    assert 0 < held < 20
