"""Cheap scores: each equals an independent computation, and none looks at a test image."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from scipy.stats import entropy, multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from itl import ItlError
from itl.evaluation import scores
from itl.evaluation.frozen import extract
from itl.evaluation.scores import SCORES
from itl.evaluation.target import Target, target_of
from itl.evaluation.transferability import EXTRACTION, SECONDS, Evidence, transferability
from itl.hierarchy import taxonomies
from itl.hierarchy.taxonomy import Synset, Taxonomy
from itl.packs.paths import build_or_open, open_by_digest
from itl.packs.subset import Selection, select
from itl.runs.perform import load_net, perform
from itl.runs.store import Store
from itl.specs import Weights
from itl.training.batches import Batches
from tests.worlds import FOUR, here, small_study

torch.set_num_threads(1)  # scikit-learn, torch and other tests would fight over the cores


def world(n: int, d: int, classes: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of *classes* overlapping classes, *n* images in all, of unequal numbers."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, n - classes)])
    means = random.normal(0, 1, (classes, d))
    return torch.tensor(means[labels] + random.normal(0, 1, (n, d))), torch.tensor(labels)


def softmax_world(n: int = 40, source: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities of *source* classes that say something of three target classes."""
    features, labels = world(n, source)
    return features.softmax(1), labels


SIZES = pytest.mark.parametrize(("n", "d"), [(60, 5), (24, 40)], ids=["tall", "wide"])


