"""What a report says once settings, packs, folders or processes are others than they were."""

import json

import pytest

from itl import ItlError
from itl.packs.paths import pack_folder
from itl.presets import Preset
from itl.report.build import PageMaker, join_tables, pages_of, repeating_command, report
from itl.report.notebook_file import notebooks_of
from itl.runs import questions
from itl.runs.questions import questions_of
from itl.settings import spec_of
from itl.specs import Packing
from tests.report.test_build import tagged_cell, write_notebook
from tests.worlds import IMAGES, SCENES, SETTINGS, here


def preset(**settings) -> Preset:
    wanted = {"00-hierarchy": {}, "01-data-size": SETTINGS | settings, "99-summary": {}}
    return Preset(name="test", about="Throwaway.", notebooks=wanted)


def fingerprints(home, **settings) -> dict[str, str]:
    pages = pages_of(preset(**settings), home / "reports/test", here(home))
    return {page.stem: page.fingerprint() for page in pages}


OF_NOTEBOOK = {"subset": {"classes": 3}, "margin": {"share": 0.4}, "passes": 6, "cap": 9, "seeds": [7]}
WITHOUT_SEEDS = {name: value for name, value in SETTINGS.items() if name != "seeds"}


@pytest.mark.parametrize("settings", [SETTINGS, WITHOUT_SEEDS | {"subset": {"classes": 2, "seed": 3}}])
def test_a_page_is_of_what_is_planned_whatever_defaults_its_notebook_has(tmp_path, settings):
    in_notebook = settings | OF_NOTEBOOK
    declared = [f"{name}: {type(value).__name__} = {value!r}" for name, value in in_notebook.items()]
    write_notebook(tmp_path / "notebooks/01-data-size.ipynb", tagged_cell("parameters", "\n".join(declared)))
    wanted = Preset(name="test", about="", notebooks={"01-data-size": settings})
    (page,) = pages_of(wanted, tmp_path, here(tmp_path), tmp_path / "notebooks")
    (planned,) = questions_of(wanted)
    assert questions.data_size(**in_notebook | page.parameters) == planned


def test_a_summary_is_made_anew_where_a_question_has_another_margin(tmp_path):
    first, same, other = (
        fingerprints(tmp_path, margin={"points": {"knn5": points}}) for points in (2.0, 2.0, 4.0)
    )
    assert first == same
    assert {stem for stem in first if first[stem] != other[stem]} == {"01-data-size", "99-summary"}


def test_a_page_without_a_question_is_made_anew_where_a_pack_has_other_images(tmp_path):
    (tmp_path / "packs/images").mkdir(parents=True)
    pages = []
    for digest in "ab":
        (tmp_path / "packs/images/pack.json").write_text(json.dumps({"digest": digest}))
        pages.append(fingerprints(tmp_path)["00-hierarchy"])
    assert pages[0] != pages[1]


@pytest.mark.parametrize(
    ("name", "packing", "is_shown"),
    [
        ("images", IMAGES, True),
        ("scenes", SCENES, True),
        ("images", IMAGES | {"size": 16}, False),
        ("other", SCENES, False),
    ],
)
def test_the_page_of_the_hierarchy_stays_where_a_pack_of_another_preset_is_built(
    tmp_path, name, packing, is_shown
):
    wanted = Preset(
        name="test", about="", notebooks={"00-hierarchy": {"images": IMAGES}, "01-data-size": SETTINGS}
    )
    page, _ = pages_of(wanted, tmp_path, here(tmp_path))
    before = page.fingerprint()
    folder = pack_folder(spec_of(Packing, packing, name), name, here(tmp_path))
    folder.mkdir(parents=True)
    (folder / "pack.json").write_text(json.dumps({"digest": "a"}))
    assert (page.fingerprint() != before) == is_shown


def test_a_notebook_is_not_called_as_a_page_that_every_report_has(tmp_path):
    for name in ("runs", "index", "my-runs"):
        write_notebook(tmp_path / f"notebooks/{name}.ipynb")
    for name in ("runs", "index"):
        says = f"preset test has a notebook called {name}, and {name}.html is a page of every report; rename"
        with pytest.raises(ItlError, match=says):
            notebooks_of(Preset(name="test", about="", notebooks={name: {}}), tmp_path / "notebooks")
    mine = Preset(name="test", about="", notebooks={"my-runs": {}})
    assert notebooks_of(mine, tmp_path / "notebooks").keys() == {"my-runs"}


def test_an_index_counts_seeds_and_not_halves(tmp_path):
    influence = {name: value for name, value in SETTINGS.items() if name != "images_per_class"}
    halved = {"08-influence": influence | {"halves": 4, "seeds": [0, 1, 5]}}
    pages = pages_of(Preset(name="test", about="", notebooks=halved), tmp_path, here(tmp_path))
    PageMaker(pages, None, here(tmp_path)).write_index("starting")
    assert "<dt>seeds</dt><dd>3</dd>" in (tmp_path / "index.html").read_text()


def test_tables_of_all_questions_do_not_stay_where_no_page_is_of_these_settings(tmp_path):
    for name in ("results.csv", "contrasts.csv", "runs.csv"):
        (tmp_path / name).write_text("of other settings")
    join_tables([], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["runs.csv"]


def test_the_command_that_repeats_a_report_names_another_home(tmp_path, monkeypatch):
    assert repeating_command(preset(), here(tmp_path)) == f"itl report test --home {tmp_path}"
    monkeypatch.chdir(tmp_path)
    assert repeating_command(preset(), here(tmp_path)) == "itl report test"


def test_torchrun_makes_no_report(tmp_path):
    with pytest.raises(ItlError, match="torchrun starts 2; do the runs with `torchrun … -m itl run test`"):
        report(preset(), tmp_path / "out", here(tmp_path).replace(ranks=2))
