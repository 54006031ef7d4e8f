"""`make bench`: a table of rates, ours beside a peer's, measured in turn on the same images."""

import argparse
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from itl.config import Machine, Packing, Recipe
from itl.data.batches import SCALE, Batches
from itl.data.decode import decode
from itl.data.demo import DemoClasses
from itl.data.pack import Pack
from itl.data.regions import SIDES
from itl.data.subset import Selection
from itl.labels import PASCAL
from itl.learn.roi import SAMPLES, align
from itl.transfer.average_precision import mean_ap, voc_ap
from tests.bench.peers import Absent, coco_scorer, pillow_square

ROUNDS, CORES = 5, 2
Row = tuple[str, str, list[float], list[float]]


def main() -> None:
    """Print the table; each row is the median of ROUNDS turns."""
    rows = {"pack": packing, "read": reading, "roi": cutting, "voc-ap": scoring}
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=main.__doc__)
    parser.add_argument("--only", choices=rows, help="one row of the table")
    only = parser.parse_args().only
    print(f"{'what':38}{'itl':>10}{'peer':>10}{'ratio':>8}  peer")
    for name in [only] if only else rows:
        try:
            with tempfile.TemporaryDirectory() as folder:
                what, peer, ours, theirs = rows[name](Path(folder))
        except Absent as absent:
            print(f"{name}: {absent}, so there is nothing to measure beside", flush=True)
            continue
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        middle = [statistics.median(each) for each in (ours, theirs, ratios)]
        print(f"{what:38}{middle[0]:10,.0f}{middle[1]:10,.0f}{middle[2]:8.1f}  {peer}", flush=True)


def jpegs(count: int, size: int, shape: tuple[int, int]) -> list[bytes]:
    """Rendered images as JPEG files of *shape* (width, height), noisy, so that they are as hard as photos."""
    source, files = DemoClasses(classes=10, train=count // 10, val=1, size=size), []
    noise = np.random.default_rng(0)
    for record in [each for each in source.records() if each.split == "train"]:
        image = np.asarray(Image.fromarray(source.read(record)).resize(shape, Image.Resampling.BICUBIC))
        image = np.clip(image + noise.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=92)
        files.append(file.getvalue())
    return files


def rate(count: int, work: Callable[[], object]) -> float:
    """Images per second of one go at *work*."""
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def in_turn(count: int, ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[list, list]:
    """Images per second of both, turn by turn, without the first, which starts workers and compiles."""
    turns = [(rate(count, ours), rate(count, theirs)) for _ in range(ROUNDS + 1)][1:]
    return [one for one, _ in turns], [other for _, other in turns]


def packing(folder: Path) -> Row:
    """Decode and bring to 256 × 256: our threads beside Pillow in as many processes."""
    files = jpegs(200, 128, (500, 375))
    torch.set_num_threads(1)
    with ThreadPoolExecutor(CORES) as threads, ProcessPoolExecutor(CORES, get_context("spawn")) as processes:
        ours, theirs = in_turn(
            len(files),
            lambda: list(threads.map(our_square, files)),
            lambda: list(processes.map(pillow_square, files, chunksize=20)),
        )
    pairs = ((our_square(file), pillow_square(file).astype(float)) for file in files[:20])
    apart = np.mean([np.abs(one - other).mean() for one, other in pairs])
    peer = f"Pillow in two processes, {apart:.2f} grey levels apart"
    return "pack 500 × 375 JPEGs at 256, images/s", peer, ours, theirs


def our_square(file: bytes) -> np.ndarray:
    """One image as a pack holds it."""
    return decode(file, "made up", 256, "squash").pixels


def reading(folder: Path) -> Row:
    """Random-resized crops of 56 from 64-pixel images, flipped and normalised, in batches of 256."""
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    files = jpegs(5000, 64, (64, 64))
    for number, file in enumerate(files):
        path = folder / "images" / f"{number % 10}" / f"{number}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file)
    pack = Pack.build(Packing("folder", None, 64), folder / "pack", path=folder / "images", log=str)
    everything = Selection(np.arange(len(pack)), np.zeros(len(pack), np.int64), ("all",))
    batches = Batches(pack, everything, Recipe(batch=256, pixels=56), 0, Machine(threads=CORES))
    steps = v2.Compose([
        v2.RandomResizedCrop(56, scale=SCALE, antialias=True), v2.RandomHorizontalFlip(), v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True), v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])
    loader = torch.utils.data.DataLoader(
        ImageFolder(folder / "images", steps), 256, shuffle=True, num_workers=CORES, persistent_workers=True
    )
    ours, theirs = in_turn(
        len(pack), lambda: [None for _ in batches.epoch(0)], lambda: [None for _ in loader]
    )
    return "read 64 → 56, crop, flip, images/s", "ImageFolder + v2, two workers", ours, theirs


def scoring(folder: Path) -> Row:
    """Average precision of 100,000 detections on VOC 2007 test's size: 5,000 images, 12,497 objects."""
    objects, detections = made_up_detections(5000, 12_497, 100_000)
    score = coco_scorer(objects, detections)
    found = {}
    ours, theirs = in_turn(
        len(detections),
        lambda: found.update(ours=mean_ap(voc_ap(objects, detections, "area").values())),
        lambda: found.update(theirs=score()),
    )
    peer = f"torchmetrics, faster_coco_eval at IoU 0.5; AP {found['theirs']:.3f}, VOC's {found['ours']:.3f}"
    return "VOC AP of 100,000 boxes, detections/s", peer, ours, theirs


def made_up_detections(images: int, count: int, detected: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Objects of PASCAL's classes, 15 % difficult, and detections, half of them near an object."""
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
    there = np.concatenate([near["image"], random.choice(ids, detected - len(near))])
    classes = np.concatenate([near["name"], random.choice(names, detected - len(near))])
    scores = np.concatenate([random.beta(3, 2, len(near)), random.beta(2, 3, detected - len(near))])
    detections = pd.DataFrame(moved, columns=SIDES)
    detections["image"], detections["class"], detections["score"] = there, classes, scores
    return objects, detections.sample(frac=1, random_state=0)


def cutting(folder: Path) -> Row:
    """RoI align of 8 × 32 regions, 5 × 5 from maps of 128 × 15 × 20, there and back, on one core."""
    from torchvision.ops import roi_align

    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(8, 128, 15, 20, generator=random)
    maps = maps.to(memory_format=torch.channels_last).requires_grad_()
    corners = torch.rand(8, 32, 2, 2, generator=random) * torch.tensor([160, 120])
    boxes = [torch.cat([each.min(1).values, each.max(1).values], 1) for each in corners]

    def back(cut: Callable[[], torch.Tensor]) -> None:
        for _ in range(5):
            torch.autograd.grad(cut().square().sum(), maps)

    ours, theirs = in_turn(
        5 * 8 * 32,
        lambda: back(lambda: align(maps, boxes, 5, 1 / 8)),
        lambda: back(lambda: roi_align(maps, boxes, 5, 1 / 8, sampling_ratio=SAMPLES, aligned=True)),
    )
    return "cut regions, there and back, regions/s", "torchvision's roi_align", ours, theirs


if __name__ == "__main__":
    sys.exit(main())
