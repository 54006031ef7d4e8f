"""HierarchyBrowser: the tree of classes to browse, cut and select from, with the images of a pack."""

import json
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd
import traitlets
from anywidget import AnyWidget
from IPython import get_ipython
from IPython.display import DisplayHandle, display

from itl.browser.choice import Choice
from itl.browser.preset import as_yaml, save
from itl.browser.static_html import facts, summary_text, tree_html
from itl.browser.tree_columns import columns, script, style
from itl.errors import ItlError
from itl.hierarchy.label_sets import needs_tree
from itl.hierarchy.taxonomies import open_taxonomy
from itl.hierarchy.taxonomy import Taxonomy
from itl.machine import project_folder
from itl.notes import warn
from itl.packs.pack import Pack
from itl.packs.subset import MAX_LABELS_SHOWN, SubsetCounts, count_subset
from itl.packs.thumbnails import Gallery
from itl.presets import load_preset
from itl.report.html import PAGE_TYPE, render
from itl.runs.design import UNPACKED
from itl.specs import Subset
from itl.storage import write_text
from itl.words import shortened

# What the page reads of the widget.
PAGE_FIELDS = ("columns", "_choice", "_revision", "summary", "colours", "opened", "_shown")
OPEN_DEPTH = 3  # nodes at lesser depths are open at first


