"""Reasons to doubt an answer: each page names the three strongest under its answer."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from itl.analysis.comparisons import Answer
from itl.analysis.scored_images import count_scored_images, images_of_accuracy, target_pack
from itl.analysis.statistics import LEVEL
from itl.analysis.task_values import baseline_of, is_doubling, rows_by_condition, rows_of, task_values
from itl.analysis.wording import GAIN, LOSS, SAME, condition_text, in_markdown, leak_text, p_text, signed
from itl.evaluation.methods import METHODS
from itl.hierarchy.voc_classes import PASCAL
from itl.machine import Machine
from itl.packs.pack import scored_split
from itl.runs.cost import images_trained_on
from itl.runs.design import Columns, Run, Task
from itl.runs.progress import log_rows, worse_than_guessing
from itl.runs.store import LOG_FILE, Store
from itl.specs import Pretrain, Transfer, key
from itl.words import counted, examples

SHOWN = 3
ENOUGH_SEEDS = 5
UNEQUAL = 1.5  # ratio of how often an image is seen, or of steps
FEW_IMAGES = 5  # of a class in the split that is scored
LAST_PART, STILL_FALLING = 0.2, 0.1  # of the steps, and by how much the loss is lower there than before


def doubts_text(answer: Answer, store: Store, machine: Machine) -> str:
    """List the three strongest reasons to doubt the main answer, in Markdown."""
    reasons = doubts(answer, store, machine)
    if not reasons:
        return "None of the usual reasons to doubt this answer applies."
    shown = "\n".join(f"* {in_markdown(reason)}" for reason in reasons[:SHOWN])
    of_how_many = f", the strongest of {len(reasons)}" if len(reasons) > SHOWN else ""
    return f"**Reasons to doubt it**{of_how_many}:\n\n{shown}"


def doubts(answer: Answer, store: Store, machine: Machine) -> list[str]:
    """Return every reason to doubt the main answer that applies, the strongest first.

    Reasons why a verdict may be wrong come first, from nets that ended worse than guessing to a learning rate
    at the edge of those tried. Reasons why it is uncertain follow, from few seeds to classes with almost no
    images.
    """
    if answer.contrasts.empty:
        return []
    main, question = answer.main, answer.question
    comparison = question.comparisons[0]
    done = [run for run in question.runs(machine) if store.is_done(run.spec)]
    compared = [run for run in done if run.columns in (comparison.of, comparison.against)] or done
    # The margin, the share and the control rest on the nets without pre-training, which are compared too.
    baseline = baseline_of(comparison.against, question.conditions)
    fits = [run for run in done if run in compared or run.columns == baseline]
    reasons = (
        diverged(done, store),
        main["control"] and f"On this task nothing can be called the same: {main['control']}.",
        leaked(main["task"], answer, machine),
        main["mixed"] and f"The results it rests on are of {main['mixed']}.",
        no_better_than_one_class(main["task"], answer, machine),
        without_pascal(main["task"], answer, machine),
        trained_otherwise(answer),
        unlike_budgets(answer),
        alike_by_other_halves(answer),
        exposure(answer.results, compared),
        unfinished(compared, store),
        edge_of_grid([run for run in fits if run.task == main["task"]], store),
        int(main["n"]) < ENOUGH_SEEDS and f"It rests on {counted(int(main['n']), 'seeds')}.",
        main["unequal"] and "One of the two conditions varies more between seeds than the others do.",
        few_test_images(main, answer, machine),
        thin_classes(main["task"], answer, machine),
    )
    return [reason for reason in reasons if reason]


def leaked(task: str, answer: Answer, machine: Machine) -> str:
    """Say how many test images of *task* were seen in training; '' for fewer than one in a hundred."""
    runs = [run for run in answer.question.runs(machine) if run.task == task]
    leak = answer.question.run_leakage(machine).by_task(runs).get(task)
    return leak_text(leak, "tested") if leak and leak.matters else ""


def no_better_than_one_class(task: str, answer: Answer, machine: Machine) -> str:
    """Say what always naming the largest class would score, if a compared pre-training scores no better.

    '' otherwise, and if the metric weighs classes equally: then this score is the accuracy of guessing.
    """
    scored = images_of_accuracy(answer.question, task, machine)
    if scored.per_class or len(scored.counts) < 2:
        return ""
    main, conditions = answer.question.comparisons[0], answer.question.conditions
    untrained = [condition.columns for condition in conditions if condition.untrained]
    means = {
        columns: rows["value"].mean()
        for columns, rows in rows_by_condition(rows_of(answer.results, task), conditions).items()
        if columns not in untrained and (columns in (main.of, main.against) or is_doubling(main.of))
    }
    worst = min(means, key=means.__getitem__, default=None)
    if worst is None or means[worst] > scored.one_class_score:
        return ""
    largest = max(scored.counts, key=scored.counts.__getitem__)
    return (
        f"With {condition_text(worst)} it scores {means[worst]:.1f} percent, and always naming the largest "
        f"class, {largest}, would score {scored.one_class_score:.1f}."
    )


def without_pascal(task: str, answer: Answer, machine: Machine) -> str:
    """Say that the target has none of PASCAL's classes, if pre-training without these is compared."""
    question, pack = answer.question, target_pack(answer.question, task, machine)
    of = question.comparisons[0].of
    removed = any(one.columns == of and one.labels == "without-pascal" for one in question.conditions)
    if not removed or pack is None or METHODS[Task.read(task).method].annotated:
        return ""
    tree, nodes = question.tree(machine), {*PASCAL.values()}
    for name in set(pack.table["wnid"]):
        kinds = tree.ancestors(name) if name in tree else frozenset()
        if nodes & kinds or re.sub(r"[\W_]", "", name.lower()) in PASCAL:
            return ""
    target = Task.read(task).target
    return f"No class of {target} is one of PASCAL's by its name, so the answer is not about its own classes."


