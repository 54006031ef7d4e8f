"""What the browser leaves where nothing runs: in an executed notebook, and in its page on a disk."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd

from itl.browser.choice import Choice
from itl.browser.widget import HierarchyBrowser
from itl.hierarchy.label_sets import label_set
from itl.packs.pack import Pack
from itl.report.html import PAGE_TYPE
from itl.specs import Packing
from tests.browser.lab import ROOT
from tests.browser.steps import OPEN, SHOTS, go_to, row


def nbconvert(home: Path, to: str, out: Path, source: Path) -> None:
    """Execute *source* as nbconvert does by itself, without anything of ours."""
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", to, "--output-dir", out, source]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ITL_HOME": str(home)}
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]


def test_an_executed_notebook_leaves_the_picture_and_needs_no_server(chromium, home, tmp_path):
    source = home / "notebooks/00-hierarchy.ipynb"
    nbconvert(home, "html", tmp_path, source)
    page = chromium.new_page()
    page.route(re.compile("^https?:"), lambda route: route.abort())  # nothing outside the file
    page.goto((tmp_path / "00-hierarchy.html").as_uri())
    picture = page.locator(".itl-picture")
    assert picture.locator("tr", has_text="canine").first.is_visible()
    assert "classes: 1,000" in picture.inner_text()
    assert page.locator("script[type='application/vnd.jupyter.widget-view+json']").count() == 0
    SHOTS.mkdir(parents=True, exist_ok=True)
    picture.screenshot(path=SHOTS / "picture.png")


def test_what_is_set_after_it_was_shown_is_in_the_picture_too(home, tmp_path):
    cells = [OPEN, "from itl.specs import Subset\nbrowser.subset = Subset('', 'without@n02084071')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, home / "later.ipynb")
    nbconvert(home, "notebook", tmp_path, home / "later.ipynb")
    executed = nbformat.read(tmp_path / "later.ipynb", as_version=4)
    (output,) = executed.cells[0].outputs
    assert sorted(output["data"]) == [PAGE_TYPE, "text/html", "text/plain"]
    assert "without dog (118)" in output["data"]["text/html"]
    assert "widgets" not in executed.metadata, "the tree is not kept in the notebook"


def test_the_browser_in_a_file_works_without_a_kernel(chromium, tmp_path):
    browser = HierarchyBrowser()
    changes = pd.DataFrame(
        [("n02084071", -7.5, -9.0, -6.0), ("n02083346", 1.0, -2.0, 4.0)],
        columns=["node", "change", "low", "high"],
    )
    browser.colour_changes(changes, "coarse − fine")
    browser.show("n02084071")
    page, errors = chromium.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.goto(browser.to_html(tmp_path / "tree.html").as_uri())
    assert row(page, "dog").locator(".colour").get_attribute("title") == "95 % interval −9.0 to −6.0 points"
    grey = row(page, "canine").locator(".colour").evaluate("(cell) => getComputedStyle(cell).backgroundColor")
    assert grey == "rgb(225, 225, 225)"
    row(page, "dog").locator(".box").click()
    page.wait_for_selector(".itl-browser .summary dd:text-is('882')")
    page.get_by_label("bottom-up").check()
    go_to(page, "husky")
    for name in ("number of classes", "half of the classes"):
        assert page.get_by_label(name).is_disabled()
    assert page.get_by_role("button", name="Save preset").count() == 0
    assert page.get_by_role("button", name="Copy as YAML").is_disabled(), "only the kernel writes it"
    assert page.locator(".itl-browser .pane").count() == 0, "there are no images"
    with page.expect_download() as download:
        page.get_by_role("button", name="Download labels").click()
    download.value.save_as(tmp_path / "labels.csv")
    wanted = label_set(browser.tree, "bottom-up@18+without@n02084071", browser.tree.leaves)
    assert label_set(browser.tree, f"file@{tmp_path / 'labels.csv'}", browser.tree.leaves).class_of == (
        wanted.class_of
    )
    page.screenshot(path=SHOTS / "standalone.png")
    assert not errors


def test_labels_without_the_half_that_was_chosen_are_not_downloaded(chromium, tmp_path):
    browser = HierarchyBrowser()
    browser.choice = Choice(half="half-minimal-a")
    browser.show("n02084071")
    page = chromium.new_page()
    page.goto(browser.to_html(tmp_path / "half.html").as_uri())
    button = page.get_by_role("button", name="Download labels")
    with page.expect_download() as download:
        button.click()
    rows = Path(download.value.path()).read_text().splitlines()
    wanted = label_set(browser.tree, "half-minimal-a", browser.tree.leaves).class_of
    assert rows[1:] == [f"{wnid},{wanted[wnid]}" for wnid in sorted(wanted)]
    downloads = []
    page.on("download", lambda file: downloads.append(file))
    row(page, "dog").locator(".box").click()
    page.wait_for_selector(".itl-browser .problem:text('halves and numbers of classes need JupyterLab')")
    button.click()
    page.wait_for_selector(".itl-browser .said:text('Not downloaded: what is said above comes first.')")
    assert downloads == []
    page.get_by_role("button", name="Start again").click()
    page.wait_for_selector(".itl-browser .summary dd:text-is('1,000')")
    with page.expect_download() as download:
        button.click()
    assert len(Path(download.value.path()).read_text().splitlines()) == 1 + 1000
    assert page.locator(".itl-browser .said", has_text="Not downloaded").count() == 0


def test_every_click_can_be_undone_and_the_steps_of_the_slider_together(chromium, tmp_path):
    browser = HierarchyBrowser()
    browser.show("n02084071")
    page = chromium.new_page()
    page.goto(browser.to_html(tmp_path / "undo.html").as_uri())
    undo, classes = page.get_by_role("button", name="Undo"), page.locator(".itl-browser .summary dd >> nth=0")
    assert undo.is_disabled(), "there is nothing yet"
    row(page, "dog").locator(".mark").click()
    merged = int(classes.inner_text())
    assert merged == 1000 - 118 + 1
    row(page, "dog").locator(".mark").click()
    page.wait_for_selector(f".itl-browser .summary dd:text-is('{merged - 1}')")
    undo.click()
    page.wait_for_selector(f".itl-browser .summary dd:text-is('{merged}')")
    page.get_by_label("bottom-up").check()
    for _ in range(4):
        page.locator(".itl-browser .slider").press("ArrowRight")
    page.get_by_label("top-down").check()
    undo.click()
    assert page.get_by_label("bottom-up").is_checked()
    undo.click()
    page.wait_for_selector(f".itl-browser .summary dd:text-is('{merged}')")
    page.get_by_role("button", name="Start again").click()
    undo.click()
    page.wait_for_selector(f".itl-browser .summary dd:text-is('{merged}')")
    undo.click()
    page.wait_for_selector(".itl-browser .summary dd:text-is('1,000')")
    assert undo.is_disabled()


def test_nodes_without_images_are_hidden_until_they_are_asked_for(chromium, tmp_path):
    options = (("classes", 4), ("train", 2), ("val", 1), ("size", 16))
    pack = Pack.build(Packing("demo", None, 16, "squash", options), tmp_path / "pack", workers=1)
    browser = HierarchyBrowser(pack)
    above = set().union(*(browser.tree.ancestors(wnid) for wnid in browser.wnids))
    hidden = len(browser.tree) - len(above)
    browser.opened = list(browser.tree)
    page = chromium.new_page(viewport={"width": 1280, "height": 1300})
    page.goto(browser.to_html(tmp_path / "four.html").as_uri())
    canvas = "document.querySelector('.itl-browser .canvas').clientHeight / 26"
    assert page.evaluate(canvas) == len(above)
    assert row(page, "entity").locator(".count").first.inner_text() == "4"
    page.get_by_role("button", name=f"{hidden:,} nodes without images").click()
    assert page.evaluate(canvas) == len(browser.tree)
    page.fill(".itl-browser .query", "paper")
    everything = page.locator(".itl-browser .found").inner_text()
    page.get_by_role("button", name=f"{hidden:,} nodes without images").click()
    assert page.locator(".itl-browser .found").inner_text() != everything
