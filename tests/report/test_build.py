"""Reports: executed for real on throwaway notebooks, published whole or not at all."""

import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from filelock import FileLock
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from itl import ItlError
from itl.machine import Machine
from itl.presets import Preset
from itl.report.build import pages_of, report
from itl.report.notebook_file import check_parameters
from itl.report.notebook_html import notebook_html, read_summary
from itl.runs.executors import with_needs
from itl.runs.questions import questions_of
from itl.runs.store import Store
from tests.accessible import faults
from tests.worlds import SETTINGS, SHARED, here, pretend, small_study, start_child

FIGURE = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"
ANSWER = """from IPython.display import Markdown
told = {"n": 3, "verdict": "a gain"}
Markdown(f"Half of {number} is **{12 / number:.1f}** & so on.", metadata=told)"""
SLOW = "import os, time\nopen(f'started-{os.getpid()}', 'w')\ntime.sleep(seconds)\nseconds"
LONG = "import pandas as pd\npd.DataFrame({'a': [f'row {number}' for number in range(100)]})"
REQUEST = r"""<(script|link|img|iframe|source|object|embed)[^>]*(src|href|data)\s*=\s*["']?\s*(https?:)?//"""
WHERE = "import os, sys\nprint(os.getcwd(), os.environ['ITL_HOME'], os.environ['ITL_DATA'], sys.executable)"


def tagged_cell(tag: str, source: str):
    return new_code_cell(source, metadata={"tags": [tag]})


def write_notebook(path: Path, *cells) -> None:
    path.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=list(cells)), path)


def write_question(home: Path, name: str, settings: dict) -> None:
    """Write the notebook *name* of a question, whose parameters are *settings*."""
    declared = "\n".join(f"{key}: {type(value).__name__} = {value!r}" for key, value in settings.items())
    cells = new_markdown_cell(f"# {name}?"), tagged_cell("parameters", declared), new_code_cell("1")
    write_notebook(home / f"notebooks/{name}.ipynb", *cells)


