"""Lists of classes in every common form: what they say, or the line that is wrong."""

import re
import time

import pytest

from itl import ItlError
from itl.hierarchy.class_lists import read_class_list
from itl.hierarchy.label_sets import LabelSet, label_set
from itl.hierarchy.taxonomy import Synset, Taxonomy
from itl.specs import Subset

TENCH, GOLDFISH, CHIHUAHUA, SPANIEL = "n01440764", "n01443537", "n02085620", "n02085782"
CLASSES = {TENCH: TENCH, GOLDFISH: GOLDFISH}
FISH = {TENCH: "fish", GOLDFISH: "fish", CHIHUAHUA: "dog", SPANIEL: "dog"}


def read(tmp_path, content: str | bytes, classes=None) -> dict[str, str]:
    path = tmp_path / "list"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_class_list(path, Taxonomy.snapshot(), classes)


@pytest.mark.parametrize(
    "content",
    [
        f"{TENCH}\n{GOLDFISH}\n",
        f"{TENCH}\r\n{GOLDFISH}\r\n",
        f"\ufeff{TENCH}\n\n{GOLDFISH}",
        f"{TENCH}, {GOLDFISH}\n",
        f"{TENCH},{GOLDFISH}",
        f"# mine\n{TENCH}\n{GOLDFISH}\n",
        f"{TENCH} 0\n{GOLDFISH} 1\n",
        f"{TENCH} 1 tench\n{GOLDFISH} 2 goldfish\n",
        f"0 {TENCH}\n1 {GOLDFISH}\n",
        f"0,{TENCH},tench\n1,{GOLDFISH},goldfish\n",
        f"1\t{TENCH}\ttench\n2\t{GOLDFISH}\tgoldfish\n",
        f"{TENCH} tench, Tinca tinca\n{GOLDFISH} goldfish, Carassius auratus\n",
        f"wnid,label\n{TENCH},{TENCH}\n{GOLDFISH},{GOLDFISH}\n",
        f"wnid;label\n{TENCH};{TENCH}\n{GOLDFISH};{GOLDFISH}\n",
        f"{TENCH};0\n{GOLDFISH};1\n",
        f"wnid,name\n{TENCH},fish\n{GOLDFISH},fish\n",  # a header says that these are names
        f"id,wnid,name\n0,{TENCH},tench\n1,{GOLDFISH},goldfish\n",
        f"class_index,wnid\n0,{TENCH}\n1,{GOLDFISH}\n",
        "idx,class_name\n0,tench\n1,goldfish\n",
        f"Index;WNID\n0;{TENCH}\n1;{GOLDFISH}\n",
        ",name\n0,tench\n1,goldfish\n",  # of pandas
        f"wnid,images\n{TENCH},1300\n{GOLDFISH},1300\n",
        f"wnid,class\n{TENCH},tench\n{GOLDFISH},goldfish\n",
        f"wnid,class,pictures\n{TENCH},tench,1300\n{GOLDFISH},goldfish,1300\n",
        f"wnid,class,from\n{TENCH},tench,web\n{GOLDFISH},goldfish,web\n",
        f'["{TENCH}", "{GOLDFISH}"]',
        f'{{"0": ["{TENCH}", "tench"], "1": ["{GOLDFISH}", "goldfish"]}}',
        f'{{"{TENCH}": "tench, Tinca tinca", "{GOLDFISH}": "goldfish"}}',
        f"{{'{TENCH}': 0, '{GOLDFISH}': 1}}",
        f"{TENCH},tench,1300,in1k\n{GOLDFISH},goldfish,1300,in1k\n",
        f"{TENCH},tench,Tinca tinca\n{GOLDFISH},goldfish,Carassius auratus\n",
        f"{TENCH} {GOLDFISH}\n",
        f"{TENCH};{GOLDFISH}\n",
        f'{{"0": ["{TENCH}"], "1": ["{GOLDFISH}"]}}',
        f'{{"{TENCH}": ["tench", "Tinca tinca"], "{GOLDFISH}": ["goldfish"]}}',
        "tench.n.01\ngoldfish.n.01\n",
        "tench\nCarassius auratus\n",
    ],
)
def test_a_list_of_classes(tmp_path, content):
    assert read(tmp_path, content) == CLASSES


