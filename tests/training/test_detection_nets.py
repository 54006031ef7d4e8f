"""Our RoI align is torchvision's, values and gradients; the parts of a net are the net."""

import pytest
import torch
from torch import nn
from torch.nn.functional import relu
from torchvision import ops

from itl import ItlError
from itl.training import detection_nets
from itl.training.detection_nets import BACKBONES, detection_backbone, repeatable_roi_pool
from itl.training.nets import NETS, Classifier, build
from tests.training.test_loop import narrow

torch.set_num_threads(1)


def made(seed: int, images: int, counts: list[int], channels: int = 6, height: int = 9, width: int = 13):
    """Maps, and boxes that lie inside, across and outside of an image whose pixels are 8 to a value."""
    random = torch.Generator().manual_seed(seed)
    maps = torch.randn(images, channels, height, width, generator=random)
    boxes = []
    for count in counts:
        corners = torch.rand(count, 2, 2, generator=random) * torch.tensor([width, height]) * 11 - 15
        low, high = corners.min(1).values, corners.max(1).values
        boxes.append(torch.cat([low, high], 1))
    return maps, boxes


@pytest.mark.parametrize("side", [1, 5, 7])
@pytest.mark.parametrize("counts", [[40, 1, 0], [3], [0, 0]])
def test_align_is_torchvisions_and_so_is_its_gradient(side, counts, monkeypatch):
    monkeypatch.setattr(detection_nets, "REGIONS_AT_ONCE", 7)
    maps, boxes = made(side, len(counts), counts)
    maps.requires_grad_()
    regions, samples = detection_nets.align(maps, boxes, side, 1 / 8), detection_nets.SAMPLES_PER_SIDE
    expected = ops.roi_align(maps, boxes, side, 1 / 8, sampling_ratio=samples, aligned=True)
    torch.testing.assert_close(regions, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(*gradients(maps, regions, expected), atol=1e-4, rtol=1e-4)


def gradients(maps: torch.Tensor, *regions: torch.Tensor) -> list[torch.Tensor]:
    """The gradients of *maps* by sums of each of *regions*, all of one shape, with the same weights."""
    weights = torch.randn(regions[0].shape, generator=torch.Generator().manual_seed(1))
    return [torch.autograd.grad(part, maps, weights)[0] for part in regions]


def test_a_box_of_whole_cells_averages_them_by_hand():
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    regions = detection_nets.align(maps, [torch.tensor([[0.0, 0, 4, 4]])], 2, 1.0)
    assert regions.tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]  # the means of the four 2 × 2 corners


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("counts", [[40, 1, 0], [3], [0, 0]])
def test_repeatable_pooling_is_torchvisions_and_so_is_its_gradient(counts, layout):
    maps, boxes = made(0, len(counts), counts)
    maps = maps.relu().to(memory_format=layout).requires_grad_()  # as of a net: many cells of equal values
    regions, expected = repeatable_roi_pool(maps, boxes, 6, 1 / 8), ops.roi_pool(maps, boxes, 6, 1 / 8)
    assert torch.equal(regions, expected)
    torch.testing.assert_close(*gradients(maps, regions, expected), atol=1e-5, rtol=1e-5)


def test_a_pooled_box_of_whole_cells_has_their_maxima_by_hand():
    maps = torch.arange(16.0).reshape(1, 1, 4, 4).requires_grad_()
    regions = repeatable_roi_pool(maps, [torch.tensor([[0.0, 0, 3, 3], [9, 9, 9, 9]])], 2, 1.0)
    assert regions.tolist() == [[[[5, 7], [13, 15]]], [[[0, 0], [0, 0]]]]  # the second lies outside
    regions.sum().backward()
    assert maps.grad.nonzero()[:, 2:].tolist() == [[1, 1], [1, 3], [3, 1], [3, 3]]


def test_every_net_can_be_taken_apart():
    assert BACKBONES.keys() == NETS.keys()


