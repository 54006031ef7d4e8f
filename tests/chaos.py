"""What processes and disks can do to a store: kills, power cuts, many at once. `make chaos` prints a table.

Each stage is a command of itl, killed with SIGKILL at random moments and repeated until it was killed often
enough; then it runs to its end. What it made must be what an undisturbed run made, and 2 s after a kill no
process that it started may be left (longer where other work slows this machine down). What a stage needs but
does not kill, such as the runs of a page, is done before, so that all kills fall into the stage itself.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from shutil import copytree, rmtree

import psutil

from itl import ItlError
from itl.notes import log_lines
from itl.presets import load_preset
from itl.report.build import pages_of
from itl.report.notebook_page import NotebookPage
from itl.runs.executors import with_needs
from itl.runs.perform import perform
from itl.runs.plan import plan as make_plan
from itl.runs.store import Store
from tests.worlds import FOUR, SETTINGS, here, small_study, write_rates

CHECKOUT = Path(__file__).parents[1]
MARK = "ITL_CHAOS"  # in the environment of every process that a stage starts
ORPHAN_S = 2.0
PRESET = {
    "about": "chaos",
    "notebooks": {
        "01-data-size": SETTINGS
        | {"images_per_class": [4, 12], "recipe": {"steps": 60, "batch": 8, "pixels": 24}}
    },
}
ONE_NET = FOUR | {"seeds": [0], "recipe": {"steps": 2, "batch": 8, "pixels": 24}}
PACK = "pack demo --size 32 --option classes=8 --option train=250 --option val=4 --option size=32 --out pack"
CUT_TO = (0, 0.5)  # of the length of a file that a power cut damages
PUBLISHING_S = 0.3  # in which the files of a page are moved into place


@dataclass(frozen=True)
class Stage:
    """A command that is killed, and the files that it makes."""

    name: str
    command: str
    made: tuple[str, ...]  # globs whose files must have the same bytes as after an undisturbed run
    again: tuple[str, ...]  # what is removed so that there is something to do again
    percent: int  # of all kills
    before: str = ""  # a command that does what this one needs
    sign: str = ""  # a glob: kills are drawn from the PUBLISHING_S after such a file appears


RUNS = ("runs/pretrain", "runs/transfer")
WEIGHTS = ("runs/*/*/result.json", "runs/pretrain/*/weights.safetensors", "runs/pretrain/*/manifest.csv")
STORE = (*WEIGHTS, "runs/rates.json", "packs/*/images.npy")
PAGES = ("reports/mini/*.csv", "reports/mini/*.png", "reports/mini/*.html", "reports/mini/runs/*.html")
VOLATILE = re.compile(rb"cell-id=[0-9a-f]+|\d{4}-\d\d-\d\dT[\d:.+]+|\d\d \w+ \d{4}, \d\d:\d\d")  # of a page
TRAINING = Stage("training", "run mini --workers 2", WEIGHTS, RUNS, 20, before="run mini --workers 2")
REPORT, PAGE = "report mini --workers 2", "reports/mini/.work-*/*.html"
STAGES = (
    Stage("packing", PACK, ("pack/images.npy", "pack/*.parquet", "pack/pack.json"), ("pack",), 25),
    Stage("calibrating", "plan mini", ("runs/rates.json",), ("runs",), 15),
    TRAINING,
    Stage("training on Dask", "run mini --scheduler SCHEDULER", WEIGHTS, RUNS, 15, before=TRAINING.command),
    Stage("pages", REPORT, (*WEIGHTS, *PAGES), ("reports",), 15, before=TRAINING.command),
    Stage("publishing", REPORT, (*WEIGHTS, *PAGES), ("reports",), 10, before=TRAINING.command, sign=PAGE),
)


@dataclass
class Outcome:
    """What became of a stage."""

    name: str
    kills: int = 0
    orphans: int = 0
    half: int = 0  # pages that were not whole after a kill
    same: bool = False
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether nothing was left behind and nothing differs."""
        return self.same and not self.orphans and not self.half


