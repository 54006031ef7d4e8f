"""The site of a preset: the index over its pages, and what all pages share. No script, no request."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files

SHELL = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
{body}
</body>
</html>
"""
SIGNS = (
    ("a gain", "gain", "▲"), ("a loss", "loss", "▼"), ("a hint", "hint", "~"), ("no difference", "same", "="),
    ("", "few", "?"),
)
TABLES = (("", "Results (CSV)"), ("-contrasts", "Contrasts (CSV)"))    # of a question, by the end of the name
INTRODUCTION = (
    "Each card is one question, answered by runs that are paired by seed. The sentence, the figure and the "
    "verdict are computed from the results; nobody writes them."
)


@dataclass(frozen=True)
class Page:
    """What the index shows of one executed notebook."""

    stem: str
    title: str
    answer: str                             # HTML
    figure: str = ""                        # PNG in base64
    n: int | None = None
    verdict: str = ""
    table: bool = False                     # whether the question's results and contrasts lie beside it
    trouble: str = ""                       # why the page is missing, or of an earlier run
    made: bool = True                       # False: there is no page yet


def index_html(pages: Iterable[Page], preset: str, about: str, facts: Mapping[str, str]) -> str:
    """Write the index: what this is, every verdict at a glance, then a card for every page.

    Questions come first, then what stands around them.
    """
    pages = sorted(pages, key=lambda page: (not page.table, not page.verdict, page.stem.startswith("00")))
    cards = "\n".join(card(page) for page in pages)
    return shell(
        f"itl · {preset}",
        '<header class="top wide-top"><p class="kicker">itl · report</p>'
        "<h1>What in the pre-training images makes features transfer?</h1>"
        f'<p class="about">{escape(about)}</p><p class="about">{INTRODUCTION}</p>'
        f"{facts_html(facts)}</header>\n"
        f'<main id="main" class="wide-top">{glance(pages)}'
        f'<section class="cards" aria-labelledby="questions"><h2 id="questions">The questions</h2>{cards}'
        "</section></main>",
    )


def facts_html(facts: Mapping[str, str]) -> str:
    """Write *facts* as a list of names and values."""
    pairs = [(escape(name), escape(value)) for name, value in facts.items()]
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in pairs)
    return f'<dl class="facts">{listed}</dl>'


def glance(pages: Iterable[Page]) -> str:
    """Write every question with its verdict as one table, and where all numbers lie."""
    rows = "".join(
        f'<tr><th scope="row"><a href="#{page.stem}">{escape(page.title)}</a></th>'
        f"<td>{verdict_html(page)}</td><td>{page.n or ''}</td></tr>"
        for page in pages if page.verdict
    )
    table = (
        '<table class="glance" aria-label="Verdicts"><thead><tr><th scope="col">question</th>'
        f'<th scope="col">verdict</th><th scope="col">seeds</th></tr></thead><tbody>{rows}</tbody></table>'
    )
    everything = '<a href="runs.html">All runs, with their manifests</a>'
    if any(page.table and page.made for page in pages):
        everything += ' <a href="results.csv" download>All results (CSV)</a>'
        everything += ' <a href="contrasts.csv" download>All contrasts (CSV)</a>'
    return (
        f'<section class="at-a-glance" aria-labelledby="glance"><h2 id="glance">At a glance</h2>'
        f'{table if rows else ""}<p class="links">{everything}</p></section>'
    )


def card(page: Page) -> str:
    """Write the card of one page."""
    read = f'<a href="{page.stem}.html">Read the page<span class="unseen">: {escape(page.title)}</span></a>'
    picture = (
        f'<a class="picture" href="{page.stem}.html" tabindex="-1"><img alt="{escape(text(page.answer))}" '
        f'src="data:image/png;base64,{page.figure}"></a>'
    ) if page.figure else ""
    trouble = f'<p class="trouble" role="note">{escape(page.trouble)}</p>' if page.trouble else ""
    title = f'<a href="{page.stem}.html">{escape(page.title)}</a>' if page.made else escape(page.title)
    more = f'<p class="links">{read} {links(page)}</p>' if page.made else ""
    words = f"<div><h3>{title}</h3>{trouble}{answer_html(page)}{more}</div>"
    return f'<article id="{page.stem}">{words}{picture}</article>'


def links(page: Page) -> str:
    """Link what lies beside a page to take away: the notebook and, of a question, its tables."""
    tables = [(f"{page.stem}{ending}.csv", words) for ending, words in TABLES] if page.table else []
    return " ".join(f'<a href="{name}" download>{words}</a>'
                    for name, words in ((f"{page.stem}.ipynb", "Notebook"), *tables))


def answer_html(page: Page) -> str:
    """Write the answer as the box that stands under a title."""
    if not page.answer:
        return ""
    seeds = f'<span class="n">n = {page.n} seed{"" if page.n == 1 else "s"}</span>' if page.n else ""
    pills = f'<p class="pills">{verdict_html(page)}{seeds}</p>' if page.verdict else ""
    return f'<div class="answer">{page.answer}{pills}</div>'


def verdict_html(page: Page) -> str:
    """Write the verdict as a small label; a sign as well as a colour tells its kind."""
    kind, sign = next((kind, sign) for start, kind, sign in SIGNS if page.verdict.startswith(start))
    mark = f'<span aria-hidden="true">{sign}</span>'
    return f'<span class="verdict {kind}">{mark} {escape(page.verdict)}</span>'


def shell(title: str, body: str, style: str = "") -> str:
    """Wrap *body* in a whole document that asks nothing of the network; *style* yields to the site's."""
    style = f"{style}\n{(files('itl') / 'site.css').read_text()}"
    return SHELL.format(title=escape(title), style=style, body=body)


def text(html: str) -> str:
    """Reduce HTML to its words."""
    words = re.sub(r"<[^>]+>", "", html.replace("¶", "")).strip()
    return words.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
