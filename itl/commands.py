"""The commands of `itl COMMAND`; each imports only what it needs, and raises ItlError to refuse."""

import argparse
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itl import __version__
from itl.arguments import (
    ALLOW_UNREADABLE,
    DATA,
    DETECTION_HELP,
    DEVICE,
    HOME,
    MACHINE,
    PLAN,
    PROPOSAL_FORMATS,
    PROPOSALS,
    SCORED,
    SHARD,
    TAXONOMY,
    UNTIL_DECIDED,
    Argument,
    command_line,
    label_method,
    parse,
    parse_options,
    parse_shard,
    refuse_unused,
)
from itl.errors import ItlError, errors_about, no_such
from itl.machine import Machine
from itl.notes import log_lines, warnings_as_notes
from itl.processes import stopping_on_signals
from itl.specs import Packing, Subset
from itl.storage import is_disk_full
from itl.terminal import explain, print_all_characters, print_beside_bar, print_notes
from itl.words import counted, one_line

if TYPE_CHECKING:
    from itl.presets import Preset
    from itl.runs.plan import Plan
    from itl.runs.question import Question
    from itl.runs.store import Store


def main(argv: Sequence[str]) -> int:
    """Run the command line *argv*; returns the status of `itl.__main__.main`. Raises errors with --debug."""
    if not argv:
        parser().print_help(sys.stderr)
        return 2
    args = parse(parser(argv), argv)
    prints_data = args.function in (labels, subset, duplicates, voc_ap, proposals, results)
    prints_data |= args.function is compare and args.format != "text"
    if not prints_data:
        print_all_characters()
    write = partial(print, file=sys.stderr) if prints_data else print
    os.environ["ITL_COMMAND"] = shlex.join(["itl", *argv])  # stands in the provenance of all results
    try:
        with warnings.catch_warnings(), log_lines(write), stopping_on_signals():
            warnings_as_notes(print_beside_bar)
            args.function(args)
        sys.stdout.flush()
        return 0
    except BrokenPipeError:  # as in `itl labels original | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if args.function not in (run, report, advise):
            return 0
        with suppress(OSError):  # it may be the errors that nobody reads
            print("itl: nothing reads the output any more; repeat the command to go on", file=sys.stderr)
        return 128 + signal.SIGPIPE
    except Exception as error:
        if args.debug:
            raise
        print(f"itl: {one_line(explain(error, args.command))}", file=sys.stderr)
        if is_disk_full(error):  # what is left in the buffer would fail again at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Build the parser of all commands; wrong usage where the first word of *argv* can be none of them."""
    about = "What in the pre-training images makes features transfer?"
    top = argparse.ArgumentParser(prog="itl", description=about, allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"itl {__version__}")
    top.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(function: Callable[[argparse.Namespace], None], *arguments: Argument, **options: Any) -> None:
        """Add the command that *function* is, under its name, with the first line of its docstring."""
        name, summary = function.__name__.replace("_", "-"), (function.__doc__ or "").splitlines()[0]
        command_parser = commands.add_parser(name, help=summary, allow_abbrev=False, **options)
        command_parser.set_defaults(function=function, parser=command_parser)
        for argument, settings in arguments:
            command_parser.add_argument(argument, **settings)

    preset = ("preset", {"help": "a name, of those in params/ and those that come with itl, or a YAML file"})
    only = ("--only", {"metavar": "NOTEBOOK", "help": "one notebook of the preset, such as 01-data-size"})

    from itl.hierarchy.label_sets import describe_methods  # a light import, which help needs

    leaves = ("--leaves", {"type": Path, "help": "file that lists classes, instead of ILSVRC's 1000"})
    command(labels, ("method", {"type": label_method, "help": describe_methods()}), leaves, TAXONOMY)
    _add_packs(command)
    _add_detection(command)
    command(plan, preset, only, *MACHINE, *PLAN)
    command(run, preset, only, *MACHINE, SHARD, UNTIL_DECIDED)
    command(report, preset, only, *MACHINE)
    command(init, ("folder", {"type": Path, "help": "where params/ and notebooks/ are made"}))
    command(results, preset, DATA, HOME, ("--format", {"choices": ["csv", "parquet"], "default": "csv"}))
    reported = {"help": "a preset whose report is done, or the folder of a report, such as reports/demo"}
    formats = {"choices": ["text", "csv", "html"], "default": "text", "help": "html: a page of its own"}
    command(compare, ("first", reported), ("second", reported), HOME, ("--format", formats))
    command(
        advise,
        ("target", {"help": "a target of the preset's 10-advice, or a task, such as probe@birds"}),
        ("--preset", {"default": "my-task", "help": "whose 10-advice has the options"}),
        (
            "--budget",
            {"nargs": 2, "metavar": ("NUMBER", "UNIT"), "help": "of a net: hours, images, labels"},
        ),
        ("--pilot", {"type": int, "default": 0, "metavar": "NETS", "help": "first measure so many nets"}),
        *MACHINE,
    )
    weights_file = {"type": Path, "help": "FILE.safetensors, FILE.pth or FILE.pt"}
    command(export, ("run", {"help": "key of a run; 4 letters may do"}), ("file", weights_file), HOME)
    command(
        bench,
        DEVICE,
        ("--only", {"metavar": "NAME", "help": "rows of the table, such as crop,knn"}),
        ("--json", {"metavar": "FILE", "type": Path, "help": "write the figures there too"}),
    )
    first = next((word for word in argv if word != "--debug"), "-h")
    if first.startswith("-") and first not in ("-h", "--help", "--version"):
        top.error(f"{first} stands before the command; options come after it, as in: itl COMMAND … {first}")
    if not first.startswith("-") and first not in commands.choices:
        top.error(str(no_such(commands.choices, first, "command")))
    return top