@pytest.mark.parametrize(("name", "pixels"), [("small", 56), ("resnet18", 64), ("timm:resnet10t", 64)])
def test_the_parts_in_turn_are_the_body(name, pixels):
    net = build(name, 3, pixels, seed=0).eval()
    images = torch.randn(2, 3, pixels, pixels, generator=torch.Generator().manual_seed(0))
    apart = detection_backbone(name, net).eval()
    with torch.no_grad():
        torch.testing.assert_close(apart.features(apart.maps(images)), net.body(images).flatten(1))


@pytest.mark.parametrize("name", ["alexnet", "caffenet"])
def test_alexnets_keep_their_weights_and_look_where_their_regions_are(name):
    net = narrow(build(name, 3, 96, seed=0))
    apart = detection_backbone(name, net).eval()
    ours = [tensor.clone() for tensor in apart.state_dict().values()]
    assert all(torch.equal(*pair) for pair in zip(ours, net.body.state_dict().values(), strict=True))
    convolutions = [layer for layer in apart.trunk if isinstance(layer, torch.nn.Conv2d)]
    for layer in convolutions:
        torch.nn.init.constant_(layer.weight, 0.01)
        torch.nn.init.zeros_(layer.bias)
    images = torch.rand(1, 3, 257, 257).requires_grad_()
    relu(apart.maps(images)[0, :, 8, 8]).sum().backward()
    seen = images.grad[0].abs().sum(0).nonzero()
    middle = (seen.min(0).values + seen.max(0).values) / 2
    assert (middle - 128).abs().max() <= 8  # half a cell: value 8 of a stride of 16


@pytest.mark.parametrize(
    ("name", "stride", "channels"),
    [("small", 8, 128), ("alexnet", 16, 256), ("caffenet", 16, 256), ("resnet18", 16, 256)],
)
def test_maps_have_the_stride_that_regions_are_cut_by(name, stride, channels):
    apart = detection_backbone(name, build(name, 3, 96, seed=0)).eval()
    with torch.no_grad():
        maps = apart.maps(torch.zeros(1, 3, 128, 192))
        regions = apart.pool_regions(maps, [torch.tensor([[0.0, 0, 64, 64], [8, 8, 190, 120]])])
        features = apart.features(regions)
    assert maps.shape == (1, channels, 128 // stride, 192 // stride)
    assert regions.shape == (2, channels, apart.side, apart.side)
    assert features.shape == (2, build(name, 3, 96, seed=0).head.in_features)


@pytest.mark.parametrize(("last", "side"), [(nn.Identity(), 7), (nn.AvgPool2d(3, stride=1), 5)])
def test_the_stride_of_a_net_of_timm_is_that_of_its_maps_whether_it_pads_or_not(last, side):
    """As inception_v3, a net without padding has fewer values than 224 pixels have strides."""
    apart = detection_backbone("timm:resnet10t", ending_in(last))
    assert apart.maps(torch.zeros(1, 3, 224, 224)).shape[2:] == (side, side)
    assert apart.stride == 32


@pytest.mark.parametrize(("last", "more"), [(nn.AdaptiveAvgPool2d(3), 0), (nn.AvgPool2d(3), 3)])
def test_a_net_whose_maps_have_no_whole_stride_is_refused(last, more):
    with pytest.raises(ItlError, match=f"^timm:resnet10t makes maps {more} values wider of .*resnet18$"):
        detection_backbone("timm:resnet10t", ending_in(last))


def ending_in(layer: nn.Module) -> Classifier:
    """A small net of timm, with *layer* behind its last stage."""
    net = build("timm:resnet10t", 3, 64, seed=0)
    net.body.layer4 = nn.Sequential(net.body.layer4, layer)
    return net


def test_caffenet_off_the_cpu_has_the_maps_that_it_has_there():
    apart = detection_backbone("caffenet", build("caffenet", 3, 96, seed=0)).eval()
    images = torch.zeros(1, 3, 150, 200)
    with torch.no_grad():
        expected = apart.maps(images).shape
        assert apart.to("meta").maps(images.to("meta")).shape == expected


def test_a_net_without_maps_is_refused():
    with pytest.raises(ItlError, match=r"makes features .* not maps .* such as resnet18"):
        detection_backbone("timm:vit_tiny_patch16_224", build("timm:vit_tiny_patch16_224", 3, 224, seed=0))
