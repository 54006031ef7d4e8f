"""An executed notebook as a page: title, answer, then its cells with the code folded."""

import re
from collections.abc import Mapping
from html import escape

import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from itl.notebook import tagged, tags
from itl.site import Page, answer_html, links, shell, text

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


def read_page(notebook: NotebookNode, stem: str, table: bool = False, trouble: str = "") -> Page:
    """Gather title, answer and figure of an executed notebook from its tagged cells."""
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


def page_html(notebook: NotebookNode, page: Page, preset: str) -> str:
    """Write one executed notebook as a page."""
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


def _static(notebook: NotebookNode, page: Page) -> NotebookNode:
    """Copy *notebook* as print would have it: the title lifted out, live outputs at their last state."""
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


def _dead(output: NotebookNode, name: str) -> NotebookNode:
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
