"""The preset of docs/my-task.md for a task of one's own is one."""

import re
from pathlib import Path

from itl.presets import load_preset
from itl.runs.plan import plan
from itl.runs.questions import questions_of
from itl.runs.store import Store
from tests.annotated import jpeg
from tests.worlds import here

PAGE = (Path(__file__).parents[2] / "docs" / "my-task.md").read_text("utf-8")


def test_the_preset_for_photographs_of_ones_own_is_planned(tmp_path, rated):
    for name in ("cup", "plate"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(30):
            (tmp_path / "photos" / name / f"{number}.jpg").write_bytes(jpeg())
    example, _ = re.findall("```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "photos.yaml").write_text(example)
    (question,) = questions_of(load_preset("photos", tmp_path))
    machine = here(tmp_path, data=(str(tmp_path),))
    planned = plan([question], Store(machine.runs), machine)
    assert planned.unfinished == {"advice"}
    assert len(planned.left) == 27 + 3 * 27
    assert dict(zip(planned.packs["pack"], planned.packs["images"], strict=True))["photos"] == 60
