"""Effects of classes and nodes: against independent fits, in worlds without effects and with planted ones."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, ttest_ind
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from itl import ItlError
from itl.analysis import image_effects, influence, wording
from itl.hierarchy.balanced_halves import balanced_half
from itl.hierarchy.taxonomy import Taxonomy
from itl.runs.design import Condition
from itl.runs.task_questions import Counterfactual
from itl.sources.synthetic.classes import spread_leaves
from tests.worlds import SHARED

CLASSES = spread_leaves(Taxonomy.snapshot(), 40)
HELPFUL, HARMFUL = ("n02075296", "n02778669"), ("n01503061", "n03094503")


def halves(nets: int, classes: list[str] = CLASSES) -> np.ndarray:
    chosen = [set(balanced_half(classes, number)) for number in range(nets)]
    return np.array([[float(wnid in half) for wnid in classes] for half in chosen])


def under(nodes: tuple[str, ...]) -> np.ndarray:
    tree = Taxonomy.snapshot()
    return np.array([not tree.ancestors(wnid).isdisjoint(nodes) for wnid in CLASSES])


@pytest.fixture(scope="module")
def nodes():
    return influence.nodes_above(Taxonomy.snapshot(), CLASSES)


def test_nodes_of_the_tiny_tree_differ_in_their_classes(tree):
    nodes = influence.nodes_above(tree, ["car", "husky", "poodle", "trout", "unknown"])
    members = {wnid: row.nonzero()[0].tolist() for wnid, row in zip(nodes.wnids, nodes.member, strict=True)}
    assert members["dog"] == [1, 2]
    assert members["husky"] == [1]
    assert members["unknown"] == [4]
    assert len({tuple(row) for row in nodes.member}) == len(nodes.wnids)
    assert max(map(len, members.values())) < 4, "a node of almost all classes says nothing"


def test_an_effect_is_of_all_classes_of_a_node_over_as_many_others(tree):
    nodes = influence.nodes_above(tree, ["car", "husky", "poodle", "trout"])
    effects = nodes.contrasts @ np.array([0.0, 3.0, 5.0, 1.0])
    assert effects[nodes.wnids.index("dog")] == 8 - 2 * 0.5
    assert effects[nodes.wnids.index("car")] == pytest.approx(0 - 9 / 3)


def test_difference_of_means_is_the_t_test(nodes):
    inclusion, scores = halves(60), np.random.default_rng(0).normal(50, 2, 60)
    effects = influence.difference_of_means(inclusion, scores, nodes)
    for column in (0, 17, 39):
        node, inside = nodes.wnids.index(CLASSES[column]), inclusion[:, column] == 1
        test = ttest_ind(scores[inside], scores[~inside])
        assert effects.mean[node] == pytest.approx(scores[inside].mean() - scores[~inside].mean())
        assert effects.p[node] == pytest.approx(test.pvalue)
        interval = test.confidence_interval(0.95)
        low, high = (end[node] for end in effects.interval(0.05))
        assert (low, high) == pytest.approx((interval.low, interval.high))


def test_a_class_that_explains_all_scores_has_no_noise_and_is_not_tested(nodes):
    inclusion, node = halves(6), nodes.wnids.index(CLASSES[0])
    for gain in range(1, 30):  # with rounding of both signs
        effects = influence.difference_of_means(inclusion, 40.1 + gain / 7 * inclusion[:, 0], nodes)
        assert effects.mean[node] == pytest.approx(gain / 7)
        assert np.isnan([effects.p[node], *(end[node] for end in effects.interval(0.05))]).all()
    row = scored(nodes, inclusion, 40.0 + inclusion[:, 0]).effects("difference of means").set_index("node")
    assert (row["verdict"] == "cannot tell").all()
    assert np.isfinite(row["q"]).any()
    assert np.isnan(row.loc[CLASSES[0], ["p", "q", "low", "high"]].to_list()).all()


@pytest.mark.parametrize("nets", [4, 6, 8, 12, 20])
def test_two_scores_without_any_effect_say_nothing(nodes, nets):
    """As with few test images; at 5 %, 6 of 50 worlds or fewer have a verdict with 97 % of chances."""
    random, inclusion, worlds = np.random.default_rng(0), halves(nets), 0
    for _ in range(50):
        scores = random.permutation(np.arange(nets) % 2 + 50.0)
        table = scored(nodes, inclusion, scores).effects("difference of means")
        worlds += (table["verdict"] != "cannot tell").any()
    assert worlds <= 6


@pytest.mark.parametrize("nets", [4, 6, 8, 12, 20])
def test_one_net_that_failed_says_nothing_of_its_classes(nodes, nets):
    random, inclusion, worlds = np.random.default_rng(0), halves(nets), 0
    for _ in range(50):
        scores = random.normal(50, 2, nets)
        scores[random.integers(nets)] -= 30
        table = scored(nodes, inclusion, scores).effects("difference of means")
        worlds += (table["verdict"] != "cannot tell").any()
    assert worlds <= 6


def test_an_effect_is_found_where_scores_are_of_few_images(nodes):
    """Of 12 images nets are right on 6, and on 3 more with a class, but for one image at random."""
    inclusion, random = halves(40), np.random.default_rng(0)
    right = 6 + 3 * inclusion[:, 5] + random.integers(0, 2, 40)
    table = scored(nodes, inclusion, 100 * right / 12).effects("difference of means").set_index("node")
    assert table.loc[CLASSES[5], "verdict"] == "helps"
    assert (table["verdict"] == "helps").sum() <= 3


def test_there_is_no_share_of_a_gain_that_may_be_0():
    """All classes of 6 seeds gain 0.1 over no pre-training, with noise of 1, or 10."""
    names = {influence.EVERYTHING: 0.1, "none": 0.0}
    study = SimpleNamespace(
        conditions=[Condition((("pretrained_on", name),), trained=name != "none") for name in names]
    )
    noise = np.random.default_rng(0).normal(size=(2, 6))
    rows = [
        {"pretrained_on": name, "seed": seed, "value": names[name] + noise[number, seed]}
        for number, name in enumerate(names)
        for seed in range(6)
    ]
    results = pd.DataFrame(rows).assign(task="knn@x", metric="knn5", classes=4, images=40)
    assert math.isnan(influence.gain_of_all(study, results, "knn@x"))
    results.loc[results["pretrained_on"] != "none", "value"] += 10
    expected = 10.1 + noise[0].mean() - noise[1].mean()
    assert influence.gain_of_all(study, results, "knn@x") == pytest.approx(expected)
    assert math.isnan(influence.gain_of_all(study, results[results["seed"] == 0], "knn@x"))


@pytest.mark.parametrize("estimator", influence.ESTIMATORS)
def test_of_a_class_that_all_nets_have_nothing_is_known(nodes, estimator):
    inclusion = halves(20)
    inclusion[:, 3], inclusion[:, 5] = 1, 0
    table = scored(nodes, inclusion, np.random.default_rng(0).normal(50, 2, 20)).effects(estimator)
    rows = table.set_index("node").loc[[CLASSES[3], CLASSES[5]]]
    assert np.isfinite(table[["effect", "p", "q"]].to_numpy(float)).all()
    assert (rows["verdict"] == "cannot tell").all()
    if estimator == "difference of means":
        assert rows[["effect", "p"]].to_numpy().tolist() == [[0, 1], [0, 1]]
        assert rows[["low", "high"]].to_numpy().tolist() == [[-math.inf, math.inf]] * 2


@pytest.mark.parametrize("estimator", influence.ESTIMATORS)
def test_classes_that_are_not_in_the_tree_have_effects_of_their_own(tree, estimator):
    classes = [f"class {number}" for number in range(8)]
    nodes, inclusion = influence.nodes_above(tree, classes), halves(20, classes)
    assert nodes.wnids == tuple(classes)
    scores = 50 + 9 * inclusion[:, 2] + np.random.default_rng(0).normal(0, 0.1, 20)
    table = scored(nodes, inclusion, scores).effects(estimator).set_index("node")
    assert table["effect"].idxmax() == "class 2"
    assert np.isfinite(table[["effect", "low", "high", "p"]].to_numpy(float)).all()


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_posterior_mean_is_ridge_on_effects_of_nodes(nodes, share, monkeypatch):
    """Under one strength: class effects as sums of effects of nodes are features of nodes, equally shrunk."""
    explained = 0.3
    monkeypatch.setattr(influence, "EXPLAINED", np.array([explained]))
    inclusion, scores = halves(60), np.random.default_rng(1).normal(50, 2, 60)
    inner = nodes.member[nodes.member.sum(1) > 1].astype(float)
    inner *= np.sqrt(share * 40 / inner.sum())
    features = inclusion @ np.vstack([inner, np.sqrt(1 - share) * np.eye(40)]).T
    scale = ((features - features.mean(0)) ** 2).sum() / 59
    fit = Ridge(alpha=scale * (1 - explained) / explained).fit(features, scores)
    own = fit.coef_ @ np.vstack([inner, np.sqrt(1 - share) * np.eye(40)])
    effects = influence.tree_shrunk(inclusion, scores, nodes, shared=(share,))
    assert effects.mean == pytest.approx(nodes.contrasts @ own, abs=1e-9)


@pytest.mark.parametrize("estimator", influence.ESTIMATORS)
def test_the_order_of_the_nets_changes_nothing(nodes, estimator):
    """More nets than classes leave directions that no class explains; only that of the mean is left out."""
    random = np.random.default_rng(0)
    inclusion = halves(80)
    scores = 50 + inclusion @ random.normal(0, 0.5, 40) + random.normal(0, 2, 80)
    estimate, order = influence.ESTIMATORS[estimator], random.permutation(80)
    as_made = estimate(inclusion, scores, nodes)
    other = estimate(inclusion[order], scores[order], nodes)
    assert np.allclose(other.mean, as_made.mean, rtol=0, atol=1e-9)
    assert np.allclose(other.p, as_made.p, rtol=1e-6)


@pytest.mark.parametrize("estimator", influence.ESTIMATORS)
def test_nothing_is_said_where_nothing_has_an_effect(nodes, estimator):
    """At 5 %, 6 of 60 worlds or fewer have a verdict with 96 % of chances; shrinking has far fewer."""
    random, inclusion, worlds = np.random.default_rng(0), halves(80), 0
    for _ in range(60):
        effects = influence.ESTIMATORS[estimator](inclusion, random.normal(size=80), nodes)
        worlds += false_discovery_control(effects.p).min() <= 0.05
    assert worlds <= (6 if estimator == "difference of means" else 2)


def scored(nodes, inclusion, scores, gain=20.0) -> influence.NetsOnHalves:
    depths, seeds = np.zeros(len(nodes.wnids), int), tuple(range(len(scores)))
    return influence.NetsOnHalves("knn@target", nodes, nodes.wnids, depths, inclusion, seeds, scores, gain)


def auroc(nodes, effects: np.ndarray) -> float:
    """Of helpful and of harmful classes against all others, the mean of the two."""
    of_classes = effects[[nodes.wnids.index(wnid) for wnid in CLASSES]]
    parts = (roc_auc_score(under(HELPFUL), of_classes), roc_auc_score(under(HARMFUL), -of_classes))
    return sum(parts) / 2


def test_shrinking_along_the_tree_needs_half_of_the_nets(nodes):
    """Planted on whole subtrees: 10 classes help by half a net's standard deviation each, 10 hurt."""
    truth, random = under(HELPFUL) * 0.5 - under(HARMFUL) * 0.5, np.random.default_rng(0)
    plain, shrunk, wrong, said, covered = [], [], 0, 0, []
    true = nodes.contrasts @ truth
    for _ in range(10):
        scores = halves(120) @ truth + random.normal(size=120)
        plain.append(auroc(nodes, influence.difference_of_means(halves(120), scores, nodes).mean))
        effects = influence.tree_shrunk(halves(60), scores[:60], nodes)
        shrunk.append(auroc(nodes, effects.mean))
        table = scored(nodes, halves(60), scores[:60]).effects().set_index("node").loc[list(nodes.wnids)]
        claimed = (table["verdict"] != "cannot tell").to_numpy()
        said += claimed.sum()
        wrong += (claimed & (np.sign(table["effect"]) != np.sign(np.round(true, 9)))).sum()
        low, high = effects.interval(0.05)
        covered.append(((low <= true) & (true <= high)).mean())
    assert np.mean(shrunk) >= np.mean(plain) > 0.9
    assert np.mean(shrunk) > 0.95
    assert said > 100
    assert wrong <= 0.05 * said
    assert np.mean(covered) > 0.9


