"""The script for GPU machines: on a bare one it says what it lacks, and nothing takes its table away."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests.bare import sitecustomize as bare
from tests.gpu import check, several_nets

BARE = Path(bare.__file__).parent
IMPORTED = {
    "beautifulsoup4": "bs4",
    "dask[distributed]": "dask",
    "ipython": "IPython",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
}  # where the name differs

FAKES = {
    # a GPU that is always there
    "torch.py": """
__version__, class_cuda = "2.11.0+cu130", None
class version: cuda = "13.0"
class cuda:
    is_available = staticmethod(lambda: True)
    get_device_name = staticmethod(lambda: "Fake GPU")
""",
    "triton.py": "__version__ = '3.6.0'",
    "itl/__init__.py": "",
    "itl/bench/__init__.py": "",
    # `itl bench`: the row before HANGS comes at once, HANGS never, CRASHES ends the process
    "itl/__main__.py": """
import json, os, sys, time
from pathlib import Path
words = sys.argv
if words[1] == "run":
    time.sleep({"cuda": CUDA_S, "cpu": CPU_S}[words[words.index("--device") + 1]])
    sys.exit()
rows, file = [], Path(words[words.index("--json") + 1])
with open("starts.txt", "a") as log:
    log.write(words[words.index("--only") + 1] + "\\n")
for name in words[words.index("--only") + 1].split(","):
    if name == HANGS:
        time.sleep(60)
    if name == CRASHES:
        os._exit(3)
    rows.append({"name": name, "rates": {"itl": 40_500.0}, "ratio": 0.96, "reached": 0.61})
    file.with_suffix(".part").write_text(json.dumps({"rows": rows}))
    os.replace(file.with_suffix(".part"), file)
""",
    "itl/bench/paper_grid.py": """
import sys
open(sys.argv[-1], "w").write('{"paper-128": 11.5, "paper": 140.0}')
""",
    "tests/gpu/several_nets.py": """
