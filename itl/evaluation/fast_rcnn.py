"""R-CNNs of torchvision's parts: Fast, with regions from outside, and Faster, which learns its own."""

from itertools import islice

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import box_iou

from itl.specs import DetectionRecipe, Recipe
from itl.training.detection_batches import Pictures, View
from itl.training.detection_nets import Parts
from itl.training.numerics import autocast

Boxes = list[dict[str, Tensor]]             # of each image: boxes (n, 4), labels (n,); if found, scores (n,)

SCORE = 0.01                                # found boxes below it are dropped
SUPPRESS = 0.3                              # of two of a class that overlap more, the worse is dropped
MOST = 100                                  # found boxes of an image
SPREAD = (10.0, 10.0, 5.0, 5.0)             # box offsets are learned times these, so that they are about 1
ANCHORS = ((128 / 600, 256 / 600, 512 / 600), (0.5, 1.0, 2.0))  # parts of the short side; height to width
CALIBRATION = 32                            # batches from which statistics are taken


class Detector(nn.Module):
    """A net's parts with a new classifier and box regressor for *classes* classes and the background.

    Where ``recipe.regions`` is rpn, a region proposal network on the maps is trained with the rest. With the
    published thresholds, an IoU of 0.5 or more makes a region one of an object; ``rois`` of one image's
    regions are drawn, at most ``foreground`` of them such. Normalisation layers keep their statistics.
    """

    def __init__(self, parts: Parts, classes: int, recipe: DetectionRecipe, seed: int):
        """Draw what is new from *seed* alone."""
        super().__init__()
        self.parts, self.recipe = parts, recipe
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            where = next(parts.parameters()).device
            maps = parts.maps(torch.zeros(1, 3, 128, 128, device=where))
            features = parts.features(maps.new_zeros(1, maps.shape[1], parts.side, parts.side)).shape[1]
            self.classes = _linear(features, classes + 1, std=0.01)
            self.offsets = _linear(features, 4 * (classes + 1), std=0.001)
            self.rpn = _rpn(maps.shape[1], parts.stride, recipe) if recipe.regions == "rpn" else None
        self.heads = RoIHeads(
            self._cut, self._describe, self._judge, 0.5, 0.5, recipe.rois, recipe.foreground, SPREAD,
            SCORE, SUPPRESS, MOST,
        )

    def train(self, mode: bool = True) -> "Detector":
        """Set the mode of all but normalisation layers, whose statistics of two images would be noise."""
        super().train(mode)
        for norm in norms(self):
            norm.eval()
        return self

    def forward(self, view: View, targets: Boxes | None = None) -> dict[str, Tensor] | Boxes:
        """The losses by name in training mode; else what is found in each image, and in which regions."""
        maps = self.parts.maps(view.pixels)
        with autocast(maps.device, "fp32"):                     # torchvision's box arithmetic
            maps, losses, regions = maps.float(), {}, view.regions
            if self.rpn is not None:
                regions, losses = self.rpn(ImageList(view.pixels, view.sizes), {"0": maps}, targets)
            elif self.training:
                regions = [self._near(*each) for each in zip(regions, targets, strict=True)]
            found, more = self.heads({"0": maps}, regions, view.sizes, targets)
        if self.training:
            return losses | more
        return [each | {"regions": region} for each, region in zip(found, regions, strict=True)]

    def _near(self, regions: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Regions to learn from: those that overlap an object at least a little; all where there is none."""
        if not self.recipe.overlap or not len(target["boxes"]):
            return regions
        near = box_iou(regions, target["boxes"]).amax(1) >= self.recipe.overlap
        return regions[near]                            # may be none: the objects' own boxes join them

    def _cut(self, maps: dict[str, Tensor], regions: list[Tensor], sizes: list) -> Tensor:
        return self.parts.cut(maps["0"], regions)

    def _describe(self, regions: Tensor) -> Tensor:
        with autocast(regions.device, self.recipe.precision):
            return self.parts.features(regions).float()

    def _judge(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.classes(features), self.offsets(features)


def locate(net: nn.Module, view: View, targets: Boxes, recipe: Recipe) -> Tensor:
    """The objective of a Detector: the sum of its losses."""
    return torch.stack(list(net(view, targets).values())).sum()


def norms(net: nn.Module) -> list[nn.Module]:
    """The layers of *net* that keep running statistics."""
    return [layer for layer in net.modules() if isinstance(layer, nn.modules.batchnorm._NormBase)]


def calibrate(net: Detector, pictures: Pictures, seed: int) -> None:
    """Set the running statistics of *net* to those of the target's own images and regions, for good.

    Pre-training saw crops of another size, and a net that was not trained has none at all: with one rule for
    both, a comparison of the two is not one of their statistics.
    """
    layers = norms(net)
    net.to(pictures.device, memory_format=torch.channels_last).train()
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    where = [pictures.device] if pictures.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=where):
        torch.manual_seed(seed)
        batches = islice(pictures.epoch(0), CALIBRATION if layers else 0)
        for count, (view, targets) in enumerate(batches, start=1):
            for layer in layers:
                layer.momentum = 1 / count      # a plain mean over batches; None would ask the device
            with autocast(pictures.device, net.recipe.precision):
                net(view, targets)
    net.train()


def _linear(inputs: int, outputs: int, std: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    return layer


class Anchors(AnchorGenerator):
    """Boxes around every value of maps whose stride is known; torchvision would guess it from their size."""

    def __init__(self, stride: int, sizes: tuple[float, ...], shapes: tuple[float, ...]):
        """Take the sizes in pixels, and the shapes as height to width."""
        super().__init__((sizes,), (shapes,))
        self.stride = stride

    def forward(self, images: ImageList, maps: list[Tensor]) -> list[Tensor]:
        """Boxes (n, 4) for each image, the same for all."""
        self.set_cell_anchors(maps[0].dtype, maps[0].device)
        boxes = self.grid_anchors([maps[0].shape[-2:]], [[self.stride, self.stride]])[0]
        return [boxes] * len(images.image_sizes)


def _rpn(channels: int, stride: int, recipe: DetectionRecipe) -> RegionProposalNetwork:
    """A region proposal network with Faster R-CNN's published thresholds and counts."""
    sizes = tuple(part * recipe.pixels for part in ANCHORS[0])
    anchors = Anchors(stride, sizes, ANCHORS[1])
    counts = {"training": recipe.proposals, "testing": min(300, recipe.proposals)}
    return RegionProposalNetwork(
        anchors, RPNHead(channels, anchors.num_anchors_per_location()[0]), 0.7, 0.3, 256, 0.5,
        {"training": 12_000, "testing": 6_000}, counts, 0.7,
    )
