"""The package as it is installed: what a wheel holds, and what an import leaves out."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import itl

ABSENT = {  # modules of itl -> what their import leaves out; imported in this order, by one process
    "itl": "torch pandas numpy nltk networkx",
    "itl.commands": "torch pandas numpy nltk networkx",
    "itl.evaluation.methods": "torch pandas numpy nltk papermill",
    "itl.hierarchy.label_sets": "torch pandas nltk networkx",
    "itl.packs.subset": "torch nltk papermill",
    "itl.evaluation.voc_ap": "torch nltk papermill",
    "itl.runs.questions": "torch nltk papermill",
    "itl.runs.question": "torch papermill nltk jupyterlab IPython matplotlib seaborn timm tqdm dask",
    "itl.analysis.comparisons": "torch papermill nltk matplotlib scipy.stats",
    "itl.report.build": "torch nltk papermill nbformat nbconvert scipy.stats",
    "itl.panels.results": "torch numba nltk papermill jupyterlab",
    "itl.runs.perform": "papermill nltk jupyterlab IPython torchvision timm",
    "itl.bench.table": "papermill nltk jupyterlab IPython sklearn torchmetrics",
}
IMPORT_IN_TURN = """
import gc, os, sys
gc.disable()
from importlib import import_module
for module, absent in {}.items():
    is_panel = module.startswith("itl.panels.")  # which imports what the others leave out
    sys.stdout.flush()
    if is_panel and os.fork():
        os.wait()
        continue
    import_module(module)
    print(*[f"{{module}} imports {{name}}" for name in absent.split() if name in sys.modules], sep="\\n")
    sys.stdout.flush()
    if is_panel:
        os._exit(0)
os._exit(0)
"""


def test_what_an_import_leaves_out():
    """Who needs words, packs or finished runs never waits for torch; a GPU machine may have no papermill."""
    command = [sys.executable, "-c", IMPORT_IN_TURN.format(ABSENT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == [""] * (1 + len(ABSENT))


def test_a_wheel_has_all_packages_and_what_they_read(tmp_path):
    """Built as `pip` does, unpacked elsewhere, and asked from an empty folder."""
    pytest.importorskip("setuptools", reason="setuptools is not installed, which builds wheels")
    root = Path(itl.__file__).parents[1]
    source = tmp_path / "source"
    for folder in ("itl", "params", "notebooks"):
        shutil.copytree(root / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, source)
    build = "import setuptools.build_meta as backend, sys; print(backend.build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", build, str(tmp_path)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    installed = tmp_path / "installed"
    shutil.unpack_archive(tmp_path / done.stdout.split()[-1], installed, "zip")
    packages = {str(path.parent.relative_to(root)) for path in (root / "itl").rglob("*.py")}
    assert packages == {str(path.parent.relative_to(installed)) for path in installed.rglob("*.py")}
    kept = {path.relative_to(root / "itl") for path in (root / "itl").rglob("*") if path.is_file()}
    kept = {path for path in kept if "__pycache__" not in path.parts}
    missing = kept - {path.relative_to(installed / "itl") for path in (installed / "itl").rglob("*")}
    assert not missing
    (tmp_path / "empty").mkdir()
    say = (
        "from itl.presets import *; from itl.report.build import pages_of; from itl.machine import Machine;"
        "pages = pages_of(load_preset('demo'), 'out', Machine());"
        "print(len(pages), pages[0].source, working_folder(pages[0].source))"
    )
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", say], cwd=tmp_path / "empty", capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == [
        "9",
        f"{installed}/itl/notebooks/00-hierarchy.ipynb",
        f"{tmp_path}/empty",
    ], done.stderr
