"""Pages that everybody can use: axe-core finds no serious fault. Panels: see test_panels."""

from pathlib import Path

import pytest

from itl.browser.widget import HierarchyBrowser
from itl.presets import load_preset
from itl.report.build import report
from itl.report.compare import compare_reports, page
from tests.browser.axe import SCRIPT, serious_faults
from tests.report.test_compare import write_report
from tests.worlds import SETTINGS, here, write_rates


def test_axe_core_is_there():
    if not SCRIPT.exists():
        pytest.skip(
            "axe-core is not installed: pages are not checked by it; `make lint` installs it with npm"
        )
    assert "axe.run" in SCRIPT.read_text("utf-8")


@pytest.fixture(scope="module")
def sheet(chromium):
    """One page for all files, in which axe-core is compiled once."""
    page = chromium.new_page()
    yield page
    page.close()


def faults_in_both_schemes(sheet, path: Path) -> dict[str, list[str]]:
    """Open *path* and return its serious faults in light and in dark colours, where there are any."""
    sheet.goto(path.as_uri())
    faults = {}
    for scheme in ("light", "dark"):
        sheet.emulate_media(color_scheme=scheme)
        assert sheet.evaluate("(scheme) => matchMedia(`(prefers-color-scheme: ${scheme})`).matches", scheme)
        faults[scheme] = serious_faults(sheet)
    return {scheme: lines for scheme, lines in faults.items() if lines}


def test_pages_of_a_report(sheet, home, trained):
    folder = home / "reports/smallest"
    write_rates(here(home), SETTINGS)  # else the notebook imports torch, to know whether there is its net
    report(load_preset("smallest", home / "params"), folder, here(home))
    run = next((folder / "runs").glob("*.html"))
    for path in (folder / "index.html", folder / "01-data-size.html", folder / "runs.html", run):
        assert faults_in_both_schemes(sheet, path) == {}, path.name


def test_two_reports_compared(sheet, tmp_path):
    first = write_report(tmp_path / "a", {"own": "a gain", "probe@scenes": "cannot tell"}, [0, 1])
    second = write_report(tmp_path / "b", {"own": "a gain", "probe@scenes": "a gain"}, [2], lr=0.2)
    (tmp_path / "compared.html").write_text(page(compare_reports(first, second), "a", "b"), "utf-8")
    assert faults_in_both_schemes(sheet, tmp_path / "compared.html") == {}


def test_the_browser_in_a_file(sheet, tmp_path):
    HierarchyBrowser().to_html(tmp_path / "tree.html")
    sheet.emulate_media(color_scheme="light")
    sheet.goto((tmp_path / "tree.html").as_uri())
    sheet.wait_for_selector("[role=treeitem]")
    # An experimental rule, for speech input: a row is spoken in words, not as the signs and numbers it shows.
    assert serious_faults(sheet, without=("label-content-name-mismatch",)) == []