def _add_packs(command: Callable[..., None]) -> None:
    """Add the commands on packs and their sources."""
    source = ("source", {"help": "demo, folder, imagenet, voc2007, sun397, coco, ..."})
    option = ("--option", {"action": "append", "metavar": "NAME=VALUE", "help": "what else the source takes"})
    path = ("path", {"nargs": "?", "type": Path, "help": "folder or tar; none where images are rendered"})
    command(
        subset,
        ("--pack", {"type": Path, "required": True}),
        ("--labels", {"type": label_method, "default": "original", "help": "a method of `itl labels`"}),
        ("--images-per-class", {"type": int}),
        ("--classes", {"type": int}),
        ("--seed", {"type": int, "help": "draws images and classes"}),
        TAXONOMY,
    )
    command(
        pack,
        source,
        path,
        option,
        ("--size", {"type": int, "default": 64, "help": "side of the stored square, in pixels"}),
        ("--fit", {"default": "squash", "help": "squash (both sides), crop (short side) or pad (long side)"}),
        ("--out", {"type": Path, "required": True}),
        ("--workers", {"type": int, "help": "threads"}),
        ALLOW_UNREADABLE,
    )
    command(check, source, path, option)
    command(
        duplicates,
        ("pack", {"type": Path, "help": "pack of a target; its splits are compared with each other"}),
        ("--pretraining", {"metavar": "PACK", "type": Path, "help": "compare with its training images too"}),
    )


def _add_detection(command: Callable[..., None]) -> None:
    """Add the commands on detections and region proposals."""
    command(
        voc_ap,
        ("--annotations", {"type": Path, "required": True, "help": "VOC's XML files: a folder or tar"}),
        ("--detections", {"type": Path, "required": True, "help": DETECTION_HELP}),
        ("--categories", {"type": Path, "help": "what COCO's category ids are: annotations JSON, or names"}),
        ("--metric", {"choices": ["07", "area"], "default": "07", "help": "11 points, or the area"}),
        *SCORED,
    )
    as_written = argparse.RawDescriptionHelpFormatter
    command(proposals, *PROPOSALS, description=PROPOSAL_FORMATS, formatter_class=as_written)


