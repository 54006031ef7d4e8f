"""Detection backbones: a net in two parts, from images to maps and from regions of these to features."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.ops import roi_pool

from itl.errors import ItlError, pick
from itl.training.nets import Classifier, Renormalised

SAMPLES_PER_SIDE = 2  # of a cell; their values are averaged
TIMM_SIDES = 224, 480  # of the images from whose maps a stride is taken; 256 pixels apart
REGIONS_AT_ONCE = 256  # the memory needed grows with their number and the size of the maps


class DetectionBackbone(nn.Module):
    """A net's body in two parts: ``maps`` of whole images, and ``features`` of regions pooled from these."""

    def __init__(self, trunk: nn.Module, head: nn.Module, *, stride: int, side: int, align: bool = True):
        """Join *trunk*, which makes maps (B, C, h, w), and *head*, which makes features (R, F) of regions.

        The maps have a value for each *stride* pixels of the image. Regions (R, C, side, side) are cut out of
        them by RoI align; else by RoI pooling, as Fast R-CNN first did.
        """
        super().__init__()
        self.trunk, self.head = trunk, head
        self.stride, self.side, self.align = stride, side, align
        self.normalise: nn.Module = nn.Identity()  # from images of a batch to what the trunk expects

    def maps(self, images: Tensor) -> Tensor:
        """Return maps (B, C, h, w) of images (B, 3, H, W)."""
        return self.trunk(self.normalise(images))

    def pool_regions(self, maps: Tensor, boxes: list[Tensor]) -> Tensor:
        """Cut regions (R, C, side, side) out of *maps* (B, C, h, w).

        *boxes* holds (n, 4) for each image: x0, y0, x1, y1 in pixels of the image, from 0.
        """
        if self.align:
            return align(maps, boxes, self.side, 1 / self.stride)
        pool = repeatable_roi_pool if maps.is_cuda and maps.requires_grad else roi_pool
        return pool(maps, boxes, self.side, 1 / self.stride)

    def features(self, regions: Tensor) -> Tensor:
        """Return features (R, F) of regions (R, C, side, side)."""
        return self.head(regions)


def align(maps: Tensor, boxes: list[Tensor], side: int, scale: float) -> Tensor:
    """Cut regions out of *maps*: equal to ``torchvision.ops.roi_align``, aligned, with two samples.

    Bilinear samples averaged over a grid are a product of row weights and column weights. That is many times
    faster on a CPU; on a GPU torchvision adds up gradients in an order that does not repeat.

    A pixel of the maps is taken to have its centre at 0.5, as torchvision and Detectron2 take it. Those of a
    ResNet, whose strided convolutions begin at pixel 0, lie half a pixel of the maps before that.

    Args:
        maps: (B, C, h, w).
        boxes: For each image (n, 4): x0, y0, x1, y1 in its pixels.
        side: Cells along each side of a region: (R, C, side, side), in the order of *boxes*.
        scale: Pixels of the maps to one of the image.
    """
    maps = maps.permute(0, 2, 3, 1).contiguous()  # no copy where they are channels_last
    height, width, channels = maps.shape[1:]
    regions = [maps.new_empty(0, side, side, channels)]
    x0, y0, x1, y1 = (torch.cat(boxes) * scale - 0.5).unbind(1)
    counts = [len(image_boxes) for image_boxes in boxes]
    rows = _sample_weights(y0, y1, side, height).split(counts)
    columns = _sample_weights(x0, x1, side, width).split(counts)
    for image, down, across in zip(maps, rows, columns, strict=True):
        parts = zip(down.split(REGIONS_AT_ONCE), across.split(REGIONS_AT_ONCE), strict=True)
        for row_weights, column_weights in parts:
            lines = (row_weights.flatten(0, 1) @ image.flatten(1)).view(-1, side, width, channels)
            regions.append(column_weights[:, None] @ lines)
    return torch.cat(regions).permute(0, 3, 1, 2)


def _sample_weights(start: Tensor, stop: Tensor, side: int, size: int) -> Tensor:
    """Return weights (n, side, size) of *size* values in *side* cells from *start* (n,) to *stop* (n,)."""
    step = (stop - start)[:, None] / (side * SAMPLES_PER_SIDE)
    samples = start[:, None] + (torch.arange(side * SAMPLES_PER_SIDE, device=start.device) + 0.5) * step
    inside = (samples >= -1) & (samples <= size)  # zero farther out, as torchvision has it
    samples = samples.clamp(0, size - 1)[..., None]
    weights = (1 - (samples - torch.arange(size, device=start.device)).abs()).clamp(min=0) * inside[..., None]
    return weights.reshape(len(start), side, SAMPLES_PER_SIDE, size).mean(2)


def repeatable_roi_pool(maps: Tensor, boxes: list[Tensor], side: int, scale: float) -> Tensor:
    """Cut regions (R, C, side, side) as ``torchvision.ops.roi_pool`` does, with a gradient that repeats.

    On a GPU torchvision adds up the gradient in any order. The gradient of indexing sorts first. Needs about
    60 bytes for each value of the regions: 70 MB for AlexNet and 128 regions. Arguments are as in `align`.
    """
    rois = torch.cat([F.pad(part, (1, 0), value=image) for image, part in enumerate(boxes)])
    with torch.no_grad():
        maxima = torch.ops.torchvision.roi_pool(maps, rois, scale, side, side)[1].long()  # -1: empty cell
    image, channel = rois[:, 0].long(), torch.arange(maps.shape[1], device=maps.device)
    values = maps.flatten(2)[image[:, None, None, None], channel[:, None, None], maxima.clamp(min=0)]
    return values.masked_fill(maxima < 0, 0.0)


