"""R-CNNs from torchvision's modules: Fast, with given regions, and Faster, which learns region proposals."""

from itertools import islice

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import box_iou

from itl.specs import DetectionRecipe, Recipe
from itl.training.detection_batches import DetectionBatches, ImageBatch
from itl.training.detection_nets import DetectionBackbone
from itl.training.loop import Diverged
from itl.training.nets import norms, set_norm_statistics
from itl.training.numerics import autocast

Targets = list[dict[str, Tensor]]  # of each image: boxes (n, 4), labels (n,)

MIN_SCORE = 0.01  # detections below it are dropped
NMS_IOU = 0.3  # of two detections of a class that overlap more, the worse is dropped
MAX_DETECTIONS = 100  # in an image
BOX_CODER_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # factors of the box offsets, so that they are about 1
ANCHOR_SIZES = (128 / 600, 256 / 600, 512 / 600)  # in parts of the short side
ANCHOR_RATIOS = (0.5, 1.0, 2.0)  # height to width
STATISTICS_BATCHES = 32  # from which the statistics of normalisation layers are taken


class Detector(nn.Module):
    """A detection backbone with a new classifier and box regressor for *classes* classes and the background.

    Where ``recipe.regions`` is rpn, a region proposal network on the maps is trained with the rest. As
    published, a region with an IoU of 0.5 or more is one of an object. In training ``recipe.rois`` regions
    of each image are sampled, with at most the fraction ``recipe.foreground`` of regions of objects.
    Normalisation layers keep their statistics.
    """

    def __init__(self, backbone: DetectionBackbone, classes: int, recipe: DetectionRecipe, seed: int):
        """Initialise what is new from *seed* alone."""
        super().__init__()
        self.backbone, self.recipe = backbone, recipe
        if recipe.freeze_first:
            first = next(layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d))
            first.requires_grad_(False)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            device = next(backbone.parameters()).device
            maps = backbone.maps(torch.zeros(1, 3, 128, 128, device=device))
            region = maps.new_zeros(1, maps.shape[1], backbone.side, backbone.side)
            features = backbone.features(region).shape[1]
            self.classes = _linear(features, classes + 1, std=0.01)
            self.offsets = _linear(features, 4 * (classes + 1), std=0.001)
            self.rpn = _rpn(maps.shape[1], backbone.stride, recipe) if recipe.regions == "rpn" else None

    def train(self, mode: bool = True) -> "Detector":
        """Set the mode of all but normalisation layers, whose statistics of two images would be noise."""
        super().train(mode)
        for norm in norms(self):
            norm.eval()
        return self

    def forward(self, images: ImageBatch, targets: Targets | None = None) -> dict[str, Tensor] | Targets:
        """Return the losses by name in training mode, else the detections: a dict for each image.

        It has boxes (n, 4), labels (n,) and scores (n,), and the regions (m, 4) that they come from. Raises
        Diverged where outputs of a trained net overflow: it would detect nothing.
        """
        maps = self._finite(self.backbone.maps(images.pixels))
        with autocast(maps.device, "fp32"):  # torchvision's box arithmetic
            maps, losses, regions = maps.float(), {}, images.regions or []
            if self.rpn is not None:
                regions, losses = self.rpn(ImageList(images.pixels, images.sizes), {"0": maps}, targets)
            elif targets is not None:
                pairs = zip(regions, targets, strict=True)
                regions = [self._near_objects(proposals, target) for proposals, target in pairs]
            detections, head_losses = self._heads()({"0": maps}, regions, images.sizes, targets)
        if self.training:
            return losses | head_losses
        with_regions = zip(detections, regions, strict=True)
        return [detection | {"regions": proposals} for detection, proposals in with_regions]

    def _heads(self) -> RoIHeads:
        """Make what samples regions, and scores them by the methods below; it has no weights of its own.

        Kept, it and the detector would hold each other: memory of a GPU would wait for the garbage collector.
        """
        heads = RoIHeads(
            self.pool_regions,
            self.box_features,
            self.predict,
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=self.recipe.rois,
            positive_fraction=self.recipe.foreground,
            bbox_reg_weights=BOX_CODER_WEIGHTS,
            score_thresh=MIN_SCORE,
            nms_thresh=NMS_IOU,
            detections_per_img=MAX_DETECTIONS,
        )
        return heads.train(self.training)

    def _near_objects(self, regions: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Keep the regions that overlap an object by ``recipe.overlap``; all where there is no object."""
        if not self.recipe.overlap or not len(target["boxes"]):
            return regions
        near = box_iou(regions, target["boxes"]).amax(1) >= self.recipe.overlap
        return regions[near]  # may be none: the objects' own boxes join them

    def pool_regions(self, maps: dict[str, Tensor], regions: list[Tensor], sizes: list) -> Tensor:
        """Cut regions (R, C, side, side) out of the maps, as RoIHeads calls its ``box_roi_pool``."""
        return self.backbone.pool_regions(maps["0"], regions)

    def box_features(self, regions: Tensor) -> Tensor:
        """Return features (R, F), float32, of regions (R, C, side, side): RoIHeads' ``box_head``."""
        with autocast(regions.device, self.recipe.precision):
            return self.backbone.features(regions).float()

    def predict(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return class scores and box offsets of features (R, F): RoIHeads' ``box_predictor``."""
        return self._finite(self.classes(features)), self.offsets(features)

    def _finite(self, outputs: Tensor) -> Tensor:
        """Return *outputs*; raise Diverged where they are not finite. Training looks at its losses."""
        if not self.training and not outputs.isfinite().all():
            cure = f"after training with lr {self.recipe.lr:g}; a lower lr or fp32 may work"
            raise Diverged(f"outputs of the detector are not finite {cure}")
        return outputs


def detection_loss(net: nn.Module, images: ImageBatch, targets: Targets, recipe: Recipe) -> Tensor:
    """Return the objective of a `Detector`: the sum of its losses, a scalar."""
    return torch.stack(list(net(images, targets).values())).sum()


def reset_norm_statistics(net: Detector, batches: DetectionBatches, seed: int) -> None:
    """Set the running statistics of *net* to those of the target's own images and regions, for good.

    Pre-training saw crops of another size, and an untrained net has no statistics. One rule for both keeps
    statistics out of their comparison.
    """
    net.to(batches.device, memory_format=torch.channels_last).train()
    gpus = [batches.device] if batches.device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus), autocast(batches.device, net.recipe.precision):
        torch.manual_seed(seed)
        first_batches = islice(batches.epoch(0), STATISTICS_BATCHES)
        set_norm_statistics(net, first_batches, lambda batch: net(*batch))
    net.train()


def _linear(inputs: int, outputs: int, std: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    return layer


class Anchors(AnchorGenerator):
    """Anchor boxes around every value of maps of a known stride; torchvision guesses it from their size."""

    def __init__(self, stride: int, sizes: tuple[float, ...], ratios: tuple[float, ...]):
        """Take *stride* and *sizes* in pixels, and *ratios* of height to width."""
        super().__init__((sizes,), (ratios,))
        self.stride = stride

    def forward(self, images: ImageList, maps: list[Tensor]) -> list[Tensor]:
        """Return boxes (n, 4) for each image, the same for all."""
        self.set_cell_anchors(maps[0].dtype, maps[0].device)
        boxes = self.grid_anchors([maps[0].shape[-2:]], [[self.stride, self.stride]])[0]
        return [boxes] * len(images.image_sizes)


def _rpn(channels: int, stride: int, recipe: DetectionRecipe) -> RegionProposalNetwork:
    """Build a region proposal network with Faster R-CNN's published thresholds and counts."""
    sizes = tuple(size * recipe.pixels for size in ANCHOR_SIZES)
    anchors = Anchors(stride, sizes, ANCHOR_RATIOS)
    head = RPNHead(channels, anchors.num_anchors_per_location()[0])
    return RegionProposalNetwork(
        anchors,
        head,
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 12_000, "testing": 6_000},
        post_nms_top_n={"training": recipe.proposals, "testing": min(300, recipe.proposals)},
        nms_thresh=0.7,
    )
