"""Nets that exist already, as conditions of a question: hubs', files', and what is refused."""

import hashlib
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision import models
from torchvision.transforms import v2

from itl import ItlError
from itl.__main__ import main
from itl.analysis import figures, tables
from itl.analysis.comparisons import answer
from itl.analysis.option_grid import read_measured
from itl.packs.paths import packed
from itl.packs.subset import Selection
from itl.panels.net import NetPanel
from itl.presets import Preset, find_presets, load_preset
from itl.report.run_index import run_index, runs_html
from itl.runs.executors import with_needs
from itl.runs.leakage import known_of_leakage
from itl.runs.nets import export_net
from itl.runs.own_weights import OwnWeights
from itl.runs.perform import load_net, perform
from itl.runs.plan import plan
from itl.runs.questions import QUESTIONS
from itl.runs.store import PROVENANCE_FILE, Store
from itl.specs import Pretrain, Subset, Transfer, key
from itl.training.batches import Batches
from itl.training.detection_nets import detection_backbone
from itl.training.hubs import fetch, published
from itl.training.nets import Renormalised, build, build_for
from itl.training.weights import fill_body, kept_file, load_kept
from tests.worlds import here, run_here, small_study, start_child

HALF_GREY = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


@pytest.fixture(scope="module")
def resnet(tmp_path_factory) -> Path:
    """A state dict of a ResNet that never was trained."""
    path = tmp_path_factory.mktemp("weights") / "mine.pth"
    torch.manual_seed(3)
    torch.save({"state_dict": models.resnet18().state_dict()}, path)
    return path


def entry(path: Path, **settings) -> dict:
    return {"net": "resnet18", "file": str(path), "pixels": 32} | settings


@pytest.fixture(scope="module")
def study(resnet, tmp_path_factory) -> SimpleNamespace:
    """A small study that has run, then again beside its own exported net and the ResNet, twice."""
    home = tmp_path_factory.mktemp("study")
    machine = here(home, checkpoint_seconds=60)  # none: each of the ResNet takes as long as its epoch
    store, file = Store(home / "runs"), home / "net.safetensors"
    settings = {"images_per_class": [0, 12], "tasks": ["knn@scenes", "probe@scenes", "finetune@scenes"]}
    first = small_study(**settings, seeds=[0])
    run_here(first, machine)
    (net,) = [run.spec for run in first.runs(machine) if isinstance(run.spec, Pretrain)]
    said = export_net(key(net)[:8], str(file), machine)
    weights = [
        {"net": "small", "file": str(file), "name": "again"},
        entry(resnet, trained_on="nothing at all"),
        entry(resnet, name="grey", **HALF_GREY),
    ]
    question = small_study(**settings, weights=weights)
    run_here(question, machine)
    return SimpleNamespace(
        home=home,
        machine=machine,
        store=store,
        net=net,
        said=said,
        question=question,
        results=question.results(store, machine),
    )


def own_nets(question, machine) -> list[Pretrain]:
    """The nets with weights that *question* needs, each once."""
    specs = dict.fromkeys(needed for run in question.runs(machine) for needed in with_needs([run.spec]))
    return [spec for spec in specs if isinstance(spec, Pretrain) and spec.weights]


def test_a_question_is_asked_of_own_weights_beside_all_others(study):
    own = study.results[study.results["weights"] != ""]
    assert own["weights"].tolist() == own["images_per_class"].tolist()
    assert own.groupby("weights")["trained_on"].unique().map(list).to_dict() == {
        "again": ["not said"],
        "mine.pth": ["nothing at all"],
        "grey": ["not said"],
    }
    assert set(own["task"]) == {"knn@scenes", "probe@scenes", "finetune@scenes"}  # and not its own classes
    assert set(own["seed"]) == {0, 1}
    assert len(own_nets(study.question, study.machine)) == 3, "no seed changes them"
    contrasts = answer(study.question, study.store, study.machine).contrasts
    names = [text.partition(" ")[0] for text in contrasts["compared"].unique() if "12 images" in text]
    assert names == ["12", "again", "mine.pth", "grey"]
    facts = study.question.provenance(study.store, study.machine).set_index("item")["value"]
    assert facts["weights mine.pth"] == (
        "trained on nothing at all; which test images mine.pth has seen is not known"
    )


