"""Figures: what they show is what the frame says."""

from itertools import combinations, pairwise

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.text import Text
from scipy import stats

from itl import ItlError
from itl.analysis import figures, hierarchy_figures, tables
from itl.hierarchy.taxonomy import Taxonomy
from tests.worlds import SETTINGS, small_study


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def frame(counts, seeds=3, tasks=("own", "finetune@scenes")) -> pd.DataFrame:
    """Results in which value is 10 × place of the count + seed; invented, for tests only."""
    rows = [
        (count, seed, task, "accuracy", 10.0 * at + seed)
        for at, count in enumerate(counts)
        for seed in range(seeds)
        for task in tasks
    ]
    return pd.DataFrame(rows, columns=["images_per_class", "seed", "task", "metric", "value"])


def bars(ax) -> list[np.ndarray]:
    """The bars of *ax*, each from its lower to its upper end."""
    return [segment for container in ax.containers for segment in container[2][0].get_segments()]


def dots(ax) -> np.ndarray:
    """Position and value of every dot of *ax*."""
    return np.concatenate([c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)])


def test_means_have_students_interval():
    ax = figures.curve(frame([25, 50]), "images_per_class", "accuracy", task="own")
    line = next(
        line for line in ax.lines if line.get_linestyle() == "-" and line.get_marker() in ("", "None")
    )
    assert line.get_xydata().tolist() == [[25, 1], [50, 11]]
    half = stats.t.ppf(0.975, 2) * 1.0 / np.sqrt(3)
    np.testing.assert_allclose(
        bars(ax), [[[25, 1 - half], [25, 1 + half]], [[50, 11 - half], [50, 11 + half]]]
    )


def test_fits_of_one_net_are_one_dot_and_no_seeds():
    results = frame([25, 50])
    fits = pd.concat(
        [results.assign(repeat=fit, run=f"{fit}", value=results["value"] + fit) for fit in (0, 2)]
    )
    once, both = (
        figures.curve(table, "images_per_class", "accuracy", task="own")
        for table in (results.assign(value=results["value"] + 1), fits)
    )
    np.testing.assert_allclose(bars(both), bars(once))
    np.testing.assert_allclose(dots(both), dots(once))


def test_one_seed_has_no_interval():
    ax = figures.curve(frame([25, 50], seeds=1), "images_per_class", "accuracy")
    assert not any(np.isfinite(bar).any() for bar in bars(ax))
    ax.figure.canvas.draw()


def test_curve_has_a_dot_for_every_seed_and_ticks_at_the_values():
    ax = figures.curve(frame([25, 50, 100, 200]), "images_per_class", "accuracy", task="own")
    assert sorted(dots(ax).tolist()) == [
        [count, 10 * at + seed] for at, count in enumerate([25, 50, 100, 200]) for seed in range(3)
    ]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["25", "50", "100", "200"]
    assert ax.get_xscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("images per class (log scale)", "accuracy (%)")


def test_curve_sets_the_untrained_and_all_at_the_ends():
    assert figures.positions([200, "all", 0, 50]) == {0: 25.0, 50: 50.0, 200: 200.0, "all": 400.0}
    assert figures.positions([0]) == {0: 1.0}
    assert figures.positions(["none", 3, 2]) == {"none": 1.0, 2: 2.0, 3: 3.0}
    ax = figures.curve(frame([0, 25, 50, "all"]), "images_per_class", "accuracy", task="own")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["none", "25", "50", "all"]
    line = next(line for line in ax.lines if line.get_linestyle() == "-" and len(line.get_xdata()) > 2)
    assert list(line.get_xdata()) == [25, 50, 100], "the line leaves out the net without pre-training"
    assert [1.0, 1.0] in [list(line.get_ydata()) for line in ax.lines], "whose mean is dotted through"


def test_an_axis_of_percent_ends_where_percent_do():
    wide = frame([25, 50], seeds=2, tasks=["own"]).assign(value=[5.0, 60.0, 40.0, 99.0])
    assert figures.curve(wide, "images_per_class").get_ylim() == (-2, 102)
    nats = wide.assign(metric="logme", task="scores@scenes")
    low, high = figures.curve(nats, "images_per_class", "logme").get_ylim()
    assert low < -100 < 200 < high, "the interval of two seeds"