def test_intervals_are_wider_where_few_nodes_are_said(nodes):
    truth = under(HELPFUL) * 1.0
    inclusion, random = halves(80), np.random.default_rng(3)
    table = scored(nodes, inclusion, inclusion @ truth + random.normal(size=80)).effects()
    said = table[table["verdict"] == "helps"]
    assert len(said) >= 10
    assert (said["low"] > 0).all(), "what is said lies on one side of zero"
    assert table["share"].to_numpy() == pytest.approx(table["effect"].to_numpy() / 20)
    assert list(table["effect"]) == sorted(table["effect"])


def test_equal_scores_say_nothing(nodes):
    with pytest.raises(ItlError, match="all 20 nets score 51"):
        scored(nodes, halves(20), np.full(20, 51.0)).effects()


def test_strongest_nodes_are_apart_and_not_most_of_the_classes(nodes):
    truth, inclusion = under(HELPFUL) * 1.0 - under(HARMFUL) * 1.0, halves(120)
    scores = inclusion @ truth + np.random.default_rng(0).normal(size=120)
    table, tree = scored(nodes, inclusion, scores).effects(), Taxonomy.snapshot()
    assert set(influence.strongest(table, tree, 1, 2)) == set(HELPFUL)
    assert set(influence.strongest(table, tree, -1, 2)) == set(HARMFUL)
    table["name"] = [tree.class_name(node) for node in table["node"]]
    trial = Counterfactual.ask(**SHARED, harmful=HARMFUL, helpful=HELPFUL, helpful_classes=10)
    assert influence.tried_text(table, trial) == "Left out: bird, container. Kept alone: carnivore, ball."
    alone = "Left out: bird, container. None kept alone: no two classes that help can be."
    assert influence.tried_text(table, Counterfactual.ask(**SHARED, harmful=HARMFUL)) == alone
    many = influence.strongest(table, tree, 1, 9)
    assert all(not tree.ancestors(one) & set(many) - {one} for one in many)
    classes = table.set_index("node")["classes"]
    assert 0.2 < classes[many].sum() / (table["classes"] == 1).sum() < 0.5
    undecided = table.assign(verdict=wording.CANNOT_TELL)
    assert len(influence.strongest(undecided, tree, -1, 2)) == 2
    assert influence.strongest(undecided, tree, -1, 2, only_decided=True) == []
    assert influence.strongest(table, tree, -1, 2, only_decided=True) == influence.strongest(
        table, tree, -1, 2
    )


