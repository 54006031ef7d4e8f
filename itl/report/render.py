"""The pages of a report, without script or request: one for each notebook, and the index over them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from itl.report.notebook_file import tagged, tags

if TYPE_CHECKING:
    from nbformat import NotebookNode

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
    style = f"{style}\n{(files('itl') / 'report/site.css').read_text()}"
    return SHELL.format(title=escape(title), style=style, body=body)


def text(html: str) -> str:
    """Reduce HTML to its words."""
    words = re.sub(r"<[^>]+>", "", html.replace("¶", "")).strip()
    return words.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")


CELLS = """
{%- extends 'classic/base.html.j2' -%}
{% block input_group %}
<details class="code"><summary>{{ cell.metadata.label }}</summary>
{{ super() }}</details>
{% endblock %}
{% block stream_stderr %}
<details class="messages"><summary>messages</summary><pre>{{ output.text | ansi2html }}</pre></details>
{% endblock %}
{% block data_html scoped %}
<div class="wide" tabindex="0" role="region" aria-label="{{ cell.metadata.section | escape_html }}">
{{ output.data['text/html'] }}</div>
{% endblock %}
"""
LABELS = {"parameters": "parameters, with what they mean", "injected-parameters": "parameters of this preset"}
LIVE = ("application/vnd.jupyter.widget-view+json", "application/javascript")      # dead once executed
COLOURS = {"xcode": "{}", "monokai": "@media (prefers-color-scheme: dark) {{\n{}\n}}"}


def read_page(notebook: "NotebookNode", stem: str, table: bool = False, trouble: str = "") -> Page:
    """Gather title, answer and figure of an executed notebook from its tagged cells."""
    from nbconvert.filters import markdown2html  # here, as below: the index alone does not wait for it

    first = next((cell["source"] for cell in notebook.cells if cell["cell_type"] == "markdown"), "")
    outputs = tagged(notebook.cells, "answer").get("outputs", [])
    result = next((each for each in outputs if "data" in each), {"data": {}, "metadata": {}})
    said = result["data"].get("text/markdown") or result["data"].get("text/plain", "")
    told = result["metadata"].get("text/markdown", result["metadata"])
    return Page(
        stem=stem,
        title=first.partition("\n")[0].lstrip("# ").strip() or stem,
        answer=markdown2html(said),
        figure=_png(tagged(notebook.cells, "figure")),
        n=told.get("n"),
        verdict=told.get("verdict", ""),
        table=table,
        trouble=trouble,
    )


def _png(cell: Mapping) -> str:
    found = (output.get("data", {}).get("image/png", "") for output in cell.get("outputs", []))
    return "".join(next(filter(None, found), "").split())


def page_html(notebook: "NotebookNode", page: Page, preset: str) -> str:
    """Write one executed notebook as a page."""
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    exporter = HTMLExporter(raw_template=CELLS, exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.exclude_anchor_links = True
    cells, _ = exporter.from_notebook_node(_static(notebook, page))
    written = re.compile("<table>.*?</table>", re.DOTALL)               # in Markdown: it has no name yet
    cells = written.sub(lambda found: plain_table(found[0], page.title), cells)
    nav = '<a href="index.html">All questions</a> <a href="runs.html">All runs</a> ' + links(page)
    colours = (shape.format(HtmlFormatter(style=name).get_style_defs(".highlight"))
               for name, shape in COLOURS.items())
    return shell(
        f"{page.title} · itl {preset}",
        f'<header class="top"><nav aria-label="report">{nav}</nav>'
        f'<p class="kicker">itl · preset {escape(preset)}</p>'
        f"<h1>{escape(page.title)}</h1>{answer_html(page)}</header>\n"
        f'<main class="page" id="main">{in_steps(cells)}</main>',
        "\n".join(colours),
    )


def _static(notebook: "NotebookNode", page: Page) -> "NotebookNode":
    """Copy *notebook* as print would have it: the title lifted out, live outputs at their last state."""
    import nbformat

    copy = nbformat.from_dict(notebook)
    copy.metadata.pop("widgets", None)
    section, planned = page.title, [_table(each) for each in tagged(copy.cells, "plan")["outputs"]]
    for cell in copy.cells:
        if cell.cell_type == "markdown":
            section = (re.findall(r"^#+ +(.+)$", cell.source, re.MULTILINE) or [section])[-1]
        finding = text(page.answer) if "figure" in tags(cell) else ""
        cell.metadata.setdefault("alt", finding or section)
        cell.metadata["section"] = section
        cell.metadata["label"] = next((LABELS[tag] for tag in tags(cell) if tag in LABELS), "code")
        outputs = cell.get("outputs", [])
        if "run" in tags(cell):             # when all was done before, its table is the plan's once more
            outputs = [each for each in outputs if not _table(each) or _table(each) not in planned]
        cell.outputs = [_dead(output, section) for output in outputs]
    first = next((cell for cell in copy.cells if cell.cell_type == "markdown"), None)
    if first is not None and first.source.startswith("# "):
        first.source = first.source.partition("\n")[2]
    return copy


def _table(output: Mapping) -> str:
    return output.get("data", {}).get("text/html", "")


def _dead(output: "NotebookNode", name: str) -> "NotebookNode":
    """Reduce an output to its last state: no widgets or scripts, only the last frame of a progress bar."""
    if output.output_type == "stream":
        lines = output.text.replace("\r\n", "\n").split("\n")
        output.text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)
    for kind in LIVE:
        output.get("data", {}).pop(kind, None)
    if "text/html" in output.get("data", {}):
        output.data["text/html"] = plain_table(output.data["text/html"], name)
    return output


def plain_table(html: str, name: str) -> str:
    """Leave out what pandas adds to a table, and say what a screen reader wants: *name*, and what th head.

    Out go style, names of absent values, row numbers that say nothing, and a second row of headings that
    only names the index.
    """
    html = re.sub(r"<style scoped>.*?</style>", "", html, flags=re.DOTALL)
    html = re.sub(r"<td>(None|NaN|NaT)</td>", "<td></td>", html)
    numbers = re.findall(r"<tr>\s*<th>(.*?)</th>", html.partition("<tbody>")[2])
    if numbers == [str(number) for number in range(len(numbers))] and "<th></th>" in html:
        html = re.sub(r"(<tr>\s*)<th>\d+</th>", r"\1", html.replace("<th></th>", "", 1))
    html = re.sub(r"<thead>.*?</thead>", _headings, html, flags=re.DOTALL)
    head, body, rest = html.partition("<tbody>")
    rest = re.sub(r"<th(?=[ >])", '<th scope="row"', rest)
    return (head + body + rest).replace("<table", f'<table aria-label="{escape(name)}"')


def _headings(found: re.Match) -> str:
    """Merge a row of column names with one of index names; give every heading its scope."""
    rows = [re.findall(r"<th(?: [^>]*)?>(.*?)</th>", row, re.DOTALL) for row in found[0].split("</tr>")[:-1]]
    head = found[0]
    pairs = list(zip(*rows, strict=False)) if "span=" not in head else []
    if len(rows) == 2 and pairs and all("" in pair for pair in pairs):
        head = f"<thead><tr>{''.join(f'<th>{one}{other}</th>' for one, other in pairs)}</tr></thead>"
    return re.sub(r"<th(?=[ >])", '<th scope="col"', re.sub(r"<th(?: [^>]*)?></th>", "<td></td>", head))


def in_steps(html: str) -> str:
    """Renumber headings so that they start at h2, under the page's h1, and none skips a level down.

    >>> in_steps("<h1>A</h1><h4>B</h4><h4>C</h4><h2>D</h2>")
    '<h2>A</h2><h3>B</h3><h3>C</h3><h2>D</h2>'
    """
    above = [(1, 1)]                        # of the headings that hold the next one: asked level, level given

    def renumber(found: re.Match) -> str:
        asked = max(int(found[1]), 2)
        while len(above) > 1 and above[-1][0] >= asked:
            above.pop()
        above.append((asked, above[-1][1] + 1))
        level = above[-1][1]
        return f"<h{level}{found[2]}>{found[3]}</h{level}>"

    return re.sub(r"<h([1-6])([^>]*)>(.*?)</h\1>", renumber, html, flags=re.DOTALL)
