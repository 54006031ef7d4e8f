"""Cheap scores of how well a frozen net should transfer to a target, from features of its training images.

A higher score predicts better transfer. Features are float64 (N, D), labels int64 (N,) from 0 without gaps,
probabilities of the net's own classes float64 (N, S). `SCORES` lists every score;
`itl.evaluation.transferability` computes them.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from itl.evaluation.frozen import vote
from itl.evaluation.knn import nearest
from itl.evaluation.methods import KNN_NEIGHBOURS
from itl.hierarchy.taxonomy import Taxonomy

SHOTS, DRAWS = 5, 10  # images of each class that a few-shot probe learns from, and how often they are drawn
PCA_ENERGY = 0.8  # share of the variance that N-LEEP's principal components keep
COMPONENTS_PER_CLASS = 5  # of N-LEEP's mixture
MIN_VARIANCE = 1e-4  # of a class in one direction, as in the published code of GBC
TRANSRATE_EPSILON = 1e-4  # distortion of the coding rate
LOGME_ROUNDS, LOGME_TOLERANCE = 1000, 1e-9


def knn_accuracy(features: Tensor, labels: Tensor) -> float:
    """Classify each image by the vote of its five nearest other images, by cosine similarity.

    In percent. The leave-one-out error of k-NN (Cover and Hart, Nearest neighbor pattern classification,
    1967), used as a transferability score by Renggli et al., Which model to transfer?, 2022. nan of a single
    image.
    """
    if len(labels) == 1:
        return math.nan
    k = min(max(KNN_NEIGHBOURS), len(labels) - 1)
    rows, _ = nearest(features, features, k + 1)
    own = rows == torch.arange(len(rows), device=rows.device)[:, None]
    own[~own.any(1), -1] = True  # an image with as many exact copies is not among its own neighbours
    correct = vote(labels[rows[~own].view(-1, k)]) == labels
    return 100.0 * correct.double().mean().item()


def few_shot_accuracy(features: Tensor, labels: Tensor) -> float:
    """Fit a ridge regression to five images of each class and score it on the others: the mean of ten draws.

    Standardised features, targets +1 and −1, and a penalty, as in the few-shot evaluation of Dosovitskiy et
    al., An image is worth 16x16 words, 2021. The penalty is D, the mean squared length of a standardised
    feature (their code has 2^10). A class of five images or fewer keeps one to score. The accuracy is in
    percent; nan where every class has a single image.
    """
    random, classes = torch.Generator().manual_seed(0), labels.cpu()  # on a GPU each class would be a wait
    counts = torch.bincount(classes).tolist()
    fitted = torch.zeros(DRAWS, len(labels), dtype=torch.bool)  # as many images in each draw
    for draw in range(DRAWS):
        order = torch.randperm(len(labels), generator=random)
        for label, count in enumerate(counts):
            fitted[draw, order[classes[order] == label][: max(1, min(SHOTS, count - 1))]] = True
    rows = fitted.int().argsort(dim=1, descending=True, stable=True).to(labels.device)
    shots, accuracies = int(fitted[0].sum()), []
    for train, test in zip(rows[:, :shots], rows[:, shots:], strict=True):
        predicted = _ridge_classes(features[train], labels[train], features[test], len(counts))
        accuracies.append((predicted == labels[test]).double().mean())
    return sum(100.0 * accuracy for accuracy in torch.stack(accuracies).tolist()) / DRAWS


def _ridge_classes(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> Tensor:
    """Return the class (M,) that a ridge regression on *train* gives each row of *test*; see above."""
    mean, scale = train.mean(0), train.std(0, correction=0) + 1e-5
    train, test = (train - mean) / scale, (test - mean) / scale
    signs = 2.0 * F.one_hot(labels, classes).double() - 1.0
    gram = train @ train.T + train.shape[1] * torch.eye(len(train), dtype=train.dtype, device=train.device)
    # The intercept, the mean, is not penalised. *gram* has an inverse, and a check of it would be a wait.
    weights, _ = torch.linalg.solve_ex(gram, signs - signs.mean(0))
    return (test @ (train.T @ weights) + signs.mean(0)).argmax(1)


def leep(probabilities: Tensor, labels: Tensor) -> float:
    """Log expected empirical prediction: mean log Σ_z p(y_i | z) θ(x_i)_z, of the net's own classes z.

    p(y | z) is θ's empirical conditional distribution on the target. Nguyen et al., LEEP: a new measure to
    evaluate transferability of learned representations, 2020.
    """
    joint = F.one_hot(labels).double().T @ probabilities / len(labels)
    conditional = joint / joint.sum(0).clamp(min=torch.finfo(joint.dtype).tiny)
    return (probabilities * conditional[labels]).sum(1).log().mean().item()


def nleep(features: Tensor, labels: Tensor) -> float:
    """LEEP of the posteriors of a Gaussian mixture of the features' principal components.

    The components keep 80 % of the variance; the mixture has five Gaussians for each class. Li et al.,
    Ranking neural checkpoints, 2021. Its covariances are diagonal here: full ones have more numbers than a
    small target has images; and there is at most one Gaussian for each four images.
    """
    from sklearn.mixture import GaussianMixture  # here: no other score needs it

    reduced = principal_components(features, PCA_ENERGY).cpu().numpy()
    if not reduced.any():  # all features are the same: one Gaussian has every image
        return leep(torch.ones_like(features[:, :1]), labels)
    components = max(1, min(COMPONENTS_PER_CLASS * (int(labels.max()) + 1), len(labels) // 4))
    mixture = GaussianMixture(components, covariance_type="diag", random_state=0, reg_covar=MIN_VARIANCE)
    posteriors = mixture.fit(reduced / reduced.std()).predict_proba(reduced / reduced.std())
    return leep(torch.from_numpy(posteriors).to(features.device), labels)


def principal_components(features: Tensor, energy: float) -> Tensor:
    """Project *features* (N, D) to the fewest principal components that keep *energy* of the variance."""
    centred = features - features.mean(0)
    left, singular, _ = torch.linalg.svd(centred, full_matrices=False)
    kept = torch.cumsum(singular**2, 0) / (singular**2).sum()
    count = int((kept < energy).sum()) + 1
    return left[:, :count] * singular[:count]


def nce(probabilities: Tensor, labels: Tensor) -> float:
    """Negative conditional entropy −H(y | z) of the labels given z, the most probable of the net's classes.

    Tran et al., Transferability and hardness of supervised classification tasks, 2019.
    """
    classes = F.one_hot(probabilities.argmax(1), probabilities.shape[1]).double()
    joint = F.one_hot(labels).double().T @ classes / len(labels)
    return -(torch.special.entr(joint).sum() - torch.special.entr(joint.sum(0)).sum()).item()


def logme(features: Tensor, labels: Tensor) -> float:
    """Log of the maximum evidence of a Bayesian linear regression on each class against the others.

    The evidence of y ~ N(F w, 1/β), w ~ N(0, 1/α), maximised over α and β by fixed-point iteration from
    α = β, over N; the mean over classes. With more features than images that may end in a lower one of
    several maxima. You et al., LogME: practical assessment of pre-trained models for transfer learning, 2021.
    """
    targets = F.one_hot(labels).double()
    n, rounding = len(features), max(features.shape) * torch.finfo(features.dtype).eps
    left, singular, _ = torch.linalg.svd(features, full_matrices=False)
    spans = singular > rounding * singular[0]  # as `torch.linalg.matrix_rank` counts
    spectrum = (singular[spans] ** 2)[:, None]
    inside, total = (left[:, spans].T @ targets) ** 2, (targets**2).sum(0)
    outside = total - inside.sum(0)  # of y, what no weights reach
    outside = torch.where(outside > rounding * total, outside, 0)
    tiny = torch.finfo(features.dtype).tiny
    # β / α, by which all is written: of a class that features say nothing of, α has no finite maximum, and of
    # one that weights reach all of, β has none: the evidence is that at *most*, as near as it comes
    ratio = torch.ones_like(outside)
    most = 1 / (rounding**3 * spectrum.amax().item()) if len(spectrum) else 1.0
    for _ in range(LOGME_ROUNDS):
        shrunk = 1 + ratio * spectrum
        weights = (spectrum * inside / shrunk**2).sum(0)  # |w|² by its share of β / α, squared
        residual = (inside / shrunk**2).sum(0) + outside
        beta = (n - len(spectrum) + (1 / shrunk).sum(0)) / (residual + tiny)
        growth = beta * weights / ((spectrum / shrunk).sum(0) + tiny)
        before, ratio = ratio, (ratio * growth).clamp(max=most)
        if ((ratio - before).abs() <= LOGME_TOLERANCE * before).all():
            break
    shrunk = 1 + ratio * spectrum
    misfit = (inside / shrunk).sum(0) + outside  # of y, with what large weights cost; the best β is n over it
    evidence = -n * (misfit + tiny).log() - shrunk.log().sum(0)
    return (evidence / 2 + n / 2 * (math.log(n / (2 * math.pi)) - 1)).mean().item() / n


def h_score(features: Tensor, labels: Tensor) -> float:
    """Trace of cov(f)⁺ cov(E[f | y]): how much of the features' variance lies between the classes.

    Bao et al., An information-theoretic approach to transferability in task transfer learning, 2019. It is
    the sum over classes of |P y|² / n: y marks the n images of a class, and P projects to the span of the
    features. No covariance is inverted: where most features are constant, its eigenvalues may not converge.
    """
    left, singular, _ = torch.linalg.svd(features - features.mean(0), full_matrices=False)
    members = F.one_hot(labels).to(features.dtype)
    inside = left[:, singular > 1e-5 * singular[0]].T @ members  # the covariance to a precision of 1e-10
    return (inside**2 / members.sum(0).clamp_min(1)).sum().item()


def shrunk_h_score(features: Tensor, labels: Tensor) -> float:
    """H-score with Ledoit and Wolf's shrinkage s: tr(((1 − s) Σ + s tr(Σ)/D I)⁻¹ (1 − s) cov(E[f | y])).

    Ibrahim et al., Newer is not always better: rethinking transferability metrics, their peculiarities,
    stability and performance, 2021.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage  # here: no other score needs it

    centred = features - features.mean(0)
    if not centred.any():  # all features are the same
        return 0.0
    shrinkage = float(ledoit_wolf_shrinkage(centred.cpu().numpy(), assume_centered=True))
    if shrinkage < 1e-10:  # as where each class is one point: the covariance may have no inverse
        return h_score(features, labels)
    between = class_means(centred, labels)[labels]
    covariance = centred.T @ centred / len(labels)
    d = covariance.shape[0]
    identity = torch.eye(d, dtype=covariance.dtype, device=covariance.device)
    shrunk = (1 - shrinkage) * covariance + shrinkage * covariance.trace() / d * identity
    return (1 - shrinkage) * torch.linalg.solve(shrunk, between.T @ between / len(labels)).trace().item()


