"""One notebook of a report: what its page depends on, and the files it is published as."""

import json
import logging
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd

from itl.analysis.comparisons import answer
from itl.analysis.influence import counterfactual, effects, estimators
from itl.analysis.origins import ORIGINS
from itl.errors import ItlError
from itl.machine import Machine
from itl.packs.paths import pack_folder
from itl.presets import Preset
from itl.report.html import PageSummary, plain_text
from itl.report.notebook_file import declared_parameters, read_cells, title_of
from itl.runs.question import Question
from itl.runs.questions import QUESTIONS, questions_of
from itl.runs.store import LOG_FILE, PROVENANCE_FILE, Store
from itl.runs.task_questions import Influence
from itl.settings import spec_of
from itl.specs import Packing
from itl.storage import flush_to_disk, read_mapping, write_text

log = logging.getLogger(__name__)

CODE_SUFFIXES = (".py", ".csv", ".css", ".js", ".j2", ".tsv")
HIERARCHY = "00-hierarchy"  # the one notebook that ships with itl and shows packs, but no results
SHOWN_OF_PROVENANCE = (*ORIGINS, "seconds")  # of a run: where origins are mixed, and the time spent


@dataclass(frozen=True)
class NotebookPage:
    """A notebook to execute, and everything that its page depends on."""

    preset: Preset
    source: Path  # the notebook
    folder: Path  # of the report
    machine: Machine

    @property
    def stem(self) -> str:
        """The notebook's name without its ending."""
        return self.source.stem

    @property
    def is_summary(self) -> bool:
        """Whether it may read the results of every question: also a user's own notebook, whatever it does."""
        return not self.asks and self.stem != HIERARCHY

    @property
    def asks(self) -> bool:
        """Whether the notebook asks a question of the study."""
        return self.stem in QUESTIONS

    @cached_property
    def question(self) -> Question | None:
        """The question of the study that the notebook asks; None if it asks none."""
        return self.questions[0] if self.asks else None

    @cached_property
    def questions(self) -> list[Question]:
        """The questions whose results the page may show."""
        return questions_of(self.preset, None if self.is_summary else self.stem)

    @cached_property
    def parameters(self) -> dict[str, object]:
        """What the notebook is executed with.

        A parameter called preset is always the report's own preset, whatever a copied preset says. What the
        preset leaves out has the question's default, as in a plan, and not the notebook's, which is that of
        preset demo or its user's. Seeds that are left out may be that of the subset.
        """
        parameters, declared = self.preset.notebooks[self.stem], declared_parameters(self.source)
        if self.question is not None:
            defaults = QUESTIONS[self.stem].plain_defaults() | {"seeds": list(self.question.seeds)}
            parameters = {name: value for name, value in defaults.items() if name in declared} | parameters
        if "preset" in declared:
            return parameters | {"preset": self.preset.reference}
        return parameters

    def published(self, ending: str) -> Path:
        """Return the path of a published file of this notebook."""
        return self.folder / f"{self.stem}{ending}"

    def intact_table(self, ending: str) -> Path | None:
        """Return the path of a published table; None without one, or where it is not as it was published."""
        path = self.published(ending)
        digest = self.published_facts().get("files", {}).get(path.name)
        return path if path.exists() and digest_of(path) == digest else None

    def fingerprint(self) -> str:
        """Digest all that the page shows: notebook, parameters, code of itl, packs, results and origins.

        A summary reads the answers to every question, a question its own, and what asks none may show packs.
        """
        by_question = {name: given for name, given in self.preset.notebooks.items() if name in QUESTIONS}
        settings = [self.parameters, [self.preset.about, by_question] if self.is_summary else None]
        facts = [self.source.read_text("utf-8"), json.dumps(settings, sort_keys=True), code_digest()]
        facts += [runs_digest(question, self.machine) for question in self.questions]
        facts += [one.tree(self.machine).digest for one in self.questions]  # labels may need none of it
        if not self.asks:
            packs = [(folder.name, read_mapping(folder / "pack.json")) for folder in self._packs()]
            facts += [f"{name} {pack.get('digest')}" for name, pack in packs]
        return sha256("\0".join(facts).encode()).hexdigest()

    def _packs(self) -> list[Path]:
        """List the packs that the page may show: for the hierarchy its own and those of the questions."""
        if self.stem == HIERARCHY and "images" in self.parameters:
            with suppress(ItlError):  # where one of them is not here, the page may show any
                pairs = [("images", spec_of(Packing, self.parameters["images"], "images"))]
                for question in questions_of(self.preset):
                    pairs += question.packings().items()
                return sorted({pack_folder(packing, name, self.machine) for name, packing in pairs})
        return sorted(path.parent for path in self.machine.packs.glob("*/pack.json"))

    def is_current(self) -> bool:
        """Say whether the published page is what executing the notebook again would give."""
        if not all(self.published(ending).exists() for ending in (".ipynb", ".html")):
            return False
        facts = self.published_facts()
        if facts.get("fingerprint") != self.fingerprint():
            return False
        for name, digest in facts["files"].items():
            if not (self.folder / name).is_file() or digest_of(self.folder / name) != digest:
                log.info(f"{self.folder / name} is damaged; its page is made again")
                return False
        trial, store = self.trial, Store(self.machine.runs)  # whose runs the notebook itself does
        return trial is None or all(store.is_done(spec) for spec in trial.specs(self.machine))

    def tables(self) -> dict[str, str]:
        """Write every number and every contrast of the notebook's question as CSV; {} where it asks none."""
        if (question := self.question) is None:
            return {}
        store = Store(self.machine.runs)
        answers = [answer(one, store, self.machine) for one in (question, self.trial) if one]
        tables = {
            ".csv": pd.concat([given.results for given in answers]).to_csv(index=False),
            "-contrasts.csv": pd.concat([given.contrasts for given in answers]).to_csv(index=False),
        }
        if question.name == Influence.name:
            every = [estimators(question, store, self.machine, task.name) for task in question.tasks]
            tables["-effects.csv"] = pd.concat(every).to_csv(index=False)
        return tables

    @cached_property
    def trial(self) -> Question | None:
        """The question that tries an influence's effects on fresh seeds; None where nothing is tried."""
        if (question := self.question) is None or question.name != Influence.name:
            return None
        given: dict[str, Any] = Influence.plain_defaults() | self.parameters
        table = effects(question, Store(self.machine.runs), self.machine)
        return counterfactual(question, table, self.machine, given["nodes"], given["fresh_seeds"])

    def publish(self, executed: Path, fingerprint: str) -> None:
        """Move the notebook *executed*, its page and its tables into place, once all of them are written.

        The facts with the *fingerprint* come last: while they are there, the page is complete.
        """
        import nbformat  # slow imports, which a report that executes nothing does not need

        from itl.report.notebook_html import files_beside, notebook_html, read_summary

        notebook, tables = nbformat.read(executed, as_version=4), self.tables()
        page = read_summary(notebook, self.stem, table=bool(tables))
        facts = {
            "fingerprint": fingerprint,
            "made": datetime.now().astimezone().isoformat(),
            "page": asdict(page),
        }
        texts = tables | {".html": notebook_html(notebook, page, self.preset.name)}
        contents = files_beside(notebook, self.stem)
        contents |= {self.published(ending).name: text.encode() for ending, text in texts.items()}
        for name, content in contents.items():
            (executed.parent / name).write_bytes(content)
        names, earlier = [self.published(".ipynb").name, *contents], read_mapping(self.published(".json"))
        for name in earlier.get("files", {}).keys() - {*names}:  # the new page may have fewer figures
            (self.folder / name).unlink(missing_ok=True)
        self.published(".json").unlink(missing_ok=True)
        for name in names:
            flush_to_disk(executed.parent / name)
            os.replace(executed.parent / name, self.folder / name)
        text = json.dumps(facts | {"files": {name: digest_of(self.folder / name) for name in names}})
        write_text(self.published(".json"), text)

    @cached_property
    def specs(self) -> list:
        """The runs that the page shows; of a summary, those of every question. All packs must be built."""
        return [spec for question in self.questions for spec in question.specs(self.machine)]

    def has_results(self) -> bool:
        """Say whether all of `specs` are done."""
        store = Store(self.machine.runs)
        return all(store.is_done(spec) for spec in self.specs)

    def published_facts(self) -> dict:
        """Return what this version of itl published with the page: fingerprint, made and page; else {}."""
        facts = read_mapping(self.published(".json"))
        return facts if facts.get("page", {}).keys() == {field.name for field in fields(PageSummary)} else {}

    def answer_text(self) -> str:
        """Return title and answer of the published page, for a terminal."""
        summary = PageSummary(**self.published_facts()["page"])
        return " ".join(f"{summary.title} {plain_text(summary.answer)}".split())

    def index_summary(self, trouble: str = "", status: str = "", outdated: str = "") -> PageSummary | None:
        """Return what the index shows of this page; None where it was never made and is not to come either.

        *trouble* is why the last execution failed, *status* how far a page is that is still to be made, and
        *outdated* the command that makes again a page of other settings, runs or code.
        """
        page = self.published_facts().get("page")
        if page:
            if trouble:
                trouble = f"This page was made earlier; the last run did not finish: {trouble}"
            elif outdated:
                trouble = (
                    f"This page was made earlier, of other settings, runs or code, and is left out of what "
                    f"sums up all pages; make it again with: {outdated}"
                )
            if status:
                status = f"This page was made earlier; a new one is {status}"
            return PageSummary(**page | {"trouble": trouble, "status": status})
        if not trouble and not status:
            return None
        title = title_of(read_cells(self.source), self.stem)
        return PageSummary(self.stem, title, "", table=self.asks, made=False, trouble=trouble, status=status)


def runs_digest(question: Question, machine: Machine) -> str:
    """Digest the plan of *question*, the results of its runs, what made them, and the losses on the way."""
    store, states = Store(machine.runs), []
    for spec in question.specs(machine):
        folder = store.path(spec)
        made, log_file = read_mapping(folder / PROVENANCE_FILE), folder / LOG_FILE
        losses = sha256(log_file.read_bytes()).hexdigest() if log_file.exists() else ""
        result = store.result(spec) or store.state(spec)
        states.append((str(spec), result, [made.get(name) for name in SHOWN_OF_PROVENANCE], losses))
    return sha256(repr(states).encode()).hexdigest()


def digest_of(path: Path) -> str:
    """Digest the content of a file."""
    return sha256(path.read_bytes()).hexdigest()


def code_digest() -> str:
    """Digest the code, tables and templates of itl: another version may draw another page."""
    root = Path(__file__).parents[1]
    paths = sorted(path for path in root.rglob("*") if path.suffix in CODE_SUFFIXES)
    parts = (str(path.relative_to(root)).encode() + path.read_bytes() for path in paths)
    return sha256(b"\0".join(parts)).hexdigest()
