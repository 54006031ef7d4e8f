"""Adding seeds until a question is decided: runs, looks, and stops by the rule of its cap."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from itl.analysis.comparisons import contrasts
from itl.analysis.verdicts import DECIDED, verdicts_by_control
from itl.analysis.wording import answer_text, without_markup
from itl.errors import ItlError
from itl.machine import Machine
from itl.runs.question import Question, run_all
from itl.runs.store import Store
from itl.runs.study import MIN_SEEDS


def run_each_until_decided(questions: Sequence[Question], store: Store, machine: Machine) -> Iterator[str]:
    """Run *questions* one after the other, all checked first, and yield the line of `run_until_decided`.

    ItlError if the machine has a shard, or a question nothing to compare, no cap or fewer seeds than it; and
    at the end if runs of some have failed.
    """
    if machine.shard != (1, 1):
        raise ItlError("--until-decided looks at the results of all runs; leave --shard out")
    for question in questions:
        question.check_comparisons()
        seeds, cap = len(question.seeds), question.cap
        if cap < MIN_SEEDS or seeds < cap:
            raise ItlError(
                f"{question.name} has {seeds} seeds and cap {cap}; to add seeds until it is decided, give "
                f"its preset as many seeds as its cap, such as {cap or max(seeds, 10)}, before any result; "
                f"--only NOTEBOOK leaves out other questions"
            )
    failures = []
    for question in questions:
        try:
            yield run_until_decided(question, store, machine)
        except ItlError as error:  # which keeps no other from being decided
            failures.append(f"{question.name}: {error}")
    if failures:
        raise ItlError("; ".join(failures))


def run_until_decided(question: Question, store: Store, machine: Machine) -> str:
    """Run *question*, as checked, with its first three seeds, then with one more at a time, until decided.

    The main comparison is then a gain, a loss or the same. Its preset declares at most how many seeds there
    may be (its cap), so that every page adjusts its p values for the looks
    (`itl.analysis.seeds.look_level`). Where it stopped is kept: plans, pages and later runs take no more.

    Returns:
        One line: the number of seeds, and the answer.
    """
    for count in range(MIN_SEEDS, question.cap + 1):
        part = replace(question, seeds=question.seeds[:count])
        if part == question:  # an earlier stop may no longer hold, as by another analysis: this look has all
            question.stop_at(count, machine)
        run_all([part], store, machine)
        rows = contrasts(part, part.results(store, machine))
        main = rows.iloc[0]
        if decided := verdicts_by_control(rows).iloc[0] in DECIDED:
            break
    question.stop_at(count, machine)
    text = " ".join(without_markup(answer_text(main)).split())
    return f"{question.name}: {'decided' if decided else 'not decided'} with {count} seeds. {text}"