@pytest.mark.parametrize(
    "content",
    [
        f"wnid,label\n{TENCH},fish\n{GOLDFISH},fish\n{CHIHUAHUA},dog\n{SPANIEL},dog\n",
        f"wnid,name,coarse\n{TENCH},tench,fish\n{GOLDFISH},b,fish\n{CHIHUAHUA},c,dog\n{SPANIEL},d,dog\n",
        f"wnid,fine,coarse\n{TENCH},a,fish\n{GOLDFISH},b,fish\n{CHIHUAHUA},c,dog\n{SPANIEL},d,dog\n",
        "fine_label,coarse_label\ntench,fish\ngoldfish,fish\nChihuahua,dog\nJapanese spaniel,dog\n",
        f"class_index,wnid,superclass\n0,{TENCH},fish\n1,{GOLDFISH},fish\n2,{CHIHUAHUA},dog\n3,{SPANIEL},dog\n",
        f"wnid,coarse,fine\n{TENCH},fish,a\n{GOLDFISH},fish,b\n{CHIHUAHUA},dog,c\n{SPANIEL},dog,d\n",
        f"wnid,pictures,kind\n{TENCH},9,fish\n{GOLDFISH},9,fish\n{CHIHUAHUA},8,dog\n{SPANIEL},8,dog\n",
        f"wnid\tclass\n{TENCH}\tfish\n{GOLDFISH}\tfish\n{CHIHUAHUA}\tdog\n{SPANIEL}\tdog\n",
        f"{TENCH} fish\n{GOLDFISH} fish\n{CHIHUAHUA} dog\n{SPANIEL} dog\n",
        f"{TENCH},fish\n{GOLDFISH},fish\n{CHIHUAHUA},dog\n{SPANIEL},dog\n",
        f"0 {TENCH} fish\n1 {GOLDFISH} fish\n2 {CHIHUAHUA} dog\n3 {SPANIEL} dog\n",
        f"0,{TENCH},fish\n1,{GOLDFISH},fish\n2,{CHIHUAHUA},dog\n3,{SPANIEL},dog\n",
        f'{{"fish": ["{TENCH}", "{GOLDFISH}"], "dog": ["{CHIHUAHUA}", "{SPANIEL}"]}}',
        f'{{"{TENCH}": "fish", "{GOLDFISH}": "fish", "{CHIHUAHUA}": "dog", "{SPANIEL}": "dog"}}',
        f'[["{TENCH}", "fish"], ["{GOLDFISH}", "fish"], ["{CHIHUAHUA}", "dog"], ["{SPANIEL}", "dog"]]',
    ],
)
def test_a_list_of_superclasses(tmp_path, content):
    assert read(tmp_path, content) == FISH


@pytest.mark.parametrize(
    "content",
    [
        f'{{"0": ["{TENCH}", "{GOLDFISH}"], "1": ["{CHIHUAHUA}", "{SPANIEL}"]}}',
        f"{{0: ['{TENCH}', '{GOLDFISH}'], 1: ['{CHIHUAHUA}', '{SPANIEL}']}}",
        f'[["{TENCH}", "{GOLDFISH}"], ["{CHIHUAHUA}", "{SPANIEL}"]]',
        '{"0": ["tench", "goldfish"], "1": ["Chihuahua", "Japanese spaniel"]}',
    ],
)
def test_superclasses_may_have_numbers_for_names(tmp_path, content):
    numbers = {"fish": "0", "dog": "1"}
    assert read(tmp_path, content) == {wnid: numbers[label] for wnid, label in FISH.items()}