def preset(**notebooks) -> Preset:
    """A preset of the throwaway notebooks a (divides by its number) and b-summary."""
    named = {name.replace("_", "-"): parameters for name, parameters in notebooks.items()}
    return Preset(name="test", about="Throwaway.", notebooks=named)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A home with a report of two notebooks, made once."""
    home = tmp_path_factory.mktemp("home")
    title = new_markdown_cell("# Is it *so*?\n\nWhy it matters.")
    parameters = tagged_cell("parameters", "number: int = 4   # divides\nnames: list[str] = []   # more")
    write_notebook(
        home / "notebooks/a.ipynb",
        title,
        parameters,
        new_code_cell(WHERE),
        tagged_cell("figure", FIGURE),
        tagged_cell("answer", ANSWER),
    )
    write_notebook(
        home / "notebooks/b-summary.ipynb",
        new_markdown_cell("# All?"),
        tagged_cell("parameters", "preset: str = 'demo'   # whose results"),
        tagged_cell("answer", "from pathlib import Path\npreset, Path('reports/test/a.html').exists()"),
    )
    make(home, preset(a={"number": 6}, b_summary={}))
    return home


def make(home: Path, wanted: Preset, **more) -> Path:
    machine = Machine(home=home, data=("x=data",), workers=2)
    return report(wanted, home / "reports/test", machine, home / "notebooks", **more)


def outputs(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return json.dumps([cell.outputs for cell in cells if cell.cell_type == "code"])


def test_notebooks_are_executed_where_the_report_says(home):
    text = outputs(home / "reports/test/a.ipynb")
    assert f"{home} {home} x={Path('data').absolute()} {sys.executable}" in text
    assert "Half of 6 is **2.0**" in text, "the preset's number, not the notebook's"


def test_a_summary_comes_after_the_others(home):
    assert "('test', True)" in outputs(home / "reports/test/b-summary.ipynb")


def test_a_copied_preset_is_summarised_under_its_own_name(home, caplog):
    """The copy still names the preset that it was copied from, perhaps one that is not there."""
    copy = preset(a={"number": 6}, b_summary={"preset": "the-original"})
    make(home, copy)
    lines = caplog.messages
    assert lines[0] == "b-summary: this report is of preset test, so `preset: the-original` is not used"
    assert "b-summary: unchanged" in lines, "it is executed with the report's own preset all the same"
    by_path = copy.model_copy(update={"path": home / "params/test.yaml"})
    *_, page = pages_of(by_path, home, Machine(), home / "notebooks")
    assert page.parameters == {"preset": str(home / "params/test.yaml")}


def test_index_shows_answer_figure_and_verdict(home):
    html = (home / "reports/test/index.html").read_text()
    assert "Half of 6 is <strong>2.0</strong> &amp; so on." in html
    assert 'alt="Half of 6 is 2.0 &amp; so on."' in html
    assert "a gain" in html
    assert "n = 3 seeds" in html
    assert 'href="a.html"' in html


@pytest.mark.parametrize("name", ["index.html", "runs.html", "a.html", "b-summary.html"])
def test_pages_ask_nothing_of_the_network(home, name):
    html = (home / "reports/test" / name).read_text()
    assert faults(html) == []
    assert "<script" not in html
    assert not re.search(REQUEST, html)
    assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", html)


def test_answer_stands_under_the_title_and_code_is_folded(home):
    html = (home / "reports/test/a.html").read_text()
    assert html.index("<h1>") < html.index('class="answer"') < html.index("<main")
    assert html.count('<details class="code">') == 5, "four cells, and the parameters that were given"


def test_figures_can_be_taken_away(home, tmp_path, no_kernels):
    """As SVG and PNG beside the page; those that a new page no longer has are removed."""
    folder = tmp_path / "reports/test"
    executed = nbformat.read(home / "reports/test/a.ipynb", as_version=4).cells
    (outputs,) = (cell.outputs for cell in executed if "figure" in cell.metadata.get("tags", ()))
    for drawn in (2, 1):
        cells = [tagged_cell("figure", FIGURE), *(new_code_cell(FIGURE) for _ in range(drawn - 1))]
        for cell in cells:
            cell.outputs = outputs  # as a kernel made them
        write_notebook(tmp_path / "notebooks/a.ipynb", new_markdown_cell("# So?"), *cells)
        make(tmp_path, preset(a={}))
        names = [f"a-figure-{number}.{kind}" for number in range(1, drawn + 1) for kind in ("png", "svg")]
        assert sorted(path.name for path in folder.glob("*figure*")) == names
        html = (folder / "a.html").read_text()
        assert re.findall(r'href="(a-figure.*?)"', html) == sorted(
            names, key=lambda name: (name[:10], name[-3:] == "png")
        )
        assert html.count("<img") == drawn
        assert html.count("<svg") == 0, "shown once, as PNG"
    assert (folder / "a-figure-1.png").read_bytes()[:4] == b"\x89PNG"
    assert b"<svg" in (folder / "a-figure-1.svg").read_bytes()
    os.truncate(folder / "a-figure-1.svg", 10)
    make(tmp_path, preset(a={}))
    assert (folder / "a-figure-1.svg").stat().st_size > 1000, "a damaged figure is made again"


def test_unchanged_notebooks_are_not_executed_again(home, caplog):
    path = home / "reports/test/a.ipynb"
    before = path.stat().st_mtime_ns
    make(home, preset(a={"number": 6}, b_summary={}))
    assert path.stat().st_mtime_ns == before
    assert caplog.messages[:2] == ["a: unchanged", "b-summary: unchanged"]


def test_pages_of_notebooks_that_a_preset_no_longer_lists_stay_and_are_named(home, caplog):
    folder = home / "reports/test"
    make(home, preset(a={"number": 6}))
    left = f"b-summary: preset test does not list it any more; {folder / 'b-summary.ipynb'} stays, unlinked"
    assert left in caplog.messages
    assert (folder / "b-summary.html").exists()
    assert "b-summary" not in (folder / "index.html").read_text()
    caplog.clear()
    make(home, preset(a={"number": 6}, b_summary={}))
    assert "any more" not in "".join(caplog.messages)


def test_a_failure_leaves_the_earlier_page(home):
    folder = home / "reports/test"
    before = {name: (folder / name).read_bytes() for name in ("a.html", "a.ipynb")}
    with pytest.raises(ItlError, match="a failed in the answer cell: ZeroDivisionError: .*; half-run in"):
        make(home, preset(a={"number": 0}, b_summary={}))
    assert before == {name: (folder / name).read_bytes() for name in before}
    assert "ZeroDivisionError" in outputs(folder / "failed/a.ipynb")
    assert "made earlier" in (folder / "index.html").read_text()
    assert not list(folder.glob(".work-*"))
    make(home, preset(a={"number": 6}, b_summary={}))  # what it was: its page is still the right one
    assert "made earlier" not in (folder / "index.html").read_text()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"numbr": 6}, "no parameter of a called 'numbr'; did you mean 'number'"),
        ({"number": "six"}, "number is 'six'; input should be a valid integer"),
        ({"number": True}, "number is True; input should be a valid integer"),
        ({"names": "one"}, "names is 'one'; input should be a valid list"),
        ({"names": [1]}, r"names is \[1\]; input should be a valid string"),
    ],
)
def test_parameters_are_checked_before_anything_runs(home, given, message):
    with pytest.raises(ItlError, match=message):
        make(home, preset(a=given, b_summary={}))
    check_parameters(home / "notebooks/a.ipynb", {"number": 6, "names": ["one"]})


def test_unknown_notebooks_are_refused(home):
    with pytest.raises(ItlError, match="no notebook of preset .* called 'aa'; did you mean 'a'"):
        make(home, preset(aa={}))
    with pytest.raises(ItlError, match="no notebook of preset test called 'c'"):
        make(home, preset(a={}), only="c")


def test_a_second_report_waits_for_the_first(home, caplog):
    with FileLock(home / "reports/test/.lock"):
        second = threading.Thread(target=make, args=(home, preset(b_summary={})))
        second.start()
        while not caplog.messages:
            time.sleep(0.01)
        assert "waiting" in caplog.messages[0]
        assert second.is_alive()
    second.join(30)
    assert not second.is_alive()


def test_a_killed_report_leaves_the_earlier_page_and_no_kernel(home, tmp_path):
    folder = home / "reports/test"
    write_notebook(
        home / "notebooks/a-slow.ipynb",
        new_markdown_cell("# Slow?"),
        tagged_cell("parameters", "seconds: int = 0      # to sleep"),
        tagged_cell("answer", SLOW),
    )
    make(home, preset(a_slow={}))
    before = (folder / "a-slow.html").read_bytes()
    for path in home.glob("started-*"):
        path.unlink()
    victim = start_child(make, home, preset(a_slow={"seconds": 600}))
    while not (started := list(home.glob("started-*"))):
        assert victim.is_alive()
        time.sleep(0.05)
    victim.kill()
    victim.join()
    assert (folder / "a-slow.html").read_bytes() == before
    make(home, preset(a_slow={}))
    assert not list(folder.glob(".work-*"))
    kernel = int(started[0].name.split("-")[1])
    for _ in range(200):
        if not alive(kernel):
            break
        time.sleep(0.05)
    assert not alive(kernel)


def test_a_killed_kernel_is_one_line_and_leaves_the_earlier_page(home):
    folder = home / "reports/test"
    write_notebook(
        home / "notebooks/a-long.ipynb",
        new_markdown_cell("# Long?"),
        tagged_cell("parameters", "seconds: int = 0      # to sleep"),
        tagged_cell("answer", SLOW),
    )
    make(home, preset(a_long={}, b_summary={}))
    before = {path: path.read_bytes() for path in folder.glob("a-long.*")}
    assert len(before) == 3
    for path in home.glob("started-*"):
        path.unlink()
    killer = threading.Thread(target=kill_when_started, args=(home,))
    killer.start()
    with pytest.raises(ItlError, match="^a-long stopped: .*; was it killed, or out of memory.* again$"):
        make(home, preset(a_long={"seconds": 600}, b_summary={}))
    killer.join()
    assert before == {path: path.read_bytes() for path in folder.glob("a-long.*")}
    assert not list(folder.glob(".work-*"))
    html = (folder / "index.html").read_text()
    assert "the last run did not finish: a-long stopped" in html
    assert 'href="a-long.html"' in html


def kill_when_started(home: Path) -> None:
    """Kill the kernel of SLOW as soon as it says that it runs."""
    while not (started := list(home.glob("started-*"))):
        time.sleep(0.05)
    os.kill(int(started[0].name.split("-")[1]), signal.SIGKILL)


def test_what_is_no_notebook_is_refused_before_anything_runs(home):
    (home / "notebooks/c.ipynb").write_text('{"cells": [')
    with pytest.raises(ItlError, match=r"c\.ipynb is not a notebook of format 4"):
        make(home, preset(a={"number": 6}, c={}))
    (home / "notebooks/c.ipynb").unlink()


def test_a_question_has_its_numbers_and_contrasts_beside_it(tmp_path):
    question = small_study(images_per_class=[4, 12], seeds=[0, 1])
    question.prepare(here(tmp_path))
    pretend(with_needs([run.spec for run in question.runs(here(tmp_path))]), Store(tmp_path / "runs"))
    declared = "\n".join(f"{name}: {type(value).__name__} = {value!r}" for name, value in SETTINGS.items())
    write_notebook(
        tmp_path / "notebooks/01-data-size.ipynb",
        new_markdown_cell("# How many?"),
        tagged_cell("parameters", declared),
        tagged_cell("table", LONG),
    )
    make(tmp_path, preset(**{"01_data_size": SETTINGS | {"images_per_class": [4, 12]}}))
    folder = tmp_path / "reports/test"
    results, contrasts = (pd.read_csv(folder / f"01-data-size{end}.csv") for end in ("", "-contrasts"))
    assert len(results) == 2 * 2 * 2 * 2, "conditions, seeds, own and knn, metrics"
    assert results["value"].unique().tolist() == [51.25, 90.0]
    assert contrasts["compared"].unique().tolist() == ["4 instead of 12 images per class"]
    for name, one in (("results", results), ("contrasts", contrasts)):
        pd.testing.assert_frame_equal(pd.read_csv(folder / f"{name}.csv"), one)
    html = (folder / "01-data-size.html").read_text()
    assert faults(html) == []
    assert html.count("<td>row ") == 100, "long tables are whole"
    assert faults((folder / "runs.html").read_text()) == []
    assert len(pd.read_csv(folder / "runs.csv")) == 8
    html = (folder / "index.html").read_text()
    assert 'href="01-data-size-contrasts.csv"' in html
    assert "8 of 8 done, 12.0 minutes of computing" in html
    tables = {path: path.read_bytes() for path in folder.glob("*.csv")}
    for path, content in tables.items():  # as a power cut may leave them
        os.truncate(path, len(content) // 2 if path.stem == "01-data-size" else 0)
    make(tmp_path, preset(**{"01_data_size": SETTINGS | {"images_per_class": [4, 12]}}))
    assert {path: path.read_bytes() for path in folder.glob("*.csv")} == tables


def alive(pid: int) -> bool:
    """Whether process *pid* runs; one that has ended and is not reaped does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_live_outputs_become_their_last_state():
    widget = "application/vnd.jupyter.widget-view+json"
    cell = new_code_cell(
        "run()",
        outputs=[
            new_output("stream", name="stdout", text="start\rhalf-way\rarrived\ndone\n"),
            new_output("display_data", {widget: {"model_id": "1"}, "text/plain": "all done"}),
            new_output("display_data", {"application/javascript": "alert(1)", "text/plain": "figure"}),
        ],
    )
    notebook = new_notebook(cells=[new_markdown_cell("# Bars?"), cell], metadata={"widgets": {}})
    html = notebook_html(notebook, read_summary(notebook, "bars"), "test")
    assert "arrived" in html
    assert "half-way" not in html
    assert "all done" in html
    assert "<script" not in html
    assert "alert" not in html


