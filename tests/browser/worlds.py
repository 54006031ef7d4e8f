"""What these tests browse: a pack of every class, a tree of ImageNet-21k's size, and names full of markup."""

import random
from pathlib import Path

from itl.hierarchy.taxonomy import Synset, Taxonomy
from tests.pictures import encoded, smooth

OPTIONS = {"classes": 1000, "train": 2, "val": 1, "size": 32}
EVERY_CLASS = {"source": "demo", "size": 32, "options": OPTIONS}
NAUGHTY = '<img src="x" onerror="window.harmed = 1"><script>window.harmed = 2</script>&lt;b&gt;'
SYLLABLES = ("ba", "co", "di", "fu", "ga", "lo", "me", "ni", "po", "ru", "sa", "te", "vi", "wo")


def wide_tree(size: int = 21_841) -> Taxonomy:
    """A tree as large, deep and wordy as ImageNet-21k's; the same every time."""
    draw = random.Random(0)

    def words(least: int, most: int) -> str:
        return " ".join("".join(draw.choices(SYLLABLES, k=3)) for _ in range(draw.randint(least, most)))

    parents = [None]
    depths = [0]
    for number in range(1, size):
        parent = max(draw.sample(range(number), min(3, number)), key=lambda node: depths[node] % 17)
        parents.append(parent)
        depths.append(depths[parent] + 1)
    wnids = [f"n{number:08d}" for number in range(size)]
    synsets = [
        Synset(
            wnids[number],
            f"{words(1, 2).replace(' ', '_')}.n.{number:02d}",
            tuple(words(1, 2).replace(" ", "_") for _ in range(draw.randint(1, 3))),
            words(6, 14),
            () if parent is None else (wnids[parent],),
        )
        for number, parent in enumerate(parents)
    ]
    inner = set(parents)
    return Taxonomy(synsets, [wnid for number, wnid in enumerate(wnids) if number not in inner])


def naughty_tree() -> Taxonomy:
    """Three nodes whose words are all markup and scripts."""
    root = Synset("n00000001", NAUGHTY, (NAUGHTY,), NAUGHTY, ())
    below = (root._replace(wnid=f"n0000000{number}", hypernyms=("n00000001",)) for number in (2, 3))
    return Taxonomy([root, *below], ["n00000002", "n00000003"])


def naughty_images(folder: Path) -> Path:
    """Pictures of the leaves of `naughty_tree`, in files whose names are markup."""
    for wnid in ("n00000002", "n00000003"):
        (folder / wnid).mkdir(parents=True)
        name = "<img onerror='window.harmed = 3' src=x>.png"
        (folder / wnid / name).write_bytes(encoded(smooth(16, 16)))
    return folder
