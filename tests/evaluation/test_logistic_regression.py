"""The probe: one solve for all strengths, and each ends at the minimum that scikit-learn finds."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from itl import ItlError
from itl.evaluation import logistic_regression as module
from itl.evaluation.logistic_regression import L2_STRENGTHS, CrossEntropy, Features, choose_l2, fit_linear
from itl.evaluation.target import hold_out

torch.set_num_threads(1)  # scikit-learn, torch and other tests would fight over the cores


def gaussians(rows: int, width: int, classes: int, spread: float = 0.4) -> Features:
    """Features of overlapping classes, each of its own scale and offset, as nets make them."""
    random = np.random.default_rng(1)
    labels = random.permutation(np.arange(rows) % classes)
    features = spread * random.normal(size=(classes, width))[labels] + random.normal(size=(rows, width))
    features = features * random.uniform(0.01, 30, width) + random.normal(0, 50, width)
    return Features(torch.tensor(features, dtype=torch.float32), torch.tensor(labels))


def apart(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit on and to choose by."""
    return hold_out(features.labels.numpy(), seed=0)


def objective(model, train: Features, strength: float) -> float:
    """What the probe minimises, in float64, for weights and bias in standardised features."""
    features = train.features.double().numpy()
    wide = (features - features.mean(0)) / features.std(0)
    outputs = wide @ np.asarray(model[0], float).T + np.asarray(model[1], float)
    outputs -= outputs.max(1, keepdims=True)
    right = outputs[np.arange(len(wide)), train.labels.numpy()] - np.log(np.exp(outputs).sum(1))
    return -right.mean() + strength / 2 * np.square(np.asarray(model[0], float)).sum()


@pytest.mark.parametrize(("classes", "strength"), [(2, 1e-2), (6, 1.0), (6, 1e-2), (6, 1e-4)])
def test_fit_linear_reaches_scikit_learns_optimum(classes, strength):
    train = gaussians(400, 40, classes)
    mine = fit_linear(train, classes, [strength])[0]
    features = train.features.double().numpy()
    wide = (features - features.mean(0)) / features.std(0)
    oracle = LogisticRegression(C=1 / (strength * len(wide)), tol=1e-10, max_iter=10_000)
    if classes == 2:  # scikit-learn's binary form penalises half of what two rows pay
        oracle.set_params(C=2 / (strength * len(wide)))
    oracle.fit(wide, train.labels.numpy())
    coefficients, intercept = oracle.coef_, oracle.intercept_
    if classes == 2:
        coefficients, intercept = (
            np.concatenate([-part / 2, part / 2]) for part in (coefficients, intercept)
        )
    best = objective((coefficients, intercept), train, strength)
    assert objective((mine.weights, mine.bias), train, strength) - best == pytest.approx(0, abs=1e-6)
    predicted = mine(train.features).argmax(1).numpy()
    assert np.mean(predicted == oracle.predict(wide)) >= 0.995


def test_fit_linear_ends_where_it_would_have_from_zero():
    train = gaussians(200, 20, 4)
    start = fit_linear(train, 4, [1.0])[0]
    cold, warm = (fit_linear(train, 4, [1e-2], warm_start)[0] for warm_start in (None, start))
    torch.testing.assert_close(cold.weights, warm.weights, atol=2e-3, rtol=0)
    assert start.l2 == 1.0


def test_dead_and_constant_features_are_harmless():
    train = gaussians(100, 5, 3)
    still = torch.stack([torch.zeros(100), torch.full((100,), 0.1), torch.full((100,), 1e6)], 1)
    plain, padded = (
        fit_linear(Features(features, train.labels), 3, [0.1])[0]
        for features in (train.features, torch.cat([train.features, still], 1))
    )
    assert torch.isfinite(padded.weights).all()
    torch.testing.assert_close(padded.weights[:, :5], plain.weights, atol=1e-3, rtol=0)
    assert padded.weights[:, 5:].abs().max() < 1e-3