def class_means(features: Tensor, labels: Tensor) -> Tensor:
    """Return the mean feature (C, D) of each class."""
    members = F.one_hot(labels).to(features.dtype)
    return (members.T @ features) / members.sum(0)[:, None]


def gbc(features: Tensor, labels: Tensor) -> float:
    """Minus the Bhattacharyya coefficients exp(−B) of all ordered pairs of classes, each a diagonal Gaussian.

    B = Σ_d (μ − μ')² / 8 v̄ + ½ Σ_d log(v̄ / √(v v')), v̄ the mean of both variances. Pándy et al.,
    Transferability estimation using Bhattacharyya class separability, 2022.
    """
    means = class_means(features, labels)
    variances = (class_means(features**2, labels) - means**2).clamp(min=MIN_VARIANCE)
    total = 0.0
    for mean, variance in zip(means, variances, strict=True):
        average = (variance + variances) / 2
        distance = ((mean - means) ** 2 / average).sum(1) / 8
        distance += (average.log() - (variance.log() + variances.log()) / 2).sum(1) / 2
        total += (-distance).exp().sum().item() - 1.0  # but the pair of the class with itself
    return -total


def transrate(features: Tensor, labels: Tensor) -> float:
    """Mutual information of features and labels by coding rates: R(Z) − mean over classes of R(Z_c).

    R(Z) = ½ log det(I + ZᵀZ / (n ε)) with ε = 10⁻⁴, Z centred. Huang et al., Frustratingly easy
    transferability estimation, 2022, whose code this follows: it weighs all classes alike.
    """
    centred = features - features.mean(0)
    rates = [_coding_rate(centred[labels == label]) for label in range(int(labels.max()) + 1)]
    return _coding_rate(centred) - sum(rates) / len(rates)


