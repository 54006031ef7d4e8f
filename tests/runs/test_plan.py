"""A plan lists what is shared once, adds up what it takes, and refuses what is not here; exact sums."""

import itertools
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from itl import ItlError
from itl.packs import counts, paths
from itl.runs import plan, provenance
from itl.runs.plan_text import TERMINAL_COLUMNS, describe, describe_designs, terminal_table
from itl.runs.question import run_all
from itl.runs.questions import class_count, data_size
from itl.runs.results import changed_sources
from itl.runs.store import Store
from tests.pictures import encoded, smooth
from tests.worlds import FEW, FOUR, IMAGES, SCENES, SHARED, here, small_study


def two_questions() -> list:
    one = data_size(**SHARED, images_per_class=[4, "all"])
    return [one, class_count(**SHARED, label_sets=["bottom-up@5", "original"])]


def test_what_questions_share_is_one_row_and_one_training(tmp_path, rated, in_this_process):
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    made = plan.plan(two_questions(), store, machine)
    trained = made.runs[made.runs["kind"] == "pretrain"]
    assert list(zip(trained["questions"], trained["condition"], strict=True))[::2] == [
        ("data-size", "images_per_class 4"),
        ("data-size, class-count", "images_per_class all = label_set original"),
        ("class-count", "label_set bottom-up@5"),
    ]
    assert len(made.runs) == 2 * len(trained) == 12
    assert list(made.packs["pack"]) == ["images", "scenes"]
    alone = [question.plan(store, machine) for question in two_questions()]
    assert [len(table) for table in alone] == [2 + 8, 2 + 8]
    run_all(two_questions(), store, machine)
    again = plan.plan(two_questions(), store, machine)
    keys = {path.parent.name for path in tmp_path.glob("runs/pretrain/*/result.json")}
    assert set(again.runs.loc[again.runs["kind"] == "pretrain", "run"]) == keys
    assert set(again.runs["state"]) == {"done"} == set(again.packs["state"])
    assert (again.minutes, sum(again.disk), again.memories()) == (0, 0, [])


def test_runs_on_packs_that_are_not_built_are_not_taken_for_one(tmp_path, rated):
    other = data_size(**SHARED | {"images": IMAGES | {"size": 16}}, **FOUR)
    made = plan.plan([data_size(**SHARED, **FOUR), other], Store(tmp_path), here(tmp_path))
    assert (len(made.runs), len(made.packs)) == (8, 3)


def test_images_that_nets_would_see_enlarged_are_named(tmp_path, rated):
    home, machine = Store(tmp_path), here(tmp_path)
    small, tuned = {"images": IMAGES | {"size": 16}}, {"finetune": {"steps": 2, "pixels": 48}}
    shown = plan.plan([data_size(**SHARED | small, **FOUR)], home, machine)
    line = (
        "note: images, packed at 16 pixels, is enlarged to 24 for nets, which adds no detail; pack it at "
        "24 pixels, or let nets take 16"
    )
    assert shown.notes == (line,)
    assert line in shown.summary()
    changes = {"tuning": tuned, "tasks": ["finetune@scenes"]}
    (line,) = plan.plan([small_study(**FOUR | changes)], home, machine).notes
    assert line.startswith("note: scenes, packed at 32 pixels, is enlarged to 48 for nets")
    assert plan.plan([small_study(**FOUR)], home, machine).notes == ()


def test_a_target_that_no_task_names_is_said(tmp_path, rated):
    made = plan.plan(
        [small_study(targets={"scenes": SCENES, "few": FEW}, **FOUR)], Store(tmp_path), here(tmp_path)
    )
    assert made.notes == (
        "note: no run is on few, so its pack is built for nothing; name it in tasks, or leave it out",
    )


def test_unfinished_questions_are_known_by_name_whatever_is_in_it(tmp_path, rated):
    question = replace(small_study(**FOUR), name="one, two")
    assert plan.plan([question], Store(tmp_path), here(tmp_path)).unfinished == {"one, two"}


def test_conditions_of_one_question_that_share_a_net_are_one_row(tmp_path, rated):
    question = small_study(**FOUR)
    condition = question.conditions[0]
    twice = replace(question, conditions=(condition, replace(condition, columns=(("again", "yes"),))))
    made = plan.plan([twice], Store(tmp_path), here(tmp_path))
    assert len(made.runs) == 4
    assert set(made.runs["condition"]) == {"images_per_class 4 = again yes"}


