"""The row on linear probes."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from itl.bench.work import Work
from itl.evaluation.accuracy import accuracy
from itl.evaluation.logistic_regression import Features, fit_linear
from itl.training.batches import has_bf16

ROWS, TEST, WIDTH, CLASSES = 50_000, 10_000, 512, 100
Classifier = Callable[[Tensor], Tensor]  # features (N, WIDTH) to outputs (N, CLASSES)

STRENGTHS = tuple(10.0 ** (-exponent / 2) for exponent in range(10))  # 1 to 3e-5
GRADIENT_TOLERANCE = 1e-4  # where scikit-learn stops; results are of the minimum


def probe(folder: Path, device: str) -> Work:
    """Fit linear classifiers to 50,000 × 512 features in 100 classes, for ten strengths of the penalty.

    All stop where no entry of the gradient is above GRADIENT_TOLERANCE. The least work is one forward and one
    backward pass for each strength. Beside a GPU only scikit-learn's fastest way is timed; others take a
    minute.
    """
    del folder
    train, test = (
        Features(split.features.to(device), split.labels.to(device)) for split in made_up_features()
    )
    fits: dict[str, Callable[[], Sequence]] = {
        "itl": lambda: fit_linear(train, CLASSES, STRENGTHS, tolerance=GRADIENT_TOLERANCE)
    }
    fitted: dict[str, Sequence] = {}
    absent, cores = {}, torch.get_num_threads()
    processes = {"scikit-learn, lbfgs in float32": 1, "scikit-learn, a process a core": cores}
    if device.startswith("cuda"):
        del processes["scikit-learn, lbfgs in float32"]
    for peer, count in processes.items():
        try:
            fits[peer] = scikit_learn(train, count)
        except ImportError as error:
            absent[peer] = str(error)

    def fit(name: str) -> None:
        """Keep the classifiers too: `agree` scores them."""
        fitted[name] = fits[name]()

    def agree() -> str:
        texts = []
        for name, classifiers in fitted.items():
            right = [accuracy(classify(test.features), test.labels) for classify in classifiers]
            texts.append(f"{max(right):.2f} % right at {STRENGTHS[right.index(max(right))]:.0e} in {name}")
        return f"best on {TEST:,} others: {', '.join(texts)}"

    ours, *theirs = fits
    return Work(
        f"{len(STRENGTHS)} probes of {ROWS:,} × {WIDTH} to slope {GRADIENT_TOLERANCE:.0e}",
        "probes",
        len(STRENGTHS),
        partial(fit, ours),
        {name: partial(fit, name) for name in theirs},
        absent,
        operations=4.0 * ROWS * WIDTH * CLASSES * len(STRENGTHS),
        rate="bf16" if has_bf16(torch.device(device)) else "fp32",
        agree=agree,
    )


def made_up_features() -> tuple[Features, Features]:
    """Draw features to fit to and to test on that are like those of nets.

    They are correlated and not negative, and their classes overlap. The variance along their n-th main axis
    falls as 1 / n before negative values become zero.
    """
    random = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=random)).Q
    centres = 0.15 * torch.randn(CLASSES, WIDTH, generator=random)
    labels = torch.arange(ROWS + TEST) % CLASSES
    drawn = centres[labels] + torch.randn(ROWS + TEST, WIDTH, generator=random)
    features = (drawn / torch.arange(1, WIDTH + 1) ** 0.5 @ axes).relu()
    return Features(features[:ROWS], labels[:ROWS]), Features(features[ROWS:], labels[ROWS:])


def scikit_learn(train: Features, processes: int) -> Callable[[], list[Classifier]]:
    """Return scikit-learn's fit to features standardised beforehand, in *processes* of one thread each.

    A single process is this one, with all threads: that is how people call it, though a fit is no faster on
    two cores than on one.
    """
    from joblib import Parallel, delayed
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    labels = train.labels.cpu().numpy()
    scaler = StandardScaler().fit(train.features.cpu().numpy())
    standardised = scaler.transform(train.features.cpu().numpy())
    models = [
        LogisticRegression(C=1 / (strength * ROWS), tol=GRADIENT_TOLERANCE, max_iter=1000)
        for strength in STRENGTHS
    ]

    def classify(model: LogisticRegression, features: Tensor) -> Tensor:
        outputs = model.decision_function(scaler.transform(features.cpu().numpy()))
        return torch.tensor(outputs, device=features.device)

    def fit_all() -> list[Classifier]:
        with Parallel(processes) as side_by_side:
            fitted = side_by_side(delayed(model.fit)(standardised, labels) for model in models)
        return [partial(classify, model) for model in fitted]

    return fit_all
