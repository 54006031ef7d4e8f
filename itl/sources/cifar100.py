"""CIFAR-100 through torchvision, with the wnids of those classes that ILSVRC has too."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from itl import ItlError, pick
from itl.sources.records import Record

# The meaning that CIFAR's pictures have: keyboard is the computer's, tank the army's, lamp the furniture.
# Left out, so that they stay plain names, are classes that ILSVRC's tree has only under another meaning (cup,
# a punch; mouse, the computer's; plate, a meal; possum, the Australian one) or only as "person".
TABLE = """
    apple=n07739125 bear=n02131653 beaver=n02363005 bed=n02818832 bee=n02206856 beetle=n02164464
    bicycle=n02834778 bottle=n02876657 bowl=n02880940 bridge=n02898711 bus=n02924116 butterfly=n02274259
    camel=n02437136 can=n02946921 castle=n02980441 cattle=n02402425 chair=n03001627 chimpanzee=n02481823
    clock=n03046257 cockroach=n02233338 couch=n04256520 crab=n01976957 crocodile=n01697178
    dinosaur=n01699831 dolphin=n02068974 elephant=n02503517 fox=n02118333 hamster=n02342885
    house=n03544360 kangaroo=n01877134 keyboard=n03085013 lamp=n03636649 lawn_mower=n03649909
    leopard=n02128385 lion=n02129165 lizard=n01674464 lobster=n01982650 motorcycle=n03790512
    mountain=n09359803 mushroom=n07734744 orange=n07747607 orchid=n12041446 otter=n02444819
    pickup_truck=n03930630 porcupine=n02346627 rabbit=n02324045 ray=n01495701 rocket=n04099429
    seal=n02076196 shark=n01482330 skunk=n02445715 snail=n01944390 snake=n01726692 spider=n01772222
    squirrel=n02355227 streetcar=n04335435 sweet_pepper=n07720615 table=n04379243 tank=n04389033
    telephone=n04401088 television=n04404412 tiger=n02129604 tractor=n04465501 train=n04468005
    turtle=n01662784 wardrobe=n04550184 whale=n02062744 wolf=n02114100 worm=n01922303
"""
WNIDS = dict(pair.split("=") for pair in TABLE.split())


@dataclass(frozen=True)
class Cifar100:
    """CIFAR-100's 32-pixel images, in the folder that torchvision keeps them in."""

    path: Path
    download: bool = False                  # let torchvision fetch it (169 MB) where it is missing
    plain: str = "keep"                     # keep or drop: what to do about the 31 classes without a wnid
    kind = "cifar100"

    def records(self) -> list[Record]:
        """One record for each image, sorted by id, in the splits train and test that the authors made."""
        pick({"keep": 0, "drop": 0}, self.plain, "way with plain classes")
        found = []
        for split in ("train", "test"):
            data = _load(str(self.path), split == "train", self.download)
            names = [data.classes[target] for target in data.targets]
            found += [Record(f"{split}/{name}/{number:05d}", WNIDS.get(name, name), split, (number,))
                      for number, name in enumerate(names) if self.plain == "keep" or name in WNIDS]
        return sorted(found, key=lambda record: record.id)

    def read(self, record: Record) -> np.ndarray:
        """Return the pixels of *record*: uint8 (32, 32, 3)."""
        return _load(str(self.path), record.split == "train", self.download).data[record.place[0]]


@lru_cache(maxsize=4)
def _load(path: str, train: bool, download: bool) -> object:
    """Load one split, once for each process: a source that kept it would be pickled with 150 MB."""
    from torchvision.datasets import CIFAR100

    try:
        return CIFAR100(path, train=train, download=download)
    except (RuntimeError, OSError) as error:
        raise ItlError(
            f"no whole CIFAR-100 in {path} ({type(error).__name__}: {error}); give the folder that holds "
            f"{CIFAR100.base_folder}, or set the option download=true"
        ) from error