def test_advice_takes_own_weights_as_the_one_net_that_they_are(study):
    values = read_measured(study.question, study.store, study.machine)
    conditions = [condition.weights is not None for condition in study.question.conditions]
    sizes = [3 if own else 6 for own in conditions]  # tasks, by seeds
    assert values.groupby("option").size().tolist() == sizes
    tuned = study.results.query("task == 'finetune@scenes' and weights == 'grey' and metric == 'accuracy'")
    assert tuned["seed"].tolist() == [0, 1]
    ((_, row),) = values[(values["task"] == 2) & (values["option"] == len(conditions) - 1)].iterrows()
    assert (row["seed"], row["value"]) == (0, tuned["value"].mean())


def test_weights_of_old_versions_of_torch_which_kept_no_counters_are_kept(tmp_path):
    state, path = models.resnet18().state_dict(), tmp_path / "old.pth"
    torch.save({name: value for name, value in state.items() if "num_batches" not in name}, path)
    own = OwnWeights.read(entry(path))
    own.keep(here(tmp_path), 32)
    tensors, _ = load_kept(own.weights, here(tmp_path).weights)
    body = {name: value for name, value in state.items() if not name.startswith("fc.")}
    assert tensors.keys() == body.keys()
    assert all(torch.equal(tensors[name], value) for name, value in body.items())


def test_tuned_weights_are_not_kept_and_cannot_be_exported(study, tmp_path):
    measured = {
        run.task: run.spec
        for run in study.question.runs(study.machine)
        if isinstance(run.spec, Transfer) and run.spec.pretrain == study.net
    }
    tuned = r"\(finetune\), and the weights that this ends with are not kept; "
    kept = f"{tuned}`itl export {key(study.net)} .*net.pth --home .*` writes the net that it begins with"
    with pytest.raises(ItlError, match=kept):
        export_net(key(measured["finetune@scenes"]), tmp_path / "net.pth", study.machine)
    said = export_net(key(measured["knn@scenes"]), tmp_path / "net.pth", study.machine)
    assert f"small of run {key(study.net)}" in said


def test_the_net_of_a_run_has_the_files_tensors_and_no_others(study, resnet, tmp_path):
    state = torch.load(resnet, weights_only=True)["state_dict"]
    _, spec, _ = own_nets(study.question, study.machine)
    body = load_net(spec, study.store).body.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in body.items())  # statistics too
    said = export_net(key(spec), tmp_path / "again.pth", study.machine)
    assert "torchvision.models.get_model('resnet18', num_classes=1) loads it" in said
    assert f"resnet18 of run {key(spec)} (its head is new: it is trained on nothing), for images" in said
    again = torch.load(tmp_path / "again.pth", weights_only=True)
    assert all(torch.equal(tensor, again[name]) for name, tensor in state.items() if "fc" not in name)


def test_provenance_says_of_trainings_alone_whether_they_compile(study):
    runs = {run.spec for run in study.question.runs(study.machine) if isinstance(run.spec, Transfer)}
    says = {spec.method: study.store.read(spec, PROVENANCE_FILE).get("compile") for spec in runs}
    assert says == {"knn": None, "probe": None, "finetune": "no"}
    nets = [study.net, *own_nets(study.question, study.machine)]
    assert [study.store.read(net, PROVENANCE_FILE).get("compile") for net in nets] == ["no", None, None, None]


def test_a_net_of_the_store_goes_out_and_comes_back_to_the_same_numbers(study):
    rows = study.results[(study.results["task"] != "own") & (study.results["seed"] == 0)]
    values = rows.set_index(["images_per_class", "task", "metric"])["value"].unstack([1, 2])
    assert values.loc["again"].tolist() == values.loc[12].tolist()
    assert values.loc["mine.pth"].tolist() != values.loc["grey"].tolist()
    assert "small of run" in study.said
    assert "images of 24 pixels less mean [0.485, 0.456, 0.406]" in study.said


def test_a_net_is_exported_on_the_command_line(study, tmp_path, capsys):
    command = ["export", key(study.net), str(tmp_path / "net.pth"), "--home", str(study.home)]
    assert main(command) == 0
    assert f"small of run {key(study.net)}, for images" in capsys.readouterr().out
    specs = with_needs(run.spec for run in study.question.runs(study.machine))
    nets = [spec for spec in specs if isinstance(spec, Pretrain)]
    untrained = next(net for net in nets if not (net.trained or net.weights))
    assert main(["export", key(untrained), str(tmp_path / "raw.pth"), *command[3:]]) == 0
    assert "(as initialised: it is trained on nothing)" in capsys.readouterr().out
    assert main(command) == 1
    assert "exists already" in capsys.readouterr().err
    assert main(["export", "0000000", *command[2:]]) == 1
    assert "0 of the" in capsys.readouterr().err


