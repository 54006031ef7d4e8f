"""Imports flow one way: a module may use only those before it in ORDER."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import itl

LAYERS = """
    runs.bar
    machine presets specs storage
    hierarchy.taxonomy hierarchy.halves hierarchy.voc_classes hierarchy.label_sets
    sources.archives sources.boxes sources.image_files sources.records sources.annotated sources.voc_xml
    sources.detections_csv sources.proposal_files sources.proposals sources.cifar100
    sources.class_folders sources.coco sources.imagenet sources.sun397
    sources.synthetic.shapes sources.synthetic.appearance sources.synthetic.classes
    sources.synthetic.targets
    sources.voc_detection sources.voc_action sources.registry sources.check
    packs.resize packs.fit packs.writer packs.build packs.pack packs.paths packs.subset packs.thumbnails
    training.crop_cpu training.crop_triton training.batches training.checkpoint
    training.detection_batches training.nets training.roi_align training.detection_nets training.loop
    evaluation.accuracy evaluation.lr_search evaluation.target evaluation.finetune evaluation.voc_ap
    evaluation.actions evaluation.fast_rcnn evaluation.detection evaluation.knn
    evaluation.logistic_regression evaluation.frozen evaluation.induction
    runs.provenance runs.store runs.perform runs.throughput runs.cost runs.executors runs.plan
    runs.progress runs.question runs.questions
    analysis.statistics analysis.wording analysis.comparisons analysis.figures analysis.tables
    analysis.hierarchy_figures analysis.node_accuracy analysis.published
    report.notebook_file report.execute_notebook report.html report.notebook_html
    report.notebook_page report.run_index
    report.build
    browser.choice browser.preset browser.static_html browser.summary browser.tree_columns
    browser.widget
    bench.work bench.packing bench.batches bench.device bench.limits bench.linear bench.neighbours
    bench.paper_grid bench.regions bench.scoring bench.start bench.training bench.table
    __main__
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
        ("itl.hierarchy.label_sets", "torch pandas nltk networkx"),
        ("itl.packs.subset", "torch nltk papermill"),
        ("itl.evaluation.voc_ap", "torch nltk papermill"),
        ("itl.runs.questions", "torch nltk papermill"),
        ("itl.report.build", "torch nltk papermill nbformat nbconvert"),
        ("itl.runs.question", "papermill nltk jupyterlab IPython matplotlib seaborn timm tqdm dask"),
        ("itl.runs.perform", "papermill nltk jupyterlab IPython torchvision timm"),
        ("itl.bench.table", "papermill nltk jupyterlab IPython sklearn torchmetrics"),
    ],
)
def test_what_an_import_leaves_out(module, absent):
    """Who needs words, packs or finished runs never waits for torch; a GPU machine may have no papermill."""
    code = f"import sys, {module}; print(*[name for name in {absent.split()!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_questions_offer_the_methods_that_runs_have():
    from itl.runs.perform import EVALUATORS
    from itl.runs.questions import METHODS

    assert METHODS.keys() == EVALUATORS.keys()


def test_house_numbers():
    for path in modules().values():
        text = path.read_text()
        lines = text.count("\n")
        assert lines <= 500, f"{path.name} has {lines} lines; does it hold two nouns?"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                length = node.end_lineno - node.lineno + 1
                assert length <= 60, f"{path.name}: {node.name} has {length} lines"