def labels(args: argparse.Namespace) -> None:
    """Print a label set as CSV."""
    from itl.hierarchy.class_lists import read_class_list
    from itl.hierarchy.label_sets import label_set
    from itl.hierarchy.taxonomies import open_taxonomy

    tree = open_taxonomy(args.taxonomy)
    wnids = tree.leaves
    if args.leaves is not None:
        listed = read_class_list(args.leaves, tree)
        wnids = tuple(listed)
        if any(wnid != label for wnid, label in listed.items()):
            print_notes(
                f"--leaves keeps the classes of {args.leaves}; `itl labels file@{args.leaves}` merges them"
            )
        if others := [wnid for wnid in wnids if wnid not in tree]:
            print_notes(f"{counted(len(others), 'wnids are')} not in the tree, such as {others[0]}")
    sys.stdout.write(label_set(tree, args.method, wnids).to_csv())


def subset(args: argparse.Namespace) -> None:
    """Print the images of a subset as CSV."""
    from itl.hierarchy.taxonomies import open_taxonomy
    from itl.packs.pack import Pack
    from itl.packs.subset import manifest, select

    if args.images_per_class is None and args.classes is None:
        refuse_unused(args, ["--seed"], "--images-per-class or --classes")
    images, tree = Pack.open(args.pack), open_taxonomy(args.taxonomy)
    spec = Subset(
        images.digest, args.labels, args.classes, args.images_per_class, args.seed or 0, tree.digest
    )
    manifest(images, select(images, spec, tree=tree)).to_csv(sys.stdout, index=False)


def pack(args: argparse.Namespace) -> None:
    """Decode a source once into a pack."""
    from itl.packs.pack import Pack

    options = parse_options(args.option)
    packing = Packing(args.source, None, args.size, args.fit, options, args.allow_unreadable)
    built = Pack.build(packing, args.out, path=args.path, workers=args.workers)
    print(f"{args.out}: {counted(len(built.table), 'images')} of {built.size} pixels, digest {built.digest}")


def check(args: argparse.Namespace) -> None:
    """Say what a source holds, what is missing, and what to do."""
    from itl.sources.check import check as check_source
    from itl.sources.check_lines import split_problems

    lines, problems = split_problems(check_source(args.source, args.path, **dict(parse_options(args.option))))
    for line in lines:
        print(line)
    if problems:
        raise ItlError(problems)


def duplicates(args: argparse.Namespace) -> None:
    """List images with their nearest duplicates: in two splits, under two classes, or in pre-training too."""
    import pandas as pd

    from itl.packs.duplicates import across_splits, between, count_text, of_two_classes
    from itl.packs.pack import Pack

    images = Pack.open(args.pack)
    tables = {
        "in two splits": across_splits(images).assign(pack=args.pack),
        "in one split under two classes": of_two_classes(images).assign(pack=args.pack),
    }
    if args.pretraining:
        seen = Pack.open(args.pretraining)
        tables["in pre-training"] = pd.concat(
            [between(seen, "train", images, split) for split in images.summary["splits"]]
        ).assign(pack=args.pretraining)
    pd.concat(tables.values()).to_csv(sys.stdout, index=False)
    for what, table in tables.items():
        print(f"{count_text(table)} of {len(images):,} images are {what}", file=sys.stderr)


def voc_ap(args: argparse.Namespace) -> None:
    """Score detections as PASCAL VOC does: average precision of each class, 0 to 1, as CSV."""
    import csv

    from itl.evaluation.voc_ap import mean_ap, voc_ap
    from itl.sources.annotated.detection_files import Annotations, describe_without_detection, load_detections
    from itl.sources.annotated.voc_xml import read_objects

    annotations = Annotations(*read_objects(args.annotations, args.images, args.outside), args.images)
    detections, notes = load_detections(args.detections, annotations, args.categories, args.outside)
    by_class = voc_ap(annotations.objects, detections, args.metric, known=annotations.classes)
    print_notes(*notes, *describe_without_detection(detections, annotations))
    rows = [*by_class.items(), ("mean", mean_ap(by_class.values()))]
    csv.writer(sys.stdout, lineterminator="\n").writerows([("class", "ap"), *rows])