@pytest.mark.parametrize("rows", [8, 200])
def test_axes_that_eigenvalues_do_not_reach_are_those_of_singular_values(monkeypatch, rows):
    """As of a net that has diverged, of whose features nearly all are constant."""
    train = gaussians(rows, 12, 3)
    usual = fit_linear(train, 3, [1e-2])[0]

    def fails(_: torch.Tensor):
        raise torch.linalg.LinAlgError("linalg.eigh: The algorithm failed to converge")

    monkeypatch.setattr(torch.linalg, "eigh", fails)
    again = fit_linear(train, 3, [1e-2])[0]
    torch.testing.assert_close(again.weights, usual.weights, rtol=1e-3, atol=1e-4)


def test_strength_is_chosen_for_held_out_images():
    noisy, clear = gaussians(120, 60, 3, spread=0.15), gaussians(3000, 10, 3, spread=0.6)
    classify = choose_l2(noisy, 3, *apart(noisy))
    assert classify.l2 > choose_l2(clear, 3, *apart(clear)).l2
    assert classify.l2 == choose_l2(noisy, 3, *apart(noisy)).l2
    refit = fit_linear(noisy, 3, [classify.l2])[0]
    torch.testing.assert_close(classify.weights, refit.weights, atol=1e-3, rtol=0)  # on all of them


def test_all_strengths_at_once_are_each_alone():
    train = gaussians(300, 30, 5)
    together = fit_linear(train, 5, L2_STRENGTHS)
    assert [classifier.l2 for classifier in together] == list(L2_STRENGTHS)
    for classifier in together[::3]:
        alone = fit_linear(train, 5, [classifier.l2])[0]
        loss, best = (objective((one.weights, one.bias), train, classifier.l2) for one in (classifier, alone))
        assert loss == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("fast", [False, True])
def test_fit_linear_ends_in_the_same_place_without_bfloat16(monkeypatch, fast):
    monkeypatch.setattr(module, "has_bf16", lambda where: fast)
    train = gaussians(500, 20, 4)
    for classifier in fit_linear(train, 4, [1.0, 1e-3]):
        steep = slope(classifier, train)
        assert np.abs(steep).max() < 3e-6


def slope(model, train: Features) -> np.ndarray:
    """The gradient (C, D + 1) of the objective in float64, the bias last."""
    features = train.features.double().numpy()
    wide = (features - features.mean(0)) / features.std(0)
    weights, bias = model.weights.double().numpy(), model.bias.double().numpy()
    outputs = wide @ weights.T + bias
    chances = np.exp(outputs - outputs.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    chances[np.arange(len(wide)), train.labels.numpy()] -= 1
    of_weights = chances.T @ wide / len(wide) + model.l2 * weights
    return np.concatenate([of_weights, chances.mean(0)[:, None]], 1)


@pytest.mark.parametrize(("rows", "width"), [(12, 50), (40, 40), (41, 7)])
def test_few_rows_that_any_plane_parts_still_have_one_minimum(rows, width):
    train = gaussians(rows, width, 3)
    for classifier in fit_linear(train, 3, [1.0, 1e-2, 1e-4, 1e-5]):
        assert np.abs(slope(classifier, train)).max() < 3 * min(1e-6, 0.01 * classifier.l2)
        assert torch.isfinite(classifier.weights).all()


def test_rows_go_by_in_chunks(monkeypatch):
    train = gaussians(101, 12, 3)
    whole = fit_linear(train, 3, [1e-2])[0]
    monkeypatch.setitem(module.OUTPUTS_AT_ONCE, "cpu", 30)
    torch.testing.assert_close(fit_linear(train, 3, [1e-2])[0].weights, whole.weights, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-4), (torch.bfloat16, 2e-2)])
def test_hessian_vector_products_are_how_the_gradient_changes(dtype, near):
    train = gaussians(50, 6, 4)
    standardised = (train.features - train.features.mean(0)) / train.features.std(0)
    random = torch.Generator().manual_seed(0)
    weights, direction = torch.randn(2, 1, 4, 6, generator=random)
    penalty, first = torch.full((1, 1, 6), 0.1), torch.tensor([0])
    exact = CrossEntropy(standardised.double(), train.labels, penalty.double())
    up, down = (exact.gradient((weights + step * direction).double(), first) for step in (1e-3, -1e-3))
    product = CrossEntropy(standardised, train.labels, penalty).to(dtype).hessian(0, weights[0])
    torch.testing.assert_close(product(direction), (up - down).float() / 2e-3, atol=near, rtol=near)