def test_curve_names_each_task_once_without_overlap():
    ax = figures.curve(frame([25, 50]), "images_per_class", "accuracy")
    heights = {text.get_text(): text.xy[1] for text in ax.texts}
    assert set(heights) == {"own classes", "scenes, fine-tuned"}
    low, high = ax.get_ylim()
    assert abs(heights["own classes"] - heights["scenes, fine-tuned"]) >= 0.06 * (high - low)


def test_scores_are_no_transfer_that_is_drawn():
    results = frame([25, 50], tasks=("own", "finetune@scenes", "scores@scenes")).assign(by="all")
    results.loc[results["task"] == "scores@scenes", "metric"] = "knn5"
    ax = figures.curve(results, "images_per_class")
    assert {text.get_text() for text in ax.texts} == {"own classes", "scenes, fine-tuned"}
    (panel,) = figures.panels(results, "images_per_class", "by").axes
    assert panel.get_title(loc="left") == "scenes, fine-tuned"
    alone = figures.curve(results, "images_per_class", task="scores@scenes")
    assert [text.get_text() for text in alone.texts] == ["scenes, cheap scores"]


def test_tasks_of_other_tables_are_drawn_by_their_names():
    ax = figures.curve(frame([25, 50], tasks=("mine", "linear@cars")), "images_per_class")
    assert len(ax.texts) == 2


def test_curve_says_what_there_is_to_draw():
    with pytest.raises(ItlError, match="no map to draw; results hold accuracy of finetune@scenes, acc"):
        figures.curve(frame([25, 50]), "images_per_class", "map")
    with pytest.raises(ItlError, match="no map of own to draw; results hold accuracy of finetune@scenes"):
        figures.curve(frame([25, 50]), "images_per_class", "map", "own")
    others = frame([25], seeds=1, tasks=["own"]).assign(metric="top5")
    with pytest.raises(ItlError, match="no main metric to draw; results hold top5 of own"):
        figures.curve(others, "images_per_class")


def test_nets_with_own_weights_may_be_the_first_with_results():
    tasks = ("finetune@scenes", "probe@scenes")
    results = frame(["resnet18.pth", "resnet50.pth"], seeds=1, tasks=tasks)
    results = results.assign(weights=results["images_per_class"], images=0, by="all")
    drawn = figures.curve(results, "images_per_class", task="probe@scenes")
    panels = figures.figure_of(drawn), figures.panels(results, "images_per_class", "by")
    for ax in [*panels[0].axes, *panels[1].axes]:
        assert [list(line.get_ydata()) for line in ax.lines] == [[0.0, 0.0], [10.0, 10.0]]
        names = ["resnet18.pth, own weights", "resnet50.pth, own weights"]
        assert [text.get_text() for text in ax.texts] == names
        assert list(ax.get_xticks()) == []
        figures.figure_of(ax).canvas.draw()
    assert [len(figure.axes) for figure in panels] == [1, 2]


def test_own_weights_of_several_lines_are_one_level():
    results = frame([2, 4, "resnet18.pth"], seeds=1, tasks=["probe@scenes"])
    own = results["images_per_class"] == "resnet18.pth"
    results = results.assign(weights=results["images_per_class"].where(own, ""), images=1)
    results["images_per_class"] = results["images_per_class"].where(~own, 0)
    ax = figures.new_axes(4, 3)
    figures.draw_lines(ax, {"all classes": results, "some classes": results}, "images")
    assert [text.get_text() for text in ax.texts] == ["resnet18.pth, own weights"]


def test_own_weights_that_score_alike_have_names_apart():
    results = frame([f"net{number}.pth" for number in range(4)], seeds=1, tasks=["probe@scenes"])
    results = results.assign(weights=results["images_per_class"], images=0, value=[50, 50.1, 50.2, 90.0])
    ax = figures.curve(results, "images_per_class", task="probe@scenes")
    figures.figure_of(ax).canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes)), "from the lowest to the highest"
    assert ax.texts[0].xy[1] == 50
    assert ax.texts[3].xy[1] <= 90


