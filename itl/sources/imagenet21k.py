"""ImageNet-21k: a tar for each wnid, in a folder (winter21) or in one tar (fall11), or folders of wnids."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from itl import ItlError
from itl.sources import archives
from itl.sources.archives import Listing
from itl.sources.class_folders import split_off_val
from itl.sources.records import WNID, Record, is_image, validate_records
from itl.sources.source import Source

COMPRESSED = ("winter21_whole.tar.gz", "fall11_whole.tar.gz")


@dataclass(frozen=True)
class ImageNet21k(Source):
    """ImageNet-21k as published, without splits: without val_fraction all images are training images."""

    path: Path
    val_fraction: float = 0.0  # of the images of each class, used as val
    kind = "imagenet21k"
    expected = (
        "the folder winter21_whole with n00004475.tar and so on, fall11_whole.tar, or a folder of wnid "
        "folders; image-net.org gives them out after registration"
    )
    pack_options = "--size 64"

    @cached_property
    def listing(self) -> Listing:
        """All images, as WNID/NAME."""
        path = Path(self.path)
        outer = archives.list_files(path)
        if packed := [name for name in outer.files if name.rpartition("/")[2] in COMPRESSED]:
            raise ItlError(
                f"{path} has {packed[0]} compressed; `tar xf {packed[0]}` leaves a plain tar for each wnid"
            )
        opened = Listing(left_out=Counter(outer.left_out))
        for name, member in outer.files.items():
            wnid, suffix = Path(name).stem, Path(name).suffix
            if suffix == ".tar" and WNID.fullmatch(wnid):
                inner = archives.list_inner_tar(member, name)
                opened.files |= {
                    f"{wnid}/{image.rpartition('/')[2]}": one for image, one in inner.files.items()
                }
                opened.left_out += inner.left_out
            else:
                opened.files["/".join(name.split("/")[-2:])] = member
        return opened

    @property
    def layout(self) -> str:
        """The data set, by its name."""
        return "ImageNet-21k, a tar or a folder for each wnid"

    @property
    def labelled_by(self) -> str:
        """What says the class of an image."""
        return "tars or folders"

    def records(self) -> list[Record]:
        """Return one record for each image, sorted by id."""
        records = []
        for name, member in self.listing.files.items():
            wnid = name.partition("/")[0]
            if is_image(name) and WNID.fullmatch(wnid):
                records.append(Record(name, wnid, "train", member))
        if not records:
            raise ItlError(
                f"{self.path} has no images in tars or folders of wnids; {self.kind} takes {self.expected}"
            )
        return validate_records(split_off_val(records, self.val_fraction), Path(self.path))
