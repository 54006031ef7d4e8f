"""Pictures: whole images of a pack for a detector, each with its objects' boxes and its region proposals."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from itl import ItlError
from itl.machine import Machine
from itl.sources.boxes import SIDES, shrunk
from itl.sources.proposals import windows
from itl.specs import Detection
from itl.training.batches import ahead, device, draws
from itl.training.crop_cpu import normalised

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

    def __init__(self, pack: "Pack", selection: "Selection", recipe: Detection, seed: int, machine: Machine):
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
        self.targets = self._targets(selection.classes)
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

    def _targets(self, classes: tuple[str, ...]) -> list[dict[str, Tensor]]:
        """Boxes and labels of the objects of each image, scaled to its view."""
        objects = self.pack.objects
        objects = objects[~objects["difficult"].astype(bool)]
        rows = objects.groupby("row", sort=False).indices
        boxes = objects[SIDES].to_numpy(np.float64)
        labels = np.searchsorted(classes, objects["name"].to_numpy(str)) + 1
        none = np.zeros(0, np.int64)
        return [
            {"boxes": self._scaled(place, boxes[rows.get(row, none)]),
             "labels": torch.from_numpy(labels[rows.get(row, none)])}
            for place, row in enumerate(self.rows)
        ]

    def _scaled(self, place: int, boxes: np.ndarray) -> Tensor:
        """Boxes of a file, 1-based and inclusive, as float32 x0, y0, x1, y1 in its view."""
        boxes = boxes.astype(np.float64)
        boxes[:, :2] -= 1
        return torch.from_numpy((boxes * self.scales[place]).astype(np.float32))

    def _regions(self, place: int) -> Tensor:
        most = self.recipe.proposals
        if self.recipe.regions == "windows":
            return self._scaled(place, windows(*self.shapes[place].tolist(), most))
        return self._scaled(place, self.pack.regions(self.rows[place])[:most])

    def _load(
        self, parts: Iterator[tuple[np.ndarray, np.ndarray]]
    ) -> Iterator[tuple[View, list[dict[str, Tensor]]]]:
        """Turn places and flips into views, each read from the disk while the one before is used."""

        def read(part: tuple[np.ndarray, np.ndarray]) -> tuple:
            places, flips = part
            stored = torch.from_numpy(self.pack.images[self.rows[places]])
            learned = self.recipe.regions == "rpn"
            regions = None if learned else [self._regions(place) for place in places]
            return places, flips, stored.pin_memory() if self.device.type == "cuda" else stored, regions

        for places, flips, stored, regions in ahead(self.threads, read, parts):
            stored = stored.to(self.device, non_blocking=True)
            shown = [self._shown(place, image) for place, image in zip(places, stored, strict=True)]
            sizes = [tuple(image.shape[1:]) for image in shown]
            tall, wide = (max(side) for side in zip(*sizes, strict=True))
            pixels = torch.stack([
                pad(image.flip(2) if flip else image, (0, wide - image.shape[2], 0, tall - image.shape[1]))
                for image, flip in zip(shown, flips, strict=True)
            ]).contiguous(memory_format=torch.channels_last)
            targets = [self.targets[place] for place in places]
            boxes = self._turned([each["boxes"] for each in targets], sizes, flips)
            targets = [{"boxes": turned, "labels": each["labels"].to(self.device)}
                       for turned, each in zip(boxes, targets, strict=True)]
            yield View(pixels, sizes, regions and self._turned(regions, sizes, flips)), targets

    def _turned(self, boxes: list[Tensor], sizes: list[tuple[int, int]], flips: np.ndarray) -> list[Tensor]:
        """*boxes* of each image within its bounds, mirrored where it is, on the device."""
        turned = []
        for each, (height, width), flip in zip(boxes, sizes, flips, strict=True):
            x0, y0, x1, y1 = each.to(self.device).unbind(1)
            x0, x1 = x0.clamp(0, width), x1.clamp(0, width)
            if flip:
                x0, x1 = width - x1, width - x0
            turned.append(torch.stack([x0, y0.clamp(0, height), x1, y1.clamp(0, height)], 1))
        return turned

    def _shown(self, place: int, stored: Tensor) -> Tensor:
        """The image *stored* uint8 (S, S, 3) as its view shows it: float32 (3, H, W), normalised."""
        width, height = shrunk(*self.shapes[place].tolist(), self.pack.size)
        image = normalised(stored[:height, :width].permute(2, 0, 1)[None])
        wanted = tuple(max(1, round(side * self.scales[place])) for side in self.shapes[place][::-1].tolist())
        if image.shape[2:] != wanted:
            image = interpolate(image, wanted, mode="bilinear", antialias=True, align_corners=False)
        return image[0]
