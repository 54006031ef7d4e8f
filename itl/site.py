"""The site: an executed notebook as a page, and all pages of a preset on one index. No script, no request."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files

import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from itl.notebook import tagged, tags

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
<div class="wide" tabindex="0" role="region" aria-label="table">{{ output.data['text/html'] }}</div>
{% endblock %}
"""
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
{body}
</body>
</html>
"""
SIGNS = (("a gain", "gain", "▲"), ("a loss", "loss", "▼"), ("no difference", "same", "="), ("", "few", "?"))
LABELS = {"parameters": "parameters, with what they mean", "injected-parameters": "parameters of this preset"}
LIVE = ("application/vnd.jupyter.widget-view+json", "application/javascript")      # dead once executed


@dataclass(frozen=True)
class Page:
    """What the index shows of one executed notebook."""

    stem: str
    title: str
    about: str                              # the first paragraph under the title, as HTML
    answer: str                             # HTML
    figure: str = ""                        # PNG in base64
    n: int | None = None
    verdict: str = ""
    table: bool = False                     # whether the question's results lie beside it as CSV
    trouble: str = ""                       # why the page is missing, or of an earlier run
    made: bool = True                       # False: there is no page yet


def read_page(notebook: NotebookNode, stem: str, table: bool = False, trouble: str = "") -> Page:
    """Gather title, answer and figure of an executed notebook from its tagged cells."""
    first = next((cell["source"] for cell in notebook.cells if cell["cell_type"] == "markdown"), "")
    heading, _, rest = first.partition("\n")
    about = next((part for part in rest.split("\n\n") if part.strip()), "")
    outputs = tagged(notebook.cells, "answer").get("outputs", [])
    result = next((each for each in outputs if "data" in each), {"data": {}, "metadata": {}})
    said = result["data"].get("text/markdown") or result["data"].get("text/plain", "")
    told = result["metadata"].get("text/markdown", result["metadata"])
    return Page(
        stem=stem,
        title=heading.lstrip("# ").strip() or stem,
        about=markdown2html(about.strip()),
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


def page_html(notebook: NotebookNode, page: Page, preset: str) -> str:
    """Write one executed notebook as a page: title, answer, then its cells with the code folded."""
    shown = _static(notebook, page)
    exporter = HTMLExporter(raw_template=CELLS, exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.exclude_anchor_links = True
    cells, _ = exporter.from_notebook_node(shown)
    kicker = f'<p class="kicker">itl · preset {escape(preset)}</p>'
    links = f'<a href="index.html">All questions</a> <a href="{page.stem}.ipynb" download>Notebook</a>'
    links += f' <a href="{page.stem}.csv" download>Results (CSV)</a>' if page.table else ""
    return shell(
        f"{page.title} · itl {preset}",
        f'<header class="top"><nav aria-label="report">{links}</nav>{kicker}'
        f"<h1>{escape(page.title)}</h1>{answer_html(page)}</header>\n<main class=\"page\">{cells}</main>",
    )


def _static(notebook: NotebookNode, page: Page) -> NotebookNode:
    """Copy *notebook* as print would have it: the title lifted out, live outputs at their last state."""
    copy = nbformat.from_dict(notebook)
    copy.metadata.pop("widgets", None)
    alt = text(page.answer)
    for cell in copy.cells:
        cell.metadata.setdefault("alt", alt)
        cell.metadata["label"] = next((LABELS[tag] for tag in tags(cell) if tag in LABELS), "code")
        cell.outputs = [_dead(output) for output in cell.get("outputs", [])]
    first = next((cell for cell in copy.cells if cell.cell_type == "markdown"), None)
    if first is not None and first.source.startswith("# "):
        first.source = first.source.partition("\n")[2]
    return copy


def _dead(output: NotebookNode) -> NotebookNode:
    """Reduce an output to its last state: no widgets or scripts, only the last frame of a progress bar."""
    if output.output_type == "stream":
        lines = output.text.replace("\r\n", "\n").split("\n")
        output.text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)
    for kind in LIVE:
        output.get("data", {}).pop(kind, None)
    if "text/html" in output.get("data", {}):
        output.data["text/html"] = plain_table(output.data["text/html"])
    return output


def plain_table(html: str) -> str:
    """Leave out what pandas adds to a table: style, names of absent values, row numbers that say nothing."""
    html = re.sub(r"<style scoped>.*?</style>", "", html, flags=re.DOTALL)
    html = re.sub(r"<td>(None|NaN|NaT)</td>", "<td></td>", html)
    numbers = re.findall(r"<tr>\s*<th>(.*?)</th>", html.partition("<tbody>")[2])
    if numbers != [str(number) for number in range(len(numbers))] or "<th></th>" not in html:
        return html
    return re.sub(r"(<tr>\s*)<th>\d+</th>", r"\1", html.replace("<th></th>", "", 1))


def answer_html(page: Page) -> str:
    """Write the answer as the box that stands under a title."""
    return f'<div class="answer">{page.answer}{pill(page)}</div>' if page.answer else ""


def pill(page: Page) -> str:
    """Write verdict and number of seeds as small labels; a sign as well as a colour tells them apart."""
    if not page.verdict:
        return ""
    kind, sign = next((kind, sign) for start, kind, sign in SIGNS if page.verdict.startswith(start))
    seeds = f'<span class="n">n = {page.n} seed{"" if page.n == 1 else "s"}</span>' if page.n else ""
    mark = f'<span aria-hidden="true">{sign}</span>'
    return f'<p class="pills"><span class="verdict {kind}">{mark} {escape(page.verdict)}</span>{seeds}</p>'


def index_html(pages: Iterable[Page], preset: str, about: str, facts: Mapping[str, str]) -> str:
    """Write the index: what this is, then a card for every question."""
    pairs = [(escape(name), escape(value)) for name, value in facts.items()]
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in pairs)
    cards = "\n".join(card(page) for page in pages)
    return shell(
        f"itl · {preset}",
        '<header class="top wide-top"><p class="kicker">itl · report</p>'
        "<h1>What in the pre-training images makes features transfer?</h1>"
        f'<p class="about">{escape(about)}</p>'
        '<p class="about">Each card is one question, answered by runs that are paired by seed. The sentence, '
        "the figure and the verdict are computed from the results; nobody writes them.</p>"
        f'<dl class="facts">{listed}</dl></header>\n<main class="cards">{cards}</main>',
    )


def card(page: Page) -> str:
    """Write the card of one question."""
    links = f'<a href="{page.stem}.html">Read the page<span class="unseen">: {escape(page.title)}</span></a>'
    links += f' <a href="{page.stem}.ipynb" download>Notebook</a>'
    links += f' <a href="{page.stem}.csv" download>Results (CSV)</a>' if page.table else ""
    picture = (
        f'<a class="picture" href="{page.stem}.html" tabindex="-1"><img alt="{escape(text(page.answer))}" '
        f'src="data:image/png;base64,{page.figure}"></a>'
    ) if page.figure else ""
    trouble = f'<p class="trouble" role="note">{escape(page.trouble)}</p>' if page.trouble else ""
    title = f'<a href="{page.stem}.html">{escape(page.title)}</a>' if page.made else escape(page.title)
    links = f'<p class="links">{links}</p>' if page.made else ""
    words = f"<div><h2>{title}</h2>{trouble}{answer_html(page)}{links}</div>"
    return f'<article id="{page.stem}">{words}{picture}</article>'


def shell(title: str, body: str) -> str:
    """Wrap *body* in a whole document that asks nothing of the network."""
    light, dark = (HtmlFormatter(style=name).get_style_defs(".highlight") for name in ("default", "monokai"))
    style = (files("itl") / "site.css").read_text()
    style = f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{style}"
    return SHELL.format(title=escape(title), style=style, body=body)


def text(html: str) -> str:
    """Reduce HTML to its words."""
    words = re.sub(r"<[^>]+>", "", html.replace("¶", "")).strip()
    return words.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
