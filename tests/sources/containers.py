"""Small data sets in containers and with lists, as people have them: written by a test, read by a source."""

import io
import json
import pickle
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io

from itl.sources.registry import open_source
from tests.annotated import written
from tests.pictures import CAR, FOX, encoded, tarred

IMAGES = {  # as they lie in class folders
    f"{split}/{label}/{number}.png": encoded(np.full((6, 5, 3), 40 * number + shade, np.uint8))
    for split, numbers in (("train", (0, 1, 2)), ("val", (3,)), ("test", (4,)))
    for label, shade in (("cat", 10), ("dog", 20))
    for number in numbers
}


def read(kind, path, **options):
    """Id, class and split of every record, after each was read."""
    source = open_source(kind, path, **options)
    records = source.records()
    assert all(len(source.read(record)) for record in records)
    return [(record.id, record.wnid, record.split) for record in records]


def rows(split: str) -> list[tuple[str, str, bytes]]:
    """Name below the split, class and content of the images of one split."""
    images = [(name.partition("/")[2], data) for name, data in IMAGES.items() if name.startswith(f"{split}/")]
    return [(name, name.partition("/")[0], data) for name, data in images]


def sample(name: str, data: bytes, **labels: object) -> dict[str, bytes]:
    """The files of one sample; *labels* by suffix: cls=0, json={...}."""
    key = name.rpartition(".")[0]
    texts = {
        suffix: json.dumps(value) if suffix == "json" else str(value) for suffix, value in labels.items()
    }
    return {name: data} | {f"{key}.{suffix}": text.encode() for suffix, text in texts.items()}


DATA = next(iter(IMAGES.values()))
TWO = {**sample("a.png", DATA, cls=0), **sample("b.png", DATA, cls=1)}


def shards(root: Path) -> Path:
    """Two shards of train and one each of val and test; the class is text in .cls."""
    for split in ("train", "val", "test"):
        for number, part in enumerate((rows(split)[::2], rows(split)[1::2])):
            members = {}
            for name, label, data in part:
                members |= sample(name, data, cls=label)
            tarred(root / f"pets-{split}-{number:04d}.tar", members)
    return root


def parquet_file(
    path: Path,
    images: Iterable[tuple[str | None, int | str, bytes | None]],
    names: list[str] | None = None,
    row_group: int = 2,
) -> Path:
    """A Parquet file of path, label and bytes, as the hub writes it."""
    images = list(images)
    image_type = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    image = pa.array([{"bytes": data, "path": name} for name, _, data in images], image_type)
    table = pa.table({"image": image, "label": [label for _, label, _ in images]})
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
        info = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": info})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=row_group)
    return path


def parquet(root: Path) -> Path:
    """Parquet files of all splits, with numbers and their names in the schema's metadata."""
    for split in ("train", "val", "test"):
        images = [
            (name.partition("/")[2], ["cat", "dog"].index(label), data) for name, label, data in rows(split)
        ]
        parquet_file(root / f"data/{split}-00000-of-00001.parquet", images, ["cat", "dog"])
    return root


def lists(root: Path) -> Path:
    """The class folders themselves, with a list of each split."""
    texts = {
        f"{split}.txt": "".join(f"{split}/{name} {label}\n" for name, label, _ in rows(split)).encode()
        for split in ("train", "val", "test")
    }
    return written(root, IMAGES | texts)


def mat(**variables: object) -> bytes:
    """A .mat file."""
    file = io.BytesIO()
    scipy.io.savemat(file, variables)
    return file.getvalue()


def cells(*texts: str) -> np.ndarray:
    """A MATLAB cell of texts."""
    array = np.empty((len(texts), 1), object)
    array[:, 0] = texts
    return array


def arrays(side: int = 8) -> dict[str, dict[str, object]]:
    """Two batches of downsampled ImageNet and its val, with labels 2 and 1."""
    pixels = np.arange(2 * 3 * side * side).astype(np.uint8).reshape(2, -1)
    return {
        "train_data_batch_1": {"data": pixels, "labels": [2, 1], "mean": pixels[0].astype(float)},
        "train_data_batch_2": {"data": pixels[::-1].copy(), "labels": [1, 2]},
        "val_data": {"data": pixels, "labels": [2, 1]},
    }


MAP = f"{CAR} 1 car\n{FOX} 2 fox\n".encode()


def downsampled(root: Path, dump: Callable[[dict], bytes] = pickle.dumps) -> Path:
    """Downsampled ImageNet as pickles."""
    return written(root, {name: dump(batch) for name, batch in arrays().items()} | {"map_clsloc.txt": MAP})


def downsampled_npz(root: Path) -> Path:
    """Downsampled ImageNet as .npz."""

    def saved(batch: dict) -> bytes:
        file = io.BytesIO()
        np.savez(file, **{name: np.asarray(value) for name, value in batch.items()})
        return file.getvalue()

    batches = {f"{name}.npz": saved(batch) for name, batch in arrays().items()}
    return written(root, batches | {"map_clsloc.txt": MAP})


def cifar(root: Path, hundred: bool = True) -> Path:
    """CIFAR in small: two images of each file, classes 1 and 0."""
    pixels = np.arange(2 * 3072).astype(np.uint8).reshape(2, 3072)
    names = ["apple", "baby"]
    if hundred:
        files = {
            name: {"batch_label": name, "data": pixels, "fine_labels": [1, 0]} for name in ("train", "test")
        }
        files["meta"] = {"fine_label_names": names}
    else:
        batches = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
        files = {name: {"data": pixels, "labels": [1, 0]} for name in batches}
        files["test_batch"]["batch_label"] = "testing"  # not the same, byte by byte
        files["batches.meta"] = {"label_names": names}
    folder = "cifar-100-python" if hundred else "cifar-10-batches-py"
    return written(root, {f"{folder}/{name}": pickle.dumps(content, 2) for name, content in files.items()})


def imagenet21k(root: Path) -> Path:
    """A tar for each of two wnids, as winter21 has them, and one that is not a wnid."""
    for wnid in (FOX, CAR):
        tarred(
            root / f"{wnid}.tar",
            {f"{wnid}_{number}.JPEG": encoded(np.zeros((3, 3, 3), np.uint8)) for number in (1, 2)},
        )
    return root


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """*data* cut short, or with a few bytes changed, zeroed or put in."""
    if not data:
        return bytes(random.integers(0, 256, 5, np.uint8))
    damaged, at = bytearray(data), int(random.integers(len(data)))
    match int(random.integers(4)):
        case 0:
            return bytes(damaged[:at])
        case 1:
            for position in random.integers(0, len(damaged), 4):
                damaged[position] = random.integers(256)
        case 2:
            damaged[at : at + 64] = bytes(min(64, len(damaged) - at))
        case 3:
            damaged[at:at] = struct.pack("<q", int(random.integers(-(2**63), 2**63)))
    return bytes(damaged)
