"""The site: pages that everybody can read, an index in which a verdict is found, colours that can be seen."""

import re
from importlib.resources import files

import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pygments.styles import get_style_by_name

from itl.report.html import PAGE_TYPE, Overview, PageSummary, index_html, plain_text
from itl.report.notebook_html import (
    CODE_STYLES,
    files_beside,
    notebook_html,
    read_summary,
    renumber_headings,
    simplify_tables,
)
from tests.accessible import faults

CELL = r"<t[hd](?: [^>]*)?>.*?</t[hd]>"
PNG = "iVBORw0KGgo="
VERDICTS = {
    "a gain": ("gain", "▲"),
    "a loss": ("loss", "▼"),
    "cannot tell (a hint of a loss, not firm among 6 comparisons)": ("hint", "~"),
    "cannot tell": ("few", "?"),
    "the same within ±2.0 points": ("same", "="),
    "best: LogME": ("gain", "▲"),
    "too few seeds to say": ("few", "?"),
}


def table_output(table: pd.DataFrame):
    return new_output("execute_result", {"text/html": table._repr_html_(), "text/plain": str(table)})


def notebook():
    """An executed notebook with all that pages have to cope with: skipped headings, tables, two figures."""
    plan = table_output(pd.DataFrame({"run": ["a", "b"], "state": ["done", None]}))
    index = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")], names=["task", "metric"])
    numbers = pd.DataFrame({"all": [1, 2]}, index)
    figure = new_output("display_data", {"image/png": PNG, "text/plain": "figure"})
    answer = new_output("execute_result", {"text/markdown": "It **loses** <2."}, metadata={"n": 3})

    def code(tag: str, *outputs):
        return new_code_cell(tag, metadata={"tags": [tag]}, outputs=list(outputs))

    return new_notebook(
        cells=[
            new_markdown_cell("# What is lost?\n\nWhy.\n\n#### The runs"),
            code("plan", plan),
            code("run", plan),
            new_markdown_cell("# The numbers\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
            code("table", table_output(numbers)),
            code("figure", figure),
            new_markdown_cell("### Looks & more"),
            code("pictures", figure),
            code("answer", answer),
        ]
    )


def test_a_page_can_be_read_by_everybody():
    html = notebook_html(notebook(), read_summary(notebook(), "lost", table=True), "test")
    assert faults(html) == []
    assert re.findall(r"<h([1-6])", html) == ["1", "2", "2", "3"]
    assert re.findall(r'alt="(.*?)"', html) == ["It loses &lt;2.", "Looks &amp; more"]
    assert '<div aria-label="The runs" class="wide" role="region" tabindex="0">' in html
    assert html.count(">done</td>") == 1, "the run cell repeats the plan"
    assert 'href="lost-contrasts.csv" download' in html


def test_a_browser_of_the_tree_is_a_file_that_page_and_index_link():
    executed = notebook()
    data = {"text/html": "<p>tree</p>", PAGE_TYPE: "<html>all of it</html>"}
    executed.cells.append(new_code_cell("browser", outputs=[new_output("display_data", data)]))
    page = read_summary(executed, "lost")
    assert page.browser == "lost-browser.html"
    assert files_beside(executed, "lost") == {"lost-browser.html": b"<html>all of it</html>"}
    html = notebook_html(executed, page, "test")
    assert '<a href="lost-browser.html">Browse this tree</a>' in html
    assert "all of it" not in html
    assert faults(html) == []
    assert 'href="lost-browser.html">Browse the tree<' in index_html([page], "test", "", {})
    assert "browser.html" not in index_html([read_summary(notebook(), "lost")], "test", "", {})


def test_links_lead_to_files_whatever_the_notebook_is_called():
    name, stem = "my #1 notes?", "my%20%231%20notes%3F"
    html = index_html([PageSummary(name, "A?", "So.", PNG, verdict="a gain", table=True)], "test", "", {})
    endings = (".html", ".html", ".ipynb", ".csv", "-contrasts.csv", ".html")
    links = re.findall(r'href="(.*?)"', html)
    assert links[-6:] == [f"{stem}{ending}" for ending in endings]
    assert f"#{stem}" in links
    executed = notebook()
    tree = new_output("display_data", {"text/html": "<p>tree</p>", PAGE_TYPE: "<html>all of it</html>"})
    figure = new_output("display_data", {"image/png": PNG, "image/svg+xml": "<svg></svg>"})
    executed.cells.append(new_code_cell("browser", outputs=[tree, figure]))
    html = notebook_html(executed, read_summary(executed, name), "test")
    endings = ("-browser.html", ".ipynb", "-browser.html", "-figure-1.svg", "-figure-1.png")
    assert re.findall(r'href="(my.*?)"', html) == [f"{stem}{ending}" for ending in endings]


def test_the_strongest_doubt_stands_below_the_answer():
    executed, says = notebook(), "A reason to doubt it: It rests on <3> seeds."
    assert read_summary(executed, "lost").doubt == ""
    listed = "**Reasons to doubt it**, the strongest of 4:\n\n* It rests on \\<3\\> seeds.\n* Another."
    cell = new_code_cell("doubts", outputs=[new_output("execute_result", {"text/markdown": listed})])
    executed.cells.append(cell | {"id": "doubts"})
    page = read_summary(executed, "lost")
    for html in (index_html([page], "test", "", {}), notebook_html(executed, page, "test")):
        assert says in plain_text(html)
        assert faults(html) == []


def test_an_unreadable_page_is_noticed():
    html = notebook_html(notebook(), read_summary(notebook(), "lost"), "test")
    for good, bad in {
        "<h1>": "<h1>Two</h1><h1>",
        "<h2": "<h4",
        ' scope="col"': "",
        "alt=": "title=",
        'lang="en"': "",
        'id="main"': "",
        "index.html": "https://x.org/",
        "</table>": "",
        "<table aria-label=": "<table title=",
        "All runs": "",
    }.items():
        assert good in html
        assert faults(html.replace(good, bad)), bad


@pytest.mark.parametrize(
    ("written", "renumbered"), [("1 4 4 2", "2 3 3 2"), ("2 2 3 4 2", "2 2 3 4 2"), ("6 3 2", "2 2 2")]
)
def test_headings_start_at_two_and_skip_none(written, renumbered):
    one, other = (re.sub(r"(\d) ?", r'<h\1 id="x">A</h\1>', levels) for levels in (written, renumbered))
    assert renumber_headings(one) == other


def test_tables_lose_what_says_nothing():
    plain = simplify_tables(pd.DataFrame({"a": [1.5, None]})._repr_html_(), "R & D")
    assert re.findall(CELL, plain) == ['<th scope="col">a</th>', "<td>1.5</td>", "<td></td>"]
    assert 'aria-label="R &amp; D"' in plain
    named = pd.DataFrame({"a": [1]}, index=pd.Index(["x"], name="of"))
    assert re.findall(CELL, simplify_tables(named._repr_html_(), "t")) == [
        '<th scope="col">of</th>',
        '<th scope="col">a</th>',
        '<th scope="row">x</th>',
        "<td>1</td>",
    ]
    levels = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("p", "x"), ("p", "y")]))
    assert [
        re.sub("<.*?>", "", cell) for cell in re.findall(CELL, simplify_tables(levels._repr_html_(), "t"))
    ] == ["p", "x", "y", "1", "2"], "row numbers go from every row of headings"
    tasks = pd.DataFrame({"task": ["probe@images/half-a:50", "a@b c"]})
    cells = re.findall(CELL, simplify_tables(tasks._repr_html_(), "t"))
    assert cells[1:] == ["<td>probe@<wbr/>images/<wbr/>half-a:50<wbr/></td>", "<td>a@b c</td>"], (
        "lines may break"
    )
    both = pd.DataFrame({"a": [1]}, index=pd.Index(["x"], name="of")).rename_axis(columns="size")
    assert simplify_tables(both._repr_html_(), "t").count("<tr") == 3, "a name of the columns is kept"


