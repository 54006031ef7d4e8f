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
        f"name,wnid\nmy own words,{MACHINE}\nred gold fish,{GOLDFISH}\n",
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


def test_two_nouns_of_one_name_are_two_classes_by_their_wnids(tmp_path):
    """As crane and maillot in a list of the 1,000 classes of ImageNet."""
    assert read(tmp_path, f"name,wnid\ncrane,{BIRD}\ncrane,{MACHINE}\n") == {BIRD: BIRD, MACHINE: MACHINE}


def test_a_wnid_beside_a_name_and_its_label(tmp_path):
    content = f"name,label,wnid\ncrane,thing,{MACHINE}\ncrane,animal,{BIRD}\n"
    assert read(tmp_path, content, {BIRD: BIRD}) == {MACHINE: "thing", BIRD: "animal"}


def test_a_wnid_may_be_a_label(tmp_path):
    assert read(tmp_path, f"name,label\ntench,{BIRD}\ngoldfish,{BIRD}\n") == {TENCH: BIRD, GOLDFISH: BIRD}


def test_a_wnid_that_the_tree_lacks_says_which_class_a_name_is(tmp_path):
    """The snapshot knows a mouse, of computers."""
    mouse = "n02330245"
    assert read(tmp_path, f"name,wnid\nmouse,{mouse}\n", {mouse: mouse}) == {mouse: mouse}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *(
            (
                text,
                "2: .* stands beside n.*, and is the name of another noun; give the wnids alone, or what",
            )
            for text in (
                f"class,wnid\ndog,{CHIHUAHUA}\n",  # a broader noun
                "name,wnid\ntench,n02512053\ngoldfish,n02512053\n",  # of the superclass fish
                f'{{"tench": "{TENCH}", "timber wolf": "{TENCH}"}}',
                f"name,wnid\nBello,{CHIHUAHUA}\n",  # a class of the images with another wnid
            )
        ),
        *(
            (text, f"'{repeated}' stands beside several names or wnids; give the wnids alone, or what each")
            for text, repeated in (
                (f"name,wnid\nmine,{BIRD}\nmine,{MACHINE}\n", "mine"),
                (f"my own words,{TENCH}\ngoldfish,{GOLDFISH}\ntench,{TENCH}\n", TENCH),
            )
        ),
        (
            f"name,wnid\nmy dgo,{CHIHUAHUA}\n",
            "line 2: the images have no class 'my dgo'; did you mean 'my dog'",
        ),
    ],
)
def test_a_wnid_beside_a_name_that_is_not_clear(tmp_path, content, message):
    with pytest.raises(ItlError, match=message):
        read(tmp_path, content, {"my dog": "my dog", "Bello": SPANIEL, TENCH: TENCH})
