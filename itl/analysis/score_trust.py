"""Which cheap score can be trusted: how well its order of nets agrees with their transfer.

Everything is computed for each task, then averaged over tasks. Intervals and tests are for other targets and
other seeds: see `bootstrap`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from scipy.special import stdtr

from itl.analysis.figures import COLOURS, INK, styled
from itl.analysis.model import ROUNDING
from itl.analysis.statistics import LEVEL, critical, fieller, holm
from itl.analysis.task_values import rows_of
from itl.analysis.wording import p_text, percent_interval
from itl.errors import ItlError
from itl.evaluation.methods import METHODS
from itl.evaluation.scores import SCORES
from itl.evaluation.transferability import EXTRACTION, SECONDS
from itl.machine import Machine
from itl.runs.question import Question
from itl.runs.store import PROVENANCE_FILE, Store
from itl.runs.task_questions import ONE_TARGET, score_task

SIZE, SOURCE_ACCURACY, RANDOM = "data_size", "source_accuracy", "random"
WORDS = {name: score.words for name, score in SCORES.items()} | {
    SOURCE_ACCURACY: "accuracy on own classes",
    SIZE: "number of images alone",
    RANDOM: "a net at random",
}
RESAMPLES = 300
FEW_NETS = 12  # resamples of fewer seeds hardly differ: orders beyond chance are tried by random orders too
ORDERS = 999  # of these
QUANTITIES = ("tau", "regret", "gain")
BEST, WITHIN_NOISE, WORSE = "the best", "within noise of the best", "worse than the best"
NO_ORDER, BACKWARDS, NOT_TESTED = "no order beyond chance", "orders backwards", "not tested"


@dataclass(frozen=True)
class Nets:
    """The scores of nets, and how well the nets transfer.

    Nets of one seed share their initial weights, and the choice of images and classes.
    """

    scores: np.ndarray  #: (tasks, nets, predictors); higher promises more, nan where it is not defined
    transfer: np.ndarray  #: (tasks, nets), in percent
    untrained: np.ndarray  #: (tasks,), the mean without pre-training; all nan if it is not known
    seeds: np.ndarray  #: (nets,)
    tasks: tuple[str, ...]
    targets: tuple[str, ...]  #: of the tasks; several may be on one
    predictors: tuple[str, ...]  #: names of the scores


@dataclass(frozen=True)
class Assessment:
    """What `assess` returns: a row for each predictor, its values on each task, and seconds."""

    table: pd.DataFrame
    per_task: pd.DataFrame
    nets: int
    seeds: int
    seconds: Mapping[str, float]


def assess(question: Question, results: pd.DataFrame, store: Store, machine: Machine) -> Assessment:
    """Judge every predictor by the finished runs of *question*, whose *results* these are; see `judged`."""
    nets, seconds = nets_of(question, results), median_seconds(question, store, machine)
    table = judged(nets)
    table["seconds"] = [seconds.get(name, 0.0) for name in table["predictor"]]
    return Assessment(table, per_task(nets), len(nets.seeds), len(set(nets.seeds)), seconds)


def nets_of(question: Question, results: pd.DataFrame) -> Nets:
    """Arrange the *results* of *question*: nets trained here that have every task and every run of scores.

    Predictors that need no run of their own are added: the accuracy on the net's own classes, the number of
    images that it was trained on, and one value for all nets, which is a choice at random. ItlError if there
    are fewer than two such nets, or nets of fewer than two seeds.
    """
    columns = [*(name for name, _ in question.conditions[0].columns), "seed"]
    tasks = [task for task in question.tasks if task.measures_transfer]
    known = results[results["images"] > 0].groupby(columns, sort=False)["images"].first().to_frame(SIZE)
    known[SOURCE_ACCURACY] = _values(results, "own", columns)
    known[RANDOM] = 0.0
    values = {task.name: _values(results, task.name, columns) for task in tasks}
    transfer = pd.concat(values, axis=1, sort=False)
    of_task = [results[results["task"] == score_task(task).name] for task in tasks]
    frames = [rows.groupby([*columns, "metric"], sort=False)["value"].mean().unstack() for rows in of_task]
    index = known.index.intersection(transfer.dropna().index, sort=False)
    for frame in frames:
        index = index.intersection(frame.index, sort=False)
    seeds = index.get_level_values("seed").to_numpy()
    if len(index) < 2 or len(set(seeds)) < 2:
        raise ItlError(
            f"scores are judged on nets of two seeds or more that have every task; {len(index)} nets of "
            f"{len(set(seeds))} seeds have; run more of the question first, or give more seeds"
        )
    predictors = (*SCORES, *known.columns)
    tables = [frame.join(known).reindex(index=index, columns=predictors).to_numpy(float) for frame in frames]
    plain = results[(results["images"] == 0) & (results["weights"] == "")].set_index(columns).index
    untrained = transfer[transfer.index.isin(plain)].dropna().mean()  # of the same nets on all tasks
    names, targets = tuple(task.name for task in tasks), tuple(task.target for task in tasks)
    measured = transfer.loc[index].to_numpy(float).T
    scores = np.apply_along_axis(ties, 1, np.array(tables))
    return Nets(scores, measured, untrained.to_numpy(float), seeds, names, targets, predictors)


def ties(scores: np.ndarray) -> np.ndarray:
    """Give *scores* (nets,) of which one differs from the next by rounding alone the same value.

    Such as the H-scores of features of more dimensions than images, which are the number of classes less 1.

    >>> ties(np.array([4 + 1e-15, 5.0, 4 - 1e-15])).tolist()
    [3.999999999999999, 5.0, 3.999999999999999]
    """
    order = scores.argsort()
    rises = np.diff(scores[order], prepend=-math.inf) > ROUNDING * np.abs(scores).max()
    tied = scores.copy()  # as they are where one is nan
    if rises.any():
        tied[order] = scores[order][rises][rises.cumsum() - 1]
    return tied


def _values(results: pd.DataFrame, task: str, columns: list[str]) -> pd.Series:
    """Return the values of *task*, by its main metric, by net; fits are averaged."""
    return rows_of(results, task).groupby(columns, sort=False)["value"].mean()


def median_seconds(question: Question, store: Store, machine: Machine) -> dict[str, float]:
    """Return the median seconds of each score, of the pass that they share, and of each transfer method."""
    rows = []
    for run in question.runs(machine):
        if run.method in METHODS and store.result(run.spec) is not None:
            if METHODS[run.method].predicts:
                rows.append(store.read(run.spec, SECONDS))
            else:
                rows.append({run.method: store.read(run.spec, PROVENANCE_FILE)["seconds"]})
    return pd.DataFrame(rows).median().to_dict()


def per_task(nets: Nets) -> pd.DataFrame:
    """Tabulate each predictor's `agreement` on each task: columns task, predictor, tau, regret, gain."""
    rows = []
    for number, task in enumerate(nets.tasks):
        values = agreement(nets.scores[number], nets.transfer[number], nets.untrained[number])
        rows += [(task, name, *column) for name, column in zip(nets.predictors, values.T, strict=True)]
    return pd.DataFrame(rows, columns=["task", "predictor", *QUANTITIES])


