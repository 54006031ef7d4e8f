"""What tests on annotated images share: small worlds in VOC's layouts, as names and contents of files."""

from pathlib import Path

from itl.sources.check import check
from itl.sources.source import Source
from tests.pictures import encoded, smooth

DOG = ("dog", (5, 6, 30, 35))
CAR = ("car", (1, 1, 60, 40))


def jpeg(width: int = 60, height: int = 40) -> bytes:
    """A smooth picture as a JPEG file."""
    return encoded(smooth(height, width), "JPEG")


def images(*names: str) -> dict[str, bytes]:
    """The same small JPEG under each of *names*."""
    return dict.fromkeys(names, jpeg())


def text(*lines: str) -> bytes:
    """The content of a text file."""
    return "\n".join(lines).encode()


def thing(name: str, box: tuple, **more: object) -> str:
    """One <object>; *more* are further elements, such as difficult=1 or actions="<jumping>1</jumping>"."""
    sides = "".join(
        f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    also = "".join(f"<{tag}>{value}</{tag}>" for tag, value in more.items())
    return f"<object><name>{name}</name>{also}<bndbox>{sides}</bndbox></object>"


def xml(*things: str, size: tuple[int, int] = (60, 40)) -> bytes:
    """One annotation file."""
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>x</filename>{sides}{''.join(things)}</annotation>".encode()


def voc2007() -> dict[str, bytes]:
    """A VOC2007 of five listed images and one that is in no list."""
    files = {
        "ImageSets/Main/train.txt": b"\xef\xbb\xbf000001\r\n\r\n000002\r\n",
        "ImageSets/Main/val.txt": b"000003\n",
        "ImageSets/Main/trainval.txt": b"000001\n000002\n000003\n",
        "ImageSets/Main/test.txt": b"000004\n000005 \n\n",
        "ImageSets/Main/dog_train.txt": b"000001  1\n000002 -1\nnonsense\n",
        "Annotations/000001.xml": xml(thing(*DOG, truncated=1), thing("dog", (40, 2, 50, 9), difficult=1)),
        "Annotations/000002.xml": xml(thing(*CAR)),
        "Annotations/000003.xml": xml(thing("dog", (1, 1, 2, 2)), thing(*CAR)),
        "Annotations/000004.xml": xml(),
        "Annotations/000005.xml": xml(thing(*DOG)),
        "Annotations/000009.xml": b"surplus, and no XML",
    }
    files |= {f"JPEGImages/{number:06d}.jpg": jpeg() for number in (1, 2, 3, 4, 5, 6)}
    return {f"VOCdevkit/VOC2007/{name}": content for name, content in files.items()}


def voc2012() -> dict[str, bytes]:
    """A VOC2012 with people: two on one image, one of whom does two things, and one on each of two others."""
    first = xml(
        thing("chair", (1, 1, 9, 9)),
        thing("person", (10, 10, 29, 29), actions="<jumping>1</jumping><walking>1</walking>"),
        thing("person", (40, 5, 60, 40), actions="<jumping>0</jumping><phoning>1</phoning>"),
    )
    other = xml(thing("person", (11, 11, 50, 30), actions="<other>1</other><jumping>0</jumping>"))
    files = {
        "ImageSets/Action/train.txt": b"2010_1 2\n2010_1 3\n",
        "ImageSets/Action/val.txt": b"2011_2 1\n",
        "ImageSets/Action/trainval.txt": b"2010_1 2\n2010_1 3\n2011_2 1\n",
        "ImageSets/Action/jumping_train.txt": b"2010_1 2  1\n2010_1 3  0\n",
        "ImageSets/Action/jumping_val.txt": b"2011_2 1 -1\n",
        "ImageSets/Action/test.txt": b"2012_3 1\n",
        "Annotations/2010_1.xml": first,
        "Annotations/2011_2.xml": other,
        "Annotations/2012_3.xml": xml(thing("person", (1, 1, 60, 40))),
    }
    files |= {f"JPEGImages/{name}.jpg": jpeg() for name in ("2010_1", "2011_2", "2012_3", "2008_4")}
    return {f"VOCdevkit/VOC2012/{name}": content for name, content in files.items()}


def written(root: Path, files: dict[str, bytes]) -> Path:
    """Write *files* under *root*."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def changed(files: dict[str, bytes], **changes: bytes | None) -> dict[str, bytes]:
    """*files* with other contents (None: gone) where names contain a key, in which `__` stands for `/`."""
    kept = dict(files)
    for part, content in changes.items():
        names = [name for name in files if part.replace("__", "/") in name]
        assert names, part
        for name in names:
            kept.pop(name)
            if content is not None:
                kept[name] = content
    return kept


def problems_of(source: Source) -> list[str]:
    """Return the texts of the problems that the scan of *source* has."""
    return [problem.text for problem in source.scan.problems]


def check_lines(kind: str, path: Path | None = None, **options: object) -> list[str]:
    """Return the lines of `itl check`."""
    return [str(finding) for finding in check(kind, path, **options)]
