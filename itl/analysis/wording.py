"""Results in words: conditions, metrics and changes as people read them."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from itl.analysis.statistics import LEVEL, MAIN_SHARE
from itl.evaluation.methods import METHODS, main_metric
from itl.hierarchy.taxonomy import WNID
from itl.runs.design import UNTRAINED
from itl.runs.leakage import Leakage
from itl.words import counted

GAIN, LOSS, SAME = "a gain", "a loss", "the same"  # verdicts on a comparison
HELPS, HURTS = "helps", "hurts"  # verdicts on a node of the tree
CANNOT_TELL, TOO_FEW = "cannot tell", "too few seeds to say"
UNITS = {"images_per_class": " images per class", "halves": " halves"}
NO_SHARE = "No share of the gain is given: the gain itself may be 0."
NUMBERS = """
Each cell is the mean over seeds in percent (transferability scores in their own units), ± half of its 95 %
interval (Student's t); *n* counts seeds. *Own* is the classification the net was trained on, scored on images
it never saw: nets with different classes cannot be compared by it. `finetune` trains the whole net on the
target, `probe` a linear classifier on frozen features, and `knn` compares frozen features with those of 1 or
5 nearest neighbours. `detection` trains a Fast R-CNN (mAP by VOC's 11 points and by area; recall is that of
the region proposals), `actions` an output for each action of a person in a box (mAP).
"""
JUDGING = f"""
All comparisons of this page, including the paper's, on every task, with the main one first. Each task has one
model of all its runs: a value is that of its condition plus that of its seed plus noise. Each condition's
spread is estimated from its own runs and, in part, from those of all pre-trained conditions; the net without
pre-training has its own. The error rate is {100 * LEVEL:.0f} %. If there are several comparisons, the main
one has {100 * MAIN_SHARE:.0f} % of this rate. The others share the rest by Holm's rule, or the whole rate
once the main one is decided. If seeds may be added, up to a cap, each look has a part of it.

*Share of the gain kept*: what the first condition gains over no pre-training, divided by what the second
gains, with its 95 % interval (Fieller). *Change*: in points, the first condition minus the second. *Margin*:
a change within it does not matter; it was declared before any result, as a share of the gain or in points.
The verdict is *a gain* or *a loss* if `p of a change` is below {LEVEL}. It is *the same* if
`p of equivalence` (two one-sided tests) is below {LEVEL} and pre-training itself, judged alone, is a gain on
that task. Otherwise it is *cannot tell*. Both p values are adjusted for all comparisons of this page, but
intervals are not. So an interval without 0 may appear beside *cannot tell*, and the same change may be judged
differently on a page with fewer comparisons.
"""
PAPER_SETTING = """
The paper trained AlexNet for long on full-size ImageNet and fine-tuned it on PASCAL VOC 2007 detection, VOC
2012 actions and SUN397. The numbers on this page come from the images, net, schedule and targets named in the
parameters above. Only a verdict supports or contradicts a finding. A published size is compared with ours if
the task is measured in the same way, and a condition with a published one only if its share is comparable.
"""
MARKUP = re.compile(r"[\\`*_\[\]<>&~$#|]")  # what may have a meaning in Markdown


def in_markdown(text: str) -> str:
    """Escape *text*, which may hold names that users gave, so that Markdown shows it as it is.

    >>> print(in_markdown("half_a of <b>x*"), without_markup(in_markdown("half_a of <b>x*")))
    half\\_a of \\<b\\>x\\* half_a of <b>x*
    """
    return MARKUP.sub(r"\\\g<0>", text)


def without_markup(markdown: str) -> str:
    """Return an answer in *markdown* as plain text: without bold type, and without escapes.

    >>> without_markup(f"**the {in_markdown('**')}**")
    'the **'
    """
    return re.sub(r"\\(.)|\*\*", r"\1", markdown)


def answer_text(row: pd.Series) -> str:
    """Write a row of `itl.analysis.comparisons.contrasts` as an answer in Markdown, the share kept first.

    >>> row = {"compared": "cut at depth 5", "task": "probe@scenes", "n": 3}
    >>> row |= {"sizes": "6 instead of 40 classes", "share": 0.83, "share_low": 0.61, "share_high": 0.99}
    >>> row |= {"change": -2, "low": -4.1, "high": 0.1, "verdict": "cannot tell", "note": "", "margin": 2.4}
    >>> print(answer_text(pd.Series(row)))
    Cut at depth 5 (6 instead of 40 classes): nets keep **83 % (61 to 99 %)** of the gain from pre-training on
    scenes, linear probe; that is −2.0 points (95 % interval −4.1 to +0.1, 3 seeds). Verdict: **cannot tell**.
    >>> answer_text(pd.Series(row | {"compared": "n00015388 instead of n00021939", "sizes": ""}))[:31]
    'n00015388 instead of n00021939:'
    """
    share = percent_interval(row["share"], row["share_low"], row["share_high"])
    task = in_markdown(task_name(row["task"]))
    metric = "mean average precision" if main_metric(row["task"]) == "map" else "accuracy"
    effect = f"{metric} on\n{task} changes by"
    if share:
        effect = f"nets keep **{share}** of the gain from pre-training on\n{task}; that is"
    sizes = f" ({row['sizes']})" if row["sizes"] else ""
    compared = row["compared"]
    if not WNID.match(compared):  # which stays as it is
        compared = compared[:1].upper() + compared[1:]
    compared = in_markdown(compared + sizes)
    note = "" if share or math.isnan(row["share"]) else f" {NO_SHARE}"
    verdict = in_markdown(verdict_text(row))
    seeds, limits = counted(int(row["n"]), "seeds"), interval(row["low"], row["high"])
    change = f"{signed(row['change'])} points ({f'95 % interval {limits}, ' if limits else ''}{seeds})"
    return f"{compared}: {effect} {change}. Verdict: **{verdict}**.{note}"


def row_text(row: pd.Series) -> str:
    """Write a row of contrasts as one line of text, its change first: a narrow list cuts the end."""
    return f"{change_text(row)}, {row['verdict']}: {row['compared']}, {task_name(row['task'])}"


def change_text(row: pd.Series) -> str:
    """Write the change of a row of contrasts in points with its interval, if that is known."""
    return signed_interval(row["change"], row["low"], row["high"])


def verdict_text(row: pd.Series) -> str:
    """Write the verdict of a row of contrasts: with the margin where it is the same, and with its note.

    >>> verdict_text(pd.Series({"verdict": "the same", "note": "a loss, but a small one", "margin": 2.35}))
    'the same within ±2.4 points (a loss, but a small one)'
    """
    margin = f" within ±{row['margin']:.1f} points" if row["verdict"] == SAME else ""
    return f"{row['verdict']}{margin}" + (f" ({row['note']})" if row["note"] else "")


def percent_interval(share: float, low: float, high: float) -> str:
    """Write a share with its interval in percent; '' if it has none, since its denominator may be 0.

    >>> percent_interval(0.83, 0.61, 1.05), percent_interval(5.83, math.nan, math.nan)
    ('83 % (61 to 105 %)', '')
    """
    return f"{_percent(share)} % ({_percent(low)} to {_percent(high)} %)" if math.isfinite(low) else ""


def percent(share: float) -> str:
    """Write a share in percent; '' where it is not known.

    >>> percent(-0.034), percent(-0.004)
    ('−3 %', '0 %')
    """
    return f"{_percent(share)} %" if math.isfinite(share) else ""


def p_text(p: float) -> str:
    """Write a p value to a thousandth; '' where there is none.

    One that would be rounded to the level of the tests is written as the side of it that it is on.

    >>> p_text(0.0123), p_text(0.0001), p_text(0.04999), p_text(0.0501), p_text(math.nan)
    ('0.012', '<0.001', '<0.05', '>0.05', '')
    """
    if math.isnan(p):
        return ""
    text = "<0.001" if p < 0.001 else f"{p:.3f}"
    if p != LEVEL and text == f"{LEVEL:.3f}":
        text = f"{'<' if p < LEVEL else '>'}{LEVEL}"
    return text


def leak_text(leak: Leakage, measured: str) -> str:
    """Say that nets have seen some of what they are *measured* on: tested, or scored.

    Where pre-training has none of it, the target's own training and validation images have.
    """
    who, nets = ("The target's other splits have", "nets") if leak.only_own else ("Nets have seen", "they")
    return f"{who} some of what {nets} are {measured} on: {leak}."


def _percent(share: float) -> str:
    return f"{round(100 * share, 0) + 0.0:.0f}".replace("-", "−")  # 0 for -0


def index_entry(row: pd.Series) -> dict[str, object]:
    """Return what the report's index shows beside an answer: seeds and verdict."""
    return {"n": int(row["n"]), "verdict": verdict_text(row)}


def comparison_text(of: Mapping[str, object], against: Mapping[str, object]) -> str:
    """Name two conditions, by column and value, for people; values that they share come last.

    >>> comparison_text({"images_per_class": 25}, {"images_per_class": 200})
    '25 instead of 200 images per class'
    >>> comparison_text({"label_set": "bottom-up@5"}, {"label_set": "original"})
    'labels cut at depth 5 instead of original labels'
    >>> comparison_text({"label_set": "top-down@1+without-pascal"}, {"label_set": "original"})
    'labels merged upward 1 ×, without-pascal instead of original labels'
    >>> none = {"label_set": "none", "images_per_class": 0}
    >>> comparison_text({"label_set": "original", "images_per_class": 25}, none)
    'original labels, 25 images per class instead of no pre-training'
    >>> mine = {"label_set": "mine", "images_per_class": 0}  # with weights from elsewhere
    >>> comparison_text(mine, none)
    'mine instead of no pre-training'
    >>> comparison_text(mine, {"label_set": "original", "images_per_class": 25})
    'mine instead of original labels, 25 images per class'
    >>> both, one = ({"halves": "random", "pretrained_on": value} for value in ("A + B", "A"))
    >>> comparison_text(both, one)
    'A + B instead of A, random halves'
    """
    of, against = ({name: _value_text(name, side[name]) for name in side} for side in (of, against))
    differing = [name for name in of if of[name] != against[name]] or list(of)
    same = [name for name in of if name not in differing and of[name] not in UNTRAINED]
    shared = "".join(f", {of[name]}{UNITS.get(name, '')}" for name in same)
    unit = UNITS.get(differing[0], "") if len(differing) == 1 else ""
    first, second = (_values_text(side, differing) for side in (of, against))
    if any(against[name] not in (*UNTRAINED, "chance") for name in differing):
        return f"{first} instead of {second}{unit}{shared}"
    untrained = all(of[name] in UNTRAINED for name in differing)
    first = "no pre-training" if untrained else f"{first}{unit}"
    return f"{first} instead of {second if second == 'chance' else 'no pre-training'}{shared}"


def sizes_text(of: Sequence[float], against: Sequence[float]) -> str:
    """Say in which numbers of classes, and of images in all, nets of two conditions were trained.

    Each is given as (classes, images of each class); '' for what they share, and for nets trained elsewhere.

    >>> sizes_text((6, 200), (40, 30)), sizes_text((40, 25), (40, 200)), sizes_text((40, 25), (0, math.nan))
    ('6 instead of 40 classes', '1,000 instead of 8,000 images', '')
    """
    pairs = {"classes": (of[0], against[0]), "images": (of[0] * of[1], against[0] * against[1])}
    return ", ".join(
        f"{first:,.0f} instead of {second:,.0f} {unit}"
        for unit, (first, second) in pairs.items()
        if first > 0 and second > 0 and round(first) != round(second)
    )


def condition_text(columns: Iterable[tuple[str, object]]) -> str:
    """Name a condition by its columns and their values.

    >>> condition_text([("label_set", "original"), ("images_per_class", 25)])
    'label set original, images per class 25'
    """
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in columns)


