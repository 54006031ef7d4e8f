"""The command line keeps its contracts: exact outputs, exit statuses, one line on stderr."""

import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from itl import ItlError
from itl import __main__ as command
from tests.pictures import encoded
from tests.worlds import SETTINGS


def itl(capsys, *words: str) -> tuple[int, str, str]:
    """Run `itl` in this process: status, stdout, stderr."""
    try:
        status = command.main(words)
    except SystemExit as end:  # argparse's way of saying wrong usage
        status = end.code
    streams = capsys.readouterr()
    return status, streams.out, streams.err


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with one preset of one small question, run once."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "params").mkdir()
    (folder / "notebooks").mkdir()
    settings = SETTINGS | {"images_per_class": [0, 4], "seeds": [0]}
    preset = {"about": "a test", "notebooks": {"01-data-size": settings}}
    (folder / "params/mini.yaml").write_text(json.dumps(preset))
    odd = preset | {"notebooks": preset["notebooks"] | {"07-mine": {}}}
    (folder / "params/odd.yaml").write_text(json.dumps(odd))
    tree = preset | {"notebooks": preset["notebooks"] | {"00-hierarchy": {"taxonomy": "mine.csv"}}}
    (folder / "params/tree.yaml").write_text(json.dumps(tree))
    halves = {name: value for name, value in settings.items() if name != "images_per_class"} | {"halves": 4}
    for name, given in (("halved", {}), ("repeated", {"repeats": 1}), ("capped", {"cap": 0})):
        halved = preset | {"notebooks": {"08-influence": halves | given}}
        (folder / f"params/{name}.yaml").write_text(json.dumps(halved))
    return folder


@pytest.fixture(autouse=True)
def in_project(project, monkeypatch, rated, in_this_process):
    monkeypatch.chdir(project)
    monkeypatch.setenv("ITL_DEVICE", "cpu")
    for name in ("ITL_HOME", "ITL_DATA", "ITL_WORKERS"):
        monkeypatch.delenv(name, raising=False)


def test_plan_run_results_subset(capsys, project):
    status, out, _ = itl(capsys, "plan", "mini", "--runs")
    assert status == 0
    assert out.count("after packing") == 4
    assert "images        demo     64     32 to do" in out
    assert "2 packs to build, 4 runs to do (2 nets and 2 evaluations): about " in out
    status, out, _ = itl(capsys, "run", "mini", "--home", str(project), "--data", str(project))
    assert " runs are done; next: " in out, "none is left"
    assert out.endswith(f"next: itl report mini --data {project} --home {project}\n"), (
        "what was told is told on"
    )
    assert status == 0
    status, out, _ = itl(capsys, "plan", "mini")
    assert "0 packs to build, 0 runs to do (0 nets and 0 evaluations)\n" in out, "takes no time"
    status, out, err = itl(capsys, "results", "mini")
    rows = pd.read_csv(io.StringIO(out))
    assert (status, err) == (0, "")
    assert list(rows.columns) == [
        "question",
        "images_per_class",
        "seed",
        "classes",
        "images",
        "weights",
        "trained_on",
        "task",
        "target",
        "method",
        "repeat",
        "protocol",
        "split",
        "duplicates",
        "metric",
        "value",
        "run",
    ]
    assert set(zip(rows["task"], rows["split"], rows["metric"], strict=True)) == {
        ("own", "val", "accuracy"),
        ("knn@scenes", "test", "knn1"),
        ("knn@scenes", "test", "knn5"),
    }
    pack = next((project / "packs").glob("images-*/pack.json")).parent
    status, out, _ = itl(capsys, "subset", "--pack", str(pack), "--images-per-class", "2", "--classes", "3")
    small = pd.read_csv(io.StringIO(out))
    assert (list(small.columns), len(small), small["label"].nunique()) == (["image", "wnid", "label"], 6, 3)
    status, out, _ = itl(capsys, "subset", "--pack", str(pack), "--images-per-class", "3", "--classes", "4")
    assert set(small["image"]) < set(pd.read_csv(io.StringIO(out))["image"])


