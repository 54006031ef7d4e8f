"""Rows on evaluation: linear probes, exact nearest neighbours, RoI align and VOC's average precision."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from itl.bench.work import Work, installed
from itl.evaluation.accuracy import accuracy
from itl.evaluation.knn import nearest
from itl.evaluation.logistic_regression import Features, fit_linear
from itl.evaluation.voc_ap import mean_ap, voc_ap
from itl.hierarchy.voc_classes import PASCAL
from itl.sources.boxes import SIDES
from itl.training.detection_nets import SAMPLES_PER_SIDE, align
from itl.training.numerics import has_bf16

WIDTH, CLASSES = 512, 100  # of features
ROWS, TEST = 50_000, 10_000  # images of a probe
STRENGTHS = tuple(10.0 ** (-exponent / 2) for exponent in range(10))  # 1 to 3e-5
GRADIENT_TOLERANCE = 1e-4  # where scikit-learn stops; results are of the minimum
BASE, QUERIES, K = 100_000, 10_000, 5  # vectors to search, vectors to search for, and neighbours
REGIONS = {"cpu": (32, 5), "cuda": (512, 50)}  # regions of each map, and how often a call pools them

Classifier = Callable[[Tensor], Tensor]  # features (N, WIDTH) to outputs (N, CLASSES)


def probe(folder: Path, device: str) -> Work:
    """Fit linear classifiers to 50,000 × 512 features in 100 classes, for ten strengths of the penalty.

    All stop where no entry of the gradient is above GRADIENT_TOLERANCE. The least work is one forward and one
    backward pass for each strength. Beside a GPU only scikit-learn's fastest way is timed; others take a
    minute.
    """
    train, test = (Features(part.features.to(device), part.labels.to(device)) for part in made_up_features())
    factories = {"scikit-learn, a process a core": partial(scikit_learn, train, torch.get_num_threads())}
    if not device.startswith("cuda"):
        factories = {"scikit-learn, lbfgs in float32": partial(scikit_learn, train, 1)} | factories
    theirs, absent = installed(factories)
    ours = partial(fit_linear, train, CLASSES, STRENGTHS, tolerance=GRADIENT_TOLERANCE)
    fitted: dict[str, Sequence] = {}

    def fit(name: str, work: Callable[[], Sequence]) -> None:
        """Keep the classifiers too: `agree` scores them."""
        fitted[name] = work()

    def agree() -> str:
        texts = []
        for name, classifiers in fitted.items():
            right = [accuracy(classify(test.features), test.labels) for classify in classifiers]
            texts.append(f"{max(right):.2f} % right at {STRENGTHS[right.index(max(right))]:.0e} in {name}")
        return f"best on {TEST:,} others: {', '.join(texts)}"

    return Work(
        f"{len(STRENGTHS)} probes of {ROWS:,} × {WIDTH} to slope {GRADIENT_TOLERANCE:.0e}",
        "probes",
        len(STRENGTHS),
        partial(fit, "itl", ours),
        {name: partial(fit, name, work) for name, work in theirs.items()},
        absent,
        operations=4.0 * ROWS * WIDTH * CLASSES * len(STRENGTHS),
        precision="bf16" if has_bf16(torch.device(device)) else "fp32",
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
        LogisticRegression(C=1 / (l2 * ROWS), tol=GRADIENT_TOLERANCE, max_iter=1000) for l2 in STRENGTHS
    ]

    def classify(model: LogisticRegression, features: Tensor) -> Tensor:
        outputs = model.decision_function(scaler.transform(features.cpu().numpy()))
        return torch.tensor(outputs, device=features.device)

    def fit_all() -> list[Classifier]:
        with Parallel(processes) as side_by_side:
            fitted = side_by_side(delayed(model.fit)(standardised, labels) for model in models)
        return [partial(classify, model) for model in fitted]

    return fit_all


def search_neighbours(folder: Path, device: str) -> Work:
    """Find the 5 nearest of 100,000 vectors of 512 numbers, by cosine, for each of 10,000 queries; exactly.

    Vectors lie around 100 centres and have no negative numbers, as features do. Peers are given vectors of
    length 1; itl normalises them itself.
    """
    base, queries = (vectors.to(device) for vectors in clusters())
    unit = F.normalize(base), F.normalize(queries)
    factories = {"torch, float32 products, topk": lambda: partial(blocks, *unit)}
    peers, absent = installed(factories | {"faiss-cpu, IndexFlatIP": lambda: flat(*unit)})

    def agree() -> str:
        ours = nearest(base, queries, K)[0].cpu()
        exact = blocks(F.normalize(base.double()), F.normalize(queries[:500].double()))
        texts = [f"{(ours[:500] == exact.cpu()).all(1).sum()} of 500 queries as float64 has them"]
        for name, search in peers.items():
            texts.append(f"{(search().cpu() != ours).any(1).sum():,} of {QUERIES:,} differ from {name}'s")
        return "; ".join(texts)

    return Work(
        f"{K} nearest of {BASE:,} × {WIDTH}",
        "queries",
        QUERIES,
        lambda: nearest(base, queries, K),
        peers,
        absent,
        moved=4 * WIDTH * (BASE + QUERIES),
        operations=2 * WIDTH * BASE * QUERIES,
        precision="bf16" if has_bf16(torch.device(device)) else "fp32",
        agree=agree,
    )


def clusters() -> tuple[Tensor, Tensor]:
    """Draw vectors (BASE, WIDTH) and (QUERIES, WIDTH) around the same centres."""
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, WIDTH, generator=random)
    base, queries = (
        (centres[torch.arange(count) % CLASSES] + torch.randn(count, WIDTH, generator=random)).relu()
        for count in (BASE, QUERIES)
    )
    return base, queries


def blocks(base: Tensor, queries: Tensor) -> Tensor:
    """Return the rows (M, K) of *base* nearest to *queries*, by plain products of 1,024 queries at once."""
    return torch.cat([(block @ base.T).topk(K, dim=1).indices for block in queries.split(1024)])


def flat(base: Tensor, queries: Tensor) -> Callable[[], Tensor]:
    """Return a search in faiss's index of all of *base*, filled beforehand, with as many threads as torch."""
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    index, wanted = faiss.IndexFlatIP(WIDTH), queries.cpu().numpy()
    index.add(base.cpu().numpy())
    return lambda: torch.from_numpy(index.search(wanted, K)[1])