def test_own_weights_that_no_target_has_measured_have_nothing_to_look_at(study, tmp_path):
    spec = own_nets(study.question, study.machine)[1]
    folder = study.store.path(spec)
    shutil.copytree(folder, tmp_path / "runs" / folder.relative_to(study.store.root))
    with pytest.raises(ItlError, match="no images to look at: its head is new, and it is measured on no"):
        NetPanel(spec, study.machine.replace(home=tmp_path))


def test_pictures_and_pages_show_own_weights(study):
    """Levels in the figure, a column in the table, words in the list of runs, and the panel of a net."""
    axes = figures.curve(study.results, x="images_per_class", task="knn@scenes")
    written = {text.get_text() for text in axes.texts}
    assert {f"{name}, own weights" for name in ("again", "mine.pth", "grey")} <= written
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["none", "12"]
    assert "grey" in str(tables.summary(study.results).columns)
    entries = run_index([study.question], study.machine)
    assert sum(entry.task == "own weights" for entry in entries) == 3
    assert "and 3 with own weights" in runs_html(entries, "demo")
    panel = NetPanel(own_nets(study.question, study.machine)[1], study.machine)
    assert panel.offered == ["scenes"]  # its new head knows nothing of own classes
    assert "resnet18, own weights, not trained here" in panel.html()


@pytest.fixture(scope="module")
def presets() -> list[Preset]:
    """All shipped presets, read once; demo comes first."""
    return [load_preset(name) for name in ("demo", *find_presets())]


@pytest.mark.parametrize("stem", QUESTIONS)
def test_every_question_takes_weights(stem, presets, resnet):
    settings = next(preset.notebooks[stem] for preset in presets if stem in preset.notebooks)
    without = QUESTIONS[stem].ask(**settings)
    question = QUESTIONS[stem].ask(**settings, weights=[entry(resnet)])
    *others, own = question.conditions
    assert tuple(others) == without.conditions
    assert question.comparisons[: len(without.comparisons)] == without.comparisons
    assert [pair.of for pair in question.comparisons[len(without.comparisons) :]] == [own.columns]
    assert [name for name, _ in own.columns] == [name for name, _ in others[0].columns]
    assert "mine.pth" in dict(own.columns).values()
    against = next(condition for condition in others if condition.columns == question.comparisons[-1].against)
    assert against.trained
    assert [key(run.spec) for run in without.runs_on(dict.fromkeys(without.packings(), "d"))] == [
        key(run.spec)
        for run in question.runs_on(dict.fromkeys(question.packings(), "d"))
        if run.columns != own.columns
    ]


def test_the_key_follows_the_content_and_not_the_place(resnet, tmp_path):
    def made(path, **settings):
        weights = OwnWeights.read(entry(path, **settings)).weights
        return key(Pretrain(Subset("d"), "resnet18", weights=weights))

    copy = tmp_path / "copy.pth"
    copy.write_bytes(resnet.read_bytes())
    assert made(copy) == made(resnet) == made(copy, name="other", trained_on="elsewhere")
    assert made(copy, in_order=True) != made(copy)
    assert made(copy, bgr=True) != made(copy) == made(copy, bgr=False)
    assert made(copy, **HALF_GREY) != made(copy)
    torch.save(models.resnet18().state_dict(), copy)
    assert made(copy) != made(resnet)
    one = Pretrain(Subset("d", classes=3), "resnet18", seed=4, weights=OwnWeights.read(entry(resnet)).weights)
    assert key(one) == made(resnet), "neither seed nor subset matters"