def agreement(scores: np.ndarray, transfer: np.ndarray, untrained: float = math.nan) -> np.ndarray:
    """Compare each of some scores of nets with their transfer.

    By `weighted_tau`, mistakes among the best nets, by score or by transfer, count most. The regret is how
    much worse the net with the highest score transfers than the best net; if several have that score, their
    mean counts. The gain is that of the best net over no pre-training.

    Args:
        scores: (nets, predictors); a predictor with a nan is not defined.
        transfer: (nets,), in percent, as is that of nets *untrained*.

    Returns:
        (3, predictors): tau, nan where the predictor or the transfer is the same for all nets; regret and
        gain in points.
    """
    best, values = transfer.max(), np.full((3, scores.shape[1]), math.nan)
    for column, score in enumerate(scores.T):
        if np.isfinite(score).all():
            if np.ptp(score) > 0 and np.ptp(transfer) > 0:
                values[0, column] = weighted_tau(score, transfer)
            values[1:, column] = best - transfer[score == score.max()].mean(), best - untrained
    return values


def weighted_tau(score: np.ndarray, transfer: np.ndarray) -> float:
    """Return the weighted τ of the *score* (nets,) and the *transfer* (nets,) of nets, from −1 to 1.

    It is that of Vigna, A weighted correlation index for rankings with ties, 2015: the mean of those with
    hyperbolic weights of the ranks by score and by transfer. But equal values share the mean of their ranks.
    SciPy's function ranks nets of one score by their transfer, so that the better ones weigh more, and is
    above 0 where nothing is related: by 0.1 to 0.2 for a score of two to six values.

    >>> weighted_tau(np.array([1.0, 1, 2, 2]), np.array([1.0, 2, 1, 2]))
    0.0
    """
    by_score, by_transfer = (np.sign(values[:, None] - values) for values in (score, transfer))
    agree = (by_score * by_transfer).sum(1)  # of each net, the others on the same side by both, less the rest
    apart = np.abs(by_score).sum(1), np.abs(by_transfer).sum(1)  # those with another value
    taus = []
    for signs in (by_score, by_transfer):
        weights = 1 / (len(score) + 1 - signs.sum(1))  # of twice the rank
        taus.append(weights @ agree / math.sqrt((weights @ apart[0]) * (weights @ apart[1])))
    return float(np.mean(taus))


