"""What people do in the browser, step by step."""

from typing import TYPE_CHECKING

from PIL import Image

from tests.browser.lab import ROOT

if TYPE_CHECKING:  # without playwright the tests are skipped, not broken
    from playwright.sync_api import Locator, Page

SHOTS = ROOT / "build/screenshots"
OPEN = """from pathlib import Path
from itl.packs.pack import Pack
from itl.browser.widget import HierarchyBrowser
packs = [Pack.open(path.parent) for path in Path("packs").glob("images-*/pack.json")]
browser = HierarchyBrowser(max(packs, key=len))  # the one of every class
browser"""


def shot(page: "Page", name: str) -> None:
    """Keep a picture of the widget, to be looked at; README shows the one called browser, made small."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    path = SHOTS / f"{name}.png"
    page.locator(".itl-browser").screenshot(path=path)
    if name == "browser":
        Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def settled(page: "Page") -> None:
    """Wait until the kernel has answered and every image is there."""
    page.wait_for_function(
        """() => document.querySelector(".itl-browser .row") &&
             !document.querySelector(".itl-browser [aria-busy=true]") &&
             [...document.querySelectorAll(".itl-browser img")].every((image) => image.complete)"""
    )


def go_to(page: "Page", text: str) -> None:
    """Search for *text* and go to the first hit."""
    page.fill(".itl-browser .query", text)
    page.press(".itl-browser .query", "Enter")


def row(page: "Page", name: str) -> "Locator":
    """The row whose name is just so."""
    return page.locator(".itl-browser .row", has=page.locator(f".name:text-is({name!r})"))
