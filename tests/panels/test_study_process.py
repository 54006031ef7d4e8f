"""The runs of a study's panel: started, watched, stopped, killed and resumed."""

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from itl import ItlError
from itl.panels.plan_facts import progress_facts
from itl.panels.study_process import StudyProcess
from itl.presets import load_preset
from itl.runs.progress import LEAST_MINUTES
from itl.runs.questions import questions_of
from tests.accessible import faults
from tests.worlds import SETTINGS, write_rates

ROOT = Path(__file__).parents[2]
LONG = {"steps": 80, "batch": 8, "pixels": 24}


def test_runs_that_were_started_elsewhere_are_named_by_stop(panel, rates):
    made = panel.ask()
    made.prepare(panel.machine)
    panel.stop()
    assert panel.message == "No runs are under way."
    folder = panel.store.folder(made.specs(panel.machine)[0])
    (folder / "claim.holder").write_text("process 7 on a-host")
    panel.stop()
    assert (
        panel.message == "These runs are done by process 7 on a-host, which this panel did not start. "
        "To end that in a terminal, and keep what is finished: kill 7 on a-host."
    )
    ended = subprocess.Popen(["true"])
    ended.wait()
    (folder / "claim.holder").write_text(f"process {ended.pid} on {socket.gethostname()}")
    panel.stop()
    assert panel.message == "No runs are under way.", "a killed process leaves its name"


def test_run_stop_resume_answer_and_save(panel, project, rates):
    parameters = panel.preset.notebooks["01-data-size"]
    parameters["recipe"] = LONG
    panel.conditions, panel.seeds = "images_per_class: [4, 12]", "0"
    panel.run()
    with pytest.raises(ItlError, match="runs are under way"):
        panel.run()
    until(lambda: any(path.stat().st_size for path in project.glob("runs/pretrain/*/log.jsonl")))
    assert "Loss by epoch" in panel.html()
    panel.stop()
    assert panel.process.wait(120) == "stopped"
    assert panel.message == "What is finished is kept; Run or resume goes on from there."
    panel.stop()
    assert panel.message == "No runs are under way."
    panel.refresh()
    watched = panel.process.progress()
    assert not watched.under_way, "a process that was stopped leaves its name"
    assert watched.done < 1
    finished = {path: path.stat().st_mtime_ns for path in (project / "runs").rglob("result.json")}
    assert len(finished) < 4
    panel.run()
    until(lambda: panel.process.state != "running")
    panel.refresh()
    assert panel.state == "done", panel.process.last_line
    assert all(path.stat().st_mtime_ns == changed for path, changed in finished.items()), (
        "none was done again"
    )
    page = panel.html()
    assert "Verdict:" in page
    assert "4 of 4 runs exist already" in page
    assert faults(f'<html lang="en"><h1>study</h1>{page}</html>') == []
    path = panel.save("my-study")
    assert panel.save("my-study") == path, "a second click saves the same"
    (question,) = questions_of(load_preset("my-study", project / "params"))
    assert question == panel.ask()


def test_how_long_runs_take_is_not_guessed_while_it_is_measured(panel, machine, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", str(machine.threads))
    made = panel.ask()
    made.prepare(machine)
    process = StudyProcess(made, {}, machine)
    assert process.progress() is None
    assert progress_facts(process)["text"] == process.last_line
    write_rates(machine, SETTINGS)
    assert process.progress() is None, "no run is under way"
    folder = process.store.folder(made.runs(machine)[-1].spec)
    (folder / "claim.holder").write_text("process 7")
    watched = process.progress()
    assert process.progress() is watched
    assert watched.minutes_left == pytest.approx(watched.planned_minutes / machine.slots, rel=0.1)
    assert watched.planned_minutes > 100 * LEAST_MINUTES


def test_a_process_that_is_killed_has_failed_and_runs_again(panel, rates):
    panel.run()
    (child,) = [child for child in psutil.Process().children() if "run" in child.cmdline()]
    os.killpg(child.pid, signal.SIGKILL)
    assert panel.process.wait(60) == "failed"
    panel.refresh()
    assert "<b>failed</b>" in panel.html()
    panel.run()
    assert panel.state == "running"
    panel.stop()
    assert panel.process.wait(120) == "stopped"


def test_what_ends_after_settings_were_changed_is_said_to_be_of_the_earlier_ones(panel, rates):
    panel.run()
    panel.seeds, seeds = "7, 8", panel.seeds
    assert panel.state == "running"
    assert "Settings were changed meanwhile; the runs of the earlier ones: running." in panel.html()
    panel.stop()
    panel.process.wait(120)
    assert panel.state == "not started"
    assert "<b>not started</b> · Settings were changed meanwhile; the runs of the earlier" in panel.html()
    assert "the runs of the earlier ones: stopped." in panel.html()
    panel.process.start()
    assert panel.process.wait(120) == "done"
    panel.refresh()
    assert panel.state == "not started", "nothing is done with seeds 7 and 8"
    assert "0 of 12 runs exist already" in panel.html()
    panel.seeds = seeds
    assert "<b>done</b></p>" in panel.html()


def test_a_process_is_stopped_while_it_starts(panel, rates):
    panel.seeds = ", ".join(map(str, range(60)))  # so that it is not done before it is stopped
    for seconds in (0.0, 0.3, 1.0):
        panel.run()
        time.sleep(seconds)
        panel.stop()
        assert panel.process.wait(60) == "stopped"


def test_a_run_whose_kernel_ends_at_once_reads_its_preset_and_keeps_its_log(project, rates, tmp_path):
    kernel = """
from pathlib import Path
from itl.panels.study import StudyPanel
from tests.worlds import here
panel = StudyPanel("smallest", machine=here(Path.cwd(), workers=1))
panel.seeds = "0"
panel.run()
"""
    files = tmp_path / "files"
    files.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(files)}
    subprocess.run([sys.executable, "-c", kernel], cwd=project, env=environment, check=True)
    (log,) = files.glob("itl-study-*/log.txt")
    until(lambda: len(list((project / "runs").rglob("result.json"))) == 6)
    assert log.with_name("study.yaml").exists()


def test_what_a_run_that_ended_has_read_is_removed(panel, rates, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    panel.run()
    assert len(list(tmp_path.glob("itl-study-*/study.yaml"))) == 1
    panel.stop()
    panel.process.wait(120)
    panel.process = None
    gc.collect()
    assert list(tmp_path.glob("itl-study-*")) == []


def until(condition, seconds: float = 240.0) -> None:
    """Wait until *condition* holds; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.2)
