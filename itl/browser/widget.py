"""HierarchyBrowser: the tree of classes to browse, cut and select from, with the images of a pack."""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path

import traitlets
from anywidget import AnyWidget
from IPython import get_ipython
from IPython.display import display, update_display

from itl import ItlError
from itl.browser.choice import Choice
from itl.browser.preset import as_yaml, save
from itl.browser.static_html import picture, words
from itl.browser.summary import facts
from itl.browser.tree_columns import columns, rounds, script, style
from itl.hierarchy.label_sets import label_set
from itl.hierarchy.taxonomy import Taxonomy
from itl.hierarchy.voc_classes import PASCAL
from itl.machine import project_folder
from itl.packs.pack import Pack
from itl.packs.subset import SubsetCounts, count_subset
from itl.packs.thumbnails import Gallery
from itl.presets import load_preset
from itl.runs.question import UNPACKED
from itl.specs import Subset

OPEN_AT_FIRST = 3                           # nodes at lesser depths are open


class HierarchyBrowser(AnyWidget):
    """Browse *tree*, the 1000 classes of ILSVRC-2012 if none is given, with the images of *pack*.

    What is chosen is a Subset: `browser.subset`, which may be set too. *preset* is whose recipe and targets a
    saved preset takes over.

    >>> browser = HierarchyBrowser()
    >>> browser.subset = Subset("", "bottom-up@9+without@n02084071")
    >>> browser.kept.offered
    486
    """

    _esm = script()
    _css = style()
    _columns = traitlets.Dict().tag(sync=True)
    _rounds = traitlets.List().tag(sync=True)
    _pascal = traitlets.List().tag(sync=True)
    _choice = traitlets.Dict().tag(sync=True)
    _asked = traitlets.Int(0).tag(sync=True)
    _summary = traitlets.Dict().tag(sync=True)
    _colours = traitlets.Dict().tag(sync=True)
    _opened = traitlets.List().tag(sync=True)
    _shown = traitlets.Unicode("").tag(sync=True)

    def __init__(self, pack: Pack | None = None, tree: Taxonomy | None = None, preset: str = "demo") -> None:
        """Lay out the tree; the page takes it from there."""
        self.pack, self.preset = pack, preset
        self.gallery = Gallery(pack) if pack is not None else None
        tree = tree or Taxonomy.snapshot()
        images = self.gallery.counts() if self.gallery else dict.fromkeys(tree.leaves, 0)
        self.images = images
        inside = {wnid: count for wnid, count in images.items() if wnid in tree}
        if set(inside) - set(tree.leaves):
            tree = Taxonomy(map(tree.__getitem__, tree), {*tree.leaves, *inside})
        self.tree, self.wnids = tree, sorted(inside)
        self._display_id, self._summed = None, None
        pascal = set(PASCAL.values())
        place = {wnid: at for at, wnid in enumerate(tree)}
        super().__init__(
            _columns=columns(tree, inside, pack is not None),
            _rounds=rounds(tree, self.wnids),
            _pascal=[place[wnid] for wnid in self.wnids if tree.ancestors(wnid) & pascal],
            _choice=Choice().told(),
            _opened=[wnid for wnid in tree if tree.depth(wnid) < OPEN_AT_FIRST],
        )
        self._place = place
        self._sum_up()
        self.observe(lambda change: self._sum_up(), ["_choice", "_asked"])
        self.observe(lambda change: self._redraw(), ["_summary", "_opened", "_shown", "_colours"])
        self.on_msg(lambda widget, told, buffers: self._answer(told))

    def open(self) -> None:
        """Open the way to the page; where there will be none, its columns are not kept in the notebook."""
        if not _nobody_watches():
            super().open()

    @property
    def choice(self) -> Choice:
        """What is chosen, as it was clicked."""
        return Choice.untold(self._choice)

    @property
    def subset(self) -> Subset:
        """What is chosen, as a Subset; raises ItlError where it is none yet."""
        return self.choice.subset(self.tree, self.wnids, self.pack.digest if self.pack else UNPACKED)

    @subset.setter
    def subset(self, subset: Subset) -> None:
        """Show *subset*; raises ItlError, and shows what it did, where it does not fit this tree."""
        count_subset(self.tree, self.images, subset)
        self._choice = Choice.read(self.tree, subset).told()

    @property
    def kept(self) -> SubsetCounts:
        """What the choice keeps of the pack, or of the tree where there is none."""
        return count_subset(self.tree, self.images, self.subset)

    def show(self, wnid: str) -> None:
        """Open the tree down to *wnid*, and show its images."""
        above = self.tree.path(wnid)[1:]
        self._opened = sorted({*self._opened, *above})
        self._shown = wnid

    def colour(
        self, values: Mapping[str, float], label: str, against: Mapping[str, float] | None = None,
        unit: str = "points",
    ) -> None:
        """Colour nodes by *values*, a number for each wnid (a mapping, or a pandas Series by wnid).

        With *against*, by values − against where both have one. Changes, which are these and all numbers of
        which some are below zero, are coloured from zero either way.
        """
        pairs = {self.tree[wnid].wnid: float(value) for wnid, value in dict(values).items()}
        if against is not None:
            others = {self.tree[wnid].wnid: float(value) for wnid, value in dict(against).items()}
            pairs = {wnid: value - others[wnid] for wnid, value in pairs.items() if wnid in others}
        pairs = {wnid: value for wnid, value in pairs.items() if isfinite(value)}
        if not pairs:
            raise ItlError(f"there is no number to colour a node by in {label!r}; give {{wnid: number}}")
        self._colours = {
            "values": pairs, "label": label, "unit": unit, "low": min(pairs.values()),
            "high": max(pairs.values()), "change": against is not None or min(pairs.values()) < 0,
        }

    def save(self, name: str) -> Path:
        """Write ``params/NAME.yaml``: the question of data size, asked within the selection."""
        folder = project_folder() / "params"
        return save(name, self.subset, self.kept, self.pack, load_preset(self.preset, folder), folder)

    def _sum_up(self) -> None:
        """Count what the choice comes to, for the page and the picture."""
        if self._summed == (self._asked, self._choice):
            return                                              # both come with one click
        self._summed = (self._asked, self._choice)
        told = {"asked": self._asked, "facts": [], "dropped": []}
        try:
            subset = self.subset
            kept = count_subset(self.tree, self.images, subset)
            told["facts"] = facts(self.tree, self.images, kept, self.pack is not None)
            told["yaml"] = as_yaml(subset)
            if self.choice.half or self.choice.classes is not None:
                told["dropped"] = [self._place[wnid] for wnid in self._dropped(subset, kept)]
        except ItlError as error:
            told["problem"] = str(error)
        self._summary = told

    def _dropped(self, subset: Subset, kept: SubsetCounts) -> list[str]:
        """List the classes that only the kernel knows to be left out: by a half, or not picked."""
        parts = [part for part in subset.labels.split("+") if part.startswith("half")]
        halves = (label_set(self.tree, part, self.wnids).class_of for part in parts)
        stay = set(self.wnids).intersection(*halves)
        class_of = label_set(self.tree, subset.labels, list(self.images)).class_of
        unpicked = {wnid for wnid, name in class_of.items() if name not in kept.images}
        return [wnid for wnid in self.wnids if wnid not in stay or wnid in unpicked]

    def _answer(self, told: Mapping[str, object]) -> None:
        """Answer the page: a page of images, or a preset saved. What fails is said in the page."""
        buffers = []
        try:
            if told["kind"] == "images":
                answer, buffers = self._page(told)
            else:
                self._choice = dict(told["choice"])             # the message of the last click may still wait
                answer = {"kind": "saved", "text": f"Saved: itl plan {self.save(told['name']).stem}"}
        except (ItlError, OSError) as error:
            answer = {"kind": "trouble", "about": told["kind"], "pane": told.get("pane"), "text": str(error)}
        self.send(answer, buffers)

    def _page(self, told: Mapping[str, object]) -> tuple[dict[str, object], list[bytes]]:
        if self.gallery is None:
            raise ItlError("no pack was given; HierarchyBrowser(pack=…) shows images")
        wnid = self.tree[told["wnid"]].wnid
        below = {wnid, *self.tree.leaves_under(wnid)}
        page = self.gallery.page(below, int(told["page"]), int(told["seed"]))
        images = [{"id": name, "name": self.tree.class_name(wnid)} for name, wnid, _ in page.images]
        answer = {"kind": "images", "pane": told["pane"], "asked": told["asked"]}
        answer |= {"page": page.number, "pages": page.pages, "total": page.total, "type": page.type}
        answer["images"] = images
        return answer, [file for _, _, file in page.images]

    def _ipython_display_(self) -> None:
        """Show the live browser and, beside it, the picture that stays where nothing runs."""
        if self.comm is None:
            self._display_id = f"itl-browser-{id(self)}"
            display(self._still(), raw=True, display_id=self._display_id)
        else:
            live, _ = self._repr_mimebundle_()
            display(live | self._still(), raw=True)

    def _redraw(self) -> None:
        """Keep the picture at the last state where a notebook is executed and no page follows."""
        if self._display_id is not None:
            update_display(self._still(), raw=True, display_id=self._display_id)

    def _still(self) -> dict[str, str]:
        told = dict(self._summary)
        told["colours"] = self._colours
        told["classes"] = {} if told.get("problem") else self.kept.leaves
        under = None
        if self.pack is not None:
            under = dict.fromkeys(self.tree, 0)
            for wnid in self.wnids:
                for above in self.tree.ancestors(wnid):
                    under[above] += self.images[wnid]
        html = picture(self.tree, self._opened, self._shown, self.choice.unticked, under, told)
        return {"text/plain": words(told), "text/html": html}


def _nobody_watches() -> bool:
    """Whether a notebook is executed by a program: who starts a cell and takes no input has no page."""
    shell = get_ipython()
    kernel = getattr(shell, "kernel", None)
    return kernel is not None and not getattr(kernel, "_allow_stdin", True)