def bootstrap(nets: Nets, resamples: int = RESAMPLES) -> np.ndarray:
    """Resample targets and seeds, independently and with replacement, and average over tasks.

    A resampled seed brings all its nets, and a target all its tasks (Owen, The pigeonhole bootstrap, 2007,
    whose spread is never too small on average if both matter).

    Returns:
        (resamples, 3, predictors): the means of `agreement` over the tasks that have a value.
    """
    random = np.random.default_rng(0)
    seeds, targets = np.unique(nets.seeds), np.array(nets.targets)
    nets_of_seed = {seed: np.flatnonzero(nets.seeds == seed) for seed in seeds}
    names = np.unique(targets)
    means = np.empty((resamples, len(QUANTITIES), len(nets.predictors)))
    for number in range(resamples):
        rows = np.concatenate([nets_of_seed[seed] for seed in random.choice(seeds, len(seeds))])
        drawn = random.choice(names, len(names))
        weights = np.array([(drawn == target).sum() for target in targets], float)
        used = np.flatnonzero(weights)
        values = [agreement(nets.scores[k][rows], nets.transfer[k][rows], nets.untrained[k]) for k in used]
        means[number] = _mean(np.array(values), weights[used])
    return means


def _mean(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the mean over the first axis of *values* by *weights*, without nan; nan where all are."""
    mean = np.ma.average(np.ma.masked_invalid(values), axis=0, weights=weights)
    return np.ma.filled(mean, math.nan)


def judged(nets: Nets, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Judge every predictor, the highest mean τ first.

    A standard error is the spread of `bootstrap`; intervals (95 %) and tests are Student's, with as many
    degrees of freedom as there are targets or seeds, whichever are fewer, less 1. For τ these are the targets
    that have one: where all nets transfer alike, nothing is ordered. There are three families of tests, each
    at 5 %: every predictor against no order (Holm, two-sided), every predictor against the number
    of images alone (Holm, two-sided), and every predictor against the best one (Bonferroni, one-sided: Hsu,
    Constrained simultaneous confidence intervals for multiple comparisons with the best, 1984). The best one
    has the highest τ of those that order the nets beyond chance. Resamples of few nets may hardly differ: p
    of no order is then at least that of nets in a random order. A perfect order has no spread: its p is the
    chance of `perfect_order_p`.

    Returns:
        Columns predictor; tau, regret (points) and share (see `share_lost`), each with _low and _high; tasks
        that have a τ of the predictor; p_order, p_size and p_best, adjusted; verdict. The choice at
        random, which has no τ, comes last.
    """
    by_task = zip(nets.scores, nets.transfer, nets.untrained, strict=True)
    values, draws = np.array([agreement(*task) for task in by_task]), bootstrap(nets, resamples)
    taus, regrets, gains = values.swapaxes(0, 1)  # (tasks, predictors) each
    tau_draws, regret_draws, _ = draws.swapaxes(0, 1)  # (resamples, predictors) each
    tau_df, regret_df, gain_df = (_degrees_of_freedom(nets, quantity) for quantity in (taus, regrets, gains))
    tau, regret, gain = _mean(values)
    table = pd.DataFrame({"predictor": nets.predictors, "tasks": np.isfinite(taus).sum(0)})
    quantities = (("tau", tau, tau_draws, tau_df), ("regret", regret, regret_draws, regret_df))
    for name, mean, of_quantity, df in quantities:
        reach = np.array([critical(value) for value in df]) * _spread(of_quantity)
        table[name], table[f"{name}_low"], table[f"{name}_high"] = mean, mean - reach, mean + reach
    pairs = np.moveaxis(draws[:, 1:], 2, 0)  # (predictors, resamples, 2): regret and gain
    shares = zip(np.stack([regret, gain], 1), pairs, gain_df, strict=True)
    table[["share", "share_low", "share_high"]] = [share_lost(*share) for share in shares]
    table["tau_low"], table["tau_high"] = table["tau_low"].clip(lower=-1), table["tau_high"].clip(upper=1)
    for name in ("regret_low", "share_low"):
        table[name] = table[name].clip(lower=0)  # no net is better than the best one
    table = table.assign(**_tests(nets, taus, tau_draws, tau_df))
    table["verdict"] = _verdicts(table)
    return table.sort_values("tau", ascending=False, kind="stable", na_position="last", ignore_index=True)


def share_lost(means: np.ndarray, draws: np.ndarray, df: float) -> tuple[float, float, float]:
    """Return the share of the gain that is lost, with its interval by Fieller's theorem; nan of no gain.

    *means* (2,) are those of regret and gain over tasks, with *draws* (resamples, 2). A mean of the shares of
    tasks would be that of the task where pre-training gains least.
    """
    regret, gain = means
    (variance, covariance), (_, of_gain) = pd.DataFrame(draws).cov().to_numpy()
    share = fieller((regret, gain), (variance, of_gain), covariance, df)
    return share if gain > 0 and math.isfinite(share[1]) else (math.nan, math.nan, math.nan)


def _p_of_order(nets: Nets, taus: np.ndarray, draws: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Return the p values (predictors,) of no order: those of the resamples *draws*, or of nets by chance.

    The latter are those of perfect orders, and the least of few nets. The *taus* are (tasks, predictors).
    """
    tau = _mean(taus)
    p_values = _p_values(tau, draws, df)
    for number in np.flatnonzero(np.isfinite(tau + df)):
        tasks = np.isfinite(taus[:, number])
        scores, transfer = nets.scores[tasks, :, number], nets.transfer[tasks]
        if abs(tau[number]) > 1 - ROUNDING:
            p_values[number] = perfect_order_p(transfer)
        elif p_values[number] < LEVEL and len(nets.seeds) <= FEW_NETS:
            p_values[number] = max(p_values[number], _random_order_p(scores, transfer, tau[number]))
    return p_values


def perfect_order_p(transfer: np.ndarray) -> float:
    """Return the chance that nets in a random order have that of *transfer* (tasks, nets), or its reverse.

    Nets with the same transfer on every task may change places. The reverse has a τ of −1 only if as many
    nets have the lowest value as the highest, and so on.

    >>> perfect_order_p(np.array([[1.0, 2, 3]])), perfect_order_p(np.array([[1.0, 1, 1, 2, 2, 2]]))
    (0.333..., 0.1)
    """
    counts = [np.unique(values, return_counts=True)[1] for values in transfer]
    reverses = all((count == count[::-1]).all() for count in counts)
    alike = np.unique(transfer, axis=1, return_counts=True)[1].tolist()
    return (1 + reverses) * math.prod(map(math.factorial, alike)) / math.factorial(transfer.shape[1])


def _random_order_p(scores: np.ndarray, transfer: np.ndarray, tau: float) -> float:
    """Return how often nets in a random order have a mean τ of *scores* (tasks, nets) as far from 0 as *tau*.

    The order is the same on all tasks, whose *transfer* (tasks, nets) may agree.
    """
    random, reached = np.random.default_rng(0), 0
    for _ in range(ORDERS):
        order = random.permutation(scores.shape[1])
        by_task = zip(scores, transfer, strict=True)
        values = [agreement(score[order, None], measured)[0, 0] for score, measured in by_task]
        reached += abs(np.mean(values)) >= abs(tau) - ROUNDING
    return (1 + reached) / (1 + ORDERS)


def _degrees_of_freedom(nets: Nets, values: np.ndarray) -> np.ndarray:
    """Return for each predictor the lesser of the targets and the seeds, less 1; nan below 1.

    Targets count where a quantity has *values* (tasks, predictors).
    """
    targets, seeds = np.array(nets.targets), len(np.unique(nets.seeds))
    counts = [len(set(targets[np.isfinite(column)])) for column in values.T]
    df = np.minimum(counts, seeds) - 1.0
    return np.where(df > 0, df, math.nan)


def _spread(draws: np.ndarray) -> np.ndarray:
    """Return the standard deviation of *draws* over the first axis, without those that have no value."""
    return pd.DataFrame(draws).std().to_numpy()


def _tests(nets: Nets, taus: np.ndarray, draws: np.ndarray, df: np.ndarray) -> dict[str, np.ndarray]:
    """Return the adjusted p values of the three families of `judged`; nan where there is nothing to test."""
    tau = _mean(taus)
    order = holm(_p_of_order(nets, taus, draws, df))
    orders = (order < LEVEL) & (tau > 0)
    best = int(np.argmax(np.where(orders if orders.any() else np.isfinite(tau), tau, -math.inf)))
    size = nets.predictors.index(SIZE)
    beyond_size = _p_values(tau - tau[size], draws - draws[:, [size]], df)
    behind = _p_values(tau[best] - tau, draws[:, [best]] - draws, np.minimum(df, df[best]), sides=1)
    p_best = np.minimum(behind * np.isfinite(behind).sum(), 1.0)
    return {"p_order": order, "p_size": holm(beyond_size), "p_best": p_best}


def _p_values(difference: np.ndarray, draws: np.ndarray, df: np.ndarray, sides: int = 2) -> np.ndarray:
    """Return the p value of each *difference* (predictors,) from 0, with the spread of its *draws*.

    It is nan where *draws* differ by no more than rounding.
    """
    errors = _spread(draws)
    t = difference / np.where(errors > ROUNDING, errors, math.nan)
    return np.minimum(sides * stdtr(df, -np.abs(t) if sides == 2 else -t), 1.0)


def _verdicts(table: pd.DataFrame) -> np.ndarray:
    """Say of each row of `judged` what its tests show."""
    tau, beyond_chance = table["tau"], table["p_order"] < LEVEL
    orders = beyond_chance & (tau > 0)
    shown = {  # the first that applies
        BEST: orders & (tau > tau[orders].max() - ROUNDING),
        WORSE: orders & (table["p_best"] < LEVEL),
        WITHIN_NOISE: orders,
        BACKWARDS: beyond_chance,
        NOT_TESTED: tau.notna() & table["p_order"].isna(),
        NO_ORDER: tau.notna(),
    }
    return np.select(list(shown.values()), list(shown), "")


def readable(assessment: Assessment) -> pd.DataFrame:
    """Write the table of an assessment for people."""
    table = assessment.table
    rows = table.to_dict("records")
    columns = {
        "score": table["predictor"].map(WORDS),
        "weighted τ": [_with_interval(row, "tau", 2) for row in rows],
        "verdict": table["verdict"],
        "regret (points)": [_with_interval(row, "regret", 1) for row in rows],
        "share of the gain lost": [_share_text(row) for row in rows],
        "p of no order": table["p_order"].map(p_text),
        "p beside size": table["p_size"].map(p_text),
        "p beside the best": table["p_best"].map(p_text),
        "tasks": table["tasks"].astype(str).where(table["tasks"] > 0, ""),
        "seconds": table["seconds"].map("{:.3f}".format),
    }
    return pd.DataFrame(columns)


def _with_interval(row: Mapping, quantity: str, digits: int) -> str:
    """Write a *quantity* of a row of `judged` with its interval; '' where it is not known.

    >>> row = {"tau": 0.712, "tau_low": 0.55, "tau_high": 0.82}
    >>> _with_interval(row, "tau", 2), _with_interval(row | {"tau_low": math.nan}, "tau", 2)
    ('0.71 (0.55 to 0.82)', '0.71')
    """
    value, low, high = (row[name] for name in (quantity, f"{quantity}_low", f"{quantity}_high"))
    if not math.isfinite(value):
        return ""
    ends = f" ({low:.{digits}f} to {high:.{digits}f})" if math.isfinite(low) else ""
    return f"{value:.{digits}f}{ends}".replace("-", "−")


def _share_text(row: Mapping) -> str:
    return percent_interval(row["share"], row["share_low"], row["share_high"])


def answer_text(assessment: Assessment) -> str:
    """Answer in Markdown: the best score, those within noise of it, and the number of images alone."""
    rows, nets = assessment.table.to_dict("records"), f"these {assessment.nets} nets"
    at_random = assessment.per_task.loc[assessment.per_task["predictor"] == RANDOM, "regret"]
    tasks, alike = len(at_random), int((at_random < ROUNDING).sum())  # where a net at random loses nothing
    if alike == tasks:
        return f"**Cannot tell**: {nets} transfer alike on every task, so no score can order them."
    size = next(row for row in rows if row["predictor"] == SIZE)
    alone = f"the number of images alone reaches {_with_interval(size, 'tau', 2)}"
    if not math.isfinite(size["tau"]):
        alone = "all nets have as many images, so that their number orders nothing"
    flat = f" On {alike} of {tasks} tasks all nets transfer alike, and no score is judged." if alike else ""
    several = [row for row in rows if row["verdict"] == BEST]
    if not several:
        top = WORDS[rows[0]["predictor"]], _tau_text(rows[0], tasks)
        highest = f" (the highest weighted τ is that of {', '.join(top)})" if rows[0]["tasks"] else ""
        if set(assessment.table["verdict"]) - {""} == {NOT_TESTED}:
            return f"**Not tested**: {ONE_TARGET}{highest}; {alone}.{flat}"
        return f"**Cannot tell**: no score orders {nets} beyond chance{highest}; {alone}.{flat}"
    best, names = several[0], [WORDS[row["predictor"]] for row in several]
    near = ", ".join(WORDS[row["predictor"]] for row in rows if row["verdict"] == WITHIN_NOISE)
    order = f"{' and '.join(f'**{name}**' for name in names)} order{'s' if len(names) == 1 else ''}"
    share = f", {_share_text(best)} of the gain from pre-training" if _share_text(best) else ""
    beyond = "beyond noise" if best["p_size"] < LEVEL else "not beyond noise"
    beside = "" if size in several else f"; {alone}, and the difference is {beyond}"
    return (
        f"{order} {nets} best: weighted τ {_tau_text(best, tasks)}. "
        f"Picking by {'it' if len(names) == 1 else names[0]} loses {_with_interval(best, 'regret', 1)} points"
        f"{share}. Within noise of it: {near or 'no other score'}{beside}. "
        f"Tests are for other targets and seeds of the same options: others may be ordered otherwise.{flat}"
    )


def _tau_text(row: Mapping, tasks: int) -> str:
    """Write the τ of a row of `judged`, and on how many of all *tasks* it is, if not on all."""
    fewer = f", on {row['tasks']} of {tasks} tasks" if row["tasks"] < tasks else ""
    return f"{_with_interval(row, 'tau', 2)}{fewer}"


def index_entry(assessment: Assessment) -> dict[str, object]:
    """Return what the report's index shows beside the answer: seeds and verdict."""
    best = assessment.table.loc[assessment.table["verdict"] == BEST, "predictor"].map(WORDS)
    is_untested = set(assessment.table["verdict"]) - {""} == {NOT_TESTED}
    none = NOT_TESTED if is_untested else "cannot tell"
    verdict = f"best: {' and '.join(best)}" if len(best) else none
    return {"n": assessment.seeds, "verdict": verdict}


def cost_text(assessment: Assessment) -> str:
    """Say how long the pass that all scores share takes, beside measuring transfer itself."""
    seconds = assessment.seconds
    measured = ", ".join(f"{name} {seconds[name]:.2f}" for name in METHODS if name in seconds)
    return (
        f"Median seconds on the machine that made these runs: {seconds[EXTRACTION]:.2f} for the pass over a "
        f"target's training images that all scores share; a whole run of {measured}."
    )


def figure(assessment: Assessment) -> Figure:
    """Draw each predictor's weighted τ and the points lost by its pick, best first.

    A small dot is a task, a large one the mean, the bar its 95 % interval.
    """
    table = assessment.table
    with styled():
        size = (7.6, 1.2 + 0.3 * len(table))
        drawn, axes = plt.subplots(1, 2, figsize=size, sharey=True, width_ratios=(1.3, 1))
    names = table["predictor"].map(WORDS)
    dots = assessment.per_task.assign(name=pd.Categorical(assessment.per_task["predictor"].map(WORDS), names))
    shown = {"tau": "weighted τ with transfer", "regret": "points lost by the pick"}
    for ax, (column, label) in zip(axes, shown.items(), strict=True):
        sns.stripplot(dots, x=column, y="name", ax=ax, color=COLOURS[4], size=3.5, alpha=0.7, zorder=1)
        rows = range(len(table))
        ax.hlines(rows, table[f"{column}_low"], table[f"{column}_high"], colors=INK, lw=1.6)
        ax.scatter(table[column], rows, s=40, color=COLOURS[0], zorder=3)
        ax.axvline(0, color=INK, lw=0.8)
        ax.grid(axis="x")
        ax.set(xlabel=label, ylabel="")
    return drawn
