"""A target of the demo world: new kinds of what lies under some WordNet nodes, near to some classes only."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from itl import ItlError
from itl.hierarchy.taxonomy import Taxonomy
from itl.sources.records import Record
from itl.sources.synthetic.appearance import Appearances
from itl.sources.synthetic.classes import RenderedSource, class_image
from itl.sources.synthetic.shapes import random_stream


@dataclass(frozen=True)
class DemoKinds(RenderedSource):
    """Images of *classes* new leaves under the nodes *under*, rendered as those of source demo.

    The leaves are spread over the families (the parents of ILSVRC leaves) under these nodes. They are not in
    the tree, so no net was pre-trained on them. A class is named by the wnid of its family and a number, as
    n01524359-0, so that its position in the tree is known.
    """

    under: str = "n01503061"  # wnids of inner nodes, with commas between them; this is bird
    classes: int = 8
    train: int = 40
    test: int = 100
    kind = "demo-kinds"
    most_classes = 100  # more siblings cannot be told apart in a small image

    def __post_init__(self) -> None:
        """Raise ItlError for settings that cannot be drawn."""
        super().__post_init__()
        for node in self.under.split(","):
            synset = Taxonomy.snapshot()[node]
            if not Taxonomy.snapshot().children(synset.wnid):
                parent = Taxonomy.snapshot().parent(synset.wnid)
                raise ItlError(
                    f"source {self.kind} draws new leaves under inner nodes of the tree, and {node} "
                    f"({synset.name}) is a leaf; give its parent {parent}"
                )

    @cached_property
    def families(self) -> dict[str, str]:
        """The parent of each class, by the name of the class."""
        tree, nodes = Taxonomy.snapshot(), set(self.under.split(","))
        paths = [tree.path(leaf) for leaf in tree.leaves]
        parents = {path[1] for path in paths if not nodes.isdisjoint(path[1:])}
        ordered = sorted(parents, key=lambda wnid: tree.path(wnid)[::-1])
        chosen = [ordered[len(ordered) * number // self.classes] for number in range(self.classes)]
        names = [f"{family}-{chosen[:number].count(family)}" for number, family in enumerate(chosen)]
        return dict(zip(names, chosen, strict=True))

    @property
    def class_names(self) -> dict[str, str]:
        """Words for the classes."""
        tree = Taxonomy.snapshot()
        return {name: f"new {tree.class_name(family)}" for name, family in self.families.items()}

    @cached_property
    def _genes(self) -> dict[str, np.ndarray]:
        appearances = Appearances(Taxonomy.snapshot(), self.seed)
        return {name: appearances.new_leaf(family, name) for name, family in self.families.items()}

    @property
    def names(self) -> list[str]:
        """The classes, sorted."""
        return sorted(self.families)

    def read(self, record: Record) -> np.ndarray:
        """Render the image of *record*: uint8 (size, size, 3), a pure function of the seed and its id."""
        random = random_stream("demo kind", self.seed, record.id)
        return class_image(self._genes[record.wnid], self.size, random)
