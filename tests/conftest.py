"""What several test files share: one tree small enough to draw, and stand-ins for what takes seconds."""

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
    monkeypatch.setattr("itl.runs.plan.calibrated", stated_rates)


@pytest.fixture(scope="session")
def tree() -> Taxonomy:
    """Return the taxonomy of `small_taxonomy`, made once."""
    return small_taxonomy()