@pytest.mark.parametrize(
    ("index", "shown"),
    [(range(3), []), ([10, 50, 200], ["10", "50", "200"]), ([1, 2, 3], ["1", "2", "3"])],
)
def test_numbers_that_name_rows_are_kept(index, shown):
    """As of images per class, in a table that a user's notebook pivots."""
    table = pd.DataFrame({"accuracy": [31.2, 44.0, 51.9]}, index=list(index))
    names = re.findall(r'<th scope="row">(.*?)</th>', simplify_tables(table._repr_html_(), "t"))
    assert names == shown


@pytest.mark.parametrize(("verdict", "look"), VERDICTS.items())
def test_every_verdict_has_a_sign_and_a_colour(verdict, look):
    kind, sign = look
    html = index_html([PageSummary("a", "A?", "", verdict=verdict)], "test", "Two.", {})
    assert f'class="verdict {kind}"' in html
    assert f'<span aria-hidden="true">{sign}</span> {verdict}' in html
    assert f".{kind} {{ color: var(--{kind});" in css()


@pytest.mark.parametrize("trouble", ["", "This page was made earlier, of other settings"])
def test_a_verdict_of_an_earlier_report_is_marked_in_the_table(trouble):
    html = index_html([PageSummary("a", "A?", "", verdict="a loss", trouble=trouble)], "test", "", {})
    assert ("(of an earlier report)" in html) == bool(trouble)


