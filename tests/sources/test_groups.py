"""The option group: images of one person or thing are held out together."""

from collections import defaultdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from itl import ItlError
from itl.evaluation.target import target_of
from itl.packs.pack import Pack
from itl.sources.listed.list_tables import rows_of
from itl.sources.registry import open_source
from itl.specs import Packing, Pretrain, Subset, Transfer
from tests.annotated import check_lines, images, text, written
from tests.pictures import encoded, smooth

# image, label, patient: eight patients with three images each, of which that of number 7 is of both classes
ROWS = [(f"{number:02}.jpg", "cat" if number < 12 else "dog", f"p{number // 3}") for number in range(24)]
ROWS[23] = ("23.jpg", "cat", "p7")


def lists(path, rows=ROWS, header="image,label,patient_id", suffix="csv"):
    files = images(*(row[0] for row in rows))
    return written(path, files | {f"all.{suffix}": text(header, *(",".join(row) for row in rows))})


def tables(path, rows=ROWS, column="patient_id"):
    path.mkdir(exist_ok=True)
    names, labels, values = zip(*rows, strict=True)
    image = pa.array([{"bytes": encoded(smooth(6, 5)), "path": name} for name in names])
    table = pa.table({"image": image, "label": labels, column: [value or None for value in values]})
    for number, part in enumerate((table.slice(0, 10), table.slice(10))):
        pq.write_table(part, path / f"train-{number}.parquet", row_group_size=4)
    return path


def sides(records):
    """The patients in train and in val."""
    patient_of = {name: patient for name, _, patient in ROWS}
    patients = defaultdict(set)
    for record in records:
        patients[record.split].add(patient_of[record.id[-6:]])
    return patients["train"], patients["val"]


@pytest.mark.parametrize(("kind", "write"), [("lists", lists), ("parquet", tables)])
def test_images_of_one_value_are_held_out_together_whatever_their_classes(tmp_path, kind, write):
    path = write(tmp_path / "x")
    plain, options = {"val_fraction": 0.25}, {"val_fraction": 0.25, "group": "patient_id"}
    train, val = sides(open_source(kind, path, **plain).records())
    assert train & val, "one by one, patients are divided"
    records = open_source(kind, path, **options).records()
    train, val = sides(records)
    assert (len(train | val), train & val) == (8, set())
    assert {record.wnid for record in records if record.split == "val"} == {"cat", "dog"}
    assert {record.split for record in open_source(kind, path).records()} == {"train"}


@pytest.mark.parametrize(("kind", "write"), [("lists", lists), ("parquet", tables)])
def test_an_option_group_that_says_nothing_is_refused(tmp_path, kind, write):
    path = write(tmp_path / "x")
    with pytest.raises(
        ItlError, match="group=patient_id says what val_fraction holds out together, which is"
    ):
        open_source(kind, path, group="patient_id").records()
    with pytest.raises(
        ItlError, match="no column, as the option group names it, called 'patient'; did you m"
    ):
        open_source(kind, path, group="patient", val_fraction=0.1).records()
    one = write(tmp_path / "one", [(name, label, label) for name, label, _ in ROWS])
    with pytest.raises(
        ItlError,
        match="as every group has too much of a class; set another group, or leave both out",
    ):
        open_source(kind, one, group="patient_id", val_fraction=0.1).records()


@pytest.mark.parametrize(("kind", "write"), [("lists", lists), ("parquet", tables)])
def test_images_without_a_value_are_held_out_one_by_one(tmp_path, kind, write):
    rows = [(name, label, patient if patient != "p1" else "") for name, label, patient in ROWS]
    lines = check_lines(kind, write(tmp_path / "x", rows), group="patient_id", val_fraction=0.5)
    says = "3 images have no group, by the option group=patient_id, and are held out one by one"
    assert [line for line in lines if "group" in line and "note" in line] == [f"note: {says}"]


def divided(kind, path, patients):
    """Write ROWS as train, and a test of one image of each of *patients*, for a source."""
    rows = [(*row, "train") for row in ROWS] + [(f"t{name}.jpg", "cat", name, "test") for name in patients]
    if kind == "lists":
        return lists(path, rows, "image,label,patient_id,split")
    if kind == "folder":
        return written(path, images(*(f"{row[3]}/{row[1]}/{row[2]}_{row[0]}" for row in rows)))
    tables(path, [row[:3] for row in rows])
    for file in [*path.iterdir()]:
        table = pq.read_table(file)
        splits = [
            "test" if image["path"].startswith("t") else "train" for image in table["image"].to_pylist()
        ]
        pq.write_table(
            table.append_column("split", pa.array(splits)), path / file.name.replace("train", "all")
        )
        file.unlink()
    return path


