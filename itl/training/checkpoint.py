"""Tensors in safetensors files, written atomically, and the checkpoint of a run made of them."""

import json
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from itl.errors import ItlError
from itl.notes import warn
from itl.storage import CHECKPOINT_FILE, DamagedFile, refuse_system_error, write_atomic

CHECKSUM = "checksum"  # a tensor of each checkpoint, over the others


def save_tensors(path: Path, tensors: dict[str, Tensor], note: object = None) -> None:
    """Write *tensors* and a *note*, anything JSON can hold, to *path*, whole or not at all.

    ItlError if it cannot be written.
    """
    tensors = separate(tensors)

    def write(part: Path) -> None:
        try:
            save_file(tensors, part, {"note": json.dumps(note)})
        except SafetensorError as error:  # such as a full disk
            raise OSError(str(error)) from error

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, write)


def separate(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return *tensors* on the CPU, none in the memory of another: safetensors refuses tied ones."""
    apart: dict[str, Tensor] = {}
    used = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().to("cpu").contiguous()
        memory = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if memory in used else tensor
        used.add(memory)
    return apart


def load_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """Read the tensors and the note that `save_tensors` wrote.

    Raises:
        DamagedFile: If it does not hold them.
        ItlError: If it is missing, or cannot be read, which says nothing of what it holds.
    """
    try:
        path.open("rb").close()  # safetensors says of all that it cannot open that it does not exist
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a mapping
            return tensors, json.loads((file.metadata() or {})["note"])
    except FileNotFoundError as error:
        raise ItlError(f"no weights at {path}; train the net first, or name another file") from error
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        refuse_system_error(path, error)
        of_run = " and result.json beside it" * path.with_name("result.json").exists()  # so that it is redone
        raise DamagedFile(f"{path} is damaged ({error}); remove it{of_run}, then repeat") from error


@contextmanager
def checkpoints(folder: Path) -> Iterator[Callable[[nn.Module, torch.optim.SGD, list[dict]], None]]:
    """Provide a function that saves all that resuming needs: weights, buffers, momentum and history.

    From a CPU it is written at once. From a GPU a thread writes while training goes on; the file is complete
    when the context ends. An error of that thread, such as a full disk, is raised by the next save or at the
    end.
    """
    path = folder / CHECKPOINT_FILE
    writing: list[Future[None]] = []

    def save(net: nn.Module, optimizer: torch.optim.SGD, history: list[dict]) -> None:
        tensors = _checkpoint_tensors(net, optimizer)
        device = next(iter(tensors.values())).device
        if device.type == "cpu":
            return _write(path, tensors, history)
        if writing:
            writing.pop().result()
        copies = {  # queued before the next step, which changes the tensors
            name: torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)
            for name, tensor in tensors.items()
        }
        copied = torch.cuda.current_stream(device).record_event()
        writing.append(thread.submit(_write_copies, path, copies, copied, list(history)))

    with ThreadPoolExecutor(1, "checkpoint") as thread:
        yield save
        if writing:
            writing.pop().result()


def _write_copies(path: Path, copies: dict[str, Tensor], copied: torch.Event, history: list[dict]) -> None:
    torch.cuda.set_device(copied.device)  # a new thread's is the first, which this process may not use
    copied.synchronize()
    _write(path, copies, history)


def _write(path: Path, tensors: dict[str, Tensor], history: list[dict]) -> None:
    save_tensors(path, tensors | {CHECKSUM: _checksum(tensors)}, history)


def _checksum(tensors: dict[str, Tensor]) -> Tensor:
    """Return one whole number that stands for the names and bytes of *tensors*, which are on the CPU."""
    value = 0
    for name, tensor in sorted(tensors.items()):
        data = tensor.reshape(-1).view(torch.uint8).numpy().data
        value = zlib.crc32(data, zlib.crc32(name.encode(), value))
    return torch.tensor(value)


def _checkpoint_tensors(net: nn.Module, optimizer: torch.optim.SGD) -> dict[str, Tensor]:
    """Return all tensors of a checkpoint by name, not copied."""
    state = optimizer.state
    buffers = {name: state[weight].get("momentum_buffer") for name, weight in net.named_parameters()}
    momentum = {f"momentum.{name}": buffer for name, buffer in buffers.items() if buffer is not None}
    return {f"net.{name}": tensor.detach() for name, tensor in net.state_dict().items()} | momentum


def load_checkpoint(folder: Path, net: nn.Module, optimizer: torch.optim.SGD) -> list[dict]:
    """Restore *net* and *optimizer* from the checkpoint in *folder*, in place, and return its history.

    Without a checkpoint, or with one that a power cut has damaged, nothing changes and the history is empty.
    ItlError if it cannot be read: it may be whole, and must not be replaced.
    """
    path = folder / CHECKPOINT_FILE
    if not path.exists():
        return []
    try:
        tensors, history = load_tensors(path)
        checksum = tensors.pop(CHECKSUM, None)  # of an older itl there is none
        if checksum is not None and checksum != _checksum(tensors):
            raise DamagedFile("its tensors are not those that were written")
    except DamagedFile as error:
        warn(f"{path} is damaged ({error.__cause__ or error}); training starts again")
        return []
    fill(net, tensors_below(tensors, "net."), path)
    momentum = tensors_below(tensors, "momentum.")
    for name, weight in net.named_parameters():
        if name in momentum:
            buffer = torch.empty_like(weight, requires_grad=False)
            optimizer.state[weight]["momentum_buffer"] = buffer.copy_(momentum[name])
    return history


def trained_seconds(folder: Path) -> float:
    """Return the seconds of the epochs of the checkpoint in *folder*; 0 if it is missing or damaged."""
    path = folder / CHECKPOINT_FILE
    try:
        return sum(row["seconds"] for row in load_tensors(path)[1]) if path.exists() else 0.0
    except DamagedFile:  # `load_checkpoint` says so
        return 0.0


def tensors_below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return those of *tensors* whose names begin with *prefix*, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def fill(net: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Copy *tensors*, read from *path*, into *net*; raise ItlError if they are another net's."""
    own = net.state_dict()
    wrong = [name for name in own.keys() | tensors.keys() if _shape(own, name) != _shape(tensors, name)]
    if wrong:
        name = min(wrong)
        raise ItlError(
            f"{path} holds another net's weights: {name} is {_shape(tensors, name)} there and "
            f"{_shape(own, name)} in this net; build the net it was saved from"
        )
    net.load_state_dict(tensors)


def _shape(tensors: dict[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(tensors[name].shape) if name in tensors else None
