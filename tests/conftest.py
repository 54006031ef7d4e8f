"""What several test files share: one tree small enough to draw, and stand-ins for what takes seconds."""

from shutil import copyfile

import pytest

from itl.hierarchy.taxonomy import Synset, Taxonomy
from tests.worlds import execute_here, stated_rates

# entity ─┬─ animal ─┬─ dog ─┬─ husky
#         │          │       └─ poodle      (the file names pet first, the alphabet dog)
#         │          ├─ pet ─── poodle
#         │          └─ fish ── trout
#         └─ vehicle ── car
SYNSETS = [
    ("entity", "", "all there is"),
    ("animal", "entity", "a living being that moves by itself"),
    ("vehicle", "entity", "it carries people"),
    ("pet", "animal", "an animal kept for company"),
    ("dog", "animal", "it barks"),
    ("fish", "animal", "it lives in water"),
    ("husky", "dog", "it pulls a sled"),
    ("poodle", "pet dog", "it has curly hair"),
    ("trout", "fish", "it has freckles"),
    ("car", "vehicle", "it has four wheels"),
]


BROWSER = "tests/browser/test_"
IN_ONE_LAB = tuple(  # in one process, which starts JupyterLab and Chromium once
    BROWSER + name for name in ("axe", "browser", "busy_kernel", "clicks", "first_hour", "panels", "stills")
)
SLOW = (  # take two seconds or more each: the longest start first, and --quick leaves all out
    *IN_ONE_LAB,
    "tests/runs/test_slurm.py",
    "tests/runs/test_executors.py",
    "tests/runs/test_cluster.py",
    "tests/test_processes.py",
    "tests/test_chaos.py",
    "tests/packs/test_writer.py",
    "tests/runs/test_own_weights.py",
    "tests/training/test_crop_triton.py",
    "tests/evaluation/test_placement.py",
    "tests/bench/test_batches.py",
    "tests/report/test_build.py",
    "tests/report/test_stopped_reports.py",
    "tests/report/test_odd_settings.py",
    "tests/evaluation/test_detection.py",
    "tests/bench/test_gpu_check.py",
    "tests/training/test_hubs.py",
    "tests/training/test_weight_advice.py",
    "tests/training/test_weight_claims.py",
    "tests/training/test_weights.py",
    "tests/training/test_weights_refused.py",
    "tests/evaluation/test_knn_triton.py",
    "tests/panels/test_study.py",
    "tests/panels/test_study_process.py",
    "tests/runs/test_plan.py",
    "tests/runs/test_plan_refused.py",
    "tests/training/test_published_weights.py",
    "tests/runs/test_question.py",
    "tests/runs/test_throughput.py",
    "tests/test_main.py",
    "tests/test_mutated_inputs.py",
    "tests/test_dependencies.py",
    "tests/test_mutants.py",
    "tests/test_installed.py",
    "tests/test_storage.py",
    "tests/analysis/test_pilot.py",
    "tests/sources/synthetic/test_synthetic.py",
    "tests/analysis/test_score_trust.py",
    "tests/training/test_loop.py",
    "tests/training/test_loop_processes.py",
    "tests/training/test_memory.py",
    "tests/studies/test_advice.py",
    "tests/studies/test_decisions.py",
    "tests/studies/test_influence.py",
    "tests/bench/test_paper_grid.py",
    "tests/bench/test_table.py",
    "tests/hierarchy/test_label_sets_properties.py",
    "tests/hierarchy/test_taxonomy_nltk.py",
    "tests/sources/test_check.py",
    "tests/sources/test_containers.py",
    "tests/sources/test_layout_properties.py",
    "tests/analysis/test_added_seeds.py",
    "tests/analysis/test_advice.py",
    "tests/analysis/test_comparisons.py",
    "tests/analysis/test_doubts.py",
    "tests/analysis/test_expected_scores.py",
    "tests/analysis/test_figures.py",
    "tests/analysis/test_influence.py",
    "tests/analysis/test_influence_runs.py",
    "tests/analysis/test_model.py",
    "tests/analysis/test_node_accuracy.py",
    "tests/analysis/test_published.py",
    "tests/analysis/test_seeds.py",
    "tests/browser/test_choice.py",
    "tests/browser/test_page_logic.py",
    "tests/evaluation/test_finetune.py",
    "tests/evaluation/test_frozen.py",
    "tests/evaluation/test_induction.py",
    "tests/evaluation/test_knn.py",
    "tests/evaluation/test_logistic_regression.py",
    "tests/evaluation/test_scores.py",
    "tests/evaluation/test_voc_ap.py",
    "tests/evaluation/test_voc_ap_command.py",
    "tests/packs/test_duplicates.py",
    "tests/packs/test_pack.py",
    "tests/panels/test_advice.py",
    "tests/panels/test_influence.py",
    "tests/panels/test_net.py",
    "tests/panels/test_results.py",
    "tests/sources/test_proposals.py",
    "tests/sources/test_target_sets.py",
    "tests/report/test_render.py",
    "tests/report/test_run_index.py",
    "tests/training/test_batches.py",
    "tests/runs/test_devices.py",
    "tests/training/test_nets.py",
    "tests/training/test_detection_nets.py",
)


@pytest.hookimpl(optionalhook=True)  # where pytest-xdist is installed
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep the tests of a file in one process, which makes what they share once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return BROWSER if file.startswith(IN_ONE_LAB) else file

    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start what takes longest first."""
    items.sort(
        key=lambda item: next((n for n, path in enumerate(SLOW) if item.nodeid.startswith(path)), len(SLOW))
    )


def small_taxonomy() -> Taxonomy:
    """Make a taxonomy of ten synsets, whose wnids are words."""
    synsets = [
        Synset(word, f"{word}.n.01", (word,), gloss, tuple(parents.split()))
        for word, parents, gloss in SYNSETS
    ]
    return Taxonomy(synsets, ["husky", "poodle", "trout", "car"])


@pytest.fixture
def in_this_process(monkeypatch):
    """Questions do their runs in this process: to start others takes seconds."""
    monkeypatch.setattr("itl.runs.question.execute", execute_here)


@pytest.fixture
def rated(monkeypatch):
    """Plans reckon with RATE and FROZEN of `tests.worlds`: to measure takes seconds."""
    monkeypatch.setattr("itl.runs.plan.rates_of", stated_rates)


@pytest.fixture
def no_kernels(monkeypatch):
    """Notebooks become pages as they are: to start a kernel for each takes seconds."""
    execute = "itl.report.execute_notebook.execute_notebook"
    monkeypatch.setattr(execute, lambda source, target, *_: copyfile(source, target))


@pytest.fixture(scope="session")
def tree() -> Taxonomy:
    """Return the taxonomy of `small_taxonomy`, made once."""
    return small_taxonomy()
