"""What holds for examples in docstrings and tests alike: names, and how they are collected."""

import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest

# One thread for each process of tests, and for those that they start: there is a process for each core, and
# threads that wait for one another actively while others have work for the same cores make a step of training
# take ten times as long. Said before NumPy is imported, whose linear algebra reads it once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.conftest import SLOW, small_taxonomy  # noqa: E402

gc.disable()  # a million objects are imported, and stay: to look through them takes half of the time

IN_MEMORY = Path("/dev/shm")  # a file system of Linux
IN_MEMORY_BYTES = 6 * 2**30  # that are free there, so that tests may use them: they leave less than a third


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --quick, for `make check`."""
    parser.addoption("--quick", action="store_true", help="leave out the test files that take long")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the files of SLOW where only quick tests are wanted."""
    path = collection_path.relative_to(config.rootpath).as_posix()
    return True if config.getoption("quick") and path.startswith(SLOW) else None


def pytest_configure() -> None:
    """Set what processes of tests, and those that they start, find in their environment.

    Files are written into memory, where there is enough: 3 GB, and itl flushes what it writes to the disk.
    """
    if "TMPDIR" in os.environ or not IN_MEMORY.is_dir():
        return
    executable = not os.statvfs(IN_MEMORY).f_flag & os.ST_NOEXEC
    if executable and os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > IN_MEMORY_BYTES:
        os.environ["TMPDIR"] = tempfile.tempdir = str(IN_MEMORY)


def pytest_collection_finish() -> None:
    """Look for garbage again, among what is made from now on."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def example_names(doctest_namespace: dict[str, object]) -> None:
    """Let examples in docstrings use *tree*, the taxonomy of ten synsets that the tests use too."""
    doctest_namespace["tree"] = small_taxonomy()