def planned(home, runs, packs=0, **machine) -> plan.Plan:
    """A plan of runs, each given as minutes, before, disk, checkpoint and memory."""
    columns = ["minutes", "before", "disk", "checkpoint", "memory"]
    rows = pd.DataFrame(runs, columns=columns).assign(
        device=0, state="to do", kind="knn", run="r", questions="q", condition="c", on="t", seed=0
    )
    table = pd.DataFrame(
        [("images", "demo", 8, 32, "to do", 1.0, packs, "")],
        columns=["pack", "source", "images", "pixels", "state", "minutes", "disk", "reading"],
    )
    return plan.Plan(table, rows, here(home, **machine))


RUNS = [(4.0, 0.0, 10, 300, 50), (2.0, 4.0, 20, 200, 70), (1.0, 4.0, 30, 100, 60), (9.0, 0.0, 0, 0, 10)]


def test_sums_over_runs_side_by_side(tmp_path):
    made = planned(tmp_path, RUNS, packs=1000)
    assert made.minutes == 1 + 9, "no shorter than the longest"
    assert planned(tmp_path, RUNS[:3] * 2).minutes == 1 + 14 / 2
    assert planned(tmp_path, RUNS, workers=4, device="cuda:0").minutes == 1 + 16, "one run fills a GPU"
    assert planned(tmp_path, RUNS * 2, workers=4, device="cuda:0,1").minutes == 1 + 32 / 2
    assert made.disk == (1000, 60 + 300 + 200)
    assert [made.side_by_side("memory", count) for count in (1, 2, 3)] == [70, 130, 180]


@pytest.mark.parametrize(
    ("disk", "memory", "says"),
    [
        (1559, 999, "this takes 0 MiB of disk in .*; 0 MiB are free; make room"),
        (1560, 179, "3 runs side by side take up to 0 MiB of memory; 0 MiB are there; use --workers 2"),
        (1560, 69, "take smaller batches"),
    ],
)
def test_what_cannot_fit_is_refused(tmp_path, monkeypatch, disk, memory, says):
    made = planned(tmp_path, RUNS, packs=900, workers=3)
    for name, free in (("free_disk", lambda home: disk), ("free_memory", lambda: memory)):
        monkeypatch.setattr(plan, name, free)
    with pytest.raises(ItlError, match=says) as error:
        made.refuse()
    assert "\n" not in str(error.value)
    if memory < 999:
        replace(made, machine=made.machine.replace(scheduler="tcp://there:1")).refuse()


@pytest.mark.parametrize(("packs", "runs", "full"), [(900, 659, "runs"), (899, 660, "packs"), (900, 660, "")])
def test_packs_and_runs_that_are_links_to_two_disks_are_asked_apart(tmp_path, monkeypatch, packs, runs, full):
    made = planned(tmp_path, RUNS, packs=900, workers=3)

    def disk(folder: Path) -> SimpleNamespace:
        return SimpleNamespace(stat=lambda: SimpleNamespace(st_dev=folder.name))

    free = {made.machine.packs: packs, made.machine.runs: runs, tmp_path: 10**9}
    for name, stand_in in (("free_disk", free.get), ("free_memory", lambda: 999), ("existing_part", disk)):
        monkeypatch.setattr(plan, name, stand_in)
    assert f"0 MiB are free in {tmp_path}/packs, 0 MiB are free in {tmp_path}/runs" in made.summary()
    with pytest.raises(ItlError, match=f"of disk in {tmp_path}/{full}, packs .*") if full else nullcontext():
        made.refuse()


@pytest.fixture
def two_gpus(monkeypatch):
    """Two GPUs, of 100 and 90 bytes."""
    monkeypatch.setattr(plan, "device_memory", {"cuda:0": 100, "cuda:3": 90}.get)
    for module in (plan, provenance):
        monkeypatch.setattr(module, "device_name", {"cuda:0": "Big", "cuda:3": "Small"}.get)


@pytest.mark.parametrize(
    ("memory", "device", "says"),
    [
        (359, 30, "6 runs side by side take up to 0 MiB of memory; .*; use --workers 2$"),
        (189, 30, "use --workers 1$"),
        (129, 30, "use --workers 1 --device cuda:0$"),
        (69, 30, "take smaller batches"),
        (360, 31, "3 runs side by side take up to 0 MiB of the memory of Small; .*; use --workers 2$"),
        (360, 91, "the memory of Small; .* take smaller batches"),
    ],
)
def test_what_cannot_fit_several_gpus_is_refused(tmp_path, monkeypatch, two_gpus, memory, device, says):
    made = planned(tmp_path, RUNS * 2, workers=3, device="cuda:0,3")
    made = replace(made, runs=made.runs.assign(device=device))
    monkeypatch.setattr(plan, "free_memory", lambda: memory)
    with pytest.raises(ItlError, match=says):
        made.refuse()


