"""What every panel is: settings, a picture of them as HTML, and controls where somebody can use them."""

import base64
import io
from collections.abc import Callable, Sequence
from functools import cached_property

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


class KeepKeys(AnyWidget):
    """Keep keys for the controls of a panel: JupyterLab takes arrows, d or x as commands on the cell.

    It does not where the element with the focus has an attribute, which widgets do not set. They also
    give a slider no name, and no value in words, for screen readers.
    """

    _esm = """
    export default {
      render() {
        const keep = ({ target }) => {
          if (target.closest(".itl-controls")) target.setAttribute("data-lm-suppress-shortcuts", "true");
        };
        document.addEventListener("focusin", keep);
        const name = () => document.querySelectorAll(".itl-controls [role=slider]").forEach((slider) => {
          const row = slider.closest(".widget-inline-hbox");
          slider.setAttribute("aria-label", row.querySelector(".widget-label").textContent);
          slider.setAttribute("aria-valuetext", row.querySelector(".widget-readout").textContent);
        });
        const observer = new MutationObserver(name);
        observer.observe(document.body, { childList: true, subtree: true });
        return () => {
          document.removeEventListener("focusin", keep);
          observer.disconnect();
        };
      },
    };
    """


class Panel(HasTraits):
    """Controls over a picture. In an executed notebook the picture of the last settings is left alone.

    The settings are traits: what Python sets, controls and picture follow, and the other way round.
    """

    settings: tuple[str, ...] = ()  # the traits that the picture depends on

    def __init__(self) -> None:
        super().__init__()
        self._display_id: str | None = None
        self._picture: ipywidgets.HTML | None = None
        self._drawn: tuple[object, ...] = ()
        self.observe(lambda change: self._follow(), list(self.settings))

    @cached_property
    def below(self) -> ipywidgets.VBox:
        """What lies below the picture: another panel, opened from this one."""
        return ipywidgets.VBox()

    def html(self) -> str:
        """Write the picture as HTML without script or style sheet."""
        raise NotImplementedError

    def controls(self) -> Sequence[ipywidgets.Widget]:
        """Make the controls, each with a description, which screen readers read."""
        raise NotImplementedError

    def widget(self) -> ipywidgets.Widget:
        """Make controls and picture; they are linked to the settings."""
        self._picture = ipywidgets.HTML(self.picture())
        box = ipywidgets.VBox([KeepKeys(), *self.controls(), self._picture, self.below])
        return box.add_class("itl-controls")

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
            after: other settings that change these options.

        Returns:
            A function that makes the options again.
        """
        updating = False

        def update_control(change: dict | None = None) -> None:
            nonlocal updating
            updating, value = True, getattr(self, setting)
            try:
                if options is not None:
                    control.options = with_values(options(), value)
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
        try:
            return self.html()
        except ItlError as error:
            return render("problem.html.j2", problem=str(error))

    def _follow(self) -> None:
        """Draw the picture of the present settings, once: several may change together."""
        state = tuple(getattr(self, name) for name in self.settings)
        if state != self._drawn:
            self._drawn = state
            self.redraw()

    def redraw(self) -> None:
        """Draw the picture again, where there is one."""
        if self._picture is not None:
            self._picture.value = self.picture()
        if self._display_id is not None:
            update_display(self._static_data(), raw=True, display_id=self._display_id)

    def _static_data(self) -> dict[str, str]:
        return {"text/plain": type(self).__name__, "text/html": self.picture()}

    def _ipython_display_(self) -> None:
        """Show controls and picture; only the picture in a notebook that a program executes."""
        if is_executed_by_program():
            self._display_id = f"itl-panel-{id(self)}"
            display(self._static_data(), raw=True, display_id=self._display_id)
        else:
            display(self.widget()._repr_mimebundle_() | self._static_data(), raw=True)


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
