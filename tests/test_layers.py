"""Imports flow one way: a module may use only those before it in ORDER."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import itl

LAYERS = """
    wordnet groups pascal labels config choice statistics files provenance bar
    data.archives data.objects data.voc data.regions data.region_files data.detections
    data.sources data.imagenet data.cifar
    data.resize data.decode data.survey data.proposals data.voc_detection data.voc_action data.sun data.coco
    data.drawing data.appearance data.demo data.demo_targets data.open data.check
    data.journal data.fill data.build data.pack
    data.subset data.census data.gallery data.locate data.crop data.fused data.batches data.pictures
    learn.checkpoint learn.models learn.roi learn.parts learn.train
    transfer.target transfer.metrics transfer.average_precision transfer.choose transfer.finetune
    transfer.actions transfer.rcnn transfer.detection transfer.neighbours transfer.linear transfer.frozen
    transfer.induction
    store runs execute resources rates costs planning progress question settings study
    tables nodes answers contrasts paper plots treeplots notebook kernel site page register job
    browser.columns browser.picture browser.summary browser.preset widgets report
    bench.work bench.limits bench.start bench.packing bench.batches bench.regions bench.scoring bench.training
    bench.device bench.neighbours bench.linear bench.table __main__
"""
ORDER = LAYERS.split()
ROOT = Path(itl.__file__).parent


def modules() -> dict[str, Path]:
    files = [path for path in sorted(ROOT.rglob("*.py")) if path.name != "__init__.py"]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}


def imported(path: Path) -> set[str]:
    """The itl modules that *path* imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in ORDER if f"itl.{name}" in names}


def test_the_order_names_every_module():
    assert sorted(ORDER) == sorted(modules())


@pytest.mark.parametrize("module", ORDER)
def test_imports_flow_one_way(module):
    later = imported(modules()[module]) - set(ORDER[: ORDER.index(module)])
    assert not later, f"{module} imports {sorted(later)}, which come after it"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("itl", "torch pandas numpy nltk networkx"),
        ("itl.__main__", "torch pandas numpy nltk networkx"),
        ("itl.labels", "torch pandas nltk networkx"),
        ("itl.data.subset", "torch nltk papermill"),
        ("itl.transfer.average_precision", "torch nltk papermill"),
        ("itl.study", "torch nltk papermill"),
        ("itl.report", "torch nltk papermill nbformat nbconvert"),
        ("itl.question", "papermill nltk jupyterlab IPython matplotlib seaborn timm tqdm dask"),
        ("itl.runs", "papermill nltk jupyterlab IPython torchvision timm"),
        ("itl.bench.table", "papermill nltk jupyterlab IPython sklearn torchmetrics"),
    ],
)
def test_what_an_import_leaves_out(module, absent):
    """Who needs words, packs or finished runs never waits for torch; a GPU machine may have no papermill."""
    code = f"import sys, {module}; print(*[name for name in {absent.split()!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_questions_offer_the_methods_that_runs_have():
    from itl.runs import EVALUATORS
    from itl.study import METHODS

    assert METHODS.keys() == EVALUATORS.keys()


def test_house_numbers():
    for path in modules().values():
        text = path.read_text()
        lines = text.count("\n")
        assert lines <= 300, f"{path.name} has {lines} lines; does it hold two nouns?"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                length = node.end_lineno - node.lineno + 1
                assert length <= 60, f"{path.name}: {node.name} has {length} lines"
