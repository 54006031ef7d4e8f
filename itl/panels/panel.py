"""What every panel is: settings, a picture of them as HTML, and controls where somebody can use them."""

import base64
import io
from collections.abc import Callable, Sequence
from functools import cached_property
from threading import RLock

import ipywidgets
import matplotlib.pyplot as plt
from anywidget import AnyWidget
from IPython.display import display, update_display
from matplotlib.figure import Figure
from traitlets import HasTraits

from itl import ItlError
from itl.browser.widget import is_executed_by_program
from itl.report.html import render

DOTS_PER_INCH = 110
WIDE = {"layout": ipywidgets.Layout(width="98%"), "style": {"description_width": "110px"}}


class PanelScript(AnyWidget):
    """What a panel needs in the page and widgets do not give.

    * Keys stay with its controls: JupyterLab takes arrows, d or x as commands on the cell, but not where the
      element with the focus has an attribute, which widgets do not set.
    * A slider has a name, and its value in words, for screen readers.
    * What has ``data-setting`` and ``data-value`` in a picture is a button, which sends them to the kernel.
    * A panel that another one opens below itself is scrolled to.
    """

    _esm = """
    export default {
      render({ model, el }) {
        const box = (part) => part.closest(".itl-controls");
        const keep = ({ target }) => {
          if (box(target)) target.setAttribute("data-lm-suppress-shortcuts", "true");
        };
        const click = ({ target }) => {
          const button = target.closest("button[data-setting]");
          if (!button || box(button) !== box(el)) return;
          model.send({ setting: button.dataset.setting, value: button.dataset.value });
          if (button.matches(".itl-row")) box(el).scrollIntoView();  // what it shows is at the top
        };
        const complete = () => {
          for (const slider of document.querySelectorAll(".itl-controls [role=slider]")) {
            const row = slider.closest(".widget-inline-hbox");
            slider.setAttribute("aria-label", row.querySelector(".widget-label").textContent);
            slider.setAttribute("aria-valuetext", row.querySelector(".widget-readout").textContent);
          }
          for (const text of document.querySelectorAll(".itl-controls span[data-setting]")) {
            const button = document.createElement("button");
            for (const { name, value } of text.attributes) button.setAttribute(name, value);
            button.type = "button";
            button.ariaLabel = text.title || text.textContent;
            button.append(...text.childNodes);
            text.replaceWith(button);
          }
        };
        document.addEventListener("focusin", keep);
        document.addEventListener("click", click);
        const observer = new MutationObserver(complete);
        observer.observe(document.body, { childList: true, subtree: true });
        setTimeout(() => {  // by then it has its place in the page
          if (box(el)?.parentElement.closest(".itl-controls")) box(el).scrollIntoView();
        });
        return () => {
          document.removeEventListener("focusin", keep);
          document.removeEventListener("click", click);
          observer.disconnect();
        };
      },
    };
    """
    _css = """
    .itl-controls button[data-setting] {
      border: 0; padding: 0; background: none; font: inherit; cursor: pointer; text-decoration: underline;
      color: var(--jp-content-link-color, #00599c);
    }
    .itl-controls button[data-setting]:focus-visible { outline: 2px solid currentColor; }
    .itl-controls .itl-row:hover { background: color-mix(in srgb, currentColor 10%, transparent); }
    """