@pytest.mark.parametrize(
    ("patients", "count"), [(("p8", "p9"), ""), (("p7", "p9"), "1 group"), (("p8", "p7", ""), "1 group")]
)
@pytest.mark.parametrize(
    ("kind", "group"), [("lists", "patient_id"), ("parquet", "patient_id"), ("folder", "p[0-9]+")]
)
def test_groups_of_train_or_val_that_test_has_too_are_noted(tmp_path, kind, group, patients, count):
    path = divided(kind, tmp_path / "x", patients)
    lines = check_lines(kind, path, val_fraction=0.25, group=group)
    says = f"note: test has images of {count} of train or val, such as p7, by group={group}"
    assert [line for line in lines if "group" in line and "note" in line] == ([says] if count else [])


def test_lines_of_json_have_groups_too(tmp_path):
    rows = [
        f'{{"image": "{name}", "label": "{label}", "seq": {patient[1:]}}}' for name, label, patient in ROWS
    ]
    path = written(tmp_path, images(*(row[0] for row in ROWS)) | {"train.jsonl": text(*rows)})
    train, val = sides(open_source("lists", path, val_fraction=0.25, group="seq").records())
    assert (len(train | val), train & val) == (8, set())


def test_lines_of_text_have_no_column_of_groups(tmp_path):
    text_list = written(tmp_path, images(*(row[0] for row in ROWS)))
    (text_list / "train.txt").write_text("".join(f"{name} {label}\n" for name, label, _ in ROWS))
    assert sides(open_source("lists", text_list, val_fraction=0.25).records())[1]
    with pytest.raises(
        ItlError, match="no column, as the option group names it, called 'seq'; there are none"
    ):
        open_source("lists", text_list, val_fraction=0.25, group="seq").records()


def test_groups_of_many_classes_are_taken_until_val_has_its_part_of_all_images(tmp_path):
    """As cameras: each has ten common animals, and another rare one that a second camera has too."""
    rows = [(f"{camera}_{number}.jpg", "fox", f"c{camera}") for camera in range(20) for number in range(10)]
    rows += [(f"{camera}_rare.jpg", f"rare{camera // 2}", f"c{camera}") for camera in range(20)]
    path, options = lists(tmp_path, rows, "image,label,location"), {"val_fraction": 0.1, "group": "location"}
    records = open_source("lists", path, **options).records()
    assert [record.split for record in records].count("val") == 33, "three cameras, of 22 images"
    (line,) = [line for line in check_lines("lists", path, **options) if "val has no image of" in line]
    assert line.startswith("note: val has no image of 7 classes, such as rare")


SIZES = {  # val_fraction, images of each group of a class -> the images in val; 0: refused
    (0.1, 90, *[1] * 10): 10,
    (0.2, 30, 20, 20, 20, 30): 40,  # of 24: twice 20
    (0.1, 30, 20, 20, 20, 30): 20,
    (0.1, 40, 30, 35): 0,
    (0.1, 96, 4): 4,
    (0.05, 95, 5): 5,
    (0.5, 3, 3): 3,
    (0.3, 3, 3): 3,
}


@pytest.mark.parametrize("sizes", SIZES)
def test_a_group_larger_than_twice_the_part_of_a_class_stays_in_train(tmp_path, sizes):
    fraction, *counts = sizes
    rows = [
        (f"{label}{number}_{image}.jpg", label, f"{label}{number}")
        for label in ("cat", "dog")
        for number, count in enumerate(counts)
        for image in range(count)
    ]
    source = open_source("lists", lists(tmp_path, rows), val_fraction=fraction, group="patient_id")
    if SIZES[sizes]:
        in_val = [record.wnid for record in source.records() if record.split == "val"]
        assert sorted(in_val) == ["cat"] * SIZES[sizes] + ["dog"] * SIZES[sizes]
    else:
        with pytest.raises(ItlError, match="every group has too much of a class; set another"):
            source.records()


def test_a_site_with_most_images_of_all_classes_stays_in_train(tmp_path):
    sites = [("s0", 45), *((f"s{number}", 1) for number in range(1, 6))]
    rows = [
        (f"{label}{site}_{image}.jpg", label, site)
        for label in ("cat", "dog")
        for site, count in sites
        for image in range(count)
    ]
    records = open_source("lists", lists(tmp_path, rows), val_fraction=0.1, group="patient_id").records()
    assert [record.split for record in records].count("val") == 10
    assert {record.split for record in records if "s0_" in record.id} == {"train"}


