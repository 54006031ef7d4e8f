"""Presets: read whole or refused in one line."""

import pytest

from itl import ItlError
from itl.presets import load_preset

GOOD = "about: a test\nnotebooks:\n  01-data-size: {seeds: [0]}\n"


def test_a_preset(tmp_path):
    (tmp_path / "mine.yaml").write_text(GOOD)
    preset = load_preset("mine", tmp_path)
    assert (preset.name, preset.notebooks) == ("mine", {"01-data-size": {"seeds": [0]}})
    assert load_preset(str(tmp_path / "mine.yaml"), tmp_path / "nowhere") == preset


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("mime", GOOD, "no preset called 'mime'; did you mean 'mine'"),
        ("mine", GOOD.replace("notebooks", "notebook"), "'notebook'; did you mean 'notebooks'"),
        ("mine", "about: [", "not YAML"),
        ("mine", "just words", "should hold about"),
        ("mine", "about: x\nnotebooks: {01-data-size: 3}\n", "notebooks.01-data-size"),
        ("/nowhere/else.yaml", GOOD, "cannot read preset"),
    ],
)
def test_presets_that_cannot_be(tmp_path, name, text, says):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ItlError, match=says) as raised:
        load_preset(name, tmp_path)
    assert "\n" not in str(raised.value)
