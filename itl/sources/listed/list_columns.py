"""Which column of a list or table has the images, and which has their labels."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches

from itl.errors import ItlError, one_of
from itl.sources.listed.labels import LABEL_COLUMNS, ranks_of_class
from itl.sources.listed.split_columns import likely_header
from itl.sources.records import is_image
from itl.sources.split_names import split_of_cell
from itl.words import examples

IMAGE_COLUMNS = (
    *("file_name", "filename", "file", "image", "path", "image_path", "filepath", "image_name", "img"),
)
ID_COLUMNS = ("id", "image_id", "img_id")  # of the image, where no column has its file
# Where there is none of these; in such names a blank is as good as an underscore.
RARE_IMAGE_COLUMNS = (*IMAGE_COLUMNS, "img_path", "file_path", "image_file", "img_name")
_PIXEL = re.compile(r"pixel[ _]?\d+|\d+x\d+", re.IGNORECASE)  # the name of a column of one: pixel0, 28x28


class MissingColumnError(ItlError):
    """A table has no column of images or of labels, nor one that is called almost so, or an empty one."""


class AmbiguousError(ItlError):
    """An option has to choose one of several files or columns."""


def choose_image_column(
    columns: Sequence[str], option: str | None, rows: Sequence[Mapping[str, object]], file: str
) -> str:
    """Return the column of *file* that names the images of *rows*: the *option*, or one with a usual name.

    ItlError as `choose_column` raises it, and if the table holds pixels instead.
    """
    lowered = {column.lower() for column in columns}
    if option is not None or lowered & {*IMAGE_COLUMNS}:
        once = columns if option else without_repeated(columns, IMAGE_COLUMNS)
        return choose_column(once, option, IMAGE_COLUMNS, "image", file)
    if lowered & {*ID_COLUMNS}:  # no id where another column has files
        of_files = [column for column in columns if rows and is_image(str(rows[0].get(column)))]
        return choose_column(columns, of_files[0] if len(of_files) == 1 else None, ID_COLUMNS, "image", file)
    plain = {column: re.sub(r"[\s_]+", "_", column.strip().lower()) for column in columns}
    rare = [column for column in columns if plain[column] in RARE_IMAGE_COLUMNS]
    if len(rare) == 1:
        return rare[0]
    pixels = [column for column in columns if _PIXEL.fullmatch(column)]
    has_images = any(is_image(str(value)) for row in rows[:1] for value in row.values())
    if not has_images and (pixels[1:] or "pixels" in lowered):
        raise ItlError(
            f"{file} holds pixels ({examples(pixels) or 'pixels'}) instead of names of images; write each "
            f"row as an image, PIL.Image.fromarray(numpy.array(PIXELS, 'uint8').reshape(HEIGHT, WIDTH))"
            f".save(FILE), and list these files; if a column names images, choose it with the option "
            f"image=COLUMN"
        )
    return choose_column(columns, None, IMAGE_COLUMNS, "image", file)


def with_names(columns: Sequence[str], usual: Sequence[str]) -> list[str]:
    """Return those of *columns* that have *usual* names, in any case."""
    return [column for column in columns if column.lower() in usual]


def without_repeated(columns: Sequence[str], usual: Sequence[str]) -> list[str]:
    """Return *columns* with the first alone of those with *usual* names; `refuse_unlike` compares these.

    >>> without_repeated(["class", "label", "x"], ["label", "class"])
    ['class', 'x']
    """
    return [column for column in columns if column not in with_names(columns, usual)[1:]]


def refuse_unlike(
    columns: Sequence[str], usual: Sequence[str], row: Mapping[str, object], what: str, file: str
) -> None:
    """Raise ItlError if a *row* of *file* has different values in *columns* with *usual* names."""
    if len({str(row[column]) for column in with_names(columns, usual) if column in row}) > 1:
        choose_column(columns, None, usual, what, file)  # which raises it


def choose_column(
    columns: Sequence[str], option: str | None, usual: Sequence[str], what: str, file: str
) -> str:
    """Return the column of *file* that holds the *what*: the *option*, or the one with a *usual* name.

    ItlError if the column of the *option* is missing, or none (a MissingColumnError, unless the name of one
    is misspelt) or several have a usual name.
    """
    if option is not None and what == "label" and len(columns) == 1 and option not in columns:
        raise MissingColumnError(f"{file} has the column {columns[0]} alone, and none called {option!r}")
    if option is not None:
        return one_of(columns, option, f"column of {file}")
    candidates = [column for name in usual for column in columns if column.lower() == name]
    if what == "label" and (ranks := ranks_of_class(columns)):
        candidates = list(dict.fromkeys([*candidates, *ranks]))
    if len(candidates) == 1:
        return candidates[0]
    present = ", ".join(map(str, columns))[:100] or "none"
    if not candidates:
        is_misspelt = any(get_close_matches(str(column).lower(), usual, cutoff=0.8) for column in columns)
        raise (ItlError if is_misspelt else MissingColumnError)(
            f"{file} has no column of the {what} with a usual name, such as {usual[0]}; it has {present}; "
            f"say which it is with the option {what}=COLUMN"
        )
    raise AmbiguousError(
        f"{file} may have its {what} in {', '.join(candidates[:-1])} or {candidates[-1]}; choose one with "
        f"the option {what}=COLUMN"
    )


def describe_unread(columns: Collection[str], file: str) -> list[str]:
    """Return a note that names the *columns* of *file* that are not read, if there are any.

    >>> describe_unread(["patient_id", "cohort"], "a.csv"), describe_unread([], "a.csv")
    (['a.csv: columns that are not read: patient_id, cohort'], [])
    """
    return [f"{file}: columns that are not read: {examples(columns, 12)}"] if columns else []


def delimiter_of(line: str) -> str:
    """Return what separates the values of a *line*: a comma, unless it has none, but a tab, ; or |."""
    return next((sign for sign in ",\t;|" if sign in line), ",")


def refuse_without_header(line: str, file: str, has_stem: Callable[[str], bool]) -> None:
    """Raise ItlError if the first *line* of a table is an image, as it would be the header.

    *has_stem* says whether an image has a name without suffix.

    >>> refuse_without_header("id,label", "train.csv", {"0"}.__contains__)
    """
    if not file.lower().endswith((".csv", ".tsv")):
        return
    sign = delimiter_of(line)
    cells = [cell.strip(' "\r') for cell in re.findall(f'"[^"]*"|[^{sign}"]+', line)] or [""]
    splits = "split," if len(cells) > 1 and split_of_cell(cells[0]) else ""
    first = cells[1] if splits else cells[0]
    has_image = any(map(is_image, cells)) and not is_image(cells[0])
    is_known = first.lower() in (*IMAGE_COLUMNS, *ID_COLUMNS, *LABEL_COLUMNS)
    if has_image or (not is_known and has_stem(first)):
        image = next(filter(is_image, cells), first)
        header = likely_header(cells) if has_image else f"{splits}id,label"
        raise ItlError(
            f"{file} has no header: its first line names the image {image[:60]!r}; write one above it, "
            f"such as {header}"
        )