def test_the_index_has_questions_first_and_every_verdict_at_a_glance():
    pages = [
        PageSummary("00-tree", "The tree?", "<p>40.</p>", PNG),
        PageSummary(
            "01-size", "How many?", "<p>It falls by 3 &lt; 4.</p>", PNG, 3, list(VERDICTS)[1], table=True
        ),
        PageSummary(
            "02-fine", "How fine?", "", table=True, trouble="02-fine failed in the run cell", made=False
        ),
        PageSummary("99-summary", "All?", "<p>1 of 2.</p>", PNG),
    ]
    tables = {"results.csv": "All results (CSV)", "contrasts.csv": "All contrasts (CSV)"}
    html = index_html(pages, "test", "Two & two.", {"seeds": "0, 1"}, overview=Overview(tables=tables))
    assert faults(html) == []
    assert re.findall(r'<article id="(.*?)"', html) == ["01-size", "02-fine", "99-summary", "00-tree"]
    assert re.findall(r'href="([\w-]+\.(?:csv|html))"', html.partition("<article")[0]) == [
        "runs.html",
        "results.csv",
        "contrasts.csv",
    ]
    assert 'alt="It falls by 3 &lt; 4."' in html
    assert '<a href="#01-size">How many?</a></th><td><span class="verdict loss">' in html
    assert "02-fine.html" not in html
    assert "02-fine failed" in html


@pytest.mark.parametrize("under_way", ["", "starting"])
def test_an_index_without_verdicts_has_no_empty_section_and_no_link_to_tables(under_way):
    pages = [PageSummary("01-size", "How many?", "", table=True, trouble="all failed", made=False)]
    html = index_html(pages, "test", "", {}, under_way)
    assert faults(html) == []
    assert "At a glance" not in html
    assert "(CSV)" not in html
    assert ('href="runs.html"' in html) == (not under_way)


def css() -> str:
    return (files("itl") / "report/site.css").read_text()


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, as WCAG 2 defines it."""
    parts = [int(colour.lstrip("#")[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours by WCAG 2; text of level AA has 4.5 at least.

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_colours_can_be_told_from_their_ground():
    assert contrast("#000000", "#ffffff") == 21.0
    schemes = [dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6});", part)) for part in css().split(":root {")[1:]]
    assert len(schemes) == 3, "light, dark and print"
    inks = ("ink", "quiet", "accent", "gain", "loss", "hint", "same", "few")
    for scheme in schemes:
        whole = {
            name: value if len(value) == 7 else "#" + "".join(2 * digit for digit in value[1:])
            for name, value in scheme.items()
        }
        low = {
            (ink, ground): contrast(whole[ink], whole[ground])
            for ink in inks
            for ground in ("paper", "panel", "soft")
        }
        assert min(low.values()) >= 4.5, low
        assert len({whole[ink] for ink in inks[3:]}) == 5, "a verdict has a colour of its own"
    for name, scheme in zip(CODE_STYLES, schemes, strict=False):
        written = {str(token): style["color"] for token, style in get_style_by_name(name) if style["color"]}
        assert written.pop("Token.Error"), "which the site gives a colour of its own"
        low = {token: contrast(colour, scheme["soft"]) for token, colour in written.items()}
        assert min(low.values()) >= 4.5, low


def test_text_of_html():
    assert plain_text("<p>a &lt; <strong>b</strong> &amp; c&nbsp;&#8212; d</p>") == "a < b & c\xa0— d"
