"""Pictures: whole images of a pack for a detector, each with its objects' boxes and its region proposals."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from itl import ItlError
from itl.machine import Machine
from itl.sources.boxes import SIDES, padded_size
from itl.sources.proposals import windows
from itl.specs import DetectionRecipe
from itl.training.batches import device, draws
from itl.training.crop_cpu import normalised
from itl.training.device_images import prefetch

if TYPE_CHECKING:
    from itl.packs.pack import Pack
    from itl.packs.subset import Selection


class View(NamedTuple):
    """What a detector sees of some images: as large as the largest, zeros (the mean colour) beside."""

    pixels: Tensor                          # float32 (B, 3, H, W), normalised, channels_last
    sizes: list[tuple[int, int]]            # height and width of each image in it
    regions: list[Tensor] | None            # boxes (n, 4) of each: x0, y0, x1, y1 in its pixels, from 0

    def __len__(self) -> int:
        """How many images."""
        return len(self.sizes)


class Pictures:
    """Batches of the images *selection* of *pack*, scaled as *recipe* says, on the machine's device.

    Offers what `train` takes: each step a View and a list of {"boxes": (n, 4), "labels": (n,)}, boxes as x0,
    y0, x1, y1 in the view's pixels and labels counted from 1. Difficult objects are not learned from.
    Raises ItlError for a pack that has no boxes, or whose images were cropped or squashed.
    """

    def __init__(
        self, pack: "Pack", selection: "Selection", recipe: DetectionRecipe, seed: int, machine: Machine
    ):
        """Scale the boxes of all images once."""
        fit = pack.summary["request"]["fit"]
        if fit != "pad":
            raise ItlError(f"detection needs whole images, but {pack.folder} was packed with fit {fit}; "
                           f"pack it with fit pad")
        if not len(selection.rows):
            raise ItlError("a detector needs an image, the selection holds none; select another split")
        self.pack, self.rows, self.recipe, self.seed = pack, selection.rows, recipe, seed
        self.machine, self.device = machine, device(machine)
        self.batch = min(recipe.batch, len(self.rows))
        table = pack.table.iloc[self.rows]
        self.shapes = table[["width", "height"]].to_numpy(np.int64)        # of the originals
        short, long = self.shapes.min(1), self.shapes.max(1)
        self.scales = np.minimum(recipe.pixels / short, recipe.longest / long)
        sides = np.maximum(1, np.rint(self.shapes * self.scales[:, None])).astype(int)
        self.sizes = [(height, width) for width, height in sides.tolist()]  # of the views
        self.objects = self._objects(selection.classes)
        self.threads = ThreadPoolExecutor(1, "pictures")        # starts none before the first batch

    def __len__(self) -> int:
        """Steps per epoch: whole batches."""
        return len(self.rows) // self.batch

    def epoch(self, number: int) -> Iterator[tuple[View, list[dict[str, Tensor]]]]:
        """Yield every image once, shuffled, some mirrored: pure in (seed, epoch, step)."""
        order = draws(self.seed, number, 0).permutation(len(self.rows))
        parts = (
            (order[step * self.batch : (step + 1) * self.batch],
             draws(self.seed, number, step + 1).random(self.batch) < 0.5 * self.recipe.flip)
            for step in range(len(self))
        )
        yield from self._load(parts)

    def in_order(self) -> Iterator[tuple[View, list[dict[str, Tensor]]]]:
        """Yield every image once, as it is, in the selection's order; the last batch may be short."""
        starts = range(0, len(self.rows), self.batch)
        parts = (np.arange(start, min(start + self.batch, len(self.rows))) for start in starts)
        yield from self._load((part, np.zeros(len(part), bool)) for part in parts)

    def original(self, place: int, boxes: Tensor) -> np.ndarray:
        """Bring *boxes* (n, 4) in the view of image *place* back to its file: 1-based, inclusive."""
        found = boxes.double().cpu().numpy() / self.scales[place]
        found[:, :2] += 1
        found[:, 2:] = np.maximum(found[:, :2], found[:, 2:])   # narrower than a pixel: that pixel
        return found

    def _objects(self, classes: tuple[str, ...]) -> list[np.ndarray]:
        """The objects of each image, float32 (n, 5): the box scaled to the view, and the label."""
        objects = self.pack.objects
        objects = objects[~objects["difficult"].astype(bool)]
        labels = np.searchsorted(classes, objects["name"].to_numpy(str)) + 1
        rows = np.column_stack([objects[SIDES].to_numpy(np.float64), labels])
        of_image = objects.groupby("row", sort=False).indices
        none = np.zeros(0, np.int64)
        return [self._scaled(place, rows[of_image.get(row, none)]) for place, row in enumerate(self.rows)]

    def _regions(self, place: int) -> np.ndarray:
        """The region proposals of one image, float32 (n, 5): the box scaled to the view, and 0."""
        count = self.recipe.proposals
        if self.recipe.regions == "windows":
            boxes = windows(*self.shapes[place].tolist(), count)
        else:
            boxes = self.pack.regions(self.rows[place])[:count]
        return self._scaled(place, np.pad(boxes, ((0, 0), (0, 1))))

    def _scaled(self, place: int, rows: np.ndarray) -> np.ndarray:
        """Boxes in a file, 1-based, inclusive, and labels (n, 5), as float32 x0, y0, x1, y1 in a view."""
        rows = rows.astype(np.float64)
        rows[:, :2] -= 1
        rows[:, :4] *= self.scales[place]
        return rows.astype(np.float32)

    def _load(
        self, parts: Iterator[tuple[np.ndarray, np.ndarray]]
    ) -> Iterator[tuple[View, list[dict[str, Tensor]]]]:
        """Turn places and flips into views, each read from the disk while the one before is used."""
        for places, flips, images, rows, counts in prefetch(self.threads, self._read, parts):
            images, rows = (part.to(self.device, non_blocking=True) for part in (images, rows))
            boxes, labels = rows[:, :4].split(counts), rows[:, 4].long().split(counts)
            count = len(places)
            targets = [{"boxes": boxes[at], "labels": labels[at]} for at in range(count)]
            regions = None if self.recipe.regions == "rpn" else list(boxes[count:])
            sizes = [self.sizes[place] for place in places]
            yield View(self._pixels(places, flips, images), sizes, regions), targets

    def _read(
        self, part: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, Tensor, Tensor, list[int]]:
        """Read what one batch sends to the device: two tensors, pinned where that is a GPU.

        Returns the part's places and flips; the stored images, uint8 (B, S, S, 3); boxes and labels of all
        objects and then of all regions, float32 (R, 5); and of how many each image has objects, then regions.
        """
        places, flips = part
        pairs = list(zip(places, flips, strict=True))
        rows = [self._in_view(place, flip, self.objects[place]) for place, flip in pairs]
        if self.recipe.regions != "rpn":
            rows += [self._in_view(place, flip, self._regions(place)) for place, flip in pairs]
        arrays = self.pack.images[self.rows[places]], np.concatenate(rows)
        images, boxes = (torch.from_numpy(array) for array in arrays)
        if self.device.type == "cuda":
            images, boxes = images.pin_memory(), boxes.pin_memory()
        return places, flips, images, boxes, [len(part) for part in rows]

    def _in_view(self, place: int, flip: bool, rows: np.ndarray) -> np.ndarray:
        """Boxes and labels (n, 5), the boxes clipped to their view and, where *flip*, mirrored with it."""
        height, width = self.sizes[place]
        rows = rows.copy()
        rows[:, :4] = np.clip(rows[:, :4], 0, [width, height, width, height])
        if flip:
            rows[:, [0, 2]] = width - rows[:, [2, 0]]
        return rows

    def _pixels(self, places: np.ndarray, flips: np.ndarray, images: Tensor) -> Tensor:
        """The batch that a detector sees, float32 (B, 3, H, W), channels_last, of stored *images*."""
        tall, wide = np.max([self.sizes[place] for place in places], axis=0).tolist()
        shape, layout = (len(places), 3, tall, wide), torch.channels_last
        pixels = torch.empty(shape, device=self.device, memory_format=layout).zero_()
        for view, place, flip, image in zip(pixels, places, flips, images, strict=True):
            shown = self._shown(place, image)
            view[:, : shown.shape[1], : shown.shape[2]] = shown.flip(2) if flip else shown
        return pixels

    def _shown(self, place: int, stored: Tensor) -> Tensor:
        """The image *stored* uint8 (S, S, 3) as its view shows it: float32 (3, H, W), normalised."""
        width, height = padded_size(*self.shapes[place].tolist(), self.pack.size)
        image = normalised(stored[:height, :width].permute(2, 0, 1)[None])
        if image.shape[2:] != self.sizes[place]:
            sides = self.sizes[place]
            image = interpolate(image, sides, mode="bilinear", antialias=True, align_corners=False)
        return image[0]
