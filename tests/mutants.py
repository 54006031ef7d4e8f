"""Do the tests bite? Change one token of a core module at a time and run the module's own tests.

``python -m tests.mutants --count 200`` prints each mutant that its tests did not notice, and what share they
killed; ``--again LOG`` judges only those that survived in LOG, what an earlier call printed. A mutant is one
comparison turned, one sign or bool operator swapped, a number changed by one, or min for max. It is written
to a copy of the checkout, so nothing here changes. ``equivalent_mutants.txt`` lists survivors that change
nothing that anyone can see, under the reason.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
PATIENCE = 4  # times as long as its tests take without a change, a mutant may take
LEAST_PATIENCE_S = 30.0
SURVIVES = "SURVIVES: "  # before the name of a mutant, where it is printed
LAYOUT = " ".join(
    f"tests/sources/test_{name}.py"
    for name in ("layout", "layout_refused", "folders_of_no_classes", "published_layouts")
)
LISTS = "tests/sources/test_splits_of_lists.py"
FLAGS = f"{LISTS} tests/sources/test_split_flags.py"
PUBLISHED = "tests/sources/test_published_layouts.py"
LABELS = "tests/hierarchy/test_label_sets.py"
MODULES = {  # core modules, and the tests that are theirs
    "itl/storage.py": "tests/test_storage.py",
    "itl/machine.py": "tests/test_machine.py tests/runs/test_devices.py",
    "itl/spec_checks.py": "tests/test_specs.py tests/test_specs_refused.py",
    "itl/specs.py": "tests/test_specs.py tests/test_specs_refused.py tests/test_keys.py",
    "itl/settings.py": "tests/test_specs.py tests/test_specs_refused.py",
    "itl/hierarchy/label_sets.py": " ".join(
        (LABELS, "tests/hierarchy/test_label_sets_properties.py", "tests/hierarchy/test_class_lists.py")
    ),
    "itl/hierarchy/halves.py": f"{LABELS} tests/hierarchy/test_halves_along_tree.py",
    "itl/hierarchy/taxonomy.py": "tests/hierarchy/test_taxonomy.py tests/hierarchy/test_taxonomy_nltk.py",
    "itl/packs/subset.py": "tests/packs/test_subset.py",
    "itl/packs/journal.py": "tests/packs/test_journal.py",
    "itl/packs/fit.py": "tests/packs/test_fit.py",
    "itl/sources/folder_names.py": LAYOUT,
    "itl/sources/folders/layout.py": LAYOUT,
    "itl/sources/folders/left_out.py": f"tests/sources/test_layout_options.py {LAYOUT}",
    "itl/sources/folders/layout_options.py": f"tests/sources/test_layout_options.py {LAYOUT}",
    "itl/sources/split_names.py": f"{LISTS} tests/sources/test_layout_options.py {LAYOUT}",
    "itl/sources/listed/split_columns.py": f"{FLAGS} tests/sources/test_layout_options.py {PUBLISHED}",
    "itl/sources/listed/labels.py": f"{LISTS} tests/sources/test_lists.py {PUBLISHED}",
    "itl/sources/boxes.py": " ".join(
        f"tests/sources/test_{name}.py" for name in ("boxes", "proposals", "coco")
    ),
    "itl/sources/annotated/proposals.py": " ".join(
        f"tests/sources/test_{name}.py" for name in ("proposals", "proposal_files")
    ),
    "itl/sources/annotated/windows.py": "tests/sources/test_proposals.py",
    "itl/evaluation/voc_ap.py": "tests/evaluation/test_voc_ap.py",
    "itl/evaluation/rounding.py": "tests/evaluation/test_rounding.py",
    "itl/runs/executors.py": "tests/runs/test_devices.py",
    "itl/runs/store.py": "tests/runs/test_store.py",
    "itl/runs/progress.py": "tests/runs/test_progress.py",
    "itl/analysis/seeds.py": "tests/analysis/test_seeds.py",
    "itl/analysis/noise.py": "tests/analysis/test_noise.py",
    "itl/analysis/statistics.py": "tests/analysis/test_statistics.py",
    "itl/analysis/model.py": "tests/analysis/test_model.py",
    "itl/analysis/verdicts.py": "tests/analysis/test_verdicts.py tests/analysis/test_comparisons.py",
    "itl/analysis/task_values.py": "tests/analysis/test_comparisons.py tests/analysis/test_doublings.py",
    "itl/analysis/comparisons.py": "tests/analysis/test_comparisons.py tests/analysis/test_doublings.py",
    "itl/analysis/interim.py": " ".join(
        f"tests/analysis/test_{name}.py" for name in ("added_seeds", "comparisons", "doublings")
    ),
    "itl/analysis/findings.py": "tests/analysis/test_published.py",
    "itl/analysis/published.py": "tests/analysis/test_published.py",
}
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")

COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.And: ast.Or, ast.Or: ast.And}
FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """A module with one token changed."""

    module: str
    number: int  # of the line
    line: str  # as changed, the change in parentheses
    text: bytes  # of the whole module

    @property
    def name(self) -> str:
        """What `equivalent` and logs call it: the line may move."""
        return f"{self.module}: {self.line}"


def mutants_of(module: str) -> Iterator[Mutant]:
    """Yield every mutant of *module*; only the changed expression is written anew."""
    text = (CHECKOUT / module).read_bytes()
    starts = [0, *accumulate(map(len, text.splitlines(keepends=True)))]
    for node in ast.walk(ast.parse(text)):
        for changed in _changes(node):
            begin = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            if not _is_source(text[begin:end], node):
                continue
            mutated = text[:begin] + _source(changed).encode() + text[end:]
            line = mutated.splitlines()[node.lineno - 1].decode().strip()
            yield Mutant(module, node.lineno, line, mutated)


def _is_source(text: bytes, node: ast.AST) -> bool:
    """Whether *text* is that of *node*: Python 3.11 misplaces what is inside some f-strings."""
    try:
        return ast.unparse(
            ast.parse(b"(" + text + b")" if isinstance(node, ast.expr) else text)
        ) == ast.unparse(node)
    except SyntaxError:
        return False


def _source(node: ast.AST) -> str:
    text = ast.unparse(ast.fix_missing_locations(node))
    return f"({text})" if isinstance(node, ast.expr) else text


def unchanged(module: str) -> Mutant:
    """Return *module* as it is."""
    return Mutant(module, 0, "", (CHECKOUT / module).read_bytes())


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield copies of *node*, each with one token changed."""
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            if type(operator) in COMPARISONS:
                operators = [*node.ops[:index], COMPARISONS[type(operator)](), *node.ops[index + 1 :]]
                yield ast.Compare(node.left, operators, node.comparators)
    elif isinstance(node, ast.AugAssign) and type(node.op) in OPERATORS:
        yield ast.AugAssign(node.target, OPERATORS[type(node.op)](), node.value)
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(OPERATORS[type(node.op)](), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
        yield ast.Call(ast.Name(FUNCTIONS[node.func.id]), node.args, node.keywords)


def sample(count: int, seed: int, modules: list[str]) -> list[Mutant]:
    """Draw *count* mutants: first a module, then one of its mutants, each once."""
    dice = random.Random(seed)
    pools = {module: list(mutants_of(module)) for module in modules}
    for pool in pools.values():
        dice.shuffle(pool)
    drawn: list[Mutant] = []
    while len(drawn) < count and any(pools.values()):
        module = dice.choice([name for name, pool in pools.items() if pool])
        drawn.append(pools[module].pop())
    return drawn


def equivalent() -> dict[str, str]:
    """Read why each mutant that changes nothing does so, by the mutant's name."""
    reasons, reason = {}, ""
    for line in EQUIVALENT.read_text("utf-8").splitlines():
        if line.startswith("# "):
            reason = line.removeprefix("# ")
        elif line:
            reasons[line] = reason
    return reasons


def survivors_of(log: Path) -> list[Mutant]:
    """Return the mutants that survived in *log*, what an earlier call printed."""
    names = {name for line in log.read_text().splitlines() if (name := line.partition(SURVIVES)[2])}
    return [mutant for module in MODULES for mutant in mutants_of(module) if mutant.name in names]


def is_killed(mutant: Mutant, copy: Path, seconds: float | None) -> bool:
    """Run the tests of the mutant's module in *copy* of the checkout; say whether one failed.

    So do tests that take longer than so many *seconds*, if these are given, such as a loop without end.
    """
    path = copy / mutant.module
    whole = path.read_bytes()
    path.write_bytes(mutant.text)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", mutant.module]
    environment = os.environ | {"PYTHONPATH": str(copy)}
    if seconds is not None:  # bytecode of what is not changed is written before, that of a mutant never
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        done = subprocess.run(
            [*command, *MODULES[mutant.module].split()],
            cwd=copy,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
        return done.returncode != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_bytes(whole)


def checkout_copy(folder: Path) -> Path:
    """Copy what the tests need of the checkout into *folder*."""
    for part in ("itl", "tests", "params", "notebooks", "docs", "studies"):
        shutil.copytree(CHECKOUT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "conftest.py"):
        shutil.copy(CHECKOUT / part, folder / part)
    return folder


def patience(modules: Iterable[str], copy: Path) -> dict[str, float]:
    """Return for each of *modules* how many seconds the tests of a mutant may take."""
    seconds = {}
    for module in modules:
        started = time.monotonic()
        if is_killed(unchanged(module), copy, None):  # such tests would kill every mutant
            sys.exit(f"the tests of {module} fail without any change: {MODULES[module]}")
        taken = time.monotonic() - started
        print(f"{taken:5.1f} s without a change: {module}", flush=True)
        seconds[module] = max(LEAST_PATIENCE_S, PATIENCE * taken)
    return seconds


def main() -> int:
    """Print survivors and what part was killed; the exit status is 1 below 95 %."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(MODULES), choices=list(MODULES), metavar="MODULE")
    parser.add_argument("--again", type=Path, metavar="LOG", help="judge the survivors of an earlier call")
    args = parser.parse_args()
    mutants = survivors_of(args.again) if args.again else sample(args.count, args.seed, args.only)
    reasons, killed, survivors = equivalent(), 0, 0
    with tempfile.TemporaryDirectory(prefix="itl-mutants-") as name:
        copy = checkout_copy(Path(name) / "checkout")
        seconds = patience(dict.fromkeys(mutant.module for mutant in mutants), copy)
        for mutant in mutants:
            if is_killed(mutant, copy, seconds[mutant.module]):
                killed += 1
            elif reason := reasons.get(mutant.name):
                print(f"changes nothing ({reason}): {mutant.name}", flush=True)
            else:
                survivors += 1
                print(f"line {mutant.number} {SURVIVES}{mutant.name}", flush=True)
    share = killed / max(1, killed + survivors)
    print(f"{killed} of {killed + survivors} mutants that change something were killed: {share:.0%}")
    return 0 if share >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
