"""Filling a pack: what it holds in memory does not grow with the images."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from itl.packs.pack import Pack
from tests.memory import STATM, needs_statm
from tests.pictures import encoded, smooth

FEW, MANY, SIDE = 125, 750, 256  # large images: as many bytes from a quarter of the files
FIRST_DECODED = """
import sys
from itl.packs import writer
from itl.packs.pack import Pack
from itl.specs import Packing

decode_record = writer.decode_record

def decode_and_look(*arguments):
    print([name in sys.modules for name in ("torchvision.io", "torchvision.transforms.v2.functional")])
    return decode_record(*arguments)

writer.decode_record = decode_and_look
packing, folder = Packing("folder", size=8, options={"class_level": 1}), sys.argv[1]
Pack.build(packing, folder + "/pack", path=folder + "/in")
writer.decode_record = decode_record
"""
PACK_BOTH = """
import sys
from itl.packs.journal import Journal
from itl.packs.pack import Pack
from itl.specs import Packing
from tests.memory import resident

append, sizes = Journal.append, []

def append_and_measure(journal, rows):
    append(journal, rows)
    sizes.append(resident())

Journal.append = append_and_measure
for number, name in enumerate(("few", "few", "many")):  # the first also pays for threads
    sizes.clear()
    Pack.build(Packing("folder", size=int(sys.argv[2]), options={"class_level": 1}),
               f"{sys.argv[1]}/pack-{number}", path=sys.argv[1] + "/" + name, workers=2)
    print("peak", max(sizes))
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory) -> str:
    """What FIRST_DECODED and PACK_BOTH print, in one process: it takes seconds to import torch."""
    folder = tmp_path_factory.mktemp("writer")
    (folder / "in/cat").mkdir(parents=True)
    for kind in ("JPEG", "PNG"):
        (folder / f"in/cat/1.{kind.lower()}").write_bytes(encoded(smooth(20, 20), kind))
    files = [encoded(np.roll(smooth(80, 80), shift, axis=1), "JPEG") for shift in range(10)]
    for name, count in (("few", FEW), ("many", MANY)):
        (folder / name / "cat").mkdir(parents=True)
        for number in range(count):
            (folder / name / "cat" / f"{number:04}.jpg").write_bytes(files[number % 10])
    script = FIRST_DECODED + PACK_BOTH if STATM.exists() else FIRST_DECODED
    command = [sys.executable, "-c", script, str(folder), str(SIDE)]
    root = Path(__file__).parents[2]  # where the process finds `tests`
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout


@needs_statm
def test_six_times_the_images_take_no_more_memory(printed):
    peaks = re.findall(r"^peak (\d+)$", printed, re.MULTILINE)
    _, few, many = (int(peak) / 2**20 for peak in peaks)  # MiB
    pixels = (MANY - FEW) * 3 * SIDE**2 / 2**20  # 117 MiB, were they kept
    assert many - few < pixels / 3  # 1 KiB an image is what the list of them takes, 5 to 15 MiB with noise


def test_threads_that_decode_find_torchvision_imported(printed):
    """JPEG and PNG files need two parts of it: imported by two threads at once, one saw half of a module."""
    assert printed.count("[True, True]") == 2
    assert "False" not in printed


UNGUARDED = """
import sys
from itl import Pack, Packing
options = {"classes": 40, "train": 20, "val": 2, "size": 32}  # for several chunks, so several processes
Pack.build(Packing("demo", None, 32, options=options), sys.argv[1], workers=2)
"""


def test_a_script_without_an_import_guard_ends_and_says_why(tmp_path):
    (tmp_path / "script.py").write_text(UNGUARDED)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "pack")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 1
    assert 'put what it does under `if __name__ == "__main__":`' in ended.stderr
    assert "a packing process ended: it was killed (out of memory?), or says above what went" in ended.stderr
    guarded = UNGUARDED.replace("\nPack", '\nif __name__ == "__main__":\n    Pack')
    (tmp_path / "script.py").write_text(guarded)
    assert subprocess.run(command, capture_output=True, timeout=100).returncode == 0
    assert len(Pack.open(tmp_path / "pack")) == 40 * 22