def _coding_rate(features: Tensor) -> float:
    singular = torch.linalg.svdvals(features)
    return torch.log1p(singular**2 / (len(features) * TRANSRATE_EPSILON)).sum().item() / 2


def rankme(features: Tensor) -> float:
    """Effective rank of the features: exp of the entropy of their normalised singular values.

    Garrido et al., RankMe: assessing the downstream performance of pretrained self-supervised representations
    by their rank, 2023. It looks at no label.
    """
    singular = torch.linalg.svdvals(features)
    share = singular / singular.sum() + 1e-7
    return torch.special.entr(share).sum().exp().item()


def feature_similarity(target_means: Tensor, source_means: Tensor) -> float:
    """Mean over target classes of the highest cosine similarity of their mean feature to a source class's.

    The domain similarity of Cui et al., Large scale fine-grained categorization and domain-specific transfer
    learning, 2018, with cosine distances and the relaxed earth mover's distance of Kusner et al., From word
    embeddings to document distances, 2015: each target class (C, D) goes to its nearest source class (S, D).
    """
    cosines = F.normalize(target_means, dim=1) @ F.normalize(source_means, dim=1).T
    return cosines.max(1).values.mean().item()


def class_overlap(tree: Taxonomy, target: Iterable[str], source: Sequence[str]) -> float:
    """Mean over target classes of the highest similarity in the tree to a class that was trained on.

    The similarity is 2 depth(lowest common ancestor) / (depth(a) + depth(b)), the root being at depth 1: Wu
    and Palmer, Verb semantics and lexical selection, 1994. It is 0 between classes of two roots. Target
    classes that are not in the tree count for nothing; nan if none is. Their names are wnids, or a wnid with
    a number, as demo-kinds has them.
    """
    rows = similarities(tree, target, [wnid for wnid in source if wnid in tree])
    return sum(map(max, rows)) / len(rows) if rows and rows[0] else math.nan


