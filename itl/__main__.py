"""The command line: `itl COMMAND`; each command imports only what it needs."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from itl import ItlError, __version__
from itl.machine import Machine
from itl.specs import Packing, Subset

MACHINE = (
    ("--data", {"action": "append", "metavar": "WHERE", "help": "data folder or NAME=PATH; repeatable"}),
    ("--home", {"type": Path, "help": "where runs/, packs/ and reports/ lie"}),
    ("--device", {"help": "cpu, cuda (all GPUs), cuda:N or several: cuda:0,2"}),
    ("--workers", {"type": int, "help": "runs side by side on each device"}),
    ("--compile", {"action": "store_true", "default": None, "help": "compile nets; on a GPU: CUDA graphs"}),
    ("--scheduler", {"metavar": "ADDRESS", "help": "a Dask scheduler whose workers do the runs"}),
)

REGIONS = """Convert files of region proposals, or measure, as CSV, what part of the objects they cover.

Boxes are 1-based and inclusive, the best of an image first. A file is one of
.mat       images: a cell of names; boxes: a cell of K × 4, ymin xmin ymax xmax (selective search's; up to v7)
.npz       images (N,), offsets (N + 1,), boxes (M, 4), xmin ymin xmax ymax: from offsets[n] to offsets[n + 1]
.parquet   columns image, xmin, ymin, xmax, ymax"""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what *argv* asks; returns 0 done, 1 failed (one line on stderr), 2 wrong usage."""
    argv = sys.argv[1:] if argv is None else argv
    asked = parser().parse_args(argv)
    os.environ["ITL_COMMAND"] = shlex.join(["itl", *argv])  # kept with all that this makes
    try:
        asked.do(asked)
        sys.stdout.flush()
        return 0
    except BrokenPipeError:                 # `itl labels original | head`: the reader has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("itl: stopped; what was finished is kept, repeat to go on", file=sys.stderr)
        return 1
    except (ItlError, OSError) as error:
        if asked.debug:
            raise
        print(f"itl: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    about = "What in the pre-training images makes features transfer?"
    top = argparse.ArgumentParser(prog="itl", description=about)
    top.add_argument("--version", action="version", version=f"itl {__version__}")
    top.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(do, *arguments: tuple, **keywords) -> argparse.ArgumentParser:
        name = do.__name__.replace("_", "-")
        added = commands.add_parser(name, help=do.__doc__.splitlines()[0], **keywords)
        added.set_defaults(do=do)
        for names, options in arguments:
            added.add_argument(*names.split(), **options)
        return added

    preset = ("preset", {"help": "a name, of those in params/ and those that come with itl, or a .yaml file"})
    only = ("--only", {"metavar": "NOTEBOOK", "help": "one notebook of the preset, such as 01-data-size"})
    source = ("source", {"help": "demo, folder, imagenet, voc2007, sun397, coco, ..."})
    option = ("--option", {"action": "append", "metavar": "NAME=VALUE", "help": "what else the source takes"})
    path = ("path", {"nargs": "?", "type": Path, "help": "folder or tar; none where images are rendered"})

    command(
        labels,
        ("method", {"help": "original, bottom-up@L, top-down@R, cut@WNIDS, without-pascal, half-..., "
                             "only@WNIDS, without@WNIDS, or several: bottom-up@9+without@n02084071"}),
        ("--leaves", {"type": Path, "help": "file with a wnid a line, instead of ILSVRC's 1000"}),
    )
    command(
        subset,
        ("--pack", {"type": Path, "required": True}),
        ("--labels", {"default": "original", "help": "a method of `itl labels`"}),
        ("--images-per-class", {"type": int}),
        ("--classes", {"type": int}),
        ("--seed", {"type": int, "default": 0}),
    )
    command(
        pack, source, path, option,
        ("--size", {"type": int, "default": 64, "help": "side of the stored square, in pixels"}),
        ("--fit", {"default": "squash", "help": "squash (both sides), crop (short side) or pad (long side)"}),
        ("--out", {"type": Path, "required": True}),
        ("--workers", {"type": int, "help": "threads"}),
        ("--allow-unreadable", {"action": "store_true", "help": "go on with over 1 %% unreadable images"}),
    )
    command(check, source, path, option)
    _add_detection(command)
    command(plan, preset, only, *MACHINE, ("--runs", {"action": "store_true", "help": "list every run"}))
    for do in (run, report):
        command(do, preset, only, *MACHINE)
    command(init, ("folder", {"type": Path, "help": "where params/ and notebooks/ are made"}))
    command(results, preset, *MACHINE, ("--format", {"choices": ["csv", "parquet"], "default": "csv"}))
    command(
        bench, MACHINE[2],                      # --device
        ("--only", {"metavar": "NAME", "help": "rows of the table, such as crop,knn"}),
        ("--json", {"metavar": "FILE", "type": Path, "help": "write the figures there too"}),
    )
    return top


def _add_detection(command: Callable) -> None:
    """Add the commands on what detectors find, and where they look."""
    images = ("--images", {"type": Path, "help": "list of those that count, such as ImageSets/Main/test.txt"})
    command(
        voc_ap,
        ("--annotations", {"type": Path, "required": True, "help": "VOC's XML files: a folder or tar"}),
        ("--detections", {"type": Path, "required": True, "help": "CSV: image,class,score and four sides"}),
        ("--metric", {"choices": ["07", "area"], "default": "07", "help": "11 points, or the area"}),
        images,
    )
    command(
        proposals,
        ("regions", {"metavar": "FROM", "type": Path, "help": "file, folder of files, or: windows"}),
        ("out", {"metavar": "TO", "nargs": "?", "type": Path, "help": "file to write: .mat, .npz, .parquet"}),
        ("--recall", {"metavar": "ANNOTATIONS", "type": Path, "help": "VOC's XML files: a folder or tar"}),
        ("--count", {"type": int, "nargs": "+", "default": [300, 1000, 2000], "help": "regions an image"}),
        images,
        description=REGIONS, formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def labels(asked: argparse.Namespace) -> None:
    """Print a label set as CSV."""
    from itl.hierarchy.label_sets import label_set
    from itl.hierarchy.taxonomy import Taxonomy

    tree = Taxonomy.snapshot()
    wnids = tree.leaves if asked.leaves is None else _read(asked.leaves).split()
    sys.stdout.write(label_set(tree, asked.method, wnids).to_csv())


def subset(asked: argparse.Namespace) -> None:
    """Print the images of a subset as CSV."""
    from itl.packs.pack import Pack
    from itl.packs.subset import manifest, select

    opened = Pack.open(asked.pack)
    chosen = Subset(opened.digest, asked.labels, asked.classes, asked.images_per_class, asked.seed)
    manifest(opened, select(opened, chosen)).to_csv(sys.stdout, index=False)


def pack(asked: argparse.Namespace) -> None:
    """Decode a source once into a pack."""
    from itl.packs.pack import Pack

    packing = Packing(asked.source, None, asked.size, asked.fit, _options(asked.option))
    built = Pack.build(
        packing, asked.out, path=asked.path, workers=asked.workers, allow_unreadable=asked.allow_unreadable
    )
    print(f"{asked.out}: {len(built.table)} images of {built.size} pixels, digest {built.digest}")


def check(asked: argparse.Namespace) -> None:
    """Say what a source holds, what is missing and what to do."""
    from itl.sources.check import check as check_source
    from itl.sources.findings import report as report_findings

    findings = check_source(asked.source, asked.path, **dict(_options(asked.option)))
    lines, problems = report_findings(findings)
    print("\n".join(lines))
    if problems:
        raise ItlError(problems)


def voc_ap(asked: argparse.Namespace) -> None:
    """Score detections as PASCAL VOC does: average precision of each class, 0 to 1, as CSV."""
    import csv

    from itl.evaluation.voc_ap import mean_ap, voc_ap
    from itl.sources.detections_csv import classes_of, read_detections, read_objects, refuse_other_images

    objects, images = read_objects(asked.annotations, asked.images)
    detections = read_detections(asked.detections)
    refuse_other_images(detections, images, asked.detections)
    found = voc_ap(objects, detections, asked.metric, known=classes_of(objects))
    rows = [*found.items(), ("mean", mean_ap(found.values()))]
    csv.writer(sys.stdout, lineterminator="\n").writerows([("class", "ap"), *rows])


def proposals(asked: argparse.Namespace) -> None:
    """Convert files of region proposals, or measure what part of the objects they cover."""
    from itl.sources.proposal_files import read_regions, write_regions
    from itl.sources.proposals import measure_recall

    built_in = str(asked.regions) == "windows"
    if built_in and (asked.out or not asked.recall):
        raise ItlError("windows are made for each image, not kept in a file; measure them with --recall")
    held = None if built_in else read_regions(asked.regions)
    if asked.out:
        write_regions(asked.out, held)
    if asked.recall:
        table, note = measure_recall(held, asked.recall, asked.count, asked.images)
        table.to_csv(sys.stdout, index=False)
        if note:
            print(f"note: {note}", file=sys.stderr)
    else:
        count = sum(map(len, held.values()))
        print(f"{asked.out or asked.regions}: {count:,} regions of {len(held):,} images")


def plan(asked: argparse.Namespace) -> None:
    """Show what a preset would run, how long it should take, and what of disk and memory."""
    from itl.runs.plan import describe

    print(describe(_planned(asked)[0], every_run=asked.runs))


def run(asked: argparse.Namespace) -> None:
    """Do the missing runs of a preset."""
    from itl.runs.question import run_all

    planned, questions, store, machine = _planned(asked)
    planned.refuse()
    run_all(questions, store, machine)


def report(asked: argparse.Namespace) -> None:
    """Do the missing runs of a preset, execute its notebooks and write its pages."""
    from itl.report import build as pages

    machine, preset = _machine(asked), _preset(asked)
    out = machine.home / "reports" / preset.name
    pages.pages_of(preset, out, machine)    # a wrong parameter is refused before hours of runs
    run(asked)
    print(pages.report(preset, out, machine, only=asked.only))


def init(asked: argparse.Namespace) -> None:
    """Copy the presets and notebooks that come with itl to a folder, to be edited."""
    from itl.presets import copy_shipped

    for folder in copy_shipped(asked.folder):
        print(folder)


def results(asked: argparse.Namespace) -> None:
    """Print every number of a preset, tidy."""
    import pandas as pd

    from itl.runs.questions import questions_of
    from itl.runs.store import Store

    machine = _machine(asked)
    questions = questions_of(_preset(asked))
    table = pd.concat([question.results(Store(machine.runs), machine) for question in questions])
    if asked.format == "csv":
        table.to_csv(sys.stdout, index=False)
    else:
        table.to_parquet(sys.stdout.buffer, index=False)


def bench(asked: argparse.Namespace) -> None:
    """Measure our kernels beside what people would use instead, and print the table."""
    from itl.bench.table import bench as measure

    measure(asked.only, asked.json, asked.device)


def _planned(asked: argparse.Namespace) -> tuple:
    """Plan the questions that are asked; also these, the store and the machine."""
    from itl.runs.plan import plan as make
    from itl.runs.questions import questions_of
    from itl.runs.store import Store

    machine = _machine(asked)
    questions, store = questions_of(_preset(asked), asked.only), Store(machine.runs)
    planned = make(questions, store, machine, lambda line: print(line, file=sys.stderr))
    return planned, questions, store, machine


def _machine(asked: argparse.Namespace) -> Machine:
    where = {name: getattr(asked, name) for name in ("home", "device", "workers", "compile", "scheduler")}
    return Machine.from_environment(data=tuple(asked.data) if asked.data else None, **where)


def _preset(asked: argparse.Namespace):
    from itl.presets import load_preset

    return load_preset(asked.preset)


def _options(told: Sequence[str] | None) -> tuple[tuple[str, object], ...]:
    import yaml

    pairs = [text.partition("=") for text in told or ()]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise ItlError(f"--option takes NAME=VALUE, got {wrong[0]!r}")
    return tuple((name, yaml.safe_load(value)) for name, _, value in pairs)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ItlError(f"cannot read {path}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