@pytest.mark.parametrize(
    "lines", [f"wnid,num_images\n{TENCH},1\n{GOLDFISH},0\n", f"{TENCH} 1300\n{GOLDFISH} 1299\n"]
)
def test_counts_say_nothing_of_classes(tmp_path, lines):
    assert read(tmp_path, lines) == CLASSES


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        *((name, ("1", "0")) for name in ("keep", "use", "include", "exclude", "in_subset")),
        *((name, ("in", "out")) for name in ("Keep", "selected", "drop")),
        *(("wild", cells) for cells in (("no", "yes"), ("x", ""), ("TRUE", "true"), ("1.0", "N"))),
        ("label,keep", ("fish,1", "cold fish,0")),
    ],
)
def test_a_column_that_may_say_which_classes_are_taken_is_refused(tmp_path, header, cells):
    text = f"wnid,{header}\n{TENCH},{cells[0]}\n{GOLDFISH},{cells[1]}\n"
    name = header.rpartition(",")[2]
    with pytest.raises(
        ItlError, match=f"its column '{name}' may say which classes are taken; list those alone"
    ):
        read(tmp_path, text)


@pytest.mark.parametrize("header", ["coarse", "Coarse label", "super-category", "group", "parent_name"])
def test_of_a_column_that_is_called_coarse_two_classes_of_one_label_are_enough(tmp_path, header):
    rows = f"{TENCH},fish,a\n{GOLDFISH},fish,b\n{CHIHUAHUA},dog,c\n"
    expected = {TENCH: "fish", GOLDFISH: "fish", CHIHUAHUA: "dog"}
    assert read(tmp_path, f"wnid,{header},fine\n{rows}") == expected
    alone = {wnid: wnid for wnid in expected}
    assert read(tmp_path, f"wnid,{header},fine\n{rows.replace('fish,b', 'carp,b')}") == alone
    with pytest.raises(ItlError, match=f"line 4: '{SPANIEL},,d' lacks a class or its label"):
        read(tmp_path, f"wnid,{header},fine\n{rows}".replace(f"{CHIHUAHUA},dog,c", f"{SPANIEL},,d"))


def test_yes_and_no_beside_a_label_say_nothing(tmp_path):
    rows = [f"{wnid},{label},{int(label == 'fish')}" for wnid, label in FISH.items()]
    assert read(tmp_path, "\n".join(["wnid,label,on_land", *rows])) == FISH


def test_names_of_folders_may_stand_for_wnids_in_json(tmp_path):
    names = {"my fish": "my fish", "my dog": "my dog"}
    content = f'{{"my fish": "{TENCH}", "my dog": "{CHIHUAHUA}"}}'
    assert read(tmp_path, content, names) == {"my fish": TENCH, "my dog": CHIHUAHUA}


def test_a_wnid_that_the_tree_lacks_is_taken_as_it_is(tmp_path):
    assert read(tmp_path, f"n99999999\n{TENCH}\n") == {"n99999999": "n99999999", TENCH: TENCH}


@pytest.mark.parametrize("between", ["\n", " ", ", "])
def test_a_list_of_all_classes_of_imagenet_21k_is_read_in_a_moment(tmp_path, between):
    wnids = [f"n{number:08}" for number in range(21_841)]
    started = time.process_time()
    assert read(tmp_path, between.join(wnids)) == dict(zip(wnids, wnids, strict=True))
    assert time.process_time() - started < 8, "21 s with a count for each line"


def test_two_classes_of_one_name_are_not_one_superclass(tmp_path):
    content = f"n02012849 crane\nn03126707 crane\n{TENCH} tench\n"
    classes = {wnid: wnid for wnid in ("n02012849", "n03126707", TENCH)}
    assert read(tmp_path, content) == classes
    assert read(tmp_path, f"n02012849,0,crane\nn03126707,1,crane\n{TENCH},2,tench\n") == classes


