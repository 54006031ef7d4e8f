"""StudyPanel: choose a question, see its plan, run it, and read the answer."""

import asyncio
import os
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import ipywidgets
import traitlets
import yaml

from itl.analysis.comparisons import Answer
from itl.analysis.wording import answer_text, task_name, without_markup
from itl.browser.widget import HierarchyBrowser
from itl.errors import ItlError
from itl.machine import Machine, project_folder
from itl.notes import warn
from itl.panels.answer_steps import ANSWERED_BY, AnswerSteps
from itl.panels.panel import (
    OWN_TARGET,
    WIDE,
    garbage_collection_postponed,
    message_of,
    named_so,
    running_loop,
    target_words,
)
from itl.panels.plan_facts import plan_facts, progress_facts
from itl.panels.quick_store import QuickStore
from itl.panels.selection import with_selection
from itl.panels.study_process import (
    DONE,
    FAILED,
    NOT_STARTED,
    RUNNING,
    RUNNING_ELSEWHERE,
    StudyProcess,
    of_others,
)
from itl.panels.study_settings import LEAST, MOST, TARGET_SOURCES, StudySettings, is_on_own
from itl.panels.typed_text import options_of_target, read_conditions, read_options
from itl.presets import load_preset, write_preset
from itl.report.html import render
from itl.report.run_page import CURVE_SIZE
from itl.runs.design import Margin
from itl.runs.plan import Plan, plan
from itl.runs.progress import holders
from itl.runs.question import Question
from itl.runs.questions import QUESTIONS
from itl.runs.results import changed_sources

POLL_SECONDS = 1.0
PAUSE_SECONDS = 0.2  # after the last change, and between the steps towards the answer of a live panel
LOOK_SHARE = 0.05  # of the time, at most, goes into looking how far runs are


