"""The arguments of the commands, and how their texts are parsed."""

import re
import shlex
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from itl.errors import ItlError, did_you_mean
from itl.machine import project_folder
from itl.specs import Packing
from itl.storage import read_yaml


def parse_points(text: str) -> float:
    """Read a change in points from the command line.

    Raise ArgumentTypeError for what is no number above 0 and up to 100.
    """
    with suppress(ValueError):
        if 0 < (points := float(text)) <= 100:
            return points
    raise ArgumentTypeError(f"points of a metric lie above 0 and up to 100; got {text!r}")


def label_method(text: str) -> str:
    """Return a method of `itl labels`, whose list of classes, if it is relative, is in the current folder.

    It is named from the project's folder, which may have a + or # in its path.
    """
    folder = Path.cwd().relative_to(project_folder())
    prefix = "" if folder == Path() else f"{folder}/"
    return re.sub(r"(^|\+)file@(?=[^/~])", lambda match: f"{match[0]}{prefix}", text)


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """Parse --shard I/N, part I of N; None stays None.

    ItlError for other text, or if I is not from 1 to N.
    """
    if text is None:
        return None
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise ItlError(f"--shard takes I/N, part I of N, such as 3/8; got {text!r}")
    return int(part), int(parts)


def parse_options(texts: Sequence[str] | None) -> tuple[tuple[str, object], ...]:
    """Parse options NAME=VALUE; a value is YAML. ItlError for other text, no value, or a name given twice."""
    options: dict[str, object] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise ItlError(f"--option takes NAME=VALUE, got {name!r}")
        if name in options:
            raise ItlError(f"--option {name} is given twice; give it once")
        quoted = f"write it in quotes: '{name}=\"{value}\"'"
        try:
            options[name] = read_yaml(value, f"--option {name}")
        except ItlError as error:
            raise ItlError(f"{error}; if it is a text, {quoted}") from error
        if options[name] is None:
            way = f", or {quoted}" if value.strip() else ""
            raise ItlError(f"--option {name}={value} gives no value; leave it out{way}")
    return tuple(options.items())


def parse(parser: ArgumentParser, argv: Sequence[str]) -> Namespace:
    """Return what *parser* reads in the command line *argv*; it ends the program where that is no command."""
    if "" in argv:
        parser.error("one of the arguments is empty, as where a variable is not set")
    times = Counter(word.partition("=")[0] for word in argv if word.startswith("--"))
    for option, count in times.items():
        if count > 1 and option not in REPEATABLE:
            parser.error(f"{option} is given {count} times; leave one of them")
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        command: ArgumentParser = args.parser
        options = re.findall(r"(?<=[ \[])--[a-z-]+", command.format_usage())
        texts = [f"unrecognized arguments: {' '.join(unknown)}", did_you_mean(unknown[0], options).strip()]
        command.error("; ".join(filter(None, texts)))
    return args


def command_line(command: str, args: Namespace) -> str:
    """Write the `itl` *command* for the preset of *args*, with what it needs to find its images and runs."""
    data = [word for entry in args.data or () for word in ("--data", entry)]
    home = [] if args.home is None else ["--home", str(args.home)]
    only = ["--only", args.only] if getattr(args, "only", None) else []
    preset = [args.target, "--preset", args.preset] if command == "advise" else [args.preset]
    budget = ["--budget", *args.budget] if getattr(args, "budget", None) else []
    return shlex.join(["itl", command, *preset, *budget, *only, *data, *home])


def refuse_unused(args: Namespace, options: Sequence[str], needed: str) -> None:
    """Raise ItlError for one of the *options* that was given: it has no effect without what is *needed*."""
    for option in options:
        if getattr(args, option.removeprefix("--")) not in (None, "refuse"):  # the second: of --outside
            raise ItlError(f"{option} has no effect without {needed}; add that, or leave {option} out")


REPEATABLE = ("--data", "--option")
Argument = tuple[str, dict[str, Any]]  # its name, and what add_argument takes

