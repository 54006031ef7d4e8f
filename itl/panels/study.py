"""StudyPanel: choose a question, see its plan, run it, and read the answer."""

import asyncio
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from pathlib import Path

import ipywidgets
import traitlets
import yaml

from itl.analysis.comparisons import Answer
from itl.analysis.wording import answer_text, task_name, without_markup
from itl.browser.preset import on_taxonomy
from itl.browser.widget import HierarchyBrowser
from itl.errors import ItlError, one_of
from itl.machine import Machine, expand_home, project_folder
from itl.notes import warn
from itl.packs.counts import count_images
from itl.panels.answer_steps import ANSWERED_BY, AnswerSteps
from itl.panels.panel import (
    OWN_TARGET,
    WIDE,
    Panel,
    garbage_collection_postponed,
    message_of,
    named_so,
    running_loop,
    target_words,
)
from itl.panels.plan_facts import plan_facts, progress_facts
from itl.panels.quick_store import QuickStore
from itl.panels.selection import with_selection
from itl.panels.study_process import DONE, FAILED, NOT_STARTED, RUNNING, StudyProcess, of_others
from itl.panels.typed_text import options_of_target, read_conditions, read_options, read_seeds
from itl.presets import load_preset, write_preset
from itl.report.html import render
from itl.report.run_page import CURVE_SIZE
from itl.runs.design import Margin, Task
from itl.runs.plan import VAL_FRACTION, Plan, plan
from itl.runs.question import Question
from itl.runs.questions import QUESTIONS, questions_of
from itl.runs.results import changed_sources
from itl.runs.study import Study
from itl.settings import spec_of
from itl.sources.registry import SOURCES, reads_files
from itl.specs import Packing

POLL_SECONDS = 1.0
PAUSE_SECONDS = 0.2  # after the last change, and between the steps towards the answer of a live panel
PRELOAD_SECONDS = 2.0  # after the panel is made; by then the answer of finished runs is shown
LEAST, MOST = 0.0001, 0.5  # share of the gain that a margin may be here
OWN_METHODS = ("finetune", "probe", "knn")
TARGET_SOURCES = [kind for kind, source in SOURCES.items() if reads_files(kind) and not source.annotates]


