"""Two reports side by side."""

import json
from pathlib import Path

import pandas as pd
import pytest

from itl import ItlError
from itl.__main__ import main
from itl.report.compare import compare_reports, describe_difference
from tests.accessible import faults


def write_report(folder: Path, verdicts: dict[str, str], seeds: list[int], lr: float = 0.1) -> Path:
    """A report of one question: a verdict for each task, and a run for each seed."""
    folder.mkdir()
    rows = [("data-size", "4 instead of 12", task, verdict, 2.0) for task, verdict in verdicts.items()]
    names = ["question", "compared", "task", "verdict", "change"]
    table = pd.DataFrame(rows, columns=names).assign(margin=2.0, cap=0)
    table.to_csv(folder / "contrasts.csv", index=False)
    specs = [json.dumps({"Pretrain": {"recipe": {"lr": lr}, "seed": seed}}) for seed in seeds]
    runs = pd.DataFrame({"spec": specs, "questions": "data-size, budget", "state": "done"})
    runs.assign(commit="abc", device="cpu").to_csv(folder / "runs.csv", index=False)
    return folder


def test_changed_answers_are_listed_with_what_differs(tmp_path, capsys):
    first = write_report(tmp_path / "a", {"own": "a gain", "probe": "cannot tell", "knn": "a loss"}, [0, 1])
    second = write_report(tmp_path / "b", {"own": "a gain", "probe": "a gain"}, [2, 3], lr=0.2)
    table = compare_reports(first, second).table.set_index("task")
    assert table["answer"].to_dict() == {"own": "alike", "probe": "changed", "knn": "only in 1"}
    assert set(table["why"]) == {"recipe.lr: 0.1 → 0.2; seed: 0, 1 → 2, 3"}
    assert main(["compare", str(first), str(second)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 answers: 1 alike, 1 changed, 1 only in 1"
    assert lines[1] == "data-size: 4 instead of 12, probe: cannot tell (+2.0 points) → a gain (+2.0 points)"
    assert lines[2:] == ["data-size differs in recipe.lr: 0.1 → 0.2; seed: 0, 1 → 2, 3"]


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ("abcdef", "abcdeg", "seed: f, a, b, c and 2 more → g, a, b, c and 2 more"),
        ("abcdef", "abcdefg", "seed: a, b, c, d and 2 more → g, a, b, c and 3 more"),
        (["10", "2", "9", "0.5"], ["2", "100"], "seed: 0.5, 9, 10, 2 → 100, 2"),
        (["100", "all", "25"], [], "seed: 25, 100, all → none"),
    ],
)
def test_a_value_of_one_report_alone_is_seen_and_numbers_are_in_order(first, second, text):
    assert describe_difference({"seed": set(first)}, {"seed": set(second)}) == text


def test_a_page_says_what_changed_and_why(tmp_path, capsys):
    first = write_report(tmp_path / "a", {"own": "a gain", "probe@scenes": "cannot tell"}, [0, 1])
    second = write_report(tmp_path / "b", {"own": "a gain", "probe@scenes": "a gain"}, [2], lr=0.2)
    assert main(["compare", str(first), str(second), "--format", "html"]) == 0
    html = capsys.readouterr().out
    assert faults(html) == []
    changed, others = html.split("<h2>The other answers</h2>")
    assert "scenes, linear probe</td><td>cannot tell (+2.0)</td><td>a gain (+2.0)</td>" in changed
    assert "own classes</td><td>a gain (+2.0)</td><td>a gain (+2.0)</td>" in others
    assert "<b>data-size</b>: recipe.lr: 0.1 → 0.2; seed: 0, 1 → 2</li>" in changed
    assert main(["compare", str(first), str(first), "--format", "html"]) == 0
    same = capsys.readouterr().out
    assert "<p>None.</p>" in same
    assert "Nothing: settings, commit and device are the same." in same


def judged_so(folder: Path, **columns: object) -> None:
    """Write how the verdicts of the report in *folder* were reached."""
    pd.read_csv(folder / "contrasts.csv").assign(**columns).to_csv(folder / "contrasts.csv", index=False)


