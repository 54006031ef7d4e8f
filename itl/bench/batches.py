"""Rows on batches: random-resized crops of stored pixels or of files, by the CPU, and by a GPU."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from itl.bench.packing import jpegs
from itl.bench.work import Work, installed
from itl.machine import Machine
from itl.packs.pack import Pack
from itl.packs.subset import Selection
from itl.sources.synthetic.classes import DemoClasses
from itl.specs import Packing, Recipe
from itl.training.batches import RATIO, SCALE, Batches, crop_on, draw_boxes, step_rng
from itl.training.crop_cpu import MEAN, STD, batch_crop, gather_crop, normalised
from itl.training.cuda_graph import record

BATCH = 256
STORED_MIB = 96  # of pixels: more than caches hold
GPU_IMAGES = 8192


def batches(folder: Path, device: str, size: int, pixels: int) -> Work:
    """Make an epoch of float32 batches from uint8 images of *size* on the CPU, beside FFCV and DALI."""
    images, recipe = stored(folder, size), Recipe(batch=BATCH, pixels=pixels)
    everything = Selection(np.arange(len(images)), np.zeros(len(images), np.int64), ("all",))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # faster for torchvision: one image is too little work to share
    pack: Any = SimpleNamespace(images=images)  # all that batches take from one
    loader = Batches(pack, everything, recipe, 0, Machine(threads=threads))
    factories: dict[str, Callable[[], Any]] = {
        f"FFCV, workers: {count}": partial(ffcv, folder / "images.beton", images, pixels, count)
        for count in sorted({1, threads})
    }
    factories["DALI on the CPU"] = lambda: dali(images, pixels, threads)
    factories["torchvision, image by image"] = lambda: lambda: exhaust(one_by_one(images, pixels))
    peers, absent = installed(factories)
    read = images[0].nbytes * sum(SCALE) / 2  # the part of an image that a crop shows
    return Work(
        f"{size} → {pixels} random-resized crops of stored pixels, flipped, normalised, batches of {BATCH}",
        "images",
        len(loader) * BATCH,
        lambda: exhaust(loader.epoch(0)),
        peers,
        absent,
        moved=len(loader) * BATCH * (read + 3 * 4 * pixels**2),
        agree=lambda: fidelity(images, pixels),
    )


def exhaust(epoch: Iterable) -> None:
    """Iterate over all batches of *epoch*."""
    for _ in epoch:
        pass


def stored(folder: Path, size: int) -> np.ndarray:
    """Repeat rendered images in a memory map as a pack has it: uint8 (N, size, size, 3), in whole batches."""
    world = DemoClasses(classes=8, train=32, val=1, size=size)
    rendered = np.stack([world.read(record) for record in world.records()[:BATCH]])
    times = (STORED_MIB << 20) // rendered.nbytes
    np.save(folder / "images.npy", np.concatenate([rendered] * times))
    return np.load(folder / "images.npy", mmap_mode="r")


def ffcv(file: Path, images: np.ndarray, pixels: int, workers: int) -> Callable[[], object]:
    """Return an epoch of FFCV; it stores the same images, raw, in *file*, once."""
    from ffcv.fields import IntField, RGBImageField
    from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage
    from ffcv.writer import DatasetWriter

    fields = {"image": RGBImageField(write_mode="raw"), "label": IntField()}
    samples = [(image, 0) for image in images]
    if not file.exists():
        writer = DatasetWriter(str(file), fields, num_workers=1)
        with redirect_stderr(StringIO()):  # its progress bar
            writer.from_indexed_dataset(samples, shuffle_indices=False)
    mean, std = 255 * np.array(MEAN), 255 * np.array(STD)
    steps = [
        RandomResizedCropRGBImageDecoder((pixels, pixels), SCALE, RATIO),
        RandomHorizontalFlip(),
        NormalizeImage(mean, std, np.float32),
        ToTensor(),
        ToTorchImage(convert_back_int16=False),
    ]
    pipelines, order = {"image": steps, "label": [IntDecoder(), ToTensor()]}, OrderOption.RANDOM
    loader = Loader(str(file), BATCH, num_workers=workers, order=order, pipelines=pipelines, drop_last=True)
    return partial(exhaust, loader)


def dali(images: np.ndarray, pixels: int, threads: int) -> Callable[[], object]:
    """Return an epoch of NVIDIA DALI's operators for the CPU on rows of *images*."""
    from nvidia.dali import fn, pipeline_def, types

    random, steps = np.random.default_rng(0), len(images) // BATCH

    def feed() -> np.ndarray:
        return images[random.integers(0, len(images), BATCH)]

    @pipeline_def(batch_size=BATCH, num_threads=threads, device_id=None, prefetch_queue_depth=2)
    def crops() -> object:
        shown = fn.external_source(source=feed, batch=True, layout="HWC")
        cut = fn.random_resized_crop(
            shown, size=(pixels, pixels), random_area=SCALE, random_aspect_ratio=RATIO, antialias=True
        )
        mean, std = ([255 * value for value in values] for values in (MEAN, STD))
        return fn.crop_mirror_normalize(
            cut, mirror=fn.random.coin_flip(), mean=mean, std=std, dtype=types.FLOAT, output_layout="HWC"
        )

    pipeline = crops()
    pipeline.build()
    return lambda: exhaust(torch.from_dlpack(pipeline.run()[0].as_tensor()) for _ in range(steps))


