"""NetPanel: one net of the store, the images that it gets wrong, and the neighbours of its features."""

from collections.abc import Mapping
from functools import cached_property

import ipywidgets
import pandas as pd
import seaborn as sns
import traitlets
from matplotlib.figure import Figure

from itl.analysis.figures import COLOURS, METRIC_NAMES, QUIET, figure_of, new_axes
from itl.errors import ItlError, one_of
from itl.evaluation.inspect_net import Inspection, inspect_own, inspect_target, own_split
from itl.evaluation.target import target_of
from itl.hierarchy.taxonomies import tree_of_digest
from itl.machine import Machine
from itl.packs.paths import find_by_digest, open_by_digest
from itl.packs.thumbnails import Gallery
from itl.panels.panel import MOST_NODES, Panel, captioned, figure_url, target_words
from itl.report.html import render
from itl.report.run_page import CURVE_SIZE, loss_curve
from itl.runs.nets import net_of, targets_of
from itl.runs.perform import load_net, tree_of
from itl.runs.store import LOG_FILE, Store
from itl.specs import Spec, key
from itl.words import counted, shortened

OWN = "own classes"
PICTURES_ON_A_PAGE = 24
MOST_CONFUSED = 10  # columns of the table
GROUPS = 6  # colours of the map
SPLITS: dict[str | None, str] = {"val": "Validation", "test": "Test"}
LONGEST_NAME = 40  # characters of a name in its legend