def test_classes_above_others_count_as_classes(tree):
    """Dog and what lies under it are 3 of 7 classes, of which 4 have no other below."""
    classes = ["car", "dog", "fish", "husky", "poodle", "trout", "vehicle"]
    nodes, inclusion = influence.nodes_above(tree, classes), halves(40, classes)
    scores = 50 - 3 * inclusion[:, [1, 3, 4]].sum(1) + np.random.default_rng(0).normal(0, 0.1, 40)
    assert influence.strongest(scored(nodes, inclusion, scores).effects(), tree, -1, 1) == ["dog"]


def test_effects_on_images_are_differences_of_means_of_each(nodes):
    inclusion, random = halves(60), np.random.default_rng(2)
    correct = 100 * (random.random((60, 9)) < 0.4).astype(np.float32)
    correct[:, 8] = 100
    images = pd.DataFrame({"row": range(9), "image": [f"image {row}" for row in range(9)], "wnid": "n1"})
    made = image_effects.CorrectImages(scored(nodes, inclusion, correct.mean(1)), correct, images)
    for node in (nodes.wnids[0], CLASSES[7]):
        number = nodes.wnids.index(node)
        table = made.effects(node).sort_values("row")
        apart = [influence.difference_of_means(inclusion, image.astype(float), nodes) for image in correct.T]
        means = np.clip([one.mean[number] for one in apart], -100, 100)  # no more than all nets
        assert table["effect"].to_numpy() == pytest.approx(means, abs=1e-3)
        errors = np.nan_to_num([one.deviations[0, number] for one in apart])  # of one image all are right on
        assert table["standard_error"].to_numpy() == pytest.approx(errors, abs=1e-3)
        assert table["correct"].to_numpy() == pytest.approx(correct.mean(0))


