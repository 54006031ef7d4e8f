"""The fused search, run by Triton's interpreter on the CPU, is brute force; and it compiles for real GPUs."""

import pytest

from tests.training.test_crop_triton import run

pytest.importorskip("triton", reason="Triton is not installed; the fused search is for GPUs")

COMPARE = """
import numpy as np, torch
from itl.evaluation import knn_triton
from torch.utils._python_dispatch import TorchDispatchMode
from triton.runtime import interpreter

def reduce_slices(reduction, parts):
    # What the interpreter does number by number, and in the same order: half of all its time
    moved = [np.moveaxis(part.handle.data, reduction.axis, 0) for part in parts]
    slices = ([reduction.to_tensor(array, part.dtype) for array, part in zip(arrays, parts)]
              for arrays in zip(*moved))
    best = next(slices)
    for others in slices:
        best = reduction.combine_fn.fn(*best, *others)
    return best

interpreter.ReduceOps.generic_reduce = reduce_slices

WAITS = {"nonzero", "item", "_local_scalar_dense", "is_nonzero", "masked_select", "unique_consecutive"}

class Waits(TorchDispatchMode):
    names = []
    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation._schema.name.split("::")[1]
        if name in WAITS or name in ("index", "index_put_") and any(
            part is not None and part.dtype == torch.bool for part in args[1]
        ):
            self.names.append(name)
        return operation(*args, **(kwargs or {}))

def world(kind, rows, queries, width, random):
    base, asked = (torch.randn(count, width, generator=random) for count in (rows, queries))
    centres = torch.randn(20, width, generator=random)
    if kind == "twice":
        base = base[torch.arange(rows) // 2]
    if kind == "clusters":
        base, asked = ((centres[torch.arange(len(part)) % 20] + 0.3 * part).relu() for part in (base, asked))
    if kind == "sorted":
        base, asked = centres[torch.arange(rows) * 20 // rows] + 0.3 * base, centres[:queries] + 0.3 * asked
    if kind == "all lengths":
        base *= 10.0 ** torch.linspace(-30, 30, rows)[:, None]
    if kind == "impossible":
        base = base[:1] + 1e-7 * base
        asked[2] = 0
    return base, asked

knn_triton.multiprocessors = lambda device: 4
knn_triton.QUERIES = 8                  # of a tile: the interpreter is slow
random = torch.Generator().manual_seed(0)
for kind, rows, queries, width, k in (
    ("random", 2561, 4, 40, 5), ("twice", 1030, 8, 24, 2), ("clusters", 1100, 17, 70, 1),
    ("sorted", 1601, 12, 16, 3), ("all lengths", 520, 5, 30, 1), ("impossible", 600, 4, 8, 1),
):
    base, asked = world(kind, rows, queries, width, random)
    Waits.names.clear()
    with Waits():
        found, similarities, remaining = knn_triton.search(base, asked, k)
    assert Waits.names == ["nonzero"], Waits.names                      # the one at the end
    stored, queries = (part.double() / part.double().norm(dim=1, keepdim=True) for part in (base, asked))
    exact = (queries @ stored.T).sort(dim=1, descending=True, stable=True)
    done = torch.ones(len(asked), dtype=torch.bool)
    done[remaining] = False
    if kind == "impossible":
        assert len(remaining) == 4
    else:
        assert len(remaining) <= len(asked) // 4, (kind, len(remaining))
        assert torch.equal(found[done], exact.indices[done, :k]), kind
        torch.testing.assert_close(similarities[done], exact.values[done, :k], rtol=0, atol=1e-14)
    print(kind)
assert knn_triton.search(base[:511], asked, 1) is None
assert knn_triton.search(base.double(), asked.double(), 1) is None
for broken, part in ((float("nan"), base), (float("inf"), asked)):
    part[1, 1] = broken
    assert len(knn_triton.search(base, asked, 1)[2]) == len(asked)
"""
COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from itl.evaluation import knn_triton as module

tiles = {name: getattr(module, name) for name in ("QUERIES", "ROWS", "NUMBERS", "GROUPS", "UNITS", "UNIT")}
fixed = tiles | dict(CANDIDATES=module.CANDIDATES, K=5, IS_BASE=True, TILE=256, AT_ONCE=8)
kinds = dict(
    vectors="*fp32", queries="*fp32", base="*fp32", centre="*fp32", rounded="*fp16", length="*fp32",
    error="*fp32", maxima="*fp32", margin="*fp32", candidates="*i32", counts="*i32", cosines="*fp64",
    rows="*i64", similarities="*fp64",
)
part = "tensordesc<fp16[{}, %d]>" % module.NUMBERS
special = {
    "_round_kernel": (dict(BLOCK=512), {}, 4),
    "_group_maxima_kernel": ({}, dict(queries=part.format(module.QUERIES), base=part.format(module.ROWS)), 8),
    "_select_kernel": (dict(CHUNK=512), dict(queries="i32"), 1),
    "_cosines_kernel": (dict(CHUNK=8, BLOCK=64), dict(rows="i32"), 1),
    "_best_kernel": ({}, {}, 1),
}
for capability in (90, 100):
    for name, (sizes, types, warps) in special.items():
        kernel = getattr(module, name)
        constants = {each: value for each, value in (fixed | sizes).items() if each in kernel.arg_names}
        signature = {
            each: "constexpr" if each in constants else (kinds | types).get(each, "i32")
            for each in kernel.arg_names
        }
        aligned = {
            (place,): [["tt.divisibility", 16]] for place, each in enumerate(kernel.arg_names)
            if signature[each].startswith("*") or each in ("width", "padded")
        }
        made = triton.compile(
            ASTSource(kernel, signature, constants, aligned), target=GPUTarget("cuda", capability, 32),
            options={"num_warps": warps, "num_stages": 4},
        )
        assert len(made.asm["cubin"]) > 0
        if name == "_group_maxima_kernel":
            units = {90: "wgmma", 100: "tcgen05.mma"}[capability]
            print(capability, made.metadata.shared <= 227 * 1024, units in made.asm["ptx"])
"""


def test_the_fused_search_is_brute_force_and_waits_once():
    """Also where rows are twice there, sorted by class, of all lengths; what it cannot separate remains."""
    kinds = ["random", "twice", "clusters", "sorted", "all lengths", "impossible"]
    assert run(COMPARE, TRITON_INTERPRET="1").splitlines() == kinds


def test_the_fused_search_compiles_for_gpus_that_are_not_here():
    assert run(COMPILE).splitlines() == ["90 True True", "100 True True"]
