"""Pages that everybody can use: axe-core finds no serious fault. Panels: see test_panels."""

import pytest

from itl.browser.widget import HierarchyBrowser
from itl.presets import load_preset
from itl.report.build import report
from itl.report.compare import compare_reports, page
from tests.browser.axe import SCRIPT, serious_faults
from tests.report.test_compare import write_report
from tests.worlds import here


def test_axe_core_is_there():
    if not SCRIPT.exists():
        pytest.skip(
            "axe-core is not installed: pages are not checked by it; `make lint` installs it with npm"
        )
    assert "axe.run" in SCRIPT.read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_a_report(chromium, home, trained, scheme):
    folder = home / "reports/smallest"
    if not (folder / "index.html").exists():
        report(load_preset("smallest", home / "params"), folder, here(home))
    run = next((folder / "runs").glob("*.html"))
    for path in (folder / "index.html", folder / "01-data-size.html", folder / "runs.html", run):
        page = chromium.new_page(color_scheme=scheme)
        page.goto(path.as_uri())
        assert serious_faults(page) == [], path.name
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_two_reports_compared(chromium, tmp_path, scheme):
    first = write_report(tmp_path / "a", {"own": "a gain", "probe@scenes": "cannot tell"}, [0, 1])
    second = write_report(tmp_path / "b", {"own": "a gain", "probe@scenes": "a gain"}, [2], lr=0.2)
    (tmp_path / "compared.html").write_text(page(compare_reports(first, second), "a", "b"), "utf-8")
    shown = chromium.new_page(color_scheme=scheme)
    shown.goto((tmp_path / "compared.html").as_uri())
    assert serious_faults(shown) == []
    shown.close()


def test_the_browser_in_a_file(chromium, tmp_path):
    HierarchyBrowser().to_html(tmp_path / "tree.html")
    page = chromium.new_page()
    page.goto((tmp_path / "tree.html").as_uri())
    page.wait_for_selector("[role=treeitem]")
    # An experimental rule, for speech input: a row is spoken in words, not as the signs and numbers it shows.
    assert serious_faults(page, without=("label-content-name-mismatch",)) == []
    page.close()
