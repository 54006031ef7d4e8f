"""Which names numbers stand for, in the forms in which people write such files."""

import pytest

from itl import ItlError
from itl.sources.listed.numbered_classes import read_names
from tests.annotated import check_lines, images, text, written


@pytest.mark.parametrize(
    ("file", "content", "names"),
    [
        ("a.txt", b"cat\ndog house\n", {"0": "cat", "1": "dog house"}),
        ("a.txt", b"\xef\xbb\xbf1 cat\r\n2 dog house\r\n", {"1": "cat", "2": "dog house"}),
        ("a.txt", b"cat, 1\ndog,2\n", {"1": "cat", "2": "dog"}),
        ("a.txt", b"2: dog house\n1: cat\n", {"1": "cat", "2": "dog house"}),
        ("a.txt", b'["cat", "dog"]', {"0": "cat", "1": "dog"}),
        ("a.txt", b"n02119789 1 kit_fox\n", {"1": "n02119789"}),
        ("a.txt", b"n02119789 1\nn02100735,2\n", {"1": "n02119789", "2": "n02100735"}),
        ("a.txt", b"n02119789 kit fox, Vulpes\nn02100735,setter\n", {"0": "n02119789", "1": "n02100735"}),
        ("a.txt", b"1 n02119789 kit fox\n2 n02100735\n", {"1": "n02119789", "2": "n02100735"}),
        ("a.txt", b"n02119789-kit_fox\nsetter\n", {"0": "n02119789", "1": "setter"}),
        ("a.json", b'{"0": ["n02119789", "kit_fox"]}', {"0": "n02119789"}),
        ("a.json", b'[["n02119789", "kit_fox"], ["n02100735"]]', {"0": "n02119789", "1": "n02100735"}),
        ("a.txt", b"great dane 3\ngreat big dog 4\n", {"3": "great dane", "4": "great big dog"}),
        (
            "a.txt",
            b"0, tench, Tinca tinca\n1, Audi S4, 2012 model\n",
            {"0": "tench Tinca tinca", "1": "Audi S4 2012 model"},
        ),
        ("a.yaml", b"- cat\n- dog house\n", {"0": "cat", "1": "dog house"}),
        ("a.txt", b"[other]\ncat\n", {"0": "[other]", "1": "cat"}),
        *(
            ("a.txt", text.encode(), {"0": "cat", "1": "sea lion"})
            for text in (
                "0: 'cat',\n1: 'sea lion',\n",  # of a dict that a script printed
                "'cat': 0,\n'sea lion': 1,\n",
                '"0": "cat",\n"1": "sea lion"\n',
                "{0: 'cat', 1: 'sea lion'}",
                "{'cat': 0, 'sea lion': 1}",
                "['cat', 'sea lion']",
                "'cat',\n'sea lion',\n",
                '"cat"\n"sea lion"\n',
                '"0","cat"\n"1","sea lion"\n',  # of R
                "'0': cat\n'1': sea lion\n",  # of YAML
                "cat: 0\nsea lion: 1\n",
                "- 0: cat\n- 1: sea lion\n",
                "cat,\nsea lion,\n",
            )
        ),
        ("a.txt", b"0: \"jack-o'-lantern\",\n1: 'cat',\n", {"0": "jack-o'-lantern", "1": "cat"}),
        ("a.csv", b'0,"cat, domestic"\n1,dog\n', {"0": "cat, domestic", "1": "dog"}),
        ("a.txt", b"{0: 'cat, domestic', 1: 'dog'}", {"0": "cat, domestic", "1": "dog"}),
        ("a.txt", b"n02119789: 1\nn02100735: 2\n", {"1": "n02119789", "2": "n02100735"}),
        ("a.txt", b"{1: ['n02119789', 'kit fox']}", {"1": "n02119789"}),
        ("a.txt", b"'cat 1'\n'cat 2'\n", {"0": "cat 1", "1": "cat 2"}),
        ("a.txt", b"rock 'n' roll\n'n' sync\n", {"0": "rock 'n' roll", "1": "'n' sync"}),
        ("a.txt", b"cat: 0\nBoeing 747: 1\n", {"0": "cat", "1": "Boeing 747"}),
        ("a.txt", b"0 cat - tabby\n1 (dog)\n", {"0": "cat - tabby", "1": "(dog)"}),
        ("a.txt", b"(a)\n(b)\n", {"0": "(a)", "1": "(b)"}),
        ("a.txt", "cat\n\N{NO-BREAK SPACE}\ndog\n".encode(), {"0": "cat", "1": "dog"}),
        ("a.txt", b"1 " + b"dog " * 200 + b"\n0 cat\n", {"0": "cat", "1": " ".join(["dog"] * 200)}),
        ("a.txt", b"dog " * 200 + b"1\ncat 0\n,\t,\n", {"0": "cat", "1": " ".join(["dog"] * 200)}),
        ("a.txt", b"cat" + b" " * 20_000 + b"x\ndog\n", {"0": "cat" + " " * 20_000 + "x", "1": "dog"}),
        ("a.csv", b"id,name,count\n0,cat,513\n1,dog,12\n", {"0": "cat", "1": "dog"}),
        ("a.csv", b"count,name,id\n513,cat,0\n12,dog,1\n", {"0": "cat", "1": "dog"}),
        ("a.csv", b"ClassId,SignName\n0,stop\n1,no entry\n", {"0": "stop", "1": "no entry"}),
        ("a.csv", b",breed\n1,cat\n0,dog\n", {"1": "cat", "0": "dog"}),
        ("a.csv", b"code,breaking\nsea,lion\n", {"0": "code,breaking", "1": "sea,lion"}),
        ("a.tsv", b"0\ttench, Tinca tinca\n1\tdog\t\n", {"0": "tench Tinca tinca", "1": "dog"}),
        ("a.tsv", b"1\tn02119789\tkit fox\n2\tn02100735\tsetter\n", {"1": "n02119789", "2": "n02100735"}),
        ("a.csv", b"0,'1,4-dioxane'\n1,\"2,3\"\n", {"0": "1,4-dioxane", "1": "2,3"}),
        ("a.txt", b"Grade 0\nGrade 1\n", {"0": "Grade 0", "1": "Grade 1"}),
        ("a.txt", b"0 Grade 2\n1 Grade 1\n", {"0": "Grade 2", "1": "Grade 1"}),
        ("a.txt", b"0-2\n4-6\n", {"0": "0-2", "1": "4-6"}),
        ("a.json", b'["cat", "dog"]', {"0": "cat", "1": "dog"}),
        ("a.json", b'{"0": "cat", "1": "dog"}', {"0": "cat", "1": "dog"}),
        ("a.json", b'{"cat": 0, "dog": 1}', {"0": "cat", "1": "dog"}),
    ],
)
def test_names_of_numbers(file, content, names):
    assert read_names(content, file) == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat 1\ndog\n", "'dog' does not; give every line both, or no line a number$"),
        (
            b"sign,number,x\ncat,0\ndog,1\n",
            "'sign,number,x' does not; .*, or no line a number; if it is a header,",
        ),
        (b"cat 1\ndog 1\n", "class 1 twice"),
        (
            b"cat 1\ncat 2\n",
            "gives 'cat' two numbers; .*, or, if the numbers are of names, write `0 cat 1` …",
        ),
        (
            b"Type 1\nType 0\n",
            "gives 'Type' two numbers; .*, or, if the numbers are of names, write `0 Type 1`",
        ),
        (b"cat: 0\ncat: 1\n", "gives 'cat' two numbers; give every class a name of its own$"),
        (b" \n\n", "names.txt is empty; write a name a line, or remove it"),
        (b"{}", "names.json is empty"),
        (b'{"0": "cat", "0": "dog"}', "the key '0' is twice in one object"),
        (b'{"0": "cat", "1": 2}', "neither a list of names nor an object with numbers"),
        (b'{"0": "cat", "dog": "1"}', "neither a list of names nor an object with numbers"),
        (b'{"cat": 0, "dog": "1"}', "neither a list of names nor an object with numbers"),
        (b'{"names": ["cat"]}', "neither a list of names nor an object with numbers"),
        (
            b"{0: 'cat',\n 1: dog}",
            "cannot be read as names of classes .a word has no quotes, .*; write a name a line",
        ),
        (b"{0: 'cat',\n 0: 'dog'}", "the key 0 is twice in one object"),
        (b"{0: 'crane',\n 1: 'crane'}", "gives 'crane' two numbers; give every class a name of its own"),
        (b"{['cat']: 0}", "cannot be read as names of classes .*; write a name a line"),
        *(
            (
                line.encode(),
                "is not plainly a name, or a number and a name; write `cat` or `0 cat` on each line",
            )
            for line in (
                *("label: 0 name: cat", "id=0, name=cat", "name: cat, id: 0", "0=cat", "0 => cat", "cat = 0"),
                *("(0) cat", "[0] cat", "1) cat", "1. cat", "cat (1)", "cat -> 0 ->", "0 -cat", "0 cat:"),
                *("0 - cat\n1 – dog", "cat - 0", "0 | cat", "0 : cat", "0:cat", '"cat":0', "cat;1", "16:9"),
                *("0 - 2 years\n3 - 9 years", "ages 0 - 2\nages 3 - 9", "0 - cat\n1 - 3D printer"),
                *("'n02119789': 'kit fox',", "'cat', 'dog'", "0: [n02119789, kit fox]", "0 'cat", "0 ' '"),
                *("n02085936;1", "n02085936_1", "# names of classes\ncat", "// of cats\ncat", "0,cat,5"),
                *(
                    "0\tcat\t5",
                    "0\tcat\tFelis\n1\tdog\tCanis",
                    "cat,mammal,0",
                    "0,cat,mammal",
                    "0,'cat',mammal",
                ),
                *("cat\ndog: black", "cat:, 0"),
            )
        ),
        (b"cat\ndog\ncat\nfox\n", "gives 'cat' two numbers"),
        (b"n02119789 kit fox\nn02119789 fox\n", "gives 'n02119789' two numbers"),
        (b"Class Name\ncat\ndog\n", "'Class Name', its first line, is no class, but a header; remove it"),
        (b"2\ncat\ndog\n", "'2', its first line, is no class, but their number; remove it"),
        (b"[names]\ncat\ndog\n", "'.names.', its first line, is no class, but a header; remove it"),
        (b"Class Names:\ncat\ndog\n", "'Class Names:', its first line, is no class, but a header; remove it"),
        (b'{"0": ["kit_fox", "n02119789"]}', "neither a list of names nor an object with numbers"),
    ],
)
def test_names_that_are_refused(content, message):
    with pytest.raises(ItlError, match=message):
        read_names(content, "names.json" if content.startswith(b"{") else "names.txt")


@pytest.mark.parametrize(
    ("lines", "is_noted"),
    [
        (("Leopard 2", "Abrams 1", "Type 0"), True),
        (("2 Euro", "1 Dollar", "5 Pound"), True),
        (("2 Euro", "5 Pound", "10 Yen"), False),
        (("cat, 2", "dog, 1", "eel, 0"), False),
        (("n02119789 2 kit_fox", "n02100735 1 setter", "n02110185 0 husky"), False),
    ],
)
def test_numbers_that_may_be_parts_of_names_are_noted(tmp_path, lines, is_noted):
    numbers = read_names(text(*lines), "classes.txt")
    listed = [f"{n}.jpg {number}" for n, number in enumerate(numbers)]
    files = images("0.jpg", "1.jpg", "2.jpg") | {"classes.txt": text(*lines), "train.txt": text(*listed)}
    noted = [line for line in check_lines("lists", written(tmp_path, files)) if "do not rise" in line]
    assert bool(noted) == is_noted
