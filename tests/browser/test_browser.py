"""HierarchyBrowser as people use it: in a JupyterLab, in a Chromium, with keys and clicks."""

import json
import re
import shutil

from itl.__main__ import main
from itl.machine import Machine
from itl.packs.paths import build_or_open
from itl.presets import load_preset
from itl.runs.questions import questions_of
from itl.settings import spec_of
from itl.specs import Packing, Subset
from tests.browser.steps import OPEN, go_to, row, settled, shot
from tests.browser.worlds import EVERY_CLASS, NAUGHTY
from tests.worlds import SETTINGS, here, write_rates

RECIPE = {"steps": 4, "batch": 8, "pixels": 16}
TRAIN = f"""from dataclasses import replace
from itl.runs import questions
from itl.machine import Machine
from itl.runs.store import Store
settings = {json.dumps(SETTINGS | {"images": EVERY_CLASS, "images_per_class": [], "seeds": [0]})}
settings["recipe"] = {RECIPE}
machine = Machine.from_environment()
question = questions.data_size(subset=replace(browser.subset, images_per_class=2), **settings)
question.run(Store(machine.runs), machine)
results = question.results(Store(machine.runs), machine)
sorted(set(results["task"]))"""
DOG, MAMMAL = "n02084071", "n01861778"


def test_search_cut_exclude_and_train_on_it(notebook, page, home):
    write_rates(Machine.from_environment(home=home, workers=1), {"recipe": RECIPE})  # as in the kernel
    cells = notebook(OPEN, "browser.subset", TRAIN)
    assert "classes: 1,000" in cells.run()
    settled(page)
    page.fill(".itl-browser .query", "husky")
    assert page.locator(".itl-browser .found").inner_text() == "2 hits"
    assert "working dog ‹ dog ‹ canine" in row(page, "Eskimo dog").inner_text()
    shot(page, "search")
    page.press(".itl-browser .query", "ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")  # the second hit, in the tree
    chosen = page.locator('.itl-browser .row[aria-selected="true"]')
    assert chosen.locator(".name").inner_text() == "Siberian husky"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")  # to its parent, and close that
    row(page, "Siberian husky").wait_for(state="detached")
    page.keyboard.press("ArrowRight")
    row(page, "Siberian husky").wait_for()  # visible again
    page.get_by_label("bottom-up").check()
    page.locator(".itl-browser .slider").fill("9")  # from the deepest, 18, to level 9
    assert page.locator(".itl-browser .base-text").inner_text() == "level 9: 486 classes"
    go_to(page, "domestic dog")
    row(page, "dog").locator(".box").click()
    assert row(page, "dog").get_attribute("aria-checked") == "false"
    assert row(page, "canine").get_attribute("aria-checked") == "mixed"
    settled(page)
    assert "without dog (118)" in page.locator(".itl-browser .summary").inner_text()
    go_to(page, "wolf")
    page.get_by_text("Keep beside").click()
    go_to(page, "fox")
    settled(page)
    shot(page, "browser")
    packing = spec_of(Packing, EVERY_CLASS, "images")
    pack = build_or_open(packing, "images", here(home))  # others use this home too
    before = set((home / "runs/pretrain").glob("*/spec.json"))
    assert cells.run() == repr(Subset(pack.digest, f"bottom-up@9+without@{DOG}"))
    assert "['knn@scenes', 'own']" in cells.run()
    (spec,) = {*(home / "runs/pretrain").glob("*/spec.json")} - before
    assert f"bottom-up@9+without@{DOG}" in spec.read_text()
    trained = json.loads((spec.parent / "result.json").read_text())
    assert (trained["classes"], trained["images"]) == (486, 2 * 486)


