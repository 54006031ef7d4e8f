"""The budget of one net for `itl advise`: a number of hours, images or labels."""

import math
import re
from dataclasses import dataclass

import numpy as np

from itl.analysis.option_grid import Grid
from itl.errors import ItlError

UNITS = ("hours", "images", "labels")


@dataclass(frozen=True)
class Budget:
    """What one net of an option may take: so many hours, images or labels (here each image has one)."""

    number: float = math.inf
    unit: str = "hours"

    def __post_init__(self) -> None:
        """Raise ItlError for another unit, and for what is no number above 0."""
        if self.unit not in UNITS or not self.number > 0:
            raise ItlError(
                f"a budget is a number above 0 and one of {', '.join(UNITS)}; got {self.number} {self.unit}"
            )

    @classmethod
    def read(cls, number: str, unit: str) -> "Budget":
        """Make a budget of two words.

        >>> Budget.read("50,000", "images")
        Budget(number=50000.0, unit='images')

        Raises:
            ItlError: for another unit, for what is no number above 0, and for a part of an image or label.
        """
        example = f"--budget takes a number above 0 and one of {', '.join(UNITS)}, as in --budget 2 hours"
        thousands = re.fullmatch(r"\d{1,3}(,\d{3})+", number)  # 2,5 hours are not 25
        try:
            value = float(number.replace(",", "") if thousands else number)
        except ValueError:
            value = math.nan
        unit = f"{unit}s" if f"{unit}s" in UNITS else unit
        if unit not in UNITS or not 0 < value < math.inf:
            raise ItlError(f"{example}; got {number} {unit}".rstrip())
        if unit != "hours" and value % 1:
            raise ItlError(f"--budget takes whole {unit}; got {number} {unit}")
        return cls(value, unit)

    def __str__(self) -> str:
        if math.isinf(self.number):
            return "no limit"
        return f"{self.number:,.10g} {self.unit.removesuffix('s') if self.number == 1 else self.unit}"

    @property
    def within(self) -> str:
        """What the answer adds to what is the best; nothing where there is no limit."""
        if math.isinf(self.number):
            return ""
        return f" within {hours_text(self.number) if self.unit == 'hours' else self}"

    def affordable(self, grid: Grid, task: int) -> np.ndarray:
        """Return which options of *grid* fit it on *task*: (options,) of bool; ItlError if none does.

        One whose hours are not known yet is taken to fit.
        """
        hours = grid.options["hours"] + grid.task_hours[task]
        takes = hours if self.unit == "hours" else grid.options["images"]
        fits = ~(takes > self.number).to_numpy()
        if not fits[grid.trained].any():
            least = takes[grid.trained].min()
            least = math.ceil(least) if self.unit != "hours" else math.ceil(1e4 * least) / 1e4
            raise ItlError(
                f"no option with pre-training fits {self}; the smallest takes "
                f"{Budget(least, self.unit)}: raise --budget to that, or give smaller options in the preset"
            )
        return fits


NO_LIMIT = Budget()


def hours_text(hours: float) -> str:
    """Write a time for people.

    >>> hours_text(2.5), hours_text(0.9999), hours_text(0.2), hours_text(0.01), hours_text(1234)
    ('2.5 hours', '1 hour', '12 minutes', '36 seconds', '1,234 hours')
    """
    number, unit = 3600 * hours, "second"
    if number >= 59.5:
        number, unit = 60 * hours, "minute"
    if number >= 59.5:
        number, unit = hours, "hour"
    text = f"{number:,.0f}" if number >= 9.95 else f"{number:.2g}"
    return f"{text} {unit}" if text == "1" else f"{text} {unit}s"
