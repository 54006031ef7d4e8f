"""CIFAR-100 through torchvision, with the wnids of those classes that ILSVRC has too."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from itl import ItlError, pick
from itl.sources.records import Record
from itl.sources.source import Source

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR100

# Each name in the sense of CIFAR's images: the computer keyboard, the army tank, the lamp as furniture. Other
# classes stay plain names: ILSVRC's tree has them only in another sense (cup: a punch; mouse: the computer's;
# plate: a meal; possum: the Australian one) or only as "person".
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
class Cifar100(Source):
    """CIFAR-100, 32 × 32 pixels, in the folder where torchvision keeps it."""

    path: Path
    download: bool = False  # let torchvision download it (169 MB) if it is missing
    plain: str = "keep"  # keep or drop: the 31 classes without a wnid
    kind = "cifar100"
    expected = "the folder that contains cifar-100-python; the option download=true downloads it"

    def records(self) -> list[Record]:
        """Return one record for each image, sorted by id, in the published splits train and test."""
        pick(dict.fromkeys(("keep", "drop")), self.plain, "value of the option plain")
        records = []
        for split in ("train", "test"):
            data = _load(str(self.path), split == "train", self.download)
            for number, target in enumerate(data.targets):
                name = data.classes[target]
                if self.plain == "keep" or name in WNIDS:
                    records.append(Record(f"{split}/{name}/{number:05d}", WNIDS.get(name, name), split))
        return sorted(records, key=lambda record: record.id)

    def read(self, record: Record) -> np.ndarray:
        """Return the pixels of *record*: uint8 (32, 32, 3)."""
        number = int(record.id.rpartition("/")[2])
        return _load(str(self.path), record.split == "train", self.download).data[number]


@lru_cache(maxsize=4)
def _load(path: str, train: bool, download: bool) -> "CIFAR100":
    """Load one split, once per process: kept in the source, its 150 MB would be pickled with it."""
    from torchvision.datasets import CIFAR100

    try:
        return CIFAR100(path, train=train, download=download)
    except (RuntimeError, OSError) as error:
        raise ItlError(
            f"no complete CIFAR-100 in {path} ({type(error).__name__}: {error}); give the folder that "
            f"contains {CIFAR100.base_folder}, or set the option download=true"
        ) from error
