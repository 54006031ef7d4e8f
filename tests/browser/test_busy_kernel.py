"""What people do while the kernel is busy is done as they saw it: nothing lost, nothing of older values."""

import yaml

from tests.browser.steps import go_to, row
from tests.worlds import SETTINGS

BUSY_SECONDS = 1
STUDY = f"""import time
from itl import StudyPanel
panel = StudyPanel("smallest")
panel.observe(lambda change: time.sleep({BUSY_SECONDS}), "seeds")
panel"""


def save(page, name: str) -> None:
    page.get_by_label("preset name", exact=True).click()
    page.keyboard.type(name)
    page.get_by_role("button", name="Save preset").click()


def set_seeds(page, *values: str) -> None:
    """Type *values*, one after the other, without waiting for the kernel."""
    seeds = page.get_by_label("seeds", exact=True)
    for text in values:
        seeds.fill(text)
        seeds.press("Tab")


def test_a_name_is_saved_whole(panel, page, home, trained):
    panel(STUDY)
    set_seeds(page, "0")
    save(page, "busy-study")
    page.wait_for_selector(".itl-panel :text('Saved: itl plan ')")
    assert page.locator(".itl-panel [role=status]").inner_text().endswith("Saved: itl plan busy-study")
    assert (home / "params/busy-study.yaml").exists()


def test_enter_saves_what_is_typed(panel, page, home, trained):
    panel(STUDY)
    set_seeds(page, "0")
    page.get_by_label("preset name", exact=True).click()
    page.keyboard.type("entered")
    page.keyboard.press("Enter")
    page.wait_for_selector(".itl-panel :text('Saved: itl plan entered')")
    assert (home / "params/entered.yaml").exists()


def test_a_button_takes_the_last_of_two_quick_changes_and_two_clicks_save_once(panel, page, home, trained):
    panel(STUDY)
    set_seeds(page, "3", "4, 5")
    save(page, "twice")
    page.get_by_role("button", name="Save preset").click()
    page.wait_for_selector(".itl-panel :text('Saved: itl plan twice')")
    page.wait_for_timeout(1000 * BUSY_SECONDS)  # for what the second click could say
    assert page.locator(".itl-panel [role=status]").inner_text().endswith("Saved: itl plan twice")
    saved = yaml.safe_load((home / "params/twice.yaml").read_text())
    assert saved["notebooks"]["01-data-size"]["seeds"] == [4, 5]


def test_runs_that_are_started_twice_are_started_once_and_can_be_stopped_at_once(panel, page, trained):
    notebook = panel(STUDY)
    set_seeds(page, "50", "60, 61")
    run = page.get_by_role("button", name="Run or resume")
    run.click()
    run.click()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.wait_for_selector(".itl-panel [role=status] b:text('stopped')", timeout=120_000)
    assert "under way" not in page.locator(".itl-panel [role=status]").inner_text()
    assert notebook.execute("print(panel.process.question.seeds)").strip() == "(60, 61)"


QUESTIONS = f"""import time
from itl import StudyPanel
panel = StudyPanel("two-questions")
panel.observe(lambda change: time.sleep({BUSY_SECONDS}), "seeds")
panel"""


def test_what_is_typed_after_another_question_was_chosen_stays(panel, page, home, trained):
    coarse = {name: value for name, value in SETTINGS.items() if name != "images_per_class"}
    notebooks = {"01-data-size": SETTINGS, "02-class-count": coarse | {"label_sets": ["none", "original"]}}
    path = home / "params/two-questions.yaml"
    path.write_text(yaml.safe_dump({"about": "two", "notebooks": notebooks}))
    notebook = panel(QUESTIONS)
    seeds, margin = (page.get_by_label(name, exact=True) for name in ("seeds", "margin"))
    set_seeds(page, "3")  # the kernel is busy with it when the question is chosen
    page.get_by_label("question", exact=True).select_option("02-class-count")
    margin.fill("0.35")
    seeds.focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("7, 8, 1")
    conditions = "document.querySelector('.itl-controls textarea').value"
    page.wait_for_function(f"() => {conditions}.includes('label_sets')")
    assert (seeds.input_value(), margin.input_value()) == ("7, 8, 1", "0.35"), "it is typed still"
    notebook.execute("panel.seeds = '5'")
    page.wait_for_function("() => document.querySelector('.itl-panel').textContent.includes('of 4 runs')")
    page.keyboard.type("0")  # goes where typing stopped, though the kernel's value is shorter
    page.keyboard.press("Tab")
    page.wait_for_function("() => document.querySelector('.itl-panel').textContent.includes('of 12 runs')")
    assert (seeds.input_value(), margin.input_value()) == ("7, 8, 10", "0.35")
    settings = notebook.execute("print(panel.question, panel.seeds, panel.margin, sep='; ')")
    assert settings.strip() == "02-class-count; 7, 8, 10; 0.35"


NET = f"""import time
from itl import NetPanel
panel = NetPanel(%r)
nodes = panel.nodes
def slow_nodes(text=""):
    time.sleep({2 * BUSY_SECONDS} if text else 0)  # the list is looked at meanwhile
    return nodes(text)
panel.nodes = slow_nodes
panel"""


def test_what_is_chosen_in_a_list_that_is_about_to_change_is_chosen(panel, page, trained):
    notebook = panel(NET % trained)
    nodes = page.get_by_label("wrong under", exact=True).locator("option")
    texts = [text.replace("\xa0", " ") for text in nodes.all_inner_texts()]
    dog = next(number for number, text in enumerate(texts) if text.strip().startswith("dog ·"))
    page.get_by_label("find node", exact=True).fill("dog")
    assert nodes.count() == len(texts), "the list is the old one still"
    page.get_by_label("wrong under", exact=True).select_option(index=dog)
    page.wait_for_selector(".itl-panel b:text-matches('^Wrong under dog:')")
    assert notebook.execute("print(panel.node)").strip() == "n02084071"


SELECTION = f"""import time
from IPython.display import display
from itl import HierarchyBrowser, StudyPanel
browser = HierarchyBrowser()
browser.observe(lambda change: time.sleep({BUSY_SECONDS}), "_choice")
panel = StudyPanel("smallest", browser=browser)
display(browser, panel)"""


def test_the_selection_that_is_seen_is_taken(panel, page, trained):
    notebook = panel(SELECTION)
    page.wait_for_selector(".itl-browser .row")
    for name in ("dog", "domestic cat", "fox"):
        go_to(page, name)
        row(page, name).locator(".box").click()
    page.get_by_role("button", name="Take the browser's selection").click()
    without = "without@n01317541,n02118333"  # dogs and cats are the domestic animals
    page.wait_for_function("""() => [...document.querySelectorAll(".itl-controls textarea")]
        .some((text) => text.value.includes("without@"))""")
    assert notebook.execute("print(browser.subset.labels)").strip() == without
    assert without in notebook.execute("print(panel.conditions)")
