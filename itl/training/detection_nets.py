"""Detection backbones: a net in two parts, from images to maps and from regions of these to features."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.ops import roi_pool

from itl import ItlError, pick
from itl.training.nets import Classifier, Renormalised
from itl.training.roi_align import align


class DetectionBackbone(nn.Module):
    """A net's body in two parts: ``maps`` of whole images, and ``features`` of regions pooled from these."""

    def __init__(self, trunk: nn.Module, head: nn.Module, *, stride: int, side: int, align: bool = True):
        """Join *trunk* and *head*.

        Args:
            trunk: Makes maps (B, C, h, w) of images (B, 3, H, W).
            head: Makes features (R, F) of regions (R, C, side, side).
            stride: Pixels of the image from one value of the maps to the next.
            side: Values along each side of a region.
            align: Cut regions by RoI align; else by RoI pooling, as Fast R-CNN first did.
        """
        super().__init__()
        self.trunk, self.head = trunk, head
        self.stride, self.side, self.align = stride, side, align
        self.renormalised: Renormalised | None = None  # a body whose way to normalise images is taken

    def maps(self, images: Tensor) -> Tensor:
        """Return maps (B, C, h, w) of images (B, 3, H, W)."""
        return self.trunk(self._normalised(images))

    def _normalised(self, images: Tensor) -> Tensor:
        return images if self.renormalised is None else self.renormalised.renormalise(images)

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


def repeatable_roi_pool(maps: Tensor, boxes: list[Tensor], side: int, scale: float) -> Tensor:
    """Cut regions (R, C, side, side) as ``torchvision.ops.roi_pool`` does, with a gradient that repeats.

    On a GPU torchvision adds up the gradient in any order. The gradient of indexing sorts first. Needs about
    60 bytes for each value of the regions: 70 MB for AlexNet and 128 regions.

    Args:
        maps: (B, C, h, w).
        boxes: For each image (n, 4): x0, y0, x1, y1 in its pixels.
        side: Values along each side of a region.
        scale: Pixels of the maps to one of the image.
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
        return self.trunk.forward_features(self._normalised(images))

    def features(self, regions: Tensor) -> Tensor:
        """Return what the net pools and normalises before its classifier."""
        return self.trunk.forward_head(regions, pre_logits=True).flatten(1)


def detection_backbone(name: str, net: Classifier) -> DetectionBackbone:
    """Split a copy of the body of *net*, built as *name*, into the parts of a detection backbone.

    As in Fast R-CNN, AlexNets have maps up to conv5, RoI pooling to 6 × 6, fc6 and fc7. The maps of ResNets
    and of `small` end before the last stage, which is the head after RoI align.

    Raises:
        ItlError: The features of a net of timm are not maps, such as a transformer's, or the net is one of
            torchvision's that itl cannot take apart.
    """
    body = copy.deepcopy(net.body)
    if isinstance(body, Renormalised):
        backbone = _split(name, body.body)
        body.body = nn.Identity()  # its parts are the backbone's
        backbone.renormalised = body
        return backbone
    return _split(name, body)


def _split(name: str, body: nn.Module) -> DetectionBackbone:
    if name.startswith("timm:"):
        return _timm(name, body)
    return pick(BACKBONES, name, "net for detection (or timm:NAME)")(body)


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
    trunk = nn.Sequential(
        body.conv1, body.bn1, body.relu, body.maxpool, body.layer1, body.layer2, body.layer3
    )
    return DetectionBackbone(
        trunk, nn.Sequential(body.layer4, body.avgpool, nn.Flatten()), stride=16, side=14
    )


def _timm(name: str, body: Any) -> DetectionBackbone:
    side = 224
    with torch.no_grad():
        try:
            device = next(body.parameters()).device
            maps = body.eval().forward_features(torch.zeros(1, 3, side, side, device=device))
        except (RuntimeError, AssertionError, ValueError, AttributeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ItlError(
                f"{name} cannot take whole images ({reason}); detection needs a convolutional "
                f"net, such as resnet18"
            ) from error
    if maps.ndim != 4 or maps.shape[2] != maps.shape[3]:
        raise ItlError(
            f"{name} makes features {tuple(maps.shape[1:])} of an image, not maps that regions "
            f"can be cut from; detection needs a convolutional net, such as resnet18"
        )
    return TimmBackbone(body, stride=side // maps.shape[3], side=7)


BACKBONES: dict[str, Callable[[Any], DetectionBackbone]] = {  # for each of nets.NETS
    "small": _small,
    "small-half": _small,
    "alexnet": _alexnet,
    "caffenet": _caffenet,
    "resnet18": _resnet,
    "resnet50": _resnet,
}