DATA: Argument = (
    "--data",
    {"action": "append", "metavar": "WHERE", "help": "data folder or NAME=PATH; repeatable"},
)
HOME: Argument = ("--home", {"type": Path, "help": "where runs/, packs/ and reports/ lie"})
DEVICE: Argument = ("--device", {"help": "cpu, cuda (all GPUs), cuda:N or several: cuda:0,2"})
TAXONOMY: Argument = (
    "--taxonomy",
    {"default": "", "metavar": "TREE", "help": "nltk, nltk@FOLDER or a CSV file child,parent[,name]"},
)
MACHINE: tuple[Argument, ...] = (
    DATA,
    HOME,
    DEVICE,
    ("--workers", {"type": int, "help": "runs side by side on each device; with --scheduler slurm, jobs"}),
    (
        "--compile",
        {"action": "store_true", "default": None, "help": "compile nets, a minute at each start"},
    ),
    ("--scheduler", {"metavar": "ADDRESS", "help": "a Dask scheduler whose workers do the runs, or: slurm"}),
)
SHARD: Argument = ("--shard", {"metavar": "I/N", "help": "do part I of N, as in the jobs of an array"})

ALLOW_UNREADABLE: Argument = (
    "--allow-unreadable",
    {
        "type": float,
        "nargs": "?",
        "const": 1.0,
        "default": Packing.unreadable,
        "metavar": "FRACTION",
        "help": "go on with over 1 %% unreadable images, or up to this fraction of them",
    },
)

POINTS: dict[str, Any] = {"type": parse_points, "metavar": "POINTS"}
PLAN: tuple[Argument, ...] = (
    ("--runs", {"action": "store_true", "help": "list every run"}),
    ("--detect", POINTS | {"help": "say how many seeds detect a true change of so many points"}),
    ("--within", POINTS | {"help": "say how many seeds show that no change is larger"}),
)
UNTIL_DECIDED: Argument = (
    "--until-decided",
    {"action": "store_true", "help": "add seeds one at a time, up to the preset's cap, until it is decided"},
)

_OUTSIDE_HELP = "boxes that reach outside their image: refuse annotated ones, or cut all to it"
SCORED: Sequence[Argument] = (  # what is scored against annotations
    ("--images", {"type": Path, "help": "list of the scored images, such as ImageSets/Main/test.txt"}),
    ("--outside", {"choices": ["refuse", "cut"], "default": "refuse", "help": _OUTSIDE_HELP}),
)
PROPOSALS: Sequence[Argument] = (
    ("regions", {"metavar": "FROM", "type": Path, "help": "file, folder of files, or: windows"}),
    ("out", {"metavar": "TO", "nargs": "?", "type": Path, "help": "file to write: .mat or .npz"}),
    ("--recall", {"metavar": "ANNOTATIONS", "type": Path, "help": "VOC's XML files: a folder or tar"}),
    ("--order", {"choices": ["yxyx", "xyxy", "xywh"], "help": "of boxes in a .mat; yxyx where not given"}),
    ("--count", {"type": int, "nargs": "+", "help": "regions an image; 300 1000 2000 where not given"}),
    *SCORED,
)
DETECTION_HELP = "CSV: image,class,score and four sides; a folder of comp4_det_test_*.txt; COCO results JSON"

PROPOSAL_FORMATS = """Convert files of region proposals, or measure what part of the objects they cover.

Boxes are 1-based and inclusive, the best of an image first. Images that share a name go by their paths, as
train/000005. A file is one of
.mat       images: a cell of names; boxes: a cell of K × 4, ymin xmin ymax xmax (selective search's; up to v7)
           or one image a file: 000005_boxes.mat with boxes, K × 4
.npz       images (N,), offsets (N + 1,), boxes (M, 4), xmin ymin xmax ymax: from offsets[n] to offsets[n + 1]
A fifth number of a box in a .mat, or scores beside boxes, sort the regions of an image."""
