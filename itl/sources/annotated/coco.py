"""Detection on a user's own images, with boxes in COCO-style JSON as annotation tools export it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from itl.errors import ItlError
from itl.iteration import grouped
from itl.sources.annotated.proposals import add_regions
from itl.sources.annotated.voc_devkit import refuse_labelme, refuse_other_formats
from itl.sources.boxes import (
    FLAG_OF_TEXT,
    AnnotatedObject,
    clip_box,
    is_turned,
    refuse_corners,
    refuse_normalised_bboxes,
    voc_box,
)
from itl.sources.files.json_text import parse_json, plain_id
from itl.sources.listed.image_finder import ImageNames
from itl.sources.records import Record, plain_label
from itl.sources.scan import Scan, box_coordinates, checked_header, stated_size
from itl.sources.source import NO_TRAINING, AnnotatedSource
from itl.sources.split_names import (
    JSON_WORDS,
    SPLIT_OF_WORD,
    SPLIT_ORDER,
    describe_joined_split,
    is_of_splits,
    split_of_folders,
    split_of_json,
    split_of_name,
    split_of_path,
    stem_words,
    without_keypoints,
)
from itl.sources.unopened_archives import describe_unopened
from itl.words import counted, examples

OF_DETECTORS = {"prediction", "predictions", "result", "results"}  # words in the names of what these write
LABEL_STUDIO = ["result"]  # words in the name of what it exports, unlike detectors with images
FEDERATED = {"neg_category_ids", "not_exhaustive_category_ids"}  # of images: other classes are unknown
FLAGS = ("iscrowd", "ignore", "difficult")  # the latter two of PASCAL's objects, in JSON that tools convert
WITHOUT_BOXES = {"segments_info": "of panoptic segments", "caption": "a caption"}  # by a key of annotations
TABLES = {  # of the JSON, and what their rows must have
    "images": ("id", "file_name"),
    "annotations": ("image_id", "category_id"),
    "categories": ("id", "name"),
}


@dataclass(frozen=True)
class Coco(AnnotatedSource):
    """Images in a folder, tar or zip, with COCO-style JSON for each split.

    Without *annotations* those that have boxes are read, if their names tell one for each split, such as
    annotations/instances_train2017.json, val.json or test/_annotations.coco.json. A record's class is empty;
    `annotation` has its objects.
    """

    annotations: str | None = None  # train=a.json,test=b.json: names inside path
    proposals: str | None = None  # file of region proposals, to be packed with the images
    kind = "coco"
    expected = (
        "a folder, .tar or .zip with images and COCO-style JSON: annotations/instances_train.json, "
        "train.json or train/_annotations.coco.json, and the same for val or test"
    )
    missing_splits = {
        "train": f"name its JSON file with the option annotations; {NO_TRAINING}",
        "test": "without it scores are measured on val, if there is one",
    }
    how_to_add_splits = (
        "a field split of train, val or test in each of the images of one JSON, whose name tells no split "
        "(annotations.json, without the option annotations), divides them, or write a second JSON, such as "
        "val.json"
    )
    pack_options = "--size 640 --fit pad"
    labelled_by = "the categories in these files"

    @property
    def layout(self) -> str:
        """The JSON file of each split."""
        files = self._json_files
        if len(set(files.values())) == 1:  # it may be of several
            read = {record.split for record in self.scan.records} or files
            files = dict.fromkeys([split for split in SPLIT_ORDER if split in read], *files.values())
        return f"COCO-style JSON ({', '.join(f'{split} in {name}' for split, name in files.items())})"

    @cached_property
    def scan(self) -> Scan:
        """Records, objects and problems; reads the JSON and the images' headers."""
        scan = Scan(self.kind, self.path)
        json_of: dict[str, str] = {}  # image -> the JSON file that lists it
        refused: list[str] = []  # JSON files of which no image is read
        for split, name in self._json_files.items():
            try:
                tables = read_tables(self.listing.files[name].read(), name)
                refuse_whole_images(tables["annotations"], name)
                rows_of_split = self._images_by_split(scan, split, name, tables["images"])
            except ItlError as error:
                scan.add_problem(str(error))
                refused.append(name)
                scan.refused_splits.add(split)
                continue
            if split == "test" and not tables["annotations"]:
                scan.left_out["images of a test split without annotations"] += len(tables["images"])
                scan.notes.append(f"{name} has no annotations, so test is left out; val is scored")
                continue
            if any(FEDERATED.intersection(row) for row in tables["images"]):
                scan.notes.append(
                    f"{name} says which classes were looked for on an image, as in LVIS, which is not read: "
                    f"others count as absent, so detections of them as false"
                )
            for part, rows in rows_of_split.items():
                self._scan_json(scan, part, name, tables, rows, json_of)
            listed = {row["id"] for row in tables["images"]}
            unlisted = [row["image_id"] for row in tables["annotations"] if row["image_id"] not in listed]
            if unlisted:
                ids = examples([repr(image_id)[:30] for image_id in dict.fromkeys(unlisted)])
                scan.add_problem(
                    f"{name}: {counted(len(unlisted), 'annotations are')} of images that the file does not "
                    f"list, such as image_id {ids}; export it again"
                )
        scan.notes += self._names.describe_elsewhere()
        scan.notes += (unread := self._describe_unread())
        if not refused:  # else they may be in that file
            reason = "images in no JSON file that is read" if unread else "images in no JSON file"
            scan.left_out[reason] += max(0, len(self._names.images) - len(json_of))
        add_regions(scan, self.proposals, self.outside, self.resized)
        return scan.finish(self.bad, self.resized)

    @cached_property
    def _names(self) -> ImageNames:
        """What finds the images that the files name."""
        return ImageNames(self.listing)

    @cached_property
    def _json_files(self) -> dict[str, str]:
        """Each split's JSON file: as the option says, or by names; one alone may be of all splits."""
        files = sorted(name for name in self.listing.files if name.lower().endswith(".json"))
        if self.annotations is not None:
            named = parse_annotations_option(self.annotations)
            json_of = {split: self._named_file(name, files) for split, name in named.items()}
            if len(set(json_of.values())) < len(json_of):
                raise ItlError(
                    "the option annotations names one file for several splits; write a file for each, or "
                    "leave the option out: one JSON alone is divided by a field split of its images, or by "
                    "their folders"
                )
            return json_of
        candidates = self._with_boxes if len(files) > 1 else files
        if len(candidates) == 1:
            return {_split_of_one(candidates[0]): candidates[0]}
        by_split = grouped((split_of_json(name, any_word=True), name) for name in candidates)
        chosen = {split: without_keypoints(names) for split, names in by_split.items()}
        beside = {_other_words(name) for names in chosen.values() for name in names}
        if None not in chosen and len(beside) == 1 and all(len(names) == 1 for names in chosen.values()):
            return {split: chosen[split][0] for split in SPLIT_ORDER if split in chosen}
        (refuse_labelme if files else refuse_other_formats)(self.path, self.listing)
        if not files and (unopened := describe_unopened(self.listing.files)):
            raise ItlError(f"{self.path} holds no JSON file: {unopened}")
        way = "name the files with the option annotations=train=a.json,test=b.json"
        raise ItlError(
            f"{self.path} has not one COCO-style JSON file for each split, such as train.json or "
            f"train/_annotations.coco.json, but {examples(candidates or files, 10) or 'no JSON file'}; "
            f"{way if candidates else 'export the boxes as COCO JSON, a file for each split'}"
        )

    @cached_property
    def _with_boxes(self) -> list[str]:
        """JSON files with boxes, by their content, and those named for a split that should have some.

        The latter are called after a split alone or as one with boxes, and are damaged, or have images or a
        split that no other has; or they are damaged and of such a split. They are refused when they are read.
        """
        jsons = [name for name in sorted(self.listing.files) if name.lower().endswith(".json")]
        files = [name for name in jsons if OF_DETECTORS.isdisjoint(stem_words(name))]
        with_boxes = {name for name in files if _has_boxes(self.listing.files[name].read())}
        if not with_boxes:
            exported = [name for name in jsons if stem_words(name) == LABEL_STUDIO]
            with_boxes = {name for name in exported if _has_boxes(self.listing.files[name].read())}
        splits = {split_of_json(name, any_word=True) for name in with_boxes}
        beside = {frozenset(), *map(_other_words, with_boxes)}
        for name in files:
            split = split_of_json(name, any_word=True) if stem_words(name) else None
            if split and name not in with_boxes:
                keys = _keys_of(self.listing.files[name].read())
                is_like, is_missing = _other_words(name) in beside, split not in splits
                has_split = is_like and (is_missing or "images" in (keys or ("images",)))
                with_boxes |= {name} if has_split or (keys is None and is_missing) else set()
        return sorted(with_boxes)

    def _describe_unread(self) -> list[str]:
        """Return a note on other files with boxes, or of splits by their names, if no option chose."""
        if self.annotations is not None:
            return []
        read = self._json_files
        unread = [
            name
            for name in sorted(self.listing.files.keys() - set(read.values()))
            if name.lower().endswith(".json")
            and (name in self._with_boxes or split_of_json(name, any_word=True) or is_of_splits(name))
        ]
        text = f"not read: {examples(unread, 10)}; the option annotations names the files that are read, as"
        option = ",".join(f"{split}={name}" for split, name in read.items())
        return [f"{text} annotations={option}"] if unread else []

    def _named_file(self, name: str, files: list[str]) -> str:
        if name in files:
            return name
        matches = [file for file in files if file.endswith(f"/{name}")]
        if len(matches) != 1:
            raise ItlError(
                f"{self.path} has {len(matches) or 'no'} files {name!r}, as the option annotations names; "
                f"its JSON files are {examples(files, 5) or 'none'}"
            )
        return matches[0]

    def _images_by_split(self, scan: Scan, split: str, name: str, rows: list[dict]) -> dict[str, list[dict]]:
        """Divide the *rows* of images of a JSON file whose split neither its *name* nor an option tells.

        Each is in the split that its field split says; without such fields in that of its folder, if these
        are of several splits. ItlError where this tells only some of them.
        """
        if self.annotations is not None:
            return {split: rows}
        if len(self._json_files) > 1 or split_of_json(name):
            refuse_other_splits(split, name, rows)
            return {split: rows}
        if any("split" in row for row in rows):
            splits, source = [split_of_name(str(row.get("split"))) for row in rows], "its field split"
        else:
            splits, source = [self._split_of_folder(str(row["file_name"])) for row in rows], "its folder"
            if len({*splits} - {None}) < 2:
                scan.notes += describe_joined_split(name)
                return {split: rows}
        if None in splits:
            image = str(rows[splits.index(None)]["file_name"])
            raise ItlError(
                f"{name} has images of several splits, and {source} tells none for {image[:80]!r}; correct "
                f"that, or write a file for each split and set annotations=train=a.json,test=b.json"
            )
        scan.notes.append(f"{name} is of no split; each image is in that of {source}")
        return grouped(zip(map(str, splits), rows, strict=True))

    def _split_of_folder(self, name: str) -> str | None:
        """Return the split that the folder of the image *name* tells; None also where it is not there."""
        try:
            return split_of_folders(self._names.find(name, ""))
        except ItlError:  # which the scan tells again
            return split_of_folders(name)

    def _scan_json(
        self, scan: Scan, split: str, name: str, tables: dict, images: list[dict], json_of: dict[str, str]
    ) -> None:
        """Add *images* of one JSON file with their objects, or problems; *json_of* has those of others."""
        classes = category_names(tables)
        numbered = enumerate(tables["annotations"], 1)
        rows_of = grouped((row["image_id"], (number, row)) for number, row in numbered)
        missing = {}
        for row in images:
            annotations, file_name = rows_of.get(row["id"], []), str(row["file_name"])
            try:
                image = self._names.find(file_name, split)
                if self.annotations is None:  # else the option says what is meant
                    self._names.refuse_other_split(image, file_name, split)
            except ItlError as error:
                missing[file_name] = f"{name}: {error}"
                continue
            if json_of.setdefault(image, name) != name or image in scan.objects:
                scan.add_problem(f"{image} is {_describe_twice(image, split, json_of[image], name)}")
                continue
            member = self.listing.files[image]
            scan.add(Record(image, "", split, member), [])
            with scan.problems_of(image):
                header = checked_header(member, image)
                scan.sizes[image] = header.size
                boxes = box_coordinates(header, stated_size(row, f"{name}, {image}"), self.resized)
                scan.add_size_doubt([image], boxes)
                for number, annotation in annotations:
                    where = f"{name}, annotation {number} ({image})"
                    with scan.problems_of(image):
                        obj = parse_object(annotation, classes, boxes.size, where)
                        obj = clip_box(obj, *boxes.size, where, self.outside)
                        scan.objects[image].append(boxes.upright(obj))
        scan.notes += self._names.describe_other_split(
            [record.id for record in scan.records if record.split == split], split, name
        )
        scan.add_problems(missing, f"missing images of {name}")
        if missing:
            scan.refused_splits.add(split)
            if text := describe_unopened(self.listing.files):
                scan.notes += [] if text in scan.notes else [text]


