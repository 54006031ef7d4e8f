"""Which split a name means: all rules, side by side; they differ in what they look at and what they accept.

>>> rules = (split_of_name, split_of_any_word, split_of_path, split_of_folders, split_of_json)
>>> for name in ("seg_test", "train_1", "train_station", "boats_test.json", "test_tubes.json", "val/1.json"):
...     print(f"{name:15}", *(rule(name) or "-" for rule in rules))
seg_test        test test test - -
train_1         train train train - -
train_station   - train train - -
boats_test.json - test test - test
test_tubes.json - test test - -
val/1.json      - val val val val
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from itl.iteration import grouped

SPLIT_ORDER = ("train", "val", "test")
SPLIT_OF_WORD = {  # in names of folders and files, in any case
    **dict.fromkeys(("train", "training", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validating", "validation", "dev", "crossval"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
SPLIT_OF_SHORT_WORD = {"tr": "train", "trn": "train", "va": "val", "vl": "val", "te": "test", "tst": "test"}
LIKE_SPLITS = {  # words of val, or of test?
    *("eval", "evaluation", "holdout", "heldout", "query", "gallery", "infer", "inference", "scoring"),
    "unassigned",
}
NEUTRAL = {  # words beside them that say nothing: seg_train, ILSVRC2012_img_train, train.X1, train_set
    *("set", "data", "dataset", "image", "images", "img", "imgs", "jpg", "jpeg", "png", "folder", "dir"),
    *("split", "seg", "x", "ilsvrc", "imagenet", "cls", "loc"),
}
WORDS_OF_SPLITS = {"split", "splits", "partition", "partitions"}
LIST_WORDS = {*NEUTRAL, "label", "labels", "list", "annotations", "txt", "csv", "tsv", "jsonl", "json"}
JSON_WORDS = {"annotations", "labels", "instances", "coco"}  # beside a split in the name of a JSON with boxes
CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # trainA, GTSRBTest
SUFFIX_WORDS = re.compile(  # trainset, trainlist
    r"(?<=.)(set|data|df|images|imgs|img|files?|lists?|labels?|ids|shards?|splits?)$"
)


def words_of(name: str) -> list[str]:
    """Return the words in the name of a folder or file, in lower case, without numbers.

    >>> words_of("ILSVRC2012_img_train"), words_of("trainset"), words_of("trainA"), words_of("TrainVal")
    (['ilsvrc', 'img', 'train'], ['train'], ['train', 'a'], ['trainval'])
    """
    words = []
    for word in filter(None, re.split(r"[\W\d_]+", name)):
        whole, parts = _without_suffix(word), [_without_suffix(part) for part in CAMEL_CASE.split(word)]
        words += [whole] if whole in SPLIT_OF_WORD or SPLIT_OF_WORD.keys().isdisjoint(parts) else parts
    return words


def stem_words(path: str) -> list[str]:
    """Return the words in the name of the file *path*, without its suffix."""
    return words_of(path.rpartition("/")[2].rpartition(".")[0])


def _without_suffix(word: str) -> str:
    """Return *word* in lower case, that of a split alone: train for trainset."""
    stem = SUFFIX_WORDS.sub("", word := word.casefold())
    return stem if stem in SPLIT_OF_WORD else word


def joined_splits(names: Iterable[str]) -> dict[str, str]:
    """Return the splits of those *names* that differ by a split alone, joined to other letters.

    >>> joined_splits(["mytrain-0.tar", "mytest-0.tar", "mytest-1.tar", "contest-0.tar"])
    {'mytrain-0.tar': 'train', 'mytest-0.tar': 'test', 'mytest-1.tar': 'test'}
    """
    words = "|".join(sorted(SPLIT_OF_WORD, key=len, reverse=True))
    pairs = [  # a name without the word and with any number, and the name with its split
        (re.sub(r"\d+", "0", f"{name[: match.start()]}*{name[match.end() :]}"), (name, match[0].lower()))
        for name in names
        for match in re.finditer(words, name, re.IGNORECASE)
    ]
    split_of: dict[str, str] = {}
    for alike in grouped(pairs).values():
        if len({SPLIT_OF_WORD[word] for _, word in alike}) > 1:
            split_of |= {name: SPLIT_OF_WORD[word] for name, word in alike}
    return split_of


def splits_of_words(words: Iterable[str]) -> set[str]:
    """Return the splits that some of *words*, in lower case, are names of."""
    return {SPLIT_OF_WORD[word] for word in words if word in SPLIT_OF_WORD}


def _only(splits: set[str]) -> str | None:
    return splits.pop() if len(splits) == 1 else None


@cache  # of few folders, which may hold millions of images
def split_of_name(name: str) -> str | None:
    """Return the split that a folder called *name* holds, None if it has words of anything else.

    >>> [split_of_name(name) for name in ("Train", "seg_test", "train.X1", "trainset", "train_station")]
    ['train', 'test', 'train', 'train', None]
    """
    words = words_of(name)
    split = _only(splits_of_words(words))
    return split if all(word in SPLIT_OF_WORD or word in NEUTRAL for word in words) else None


def is_of_splits(name: str) -> bool:
    """Say whether a file is by its *name* a list of splits, as splits.txt or train_test_split.txt."""
    words = stem_words(name)
    return not WORDS_OF_SPLITS.isdisjoint(words) or len(splits_of_words(words)) > 1


def may_have_codes(name: str) -> bool:
    """Say whether a file may by its *name* have a code of each split: not train_val.txt, a list of train.

    >>> may_have_codes("list_eval_partition.txt"), may_have_codes("train_test.txt")
    (True, True)
    >>> may_have_codes("train_val_list.txt"), may_have_codes("train_split.txt"), may_have_codes("labels.txt")
    (False, False, False)
    """
    words = {*stem_words(name)}
    is_of_all = bool(words & WORDS_OF_SPLITS) or splits_of_words(words) >= {"train", "test"}
    return is_of_all and not split_of_path(name)


def split_of_last(folder: str) -> str | None:
    """Return the split that the last part of the path *folder* is called after; None for none."""
    return split_of_name(folder.rpartition("/")[2])


@cache
def split_of_cell(value: object) -> str:
    """Return the split that the *value* of a cell names as a folder does, without a number; '' for none.

    >>> split_of_cell(" Test"), split_of_cell("Training set"), split_of_cell("train_1"), split_of_cell("web")
    ('test', 'train', '', '')
    """
    text = str(value)
    return "" if re.search(r"\d", text) else split_of_name(text) or ""


def split_of_any_word(name: str, short: bool = False) -> str | None:
    """Return the split that words of *name* tell, whatever others it has; None for none or several.

    A class may be called so too: beside wnids it is no class (ImageNet-21k), elsewhere people choose such a
    reading of their folders, which is offered by *short* words too.

    >>> split_of_any_word("imagenet21k_val"), split_of_any_word("te", short=True), split_of_any_word("te")
    ('val', 'test', None)
    """
    words = words_of(name)
    short_words = SPLIT_OF_SHORT_WORD if short else {}
    return _only(splits_of_words(words) | {short_words[word] for word in words if word in short_words})


def beside_split(name: str, short: bool = False) -> list[str]:
    """Return words and numbers of *name* beside the words of its split, those that `split_of_any_word` knows.

    >>> beside_split("cats_train_2"), beside_split("te_1", short=True)
    (['cats', '2'], ['1'])
    """
    of_splits = SPLIT_OF_WORD | (SPLIT_OF_SHORT_WORD if short else {})
    return [*(word for word in words_of(name) if word not in of_splits), *re.findall(r"\d+", name)]


def split_of_path(path: str) -> str | None:
    """Return the split that any word of the file's name tells, or else one of its folders, the inner first.

    Words within one, as in trainLabels.csv, count if all of them are of lists: testTube-0.tar is of no split.

    >>> split_of_path("lists/places365_train_standard.txt"), split_of_path("validation/metadata.csv")
    ('train', 'val')
    >>> split_of_path("train_test_split.txt"), split_of_path("a/labels.txt"), split_of_path("trainLabels.csv")
    (None, None, 'train')
    """
    for part in reversed(path.split("/")):
        part = re.sub(r"[^\x00-\x7f]+", " ", part)  # other scripts put no blank between words
        words, parts = words_of(part.casefold()), words_of(part)
        if all(word in SPLIT_OF_WORD or word in LIST_WORDS or len(word) == 1 for word in parts):
            words = parts
        if splits := splits_of_words(words):
            return _only(splits)
    return None


def is_split_list(name: str) -> bool:
    """Say whether a file is by its *name* a list of a split, and of nothing else: no test_config.json.

    >>> is_split_list("meta/test.json"), is_split_list("train_list.txt"), is_split_list("test_config.json")
    (True, True, False)
    """
    return bool(split_of_path(name)) and {*SPLIT_OF_WORD, *LIST_WORDS}.issuperset(stem_words(name))


def may_be_split_list(name: str) -> bool:
    """Say whether a file is by its *name* a list of what may be val or test, as eval.txt.

    >>> may_be_split_list("a/eval.txt"), may_be_split_list("eval_scores.txt"), may_be_split_list("list.txt")
    (True, False, False)
    """
    words = {*stem_words(name)}
    return not words.isdisjoint(LIKE_SPLITS) and words <= {*LIKE_SPLITS, *LIST_WORDS}


def describe_joined_split(name: str) -> list[str]:
    """Return a note if the *name* of a file that is read as train ends in a split without a sign before it.

    >>> describe_joined_split("boatsval.json"), describe_joined_split("labels.json")
    (['boatsval.json is read as train; if it is of val, call it val.json'], [])
    >>> describe_joined_split("eval.csv")
    []
    """
    match = re.search(r"(?<=[a-z])(test|valid|val)\.[a-z]+$", name, re.IGNORECASE)
    if not match or split_of_path(name) or may_be_split_list(name):
        return []
    return [f"{name} is read as train; if it is of {split_of_path(match[0])}, call it {match[0]}"]


def split_of_folders(path: str) -> str | None:
    """Return the split that the outermost such folder of *path* is called after, by all of its words.

    >>> [split_of_folders(path) for path in ("test/cat/1.jpg", "train_set/1.jpg", "cat/test.jpg")]
    ['test', 'train', None]
    """
    folders = path.replace("\\", "/").split("/")[:-1]
    return next(filter(None, map(split_of_name, folders)), None)


def splits_in_names(images: Iterable[str]) -> dict[str, str]:
    """Return one of *images* for each split that their names tell; none where the name of one tells none.

    >>> splits_in_names(["cat/train_1.jpg", "dog/test_1.jpg"]), splits_in_names(["test_1.jpg", "a.jpg"])
    ({'train': 'cat/train_1.jpg', 'test': 'dog/test_1.jpg'}, {})
    """
    image_of: dict[str, str] = {}
    for image in images:
        split = _only(splits_of_words(stem_words(image)))
        if not split:
            return {}
        image_of.setdefault(split, image)
    return image_of


def innermost_folder(image: str) -> str:
    """Return the innermost folder of an image, unless it is a split."""
    folder = image.rpartition("/")[0].rpartition("/")[2]
    return "" if split_of_name(folder) else folder


def split_of_json(path: str, any_word: bool = False) -> str | None:
    """Return the split that a JSON file's name, or the last word of it, tells, or its folders; None if none.

    With *any_word* the other words of its name do, as of files whose names differ in the split alone.

    >>> split_of_json("test/boats.json"), split_of_json("boats_test.json"), split_of_json("test_tubes.json")
    ('test', 'test', None)
    >>> split_of_json("test_tubes.json", any_word=True)
    'test'
    """
    words = stem_words(path)
    if any_word:
        by_name = split_of_path(path.rpartition("/")[2])
    else:
        by_name = split_of_name(" ".join(word for word in words if word not in JSON_WORDS))
        by_name = by_name or split_of_name("".join(words[-1:]))
    return by_name or _only({split for part in path.split("/")[:-1] if (split := split_of_name(part))})


def without_keypoints(paths: list[str]) -> list[str]:
    """Return instances_val2017.json alone, if the others are COCO's of the same split, with boxes too.

    >>> without_keypoints(["a/instances_val2017.json", "a/person_keypoints_val2017.json"])
    ['a/instances_val2017.json']
    """
    for path in paths:
        start, instances, end = path.rpartition("instances_")
        if instances and all(other.startswith(start) and other.endswith(f"_{end}") for other in paths):
            return [path]
    return paths


def one_for_each_split(files: Mapping[str, Sequence[str]], split: str) -> dict[str, str]:
    """Choose one of the *files* of each split, so that their names differ by the split alone where they can.

    The name is chosen for *split*: one that most other splits have too, and of these a short one.

    >>> one_for_each_split({"test": ["a_test.txt", "c.txt"], "train": ["b_train.txt", "a_train.txt"]}, "test")
    {'train': 'a_train.txt', 'test': 'a_test.txt'}
    >>> one_for_each_split({"test": ["test/list.txt"], "train": ["train/list.txt", "train.txt"]}, "train")
    {'train': 'train/list.txt', 'test': 'test/list.txt'}
    """
    others = [list(map(beside_split, names)) for names in files.values()]
    first = min(
        files[split],
        key=lambda file: (
            not split_of_path(file),
            -sum(beside_split(file) in of_part for of_part in others),
            len(file),
            file,
        ),
    )
    return {
        part: min(files[part], key=lambda file: (beside_split(file) != beside_split(first), len(file), file))
        for part in SPLIT_ORDER
        if part in files
    }
