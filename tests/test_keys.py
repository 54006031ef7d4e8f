"""The keys of the runs that presets ask for, those shipped and those of studies: they name folders."""

import os
import re
from functools import cache
from pathlib import Path

from itl.presets import load_preset
from itl.runs.design import Run
from itl.runs.question import Question
from itl.runs.questions import QUESTIONS, questions_of
from itl.specs import Pretrain, key
from tests.worlds import PRESETS

ROOT = Path(__file__).parents[1]
FIXTURE = Path(__file__).with_name("keys.txt")
TABLES = [ROOT / "docs/presets.md", ROOT / "studies/README.md"]


@cache
def asked() -> list[tuple[str, Question, list[Run]]]:
    """All questions of PRESETS, each with the name of its preset and its runs.

    Packs need data, so the key of its packing stands for the digest of each.
    """
    rows = []
    for path in PRESETS:
        for question in questions_of(load_preset(path)):
            digests = {name: key(packing) for name, packing in question.packings().items()}
            rows.append((path.stem, question, list(question.runs_on(digests))))
    return rows


@cache
def lines() -> list[str]:
    """Write a line for each condition of each question: the keys of its runs with the first seed."""
    rows = []
    for preset, question, runs in asked():
        keys: dict[str, list[str]] = {}
        for run in runs:
            if run.seed == question.seeds[0]:
                condition = " ".join(str(value) for _, value in run.columns)
                keys.setdefault(condition, []).append(f"{run.task} {key(run.spec)}")
        for condition, named in keys.items():
            rows.append(f"{preset} / {question.name} / {condition}: {', '.join(named)}")
    return rows


def test_keys_of_presets_stay():
    """A change that is meant to rename runs rewrites the file: with ITL_REWRITE_KEYS=1 in the environment.

    Numbers that change under the same spec raise `itl.specs.NUMERICS`, which renames all of them, or one of
    NUMERICS_OF and NUMERICS_OF_NETS.
    """
    text = "".join(f"{line}\n" for line in lines())
    if os.environ.get("ITL_REWRITE_KEYS"):
        FIXTURE.write_text(text, "utf-8")
    assert text.splitlines() == FIXTURE.read_text("utf-8").splitlines()


def test_the_docs_say_how_many_nets_and_evaluations_a_preset_has():
    text = "".join(table.read_text("utf-8") for table in TABLES)
    rows = re.findall(r"^\| `([\w-]+)` \|[^|]+\|[^|]+\| (\d+), (\d+) \|", text, re.MULTILINE)
    assert {name for name, *_ in rows} == {path.stem for path in PRESETS}
    for name, nets, evaluations in rows:
        specs = {run.spec for preset, _, runs in asked() if preset == name for run in runs}
        measured = {spec for spec in specs if not isinstance(spec, Pretrain)}
        trained = specs - measured | {spec.pretrain for spec in measured}
        assert (len(trained), len(measured)) == (int(nets), int(evaluations)), name


def test_every_preset_and_question_is_among_them():
    named = {tuple(line.split(" / ")[:2]) for line in lines()}
    assert {preset for preset, _ in named} == {path.stem for path in PRESETS}
    assert {question for _, question in named} == {study.name for study in QUESTIONS.values()}
