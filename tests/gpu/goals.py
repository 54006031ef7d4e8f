"""What was measured on a GPU beside the goals: one table, as rows and as Markdown to paste."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

COLUMNS = ("row", "figure", "unit", "goal", "met", "by arithmetic, on one H100")
PERCENT = ("reached", "end to end")  # figures that are fractions


@dataclass(frozen=True)
class Goal:
    """What one figure of a row should be.

    Figures are: *rate*, units of work in a second; *reached*, the rate as a fraction of the row's limit; *end
    to end* and *beside*, the rate over the best peer's; *hours* of a preset; *time* of the demo.
    """

    row: str  # of the benchmark, a preset, or demo
    figure: str
    unit: str
    least: float | None = None
    most: float | None = None
    expected: tuple[float, float] | None = None  # by peak rates and counted operations, eager, on one H100

    def text(self) -> str:
        """Return the goal in words; '' without one.

        >>> Goal("crop", "reached", "of the copy's rate", least=0.6).text()
        '≥ 60 %'
        """
        if self.least is not None:
            return f"≥ {self.write(self.least)}"
        return f"≤ {self.write(self.most)}" if self.most is not None else ""

    def write(self, figure: float) -> str:
        """Return *figure* for people: fractions in percent, large numbers whole.

        >>> Goal("", "reached", "").write(0.0544), Goal("", "rate", "").write(39_204.4)
        ('5.44 %', '39,204')
        """
        percent = self.figure in PERCENT
        number = 100 * figure if percent else figure
        return (f"{number:,.0f}" if number >= 99.95 else f"{number:.3g}") + " %" * percent

    def judge(self, figure: float) -> str:
        """Say whether *figure* meets the goal, and on which side of the expected range it lies.

        >>> Goal("", "rate", "", least=40, expected=(38, 48)).judge(36)
        'not met, below the range'
        """
        words = []
        if self.least is not None or self.most is not None:
            too_low = self.least is not None and figure < self.least
            too_high = self.most is not None and figure > self.most
            words.append("not met" if too_low or too_high else "met")
        if self.expected and not self.expected[0] <= figure <= self.expected[1]:
            words.append("below the range" if figure < self.expected[0] else "above the range")
        return ", ".join(words)

    def figure_of(self, row: Mapping) -> float | None:
        """Return the figure of *row* of the benchmark; None if it was not measured."""
        if self.figure == "rate":
            return row.get("rates", {}).get("itl")
        return row.get("reached" if self.figure == "reached" else "ratio")


def _step(row: str, least: float | None, low: float, high: float) -> list[Goal]:
    """Return the goals of a row of training: its rate, and the rate over that of the net on a ready batch."""
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
    *_step("step-caffenet-227-streamed", None, 17_000, 24_000),
    *_step("step-detection-600", None, 150, 250),
    Goal("four-small-56", "beside", "times one alone", 2.0),
    Goal("knn", "reached", "of the product's rate", 0.60),
    Goal("probe", "rate", "probes/s"),
    Goal("roi", "rate", "regions/s"),
    Goal("paper-128", "hours", "hours", most=12.0),
    Goal("paper", "hours", "hours"),
    Goal("demo", "time", "times that on two cores, at most", most=1.0),
)


def compare(
    rows: Mapping[str, Mapping], measured: Mapping[str, float], missing: Mapping[str, str]
) -> list[dict[str, str]]:
    """Compare with the goals *rows* of `itl bench --json`, *measured* hours of presets, and time of the demo.

    A mapping with the keys COLUMNS for each goal whose row is in one of these or, with the reason, *missing*.
    """
    table = []
    for goal in GOALS:
        row = rows.get(goal.row, {})
        figure = measured.get(goal.row, goal.figure_of(row))
        reason = missing.get(goal.row) or row.get("failed")
        if figure is None and reason is None:
            continue
        shown, verdict = (goal.write(figure), goal.judge(figure)) if figure is not None else ("", str(reason))
        expected = "–".join(map(goal.write, goal.expected)) if goal.expected else ""
        cells = (goal.row, shown, goal.unit, goal.text(), verdict, expected)
        table.append(dict(zip(COLUMNS, cells, strict=True)))
    return table


def markdown(table: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Yield the lines of *table*, which `compare` made, as Markdown."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|" + "---|" * len(COLUMNS)
    for line in table:
        yield f"| {' | '.join(line[column].replace('|', '/') for column in COLUMNS)} |"