def test_timms_normalisation_is_honoured(tmp_path):
    """Features are those of timm called by its own transform on the same crop."""
    hub = published("timm:tf_efficientnet_lite0.in1k")
    assert (hub.mean, hub.std) == (HALF_GREY["mean"], HALF_GREY["std"])
    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_lite0").eval()
    save_file(model.state_dict(), tmp_path / "lite.safetensors")
    own = OwnWeights.read({"net": hub.net, "file": str(tmp_path / "lite.safetensors"), "pixels": 32})
    machine, question = here(tmp_path), small_study()
    own.keep(machine, 32)
    question.prepare(machine)
    spec = Pretrain(Subset("d"), own.net, question.recipe, weights=own.weights)
    net = build_for(spec, 3).eval()
    fill_body(net, own.net, load_kept(own.weights, machine.weights)[0])
    pack = packed(question.images, "images", machine)
    batches = Batches(pack, _first(pack, 4), spec.recipe, 0, machine)
    (images, _), *_ = batches.in_order()
    side = spec.recipe.pixels
    edge = (pack.size - side) // 2
    crops = np.array(pack.images[:4])[:, edge : edge + side, edge : edge + side]
    to_floats = v2.ToDtype(torch.float32, scale=True)
    transform = v2.Compose([v2.ToImage(), to_floats, v2.Normalize(hub.mean, hub.std)])
    theirs = torch.stack([transform(crop) for crop in crops])
    with torch.no_grad():
        features = model.forward_head(model.forward_features(theirs), pre_logits=True)
        ours = net.body(images)
    assert features.std() > 1e-3
    torch.testing.assert_close(ours, features, rtol=1e-5, atol=1e-5)
    assert (net.body.body(images) - features).abs().max() > 1e-3, "it is not the same without"


def _first(pack, count):
    return Selection(np.arange(count), np.zeros(count, int), ("all",))


@pytest.mark.parametrize("name", ["resnet18", "small", "timm:resnet10t"])
def test_detectors_normalise_as_their_weights_expect(name):
    net = build(name, 3, 64, seed=0).eval()
    images = torch.randn(1, 3, 64, 64)
    plain = detection_backbone(name, net).eval().maps(images * 2 + 1)
    net.body = Renormalised(net.body, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    with torch.no_grad():
        backbone = detection_backbone(name, net).eval()
        net.body.scale, net.body.shift = torch.tensor(2.0), torch.tensor(1.0)
        torch.testing.assert_close(detection_backbone(name, net).eval().maps(images), plain)
        assert not torch.allclose(backbone.maps(images), plain)


def test_hub_names_are_completed_and_say_what_they_are_from():
    own = OwnWeights.read("timm:resnet18")
    assert (own.net, own.name, own.pixels, own.file) == ("timm:resnet18", "timm:resnet18.a1_in1k", 224, "")
    assert own.trained_on == "ImageNet-1k (licence apache-2.0)"
    said = OwnWeights.read("timm:resnet18.fb_swsl_ig1b_ft_in1k").trained_on
    assert said.startswith("Instagram-1B, then ImageNet-1k")
    own = OwnWeights.read("torchvision:resnet50.IMAGENET1K_V1")
    assert (own.net, own.name) == ("resnet50", "torchvision:resnet50.IMAGENET1K_V1")
    assert OwnWeights.read("torchvision:vgg11").net == "torchvision:vgg11"
    assert OwnWeights.read({"net": "timm:resnet18", "pixels": 64}).pixels == 64


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("timm:resnet81", "no timm net called 'resnet81'; did you mean 'resnet18'"),
        ("timm:resnet18.a9_in1k", "no timm weights of resnet18 called 'a9_in1k'; did you mean 'a"),
        ("torchvision:resnet19", "no torchvision net called 'resnet19'; did you mean 'resnet1"),
        ("torchvision:resnet18.V1", "no torchvision weights of resnet18 called 'V1'.* IMAGENET1K_V1"),
        ("resnet18", "no published weights called 'resnet18'; give timm:NAME"),
        ("mine.pth", "no published weights called 'mine.pth'.*mapping with net and file"),
        ({"file": "a.pth"}, "lacks 1 of its settings; add net"),
        ({"net": "resnet18", "fil": "a.pth"}, "did you mean 'file'"),
        ({"net": "resnet18", "file": "missing.pth"}, "missing.pth are not there"),
        ({"net": "resnet18", "file": "."}, "are a folder"),
        ({"net": "timm:resnet18", "pixels": 0}, "pixels of weights should be above 0, not 0; left out"),
        (3, "net of weights should be text"),
    ],
)
def test_what_names_no_weights_is_refused_before_anything_runs(value, says):
    with pytest.raises(ItlError, match=says):
        small_study(weights=[value])


