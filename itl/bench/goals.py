"""The goals for a GPU beside what was measured: one table, as rows and as Markdown to paste."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

COLUMNS = ("row", "figure", "unit", "goal", "met", "by arithmetic, on one H100")
NIGHT = 12                                  # hours


@dataclass(frozen=True)
class Goal:
    """What one figure of a row should be."""

    row: str                                # of the benchmark; a preset, for hours; or demo
    figure: str                             # rate, beside (times the best peer), reached (part of the limit) …
    unit: str
    least: float | None = None
    most: float | None = None
    expected: tuple[float, float] | None = None     # from peak rates and operations, eager, on one H100

    def text(self) -> str:
        """Write what is asked for; '' where nothing is.

        >>> Goal("crop", "reached", "of the copy's rate", least=0.6).text()
        '≥ 60 %'
        """
        if self.least is not None:
            return f"≥ {self.write(self.least)}"
        return f"≤ {self.write(self.most)}" if self.most is not None else ""

    def write(self, figure: float) -> str:
        """Write *figure* as people read it: a part in percent, large numbers without a fraction.

        >>> Goal("", "reached", "").write(0.0544), Goal("", "rate", "").write(39_204.4)
        ('5.4 %', '39,204')
        """
        if self.figure in ("reached", "end to end"):
            return f"{100 * figure:.3g} %"
        return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"

    def met(self, figure: float) -> str:
        """Say whether *figure* is what is asked for, and where it lies beside the expected range."""
        words = []
        if self.least is not None or self.most is not None:
            above = self.least is None or figure >= self.least
            words.append("met" if above and (self.most is None or figure <= self.most) else "not met")
        if self.expected and not self.expected[0] <= figure <= self.expected[1]:
            words.append("below the range" if figure < self.expected[0] else "above the range")
        return ", ".join(words)


def _step(row: str, least: float | None, low: float, high: float) -> list[Goal]:
    """The two goals of a row of training: its rate, and its part of the rate on a batch that is ready."""
    return [
        Goal(row, "rate", "images/s", least, expected=(low, high)),
        Goal(row, "end to end", "of the net on a ready batch", 0.95),
    ]


GOALS = (
    Goal("crop", "reached", "of the copy's rate", 0.60),
    *_step("step-small-56", None, 180_000, 250_000),
    *_step("step-resnet18-56", None, 95_000, 165_000),
    *_step("step-resnet18-112", 40_000, 38_000, 48_000),
    *_step("step-alexnet-112", 80_000, 75_000, 110_000),
    *_step("step-caffenet-227", None, 17_000, 24_000),
    *_step("step-detection-600", None, 150, 250),
    Goal("four-small-56", "beside", "times one alone", 2.0),
    Goal("knn", "reached", "of the product's rate", 0.60),
    Goal("probe", "rate", "probes/s"),
    Goal("roi", "rate", "regions/s"),
    Goal("paper-128", "hours", "hours", most=NIGHT),
    Goal("paper", "hours", "hours"),
    Goal("demo", "beside", "times its seconds on two cores", most=1.0),
)


def compared(
    rows: Mapping[str, Mapping], hours: Mapping[str, float], demo: float | None, missing: Mapping[str, str]
) -> list[dict[str, str]]:
    """Hold what was measured against every goal.

    Args:
        rows: rows of the benchmark as `itl bench --json` writes them, by name.
        hours: that each preset takes here.
        demo: how many times as long the demo took on the GPU as on two cores.
        missing: why a row has no figure.

    Returns:
        A mapping with the keys COLUMNS for each goal; what is only asked for by option and was not is left out.
    """
    lines = []
    for goal in GOALS:
        figure = _figure(goal, rows, hours, demo)
        reason = missing.get(goal.row) or rows.get(goal.row, {}).get("not_here") or \
            rows.get(goal.row, {}).get("failed") or "not measured"
        expected = "–".join(map(goal.write, goal.expected)) if goal.expected else ""
        if figure is None and goal.row == "demo" and goal.row not in missing:
            continue
        told = ("", reason) if figure is None else (goal.write(figure), goal.met(figure))
        lines.append(dict(zip(COLUMNS, (goal.row, told[0], goal.unit, goal.text(), told[1], expected),
                              strict=True)))
    return lines


def _figure(goal: Goal, rows: Mapping[str, Mapping], hours: Mapping, demo: float | None) -> float | None:
    """What was measured of *goal*; None where nothing was."""
    if goal.row == "demo":
        return demo
    if goal.figure == "hours":
        return hours.get(goal.row)
    row = rows.get(goal.row, {})
    if goal.figure == "rate":
        return row["rates"]["itl"] if "rates" in row else None
    return row.get({"reached": "reached"}.get(goal.figure, "ratio"))


def markdown(lines: list[Mapping[str, str]]) -> Iterator[str]:
    """Yield the lines of *lines* as a Markdown table."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for line in lines:
        yield f"| {' | '.join(line[column].replace('|', '/') for column in COLUMNS)} |"