def literal_leep(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """LEEP as in the paper, step by step."""
    n, source = probabilities.shape
    joint = {(y, z): 0.0 for y in set(labels) for z in range(source)}
    for i in range(n):
        for z in range(source):
            joint[labels[i], z] += probabilities[i][z] / n
    marginal = [sum(joint[y, z] for y in set(labels)) for z in range(source)]
    logs = []
    for i in range(n):
        total = sum(joint[labels[i], z] / marginal[z] * probabilities[i][z] for z in range(source))
        logs.append(math.log(total))
    return sum(logs) / n


def test_knn_is_leave_one_out():
    features, labels = world(30, 4)
    distances = cdist(features.numpy(), features.numpy(), "cosine")
    correct = 0
    for image in range(30):
        others = [other for other in np.argsort(distances[image]) if other != image][:5]
        votes = [int(labels[other]) for other in others]
        best = max(votes, key=lambda label: (votes.count(label), -votes.index(label)))
        correct += best == int(labels[image])
    assert scores.knn_accuracy(features, labels) == pytest.approx(100 * correct / 30, abs=1e-6)


def test_knn_does_not_count_an_image_among_its_own_neighbours():
    copies = torch.ones(8, 3, dtype=torch.float64)  # all alike: the first others vote, whoever is asked
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    assert scores.knn_accuracy(copies, labels) == 50.0
    lonely = torch.eye(3, dtype=torch.float64)
    assert scores.knn_accuracy(lonely, torch.tensor([0, 1, 2])) == 0.0
    assert math.isnan(scores.knn_accuracy(lonely[:1], torch.tensor([0])))


def test_few_shot_is_the_mean_of_ten_ridge_regressions():
    features, labels = world(60, 12)
    random, accuracies = torch.Generator().manual_seed(0), []
    for _ in range(10):
        order = torch.randperm(60, generator=random).tolist()
        fitted = [row for label in range(3) for row in [row for row in order if labels[row] == label][:5]]
        rest = sorted(set(range(60)) - set(fitted))
        scale = StandardScaler().fit(features[fitted])
        signs = np.where(labels[fitted].numpy()[:, None] == np.arange(3), 1.0, -1.0)
        ridge = Ridge(alpha=12).fit(scale.transform(features[fitted]), signs)
        predicted = ridge.predict(scale.transform(features[rest])).argmax(1)
        accuracies.append(100 * (predicted == labels[rest].numpy()).mean())
    assert scores.few_shot_accuracy(features, labels) == pytest.approx(np.mean(accuracies), abs=1e-6)


def test_few_shot_keeps_an_image_of_small_classes_to_score():
    features = torch.tensor([[0.0, 0.0], [0.1, 0.0], [5.0, 5.0], [5.1, 5.0]], dtype=torch.float64)
    assert scores.few_shot_accuracy(features, torch.tensor([0, 0, 1, 1])) == 100.0
    assert math.isnan(scores.few_shot_accuracy(features[::2], torch.tensor([0, 1])))


def test_features_that_are_all_the_same_tell_nothing():
    labels = torch.tensor([0, 0, 1, 1, 1, 1, 0, 0])
    for features in (torch.zeros(8, 3, dtype=torch.float64), torch.full((8, 3), 0.5, dtype=torch.float64)):
        assert scores.nleep(features, labels) == pytest.approx(math.log(0.5))
        assert scores.shrunk_h_score(features, labels) == 0.0


def test_leep():
    probabilities, labels = softmax_world()
    expected = literal_leep(probabilities.numpy(), labels.numpy())
    assert scores.leep(probabilities, labels) == pytest.approx(expected, abs=1e-6)


def test_leep_of_a_perfect_and_of_an_uninformative_net():
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    perfect = torch.eye(5, dtype=torch.float64)[labels + 1]  # class z says class z - 1 of the target, surely
    assert scores.leep(perfect, labels) == pytest.approx(0, abs=1e-9)
    assert scores.leep(torch.full((6, 4), 0.25).double(), labels) == pytest.approx(math.log(1 / 3))


@SIZES
def test_nleep(n, d):
    features, labels = world(n, d)
    reduced = PCA(0.8, svd_solver="full").fit_transform(features.numpy())
    mixture = GaussianMixture(min(15, n // 4), covariance_type="diag", random_state=0, reg_covar=1e-4)
    posteriors = mixture.fit(reduced / reduced.std()).predict_proba(reduced / reduced.std())
    expected = literal_leep(posteriors, labels.numpy())
    assert scores.nleep(features, labels) == pytest.approx(expected, abs=1e-6)


def test_nce_is_mutual_information_less_the_entropy_of_the_labels():
    probabilities, labels = softmax_world()
    hard = probabilities.numpy().argmax(1)
    expected = mutual_info_score(labels, hard) - entropy(np.bincount(labels))
    assert scores.nce(probabilities, labels) == pytest.approx(expected, abs=1e-6)


@SIZES
def test_logme_is_the_maximum_of_the_gaussian_evidence(n, d):
    features, labels = world(n, d)
    gram = (features @ features.T).numpy()
    values = []
    for label in range(3):
        target = (labels == label).double().numpy()

        def loss(logs, target=target):
            covariance = np.eye(n) / np.exp(logs[1]) + gram / np.exp(logs[0])
            return -multivariate_normal(np.zeros(n), covariance).logpdf(target) / n

        starts = [minimize(loss, start, tol=1e-12) for start in ([0.0, 0.0], [3.0, 2.0])]
        values.append(-min(start.fun for start in starts))
    assert scores.logme(features, labels) == pytest.approx(np.mean(values), abs=1e-6)


def evidence_on_a_grid(features: np.ndarray, labels: np.ndarray) -> float:
    """LogME by trying many ratios of β / α, with the best β for each of them and each class."""
    spectrum, vectors = np.linalg.eigh(features @ features.T)
    shrunk = 1 + np.geomspace(1e-14, 1e14, 4000)[:, None] * spectrum.clip(0)
    inside, n = (vectors.T @ np.eye(labels.max() + 1)[labels]) ** 2, len(labels)
    beta = n / (1 / shrunk @ inside)  # where its derivative is 0
    evidence = n / 2 * np.log(beta / (2 * math.pi)) - np.log(shrunk).sum(1, keepdims=True) / 2 - n / 2
    return (evidence.max(0) / n).mean()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("centred", [True, False])
def test_logme_where_features_say_nothing_of_some_classes(centred, seed):
    """The evidence is then highest where weights are 0, and goes on growing as their variance falls."""
    features = np.random.default_rng(seed).normal(0, 1, (24, 64))
    features, labels = features - centred * features.mean(0), np.arange(24) % 3
    expected = evidence_on_a_grid(features, labels)
    assert scores.logme(torch.tensor(features), torch.tensor(labels)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [40, 100])
def test_logme_where_few_images_have_many_features(n, seed):
    """Weights then reach all labels, and the evidence goes on growing as the noise falls."""
    rng, labels = np.random.default_rng(seed), np.arange(n) % 4
    features = np.maximum(0.3 * rng.normal(size=(4, 5 * n))[labels] + rng.normal(size=(n, 5 * n)), 0)
    expected = evidence_on_a_grid(features, labels)
    assert scores.logme(torch.tensor(features), torch.tensor(labels)) == pytest.approx(expected, abs=1e-6)


def test_h_score():
    features, labels = world(60, 5)
    conditional = np.array([features[labels == label].mean(0).numpy() for label in labels])
    covariance, between = np.cov(features.numpy().T, bias=True), np.cov(conditional.T, bias=True)
    expected = np.trace(np.linalg.pinv(covariance) @ between)
    assert scores.h_score(features, labels) == pytest.approx(expected, abs=1e-6)
    assert scores.h_score(features, labels * 2) == pytest.approx(expected, abs=1e-6), "class 1 has no image"


def test_h_score_of_more_features_than_images_says_nothing_and_shrinking_mends_it():
    features, labels = world(24, 40)
    noise = torch.tensor(np.random.default_rng(1).normal(size=(24, 40)))
    assert [scores.h_score(part, labels) for part in (features, noise)] == pytest.approx([2, 2])
    assert scores.shrunk_h_score(features, labels) > 2 * scores.shrunk_h_score(noise, labels)


def test_h_score_needs_no_eigenvalues(monkeypatch):
    """They may not converge where nearly all features are constant, as of a net that has diverged."""
    features, labels = world(60, 5)

    def fails(*_):
        raise torch.linalg.LinAlgError("linalg.eigh: The algorithm failed to converge")

    monkeypatch.setattr(torch.linalg, "pinv", fails)
    monkeypatch.setattr(torch.linalg, "eigh", fails)
    padded = torch.cat([features, features[:, :2], torch.full((60, 9), 0.5, dtype=torch.float64)], 1)
    assert scores.h_score(padded, labels) == pytest.approx(scores.h_score(features, labels), abs=1e-9)
    assert scores.h_score(padded[:, 7:], labels) == 0.0


@SIZES
def test_shrunk_h_score(n, d):
    features, labels = world(n, d)
    wolf = LedoitWolf().fit(features.numpy())
    conditional = np.array([features[labels == label].mean(0).numpy() for label in labels])
    between = (1 - wolf.shrinkage_) * np.cov(conditional.T, bias=True)
    expected = np.trace(np.linalg.inv(wolf.covariance_) @ between)
    assert scores.shrunk_h_score(features, labels) == pytest.approx(expected, abs=1e-6)


def test_gbc_by_its_formula_class_by_class():
    features, labels = world(60, 4)
    total = 0.0
    for one in range(3):
        for other in range(3):
            if one != other:
                a, b = features[labels == one].numpy(), features[labels == other].numpy()
                first, second = np.diag(a.var(0)), np.diag(b.var(0))
                mean, gap = (first + second) / 2, a.mean(0) - b.mean(0)
                root = math.sqrt(np.linalg.det(first) * np.linalg.det(second))
                distance = gap @ np.linalg.inv(mean) @ gap / 8 + math.log(np.linalg.det(mean) / root) / 2
                total -= math.exp(-distance)
    assert scores.gbc(features, labels) == pytest.approx(total, abs=1e-6)


def test_gbc_at_its_ends():
    features, labels = torch.randn(90, 3, dtype=torch.float64), torch.arange(90) % 3
    apart = features * 0.01 + 10.0 * labels[:, None] ** 2
    assert scores.gbc(apart, labels) == pytest.approx(0, abs=1e-9)
    assert scores.gbc(torch.zeros(90, 3).double(), labels) == pytest.approx(-3 * 2)


@SIZES
def test_transrate_as_published(n, d):
    features, labels = world(n, d)
    centred = (features - features.mean(0)).numpy()

    def rate(rows: np.ndarray) -> float:
        return np.linalg.slogdet(np.eye(d) + rows.T @ rows / (len(rows) * 1e-4))[1] / 2

    expected = rate(centred) - np.mean([rate(centred[labels.numpy() == label]) for label in range(3)])
    assert scores.transrate(features, labels) == pytest.approx(expected, abs=1e-6)


def test_rankme():
    features, _ = world(50, 6)
    singular = np.linalg.svd(features.numpy())[1]
    share = singular / singular.sum() + 1e-7
    expected = math.exp(-sum(part * math.log(part) for part in share))
    assert scores.rankme(features) == pytest.approx(expected, abs=1e-6)
    assert scores.rankme(torch.eye(7, dtype=torch.float64)) == pytest.approx(7, rel=1e-5)
    assert scores.rankme(torch.ones(7, 3, dtype=torch.float64)) == pytest.approx(1, rel=1e-4)


def test_feature_similarity_to_the_nearest_source_class():
    target, source = (torch.tensor(np.random.default_rng(seed).normal(size=(4, 8))) for seed in (0, 1))
    expected = (1 - cdist(target.numpy(), source.numpy(), "cosine")).max(1).mean()
    assert scores.feature_similarity(target, source) == pytest.approx(expected, abs=1e-6)
    assert scores.feature_similarity(target, torch.cat([source, 3 * target])) == pytest.approx(1)


def test_class_overlap_by_hand(tree):
    # Depths from the root: entity 1, animal 2, dog 3, husky 4, poodle 4, fish 3, trout 4, vehicle 2, car 3.
    assert scores.class_overlap(tree, ["poodle"], ["husky", "car"]) == pytest.approx(2 * 3 / 8)
    assert scores.class_overlap(tree, ["trout"], ["husky", "car"]) == pytest.approx(2 * 2 / 8)
    both = scores.class_overlap(tree, ["poodle", "trout"], ["car"])
    assert both == pytest.approx((2 * 1 / 7 + 2 * 1 / 7) / 2)
    assert scores.class_overlap(tree, ["car"], ["husky", "car"]) == 1


def test_classes_under_two_roots_have_nothing_in_common():
    above = {"animal": (), "vehicle": (), "cat": ("animal",), "dog": ("animal",), "bus": ("vehicle",)}
    two = Taxonomy([Synset(node, node, (node,), "", parents) for node, parents in above.items()], ["cat"])
    assert scores.similarities(two, ["cat", "bus"], ["dog", "bus"]) == [[2 * 1 / 4, 0], [0, 1]]
    assert scores.class_overlap(two, ["cat", "bus"], ["dog"]) == (2 * 1 / 4 + 0) / 2


def test_class_overlap_needs_classes_of_the_tree(tree):
    assert math.isnan(scores.class_overlap(tree, ["kitchen"], ["husky"]))
    assert math.isnan(scores.class_overlap(tree, ["husky"], ["kitchen"]))
    assert scores.class_overlap(tree, ["husky", "kitchen"], ["husky"]) == 1


def test_a_new_kind_is_a_kind_of_its_family():
    nodes = {"n01503061-0": "n01503061", "n01503061": "n01503061", "n99999999-0": None, "concert hall": None}
    assert {name: scores.node_of(name, Taxonomy.snapshot()) for name in nodes} == nodes


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A net that was trained for a moment, its target, and the result of its run of scores."""
    machine = here(tmp_path_factory.mktemp("scores"))
    store = Store(machine.runs)
    question = small_study(**FOUR, tasks=["knn@scenes", "scores@scenes"], seeds=[0])
    question.prepare(machine)
    for run in question.runs(machine):
        perform(run.spec, store, machine)
    spec = next(run.spec for run in question.runs(machine) if run.method == "scores")
    target = target_of(spec, build_or_open(dict(question.targets)["scenes"], "scenes", machine))
    return machine, store, question, spec, target


def test_one_run_has_every_score_and_how_long_each_took(measured):
    machine, store, question, spec, _ = measured
    result = store.result(spec)
    assert result["metrics"].keys() == SCORES.keys() - {"class_overlap"}  # scenes are not in the tree
    assert result["split"] == "train"
    assert all(math.isfinite(value) for value in result["metrics"].values())
    seconds = store.read(spec, SECONDS)
    assert seconds.keys() == SCORES.keys() | {EXTRACTION}
    assert min(seconds.values()) >= 0
    rows = question.results(store, machine).query("method == 'scores'")
    assert set(rows["split"]) == {"train"}


def test_scores_repeat_and_never_see_a_test_image(measured, tmp_path):
    machine, store, _, spec, target = measured
    net = load_net(spec.pretrain, store)
    says = r"takes the spec .*, not 'abc'; of the key of a run: load_net\(net_of"
    with pytest.raises(ItlError, match=says):
        load_net("abc", store)
    one = Selection(target.test.rows[:1], target.test.labels[:1], target.test.classes)
    again = transferability(spec, net, Target(target.pack, target.train, one), tmp_path, machine)
    assert again == store.result(spec)["metrics"]


@pytest.mark.parametrize(("trained_on", "taken"), [(None, 10), (12, 10), (3, 3)])
def test_a_class_is_its_mean_over_ten_images_that_the_net_was_trained_on(measured, trained_on, taken):
    machine, store, _, spec, _ = measured
    subset = replace(spec.pretrain.subset, images_per_class=trained_on)
    pretrain, net = replace(spec.pretrain, subset=subset), load_net(spec.pretrain, store)
    pack = open_by_digest(subset.pack, machine)
    chosen = select(pack, replace(subset, images_per_class=taken), "train")
    batches = Batches(pack, chosen, pretrain.recipe, pretrain.seed, machine)
    of_classes = extract(net, batches, machine, pretrain.recipe.precision)
    evidence = Evidence(pretrain, net, of_classes, (), machine)
    assert len(of_classes.labels) == taken * len(chosen.classes)
    means = scores.class_means(of_classes.features.double(), of_classes.labels)
    assert torch.equal(evidence.source_means, means)


def test_the_overlap_of_classes_is_by_the_tree_of_the_question(measured, tmp_path, monkeypatch):
    """Also of a net whose labels need no tree: else one ranking would mix two trees."""
    machine, store, _, spec, target = measured
    trained_on = sorted(set(open_by_digest(spec.pretrain.subset.pack, machine).table["wnid"]))
    names = target.train.classes
    pairs = [(name, "a" if name in trained_on[:2] else "b") for name in trained_on]
    pairs += [(name, "a") for name in names] + [("a", "root"), ("b", "root"), ("root", "")]
    synsets = [Synset(name, name, (name,), "", (parent,) if parent else ()) for name, parent in pairs]
    own = Taxonomy(synsets, [*trained_on, *names])
    monkeypatch.setitem(taxonomies.opened, "own", own)
    net = load_net(spec.pretrain, store)
    metrics = transferability(replace(spec, tree="own"), net, target, tmp_path, machine)
    assert metrics["class_overlap"] == pytest.approx(2 * 2 / (3 + 3)), "siblings of trained classes"
    assert "class_overlap" not in transferability(spec, net, target, tmp_path, machine), "no noun of WordNet"


def test_weights_from_elsewhere_have_no_score_about_their_classes(measured, tmp_path):
    machine, store, _, spec, target = measured
    weights = Weights("somewhere", "0" * 12)
    own = replace(spec, pretrain=replace(spec.pretrain, weights=weights))
    metrics = transferability(own, load_net(spec.pretrain, store), target, tmp_path, machine)
    assert SCORES.keys() - metrics.keys() == {"leep", "nce", "feature_similarity", "class_overlap"}


@pytest.mark.parametrize("seed", range(4))
def test_classes_that_are_one_point_each_have_the_largest_h_score(seed):
    """Of a net that has collapsed, or of copies: nothing is shrunk, and the covariance has no inverse."""
    random = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 8, generator=random, dtype=torch.float64).repeat(5, 1)
    assert scores.shrunk_h_score(features, torch.arange(10) % 2) == pytest.approx(1.0)