def start(home: Path, command: str) -> subprocess.Popen:
    """Start a command of itl in the project *home*."""
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "ITL_DEVICE": "cpu", MARK: str(home)}
    words = [sys.executable, "-m", "itl", *command.split()]
    return subprocess.Popen(
        words, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(home: Path, command: str) -> str:
    """Run a command of itl to its end and return what it printed."""
    process = start(home, command)
    output, _ = process.communicate()
    if process.returncode:
        raise AssertionError(f"itl {command}: status {process.returncode}: {output[-2000:]}")
    return output


def project(home: Path, **changes: object) -> Path:
    """Make a project with the preset mini, whose settings are those of PRESET but for *changes*."""
    (home / "params").mkdir(parents=True)
    notebooks = {name: settings | changes for name, settings in PRESET["notebooks"].items()}
    (home / "params/mini.yaml").write_text(json.dumps(PRESET | {"notebooks": notebooks}))
    (home / "notebooks").symlink_to(CHECKOUT / "notebooks")
    return home


def left_over(home: Path) -> list[psutil.Process]:
    """Return the processes that commands in *home* started and that are still there."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, OSError):
            continue
    return processes


def kill(home: Path, process: subprocess.Popen) -> list[psutil.Process]:
    """Kill the *process* of a command in *home* and return the processes that it leaves behind."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    return left_behind(home)


def left_behind(home: Path) -> list[psutil.Process]:
    """Return the processes in *home* that do not end by themselves now that their command has ended.

    They have ORPHAN_S, and as many times longer as other work slows this machine down.
    """
    started, computed = time.monotonic(), time.process_time()
    while time.process_time() - computed < 0.1:
        pass
    deadline = started + ORPHAN_S * max(1.0, (time.monotonic() - started) / 0.1)
    while (processes := left_over(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return processes


def content(home: Path, globs: tuple[str, ...]) -> dict[str, str]:
    """Return a digest of each file that matches one of *globs*, by its path."""
    paths = sorted(path for pattern in globs for path in home.glob(pattern))
    return {str(path.relative_to(home)): digest(path) for path in paths}


def digest(path: Path) -> str:
    """Return a digest of what a file says; where and when it was made is left out."""
    data = path.read_bytes()
    if path.suffix == ".html":
        data = VOLATILE.sub(b"", data)
    if path.suffix == ".json":
        values = json.loads(data)
        if path.name == "rates.json":  # seconds differ
            values = dict.fromkeys(values)
        data = json.dumps({name: values[name] for name in values if name not in ("files", "path", "state")})
        data = data.encode()
    return sha256(data).hexdigest()[:12]


def half_pages(home: Path) -> list[Path]:
    """Return the published pages in *home* that are not whole."""
    pages = [page for pattern in PAGES if pattern.endswith(".html") for page in home.glob(pattern)]
    return [page for page in pages if not page.read_bytes().rstrip().endswith(b"</html>")]


def disturb(stage: Stage, home: Path, kills: int, seconds: float, dice: random.Random) -> Outcome:
    """Kill the command of *stage* in *home* at *kills* random moments of its *seconds*, then let it end."""
    outcome, started = Outcome(stage.name), time.monotonic()
    while outcome.kills < kills:
        process, begun = start(home, stage.command), time.monotonic()
        if still_runs(process, stage, home, seconds, dice):
            outcome.kills += 1
            outcome.orphans += len(kill(home, process))
            outcome.half += len(half_pages(home))
        else:
            if process.returncode:
                raise AssertionError(f"{stage.name}: {process.stdout.read()[-2000:]}")
            remove(home, stage.again)
            seconds = min(seconds, time.monotonic() - begun)  # the undisturbed run may have had to wait
        process.stdout.close()
    finish(home, stage.command)
    outcome.seconds = time.monotonic() - started
    return outcome


def still_runs(
    process: subprocess.Popen, stage: Stage, home: Path, seconds: float, dice: random.Random
) -> bool:
    """Wait until a random moment of *stage*, and say whether its *process* is still there to be killed."""
    if stage.sign:
        while process.poll() is None and not list(home.glob(stage.sign)):
            time.sleep(0.005)
    moment = dice.uniform(0, PUBLISHING_S) if stage.sign else dice.uniform(0.05, 1.0) * seconds
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        return True
    return False


def remove(home: Path, names: Sequence[str]) -> None:
    """Remove the folders *names* of *home*."""
    for name in names:
        rmtree(home / name, ignore_errors=True)


@contextmanager
def dask_cluster() -> Iterator[str]:
    """Start a scheduler with two workers of four threads, and give its address."""
    from dask.distributed import LocalCluster

    options = {"host": "127.0.0.1", "dashboard_address": None, "silence_logs": 50}
    with LocalCluster(n_workers=2, threads_per_worker=4, **options) as cluster:
        yield cluster.scheduler_address


def chaos(folder: Path, kills: int, seed: int, stages: Sequence[Stage] = STAGES) -> Iterator[Outcome]:
    """Disturb each of *stages*, *kills* times together if these are all there are."""
    dice = random.Random(seed)
    calm = project(folder / "calm")
    with dask_cluster() as address:
        for stage in stages:
            stage = replace(stage, command=stage.command.replace("SCHEDULER", address))
            if stage.before:
                finish(calm, stage.before)
            remove(calm, stage.again)
            home = folder / stage.name.replace(" ", "-")
            copytree(calm, home, symlinks=True)
            started = time.monotonic()
            finish(calm, stage.command)
            seconds = time.monotonic() - started
            outcome = disturb(stage, home, max(1, round(kills * stage.percent / 100)), seconds, dice)
            ours, theirs = content(home, stage.made), content(calm, stage.made)
            differing = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
            print(*(f"{stage.name}: {name} differs" for name in differing[:5]), sep="\n", end="")
            outcome.same = ours == theirs != {}
            yield outcome


def eight_at_once(folder: Path) -> Outcome:
    """Let eight processes want one preset: each run must be done once."""
    home, started = project(folder / "eight"), time.monotonic()
    processes = [start(home, "run mini --workers 1") for _ in range(8)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outputs
    outcome = Outcome("eight at once", seconds=time.monotonic() - started)
    logs = [path.read_text().splitlines() for path in home.glob("runs/pretrain/*/log.jsonl")]
    steps = [[json.loads(line)["step"] for line in log] for log in logs]
    outcome.same = bool(steps) and all(len(log) == len(set(log)) for log in steps)
    return outcome


def small_home(home: Path, study: dict = ONE_NET) -> Path:
    """Do the *study* in *home*, in this process; what its runs cost is made up."""
    write_rates(here(home), study)
    go_on(home, study)
    return home


def go_on(home: Path, study: dict = ONE_NET) -> str:
    """Plan the *study* and do what is missing, as people would: a damaged pack is moved away.

    Returns:
        What was said.
    """
    machine, messages = here(home), []
    question, store = small_study(**study), Store(machine.runs)
    with warnings.catch_warnings(record=True) as notes, log_lines(messages.append):
        warnings.simplefilter("always")
        try:
            make_plan([question], store, machine)
            question.prepare(machine)
        except ItlError as error:
            messages.append(str(error))
            for pack in machine.packs.iterdir():
                if str(pack) in str(error):
                    rmtree(pack)
            make_plan([question], store, machine)
            question.prepare(machine)
        for spec in with_needs(run.spec for run in question.runs(machine)):
            perform(spec, store, machine)
    return "\n".join([*messages, *(str(note.message) for note in notes)])


def cut(finished: Path, home: Path, victim: Path, length: int) -> str:
    """Copy the store *finished* to *home*, cut the file *victim* of it to *length* bytes, and go on there.

    Returns:
        What is wrong: the file was not named, or what was made again differs; '' if nothing is.
    """
    copytree(finished, home)
    os.truncate(home / victim, length)
    if victim.name == "rates.json":  # read while there is work left
        remove(home, RUNS)
    messages = go_on(home)
    named = victim.name in messages or victim.name == "log.jsonl"  # only progress bars read that one
    same = content(home, STORE) == content(finished, STORE)
    rmtree(home)
    return "" if named and same else f"{victim} cut to {length}: named {named}, same {same}: {messages}"


def files_of(home: Path) -> list[Path]:
    """List the files of a store that hold something, relative to *home*."""
    paths = sorted(
        path.relative_to(home) for path in home.rglob("*") if path.is_file() and path.stat().st_size
    )
    return [path for path in paths if path.suffix != ".lock"]


def power_cuts(folder: Path) -> Outcome:
    """Cut every file of a store to nothing, and to half."""
    started, finished = time.monotonic(), small_home(folder / "finished")
    wrong = [
        text
        for victim in files_of(finished)
        for share in CUT_TO
        if (text := cut(finished, folder / "cut", victim, int(share * (finished / victim).stat().st_size)))
    ]
    print(*wrong, sep="\n", end="")
    cuts = len(CUT_TO) * len(files_of(finished))
    return Outcome(f"{cuts} power cuts", same=not wrong, seconds=time.monotonic() - started)


def report_cuts(folder: Path) -> Outcome:
    """Cut each file of a page alone, which must be named, and all files of the report at once, and report."""
    started, finished = time.monotonic(), project(folder / "reported")
    finish(finished, REPORT)
    preset = load_preset("mini", finished / "params")
    (page,) = pages_of(preset, finished / "reports/mini", here(finished), finished / "notebooks")
    victims = [page.published(".json"), *(page.folder / name for name in page.published_facts()["files"])]
    wrong = [] if page.is_current() else ["the page is to be made again before anything is cut"]
    wrong += [text for victim in victims for share in CUT_TO if (text := cut_page(page, victim, share))]
    wrong += [text for share in CUT_TO if (text := cut_report(finished, share))]
    print(*wrong, sep="\n", end="")
    cuts = len(CUT_TO) * (len(victims) + 1)
    return Outcome(f"{cuts} cuts of a report", same=not wrong, seconds=time.monotonic() - started)


def cut_page(page: NotebookPage, victim: Path, share: float) -> str:
    """Cut *victim*, a file of *page*, to a *share* of its length, ask whether the page is whole, and mend it.

    Returns:
        What is wrong: the file was not named, or the page counts as whole; '' if nothing is.
    """
    data, messages = victim.read_bytes(), []
    os.truncate(victim, int(share * len(data)))
    with warnings.catch_warnings(record=True) as notes, log_lines(messages.append):
        warnings.simplefilter("always")
        whole = page.is_current()
    victim.write_bytes(data)
    output = "\n".join([*messages, *(str(note.message) for note in notes)])
    named = victim.name in output
    return "" if named and not whole else f"{victim.name} cut: named {named}, whole {whole}: {output}"


def cut_report(finished: Path, share: float) -> str:
    """Copy the project *finished*, cut each file of its report to a *share* of its length, and report.

    Returns:
        What is wrong: what was made again differs; '' if nothing is.
    """
    home = finished.with_name("cut-report")
    copytree(finished, home, symlinks=True)
    for victim in files_of(home / "reports"):
        path = home / "reports" / victim
        os.truncate(path, int(share * path.stat().st_size))
    output = finish(home, REPORT)
    made = (*PAGES, "reports/mini/runs/*")
    same = content(home, made) == content(finished, made) and files_of(home) == files_of(finished)
    rmtree(home)
    return "" if same else f"all files of a report cut to {share}: what was made again differs: {output}"


def main() -> int:
    """Print the table; the exit status is 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    others = {"eight at once": eight_at_once, "power cuts": power_cuts, "cuts of a report": report_cuts}
    names = [*(stage.name for stage in STAGES), *others]
    parser.add_argument(
        "--only", nargs="*", default=names, choices=names, metavar="STAGE", help=", ".join(names)
    )
    args = parser.parse_args()
    good, stages = True, [stage for stage in STAGES if stage.name in args.only]
    with tempfile.TemporaryDirectory(prefix="itl-chaos-") as name:
        print(f"{'stage':20} {'kills':>5} {'orphans':>7} {'half':>5} {'same':>5} {'seconds':>8}")
        disturbed = chaos(Path(name), args.kills, args.seed, stages) if stages else ()
        for outcome in chain(
            disturbed, (others[other](Path(name)) for other in others if other in args.only)
        ):
            same = "yes" if outcome.same else "NO"
            print(
                f"{outcome.name:20} {outcome.kills:5} {outcome.orphans:7} {outcome.half:5} {same:>5} "
                f"{outcome.seconds:8.0f}",
                flush=True,
            )
            good &= outcome.good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