def test_a_plan_names_its_gpus(tmp_path, two_gpus):
    said = planned(tmp_path, RUNS, workers=2, device="cuda:0,3").summary()
    assert "with 4 side by side on Big (cuda:0), Small (cuda:3)" in said
    assert "the memory of Small: up to 0 MiB; 0 MiB are there" in said


def test_what_fits_is_not_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "free_disk", lambda home: 1560)
    monkeypatch.setattr(plan, "free_memory", lambda: 180)
    made = planned(tmp_path, RUNS, packs=900, workers=3)
    made.refuse()
    assert made.disk == (900, 660)
    assert "4 runs to do (0 nets and 4 evaluations): about 10.0 minutes with 3 side by side" in made.summary()


def test_no_question_needs_nothing(tmp_path):
    made = plan.plan([], Store(tmp_path), here(tmp_path))
    made.refuse()
    assert (made.minutes, made.disk, len(made.table())) == (0, (0, 0), 0)
    assert describe(made) == "no question is asked: no runs to do"


def test_a_pack_that_is_half_there_needs_only_the_rest(tmp_path, rated):
    machine = here(tmp_path)
    question = small_study()
    before = plan.plan([question], Store(tmp_path), machine).packs.set_index("pack")["disk"]
    assert before["scenes"] == 30 * (3 * 32 * 32 + plan.ROW_BYTES)
    partial = plan.partial_of(paths.pack_folder(question.packings()["scenes"], "scenes", machine))
    partial.mkdir(parents=True)
    (partial / "images.npy").write_bytes(bytes(8192))
    after = plan.plan([question], Store(tmp_path), machine).packs.set_index("pack")["disk"]
    assert before["scenes"] - after["scenes"] == (partial / "images.npy").stat().st_blocks * 512


def test_a_pack_takes_16_bytes_of_disk_for_a_region_proposal(tmp_path, rated, monkeypatch):
    def with_regions(*of: object) -> counts.ImageCounts:
        return replace(counts.count_images(*of), regions=1000)

    monkeypatch.setattr(plan, "count_images", with_regions)
    packs = plan.plan([small_study()], Store(tmp_path), here(tmp_path)).packs.set_index("pack")
    assert packs["disk"]["scenes"] == 30 * (3 * 32 * 32 + plan.ROW_BYTES) + 16 * 1000


def test_told_by_condition_or_by_run(tmp_path, rated):
    made = plan.plan(two_questions(), Store(tmp_path), here(tmp_path))
    short, long = describe(made), describe(made, every_run=True)
    assert "images_per_class all = label_set original" in short
    assert (short.count("after packing"), long.count("after packing")) == (0, 12)
    grouped = made.by_condition()
    assert grouped[["nets", "evaluations", "to do"]].sum().tolist() == [6, 6, 12]
    assert SCENES["source"] in short


def test_a_plan_fits_a_terminal_and_counts_what_the_bar_of_a_run_counts(tmp_path, rated, in_this_process):
    machine, store, bars = here(tmp_path), Store(tmp_path / "runs"), []
    one, other = two_questions()
    named = replace(one.conditions[0], columns=(("again", "x" * 90),))
    long = replace(one, conditions=(*one.conditions, named))
    questions = [
        long,
        other,
        small_study(images_per_class=[0, 4]),
    ]  # the last needs nets that are not trained
    before = plan.plan(questions, store, machine)
    lines = describe(before).splitlines()
    assert max(map(len, lines)) <= TERMINAL_COLUMNS
    assert any("…" in line for line in lines)
    assert any("x" * 90 in line for line in describe(before, every_run=True).splitlines()), "to be searched"
    counts = before.by_condition()[["nets", "evaluations"]].to_numpy().sum()
    assert counts == len(before.runs) == 6 + 2 + 6 + 2
    assert f"{counts} runs to do (8 nets and 8 evaluations)" in before.summary()
    run_all(questions, store, machine, watch=lambda progress: bars.append(str(progress)))
    assert bars[-1].startswith(f"{counts} of {counts} runs done")
    facts = questions[-1].provenance(store, machine).set_index("item")["value"]
    assert facts["runs"].startswith("8 of 8 done")