def test_another_margin_is_what_differs_where_the_runs_are_the_same(tmp_path, capsys):
    first = write_report(tmp_path / "a", {"own": "a gain", "knn": "cannot tell"}, [0])
    second = write_report(tmp_path / "b", {"own": "a gain", "knn": "the same"}, [0])
    for folder, margin in ((first, 1.0), (second, 4.0)):
        judged_so(folder, margin=[2.0, margin])
    assert main(["compare", str(first), str(second)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2 answers: 1 alike, 1 changed",
        "data-size: 4 instead of 12, knn: cannot tell (+2.0 points) → the same (+2.0 points)",
        "data-size differs in margin: 1.0 points, 2.0 points → 4.0 points, 2.0 points",
    ]
    assert "margin_1" not in compare_reports(first, second).table


def test_every_reason_is_said_settings_first(tmp_path):
    first = write_report(tmp_path / "a", {"own": "a gain", "knn": "cannot tell"}, [0])
    second = write_report(tmp_path / "b", {"knn": "the same", "own": "a gain"}, [0], lr=0.2)
    judged_so(first, cap=0, margin=1.0)
    judged_so(second, cap=6, margin=4.02)
    assert set(compare_reports(first, second).table["why"]) == {
        "recipe.lr: 0.1 → 0.2; margin: 1.0 points → 4.0 points; cap: 0 → 6; "
        "main comparison: 4 instead of 12, own → 4 instead of 12, knn"
    }


def test_a_page_does_not_call_the_same_what_answers_otherwise(tmp_path, capsys):
    first, second = (write_report(tmp_path / name, {"own": name}, [0]) for name in ("yes", "no"))
    assert main(["compare", str(first), str(second), "--format", "html"]) == 0
    html = capsys.readouterr().out
    assert "Nothing that the reports hold: settings, commit and device are the same." in html


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text[:-2], "a verdict is missing, or a change or cap is no number"),
        (lambda text: text[:-16], "a verdict is missing, or a change or cap is no number"),
        (lambda text: text.replace("2.0", "abc", 1), "a verdict is missing, or a change or cap is no number"),
        (lambda text: text.replace("2.0", "inf", 1), "a verdict is missing, or a change or cap is no number"),
        (lambda text: text.replace("2.0", "", 1), "a verdict is missing, or a change or cap is no number"),
        (lambda text: text + text.splitlines()[1] + "\n", "it repeats a comparison"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path, damage, says):
    first, second = (write_report(tmp_path / name, {"own": "a gain", "knn": "a gain"}, [0]) for name in "ab")
    path = second / "contrasts.csv"
    path.write_text(damage(path.read_text()))
    with pytest.raises(ItlError, match=f"contrasts.csv is damaged: {says}; repeat `itl report`"):
        compare_reports(first, second)


def test_reports_of_the_same_runs_are_alike(tmp_path):
    first, second = (write_report(tmp_path / name, {"own": "a gain"}, [0]) for name in "ab")
    table = compare_reports(first, second).table
    assert (table["answer"].tolist(), table["why"].tolist()) == (["alike"], [""])


@pytest.mark.parametrize("name", ["nothing", "b"])
def test_a_folder_without_a_report_is_refused_and_those_that_there_are_named(tmp_path, name):
    (tmp_path / "reports").mkdir()
    first = write_report(tmp_path / "reports/demo", {"own": "a gain"}, [0])
    (tmp_path / "b").mkdir()
    says = f"`itl report PRESET` writes one, and finished in {tmp_path}/reports are demo"
    with pytest.raises(ItlError, match=says):
        compare_reports(first, tmp_path / name, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("contrasts.csv", "", "contrasts.csv is damaged: No columns to parse from file; repeat `itl report`"),
        (
            "contrasts.csv",
            "a,b\n1,2\n",
            "has no column question, compared, task, verdict, change, margin",
        ),
        (
            "contrasts.csv",
            "question,compared,task,verdict,change,margin,cap\n",
            "contrasts.csv has no comparison; repeat",
        ),
        ("runs.csv", 'state,spec\n"do', "runs.csv is damaged: "),
        *(
            (
                "runs.csv",
                f"state,questions,spec,commit,device\ndone,a,{spec},b,c\n",
                "runs.csv is damaged: a run has no spec as JSON",
            )
            for spec in ("{x", "")
        ),
        ("runs.csv", "state,spec\n", "runs.csv has no column questions, commit, device; repeat `itl report`"),
    ],
)
def test_a_damaged_report_is_named(tmp_path, name, content, says):
    first, second = (write_report(tmp_path / name, {"own": "a gain"}, [0]) for name in "ab")
    (second / name).write_text(content)
    with pytest.raises(ItlError, match=says):
        compare_reports(first, second)


