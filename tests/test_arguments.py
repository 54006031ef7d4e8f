"""How the texts of a command line are read."""

import re

import pytest

from itl import ItlError
from itl.__main__ import main
from itl.arguments import PROPOSAL_FORMATS, parse, parse_options, parse_shard
from itl.commands import parser
from itl.sources.annotated.proposal_files import READERS


@pytest.mark.parametrize(("text", "shard"), [(None, None), ("1/1", (1, 1)), ("1/8", (1, 8)), ("8/8", (8, 8))])
def test_a_shard_is_a_part_of_so_many(text, shard):
    assert parse_shard(text) == shard


@pytest.mark.parametrize("text", ["", "3", "/3", "3/", "0/3", "4/3", "-1/3", "1/3/5", "x/3", "1/x"])
def test_shards_that_cannot_be(text):
    with pytest.raises(ItlError, match=f"--shard takes I/N, part I of N, such as 3/8; got '{text}'"):
        parse_shard(text)


def test_options_are_names_and_yaml():
    assert parse_options(None) == ()
    texts = ["size=64", "name=a b", "classes=[1, x]", "path=a=b"]
    assert parse_options(texts) == (("size", 64), ("name", "a b"), ("classes", [1, "x"]), ("path", "a=b"))


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["size"], "^--option takes NAME=VALUE, got 'size'$"),
        (["size=1", "size=2"], "^--option size is given twice; give it once$"),
        (["size=["], "^--option size is not YAML: .*; if it is a text, write it in quotes: 'size=\"\\[\"'$"),
        (["label="], "^--option label= gives no value; leave it out$"),
        (
            ["label=null"],
            "^--option label=null gives no value; leave it out, or .* in quotes: 'label=\"null\"'$",
        ),
    ],
)
def test_options_that_cannot_be(texts, says):
    with pytest.raises(ItlError, match=says):
        parse_options(texts)


@pytest.mark.parametrize(
    "words", [["--budget", "2 hours"], ["--budget=2 hours"], ["--budget=2", "hours"], ["--budget", "2"]]
)
def test_a_budget_is_two_words(words, capsys):
    assert parse(parser(), ["advise", "--budget", "2", "hours", "birds"]).budget == ["2", "hours"]
    with pytest.raises(SystemExit):
        parse(parser(), ["advise", "birds", *words])
    assert capsys.readouterr().err.endswith("itl advise: error: argument --budget: expected 2 arguments\n")


def test_names_of_options_are_written_out(capsys):
    """What is short for one option today may be short for two tomorrow."""
    with pytest.raises(SystemExit):
        parse(parser(), ["run", "demo", "--work", "2"])
    usage, _, error = capsys.readouterr().err.partition("itl run: error: ")
    assert usage.startswith("usage: itl run ")
    assert error == "unrecognized arguments: --work 2; did you mean '--workers'?\n"
    with pytest.raises(SystemExit):
        parse(parser(), ["plan", "demo", "more"])
    assert capsys.readouterr().err.endswith("itl plan: error: unrecognized arguments: more\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            "subset --pack p --seed 3",
            "--seed has no effect without --images-per-class or --classes; add that",
        ),
        (
            "proposals a.npz --count 5",
            "--count has no effect without --recall ANNOTATIONS; add that, or leave",
        ),
    ],
)
def test_an_option_without_effect_is_refused(words, says, capsys):
    assert main(words.split()) == 1
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n"), says in output.err) == ("", 1, True)


def test_help_on_regions_has_the_formats_that_are_read():
    assert set(re.findall(r"^\.\w+", PROPOSAL_FORMATS, re.MULTILINE)) == READERS.keys()


@pytest.mark.parametrize("option", ["--workers 2", "--device cpu", "--compile", "--scheduler slurm"])
def test_commands_that_compute_nothing_take_no_setting_of_computing(option, capsys):
    for command in ("results demo", "compare demo mini", "export 1a2b x.pth"):
        with pytest.raises(SystemExit, match="2"):
            parse(parser(), f"{command} {option}".split())
        assert f"unrecognized arguments: {option}" in capsys.readouterr().err