def test_what_python_sets_the_page_shows(notebook, page):
    cells = notebook(OPEN)
    cells.run()
    settled(page)
    labels = f"top-down@1+without-pascal+half-minimal-a+without@{MAMMAL}"
    said = cells.execute(
        f"from itl.specs import Subset\nbrowser.subset = Subset('', '{labels}', 20, 2, 7)\n"
        f"browser.show('{MAMMAL}')"
    )
    assert said == ""
    page.wait_for_selector('.itl-browser .row[aria-selected="true"]')
    settled(page)
    assert row(page, "mammal").get_attribute("aria-checked") == "false"
    assert page.get_by_label("top-down").is_checked()
    assert page.get_by_label("without PASCAL").is_checked()
    assert page.get_by_label("half of the classes").input_value() == "half-minimal-a"
    assert page.get_by_label("number of classes").input_value() == "20"
    assert page.locator(".itl-browser .base-text").inner_text() == "round 1: 20 classes"
    page.get_by_role("button", name="Undo").click()
    settled(page)
    assert not page.get_by_label("without PASCAL").is_checked(), "what Python set can be undone"
    cells.execute(f"browser.subset = Subset('', '{labels}', 20, 2, 7)")
    page.wait_for_function("document.querySelector('.itl-browser [type=checkbox]').checked")
    classes = page.get_by_label("number of classes")
    classes.select_text()
    page.keyboard.type("1")
    cells.execute(f"browser.subset = Subset('', '{labels}', 20, 2, 8)")
    page.wait_for_function("document.querySelector('[aria-label^=\"seed that picks\"]').value === '8'")
    page.keyboard.type("2")
    assert classes.input_value() == "12", "what is being typed stays"
    page.keyboard.press("Enter")
    settled(page)
    assert "classes: 12" in page.locator(".itl-browser .yaml").inner_text()
    page.get_by_label("name of the preset").fill("halved")
    page.get_by_text("Save preset").click()
    page.wait_for_selector(".itl-browser .said:text('Saved: itl plan halved')")
    page.get_by_label("number of classes").fill("19")
    page.get_by_label("number of classes").press("Tab")
    page.get_by_text("Save preset").click()
    page.wait_for_selector(".itl-browser .said:text('exists already')")


def test_without_a_pack_leaves_are_counted_and_the_page_says_why_no_preset_can_be_saved(notebook, page):
    notebook("from itl import HierarchyBrowser\nHierarchyBrowser()").run()
    settled(page)
    assert page.get_by_role("button", name="Save preset").is_disabled()
    assert page.get_by_label("name of the preset").is_disabled()
    page.wait_for_selector(".itl-browser .said:text('A preset needs images: HierarchyBrowser(pack=...)')")
    assert page.locator(".itl-browser .heads .count").all_inner_texts() == ["leaves", ""]
    for label in page.locator(".itl-browser .radios label").all():
        assert label.get_attribute("title"), "what each way to cut does"


def test_a_saved_preset_is_one_that_itl_plans(notebook, page, home, rated, monkeypatch, capsys):
    cells = notebook(OPEN)
    cells.run()
    settled(page)
    go_to(page, "cat")
    row(page, "cat").locator(".box").click()
    assert page.get_by_role("tree", name="tree of classes").count() == 1
    page.get_by_label("name of the preset").fill("no-cats")
    page.get_by_label("name of the preset").press("Enter")
    page.wait_for_selector(".itl-browser .said:text('Saved')")
    row(page, "cat").locator(".box").click()
    settled(page)
    assert page.locator(".itl-browser .said").inner_text() == "", "what was saved is not shown any more"
    (question,) = questions_of(load_preset("no-cats", home / "params"))
    assert question.conditions[0].labels == "without@n02121620"
    monkeypatch.chdir(home)
    assert (main(["plan", "no-cats"]), capsys.readouterr().err) == (0, "")


def test_the_keyboard_reaches_everything_and_no_cell_is_harmed(notebook, page):
    cells = notebook(OPEN)
    cells.run()
    settled(page)
    page.locator(".itl-browser .query").focus()
    page.keyboard.press("Tab")
    active = lambda: page.evaluate(  # noqa: E731
        "() => { const row = document.activeElement; return [row.querySelector('.name')?.textContent,"
        " row.getAttribute('aria-level'), row.getAttribute('aria-expanded'), row.tabIndex]; }"
    )
    assert active() == ["entity", "1", "true", 0]
    page.keyboard.press("End")
    assert active()[0] == "whole"
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert active() == ["abstraction", "2", "false", 0]
    page.keyboard.press("Space")
    assert row(page, "abstraction").get_attribute("aria-checked") == "false"
    page.keyboard.press("c")
    settled(page)
    assert "my own cut" in page.locator("label:has(input[value=cut]:checked)").inner_text()
    for key in "ddxzyab":  # JupyterLab's keys for cells; none may reach it
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == 2
    tabbable = page.evaluate("() => document.querySelectorAll('.itl-browser .row[tabindex=\"0\"]').length")
    assert tabbable == 1
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_other_parents_are_marked_and_reached(notebook, page):
    notebook(OPEN).run()
    settled(page)
    go_to(page, DOG)
    assert row(page, "dog").locator(".several").inner_text() == "↑2"
    page.locator(".itl-browser .others").get_by_text("domestic animal").click()
    chosen = page.locator('.itl-browser .row[aria-selected="true"]')
    assert chosen.locator(".name").inner_text() == "domestic animal"