def one_by_one(images: np.ndarray, pixels: int) -> Iterator[torch.Tensor]:
    """Crop each image with torchvision, antialiased; draw boxes, flip and normalise a batch at a time."""
    from torchvision.transforms.v2.functional import resized_crop

    random, side = np.random.default_rng(0), [pixels, pixels]
    for rows in random.permutation(len(images)).reshape(-1, BATCH):
        shown = torch.from_numpy(images[rows]).permute(0, 3, 1, 2)
        boxes = draw_boxes(random, BATCH, images.shape[1]).astype(int).tolist()
        cut = torch.stack([resized_crop(image, *box, side) for image, box in zip(shown, boxes, strict=True)])
        flips = torch.from_numpy(random.random(BATCH) < 0.5)[:, None, None, None]
        yield normalised(torch.where(flips, cut.flip(3), cut))


def fidelity(images: np.ndarray, pixels: int) -> str:
    """Say how far itl's crops, and FFCV's way of resizing, are from torchvision's antialiased crops."""
    from torchvision.transforms.v2.functional import resized_crop

    boxes = draw_boxes(np.random.default_rng(0), BATCH, images.shape[1])
    normalised_crops = np.empty((BATCH, pixels, pixels, 3), np.float32)
    gather_crop(images, np.arange(BATCH), boxes, np.zeros(BATCH, bool), normalised_crops)
    ours = 255 * (torch.from_numpy(normalised_crops) * torch.tensor(STD) + torch.tensor(MEAN))
    grey = torch.from_numpy(np.array(images[:BATCH])).permute(0, 3, 1, 2).float()
    whole_boxes = boxes.astype(int).tolist()
    crops = [resized_crop(image, *box, [pixels] * 2) for image, box in zip(grey, whole_boxes, strict=True)]
    exact = torch.stack(crops).permute(0, 2, 3, 1)
    text = f"itl is within {(ours - exact).abs().max():.0e} grey levels of torchvision's antialiased crop; "
    try:
        import cv2
    except ImportError:
        return text + "FFCV resizes by cv2.INTER_AREA, without this filter"
    pairs = zip(images[:BATCH], whole_boxes, strict=True)
    cuts = (image[y : y + height, x : x + width] for image, (y, x, height, width) in pairs)
    area = np.stack([cv2.resize(cut, (pixels, pixels), interpolation=cv2.INTER_AREA) for cut in cuts])
    difference = np.abs(area - exact.numpy()).mean()
    return text + f"FFCV resizes by cv2.INTER_AREA, without this filter: {difference:.1f} away on average"


