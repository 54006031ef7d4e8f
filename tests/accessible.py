"""What anybody should be able to read: the faults of a page, found by reading its HTML as a browser would."""

from collections import Counter
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "link", "input", "col"}
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
SCOPES = ("col", "row", "colgroup", "rowgroup")
NAMES = ("src", "href", "data", "action", "poster", "srcset")


class Page(HTMLParser):
    """Gather headings, links, tables and what lacks a name."""

    def __init__(self, html: str):
        super().__init__()
        self.open, self.headings, self.ids, self.faults, self.links = [], [], Counter(), [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attributes: list) -> None:
        given = {name: (value or "").strip() for name, value in attributes}
        if tag not in VOID:
            self.open.append(tag)
        self.ids[given.get("id")] += 1
        self.faults += [
            f"{tag} asks the network for {given[name]}"
            for name in NAMES
            if given.get(name, "").lower().startswith(("http:", "https:", "//"))
        ]
        self.faults += [f"a {tag} {what}" for what, bad in self.wrong(tag, given).items() if bad]
        if tag in HEADINGS:
            self.headings.append(int(tag[1]))
        if tag == "a":
            self.links.append([given.get("href", ""), ""])
        if tag == "img" and "a" in self.open:
            self.links[-1][1] += given.get("alt", "")

    def wrong(self, tag: str, given: dict) -> dict[str, bool]:
        """What could be wrong with one tag, and whether it is."""
        return {
            "needs a script or a frame": tag in ("script", "iframe", "object", "embed", "link"),
            "names no language": tag == "html" and given.get("lang") != "en",
            "has no alt": tag == "img" and not given.get("alt"),
            "has no scope": tag == "th" and given.get("scope") not in SCOPES,
            "has no name": (tag == "table" or given.get("role") == "region") and not given.get("aria-label"),
        }

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (tag not in self.open or self.open.pop() != tag):
            self.faults.append(f"</{tag}> out of place")

    def handle_data(self, data: str) -> None:
        if "a" in self.open:
            self.links[-1][1] += data.strip()


def faults(html: str) -> list[str]:
    """List what keeps somebody from reading *html*; [] for a page that everybody can read."""
    page = Page(html)
    faults = page.faults + [f"<{tag}> left open" for tag in page.open]
    if page.headings.count(1) != 1 or page.headings[0] != 1:
        faults.append(f"headings {page.headings} do not start with the one h1")
    faults += [
        f"h{one} is followed by h{other}"
        for one, other in zip(page.headings, page.headings[1:], strict=False)
        if other > one + 1
    ]
    faults += [f"id {name} stands {count} times" for name, count in page.ids.items() if name and count > 1]
    faults += [f"link {href!r} without words" for href, words in page.links if not href or not words]
    faults += [
        f"link {href} leads nowhere"
        for href, _ in page.links
        if href.startswith("#") and href[1:] not in page.ids
    ]
    return faults
