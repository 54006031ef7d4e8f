"""What all panels do with what a page sends, and with Python's garbage."""

import gc
from collections.abc import Sequence
from importlib.resources import files
from unittest.mock import Mock

import ipywidgets
import pytest
import traitlets
from matplotlib.figure import Figure

from itl import ItlError
from itl.panels.panel import Panel, announced, figure_url, message_of

NAMES = {"": ["ant", "bee", "  cat"], "e": ["bee", "wren"]}  # by what the names have in them


class Animals(Panel):
    """A list of animals that another setting changes."""

    letters = traitlets.Unicode()
    animal = traitlets.Unicode("ant")
    herd = traitlets.Tuple(help="names of several animals")
    legs = traitlets.Float(4.0)
    settings = ("letters", "animal", "herd", "legs")

    def __init__(self) -> None:
        self.collecting: list[bool] = []  # whether garbage was collected while the picture was drawn
        super().__init__()

    @traitlets.validate("animal")
    def _alive(self, proposal: dict) -> str:
        if proposal["value"] == "  cat":
            raise ItlError("cats choose, and are not chosen; choose ant or bee")
        return proposal["value"]

    def html(self) -> str:
        self.collecting.append(gc.isenabled())
        return self.animal

    def controls(self) -> Sequence[ipywidgets.Widget]:
        animal = ipywidgets.Select(description="animal")
        self.bind(animal, "animal", lambda: [(name, name) for name in NAMES[self.letters]], ["letters"])
        first = ipywidgets.Button(description="first")
        first.on_click(lambda button: setattr(self, "animal", "ant"))
        herd = ipywidgets.SelectMultiple(description="herd")
        self.bind(herd, "herd", lambda: [(name, name) for name in NAMES[self.letters]], ["letters"])
        letters = ipywidgets.Text(description="letters")
        legs = ipywidgets.BoundedFloatText(description="legs")
        self.bind(letters, "letters")
        self.bind(legs, "legs")
        return [animal, ipywidgets.HBox([first]), herd, letters, legs]


@pytest.fixture
def panel() -> Animals:
    panel = Animals()
    panel.widget()
    return panel


@pytest.mark.parametrize("missing", ["html", "controls"])
def test_a_panel_without_a_part_cannot_be_made(missing):
    methods = {name: getattr(Animals, name) for name in ("html", "controls") if name != missing}
    incomplete = type(Panel)("Incomplete", (Panel,), methods)
    with pytest.raises(TypeError, match=f"abstract class Incomplete .*{missing}"):
        incomplete()


@pytest.mark.parametrize(
    ("letters", "index", "text", "animal"),
    [
        ("", 1, "bee", "bee"),
        ("", 2, "  cat", "bee"),  # it is refused
        ("e", 1, "bee", "bee"),  # it lay second before the list changed
        ("e", 0, "ant", "bee"),  # no longer in the list: nothing is chosen
    ],
)
def test_what_was_clicked_is_chosen_where_it_lies_now(panel, letters, index, text, animal):
    panel.animal = "bee"
    panel.letters = letters
    panel.receive(Mock(), kind="choice", control="animal", chosen=[[index, text]])
    assert panel.animal == animal


def test_a_setting_that_is_refused_is_put_back_and_the_picture_says_why(panel):
    _, animal, *_, picture, _ = panel.widget().children
    message = {"kind": "choice", "control": "animal", "chosen": [[2, "  cat"]]}
    click = {"kind": "setting", "setting": "animal", "value": "  cat"}
    for refused in (message, click):
        script = Mock()
        panel.receive(script, **refused)
        script.send.assert_called_once_with({"kind": "done"})
        assert (panel.animal, animal.value) == ("ant", "ant")
        assert 'role="alert"' in picture.value
        assert "cats choose, and are not chosen; choose ant or bee" in picture.value
        assert picture.value.endswith("ant")
        panel.legs += 1
        assert picture.value == "ant"


