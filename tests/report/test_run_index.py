"""The run index: every run once, with its questions, its provenance and the images it learned from."""

import gzip
import io
import json
import os
import re
from functools import partial

import pandas as pd
import pytest

from itl.packs.paths import find_by_digest
from itl.report import run_index as module
from itl.report.run_index import RunEntry, run_index, runs_html
from itl.report.run_page import example_images, publish_runs, run_pages
from itl.runs.executors import with_needs
from itl.runs.questions import class_count
from itl.runs.store import Store
from itl.specs import Pretrain, Subset, Transfer, canonical, key
from tests.accessible import faults
from tests.worlds import MADE, SETTINGS, here, pretend, small_study


def questions():
    """Two questions that share the full pre-training and its nearest neighbours."""
    shared = {name: value for name, value in SETTINGS.items() if name != "images_per_class"}
    shared["tasks"] = ["knn@scenes", "probe@scenes"]
    fine = class_count(label_sets=["bottom-up@5", "original"], **shared)
    return [small_study(images_per_class=[0, 4, "all"], seeds=[0, 1]), fine]


@pytest.fixture
def machine(tmp_path):
    """A home where all but the last run are done; no pack is needed to read them."""
    machine = here(tmp_path)
    pretend(specs(machine)[:-1], Store(machine.runs))
    return machine


@pytest.fixture
def out(tmp_path):
    """Where the report goes."""
    return tmp_path / "reports"


def specs(machine) -> list:
    return with_needs([run.spec for question in questions() for run in question.runs(machine)])


def trained(machine) -> list[Pretrain]:
    return [spec for spec in specs(machine) if isinstance(spec, Pretrain) and spec.trained]


def test_measurements_of_one_name_on_one_net_say_their_conditions(tmp_path):
    net = Pretrain(Subset("p"))
    halves = [Transfer(net, "knn", "images", "p", labels=name) for name in ("minimal", "random")]
    rows = [("knn@images/half-a", f"06-split: halves {half.labels}, A") for half in halves]
    done = {"state": "done", "result": {}, "provenance": {"seconds": 9.420405002994812}}
    entries = [RunEntry(net, "pre-training", ("06-split: halves minimal, A",), **done)]
    entries += [
        RunEntry(half, task, (condition,), **done)
        for half, (task, condition) in zip(halves, rows, strict=True)
    ]
    names = re.findall(r'<th scope="row">([^<]*)</th>', runs_html(entries, "demo"))
    assert names == ["pre-training", *(f"{task}, of {condition}" for task, condition in rows)]
    pages = run_pages(entries, "demo", here(tmp_path))
    related = [re.findall(r'<th scope="row"><a [^>]*>([^<]*)</a>', page) for _, page in pages]
    assert related == [names[1:], [names[0], names[2]], names[:2]]


def test_tables_of_a_run_page_scroll_by_themselves_and_seconds_are_rounded(tmp_path):
    result, provenance = {"metrics": {"knn": 50.0}}, {"seconds": 9.420405002994812, "commit": "4ea0f31e"}
    entry = RunEntry(Pretrain(Subset("p")), "pre-training", ("a: b",), "done", result, provenance)
    ((_, html),) = run_pages([entry], "demo", here(tmp_path))
    assert re.findall('<div class="wide" tabindex="0".*?><table', html) == re.findall(".*<table", html)
    assert re.findall(r'<th scope="row">(seconds|commit)</th><td>(.*?)</td>', html) == [
        ("seconds", "9.4"),
        ("commit", "4ea0f31e"),
    ]
    assert faults(html) == []


def test_every_run_stands_once_and_names_its_questions(machine):
    entries = run_index(questions(), machine)
    assert sorted(entry.key for entry in entries) == sorted(key(spec) for spec in specs(machine))
    # 3 conditions and 1 more, 2 seeds: 8 nets, knn on each, probe on the 4 of class-count
    assert len(entries) == 8 + 8 + 4
    shared = [entry for entry in entries if entry.questions == "data-size, class-count"]
    assert [entry.task for entry in shared] == ["pre-training", "knn@scenes"] * 2
    assert shared[0].conditions == ("data-size: images per class all", "class-count: label set original")
    assert [entry.task for entry in entries].count("no pre-training") == 2
    assert [entry.state for entry in entries].count("to do") == 1