def test_names_of_folders(tmp_path):
    names = {"red fox": "red fox", "sofa": "sofa"}
    assert read(tmp_path, "red fox\nsofa\n", names) == names
    assert read(tmp_path, "name,label\nred fox,animal\nsofa,thing\n", names) == {
        "red fox": "animal",
        "sofa": "thing",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lists no class"),
        (f"{TENCH}\nn0144353\n", "line 2: no 'n0144353'"),
        (f"{TENCH}\ngoldfsh\n", "line 2: .*goldfish"),
        (f"{TENCH} caf\xe9\n".encode("latin-1"), "line 1: not UTF-8"),
        (
            "crane\n",
            r"line 1: 'crane' may be n02012849 \(large long-necked .*\) or n03126707 \(.*\); give the wnid",
        ),
        (f"{TENCH},{GOLDFISH}\n{CHIHUAHUA},{SPANIEL}\n", "line 1: several classes"),
        (f"wnid,label\n{TENCH},\n", "line 2: .* lacks a class or its label"),
        *(
            (text, f"{GOLDFISH} counts as '(nan|NaN)', as pandas writes an empty cell; leave classes without")
            for text in (
                f"wnid,label\n{TENCH},fish\n{GOLDFISH},nan\n",
                f"wnid,kind\n{CHIHUAHUA},dog\n{SPANIEL},dog\n{GOLDFISH},NaN\n{TENCH},NaN\n",
                f"{CHIHUAHUA} dog\n{SPANIEL} dog\n{GOLDFISH} nan\n{TENCH} nan\n",
                f'{{"fish": ["{TENCH}"], "nan": ["{GOLDFISH}"]}}',
            )
        ),
        (f"wnid,label\n{TENCH},a\n{TENCH},b\n", "line 3: .* counts as b, but as a above"),
        (f"{TENCH} fish\n{GOLDFISH} fish\n{CHIHUAHUA} dog\n", "'fish' stands beside two classes"),
        (f"wnid,kind\n{TENCH},fish\n{GOLDFISH},fish\n{CHIHUAHUA},dog\n", "'fish' stands beside two classes"),
        (
            f"wnid,kind\n{TENCH},fish\n{GOLDFISH},fish\n{CHIHUAHUA},\n",
            "beside two classes, but too many others have a value of their own, or none; for superclasses",
        ),
        (
            f"wnid,kind,home\n{TENCH},fish,pond\n{GOLDFISH},fish,bowl\n{CHIHUAHUA},dog,bowl\n",
            "classes may count as their kind or home; call the one that you mean label",
        ),
        (
            f"wnid,short,source\n{TENCH},a,in1k\n{GOLDFISH},b,in1k\n{CHIHUAHUA},c,in21k\n",
            "classes may count as their source, or each as itself; call the one that you mean label",
        ),
        (f"wnid,lable\n{TENCH},a\n{GOLDFISH},b\n", "a column 'lable'; did you mean 'label'?"),
        ("name,super_class\ntench,a\ngoldfish,b\n", "a column 'super_class'; did you mean 'superclass'?"),
        (f'["{TENCH}"', "begins like JSON, but is not"),
        ("[1, 2]", "entry 1: 1 is no class"),
        (f"wnid\n{TENCH},{GOLDFISH}\n", "line 2: .* has several wnids; give one class on each line"),
        *(
            (
                text,
                "'(1300|1300 in1k|1|yes)' stands beside several classes, and may be a count, a mark or",
            )
            for text in (
                f"{TENCH} 1300\n{GOLDFISH} 1300\n{CHIHUAHUA} 1200\n{SPANIEL} 1200\n",
                f"{TENCH} 1300 in1k\n{GOLDFISH} 1300 in1k\n{CHIHUAHUA} 12 in1k\n{SPANIEL} 12 in1k\n",
                f"{TENCH},1\n{GOLDFISH},1\n{CHIHUAHUA},0\n{SPANIEL},0\n",
                f"{TENCH} yes\n{GOLDFISH} yes\n{CHIHUAHUA} no\n{SPANIEL} no\n",
                f'{{"{TENCH}": 1, "{GOLDFISH}": 1, "{CHIHUAHUA}": 2, "{SPANIEL}": 2}}',
            )
        ),
        ("[" * 100_000, "is nested too deeply; give a list or a mapping of classes"),
        (
            f'{{"{TENCH}": {{"label": "fish"}}}}',
            "entry 1: {'label': 'fish'} is no class; give wnids or names",
        ),
        (f'{{"fish": ["{TENCH}"], "fish": ["{GOLDFISH}"]}}', "the key 'fish' is twice in one object"),
        (
            f"{{'{TENCH}': 'fish', '{TENCH}': 'dog'}}",
            f"list: the key '{TENCH}' is twice in one object; keep one",
        ),
        (f"{{1: ['{TENCH}'], 1: ['{CHIHUAHUA}']}}", "the key 1 is twice in one object"),
        ("{['fish']: 1}", "^[^:]*list begins like JSON, but is not: "),
        ("{'fish': dog()}", "^[^:]*list begins like JSON, but is not: a word has no quotes"),
        ("{'fish': 1}\n{'dog': 2}", "but is not: invalid syntax, line 2; give one list"),
        (f"{TENCH} {GOLDFISH}\n{CHIHUAHUA} {SPANIEL}\n", "line 1: several classes"),
        *(
            (
                f"0 {TENCH}{words[0]}\n0 {GOLDFISH}{words[1]}\n1 {CHIHUAHUA}{words[2]}\n",
                "'0' stands beside several classes, and may be a",
            )
            for words in (("", "", ""), (" tench", " goldfish", " dog"))
        ),
        *(
            (
                f"{TENCH},fish,a\n{GOLDFISH},fish,b\n{CHIHUAHUA},dog,c{end}".replace(",", delimiter),
                "'fish' stands beside several classes, in one of several columns; .* as wnid,label,name:",
            )
            for delimiter in ",;\t"
            for end in ("", ",d")
        ),
        (
            f"{CHIHUAHUA}\n{TENCH},{GOLDFISH},fish\n",
            "line 2: .* has several wnids and more; give one class on",
        ),
    ],
)
def test_a_list_that_is_not_clear_is_refused_with_its_line(tmp_path, content, message):
    with pytest.raises(ItlError, match=message) as error:
        read(tmp_path, content)
    assert str(tmp_path / "list") in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        *(
            f"wnid,{header}\n{TENCH},Train\n{GOLDFISH},Train\n{CHIHUAHUA},test\n{SPANIEL},test\n"
            for header in ("set", "fold", "label")
        ),
        f"{TENCH} train\n{GOLDFISH} train\n{CHIHUAHUA} val\n{SPANIEL} val\n",
        f'{{"train": ["{TENCH}"], "val": ["{GOLDFISH}"], "test": ["{CHIHUAHUA}", "{SPANIEL}"]}}',
        f'{{"base": ["{TENCH}", "{GOLDFISH}"], "novel": ["{CHIHUAHUA}", "{SPANIEL}"]}}',
    ],
)
def test_splits_are_no_superclasses(tmp_path, content):
    says = "classes stand beside .* or .*, splits and no superclasses; list the classes of one of them"
    with pytest.raises(ItlError, match=says):
        read(tmp_path, content)
    of_things = re.sub("test|val(?!.*test)|novel", "ship", content)  # a train beside a ship is a vehicle
    assert set(read(tmp_path, of_things).values()) >= {"ship"}
    assert read(tmp_path, f"wnid,split\n{TENCH},train\n{GOLDFISH},test\n") == CLASSES


