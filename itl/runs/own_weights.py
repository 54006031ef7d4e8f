"""Weights that already exist, as conditions of a question: from a hub by name, or from a file."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from itl.errors import ItlError
from itl.machine import Machine, in_project
from itl.settings import spec_of
from itl.specs import IMAGENET_MEAN, IMAGENET_STD, Weights, file_digest

if TYPE_CHECKING:  # torch is imported where weights are read
    from torch import Tensor

log = logging.getLogger(__name__)

# Names with the SHA-256 of the file: of torch.hub (resnet18-f37072fd.pth; digits alone
# are a date or a step), and of blobs in the cache of Hugging Face, to which its files link.
HASH_IN_NAME = re.compile(r".*-(?=\d*[a-f])([0-9a-f]{8})\.pth|([0-9a-f]{8})[0-9a-f]{56}")


@dataclass(frozen=True)
class Entry:
    """An entry of ``weights``, as presets hold it; text stands for its net alone.

    Weights of a hub, timm:NAME[.TAG] or torchvision:NAME[.WEIGHTS], say themselves how images are normalised,
    how large they were and what the net was trained on; a file of them may stand in for the network. For
    another file, what is left out is: ImageNet's normalisation, the pixels of the question's recipe, and that
    it is not known what the net was trained on.
    """

    net: str
    file: str = ""  #: in the project's folder, if relative
    name: str = ""  #: as results show it
    trained_on: str = ""
    pixels: int | None = None  #: side of the images that the frozen net sees
    mean: tuple[float, float, float] | None = None  #: that the net expects to be subtracted, RGB from 0 to 1
    std: tuple[float, float, float] | None = None
    entry: str = ""  #: of the file, where it holds several nets
    in_order: bool = False  #: the file's tensors are the net's in the same order, by other names
    bgr: bool = False  #: the net was trained on images of blue, green and red, as by Caffe and OpenCV


@dataclass(frozen=True)
class OwnWeights:
    """Weights as a condition has them: what runs depend on, and what people want to know beside."""

    weights: Weights
    net: str  #: their architecture, as `itl.training.nets.build` takes it
    name: str
    file: str  #: '': the library fetches them
    trained_on: str
    pixels: int | None  #: None: those of the question's recipe
    has_own_colours: bool = False  #: the mean or std was given, whatever the file says

    @classmethod
    def read(cls, value: object) -> "OwnWeights":
        """Make them of an entry of ``weights``: text, a mapping, or what was made before.

        ItlError if the file is not there, or no such weights are published.
        """
        from itl.training.hubs import HUBS, Published, architecture, published  # here: it imports torch

        if isinstance(value, OwnWeights):
            return value
        entry = spec_of(Entry, value if isinstance(value, Mapping) else {"net": value}, "weights")
        library, _, name = entry.net.rpartition(":")
        is_published = not entry.file or (library in HUBS and "." in name)
        unsaid = Published(entry.net, None, IMAGENET_MEAN, IMAGENET_STD, "not said")
        known = published(entry.net) if is_published else unsaid
        file = str(in_project(entry.file)) if entry.file else ""
        if file and not Path(file).is_file():
            what = "a folder" if Path(file).is_dir() else "not there"
            raise ItlError(f"the weights {file} are {what}; give a .safetensors, .pth or .pt file")
        digest = _digest_of(file) if file else ""
        mean, std = entry.mean or known.mean, entry.std or known.std
        weights = Weights(known.net, digest, entry.entry, entry.in_order, mean, std, entry.bgr)
        if entry.pixels is not None and entry.pixels < 1:
            raise ItlError(
                f"pixels of weights should be above 0, not {entry.pixels}; left out, the recipe's are taken"
            )
        trained_on, pixels = entry.trained_on or known.trained_on, entry.pixels or known.pixels
        shown = entry.name or (known.net if is_published else Path(file).name)
        given = entry.mean is not None or entry.std is not None
        return cls(weights, architecture(entry.net), shown, file, trained_on, pixels, given)

    def keep(self, machine: Machine, pixels: int) -> None:
        """Read the weights, once, into `machine.weights`, where runs find them; *pixels* are the recipe's."""
        from itl.training.checkpoint import save_tensors
        from itl.training.weights import kept_file

        path = kept_file(self.weights, machine.weights)
        if not path.exists():
            known = {"name": self.name, "file": self.file, "trained_on": self.trained_on}
            save_tensors(path, self._body(pixels), known)

    def check(self, machine: Machine, pixels: int) -> None:
        """Refuse what `keep` or a run would, before anything runs; those of a hub are fetched by runs."""
        from itl.training.weights import check_kept, kept_file

        if kept_file(self.weights, machine.weights).exists():
            check_kept(self.net, self.weights, machine.weights, self.pixels or pixels)
        elif self.file:
            self._body(pixels)

    def _body(self, pixels: int) -> "dict[str, Tensor]":
        """Read the tensors of the net's body; see `keep`."""
        from itl.training.hubs import fetch
        from itl.training.weight_claims import colour_tensors, refuse_other_colours, refuse_other_net
        from itl.training.weight_files import read_file
        from itl.training.weights import body_tensors

        log.info(f"reading the weights {self.name}")
        if self.file and file_digest(self.file) != self.weights.digest:
            raise ItlError(f"{self.file} has changed since the question was asked; repeat the command")
        tensors, settings = read_file(Path(self.file)) if self.file else (fetch(self.weights.net), {})
        source, pixels = Path(self.file or self.weights.net), self.pixels or pixels
        colours = colour_tensors(tensors)
        layers = {name: tensor for name, tensor in tensors.items() if name not in colours}
        body = body_tensors(self.net, layers, self.weights, pixels, source)
        if not self.has_own_colours:
            refuse_other_colours(colours, settings, self.weights, source)
        refuse_other_net(self.net, body, settings, pixels, source)
        return body


def _digest_of(file: str) -> str:
    """Return the digest of *file*; ItlError if its name has another."""
    digest = file_digest(file)
    for name in (Path(file).name, Path(file).resolve().name):
        named = HASH_IN_NAME.fullmatch(name)
        if named and digest not in named.groups():
            raise ItlError(
                f"{file} is damaged, or not what its name says: its SHA-256 begins with {digest}, not "
                f"{named[1] or named[2]}; copy it again, or rename it if you wrote it anew"
            )
    return digest