def read_images(folder: Path, device: str) -> Work:
    """Make batches of 56 pixels from a pack of 64-pixel images on the CPU, beside reading the image files."""
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    files, threads = jpegs(20 * BATCH, 64, (64, 64)), torch.get_num_threads()  # whole batches for everyone
    for number, file in enumerate(files):
        path = folder / "images" / f"{number % 10}" / f"{number}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file)
    pack = Pack.build(Packing("folder", None, 64), folder / "pack", path=folder / "images")
    everything = Selection(np.arange(len(pack)), np.zeros(len(pack), np.int64), ("all",))
    loader = Batches(pack, everything, Recipe(batch=BATCH, pixels=56), 0, Machine(threads=threads))
    steps = v2.Compose(
        [
            v2.RandomResizedCrop(56, scale=SCALE, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    loaded = ImageFolder(folder / "images", steps)
    theirs = torch.utils.data.DataLoader(loaded, BATCH, True, num_workers=threads, persistent_workers=True)
    peers = {"ImageFolder + v2, a worker a core": lambda: exhaust(theirs)}
    what = "64 → 56 as in batches-64, from a pack, beside the image files it was made from"
    return Work(what, "images", len(pack), lambda: exhaust(loader.epoch(0)), peers)


def crop(folder: Path, device: str, size: int = 128, pixels: int = 112, batch: int = 2048) -> Work:
    """Crop uint8 images that the GPU holds to normalised bfloat16, beside plain torch and torchvision.

    Ours is a CUDA graph, as a training step is: the time is the GPU's. The least to move is the box that each
    crop shows, one byte a value, and the crop, two bytes a value.
    """
    count, random = GPU_IMAGES, step_rng(0, 0, 0)
    stored = random.integers(0, 256, (count, size, size, 3), np.uint8)
    boxes = draw_boxes(random, count, size)
    drawn = random.permutation(count), boxes, random.random(count) < 0.5
    images, *parts = (torch.from_numpy(part).to(device) for part in (stored, *drawn))
    batches = list(zip(*(part.split(batch) for part in parts), strict=True))
    fused = crop_on(images.device)

    def ours() -> None:
        for choice in batches:
            fused(images, *choice, pixels, torch.bfloat16)

    def plain() -> None:
        for rows, cuts, flips in batches:
            batch_crop(images[rows], cuts, flips, pixels).to(torch.bfloat16)

    def agree() -> str:
        rows, cuts, flips = (part[:64] for part in batches[0])
        ours = fused(images, rows, cuts, flips, pixels, torch.float32)
        difference = (ours - batch_crop(images[rows], cuts, flips, pixels)).abs().max().item()
        return f"in float32 at most {difference:.1e} from plain torch, of normalised values"

    one_by_one = torchvision_crops(images, *drawn, pixels, batch)
    peers = {"plain torch, a batch at a time": plain, "torchvision, image by image": one_by_one}
    return Work(
        f"{size} → {pixels} random-resized crops of images that the GPU holds, to bfloat16, by {batch}",
        "images",
        count,
        record(ours, []).replay,
        peers,
        moved=3 * float((boxes[:, 2] * boxes[:, 3]).sum()) + count * 3 * pixels**2 * 2,
        agree=agree,
    )


def torchvision_crops(
    images: torch.Tensor, rows: np.ndarray, boxes: np.ndarray, flips: np.ndarray, pixels: int, batch: int
) -> Callable[[], None]:
    """Return torchvision's antialiased crop and flip of each image, normalised a batch at a time."""
    from torchvision.transforms.v2.functional import horizontal_flip, normalize, resized_crop

    def work() -> None:
        for start in range(0, len(rows), batch):
            part = slice(start, start + batch)
            images_shown, choices = [], (rows[part].tolist(), boxes[part].astype(int).tolist(), flips[part])
            for row, box, flip in zip(*choices, strict=True):
                image = resized_crop(images[row].permute(2, 0, 1), *box, [pixels, pixels], antialias=True)
                images_shown.append(horizontal_flip(image) if flip else image)
            crops = torch.stack(images_shown).contiguous(memory_format=torch.channels_last).float() / 255
            normalize(crops, MEAN, STD, inplace=True).to(torch.bfloat16)

    return work
