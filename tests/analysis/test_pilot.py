"""Pilots: nets measured one by one, in a store that begins empty."""

from itertools import product

import pytest

from itl import ItlError
from itl.analysis.advice import describe
from itl.analysis.budget import NO_LIMIT, Budget
from itl.analysis.option_grid import grid_of
from itl.analysis.pilot import Pilot
from itl.packs.paths import packed
from itl.runs.executors import with_needs
from itl.runs.plan import plan
from itl.runs.store import Store
from itl.runs.task_questions import Advice
from itl.specs import Pretrain, Transfer
from tests.pictures import encoded, smooth
from tests.worlds import MADE, SETTINGS, execute_here, here, pretend

QUESTION = Advice.ask(**SETTINGS | {"images_per_class": [4, 12]}, label_sets=["original"])


@pytest.fixture
def machine(tmp_path, rated, in_this_process):
    return here(tmp_path)


def test_a_pilot_knows_what_a_new_reading_of_the_store_would_say(machine, monkeypatch):
    reads = []

    def counted(*arguments):
        reads.append(arguments)
        return grid_of(*arguments)

    monkeypatch.setattr("itl.analysis.pilot.grid_of", counted)
    store = Store(machine.runs)
    pilot = Pilot(QUESTION, "knn@scenes", store, machine)
    lines = list(pilot.run(3))
    assert [line.partition(", seed")[0] for line in lines[:1]] == ["measuring no pre-training"]
    assert len(lines) == 3
    assert len(reads) == 1
    again = grid_of(QUESTION, store, machine)
    columns = ["task", "option", "seed", "value"]
    known = pilot.grid.measurements.astype(again.measurements.dtypes).sort_values(columns, ignore_index=True)
    assert known.equals(again.measurements.sort_values(columns, ignore_index=True))
    assert len(known) == 3
    assert pilot.grid.nets == again.nets


def test_a_pilot_ends_when_every_net_is_measured(machine):
    store = Store(machine.runs)
    lines = list(Pilot(QUESTION, "knn@scenes", store, machine).run(9))
    assert len(lines) == 7, "two nets of each option and without pre-training, and the end"
    assert lines[-1] == "every net is measured on knn@scenes"


def test_hours_of_an_option_are_those_of_its_steps_however_busy_the_machine_was(machine, monkeypatch):
    """Both options take 12 steps of 8 images; the machine was busy while nets of the second were trained."""
    store = Store(machine.runs)
    QUESTION.prepare(machine)
    nets = [run for run in QUESTION.runs(machine) if isinstance(run.spec, Pretrain)]
    for run, seconds in zip(sorted(nets, key=lambda run: str(run.columns)), (36.0, 36.0, 72.0), strict=False):
        monkeypatch.setitem(MADE, "seconds", seconds)
        pretend([run.spec], store)
    assert grid_of(QUESTION, store, machine).options["hours"].tolist() == [0.0, 0.01, 0.01]


def test_a_net_without_duplicates_is_that_of_all_tasks(machine):
    """What is left out of the pre-training, and so its key, depends on every task's images."""
    question = Advice.ask(
        **SETTINGS | {"images_per_class": [4, 12], "tasks": ["knn@scenes", "knn@images"]},
        label_sets=["original"],
        leave_out_duplicates=True,
    )
    store = Store(machine.runs)
    pilot = Pilot(question, "knn@scenes", store, machine)
    list(pilot.run(2))
    again = grid_of(question, store, machine)
    assert again.measurements["task"].tolist() == [0, 0], "each net is measured on the pilot's task alone"
    assert sorted(again.measurements["value"]) == sorted(pilot.grid.measurements["value"])
    assert pilot.grid.nets == again.nets


def test_a_pilot_trains_no_net_over_the_budget(machine):
    """Options of 4 and 12 images of each of 4 classes: 16 and 48 images; three seeds of two fit 20."""
    store, budget = Store(machine.runs), Budget(20, "images")
    pilot = Pilot(QUESTION, "knn@scenes", store, machine, budget=budget)
    lines = list(pilot.run(9))
    assert lines[-1] == "every net within 20 images is measured on knn@scenes"
    trained = [run.spec.subset for run in QUESTION.runs(machine) if run.method == "pretrain"]
    done = [
        subset for subset in trained if store.result(Pretrain(subset, "small", QUESTION.recipe, subset.seed))
    ]
    assert {subset.images_per_class for subset in done} == {4}
    assert "No experiment" not in describe(pilot.grid, pilot.task, budget)
    assert "Every net within 20 images is measured." in describe(pilot.grid, pilot.task, budget)


def test_a_budget_that_no_option_fits_is_refused_before_a_net_is_trained(machine):
    store = Store(machine.runs)
    with pytest.raises(
        ItlError, match="no option with pre-training fits 1 image; the smallest takes 16 images: raise"
    ):
        list(Pilot(QUESTION, "knn@scenes", store, machine, budget=Budget(1, "images")).run(1))
    assert not list(machine.runs.glob("pretrain/*/result.json"))


def failing(monkeypatch, fails) -> None:
    """Let runs of specs that *fails* says yes to fail."""

    def execute(specs, store, machine, watch):
        for spec in with_needs(specs):
            if fails(spec):
                raise ItlError(f"{type(spec).__name__} failed")
            execute_here([spec], store, machine, watch)

    monkeypatch.setattr("itl.runs.question.execute", execute)