def test_what_one_page_is_made_of_is_not_mixed_with_pages_of_other_settings(tmp_path, no_kernels):
    def asked(steps: int) -> Preset:
        recipe = {"recipe": SETTINGS["recipe"] | {"steps": steps}}
        first = SETTINGS | recipe | {"images_per_class": [4, 12]}
        second = SHARED | recipe | {"label_sets": ["none", "original"]}
        return preset(**{"01_data_size": first, "02_class_count": second})

    def pretend_question(number: int, steps: int) -> None:
        question = questions_of(asked(steps))[number]
        question.prepare(here(tmp_path))
        store = Store(tmp_path / "runs")
        specs = with_needs([run.spec for run in question.runs(here(tmp_path))])
        pretend([spec for spec in specs if store.state(spec) != "done"], store)  # some both questions need

    def summed_up() -> tuple[bool, set[str]]:
        index = (folder / "index.html").read_text()
        return "made earlier, of other settings" in index, set(
            pd.read_csv(folder / "results.csv")["question"]
        )

    folder = tmp_path / "reports/test"
    for name in ("01-data-size", "02-class-count"):
        write_question(tmp_path, name, asked(12).notebooks[name])
    for number in (0, 1):
        pretend_question(number, 12)
    make(tmp_path, asked(12))
    assert summed_up() == (False, {"data-size", "class-count"})
    make(tmp_path, asked(12), only="01-data-size")
    assert summed_up() == (False, {"data-size", "class-count"}), "the other page is as it would be made now"
    pretend_question(0, 14)
    make(tmp_path, asked(14), only="01-data-size")
    assert summed_up() == (True, {"data-size"})
    pretend_question(1, 14)
    make(tmp_path, asked(14))
    assert summed_up() == (False, {"data-size", "class-count"})


