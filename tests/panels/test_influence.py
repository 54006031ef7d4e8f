"""InfluencePanel without a page: images of a target beside the browser's node."""

from dataclasses import replace

import pytest

from itl import HierarchyBrowser, ItlError
from itl.analysis import influence
from itl.panels.influence import InfluencePanel
from tests.accessible import faults
from tests.analysis import test_influence_runs

study = test_influence_runs.study  # nets that one class decides


@pytest.fixture
def panel(study):
    question, store, machine, wnid = study
    effects = influence.effects(question, store, machine)
    browser = HierarchyBrowser()
    return InfluencePanel(question, effects, browser, machine), browser, wnid


def test_a_node_of_the_browser_shows_the_images_that_it_helps(panel):
    panel, browser, wnid = panel
    find, control = panel.controls()
    browser.show(wnid)
    assert panel.node == control.value == wnid
    html = panel.html()
    assert html.count("+100.0\xa0±\xa00</small>") == 3
    assert "<p>None.</p>" in html, "no image is hurt"
    other = next(node for node in panel.effects.index if node != wnid)
    control.value = other
    assert panel.node == other
    find.value = panel.effects.loc[wnid, "name"]
    assert {value for _, value in control.options} == {other, wnid}, "what is shown stays in the list"
    find.value = wnid
    assert {value for _, value in control.options} == {other, wnid}
    find.value = "nothing is called so"
    ((text, value),) = control.options
    assert text.startswith("no node has 'nothing is called so' in its name; ")
    assert value == other


def test_what_has_no_effects_is_refused(study, panel):
    question, store, machine, _ = study
    with pytest.raises(ItlError, match="effects has no node, so there is nothing to show"):
        InfluencePanel(question, panel[0].effects.reset_index()[:0], machine=machine)
    other = replace(question, conditions=question.conditions[:1], name="other")
    with pytest.raises(ItlError, match="other has no nets on halves of the classes"):
        influence.effects(other, store, machine)


def test_a_node_without_effect_of_its_own_says_why(panel):
    panel, browser, _ = panel
    find, control = panel.controls()
    browser.show("n00001740")  # entity has all classes
    reason = "it has over 75 % of the classes, none, or those of a node below; choose one of the list"
    assert f"entity (n00001740) has no effect of its own: {reason}" in panel.picture()
    assert ("entity (n00001740): no effect of its own", "n00001740") in control.options
    find.value = "nothing is called so"
    says = "no node has 'nothing is called so' in its name; entity (n00001740): no effect of its own"
    assert control.options == ((says, "n00001740"),)


@pytest.mark.parametrize("node", ["n99999999", "dog", ""])
def test_a_node_of_no_tree_is_refused_and_changes_nothing(panel, node):
    panel, _, _ = panel
    before = panel.node
    with pytest.raises(ItlError, match=rf"no node '{node}' in the tree; InfluencePanel.nodes\(\) lists"):
        panel.node = node
    assert panel.node == before


def test_every_control_has_a_name_and_the_picture_can_be_read(panel):
    panel, _, _ = panel
    assert all(control.description for control in panel.controls())
    assert faults(f'<html lang="en"><h1>influence</h1>{panel.html()}</html>') == []
