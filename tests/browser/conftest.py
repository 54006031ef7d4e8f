"""One JupyterLab and one Chromium for all these tests; without a Chromium they are skipped and say so."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from itl.machine import Machine
from itl.packs.pack import Pack
from itl.packs.paths import pack_folder
from itl.presets import load_preset
from itl.runs.questions import questions_of
from itl.settings import spec_of
from itl.specs import Packing, Pretrain, key
from tests.analysis.test_influence_runs import STUDY, pretended
from tests.browser import lab as rig
from tests.browser.worlds import EVERY_CLASS
from tests.worlds import SCENES, SETTINGS, here, run_here

SIZE = {"width": 1280, "height": 1300}
NOT_YET_SHOWN = (  # ipywidgets' stand-ins for what is to come into a box; the script of a panel shows nothing
    ".itl-controls > :not(.jupyter-widgets, :first-child), "
    ".itl-controls .widget-box:not(.itl-controls) > :not(.jupyter-widgets)"
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Pack:
    """Forty rendered classes of five training images."""
    options = (("classes", 40), ("train", 5), ("val", 1), ("size", 16))
    where = tmp_path_factory.mktemp("packs") / "demo"
    return Pack.build(Packing("demo", None, 16, "squash", options), where, workers=1)


def render(packing: dict, name: str, machine: Machine) -> None:
    """Build the pack of *packing* for *machine* in this process: to start others would take longer."""
    spec = spec_of(Packing, packing, name)
    Pack.build(spec, pack_folder(spec, name, machine), workers=1)


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Path:
    """A project with packs, presets and notebooks, which JupyterLab serves."""
    if rig.CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine; on Debian `apt-get install chromium` brings one")
    pytest.importorskip("playwright", reason="the package playwright is not installed")
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(rig.ROOT / "params", home / "params")
    shutil.copytree(rig.ROOT / "notebooks", home / "notebooks")
    machine = Machine(home=home, workers=1)
    for name, packing in (("images", EVERY_CLASS), ("scenes", SCENES)):
        render(packing, name, machine)
    return home


@pytest.fixture(scope="session")
def trained(home) -> str:
    """The store of the lab with the runs of preset smallest; returns the key of a net that was trained."""
    smallest = {"about": "smallest", "notebooks": {"01-data-size": SETTINGS | {"subset": {}}}}
    (home / "params/smallest.yaml").write_text(yaml.safe_dump(smallest))
    machine = here(home)
    (question,) = questions_of(load_preset("smallest", home / "params"))
    run_here(question, machine)
    nets = [run.spec for run in question.runs(machine) if isinstance(run.spec, Pretrain)]
    return key(nets[-1])


@pytest.fixture(scope="session")
def advised(home, trained) -> None:
    """The runs of preset advised in the lab: three options, the first net without pre-training."""
    settings = SETTINGS | {"images_per_class": [4, 12], "label_sets": ["original"]}
    (home / "params/advised.yaml").write_text(
        yaml.safe_dump({"about": "advised", "notebooks": {"10-advice": settings}})
    )
    machine = here(home)
    (question,) = questions_of(load_preset("advised", home / "params"))
    run_here(question, machine)


@pytest.fixture(scope="session")
def influenced(home) -> str:
    """The runs of an influence in the lab, pretended; returns the class that helps."""
    render(STUDY["images"], "images", here(home))
    return pretended(home)[-1]


@pytest.fixture(scope="session")
def lab(home):
    """The address of a JupyterLab that serves *home*."""
    with rig.jupyterlab(home) as address:
        yield address


@pytest.fixture(scope="session")
def chromium(home):
    """A Chromium."""
    with rig.chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def opened(chromium, lab):
    """A page of the lab, and the errors of its scripts."""
    page, errors = chromium.new_page(viewport=SIZE), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    rig.open_lab(page, lab)
    return page, errors


@pytest.fixture
def page(opened):
    """The page of the lab, as it was at first; the test fails if a script of the page does."""
    page, errors = opened
    yield page
    page.set_viewport_size(SIZE)
    assert not errors
    errors.clear()


@pytest.fixture(scope="session")
def kernels() -> list[str]:
    """The kernel that all notebooks share, once there is one: it takes seconds to start and to import itl."""
    return []


@pytest.fixture
def notebook(page, home, request, kernels):
    """Open a notebook of the cells given, and close it after the test."""
    name = re.sub(r"\W+", "-", request.node.name)
    notebooks = []

    def opened(*cells: str) -> rig.Notebook:
        notebooks.append(rig.Notebook(page, home, f"{name}.ipynb", cells, *kernels))
        if not kernels:
            kernels.append(notebooks[-1].share_kernel())
        return notebooks[-1]

    yield opened
    for one in reversed(notebooks):
        one.close()


@pytest.fixture
def panel(notebook, page):
    """Show a panel in a notebook; returns the notebook."""

    def shown(*cells: str):
        opened = notebook(*cells)
        assert "Traceback" not in opened.run()
        page.wait_for_selector(".itl-controls :is(.itl-panel, [role=alert])")
        page.wait_for_selector(NOT_YET_SHOWN, state="detached")
        return opened

    return shown