def test_a_panel_that_is_shown_twice_is_one_widget(panel):
    first = panel.widget()
    assert panel.widget() is first
    *_, picture, _ = first.children
    panel.animal = "bee"
    assert picture.value == "bee"


def test_several_are_chosen_where_they_lie_now_and_without_what_is_gone(panel):
    panel.receive(Mock(), kind="choice", control="herd", chosen=[[0, "ant"], [1, "bee"]])
    assert panel.herd == ("ant", "bee")
    panel.letters = "e"
    panel.receive(Mock(), kind="choice", control="herd", chosen=[[0, "bird"], [2, "bee"]])
    assert panel.herd == ("bee",)
    panel.receive(Mock(), kind="choice", control="herd", chosen=[])
    assert panel.herd == ()


def test_what_is_typed_is_set_and_what_is_no_number_is_not(panel):
    panel.receive(Mock(), kind="text", control="letters", text="e")
    panel.receive(Mock(), kind="text", control="legs", text="6")
    assert (panel.letters, panel.legs) == ("e", 6.0)
    panel.receive(Mock(), kind="text", control="legs", text="")
    assert panel.legs == 6.0
    panel.receive(Mock(), kind="text", control="legs", text="101")
    assert panel.legs == 100.0, "the most that the field takes"


def test_what_a_page_sends_is_done_and_answered(panel):
    script = Mock()
    panel.receive(script, kind="setting", setting="animal", value="bee")
    assert panel.animal == "bee"
    panel.receive(script, kind="press", button="first")
    assert panel.animal == "ant"
    script.send.assert_called_with({"kind": "done"})
    script.reset_mock()
    with pytest.raises(KeyError):
        panel.receive(script, kind="press", button="none")
    script.send.assert_called_once_with({"kind": "done"})


def test_a_message_for_the_command_line_says_what_helps_in_a_notebook(panel, monkeypatch):
    def fail(self):
        raise ItlError("no path is given for pets; use --data pets=PATH")

    monkeypatch.setattr(Animals, "html", fail)
    assert "give the panel machine=Machine.from_environment(data=(…,)), or set ITL_DATA" in panel.picture()
    choose = ItlError("choose how to read it: options: {class_level: 1}")
    assert message_of(choose).endswith(
        "(panels take no options: set them in a preset, which `itl init` copies)"
    )


def test_what_stops_a_panel_while_it_reads_says_so_too():
    with pytest.raises(ItlError, match="in a notebook: give the panel") as caught, announced("Reading …"):
        raise ItlError("no path is given for pets; use --data pets=PATH")
    assert message_of(caught.value) == str(caught.value), "said once"


def test_a_name_that_the_font_lacks_is_drawn_without_a_warning(recwarn):
    figure = Figure()
    figure.text(0.5, 0.5, "猫")
    assert figure_url(figure).startswith("data:image/png;base64,")
    assert [str(warning.message) for warning in recwarn] == []


def test_garbage_is_collected_after_a_change_and_not_in_it(panel):
    panel.collecting.clear()
    panel.animal = "bee"
    assert (panel.collecting, gc.isenabled()) == ([False], True)
    gc.disable()
    try:
        panel.animal = "ant"
        assert not gc.isenabled(), "what the user has switched off stays off"
    finally:
        gc.enable()


def test_a_key_that_follows_a_value_of_the_kernel_finds_the_draft():
    quickjs = pytest.importorskip("quickjs", reason="the package quickjs is not installed")
    page = quickjs.Context()
    page.eval(
        (files("itl") / "panels/panel.js").read_text("utf-8").replace("export default", "const script =")
    )
    page.eval("""
        const field = { value: "7, 8, ", selectionStart: 6, setSelectionRange() {} };
        const drafts = new Drafts();
        drafts.keep(field);
        field.value = "3";  // as the widget shows it
        drafts.restore();
    """)
    while page.execute_pending_job():  # as a browser does, before it hands on the next key
        pass
    assert page.eval("field.value") == "7, 8, "
