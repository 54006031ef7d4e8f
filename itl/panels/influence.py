"""InfluencePanel: the target's images that a node of the tree helped and hurt most, beside the browser."""

from functools import cached_property

import ipywidgets
import pandas as pd
import traitlets

from itl.analysis.image_effects import CorrectImages, images_scored
from itl.analysis.influence import LARGEST
from itl.analysis.tables import both_ends
from itl.analysis.wording import signed, signed_interval, task_name
from itl.browser.widget import HierarchyBrowser
from itl.errors import ItlError
from itl.machine import Machine
from itl.packs.paths import open_packed
from itl.packs.thumbnails import Gallery
from itl.panels.panel import MOST_NODES, Panel, captioned
from itl.report.html import render
from itl.runs.design import Task
from itl.runs.question import Question
from itl.runs.store import Store

PICTURES_OF_A_KIND = 8  # helped, or hurt


class InfluencePanel(Panel):
    """The effect of a node on a target, and on which of its images.

    Args:
        question: an influence whose runs are done.
        effects: of it, from `itl.analysis.influence.effects`.
        browser: the panel follows the node that is looked at there.
        machine: that holds the runs; by default this one.

    Raises:
        ItlError: there is no effect.
    """

    node = traitlets.Unicode(help="a wnid; first the most helpful")
    settings = ("node",)

    def __init__(
        self,
        question: Question,
        effects: pd.DataFrame,
        browser: HierarchyBrowser | None = None,
        machine: Machine | None = None,
    ) -> None:
        if effects.empty:
            raise ItlError("effects has no node, so there is nothing to show; run more halves of the classes")
        self.question, self.effects, self._task = question, effects.set_index("node"), effects["task"].iloc[0]
        self.machine = machine or Machine.from_environment()
        trees = [question.tree(self.machine), *([browser.tree] if browser is not None else [])]
        self._names = {wnid: tree.class_name(wnid) for tree in trees for wnid in tree}
        self._names |= self.effects["name"].to_dict()
        super().__init__()
        self.node = effects["node"].iloc[-1]
        if browser is not None:
            browser.on_show(lambda wnid: setattr(self, "node", wnid))

    @traitlets.validate("node")
    def _a_node(self, proposal: dict) -> str:
        node = proposal["value"]
        if node not in self._names:
            raise ItlError(f"no node {node!r} in the tree; InfluencePanel.nodes() lists those with an effect")
        return node

    @cached_property
    def scored(self) -> CorrectImages:
        """The target's images that nets get right; runs are read on first use."""
        return images_scored(self.question, Store(self.machine.runs), self.machine, self._task)

    def images(self) -> pd.DataFrame:
        """Return the target's images, the most hurt by `node` first: see `CorrectImages.effects`.

        ItlError if `node` has no effect of its own.
        """
        if self.node not in self.effects.index:
            reason = f"it has over {100 * LARGEST:g} % of the classes, none, or those of a node below"
            raise ItlError(f"{self._words} has no effect of its own: {reason}; choose one of the list")
        return self.scored.effects(self.node)

    @property
    def _words(self) -> str:
        return f"{self._names[self.node]} ({self.node})"

    @cached_property
    def _gallery(self) -> Gallery:
        """The images of the target."""
        name = Task.read(self._task).target
        return Gallery(open_packed(self.question.packings()[name], name, self.machine))

    def html(self) -> str:
        """Write the picture: the node's effect, and two rows of images."""
        images, row = self.images(), self.effects.loc[self.node]
        return render(
            "influence_panel.html.j2",
            node=self._words,
            task=task_name(self._task),
            effect=f"{signed_interval(row['effect'], row['low'], row['high'])} points: {row['verdict']}",
            helped=self._thumbnails(images[images["effect"] > 0].tail(PICTURES_OF_A_KIND)[::-1]),
            hurt=self._thumbnails(images[images["effect"] < 0].head(PICTURES_OF_A_KIND)),
        )

    def _thumbnails(self, images: pd.DataFrame) -> list[tuple[str, str, str]]:
        """Return a data URL, words and a caption of each of *images*."""
        captions = [f"{signed(row.effect)} ± {row.standard_error:.0f}" for row in images.itertuples()]
        return captioned(self._gallery, images, captions)

    def nodes(self, text: str = "") -> list[tuple[str, str]]:
        """List nodes whose name has *text*, or whose wnid it is, and the chosen one: words and wnid.

        The most helpful is the first, the most harmful the last. Where none has the text, the line says so.
        """
        effects, text = self.effects[::-1], text.strip()
        named = effects["name"].str.contains(text, case=False, regex=False) | (effects.index == text)
        rows = both_ends(effects[named | (effects.index == self.node)], MOST_NODES // 2).itertuples()
        none = "" if named.any() else f"no node has {text!r} in its name; "
        lines = [(f"{row.name}: {signed(row.effect)}, {row.verdict}", row.Index) for row in rows]
        if self.node not in effects.index:
            lines.append((f"{self._words}: no effect of its own", self.node))
        return [(none + words, wnid) for words, wnid in lines]

    def controls(self) -> list[ipywidgets.Widget]:
        """Make the controls: a node, and a text that its name has, or its wnid."""
        return self.search("node", "node", self.nodes)