def similarities(tree: Taxonomy, target: Iterable[str], source: Sequence[str]) -> list[list[float]]:
    """Return the similarity in *tree* of each target class that is in it to each wnid of *source*."""
    nodes = [node for node in (node_of(name, tree) for name in target) if node]
    return [[_wu_palmer(tree, node, wnid) for wnid in source] for node in nodes]


def node_of(name: str, tree: Taxonomy) -> str | None:
    """Return the node of *tree* that the class *name* is, or is a kind of; None if that is not known."""
    if name in tree:
        return name
    kind = re.fullmatch(r"(n\d{8})-\d+", name)
    return kind[1] if kind and kind[1] in tree else None


def _wu_palmer(tree: Taxonomy, a: str, b: str) -> float:
    if tree.path(a)[-1] != tree.path(b)[-1]:
        return 0.0
    shared = tree.depth(tree.lowest_common_ancestor(a, b)) + 1
    return 2 * shared / (tree.depth(a) + tree.depth(b) + 2)


@dataclass(frozen=True)
class Score:
    """One cheap score."""

    compute: Callable[..., float]
    needs: tuple[str, ...]  # its arguments, by their names in `itl.evaluation.transferability.Evidence`
    words: str  # for people
    in_percent: bool = False  # else in a unit of its own


LABELLED = ("features", "labels")
SCORES = {  # by the name that results show
    "knn5": Score(knn_accuracy, LABELLED, "5 neighbours (leave-one-out)", in_percent=True),
    "few_shot": Score(few_shot_accuracy, LABELLED, "5-shot probe", in_percent=True),
    "leep": Score(leep, ("probabilities", "labels"), "LEEP"),
    "nleep": Score(nleep, LABELLED, "N-LEEP"),
    "nce": Score(nce, ("probabilities", "labels"), "NCE"),
    "logme": Score(logme, LABELLED, "LogME"),
    "h_score": Score(h_score, LABELLED, "H-score"),
    "shrunk_h_score": Score(shrunk_h_score, LABELLED, "shrunk H-score"),
    "gbc": Score(gbc, LABELLED, "GBC"),
    "transrate": Score(transrate, LABELLED, "TransRate"),
    "rankme": Score(rankme, ("features",), "RankMe"),
    "feature_similarity": Score(
        feature_similarity, ("target_means", "source_means"), "similarity to source classes"
    ),
    "class_overlap": Score(class_overlap, ("tree", "target_classes", "source_classes"), "WordNet overlap"),
}