def test_labels_that_differ_in_case_or_blanks_alone_are_noted(tmp_path):
    content = f"wnid,label\n{TENCH},cold fish\n{GOLDFISH},Cold  fish\n{CHIHUAHUA},dog\n"
    with pytest.warns(UserWarning, match="list: Cold  fish and cold fish differ in case or blanks alone; "):
        assert read(tmp_path, content)[GOLDFISH] == "Cold  fish"


@pytest.mark.parametrize("delimiter", ["\t", ",", ";"])
def test_a_table_may_begin_with_the_running_numbers_of_pandas(tmp_path, delimiter):
    """The header has an empty cell for them, which a tab alone is."""
    classes = {number: number for number in "0123"}
    text = ",class,label\n0,3,odd\n1,2,even\n2,1,odd\n3,0,even\n".replace(",", delimiter)
    assert read(tmp_path, text, classes) == {"3": "odd", "2": "even", "1": "odd", "0": "even"}
    with pytest.raises(ItlError, match="line 6: '4' lacks a class or its label"):
        read(tmp_path, f"{text}4\n", classes)


def test_a_line_may_be_indented(tmp_path):
    assert read(tmp_path, f"\t{TENCH}\n \t# mine\n\tgoldfish\t\n") == CLASSES


@pytest.mark.parametrize("header", ["", "# all mine\n", "name\n"])
def test_a_class_may_begin_with_the_sign_of_a_comment(tmp_path, header):
    classes = {name: name for name in ("#kite", "#red kite", "crane")}
    assert read(tmp_path, f"{header}#kite\n#red kite\n#crane\ncrane\n", classes) == classes
    path = tmp_path / "labels.csv"
    path.write_text(LabelSet({name: f"#{name}" for name in classes}).to_csv())
    assert read_class_list(path, Taxonomy.snapshot(), classes) == {name: f"#{name}" for name in classes}


