"""How a device computes: set in one place, put back afterwards, and told as it was."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from itl.machine import Machine
from itl.training.numerics import described, has_bf16, repeatable, triton_kernel

MATMUL, CUDNN, ONEDNN = torch.backends.cuda.matmul, torch.backends.cudnn, torch.backends.mkldnn
PRODUCTS = MATMUL, CUDNN.conv, CUDNN.rnn, ONEDNN.matmul, ONEDNN.conv, ONEDNN.rnn
CALLERS = {  # how a caller may have allowed TF32, or forbidden it, before
    "as torch starts": lambda: None,
    "old, high": lambda: torch.set_float32_matmul_precision("high"),
    "old, medium": lambda: torch.set_float32_matmul_precision("medium"),
    "old, allow_tf32": lambda: setattr(MATMUL, "allow_tf32", True),
    "old, of cuDNN": lambda: setattr(CUDNN, "allow_tf32", False),
    "new, all": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "new, of CUDA": lambda: setattr(CUDNN, "fp32_precision", "tf32"),
    "new, of products": lambda: setattr(MATMUL, "fp32_precision", "tf32"),
    "new, of convolutions": lambda: setattr(CUDNN.conv, "fp32_precision", "ieee"),
}


def readable(read: Callable[[], Any]) -> Any:
    """What torch says of an older setting: that it contradicts a newer one is an answer too."""
    try:
        return read()
    except RuntimeError:
        return "refused"


def settings() -> tuple:
    older = readable(torch.get_float32_matmul_precision), readable(lambda: CUDNN.allow_tf32)
    newer = [product.fp32_precision for product in PRODUCTS]
    return CUDNN.enabled, CUDNN.deterministic, CUDNN.benchmark, *older, *newer


@pytest.fixture
def restored():
    """Let tests change torch's settings."""
    owners = torch.backends, CUDNN, ONEDNN, *PRODUCTS
    before = [owner.fp32_precision for owner in owners]
    yield
    torch.set_float32_matmul_precision("highest")
    CUDNN.allow_tf32 = True
    for owner, precision in zip(owners, before, strict=True):
        owner.fp32_precision = precision


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.usefixtures("restored")
def test_kernels_repeat_and_float32_is_float32_inside_alone(caller):
    """Inside, the older settings say the same: torch.compile reads them."""
    CALLERS[caller]()
    before, exact = settings(), (True, True, False, "highest", False, *6 * ["ieee"])
    with repeatable(Machine(threads=1)):
        assert settings() == exact
        with repeatable(Machine(threads=1)):
            assert settings() == exact
        assert settings() == exact
    assert settings() == before


@pytest.mark.parametrize("majors", [(6, 9), (9, 6), (8, 8)])
def test_bfloat16_is_asked_of_the_gpu_that_computes_not_of_the_current_one(majors, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda gpu: (majors[gpu.index], 0))
    supported = [has_bf16(torch.device("cuda", number)) for number in (0, 1)]
    assert supported == [major >= 8 for major in majors]


def test_provenance_tells_the_precision_that_was_really_used():
    half = "bf16" if has_bf16(torch.device("cpu")) else "fp32"
    assert described(Machine(threads=1), "bf16", True)["precision"] == half
    description = described(Machine(threads=1, compile=True), "fp32", True)
    assert description == {"precision": "fp32", "tf32": "", "cudnn": "", "compile": "yes"}
    description = described(Machine(threads=1, compile=True), "fp32", False)
    assert description == {"precision": "fp32", "tf32": "", "cudnn": ""}, "frozen nets are compiled by no one"


@pytest.mark.parametrize(
    ("error", "reason"), [(RuntimeError("no cc\nat all"), "no cc"), (ImportError(), "ImportError")]
)
def test_without_triton_the_reason_is_said_once(error, reason):
    def tried():
        raise error

    device = torch.device("cuda")
    with pytest.warns(UserWarning, match=rf"^no Triton on cuda \({reason}\); plain torch counts, slower$"):
        assert triton_kernel(tried, device, "plain torch counts") is None
    assert triton_kernel(lambda: str, device, "plain torch counts") is str


def test_memory_that_is_short_for_now_says_nothing_of_triton():
    def tried():
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        triton_kernel(tried, torch.device("cuda"), "plain torch counts")