def align_regions(folder: Path, device: str) -> Work:
    """Pool regions, 5 × 5 from 8 maps of 128 × 15 × 20, forward and backward; on a CPU on one core."""
    from torchvision.ops import roi_align

    target_device = torch.device(device)
    count, repeats = REGIONS[target_device.type]
    if target_device.type == "cpu":
        torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(8, 128, 15, 20, generator=random).to(target_device)
    maps = maps.to(memory_format=torch.channels_last).requires_grad_()
    corners = (torch.rand(8, count, 2, 2, generator=random) * torch.tensor([160, 120])).to(target_device)
    boxes = [torch.cat([pair.min(1).values, pair.max(1).values], 1) for pair in corners]

    def ours() -> torch.Tensor:
        return align(maps, boxes, 5, 1 / 8)

    def theirs() -> torch.Tensor:
        return roi_align(maps, boxes, 5, 1 / 8, sampling_ratio=SAMPLES_PER_SIDE, aligned=True)

    def forward_and_backward(pool: Callable[[], torch.Tensor]) -> None:
        for _ in range(repeats):
            torch.autograd.grad(pool().square().sum(), maps)

    def agree() -> str:
        return f"largest difference {(ours() - theirs()).abs().max().item():.1e}"

    what = f"RoI align of 8 × {count} regions from 8 feature maps, forward and backward"
    what += ", on one core" if target_device.type == "cpu" else ""
    peers = {"torchvision's roi_align": lambda: forward_and_backward(theirs)}
    return Work(what, "regions", repeats * 8 * count, lambda: forward_and_backward(ours), peers, agree=agree)