def test_a_file_is_that_whose_digest_its_name_has(resnet, tmp_path):
    """Names as of torch.hub and of blobs in the cache of Hugging Face; not dates, steps and words."""
    digest = hashlib.sha256(resnet.read_bytes()).hexdigest()
    other, blob = "0123456a", tmp_path / f"0123456a{digest[8:]}"
    shutil.copy(resnet, blob)
    refused = [f"net-{other}.pth", "model.pth"]
    for name in (f"net-{digest[:8]}.pth", digest, "net-20260131.pth", "net-48151623.pth", "net-finished.pth"):
        shutil.copy(resnet, tmp_path / name)
        assert OwnWeights.read(entry(tmp_path / name)).weights.digest == digest[:8]
    for name in refused:
        (tmp_path / name).symlink_to(blob) if name == "model.pth" else shutil.copy(resnet, tmp_path / name)
        with pytest.raises(
            ItlError, match=f"its SHA-256 begins with {digest[:8]}, not .*; copy it again, or"
        ):
            OwnWeights.read(entry(tmp_path / name))


def test_the_same_weights_twice_and_weights_alone_are_refused(resnet):
    for again in (entry(resnet), entry(resnet, name="again")):
        with pytest.raises(
            ItlError, match=f"the weights mine.pth and {again.get('name', 'mine.pth')} are the"
        ):
            small_study(weights=[entry(resnet), again])


def test_two_weights_of_one_name_are_refused_with_what_tells_them_apart(resnet, tmp_path):
    state = models.resnet18().state_dict()
    torch.save(state, tmp_path / "mine.pth")
    other = entry(tmp_path / "mine.pth")
    says = "data-size has two weights called mine.pth; give one of them another name, as in {…, name: mine-2}"
    with pytest.raises(ItlError, match=re.escape(says)):
        small_study(weights=[entry(resnet), other])
    assert len(small_study(weights=[entry(resnet), other | {"name": "a"}]).own_weights()) == 2


def test_weights_that_do_not_fit_stop_a_question_before_it_trains(resnet, tmp_path):
    question = small_study(weights=[entry(resnet, net="resnet50")])
    machine, store = here(tmp_path), Store(tmp_path / "runs")
    for refused in (question.plan, question.run):
        with pytest.raises(ItlError, match=r"mine.pth does not fit resnet50: .*; it fits net: resnet18"):
            refused(store, machine)
    assert not list(tmp_path.rglob("r*.json")), "neither a result nor rates: nothing was measured"


def test_no_images_that_own_weights_never_see_are_said_to_be_enlarged(resnet, tmp_path, rated):
    """Nets trained here take 24 pixels and both packs have 32; the target's are enlarged for the weights."""
    planned = plan([small_study(weights=[entry(resnet, pixels=48)])], Store(tmp_path), here(tmp_path))
    (enlarged,) = [note for note in planned.notes if "enlarged" in note]
    assert enlarged.startswith("note: scenes, packed at 32 pixels, is enlarged to 48 for nets")


def test_a_plan_refuses_weights_whose_order_is_not_the_nets_and_keeps_none(tmp_path):
    torch.save({"a": torch.zeros(3), "b": torch.zeros(4)}, tmp_path / "two.pth")
    question, machine = small_study(weights=[entry(tmp_path / "two.pth", in_order=True)]), here(tmp_path)
    with pytest.raises(ItlError, match="in_order takes as many tensors as resnet18 has, 122, or 120 without"):
        question.plan(Store(machine.runs), machine)
    assert not machine.weights.exists()


