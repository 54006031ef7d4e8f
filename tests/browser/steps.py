"""What people do in the browser, step by step."""

from playwright.sync_api import Locator, Page

from tests.browser.lab import ROOT

SHOTS = ROOT / "build/screenshots"
OPEN = """from pathlib import Path
from itl.data.pack import Pack
from itl.widgets import HierarchyBrowser
browser = HierarchyBrowser(Pack.open(next(Path("packs").glob("images-*/pack.json")).parent))
browser"""
def shot(page: Page, name: str) -> None:
    """Keep a picture of the widget, to be looked at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.locator(".itl-browser").screenshot(path=SHOTS / f"{name}.png")


def settled(page: Page) -> None:
    """Wait until the kernel has answered and every image is there."""
    page.wait_for_function(
        """() => document.querySelector(".itl-browser .row") &&
             !document.querySelector(".itl-browser [aria-busy=true]") &&
             [...document.querySelectorAll(".itl-browser img")].every((image) => image.complete)"""
    )


def go_to(page: Page, text: str) -> None:
    """Search for *text* and go to the first hit."""
    page.fill(".itl-browser .query", text)
    page.press(".itl-browser .query", "Enter")


def row(page: Page, name: str) -> Locator:
    """The row whose name is just so."""
    return page.locator(".itl-browser .row", has=page.locator(f".name:text-is({name!r})"))
