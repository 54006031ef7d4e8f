"""Batches of whole images of a pack for a detector, with the boxes of their objects and region proposals."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from itl.errors import ItlError
from itl.iteration import map_in_order
from itl.machine import Machine
from itl.sources.annotated.windows import windows
from itl.sources.boxes import SIDES, padded_size
from itl.specs import DetectionRecipe
from itl.training.batches import device, step_rng, use_device
from itl.training.crop_cpu import normalised

if TYPE_CHECKING:
    from itl.packs.pack import Pack
    from itl.packs.subset import Selection


class ImageBatch(NamedTuple):
    """Whole images, scaled, in one tensor as large as the largest, padded with 0, the mean colour."""

    pixels: Tensor  # float32 (B, 3, H, W), normalised, channels_last
    sizes: list[tuple[int, int]]  # height and width of each scaled image, in pixels
    regions: list[Tensor] | None  # proposals of each image, (n, 4): x0, y0, x1, y1 in its pixels, from 0

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.sizes)


NO_SIDE = 1e-3  # pixels: what float32 leaves of a box outside the image
WINDOWS_KEPT = 256  # shapes of images whose windows are kept, mirrored and not: 40 KB each
Part = tuple[np.ndarray, np.ndarray]  # positions in the selection, and which are mirrored: (B,) each
DetectionBatch = tuple[ImageBatch, list[dict[str, Tensor]]]  # targets: {"boxes": (n, 4), "labels": (n,)}


class DetectionBatches:
    """Batches of the images *selection* of *pack*, scaled as *recipe* says, on the machine's device.

    Offers what `train` takes: each step an `ImageBatch` and a list with ``{"boxes": (n, 4), "labels": (n,)}``
    for each image. Boxes are x0, y0, x1, y1 in pixels of the scaled image; labels count from 1, as 0 is the
    background. Difficult objects are left out.

    Raises:
        ItlError: Images that are not square are not whole, as the pack was not made with fit pad, or nothing
            is selected.
    """

    def __init__(
        self, pack: "Pack", selection: "Selection", recipe: DetectionRecipe, seed: int, machine: Machine
    ):
        """Scale the boxes of all images once."""
        if not len(selection.rows):
            raise ItlError("a detector needs an image, the selection holds none; select another split")
        self.pack, self.rows, self.recipe, self.seed = pack, selection.rows, recipe, seed
        self.machine, self.device = machine, device(machine)
        self.batch = min(recipe.batch, len(self.rows))
        table = pack.table.iloc[self.rows]
        self.shapes = table[["width", "height"]].to_numpy(np.int64)  # of the image files
        short, long = self.shapes.min(1), self.shapes.max(1)
        fit = pack.summary["request"]["fit"]
        if fit != "pad" and (short < long).any():  # of square ones all fits make the same pack, in any folder
            raise ItlError(
                f"detection needs whole images, but {pack.folder} was packed with fit {fit}; "
                f"pack it with fit pad"
            )
        self.scales = np.minimum(recipe.pixels / short, recipe.longest / long)
        sides = np.maximum(1, np.rint(self.shapes * self.scales[:, None])).astype(int)
        self.sizes = [(height, width) for width, height in sides.tolist()]  # of the scaled images
        self.objects = self._scaled_objects(selection.classes)
        # Starts none before the first batch
        self.threads = ThreadPoolExecutor(1, "detection-batch", use_device, (machine,))

    def __len__(self) -> int:
        """Return the steps of an epoch: whole batches."""
        return len(self.rows) // self.batch

    def epoch(self, number: int) -> Iterator[DetectionBatch]:
        """Yield every image once, shuffled, some mirrored: a pure function of seed, epoch and step."""
        order = step_rng(self.seed, number, 0).permutation(len(self.rows))[: len(self) * self.batch]
        of_steps = (step_rng(self.seed, number, step + 1) for step in range(len(self)))
        flips = (random.random(self.batch) < 0.5 * self.recipe.flip for random in of_steps)
        yield from self._load(zip(order.reshape(-1, self.batch), flips, strict=True))

    def in_order(self) -> Iterator[DetectionBatch]:
        """Yield every image once, unchanged, in the selection's order; the last batch may be short."""
        starts = range(0, len(self.rows), self.batch)
        parts = (np.arange(start, min(start + self.batch, len(self.rows))) for start in starts)
        yield from self._load((part, np.zeros(len(part), bool)) for part in parts)

    def to_file_boxes(self, position: int, boxes: Tensor) -> np.ndarray:
        """Convert boxes (n, 4) of the scaled image at *position* in the selection to its file's pixels.

        That is from x0, y0, x1, y1, from 0, to xmin, ymin, xmax, ymax: 1-based, inclusive, float64.
        """
        file_boxes = boxes.double().cpu().numpy() / self.scales[position]
        file_boxes[:, :2] += 1
        file_boxes[:, 2:] = np.maximum(file_boxes[:, :2], file_boxes[:, 2:])  # never narrower than a pixel
        return file_boxes

    def _scaled_objects(self, classes: tuple[str, ...]) -> list[np.ndarray]:
        """Return the objects of each image, float32 (n, 5): the box in the scaled image, and the label."""
        objects = self.pack.objects
        objects = objects[~objects["difficult"].astype(bool)]
        labels = np.searchsorted(classes, objects["name"].to_numpy(str)) + 1
        boxes = np.column_stack([objects[SIDES].to_numpy(np.float64), labels])
        of_image = objects.groupby("row", sort=False).indices
        none = np.zeros(0, np.int64)
        images = zip(self.rows, self.scales, self.sizes, strict=True)
        return [
            visible(clipped(scaled(boxes[of_image.get(row, none)], scale), size, flip=False))
            for row, scale, size in images
        ]

    def _regions(self, position: int, flip: bool) -> np.ndarray:
        """Return the region proposals of one image, float32 (n, 5): the box in the scaled image, and 0."""
        count, scale, size = self.recipe.proposals, float(self.scales[position]), self.sizes[position]
        if self.recipe.regions == "windows":
            return scaled_windows(*self.shapes[position].tolist(), count, scale, size, bool(flip))
        boxes = self.pack.regions(self.rows[position])[:count]
        return clipped(scaled(np.pad(boxes, ((0, 0), (0, 1))), scale), size, flip)

    def _load(self, parts: Iterator[Part]) -> Iterator[DetectionBatch]:
        """Turn positions and flips into batches; the next is read from the disk while one is used."""
        for (positions, flips), images, rows, counts in map_in_order(self.threads, self._read, parts):
            images, rows = (part.to(self.device, non_blocking=True) for part in (images, rows))
            boxes, labels = rows[:, :4].split(counts), rows[:, 4].long().split(counts)
            count = len(positions)
            targets = [{"boxes": boxes[image], "labels": labels[image]} for image in range(count)]
            regions = None if self.recipe.regions == "rpn" else list(boxes[count:])
            sizes = [self.sizes[position] for position in positions]
            yield ImageBatch(self._padded(positions, flips, images), sizes, regions), targets

    def _read(self, part: Part) -> tuple[Part, Tensor, Tensor, list[int]]:
        """Return *part*, and what its batch sends to the device: two tensors, pinned where that is a GPU.

        These are the stored images, uint8 (B, S, S, 3), and boxes and labels of all objects, then of all
        regions, float32 (R, 5). Last comes how many objects each image has, followed by how many regions.
        """
        positions, flips = part
        pairs = list(zip(positions, flips, strict=True))
        rows = [clipped(self.objects[position], self.sizes[position], flip) for position, flip in pairs]
        if self.recipe.regions != "rpn":
            rows += [self._regions(position, flip) for position, flip in pairs]
        images = torch.from_numpy(self.pack.images[self.rows[positions]])
        boxes = torch.from_numpy(np.concatenate(rows))
        if self.device.type == "cuda":
            images, boxes = images.pin_memory(), boxes.pin_memory()
        return part, images, boxes, [len(image_rows) for image_rows in rows]

    def _padded(self, positions: np.ndarray, flips: np.ndarray, images: Tensor) -> Tensor:
        """Scale the stored *images* and join them to one tensor, float32 (B, 3, H, W), channels_last."""
        height, width = np.max([self.sizes[position] for position in positions], axis=0).tolist()
        shape, layout = (len(positions), 3, height, width), torch.channels_last
        pixels = torch.empty(shape, device=self.device, memory_format=layout).zero_()
        whole = normalised(images.permute(0, 3, 1, 2))  # at once: each operation costs the host a launch
        for padded, position, flip, stored in zip(pixels, positions, flips, whole, strict=True):
            height, width = self.sizes[position]
            image = self._scaled_image(position, stored)
            padded[:, :height, :width] = image.flip(2) if flip else image
        return pixels

    def _scaled_image(self, position: int, stored: Tensor) -> Tensor:
        """Cut the padding off *stored*, float32 (3, S, S), and scale what is left: float32 (3, H, W)."""
        width, height = self.shapes[position].tolist()
        width, height = padded_size(width, height, self.pack.size)
        image, size = stored[None, :, :height, :width], self.sizes[position]
        if image.shape[2:] != size:
            image = interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)
        return image[0]


