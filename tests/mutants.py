"""Do the tests bite? Change one token of a core module at a time and run the module's own tests.

``python -m tests.mutants --count 200`` prints each mutant that its tests did not notice, and what share they
killed. A mutant is one comparison turned, one sign or bool operator swapped, a number changed by one, or min
for max. It is written to a copy of the checkout, so nothing here changes. `EQUIVALENT` lists survivors that
change nothing that anyone can see, each with its reason.
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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
PATIENCE = 4  # times as long as its tests take without a change, a mutant may take
LEAST_PATIENCE_S = 30.0
NEEDS_COME_FIRST = "tests/runs/test_executors.py::test_needs_come_first_and_each_run_once"  # others train
MODULES = {  # core modules, and the tests that are theirs
    "itl/storage.py": "tests/test_storage.py",
    "itl/machine.py": "tests/test_machine.py tests/runs/test_devices.py",
    "itl/specs.py": "tests/test_specs.py tests/test_keys.py",
    "itl/hierarchy/label_sets.py": "tests/hierarchy",
    "itl/hierarchy/halves.py": "tests/hierarchy",
    "itl/hierarchy/taxonomy.py": "tests/hierarchy",
    "itl/packs/subset.py": "tests/packs/test_subset.py",
    "itl/packs/journal.py": "tests/packs/test_pack.py",
    "itl/sources/boxes.py": "tests/sources/test_boxes.py tests/sources/test_proposals.py",
    "itl/sources/proposals.py": "tests/sources/test_proposals.py tests/sources/test_proposal_files.py",
    "itl/evaluation/voc_ap.py": "tests/evaluation/test_voc_ap.py",
    "itl/evaluation/rounding.py": "tests/evaluation",
    "itl/runs/executors.py": f"tests/runs/test_devices.py {NEEDS_COME_FIRST}",
    "itl/runs/store.py": "tests/runs/test_store.py",
    "itl/analysis/statistics.py": "tests/analysis/test_statistics.py",
    "itl/analysis/model.py": "tests/analysis/test_model.py",
    "itl/analysis/verdicts.py": "tests/analysis/test_comparisons.py",
    "itl/analysis/comparisons.py": "tests/analysis/test_comparisons.py",
    "itl/analysis/findings.py": "tests/analysis/test_published.py",
    "itl/analysis/published.py": "tests/analysis/test_published.py",
}
# by name, as it is printed: why nobody can see the difference
PAIRS = (
    "itl/evaluation/voc_ap.py: "
    "classes = 1 + max(objects.classes.max(initial=0), detections.classes.max(initial=0))"
)
STRIDE = "a larger stride keeps pairs of image and class apart too"
EQUIVALENT = {
    f"{PAIRS}: 1 -> 2": STRIDE,
    f"{PAIRS}: 0 -> 1": STRIDE,
    'itl/analysis/published.py: beyond = ("+" if row["change"] > 0 else "-") if '
    'row["p_adjusted"] < LEVEL else "": '
    "row[\"change\"] > 0 -> row['change'] >= 0": "a change of 0 is not beyond noise",
    "itl/storage.py: if not lock.is_locked and elsewhere and time.monotonic() - since > SILENCE_S:: "
    "time.monotonic() - since > SILENCE_S -> time.monotonic() - since >= SILENCE_S": "no clock stops there",
    'itl/runs/store.py: warnings.warn(f"{file} is damaged; it is made again", stacklevel=2): '
    "2 -> 3": "the warning says the same",
    "itl/machine.py: NO_LIMIT = 1 << 60  # bytes; cgroup v1 writes a number above it: "
    "60 -> 61": "no machine has a limit between the two",
    "itl/storage.py: return 0: 0 -> 1": "no file was changed then either",
    'itl/hierarchy/label_sets.py: "without": Method(_without, "wnids", "n02084071,n02121620", '
    "_parse_wnids, 4),: 4 -> 5": "the last rank stays the last",
}

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
    line: int
    code: str  # that line
    before: str
    after: str
    text: str  # of the whole module

    @property
    def name(self) -> str:
        """What `EQUIVALENT` calls it: the line may move."""
        return f"{self.module}: {self.code}: {self.before} -> {self.after}"


def mutants_of(module: str) -> Iterator[Mutant]:
    """Yield every mutant of *module*; only the changed expression is written anew."""
    text = (CHECKOUT / module).read_text()
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for changed in _changes(node):
            before = ast.get_source_segment(text, node)
            if before is None or "\n" in before:  # what spans lines would lose its comments
                continue
            lines = text.splitlines(keepends=True)
            line = lines[node.lineno - 1].encode()
            after = ast.unparse(ast.fix_missing_locations(changed))
            lines[node.lineno - 1] = (
                line[: node.col_offset] + f"({after})".encode() + line[node.end_col_offset :]
            ).decode()
            yield Mutant(
                module, node.lineno, text.splitlines()[node.lineno - 1].strip(), before, after, "".join(lines)
            )


def unchanged(module: str) -> Mutant:
    """Return *module* as it is."""
    return Mutant(module, 0, "", "", "", (CHECKOUT / module).read_text())


def _changes(node: ast.AST) -> Iterator[ast.expr]:
    """Yield copies of the expression *node*, each with one token changed."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        yield ast.Compare(node.left, [COMPARISONS[type(node.ops[0])]()], node.comparators)
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


def is_killed(mutant: Mutant, copy: Path, seconds: float | None) -> bool:
    """Run the tests of the mutant's module in *copy* of the checkout; say whether one failed.

    So do tests that take longer than so many *seconds*, if these are given, such as a loop without end.
    """
    path = copy / mutant.module
    whole = path.read_text()
    path.write_text(mutant.text)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, *MODULES[mutant.module].split()],
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
        return done.returncode != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(whole)


def main() -> int:
    """Print survivors and what part was killed; the exit status is 1 below 95 %."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(MODULES), choices=list(MODULES), metavar="MODULE")
    args = parser.parse_args()
    killed, survivors = 0, 0
    with tempfile.TemporaryDirectory(prefix="itl-mutants-") as name:
        copy = Path(name) / "checkout"
        for part in ("itl", "tests", "params", "notebooks"):
            shutil.copytree(CHECKOUT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("pyproject.toml", "conftest.py"):
            shutil.copy(CHECKOUT / part, copy / part)
        mutants = sample(args.count, args.seed, args.only)
        seconds = {}  # by tests: how long a mutant may take
        for tests, module in {MODULES[mutant.module]: mutant.module for mutant in mutants}.items():
            started = time.monotonic()
            if is_killed(unchanged(module), copy, None):  # such tests would kill every mutant
                sys.exit(f"the tests of {module} fail without any change: {tests}")
            seconds[tests] = max(LEAST_PATIENCE_S, PATIENCE * (time.monotonic() - started))
        for mutant in mutants:
            if is_killed(mutant, copy, seconds[MODULES[mutant.module]]):
                killed += 1
            elif reason := EQUIVALENT.get(mutant.name):
                print(f"changes nothing: {mutant.name} ({reason})", flush=True)
            else:
                survivors += 1
                print(f"SURVIVES: line {mutant.line} of {mutant.name}", flush=True)
    share = killed / max(1, killed + survivors)
    print(f"{killed} of {killed + survivors} mutants that change something were killed: {share:.0%}")
    return 0 if share >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