class HierarchyBrowser(AnyWidget):
    """Browse a tree of classes, cut it and select from it; the selection is a Subset.

    Args:
        pack: a Pack or its folder, whose images are shown and counted; without one only the tree is.
        tree: the 1000 classes of ILSVRC-2012 by default.
        taxonomy: instead of a tree its name, as in presets: `nltk@FOLDER` or a CSV file, in the project or
            the current folder. Of a tree of all nouns only what lies above the pack's classes is shown.
        preset: whose recipe and targets a saved preset takes over.

    >>> browser = HierarchyBrowser()
    >>> browser.subset = Subset("", "bottom-up@9+without@n02084071")
    >>> browser.kept.offered
    486
    """

    _esm = script()
    _css = style()
    columns = traitlets.Dict().tag(sync=True)
    _choice = traitlets.Dict().tag(sync=True)
    _revision = traitlets.Int(0).tag(sync=True)  # of the choice, counted by the page
    summary = traitlets.Dict().tag(sync=True)
    colours = traitlets.Dict().tag(sync=True)
    opened: traitlets.List[str] = traitlets.List().tag(sync=True)
    _shown = traitlets.Unicode("").tag(sync=True)
    _own_id = traitlets.Unicode("").tag(sync=True)  # of the widget, for its page

    def __init__(
        self,
        pack: Pack | str | Path | None = None,
        tree: Taxonomy | None = None,
        preset: str = "demo",
        taxonomy: str | Path | None = None,
    ) -> None:
        if not isinstance(taxonomy, str | Path | None):
            kind = type(taxonomy).__name__
            raise ItlError(f"taxonomy is the name of a tree, got a {kind}; give that as tree")
        taxonomy = str(taxonomy or "")
        if tree is not None and taxonomy:
            raise ItlError(f"tree and taxonomy {taxonomy!r} are two trees; leave one of them out")
        pack = Pack.open(pack) if isinstance(pack, str | Path) else pack
        self.pack, self.preset = pack, preset
        self.taxonomy = taxonomy if tree is None else None  # None: a tree without a name
        self.gallery = Gallery(pack) if pack is not None else None
        tree = tree or open_taxonomy(taxonomy, [project_folder(), Path()])
        if taxonomy and self.gallery:
            tree = tree.restricted(wnid for wnid in self.gallery.counts() if wnid in tree)
        self.images = self.gallery.counts() if self.gallery else dict.fromkeys(tree.leaves, 0)
        in_tree = {wnid: count for wnid, count in self.images.items() if wnid in tree}
        if self.images and not in_tree:
            warn(
                f"no class of this pack, such as {min(self.images)}, is in the tree, so there is nothing to "
                f"browse; give taxonomy='FILE.csv', a tree of them with the header child,parent[,name]"
            )
        if set(in_tree) - set(tree.leaves):
            tree = tree.restricted({*tree.leaves, *in_tree})
        self.tree, self.wnids = tree, sorted(in_tree)
        self._static: DisplayHandle | None = None  # the static picture; None where the live browser is shown
        self._summarised: tuple[int, dict[str, Any]] | None = None
        self._number = {wnid: index for index, wnid in enumerate(tree)}
        super().__init__(
            columns=columns(tree, self.images, pack is not None),
            _choice=Choice().to_dict(),
            opened=[wnid for wnid in tree if tree.depth(wnid) < OPEN_DEPTH],
        )
        self._own_id = self.comm.comm_id if self.comm else ""  # there may be no page
        self._summarise()
        self.observe(lambda change: self._summarise(), ["_choice", "_revision"])
        self.observe(lambda change: self._redraw(), ["summary", "opened", "_shown", "colours"])
        self.on_msg(lambda widget, message, buffers: self.answer(message))

    @traitlets.validate("opened")
    def _in_tree(self, proposal: dict) -> list[str]:
        """Raise ItlError for a node that is none of the tree."""
        return [self.tree[wnid].wnid for wnid in proposal["value"]]

    def open(self) -> None:
        """Open the connection to the page, unless there will be no page: then the notebook stays small."""
        if not is_executed_by_program():
            super().open()

    @property
    def choice(self) -> Choice:
        """The selection, as it was clicked."""
        return Choice.from_dict(self._choice)

    @choice.setter
    def choice(self, choice: Choice) -> None:
        """Show *choice*, whatever it leaves."""
        if not isinstance(choice, Choice):
            raise ItlError(f"choice is what HierarchyBrowser.choice returns, a Choice; got {choice!r}")
        self._choice = choice.to_dict()

    @property
    def subset(self) -> Subset:
        """What is selected, as a Subset; raises ItlError where nothing is ticked."""
        return self.choice.subset(self.tree, self.wnids, self.pack.digest if self.pack else UNPACKED)

    @subset.setter
    def subset(self, subset: Subset) -> None:
        """Show *subset*; raises ItlError, and changes nothing, where it does not fit this tree or pack."""
        if not isinstance(subset, Subset):
            raise ItlError(f'subset is a Subset, such as Subset("", "bottom-up@9"); got {subset!r}')
        count_subset(self.tree, self.images, subset)
        self.choice = Choice.read(self.tree, subset)

    @property
    def kept(self) -> SubsetCounts:
        """What the selection keeps of the pack, or of the tree where there is no pack."""
        return count_subset(self.tree, self.images, self.subset)

    def show(self, wnid: str) -> None:
        """Open the tree down to *wnid*, and show its images."""
        self.opened = sorted({*self.opened, *self.tree.path(wnid)[1:]})
        self._shown = wnid

    def on_show(self, act: Callable[[str], object]) -> None:
        """Call *act* with the wnid of each node that a click or `show` selects from now on."""
        self.observe(lambda change: act(change["new"]), "_shown")

    def colour(
        self,
        values: Mapping[str, float],
        label: str,
        against: Mapping[str, float] | None = None,
        unit: str = "points",
        intervals: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        """Colour nodes by *values*: changes, and where some are negative, from zero in two directions.

        Args:
            values: a number for each wnid: a mapping, or a pandas Series by wnid.
            label: the name of these numbers.
            against: numbers to subtract, where both have one.
            unit: of the numbers.
            intervals: low and high of each change: one that includes zero is grey, not coloured.

        Raises:
            ItlError: No node has a finite number.
        """
        numbers = {self.tree[wnid].wnid: float(value) for wnid, value in dict(values).items()}
        if against is not None:
            others = {self.tree[wnid].wnid: float(value) for wnid, value in dict(against).items()}
            numbers = {wnid: value - others[wnid] for wnid, value in numbers.items() if wnid in others}
        numbers = {wnid: value for wnid, value in numbers.items() if isfinite(value)}
        if not numbers:
            raise ItlError(f"there is no number to colour a node by in {label!r}; give {{wnid: number}}")
        low, high = min(numbers.values()), max(numbers.values())
        colours = {"values": numbers, "label": label, "unit": unit, "low": low, "high": high}
        colours["change"] = against is not None or low < 0 or intervals is not None
        if intervals is not None:
            known = {wnid: list(map(float, intervals[wnid])) for wnid in numbers if wnid in intervals}
            colours["intervals"] = known
        self.colours = colours

    def colour_changes(self, changes: pd.DataFrame, label: str, unit: str = "points") -> None:
        """Colour nodes by *changes*, with columns node, change, low and high (no intervals for one seed).

        `itl.analysis.node_accuracy.changes` makes such a table.
        """
        table = changes.set_index("node")
        known = table.dropna(subset=["low", "high"])
        intervals = {wnid: (row["low"], row["high"]) for wnid, row in known.iterrows()}
        self.colour(table["change"], label, unit=unit, intervals=intervals)

    def to_html(self, path: str | Path, title: str = "Hierarchy of classes") -> Path:
        """Write the browser as one HTML file that needs no kernel and no network; returns its path.

        It opens as it is now. Search, cuts, ticks and colours work, and the labels can be
        downloaded; images, halves and presets need JupyterLab.
        """
        write_text(Path(path), self._standalone(title))
        return Path(path)

    def _standalone(self, title: str = "Hierarchy of classes") -> str:
        """Write the browser as a page that needs no kernel; the picture is for where no script runs."""
        fields = json.dumps({name: getattr(self, name) for name in PAGE_FIELDS}, ensure_ascii=False)
        picture, parts = self.static_data()["text/html"], {"style": style(), "script": script()}
        fields = fields.replace("<", "\\u003c")  # no name may end the script
        return render("browser.html.j2", title=title, fields=fields, picture=picture, **parts)

    def taxonomy_of_labels(self) -> str | None:
        """Return the name of the tree that the selected labels are made from; None if they need none.

        ItlError if they are made from a tree that was given without a name.
        """
        subset = self.subset
        if self.taxonomy is not None or not needs_tree(subset.labels):
            return self.taxonomy
        if subset.tree:
            raise ItlError(
                f"labels {shortened(subset.labels, MAX_LABELS_SHOWN)} are made from a tree without a name, "
                f"which a preset needs; write it to a CSV file with the header child,parent[,name], and give "
                f"taxonomy='FILE.csv' instead of tree"
            )
        return ""

    def save(self, name: str) -> Path:
        """Write ``params/NAME.yaml``, the question of data size within the selection; returns the path."""
        base, taxonomy = load_preset(self.preset), self.taxonomy_of_labels()
        return save(name, self.subset, self.kept, self.pack, base, taxonomy)

    def _summarise(self) -> None:
        """Count what the choice keeps, for the page and the static picture."""
        if self._summarised == (self._revision, self._choice):
            return  # both change with one click
        self._summarised = (self._revision, self._choice)
        summary = {"revision": self._revision, "facts": [], "dropped": [], "outside": []}
        try:
            subset = self.subset
            kept = count_subset(self.tree, self.images, subset)
            summary["facts"] = list(facts(self.tree, self.images, kept, self.pack is not None))
            summary["yaml"] = self._yaml(subset)
            picked = set().union(*kept.wnids.values())
            summary["outside"] = sorted(picked - self._number.keys())  # which the page has no node of
            if self.choice.half or self.choice.classes is not None:
                summary["dropped"] = [self._number[wnid] for wnid in self.wnids if wnid not in picked]
        except ItlError as error:
            summary["problem"] = str(error)
        self.summary = summary

    def _yaml(self, subset: Subset) -> str:
        """Write *subset* for a preset; a comment says why where none can have it."""
        try:
            return as_yaml(subset, self.taxonomy_of_labels())
        except ItlError as error:
            return f"# {error}"

    def answer(self, message: Mapping[str, Any]) -> None:
        """Answer the page with a page of images or a saved preset, or say in the page what failed."""
        buffers: list[bytes] = []
        try:
            if message["kind"] == "images":
                answer, buffers = self._page(message)
            else:
                self._choice = dict(message["choice"])  # the last click's own message may still be waiting
                path = self.save(message["name"])
                answer = {"kind": "saved", "text": f"Saved: itl plan {path.stem}"}
        except (ItlError, OSError) as error:
            answer = {"kind": "trouble", "about": message["kind"], "pane": message.get("pane")}
            answer["text"] = str(error)
        self.send(answer, buffers)

    def _page(self, message: Mapping[str, Any]) -> tuple[dict[str, object], list[bytes]]:
        """Return a page of images of a node, and their files."""
        if self.gallery is None:
            raise ItlError("HierarchyBrowser(pack=…) shows images here")
        wnid = self.tree[message["wnid"]].wnid
        classes = {wnid, *self.tree.leaves_under(wnid)}
        facts, page = self.gallery.page(classes, int(message["page"]), int(message["seed"]))
        images = [{"id": name, "name": self.tree.class_name(wnid)} for name, wnid, _ in page]
        answer = {"kind": "images", "pane": message["pane"], "request": message["request"]}
        return answer | facts | {"images": images}, [file for _, _, file in page]

    def _ipython_display_(self) -> None:
        """Show the live browser with its static picture, which is shown where there are no widgets."""
        if self.comm is None:
            self._static = display(self._without_kernel(), raw=True, display_id=True)
        else:
            live, _ = self._repr_mimebundle_() or ({}, {})
            display(live | as_displayed(self.static_data()), raw=True)

    def _redraw(self) -> None:
        """Keep the picture at the last state where a notebook is executed and no page follows."""
        if self._static is not None:
            self._static.update(self._without_kernel(), raw=True)

    def _without_kernel(self) -> dict[str, str]:
        """Return what an executed notebook keeps: the picture, and the page that a report links."""
        return self.static_data() | {PAGE_TYPE: self._standalone()}

    def static_data(self) -> dict[str, str]:
        """Return the state as text and as HTML, by their MIME types."""
        classes_kept = {} if self.summary.get("problem") else self.kept.leaves
        summary = self.summary | {"colours": self.colours, "classes": classes_kept}
        below = dict.fromkeys(self.tree, list[str]()) | self.tree.group_by_ancestor(self.wnids)
        images = {node: sum(self.images[wnid] for wnid in wnids) for node, wnids in below.items()}
        classes = {node: len(wnids) for node, wnids in below.items()}
        counts = {"leaves": classes} if self.pack is None else {"classes": classes, "images": images}
        html = tree_html(self.tree, self.opened, self._shown, self.choice.unticked, counts, summary)
        return {"text/plain": summary_text(summary), "text/html": html}


def as_displayed(picture: Mapping[str, str]) -> dict[str, str]:
    """Say in a *picture*, by MIME type, that it stays as it is: a notebook keeps it beside a live widget."""
    note = "<p>As it was when the cell was run; changes by clicks since then are not shown here.</p>"
    return {**picture, "text/html": note + picture["text/html"]}


def is_executed_by_program() -> bool:
    """Say whether no person runs this notebook: a kernel that takes no input has no page."""
    kernel = getattr(get_ipython(), "kernel", None)
    return kernel is not None and not getattr(kernel, "_allow_stdin", True)
