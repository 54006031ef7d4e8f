"""Files of the store, packs, presets and notebooks with random damage: read, or refused in one line."""

import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from itl import ItlError
from itl.packs.pack import Pack
from itl.packs.paths import open_by_digest
from itl.presets import load_preset, shipped_folder
from itl.report.notebook_file import check_parameters
from itl.runs.progress import last_epoch
from itl.runs.store import Store
from itl.runs.throughput import stored_rates
from itl.specs import Recipe, Subset
from itl.training.checkpoint import load_tensors, save_tensors
from tests.worlds import FOUR, here, small_study

MUTANTS = 100  # of each kind of file
PIECES = [
    b"",
    b"0",
    b"-1",
    b"null",
    b"{}",
    b"[]",
    b'"',
    b"\\u0000",
    b"\x00",
    b"\xff\xfe",
    b"1e999",
    b"9" * 400,
    b"&a *a",
]


def mutant(data: bytes, dice: random.Random) -> bytes:
    """Cut *data*, or overwrite, remove or insert pieces of it."""
    if dice.random() < 0.2:
        return data[: dice.randrange(len(data))]
    changed = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        start = dice.randrange(len(changed) + 1)
        changed[start : start + dice.choice([0, 1, 2, 8, 40])] = dice.choice([*PIECES, dice.randbytes(3)])
    return bytes(changed)


def a_result(folder: Path) -> tuple[Path, Callable[[], object]]:
    store, spec = Store(folder), Subset("p")
    store.write(spec, "provenance.json", {"commit": "c0ffee", "seconds": 1.0})
    store.finish(spec, {"classes": 4, "metrics": {"accuracy": 51.25}})
    return store.path(spec) / "result.json", lambda: (store.state(spec), store.result(spec))


def a_provenance(folder: Path) -> tuple[Path, Callable[[], object]]:
    store, spec = Store(folder), Subset("p")
    store.write(spec, "provenance.json", {"commit": "c0ffee", "seconds": 1.0})
    return store.path(spec) / "provenance.json", lambda: store.read(spec, "provenance.json")


def a_log(folder: Path) -> tuple[Path, Callable[[], object]]:
    rows = [{"epoch": epoch, "step": epoch, "loss": 0.5, "device": "cpu"} for epoch in range(9)]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "log.jsonl", lambda: last_epoch(folder)


def a_preset(folder: Path) -> tuple[Path, Callable[[], object]]:
    path = folder / "mine.yaml"
    path.write_bytes((shipped_folder("params") / "tiny.yaml").read_bytes())
    return path, lambda: load_preset(str(path))


def a_notebook(folder: Path) -> tuple[Path, Callable[[], object]]:
    path = folder / "01-data-size.ipynb"
    path.write_bytes((shipped_folder("notebooks") / "01-data-size.ipynb").read_bytes())
    return path, lambda: check_parameters(path, {"seeds": [0]})


def a_pack(folder: Path, name: str) -> tuple[Path, Callable[[], object]]:
    small_study(**FOUR, seeds=[0]).prepare(here(folder))
    pack = next(folder.glob("packs/images-*/pack.json")).parent
    digest = Pack.open(pack).digest
    return pack / name, lambda: np.asarray(open_by_digest(digest, here(folder)).images[0]).sum()


def kept_rates(folder: Path) -> tuple[Path, Callable[[], object]]:
    machine = here(folder)
    machine.runs.mkdir()
    (machine.runs / "rates.json").write_text(json.dumps({"net": {"start": 1.0, "fit": 2.0, "compare": 3.0}}))
    return machine.runs / "rates.json", lambda: stored_rates([("small", Recipe())], machine)


def weights(folder: Path) -> tuple[Path, Callable[[], object]]:
    torch = pytest.importorskip("torch")
    save_tensors(folder / "net.safetensors", {"weight": torch.ones(3, 4)}, {"epoch": 1})
    return folder / "net.safetensors", lambda: load_tensors(folder / "net.safetensors")


@pytest.mark.parametrize(
    "make",
    [
        a_result,
        a_provenance,
        a_log,
        a_preset,
        a_notebook,
        kept_rates,
        weights,
        pytest.param(lambda folder: a_pack(folder, "pack.json"), id="pack"),
        pytest.param(lambda folder: a_pack(folder, "index.parquet"), id="index"),
        pytest.param(lambda folder: a_pack(folder, "images.npy"), id="images"),
    ],
)
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path, make):
    dice = random.Random(0)
    path, read = make(tmp_path)
    whole, refused, several_lines = path.read_bytes(), 0, 0
    read()
    for number in range(MUTANTS):
        data = mutant(whole, dice)
        path.write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read()
        except ItlError as error:
            refused += "\n" not in str(error)
            several_lines += "\n" in str(error)
        except Exception as error:
            raise AssertionError(f"mutant {number} of {path.name}: {data[:300]!r}") from error
    assert several_lines == 0
    assert refused or make in (a_result, a_log, kept_rates)  # these are made again
    path.write_bytes(whole)
    read()


@pytest.mark.filterwarnings("ignore")
def test_a_pack_whose_summary_lacks_its_number_of_images_is_refused(tmp_path):
    path, read = a_pack(tmp_path, "pack.json")
    summary = json.loads(path.read_text())
    del summary["images"]
    path.write_text(json.dumps(summary))
    with pytest.raises(ItlError, match=r"should be a pack but is not one, or is damaged \('images'\)"):
        read()