class StudyPanel(StudySettings):
    """One question: choose what it compares, see what it takes, run it, and read the answer.

    Args:
        preset: whose images, targets and recipes are taken where nothing else is chosen.
        browser: a HierarchyBrowser whose selection can be taken over.
        machine: that does the runs; by default this one.
    """

    def __init__(
        self, preset: str = "demo", browser: HierarchyBrowser | None = None, machine: Machine | None = None
    ) -> None:
        self.machine = machine or Machine.from_environment()
        self.store, self.browser = QuickStore(self.machine.runs), browser
        self.preset = load_preset(preset)
        self.process: StudyProcess | None = None
        self.taxonomy: str | None = None
        self._started: tuple[object, ...] = ()  # what was chosen for the process
        self._others: StudyProcess | None = None  # not started: it watches what other processes do
        self._planned: tuple[Question, int, Plan] | None = None  # with the version of the packs
        self._answer: AnswerSteps | None = None
        self._next_look: asyncio.TimerHandle | None = None  # how far runs are
        self._drawn_state = ""
        self._next_step: asyncio.TimerHandle | None = None  # towards the answer, once it is scheduled
        self._is_done = False  # whether all runs were, when the picture was drawn
        self._draws_whole_answer = True  # and waits for it, or shows what is known of it
        super().__init__()
        self.question = next(iter(self.questions))

    @traitlets.observe(*StudySettings.chosen)
    def _other_question(self, change: dict) -> None:
        with self.lock:  # not while an answer of the earlier settings is drawn
            if not self._is_running:
                self.process = None
            self._answer = self._others = None
            self.message = ""

    def plan(self, measure: bool = False) -> Plan:
        """Plan the question: done, left, hours and disk; *measure* how fast this machine is if not known."""
        return plan([self.ask()], self.store, self.machine, measure=measure)

    def take_selection(self) -> None:
        """Take the selection of the browser, and the images of its pack, into the conditions.

        ItlError if there is no browser, or the question takes no selection of classes.
        """
        if self.browser is None:
            raise ItlError("there is no browser; make the panel with StudyPanel(browser=browser)")
        usual = self._usual_images(read_options(self.options)["images"])
        studies = [self.study, *(QUESTIONS[stem] for stem in self.questions)]
        taken, note = with_selection(read_conditions(self.conditions), self.browser, studies, usual)
        text = yaml.safe_dump(taken, sort_keys=False, default_flow_style=None, width=100)
        taxonomy = self.browser.taxonomy_of_labels()
        with self.hold_trait_notifications():
            if self.browser.pack is not None and "images" in taken and self.images_folder:
                self.images_folder, self.options = "", options_of_target(self.options)
                note += " The folder of images is emptied."
            self.taxonomy, self.conditions = taxonomy, text
        self.message = note

    def run(self) -> None:
        """Do the missing runs, in a separate process; call it again to resume.

        In a notebook the picture follows; a script calls `refresh`, or waits with ``panel.process.wait()``.
        ItlError if runs are under way, or the plan cannot be done.
        """
        if self._is_running:
            raise ItlError("runs are under way; stop them first, or wait until they are done")
        made = self.ask()
        if self.process is None or self.process.question != made:
            self.plan().refuse()
            self.process = StudyProcess(made, {self.question: self.parameters()}, self.machine)
        self.process.start()
        self._started, self.message = self._chosen(), ""
        self.refresh()
        self._look_later()

    def _look_later(self, seconds: float = POLL_SECONDS) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        loop = running_loop()
        self._next_look = loop.call_later(seconds, self._look) if loop else None

    def _look(self) -> None:
        """Draw the picture again where runs begin, go on or end, here or elsewhere; then look again.

        This ends when the widget is closed.
        """
        if self.is_closed:
            return
        started = time.perf_counter()
        try:
            with self.lock:
                state, words = self._state_and_words()
                if words != self._drawn_state:
                    self.refresh()
                elif state in (RUNNING, RUNNING_ELSEWHERE) or not self._is_current:
                    self.redraw()
        finally:
            self._look_later(max(POLL_SECONDS, (time.perf_counter() - started) / LOOK_SHARE))

    def stop(self) -> None:
        """Stop the process; what is finished and all checkpoints are kept."""
        if self.process is not None and self._is_running:
            self.process.stop()
            self.message = "What is finished is kept; Run or resume goes on from there."
        else:
            self._present_plan()
            self.message = of_others(self.others) or "No runs are under way."

    def refresh(self) -> None:
        """Read from the store how far the runs are, and draw the picture again."""
        if not self._is_running:
            self._planned = self._answer = None
        self.redraw()

    def redraw(self, parts: Sequence[Callable[[], str]] | None = None) -> None:
        """Draw the picture again; the answer comes to a live one in steps, after the last change.

        Judging and drawing it takes longer than a person wants to wait for a control.
        """
        self._draws_whole_answer = not self._pictures or running_loop() is None
        super().redraw(parts)
        self._schedule_next_step()

    def _schedule_next_step(self) -> None:
        """Take the next step towards the answer after a moment, in which controls can be used."""
        if self._next_step is not None:
            self._next_step.cancel()
        loop, self._next_step = running_loop(), None
        if loop and self._is_done and not self._may_show("figure"):
            self._next_step = loop.call_later(PAUSE_SECONDS, self.take_step)

    @garbage_collection_postponed()
    def take_step(self) -> None:
        """Take the next step towards the answer, and show what is known then."""
        if self.is_closed:
            return
        with self.lock:  # not while settings change
            try:
                self._answer_steps().make_next()
            except (ItlError, OSError):
                self._draws_whole_answer = True  # the picture says why
            if self._may_show("answer"):
                super().redraw()
            self._schedule_next_step()

    def _answer_steps(self) -> AnswerSteps:
        if self._answer is None:
            self._answer = AnswerSteps(self.ask(), self.store, self.machine)
        return self._answer

    def _may_show(self, part: str) -> bool:
        """Say whether the picture has a *part* of the answer: it is known, or waited for."""
        return self._draws_whole_answer or (self._answer is not None and self._answer.is_known(part))

    @property
    def state(self) -> str:
        """State of the runs of the present settings: not started, running, stopped, failed or done.

        It is also running while runs of earlier settings are under way, and running elsewhere while a process
        that this panel did not start does runs of the present ones.
        """
        return self._state_and_words()[0]

    @property
    def others(self) -> list[str]:
        """Processes that this panel did not start and that do runs of its plan, such as process 7 on vm."""
        return [] if self._is_running else holders(self.store.missing)

    @property
    def _is_running(self) -> bool:
        return self.process is not None and self.process.state == RUNNING

    def _state_and_words(self) -> tuple[str, str]:
        """Return the state, and in words with the processes elsewhere; they are looked for once."""
        if self._is_running:
            return RUNNING, RUNNING
        if others := self.others:
            return RUNNING_ELSEWHERE, f"{RUNNING_ELSEWHERE}: {', '.join(others)}"
        state = NOT_STARTED if self.process is None or self._is_changed else self.process.state
        return state, state

    def _chosen(self) -> tuple[object, ...]:
        return self.taxonomy, *(getattr(self, name) for name in self.chosen)

    @property
    def _is_changed(self) -> bool:
        """Whether settings were changed while the runs were under way."""
        return self.process is not None and self._started != self._chosen()

    def _about_earlier(self) -> str:
        """Say what became of the runs under way when settings were changed; '' where none were."""
        if not (self.process and self._is_changed):
            return ""
        state = self.process.state
        reason = f": {self.process.last_line}" if state == FAILED else ""
        return f"Settings were changed meanwhile; the runs of the earlier ones: {state}{reason}."

    def answer(self) -> Answer:
        """Return the answer from the runs that are done; ItlError where none is."""
        for line in changed_sources([self._answer_steps().question], self.machine):
            warn(line)
        return self._answer_steps().answer

    def save(self, name: str) -> Path:
        """Write ``params/NAME.yaml``, which `itl plan NAME` takes; returns its path."""
        self.ask()
        about = f"{self.study.name}, chosen in the panel, with the recipes of {self.preset.name}."
        fields = {"about": about, "notebooks": {self.question: self.parameters()}}
        return write_preset(name, fields, project_folder() / "params")

    def html(self) -> str:
        """Write the picture: question, plan, progress with loss curves, and the answer."""
        try:
            planned, problem = self._present_plan(), ""
        except (ItlError, OSError) as error:
            planned, problem, self._planned = None, message_of(error), None
            self.store.seen.clear()  # of runs of earlier settings
        self._is_done = not self._is_running and planned is not None and planned.left.empty
        state, self._drawn_state = self._state_and_words()
        return render(
            "study_panel.html.j2",
            title=(self.study.__doc__ or "").splitlines()[0].replace("*", ""),
            problem=problem,
            unused=self.target_folder and not any(map(is_on_own, self.tasks)),
            target_folder=self.target_folder,
            plan=plan_facts(planned) if planned is not None else None,
            state=DONE if self._is_done else self._drawn_state,
            message=" ".join(filter(None, [self._about_earlier(), self.message])),
            progress=self._progress_facts(state),
            curve_size=CURVE_SIZE,
            answer=self._answer_facts(),
        )

    def _present_plan(self) -> Plan:
        """Return the plan of the present settings, made once for the same runs; ItlError if there is none."""
        made = self.ask()
        # The margin changes which runs are needed only where seeds are added until it is decided.
        runs = made if made.cap else replace(made, margin=Margin())
        if self._planned is None or self._planned[0] != runs or not self._is_current:
            self._planned = self._answer = None
            self.store.seen.clear()
            planned = plan([made], self.store, self.machine, measure=False, build_nets=False)
            self._planned = runs, self._packs_version, planned
        return self._planned[2]

    @property
    def _is_current(self) -> bool:
        """Whether the plan was made with the results and the packs that exist now."""
        return self._planned is None or (self._planned[1] == self._packs_version and self.store.is_current)

    @property
    def _packs_version(self) -> int:
        """When a pack was added last, or began to be built; runs have no keys before theirs is built."""
        return os.stat(self.machine.packs).st_mtime_ns if self.machine.packs.exists() else 0

    def _progress_facts(self, state: str) -> dict[str, object]:
        """Say how far runs are that this panel has started, or that others do; {} where there are none."""
        if state == RUNNING_ELSEWHERE:
            if self._others is None:
                self._others = StudyProcess(self.ask(), {}, self.machine)
            return progress_facts(self._others)
        return progress_facts(self.process) if self.process and state != NOT_STARTED else {}

    def _answer_facts(self) -> dict[str, object]:
        """Return the answer in words and as a figure, as far as known; {} before all runs are done."""
        if not self._is_done or not self._may_show("answer"):
            return {}
        steps = self._answer_steps()
        figure = steps.figure if self._may_show("figure") else None
        if figure:
            rows = [(self._named(text), top, height) for text, top, height in figure.rows]
            figure = replace(figure, rows=rows)
        text = self._named(without_markup(answer_text(steps.answer.main)))
        return {"text": text, "figure": figure, "elsewhere": ANSWERED_BY.get(self.study, "")}

    def _named(self, text: str) -> str:
        """Name in *text* the tasks on own images so that nobody takes them for the net's own classes."""
        for name in map(task_name, filter(is_on_own, self.tasks)):
            text = text.replace(name, target_words(OWN_TARGET) + name.removeprefix(OWN_TARGET))
        return text

    def controls(self) -> list[ipywidgets.Widget]:
        """Make the controls: the question's parameters, run and stop, and a name to save it under."""
        question = self.dropdown("question", "question", lambda: named_so(self.questions))
        tasks = ipywidgets.SelectMultiple(description="tasks", rows=10, **WIDE)
        self.bind(tasks, "tasks", self._task_options, ["question", "target_folder"])
        conditions = ipywidgets.Textarea(description="conditions", continuous_update=False, rows=4, **WIDE)
        self.bind(conditions, "conditions")
        controls = [question, conditions]
        for name in ("seeds", "images_folder", "target_folder", "options"):
            words = name.replace("_", " ")
            controls.append(ipywidgets.Text(description=words, continuous_update=False, **WIDE))
            self.bind(controls[-1], name)
        source = self.dropdown("target_source", "target source", lambda: named_so(TARGET_SOURCES))
        share = ipywidgets.BoundedFloatText(description="margin", min=LEAST, max=MOST, step=0.01, **WIDE)
        self.bind(share, "margin")
        return [*controls, source, tasks, share, self._buttons()]

    def _task_options(self) -> list[tuple[str, str]]:
        """List the tasks, words and name: those on own images say so."""
        offered = self.offered_tasks()
        return [(f"{name}: your images" if is_on_own(name) else name, name) for name in offered]

    def write(self, control: str, text: str) -> None:
        """Set the field of a *control* to what was typed; report a margin that is not possible."""
        super().write(control, text)
        with suppress(ValueError):
            if control == "margin" and float(text) != self.margin:
                self.message = (
                    f"margin is a share of the gain, from {LEAST} to {MOST}: {text} became {self.margin}"
                )

    def widget(self) -> ipywidgets.Widget:
        """Make controls and picture, which follows what other processes do."""
        self._look_later()
        return super().widget()

    def _buttons(self) -> ipywidgets.Widget:
        # Sent once, whole: of what is sent key by key, a busy kernel may have only a letter at the click.
        words = {"description": "preset name", "placeholder": "such as my-study"}
        name = ipywidgets.Text(**words, continuous_update=False, **WIDE)
        actions = {
            "Run or resume": self._run,
            "Stop": self.stop,
            "Measure how long": self._measure,
            "Save preset": lambda: self._save(name.value),
        }
        actions |= {"Take the browser's selection": self.take_selection} if self.browser is not None else {}
        buttons = []
        for description, action in actions.items():
            buttons.append(ipywidgets.Button(description=description, layout=ipywidgets.Layout(width="auto")))
            buttons[-1].on_click(lambda button, action=action: self._try(action))
        wrapped = ipywidgets.Layout(flex_flow="row wrap")
        return ipywidgets.VBox([name, ipywidgets.HBox(buttons, layout=wrapped)])

    def _try(self, action) -> None:
        """Do what a button asks; why it cannot be done is a message in the picture."""
        try:
            action()
        except (ItlError, OSError) as error:
            self.message = message_of(error)

    def _run(self) -> None:
        if self.process is None or not self._is_running or self.process.question != self.ask():
            self.run()  # but not twice where it is clicked twice

    def _measure(self) -> None:
        was_measured = self.plan().is_measured
        self.plan(measure=True)
        self.refresh()
        when = "before" if was_measured else "now"
        self.message = f"The times in the plan are from what was measured on this machine {when}."

    def _save(self, name: str) -> None:
        command = ["itl", "plan", self.save(name).stem, *self.machine.options]
        self.message = f"Saved: {shlex.join(command)}"
