"""The path of docs/first-hour.md, from JupyterLab's launcher to a saved preset: each step as written."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from itl.__main__ import main
from tests.browser.axe import UNNAMED, serious_faults
from tests.browser.lab import ROOT, close_notebook
from tests.browser.steps import SHOTS
from tests.pictures import encoded

PAGE = ROOT / "docs/first-hour.md"
SECTION = "## A question about your own images"
STEP = re.compile(r"^\d+\. (.*\n(?: *\n| {3}.*\n)*)", re.MULTILINE)
# What a step tells people to do, and what they see then, in order.
ACTION = re.compile(
    r"""```python\n(?P<code>.*?)```
    | [Ii]n\ \*\*(?P<field>[^*]+)\*\*\ type\ `(?P<text>[^`]+)`
    | [Ii]n\ \*\*(?P<list>[^*]+)\*\*\ click\ \*(?P<option>[^*]+)\*
    | [Cc]lick\ \*\*(?P<button>[^*]+)\*\*
    | "(?P<seen>[^"]+)\"""",
    re.VERBOSE | re.DOTALL,
)
SECONDS = 300  # until something is seen: runs take a while


def steps() -> list[str]:
    """The steps of the page."""
    section = PAGE.read_text("utf-8").partition(SECTION)[2].partition("\n## ")[0]
    return STEP.findall(section)


def actions() -> Iterator[dict[str, str]]:
    """What each step says, by the names of ACTION."""
    for step in steps():
        for action in ACTION.finditer(step):
            yield {name: text for name, text in action.groupdict().items() if text}


def follow(page, action: dict[str, str]) -> None:
    """Do what an action of the page says, or wait for what is seen."""
    match action:
        case {"code": code}:
            page.get_by_text("(ipykernel) | Idle").wait_for()  # a program types before the kernel is there
            page.locator(".jp-CodeCell .cm-content:visible").first.click()
            page.keyboard.insert_text("\n".join(line.strip() for line in code.splitlines() if line.strip()))
            page.keyboard.press("Shift+Enter")
        case {"field": name, "text": text}:
            page.get_by_label(name, exact=True).click()
            page.keyboard.type(text)
            page.keyboard.press("Tab")
        case {"list": name, "option": option}:
            page.get_by_label(name, exact=True).locator("option", has_text=option).click()
        case {"button": name}:
            launcher = page.locator(".jp-LauncherCard[data-category=Notebook]:visible", has_text=name)
            panel = page.locator(".itl-controls").get_by_role("button", name=name, exact=True)
            launcher.or_(panel).first.click()
        case {"seen": text}:
            words = " ".join(text.split())
            page.locator(".itl-panel", has_text=words).first.wait_for(timeout=1000 * SECONDS)


@pytest.fixture
def project(home, trained) -> Path:
    """A project whose preset demo is the smallest, with photographs among its notebooks."""
    project = home / "project"
    (project / "params").mkdir(parents=True)
    (project / "params/demo.yaml").write_text((home / "params/smallest.yaml").read_text())
    for name, channel in (("mug", 0), ("plate", 2)):
        folder = project / "notebooks/photos" / name
        folder.mkdir(parents=True)
        for number in range(10):
            pixels = np.full((24, 24, 3), 40 + 5 * number, np.uint8)
            pixels[..., channel] += np.uint8(100)
            (folder / f"{number}.png").write_bytes(encoded(pixels))
    return project


def test_the_page_is_read_whole():
    assert len(steps()) == 10
    every = list(actions())
    clicked = [action["button"] for action in every if "button" in action]
    assert clicked == [
        *("Python 3", "Measure how long", "Run or resume", "Stop", "Run or resume", "Save preset")
    ]
    assert [action["text"] for action in every if "text" in action] == ["photos", "my-photos"]
    assert [action["option"] for action in every if "option" in action] == ["knn@own"]


@pytest.fixture
def launcher(page, project) -> Iterator[None]:
    """JupyterLab's launcher in the project; the notebook made from it is closed at the end."""
    page.evaluate(
        "async (cwd) => { await window.jupyterapp.commands.execute('launcher:create', {cwd}); }",
        "project/notebooks",
    )
    yield
    close_notebook(page)


def test_the_page_is_followed_to_the_letter(page, home, project, launcher, monkeypatch, capsys):
    for action in actions():
        follow(page, action)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.locator(".jp-Cell-outputArea").first.screenshot(path=SHOTS / "first-hour.png")
    assert page.evaluate(UNNAMED) == []
    assert serious_faults(page, ".jp-OutputArea-output") == []
    monkeypatch.chdir(project)
    assert main(["plan", "my-photos", "--home", str(home)]) == 0, capsys.readouterr().err
    assert "0 runs to do" in capsys.readouterr().out