def _value_text(column: str, value: object) -> object:
    """Write a label set as what it does to labels; any other *value* of a condition stays as it is."""
    if column not in ("label_set", "cut"):
        return value
    labels, *filters = str(value).split("+")
    method, _, argument = labels.partition("@")
    done = {"bottom-up": f"cut at depth {argument}", "top-down": f"merged upward {argument} ×"}.get(method)
    if column == "label_set" and (done or method == "original"):
        done = f"labels {done}" if done else "original labels"
    return ", ".join([done, *filters]) if done else value


def _values_text(condition: Mapping[str, object], names: Sequence[str]) -> str:
    """Name the values of a condition; where there are several, each with its unit.

    What a net with weights from elsewhere was not trained on is left out.
    """
    if len(names) == 1:
        return str(condition[names[0]])
    names = [name for name in names if condition[name] not in UNTRAINED] or names
    return ", ".join(f"{condition[name]}{UNITS.get(name, '')}" for name in names)


def task_name(task: str) -> str:
    """Name a task for people.

    >>> task_name("finetune@scenes")
    'scenes, fine-tuned'
    >>> task_name("probe@images/half-a:50")
    'half-a classes of images (50 of each), linear probe'
    >>> task_name("knn@images/bottom-up@2+only@food,gear")
    'cut at depth 2, only@food,gear classes of images, nearest neighbours'
    """
    method, _, target = task.partition("@")
    if not target:
        return "own classes" if task == "own" else task
    target, _, count = target.partition(":")
    pack, _, labels = target.partition("/")
    name = f"{_value_text('cut', labels)} classes of {pack}" if labels else pack
    name += f" ({count} of each)" if count else ""
    return f"{name}, {METHODS[method].words if method in METHODS else method}"


def interval(low: float, high: float) -> str:
    """Write an interval in points, or '' where it is not known.

    >>> interval(-1.25, 3)
    '−1.2 to +3.0'
    """
    return f"{signed(low)} to {signed(high)}" if math.isfinite(low) and math.isfinite(high) else ""


def signed_interval(value: float, low: float, high: float) -> str:
    """Write a change in points with its interval, if that is known.

    >>> signed_interval(1.25, -0.5, 3), signed_interval(1.25, math.nan, math.nan)
    ('+1.2 (−0.5 to +3.0)', '+1.2')
    """
    limits = interval(low, high)
    return f"{signed(value)} ({limits})" if limits else signed(value)


def signed(value: float) -> str:
    """Write a change in points with its sign.

    >>> signed(-0.04), signed(-1.25), signed(math.nan)
    ('+0.0', '−1.2', '?')
    """
    return "?" if math.isnan(value) else f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")  # 0.0 for -0.0