def score_detections(folder: Path, device: str) -> Work:
    """Score 100,000 detections on as many images (5,000) and objects (12,497) as VOC 2007 test has."""
    objects, detections = made_up_detections(5000, 12_497, 100_000)
    peers, absent = installed({"torchmetrics, faster_coco_eval": lambda: coco_scorer(objects, detections)})

    def ours() -> float:
        return mean_ap(voc_ap(objects, detections, "area").values())

    def agree() -> str:
        theirs = "".join(f", COCO's at IoU 0.5 {score():.3f}" for score in peers.values())
        return f"VOC's AP {ours():.3f}{theirs}"

    return Work("VOC AP of 100,000 boxes", "detections", len(detections), ours, peers, absent, agree=agree)


def made_up_detections(images: int, count: int, detected: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw objects of PASCAL's classes, 15 % difficult, and detections, half of them near an object."""
    random = np.random.default_rng(0)
    names, ids = np.array(sorted(PASCAL)), np.array([f"{number:06}" for number in range(images)])

    def boxes(number: int) -> np.ndarray:
        corner, size = random.uniform(1, 300, (number, 2)), random.uniform(20, 200, (number, 2))
        return np.hstack([corner, corner + size]).round()

    objects = pd.DataFrame(boxes(count), columns=SIDES)
    objects["image"], objects["name"] = random.choice(ids, count), random.choice(names, count)
    objects["difficult"] = random.random(count) < 0.15
    near = objects.iloc[random.integers(0, count, detected // 2)]
    moved = np.vstack([near[SIDES] + random.normal(0, 10, (len(near), 4)), boxes(detected - len(near))])
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    image_ids = np.concatenate([near["image"], random.choice(ids, detected - len(near))])
    classes = np.concatenate([near["name"], random.choice(names, detected - len(near))])
    scores = np.concatenate([random.beta(3, 2, len(near)), random.beta(2, 3, detected - len(near))])
    detections = pd.DataFrame(moved, columns=SIDES)
    detections["image"], detections["class"], detections["score"] = image_ids, classes, scores
    return objects, detections.sample(frac=1, random_state=0)


def coco_scorer(objects: pd.DataFrame, detections: pd.DataFrame) -> Callable[[], float]:
    """Return torchmetrics' scoring of *detections*; tensors are made beforehand, as a loop has them.

    Difficult objects are its crowds, and it computes only the one IoU that VOC takes.
    """
    import faster_coco_eval  # noqa: F401
    from torchmetrics.detection import MeanAveragePrecision

    classes = {name: number for number, name in enumerate(sorted(objects["name"].unique()))}

    def tensors(frame: pd.DataFrame, name: str) -> dict[str, torch.Tensor]:
        boxes = torch.tensor(frame[SIDES].to_numpy(np.float32))
        boxes[:, 2:] += 1  # torchmetrics' boxes end where the last pixel ends
        return {"boxes": boxes, "labels": torch.tensor(frame[name].map(classes).to_numpy(np.int64))}

    objects_of, detections_of = dict(list(objects.groupby("image"))), dict(list(detections.groupby("image")))
    targets, predictions = [], []
    for image in sorted({*objects_of, *detections_of}):
        annotated, detected = objects_of.get(image, objects[:0]), detections_of.get(image, detections[:0])
        crowds = torch.tensor(annotated["difficult"].to_numpy(np.int64))
        targets.append(tensors(annotated, "name") | {"iscrowd": crowds})
        scores = torch.tensor(detected["score"].to_numpy(np.float32))
        predictions.append(tensors(detected, "class") | {"scores": scores})

    def score() -> float:
        metric = MeanAveragePrecision(backend="faster_coco_eval", iou_thresholds=[0.5])
        metric.update(predictions, targets)
        return float(metric.compute()["map"])

    return score
