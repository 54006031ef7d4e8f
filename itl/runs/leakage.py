"""Leakage: test images of a target that nets have seen, in pre-training or in the target's own training."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from itl import counted
from itl.hierarchy.taxonomy import Taxonomy
from itl.packs.duplicates import across_splits, between, count_text, seen_images, table_path
from itl.packs.pack import Pack, scored_split
from itl.packs.paths import Size

log = logging.getLogger(__name__)

LEAKED_SHARE = 0.01  # of the images that are scored


@dataclass(frozen=True)
class Leakage:
    """The duplicates of the images that a target is scored on; tables as `itl.packs.duplicates` has them."""

    target: str
    split: str
    images: int
    own: pd.DataFrame  # in its other splits
    pretraining: pd.DataFrame  # in the pre-training images; empty for their own validation
    left_out: bool = False  # of pre-training, those that are in its images

    def __bool__(self) -> bool:
        """Whether there are any duplicates that nets may learn from."""
        return self.scored > 0

    @property
    def scored(self) -> int:
        """How many of the images that are scored have a duplicate that nets may learn from."""
        seen = () if self.left_out else self.pretraining["other"]
        return len({*self.own["other"], *seen})

    @property
    def matters(self) -> bool:
        """Whether so many images that are scored have been seen that a score means less."""
        return bool(self) and self.scored >= LEAKED_SHARE * self.images

    def __str__(self) -> str:
        """Return the counts in words."""
        return (
            f"of {counted(self.images, f'{self.split} images')} of {self.target}, "
            f"{count_text(self.pretraining)} are in the pre-training images"
            f"{' and left out there' * self.left_out}, {count_text(self.own)} in its other splits"
        )


def find_leakage(packs: Mapping[str, Pack], left_out: bool = False) -> list[Leakage]:
    """Compare the images that each target is scored on with those that nets learn from, called images.

    With *left_out* pre-training leaves the duplicates of targets out.
    """
    pretraining, leaks = packs["images"], []
    for name, pack in packs.items():
        split = scored_split(pack.summary["splits"])
        if split not in pack.summary["splits"]:
            continue
        if not table_path(pretraining, "train", pack, split).exists():
            log.info(f"looking for the {split} images of {name} among the training images, once")
        own = across_splits(pack)
        own = own[own["other_split"] == split]
        seen = own[:0] if pack is pretraining else between(pretraining, "train", pack, split)
        leaks.append(Leakage(name, split, pack.summary["splits"][split], own, seen, left_out))
    return leaks


def size_without(size: Size, packs: Mapping[str, Pack], digests: Sequence[str]) -> Size:
    """Return *size*, of the pack called images, without what targets are scored on.

    The targets are the packs with *digests*, which are among *packs*.
    """
    find_leakage(packs)  # compares them, where they were not compared before
    pretraining = packs["images"]
    table = pretraining.table[pretraining.table["split"] == "train"]
    seen = table["image"].isin(seen_images(pretraining, digests))
    left_out = Counter(table.loc[seen, "wnid"])
    train = {wnid: count - left_out[wnid] for wnid, count in size.train.items()}
    return replace(size, train=train, splits={**size.splits, "train": sum(train.values())})


def known_of_leakage(weights: str, trained_on: str, packs: Mapping[str, Pack]) -> str:
    """Say what is known of the test images of *packs* that published *weights* have seen.

    Not which, but how many of their classes, where they were *trained_on* ImageNet-1k.
    """
    text = f"trained on {trained_on}; which test images {weights} has seen is not known"
    if "ImageNet-1k" not in trained_on:
        return text
    imagenet, shared = set(Taxonomy.snapshot().leaves), []
    for name, pack in packs.items():
        classes = set(pack.table["wnid"])
        if count := len(classes & imagenet):
            shared.append(f"{count} of the {len(classes)} classes of {name}")
    return f"{text}; {', '.join(shared) or 'no class here by its wnid'} are among its 1000 classes"
