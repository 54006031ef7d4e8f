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
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

SPLIT_ORDER = ("train", "val", "test")
SPLIT_OF_WORD = {  # in names of folders and files, in any case
    **dict.fromkeys(("train", "training", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "crossval"), "val"),
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
OBJECT_WORDS = {  # beside a split in the name of a JSON with objects, unlike captions_val2017 of COCO
    *("annotation", "annotations", "instance", "instances", "label", "labels", "object", "objects"),
    *("box", "boxes", "bbox", "bboxes", "coco", "det", "detection", "detections"),
}
EXPORTED = ("_annotations.coco", "labels", "annotations")  # what tools call the JSON in a split's folder
CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # trainA, GTSRBTest
SUFFIX_WORDS = re.compile(r"(?<=.)(set|data|images|imgs|img)$")  # trainset
OTHER_JSON = {  # words in the names of COCO's files without boxes, and of what detectors write
    *("info", "captions", "keypoints", "stuff", "panoptic", "image"),
    *("result", "results", "prediction", "predictions", "config", "meta", "metadata"),
}
SPLIT_OF_PART = {"minival": "val", "trainval35k": "train"}  # of COCO 2014, as detectors divide its val


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


def split_of_folders(path: str) -> str | None:
    """Return the split that the outermost such folder of *path* is called after, by all of its words.

    >>> [split_of_folders(path) for path in ("test/cat/1.jpg", "train_set/1.jpg", "cat/test.jpg")]
    ['test', 'train', None]
    """
    folders = path.replace("\\", "/").split("/")[:-1]
    return next(filter(None, map(split_of_name, folders)), None)


def class_folder(image: str) -> str:
    """Return the innermost folder of an image, unless it is a split."""
    folder = image.rpartition("/")[0].rpartition("/")[2]
    return "" if split_of_name(folder) else folder


def split_of_usual_json(path: str) -> str | None:
    """Return the split of COCO-style JSON that is called as by COCO or tools, by a number at its end too.

    >>> split_of_usual_json("instances_train2017.json"), split_of_usual_json("valid/labels.json")
    ('train', 'val')
    """
    *folders, last = path.split("/")
    stem = last.rpartition(".")[0].lower()
    if stem in EXPORTED:
        return split_of_name(folders[-1]) if folders else None
    match = re.fullmatch(r"(?:instances_|annotations_)?([a-z]+?)\d*", stem)
    return SPLIT_OF_WORD.get(match[1]) if match else None


def split_of_objects_json(path: str) -> str | None:
    """Return the split that its name tells beside words of objects; None if it may be of something else.

    >>> split_of_objects_json("val_annotations.json"), split_of_objects_json("captions_val2017.json")
    ('val', None)
    """
    return split_of_name(" ".join(word for word in stem_words(path) if word not in OBJECT_WORDS))


def split_of_json(path: str) -> str | None:
    """Return the split that a JSON file's name, or the last word of it, tells, or its folder; None if none.

    >>> split_of_json("test/boats.json"), split_of_json("boats_test.json"), split_of_json("test_tubes.json")
    ('test', 'test', None)
    """
    by_name = split_of_usual_json(path) or split_of_objects_json(path)
    return by_name or split_of_name("".join(stem_words(path)[-1:])) or split_of_folders(path)


def json_of_splits(paths: Sequence[str]) -> dict[str, list[str]]:
    """Return the files of each split, by names alone.

    Other words count where no file has a usual name, parts of COCO 2014's val where no file is of their
    split, and where there are none of these, names that differ in their split alone.

    >>> json_of_splits(["instances_train2014.json", "instances_minival2014.json"])
    {'train': ['instances_train2014.json'], 'val': ['instances_minival2014.json']}
    >>> json_of_splits(["pascal_train2012.json", "pascal_val2012.json"])
    {'train': ['pascal_train2012.json'], 'val': ['pascal_val2012.json']}
    >>> json_of_splits(["cars_train.json", "people_val.json"])
    {}
    """
    usual: dict[str, list[str]] = defaultdict(list)
    other_words: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        if split := split_of_usual_json(path):
            usual[split].append(path)
        elif split := split_of_objects_json(path):
            other_words[split].append(path)
    by_split = other_words | usual
    for part, split in SPLIT_OF_PART.items():
        parts = [path for path in paths if split_of_usual_json(path.replace(part, split)) == split]
        if parts and split not in by_split:
            by_split[split] = parts
    return dict(by_split) or _alike_but_for_split(paths)


def _alike_but_for_split(paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the file of each split, if the words of all names are alike but for one that is a split."""
    file_of: dict[str, list[str]] = {}
    beside = set()
    for path in paths:
        words = stem_words(path)
        splits = [split for word in words if (split := split_of_name(word))]
        if OTHER_JSON.isdisjoint({*words} - {"keypoints"}):  # which have boxes too
            if len(splits) != 1 or splits[0] in file_of:
                return {}
            file_of[splits[0]] = [path]
            beside.add(tuple(word for word in words if not split_of_name(word)))
    return file_of if len(file_of) > 1 and len(beside) == 1 else {}


def one_for_each_split(files: Mapping[str, Sequence[str]], split: str) -> dict[str, str]:
    """Choose one of the *files* of each split: a short name, that of *split* first, and others like it.

    >>> one_for_each_split({"test": ["a_test.txt", "c.txt"], "train": ["b_train.txt", "a_train.txt"]}, "test")
    {'train': 'a_train.txt', 'test': 'a_test.txt'}
    """
    first = min(files[split], key=lambda file: (not split_of_path(file), len(file), file))
    return {
        part: min(files[part], key=lambda file: (beside_split(file) != beside_split(first), len(file), file))
        for part in SPLIT_ORDER
        if part in files
    }
