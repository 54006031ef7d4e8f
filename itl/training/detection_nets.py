"""A net taken apart for detection: what turns images into maps, and regions of these into features."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_pool

from itl import ItlError
from itl.training.nets import Classifier
from itl.training.roi_align import align


class Parts(nn.Module):
    """A body in two: ``maps`` of whole images, and ``features`` of regions pooled from these."""

    def __init__(self, trunk: nn.Module, head: nn.Module, *, stride: int, side: int, align: bool = True):
        """Join *trunk*, whose maps have a value every *stride* pixels, and *head* for regions *side* wide.

        Regions are cut by RoI align, or, as Fast R-CNN first did, by RoI pooling.
        """
        super().__init__()
        self.trunk, self.head = trunk, head
        self.stride, self.side, self.align = stride, side, align

    def maps(self, images: Tensor) -> Tensor:
        """Maps (B, C, h, w) of images (B, 3, H, W)."""
        return self.trunk(images)

    def cut(self, maps: Tensor, boxes: list[Tensor]) -> Tensor:
        """Regions (R, C, side, side) of *maps* for each image's boxes (n, 4): x0, y0, x1, y1 in pixels."""
        if self.align:
            return align(maps, boxes, self.side, 1 / self.stride)
        pool = repeatable_roi_pool if maps.is_cuda and maps.requires_grad else roi_pool
        return pool(maps, boxes, self.side, 1 / self.stride)

    def features(self, regions: Tensor) -> Tensor:
        """Features (R, F) of regions (R, C, side, side)."""
        return self.head(regions)


def repeatable_roi_pool(maps: Tensor, boxes: list[Tensor], side: int, scale: float) -> Tensor:
    """Cut regions (R, C, side, side) as ``torchvision.ops.roi_pool`` does, with a gradient that repeats.

    torchvision finds the largest value of each cell, but adds up its gradient in any order on a GPU. That of
    indexing sorts first. It takes about 60 bytes for each value of the regions: 70 MB for AlexNet's 128.
    """
    rois = torch.cat([F.pad(part, (1, 0), value=image) for image, part in enumerate(boxes)])
    with torch.no_grad():
        places = torch.ops.torchvision.roi_pool(maps, rois, scale, side, side)[1].long()    # -1: empty cell
    image, channel = rois[:, 0].long(), torch.arange(maps.shape[1], device=maps.device)
    values = maps.flatten(2)[image[:, None, None, None], channel[:, None, None], places.clamp(min=0)]
    return values.masked_fill(places < 0, 0.0)


class TimmParts(Parts):
    """One of timm's nets, which keeps both halves to itself."""

    def __init__(self, net: nn.Module, *, stride: int, side: int):
        """Keep *net* whole: its halves share it."""
        super().__init__(net, nn.Identity(), stride=stride, side=side)

    def maps(self, images: Tensor) -> Tensor:
        """Maps of the last stage."""
        return self.trunk.forward_features(images)

    def features(self, regions: Tensor) -> Tensor:
        """What the net pools and normalises before its classifier."""
        return self.trunk.forward_head(regions, pre_logits=True).flatten(1)


def parts(name: str, net: Classifier) -> Parts:
    """Take a copy of the body of *net*, built as *name*, apart for detection.

    AlexNets keep conv5, RoI pooling to 6 × 6, fc6 and fc7, as Fast R-CNN did; ResNets end their maps before
    the last stage, which is the head after RoI align; `small` does likewise. Raises ItlError for a net of
    timm whose features are no maps, such as a transformer's.
    """
    body = copy.deepcopy(net.body)
    if name.startswith("timm:"):
        return _timm(name, body)
    return PARTS[name](body)


def _small(body: nn.Sequential) -> Parts:
    return Parts(body[:10], body[10:], stride=8, side=5)


def _alexnet(body: nn.Sequential) -> Parts:
    return Parts(_centred(body[0][:-1]), body[1:], stride=16, side=6, align=False)


def _caffenet(body: nn.Sequential) -> Parts:
    last = next(place for place, layer in enumerate(body) if isinstance(layer, nn.AdaptiveAvgPool2d))
    return Parts(_centred(body[:last - 1]), body[last:], stride=16, side=6, align=False)


def _centred(trunk: nn.Sequential) -> nn.Sequential:
    """Pad an AlexNet's first layer and poolings so that value i of its maps looks at pixel 16 i.

    Regions are cut out of the maps as if it were so; unpadded, every region would be half a cell beside.
    """
    layers = [nn.MaxPool2d(3, 2, padding=1) if isinstance(layer, nn.MaxPool2d) else layer for layer in trunk]
    next(layer for layer in layers if isinstance(layer, nn.Conv2d)).padding = (5, 5)
    return nn.Sequential(*layers)


def _resnet(body: nn.Module) -> Parts:
    trunk = nn.Sequential(
        body.conv1, body.bn1, body.relu, body.maxpool, body.layer1, body.layer2, body.layer3
    )
    return Parts(trunk, nn.Sequential(body.layer4, body.avgpool, nn.Flatten()), stride=16, side=14)


def _timm(name: str, body: nn.Module) -> Parts:
    side = 224
    with torch.no_grad():
        try:
            where = next(body.parameters()).device
            maps = body.eval().forward_features(torch.zeros(1, 3, side, side, device=where))
        except (RuntimeError, AssertionError, ValueError, AttributeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ItlError(f"{name} cannot take whole images ({reason}); detection needs a convolutional "
                           f"net, such as resnet18") from error
    if maps.ndim != 4 or maps.shape[2] != maps.shape[3]:
        raise ItlError(f"{name} makes features {tuple(maps.shape[1:])} of an image, not maps that regions "
                       f"can be cut from; detection needs a convolutional net, such as resnet18")
    return TimmParts(body, stride=side // maps.shape[3], side=7)


PARTS = {                                   # for every one of models.NETS
    "small": _small,
    "alexnet": _alexnet,
    "caffenet": _caffenet,
    "resnet18": _resnet,
    "resnet50": _resnet,
}
