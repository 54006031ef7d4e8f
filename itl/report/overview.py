"""The beginning of a report: what answers its title from all questions, and a figure of it."""

import base64
import io
from typing import Any

import pandas as pd

from itl.analysis.verdicts import verdicts_by_control
from itl.analysis.wording import CANNOT_TELL, GAIN, LOSS, SAME, TOO_FEW, percent_interval, task_name

OPENINGS = {  # how the paragraph tells of main comparisons with each verdict
    GAIN: "Features transfer better with",
    LOSS: "Features transfer worse with",
    SAME: "Features transfer as well, within the margins declared beforehand, with",
    CANNOT_TELL: "These runs cannot tell about",
    TOO_FEW: "There are too few seeds to tell about",
}


def answers_by_opening(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Answer what makes features transfer, from the main comparison of each question.

    Returns:
        The comparisons with each verdict, by the beginning of a sentence about them.

    >>> row = {"compared": "A + B, not A", "sizes": "4 instead of 2 classes", "task": "own", "control": ""}
    >>> row |= {"verdict": "a gain", "share": 1.25, "share_low": 1.1, "share_high": 1.4}
    >>> answers_by_opening(pd.DataFrame([row]))["Features transfer better with"]
    ['A + B, not A (4 instead of 2 classes; 125 % (110 to 140 %) of the gain on own classes)']
    """
    verdicts = verdicts_by_control(rows)
    by_opening = {
        opening: list(map(_clause, rows[verdicts == verdict].itertuples()))
        for verdict, opening in OPENINGS.items()
    }
    return {opening: clauses for opening, clauses in by_opening.items() if clauses}


def _clause(row: Any) -> str:
    """Write one row of the main comparisons, as `itertuples` gives it, as a part of a sentence."""
    share = percent_interval(row.share, row.share_low, row.share_high)
    of_the_gain = f"{share} of the gain on " if share else ""
    sizes = f"{row.sizes}; " if row.sizes else ""
    return f"{row.compared} ({sizes}{of_the_gain}{task_name(row.task)})"


def main_figure(rows: pd.DataFrame) -> str:
    """Draw the main comparisons as shares of the gain from pre-training; '' where no gain is known.

    Returns:
        An SVG file in base64.
    """
    withheld = rows["share"].notna() & rows["share_low"].isna()  # the gain may be so small that none is given
    known = rows[(rows["gain_low"] > 0) & ~withheld]
    if known.empty:
        return ""
    import matplotlib.pyplot as plt  # slow to import, and an index under way draws nothing

    from itl.analysis.figures import figure_of, forest

    percent = known[["change", "low", "high", "margin"]].mul(100).div(known["gain"], axis=0)
    kept = known["share"].notna()
    percent.loc[kept, "low"] = 100 * (known.loc[kept, "share_low"] - 1)
    percent.loc[kept, "high"] = 100 * (known.loc[kept, "share_high"] - 1)
    ax = forest(known.assign(**percent), by=None)
    ax.set_xlabel("change (% of the gain)")
    file = io.BytesIO()
    figure_of(ax).savefig(file, format="svg")
    plt.close(figure_of(ax))
    return base64.b64encode(file.getvalue()).decode()
