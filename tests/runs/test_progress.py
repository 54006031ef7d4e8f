"""What is shown while runs are under way."""

import pytest

from itl.runs.progress import Progress, last_epoch
from itl.runs.store import Store
from itl.specs import Subset

ROW = '{"epoch": %d, "loss": 0.5}'


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (None, ""),
        ("", ""),
        (ROW % 1, ""),                                      # its end is not written yet
        (ROW % 1 + "\n", "a1b2c epoch 1 loss 0.50"),
        (ROW % 1 + "\n" + ROW % 2 + "\n", "a1b2c epoch 2 loss 0.50"),
        ('{"epoch": 3, "loss": 0.5, "device": "cpu"}\n', "a1b2c epoch 3 loss 0.50"),
        ('{"epoch": 3, "loss": 0.5, "device": "cuda:1"}\n', "a1b2c cuda:1 epoch 3 loss 0.50"),
        (ROW % 1 + "\n" + '{"epo', "a1b2c epoch 1 loss 0.50"),
    ],
)
def test_the_last_epoch_is_the_last_whole_line(tmp_path, log, says):
    folder = tmp_path / "a1b2c3d4e5f6"
    folder.mkdir()
    if log is not None:
        (folder / "log.jsonl").write_text(log)
    assert last_epoch(folder) == says


def test_finished_runs_are_counted_once(tmp_path):
    store, specs = Store(tmp_path), [Subset("a"), Subset("b")]
    store.finish(specs[0], {})
    with Progress(specs, store) as progress:
        assert progress.bar.n == 1
        store.finish(specs[1], {})
        progress.update()
        progress.update()
        assert (progress.bar.n, progress.left) == (2, [])