@pytest.mark.parametrize("word", ["NA", "None", "n/a"])
def test_superclasses_that_may_be_words_for_no_label_are_noted(tmp_path, word):
    content = f"wnid,label\n{TENCH},{word}\n{GOLDFISH},{word}\n{CHIHUAHUA},dog\n"
    with pytest.warns(UserWarning, match=f"list: '{word}' is read as a class; leave classes without a label"):
        assert read(tmp_path, content) == {TENCH: word, GOLDFISH: word, CHIHUAHUA: "dog"}


def test_a_class_or_a_name_that_is_called_nan_is_one(tmp_path):
    assert read(tmp_path, "nan\nsofa\n", names := {"nan": "nan", "sofa": "sofa"}) == names
    assert read(tmp_path, f"wnid,name\n{TENCH},nan\n{GOLDFISH},NA\n") == CLASSES


def test_a_label_set_from_a_file_is_named_by_its_content(tmp_path):
    file, tree = tmp_path / "super.csv", Taxonomy.snapshot()
    file.write_text(f"wnid,label\n{TENCH},fish\n{GOLDFISH},fish\n{CHIHUAHUA},dog\n")
    wnids = [TENCH, GOLDFISH, CHIHUAHUA, SPANIEL]
    assert label_set(tree, f"file@{file}", wnids).class_of == {
        TENCH: "fish",
        GOLDFISH: "fish",
        CHIHUAHUA: "dog",
    }
    subset = Subset("digest", f"file@{file}")
    assert label_set(tree, subset.labels, wnids).classes == ["dog", "fish"]
    assert Subset("digest", subset.labels) == subset
    file.write_text(f"{TENCH}\n")
    assert Subset("digest", f"file@{file}") != subset
    with pytest.raises(ItlError, match="super.csv is not as it was when its label set was chosen"):
        label_set(tree, subset.labels, wnids)
    with pytest.raises(ItlError, match="keeps none of the 1 classes"):
        label_set(tree, f"file@{file}", [SPANIEL])
    with pytest.raises(ItlError, match="cannot read /nowhere"):
        Subset("digest", "file@/nowhere")


@pytest.mark.parametrize(
    ("line", "near"), [("Forrest", "Forest"), ("bedroom", "Bedroom"), ("FOREST", "Forest")]
)
def test_names_like_those_of_the_images_are_not_other_nouns(tmp_path, line, near):
    classes = {name: name for name in ("Bedroom", "Forest")}
    assert read(tmp_path, "Bedroom\nForest\n", classes) == classes
    with pytest.raises(ItlError, match=f"line 1: the images have no class '{line}'; did you mean '{near}'"):
        read(tmp_path, f"{line}\n", classes)