def scaled(boxes: np.ndarray, scale: float) -> np.ndarray:
    """Convert 1-based inclusive boxes in a file, with labels (n, 5), to float32 in the scaled image."""
    boxes = boxes.astype(np.float64)
    boxes[:, :2] -= 1
    boxes[:, :4] *= scale
    return boxes.astype(np.float32)


def clipped(boxes: np.ndarray, size: tuple[int, int], flip: bool) -> np.ndarray:
    """Clip *boxes* (n, 5) to an image of *size*, height and width; where *flip*, mirror them with it."""
    height, width = size
    boxes = boxes.copy()
    boxes[:, :4] = np.clip(boxes[:, :4], 0, [width, height, width, height])
    if flip:
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    return boxes


def visible(boxes: np.ndarray) -> np.ndarray:
    """Give *boxes* (n, 5) a side of a pixel where they have none: no loss is defined for these.

    An object at the right or lower border may lie in the part of a pixel that a scaled image is rounded by.
    """
    low, high = boxes[:, :2], boxes[:, 2:4]
    boxes[:, :2] = np.where(high - low > NO_SIDE, low, high - 1)
    return boxes


@lru_cache(WINDOWS_KEPT)
def scaled_windows(
    width: int, height: int, count: int, scale: float, size: tuple[int, int], flip: bool
) -> np.ndarray:
    """Return *count* windows of a *width* × *height* file as `scaled` and `clipped` do; not to be changed.

    The thread that makes them takes the host's time from the one that launches a step.
    """
    return clipped(scaled(np.pad(windows(width, height, count), ((0, 0), (0, 1))), scale), size, flip)