def test_columns_of_bytes_and_of_lists_say_no_split_and_no_group(tmp_path):
    path = tables(tmp_path / "x")
    for file in path.iterdir():
        table = pq.read_table(file)
        count = len(table)
        table = table.append_column("test_image", pa.array([b"\xff\xd8"] * count, pa.binary()))
        table = table.append_column("clip_embedding", pa.array([[0.5, 1.0]] * count))
        pq.write_table(table.append_column("case_image", table["image"]), file)
    train, val = sides(open_source("parquet", path, val_fraction=0.25, group="patient_id").records())
    assert (len(train | val), train & val) == (8, set())
    with pytest.raises(ItlError, match="called 'clip_embedding'"):
        open_source("parquet", path, val_fraction=0.25, group="clip_embedding").records()


@pytest.mark.parametrize(("options", "count"), [({}, 0), ({"group": "colour"}, 1)])
def test_a_table_is_read_again_only_for_groups(tmp_path, monkeypatch, options, count):
    calls = []

    def record(data, file):
        calls.append(file)
        return rows_of(data, file)

    monkeypatch.setattr("itl.sources.listed.listed_source.rows_of", record)
    path = lists(tmp_path, header="image,label,colour")
    assert sides(open_source("lists", path, val_fraction=0.25, **options).records())[1]
    assert len(calls) == count


def test_what_is_wrong_in_a_list_comes_before_what_is_held_out(tmp_path):
    rows = [f"{name},{label},{patient},train" for name, label, patient in ROWS]
    twice = text("image,label,patient_id,split", "00.jpg,cat,p0,test", *rows)
    path = written(tmp_path / "a", images(*(row[0] for row in ROWS)) | {"all.csv": twice})
    lines = check_lines("lists", path, val_fraction=0.25)
    assert [line for line in lines if line.startswith("problem") and "00.jpg" in line]
    gone = written(
        tmp_path / "b",
        images("other.jpg") | {"all.csv": text("image,label,patient_id", *(row[:-6] for row in rows))},
    )
    lines = check_lines("lists", gone, val_fraction=0.25, group="patient_id")
    assert not [line for line in lines if "group" in line]


def test_a_group_may_be_a_column_of_bytes(tmp_path):
    path = tables(tmp_path / "x")
    for file in path.iterdir():
        table = pq.read_table(file)
        at = table.schema.get_field_index("patient_id")
        pq.write_table(table.set_column(at, "patient_id", table["patient_id"].cast(pa.binary())), file)
    train, val = sides(open_source("parquet", path, val_fraction=0.25, group="patient_id").records())
    assert (len(train | val), train & val) == (8, set())


@pytest.mark.parametrize(("kind", "write"), [("lists", lists), ("parquet", tables)])
def test_settings_are_chosen_on_whole_groups_which_a_pack_keeps(tmp_path, kind, write):
    """Eight patients of each class, three images each, and one image of each class without a patient."""
    numbers = range(48)
    rows = [(f"{number:02}.jpg", "cat" if number < 24 else "dog", f"p{number // 3}") for number in numbers]
    path = write(tmp_path / "x", [*rows, ("48.jpg", "cat", ""), ("49.jpg", "dog", "")])
    options = {"val_fraction": 0.25, "group": "patient_id"}
    pack = Pack.build(Packing(kind, size=4, options=options), tmp_path / "pack", path=path)
    patient_of = {name: patient for name, _, patient in rows}
    names = [name[-6:] for name in pack.table["image"]]
    assert list(pack.table["group"]) == [patient_of.get(name, "") for name in names]
    plain = Pack.build(Packing(kind, size=4, options={"val_fraction": 0.25}), tmp_path / "plain", path=path)
    assert "group" not in plain.table
    target = target_of(Transfer(Pretrain(Subset("")), "probe", "patients", pack.digest), pack)
    for seed in range(5):
        fitted, held = (
            {patient_of.get(names[row]) for row in target.train.rows[part]}
            for part in target.fit_and_val_rows(seed)
        )
        assert held - {None}
        assert not fitted & held - {None}


def test_a_pack_is_built_again_once_a_group_has_another_name(tmp_path):
    packing = Packing("lists", size=4, options={"val_fraction": 0.25, "group": "patient_id"})
    path = lists(tmp_path / "x")
    first = Pack.build(packing, tmp_path / "pack", path=path).table
    patient = first["group"][first["split"] == "train"].iloc[0]
    (path / "all.csv").write_text((path / "all.csv").read_text().replace(patient, "new"))
    again = Pack.build(packing, tmp_path / "pack", path=path).table
    assert list(again["group"]) == ["new" if group == patient else group for group in first["group"]]
    assert list(again["split"]) == list(first["split"])