def test_a_preset_is_as_good_as_the_folder_of_its_report(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    first = write_report(tmp_path / "reports/mine", {"own": "a gain"}, [0])
    second = write_report(tmp_path / "reports/yours", {"own": "a gain"}, [0])
    assert main(["compare", "mine", "params/yours.yaml", "--home", str(tmp_path)]) == 0
    assert main(["compare", str(first), str(second), "--home", str(tmp_path)]) == 0
    by_name, by_folder = capsys.readouterr().out.splitlines()
    assert by_name == by_folder == "1 answers: 1 alike"
    write_report(tmp_path / "mine", {"own": "a loss"}, [0])
    assert main(["compare", "mine", "yours", "--home", str(tmp_path)]) == 1
    assert "give the folder that is meant" in capsys.readouterr().err


def test_a_question_of_one_report_is_named_alone(tmp_path, capsys):
    first, second = (write_report(tmp_path / name, {"own": "a gain"}, [0]) for name in "ab")
    rows = pd.read_csv(first / "contrasts.csv")
    pd.concat([rows, rows.assign(question="budget")]).to_csv(first / "contrasts.csv", index=False)
    runs = pd.read_csv(second / "runs.csv")
    runs.assign(questions="data-size").to_csv(second / "runs.csv", index=False)
    assert main(["compare", str(first), str(second)]) == 0
    assert capsys.readouterr().out.splitlines() == ["2 answers: 1 alike, 1 only in 1", "budget: only in 1"]


def report_of(folder: Path, *specs: dict, commit: str = "c0ffee") -> Path:
    """A report of one question, whose runs are those of *specs*."""
    write_report(folder, {"probe": "a gain"}, [0])
    columns = {"questions": "data-size", "state": "done", "commit": commit, "device": "cpu"}
    runs = pd.DataFrame({"spec": [json.dumps(spec) for spec in specs]}).assign(**columns)
    runs.to_csv(folder / "runs.csv", index=False)
    return folder


def test_settings_of_methods_and_targets_are_told_from_those_of_nets_and_of_others(tmp_path):
    net = {"recipe": {"lr": 0.1}, "seed": 0}

    def of_task(method: str, target: str, lr: float, images: int | None, pack: str) -> dict:
        task = {"method": method, "target": target, "pack": pack, "images_per_class": images}
        return {"Transfer": task | {"pretrain": net, "recipe": {"lr": lr}, "seed": 0}}

    first = of_task("finetune", "scenes", 0.02, 10, "a"), of_task("actions", "acts", 0.1, 5, "b")
    second = of_task("finetune", "scenes", 0.1, None, "b"), of_task("actions", "acts", 0.02, 5, "a")
    reports = [
        report_of(tmp_path / "a", {"Pretrain": net}, *first),
        report_of(tmp_path / "b", {"Pretrain": net}, *second),
    ]
    assert set(compare_reports(*reports).table["why"]) == {
        "pack of scenes: a → b; images_per_class of scenes: 10 → none; recipe.lr of finetune: 0.02 → 0.1; "
        "pack of acts: b → a; recipe.lr of actions: 0.1 → 0.02"
    }


@pytest.mark.parametrize(
    "commits", [("12e456789012", "3456e7890123"), ("672229530988", "0672229530988"), ("0123", "123")]
)
def test_commits_of_digits_are_no_numbers(tmp_path, commits):
    first, second = (
        report_of(tmp_path / commit, {"Pretrain": {"seed": 0}}, commit=commit) for commit in commits
    )
    assert set(compare_reports(first, second).table["why"]) == {f"commit: {commits[0]} → {commits[1]}"}
    rows = pd.read_csv(second / "runs.csv", dtype=str)
    unfinished = rows.assign(state="to do", commit=None)
    pd.concat([rows.assign(commit=commits[0]), unfinished]).to_csv(second / "runs.csv", index=False)
    assert set(compare_reports(first, second).table["why"]) == {""}


def test_what_made_the_runs_is_compared_where_both_reports_know_it(tmp_path):
    """Pre-trainings share ranks, and measurements do not. A report of before has no such columns."""
    specs = [{"Pretrain": {"seed": 0}}, {"Pretrain": {"seed": 0}}]
    before, first, second = (report_of(tmp_path / name, *specs) for name in ("before", "a", "b"))
    made = {"itl": "0.1", "precision": "fp32", "torch": "2.11", "compile": None}
    runs = pd.read_csv(first / "runs.csv", dtype=str).assign(**made)
    runs.assign(ranks="1").to_csv(first / "runs.csv", index=False)
    other = {"ranks": ["2", "1"], "torch": "2.12", "compile": "no"}
    runs.assign(**other).to_csv(second / "runs.csv", index=False)
    assert set(compare_reports(first, second).table["why"]) == {"torch: 2.11 → 2.12; ranks: 1 → 2, 1"}
    assert set(compare_reports(before, second).table["why"]) == {""}


def runs_of(folder: Path, *rows: tuple[str, str]) -> None:
    """Write runs.csv with these questions and states, each of another seed."""
    specs = [json.dumps({"Pretrain": {"seed": seed}}) for seed in range(len(rows))]
    table = pd.DataFrame(rows, columns=["questions", "state"]).assign(spec=specs, commit="abc", device="cpu")
    table.to_csv(folder / "runs.csv", index=False)


def test_a_change_where_pretraining_gives_too_little_is_no_answer_here_either(tmp_path):
    first, second = (
        write_report(tmp_path / name, {"own": verdict}, [0])
        for name, verdict in (("a", "a loss"), ("b", "cannot tell"))
    )
    table = pd.read_csv(first / "contrasts.csv").assign(control="the control fails: …")
    table.to_csv(first / "contrasts.csv", index=False)
    assert compare_reports(first, second).table["answer"].tolist() == ["alike"]


def test_what_untrained_nets_do_not_use_is_no_difference(tmp_path):
    first, second = (write_report(tmp_path / name, {"own": "a gain"}, [0]) for name in "ab")
    net = {"recipe": {"epochs": 0, "lr": 0.3}, "subset": {"images_per_class": 1}, "seed": 0}
    specs = [json.dumps({"Pretrain": net}), json.dumps({"Transfer": {"pretrain": net, "method": "knn"}})]
    runs = pd.DataFrame({"spec": specs, "questions": "data-size", "state": "done"})
    runs = pd.concat([pd.read_csv(first / "runs.csv"), runs.assign(commit="abc", device="cpu")])
    runs.to_csv(first / "runs.csv", index=False)
    assert set(compare_reports(first, second).table["why"]) == {"method: knn → none"}


def test_rankings_are_not_compared_and_said_not_to_be(tmp_path, capsys):
    """The contrast of an advice is of whatever option is last, which is not its answer."""
    first, second = (write_report(tmp_path / name, {"own": "a gain"}, [0]) for name in "ab")
    for folder, verdict in ((first, "a gain"), (second, "cannot tell")):
        rows = pd.read_csv(folder / "contrasts.csv")
        ranked = rows.assign(question="advice", verdict=verdict)
        pd.concat([ranked, rows]).to_csv(folder / "contrasts.csv", index=False)
        runs_of(folder, ("data-size, scores", "done"), ("advice", "done"))
    assert main(["compare", str(first), str(second)]) == 0
    says = "advice, scores: answered by rankings, which are on their pages and not compared"
    assert capsys.readouterr().out.splitlines() == ["1 answers: 1 alike", says]
    for folder in (first, second):
        ranked.to_csv(folder / "contrasts.csv", index=False)
        runs_of(folder, ("advice", "done"))
    assert main(["compare", str(first), str(second)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "0 answers: nothing to compare",
        says.replace("advice, scores", "advice"),
    ]