def test_weights_that_are_kept_are_refused_for_images_of_another_size(tmp_path):
    """A transformer's have a weight for each part of the image."""
    vit = timm.create_model("test_vit", num_classes=0)
    torch.save(vit.state_dict(), tmp_path / "vit.pth")
    sides = [vit.patch_embed.img_size[0], vit.patch_embed.img_size[0] // 2]
    fitting, other = (
        OwnWeights.read({"net": "timm:test_vit", "file": str(tmp_path / "vit.pth"), "pixels": side})
        for side in sides
    )
    machine = here(tmp_path)
    fitting.keep(machine, 24)
    fitting.check(machine, 24)
    with pytest.raises(ItlError, match=f"for images of another size than {sides[1]} pixels: pos_embed is"):
        other.check(machine, 24)


def test_a_run_whose_weights_are_not_kept_says_how_they_come_there(study, tmp_path):
    spec = own_nets(study.question, study.machine)[1]
    machine = study.machine.replace(home=tmp_path)
    (tmp_path / "packs").symlink_to(study.machine.packs)
    with pytest.raises(ItlError, match=r"the weights of resnet18 are not in .*; `itl run PRESET` puts them"):
        perform(spec, Store(tmp_path / "runs"), machine)
    kept = kept_file(spec.weights, machine.weights)
    kept.parent.mkdir()
    kept.write_bytes(kept_file(spec.weights, study.machine.weights).read_bytes()[:1000])
    with pytest.raises(ItlError, match=rf"{kept.name} is damaged \(.*\); remove it, then repeat$"):
        perform(spec, Store(tmp_path / "runs"), machine)


def test_torchvisions_cache_is_read_without_network(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    state, cached = models.resnet18().state_dict(), tmp_path / "hub/checkpoints/resnet18-f37072fd.pth"
    cached.parent.mkdir(parents=True)
    torch.save(state, cached)
    assert torch.equal(fetch("torchvision:resnet18.IMAGENET1K_V1")["conv1.weight"], state["conv1.weight"])


def test_densenets_of_torchvisions_cache_have_the_names_of_its_models(monkeypatch, tmp_path):
    """The published file has names of an older version of torch, which a file of one's own may have too."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    state, cached = models.densenet121().state_dict(), tmp_path / "hub/checkpoints/densenet121-a639ec97.pth"
    cached.parent.mkdir(parents=True)
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): state[name] for name in state}
    torch.save({name: value for name, value in old.items() if "num_batches" not in name}, cached)
    torch.save({"state_dict": {f"module.{name}": value for name, value in old.items()}}, tmp_path / "own.pth")
    taken = []
    for entry in (
        "torchvision:densenet121.IMAGENET1K_V1",
        {"net": "torchvision:densenet121", "file": str(tmp_path / "own.pth")},
    ):
        own = OwnWeights.read(entry)
        own.keep(here(tmp_path), 32)
        taken.append(load_kept(own.weights, here(tmp_path).weights)[0])
    body = {name for name in state if not name.startswith("classifier")}
    for tensors in taken:
        assert tensors.keys() == body
        assert all(torch.equal(value, state[name]) for name, value in tensors.items())


OFFLINE = """
import os, socket, sys
assert "huggingface_hub" not in sys.modules, "it reads the environment as it is imported"
os.environ |= environment
def refuse(*_, **__): raise OSError("no network")
socket.socket.connect = socket.getaddrinfo = refuse
from itl import ItlError
from itl.training.hubs import fetch
for name in names:
    try:
        said = sum(value.numel() for value in fetch(name).values())
    except ItlError as error:
        said = error
    with open(file, "a") as lines:
        print(said, file=lines)
"""


def offline(home: Path, *names: str) -> list[str]:
    """Fetch weights in a process without network, whose caches are in *home*: how many numbers, or an error.

    The client of timm's hub knows: it would try for a minute.
    """
    environment = {"HF_HOME": str(home), "TORCH_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    given = {"environment": environment, "names": names, "file": str(home / "said.txt")}
    child = start_child(exec, OFFLINE, given)  # no function of this file, which has imported timm
    child.join()
    assert child.exitcode == 0
    return (home / "said.txt").read_text().splitlines()


def test_without_network_caches_are_read_or_one_line_says_how_to_give_a_file(tmp_path):
    cached = tmp_path / "hub/models--timm--resnet10t.c3_in1k"
    snapshot = cached / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs/main").write_text("0" * 40)
    model = timm.create_model("resnet10t")
    save_file(model.state_dict(), snapshot / "model.safetensors")
    absent = ["timm:resnet14t.c3_in1k", "torchvision:resnet18.IMAGENET1K_V1"]
    count, *errors = offline(tmp_path, "timm:resnet10t.c3_in1k", *absent)
    assert count == str(sum(value.numel() for value in model.state_dict().values()))
    assert len(errors) == 2
    for name, error in zip(absent, errors, strict=True):
        assert f"{name} is not in the cache of {name.partition(':')[0]} and cannot be fetched (" in error
        assert error.endswith(f"give a file of it: {{net: {name}, file: FILE}}")


def test_what_is_known_of_leakage_is_said(tmp_path):
    machine, question = here(tmp_path), small_study()
    packs = question.prepare(machine)
    said = known_of_leakage("w", "ImageNet-1k", packs)
    assert said == (
        "trained on ImageNet-1k; which test images w has seen is not known; 4 of the 4 classes of images are "
        "among its 1000 classes"
    )
    assert known_of_leakage("w", "my photos", packs).endswith("w has seen is not known")
