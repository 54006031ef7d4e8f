"""Nets with drawn tensors, and nets that are filled from files."""

from copy import deepcopy
from functools import cache

import torch
from torchvision import models

from itl.specs import Weights
from itl.training.nets import build
from itl.training.weight_files import read_file
from itl.training.weights import body_tensors, fill_body

SIDES = {
    "small": 24,
    "alexnet": 63,
    "resnet18": 32,
    "timm:resnet10t": 32,
    "torchvision:alexnet": 63,  # which specs call alexnet
    "torchvision:mobilenet_v3_small": 32,
}


@cache
def resnet18_state(seed=0):
    """A state dict of torchvision's, which no test changes: to draw one takes a fifth of a second."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return models.resnet18().state_dict()


@cache
def _built(name, classes, seed):
    """A net that no test changes: to draw its weights takes up to a fifth of a second, and a copy nothing."""
    return build(name, classes, SIDES[name], seed)


def trained(name, classes=7, seed=0):
    """A net whose every tensor is drawn, statistics and counters too: none has a value to be guessed."""
    return deepcopy(_trained(name, classes, seed))


@cache
def _trained(name, classes, seed):
    """The net of `trained`, which no test changes."""
    net = build(name, classes, SIDES[name], seed)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.01, 0.135, generator=random)
            else:
                tensor.fill_(5)
    return net.eval()


def filled(name, tensors, path, **weights):
    """Another net of *name*, with the body that *tensors* hold."""
    net = deepcopy(_built(name, 3, seed=9)).eval()
    fill_body(net, name, body_tensors(name, tensors, Weights(name, **weights), SIDES[name], path))
    return net


def filled_from(name, path, **weights):
    """Another net of *name*, with the body that the file *path* holds."""
    return filled(name, read_tensors(path), path, **weights)


def read_tensors(path):
    """The tensors in the file *path* by name."""
    return read_file(path)[0]