def unlike_budgets(answer: Answer) -> str:
    """Say where the change, fitted over all budgets, differs between the smallest and the largest.

    '' if the change is not fitted, or their difference (p of 0.05 or more) may be noise.
    """
    main, question = answer.main, answer.question
    if not is_doubling(question.comparisons[0].of):
        return ""
    data = task_values(question, answer.results, main["task"])
    trade = data.trade_by_budget()
    if len(trade) < 2 or (model := data.fit(*trade.values())) is None:
        return ""
    least, *_, most = trade
    difference = model.estimate(trade[most] - trade[least])
    if not difference.p < LEVEL:
        return ""
    few, many = (signed(model.estimate(weights).mean) for weights in (trade[least], trade[most]))
    return (
        f"The change is a mean over budgets that differ: {few} points with {least:,} images, {many} with "
        f"{most:,} (p of no difference: {p_text(difference.p)})."
    )


def trained_otherwise(answer: Answer) -> str:
    """Say what the main comparison is of nets that train longer or shorter, if its verdict is another there.

    '' for a verdict that decides nothing, and where no such nets are compared.
    """
    main, question = answer.main, answer.question
    data_of = {one.columns: replace(one, columns=(), recipe=None) for one in question.conditions}
    sides = [[data_of.get(one) for one in (pair.of, pair.against)] for pair in question.comparisons]
    decided = {GAIN, LOSS, SAME}
    if main["verdict"] not in decided or None in sides[0]:
        return ""
    for pair, data in zip(question.comparisons[1:], sides[1:], strict=True):
        rows = answer.contrasts_of(pair)
        others = rows["verdict"].isin(decided - {main["verdict"]}) & (rows["task"] == main["task"])
        if data == sides[0] and others.any():
            row = rows[others].iloc[0]
            return (
                f"It depends on how long nets are trained: {row['compared']} is {row['verdict']} "
                f"({signed(row['change'])} points)."
            )
    return ""


def alike_by_other_halves(answer: Answer) -> str:
    """Say what the main change is with other halves of the classes, if it may be the same with these.

    Then it says nothing of how far the classes of minimal halves are from each other. '' for other questions,
    for a change that is not beyond noise, and where the two differ beyond noise.
    """
    main, question = answer.main, answer.question
    first, *others = question.comparisons
    same = [pair for pair in others if (pair.of[1:], pair.against[1:]) == (first.of[1:], first.against[1:])]
    if first.of[0][0] != "halves" or not same or main["verdict"] not in (GAIN, LOSS):
        return ""
    data = task_values(question, answer.results, main["task"])
    change, beside = (data.weights_of(pair.of) - data.weights_of(pair.against) for pair in (first, same[0]))
    model = data.fit(change, beside)
    if model is None or not (difference := model.estimate(change - beside)).p >= LEVEL:
        return ""
    return (
        f"With {same[0].of[0][1]} halves the change is {signed(model.estimate(beside).mean)} points (p of no "
        f"difference: {p_text(difference.p)}): nothing shows that the kind of halves matters."
    )


def exposure(results: pd.DataFrame, compared: Sequence[Run]) -> str:
    """Say if the compared nets have seen each image unequally often, or have unequal steps.

    '' if both are equal.
    """
    passes, steps = {}, {}
    for run in compared:
        if isinstance(run.spec, Pretrain) and run.spec.trained:
            rows, recipe = results[results["run"] == key(run.spec)], run.spec.recipe
            if len(rows):
                images = rows["images"].iloc[0]
                seen = images_trained_on(recipe, images)
                passes[run.columns], steps[run.columns] = seen / images, seen / min(recipe.batch, images)
    if times := _unequal(passes, "times"):
        return f"Nets have seen each of their images {times}: exposure differs too."
    if lengths := _unequal(steps, "steps"):
        return f"Nets were trained for {lengths}: how long they learned differs too."
    return ""


def _unequal(counts: Mapping[Columns, float], noun: str) -> str:
    """Say which conditions have which of the *counts*; '' where these are nearly alike."""
    if not counts or max(counts.values()) < UNEQUAL * min(counts.values()):
        return ""
    alike: dict[str, list[str]] = {}  # conditions by their count
    for columns, count in counts.items():
        text = f"{count:,.0f}" if count >= 10 else f"{count:.2g}"
        alike.setdefault(text, []).append(condition_text(columns))
    return " or ".join(
        f"{count} {noun.removesuffix('s') if count == '1' else noun} ({'; '.join(names)})"
        for count, names in alike.items()
    )


