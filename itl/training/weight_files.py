"""Files of weights: every tensor in them by name, and settings beside them, read without running code."""

import argparse
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from itl.errors import ItlError
from itl.storage import read_mapping, refuse_system_error

Tensors = dict[str, Tensor]
OF_HUB = ("model.safetensors", "pytorch_model.bin")  # as the hub's libraries call files of weights
OTHER_FILES = {  # that lie under the name of weights, by their first bytes
    b"version https://git-lfs": "a pointer of Git LFS, not the file; fetch it with git lfs pull",
    b"\x89HDF": "HDF5, as Keras writes; write tensors by name, with torch.save(…, FILE)",
}


def read_file(path: Path) -> tuple[Tensors, dict[str, object]]:
    """Read a .safetensors file, or what torch.save wrote, without running its code.

    ItlError if *path* is no such file, is empty or damaged, or holds no tensors by name.

    Returns:
        Every tensor by name, in the file's order, on the CPU; names of mappings in mappings are joined by
        dots: state_dict.conv1.weight. And the settings of the script that wrote it: ``arch``, as PyTorch's
        example and timm have it, and what ``args`` holds; of a file that timm saved for the hub, those in
        the config.json beside it.
    """
    if path.is_dir():
        raise ItlError(f"{path} is a folder; give a file of weights in it, such as model.safetensors")
    if not path.exists():
        raise ItlError(f"no weights at {path}; give a .safetensors file, or a .pth or .pt file of torch.save")
    if not path.stat().st_size:
        raise ItlError(f"{path} is empty; copy it again")
    start = _first_bytes(path)
    for sign, what in OTHER_FILES.items():
        if start.startswith(sign):
            raise ItlError(f"{path} is {what}")
    content = _read_safetensors(path) if is_safetensors(path) else _read_pickle(path)
    tensors = dict(_flattened(content))
    if not tensors:
        raise ItlError(f"{path} holds no tensors by name; give what torch.save(net.state_dict(), FILE) wrote")
    return tensors, _settings_beside(path) | _settings(content)


def is_safetensors(path: Path) -> bool:
    """Whether *path* is a file of safetensors, which keeps no order, by its content or else by its name."""
    start = _first_bytes(path) if path.is_file() else b""
    return start[8:9] == b"{" or (path.suffix == ".safetensors" and not start.startswith(b"PK"))


def _first_bytes(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(32)


def _read_safetensors(path: Path) -> Tensors:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        refuse_system_error(path, error)
        reason = reason_of(error)
        raise ItlError(f"{path} is damaged, or not safetensors ({reason}); copy it again") from error


def _read_pickle(path: Path) -> object:
    if zipfile.is_zipfile(path):
        _check_archive(path)
    with warnings.catch_warnings(record=True, action="always") as notes:
        try:
            # Plain data; many checkpoints hold it. By a path torch would go by its suffix.
            with torch.serialization.safe_globals([argparse.Namespace]), open(path, "rb") as file:
                return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged files make torch raise all kinds of errors
            refuse_system_error(path, error)
            advice = "none was; where you trust it, load it and write torch.save(net.state_dict(), FILE)"
            if code := re.search(r"GLOBAL ([\w.]+)", str(error)):
                raise ItlError(f"{path} names {code[1]}, code that would be run; {advice}") from None
            if protocol := re.search(r"pickle protocol ([45])", "".join(str(note.message) for note in notes)):
                what = f"a pickle of protocol {protocol[1]}, which is read by running code"
                raise ItlError(f"{path} is {what}; {advice}") from None
            raise ItlError(f"{path} is damaged, or no weights ({reason_of(error)}); copy it again") from error


def _check_archive(path: Path) -> None:
    """Refuse a zip file that holds something else than weights, or is damaged: torch compares no checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            # torch can be told to write 0 for all
            has_checksums = any(info.CRC for info in archive.infolist())
            damaged = has_checksums and archive.testzip()
    except Exception as error:  # of zlib too
        refuse_system_error(path, error)
        raise ItlError(f"{path} is damaged ({reason_of(error)}); copy it again") from error
    if damaged:
        raise ItlError(
            f"{path} is damaged: {damaged} in it differs from its checksum; copy it again (if it was edited "
            f"in place, load it with torch and write it anew)"
        )
    if any(name.endswith("/constants.pkl") for name in names):
        raise ItlError(f"{path} is TorchScript, which is code; write torch.save(net.state_dict(), FILE)")
    if all(name.endswith(".npy") for name in names):
        raise ItlError(f"{path} holds NumPy's arrays; write tensors by name, with torch.save(…, FILE)")


def has_real_values(tensor: Tensor) -> bool:
    """Whether *tensor* has values, real numbers, each at its place in memory."""
    return tensor.layout == torch.strided and not (tensor.is_meta or tensor.is_complex())


def reason_of(error: Exception) -> str:
    """Return what *error* says, on one line and not at length; its type if it says nothing."""
    return " ".join(str(error).split())[:100] or type(error).__name__


def _flattened(content: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of mappings in mappings, their names joined by dots."""
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield from _flattened(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(content, Tensor) and prefix:
        yield prefix, content


def _settings_beside(path: Path) -> dict[str, object]:
    """Return what timm's config.json beside the file *path* says of it: ``arch``, ``mean`` and ``std``."""
    config = read_mapping(path.with_name("config.json"), "copy it again") if path.name in OF_HUB else {}
    colours = config.get("pretrained_cfg")
    arch = {"arch": config["architecture"]} if "architecture" in config else {}
    return (dict(colours) if isinstance(colours, Mapping) else {}) | arch


def _settings(content: object) -> dict[str, object]:
    """Return the settings that a training script wrote beside tensors; see `read_file`."""
    if not isinstance(content, Mapping):
        return {}
    args = content.get("args") or content.get("hyper_parameters")  # of timm's and Lightning's checkpoints
    settings = vars(args) if isinstance(args, argparse.Namespace) else args
    arch = {"arch": content["arch"]} if "arch" in content else {}
    return (dict(settings) if isinstance(settings, Mapping) else {}) | arch