def test_induced_has_a_panel_for_each_task_with_chance_and_the_untrained():
    tasks = ("induction@images", "induction@images/bottom-up@5")
    rows = [
        (count, seed, task, "induction", metric, 12.5 if metric == "chance" else 20.0 + at + seed)
        for at, count in enumerate([0, 6, 40])
        for seed in range(3)
        for task in tasks
        for metric in ("accuracy", "knn5", "knn1", "chance")
    ]
    results = pd.DataFrame(rows, columns=["classes", "seed", "task", "method", "metric", "value"])
    figure = figures.induced(results)
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "scored on original classes",
        "scored on bottom-up@5 classes",
    ]
    for ax in figure.axes:
        assert [label.get_text() for label in ax.get_xticklabels()] == ["none", "6", "40"]
        assert [12.5, 12.5] in [list(line.get_ydata()) for line in ax.lines]
    named = [{text.get_text() for text in ax.texts} for ax in figure.axes]
    assert named == [set(), {"chance", "linear probe", "5 neighbours"}]
    few = results.assign(
        task=results["task"].map({tasks[0]: "induction@images:25", tasks[1]: "induction@birds"})
    )
    titles = [ax.get_title(loc="left") for ax in figures.induced(few).axes]
    assert len(set(titles)) == 2, "of one label set, panels are told apart by their tasks"
    with pytest.raises(ItlError, match="no induction to draw"):
        figures.induced(results.assign(method="knn"))


def test_panels_have_a_line_for_each_budget():
    rows = [
        (f"{classes} × {count}", classes, classes * count, seed, task, "accuracy", 10.0 + seed)
        for classes, count in ((40, 50), (20, 100), (40, 25), (20, 50))
        for seed in range(3)
        for task in ("own", "probe@scenes", "finetune@scenes")
    ]
    tasks = ("probe@scenes", "finetune@scenes")
    rows += [("none", 0, 0, seed, task, "accuracy", 5.0) for seed in range(3) for task in tasks]
    rows += [
        ("30 × all", 30, 1980 + 20 * seed, seed, task, "accuracy", 10.0)
        for seed in range(3)
        for task in tasks
    ]
    columns = ["design", "classes", "images", "seed", "task", "metric", "value"]
    results = tables.by_budget(pd.DataFrame(rows, columns=columns))
    figure = figures.panels(results, x="classes", by="budget")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["scenes, linear probe", "scenes, fine-tuned"]
    for ax in figure.axes:
        assert [label.get_text() for label in ax.get_xticklabels()] == ["none", "20", "30", "40"]
    named = [{text.get_text() for text in ax.texts} for ax in figure.axes]
    assert named == [set(), {"2,000 images", "1,000 images", "no pre-training"}]
    with pytest.raises(ItlError, match="no task to draw"):
        figures.panels(results.query("task == 'own'"), x="classes", by="budget")


def test_label_sets_stand_on_the_way_that_made_them():
    sets = pd.DataFrame({"label_set": ["none", "bottom-up@5", "top-down@1", "original"], "value": range(4)})
    table = tables.by_way(sets)
    ways = {way: group["value"].tolist() for way, group in table.groupby("way", sort=False)}
    assert ways == {"cut at a depth": [0, 1, 3], "merged in rounds": [0, 2, 3]}
    assert set(tables.by_way(sets[:2])["way"]) == {"cut at a depth"}
    added = pd.concat([sets, pd.DataFrame({"label_set": ["by-initial@1"], "value": [4]})])
    ways = {way: group["value"].tolist() for way, group in tables.by_way(added).groupby("way")}
    assert ways["by-initial"] == [0, 3, 4], "a method of one's own is a way of its own"
    assert ways["cut at a depth"] == [0, 1, 3]
    more = pd.concat([sets, pd.DataFrame({"label_set": ["20 classes"], "value": [4]})])
    ways = {way: group["value"].tolist() for way, group in tables.by_way(more).groupby("way")}
    assert ways["some classes with all their images"] == [0, 3, 4]
    assert ways["cut at a depth"] == [0, 1, 3]
    others = ["none", "cut@n1,n2", "original", "file@a.txt", "half-random-a@0", "without-pascal", "resnet18"]
    table = pd.DataFrame({"label_set": others, "value": range(7), "weights": [*[""] * 6, "resnet18.pth"]})
    ways = {way: group["value"].tolist() for way, group in tables.by_way(table).groupby("way")}
    assert ways == {
        "cut at chosen nodes": [0, 1, 2, 6],
        "classes of a list": [0, 2, 3, 6],
        "some classes with all their images": [0, 2, 4, 5, 6],
    }
    assert set(tables.by_way(table[table["label_set"].isin(["none", "original"])])["way"]) == {"all classes"}