def test_an_option_whose_run_fails_is_left_out_and_the_others_are_measured(machine, monkeypatch):
    """Nets of 4 images of each class cannot be trained; a later pilot tries one again, and goes on."""
    failing(monkeypatch, lambda spec: isinstance(spec, Pretrain) and spec.subset.images_per_class == 4)
    store, net = Store(machine.runs), "original, 4 images per class, seed 0"
    for measured, count, end in (
        (2, 2, "measuring"),
        (4, 9, "every net of the other options is measured on"),
    ):
        pilot = Pilot(QUESTION, "knn@scenes", store, machine)
        lines = list(pilot.run(count))
        assert [line for line in lines if net in line][1:] == [f"{net} failed; other options go on"]
        assert lines[-1].startswith(end)
        assert pilot.failures == {1: f"{net} (Pretrain failed)"}
        assert len(pilot.grid.measurements) == measured


def test_what_a_net_has_before_it_fails_is_known(machine, monkeypatch):
    failing(monkeypatch, lambda spec: isinstance(spec, Transfer) and spec.pretrain.trained)
    store = Store(machine.runs)
    pilot = Pilot(QUESTION, "knn@scenes", store, machine)
    lines = list(pilot.run(2))
    assert len(lines) == 6, "each option fails once, and both nets without pre-training are measured"
    assert pilot.grid.nets == {(1, 0), (2, 0)} == grid_of(QUESTION, store, machine).nets


def test_fewer_than_no_nets_are_refused(machine):
    store = Store(machine.runs)
    with pytest.raises(ItlError, match="--pilot takes a number of nets, such as 8; got -1"):
        list(Pilot(QUESTION, "knn@scenes", store, machine).run(-1))


def test_what_was_measured_of_other_images_is_no_advice(machine, tmp_path):
    for split, count in (("train", 4), ("val", 2)):
        for label, number in product(("cat", "dog"), range(count)):
            path = tmp_path / "mine" / split / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(smooth(32, 32) // (number + 1)))
    own = {"source": "folder", "path": str(tmp_path / "mine"), "size": 32}
    settings = SETTINGS | {"targets": {"own": own}, "tasks": ["knn@own"], "images_per_class": [4, 12]}
    question, store = Advice.ask(**settings, label_sets=["original"]), Store(machine.runs)
    question.run(store, machine)
    assert grid_of(question, store, machine).scored_images.tolist() == [4]
    (tmp_path / "mine/val/dog/1.png").unlink()
    says = r"the source of own has changed since it was packed: 1 image gone \(val/dog/1.png\); .*`itl run`"
    with pytest.raises(ItlError, match=says):
        grid_of(question, store, machine)
    question.run(store, machine)
    assert grid_of(question, store, machine).scored_images.tolist() == [3]


@pytest.mark.parametrize(("free", "says"), [("disk", "make room"), ("memory", "take smaller batches")])
def test_a_pilot_that_does_not_fit_is_refused_before_anything_is_packed(machine, monkeypatch, free, says):
    monkeypatch.setattr(f"itl.runs.plan.free_{free}", lambda *_: 0)
    store = Store(machine.runs)
    with pytest.raises(ItlError, match=says):
        list(Pilot(QUESTION, "knn@scenes", store, machine).run(2))
    assert packed(QUESTION.images, "images", machine) is None


@pytest.mark.parametrize(
    ("count", "budget", "needed"),
    [(1, NO_LIMIT, 5184), (2, NO_LIMIT, 8640), (9, NO_LIMIT, 13344), (9, Budget(20, "images"), 6432)],
)
def test_a_pilot_needs_the_disk_of_its_nets_alone(machine, monkeypatch, count, budget, needed):
    """A net takes 400 bytes, 44 for each of 4 classes, and 60 for each image: 816, 1536 or 3456.

    It has 4 images (untrained), 16 or 48; 16 fit a budget of 20. There are two seeds of each. While one is
    trained, two checkpoints take twice 576 bytes each, of which 576 stay.
    """
    QUESTION.prepare(machine)
    store = Store(machine.runs)
    monkeypatch.setattr("itl.runs.plan.free_disk", lambda _: needed)
    assert next(Pilot(QUESTION, "knn@scenes", store, machine, budget=budget).run(count)).startswith("measur")
    monkeypatch.setattr("itl.runs.plan.free_disk", lambda _: needed - 1)
    with pytest.raises(ItlError, match="make room"):
        next(Pilot(QUESTION, "knn@scenes", store, machine, budget=budget).run(count))


def test_a_pilot_needs_the_memory_of_one_run_on_its_task(machine, monkeypatch):
    """A training takes 1000 bytes and 300 for each of 64 images; runs on images take more than on scenes."""
    question = Advice.ask(
        **SETTINGS | {"images_per_class": [4, 12], "tasks": ["knn@scenes", "knn@images"]},
        label_sets=["original"],
    )
    store = Store(machine.runs)
    monkeypatch.setattr("itl.runs.plan.free_memory", lambda: 20_200)
    assert next(Pilot(question, "knn@scenes", store, machine).run(2)).startswith("measuring")
    with pytest.raises(ItlError, match="one run takes up to .* of memory"):
        next(Pilot(question, "knn@images", store, machine).run(2))
    monkeypatch.setattr("itl.runs.plan.free_memory", lambda: 20_199)
    with pytest.raises(ItlError, match="one run takes up to .* of memory"):
        next(Pilot(question, "knn@scenes", store, machine).run(2))


def test_hours_are_those_of_the_plan_before_anything_is_packed(machine):
    store = Store(machine.runs)
    minutes = plan([QUESTION], store, machine).runs
    grid = grid_of(QUESTION, store, machine)
    for kind, hours in (("pretrain", grid.options["hours"].max()), ("knn", grid.task_hours[0])):
        assert hours > 0
        assert hours == pytest.approx(minutes.loc[minutes["kind"] == kind, "minutes"].max() / 60)
