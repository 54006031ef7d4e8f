"""What `import itl` offers, and that nothing is loaded before it is used."""

import inspect
import logging
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import itl
from itl.commands import parser
from itl.notes import log_lines

ROOT = Path(itl.__file__).parents[1]


@pytest.mark.parametrize("name", itl.__all__)
def test_every_public_name_is_there(name):
    assert getattr(itl, name) is not None
    assert name in dir(itl)


def test_public_names_are_those_of_the_rooms():
    from itl.analysis import comparisons
    from itl.runs import questions
    from itl.specs import Subset

    assert itl.Subset is Subset
    assert itl.comparisons is comparisons
    assert itl.questions is questions
    assert itl.data_size is questions.data_size


def test_an_error_of_itl_is_one_line_in_a_notebook():
    """The stack in between is of itl, and hides the message in a cell's output."""
    code = "import itl; itl.Machine.from_environment(threads=-1)"
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.stdout == "ItlError: threads is a whole number from 1; got -1\n"


def test_only_public_names_are_listed_and_a_question_shows_its_parameters():
    assert {name for name in dir(itl) if not name.startswith("__")} == set(itl.__all__)
    parameters = inspect.signature(itl.data_size).parameters
    assert {"images", "tasks", "images_per_class", "passes"} <= set(parameters)
    assert itl.data_size.__doc__.startswith("How many images per class are enough?")
    assert itl.class_count.__name__ == "class_count"


def test_a_warning_of_itl_is_a_note_of_one_line_in_scripts_and_notebooks():
    code = "import warnings; before = vars(warnings).copy(); import itl, os; warnings.warn('mine'); "
    code += "os.environ['ITL_HOM'] = 'x'; itl.Machine.from_environment(device='cpu'); "
    code += "changed = [name for name in ('formatwarning', 'showwarning', 'warn') "
    code += "if getattr(warnings, name) is not before[name]]; print(changed)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    other, note = done.stderr.splitlines()
    assert other == "<string>:1: UserWarning: mine"
    assert note == "note: the environment's ITL_HOM is not used; did you mean ITL_HOME?"
    assert done.stdout == "[]\n", "neither the import nor a warning changes what Python does with others"


def test_a_misspelt_name_is_told_with_the_nearest():
    with pytest.raises(AttributeError, match="no 'Subsets'; did you mean 'Subset'"):
        _ = itl.Subsets


def test_no_room_is_loaded_before_its_first_name_is_used():
    """But what words errors and notes."""
    code = "import sys, itl; print(*[name for name in sys.modules if name.startswith('itl.')]); itl.Subset"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"itl.errors", "itl.notes", "itl.words"}


def test_the_docs_describe_every_public_name():
    described = re.findall(r"^\.\. auto\w+:: ([\w.]+)", (ROOT / "docs/api.md").read_text(), re.MULTILINE)
    missing = {name for name in itl.__all__ if not any(entry.endswith(f".{name}") for entry in described)}
    questions = {name for name in missing if hasattr(itl.questions, name)}  # described with their module
    assert missing - questions == set()
    for entry in described:
        module, _, name = entry.rpartition(".")
        assert hasattr(import_module(module), name) or find_spec(entry)


def test_the_docs_list_every_command_with_options_that_it_has(capsys):
    page = (ROOT / "docs/commands.md").read_text()
    rows = dict(re.findall(r"^\| `itl ([\w-]+)(.*?)` \|", page, re.MULTILINE))
    assert sorted(rows) == sorted(re.findall(r"^    ([a-z-]+)", parser().format_help(), re.M))
    settings = re.findall(r"^\| `(--[\w-]+)", page, re.MULTILINE)
    for command, words in rows.items():
        with pytest.raises(SystemExit):
            parser().parse_args([command, "--help"])
        text = capsys.readouterr().out
        options = re.findall(r"--[\w-]+", words) + (settings if command == "run" else [])
        assert [name for name in options if f"{name} " not in text] == []


def test_readme_links_to_what_there_is():
    links = re.findall(r"\]\(([^):]+)\)", (ROOT / "README.md").read_text())
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []


def printed(code: str) -> tuple[str, str]:
    """Return what *code* writes to stdout and to stderr; here pytest itself has configured logging."""
    line = "; logging.getLogger('itl.packs').info('100 % packed')"
    command = [sys.executable, "-c", code + line]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_what_itl_logs_is_printed_plainly_unless_logging_is_configured():
    assert printed("import itl, logging") == ("100 % packed\n", "")
    configured = "import itl, logging; logging.basicConfig(format='%(name)s: %(message)s')"
    assert printed(configured) == ("", "itl.packs: 100 % packed\n")
    warnings_only = "import itl, logging; logging.getLogger('itl').setLevel('WARNING')"
    assert printed(warnings_only) == ("", "")


def test_lines_are_given_to_who_asks_and_its_errors_are_not_swallowed():
    lines, log = [], logging.getLogger("itl.packs")
    with log_lines(lines.append):
        log.info("packed")
    log.info("not for that list")
    assert lines == ["packed"]
    with pytest.raises(ZeroDivisionError), log_lines(lambda line: 1 / 0):
        log.info("packed")
