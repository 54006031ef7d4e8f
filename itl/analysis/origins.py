"""What made each result, and which comparisons mix results of different origin."""

from collections.abc import Iterable, Mapping

from itl.machine import Machine
from itl.runs.executors import with_needs
from itl.runs.question import Question
from itl.runs.store import PROVENANCE_FILE, Store

ORIGINS = {  # of provenance, in words
    "commit": "commits",
    "itl": "versions of itl",  # of an installed copy, which has no commit
    "device": "devices",
    "precision": "precisions",
    "torch": "versions of torch",
    "compile": "kinds of nets, compiled and not",
    "ranks": "numbers of processes that train one net",
}

Origins = Mapping[str, Mapping[str, frozenset[str]]]  # by run key: what made it and its net, by ORIGINS


def origins(question: Question, store: Store, machine: Machine) -> Origins:
    """Read what made each finished run of *question*, and the net that it measures."""
    made = {}
    for run in question.runs(machine):
        if not store.is_done(run.spec):
            continue
        records = [store.read(spec, PROVENANCE_FILE) for spec in with_needs([run.spec])]
        made[store.path(run.spec).name] = {
            name: frozenset(str(record[name]) for record in records if name in record) for name in ORIGINS
        }
    return made


def mixed(runs: Iterable[str], made: Origins) -> str:
    """Say what differs between the origins of *runs*, by their keys; '' where nothing does.

    >>> made = {"a": {"commit": frozenset({"c0ffee"})}, "b": {"commit": frozenset({"decade"})}}
    >>> mixed(["a", "b"], made), mixed(["a"], made)
    ('2 commits', '')
    """
    counts = {}
    for name, words in ORIGINS.items():
        values = frozenset().union(*(made.get(run, {}).get(name, frozenset()) for run in runs))
        if len(values) > 1:
            counts[words] = len(values)
    return ", ".join(f"{count} {words}" for words, count in counts.items())