def _split_of_one(name: str) -> str:
    """Return the split of the JSON file *name*, train if nothing tells one; ItlError if a word may tell it.

    >>> _split_of_one("boats_val.json"), _split_of_one("labels.json")
    ('val', 'train')
    """
    split = split_of_json(name)
    starts = any(word.startswith(("train", "val", "test", "minival")) for word in stem_words(name))
    if not split and (split_of_path(name) or starts):
        raise ItlError(
            f"the split of {name} is unclear by its name; call it all.json if a field split of its images or "
            f"their folders divide it, else say its split: annotations=train={name}"
        )
    return split or "train"


def _has_boxes(data: bytes) -> bool:
    """Say whether a JSON file has images and boxes, without parsing it."""
    return b'"images"' in data and b'"bbox"' in data


def _keys_of(data: bytes) -> set[str] | None:
    """Return the keys of the object in a JSON file; None if the file is damaged."""
    try:
        content = parse_json(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return {*content} if isinstance(content, dict) else set()


def _other_words(name: str) -> frozenset[str]:
    """Return the words in the name of a JSON file beside its split.

    >>> _other_words("boats_val.json"), _other_words("annotations/instances_val2017.json")
    (frozenset({'boats'}), frozenset())
    """
    return frozenset(stem_words(name)).difference(SPLIT_OF_WORD, JSON_WORDS)


def _describe_twice(image: str, split: str, first: str, name: str) -> str:
    """Say that *image* is in the files *first* and *name*, the latter of *split*, and what helps."""
    if first == name:
        return f"listed twice in {name}; give the annotations of both one image_id, and leave out the other"
    if split_of_folders(image) not in (None, split):  # that of split is not there
        return f"in {first} and again in {name}; copy that of {split} to its folder, or leave it in one"
    return f"in {first} and again in {name}; leave it in one"


def parse_annotations_option(option: str) -> dict[str, str]:
    """Read the option annotations: SPLIT=FILE, several with commas; a file alone tells its split by its name.

    ItlError for two files of one split, or a split other than train, val and test.

    >>> parse_annotations_option("train=a.json,instances_val2017.json")
    {'train': 'a.json', 'val': 'instances_val2017.json'}
    """
    pairs = []
    for part in option.split(","):
        split, equals, name = part.strip().partition("=")
        pairs.append((split, name) if equals else (_split_of_one(split), split))
    files = {SPLIT_OF_WORD.get(split, split): name for split, name in pairs}
    if len(files) < len(pairs) or not set(files) <= set(SPLIT_ORDER):
        raise ItlError(
            f"annotations takes one file for each of train, val and test, such as train=a.json,test=b.json; "
            f"got {option!r}"
        )
    return files


def read_tables(data: bytes, name: str, needed: Sequence[str] = ("images",)) -> dict[str, list[dict]]:
    """Read images, annotations and categories of the JSON file *name*, empty where it has none.

    ItlError for what is wrong with it, and where it has none of what is *needed*.
    """
    try:
        content = parse_json(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ItlError(f"{name}, line {error.lineno}: not valid JSON ({error.msg}); export again") from None
    except (ValueError, RecursionError) as error:
        reason = error if type(error) is ValueError else type(error).__name__
        raise ItlError(f"{name} cannot be read as JSON ({reason}); export it again") from None
    if not isinstance(content, dict) or not content.keys() >= set(needed):
        raise ItlError(f"{name} is not COCO-style JSON, an object with {', '.join(TABLES)}; export as COCO")
    tables = {}
    for table, keys in TABLES.items():
        rows = content.get(table, [])
        rows = rows if isinstance(rows, list) else [rows]
        for number, row in enumerate(rows, 1):
            if isinstance(row, dict):
                row |= {key: plain_id(row[key]) for key in keys if key.endswith("id") and key in row}
            if not isinstance(row, dict) or not all(isinstance(row.get(key), str | int) for key in keys):
                what = f"{name}: number {number} of its {table} lacks {' or '.join(keys)}"
                raise ItlError(f"{what}; {_cure_of_row(row)}")
        tables[table] = rows
    for table in ("images", "categories"):
        if len({row["id"] for row in tables[table]}) < len(tables[table]):
            raise ItlError(f"{name}: two of its {table} have the same id; export it again")
    _refuse_unclear_names(tables, name)
    refuse_normalised_bboxes(tables["annotations"], name)
    refuse_corners(tables["annotations"], name)
    return tables


def _cure_of_row(row: object) -> str:
    """Return what helps where *row* of images or annotations lacks keys; other kinds of files are named.

    >>> _cure_of_row({"id": 1, "image_id": 1, "caption": "a dog"})
    'it is a caption without a box, so give the file with objects, such as instances_train2017.json'
    """
    if not isinstance(row, dict):
        return "export again"
    for key, what in WITHOUT_BOXES.items():
        if key in row:
            return (
                f"it is {what} without a box, so give the file with objects, such as instances_train2017.json"
            )
    if "file_name" not in row and isinstance(url := row.get("coco_url"), str):  # LVIS
        ending = "/".join(url.split("/")[-2:])
        return f"it has a coco_url alone, as in LVIS: add to each image its end, file_name {ending[:60]!r}"
    return "export again"


def refuse_whole_images(rows: Sequence[Mapping], name: str) -> None:
    """Raise ItlError if *rows* are annotations of which none has a box, those of the file *name*."""
    if not rows or any(row.get("bbox", []) != [] for row in rows):
        return
    if any(row.get("segmentation") for row in rows):
        raise ItlError(
            f"{name}: its annotations have outlines without a bbox; add to each the box around its outline, "
            f"[x, y, width, height] in pixels"
        )
    raise ItlError(
        f"{name}: no annotation has a bbox, so they label whole images; write a CSV with the columns "
        f"file_name, label and split, a line for each image with the name of its category, and read it with "
        f"the source lists"
    )


def _refuse_unclear_names(tables: Mapping[str, list[dict]], name: str) -> None:
    """Raise ItlError where annotations of the file *name* are of categories with one name, or without."""
    id_of: dict[str, str | int] = {}
    classes, used = category_names(tables), {row["category_id"] for row in tables["annotations"]}
    for category in (key for key in classes if key in used):  # tools export unused ones, of the group of all
        if not classes[category]:
            raise ItlError(f"{name}: category {category!r} of its annotations has no name; give it one")
        if (other := id_of.setdefault(classes[category], category)) != category:
            raise ItlError(
                f"{name}: categories {other!r} and {category!r} are both {classes[category]!r}; rename one, "
                f"or give its annotations the other's id"
            )


def category_names(tables: Mapping[str, list[dict]]) -> dict[str | int, str]:
    """Return the name of each category, by its id."""
    return {row["id"]: plain_label(str(row["name"])) for row in tables["categories"]}


def parse_object(row: Mapping, classes: Mapping, size: tuple[int, int], where: str) -> AnnotatedObject:
    """Make an object of one annotation, difficult if it is a crowd or ignored; ItlError if it is invalid."""
    if row["category_id"] not in classes:
        known = examples([f"{key} {name}" for key, name in classes.items()], 5) or "none"
        raise ItlError(f"{where}: no category has the id {row['category_id']!r}; categories are {known}")
    name = classes[row["category_id"]]
    box = voc_box(row.get("bbox"), size, f"{where}, {name!r}")
    flags = {}
    for key in FLAGS:
        flag = row.get(key) or 0
        flags[key] = FLAG_OF_TEXT.get(flag.lower(), flag) if isinstance(flag, str) else flag
        if flags[key] not in (0, 1):
            raise ItlError(f"{where}, {name!r}: {key} is {str(flag)[:20]!r}; it should be 0 or 1")
    attributes = row.get("attributes")  # of CVAT, whose bbox is that of the rectangle before its rotation
    angle = attributes.get("rotation") if isinstance(attributes, dict) else None
    return AnnotatedObject(name, box, any(flags.values()), is_rotated=is_turned(angle))


def refuse_other_splits(split: str, name: str, rows: list[dict]) -> None:
    """Raise ItlError if the field split of some *rows*, images of the JSON *name*, is another *split*."""
    parts = [split_of_name(str(row["split"])) for row in rows if "split" in row]
    if others := [part for part in parts if part not in (None, split)]:
        count = counted(len(others), "images are")
        raise ItlError(
            f"{name} is of {split} by its name, but {count} of {others[0]} by their field split; remove that "
            f"field, or give the file a name of no split, as all.json: then the field divides it"
        )