class NetPanel(Panel):
    """One net: its learning curve, images it gets wrong by node of the tree, and its features.

    On its own classes the net is judged by its head; on a target, by the 5 nearest training images.

    Args:
        run: a net or what was measured on it: a spec, or the key of a run in the store, or its first letters.
        machine: that holds the store and computes features; by default this one.
        limit: look at no more images, and at no more training images, evenly spread.

    Raises:
        ItlError: there is no such run, it is not done, or there are no images that the net can be judged on.
    """

    over = traitlets.Unicode(help="own classes, or a target: one of `offered`")
    node = traitlets.Unicode("", help="a wnid or class: only images under it; '' all")
    image = traitlets.Unicode("", help="the id of an image that is wrong: its neighbours are shown")
    page = traitlets.Int(0, help="of the images, from 0")
    settings = ("over", "node", "image", "page")

    def __init__(self, run: str | Spec, machine: Machine | None = None, limit: int = 5000) -> None:
        if type(limit) is not int or limit < 1:
            raise ItlError(f"limit is the number of images that are looked at, from 1, not {limit!r}")
        self.machine = machine or Machine.from_environment()
        self.store, self.limit = Store(self.machine.runs), limit
        self.spec = net_of(run, self.store)
        self.net = load_net(self.spec, self.store)
        self.targets = targets_of(self.spec, self.store)
        self.inspections: dict[str, Inspection] = {}
        self._maps: dict[str, str] = {}
        if not self.offered and self.targets:
            raise ItlError(
                f"the images of run {key(self.spec)} and of its targets ({', '.join(self.targets)}) are not "
                f"packed here as they were then; put these packs back, or repeat the run with `itl run`"
            )
        if not self.offered:
            why = "its head is new" if self.spec.weights else "its own are for training alone"
            raise ItlError(
                f"run {key(self.spec)} has no images to look at: {why}, and it is measured on no target of "
                f"one class an image; add a task, such as knn, and `itl run` it"
            )
        super().__init__()

    @cached_property
    def offered(self) -> list[str]:
        """What can be shown: the net's own classes and its targets, if their packs are here and scored.

        A net with weights has no own classes: its head is new, and knows nothing.
        """
        pack = None if self.spec.weights else find_by_digest(self.spec.subset.pack, self.machine)
        here = [name for name, spec in self.targets.items() if find_by_digest(spec.pack, self.machine)]
        return [*([OWN] if pack and own_split(pack) else []), *here]

    @traitlets.default("over")
    def _first_offered(self) -> str:
        return self.offered[0]

    @traitlets.validate("over")
    def _known(self, proposal: dict) -> str:
        return one_of(self.offered, proposal["value"], "target that this net was measured on")

    @traitlets.validate("node")
    def _with_images(self, proposal: dict) -> str:
        self.inspection.under(proposal["value"])
        return proposal["value"]

    @traitlets.validate("image")
    def _looked_at(self, proposal: dict) -> str:
        if proposal["value"]:
            self._number_of(proposal["value"])
        return proposal["value"]

    @traitlets.validate("page")
    def _a_page(self, proposal: dict) -> int:
        page, last = proposal["value"], self._last_page
        if not 0 <= page <= last:
            raise ItlError(f"there is no page {page} of images that are wrong; pages are 0 to {last}")
        return page

    @traitlets.observe("over", "node")
    def _start_over(self, change: dict) -> None:
        if change["name"] == "over" and self.node not in set(self.inspection.nodes["node"]):
            self.node = ""
        with self.hold_trait_notifications():
            self.page, self.image = 0, ""

    @property
    def inspection(self) -> Inspection:
        """The predictions of the net for the images of `over`; features are extracted on first use."""
        if self.over not in self.inspections:
            made = self.inspections[self.over] = self._inspect(self.over)
            made.prepare()
        return self.inspections[self.over]

    def _inspect(self, over: str) -> Inspection:
        if over == OWN:
            pack, tree = open_by_digest(self.spec.subset.pack, self.machine), tree_of(self.spec, self.machine)
            return inspect_own(self.net, self.spec, pack, tree, self.machine, self.limit)
        spec = self.targets[over]
        tree = tree_of_digest(spec.tree, self.machine.taxonomies)
        target = target_of(spec, open_by_digest(spec.pack, self.machine), tree)
        return inspect_target(self.net, self.spec, target, tree, self.machine, self.limit)

    @cached_property
    def curve(self) -> dict[str, object]:
        """The loss by epoch, as `itl.report.run_page.loss_curve` describes it; {} for an untrained net."""
        return loss_curve(self.store.path(self.spec) / LOG_FILE)

    def wrong(self) -> pd.DataFrame:
        """Return the images of `over` that are wrong under `node`: see `Inspection.table`."""
        return self.inspection.wrong(self.node)

    def neighbours(self) -> pd.DataFrame:
        """Return the training images nearest to `image`: see `Inspection.neighbours`.

        ItlError if that is none of the images looked at.
        """
        if not self.image:
            raise ItlError("no image is chosen yet; NetPanel.wrong() lists some, to be set as NetPanel.image")
        return self.inspection.neighbours(self._number_of(self.image))

    def _number_of(self, image: str) -> int:
        """Return the number of *image* in the table; ItlError if it is not among those looked at."""
        table = self.inspection.table
        matches = table.index[table["image"] == image]
        if not len(matches):
            raise ItlError(f"image {image!r} is not among those looked at; NetPanel.wrong() lists some")
        return int(matches[0])

    def nodes(self, text: str = "") -> list[tuple[str, str]]:
        """List all, nodes whose name has *text*, or whose wnid it is, and the chosen one: words and node.

        Words have their errors, and are indented as the tree. Where no name has the text, the first line says
        so.
        """
        table, text = self.inspection.nodes, text.strip()
        named = table["name"].str.contains(text, case=False, regex=False) | (table["node"] == text)
        shown = table[named | (table["node"] == self.node)].head(MOST_NODES)
        none = "" if named.any() else f"no node has {text!r} in its name; "
        every = [(f"{none}all · {int((~self.inspection.table['correct']).sum()):,} wrong", "")]
        return every + [
            (f"{'  ' * row.depth}{row.name} · {row.wrong:,} of {row.images:,}", row.node)
            for row in shown.itertuples(index=False)
        ]

    def feature_map(self) -> Figure:
        """Draw the two principal components of the features, coloured by the highest groups of classes."""
        groups = pd.Series(self.inspection.groups())
        common = groups.value_counts().index[:GROUPS]
        names = groups.where(groups.isin(common), "others")
        palette = dict(zip(common, COLOURS, strict=False)) | {"others": QUIET}
        x, y = self.inspection.positions.T
        ax = new_axes(6.4, 4.2)
        sns.scatterplot(x=x, y=y, hue=names, palette=palette, s=14, linewidth=0, alpha=0.7, ax=ax)
        ax.set(xlabel="first principal component", ylabel="second principal component")
        ax.set(xticks=[], yticks=[])
        handles, labels = ax.get_legend_handles_labels()
        labels = [shortened(name, LONGEST_NAME) for name in labels]
        ax.legend(handles, labels, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        return figure_of(ax)

    def html(self) -> str:
        """Write the picture: curve, wrong images, neighbours, confusion and map."""
        result = self.store.finished(self.spec)
        metrics = result.get("metrics", {})
        scores = ", ".join(f"{METRIC_NAMES.get(name, name)} {value:.1f} %" for name, value in metrics.items())
        return render(
            "net_panel.html.j2",
            key=key(self.spec),
            net=self.spec.net,
            facts=self._learned_from(result) + (scores and f"; {scores}"),
            curve=self.curve,
            curve_size=CURVE_SIZE,
            view=self._view(),
        )

    def _learned_from(self, result: Mapping[str, int]) -> str:
        if self.spec.weights:
            return "own weights, not trained here"
        if self.spec.trained:
            return f"{counted(result['classes'], 'classes')}, {counted(result['images'], 'images')}"
        return f"as initialised, without pre-training; a head for {counted(result['classes'], 'classes')}"

    def _view(self) -> dict[str, object]:
        """Gather what the picture shows of `over`."""
        inspection, shown, name = self.inspection, self._page_of_wrong(), self.inspection.name
        pictures = []
        urls = Gallery(inspection.pack).urls(shown["row"].to_numpy())
        for url, row in zip(urls, shown.itertuples(), strict=True):
            label, taken_for, sure = name(row.label), name(row.predicted), f"{100 * row.confidence:.0f} %"
            words = f"{row.image}: {label}, taken for {taken_for} ({sure})"
            pictures.append((url, words, f"{label} → {taken_for} {sure}"))
        looked_at, available, own = len(inspection.table), inspection.available, self.over == OWN
        part = f"{looked_at:,} of {available:,} images, evenly spread." if looked_at < available else ""
        searched, train = len(inspection.train.rows), inspection.train_available
        among = f", among {searched:,} of {train:,}, evenly spread" if searched < train else ""
        return {
            "title": f"{SPLITS[own_split(inspection.pack)]} images of its {OWN}."
            if own
            else f"Target {target_words(self.over)}.",
            "looked_at": part,
            "how": "Judged by its head." if own else f"Judged by the 5 nearest training images{among}.",
            "node": name(self.node) if self.node else "all",
            "wrong": len(self.wrong()),
            "images": len(inspection.under(self.node)),
            "page": self.page,
            "pages": self._last_page + 1,
            "pictures": pictures,
            "image": self.image,
            "neighbours": self._neighbour_pictures(),
            "confusion": self._confusion(),
            "map": self._map(),
        }

    def _page_of_wrong(self) -> pd.DataFrame:
        return self.wrong().iloc[self.page * PICTURES_ON_A_PAGE : (self.page + 1) * PICTURES_ON_A_PAGE]

    def _neighbour_pictures(self) -> list[tuple[str, str, str]]:
        if not self.image:
            return []
        table, inspection = self.neighbours(), self.inspection
        names = [f"{inspection.name(row.label)} {row.similarity:.2f}" for row in table.itertuples()]
        return captioned(Gallery(inspection.pack), table, names)

    def _confusion(self) -> list[list[object]]:
        """Write the confusion by node as rows of text, the heading first."""
        table = self.inspection.confusion(self.node)
        busiest = table.sum().nlargest(MOST_CONFUSED).index
        table = table[[column for column in table if column in busiest]].head(2 * MOST_CONFUSED)
        counts = zip(table.index, table.to_numpy(), strict=True)
        rows = [[name, *map("{:,}".format, row)] for name, row in counts]
        return [["of \\ taken for", *table.columns], *rows]

    def _map(self) -> str:
        if self.over not in self._maps:
            self._maps[self.over] = figure_url(self.feature_map())
        return self._maps[self.over]

    def controls(self) -> list[ipywidgets.Widget]:
        """Make the controls: images, node, an image, and pages."""
        over = self.dropdown("over", "images", lambda: [(target_words(name), name) for name in self.offered])
        nodes = self.search("node", "wrong under", self.nodes, ["over"])
        image = self.dropdown("image", "neighbours of", self._images, ["over", "node", "page"])
        earlier = ipywidgets.Button(description="Earlier images")
        later = ipywidgets.Button(description="More images")
        earlier.on_click(lambda button: self._turn(-1))
        later.on_click(lambda button: self._turn(1))
        return [over, *nodes, image, ipywidgets.HBox([earlier, later])]

    def _images(self) -> list[tuple[str, str]]:
        """List the images of the page: words and id."""
        name, rows = self.inspection.name, self._page_of_wrong().itertuples()
        images = [(f"{row.image}: {name(row.label)} → {name(row.predicted)}", row.image) for row in rows]
        return [("choose an image", ""), *images]

    def _turn(self, pages: int) -> None:
        self.image, self.page = "", min(max(0, self.page + pages), self._last_page)

    @property
    def _last_page(self) -> int:
        return max(0, (len(self.wrong()) - 1) // PICTURES_ON_A_PAGE)
