"""ResultsPanel: the comparisons of a preset, and the runs, settings and images behind each."""

from collections.abc import Callable, Mapping
from functools import cache, cached_property, partial
from itertools import permutations
from typing import TYPE_CHECKING

import ipywidgets
import pandas as pd
import traitlets

from itl.analysis.comparisons import LESS_OWN, Answer, answer
from itl.analysis.tables import is_percent, summary
from itl.analysis.wording import comparison_text, condition_text, p_text, row_text, task_name, verdict_text
from itl.errors import ItlError, one_of
from itl.evaluation.methods import main_metric
from itl.machine import Machine
from itl.packs.paths import find_by_digest
from itl.panels.panel import WIDE, ForestPicture, Panel, announced, forest_picture, message_of
from itl.presets import Preset, load_preset
from itl.report.html import render
from itl.report.run_page import example_images, flatten_spec
from itl.runs.design import Columns, Run
from itl.runs.nets import net_of
from itl.runs.questions import questions_of
from itl.runs.results import changed_sources
from itl.runs.store import MANIFEST_FILE, Store
from itl.specs import Transfer, key, pretraining_of
from itl.words import counted

if TYPE_CHECKING:
    from itl.panels.net import NetPanel

ALL = ""
TEMPLATE = "results_panel.html.j2"