class Panel(HasTraits):
    """Controls over a picture. In an executed notebook the picture of the last settings is left alone.

    The settings are traits: what Python sets, controls and picture follow, and the other way round.
    """

    settings: tuple[str, ...] = ()  # the traits that the picture depends on

    def __init__(self) -> None:
        super().__init__()
        # JupyterLab handles what widgets send in a thread of its own, beside the one that runs cells.
        self.lock = RLock()
        self._display_id: str | None = None
        self._pictures: dict[Callable[[], str], ipywidgets.HTML] = {}  # of each part, once there is a widget
        self._drawn: dict[Callable[[], str], tuple[object, ...]] = {}  # the settings that each part shows
        self.observe(lambda change: self._follow(), list(self.settings))

    @cached_property
    def below(self) -> ipywidgets.VBox:
        """What lies below the picture: another panel, opened from this one."""
        return ipywidgets.VBox()

    def html(self) -> str:
        """Write the picture as HTML without script or style sheet."""
        raise NotImplementedError

    def parts(self) -> dict[Callable[[], str], tuple[str, ...]]:
        """List what writes each part of the picture, from top to bottom, and the settings that it shows.

        A change draws only the parts that show it.
        """
        return {self.html: self.settings}

    def controls(self) -> Sequence[ipywidgets.Widget]:
        """Make the controls, each with a description, which screen readers read."""
        raise NotImplementedError

    def widget(self) -> ipywidgets.Widget:
        """Make controls and picture; they are linked to the settings."""
        script, controls = PanelScript(), self.controls()
        script.on_msg(lambda script, message, buffers: self.click(**message))
        self._pictures = {part: ipywidgets.HTML() for part in self.parts()}
        self._drawn = {}
        self._follow()
        box = ipywidgets.VBox([script, *controls, *self._pictures.values(), self.below])
        return box.add_class("itl-controls")

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
        """Keep the value of *control* and a *setting* equal.

        Args:
            control: has a value.
            setting: a trait of the panel.
            options: makes the options of the control, words and value of each.
            after: other settings that change these options; else they are made again only where the value is
                none of them.

        Returns:
            A function that makes the options again.
        """
        updating, offered = False, set[object]()

        def update_control(change: dict | None = None) -> None:
            nonlocal updating
            updating, value = True, getattr(self, setting)
            try:
                stale = change is None or change["name"] in after or value not in offered
                if options is not None and stale:
                    control.options = with_values(options(), value)
                    offered.clear()
                    offered.update(option for _, option in control.options)
                control.value = value
            finally:
                updating = False

        def update_setting(change: dict) -> None:
            if not updating:
                setattr(self, setting, change["new"])

        update_control()
        control.observe(update_setting, "value")
        self.observe(update_control, [setting, *after])
        return update_control

    def picture(self) -> str:
        """Write the picture; what cannot be shown is a message in it."""
        return "".join(map(picture_of, self.parts()))

    def _follow(self) -> None:
        """Draw what shows other settings than before, each part once: several may change together."""
        states = {part: tuple(getattr(self, name) for name in names) for part, names in self.parts().items()}
        changed = [part for part, state in states.items() if state != self._drawn.get(part)]
        self._drawn = states
        if changed:
            self.redraw(changed)

    def redraw(self, parts: Sequence[Callable[[], str]] | None = None) -> None:
        """Draw *parts* of the picture again, by default all, where there is one."""
        with self.lock:
            for part, picture in self._pictures.items():
                if parts is None or part in parts:
                    picture.value = picture_of(part)
            if self._display_id is not None:
                update_display(self.static_data(), raw=True, display_id=self._display_id)

    def static_data(self) -> dict[str, str]:
        """Return the picture by MIME type, for where nothing runs."""
        return {"text/plain": type(self).__name__, "text/html": self.picture()}

    def _ipython_display_(self) -> None:
        """Show controls and picture; only the picture in a notebook that a program executes."""
        if is_executed_by_program():
            self._display_id = f"itl-panel-{id(self)}"
            display(self.static_data(), raw=True, display_id=self._display_id)
        else:
            display(self.widget()._repr_mimebundle_() | self.static_data(), raw=True)


def picture_of(part: Callable[[], str]) -> str:
    """Write a *part* of a picture; what cannot be shown is a message in it."""
    try:
        return part()
    except ItlError as error:
        return render("problem.html.j2", problem=str(error))


def figure_url(figure: Figure) -> str:
    """Return *figure* as a data URL of a PNG, and close it, so that the notebook does not show it again."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH)
    plt.close(figure)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def with_values(options: list[tuple[str, object]], value: object) -> list[tuple[str, object]]:
    """Add to *options*, words and values, those of a *value* (a tuple has several) that are not among them.

    >>> with_values([("one", 1)], (1, 2))
    [('one', 1), ('2', 2)]
    """
    known = {option for _, option in options}
    chosen = value if isinstance(value, tuple) else (value,)
    return [*options, *((str(one), one) for one in chosen if one not in known)]