import sys
open(sys.argv[-1], "w").write('{"four-small-56": 3.07}')
""",
    "tests/gpu/test_gpu.py": "def test_it():\n    pass\n",
    "tests/training/test_crop_triton.py": "def test_it():\n    assert False\n",
    "tests/training/test_loop.py": "def test_it():\n    pass\n",
    "tests/training/test_batches.py": "import time\n\ndef test_it():\n    time.sleep(60)\n",
    "tests/evaluation/test_knn_triton.py": "def test_it():\n    pass\n",
    "tests/evaluation/test_placement.py": "def test_it():\n    pass\n",
    "tests/evaluation/test_frozen.py": "def test_it():\n    pass\n",
}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A checkout of fakes, in which rows are measured in no time; gives what writes it."""

    def write(hangs: str = "", crashes: str = "", cuda_s: float = 0, cpu_s: float = 0) -> Path:
        for name, text in FAKES.items():
            path = tmp_path / "checkout" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            head = f"HANGS, CRASHES, CUDA_S, CPU_S = {(hangs, crashes, cuda_s, cpu_s)!r}\n"
            path.write_text(head + text if name == "itl/__main__.py" else text)
        return path

    write()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / check.MPS_CONTROL).touch(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(check, "ROOT", tmp_path / "checkout")
    monkeypatch.setattr(check, "MARGIN_S", 0.5)
    monkeypatch.setattr(check, "lacking", lambda names: [])
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # they take longer than these tests
    return write


def main(monkeypatch, *words: str) -> int:
    """The script's exit status with these arguments."""
    monkeypatch.setattr(sys, "argv", ["check.py", *words])
    return check.main()


def test_what_the_script_runs_is_there():
    assert all((check.ROOT / name).exists() for name in check.GPU_TESTS | check.CPU_TESTS)
    assert check.lacking(["itl.bench.paper_grid", "torch", "no_such_package"]) == ["no_such_package"]


def test_the_bare_machine_lacks_all_that_it_is_not_said_to_have():
    project = tomllib.loads((check.ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split("[>=<]", name)[0] for name in project["dependencies"]}
    assert {IMPORTED.get(name, name) for name in declared} <= bare.HERE | bare.ABSENT
    assert not bare.HERE & bare.ABSENT
    assert set(check.KERNELS) <= bare.HERE
    assert set(check.SETTINGS) <= bare.ABSENT


def on_bare_machine(*words: str) -> subprocess.CompletedProcess:
    """Run python with *words* where there are only the packages of a bare machine, and no GPU is seen."""
    hidden = {"PYTHONPATH": f"{BARE}{os.pathsep}{check.ROOT}", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, *words],
        cwd=check.ROOT,
        env=os.environ | hidden,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=300,
    )


def test_on_a_bare_machine_the_script_says_what_it_lacks_and_imports_all_tests(tmp_path):
    """The children inherit the bare machine: the script keeps its caller's PYTHONPATH for them."""
    file = tmp_path / "report.json"
    done = on_bare_machine("tests/gpu/check.py", "--collect", "--json", str(file))
    assert done.returncode == 0, done.stdout
    assert "not installed here: sklearn, pydantic, yaml; the parts that need them are left out" in done.stdout
    assert "torch sees no CUDA device" in done.stdout
    assert re.search(r"tests/gpu/test_gpu\.py: \d+", done.stdout)
    report = json.loads(file.read_text())
    assert report["ended"]["collect"].startswith("passed")
    assert (report["machine"]["gpu"], report["table"]) == (None, [])


def test_kernels_training_evaluation_and_the_table_import_on_a_bare_machine():
    modules = ["itl.bench.table"]
    modules += [f"itl.runs.{name}" for name in ("perform", "executors", "plan", "question")]
    for folder in ("training", "evaluation", "packs", "sources", "hierarchy"):
        files = [path.relative_to(check.ROOT) for path in check.ROOT.glob(f"itl/{folder}/**/[a-z]*.py")]
        modules += [".".join(file.with_suffix("").parts) for file in files]
    code = f"import gc, os; gc.disable(); import {', '.join(modules)}; os._exit(0)"  # a second less
    done = on_bare_machine("-c", code)
    assert done.returncode == 0, done.stdout


def test_where_torch_is_missing_nothing_can_be_done(monkeypatch, capsys):
    monkeypatch.setattr(check, "lacking", lambda names: [name for name in names if name == "torch"])
    assert main(monkeypatch) == 2
    assert "torch is not installed here" in capsys.readouterr().out


def test_all_parts_come_in_turn_and_the_table_is_last(world, monkeypatch, capfd, tmp_path):
    """One test fails and one hangs; the rest is done, and the exit status tells."""
    monkeypatch.setitem(check.CPU_TESTS, "tests/training/test_batches.py", check.Part([], 2))
    assert main(monkeypatch, "--json", str(tmp_path / "report.json")) == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["ended"]) == ["tests/gpu", "table", "hours", "several nets", *check.CPU_TESTS]
    assert {
        name: how.split()[0] for name, how in report["ended"].items() if not how.startswith("passed")
    } == {
        "tests/training/test_crop_triton.py": "FAILED,",
        "tests/training/test_batches.py": "OUT",
    }
    out = capfd.readouterr().out
    assert "Fake GPU, driver" in out
    assert "CUDA 13.0, torch 2.11.0+cu130, triton 3.6.0" in out
    table = out[out.index("| row |") :].splitlines()
    assert "| step-resnet18-112 | 40,500 | images/s | ≥ 40,000 | met | 38,000–48,000 |" in table
    assert "| paper-128 | 11.5 | hours | ≤ 12 | met |  |" in table
    assert len(table) == 2 + len(report["table"])
    assert report["rows"].keys() == set(check.ROWS)
    assert "| four-small-56 | 3.07 | times one alone | ≥ 2 | met |  |" in table
    assert report["measured"] == {"paper-128": 11.5, "paper": 140.0, "four-small-56": 3.07}


def test_a_file_that_cannot_be_imported_costs_no_other_test(world, capfd):
    (check.ROOT / "tests/gpu/test_broken.py").write_text("import nothing_of_this_name")
    report = check.Report()
    check.check_tests({"tests/gpu": check.Part([], 60)}, report, time.monotonic() + 60)
    assert report.ended["tests/gpu"].startswith("FAILED, exit status 1")
    assert "1 passed, 1 error" in capfd.readouterr().out


NET = """
import sys, time
from pathlib import Path
folder = Path(__file__).parent
try:
    (folder / "late").touch(exist_ok=False)
    time.sleep(1)
except FileExistsError:
    pass
print("ready", flush=True)
sys.stdin.readline()
(folder / f"start-{time.monotonic_ns()}").touch()
print(2.5)
"""


