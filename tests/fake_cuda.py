"""A CUDA device that is only pretended: FakeTensors say where tensors are, a CPU computes their values."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    unset_fake_temporarily,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from itl.evaluation import knn
from itl.training import batches, crop_cpu, device_images

HOUSE = Path(batches.__file__).parents[1]
CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
SIZES = {"nonzero", "masked_select", "unique_dim", "unique_consecutive", "_unique2", "bincount", "nms"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}


class FakeCuda(TorchDispatchMode):
    """Computes on the CPU, with FakeTensors of the device that hold their values in ``on_cpu``.

    An operation on tensors of the device and of the CPU is first run by FakeTensorMode: AssertionError where
    CUDA would not take them. ``waits`` counts what makes the host wait for the device, by
    the module of itl that asks for it, and the kind: "value", which the host reads (item, tolist, if, a copy
    to the CPU); "size", of a result, that depends on values; "upload", a copy to the device from memory that
    is not pinned, or one that is waited for; "index", on the device by an index on the CPU. ``lines`` says
    where in that module.
    """

    def __init__(self, mode: FakeTensorMode) -> None:
        super().__init__()
        self.mode = mode
        self.waits: Counter[tuple[str, str]] = Counter()
        self.lines: set[tuple[str, str, int]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run *func*."""
        kwargs = kwargs or {}
        if func is torch.ops.prim.device.default and isinstance(args[0], FakeTensor):
            return args[0].fake_device
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        from_device = any(isinstance(tensor, FakeTensor) for tensor in tensors)
        wanted = torch.device(kwargs["device"]).type if kwargs.get("device") is not None else ""
        if not from_device and wanted != "cuda":
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        with unset_fake_temporarily():
            real_args, real_kwargs = tree_map(_values, (args, kwargs))
            result = func(*real_args, **(real_kwargs | ({"device": CPU} if wanted == "cuda" else {})))
        self._count(func.overloadpacket.__name__, args, kwargs, wanted)
        to_cpu = wanted == "cpu" or (_is(func, "copy_") and not isinstance(args[0], FakeTensor))
        if to_cpu or not any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            return result
        if from_device and not all(isinstance(tensor, FakeTensor) for tensor in tensors):
            _check_devices(func, args, kwargs)
        changed = func._schema.arguments[0].alias_info if args else None
        if changed is not None and changed.is_write and isinstance(result, Tensor):
            return args[0]
        with unset_fake_temporarily():
            return tree_map(self._on_device, result)

    def _on_device(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        meta = torch.empty_strided(leaf.shape, leaf.stride(), dtype=leaf.dtype, device="meta")
        fake = FakeTensor(self.mode, meta, CUDA)
        fake.on_cpu = leaf
        return fake

    def _count(self, name: str, args: tuple, kwargs: dict, wanted: str) -> None:
        """Count the operation called *name* if it waits."""
        kind = ""
        if name == "_local_scalar_dense" or (name == "_to_copy" and wanted == "cpu"):
            kind = "value"
        elif name in SIZES:
            kind = "size"
        elif name in INDEXING:
            kind = _kind_of_indexing(name, args)
        elif name == "_to_copy" and not isinstance(args[0], FakeTensor):
            kind = "" if _pinned(args[0]) and kwargs.get("non_blocking") else "upload"
        elif name == "copy_" and not isinstance(args[0], FakeTensor):
            kind = "value"
        elif name == "copy_" and not isinstance(args[1], FakeTensor):
            kind = "" if _pinned(args[1]) and args[2:] == (True,) else "upload"
        if kind:
            module, line = _caller()
            self.waits[module, kind] += 1
            self.lines.add((module, kind, line))


def _is(func: Any, name: str) -> bool:
    return func.overloadpacket.__name__ == name


def _kind_of_indexing(name: str, args: tuple) -> str:
    """A mask is first turned into indices, whose number is asked for, unless all it marks gets one value."""
    indices = [index for index in args[1] if index is not None]
    if not all(isinstance(index, FakeTensor) for index in indices):
        return "index"
    masked = any(index.dtype in (torch.bool, torch.uint8) for index in indices)
    filled = name != "index" and len(args[1]) == 1 and args[2].numel() == 1
    return "size" if masked and not filled else ""


def _check_devices(func: Any, args: tuple, kwargs: dict) -> None:
    """Run *func* on the FakeTensors, for what it raises."""
    try:
        func(*args, **kwargs)
    except (DataDependentOutputException, DynamicOutputShapeException):
        pass
    except RuntimeError as error:
        raise AssertionError(f"{func} in line {_caller()[1]} of {_caller()[0]}: {error}") from error


def _values(leaf: Any) -> Any:
    return leaf.on_cpu if isinstance(leaf, FakeTensor) else leaf


def _pin(tensor: Tensor) -> Tensor:
    pinned = tensor.clone()
    pinned.is_pinned_here = True
    return pinned


def _pinned(tensor: Tensor) -> bool:
    return hasattr(tensor, "is_pinned_here")


def _caller() -> tuple[str, int]:
    """The module of itl that is at work, such as evaluation/frozen, and its line."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if HOUSE in path.parents:
            return path.relative_to(HOUSE).with_suffix("").as_posix(), frame.f_lineno
        frame = frame.f_back
    return "tests", 0


class _Stream:
    """What `ImageStream` does, one copy at a time."""

    def __init__(self, device: torch.device, *threads: object) -> None:
        self.device = device

    def send(self, source: np.ndarray, parts: Iterable[np.ndarray]) -> Iterator[Tensor]:
        """Yield the images of each of *parts*."""
        for rows in parts:
            yield torch.from_numpy(source[rows]).pin_memory().to(self.device, non_blocking=True)


@contextmanager
def pretended() -> Iterator[FakeCuda]:
    """Let "cuda" be a FakeCuda that computes in bfloat16, on which packs stay; there is no autograd."""
    replaced = (
        (torch.Tensor, "pin_memory", _pin),
        (FakeTensor, "tolist", lambda tensor: tensor.cpu().tolist()),  # its own asks for every number
        (torch.cuda, "get_device_capability", lambda *_: (9, 0)),
        (torch.cuda, "is_bf16_supported", lambda *_, **__: True),  # autocast asks too
        (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
        (torch.cuda, "get_rng_state", lambda *_: None),
        (torch.cuda, "set_rng_state", lambda *_: None),
        (torch.backends.cudnn, "flags", lambda **_: nullcontext()),
        (device_images, "fits", lambda *_: True),
        (batches, "ImageStream", _Stream),
        (batches, "crop_on", lambda where: crop_cpu.plain_crop),
        (knn, "fused_search", lambda where: None),
    )
    with torch.backends.cudnn.flags(enabled=False), pytest.MonkeyPatch.context() as patch:  # no CPU has it
        for owner, name, value in replaced:
            patch.setattr(owner, name, value)
        crop_cpu.normalisation_on.cache_clear()
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        try:
            with mode, FakeCuda(mode) as device, torch.no_grad():
                yield device
        finally:
            crop_cpu.normalisation_on.cache_clear()  # it holds tensors of that device
