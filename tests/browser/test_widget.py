"""The browser without a page: what it counts, says, saves and leaves behind. Its page: tests/browser."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from itl import ItlError
from itl.browser.choice import Choice
from itl.browser.tree_columns import MODULES, columns, script
from itl.browser.widget import HierarchyBrowser
from itl.hierarchy.label_sets import label_set
from itl.hierarchy.taxonomy import Synset, Taxonomy
from itl.machine import Machine
from itl.packs.pack import Pack
from itl.packs.paths import build_or_open
from itl.packs.subset import count_subset, select
from itl.packs.thumbnails import Gallery
from itl.runs import questions
from itl.specs import Packing, Subset
from tests.pictures import encoded, smooth
from tests.worlds import SETTINGS

ROOT = Path(__file__).parents[2]
DOG, CANINE, MAMMAL = "n02084071", "n02083346", "n01861778"
NAUGHTY = '<img src=x onerror="alert(1)"><script>alert(2)</script>&amp;'
METHODS = [
    "original",
    "bottom-up@9",
    "top-down@1",
    "without-pascal",
    "half-random-a@1",
    "half-minimal-b",
    "bottom-up@6+without-pascal+half-random-a@0",
    "top-down@1+only@n00004258",
]


# what is kept


@pytest.mark.parametrize("labels", METHODS)
@pytest.mark.parametrize("settings", [{}, {"images_per_class": 3}, {"classes": 2, "seed": 4}])
def test_the_census_counts_what_select_selects(demo, labels, settings):
    subset = Subset(demo.digest, labels, **settings)
    chosen = select(demo, subset)
    kept = count_subset(Taxonomy.snapshot(), Gallery(demo).counts(), subset)
    assert tuple(kept.images) == chosen.classes
    assert list(kept.images.values()) == np.bincount(chosen.labels).tolist()
    every = select(demo, replace(subset, images_per_class=None))
    trained = demo.table["wnid"].iloc[every.rows].nunique()
    assert sum(kept.leaves.values()) == trained == 40 - sum(kept.left_out.values())


@pytest.mark.parametrize(
    "settings",
    [
        {"images_per_class": 6},
        {"classes": 41},
        {"labels": "bottom-up@99"},
        {"labels": "only@n02084071+without@n00015388"},
    ],
)
def test_the_census_refuses_what_select_refuses(demo, settings):
    subset = Subset(demo.digest, **settings)
    with pytest.raises(ItlError) as refused:
        select(demo, subset)
    with pytest.raises(ItlError, match=re.escape(str(refused.value))):
        count_subset(Taxonomy.snapshot(), Gallery(demo).counts(), subset)


def test_without_a_pack_the_tree_alone_is_counted():
    browser = HierarchyBrowser()
    browser.subset = Subset("", "bottom-up@9")
    assert (len(browser.kept.images), sum(browser.kept.leaves.values())) == (486, 1000)
    assert dict(browser.summary["facts"]) == {
        "classes": "486",
        "leaves": "1,000",
        "smallest": "1: trilobite and 431 more",
        "largest": "218: mammal",
    }


# the subset


def test_a_pack_may_be_named_by_its_folder(demo):
    assert HierarchyBrowser(pack=str(demo.folder)).pack.digest == demo.digest
    with pytest.raises(ItlError, match="no pack at nowhere; make one with"):
        HierarchyBrowser(pack="nowhere")


def test_the_subset_of_a_new_browser_is_the_whole_pack(demo):
    assert HierarchyBrowser(demo).subset == Subset(demo.digest)


def test_a_subset_set_is_the_subset_shown(demo):
    browser = HierarchyBrowser(demo)
    subset = Subset(demo.digest, f"bottom-up@9+without@{DOG}", 7, 2, 3)
    browser.subset = subset
    assert browser.subset == subset
    unticked = frozenset(browser.tree.leaves_under(DOG))
    assert browser.choice == Choice("bottom-up@9", unticked=unticked, classes=7, images_per_class=2, seed=3)
    assert yaml.safe_load(browser.summary["yaml"]) == {
        "subset": {"labels": subset.labels, "classes": 7, "images_per_class": 2, "seed": 3}
    }


def test_a_subset_that_does_not_fit_is_refused_and_changes_nothing(demo):
    browser = HierarchyBrowser(demo)
    before = browser.subset
    with pytest.raises(ItlError, match="9 images per class were asked for"):
        browser.subset = replace(before, images_per_class=9)
    with pytest.raises(ItlError, match="does not show half-balanced@0 of a subset"):
        browser.subset = replace(before, labels="bottom-up@9+half-balanced@0")
    assert browser.subset == before


def test_a_choice_that_keeps_nothing_is_a_message_and_not_an_error_in_the_page(demo):
    browser = HierarchyBrowser(demo)
    browser.choice = browser.choice.toggle(browser.tree, "n00001740")
    assert browser.summary["problem"] == "no class is ticked; tick some"
    with pytest.raises(ItlError, match="no class is ticked"):
        browser.subset  # noqa: B018
    assert "no class is ticked" in browser.static_data()["text/html"]


def test_a_question_is_asked_of_the_subset():
    given = {name: value for name, value in SETTINGS.items() if name not in ("images_per_class", "seeds")}
    subset = Subset("0", f"bottom-up@9+without@{DOG}", 3, 2, 5)
    question = questions.data_size(subset=subset, **given)
    (condition,) = question.conditions
    assert (condition.labels, condition.classes, condition.images_per_class) == (subset.labels, 3, 2)
    assert question.seeds == (5,)
    assert question.pretraining(condition, "0", 5).subset == subset
    several = questions.data_size(subset={"labels": "bottom-up@9"}, **SETTINGS)
    assert [condition.labels for condition in several.conditions] == ["bottom-up@9"] * 3
    assert questions.data_size(subset={}, **SETTINGS) == questions.data_size(**SETTINGS)
    with pytest.raises(ItlError, match="no setting of subset called 'label'; did you mean 'labels'"):
        questions.data_size(subset={"label": "original"}, **SETTINGS)


def test_a_subset_of_another_pack_than_the_images_is_noted(demo, tmp_path, monkeypatch, recwarn):
    monkeypatch.setenv("ITL_HOME", str(tmp_path))
    given = {name: value for name, value in SETTINGS.items() if name not in ("images_per_class", "seeds")}
    questions.data_size(subset=Subset(demo.digest), **given)
    assert not recwarn, "what is not packed here is not known"
    pack = build_or_open(questions.data_size(**SETTINGS).images, "images", Machine.from_environment())
    for subset in (Subset(pack.digest), Subset(""), HierarchyBrowser().subset):
        questions.data_size(subset=subset, **given)
    assert not recwarn
    questions.data_size(subset=Subset(demo.digest), **given)
    (note,) = [str(warning.message) for warning in recwarn]
    assert note == (
        f"subset was made of the pack {demo.digest}, and images of data-size are packed as {pack.digest}: "
        f"its labels and numbers are taken, its images are not; give images of that pack, as a preset that "
        f"the browser saves does"
    )


# images


def test_pages_of_images_are_dealt_by_seed_and_show_each_once(demo):
    gallery = Gallery(demo)
    wnids = sorted(set(demo.table["wnid"]))[:3]
    pages = [gallery.page(wnids, number, seed=1, size=4) for number in range(4)]
    ids = [name for _, images in pages for name, _, _ in images]
    wanted = demo.table[(demo.table["split"] == "train") & demo.table["wnid"].isin(wnids)]["image"]
    assert sorted(ids) == sorted(wanted)
    every = {"pages": 4, "total": 15, "type": "image/png"}
    assert [facts for facts, _ in pages] == [{"page": number} | every for number in range(4)]
    assert [len(images) for _, images in pages] == [4, 4, 4, 3]
    assert ids == [name for number in range(4) for name, _, _ in gallery.page(wnids, number, 1, 4)[1]]
    assert ids != [name for number in range(4) for name, _, _ in gallery.page(wnids, number, 2, 4)[1]]
    assert gallery.page(wnids, 99, 1, 4)[0]["page"] == 3


def test_a_shown_image_has_the_pixels_of_the_pack(demo):
    import io

    _, ((name, wnid, file), *_) = Gallery(demo).page(set(demo.table["wnid"]), 0, seed=0)
    row = demo.table.index[demo.table["image"] == name][0]
    assert demo.table["wnid"][row] == wnid
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(file))), demo.images[row])


@pytest.mark.parametrize("harm", ["gone", "cut short", "no longer a pack"])
def test_a_pack_that_vanishes_is_a_message(demo, tmp_path, harm):
    folder = tmp_path / "pack"
    shutil.copytree(demo.folder, folder)
    browser = HierarchyBrowser(Pack.open(folder))
    said = []
    browser.send = lambda message, buffers: said.append((message, buffers))
    request = {"kind": "images", "wnid": DOG, "page": 0, "seed": 0, "pane": 0, "request": 1}
    browser.answer(request)
    if harm == "gone":
        shutil.rmtree(folder)
    elif harm == "cut short":
        (folder / "images.npy").write_bytes((folder / "images.npy").read_bytes()[:200])
    else:
        (folder / "images.npy").write_bytes(b"nonsense" * 99)
    browser.answer(request)
    (first, files), (second, nothing) = said
    assert (first["kind"], first["total"], len(files), nothing) == ("images", 20, 12, [])
    assert (second["kind"], second["about"]) == ("trouble", "images")
    assert str(folder) in second["text"]
    assert "put the pack back where it was" in second["text"]


# colours


def test_colours_are_a_number_for_each_node_or_the_change_of_two():
    browser = HierarchyBrowser()
    fine = pd.Series({DOG: 50.0, CANINE: 60.0, "n00015388": 70.0})
    coarse = {DOG: 42.5, CANINE: 61.0, "n00001740": float("nan")}
    browser.colour(coarse, "1 neighbour", unit="%")
    assert browser.colours == {
        "values": {DOG: 42.5, CANINE: 61.0},
        "label": "1 neighbour",
        "unit": "%",
        "change": False,
        "low": 42.5,
        "high": 61.0,
    }
    browser.colour(coarse, "coarse − fine", against=fine)
    assert browser.colours["values"] == {DOG: -7.5, CANINE: 1.0}
    colours = dict(browser.colours)
    browser.colour(pd.Series({DOG: -7.5, CANINE: 1.0}), "coarse − fine")  # as node_accuracy has them
    assert browser.colours == colours
    browser.show(DOG)
    assert "−7.5" in browser.static_data()["text/html"]
    assert "coarse − fine (points)" in browser.static_data()["text/html"]


@pytest.mark.parametrize(
    ("values", "against", "says"),
    [
        ({}, None, "no number to colour a node by"),
        ({DOG: 1}, {CANINE: 2}, "no number to colour a node by"),
        ({DOG: float("nan")}, None, "no number to colour a node by"),
        ({"dog": 1}, None, "no 'dog' among .*did you mean n02084071"),
    ],
)
def test_colours_need_numbers_of_nodes(values, against, says):
    with pytest.raises(ItlError, match=says):
        HierarchyBrowser().colour(values, "accuracy", against)


# the picture


def test_the_picture_shows_the_open_tree_the_selection_and_the_counts(demo):
    browser = HierarchyBrowser(demo)
    browser.subset = Subset(demo.digest, f"without@{DOG}")
    browser.show(DOG)
    html = browser.static_data()["text/html"]
    names = re.findall(r'title="([^"]+)">.</span> (?:<b>)?([^<↑]+)', html)
    state = {name.strip(): words for words, name in names}
    assert (state["dog"], state["canine"]) == ("unticked", "some below unticked")
    assert "ticked" in state.values()
    assert "feline" not in state, "the pack has no images of felines"
    assert "<script" not in html
    assert "left out: " in html
    assert len(names) == html.count("<tr>") - 1


def test_a_picture_of_everything_open_is_still_a_picture():
    browser = HierarchyBrowser()
    browser.opened = list(browser.tree)
    html = browser.static_data()["text/html"]
    assert html.count("<tr>") == 301
    assert "1,560 more nodes that are open" in html


def test_markup_in_names_and_glosses_is_text_in_the_picture():
    a = Synset("a", NAUGHTY, (NAUGHTY,), NAUGHTY, ())
    tree = Taxonomy([a, a._replace(wnid="b", hypernyms=("a",))], ["b"])
    browser = HierarchyBrowser(tree=tree)
    browser.colour({"a": 1}, NAUGHTY, unit=NAUGHTY)
    html = browser.static_data()["text/html"]
    assert "<img" not in html
    assert "<script" not in html
    assert html.count("&lt;img src=x") == 4


# what the page gets


def test_columns_put_the_parent_first(tree):
    table = columns(tree, {"husky": 3, "car": 0}, counted=True)
    above = dict(zip(table["wnid"], table["hypernyms"], strict=True))
    assert [table["wnid"][at] for at in above["poodle"]] == ["dog", "pet"]
    assert above["entity"] == []
    assert dict(zip(table["wnid"], table["images"], strict=True))["husky"] == 3
    assert dict(zip(table["wnid"], table["labelled"], strict=True))["trout"] == 0


def test_the_page_asks_nothing_of_the_network_and_writes_text_only_as_text():
    code = script().replace("http://www.w3.org/2000/svg", "")
    assert code.count("export ") == 1
    assert not re.search(r"https?:|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", code)
    style = (ROOT / "itl/browser/page/browser.css").read_text()
    assert "url(" not in style
    assert "@import" not in style


def test_every_module_of_the_page_is_joined():
    assert {path.stem for path in (ROOT / "itl/browser/page").glob("*.js")} == set(MODULES)
    assert all(len(path.read_text().splitlines()) <= 300 for path in (ROOT / "itl/browser/page").glob("*.js"))


def pack_of_classes(folder: Path, *names: str) -> Pack:
    """A pack of one image of each class."""
    for name in names:
        (folder / "images" / name).mkdir(parents=True)
        (folder / "images" / name / "1.png").write_bytes(encoded(smooth(8, 8)))
    return Pack.build(Packing("folder", None, 8), folder / "pack", path=folder / "images", workers=1)


def test_classes_that_are_not_in_the_tree_are_counted_and_named(tmp_path):
    pack = pack_of_classes(tmp_path, "kitchen", "n02084071")
    browser = HierarchyBrowser(pack)
    assert browser.subset == Subset(pack.digest)
    text = dict(browser.summary["facts"])["not in the tree"]
    assert text == "1 of the pack's classes; only original and random halves take them"
    assert browser.summary["outside"] == ["kitchen"]
    assert DOG in browser.tree.leaves
    browser.choice = Choice("bottom-up@9")
    assert "'kitchen'; original and random halves take any class" in browser.summary["problem"]
    assert browser.summary["outside"] == []


def test_classes_above_others_make_no_other_tree(tmp_path):
    pack = pack_of_classes(tmp_path, DOG, "n02110185")  # and husky
    wordnet = Taxonomy.snapshot()
    for tree in (wordnet, wordnet.restricted(["n02110185", "n02123045"])):
        browser = HierarchyBrowser(pack, tree)
        browser.choice = Choice("bottom-up@9")
        assert (list(browser.tree), browser.tree.leaves) == (list(tree), tuple(sorted({*tree.leaves, DOG})))
        assert browser.subset == Subset(pack.digest, "bottom-up@9")
        assert browser.taxonomy_of_labels() == ""


@pytest.mark.parametrize("seed", range(4))
def test_a_half_of_classes_of_which_some_are_outside_of_the_tree_is_that_of_the_pack(tmp_path, seed):
    wnids = ["n01440764", "n01443537", "n01484850", "n01491361", "n01494475"]
    names = [*wnids, "kitchen", "yak", "zebra"]
    pack = pack_of_classes(tmp_path, *names)
    browser = HierarchyBrowser(pack)
    browser.subset = subset = Subset(pack.digest, f"half-random-a@{seed}")
    dropped = {browser.columns["wnid"][at] for at in browser.summary["dropped"]}
    trained = label_set(browser.tree, subset.labels, names).class_of.keys()
    assert {*wnids} - dropped == trained & {*wnids}
    assert {*browser.summary["outside"]} == trained - {*wnids}


def test_a_pack_none_of_whose_classes_is_in_the_tree_needs_another_tree(tmp_path):
    pack = pack_of_classes(tmp_path, "oak", "elm")
    with pytest.warns(
        UserWarning, match="no class of this pack, such as elm, is in the tree, .* taxonomy='FIL"
    ):
        HierarchyBrowser(pack)


def test_nodes_without_images_are_left_out_of_the_picture_and_the_packs_classes_are_counted(demo):
    browser = HierarchyBrowser(demo)
    browser.opened = list(browser.tree)
    html = browser.static_data()["text/html"]
    above = set().union(*(browser.tree.ancestors(wnid) for wnid in set(demo.table["wnid"])))
    assert html.count("<tr>") - 1 == len(above)
    entity = re.search(r"</span> entity</span></td>(?:<td[^>]*>([^<]*)</td>)(?:<td[^>]*>([^<]*)</td>)", html)
    assert entity.group(2) == "40"


def test_changes_are_coloured_with_their_intervals():
    browser = HierarchyBrowser()
    rows = [(DOG, -7.5, -9.0, -6.0), (CANINE, -0.04, -2.0, 4.0), (MAMMAL, 0.5, np.nan, np.nan)]
    browser.colour_changes(pd.DataFrame(rows, columns=["node", "change", "low", "high"]), "coarse − fine")
    assert browser.colours["intervals"] == {DOG: [-9.0, -6.0], CANINE: [-2.0, 4.0]}
    browser.show(DOG)
    html = browser.static_data()["text/html"]
    assert all(text in html for text in ("−7.5 (−9.0 to −6.0)", "+0.0 (−2.0 to +4.0)", "+0.5<"))


def test_the_browser_in_a_file_holds_all_and_asks_nothing_of_the_network(demo, tmp_path):
    a = Synset("a", NAUGHTY, ("</script>" + NAUGHTY,), NAUGHTY, ())
    browser = HierarchyBrowser(tree=Taxonomy([a, a._replace(wnid="b", hypernyms=("a",))], ["b"]))
    text = browser.to_html(tmp_path / "tree.html").read_text()
    assert text.count("</script>") == 2
    data = json.loads(text.split('id="fields">')[1].split("</script>")[0])
    assert data["columns"]["words"] == [["</script>" + NAUGHTY]] * 2
    page = HierarchyBrowser(demo).to_html(tmp_path / "demo.html").read_text()
    assert not re.search(r"(src|href)=\"?https?:|@import|url\(", page)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("opened", ["n99999999"], "no 'n99999999' among the 1860 synsets of this taxonomy"),
        ("opened", ["dog"], "no 'dog' among the 1860 synsets of this taxonomy; did you mean n02084071"),
        ("subset", "original", "subset is a Subset, such as .*; got 'original'"),
        ("choice", None, "choice is what HierarchyBrowser.choice returns, a Choice; got None"),
    ],
)
def test_what_is_no_setting_of_it_is_refused_and_changes_nothing(name, value, says):
    browser = HierarchyBrowser()
    before = getattr(browser, name)
    with pytest.raises(ItlError, match=says):
        setattr(browser, name, value)
    assert getattr(browser, name) == before


def test_a_tree_that_is_given_as_a_name_is_refused(tree):
    with pytest.raises(ItlError, match="^taxonomy is the name of a tree, got a Taxonomy; give that as tree$"):
        HierarchyBrowser(taxonomy=tree)
    with pytest.raises(ItlError, match="^tree and taxonomy 'mine.csv' are two trees; leave one of them out$"):
        HierarchyBrowser(tree=tree, taxonomy="mine.csv")