class StudyPanel(Panel):
    """One question: choose what it compares, see what it takes, run it, and read the answer.

    Args:
        preset: whose images, targets and recipes are taken where nothing else is chosen.
        browser: a HierarchyBrowser whose selection can be taken over.
        machine: that does the runs; by default this one.
    """

    question = traitlets.Unicode(help="the notebook that asks it, such as 01-data-size")
    conditions = traitlets.Unicode(help="what the question compares: its own parameters, as YAML")
    tasks = traitlets.Tuple(help="names of tasks; the first is the main one")
    seeds = traitlets.Unicode(help="whole numbers")
    margin = traitlets.Float(Margin().share, min=LEAST, max=MOST, help="share of the gain: no change matters")
    images_folder = traitlets.Unicode("", help="own images to pre-train on, by class; '' the preset's")
    target_folder = traitlets.Unicode("", help="own images to measure on, as target_source says: target own")
    target_source = traitlets.Unicode("folder", help="how own images to measure on are read: see `itl check`")
    options = traitlets.Unicode("", help="how own folders are read, as YAML: target: {empty: skip}")
    message = traitlets.Unicode("", help="what was done last")
    chosen = (
        *("question", "conditions", "tasks", "seeds", "margin"),
        *("images_folder", "target_folder", "target_source", "options"),
    )
    settings = (*chosen, "message")

    def __init__(
        self, preset: str = "demo", browser: HierarchyBrowser | None = None, machine: Machine | None = None
    ) -> None:
        self.machine = machine or Machine.from_environment()
        self.store, self.browser = QuickStore(self.machine.runs), browser
        self.preset = load_preset(preset)
        self.process: StudyProcess | None = None
        self.taxonomy: str | None = None  # of the selection that was taken; None: the preset's
        self._started: tuple[object, ...] = ()  # what was chosen for the process
        self._planned: tuple[Question, Plan] | None = None
        self._answer: AnswerSteps | None = None
        self._process_watch: asyncio.Task | None = None
        self._next_step: asyncio.TimerHandle | None = None  # towards the answer, once it is scheduled
        self._is_done = False  # whether all runs were, when the picture was drawn
        self._draws_whole_answer = True  # and waits for it, or shows what is known of it
        super().__init__()
        self.question = next(iter(self.questions))

    @cached_property
    def questions(self) -> list[str]:
        """The questions that the preset asks, by notebook. ItlError if it asks none."""
        stems = [stem for stem in QUESTIONS if stem in self.preset.notebooks]
        if not stems:
            raise ItlError(f"preset {self.preset.name} asks no question; name one that does, such as demo")
        return stems

    @property
    def study(self) -> type[Study]:
        """The pydantic model of the question."""
        return QUESTIONS[self.question]

    @property
    def own_names(self) -> list[str]:
        """The parameters that say what the question compares, and not with which images and recipes."""
        return [name for name in self.study.model_fields if name not in Study.model_fields]

    @traitlets.validate("question")
    def _known(self, proposal: dict) -> str:
        stem = one_of(self.questions, proposal["value"], f"question of preset {self.preset.name}")
        questions_of(self.preset, stem)  # refuses settings that cannot be
        return stem

    @traitlets.observe("question")
    def _from_preset(self, change: dict) -> None:
        """Take the conditions, tasks and seeds of the preset, and so its taxonomy."""
        settings, self.taxonomy = self.preset.notebooks[self.question], None
        own = {name: settings[name] for name in self.own_names if name in settings}
        with self.hold_trait_notifications():
            self.conditions = yaml.safe_dump(own, sort_keys=False, default_flow_style=None, width=100)
            self.tasks = tuple(settings["tasks"])
            of_subset = (own.get("subset") or {}).get("seed", 0)
            self.seeds = ", ".join(map(str, settings.get("seeds") or [of_subset]))
            self.margin = settings.get("margin", {}).get("share", Margin().share)

    @traitlets.validate("target_source")
    def _of_one_class_an_image(self, proposal: dict) -> str:
        return one_of(TARGET_SOURCES, proposal["value"], "source of images of one class each")

    @traitlets.observe(*chosen)
    def _other_question(self, change: dict) -> None:
        with self.lock:  # not while an answer of the earlier settings is drawn
            if self.state != RUNNING:
                self.process = None
            self._answer = None
            self.message = ""

    def offered_tasks(self) -> list[str]:
        """List the tasks of the preset's questions, and those on own images where a folder is given."""
        listed = [self.preset.notebooks[stem]["tasks"] for stem in self.questions]
        tasks = dict.fromkeys(task for tasks in (*listed, self.tasks) for task in tasks)
        own = [f"{method}@{OWN_TARGET}" for method in OWN_METHODS] if self.target_folder else []
        kept = [task for task in tasks if self.target_folder or not is_on_own(task)]
        return list(dict.fromkeys([*kept, *own]))

    def parameters(self) -> dict[str, object]:
        """Return the question's parameters, as a preset holds them."""
        given = self.preset.notebooks[self.question]
        every = [self.preset.notebooks[stem] for stem in (*self.questions, self.question)]  # its own count
        settings = {name: value for name, value in given.items() if name not in self.own_names}
        options = read_options(self.options)
        for name, folder in (("images", self.images_folder), ("target", self.target_folder)):
            if options[name] and not folder:
                raise ItlError(f"options of {name} are for its folder, which is not given; give it, or none")
        settings["images"] = self._usual_images(options["images"])
        targets = {name: images for other in every for name, images in other["targets"].items()}
        if self.target_folder:
            targets[OWN_TARGET] = self._own_target(options["target"], settings["images"])
        tuning = {name: recipe for other in every for name, recipe in other["tuning"].items()}
        tasks = [Task.read(name) for name in self.tasks]
        used, methods = {task.target for task in tasks}, {task.method for task in tasks}
        if OWN_TARGET in used - targets.keys():
            name = next(task.name for task in tasks if task.target == OWN_TARGET)
            raise ItlError(f"{name} needs images to measure on; give their target folder, or leave it out")
        chosen = {
            "tasks": list(self.tasks),
            "targets": {name: images for name, images in targets.items() if name in used},
            "tuning": {name: recipe for name, recipe in tuning.items() if name in methods},
            "seeds": read_seeds(self.seeds),
            "margin": {**settings.get("margin", {}), "share": round(self.margin, 4)},
        }
        conditions = read_conditions(self.conditions)
        if others := sorted(conditions.keys() & chosen.keys()):
            raise ItlError(
                f"conditions say what is compared, not {' and '.join(others)}: tasks, seeds and margin have "
                f"controls of their own, and targets and tuning are those of the preset"
            )
        if self.images_folder and "images" in conditions:
            raise ItlError("images are said twice, by conditions and by their folder; leave one of them")
        if self.taxonomy is not None and conditions.get("taxonomy", self.taxonomy) != self.taxonomy:
            raise ItlError("conditions name another taxonomy than the selection was made on; remove it there")
        return on_taxonomy(settings | conditions | chosen, self.taxonomy)

    def _usual_images(self, options: Mapping[str, object]) -> dict[str, object]:
        """Return the images that are asked on where conditions name none."""
        usual = dict(self.preset.notebooks[self.question]["images"])
        if not self.images_folder:
            return usual
        return self._own_images("folder", self.images_folder, options, usual)

    def _own_images(
        self, source: str, path: str, options: Mapping[str, object], usual: Mapping[str, object]
    ) -> dict[str, object]:
        """Say how own images of a *source* at *path* are packed: as large as the preset's."""
        folder = expand_home(path).absolute()
        if not folder.exists():
            raise ItlError(f"there is no {folder}; give the path of a folder of images by class")
        packing = {"source": source, "path": str(folder), "size": usual["size"]}
        return packing | ({"options": options} if options else {})

    def _own_target(self, options: Mapping[str, object], usual: Mapping[str, object]) -> dict[str, object]:
        """Say how own images to measure on are packed; of a folder without splits some are held out."""
        images = self._own_images(self.target_source, self.target_folder, options, usual)
        if self.target_source == "folder":
            counts = count_images(spec_of(Packing, images, OWN_TARGET), OWN_TARGET, self.machine)
            if set(counts.splits) == {"train"}:
                images["options"] = {"val_fraction": VAL_FRACTION, **options}
        return images

    def ask(self) -> Question:
        """Make the question; ItlError where it cannot be asked."""
        made = self.study.ask(**self.parameters())
        made.check_comparisons()
        return made

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
        if self.state == RUNNING:
            raise ItlError("runs are under way; stop them first, or wait until they are done")
        made = self.ask()
        if self.process is None or self.process.question != made:
            self.plan().refuse()
            self.process = StudyProcess(made, {self.question: self.parameters()}, self.machine)
        self.process.start()
        self._started, self.message = self._chosen(), ""
        self.refresh()
        loop = running_loop()
        self._process_watch = loop.create_task(self._refresh_while_running()) if loop else None

    async def _refresh_while_running(self) -> None:
        while self.process is not None and self.process.state == RUNNING:
            self.refresh()
            await asyncio.sleep(POLL_SECONDS)
        self.refresh()

    def stop(self) -> None:
        """Stop the process; what is finished and all checkpoints are kept."""
        if self.process is None or self.process.state != RUNNING:
            self.message = of_others(self.ask(), self.store, self.machine) or "No runs are under way."
        else:
            self.process.stop()
            self.message = "What is finished is kept; Run or resume goes on from there."

    def refresh(self) -> None:
        """Read from the store how far the runs are, and draw the picture again."""
        if self.state != RUNNING:
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

        It is also running while runs of earlier settings are under way.
        """
        if self.process is None or (self.process.state != RUNNING and self._is_changed):
            return NOT_STARTED
        return self.process.state

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
            planned, problem = None, message_of(error)
        self._is_done = self.state != RUNNING and planned is not None and planned.left.empty
        return render(
            "study_panel.html.j2",
            title=(self.study.__doc__ or "").splitlines()[0].replace("*", ""),
            problem=problem,
            unused=self.target_folder and not any(map(is_on_own, self.tasks)),
            target_folder=self.target_folder,
            plan=plan_facts(planned) if planned is not None else None,
            state=DONE if self._is_done else self.state,
            message=" ".join(filter(None, [self._about_earlier(), self.message])),
            progress=progress_facts(self.process) if self.process and self.state != NOT_STARTED else {},
            curve_size=CURVE_SIZE,
            answer=self._answer_facts(),
        )

    def _present_plan(self) -> Plan:
        """Return the plan of the present settings, made once for the same runs; ItlError if there is none."""
        made = self.ask()
        # The margin changes which runs are needed only where seeds are added until it is decided.
        runs = made if made.cap else replace(made, margin=Margin())
        if self._planned is None or self._planned[0] != runs or not self.store.is_current:
            self._planned = (runs, plan([made], self.store, self.machine, measure=False, build_nets=False))
        return self._planned[1]

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
        """Make controls and picture; modules that read own images load early, not at the first folder."""
        if loop := running_loop():
            loop.call_later(PRELOAD_SECONDS, import_module, "torchvision")  # it takes seconds
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
        if self.process is None or self.state != RUNNING or self.process.question != self.ask():
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


def is_on_own(task: str) -> bool:
    """Say whether a *task* is on the images of target_folder."""
    return task.partition("@")[2] == OWN_TARGET