def test_parquet_is_not_written_to_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    status, out, err = itl(capsys, "results", "mini", "--format", "parquet")
    assert (status, out) == (1, "")
    assert "write a file: itl results mini --format parquet > FILE\n" in err


@pytest.fixture
def lost(capsys, project, tmp_path):
    """A copy of the project's runs and packs, to be damaged."""
    assert itl(capsys, "run", "mini")[0] == 0
    for name in ("runs", "packs"):
        shutil.copytree(project / name, tmp_path / name)
    return tmp_path


def test_results_hold_no_line_of_what_is_under_way(capsys, lost):
    """Duplicates are looked for again where their tables were not copied with the packs."""
    rows = itl(capsys, "results", "mini", "--home", str(lost))
    for table in lost.glob("packs/duplicates-*"):
        table.unlink()
    status, out, err = itl(capsys, "results", "mini", "--home", str(lost))
    assert (status, out, "") == rows
    assert err.splitlines() == [
        "looking for the val images of images among the training images, once",
        "looking for the test images of scenes among the training images, once",
    ]


def test_results_say_how_many_runs_are_missing(capsys, lost):
    rows = pd.read_csv(io.StringIO(itl(capsys, "results", "mini", "--home", str(lost))[1]))
    net, *others = lost.glob("runs/pretrain/*/log.jsonl")  # the one that is trained
    assert not others
    file = net.parent / "result.json"
    file.write_text("{}")
    status, out, err = itl(capsys, "results", "mini", "--home", str(lost))
    assert (status, err.splitlines()) == (
        0,
        [
            f"itl: note: {file} is damaged: it holds no values by name; `itl run` does the run again",
            "itl: note: 1 of 4 runs is not done and not in this table, nor 1 finished run on lost nets; "
            f"`itl run mini --home {lost}` does them",
        ],
    )
    left = pd.read_csv(io.StringIO(out))
    assert set(left["images_per_class"]) == {0}, "what was measured on a net that is lost is left out too"
    assert 0 < len(left) < len(rows)
    status, out, err = itl(capsys, "run", "mini", "--home", str(lost))
    assert (status, err.count("is damaged")) == (0, 1)
    again = pd.read_csv(io.StringIO(itl(capsys, "results", "mini", "--home", str(lost))[1]))
    pd.testing.assert_frame_equal(again, rows)


def test_a_net_whose_weights_are_lost_is_trained_again(capsys, lost):
    weights = {path: path.read_bytes() for path in lost.glob("runs/pretrain/*/weights.safetensors")}
    for path in weights:
        path.unlink()
    assert "2 runs to do (2 nets and 0" in itl(capsys, "plan", "mini", "--home", str(lost))[1]
    run = str(next(iter(weights)).parent.name)
    status, _, err = itl(capsys, "export", run, str(lost / "net.pth"), "--home", str(lost))
    assert status == 1
    assert f"run {run} is not done; run it first" in err
    assert itl(capsys, "run", "mini", "--home", str(lost))[0] == 0
    assert {path: path.read_bytes() for path in weights} == weights


@pytest.mark.parametrize("command", ["plan", "run", "results"])
def test_a_pack_without_its_summary_is_named(capsys, lost, command):
    file = next(lost.glob("packs/scenes-*/pack.json"))
    file.unlink()
    status, _, err = itl(capsys, command, "mini", "--home", str(lost))
    says = f"itl: {file} is missing, so that the pack cannot be read; move {file.parent} away and repeat: "
    assert (status, err) == (1, f"{says}it is packed again\n")