def test_images_that_halves_say_little_of_come_in_no_order_of_their_rows(nodes):
    """Halves have few of a large node's classes more than others: effects of many images pass 100."""
    inclusion, random = halves(40), np.random.default_rng(5)
    correct = 100 * (random.random((40, 600)) < 0.5).astype(np.float32)
    images = pd.DataFrame({"row": range(600), "image": [f"image {row}" for row in range(600)], "wnid": "n1"})
    made = image_effects.CorrectImages(scored(nodes, inclusion, correct.mean(1)), correct, images)
    table = made.effects(max(nodes.wnids, key=lambda node: nodes.member[nodes.wnids.index(node)].sum()))
    sure = table["effect"].abs() == 100
    assert sure.sum() > 60, "many share the largest effect that there is"
    for end in (table.head(40), table.tail(40)):
        assert not end["row"].is_monotonic_increasing
        assert end["row"].max() - end["row"].min() > 300, "not the first or last rows of the data set"


def test_the_figure_has_a_line_for_each_node(nodes):
    from itl.analysis.hierarchy_figures import effects_on_tree

    table = scored(nodes, halves(60), np.random.default_rng(0).normal(size=60)).effects()
    figure = effects_on_tree(table, Taxonomy.snapshot(), most=30)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(labels) == 30
    assert isinstance(table, pd.DataFrame)
