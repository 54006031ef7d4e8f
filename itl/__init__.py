"""itl: what in the pre-training images makes features transfer?

The public names of all rooms can be imported from here; each room is loaded when its first name is used.
"""

import logging
import os
import threading
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from typing import Any, TypeVar

__version__ = "0.1.0"

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

PUBLIC = {  # names, or whole modules, by the module that has them
    "itl.analysis": "advice comparisons doubts figures hierarchy_figures image_effects influence "
    "node_accuracy noise option_grid published score_trust tables verdicts wording",
    "itl.browser.widget": "HierarchyBrowser",
    "itl.hierarchy.label_sets": "label_set",
    "itl.hierarchy.taxonomy": "Taxonomy",
    "itl.machine": "Machine",
    "itl.packs.pack": "Pack",
    "itl.packs.paths": "packed",
    "itl.packs.subset": "select",
    "itl.panels.advice": "AdvicePanel",
    "itl.panels.influence": "InfluencePanel",
    "itl.panels.net": "NetPanel",
    "itl.panels.results": "ResultsPanel",
    "itl.panels.study": "StudyPanel",
    "itl.presets": "load_preset",
    "itl.runs": "questions",
    "itl.runs.nets": "export_net net_of",
    "itl.runs.perform": "load_net",
    "itl.runs.provenance": "provenance",
    "itl.runs.questions": "data_size class_count granularity budget overlap split coarse_or_fine scores",
    "itl.runs.results": "results_of",
    "itl.runs.store": "Store",
    "itl.settings": "spec_of",
    "itl.specs": "DetectionRecipe Packing Recipe Subset",
}
_module_of = {name: module for module, names in PUBLIC.items() for name in names.split()}
__all__ = ["ItlError", *_module_of]


def __getattr__(name: str) -> Any:
    """Import the public *name* from the module that has it."""
    if name not in _module_of:
        raise AttributeError(f"module 'itl' has no {name!r}; {did_you_mean(name, _module_of)}see itl.PUBLIC")
    module = import_module(_module_of[name])
    return getattr(module, name) if hasattr(module, name) else import_module(f"{module.__name__}.{name}")


def __dir__() -> list[str]:
    return [*(name for name in globals() if name.startswith("__")), *__all__]


PLURAL_ENDINGS = {"people": "person", "sses": "ss", "xes": "x", "ies": "y", "s": ""}  # and of the singular
VERBS_OF_ONE = {"are": "is", "were": "was", "have": "has", "hold": "holds", "lie": "lies", "lead": "leads"}
VERBS_OF_ONE |= {"leave": "leaves", "give": "gives"}


class ItlError(ValueError):
    """Raised when something asked of itl cannot be done; the message says what can."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows of it: the message has one line, and %debug the way to it."""
        return [f"ItlError: {self}"]


def cannot_read(path: object, error: OSError) -> ItlError:
    """Return the error that the file *path* cannot be read, and where it was looked for."""
    is_relative = not os.path.isabs(str(path)) and isinstance(error, FileNotFoundError)
    where = f" in {os.getcwd()}" if is_relative else ""
    return ItlError(f"cannot read {path}{where}: {error.strerror or error}")


def pick(options: Mapping[str, T], name: str, what: str) -> T:
    """Look *name* up in *options*, or say which names there are, the nearest first.

    >>> pick({"red": 1, "blue": 2}, "bleu", "colour")
    Traceback (most recent call last):
    itl.ItlError: no colour called 'bleu'; did you mean 'blue'? There are blue, red
    """
    if name in options:
        return options[name]
    raise no_such(options, name, what)


def one_of(values: Iterable[str], value: str, what: str) -> str:
    """Return *value*, some *what*; ItlError, with the nearest, if it is none of *values*."""
    return pick({known: known for known in values}, value, what)


def no_such(options: Iterable[str], name: str, what: str) -> ItlError:
    """Return the error that *name*, of some *what*, is none of *options*, with the nearest of these."""
    hint = did_you_mean(str(name), options)
    known = f"{'There' if hint else 'there'} are {', '.join(sorted(options)) or 'none'}"
    return ItlError(f"no {what} called {name!r}; {hint}{known}")


@contextmanager
def errors_about(what: str) -> Iterator[None]:
    """Let the text of an ItlError begin with *what* it is about."""
    try:
        yield
    except ItlError as error:
        raise ItlError(f"{what}: {error}") from error


def one_line(message: object) -> str:
    """Write *message* on one line that a terminal shows as it is: without line ends and escape sequences.

    >>> print(one_line("no class called 'a\\nb'"), one_line("\\x1b[31mred"))
    no class called 'a\\nb' \\x1b[31mred
    """
    text = str(message).strip()
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def plain_line(text: str) -> str:
    """Return *text* with single blanks between words, and with escapes for what no terminal shows.

    >>> plain_line("line 1\\n  line 2")
    'line 1 line 2'
    """
    return one_line(" ".join(text.split()))


