"""A CUDA device that is only pretended: FakeTensorMode says where tensors are, the CPU computes their values."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
from torch.utils._pytree import tree_iter, tree_map

from itl.training import batches, crop_cpu

HERE, HOUSE = Path(__file__), Path(batches.__file__).parents[1]
SIZES = {"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount", "nms"}


class Device(TorchDispatchMode):
    """Runs every operation twice: faked, which raises where devices mix, and on the CPU, for the values.

    ``waits`` counts what makes the host wait for the device, by the module of itl that asks, and kind:
    *value* (item, tolist, a truth value, a copy to the CPU), *size* (a result whose size depends on values)
    or *pageable* (a copy to the device from memory that is not pinned, or that may not go on by itself).
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[tuple[str, str]] = Counter()
        self.where: list[tuple[str, str, str]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run *func*; tensors on the device are FakeTensors that carry their values as ``on_cpu``."""
        kwargs = kwargs or {}
        if func is torch.ops.prim.device.default and isinstance(args[0], FakeTensor):
            return args[0].fake_device
        tensors = [leaf for leaf in tree_iter((args, kwargs)) if isinstance(leaf, Tensor)]
        target = kwargs.get("device")
        target = torch.device(target).type if target is not None else None
        here = any(isinstance(tensor, FakeTensor) for tensor in tensors)
        with unset_fake_temporarily():
            real_args, real_kwargs = tree_map(_real, (args, kwargs))
            if target == "cuda":
                real_kwargs = real_kwargs | {"device": torch.device("cpu")}
            result = func(*real_args, **real_kwargs)
        if not here and target != "cuda":
            return result
        self._record(func, args, kwargs, target)
        if (here and target == "cpu") or not any(isinstance(leaf, Tensor) for leaf in tree_iter(result)):
            return result
        if func.overloadpacket is torch.ops.aten.copy_ and not isinstance(args[0], FakeTensor):
            return result
        self._check(func, args, kwargs)
        changed = [arg for arg, spec in zip(args, func._schema.arguments, strict=False)
                   if spec.alias_info is not None and spec.alias_info.is_write]
        if changed and isinstance(result, Tensor) and isinstance(changed[0], FakeTensor):
            return changed[0]                   # an operation in place
        return tree_map(_carried, result)

    def _check(self, func: Any, args: tuple, kwargs: dict) -> None:
        """Let FakeTensorMode look at where the tensors are."""
        try:
            func(*args, **kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException):
            pass
        except RuntimeError as error:
            raise AssertionError(f"{func} in {_place()[0]}: {error}") from error

    def _record(self, func: Any, args: tuple, kwargs: dict, target: str | None) -> None:
        """Count what waits."""
        name = func.overloadpacket.__name__
        on_device = [isinstance(arg, FakeTensor) for arg in args if isinstance(arg, Tensor)]
        if name == "_local_scalar_dense" or (any(on_device) and target == "cpu") or name == "copy_" and on_device == [False, True]:
            kind = "value"
        elif func.overloadpacket in INDEXING and any(
            index is not None and not isinstance(index, FakeTensor) for index in args[1]):
            kind = "index"
        elif name in SIZES or (func.overloadpacket in INDEXING and _masked(func, args)):
            kind = "size"
        elif name == "_to_copy" and on_device == [False] and target == "cuda":
            kind = "" if _pinned(args[0]) and kwargs.get("non_blocking") else "pageable"
        elif name == "copy_" and on_device == [True, False] and args[1].ndim:
            kind = "" if _pinned(args[1]) and (*args, False)[2] else "pageable"
        else:
            return
        if kind:
            module, line = _place()
            self.waits[module, kind] += 1
            self.where.append((line, kind, name))


INDEXING = (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_,
            torch.ops.aten._index_put_impl_)


def _masked(func: Any, args: tuple) -> bool:
    """Whether indices hold a mask; one that is set to a single value is filled without a look at it."""
    masks = any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    filled = func.overloadpacket is not torch.ops.aten.index and args[2].numel() == 1 and len(args[1]) == 1
    return masks and not filled


def _real(leaf: Any) -> Any:
    return leaf.on_cpu if isinstance(leaf, FakeTensor) else leaf


def _carried(leaf: Any) -> Any:
    """A tensor on the device with the values of *leaf*."""
    if not isinstance(leaf, Tensor):
        return leaf
    fake = torch.empty_strided(leaf.shape, leaf.stride(), dtype=leaf.dtype, device="cuda")
    fake.on_cpu = leaf
    return fake


def _pinned(tensor: Tensor) -> bool:
    return getattr(tensor, "pretended_pinned", False)


def _pin(tensor: Tensor) -> Tensor:
    tensor.pretended_pinned = True
    return tensor


def _place() -> tuple[str, str]:
    """The module of itl that is at work, such as transfer/frozen, and the line of the innermost frame."""
    frame, line = sys._getframe(2), None
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        line = line or (f"{path.name}:{frame.f_lineno}" if "torch/" not in str(path.parent) + "/" and path != HERE else None)
        if HOUSE in path.parents:
            return str(path.relative_to(HOUSE).with_suffix("")), f"{path.name}:{frame.f_lineno} ({line})"
        frame = frame.f_back
    return "tests", str(line)


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """A context in which ``cuda`` is such a device; it gives the `Device`, which counts what waits."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", _pin)
    monkeypatch.setattr(FakeTensor, "tolist", lambda tensor: tensor.cpu().tolist())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    for name in ("get_rng_state", "set_rng_state"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: None)
    monkeypatch.setattr(batches.Batches, "_fits", lambda loader: True)
    monkeypatch.setattr(batches.Batches, "_upload", lambda loader: torch.from_numpy(
        loader.images[loader.rows]).pin_memory().to(loader.device, non_blocking=True))
    monkeypatch.setattr(batches, "crop_on", lambda where: plain_crop)

    @contextmanager
    def pretend() -> Iterator[Device]:
        crop_cpu._normalisation_on.cache_clear()
        device = Device()
        try:
            with (
                FakeTensorMode(allow_non_fake_inputs=True), device, torch.no_grad(),
                torch.backends.cudnn.flags(enabled=False),
            ):
                yield device
        finally:
            crop_cpu._normalisation_on.cache_clear()            # what it holds is not on a real device

    return pretend


def plain_crop(images: Tensor, places: Tensor, boxes: Tensor, flips: Tensor, pixels: int, dtype: torch.dtype
               ) -> Tensor:
    """What crops on a GPU without Triton."""
    return crop_cpu.batch_crop(images[places], boxes, flips, pixels).to(dtype)
