"""An executed notebook as a page without scripts or requests that a screen reader can read too."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from bs4 import BeautifulSoup, Tag

from itl.report.html import INTERVAL, PAGE_TYPE, PageSummary, plain_text, render, unbroken
from itl.report.notebook_file import first_tagged, tags, title_of
from itl.runs.questions import QUESTIONS

if TYPE_CHECKING:
    from nbformat import NotebookNode

CODE_LABELS = {
    "parameters": "parameters, with what they mean",
    "injected-parameters": "parameters of this preset",
}
LIVE_TYPES = ("application/vnd.jupyter.widget-view+json", "application/javascript")  # dead in a page
FIGURE_TYPES = {"image/svg+xml": ".svg", "image/png": ".png"}  # that every figure is drawn as
TASK = re.compile(r"^[a-z-]+@\S+$")
CODE_STYLES = {"xcode": "{}", "monokai": "@media (prefers-color-scheme: dark) {{\n{}\n}}"}


def read_summary(notebook: "NotebookNode", stem: str, table: bool = False) -> PageSummary:
    """Read title, answer and figure of an executed notebook from its tagged cells; see `PageSummary`."""
    from nbconvert.filters import markdown2html  # slow to import, and the index alone does not need it

    no_answer: dict[str, Any] = {"data": {}, "metadata": {}}
    outputs = first_tagged(notebook.cells, "answer").get("outputs", [])
    answer = next((output for output in outputs if "data" in output), no_answer)
    markdown = answer["data"].get("text/markdown") or answer["data"].get("text/plain", "")
    entry = answer["metadata"].get("text/markdown", answer["metadata"])
    pictures = _outputs_with(["image/png"], [first_tagged(notebook.cells, "figure")])
    return PageSummary(
        stem=stem,
        title=title_of(notebook.cells, stem),
        answer=markdown2html(markdown),
        figure="".join(pictures[0]["data"]["image/png"].split()) if pictures else "",
        n=entry.get("n"),
        verdict=entry.get("verdict", ""),
        table=table,
        browser=next((name for name, _ in _pages(notebook, stem)), ""),
        doubt=_strongest_doubt(notebook),
    )


def _strongest_doubt(notebook: "NotebookNode") -> str:
    """Return the first reason that the cell with the id doubts lists; '' if it lists none."""
    from nbconvert.filters import markdown2html

    outputs = (output for cell in notebook.cells if cell.get("id") == "doubts" for output in cell["outputs"])
    listed = "".join(output.get("data", {}).get("text/markdown", "") for output in outputs)
    reason = BeautifulSoup(markdown2html(listed), "html.parser").li
    return reason.get_text() if reason else ""


def files_beside(notebook: "NotebookNode", stem: str) -> dict[str, bytes]:
    """Return the files that a page links, by name: each figure as SVG and PNG, and browsers of the tree."""
    files = {name: output["data"][PAGE_TYPE].encode() for name, output in _pages(notebook, stem)}
    for name, output in _figures(notebook, stem):
        svg, png = (output["data"][kind] for kind in FIGURE_TYPES)
        files |= {f"{name}.svg": svg.encode(), f"{name}.png": base64.b64decode(png)}
    return files


def _figures(notebook: "NotebookNode", stem: str) -> Iterator[tuple[str, "NotebookNode"]]:
    """Yield every output of *notebook* that is a figure, with the name of its files without their ending."""
    for number, output in enumerate(_outputs_with(FIGURE_TYPES, notebook.cells), 1):
        yield f"{stem}-figure-{number}", output


def _pages(notebook: "NotebookNode", stem: str) -> Iterator[tuple[str, "NotebookNode"]]:
    """Yield every output of *notebook* that holds a page of its own, with the name of its file."""
    for number, output in enumerate(_outputs_with([PAGE_TYPE], notebook.cells), 1):
        yield f"{stem}-browser{number if number > 1 else ''}.html", output


def _outputs_with(types: Iterable[str], cells: Iterable[Mapping]) -> list[Any]:
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [output for output in outputs if output.get("data", {}).keys() >= set(types)]


def notebook_html(notebook: "NotebookNode", page: PageSummary, preset: str) -> str:
    """Write one executed notebook as a page."""
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    template = (files("itl") / "report/templates/cells.html.j2").read_text("utf-8")
    exporter = HTMLExporter(raw_template=template, exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.exclude_anchor_links = True
    cells, _ = exporter.from_notebook_node(_printable(notebook, page))
    styles = [(shape, HtmlFormatter(style=name)) for name, shape in CODE_STYLES.items()]
    return render(
        "notebook.html.j2",
        page=page,
        preset=preset,
        question=QUESTIONS[page.stem].name if page.stem in QUESTIONS else "",
        cells=renumber_headings(simplify_tables(cells, page.title)),
        code_css="\n".join(shape.format(style.get_style_defs(".highlight")) for shape, style in styles),
    )


def _printable(notebook: "NotebookNode", page: PageSummary) -> "NotebookNode":
    """Copy *notebook* without its title, with every live output reduced to its last state."""
    import nbformat

    copy = nbformat.from_dict(notebook)
    copy.metadata.pop("widgets", None)
    for name, output in _figures(copy, page.stem):
        output.metadata["file"] = name
        del output.data["image/svg+xml"]  # the page shows the PNG, which is smaller, and links both
    for name, output in _pages(copy, page.stem):
        output.metadata["page"] = name
        del output.data[PAGE_TYPE]
    section = page.title
    plan = [_html_of(output) for output in first_tagged(copy.cells, "plan")["outputs"]]
    for cell in copy.cells:
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#+ +(.+)$", cell.source, re.MULTILINE)
            section = headings[-1] if headings else section
        answer = plain_text(page.answer) if "figure" in tags(cell) else ""
        cell.metadata.setdefault("alt", answer or section)
        cell.metadata["section"] = section
        cell.metadata["label"] = next((CODE_LABELS[tag] for tag in tags(cell) if tag in CODE_LABELS), "code")
        outputs = cell.get("outputs", [])
        if "run" in tags(cell):  # where nothing was left to run, its table is the plan again
            outputs = [output for output in outputs if not _html_of(output) or _html_of(output) not in plan]
        cell.outputs = [_last_state(output) for output in outputs]
    first = next((cell for cell in copy.cells if cell.cell_type == "markdown"), None)
    if first is not None and first.source.startswith("# "):
        first.source = first.source.partition("\n")[2]
    return copy


def _html_of(output: Mapping) -> str:
    return output.get("data", {}).get("text/html", "")


def _last_state(output: "NotebookNode") -> "NotebookNode":
    """Drop widgets and scripts from *output*, and all but the last frame of a progress bar."""
    if output.output_type == "stream":
        lines = output.text.replace("\r\n", "\n").split("\n")
        output.text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)
    for kind in LIVE_TYPES:
        output.get("data", {}).pop(kind, None)
    return output


def simplify_tables(html: str, name: str) -> str:
    """Remove from the tables of *html* what pandas adds for notebooks, and add what screen readers need.

    Removed are styles, the names of absent values, row numbers, and a second row of headings that only names
    the index. Added are the scope of every heading and the table's name: that of its region, or *name*.
    """
    soup = BeautifulSoup(html, "html.parser")
    for style in soup.find_all("style", scoped=True):
        style.decompose()
    for table in soup.find_all("table"):
        region = table.find_parent(role="region")
        table["aria-label"] = region["aria-label"] if region else name
        for cell in table.find_all("td", string=["None", "NaN", "NaT"]):
            cell.clear()
        for text in table.find_all(string=INTERVAL):
            text.replace_with(unbroken(text))
        for text in table.find_all(string=TASK):  # the browser may break a line in it
            words = re.split("(?<=[@/])", text)
            text.replace_with(*(part for word in words for part in (word, soup.new_tag("wbr"))))
        head, body = table.find("thead"), table.find("tbody")
        if head and body:
            _drop_row_numbers(head, body)
            _merge_index_names(head)
        for heading in table.find_all("th"):
            in_head = heading.find_parent("thead") is not None
            heading["scope"] = "col" if in_head else "row"
            if in_head and not heading.contents:
                heading.name = "td"
                del heading["scope"]
    return str(soup)


def _drop_row_numbers(head: Tag, body: Tag) -> None:
    """Remove the first column where it has no name and counts rows from 0; other numbers name rows."""
    corners = head.select("tr > th:first-child")
    numbers = body.select("tr > th:first-child")
    from_0 = [str(number) for number in range(len(body.find_all("tr")))]
    if [cell.get_text() for cell in numbers] == from_0 and not any(cell.contents for cell in corners):
        for cell in (*corners, *numbers):
            cell.decompose()


def _merge_index_names(head: Tag) -> None:
    """Merge a row that names columns with a row that names the index, where no cell is filled in both."""
    lines = head.find_all("tr")
    rows = [line.find_all("th") for line in lines]
    spans = head.find(colspan=True) or head.find(rowspan=True)
    if len(rows) != 2 or spans:
        return
    pairs = list(zip(*rows, strict=True))
    if all(upper.contents == [] or lower.contents == [] for upper, lower in pairs):
        for upper, lower in pairs:
            upper.extend(lower.contents[:])
        lines[1].decompose()
        del lines[0]["style"]  # which aligned the names of columns only


def renumber_headings(html: str) -> str:
    """Renumber headings so that they start at h2, under the page's h1, and none skips a level down.

    >>> renumber_headings("<h1>A</h1><h4>B</h4><h4>C</h4><h2>D</h2>")
    '<h2>A</h2><h3>B</h3><h3>C</h3><h2>D</h2>'
    """
    soup = BeautifulSoup(html, "html.parser")
    enclosing = [(1, 1)]  # the headings above the next one: level as written, level as renumbered
    for heading in soup.find_all(re.compile("^h[1-6]$")):
        written = max(int(heading.name[1]), 2)
        while len(enclosing) > 1 and enclosing[-1][0] >= written:
            enclosing.pop()
        enclosing.append((written, enclosing[-1][1] + 1))
        heading.name = f"h{enclosing[-1][1]}"
    return str(soup)