def test_curvature_of_certain_rows_is_not_lost_to_rounding():
    """A probability of 0.9995 is 1 in bfloat16, and what the others leave it must not vanish with it."""
    features, apart_by = torch.ones(10, 1, dtype=torch.bfloat16), 7.6
    function = CrossEntropy(features, torch.zeros(10, dtype=torch.int64), torch.zeros(1, 1, 1))
    weights = torch.tensor([[apart_by], [0.0]])
    product = function.hessian(0, weights)(torch.tensor([[[1.0], [0.0]]]))
    probability = 1 / (1 + np.exp(apart_by))
    assert function.probabilities(weights)[0, 0] == 1
    assert product.flatten().tolist() == pytest.approx([probability, -probability], rel=0.02)


def test_nothing_is_sent_to_the_device_or_asked_of_it_inside_a_gradient_or_a_product():
    """With FakeTensorMode a CPU tensor among those of a GPU raises, and so does asking for a value."""
    with FakeTensorMode():
        features = torch.empty(50, 8, device="cuda")
        labels = torch.zeros(50, dtype=torch.int64, device="cuda")
        penalty, weights = torch.empty(3, 1, 8, device="cuda"), torch.empty(3, 4, 8, device="cuda")
        active = torch.arange(3, device="cuda")
        with Devices() as devices:
            for dtype in (torch.float32, torch.bfloat16):
                function = CrossEntropy(features, labels, penalty).to(dtype)
                gradient = function.gradient(weights, active)
                product = function.hessian(1, weights[1])(weights[1:2])
        assert (gradient.shape, product.shape) == ((3, 4, 8), (1, 4, 8))
        assert {gradient.device.type, product.device.type} == {"cuda"} == devices.seen


class Devices(TorchDispatchMode):
    """Notes the devices of all tensors that operations take or make."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        tensors = [part for part in tree_leaves((args, kwargs, result)) if isinstance(part, torch.Tensor)]
        self.seen |= {tensor.device.type for tensor in tensors}
        return result


@pytest.mark.parametrize("alignment", [1, 8])
def test_columns_of_zeros_change_nothing(monkeypatch, alignment):
    """A GPU gets them so that rows start where its matrix units are fast."""
    train = gaussians(300, 12, 4)
    monkeypatch.setitem(module.ALIGNMENT_COLUMNS, "cpu", alignment)
    for classify in fit_linear(train, 4, [1.0, 1e-3]):
        assert classify.weights.shape == (4, 12)
        assert np.abs(slope(classify, train)).max() < 3e-6


def test_a_class_without_images_is_the_least_likely():
    train = gaussians(90, 8, 3)
    classify = fit_linear(train, 4, [1e-2])[0]
    assert (classify(train.features).argmax(1) < 3).all()


@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan")])
def test_strengths_are_above_zero(strength):
    with pytest.raises(ItlError, match="strength is above zero"):
        fit_linear(gaussians(30, 4, 3), 3, [1.0, strength])


def test_weak_penalties_too_are_solved_and_chosen_as_scikit_learn_would():
    """Slopes of 1e-6 are a tenth of the weakest strength: weights that far off took another strength here."""
    noisy = gaussians(120, 60, 3, spread=0.15)
    part, rest = (Features(noisy.features[rows], noisy.labels[rows]) for rows in apart(noisy))
    features = part.features.double().numpy()
    mean, scale = features.mean(0), features.std(0)
    for classifier in fit_linear(part, 3, L2_STRENGTHS):
        oracle = LogisticRegression(C=1 / (classifier.l2 * len(features)), tol=1e-10, max_iter=20_000)
        oracle.fit((features - mean) / scale, part.labels.numpy())
        named = oracle.predict((rest.features.double().numpy() - mean) / scale)
        assert classifier(rest.features).argmax(1).tolist() == named.tolist()
    assert choose_l2(noisy, 3, *apart(noisy)).l2 == pytest.approx(0.1)
