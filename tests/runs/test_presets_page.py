"""What docs/presets.md says of presets is what they do."""

import re
from dataclasses import fields
from pathlib import Path

from itl.presets import load_preset
from itl.runs.questions import questions_of
from itl.specs import DetectionRecipe, Recipe
from itl.storage import read_yaml

PAGE = (Path(__file__).parents[2] / "docs" / "presets.md").read_text("utf-8")


def default(kind: type[Recipe], name: str) -> object:
    """What a recipe of *kind* has where *name* is left out; None for nothing, and for no setting of it."""
    by_name = {entry.name: entry.default for entry in fields(kind)}
    value = kind.defaults.get(name, by_name.get(name))
    return list(value) or None if isinstance(value, tuple) else value


def test_the_table_of_recipes_has_every_setting_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| .+ \|$", PAGE.partition("## Recipes")[2], re.MULTILINE)
    table = {name: (read_yaml(one, name), read_yaml(other, name)) for name, one, other in rows}
    names = [entry.name for entry in fields(DetectionRecipe)]
    assert table == {name: (default(Recipe, name), default(DetectionRecipe, name)) for name in names}


def test_the_example_is_a_preset(tmp_path):
    examples = re.findall("```yaml\n(.*?)```", PAGE, re.DOTALL)
    example = next(text for text in examples if text.startswith("about:"))
    (tmp_path / "plants.yaml").write_text(example)
    questions = questions_of(load_preset("plants", tmp_path))
    assert [question.name for question in questions] == ["data-size", "budget"]
    assert [len(question.conditions) for question in questions] == [4, 5]
    assert [task.name for task in questions[1].tasks] == ["finetune@leaves"]


def test_every_example_is_yaml_as_it_stands():
    """A comma in a value of {…} would end it."""
    examples = [read_yaml(text, "an example") for text in re.findall("```yaml\n(.*?)```", PAGE, re.DOTALL)]
    weights = [example["weights"] for example in examples if "weights" in example]
    assert max(weights, key=len)[-1].keys() == {"net", "file", "name", "trained_on", "pixels"}