def test_nets_without_pre_training_learned_from_nothing_as_results_say(machine):
    table = pd.read_csv(io.StringIO(module.runs_csv(run_index(questions(), machine))))
    nets = table[table["kind"] == "pretrain"].set_index("task")[["classes", "images"]]
    assert {*nets.loc["no pre-training"].itertuples(index=False, name=None)} == {(0, 0)}
    assert {*nets.loc["pre-training"].itertuples(index=False, name=None)} == {(4, 3)}


def test_what_is_measured_follows_its_pre_training(machine):
    last = None
    for entry in run_index(questions(), machine):
        last = entry.spec if isinstance(entry.spec, Pretrain) else last
        assert getattr(entry.spec, "pretrain", entry.spec) == last


def test_the_page_can_be_read_and_leads_to_all(machine, out):
    entries = run_index(questions(), machine)
    publish_runs(entries, out, "test", machine)
    html = (out / "runs.html").read_text()
    assert faults(html) == []
    for entry in entries:
        assert html.count(f">{entry.key}</a></td>") + html.count(f"<td>{entry.key}</td>") == 1, "one row each"
    (listed,) = re.findall(r'<p id="class-count">(.*?)</p>', html)
    assert re.findall(r"\w{12}", re.sub(r"<.*?>", " ", listed)) == [
        entry.key for entry in entries if "class-count" in entry.questions
    ]
    linked = set(re.findall(r'href="(runs/.*?)"', html))
    assert linked == {f"runs/{path.name}" for path in (out / "runs").iterdir() if path.suffix != ".json"}
    assert "20, 19 of them done" in html
    assert "28.5 minutes" in html, "19 runs of a minute and a half"
    assert "data-size: images per class all; class-count: label set original; seed 1" in html
    assert "A &amp; B" in html
    assert "accuracy 51.2" in html


def test_a_run_is_published_with_spec_provenance_and_images(machine, out):
    publish_runs(run_index(questions(), machine), out, "test", machine)
    spec = next(spec for spec in trained(machine) if spec.seed == 1)
    content = json.loads((out / f"runs/{key(spec)}.json").read_text())
    assert content["spec"] == json.loads(canonical(spec))
    assert content["provenance"] == MADE
    assert (out / f"runs/{key(spec)}.csv").read_text().count("train/") == 4
    table = pd.read_csv(out / "runs.csv").set_index("run")
    assert table.loc[key(spec), "spec"] == canonical(spec)
    assert table.loc[key(spec), "manifest"] == f"runs/{key(spec)}.csv"
    assert table["seconds"].sum() == 19 * 90
    assert {"commit", "itl", "device", "precision", "torch", "compile", "ranks"} <= {*table.columns}


def test_long_manifests_are_compressed_and_old_files_go(machine, out, monkeypatch):
    monkeypatch.setattr(module, "LONG_MANIFEST_BYTES", 60)  # bytes: 4 images are more, 3 are not
    (out / "runs").mkdir(parents=True)
    (out / "runs/0123456789ab.json").write_text("{}")
    publish_runs(run_index(questions(), machine), out, "test", machine)
    names = {path.name for path in (out / "runs").iterdir()}
    assert "0123456789ab.json" not in names
    for spec in [spec for spec in specs(machine) if isinstance(spec, Pretrain)]:
        if not spec.trained:
            assert not {f"{key(spec)}.csv", f"{key(spec)}.csv.gz"} & names, "it learned from no image"
            continue
        name = f"{key(spec)}.csv" + (".gz" if spec.seed else "")
        assert {f"{key(spec)}.csv", f"{key(spec)}.csv.gz"} & names == {name}
        packed = (out / "runs" / name).read_bytes()
        listed = (Store(machine.runs).path(spec) / "manifest.csv").read_bytes()
        assert (gzip.decompress(packed) if spec.seed else packed) == listed


