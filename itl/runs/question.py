"""A question: its plan of runs, and their results in one tidy frame."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import pandas as pd

from itl.errors import ItlError, pick
from itl.hierarchy.taxonomies import keep_taxonomy
from itl.machine import Machine, data_entry, expand_home
from itl.packs.pack import Pack
from itl.packs.paths import build_or_open, packed
from itl.processes import refuse_while_main_is_imported
from itl.runs.cluster import refuse_unreachable
from itl.runs.design import Design, is_packed
from itl.runs.executors import execute, longest_first, shard_of, with_needs
from itl.runs.leakage import RunLeakage, find_leakage, known_of_leakage
from itl.runs.own_weights import OwnWeights
from itl.runs.plan import plan
from itl.runs.progress import Progress
from itl.runs.provenance import provenance
from itl.runs.store import PROVENANCE_FILE, Store
from itl.sources.registry import reads_files
from itl.specs import Spec, pretraining_of
from itl.words import counted


class Question(Design):
    """A question of the study, whose runs can be planned and done, and their results read."""

    def prepare(self, machine: Machine) -> dict[str, Pack]:
        """Open the packs, building those that are missing, and keep the tree where runs find it."""
        keep_taxonomy(self.tree(machine), machine.taxonomies)
        for own in self.own_weights():
            own.keep(machine, self.recipe.pixels)
        return {name: build_or_open(packing, name, machine) for name, packing in self.packings().items()}

    def plan(self, store: Store, machine: Machine) -> pd.DataFrame:
        """Return a table of the packs and runs: what is done, what is left, and how long that should take."""
        return plan([self], store, machine).table()

    def run(self, store: Store, machine: Machine) -> None:
        """Do what is missing, packs first; show progress in the notebook or the terminal.

        ItlError as of `plan` before anything is packed, which may take hours.
        """
        refuse_while_main_is_imported()  # before data are listed
        if not all(is_packed(run.spec) for run in self.runs(machine)):
            plan([self], store, machine, measure=False)
        run_all([self], store, machine, table=lambda: self.plan(store, machine))

    def results(self, store: Store, machine: Machine) -> pd.DataFrame:
        """Return every number of the finished runs of finished nets, one a row.

        Returns:
            question; the columns of the condition; seed; classes and images that the net was trained on, 0 of
            each where it was not trained here; weights and trained_on (the weights that it had already, and
            the data they are from; '' of others); task, target, method, repeat (which fit of the net),
            protocol, split, duplicates (how many of the images that it is scored on are in the pre-training
            pack and not left out, or among those that it learns from on the target; none where packs are not
            built), metric, value (in percent), and run (its key).

        Raises:
            ItlError: where no run is done.
        """
        results = self.results_so_far(store, machine)
        if results.empty:
            raise nothing_done([self], store, machine)
        return results

    def results_so_far(self, store: Store, machine: Machine) -> pd.DataFrame:
        """Return the table of `results`, which is empty where no run is done."""
        seen = self.run_leakage(machine)
        rows, own = [], {condition.columns: condition.weights for condition in self.conditions}
        for run in self.runs(machine):
            result = store.result(run.spec)
            trained_on = _trained_on(run.spec, store, own[run.columns])
            if result is None or trained_on is None:
                continue
            shared = {
                **dict(run.columns),
                "seed": run.seed,
                **trained_on,
                "task": run.task,
                "target": run.target,
                "method": run.method,
                "repeat": getattr(run.spec, "repeat", 0),
                "protocol": result.get("protocol", ""),
                "split": result.get("split", "val"),
                "duplicates": seen.scored(run),
            }
            for metric, value in result["metrics"].items():
                rows.append(shared | {"metric": metric, "value": value, "run": store.path(run.spec).name})
        results = pd.DataFrame(rows)
        results.insert(0, "question", self.name)
        return results

    def specs(self, machine: Machine, task: str = "") -> list[Spec]:
        """List the specs of the runs, or of those of a *task*, and of the nets that they need, each once."""
        return with_needs(run.spec for run in self.runs(machine) if task in ("", run.task))

    def run_leakage(self, machine: Machine) -> RunLeakage:
        """Return what of the images that its runs are scored on nets may have seen."""
        wanted = {name: packed(packing, name, machine) for name, packing in self.packings().items()}
        packs = {name: pack for name, pack in wanted.items() if pack}
        leaks = find_leakage(packs, self.leave_out_duplicates) if packs == wanted else []
        return RunLeakage(leaks, packs, self.tree(machine))

    def provenance(self, store: Store, machine: Machine) -> pd.DataFrame:
        """Return what made these numbers: versions, device, packs, runs and time, as item and value."""
        specs = self.specs(machine)
        done = [store.read(spec, PROVENANCE_FILE) for spec in specs if store.is_done(spec)]
        facts = {
            "runs": f"{len(done)} of {len(specs)} done",
            "time spent": f"{sum(record['seconds'] for record in done) / 60:.1f} minutes, summed over runs",
            "made by commit": ", ".join(sorted({record["commit"] for record in done})),
            "made on": ", ".join(sorted({record["device"] for record in done})),
            "computed in": ", ".join(sorted({record.get("precision", "unknown") for record in done})),
        }
        packs = {}
        for name, packing in self.packings().items():
            pack = packed(packing, name, machine)
            facts[f"pack {name}"] = "not built"
            if pack:
                packs[name] = pack
                facts[f"pack {name}"] = f"{pack.digest}, {counted(len(pack.table), 'images')}"
                if reading := pack.summary.get("reading"):
                    facts[f"source {name}"] = "; ".join(reading.splitlines())
        if len(packs) == len(self.packings()):
            for leak in self.run_leakage(machine).leaks:
                name = f"duplicates {leak.target}"  # of images twice, where val and test are both scored
                facts[name] = f"{facts[name]}; {leak}" if name in facts else str(leak)
            facts["duplicates left out of pre-training"] = "yes" if self.leave_out_duplicates else "no"
            for own in self.own_weights():
                facts[f"weights {own.name}"] = known_of_leakage(own.name, own.trained_on, packs)
        rows = [*facts.items(), *((f"now: {name}", value) for name, value in provenance(machine).items())]
        return pd.DataFrame(rows, columns=["item", "value"])


def nothing_done(questions: Sequence[Question], store: Store, machine: Machine) -> ItlError:
    """Return the error that no run of any of *questions* is done, or that their packs are not built.

    Runs are known by the digests of packs.
    """
    packings = {name: packing for question in questions for name, packing in question.packings().items()}
    missing = [name for name, packing in packings.items() if packed(packing, name, machine) is None]
    packs = ""
    if missing and store.has_results():
        packs = f", as far as that is known without the packs of {', '.join(missing)}, which are not built"
    return ItlError(
        f"no run of {', '.join(question.name for question in questions)} is done in {store.root}{packs}; "
        f"`itl run` with its preset does what is missing, in Python question.run"
    )


def _trained_on(spec: Spec, store: Store, own: OwnWeights | None) -> dict[str, object] | None:
    """Return how many classes and images the net of a run was trained on, or its *own* weights.

    None where the net is lost: its run is damaged, or its weights were removed.
    """
    pretrain = pretraining_of(spec)
    result = store.result(pretrain) if pretrain.trained else {"classes": 0, "images": 0}
    if result is None:
        return None
    counts = {name: result[name] for name in ("classes", "images")}
    return counts | {"weights": own.name if own else "", "trained_on": own.trained_on if own else ""}


def describe_done(questions: Sequence[Question], store: Store, machine: Machine) -> str:
    """Say how many of the runs of *questions*, whose packs are built, are done; see `run_all`."""
    runs = {spec: store.is_done(spec) for question in questions for spec in question.specs(machine)}
    left = len(runs) - sum(runs.values())
    others = f", {left:,} are left to other shards" if left else ""
    return f"{sum(runs.values()):,} of {counted(len(runs), 'runs are')} done{others}"


def run_all(
    questions: Sequence[Question],
    store: Store,
    machine: Machine,
    table: Callable[[], object] | None = None,
    watch: Callable[[Progress], object] = lambda _: None,
    task: str = "",
) -> None:
    """Do all missing runs of *questions*, each once, question by question, so that the first is done early.

    If a *task* is given, only its runs and the nets that they need. Meanwhile a notebook shows *table*, and
    *watch* is called about twice a second.
    """
    refuse_while_main_is_imported()
    refuse_unreachable(machine)
    for question in questions:
        question.prepare(machine)
    planned = plan(questions, store, machine, measure=False).runs
    minutes = dict(zip(planned["run"], planned["minutes"], strict=True))
    specs: dict[Spec, None] = {}
    for question in questions:
        specs |= dict.fromkeys(longest_first(question.specs(machine, task), minutes))
    ours = shard_of(specs, machine.shard)
    shown = ours if machine.rank == 0 else []  # one bar for all ranks
    with Progress(shown, store, minutes, machine.slots, table) as progress:

        def update() -> None:
            progress.update()
            watch(progress)

        execute(ours, store, machine, update)


def refuse_unknown_data(entries: Sequence[str], questions: Sequence[Question]) -> None:
    """Raise ItlError for --data NAME=PATH whose NAME reads no files here, or a folder that does not exist."""
    sources = defaultdict(set)  # of each name, in any question
    for question in questions:
        for name, packing in question.packings().items():
            sources[name].add(packing.source)
    for entry in entries:
        name, path = data_entry(entry)
        if name:
            kinds = pick(sources, name, "source in this preset")
            if not any(map(reads_files, kinds)):
                raise ItlError(f"--data {entry}: {name} is rendered by source {min(kinds)}; leave it out")
        elif not expand_home(path).exists():
            raise ItlError(f"--data {entry}: there is no such folder; give a folder, or NAME=PATH")
