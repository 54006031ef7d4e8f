"""Tables of a page that no other test reads."""

from itl.analysis import tables
from itl.runs.questions import class_count
from tests.worlds import SHARED, here


def test_what_conditions_leave_out_is_counted_in_classes_images_and_groups(tmp_path):
    machine = here(tmp_path)
    packs = class_count(**SHARED, label_sets=["none", "original", "bottom-up@9"]).prepare(machine)
    first = min(packs["images"].table["wnid"])
    question = class_count(**SHARED, label_sets=["none", f"without@{first}", f"only@{first}", "original"])
    left_out = tables.left_out(question, machine)
    assert list(left_out) == ["condition", "classes left out", "images left out", "groups emptied", "groups"]
    counts = left_out.set_index("condition")
    groups = counts["groups"].iloc[0]
    assert counts.loc["original"].tolist() == [0, 0, 0, groups]
    assert counts.loc[f"without@{first}"].tolist()[:2] == [1, 12]
    assert counts.loc[f"only@{first}"].tolist() == [3, 36, groups - 1, groups]
    assert "none" not in counts.index, "it learns from no class"
