"""Tensors on disk as safetensors: whole or absent, and a run's checkpoint made of them."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from itl import ItlError
from itl.storage import write_atomic

NAME = "checkpoint.safetensors"


def save_tensors(path: Path, tensors: dict[str, Tensor], note: object = None) -> None:
    """Write *tensors* and a JSON *note* to *path*, whole or not at all; ItlError where the disk refuses."""
    tensors = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}

    def write(part: Path) -> None:
        try:
            save_file(tensors, part, {"note": json.dumps(note)})
        except SafetensorError as error:                    # as it tells of a full disk
            raise OSError(str(error)) from error
        with part.open("rb") as written:
            os.fsync(written.fileno())                      # no rename overtakes its data on power loss

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(Path(path), write)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], object]:
    """Read what save_tensors wrote; raise ItlError for a missing or damaged file."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
            return tensors, json.loads((file.metadata() or {})["note"])
    except FileNotFoundError as error:
        raise ItlError(f"no weights at {path}; train the net first, or name another file") from error
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ItlError(f"{path} is damaged ({error}); delete it, and the run starts again") from error


@contextmanager
def checkpoints(folder: Path) -> Iterator[Callable[[nn.Module, torch.optim.SGD, list[dict]], None]]:
    """Give a function that saves all that training needs to carry on: weights, buffers, momentum, history.

    What a GPU holds is written by a thread while it goes on, and is on the disk when the context ends; a full
    disk is told by the save after, or at the end. From a CPU it is written at once.
    """
    path, writing = Path(folder) / NAME, []

    def save(net: nn.Module, optimizer: torch.optim.SGD, history: list[dict]) -> None:
        tensors = _held(net, optimizer)
        where = next(iter(tensors.values())).device
        if where.type == "cpu":
            return save_tensors(path, tensors, history)
        if writing:
            writing.pop().result()
        copies = {                          # begun before the next step changes what is copied
            name: torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)
            for name, tensor in tensors.items()
        }
        copied = torch.cuda.current_stream(where).record_event()
        writing.append(thread.submit(_write_copies, path, copies, copied, list(history)))

    with ThreadPoolExecutor(1, "checkpoint") as thread:
        yield save
        if writing:
            writing.pop().result()


def _write_copies(path: Path, copies: dict[str, Tensor], copied: torch.Event, history: list[dict]) -> None:
    copied.synchronize()
    save_tensors(path, copies, history)


def _held(net: nn.Module, optimizer: torch.optim.SGD) -> dict[str, Tensor]:
    """All tensors of a checkpoint, where they are."""
    momentum = {
        f"momentum.{name}": optimizer.state[weight]["momentum_buffer"]
        for name, weight in net.named_parameters()
        if optimizer.state[weight].get("momentum_buffer") is not None
    }
    return {f"net.{name}": tensor.detach() for name, tensor in net.state_dict().items()} | momentum


def load_checkpoint(folder: Path, net: nn.Module, optimizer: torch.optim.SGD) -> list[dict]:
    """Put *net* and *optimizer* back where the checkpoint in *folder* was made and return its history.

    Without one, leave them as they are and return an empty history. Raises ItlError naming the file where it
    is damaged or of another net.
    """
    path = Path(folder) / NAME
    if not path.exists():
        return []
    tensors, history = load_tensors(path)
    fill(net, {name[4:]: tensor for name, tensor in tensors.items() if name.startswith("net.")}, path)
    for name, weight in net.named_parameters():
        if f"momentum.{name}" in tensors:
            kept = torch.empty_like(weight, memory_format=torch.preserve_format, requires_grad=False)
            optimizer.state[weight]["momentum_buffer"] = kept.copy_(tensors[f"momentum.{name}"])
    return history


def fill(net: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Copy *tensors* into *net*, or raise ItlError if they are another net's, read from *path*."""
    own = net.state_dict()
    wrong = [name for name in own.keys() | tensors.keys() if _shape(own, name) != _shape(tensors, name)]
    if wrong:
        name = min(wrong)
        found = f"{name} is {_shape(tensors, name)} there and {_shape(own, name)} in this net"
        raise ItlError(f"{path} holds another net's weights: {found}; build the net it was saved from")
    net.load_state_dict(tensors)


def _shape(tensors: dict[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(tensors[name].shape) if name in tensors else None