def diverged(runs: Sequence[Run], store: Store) -> str:
    """Say which condition has nets that ended worse than guessing; '' if none has.

    Conditions that are not compared count too: they enter the spread by which all comparisons are judged.
    """
    for run in runs:
        if isinstance(run.spec, Pretrain) and run.spec.trained:
            classes = store.finished(run.spec)["classes"]
            if text := worse_than_guessing(store.path(run.spec), classes):
                one = f"such as one with {condition_text(run.columns)}: {text}"
                return f"Nets ended worse than guessing, {one}. A lower lr may train them."
    return ""


def unfinished(compared: Sequence[Run], store: Store) -> str:
    """Say which nets still learned when their training ended: the loss of the last fifth was a tenth lower.

    That is a tenth lower than in the fifth before; '' if an epoch is longer than a fifth, whose loss is then
    not known.
    """
    falls: dict[Columns, list[float]] = {}
    for run in compared:
        rows = log_rows(store.path(run.spec) / LOG_FILE)
        if isinstance(run.spec, Pretrain) and len(rows) * LAST_PART >= 1:
            before, last = (_mean_loss(rows, 1 - parts * LAST_PART) for parts in (2, 1))
            if before > 0:
                falls.setdefault(run.columns, []).append(1 - last / before)
    means = {columns: sum(values) / len(values) for columns, values in falls.items()}
    most = max(means, key=means.__getitem__, default=None)
    if most is None or means[most] < STILL_FALLING:
        return ""
    return (
        f"Nets were still learning when training ended: with {condition_text(most)} the loss in the last "
        f"fifth was {100 * means[most]:.0f} % below that in the fifth before."
    )


def _mean_loss(rows: Sequence[Mapping[str, float]], start: float) -> float:
    """Return the mean loss in LAST_PART of training from the fraction *start* on; rows are epochs."""
    ends = np.array([row["step"] for row in rows]) / rows[-1]["step"]
    begins = np.concatenate([[0.0], ends[:-1]])
    shared = np.minimum(ends, start + LAST_PART) - np.maximum(begins, start)
    return float(np.average([row["loss"] for row in rows], weights=shared.clip(0)))


def edge_of_grid(runs: Sequence[Run], store: Store) -> str:
    """Say how many fits chose the smallest or largest learning rate that was tried; '' where none did."""
    searches, at_edge = 0, []
    for run in runs:
        if isinstance(run.spec, Transfer) and run.spec.recipe and (lrs := run.spec.recipe.lrs):
            searches += 1
            chosen = store.finished(run.spec).get("chosen", {}).get("lr")
            at_edge += [f"{chosen:g}"] if chosen in (min(lrs), max(lrs)) else []
    if not at_edge:
        return ""
    return (
        f"{len(at_edge)} of {searches} fits chose a learning rate at the edge of those tried "
        f"({', '.join(sorted(set(at_edge)))}): a better one may lie beyond."
    )


def few_test_images(main: pd.Series, answer: Answer, machine: Machine) -> str:
    """Say if the test images alone leave a score as uncertain as the margin; '' if they do not."""
    scored = images_of_accuracy(answer.question, main["task"], machine)
    error = sampling_error(answer, main["task"], machine)
    if not 2 * error > main["margin"]:  # nan where one of them is not known
        return ""
    alike = ", whose classes count alike" if scored.per_class else ""
    return (
        f"It is scored on {counted(scored.total, 'test images')}{alike}: another such set would move a score "
        f"by about {error:.1f} points."
    )


def thin_classes(task: str, answer: Answer, machine: Machine) -> str:
    """Say which classes of *task* are scored on no image, or on fewer than FEW_IMAGES; '' where none are."""
    pack = target_pack(answer.question, task, machine)
    if pack is None or METHODS[Task.read(task).method].annotated:
        return ""
    counts = pd.Series(count_scored_images(answer.question, Task.read(task), pack, machine))
    parts = [
        f"{words} of {counted(len(names), 'classes')}, such as {examples(names)}"
        for words, names in (
            ("no image", list(counts.index[counts == 0])),
            (f"fewer than {FEW_IMAGES} images", list(counts.index[(counts > 0) & (counts < FEW_IMAGES)])),
        )
        if names
    ]
    target, split = Task.read(task).target, scored_split(pack.summary["splits"])
    words = " and ".join(parts)
    return f"The {split} split of {target}, on which it is scored, has {words}." if parts else ""


def sampling_error(answer: Answer, task: str, machine: Machine) -> float:
    """Standard error in points that a finite test set leaves in an accuracy.

    It is that of a binomial share of `ScoredImages.effective` at the mean score, also for a mean of classes'
    accuracies; nan if the metric is not an accuracy, no test image is scored, or the pack is not here.
    """
    scored = images_of_accuracy(answer.question, task, machine)
    if not scored.total:
        return math.nan
    share = rows_of(answer.results, task)["value"].mean() / 100
    return 100 * math.sqrt(share * (1 - share) / scored.effective)
