"""AdvicePanel: what to pre-train on for a target under a budget that can be moved."""

import math
import shlex
from typing import NamedTuple

import ipywidgets
import numpy as np
import traitlets
from matplotlib.transforms import Bbox

from itl.analysis.advice import Advice, advise, answer_text, frontier, readable
from itl.analysis.budget import UNITS, Budget, hours_text
from itl.analysis.figures import figure_of
from itl.analysis.option_grid import Grid, grid_of
from itl.analysis.wording import task_name, without_markup
from itl.errors import ItlError, one_of
from itl.machine import Machine
from itl.panels.panel import Panel, announced, figure_url, named_so
from itl.presets import Preset, load_preset
from itl.report.html import render
from itl.runs.design import Task
from itl.runs.questions import questions_of
from itl.runs.store import Store


class FrontierPicture(NamedTuple):
    """The frontier without a budget: an image, the axes in it (from 0 to 1), and their ends in costs."""

    url: str
    axes: Bbox
    costs: tuple[float, float]


class AdvicePanel(Panel):
    """The options of a question of advice for one target: expected score against cost, ranked.

    Args:
        options: what `itl.analysis.option_grid.grid_of` gathers; or a preset, its name or the path of its
            file, whose 10-advice it is gathered of.
        machine: that holds the runs and that hours are for; by default this one.

    Raises:
        ItlError: there is no such preset, or it has no 10-advice.
    """

    task = traitlets.Unicode(help="one of the tasks; first that of the preset")
    unit = traitlets.Unicode("images", help="of the budget: hours, images or labels")
    number = traitlets.Float(math.inf, help="the budget of one net, in this unit; inf no limit")
    settings = ("task", "unit", "number")

    def __init__(self, options: Grid | Preset | str = "my-task", machine: Machine | None = None) -> None:
        self._preset = ""  # the option of `itl advise` that names the preset, where it is known
        if not isinstance(options, Grid):
            preset = options if isinstance(options, Preset) else load_preset(options)
            machine = machine or Machine.from_environment()
            (question,) = questions_of(preset, "10-advice")
            self._preset = f" --preset {shlex.quote(preset.reference)}"
            with announced("Reading runs and estimating what the options take …"):
                options = grid_of(question, Store(machine.runs), machine, measure=False)
        self.grid = options
        self._figures: dict[tuple[str, str], FrontierPicture] = {}
        super().__init__()
        self.task = self.grid.tasks[0]

    @traitlets.validate("task", "unit")
    def _known(self, proposal: dict) -> str:
        name = proposal["trait"].name
        known = self.grid.tasks if name == "task" else UNITS
        return one_of(known, proposal["value"], f"{name} of this advice")

    @traitlets.validate("number")
    def _above_zero(self, proposal: dict) -> float:
        if not proposal["value"] > 0:
            raise ItlError(f"a budget is a number above 0, and inf is no limit; got {proposal['value']}")
        return proposal["value"]

    @traitlets.observe("unit")
    def _no_limit(self, change: dict) -> None:
        self.number = math.inf

    def advice(self) -> Advice:
        """Return the advice for `task` under the budget; ItlError where there is none."""
        target = Task.read(self.task).target
        is_only = [Task.read(task).target for task in self.grid.tasks].count(target) == 1
        command = f"itl advise {target if is_only else self.task}{self._preset}"
        try:
            return advise(self.grid, self.task, Budget(self.number, self.unit), command)
        except ItlError as error:
            raise ItlError(str(error).replace("raise --budget", "raise the budget (number)")) from None

    def costs(self) -> list[float]:
        """List what a net of each option takes in `unit`, each number once, the smallest first."""
        options = self.grid.options[self.grid.options["images"] > 0]
        if self.unit != "hours":
            return sorted(set(options["images"].astype(float)))
        hours = options["hours"] + self.grid.task_hours[self.grid.tasks.index(self.task)]
        return sorted(set(hours.dropna()))  # not known where nothing is measured

    def html(self) -> str:
        """Write the picture: the answer, the frontier with what is over the budget dimmed, and the table."""
        advice = self.advice()
        table = readable(advice)
        picture = self.frontier_figure("hours" if self.unit == "hours" else "images", self.task)
        return render(
            "advice_panel.html.j2",
            task=task_name(self.task),
            budget=self.budget_text(self.number),
            answer=without_markup(answer_text(advice)),
            frontier=picture.url,
            dimmed=self.over_budget(picture),
            table=[list(table.columns), *table.astype(str).to_numpy().tolist()],
        )

    def frontier_figure(self, cost: str, task: str) -> FrontierPicture:
        """Draw the frontier of a *task* by *cost*, once."""
        if (cost, task) not in self._figures:
            ax = frontier(advise(self.grid, task), cost)
            url = figure_url(figure_of(ax))
            # Final once it is drawn.
            self._figures[cost, task] = FrontierPicture(url, ax.get_position(), ax.get_xlim())
        return self._figures[cost, task]

    def over_budget(self, picture: FrontierPicture) -> dict[str, float]:
        """Return the part of *picture* that is over the budget, in percent from its edges; {} if none is."""
        box, (low, high) = picture.axes, picture.costs
        costs = np.array(self.costs())
        if self.number >= costs[-1]:
            return {}
        within = costs[costs <= self.number]  # none where weights that one has are all that fits
        edge = math.sqrt(within[-1] * costs[len(within)]) if len(within) else low
        share = math.log(edge / low) / math.log(high / low)
        sides = {"left": box.x0 + share * box.width, "right": 1 - box.x1, "top": 1 - box.y1}
        return {name: round(100 * side, 1) for name, side in (sides | {"bottom": box.y0}).items()}

    def budget_text(self, number: float) -> str:
        """Write a budget for people."""
        in_hours = self.unit == "hours" and math.isfinite(number)
        return hours_text(number) if in_hours else str(Budget(number, self.unit))

    def widget(self) -> ipywidgets.Widget:
        """Make controls and picture; all figures are drawn first, so that a control only shows another."""
        if len(self.grid.measurements):
            for task in self.grid.tasks:
                for cost in ("hours", "images"):
                    self.frontier_figure(cost, task)
        return super().widget()

    def controls(self) -> list[ipywidgets.Widget]:
        """Make the controls: the target, the kind of budget, and the budget at each option's cost."""
        return [
            self.dropdown("task", "target", lambda: [(task_name(name), name) for name in self.grid.tasks]),
            self.dropdown("unit", "budget in", lambda: named_so(UNITS)),
            self.dropdown("number", "budget", self._budgets, ["task", "unit"]),
        ]

    def _budgets(self) -> list[tuple[str, float]]:
        numbers = sorted({*self.costs(), self.number, math.inf})
        return [(self.budget_text(number), number) for number in numbers]