def proposals(args: argparse.Namespace) -> None:
    """Convert files of region proposals, or measure what part of the objects they cover."""
    from itl.sources.annotated import proposal_files
    from itl.sources.annotated.proposals import RECALL_COUNTS, measure_recall

    if not args.recall:
        refuse_unused(args, ["--count", "--images", "--outside"], "--recall ANNOTATIONS")
    if str(args.regions) == "windows":
        if args.out or not args.recall:
            raise ItlError("windows are made for each image; give --recall ANNOTATIONS, and no file to write")
        refuse_unused(args, ["--order"], "files of regions, of which .mat have an order")
        regions = None
    else:
        if args.out:
            proposal_files.refuse_target(args.out)
        regions = proposal_files.read_regions(args.regions, args.order)
        print_notes("" if args.order else proposal_files.describe_order(args.regions))
        if args.out:
            proposal_files.write_regions(args.out, regions)
    if args.recall:
        counts = args.count or RECALL_COUNTS
        table, notes = measure_recall(regions, args.recall, counts, args.images, args.outside)
        table.to_csv(sys.stdout, index=False)
        print_notes(*notes)
    elif regions is not None:
        count = sum(len(boxes) for boxes in regions.values())
        print(f"{args.out or args.regions}: {counted(count, 'regions')} of {len(regions):,} images")


def plan(args: argparse.Namespace) -> None:
    """Show what a preset would run, and the time, disk and memory that it should take."""
    from itl.analysis.interim import control_lines, few_seeds_lines
    from itl.runs.plan_text import describe, describe_designs

    if args.detect and args.within:
        raise ItlError("give --detect or --within, not both")
    machine = _machine(args)
    planned, questions, store = _plan(args, machine)
    print(describe(planned, every_run=args.runs))
    for line in [*few_seeds_lines(questions), *control_lines(planned.unfinished, questions, store, machine)]:
        print(line)
    if args.detect or args.within:
        from itl.analysis.noise import designs

        table = designs(questions, store, machine, detect=args.detect or 0.0, within=args.within or 0.0)
        print(f"\n{describe_designs(table)}")
    with errors_about("`itl run` would refuse this"):
        planned.refuse()


def run(args: argparse.Namespace) -> None:
    """Do the missing runs of a preset."""
    from itl.analysis.added_seeds import run_each_until_decided
    from itl.analysis.interim import control_lines
    from itl.runs.question import describe_done, run_all

    machine = _machine(args)
    machine.runs.mkdir(parents=True, exist_ok=True)  # where that cannot be, nothing is measured
    planned, questions, store = _plan(args, machine)
    planned.refuse()
    for line in [*planned.notes, *control_lines(planned.unfinished, questions, store, machine)]:
        print(line, flush=True)
    if args.until_decided:
        for line in run_each_until_decided(questions, store, machine):
            print(line, flush=True)
    else:
        run_all(questions, store, machine)
        when = "next" if machine.shard == (1, 1) else "once all parts are done"
        print(f"{describe_done(questions, store, machine)}; {when}: {command_line('report', args)}")


def report(args: argparse.Namespace) -> None:
    """Do the missing runs of a preset, execute its notebooks and write its pages."""
    from tqdm import tqdm

    from itl.report import build

    machine, preset = _machine(args), _preset(args)
    out = machine.home / "reports" / preset.name
    with log_lines(tqdm.write):  # which spares the bar
        print(build.report(preset, out, machine, only=args.only))


def advise(args: argparse.Namespace) -> None:
    """Rank what to pre-train on for a target under a budget, and say what to measure next."""
    from itl.analysis.advice import NO_LIMIT, Budget, describe
    from itl.analysis.pilot import Pilot, task_of
    from itl.runs.questions import questions_of
    from itl.runs.store import Store

    budget = Budget.read(*args.budget) if args.budget else NO_LIMIT
    (question,), machine = questions_of(_preset(args), "10-advice"), _machine(args)
    task = task_of(question, args.target, args.preset)
    command = command_line("advise", args)
    pilot = Pilot(question, task, Store(machine.runs), machine, args.pilot > 0, budget, command)
    for line in pilot.run(args.pilot):
        print(line, flush=True)
    try:
        print(describe(pilot.grid, pilot.task, budget, command))
    except ItlError:
        if not pilot.failures:
            raise
    if pilot.failures:
        raise ItlError(
            f"not measured: {'; '.join(pilot.failures.values())}; repeat the command to try again, or take "
            f"options that cannot be measured out of the preset"
        )