def test_no_more_than_500_rows_of_21841_nodes_whatever_is_open(notebook, page):
    cells = notebook(
        "from itl.browser.widget import HierarchyBrowser\nfrom tests.browser.worlds import wide_tree\n"
        "browser = HierarchyBrowser(tree=wide_tree())\nbrowser"
    )
    cells.run()
    settled(page)
    cells.execute("browser.opened = list(browser.tree)")
    page.wait_for_function("document.querySelector('.itl-browser .canvas').clientHeight === 21841 * 26")
    counts = page.evaluate(
        """async () => {
            const view = document.querySelector(".itl-browser .viewport"), seen = [];
            for (let part = 0; part <= 20; part++) {
                view.scrollTop = part / 20 * view.scrollHeight;
                await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
                seen.push([".row", "*"].map((each) => view.querySelectorAll(each).length));
            }
            return seen;
        }"""
    )
    assert all(20 <= rows <= 60 for rows, _ in counts)
    assert all(elements < 900 for _, elements in counts)
    page.fill(".itl-browser .query", "ba")
    hits = int(page.locator(".itl-browser .found").inner_text().split()[0].replace(",", ""))
    assert hits > 5000
    assert page.locator(".itl-browser .row").count() <= 60
    page.fill(".itl-browser .query", "")
    page.locator(".itl-browser .row").first.focus()
    page.keyboard.press("End")
    assert page.evaluate("() => document.activeElement.className").startswith("row")


def test_markup_in_names_is_text_and_a_pack_that_vanishes_a_message(notebook, page, home):
    cells = notebook(
        "from pathlib import Path\nfrom itl.specs import Packing\nfrom itl.packs.pack import Pack\n"
        "from itl.browser.widget import HierarchyBrowser\n"
        "from tests.browser.worlds import NAUGHTY, naughty_images, naughty_tree\n"
        "images = naughty_images(Path('naughty'))\n"
        "pack = Pack.build(Packing('folder', None, 16), 'naughty-pack', path=images)\n"
        "browser = HierarchyBrowser(pack, naughty_tree())\n"
        "browser.colour({'n00000001': 1}, NAUGHTY, unit=NAUGHTY)\nbrowser"
    )
    cells.run()
    settled(page)
    page.locator(".itl-browser .row").first.click()
    settled(page)
    assert row(page, NAUGHTY).count() == 3
    assert page.locator(".itl-browser figure").count() == 2
    assert "onerror" in page.locator(".itl-browser figure").first.get_attribute("title")
    assert page.locator(".itl-browser .legend").inner_text().startswith(NAUGHTY)
    assert page.locator(".itl-browser .about").inner_text().startswith(NAUGHTY)
    assert page.evaluate("() => window.harmed") is None
    assert page.locator(".itl-browser script").count() == 0
    shot(page, "markup")
    shutil.rmtree(home / "naughty-pack")
    page.locator(".itl-browser .row").nth(1).click()
    page.wait_for_selector(".itl-browser .grid .problem:text('can no longer be read')")
    shot(page, "vanished")
    page.locator(".itl-browser .row").nth(1).locator(".box").click()  # and all else goes on
    settled(page)
    assert cells.execute("print(browser.subset.labels)") == "without@n00000002\n"


def test_colours_dark_and_narrow(notebook, page):
    cells = notebook(OPEN)
    cells.run()
    settled(page)
    cells.execute(
        "import random\ndraw = random.Random(0)\n"
        "fine = {wnid: draw.uniform(40, 80) for wnid in browser.tree}\n"
        "coarse = {wnid: draw.gauss(value - 4, 4) for wnid, value in fine.items()}\n"
        "browser.colour(coarse, '1 neighbour, coarse − fine', against=fine)\nbrowser.show('n02083346')"
    )
    page.wait_for_selector(".itl-browser .ramp")
    settled(page)
    cell = row(page, "canine").locator(".colour")
    assert re.fullmatch(r"[+−]\d+\.\d", cell.inner_text())
    shot(page, "light")
    cells.theme("JupyterLab Dark")
    shot(page, "dark")
    light = page.evaluate("() => getComputedStyle(document.querySelector('.itl-browser')).backgroundColor")
    assert max(map(int, re.findall(r"\d+", light))) < 80
    page.set_viewport_size({"width": 520, "height": 1600})
    page.wait_for_function("document.querySelector('.itl-browser').clientWidth < 500")
    shot(page, "narrow")
    assert row(page, "canine").locator(".name").bounding_box()["width"] > 40
    sizes = page.locator(".itl-browser").evaluate("(widget) => [widget.scrollWidth, widget.clientWidth]")
    assert sizes[0] <= sizes[1], "nothing sticks out"
    cells.theme("JupyterLab Light")