@pytest.mark.parametrize(
    ("recipe", "exposure"), [({"epochs": 3}, "equal passes"), ({"steps": 12}, "equal steps")]
)
def test_nets_have_equal_steps_or_passes_by_the_recipe(recipe, exposure):
    results = frame([4, 12])
    labelled = tables.with_exposure(
        results, small_study(recipe=SETTINGS["recipe"] | {"steps": None} | recipe)
    )
    assert set(labelled["exposure"]) == {exposure}
    assert tables.without_passes(results).equals(results)


def test_nets_trained_for_passes_stand_apart():
    results = pd.concat([frame([4, 12]).assign(exposure=f"equal {what}") for what in ("steps", "passes")])
    assert tables.with_exposure(results, small_study(passes=2)).equals(results)
    assert set(tables.without_passes(results)["exposure"]) == {"equal steps"}


def test_summary_shows_mean_interval_and_n():
    rows = [(25, 0, 50.0), (25, 1, 51.0), (25, 2, 52.0), (50, 0, 60.0)]
    results = pd.DataFrame(rows, columns=["images_per_class", "seed", "value"])
    results = results.assign(task="probe@scenes", metric="accuracy", halves="random")
    row = tables.summary(results).loc[("probe@scenes", "accuracy")]
    assert row.to_dict() == {25: "51.0 ± 2.5", 50: "60.0", "n": "1 to 3"}
    logme = tables.summary(results.assign(metric="logme", value=results["value"] / -100))
    assert logme.loc[("probe@scenes", "logme"), [25, 50]].tolist() == ["-0.510 ± 0.025", "-0.600"]
    assert tables.summary(results, rows=["halves", "task"]).index.names == ["halves", "task", "metric"]


def test_forest_names_what_is_compared_where_colours_tell_questions():
    rows = [("data-size", "25 or 200", "own", "accuracy", -5.0, -6.0, -4.0, 2.0, "a loss")]
    columns = ["question", "compared", "task", "metric", "change", "low", "high", "margin", "verdict"]
    ax = figures.forest(pd.DataFrame(rows, columns=columns), by="question")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["25 or 200\nown classes: accuracy"]


def test_long_names_beside_a_forest_leave_the_axis_half_of_the_figure():
    compared = "100 instead of all images per class, equal steps, less the change on own classes"
    task = "induction@images/bottom-up@5:100"
    rows = [("data-size", compared, task, "accuracy", 1.0, 0.5, 2.0, 2.0, "cannot tell")] * 9
    columns = ["question", "compared", "task", "metric", "change", "low", "high", "margin", "verdict"]
    ax = figures.forest(pd.DataFrame(rows, columns=columns), by=None)
    ax.figure.draw_without_rendering()
    assert ax.get_position().width > 0.5
    heights = [label.get_window_extent().height for label in ax.get_yticklabels()]
    rows_apart = ax.get_window_extent().height / 9.2
    assert max(heights) < rows_apart, "names of two rows do not touch"


def test_forest_without_names_leaves_them_to_the_page():
    rows = [("data-size", "25 or 200", "own", "accuracy", -5.0, -6.0, -4.0, 2.0, "a loss")]
    columns = ["question", "compared", "task", "metric", "change", "low", "high", "margin", "verdict"]
    table = pd.DataFrame(rows, columns=columns)
    assert not figures.forest(table, "question", named=False).get_yticklabels()
    assert figures.forest_labels(table, "question") == ["25 or 200\nown classes: accuracy"]
    assert figures.forest_labels(table) == ["own classes: accuracy"], "the legend says what is compared"