class TimmBackbone(DetectionBackbone):
    """A net of timm, whose parts are two of its methods."""

    trunk: Any  # timm's nets share no class that has these methods

    def __init__(self, net: nn.Module, *, stride: int, side: int):
        """Keep *net* whole, as both methods belong to it."""
        super().__init__(net, nn.Identity(), stride=stride, side=side)

    def maps(self, images: Tensor) -> Tensor:
        """Return the maps of the last stage."""
        return self.trunk.forward_features(self.normalise(images))

    def features(self, regions: Tensor) -> Tensor:
        """Return what the net pools and normalises before its classifier."""
        return self.trunk.forward_head(regions, pre_logits=True).flatten(1)


def detection_backbone(name: str, net: Classifier) -> DetectionBackbone:
    """Split a copy of the body of *net*, built as *name*, into the parts of a detection backbone.

    As in Fast R-CNN, AlexNets have maps up to conv5, RoI pooling to 6 × 6, fc6 and fc7. The maps of ResNets
    and of `small` end before the last stage, which is the head after RoI align.

    ItlError for a net of timm whose features are not maps, and one of torchvision that itl cannot take apart.
    """
    body = copy.deepcopy(net.body)
    normalise: nn.Module = nn.Identity()
    if isinstance(body, Renormalised):
        normalise, body = body, body.body
        normalise.body = nn.Identity()  # its parts are the backbone's
    if name.startswith("timm:"):
        backbone = _timm(name, body)
    else:
        backbone = pick(BACKBONES, name, "net for detection (or timm:NAME)")(body)
    backbone.normalise = normalise
    return backbone


def _small(body: nn.Sequential) -> DetectionBackbone:
    return DetectionBackbone(body[:10], body[10:], stride=8, side=5)


def _alexnet(body: nn.Sequential) -> DetectionBackbone:
    maps = list(body[0].children())
    return DetectionBackbone(_centred(maps[:-1]), body[1:], stride=16, side=6, align=False)


def _caffenet(body: nn.Sequential) -> DetectionBackbone:
    last = next(index for index, layer in enumerate(body) if isinstance(layer, nn.AdaptiveAvgPool2d))
    return DetectionBackbone(_centred(body[: last - 1]), body[last:], stride=16, side=6, align=False)


def _centred(trunk: Iterable[nn.Module]) -> nn.Sequential:
    """Pad an AlexNet's first layer and poolings so that value i of its maps is centred on pixel 16 i.

    RoI pooling assumes that; without padding every region would be off by half a cell.
    """
    layers = [nn.MaxPool2d(3, 2, padding=1) if isinstance(layer, nn.MaxPool2d) else layer for layer in trunk]
    next(layer for layer in layers if isinstance(layer, nn.Conv2d)).padding = (5, 5)
    return nn.Sequential(*layers)


def _resnet(body: ResNet) -> DetectionBackbone:
    first = body.conv1, body.bn1, body.relu, body.maxpool
    trunk = nn.Sequential(*first, body.layer1, body.layer2, body.layer3)
    head = nn.Sequential(body.layer4, body.avgpool, nn.Flatten())
    return DetectionBackbone(trunk, head, stride=16, side=14)


def _timm(name: str, body: Any) -> DetectionBackbone:
    small, large = TIMM_SIDES
    shape = _shape_of_maps(name, body, small, small)
    if len(shape) != 4 or shape[2] != shape[3]:
        raise ItlError(
            f"{name} makes features {tuple(shape[1:])} of an image, not maps that regions "
            f"can be cut from; detection needs a convolutional net, such as resnet18"
        )
    # Two widths tell the stride. One alone does not: maps of a net without padding lack values at the edges.
    more = _shape_of_maps(name, body, small, large)[3] - shape[3]
    if more < 1 or (large - small) % more:
        raise ItlError(
            f"{name} makes maps {more} values wider of an image {large - small} pixels wider, which is no "
            f"whole number of pixels to a value; detection needs a net that has one, such as resnet18"
        )
    return TimmBackbone(body, stride=(large - small) // more, side=7)


def _shape_of_maps(name: str, body: Any, height: int, width: int) -> torch.Size:
    """Return the shape of what *body*, the net of timm called *name*, makes of one image before pooling."""
    try:
        with torch.no_grad():
            device = next(body.parameters()).device
            return body.eval().forward_features(torch.zeros(1, 3, height, width, device=device)).shape
    except (RuntimeError, AssertionError, ValueError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ItlError(
            f"{name} cannot take whole images ({reason}); detection needs a convolutional "
            f"net, such as resnet18"
        ) from error


BACKBONES: dict[str, Callable[[Any], DetectionBackbone]] = {  # for each of nets.NETS
    "small": _small,
    "small-half": _small,
    "alexnet": _alexnet,
    "caffenet": _caffenet,
    "resnet18": _resnet,
    "resnet50": _resnet,
}
