"""The panels as people use them: one story each, in a JupyterLab, in a Chromium."""

import re

from tests.browser.axe import UNNAMED, serious_faults
from tests.browser.steps import SHOTS, go_to, row

# The widths of panels, and of what they have room for, where these are cut: what lies beyond is seen nowhere.
CUT = """() => [...document.querySelectorAll(".jp-OutputArea-output .itl-controls")]
  .map((panel) => [panel.scrollWidth, panel.clientWidth]).filter(([needs, has]) => needs > has)"""


FOCUSED = """() => {
  const part = document.activeElement;
  return part.labels?.[0]?.textContent.trim() || part.textContent.trim();
}"""


COUNT_CLICKS = """() => {
  window.clicks = 0;
  document.addEventListener("click", () => window.clicks++, true);
}"""


# What is clicked or chosen and not done yet, by what it sets.
NOTE_BUSY = """() => {
  window.busy = [];
  new MutationObserver((changes) => window.busy.push(
    ...changes.filter(({target}) => target.ariaBusy === "true")
      .map(({target}) => target.dataset.setting ?? target.labels?.[0]?.textContent)
  )).observe(document.body, {subtree: true, attributeFilter: ["aria-busy"]});
}"""


def shot(page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.locator(".jp-Cell-outputArea").first.screenshot(path=SHOTS / f"{name}.png")


def test_which_images_a_net_gets_wrong_under_a_node_in_one_click(panel, page, trained):
    panel(f"from itl import NetPanel\nNetPanel({trained!r})")
    node = page.get_by_label("wrong under", exact=True)
    texts = [text.replace("\xa0", " ").strip() for text in node.locator("option").all_inner_texts()]
    chosen = next(number for number, text in enumerate(texts) if text.startswith("animal"))
    node.select_option(index=chosen)
    wrong = re.search(r"· ([\d,]+) of", texts[chosen])[1]
    page.wait_for_selector(f".itl-panel b:text-matches('^Wrong under .*: {wrong} of')")
    page.get_by_label("neighbours of", exact=True).select_option(index=1)
    page.wait_for_selector(".itl-panel b:text-matches('^Training images nearest to')")
    page.get_by_label("images", exact=True).select_option("scenes")
    page.wait_for_selector(".itl-panel b:text('Target scenes.')")
    page.get_by_label("find node", exact=True).fill("nothing")
    assert page.evaluate(UNNAMED) == []
    assert serious_faults(page, ".jp-OutputArea-output") == []
    shot(page, "net-panel")


def test_keys_reach_every_control_and_no_cell_is_harmed(panel, page, trained):
    panel(f"from itl import NetPanel\nNetPanel({trained!r})")
    page.get_by_label("images", exact=True).focus()
    names = []
    for _ in range(6):
        names.append(page.evaluate(FOCUSED))
        page.keyboard.press("Tab")
    assert names == ["images", "find node", "wrong under", "neighbours of", "Earlier images", "More images"]
    page.get_by_label("wrong under", exact=True).focus()
    for key_pressed in ("ArrowDown", "ArrowDown"):
        page.keyboard.press(key_pressed)
    page.wait_for_selector(".itl-panel b:text-matches('^Wrong under (?!all)')")
    for key_pressed in "ddxzab":  # JupyterLab's keys for cells; none may reach it
        page.keyboard.press(key_pressed)
    assert page.locator(".jp-CodeCell").count() == 2


def test_what_stands_behind_a_comparison(panel, page, trained):
    panel("from itl import ResultsPanel\nResultsPanel('smallest')")
    page.get_by_label("task", exact=True).select_option("scenes, nearest neighbours")
    page.get_by_label("comparison", exact=True).select_option(index=1)
    page.wait_for_selector("table[aria-label='Settings that differ']")
    page.get_by_role("button", name="images that the net of run").first.press("Enter")
    page.wait_for_selector("ul[aria-label^='Images that the net of run']")
    page.locator("button[data-setting=row]").nth(1).click()
    page.wait_for_selector("ul[aria-label^='Images that the net of run']", state="detached")
    page.get_by_role("button", name="the net of run", exact=False).last.press("Enter")
    page.wait_for_selector(".itl-panel b:text('Target scenes.')")
    usual = page.viewport_size
    page.set_viewport_size({"width": 800, "height": usual["height"]})
    page.wait_for_function(f"({CUT})().length === 0")
    forest = page.locator(".itl-row").first.locator("xpath=../..")
    assert forest.evaluate("(box) => box.scrollWidth <= box.clientWidth"), "its right end is shown"
    page.set_viewport_size(usual)
    assert page.evaluate(UNNAMED) == []
    assert serious_faults(page, ".jp-OutputArea-output") == []
    shot(page, "results-panel")


def test_which_images_a_net_gets_wrong_under_dog_in_three_clicks(panel, page, trained):
    from playwright.sync_api import expect

    own = "panel.row = int(panel.contrasts().query('task == \"own\"').index[0])"
    panel(f"from itl import ResultsPanel\npanel = ResultsPanel('smallest')\n{own}\npanel")
    page.evaluate(COUNT_CLICKS)
    page.evaluate(NOTE_BUSY)
    page.locator("button[data-setting=opened]").first.click()
    page.get_by_label("find node", exact=True).click()
    page.keyboard.type("dog")
    nodes = page.get_by_label("wrong under", exact=True).locator("option")
    others = nodes.filter(has_not_text=re.compile(r"dog|^\s*all\s·"))
    expect(others).to_have_count(0)  # typing narrows the list letter by letter
    dog = nodes.filter(has_text=re.compile(r"^\s*dog\s·"))
    wrong = re.search(r"·\s([\d,]+)\sof", dog.inner_text())[1]
    dog.click()
    page.wait_for_selector(f".itl-panel b:text-matches('^Wrong under dog: {wrong} of')")
    assert page.evaluate("() => window.clicks") == 3
    assert page.evaluate("() => window.busy") == ["opened", "wrong under"]
    expect(page.locator(".itl-controls [aria-busy=true]")).to_have_count(0)


def test_a_budget_is_moved_with_keys(panel, page, advised):
    panel("from itl import AdvicePanel\nAdvicePanel('advised')")
    page.wait_for_selector(".itl-panel b:text('no limit')")
    page.get_by_label("target", exact=True).focus()
    names = [page.evaluate(FOCUSED)]
    for _ in range(2):
        page.keyboard.press("Tab")
        names.append(page.evaluate(FOCUSED))
    assert names == ["target", "budget in", "budget"]
    page.keyboard.press("ArrowUp")
    page.wait_for_selector(".itl-panel b:text('48 images')")
    page.keyboard.press("ArrowUp")
    page.wait_for_selector(".itl-panel b:text('16 images')")
    assert page.evaluate(UNNAMED) == []
    assert serious_faults(page, ".jp-OutputArea-output") == []
    shot(page, "advice-panel")


INFLUENCE = """from itl import HierarchyBrowser, InfluencePanel, Machine, Store, influence, packed, questions
from tests.analysis.test_influence_runs import STUDY
machine, question = Machine.from_environment(), questions.influence(**STUDY)
effects = influence.effects(question, Store(machine.runs), machine)
browser = HierarchyBrowser(packed(question.images, "images", machine))
InfluencePanel(question, effects, browser)"""


def test_the_images_of_a_node_follow_the_browser_and_the_keys(panel, page, influenced):
    notebook = panel(INFLUENCE, "browser")
    assert page.locator("ul[aria-label*='right more often'] li").count() == 3
    first = page.locator(".itl-panel b").first.inner_text()
    page.get_by_label("find node", exact=True).focus()
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "node"
    page.keyboard.press("ArrowDown")
    page.wait_for_selector(f".itl-panel b:text({first!r})", state="detached")
    notebook.run()
    go_to(page, influenced)
    page.wait_for_selector(f".itl-panel b:text('{influenced}')")
    assert serious_faults(page, ".jp-OutputArea-output:has(.itl-panel)") == []
    shot(page, "influence-panel")


def test_a_study_is_chosen_planned_run_stopped_and_saved_with_keys_alone(panel, page, trained):
    """What follows a resumed run, first-hour.md's test sees."""
    panel("from itl import StudyPanel\npanel = StudyPanel('smallest')\npanel")
    page.wait_for_selector(".itl-panel :text('12 of 12 runs exist already')")
    page.get_by_label("question", exact=True).focus()
    names = []
    for _ in range(14):
        names.append(page.evaluate(FOCUSED))
        page.keyboard.press("Tab")
    settings = ["question", "conditions", "seeds", "images folder", "target folder", "options"]
    settings += ["target source", "tasks", "margin", "preset name"]
    assert names == [*settings, "Run or resume", "Stop", "Measure how long", "Save preset"]
    seeds = page.get_by_label("seeds", exact=True)
    seeds.fill(", ".join(["0", *map(str, range(7, 20))]))  # so many that they are not done before the stop
    seeds.press("Tab")
    page.wait_for_selector(".itl-panel :text('6 of 84 runs exist already')")
    page.get_by_role("button", name="Run or resume").press("Enter")
    page.wait_for_selector(".itl-panel [role=status] b:text('running')")
    page.get_by_role("button", name="Stop").press("Space")
    page.wait_for_selector(".itl-panel [role=status] b:text('stopped')", timeout=120_000)
    page.get_by_label("preset name", exact=True).fill("own-study")
    page.get_by_label("preset name", exact=True).press("Tab")
    page.get_by_role("button", name="Save preset").press("Enter")
    page.wait_for_selector(".itl-panel :text('Saved: itl plan own-study')")
    assert page.evaluate(UNNAMED) == []
    assert serious_faults(page, ".jp-OutputArea-output") == []
    shot(page, "study-panel")


def test_after_a_restart_of_the_kernel_a_click_says_that_nobody_answers(panel, page, trained):
    shown = (
        "from itl import HierarchyBrowser, NetPanel\nbrowser = HierarchyBrowser()\nbrowser.show('n02084071')"
    )
    panel(f"{shown}\ndisplay(browser)\nNetPanel({trained!r})")
    ticked = row(page, "dog").locator(".box").inner_text()
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name="Restart Kernel…").click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    page.wait_for_selector("[data-status=idle], .jp-Notebook-ExecutionIndicator[data-status=idle]")
    page.locator(".itl-controls").get_by_role("button", name="More images").click()
    page.wait_for_selector(".itl-controls :text('The kernel was restarted or has ended')")
    assert page.locator(".itl-controls [aria-busy=true]").count() == 0
    row(page, "dog").locator(".box").click()
    page.wait_for_selector(".itl-browser [role=alert]:text('The kernel was restarted or has ended')")
    assert row(page, "dog").locator(".box").inner_text() == ticked
    assert page.locator(".itl-browser [aria-busy=true]").count() == 0
