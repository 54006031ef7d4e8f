"""Lists of classes with a wnid beside each name: which class it is, a superclass, or unclear."""

import pytest

from itl import ItlError
from tests.hierarchy.test_class_lists import CHIHUAHUA, GOLDFISH, SPANIEL, TENCH, read

BIRD, MACHINE = "n02012849", "n03126707"  # both are called crane


@pytest.mark.parametrize(
    "content",
    [
        f"name,wnid\ncrane,{MACHINE}\ngoldfish,{GOLDFISH}\n",
        f"id,class,wnid\n0,crane,{MACHINE}\n1,goldfish,{GOLDFISH}\n",
        f"name,synset\ncrane,{MACHINE}\ngoldfish,{GOLDFISH}\n",
        f"crane,{MACHINE}\ngoldfish,{GOLDFISH}\n",
        f'{{"crane": "{MACHINE}", "goldfish": "{GOLDFISH}"}}',
        f"name,wnid\nmy own words,{MACHINE}\nshark,{GOLDFISH}\n",
    ],
)
@pytest.mark.parametrize(
    "classes",
    [
        {BIRD: BIRD, GOLDFISH: GOLDFISH},
        {BIRD: BIRD, MACHINE: MACHINE, GOLDFISH: GOLDFISH},
        {BIRD: BIRD, "crane": BIRD, GOLDFISH: GOLDFISH, "my dog": "my dog"},
    ],
)
def test_the_wnid_beside_a_name_says_which_class_it_is(tmp_path, content, classes):
    assert read(tmp_path, content, classes) == {MACHINE: MACHINE, GOLDFISH: GOLDFISH}


def test_a_wnid_beside_a_name_and_its_label(tmp_path):
    content = f"name,label,wnid\ncrane,thing,{MACHINE}\ncrane,animal,{BIRD}\n"
    assert read(tmp_path, content, {BIRD: BIRD}) == {MACHINE: "thing", BIRD: "animal"}
    both = {BIRD: BIRD, MACHINE: MACHINE}
    assert read(tmp_path, f"name,wnid\ncrane,{BIRD}\ncrane,{MACHINE}\n", both) == both


def test_the_wnid_beside_a_name_may_be_a_superclass(tmp_path):
    fish, bird = "n02512053", "n01503061"
    content = f"name,wnid\ntench,{fish}\ngoldfish,{fish}\ncrane,{bird}\n"
    assert read(tmp_path, content, {BIRD: BIRD}) == {TENCH: fish, GOLDFISH: fish, BIRD: bird}
    assert read(tmp_path, f"name,label\ntench,{BIRD}\ngoldfish,{BIRD}\n") == {TENCH: BIRD, GOLDFISH: BIRD}


def test_a_wnid_that_the_tree_lacks_says_which_class_a_name_is(tmp_path):
    """The snapshot knows a mouse, of computers."""
    mouse, dog = "n02330245", "n02084071"
    for first, classes in (("", {}), (f"Chihuahua,{dog}\n", {CHIHUAHUA: dog})):
        content = f"name,wnid\n{first}mouse,{mouse}\n"
        assert read(tmp_path, content, {mouse: mouse, CHIHUAHUA: CHIHUAHUA}) == classes | {mouse: mouse}


@pytest.mark.parametrize("header", ["", "name,wnid\n"])
def test_where_some_names_are_kinds_of_the_wnid_beside_them_all_count_as_theirs(tmp_path, header):
    """WordNet has no wolf under dog; whoever writes that list has."""
    dog, wolf = "n02084071", "n02114367"
    content = f"{header}spaniel,{dog}\nChihuahua,{dog}\ntimber wolf,{dog}\ntench,{GOLDFISH}\n"
    listed = read(tmp_path, content, {wolf: wolf, CHIHUAHUA: CHIHUAHUA, TENCH: TENCH})
    assert listed[wolf] == listed[CHIHUAHUA] == dog
    assert listed[TENCH] == GOLDFISH


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            f"class,wnid\ndog,{CHIHUAHUA}\ndog,{SPANIEL}\nfish,{TENCH}\n",
            f"line 2: 'dog' stands beside {CHIHUAHUA} and {SPANIEL}, and {CHIHUAHUA} beside dog; name each",
        ),
        (
            f"name,wnid\ntench,{TENCH}\ngoldfish,{TENCH}\n",
            f"line 3: 'goldfish' stands beside {TENCH}, and {TENCH} beside goldfish and tench; name",
        ),
        (
            f"name,wnid\ntimber wolf,{TENCH}\nshark,{GOLDFISH}\n",
            f"line 2: 'timber wolf' stands beside {TENCH}, which has another name; under the header",
        ),
        (
            f"name,wnid\nmy dgo,{CHIHUAHUA}\n",
            "line 2: the images have no class 'my dgo'; did you mean 'my dog'",
        ),
    ],
)
def test_a_wnid_beside_a_name_that_is_not_clear(tmp_path, content, message):
    with pytest.raises(ItlError, match=message):
        read(tmp_path, content, {"my dog": "my dog", TENCH: TENCH})