def test_long_lines_of_a_plan_break_between_words_and_commands_do_not(tmp_path):
    command = f"itl duplicates '{'/a/long/my path' * 12}' --pretraining p"
    lines = f"duplicates: {'word ' * 30}{'/a/long/path' * 9}; listed by\n  {command}"
    text = describe(replace(planned(tmp_path, RUNS), duplicates=(lines,)))
    assert f"  {command}" in text.splitlines()
    assert max(len(line) for line in text.splitlines() if "/a/long/" not in line) <= TERMINAL_COLUMNS
    assert "/a/long/path" * 9 in text


def test_rows_that_are_alike_when_cut_are_written_whole_below():
    table = pd.DataFrame({"name": ["a", "a" * 60 + "1", "a" * 60 + "2"], "on": "b", "runs": [1, 2, 2]})
    *rows, one, two = terminal_table(table, key=["name", "on"], widest={"name": 20}).splitlines()
    assert [row.split()[0] for row in rows] == ["name", "a", "a" * 15 + "…", "a" * 15 + "…"]
    assert [row.split()[1] for row in rows[2:]] == ["[1]", "[2]"]
    assert [one, two] == [f"[{number}] {'a' * 60}{number}: b" for number in (1, 2)]


def test_notes_on_designs_are_written_whole():
    row = {"question": "", "task": "probe@" + "x" * 80, "seeds": ""}
    notes = ["run two seeds or more of it first", "run two seeds or more of it first", ""]
    table = pd.DataFrame(
        [row | {"question": name, "note": note} for name, note in zip("abc", notes, strict=True)]
    )
    *_, blank, last = describe_designs(table).splitlines()
    assert (blank, last) == ("", "a, b: run two seeds or more of it first")


def with_photos(photos: Path):
    """A question on class folders at *photos*: 8 images of 2 classes in each split."""
    for split, number in itertools.product(("train", "val"), range(8)):
        path = photos / split / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(smooth(9, 9) + number))
    return data_size(**SHARED | {"images": {"source": "folder", "path": str(photos), "size": 8}}, **FOUR)


def test_runs_on_images_that_were_moved_are_found_once_they_are_packed(tmp_path, rated, in_this_process):
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    question = with_photos(tmp_path / "before")
    assert plan.WAITING not in plan.plan([question], store, machine).notes, "there is nothing to be found"
    run_all([question], store, machine)
    moved = with_photos(tmp_path / "behind")
    made = plan.plan([moved], store, machine)
    assert plan.WAITING in made.summary().splitlines()
    assert set(made.runs["state"]) == {"to do"}
    moved.prepare(machine)
    made = plan.plan([moved], store, machine)
    assert plan.WAITING not in made.notes
    assert set(made.runs["state"]) == {"done"}


def test_a_plan_says_that_a_source_has_changed_and_takes_no_run_of_the_old_pack(tmp_path, rated, caplog):
    photos, machine = tmp_path / "photos", here(tmp_path)
    question = with_photos(photos)
    store = Store(tmp_path / "runs")
    question.prepare(machine)
    before = plan.plan([question], store, machine)
    assert set(before.packs["state"]) == {"done"}
    assert not any("changed" in line for line in caplog.messages)
    assert changed_sources([question], machine) == []
    caplog.clear()
    (photos / "train/cat/9.png").write_bytes(encoded(smooth(9, 9)))
    assert changed_sources([question], machine) == [
        "the source of images has changed since it was packed: 1 image added (train/cat/9.png); "
        "these results are of what was packed"
    ]
    after = plan.plan([question], store, machine)
    assert caplog.messages == [
        "the source of images has changed since it was packed: 1 image added (train/cat/9.png); "
        "it is packed anew"
    ]
    assert dict(zip(after.packs["pack"], after.packs["state"], strict=True))["images"] == "to do"
    assert set(after.runs["run"]) == {"after packing"}
    assert after.packs.set_index("pack")["images"]["images"] == 17
    question.prepare(machine)
    assert not set(plan.plan([question], store, machine).runs["run"]) & {"after packing", *before.runs["run"]}


def test_a_plan_names_classes_that_are_not_scored(tmp_path, rated):
    for name in ("a/1", "a/2", "a/3", "a/4", "b/1", "b/2", "b/3", "b/4", "c/1"):
        path = tmp_path / f"photos/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(smooth(24, 24)))
    photos = {
        "source": "folder",
        "path": str(tmp_path / "photos"),
        "size": 32,
        "options": {"val_fraction": 0.25},
    }
    question = small_study(targets={"photos": photos}, tasks=["probe@photos"])
    planned = plan.plan([question], Store(tmp_path / "runs"), here(tmp_path))
    assert "photos: note: val has no image of 1 class, such as c" in describe(planned)
