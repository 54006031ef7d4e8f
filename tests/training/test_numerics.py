"""How a device computes: set in one place, put back afterwards, and told as it was."""

import pytest
import torch

from itl.machine import Machine
from itl.training.numerics import described, has_bf16, repeatable, triton_kernel


def settings() -> tuple[bool, ...]:
    cudnn = torch.backends.cudnn
    matmul = torch.backends.cuda.matmul
    return cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32


def test_kernels_repeat_and_float32_is_float32_inside_alone():
    before = settings()
    with repeatable(Machine(threads=1)):
        assert settings() == (True, False, False, False)
        with repeatable(Machine(threads=1)):
            pass
        assert settings() == (True, False, False, False)
    assert settings() == before


def test_provenance_tells_the_precision_that_was_really_used():
    half = "bf16" if has_bf16(torch.device("cpu")) else "fp32"
    assert described(Machine(threads=1), "bf16")["precision"] == half
    description = described(Machine(threads=1, compile=True), "fp32")
    assert description == {"precision": "fp32", "tf32": "", "cudnn": "", "compile": "yes"}


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
