"""The sampler of mutants: what it changes, and that the list of those that change nothing is up to date."""

import ast

import pytest

from tests import mutants


@pytest.mark.parametrize("module", mutants.MODULES)
def test_a_mutant_is_the_module_with_one_expression_changed(module):
    whole = ast.dump(ast.parse(mutants.unchanged(module).text))
    for mutant in mutants.sample(5, 0, [module]):
        assert ast.dump(ast.parse(mutant.text)) != whole, mutant.name
    names = {mutant.name for mutant in mutants.mutants_of(module)}
    listed = {name for name in mutants.equivalent() if name.startswith(f"{module}: ")}
    assert listed <= names, "a mutant that is said to change nothing is no mutant any more"


def test_each_mutant_that_changes_nothing_is_one_of_a_module():
    assert {name.partition(": ")[0] for name in mutants.equivalent()} <= mutants.MODULES.keys()


def test_survivors_of_a_log_are_judged_again(tmp_path):
    module = "itl/runs/store.py"
    first, second = mutants.sample(2, 0, [module])
    log = tmp_path / "log"
    log.write_text(
        f"3.0 s without a change: {module}\nline 3 {mutants.SURVIVES}{first.name}\n1 of 2 killed\n"
    )
    assert mutants.survivors_of(log) == [first]
    assert first.name != second.name