def test_a_plan_says_that_its_runs_would_be_refused(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("itl.runs.plan.free_disk", lambda home: 0)
    status, out, err = itl(capsys, "plan", "mini", "--home", str(tmp_path))
    assert status == 1
    assert "2 packs to build" in out, "the plan is shown all the same"
    assert "itl: `itl run` would refuse this: this takes " in err
    assert "0 MiB are free; make room, or choose a place on a larger disk with --home" in err


def test_a_plan_makes_no_folders(capsys, tmp_path):
    assert itl(capsys, "plan", "mini", "--home", str(tmp_path / "far/away"))[0] == 0
    assert not (tmp_path / "far").exists()


def test_what_a_clusters_workers_do_may_be_too_much_for_this_host(capsys, tmp_path, monkeypatch):
    def too_large(*_: object) -> None:
        raise MemoryError("no memory is left")

    monkeypatch.setattr("itl.runs.plan.rates_of", too_large)
    there = ("plan", "demo", "--home", str(tmp_path), "--scheduler", "tcp://elsewhere:8786")
    status, out, err = itl(capsys, *there)
    assert (status, err) == (0, "not measured on this host: no memory is left\n")
    assert "evaluations), by a cluster's workers: how long they take is not known" in " ".join(out.split())
    assert itl(capsys, "plan", "demo", "--home", str(tmp_path))[0] == 1, "without a cluster"
    assert itl(capsys, *there, "--device", "cpu") == (
        1,
        "",
        "itl: --device is of this host, and a scheduler's workers have their own; leave it out\n",
    )
    status, _, err = itl(capsys, *there, "--workers", "2")
    assert status == 1
    assert err.startswith(
        "itl: --workers counts runs on this host, or SLURM jobs; each worker of the scheduler tcp"
    )
    monkeypatch.setenv("WORLD_SIZE", "2")
    status, _, err = itl(capsys, "plan", "demo", "--home", str(tmp_path), "--workers", "2")
    assert (status, err) == (
        1,
        "itl: --workers counts runs side by side, and torchrun does one after the other; leave it out\n",
    )


def test_check_pack_and_plan_say_how_the_source_was_read(capsys, project, tmp_path):
    rng = np.random.default_rng(0)
    for name in (
        "train/cat/1",
        "train/cat/2",
        "train/my dog/1",
        "train/my dog/2",
        "val/cat/1",
        "val/my dog/1",
    ):
        path = tmp_path / "my photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)))
    source, option = ("folder", str(tmp_path / "my photos")), ("--option", "splits=train")
    status, out, _ = itl(capsys, "check", *source, *option)
    reading = out.splitlines()[:2]
    assert (status, reading) == (
        0,
        [
            "read as: class folders in train: train 4 images",
            "labels: 2 classes, such as cat; by their folders; left out: 2 images outside the splits",
        ],
    )
    command_line = shlex.split(out.splitlines()[-1].removeprefix("next: itl ").replace("--out PACK", ""))
    status, out, _ = itl(capsys, *command_line, "--out", str(tmp_path / "pack"))
    assert (status, out.splitlines()[:2]) == (0, reading)
    images = {"source": "folder", "size": 16, "path": source[1], "options": {"splits": "train,val"}}
    preset = {
        "about": "a test",
        "notebooks": {"01-data-size": SETTINGS | {"images": images, "images_per_class": [0, 2]}},
    }
    (project / "params/photos.yaml").write_text(json.dumps(preset))
    status, out, err = itl(capsys, "plan", "photos")
    assert "images: read as: class folders in train, val: train 4 images, val 2 images\n" in out, err


def test_init_copies_presets_and_notebooks(capsys, tmp_path):
    status, out, err = itl(capsys, "init", str(tmp_path / "mine"))
    assert (status, out.split(), err) == (0, [f"{tmp_path}/mine/params", f"{tmp_path}/mine/notebooks"], "")
    assert (tmp_path / "mine/params/demo.yaml").exists()
    assert itl(capsys, "init", str(tmp_path / "mine"))[0] == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notebooks").symlink_to("nowhere")
    assert "other/notebooks exists already" in itl(capsys, "init", str(tmp_path / "other"))[2]
    assert not (tmp_path / "other/params").exists()


def test_pack_and_check(capsys, tmp_path):
    options = ("classes=2", "train=2", "val=1", "size=16")
    words = ("demo", "--size", "16", *(word for option in options for word in ("--option", option)))
    status, out, _ = itl(capsys, "pack", *words, "--out", str(tmp_path / "pack"))
    assert (status, "6 images of 16 pixels" in out) == (0, True)
    assert itl(capsys, "check", "demo")[0] == 0
    status, out, err = itl(capsys, "check", "folder", "/nowhere")
    assert (status, err.count("\n")) == (1, 1)
    assert "folder takes" in out


BAD = [
    (("pack", "demo", "--out", "/tmp/never", "--workers", "0"), 1, "a number from 1, not 0"),
    (("pack", "demo", "--out", "/tmp/never", "--workers", "-2"), 1, "a number from 1, not -2"),
    (("pack", "demo", "--out", "/tmp/never", "--option", "seed=x"), 1, "seed is a whole number, not 'x'"),
    (
        ("pack", "folder", "/tmp", "--out", "/tmp/never", "--option", "val_fraction=x"),
        1,
        "is a number, not 'x'",
    ),
    (
        ("pack", "folder", "/tmp", "--out", "/tmp/never", "--option", "nested=maybe"),
        1,
        "true or false, not 'maybe'",
    ),
    (("pack", "folder", "/tmp", "--out", "/tmp/never", "--option", "empty=skipp"), 1, "did you mean 'skip'"),
    (
        ("pack", "demo", "--out", "/tmp/never", "--option", "seed=1", "--option", "seed=2"),
        1,
        "seed is given twice",
    ),
    (
        ("plan", "mini", "--data", "imges=/tmp"),
        1,
        "no source in this preset called 'imges'; did you mean 'images'",
    ),
    (("plan", "mini", "--data", "images=/tmp"), 1, "--data images=/tmp: images is rendered by source demo"),
    *(
        (
            (command, "mini", "--data", "imges=/tmp"),
            1,
            "no source in this preset called 'imges'; did you mean",
        )
        for command in ("run", "report", "results")
    ),
    (("advise", "birds", "--data", "imges=/tmp"), 1, "no source in this preset called 'imges'; did you mean"),
    (("plan", "mini", "--data", "/nowhere"), 1, "--data /nowhere: there is no such folder"),
    (("labels", "botom-up@9"), 1, "did you mean 'bottom-up'"),
    (("check", "folder", ""), 2, "one of the arguments is empty, as where a variable is not set"),
    (("labels", "original", "--leaves", "/nowhere"), 1, "cannot read /nowhere"),
    (("run", "demoo"), 1, "no preset called 'demoo'; did you mean 'demo'"),
    (("run", "minni"), 1, "did you mean 'mini'"),
    (("run", "mini", "--only", "01-data-sizes"), 1, "did you mean '01-data-size'"),
    (("report", "odd"), 1, "'07-mine'"),  # before any run
    (("plan", "odd"), 1, "no notebook of preset odd called '07-mine'"),
    (("plan", "tree"), 1, "no parameter of 00-hierarchy called 'taxonomy'; there are images"),
    (("run", "tree"), 1, "no parameter of 00-hierarchy called 'taxonomy'; there are images"),
    *(
        ((command, name), 1, f"no parameter of 08-influence called '{parameter}'; ")
        for command in ("plan", "run", "report")
        for name, parameter in (("repeated", "repeats"), ("capped", "cap"))
    ),
    (("results", "odd"), 1, "no notebook of preset odd called '07-mine'"),
    (("subset", "--pack", "/nowhere"), 1, "/nowhere"),
    (("pack", "folder", "/nowhere", "--out", "/tmp/never"), 1, "/nowhere"),
    (("pack", "fodler", "/nowhere", "--out", "/tmp/never"), 1, "did you mean 'folder'"),
    (("pack", "demo", "--out", "/tmp/never", "--option", "classes"), 1, "--option takes NAME=VALUE"),
    (("run", "mini", "--data"), 2, "--data"),
    (("run", "mini", "--shard", "3/2"), 1, "--shard takes I/N, part I of N, such as 3/8; got '3/2'"),
    (("run", "mini", "--home", "/proc/nope"), 1, "cannot "),
    (("plan", "mini", "--detect", "0"), 2, "points of a metric lie above 0 and up to 100; got '0'"),
    (("plan", "mini", "--within", "-1"), 2, "points of a metric lie above 0 and up to 100; got '-1'"),
    (("plan", "mini", "--detect", "nan"), 2, "got 'nan'"),
    (("plan", "mini", "--within", "few"), 2, "got 'few'"),
    (("pack", "demo", "--out", "/proc/nope"), 1, "cannot write /proc/nope.lock: /proc takes no files"),
    (("init", "/proc/nope"), 1, "cannot copy to /proc/nope: No such file or directory; free space"),
    (("labels", "original", "--leaves", "/"), 1, "cannot read /: Is a directory"),
    (("run", "mini", "--only", "01-data-size", "--only=a"), 2, "--only is given 2 times; leave one of them"),
    (("frobnicate",), 2, "frobnicate"),
    (("chek", "demo"), 2, "no command called 'chek'; did you mean 'check'?"),
    (
        ("--data", ".", "plan", "mini"),
        2,
        "--data stands before the command; options come after it, as in: itl COMMAND … --data",
    ),
    ((), 2, "COMMAND"),
]


@pytest.mark.parametrize(("words", "status", "says"), BAD)
def test_bad_usage_is_one_line(capsys, words, status, says):
    actual, out, err = itl(capsys, *words)
    assert (actual, out) == (status, "")
    assert says in err
    if status == 1:
        assert err.count("\n") == 1


def test_a_plan_that_its_page_can_show_is_made(capsys):
    status, out, _ = itl(capsys, "plan", "halved")
    assert (status, "influence" in out) == (0, True)


def test_a_summary_of_no_question_is_refused(capsys, tmp_path):
    preset = tmp_path / "empty.yaml"
    preset.write_text(json.dumps({"about": "a test", "notebooks": {"99-summary": {}}}))
    status, _, err = itl(capsys, "report", str(preset))
    assert (status, err.count("\n")) == (1, 1)
    assert "99-summary is over questions, and preset empty asks none" in err


def test_without_a_command_there_is_the_list_of_all(capsys):
    assert command.main([]) == 2
    assert "check " in capsys.readouterr().err


def test_debug_shows_the_traceback(capsys):
    with pytest.raises(ValueError, match="no preset"):
        command.main(["--debug", "run", "nothing"])


def test_a_reader_who_has_had_enough_is_no_error():
    command_line = [sys.executable, "-m", "itl", "labels", "original"]
    process = subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", 0)


@pytest.mark.parametrize(("words", "status"), [(["labels", "original"], 0), (["labels", "nothing"], 1)])
def test_a_process_ends_with_the_status_of_its_command_after_all_that_waits_for_its_end(words, status):
    code = f"import atexit, sys; from itl.__main__ import script; sys.argv = {['itl', *words]}; script(); "
    code += "atexit.register(print, 'the end'); sys.exit(7)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == status
    assert done.stdout.endswith("the end\n")
    assert len(done.stdout.splitlines()) == (1002 if status == 0 else 1)  # a header, 1,000 classes, the end


def test_an_error_that_nobody_expected_is_one_line_too(capsys, monkeypatch):
    def fail(*_):
        raise KeyError("first\nsecond \x1b[31mred")

    monkeypatch.setattr("itl.hierarchy.label_sets.label_set", fail)
    status, _, err = itl(capsys, "labels", "original")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("itl: KeyError while doing labels: ")
    assert err.endswith("; itl --debug labels … shows where\n")
    assert "\x1b" not in err


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_stops_in_order_and_is_the_status(capsys, monkeypatch, number, status):
    ours = signal.signal(number, {signal.SIGINT: signal.default_int_handler}.get(number, signal.SIG_DFL))
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    monkeypatch.setattr("itl.hierarchy.label_sets.label_set", lambda *_: os.kill(os.getpid(), number))
    stopped = (status, "", "itl: stopped; finished work is kept, repeat the command to go on\n")
    assert itl(capsys, "labels", "original") == stopped
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before
    signal.signal(number, ours)


def test_a_warning_is_a_note_of_one_line(capsys, monkeypatch):
    def warn(*_):
        warnings.warn("two\nlines", stacklevel=1)
        raise ItlError("the end")

    monkeypatch.setattr("itl.hierarchy.label_sets.label_set", warn)
    assert itl(capsys, "labels", "original")[2] == "itl: note: two\\nlines\nitl: the end\n"


def test_advise_says_the_whole_command_of_a_pilot(capsys, monkeypatch):
    def describe(grid, task, budget, command):
        raise ItlError(f"nothing is known; `{command}` with --pilot 4 does it")

    pilot_without_runs(monkeypatch, describe, {})
    _, _, err = itl(capsys, "advise", "birds", "--home", "out", "--budget", "2", "hours")
    command = "itl advise birds --preset my-task --budget 2 hours --home out"
    assert err == f"itl: nothing is known; `{command}` with --pilot 4 does it\n"


@pytest.mark.parametrize("known", [True, False])
def test_advise_names_what_failed_after_the_advice(capsys, monkeypatch, known):
    def describe(*_):
        if not known:
            raise ItlError("nothing is known; `itl advise` with --pilot 4 does it")
        return "the advice"

    pilot_without_runs(monkeypatch, describe, {1: "bad, seed 0 (a run failed)", 2: "mine, seed 0 (it died)"})
    status, out, err = itl(capsys, "advise", "birds", "--pilot", "3")
    assert (status, out) == (1, "the advice\n" if known else "")
    failures = "bad, seed 0 (a run failed); mine, seed 0 (it died)"
    assert err.startswith(f"itl: not measured: {failures}; repeat the command to try again, or take options")
    assert err.count("\n") == 1


def pilot_without_runs(monkeypatch, describe, failures):
    """Let `itl advise` measure nothing, with these *failures*, and print what *describe* returns."""
    pilot = SimpleNamespace(run=lambda _: [], grid=None, task="", failures=failures)
    monkeypatch.setattr("itl.analysis.pilot.Pilot", lambda *_: pilot)
    monkeypatch.setattr("itl.analysis.advice.describe", describe)
    monkeypatch.setattr("itl.analysis.pilot.task_of", lambda *_: "probe@birds")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["birds", "--budget", "2", "days"],
            "--budget takes a number above 0 and one of hours, images, labels",
        ),
        (["--budget", "0.5", "images", "birds"], "--budget takes whole images; got 0.5 images"),
        (["birds", "--pilot", "-1"], "--pilot takes a number of nets"),
        (["bird"], "did you mean 'birds'?"),
        (["photos"], "of preset my-task called 'photos'; there are"),
        (["birds", "--preset", "far/mini.yaml"], "params/mini.yaml is called by its name, mini"),
        (["birds", "--preset", "far/none.yaml"], "give its path, or the name of one in "),
        (["birds", "--preset", "tiny"], "no notebook of preset tiny called '10-advice'"),
    ],
)
def test_advise_refuses_in_one_line(capsys, project, words, line):
    status, _, err = itl(capsys, "advise", *words)
    assert status == 1
    assert line in err
    assert err.count("\n") == 1