def test_forest_has_no_two_names_of_one_colour():
    rows = [(f"{number} or 200", "own", "accuracy", -5.0, -6.0, -4.0, 2.0, "a loss") for number in range(7)]
    columns = ["compared", "task", "metric", "change", "low", "high", "margin", "verdict"]
    ax = figures.forest(pd.DataFrame(rows, columns=columns))
    assert ax.get_yticklabels()[6].get_text() == "6 or 200\nown classes: accuracy"
    assert not ax.figure.legends
    assert len(figures.forest(pd.DataFrame(rows[:6], columns=columns)).figure.legends) == 1


def test_forest_leaves_the_row_of_a_comparison_without_results_empty():
    """As the main one, which has its row while others alone have results."""
    rows = [("probe@scenes", "accuracy", *[np.nan] * 4, "too few seeds to say")]
    rows += [(task, "accuracy", 1.0, -1.0, 3.0, 2.0, "cannot tell") for task in ("probe@x", "probe@y")]
    columns = ["task", "metric", "change", "low", "high", "margin", "verdict"]
    ax = figures.forest(pd.DataFrame(rows, columns=columns).assign(compared="25 instead of 200"))
    assert dots(ax).tolist() == [[1.0, 1.0], [1.0, 2.0]]


def test_forest_fills_what_is_decided_and_shows_the_margin():
    rows = [
        ("25 instead of 200", "own", "accuracy", -5.0, -6.0, -4.0, np.nan, "a loss"),
        ("25 instead of 200", "knn@scenes", "knn5", 1.0, -1.0, 3.0, 2.0, "cannot tell"),
        ("25 instead of 200", "probe@scenes", "accuracy", 0.5, -0.5, 1.5, 2.0, "the same"),
    ]
    columns = ["compared", "task", "metric", "change", "low", "high", "margin", "verdict"]
    ax = figures.forest(pd.DataFrame(rows, columns=columns))
    assert dots(ax).tolist() == [[-5.0, 0.0], [1.0, 1.0], [0.5, 2.0]]
    circles, squares = [c for c in ax.collections if isinstance(c, PathCollection)]
    faces = [to_hex(face).upper() for face in (*circles.get_facecolor(), *squares.get_facecolor())]
    assert faces == [figures.COLOURS[0], "#FFFFFF", figures.COLOURS[0]]
    assert len(squares.get_paths()[0].vertices) < len(circles.get_paths()[0].vertices)
    (lines,) = [c for c in ax.collections if not isinstance(c, PathCollection)]
    assert [segment.tolist() for segment in lines.get_segments()] == [
        [[-6.0, 0.0], [-4.0, 0.0]],
        [[-1.0, 1.0], [3.0, 1.0]],
        [[-0.5, 2.0], [1.5, 2.0]],
    ]
    bands = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert bands[1:] == [(-2.0, 4.0), (-2.0, 4.0)]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[:2] == ["own classes: accuracy", "scenes, nearest neighbours: 5 neighbours"]


def test_levels_draws_every_leaf():
    figure = hierarchy_figures.levels(Taxonomy.snapshot())
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 1000
    cut, merged = [line for line in figure.axes[1].lines if len(line.get_xdata())]
    assert dict(zip(*cut.get_data(), strict=True))[9] == 486
    assert dict(zip(*merged.get_data(), strict=True))[1] == 127


def test_tables_agree_with_the_paper(tree):
    sets = tables.label_sets(Taxonomy.snapshot()).set_index("method")["classes"]
    assert len(sets) == 18 + 3 + 1 + 4
    chosen = sets[["bottom-up@9", "top-down@1", "without-pascal", "half-minimal-a"]]
    assert chosen.tolist() == [486, 127, 771, 522]
    assert tables.depths(tree).set_index("depth")["leaves"].to_dict() == {0: 0, 1: 0, 2: 1, 3: 3}
    assert tables.several_parents(tree)["wnid"].tolist() == ["poodle"]


