"""HTML from the templates of this folder, and the index over all pages of a report."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from bs4 import BeautifulSoup
from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape

INTERVAL = re.compile(r"(?<=\d) (to|±) (?=[+−-]?\d)")
PAGE_TYPE = "application/vnd.itl.page+html"  # of a cell's output: a page of its own, linked by the report's
VERDICT_KINDS = (  # start of a verdict, CSS class, sign; the first that fits
    ("a gain", "gain", "▲"),
    ("a loss", "loss", "▼"),
    ("the same", "same", "="),
    ("none better", "same", "="),
    ("best", "gain", "▲"),
    ("cannot tell (a hint", "hint", "~"),
    ("", "few", "?"),
)


@dataclass(frozen=True)
class PageSummary:
    """What the index shows of one executed notebook."""

    stem: str
    title: str
    answer: str  # HTML
    figure: str = ""  # PNG in base64
    n: int | None = None  # seeds
    verdict: str = ""
    table: bool = False  # whether CSV files of results and contrasts lie beside the page
    trouble: str = ""  # why the page is missing, or was made by an earlier run
    browser: str = ""  # file of the hierarchy browser beside the page
    status: str = ""  # how far a page is that is being made
    made: bool = True  # False: there is no page yet
    doubt: str = ""  # the strongest reason to doubt the answer

    @property
    def verdict_kind(self) -> tuple[str, str]:
        """CSS class and sign of the verdict."""
        return next((kind, sign) for start, kind, sign in VERDICT_KINDS if self.verdict.startswith(start))


@dataclass(frozen=True)
class Overview:
    """What the index opens with."""

    answers: Mapping[str, Sequence[str]] = field(default_factory=dict)  # comparisons by what is said of them
    figure: str = ""  # SVG in base64
    tables: Mapping[str, str] = field(default_factory=dict)  # files over all questions: what each holds

    @property
    def text(self) -> str:
        """The answers as a paragraph, for those who cannot see the figure."""
        return " ".join(f"{opening} {'; '.join(clauses)}." for opening, clauses in self.answers.items())


def render(template: str, **values: object) -> str:
    """Fill *template*, a file of ``templates/``, with *values*; HTML in them is escaped."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    loader = PackageLoader("itl.report")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(plain_text=plain_text, unbroken=unbroken, whole_words=whole_words)
    environment.globals["site_css"] = Markup((files("itl") / "report/site.css").read_text("utf-8"))
    return environment


def plain_text(html: str) -> str:
    """Reduce *html* to its words.

    >>> plain_text("<p>a &lt; <strong>b</strong></p>")
    'a < b'
    """
    return BeautifulSoup(html, "html.parser").get_text().replace("¶", "").strip()


def unbroken(text: str) -> str:
    """Return *text* in which no line ends between a number and its percent sign, or in an interval.

    >>> unbroken("77 % of the gain, −0.2 to +6.6 points")
    '77\\xa0% of the gain, −0.2\\xa0to\\xa0+6.6 points'
    >>> unbroken("80.1 ± 0.4")
    '80.1\\xa0±\\xa00.4'
    """
    return INTERVAL.sub("\xa0\\1\xa0", text.replace(" %", "\xa0%"))


def whole_words(text: str) -> Markup:
    """Return *text* as HTML in which no line ends at the hyphen of a word: balanced lines of titles would.

    >>> str(whole_words("to pre-train & more"))
    'to <span class="whole">pre-train</span> &amp; more'
    """
    return Markup(re.sub(r"\w+(-\w+)+", r'<span class="whole">\g<0></span>', str(escape(text))))


def index_html(
    pages: Iterable[PageSummary],
    preset: str,
    about: str,
    facts: Mapping[str, str],
    under_way: str = "",
    overview: Overview | None = None,
    why_stopped: str = "",
) -> str:
    """Write the index: what this report is, all answers in a list and a figure, a card for every page.

    Questions come first, then the hierarchy and the summary. *under_way* says how far a report is that has
    not ended, *why_stopped* why it ended before all pages were made.
    """
    in_order = sorted(pages, key=lambda page: (not page.table, not page.verdict, page.stem.startswith("00")))
    values = {"preset": preset, "about": about, "facts": facts, "under_way": under_way}
    values["why_stopped"] = why_stopped
    return render("index.html.j2", pages=in_order, overview=overview or Overview(), **values)