def test_names_of_wordnet_stand_beside_those_of_the_images(tmp_path):
    assert read(tmp_path, "Tench\ngoldfish\n", {"tench": TENCH, TENCH: TENCH}) == {
        TENCH: TENCH,
        GOLDFISH: GOLDFISH,
    }


def test_of_several_nouns_with_one_name_none_is_guessed(tmp_path):
    """In WordNet an investor is a bear too, and no bear is below him: being a leaf says nothing."""
    bear = Synset("n02131653", "bear.n.01", ("bear",), "massive mammals", ("n1",))
    brown = Synset("n02132136", "brown_bear.n.01", ("brown_bear",), "of Eurasia", ("n02131653",))
    investor = Synset("n09845191", "bear.n.02", ("bear",), "who expects prices to fall", ("n1",))
    tiger = Synset("n10710632", "tiger.n.01", ("tiger",), "an audacious person", ("n1",))
    cat = Synset("n02129604", "tiger.n.02", ("tiger", "Panthera_tigris"), "large feline", ("n1",))
    entity = Synset("n1", "entity.n.01", ("entity",), "all", ())
    leaves = [synset.wnid for synset in (brown, investor, tiger, cat)]
    tree = Taxonomy([entity, bear, brown, investor, tiger, cat], leaves)
    path = tmp_path / "list.txt"
    path.write_text("bear\n")
    both = r"may be n02131653 \(massive mammals\) or n09845191 \(who expects prices to fall\); give the wnid"
    with pytest.raises(ItlError, match=both):
        read_class_list(path, tree)
    images = {"n02131653": "n02131653", "n10710632": "n10710632"}
    assert read_class_list(path, tree, images) == {"n02131653": "n02131653"}, "the one that images have"
    path.write_text("tiger\n")
    assert list(read_class_list(path, tree)) == ["n02129604"], "a class of ImageNet"
    assert list(read_class_list(path, tree, images)) == ["n10710632"]
    images["n02129604"] = "n02129604"
    with pytest.raises(ItlError, match=r"'tiger' may be n\d+ \(.*\) or n\d+ \(.*\); give the wnid"):
        read_class_list(path, tree, images)


@pytest.mark.parametrize(
    "content",
    [
        f"wnid;label\n{TENCH};fish, cold\n{GOLDFISH};fish, cold\n",
        f"wnid\tlabel\n{TENCH}\tfish, cold\n{GOLDFISH}\tfish, cold\n",
        f'wnid,label\n{TENCH},"fish, cold"\n{GOLDFISH},"fish, cold"\n',
    ],
)
def test_the_header_tells_what_separates_the_cells_of_all_lines(tmp_path, content):
    assert read(tmp_path, content) == {TENCH: "fish, cold", GOLDFISH: "fish, cold"}


def test_a_header_of_one_word_leaves_that_to_the_lines(tmp_path):
    assert read(tmp_path, f"wnid\n{TENCH};tench\n{GOLDFISH}\tgoldfish\n") == CLASSES
    assert read(tmp_path, f"wnid,label\n{TENCH},a;b\n{GOLDFISH},a;b\n") == {TENCH: "a;b", GOLDFISH: "a;b"}


def test_a_class_that_is_called_like_a_header(tmp_path):
    classes = {"folder": "folder", "binder": "binder"}
    with pytest.raises(
        ItlError, match="line 1: 'folder' may be a header or that class; where it is the class"
    ):
        read(tmp_path, "folder\nbinder\n", classes)
    assert read(tmp_path, "wnid\nfolder\nbinder\n", classes) == classes
    assert read(tmp_path, "folder\nfolder\nbinder\n", classes) == classes
    assert read(tmp_path, "folder\nbinder\n", {"binder": "binder"}) == {"binder": "binder"}
