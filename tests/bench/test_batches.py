"""The benchmark's row of reading: itl and its peer make as many images as the row counts."""

import torch

from itl.bench import batches


def test_reading_counts_the_images_that_are_made(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "BATCH", 3)
    monkeypatch.setattr(batches, "exhaust", lambda epoch: [len(targets) for _, targets in epoch])
    torch.set_num_threads(1)
    work = batches.read_images(tmp_path, "cpu")
    assert (work.count, work.unit) == (60, "images")
    assert work.ours() == 20 * [3]
    assert [peer() for peer in work.peers.values()] == [20 * [3]]