def init(args: argparse.Namespace) -> None:
    """Copy the presets and notebooks that come with itl to a folder, to be edited."""
    from itl.presets import copy_shipped

    print(*copy_shipped(args.folder), sep="\n")


def results(args: argparse.Namespace) -> None:
    """Print every number of a preset, tidy."""
    from itl.runs.questions import questions_of
    from itl.runs.results import notes_on, results_of, words_as_text
    from itl.runs.store import Store

    if args.format == "parquet" and sys.stdout.isatty():
        command = command_line("results", args)
        raise ItlError(f"parquet is no text for a terminal; write a file: {command} --format parquet > FILE")
    machine = _machine(args)
    preset = _preset(args)
    questions, store = questions_of(preset), Store(machine.runs)
    if not questions:
        raise ItlError(f"preset {preset.name} asks no question, so it has no results")
    table = results_of(questions, store, machine)
    if args.format == "csv":
        table.to_csv(sys.stdout, index=False)
    else:
        words_as_text(table).to_parquet(sys.stdout.buffer, index=False)
    for line in notes_on(table, questions, store, machine, command_line("run", args)):
        print(f"itl: note: {line}", file=sys.stderr)


def compare(args: argparse.Namespace) -> None:
    """Say which answers of two reports differ, and what differs between their runs."""
    from itl.report.compare import compare_reports, page, summary

    differences = compare_reports(args.first, args.second, Machine.from_environment(home=args.home).home)
    if args.format == "csv":
        differences.table.to_csv(sys.stdout, index=False)
        print_notes(*differences.notes)
    else:
        print(summary(differences) if args.format == "text" else page(differences, args.first, args.second))


def export(args: argparse.Namespace) -> None:
    """Write the net of a run as weights that torchvision or timm loads."""
    from itl.runs.nets import export_net

    print(export_net(args.run, args.file, Machine.from_environment(home=args.home)))


def bench(args: argparse.Namespace) -> None:
    """Measure itl beside what people would use instead, and print the table."""
    from itl.bench.table import bench as measure

    with log_lines(partial(print, file=sys.stderr)):
        measure(args.only, args.json, args.device)


def _plan(args: argparse.Namespace, machine: Machine) -> "tuple[Plan, list[Question], Store]":
    """Plan the questions of a preset on *machine*; messages on measuring go to stderr."""
    from itl.report.notebook_file import notebooks_of
    from itl.runs.plan import plan as make_plan
    from itl.runs.questions import questions_of
    from itl.runs.store import Store

    preset = _preset(args)
    notebooks_of(preset)  # what its report would refuse, before the runs
    questions, store = questions_of(preset, args.only), Store(machine.runs)
    with log_lines(partial(print, file=sys.stderr if machine.rank == 0 else sys.stdout)):
        return make_plan(questions, store, machine), questions, store


def _machine(args: argparse.Namespace) -> Machine:
    names = ("home", "device", "workers", "compile", "scheduler")
    given = {name: getattr(args, name, None) for name in names}
    data, shard = tuple(args.data or ()) or None, parse_shard(getattr(args, "shard", None))
    machine = Machine.from_environment(**given, data=data, shard=shard)
    if given["device"] and machine.scheduler:
        raise ItlError("--device is of this host, and a scheduler's workers have their own; leave it out")
    if given["workers"] and machine.ranks > 1:
        raise ItlError(
            "--workers counts runs side by side, and torchrun does one after the other; leave it out"
        )
    if given["workers"] and machine.scheduler not in (None, "slurm"):
        raise ItlError(
            f"--workers counts runs on this host, or SLURM jobs; each worker of the scheduler "
            f"{machine.scheduler} does one run: start as many as should go side by side, and leave it out"
        )
    if machine.rank > 0:  # the first rank prints for all
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return machine


def _preset(args: argparse.Namespace) -> "Preset":
    """Load the preset; refuse notebooks, parameters and data that do not exist, before anything runs."""
    from itl.presets import load_preset
    from itl.report.notebook_file import notebooks_of
    from itl.runs.question import refuse_unknown_data
    from itl.runs.questions import QUESTIONS, questions_of

    notebooks_of(preset := load_preset(args.preset), unchecked=QUESTIONS)  # which check their own
    refuse_unknown_data(args.data or (), questions_of(preset))
    return preset
