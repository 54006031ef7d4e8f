"""InfluencePanel: the target's images that a node of the tree helped and hurt most, beside the browser."""

from functools import cached_property

import ipywidgets
import pandas as pd
import traitlets

from itl import ItlError
from itl.analysis.influence import images_of_target
from itl.analysis.wording import interval, signed, task_name
from itl.browser.widget import HierarchyBrowser
from itl.machine import Machine
from itl.packs.paths import pack_for
from itl.packs.thumbnails import Gallery
from itl.panels.panel import WIDE, Panel
from itl.report.html import render
from itl.runs.question import Question, Task
from itl.runs.store import Store

PICTURES = 8  # of each kind


class InfluencePanel(Panel):
    """What a node does for a target, and on which of its images.

    Args:
        question: an influence whose runs are done.
        effects: of it, from `itl.analysis.influence.effects`.
        browser: the panel follows the node that is looked at there.
        machine: that holds the runs; by default this one.
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
        self.question, self.effects = question, effects.set_index("node")
        self.machine = machine or Machine.from_environment()
        self._images: dict[str, pd.DataFrame] = {}
        super().__init__()
        self.node = effects["node"].iloc[-1]
        if browser is not None:
            browser.on_show(lambda wnid: setattr(self, "node", wnid))

    def images(self) -> pd.DataFrame:
        """Return the target's images, the most hurt by `node` first, as `images_of_target` does."""
        if self.node not in self.effects.index:
            raise ItlError(
                f"{self.node} has no effect of its own: it has all classes, none, or those of a node below; "
                "choose one of the list"
            )
        if self.node not in self._images:
            store = Store(self.machine.runs)
            table = images_of_target(self.question, store, self.machine, self.node, self._task)
            self._images[self.node] = table
        return self._images[self.node]

    @property
    def _task(self) -> str:
        return self.effects["task"].iloc[0]

    @cached_property
    def _gallery(self) -> Gallery:
        """The images of the target."""
        name = Task.read(self._task).target
        return Gallery(pack_for(self.question.packings()[name], name, self.machine))

    def html(self) -> str:
        """Write the picture: the node's effect, and two rows of images."""
        images, row = self.images(), self.effects.loc[self.node]
        return render(
            "influence_panel.html.j2",
            node=f"{row['name']} ({self.node})",
            task=task_name(self._task),
            effect=f"{signed(row['effect'])} points ({interval(row['low'], row['high'])}): {row['verdict']}",
            helped=self._pictures(images[images["effect"] > 0].tail(PICTURES)[::-1]),
            hurt=self._pictures(images[images["effect"] < 0].head(PICTURES)),
        )

    def _pictures(self, images: pd.DataFrame) -> list[tuple[str, str, str]]:
        """Return a data URL, words and a caption of each of *images*."""
        urls = self._gallery.urls(images["row"].to_numpy())
        captions = [f"{signed(row.effect)} ± {row.standard_error:.0f}" for row in images.itertuples()]
        words = [f"{image}: {text}" for image, text in zip(images["image"], captions, strict=True)]
        return list(zip(urls, words, captions, strict=True))

    def controls(self) -> list[ipywidgets.Widget]:
        """Make the control: a node, the most helpful first."""
        node = ipywidgets.Dropdown(description="node", **WIDE)
        rows = self.effects[::-1].itertuples()
        options = [(f"{row.name}: {signed(row.effect)}, {row.verdict}", row.Index) for row in rows]
        self.bind(node, "node", lambda: options)
        return [node]
