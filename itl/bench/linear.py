"""The linear probe."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from itl.bench.work import Work
from itl.evaluation.accuracy import accuracy
from itl.evaluation.logistic_regression import Features, fit_linear
from itl.training.batches import has_bf16

ROWS, TEST, WIDTH, CLASSES = 50_000, 10_000, 512, 100
STRENGTHS = tuple(10.0 ** (-exponent / 2) for exponent in range(10))  # 1 to 3e-5
SLOPE = 1e-4  # scikit-learn stops there; for results, ours goes on to the minimum


def probe(folder: Path, device: str) -> Work:
    """Linear classifiers of 50,000 × 512 features in 100 classes, for ten strengths of the penalty.

    Both stop where no slope is above SLOPE. The least that can be done is one pass, forwards and back, for
    each strength. Beside a GPU scikit-learn is timed in its fastest way alone: the others take a minute.
    """
    del folder
    train, test = (Features(*(part.to(device) for part in each)) for each in made_up_features())
    fits = {"itl": lambda: fit_linear(train, CLASSES, STRENGTHS, tolerance=SLOPE)}
    absent, cores, fitted = {}, torch.get_num_threads(), {}
    processes = {"scikit-learn, lbfgs in float32": 1, "scikit-learn, a process a core": cores}
    if device.startswith("cuda"):
        del processes["scikit-learn, lbfgs in float32"]
    for peer, count in processes.items():
        try:
            fits[peer] = scikit_learn(train, count)
        except ImportError as error:
            absent[peer] = str(error)

    def kept(name: str) -> Callable[[], None]:
        """A go at the fit *name*; its classifiers are kept, so that `agree` need not fit again."""

        def go() -> None:
            fitted[name] = fits[name]()

        return go

    def agree() -> str:
        told = []
        for name, classifiers in fitted.items():
            right = [accuracy(classify(test.features), test.labels) for classify in classifiers]
            told.append(f"{max(right):.2f} % right at {STRENGTHS[right.index(max(right))]:.0e} in {name}")
        return f"best on {TEST:,} others: {', '.join(told)}"

    ours, *theirs = fits
    return Work(
        f"{len(STRENGTHS)} probes of {ROWS:,} × {WIDTH} to slope {SLOPE:.0e}",
        "probes",
        len(STRENGTHS),
        kept(ours),
        {name: kept(name) for name in theirs},
        absent,
        operations=4.0 * ROWS * WIDTH * CLASSES * len(STRENGTHS),
        rate="bf16" if has_bf16(torch.device(device)) else "fp32",
        agree=agree,
    )


def made_up_features() -> tuple[Features, Features]:
    """Features to fit to and to test on, as nets make them: correlated, not negative, classes that overlap.

    The variance along the n-th of their main axes falls as 1 / n before what is negative becomes zero.
    """
    random = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=random)).Q
    centres = 0.15 * torch.randn(CLASSES, WIDTH, generator=random)
    labels = torch.arange(ROWS + TEST) % CLASSES
    told = centres[labels] + torch.randn(ROWS + TEST, WIDTH, generator=random)
    features = (told / torch.arange(1, WIDTH + 1) ** 0.5 @ axes).relu()
    return Features(features[:ROWS], labels[:ROWS]), Features(features[ROWS:], labels[ROWS:])


def scikit_learn(train: Features, processes: int) -> Callable[[], list[Callable[[Tensor], Tensor]]]:
    """A go at all strengths on features standardised beforehand, in so many *processes* of one thread each.

    One process is this one, with all threads: as people call it, though a fit is no faster on two cores than
    on one. A go returns classifiers, of features (N, WIDTH) into outputs (N, CLASSES).
    """
    from joblib import Parallel, delayed
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    labels = train.labels.cpu().numpy()
    scaler = StandardScaler().fit(train.features.cpu().numpy())
    wide = scaler.transform(train.features.cpu().numpy())
    fits = [LogisticRegression(C=1 / (each * ROWS), tol=SLOPE, max_iter=1000) for each in STRENGTHS]

    def classifier(fitted: LogisticRegression) -> Callable[[Tensor], Tensor]:
        return lambda some: torch.tensor(fitted.decision_function(scaler.transform(some.cpu().numpy())))

    def fit_all() -> list[Callable[[Tensor], Tensor]]:
        with Parallel(processes) as side_by_side:
            fitted = side_by_side(delayed(each.fit)(wide, labels) for each in fits)
        return list(map(classifier, fitted))

    return fit_all