@pytest.mark.usefixtures("rated")
def test_a_report_that_cannot_be_made_writes_nothing(tmp_path):
    settings = SETTINGS | {"images_per_class": [4, 12_345]}
    questions_of(preset(**{"01_data_size": settings}))[0].prepare(here(tmp_path))
    write_question(tmp_path, "01-data-size", settings)
    with pytest.raises(ItlError, match="12,345"):
        make(tmp_path, preset(**{"01_data_size": settings}))
    assert not (tmp_path / "reports").exists()


def test_a_notebook_is_read_the_same_in_every_locale(tmp_path, monkeypatch):
    write_notebook(tmp_path / "notebooks/a.ipynb", new_markdown_cell("# Müde?"))
    (page,) = pages_of(preset(a={}), tmp_path, here(tmp_path), tmp_path / "notebooks")
    read, before = Path.read_text, page.fingerprint()
    monkeypatch.setattr(Path, "read_text", lambda path, encoding="ascii": read(path, encoding))
    assert page.fingerprint() == before


def test_a_part_of_the_runs_makes_no_report(home):
    says = (
        "a report needs all runs of test, and this machine does part 2 of 3; do the runs of every part with"
    )
    with pytest.raises(ItlError, match=says):
        report(preset(a={}), home / "reports/test", Machine(home=home, shard=(2, 3)), home / "notebooks")
