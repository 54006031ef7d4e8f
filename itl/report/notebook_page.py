"""One notebook of a report: what its page depends on, and the files it is published as."""

import json
import os
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from itl.analysis.comparisons import contrasts
from itl.machine import Machine
from itl.presets import Preset
from itl.report.render import Page
from itl.runs.questions import QUESTIONS, questions_of
from itl.runs.store import Store


@dataclass(frozen=True)
class Job:
    """A notebook to execute, and all that its page depends on."""

    preset: Preset
    source: Path
    out: Path
    machine: Machine

    @property
    def stem(self) -> str:
        """The notebook's name without its ending."""
        return self.source.stem

    @property
    def last(self) -> bool:
        """Whether it reads what the others have made, as a summary does."""
        return self.stem.endswith("-summary")

    def published(self, ending: str) -> Path:
        """Return where a file of this notebook's page lies."""
        return self.out / f"{self.stem}{ending}"

    def fingerprint(self) -> str:
        """Digest all that the page shows: notebook, parameters, code of itl, packs, and results it may read.

        A summary may read every question's results, a question its own, any other notebook the packs' names.
        """
        asked = list(QUESTIONS) if self.last else [self.stem]
        parameters = json.dumps(self.preset.notebooks[self.stem], sort_keys=True)
        facts = [self.source.read_text(), parameters, code()]
        facts += [evidence(self.preset, stem, self.machine) for stem in asked]
        if self.stem not in QUESTIONS:
            facts += sorted(folder.parent.name for folder in self.machine.packs.glob("*/pack.json"))
        return sha256("\0".join(facts).encode()).hexdigest()

    def fresh(self) -> bool:
        """Say whether the page that lies there is what executing again would give."""
        if not all(self.published(ending).exists() for ending in (".ipynb", ".html", ".json")):
            return False
        return json.loads(self.published(".json").read_text())["fingerprint"] == self.fingerprint()


def publish(job: Job, done: Path) -> None:
    """Put the executed *done*, its page and its tables in place, all written before the first is moved.

    The facts with the fingerprint come last: they say that all is whole.
    """
    import nbformat  # here: who executes nothing does not wait for these imports

    from itl.report.render import page_html, read_page

    notebook, tables = nbformat.read(done, as_version=4), tables_of(job)
    page = read_page(notebook, job.stem, table=bool(tables))
    made = datetime.now().astimezone().isoformat()
    told = {"fingerprint": job.fingerprint(), "made": made, "page": asdict(page)}
    texts = tables | {".html": page_html(notebook, page, job.preset.name), ".json": json.dumps(told)}
    for ending, text in texts.items():
        (done.parent / f"{job.stem}{ending}").write_text(text, "utf-8")
    job.published(".json").unlink(missing_ok=True)
    for ending in (".ipynb", *texts):
        os.replace(done.parent / f"{job.stem}{ending}", job.published(ending))


def tables_of(job: Job) -> dict[str, str]:
    """Write every number and every contrast of the notebook's question as CSV; {} where it asks none."""
    if job.stem not in QUESTIONS:
        return {}
    (question,) = questions_of(job.preset, job.stem)
    results = question.results(Store(job.machine.runs), job.machine)
    told = contrasts(question, results)
    return {".csv": results.to_csv(index=False), "-contrasts.csv": told.to_csv(index=False)}


def page_of(job: Job, trouble: str) -> Page | None:
    """Read what the index shows of *job*; None where it has never been executed and has not failed either."""
    path = job.published(".json")
    told = json.loads(path.read_text()).get("page", {}) if path.exists() else {}
    if told.keys() == {each.name for each in fields(Page)}:     # else another version made it
        word = f"This page was made earlier; the last try did not finish: {trouble}" if trouble else ""
        return Page(**told | {"trouble": word})
    if not trouble:
        return None
    import nbformat

    from itl.report.render import read_page

    notebook = nbformat.read(job.source, as_version=4)
    return replace(read_page(notebook, job.stem, job.stem in QUESTIONS, trouble), made=False)


def evidence(preset: Preset, stem: str, machine: Machine) -> str:
    """Digest the plan and the numbers of the question that notebook *stem* asks; '' where it asks none."""
    if stem not in QUESTIONS or stem not in preset.notebooks:
        return ""
    (question,) = questions_of(preset, stem)
    store = Store(machine.runs)
    specs = [run.spec for run in question.runs(machine)]
    states = [(str(spec), store.result(spec) or store.state(spec)) for spec in specs]
    return sha256(repr(states).encode()).hexdigest()


def code() -> str:
    """Digest the code and the tables of itl: another version may draw another page."""
    root = Path(__file__).parents[1]
    found = sorted(path for path in root.rglob("*") if path.suffix in (".py", ".csv", ".css", ".js", ".tsv"))
    parts = (str(path.relative_to(root)).encode() + path.read_bytes() for path in found)
    return sha256(b"\0".join(parts)).hexdigest()