class TinyPack:
    """Four images of two classes, as a contact sheet needs them."""

    images = np.zeros((4, 8, 8, 3), np.uint8)
    table = pd.DataFrame({"wnid": ["car", "car", "husky", "husky"], "split": ["val", *["train"] * 3]})


def test_contact_sheet_names_the_classes(tree):
    assert hierarchy_figures.one_of_each(TinyPack()) == [1, 2]
    figure = hierarchy_figures.contact_sheet(TinyPack(), [1, 2], tree, columns=2)
    assert [ax.get_title() for ax in figure.axes] == ["car", "husky"]
    with pytest.raises(ItlError, match="at least one row"):
        hierarchy_figures.contact_sheet(TinyPack(), [])


def test_names_with_dollars_are_written_as_they_are():
    axes = figures.plt.figure().add_subplot()
    label = axes.set_title(r"class a$b\frac$")  # no formula: matplotlib would fail to draw it
    axes.figure.canvas.draw()
    assert not label.get_parse_math()


@pytest.mark.parametrize("count", [2, 3])
def test_long_names_leave_room_for_the_panels(count):
    tasks = ("probe@scenes", "finetune@scenes", "probe@places")[:count]
    names = ("some classes with all their images", "merged in rounds", "cut at a depth")
    rows = [
        (name, classes, seed, task, "accuracy", 40.0 + classes / 8 + seed)
        for name in names
        for classes in (0, 7, 18, 20, 100)
        for seed in range(3)
        for task in tasks
    ]
    columns = ["labels", "classes", "seed", "task", "metric", "value"]
    figure = figures.panels(pd.DataFrame(rows, columns=columns), x="classes", by="labels")
    figure.canvas.draw()
    assert all(ax.get_position().width > 0.25 for ax in figure.axes)  # of the figure
    assert [len(ax.texts) > 0 for ax in figure.axes] == [False, True, False][:count]
    for ax in figure.axes:
        boxes = [text.get_window_extent() for text in [*ax.texts, *ax.get_xticklabels()] if text.get_text()]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_what_the_first_figure_of_a_kernel_turns_on_stays_on(monkeypatch):
    """Else a notebook shows no figure any more when its cells are run again."""
    make = plt.subplots

    def first_subplots(*args, **settings):
        plt.ion()  # as the first figure loads the backend of notebooks
        return make(*args, **settings)

    monkeypatch.setattr(plt, "subplots", first_subplots)
    with plt.ioff():
        figures.new_axes(2, 2)
        assert plt.isinteractive()
        plt.close("all")


def extents(figure, texts) -> list:
    """Where *texts* of a drawn *figure* are, in pixels."""
    figure.draw_without_rendering()
    return [text.get_window_extent() for text in texts]


@pytest.mark.parametrize("tasks", [1, 3, 4, 6, 12])
def test_panels_of_many_tasks_have_room_for_axes_and_titles(tasks):
    names = tuple(f"finetune@a-longer-name-{number}" for number in range(tasks))
    figure = figures.panels(frame([0, 25, 50], tasks=names).assign(half=0), "images_per_class", by="half")
    assert len(figure.axes) == tasks
    figure.draw_without_rendering()
    assert all(ax.get_window_extent().width > 0.3 * figure.bbox.width for ax in figure.axes)
    titles = {ax.get_title("left") for ax in figure.axes}
    boxes = extents(figure, figure.findobj(lambda one: isinstance(one, Text) and one.get_text() in titles))
    assert len(boxes) == tasks
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


@pytest.mark.parametrize("tasks", [1, 2, 5, 12])
def test_names_of_many_lines_stand_beside_the_axis_apart_and_unlike(tasks):
    names = tuple(f"finetune@a-rather-long-name-{number}" for number in range(tasks))
    ax = figures.curve(frame([25, 50], tasks=names), "images_per_class")
    boxes = extents(ax.figure, ax.texts)
    assert len(boxes) == tasks
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    room = ax.figure.bbox
    assert all(room.x0 <= box.x0 and box.x1 <= room.x1 and box.y1 <= room.y1 + 1 for box in boxes)
