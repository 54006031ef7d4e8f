"""Leakage: test images of a target that nets have seen, in pre-training or in the target's own training."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from itl.evaluation.methods import METHODS
from itl.evaluation.target import multilabel_target, target_of
from itl.hierarchy.taxonomy import Taxonomy
from itl.packs.counts import ImageCounts
from itl.packs.duplicates import (
    across_splits,
    between,
    between_rows,
    count_text,
    is_compared,
    seen_images,
)
from itl.packs.pack import Pack, scored_split
from itl.packs.subset import class_contents
from itl.runs.design import Run
from itl.specs import Pretrain, Subset, Transfer
from itl.words import counted

log = logging.getLogger(__name__)

LEAKED_SHARE = 0.01  # of the images that are scored


@dataclass(frozen=True)
class Leakage:
    """The duplicates of the images that a target is scored on; tables as `itl.packs.duplicates` has them."""

    target: str
    split: str
    images: int
    own: pd.DataFrame  # in its other splits; for val, in its training images
    pretraining: pd.DataFrame  # in the pre-training images; empty for their own validation
    left_out: bool = False  # of pre-training, those that are in its images

    def __bool__(self) -> bool:
        """Whether there are any duplicates that nets may learn from."""
        return self.scored > 0

    @cached_property
    def scored(self) -> int:
        """How many of the images that are scored have a duplicate that nets may learn from."""
        seen = () if self.left_out else self.pretraining["other"]
        return len({*self.own["other"], *seen})

    @property
    def only_own(self) -> bool:
        """Whether nets may learn from them on the target alone, and not in pre-training."""
        return self.left_out or self.pretraining.empty

    @property
    def share(self) -> float:
        """What share of the images that are scored that is."""
        return self.scored / max(1, self.images)

    @property
    def matters(self) -> bool:
        """Whether so many images that are scored have been seen that a score means less."""
        return bool(self) and self.share >= LEAKED_SHARE

    def __str__(self) -> str:
        """Return the counts in words."""
        return (
            f"of {counted(self.images, f'{self.split} images')} of {self.target}, "
            f"{count_text(self.pretraining)} are in the pre-training images"
            f"{' and left out there' * self.left_out}, {count_text(self.own)} in its "
            f"{'training images' if self.split == 'val' else 'other splits'}"
        )


def find_leakage(packs: Mapping[str, Pack], left_out: bool = False) -> list[Leakage]:
    """Compare the images that each target is scored on with those that nets learn from, called images.

    Of images itself, both are compared: val, which own classes are scored on, and what a target is scored on.
    With *left_out* pre-training leaves the duplicates of targets out.
    """
    pretraining, leaks = packs["images"], []
    for name, pack in packs.items():
        counts, scored = pack.summary["splits"], scored_split(pack.summary["splits"])
        splits = [split for split in ("val", "test") if split == scored or pack is pretraining]
        for split in (split for split in splits if split in counts):
            if not is_compared(pretraining, "train", pack.digest, split):
                log.info(f"looking for the {split} images of {name} among the training images, once")
            own = across_splits(pack)
            own = own[own["other_split"] == split]
            seen = own[:0] if pack is pretraining else between(pretraining, "train", pack, split)
            leaks.append(Leakage(name, split, counts[split], own, seen, left_out and split == scored))
    return leaks


class RunLeakage:
    """What of the images that each run is scored on its net may have seen; nothing where a pack is not built.

    A run is scored on the images of the classes that its labels keep, and may learn from some of the training
    images. Of the pre-training images, any may have been seen: which ones a net drew is not looked at.
    """

    def __init__(self, leaks: Sequence[Leakage], packs: Mapping[str, Pack], tree: Taxonomy) -> None:
        """Take the *leaks* of `find_leakage`, for runs on *packs* whose labels are made from *tree*."""
        self.leaks = list(leaks)
        self._packs, self._tree = packs, tree
        self._known: dict[tuple, Leakage] = {}  # by what it depends on

    def scored(self, run: Run) -> int | None:
        """Return how many of the images that *run* is scored on; None where a pack is not built."""
        leak = self.of(run)
        return None if leak is None else leak.scored

    def of(self, run: Run) -> Leakage | None:
        """Return that of *run*; None where a pack is not built."""
        spec, target = run.spec, "images" if run.task == "own" else run.target
        leaks = {leak.split: leak for leak in self.leaks if leak.target == target}
        leak = leaks.get("val" if run.task == "own" else scored_split(leaks))
        if not leak:  # none, or nothing is seen
            return leak
        if isinstance(spec, Transfer):
            of_classes = Subset("", spec.labels, tree=spec.tree)
            learned = (spec.method, spec.images_per_class, spec.seed) if spec.images_per_class else ()
        else:
            of_classes = replace(spec.subset, images_per_class=None, at_most=False)
            learned = ()
        known = target, leak.split, of_classes, learned
        if known not in self._known:
            leak = self._of_classes(leak, of_classes)
            if isinstance(spec, Pretrain) and leak.left_out and spec.subset.pack in spec.subset.without:
                leak = replace(leak, own=leak.own[:0])  # left out of its training images
            if isinstance(spec, Transfer) and learned and len(leak.own):
                leak = self._of_few(leak, spec)
            self._known[known] = leak
        return self._known[known]

    def by_task(self, runs: Iterable[Run]) -> dict[str, Leakage]:
        """Return for each task the worst of its *runs*, by the share of their images that are seen."""
        worst: dict[str, Leakage] = {}
        for run in runs if any(self.leaks) else ():
            leak = self.of(run)
            if leak and (run.task not in worst or leak.share > worst[run.task].share):
                worst[run.task] = leak
        return worst

    def _of_classes(self, leak: Leakage, subset: Subset) -> Leakage:
        """Return the part of *leak* in the classes that *subset* keeps."""
        if replace(subset, pack="", seed=0, without=()) == Subset(""):  # all, also annotated images
            return leak
        table = self._packs[leak.target].table
        train = Counter(table.loc[table["split"] == "train", "wnid"])
        kept = {wnid for wnids, _ in class_contents(self._tree, train, subset) for wnid in wnids}
        images = table.loc[(table["split"] == leak.split) & table["wnid"].isin(kept), "image"]
        own, pretraining = (part[part["other"].isin(images)] for part in (leak.own, leak.pretraining))
        return replace(leak, images=len(images), own=own, pretraining=pretraining)

    def _of_few(self, leak: Leakage, spec: Transfer) -> Leakage:
        """Return *leak* without what is not among the few images of each class that *spec* learns from."""
        pack = self._packs[leak.target]
        annotated = METHODS[spec.method].annotated
        made = multilabel_target(spec, pack) if annotated else target_of(spec, pack, self._tree)
        images, rows = pack.table["image"], made.train.rows
        learned = rows[images.iloc[rows].isin(leak.own["image"])]
        scored = np.flatnonzero(images.isin(leak.own["other"]))
        # The table has the nearest of all training images, which need not be among the few.
        own = between_rows(pack, learned, pack, scored) if len(learned) else leak.own[:0]
        return replace(leak, own=own)


def size_without(size: ImageCounts, packs: Mapping[str, Pack], digests: Sequence[str]) -> ImageCounts:
    """Return *size*, of the pack called images, without what targets are scored on.

    The targets are the packs with *digests*, which are among *packs*.
    """
    find_leakage(packs)  # it keeps tables of duplicates beside the packs
    pretraining = packs["images"]
    table = pretraining.table[pretraining.table["split"] == "train"]
    # Read back from there, as runs do: a folder that keeps none is refused here, not by the first run.
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
