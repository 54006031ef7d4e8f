"""How often verdicts are right: simulated questions in which the truth is known.

`python -m studies.decisions [STUDIES]` prints two tables of docs/statistics.md. A question has six
pre-trained conditions and three tasks; its first three conditions are compared with the last on each task:
nine comparisons, the first of them the main one. Scores have a spread of 1 within a seed.
"""

import math
import sys
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from itl.analysis.model import Estimate, TaskModel, fit
from itl.analysis.seeds import look_level
from itl.analysis.verdicts import Evidence, Verdict, judge
from itl.analysis.wording import GAIN, LOSS, SAME

SEEDS = (3, 5, 10)
CONDITIONS, TASKS, COMPARED = 6, 3, 3
TWO_SD = 2 * math.sqrt(2)  # two standard deviations of the difference of two conditions
NOISY = 3.0  # how many times as wide the spread of a noisy condition is
NO_EFFECT = (0.0, 0.0, 0.0)  # true changes of the compared conditions
TRUE_CHANGES = (
    ("none", 0.0, 1.0),
    ("none, a noisy one", 0.0, NOISY),
    ("2 SD", TWO_SD, 1.0),
)  # of the main one
LAST = CONDITIONS - 1


def simulated(
    seeds: int,
    studies: int,
    effects: tuple[float, ...] = NO_EFFECT,
    spread: float = 1.0,
    only: int = TASKS,
    noisy: int = 0,
) -> Iterable[list[np.ndarray]]:
    """Yield so many *studies*, each the values (seeds, CONDITIONS) of its tasks.

    The first conditions have true *effects*, on the first *only* tasks. *spread* is that of the
    *noisy* condition within a seed; that of the others is 1.
    """
    random = np.random.default_rng(seeds)
    for _ in range(studies):
        noise = random.normal(size=(TASKS, seeds, CONDITIONS))
        noise[:, :, noisy] *= spread
        tasks = noise + random.normal(size=(TASKS, seeds, 1))
        tasks[:only, :, : len(effects)] += effects
        yield list(tasks)


def changes(tasks: list[np.ndarray]) -> list[Estimate]:
    """Estimate the nine comparisons of a question, the main one first."""
    models = [model_of(values) for values in tasks]
    return [model.estimate(contrast(first)) for model in models for first in range(COMPARED)]


def verdicts(compared: list[Estimate], margin: float) -> list[Verdict]:
    """Judge the `changes` of a question."""
    family = []
    for change in compared:
        sides = change, replace(change, mean=-change.mean)
        family.append(Evidence(change, margin, max(side.p_above(-margin) for side in sides)))
    return judge(family)


def model_of(values: np.ndarray) -> TaskModel:
    """Fit the model of a task, which serves all its comparisons: *values* (seeds, CONDITIONS) lack no run."""
    return fit(values, np.ones(CONDITIONS, bool), np.arange(CONDITIONS))


def contrast(first: int) -> np.ndarray:
    """Weights of the comparison of condition *first* with the last."""
    return np.eye(CONDITIONS)[first] - np.eye(CONDITIONS)[LAST]


def verdict_table(studies: int) -> pd.DataFrame:
    """Tabulate, in percent of questions or comparisons, how often verdicts are false and how often found.

    False gains and losses are counted without a margin, which would turn small ones into the same.
    """
    rows = []
    for seeds in SEEDS:
        nowhere = [changes(tasks) for tasks in simulated(seeds, studies)]
        equal, same = ([verdicts(compared, m) for compared in nowhere] for m in (0.0, TWO_SD))
        noisy_tasks = list(simulated(seeds, studies, spread=NOISY))
        noisy = [verdicts(changes(tasks), 0.0) for tasks in noisy_tasks]
        everywhere = [changes(tasks) for tasks in simulated(seeds, studies, (TWO_SD,) * COMPARED)]
        at_margin, nine = ([verdicts(compared, m) for compared in everywhere] for m in (TWO_SD, TWO_SD / 2))
        far = NOISY * TWO_SD  # a margin that as noisy a condition can be shown to be within
        noisy_same = [
            [
                verdicts(changes(tasks), far)
                for tasks in simulated(seeds, studies, (far,) * COMPARED, NOISY, noisy=one)
            ]
            for one in (0, LAST)
        ]
        once = simulated(seeds, studies, (TWO_SD, 0.0, 0.0), only=1)
        alone = [verdicts(changes(tasks), TWO_SD / 2) for tasks in once]
        rows.append(
            {
                "seeds": seeds,
                "false gain or loss": _percent(_any_change(judged) for judged in equal),
                "one condition three times as noisy": _percent(_any_change(judged) for judged in noisy),
                "flagged": _percent(model_of(tasks[0]).unequal[0] for tasks in noisy_tasks),
                "false same": _percent(map(_any_same, at_margin)),
                "false same, one compared noisy": _percent(map(_any_same, noisy_same[0])),
                "false same, the reference noisy": _percent(map(_any_same, noisy_same[1])),
                "main, 2 SD found": _percent(judged[0].word == GAIN for judged in alone),
                "among nine, 2 SD found": _percent(row.word == GAIN for judged in nine for row in judged[1:]),
                "main, same found": _percent(judged[0].word == SAME for judged in same),
                "among nine, same found": _percent(row.word == SAME for judged in same for row in judged[1:]),
            }
        )
    return pd.DataFrame(rows)


def _any_change(judged: list[Verdict]) -> bool:
    return any(row.word in (GAIN, LOSS) for row in judged)


def _any_same(judged: list[Verdict]) -> bool:
    return any(row.word == SAME for row in judged)


def until_decided_table(studies: int, caps: tuple[int, ...] = (6, 10)) -> pd.DataFrame:
    """Tabulate seeds that are added until the main comparison is decided: how often falsely, and how many.

    The 95 % interval is that at the stop, or at the cap.
    """
    rows = []
    for cap in caps:
        for true, effect, spread in TRUE_CHANGES:
            stops = [_stop(tasks[0], cap) for tasks in simulated(cap, studies, (effect,), spread)]
            decided, changes = zip(*stops, strict=True)
            ends = [change.interval() for change in changes]
            seeds = np.mean([change.n for change in changes])
            held = _percent(low <= effect <= high for low, high in ends)
            rows.append((cap, true, _percent(decided), f"{seeds:.1f}", held))
    columns = ["at most", "true change", "gain or loss", "seeds on average", "interval holds"]
    return pd.DataFrame(rows, columns=columns)


def _stop(values: np.ndarray, cap: int) -> tuple[bool, Estimate]:
    """Say if the main comparison comes out as a gain or a loss, and return it at that look or the last."""
    for seeds in range(3, cap + 1):
        change = model_of(values[:seeds]).estimate(contrast(0))
        if change.p < look_level(seeds, cap):
            return True, change
    return False, change


def _percent(happened: Iterable[bool]) -> str:
    """Share of what *happened*, in percent to a tenth."""
    return f"{100 * np.mean([bool(value) for value in happened]):.1f}"


def main(studies: int = 2000) -> None:
    """Print every table."""
    for table in (verdict_table, until_decided_table):
        print((table.__doc__ or "").splitlines()[0])
        print(table(studies).to_string(index=False), end="\n\n", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
