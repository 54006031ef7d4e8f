"""The benchmark's row of training: the loop and the bare net do the same steps, of known work."""

import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from itl.bench import training
from itl.machine import Machine
from itl.packs.subset import Selection
from itl.specs import DetectionRecipe
from itl.training.detection_batches import DetectionBatches


def test_the_loop_and_the_net_alone_do_the_same_work(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "BATCHES", {"cpu": (3, 8)})
    monkeypatch.setattr(training, "NOISE_BYTES", 10 * 3 * 20**2)
    torch.set_num_threads(1)
    work = training.step(tmp_path, "cpu", net="small", size=20, pixels=16)
    assert (work.count, work.unit) == (24, "images")
    losses = work.ours()
    assert losses.shape == (3,)
    assert losses.isfinite().all()
    [(name, alone)] = work.peers.items()
    assert name == training.ALONE == "the net alone on a ready batch"
    assert alone() is None
    # pixels out of each convolution, of 16 x 16 in, times its weights; once forward, twice backward
    layers = [(64, 27 * 32), (16, 288 * 64), (4, 576 * 128), *2 * [(4, 1152 * 128)], (1, 1152 * 256)]
    products = sum(positions * weights for positions, weights in layers) + 256 * 100
    assert work.operations == pytest.approx(3 * 8 * 2 * (3 * products - 64 * 27 * 32))


def test_the_batch_that_a_recorded_step_reads_lives_as_long_as_the_row(tmp_path, monkeypatch):
    """A CUDA graph knows addresses, and keeps no tensor alive."""
    held = []

    def recorded(step, state):
        step()
        return SimpleNamespace(replay=lambda: None)

    monkeypatch.setattr(training, "BATCHES", {"cpu": (1, 8)})
    monkeypatch.setattr(training, "take_step", lambda *parts: held.extend(map(weakref.ref, parts[-2:])))
    monkeypatch.setattr(training, "record", recorded)
    monkeypatch.setattr(training, "recorded_steps", lambda *training: SimpleNamespace())
    work = training.step(tmp_path, "cpu", net="small", size=20, pixels=16)
    assert len(held) == 2
    assert all(part() is not None for part in held), work.what


def test_a_detector_is_timed_on_images_as_large_as_voc_has_them(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "DETECTOR_STEPS", {"cpu": 2})
    recipe = DetectionRecipe(pixels=60, longest=100, proposals=40, rois=4)
    monkeypatch.setattr(training, "DetectionRecipe", lambda: recipe)
    torch.set_num_threads(1)
    work = training.detection_step(tmp_path, "cpu", net="small")
    assert (work.count, work.unit) == (4, "images")
    assert work.what.endswith(", images of 4 shapes")
    assert work.ours().shape == (2,)
    assert work.ours().isfinite().all()
    assert [alone() for alone in work.peers.values()] == [None]
    assert work.operations > 0


def test_images_of_a_detector_differ_in_shape_but_not_in_work(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SHAPES", 3)
    pack, recipe = training.noisy_voc(tmp_path, 4), DetectionRecipe()
    assert pack.table.to_numpy().tolist() == [[500, 375], [499, 374], [498, 374], [500, 375]]
    everything = Selection(np.arange(4), np.zeros(4, int), training.OBJECTS)
    pictures = DetectionBatches(pack, everything, recipe, 0, Machine(threads=1))
    assert pictures.sizes == [(600, 800), (600, 801), (600, 799), (600, 800)]
    ends = pack.objects[["xmax", "ymax"]].to_numpy()
    assert (ends <= pack.table.to_numpy()[pack.objects["row"]]).all()