def test_nets_that_are_timed_together_start_together(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.setattr(several_nets, "__file__", str(tmp_path / "net.py"))
    assert several_nets.measure(3, 64, dict(os.environ)) == 7.5
    starts = sorted(int(path.name.partition("-")[2]) for path in tmp_path.glob("start-*"))
    assert len(starts) == 3
    assert starts[-1] - starts[0] < 0.7e9, "one is ready a second after the others"
    (tmp_path / "net.py").write_text("raise SystemExit('no GPU')")
    with pytest.raises(SystemExit, match="a net could not be trained"):
        several_nets.measure(2, 64, dict(os.environ))


@pytest.mark.parametrize(("installed", "ended"), [(True, "passed"), (False, "skipped: ")])
def test_several_nets_are_left_out_where_mps_is_missing(world, installed, ended, monkeypatch, tmp_path):
    if not installed:
        monkeypatch.setenv("PATH", str(tmp_path))
    report = check.Report(ended={"tests/gpu": "passed (3 s)"})
    check.measure_several_nets(report, check.ROOT / "nets.json", time.monotonic() + 60)
    assert report.ended["several nets"].startswith(ended)
    assert report.measured == ({"four-small-56": 3.07} if installed else {})
    skipped = {"four-small-56": "skipped: nvidia-cuda-mps-control not installed"}
    assert report.missing == ({} if installed else skipped)
    assert report.status() == 0


def test_a_row_that_hangs_or_crashes_costs_only_itself(world, monkeypatch):
    world(hangs="step-small-56", crashes="knn")
    monkeypatch.setattr(check, "ROW_S", 1)
    report, file = check.Report(), check.ROOT / "rows.json"
    check.measure_rows(report, file, time.monotonic() + 60)
    assert report.missing == {"step-small-56": "OUT OF TIME", "knn": "FAILED, exit status 3"}
    assert report.rows.keys() == set(check.ROWS) - {"step-small-56", "knn"}
    assert report.ended["table"].startswith("FAILED, without step-small-56, knn")
    starts = (check.ROOT / "starts.txt").read_text().splitlines()
    assert [words.split(",")[0] for words in starts] == ["crop", "step-resnet18-112", "step-resnet18-56"]


def test_rows_for_which_no_time_is_left_say_so(world):
    world(hangs="step-small-56")
    report = check.Report()
    check.measure_rows(report, check.ROOT / "rows.json", time.monotonic() + 3)
    assert list(report.rows) == ["crop"]
    assert report.missing["step-small-56"] == "OUT OF TIME"
    assert report.missing["probe"] == "no time left"
    assert report.status() == 1


@pytest.mark.parametrize(("cuda_s", "cpu_s", "low", "high"), [(0.5, 60, 1.0, 1.0), (3, 0.5, 1.5, 10)])
def test_the_demo_is_raced_on_two_cores_against_the_gpu(world, monkeypatch, capfd, cuda_s, cpu_s, low, high):
    world(cuda_s=cuda_s, cpu_s=cpu_s)
    began = time.monotonic()
    assert main(monkeypatch, "--demo") == 0
    assert time.monotonic() - began < 30
    (line,) = [line for line in capfd.readouterr().out.splitlines() if line.startswith("| demo |")]
    assert low <= float(line.split("|")[2]) <= high
    assert line.split("|")[5].strip() == ("met" if cuda_s < cpu_s else "not met")


def keeps_running(pid: int) -> bool:
    """Whether the process goes on for five seconds; an orphan is gone once init has collected it."""
    for _ in range(50):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        time.sleep(0.1)
    return True


def test_a_part_out_of_time_is_killed_with_its_children(world, tmp_path):
    child = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert check.run(["-c", parent], 2).startswith("OUT OF TIME after 2 s")
    assert not keeps_running(int((tmp_path / "pid").read_text())), "the child outlived its parent"


def test_a_part_out_of_time_takes_its_daemon_along(tmp_path, monkeypatch):
    """A stand-in for NVIDIA's control of MPS, whose daemon begins a session of its own."""
    pid, started, folder = (tmp_path / name for name in ("pid", "started", "folder"))
    folder.mkdir()
    control = tmp_path / "nvidia-cuda-mps-control"
    control.write_text(
        f'#!/bin/sh\nif [ "$1" = -d ]; then setsid sleep 60 > /dev/null 2>&1 & echo $! > {pid}\n'
        f"else read word; [ $word = quit ] && kill $(cat {pid}); fi\n"
    )
    control.chmod(0o755)
    script = tmp_path / "part.py"
    script.write_text(
        "import pathlib, time\nfrom tests.gpu.several_nets import mps\n"
        f"with mps():\n    pathlib.Path({str(started)!r}).touch()\n    time.sleep(60)\n"
    )
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(folder))
    assert check.run([str(script)], 3).startswith("OUT OF TIME after 3 s")
    assert started.exists()
    assert not keeps_running(int(pid.read_text())), "the daemon outlived the part"
    assert not list(folder.iterdir())


SKIPPED, PASSED = (
    "@pytest.mark.skip('no GPU (H200)')\ndef test_it():\n    pass\n",
    "def test_other():\n    pass\n",
)


