"""Packing: files decoded and brought to one size."""

import io
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from itl.bench.work import Work
from itl.data.decode import decode
from itl.data.demo import DemoClasses


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


def packing(folder: Path, device: str) -> Work:
    """Decode and bring to 256 × 256: our threads beside Pillow in as many processes."""
    del folder, device
    files, cores = jpegs(200, 128, (500, 375)), torch.get_num_threads()
    torch.set_num_threads(1)
    threads, processes = ThreadPoolExecutor(cores), ProcessPoolExecutor(cores, get_context("spawn"))

    def agree() -> str:
        pairs = ((our_square(file), pillow_square(file).astype(float)) for file in files[:20])
        return f"{np.mean([np.abs(one - other).mean() for one, other in pairs]):.2f} grey levels apart"

    return Work(
        "pack 500 × 375 JPEGs at 256", "images", len(files),
        lambda: list(threads.map(our_square, files)),
        {"Pillow, a process a core": lambda: list(processes.map(pillow_square, files, chunksize=20))},
        agree=agree,
    )


def our_square(file: bytes) -> np.ndarray:
    """One image as a pack holds it."""
    return decode(file, "made up", 256, "squash").pixels


def pillow_square(file: bytes) -> np.ndarray:
    """One image file as Pillow decodes it and resizes it to 256 × 256."""
    image = Image.open(io.BytesIO(file)).convert("RGB")
    return np.asarray(image.resize((256, 256), Image.Resampling.BILINEAR))
