"""The row on packing: files decoded and resized."""

import io
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from itl.bench.work import Work, installed
from itl.packs.fit import decode
from itl.sources.synthetic.classes import DemoClasses

SIDE = 256
CHUNK = 10  # images that a thread or process gets at once, as in packing
COMPARED = 50  # images whose pixels are compared
Square = Callable[[bytes], np.ndarray]  # a file -> uint8 (SIDE, SIDE, 3)


def jpegs(count: int, size: int, shape: tuple[int, int]) -> list[bytes]:
    """Render images as JPEG files of *shape* (width, height), with noise, so as hard to decode as photos."""
    source, files = DemoClasses(classes=10, train=count // 10, val=1, size=size), []
    noise = np.random.default_rng(0)
    for record in source.records():
        if record.split != "train":
            continue
        image = np.asarray(Image.fromarray(source.read(record)).resize(shape, Image.Resampling.BICUBIC))
        image = np.clip(image + noise.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=92)
        files.append(file.getvalue())
    return files


def packing(folder: Path, device: str) -> Work:
    """Decode files in memory, of ImageNet's usual size, and resize them to SIDE × SIDE, on every core."""
    files, cores = jpegs(400, 128, (500, 375)), torch.get_num_threads()
    torch.set_num_threads(1)  # for each worker thread, as in packing
    threads, processes = ThreadPoolExecutor(cores), ProcessPoolExecutor(cores, get_context("spawn"))
    parts = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]

    def in_threads(square: Square) -> Callable[[], list[np.ndarray]]:
        def stack(part: list[bytes]) -> np.ndarray:
            out = np.empty((len(part), SIDE, SIDE, 3), np.uint8)
            for row, file in zip(out, part, strict=True):
                row[:] = square(file)
            return out

        return lambda: list(threads.map(stack, parts))

    factories: dict[str, Callable[[], Any]] = {
        "torchvision, a thread a core": lambda: in_threads(torchvision_square),
        "Pillow, a process a core": lambda: (
            lambda: list(processes.map(pillow_square, files, chunksize=CHUNK))
        ),
        "simplejpeg + torchvision, threads": lambda: in_threads(simplejpeg_square()),
        "DALI on the CPU": lambda: dali(files, cores),
    }
    peers, absent = installed(factories)
    return Work(
        f"500 × 375 JPEG files decoded and brought to {SIDE} × {SIDE}, antialiased",
        "images",
        len(files),
        in_threads(our_square),
        peers,
        absent,
        agree=lambda: fidelity(files[:COMPARED], cores),
    )


def our_square(file: bytes) -> np.ndarray:
    """Return an image file as a pack holds it."""
    return decode(file, "made up", SIDE, "squash").pixels


def pillow_square(file: bytes) -> np.ndarray:
    """Return an image file as Pillow decodes and resizes it."""
    image = Image.open(io.BytesIO(file)).convert("RGB")
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def torchvision_square(file: bytes) -> np.ndarray:
    """Return an image file as torchvision decodes and resizes it."""
    from torchvision.io import ImageReadMode, decode_jpeg

    encoded = torch.frombuffer(bytearray(file), dtype=torch.uint8)
    return by_torchvision(decode_jpeg(encoded, ImageReadMode.RGB))


def simplejpeg_square() -> Square:
    """Return a function that decodes with simplejpeg and resizes with torchvision."""
    from simplejpeg import decode_jpeg

    return lambda file: by_torchvision(torch.from_numpy(decode_jpeg(file)).permute(2, 0, 1))


def by_torchvision(image: torch.Tensor) -> np.ndarray:
    """Resize *image*, uint8 (3, H, W), antialiased; returns uint8 (SIDE, SIDE, 3)."""
    from torchvision.transforms.v2 import functional

    return functional.resize(image, [SIDE, SIDE], antialias=True).permute(1, 2, 0).numpy()


def dali(files: list[bytes], threads: int) -> Callable[[], list[np.ndarray]]:
    """Return an epoch of DALI's pipeline over *files*, which prefetches on its own threads."""
    from nvidia.dali import fn, pipeline_def, types

    encoded, batch = [np.frombuffer(file, np.uint8) for file in files], 5 * CHUNK
    parts = [encoded[start : start + batch] for start in range(0, len(files), batch)]

    @pipeline_def(batch_size=batch, num_threads=threads, device_id=None, prefetch_queue_depth=2)
    def squares() -> object:
        # It ends with the epoch: decoding ahead for the next one would slow down the others.
        data = fn.external_source(source=parts, batch=True, cycle="raise", no_copy=True)
        image = fn.decoders.image(data, device="cpu", output_type=types.RGB)
        return fn.resize(image, size=[SIDE, SIDE], interp_type=types.INTERP_LINEAR, antialias=True)

    pipe = squares()
    pipe.build()

    def epoch() -> list[np.ndarray]:
        pipe.reset()
        return [np.array(pipe.run()[0].as_array()) for _ in parts]

    return epoch


def fidelity(files: list[bytes], threads: int) -> str:
    """Say how far, on average, itl's pixels are from those of each peer, in grey levels of 255."""
    ours = np.stack([our_square(file) for file in files]).astype(int)
    factories: dict[str, Callable[[], Any]] = {
        "torchvision": lambda: list(map(torchvision_square, files)),
        "Pillow": lambda: list(map(pillow_square, files)),
        "simplejpeg + torchvision": lambda: list(map(simplejpeg_square(), files)),
        "DALI": lambda: dali(files, threads)()[0],
    }
    pixels, _ = installed(factories)  # the table names those that are absent
    texts = [f"{np.abs(ours - np.stack(other)).mean():.3f} from {name}'s" for name, other in pixels.items()]
    return f"pixels differ by {', '.join(texts)}, in grey levels"
