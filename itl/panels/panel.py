"""The base of every panel: settings, a picture of them as HTML, and controls where somebody can use them."""

import asyncio
import base64
import gc
import io
import re
import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from html import escape
from importlib.resources import files
from threading import RLock
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import traitlets
from anywidget import AnyWidget
from IPython import get_ipython
from IPython.display import DisplayHandle, display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from traitlets import Bunch, HasTraits, MetaHasTraits

from itl.analysis.figures import figure_of, forest, forest_labels
from itl.browser.widget import HierarchyBrowser, as_displayed, is_executed_by_program
from itl.errors import ItlError
from itl.packs.thumbnails import Gallery
from itl.report.html import render

DOTS_PER_INCH = 110
MOST_NODES = 300  # in a list of nodes; typing narrows it
OWN_TARGET = "own"  # the target in the folder of a StudyPanel, beside which nets have own classes
QUICK_COMPRESSION = 3  # of PNG; 6 takes twice as long for files as large
WIDE = {"layout": ipywidgets.Layout(width="98%"), "style": {"description_width": "110px"}}


@contextmanager
def garbage_collection_postponed() -> Iterator[None]:
    """Let Python collect garbage after a change of a panel is drawn, and not in it: it takes 0.2 to 0.4 s."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def announced(text: str) -> Iterator[None]:
    """Say *text* in the notebook of a person until what takes seconds is done: a cell shows only [*].

    An ItlError is raised again as `message_of` writes it.
    """
    has_person = getattr(get_ipython(), "kernel", None) is not None and not is_executed_by_program()
    shown = {"text/plain": text, "text/html": f'<p role="status">{escape(text)}</p>'}
    line = display(shown, raw=True, display_id=True) if has_person else None
    try:
        yield
    except ItlError as error:
        raise ItlError(message_of(error)) from error
    finally:
        if line:
            line.update({"text/plain": "", "text/html": ""}, raw=True)


class PanelScript(AnyWidget):
    """What a panel needs in the page and widgets do not give.

    * Keys stay with its controls: JupyterLab takes arrows, d or x as commands on the cell, but not where the
      element with the focus has an attribute, which widgets do not set.
    * What has ``data-setting`` and ``data-value`` in a picture is a button, which sends them to the kernel.
    * What is clicked, chosen or typed is sent when the kernel has taken all changes before it, however busy
      it is. A choice in a list is sent with its text: by then it may lie elsewhere in the list.
    * What is being typed stays when the kernel changes the value of the field meanwhile.
    * A button that was clicked is dimmed until that is done; the one that opens a net says so.
    * After a restart of the kernel, which knows no panel, a click says so.
    * A panel that another one opens below itself is scrolled to.
    """

    watched: traitlets.List[str] = traitlets.List().tag(sync=True)  # models whose changes come before a click
    _esm = (files("itl") / "panels/panel.js").read_text("utf-8")
    _css = """
    .itl-controls button[data-setting] {
      border: 0; padding: 0; background: none; font: inherit; cursor: pointer; text-decoration: underline;
      color: var(--jp-content-link-color, #00599c);
    }
    .itl-controls button[data-setting]:focus-visible { outline: 2px solid currentColor; }
    .itl-controls [aria-busy="true"] { opacity: 0.6; cursor: progress; }
    .itl-controls button[data-setting="opened"][aria-busy="true"]::after { content: " opens below …"; }
    .itl-controls .widget-html-content { min-width: 0; }
    .itl-controls .itl-row:hover { background: color-mix(in srgb, currentColor 10%, transparent); }
    """


class PanelMeta(ABCMeta, MetaHasTraits):
    """The metaclass of a class that has traits and abstract methods."""


class Panel(HasTraits, metaclass=PanelMeta):
    """Controls over a picture. In an executed notebook the picture of the last settings is left alone.

    The settings are traits: what Python sets, controls and picture follow, and the other way round.
    """

    settings: tuple[str, ...] = ()  # the traits that the picture depends on
    browser: HierarchyBrowser | None = None  # its changes count when something is clicked here

    def __init__(self) -> None:
        super().__init__()
        # JupyterLab handles what widgets send in a thread of its own, beside the one that runs cells.
        self.lock = RLock()
        self._box: ipywidgets.Widget | None = None  # controls and picture, once there is a widget
        self._refusal = ""  # why the setting that was tried last is not set, as HTML
        self._static: DisplayHandle | None = None  # the picture where a program executes the notebook
        self._controls: dict[str, Any] = {}  # by their descriptions, once there is a widget
        self._pictures: dict[Callable[[], str], ipywidgets.HTML] = {}  # of each part, once there is a widget
        self._drawn: dict[Callable[[], str], tuple[object, ...]] = {}  # the settings that each part shows
        self.observe(lambda change: self._follow(), list(self.settings))

    @cached_property
    def below(self) -> ipywidgets.VBox:
        """What lies below the picture: another panel, opened from this one."""
        return ipywidgets.VBox()

    @abstractmethod
    def html(self) -> str:
        """Write the picture as HTML without script or style sheet."""

    def parts(self) -> dict[Callable[[], str], tuple[str, ...]]:
        """List what writes each part of the picture, from top to bottom, and the settings that it shows.

        A change draws only the parts that show it.
        """
        return {self.html: self.settings}

    @abstractmethod
    def controls(self) -> Sequence[ipywidgets.Widget]:
        """Make the controls, each with a description, which screen readers read."""

    def widget(self) -> ipywidgets.Widget:
        """Return controls and picture, linked to the settings: one widget, until it is closed."""
        if self._box is None or self.is_closed:
            self._box = self._make_widget()
        else:
            self.redraw()
        return self._box

    @property
    def is_closed(self) -> bool:
        """Whether there was a widget, and somebody closed it."""
        return self._box is not None and self._box.comm is None

    def _make_widget(self) -> ipywidgets.Widget:
        controls = self.controls()
        every = list(leaves(controls))
        self._controls = {control.description: control for control in every}
        watched = [one.model_id for one in [*every, self.browser] if one is not None and one.comm]
        script = PanelScript(watched=watched)
        script.on_msg(lambda script, message, buffers: self.receive(script, **message))
        self._pictures = {part: ipywidgets.HTML() for part in self.parts()}
        self._drawn = {}
        self._follow()
        box = ipywidgets.VBox([script, *controls, *self._pictures.values(), self.below])
        return box.add_class("itl-controls")

    def receive(self, script: PanelScript, kind: str, **message: Any) -> None:
        """Do what a *message* of the page asks, and answer that it is done."""
        acts: dict[str, Callable[..., None]]
        acts = {"setting": self.click, "choice": self.choose, "text": self.write, "press": self.press}
        try:
            if kind != "shown":
                acts[kind](**message)
        except (ItlError, traitlets.TraitError) as error:
            self._refuse(error)
        finally:
            script.send({"kind": "done"})

    def press(self, button: str) -> None:
        """Click the *button* of this description."""
        self._controls[button].click()

    def choose(self, control: str, chosen: Sequence[tuple[int, str]]) -> None:
        """Choose in the list of a *control*: where each option lay when it was clicked, and its text."""
        widget = self._controls[control]
        texts = [option.replace("\xa0", " ") for option in widget._options_labels]
        known = [(index, text) for index, text in chosen if text in texts]
        listed = [index if texts[index : index + 1] == [text] else texts.index(text) for index, text in known]
        if isinstance(widget, ipywidgets.SelectMultiple):
            widget.index = tuple(listed)
        elif listed:
            widget.index = listed[0]

    def write(self, control: str, text: str) -> None:
        """Set the field of a *control* to what was typed; where it takes numbers, only to one."""
        widget = self._controls[control]
        try:
            widget.value = type(widget.value)(text)
        except ValueError:
            return  # the page shows the number again

    def click(self, setting: str, value: str) -> None:
        """Change a setting to what was clicked in the picture."""
        if setting in self.traits():
            setattr(self, setting, type(getattr(self, setting))(value))

    def bind(
        self,
        control: ipywidgets.Widget,
        setting: str,
        options: Callable[[], list] | None = None,
        after: Sequence[str] = (),
    ) -> Callable[[], None]:
        """Keep the value of *control* and a *setting* equal; returns a function that makes options again.

        A value that the setting refuses is put back, and the picture says why.

        Args:
            options: makes the options of the control, words and value of each.
            after: other settings that change these options; else they are made again only where the value is
                none of them.
        """
        updating = False

        @garbage_collection_postponed()
        def update_control(change: dict | None = None) -> None:
            nonlocal updating
            updating, value = True, getattr(self, setting)
            try:
                if options is not None:
                    offered = {option for _, option in control.options}
                    if change is None or change["name"] in after or value not in offered:
                        control.options = with_values(options(), value)
                control.value = value
            finally:
                updating = False

        def update_setting(change: dict) -> None:
            if updating:
                return
            try:
                setattr(self, setting, change["new"])
            except (ItlError, traitlets.TraitError) as error:
                update_control()
                self._refuse(error)

        update_control()
        control.observe(update_setting, "value")
        self.observe(update_control, [setting, *after])
        return update_control

    def dropdown(
        self, setting: str, description: str, options: Callable[[], list], after: Sequence[str] = ()
    ) -> ipywidgets.Dropdown:
        """Make a list to choose one of *options* from, bound to a *setting*: see `bind`."""
        control = ipywidgets.Dropdown(description=description, **WIDE)
        self.bind(control, setting, options, after)
        return control

    def search(
        self, setting: str, description: str, options: Callable[[str], list], after: Sequence[str] = ()
    ) -> list[ipywidgets.Widget]:
        """Make a field that narrows the *options* by what is typed, and their list, bound to a *setting*."""
        find = ipywidgets.Text(description="find node", placeholder="such as dog", **WIDE)
        hits = ipywidgets.Select(description=description, rows=10, **WIDE)
        follow = self.bind(hits, setting, lambda: options(find.value), after)
        find.observe(lambda change: follow(), "value")
        return [find, hits]

    @garbage_collection_postponed()
    def notify_change(self, change: Bunch) -> None:
        """Tell controls and picture of a changed setting, without a pause to collect garbage."""
        super().notify_change(change)

    def picture(self) -> str:
        """Write the picture; what cannot be shown is a message in it."""
        return "".join(map(picture_of, self.parts()))

    def _follow(self) -> None:
        """Draw what shows other settings than before, each part once: several may change together."""
        states = {part: tuple(getattr(self, name) for name in names) for part, names in self.parts().items()}
        changed = [part for part, state in states.items() if state != self._drawn.get(part)]
        self._drawn = states
        if self._refusal:
            self._refusal, changed = "", list(states)
        if changed:
            self.redraw(changed)

    @garbage_collection_postponed()
    def redraw(self, parts: Sequence[Callable[[], str]] | None = None) -> None:
        """Draw *parts* of the picture again, by default all, where there is one."""
        with self.lock:
            for part, picture in self._pictures.items():
                if parts is None or part in parts:
                    is_first = part == next(iter(self._pictures))
                    picture.value = (self._refusal if is_first else "") + picture_of(part)
            if self._static is not None:
                self._static.update(self.static_data(), raw=True)

    def _refuse(self, error: Exception) -> None:
        """Say above the picture, until a setting is changed, why one was not."""
        self._refusal = render("problem.html.j2", problem=message_of(error))
        self.redraw()

    def static_data(self) -> dict[str, str]:
        """Return the picture by MIME type, for where nothing runs."""
        return {"text/plain": type(self).__name__, "text/html": self.picture()}

    def _ipython_display_(self) -> None:
        """Show controls and picture; only the picture in a notebook that a program executes."""
        if is_executed_by_program():
            self._static = display(self.static_data(), raw=True, display_id=True)
        else:
            with announced("Drawing the panel …"):
                shown = self.widget()._repr_mimebundle_() | as_displayed(self.static_data())
            display(shown, raw=True)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that this runs in, which a notebook has; None in a script."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def leaves(widgets: Sequence[ipywidgets.Widget]) -> Iterator[ipywidgets.Widget]:
    """Yield *widgets*, but of a box what is in it."""
    for widget in widgets:
        if isinstance(widget, ipywidgets.Box):
            yield from leaves(widget.children)
        else:
            yield widget


def picture_of(part: Callable[[], str]) -> str:
    """Write a *part* of a picture; what cannot be shown is a message in it."""
    try:
        return part()
    except (ItlError, OSError) as error:
        return render("problem.html.j2", problem=message_of(error))


def message_of(error: Exception) -> str:
    """Write *error* for a notebook, which has no command line; OSErrors are of paths that people give."""
    arguments = "give the panel machine=Machine.from_environment(data=(…,)), or set ITL_DATA"
    preset = "panels take no options: set them in a preset, which `itl init` copies"
    ways = {"--data": f"in a notebook: {arguments}", "options: {": preset}
    text = str(error)  # which may have been raised again by `announced`
    return text + "".join(f" ({way})" for words, way in ways.items() if words in text and way not in text)


def figure_url(figure: Figure) -> str:
    """Return *figure* as a data URL of a PNG, and close it, so that the notebook does not show it again.

    It is laid out and drawn once, where `Figure.savefig` does both twice, and compressed quickly.
    """
    figure.set_dpi(DOTS_PER_INCH)
    canvas, file = FigureCanvasAgg(figure), io.BytesIO()
    with warnings.catch_warnings():  # a class may have a name that the font lacks: it is drawn as boxes
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    image.save(file, "PNG", compress_level=QUICK_COMPRESSION)
    plt.close(figure)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def captioned(gallery: Gallery, images: pd.DataFrame, captions: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return a data URL, words and the caption of each of *images*: columns row (of the pack) and image."""
    urls = gallery.urls(images["row"].to_numpy())
    words = [f"{image}: {text}" for image, text in zip(images["image"], captions, strict=True)]
    return list(zip(urls, words, captions, strict=True))


@dataclass(frozen=True)
class ForestPicture:
    """A forest whose rows the page names: text is drawn slowly in a figure, and its rows can be clicked."""

    url: str
    rows: list[tuple[str, float, float]]  # the label of each, and its top and height in percent of the figure


def forest_picture(table: pd.DataFrame, by: str | None = "compared") -> ForestPicture:
    """Draw *table* as `itl.analysis.figures.forest` does; raises as that does."""
    ax = forest(table, by, named=False)
    url, box = figure_url(figure_of(ax)), ax.get_position()  # final once it is drawn
    height = 100 * box.height / (len(table) + 0.2)  # the limits of the axis leave 0.1 of a row at each end
    top = 100 * (1 - box.y1) + 0.1 * height
    labels = forest_labels(table, by)
    return ForestPicture(url, [(text, top + row * height, height) for row, text in enumerate(labels)])


def target_words(name: str) -> str:
    """Name a target for people: that of the folder in a StudyPanel is none of the net's own classes.

    >>> target_words("scenes"), target_words("own:50"), target_words("own classes")
    ('scenes', 'your images (own:50)', 'own classes')
    """
    return f"your images ({name})" if re.match(rf"{OWN_TARGET}($|[/:]| \()", name) else name


def named_so(values: Iterable[str]) -> list[tuple[str, str]]:
    """Return options, words and values, that are called what they are."""
    return [(value, value) for value in values]


def with_values(options: list[tuple[str, object]], value: object) -> list[tuple[str, object]]:
    """Add to *options*, words and values, those of a *value* (a tuple has several) that are not among them.

    >>> with_values([("one", 1)], (1, 2))
    [('one', 1), ('2', 2)]
    """
    known = {option for _, option in options}
    chosen = value if isinstance(value, tuple) else (value,)
    return [*options, *((str(one), one) for one in chosen if one not in known)]