@pytest.mark.parametrize(
    ("tests", "ended", "status"),
    [
        (SKIPPED, "skipped: no GPU (H200) (", 2),
        ("pytest.skip('no compiler', allow_module_level=True)", "skipped: no compiler (", 2),
        (SKIPPED + PASSED, "passed, but 1 of 2 tests skipped: no GPU (H200) (", 0),
        (PASSED, "passed (", 0),
        ("", "FAILED, exit status 5 (", 1),
    ],
)
def test_tests_that_were_all_skipped_have_not_passed(world, tests, ended, status):
    (check.ROOT / "tests/gpu/test_gpu.py").write_text("import pytest\n" + tests)
    report = check.Report()
    check.check_tests({"tests/gpu": check.Part([], 60)}, report, time.monotonic() + 60)
    assert report.ended["tests/gpu"].startswith(ended)
    assert report.status() == status


def test_without_a_gpu_what_needs_one_is_skipped_and_the_exit_status_tells(
    world, monkeypatch, capfd, tmp_path
):
    (check.ROOT / "torch.py").write_text(FAKES["torch.py"].replace("lambda: True", "lambda: False"))
    monkeypatch.setattr(check, "CPU_TESTS", {"tests/training/test_loop.py": check.Part([], 60)})
    assert main(monkeypatch, "--json", str(tmp_path / "report.json")) == 0
    ended = json.loads((tmp_path / "report.json").read_text())["ended"]
    assert ended.pop("tests/training/test_loop.py").startswith("passed")
    reason = "skipped: torch sees no CUDA device"
    assert ended == dict.fromkeys(["tests/gpu", "table", "hours", "several nets"], reason)
    assert main(monkeypatch, "--demo") == 2
    assert capfd.readouterr().out.endswith(f"\ndemo: {reason}\n")


@pytest.mark.parametrize(
    ("torch", "says"),
    [
        ("raise ImportError('libcudart.so.13:\\nno such file')", "no such file"),
        ("import os; os._exit(3)", "exit status 3"),
    ],
)
def test_a_torch_that_cannot_be_imported_is_one_line(world, monkeypatch, capfd, torch, says):
    (check.ROOT / "torch.py").write_text(torch)
    assert main(monkeypatch) == 2
    assert capfd.readouterr() == (f"torch does not work here, and all parts need it: {says}\n", "")


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_done(
    world, monkeypatch, capfd, tmp_path
):
    with pytest.raises(SystemExit, match="2"):
        main(monkeypatch, "--json", str(tmp_path))
    out, err = capfd.readouterr()
    assert out == ""
    assert f"cannot write {tmp_path}: Is a directory" in err


def test_a_signal_ends_what_runs_and_keeps_what_is_known(world, tmp_path):
    """The second row of the benchmark hangs."""
    pid, file = tmp_path / "pid", tmp_path / "report.json"
    world(hangs="step-small-56")
    for name in ("check.py", "goals.py"):
        shutil.copy(Path(check.__file__).parent / name, check.ROOT / "tests/gpu")
    wait = f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    program = check.ROOT / "itl/__main__.py"
    program.write_text(program.read_text().replace("time.sleep(60)", f"exec({wait!r})"))
    with subprocess.Popen(
        [sys.executable, "tests/gpu/check.py", "--json", str(file)],
        cwd=check.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as script:
        try:
            while not pid.exists() or not pid.read_text():
                time.sleep(0.05)
            before = json.loads(file.read_text())
        finally:
            script.terminate()
        out = script.communicate(timeout=60)[0]
    assert script.returncode == 1
    assert before["ended"].keys() == {"tests/gpu"}
    assert not keeps_running(int(pid.read_text())), "a part outlived the script"
    report = json.loads(file.read_text())
    assert report["ended"]["tests/gpu"].startswith("passed (")
    assert report["ended"]["table"] == "OUT OF TIME, ended by a signal"
    assert "table: OUT OF TIME, ended by a signal\n" in out
    assert "| crop | 61 % |" in out
    assert report["rows"].keys() == {"crop"}


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        (["passed (3 s)", "skipped: no time left"], 0),
        (["passed (3 s)", "FAILED, exit status 1"], 1),
        (["passed (3 s)", "OUT OF TIME after 5 s"], 1),
        (["skipped: pytest not installed"], 2),
        ([], 2),
    ],
)
def test_the_exit_status_tells_whether_something_failed_or_nothing_was_done(ended, status):
    assert check.Report(ended=dict(enumerate(ended))).status() == status


def test_a_part_that_raises_is_one_that_failed():
    def broken(seconds: float) -> str:
        raise ValueError("not JSON")

    report = check.Report()
    check.attempt(report, "hours", check.Part([], 99), time.monotonic() + 99, broken)
    assert report.ended == {"hours": "FAILED, ValueError: not JSON"}