def examples(names: Collection[str], limit: int = 3) -> str:
    """Return the first few of *names* as text.

    >>> examples(["a", "b", "c", "d"])
    'a, b, c …'
    """
    first = list(names)[:limit]
    shown = [one_line(name) if name == name.strip() else repr(name) for name in first]  # 'cat '
    return ", ".join(shown) + (" …" if len(names) > limit else "")


def quoted(name: str) -> str:
    """Return *name* for a list of names and counts: in quotation marks where it would be misread.

    >>> quoted("cat"), quoted("cat "), quoted("dog, big")
    ('cat', "'cat '", "'dog, big'")
    """
    return one_line(name) if name == name.strip() and ", " not in name else repr(name)


def shortened(text: str, width: int) -> str:
    """Return *text* in at most *width* characters.

    >>> shortened("bottom-up@9", 11), shortened("bottom-up@9", 7)
    ('bottom-up@9', 'bottom…')
    """
    return text if len(text) <= width else f"{text[: width - 1]}…"


def counted(count: int, words: str) -> str:
    """Write *count* before *words*, a noun in the plural and what follows it, in the singular for 1.

    >>> counted(1200, "images"), counted(1, "class folders hold"), counted(1, "links that lead nowhere")
    ('1,200 images', '1 class folder holds', '1 link that leads nowhere')
    >>> counted(1, "without a label")
    '1 without a label'
    """
    if count != 1:
        return f"{count:,} {words}"
    parts = words.split(" ")
    noun = next((number for number, word in enumerate(parts) if _plural_ending(word)), None)
    if noun is None:
        return f"1 {words}"
    ending = _plural_ending(parts[noun])
    parts[noun] = parts[noun].removesuffix(ending) + PLURAL_ENDINGS[ending]
    for number, word in enumerate(parts[noun + 1 : noun + 3], noun + 1):
        if word != "that":
            parts[number] = VERBS_OF_ONE.get(word, word)
            break
    return f"1 {' '.join(parts)}"


def _plural_ending(word: str) -> str:
    """Return the ending of PLURAL_ENDINGS that *word* has; '' for a word in the singular."""
    if word.endswith("ss"):
        return ""
    return next((ending for ending in PLURAL_ENDINGS if word.endswith(ending)), "")


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return a question that suggests the one of *options* most like *name*; empty if none is like it.

    >>> did_you_mean("bleu", ["red", "blue"])
    "did you mean 'blue'? "
    """
    return "".join(f"did you mean {near!r}? " for near in nearest(name, options))


def nearest(name: str, options: Iterable[str]) -> list[str]:
    """Return the one of *options* most like *name*; none, if none is like it.

    >>> nearest("bleu", ["red", "blue"]), nearest("CAT", ["cart", "cat"]), nearest("green", ["red"])
    (['blue'], ['cat'], [])
    """
    options = list(options)
    same = [option for option in options if option.casefold() == name.casefold()]
    return same[:1] or get_close_matches(name, options, n=1)


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Return the values of *pairs* by their keys.

    >>> grouped([("a", 1), ("b", 2), ("a", 3)])
    {'a': [1, 3], 'b': [2]}
    """
    groups: dict[K, list[V]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


class LineHandler(logging.Handler):
    """Gives each line that itl logs to *write*. What *write* raises is not caught, as print's is not."""

    def __init__(self, write: Callable[[str], object]):
        super().__init__()
        self.write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message of *record*, without its level and origin."""
        self.write(self.format(record))


def warn(text: str) -> None:
    """Warn of *text*, which notebooks and scripts show as a note of one line, unlike other warnings."""
    with _warning:
        format_others = warnings.formatwarning
        warnings.formatwarning = _as_note
        try:
            warnings.warn(text, stacklevel=2)
        finally:
            warnings.formatwarning = format_others


def _as_note(message: object, *_: object, **__: object) -> str:
    return f"note: {one_line(message)}\n"


def warnings_as_notes(write: Callable[[str], object]) -> None:
    """Give each warning from now on, of libraries too, to *write* as a note, once: in processes of itl."""
    shown = set()

    def show(message: object, *_: object, **__: object) -> None:
        line = _as_note(message).rstrip()
        if line not in shown:
            shown.add(line)
            write(line)

    warnings.showwarning = show


@contextmanager
def log_lines(write: Callable[[str], object]) -> Iterator[None]:
    """Give each line that itl logs to *write* instead of printing it."""
    before = _logger.handlers
    _logger.handlers = [LineHandler(write)]
    try:
        yield
    finally:
        _logger.handlers = before


def _print_unless_configured(line: str) -> None:
    """Print *line*, as notebooks show it, unless the program that imports itl has configured logging."""
    if not logging.getLogger().handlers:
        print(line, flush=True)


_warning = threading.RLock()  # of one thread at a time
_logger = logging.getLogger("itl")
_logger.setLevel(logging.INFO)
_logger.handlers = [LineHandler(_print_unless_configured)]
