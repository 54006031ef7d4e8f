"""A project with a small preset, and the panel of its study."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from itl.machine import Machine
from itl.panels.study import StudyPanel
from tests.worlds import SETTINGS, here, write_rates


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project with one preset, smallest, and we stand in it."""
    (tmp_path / "params").mkdir()
    (tmp_path / "notebooks").mkdir()
    coarse = {name: value for name, value in SETTINGS.items() if name != "images_per_class"}
    notebooks = {
        "01-data-size": SETTINGS | {"subset": {}},
        "02-class-count": coarse
        | {"label_sets": ["none", "bottom-up@5", "original"], "tasks": ["probe@scenes"]},
    }
    content = yaml.safe_dump({"about": "smallest", "notebooks": notebooks})
    (tmp_path / "params/smallest.yaml").write_text(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def machine(project) -> Machine:
    return here(project, workers=1)


@pytest.fixture
def rates(machine, monkeypatch) -> None:
    """What runs cost is known, to the panel and its process: to measure it takes longer than to do them."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(machine.threads))
    write_rates(machine, SETTINGS)


@pytest.fixture
def panel(machine) -> Iterator[StudyPanel]:
    panel = StudyPanel("smallest", machine=machine)
    yield panel
    if panel.process is not None:
        panel.process.stop()
        panel.process.wait(60)