class ResultsPanel(Panel):
    """All comparisons of a preset's questions, and the runs, settings and images behind each.

    Args:
        preset: a preset, its name, or the path of its file.
        machine: that holds the store; by default this one.

    Raises:
        ItlError: there is no such preset, or none of its runs is done.
    """

    question = traitlets.Unicode(ALL, help="'' all")
    task = traitlets.Unicode(ALL, help="'' all")
    metric = traitlets.Unicode(ALL, help="of the values; '' each task's main metric")
    axis = traitlets.Unicode(ALL, help="a column in which the compared conditions differ; '' any")
    row = traitlets.Int(-1, help="a row of `contrasts`, whose runs are shown; -1 none")
    run = traitlets.Unicode(ALL, help="the key of one of its runs, whose images are shown; '' none")
    opened = traitlets.Unicode(ALL, help="the key of a run whose net is shown below; '' none")
    settings = ("question", "task", "metric", "axis", "row", "run")

    def __init__(self, preset: str | Preset = "demo", machine: Machine | None = None) -> None:
        self.machine = machine or Machine.from_environment()
        self.store = Store(self.machine.runs)
        if not isinstance(preset, str | Preset):
            raise ItlError(
                f"ResultsPanel shows a preset, by name, file or object; got a {type(preset).__name__}"
            )
        self.preset = preset if isinstance(preset, Preset) else load_preset(preset)
        self.pending: dict[str, str] = {}  # questions without results: why
        self.answers: dict[str, Answer] = {}
        with announced(f"Reading and judging the runs of preset {self.preset.name} …"):
            for question in questions_of(self.preset):
                try:
                    self.answers[question.name] = answer(question, self.store, self.machine)
                except ItlError as error:
                    self.pending[question.name] = str(error)
            questions = [given.question for given in self.answers.values()]
            self.changed = changed_sources(questions, self.machine)  # since their images were packed
        if not self.answers:
            raise ItlError(next(iter(self.pending.values()), f"preset {self.preset.name} asks no question"))
        self._pack_of = cache(partial(find_by_digest, machine=self.machine))
        self._forests: dict[tuple[str, ...], ForestPicture] = {}
        super().__init__()

    @traitlets.validate("question", "task", "metric", "axis")
    def _known(self, proposal: dict) -> str:
        name, value = proposal["trait"].name, proposal["value"]
        offered = [offered for _, offered in self.options(name) if offered != ALL]
        return one_of(offered, value, f"{name} in these results") if value != ALL else ALL

    @traitlets.validate("row")
    def _a_row(self, proposal: dict) -> int:
        row, rows = proposal["value"], self.contrasts().index
        if row != -1 and row not in rows:
            raise ItlError(f"no comparison here has the row {row}; ResultsPanel.contrasts() has {list(rows)}")
        return row

    @traitlets.validate("run")
    def _a_run(self, proposal: dict) -> str:
        run = proposal["value"]
        if run == ALL:
            return ALL
        net_of(run, self.store)
        keys = [name for name in self.runs()["run"] if name.startswith(run)]
        if not keys:
            raise ItlError(f"run {run} is not of the chosen comparison; ResultsPanel.runs() lists its runs")
        return keys[0]

    @traitlets.observe("question", "task", "axis")
    def _start_over(self, change: dict) -> None:
        with self.hold_trait_notifications():
            self.row, self.run = -1, ALL
            for name in ("task", "axis", "metric"):  # in this order: each is offered by those before
                if getattr(self, name) not in {value for _, value in self.options(name)}:
                    setattr(self, name, ALL)

    @traitlets.observe("row")
    def _no_run(self, change: dict) -> None:
        self.run = ALL

    @traitlets.observe("opened")
    def _open(self, change: dict) -> None:
        """Show the net below; its features are extracted first, which may take seconds."""
        self.below.children = []
        if self.opened:
            self.below.children = [ipywidgets.HTML(f"<p>Opening the net of run {self.opened} …</p>")]
            try:
                self.below.children = [self.net(self.opened).widget()]
            except (ItlError, OSError) as error:
                self.below.children = [ipywidgets.HTML(render("problem.html.j2", problem=message_of(error)))]

    @cached_property
    def every_contrast(self) -> pd.DataFrame:
        """The contrasts of all answers, as `itl.analysis.comparisons.contrasts` has them, and their axes."""
        tables = []
        for name, given in self.answers.items():
            axes = [self._axes(name, compared) for compared in given.contrasts["compared"]]
            tables.append(given.contrasts.assign(axes=axes))
        return pd.concat(tables, ignore_index=True)

    def contrasts(self) -> pd.DataFrame:
        """Return the contrasts that are chosen; their index is that of `every_contrast`."""
        table = self._of("question", "task")
        return table[[self.axis in axes for axes in table["axes"]]] if self.axis else table

    def _of(self, *names: str) -> pd.DataFrame:
        """Return the contrasts that have what is chosen of *names*: question, or task too."""
        table = self.every_contrast
        for name in names:
            if getattr(self, name):
                table = table[table[name] == getattr(self, name)]
        return table

    def options(self, setting: str) -> list[tuple[str, str]]:
        """List what *setting* (question, task, metric or axis) can be: words and value, `all` first.

        These are the values of the chosen question; metrics and axes also depend on the chosen task.
        """
        axes_of_rows = self._of("question", "task")["axes"]
        values = {
            "question": list(self.answers),
            "task": list(self._of("question")["task"].unique()),
            "metric": list(self._results()["metric"].unique()),
            "axis": list(dict.fromkeys(axis for axes in axes_of_rows for axis in axes)),
        }[setting]
        words = task_name if setting == "task" else lambda value: value.replace("_", " ")
        every = "each task's main metric" if setting == "metric" else "all"
        return [(every, ALL), *((words(value), value) for value in values)]

    def _results(self) -> pd.DataFrame:
        """Join the results of the chosen questions, and of the task where one is chosen."""
        names = [self.question] if self.question else list(self.answers)
        results = pd.concat([self.answers[name].results for name in names], ignore_index=True)
        return results[results["task"] == self.task] if self.task else results

    def values(self) -> pd.DataFrame:
        """Tabulate means and 95 % intervals of the chosen task and metric by condition, for one question.

        That is the chosen one, or the first that has them; ``attrs`` of the table name it.
        Columns are the values of the axis: the chosen one, or the first of the question. Without a metric
        each task has its main one. ItlError if there are no such values.
        """
        rows = self.contrasts() if self.row < 0 else self.every_contrast.loc[[self.row]]
        names = [self.question] if self.question else dict.fromkeys([*rows["question"], *self.answers])
        for given in (self.answers[name] for name in names):
            results, columns = given.results, [column for column, _ in given.question.conditions[0].columns]
            metrics = self.metric or results["task"].map(main_metric)
            results = results[results["metric"] == metrics]
            results = results[results["task"] == self.task] if self.task else results
            axis = self.axis or columns[-1]
            if axis in columns and not results.empty:
                table = summary(results, ["task", *(column for column in columns if column != axis)], axis)
                table.attrs["question"] = given.question.name
                return table
        what = f"{self.metric or 'values'} of {self.task or 'a task'} by {self.axis or 'its conditions'}"
        source = self.question or f"preset {self.preset.name}"
        raise ItlError(f"{source} has no {what}; choose another task, metric or axis")

    def _pair(self, name: str, compared: str) -> tuple[Columns, ...]:
        """Return the columns of both conditions that a contrast compares; () where it is of all (a fit)."""
        return self._pairs.get((name, compared.removesuffix(LESS_OWN)), ())

    @cached_property
    def _question_runs(self) -> dict[str, list[Run]]:
        return {name: given.question.runs(self.machine) for name, given in self.answers.items()}

    @cached_property
    def _pairs(self) -> dict[tuple[str, str], tuple[Columns, Columns]]:
        """The columns of pairs of conditions, by their question and how a contrast names them."""
        return {
            (name, comparison_text(dict(of), dict(against))): (of, against)
            for name, given in self.answers.items()
            for of, against in permutations([one.columns for one in given.question.conditions], 2)
        }

    def _axes(self, name: str, compared: str) -> tuple[str, ...]:
        """Name the columns in which the conditions of a contrast differ."""
        of, against = self._pair(name, compared) or (self.answers[name].question.conditions[0].columns, ())
        return tuple(column for column, value in of if (column, value) not in against)

    def _runs(self) -> list[tuple[str, Run]]:
        """Return the runs of the chosen contrast that its answer rests on, each with the side it is on."""
        if self.row < 0:
            raise ItlError("no comparison is chosen; set row to one of the index of ResultsPanel.contrasts()")
        chosen = self.every_contrast.loc[self.row]
        name = chosen["question"]
        sides = dict(zip(self._pair(name, chosen["compared"]), ("this", "instead of"), strict=False))
        runs = [run for run in self._question_runs[name] if run.task == chosen["task"]]
        compared = [run for run in runs if not sides or run.columns in sides]
        done = [run for run in compared if (name, key(run.spec)) in self._values_of]
        return [(sides.get(run.columns, "fitted"), run) for run in done]

    @cached_property
    def _values_of(self) -> dict[tuple[str, str], dict[str, float]]:
        """The values of each finished run by metric, by its question and key."""
        return {
            (name, run): dict(zip(rows["metric"], rows["value"], strict=True))
            for name, given in self.answers.items()
            for run, rows in given.results.groupby("run")
        }

    def runs(self) -> pd.DataFrame:
        """List the finished runs of the chosen contrast: side, condition, seed, run, net, value, manifest."""
        rows = []
        for side, run in self._runs():
            chosen, name = self.every_contrast.loc[self.row], key(run.spec)
            net = pretraining_of(run.spec)
            value = self._values_of[chosen["question"], name].get(self.metric or chosen["metric"])
            manifest = self.store.path(net) / MANIFEST_FILE
            path = str(manifest.relative_to(self.machine.home)) if manifest.exists() else ""
            rows.append((side, condition_text(run.columns), run.seed, name, key(net), value, path))
        columns = ["side", "condition", "seed", "run", "net", "value", "manifest"]
        return pd.DataFrame(rows, columns=columns).sort_values(["side", "seed"], ascending=[False, True])

    def settings_that_differ(self) -> pd.DataFrame:
        """List the settings, with columns for them and both sides, in which the chosen contrast differs."""
        sides: dict[str, dict[int, Mapping[str, object]]] = {}
        for side, run in self._runs():
            sides.setdefault(side, {})[run.seed] = flatten_spec(run.spec)
        this, other = sides.get("this", {}), sides.get("instead of", {})
        rows = {}
        for seed in this.keys() & other.keys():
            for name in this[seed].keys() | other[seed].keys():
                absent = "all" if name.endswith((".classes", "images_per_class")) else "not set"
                values = this[seed].get(name, absent), other[seed].get(name, absent)
                if values[0] != values[1]:
                    rows[name] = values
        table = [(name, *values) for name, values in sorted(rows.items())]
        return pd.DataFrame(table, columns=["setting", "this", "instead of"])

    def net(self, run: str = "") -> "NetPanel":
        """Return the panel of the net of *run*, by default `run`.

        It is on the target of the chosen comparison if the images of the target have one class each. ItlError
        if no run is chosen.
        """
        if not (run := run or self.run):
            raise ItlError("no run is chosen; set run to a key of ResultsPanel.runs()")
        from itl.panels.net import NetPanel  # here: it imports torch

        panel = NetPanel(run, self.machine)
        if self.row >= 0:
            target = self.every_contrast.loc[self.row, "task"].partition("@")[2]
            packs = {run.spec.pack for _, run in self._runs() if isinstance(run.spec, Transfer)}
            for name, measured in panel.targets.items():
                if name == target or (name.startswith(f"{target} (pack ") and measured.pack in packs):
                    panel.over = name
        return panel

    def parts(self) -> dict[Callable[[], str], tuple[str, ...]]:
        """List the function that writes each part of the picture, and the settings that it shows."""
        return {
            self.runs_html: ("row", "metric"),
            self.images_html: ("run",),
            self.comparisons_html: ("question", "task", "axis"),
            self.values_html: ("question", "task", "metric", "axis", "row"),
        }

    def html(self) -> str:
        """Write the picture: the runs behind the chosen comparison, the forest, values by condition."""
        return "".join(part() for part in self.parts())

    def comparisons_html(self) -> str:
        """Write the forest of the chosen comparisons, and which questions are not run yet."""
        table = self.contrasts()
        return render(
            TEMPLATE,
            part="comparisons",
            preset=self.preset.name,
            count=counted(len(table), "comparisons"),
            forest=self._forest(table),
            rows=table.index.tolist(),
            pending=list(self.pending.values()),
            notes=self.changed,
        )

    def _forest(self, table: pd.DataFrame) -> ForestPicture:
        """Draw *table* once."""
        choice = (self.question, self.task, self.axis)
        if choice not in self._forests:
            several = table["question"].nunique() > 1
            self._forests[choice] = forest_picture(table, "question" if several else "compared")
        return self._forests[choice]

    def values_html(self) -> str:
        """Write the values by condition."""
        values = self.values().reset_index()
        unit = "in percent" if all(map(is_percent, values["metric"])) else "in units of their own"
        return render(
            TEMPLATE,
            part="values",
            question=values.attrs["question"],
            unit=unit,
            columns=list(map(str, values)),
            rows=values.to_numpy().tolist(),
        )

    def runs_html(self) -> str:
        """Write the runs of the chosen comparison, and the settings that differ; '' where none is chosen."""
        if self.row < 0:
            return ""
        runs, differing = self.runs(), self.settings_that_differ()
        chosen = self.every_contrast.loc[self.row]
        form = "{:.1f} %" if is_percent(self.metric or chosen["metric"]) else "{:.3f}"
        runs["value"] = [form.format(value) if value is not None else "" for value in runs["value"]]
        return render(
            TEMPLATE,
            part="runs",
            text=row_text(chosen),
            verdict=verdict_text(chosen),
            p_adjusted=p_text(chosen["p_adjusted"]),
            compared=chosen["metric"],
            metric=self.metric or chosen["metric"],
            columns=list(runs.columns),
            runs=runs.to_dict("records"),
            settings=[list(differing.columns), *differing.to_numpy().tolist()],
        )

    def images_html(self) -> str:
        """Write images that the net of the chosen run learned from; '' where none is chosen."""
        if not self.run:
            return ""
        net = net_of(self.run, self.store)
        examples = example_images(net, self.store, self._pack_of)
        pictures = [(url, f"{image}: {wnid}", wnid) for image, wnid, url in examples]
        return render(TEMPLATE, part="images", run=self.run, pictures=pictures)

    def widget(self) -> ipywidgets.Widget:
        """Make controls and picture; runs are listed first, so that a comparison only looks them up."""
        self._question_runs, self._values_of  # noqa: B018
        return super().widget()

    def controls(self) -> list[ipywidgets.Widget]:
        """Make the controls: what is compared, and a row of it; runs and nets are clicked in the picture."""
        both = ["question", "task"]
        after: dict[str, list[str]] = {"question": [], "task": ["question"], "metric": both, "axis": both}
        controls = [self.dropdown(name, name, partial(self.options, name), after[name]) for name in after]
        row = ipywidgets.Select(description="comparison", rows=10, **WIDE)
        self.bind(row, "row", self._row_options, ["question", "task", "axis"])
        return [*controls, row]

    def _row_options(self) -> list[tuple[str, int]]:
        rows = [(row_text(row), index) for index, row in self.contrasts().iterrows()]
        return [("choose a comparison", -1), *rows]
