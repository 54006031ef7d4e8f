"""The keys of the runs that every shipped preset asks for: they name folders that users keep."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from itl.presets import load_preset
from itl.runs.questions import QUESTIONS, questions_of
from itl.specs import Pretrain, key

PARAMS = Path(__file__).parents[1] / "params"
FIXTURE = Path(__file__).with_name("keys.txt")
TABLE = Path(__file__).parents[1] / "docs/presets.md"


def lines() -> Iterator[str]:
    """Write a line for each condition of each question: the keys of its runs with the first seed.

    Packs need data, so the key of its packing stands for the digest of each.
    """
    for path in sorted(PARAMS.glob("*.yaml")):
        for question in questions_of(load_preset(path.stem, PARAMS)):
            digests = {name: key(packing) for name, packing in question.packings().items()}
            keys = {}
            for run in question.runs_on(digests):
                if run.seed == question.seeds[0]:
                    condition = " ".join(str(value) for _, value in run.columns)
                    keys.setdefault(condition, []).append(f"{run.task} {key(run.spec)}")
            for condition, named in keys.items():
                yield f"{path.stem} / {question.name} / {condition}: {', '.join(named)}"


def test_keys_of_shipped_presets_stay():
    """A change that is meant to rename runs rewrites the file: with ITL_REWRITE_KEYS=1 in the environment.

    Numbers that change under the same spec raise `itl.specs.NUMERICS`, which renames all of them.
    """
    text = "".join(f"{line}\n" for line in lines())
    if os.environ.get("ITL_REWRITE_KEYS"):
        FIXTURE.write_text(text, "utf-8")
    assert text.splitlines() == FIXTURE.read_text("utf-8").splitlines()


def test_the_docs_say_how_many_nets_and_evaluations_a_preset_has():
    rows = re.findall(
        r"^\| `([\w-]+)` \|[^|]+\|[^|]+\| (\d+), (\d+) \|", TABLE.read_text("utf-8"), re.MULTILINE
    )
    assert rows
    for name, nets, evaluations in rows:
        specs: dict[str, set[str]] = {"nets": set(), "evaluations": set()}
        for question in questions_of(load_preset(name, PARAMS)):
            digests = {name: key(packing) for name, packing in question.packings().items()}
            for run in question.runs_on(digests):
                if isinstance(run.spec, Pretrain):
                    specs["nets"].add(key(run.spec))
                else:
                    specs["evaluations"].add(key(run.spec))
                    specs["nets"].add(key(run.spec.pretrain))
        assert (len(specs["nets"]), len(specs["evaluations"])) == (int(nets), int(evaluations)), name


def test_every_preset_and_question_is_among_them():
    named = {tuple(line.split(" / ")[:2]) for line in lines()}
    assert {preset for preset, _ in named} == {path.stem for path in PARAMS.glob("*.yaml")}
    assert {question for _, question in named} == {study.name for study in QUESTIONS.values()}