def test_a_run_that_is_done_anew_is_published_anew(machine, out):
    publish_runs(run_index(questions(), machine), out, "test", machine)
    spec = trained(machine)[0]
    listed = Store(machine.runs).path(spec) / "manifest.csv"
    published = out / f"runs/{key(spec)}.csv"
    before = published.stat().st_mtime_ns
    publish_runs(run_index(questions(), machine), out, "test", machine)
    assert published.stat().st_mtime_ns == before, "what lies there is not copied again"
    store = Store(machine.runs)
    result = store.result(spec)
    (listed.parent / "result.json").unlink()
    listed.write_text("image,wnid,label\n")
    store.finish(spec, result)
    os.utime(listed, (0, 0))  # the clock was set back in between
    publish_runs(run_index(questions(), machine), out, "test", machine)
    assert published.read_text() == "image,wnid,label\n"


def test_a_preset_without_questions_has_a_page_too(out):
    publish_runs([], out, "test", here(out))
    assert faults((out / "runs.html").read_text()) == []


def test_the_page_of_a_run_shows_settings_training_images_and_what_was_measured(tmp_path):
    machine = here(tmp_path)
    (question,) = questions()[:1]
    question.prepare(machine)
    spec, *measured = with_needs([run.spec for run in question.runs(machine) if run.columns[0][1] == 4][:2])
    store = Store(machine.runs)
    images = find_by_digest(spec.subset.pack, machine).table["image"]
    listed = "".join(f"{image},n1,n1\n" for image in images[:5])
    (store.folder(spec) / "manifest.csv").write_text("image,wnid,label\n" + listed)
    rows = [{"epoch": epoch, "step": epoch, "loss": loss} for epoch, loss in ((1, 3.0), (2, 2.0), (3, 1.0))]
    (store.path(spec) / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pretend([spec, *measured], store)
    publish_runs(run_index([question], machine), tmp_path / "out", "test", machine)
    html = (tmp_path / f"out/runs/{key(spec)}.html").read_text()
    assert faults(html) == []
    assert html.count("data:image/png;base64,") == 5
    assert 'points="0.0,0.0 280.0,90.0 560.0,180.0"' in html
    assert "from 3.00 to 1.00" in html
    assert '<th scope="row">recipe.steps</th><td>12</td>' in html
    for transfer in measured:
        assert f'href="{key(transfer)}.html"' in html
        assert f'href="{key(spec)}.html"' in (tmp_path / f"out/runs/{key(transfer)}.html").read_text()

    listed = "".join(f"{image},n1,n1\n" for image in images[:47])
    (store.path(spec) / "result.json").unlink()
    (store.path(spec) / "manifest.csv").write_text("image,wnid,label\n" + listed)
    pretend([spec], store)
    shown = [image for image, _, _ in example_images(spec, store, partial(find_by_digest, machine=machine))]
    assert shown == images[:47:2].tolist(), "24 of them, from the first to the last"


def test_a_run_has_a_page_where_its_pack_is_not(machine, out):
    publish_runs(run_index(questions(), machine), out, "test", machine)
    spec = trained(machine)[0]
    html = (out / f"runs/{key(spec)}.html").read_text()
    assert "Images that it learned from" not in html
    assert "subset.images_per_class" in html


def test_what_is_not_in_percent_is_not_called_so_on_the_page_of_a_run(tmp_path):
    machine = here(tmp_path)
    question = small_study(images_per_class=[4, 12], tasks=["knn@scenes", "scores@scenes"], seeds=[0])
    spec = next(run.spec for run in question.runs(machine) if run.method == "scores")
    store = Store(machine.runs)
    store.write(spec, "provenance.json", MADE)
    store.finish(spec, {"metrics": {"knn5": 40.0, "logme": -0.25}})
    publish_runs(run_index([question], machine), tmp_path / "out", "test", machine)
    html = (tmp_path / f"out/runs/{key(spec)}.html").read_text()
    assert re.findall(r'<th scope="row">(knn5|logme)</th><td>(.*?)</td>', html) == [
        ("knn5", "40.00 %"),
        ("logme", "-0.25"),
    ]
