"""Reads a folder of your own images, in the first of these ways that fits.

1. split folders:  train/[good/]…, test/<kind>/…, and masks in ground_truth/<kind>/… or masks/<kind>/…
2. named folders:  normal/ (or good/, ok/) beside folders of any other name, each of them a kind of defect
3. plain images:   every image in it, at any depth, is a good one

The case of these names does not matter. What lies in test/ itself, in no folder of a kind, is of unknown truth.
Without a test split (2 and 3), a fifth of the good images is held out for testing. Which ones is decided by
a hash of their names: at random with respect to time of day or camera, yet the same every time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from adkit import DatasetError, Sample, Split
from adkit.data.images import by_page, is_image
from adkit.data.layouts import GOOD, MASK_NAMES, NORMAL_NAMES, contents_of, unlike_normal
from adkit.data.locations import OwnFolder

HELD_OUT_SHARE = 0.2

Layout = Literal["split folders", "named folders", "plain images"]


class Folder(OwnFolder):
    """A folder of one's own images."""

    name, hint = "folder", "check the path after folder:"

    def __init__(self, folder: Path, spec: str, root: Path) -> None:
        super().__init__(folder, spec, root)
        self._contents = contents_of(folder)
        images = {name: list(filter(is_image, files)) for name, files in self._contents.by_folder().items()}
        self.layout: Layout = _layout_of(folder, self._contents.folders)
        self._loose = len(images.get("", ())) if self.layout != "plain images" else 0
        self._samples: dict[Split, list[Sample]] = {"train": [], "test": []}
        for split, sample in _READERS[self.layout](folder, images):
            self._samples[split] += by_page(sample)
        if not self._samples["train"]:
            raise DatasetError(
                f"no good image was found to learn from in {folder} (read as {self.layout})",
                hint="put good images into the folder itself, or into train/good/ or normal/ inside it",
            )

    def samples(self, split: Split) -> list[Sample]:
        """Return the images of one split."""
        return self._samples[split]

    def notes(self) -> list[str]:
        """Say how the folder was read, how many of each kind it holds, and what was left out."""
        train, test = self._samples["train"], self._samples["test"]
        kinds = Counter(sample.kind for sample in test if sample.kind)
        parts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"
        lines = [f"read {self.folder} as {self.layout}: {len(train)} to learn from; to test with: {parts}"]
        if self.layout != "split folders" and kinds[GOOD]:
            lines.append(f"there is no test split: {kinds['good']} good images were held out for testing")
        if unknown := sum(sample.anomalous is None for sample in test):
            lines.append(
                f"{unknown} images lie directly in the test folder: whether they are good is not known, so they are "
                "left out of evaluations; put them into test/good/ or test/KIND/"
            )
        if self._loose:
            lines.append(
                f"{self._loose} images that lie directly in {self.folder} were left out: they are in no folder"
            )
        return lines + self._contents.notes(is_image)


def _layout_of(folder: Path, names: Iterable[str]) -> Layout:
    lower = {name.lower() for name in names}
    if "train" in lower:
        return "split folders"
    if lower & NORMAL_NAMES:
        return "named folders"
    # Defects and masks must not be learned as good parts because the folder beside them has an unusual name.
    if suspicious := unlike_normal(lower):
        raise DatasetError(
            f"{folder} has the folder {suspicious[0]!r} but none named {', '.join(sorted(NORMAL_NAMES))}",
            hint="put the good images into a folder 'normal' beside it",
        )
    return "plain images"


def _read_split_folders(folder: Path, images: _Images) -> list[tuple[Split, Sample]]:
    found: list[tuple[Split, Sample]] = []
    splits: tuple[Split, ...] = ("train", "test")
    masks = _masks_in(folder, images)
    for split in splits:
        for image in (image for name, members in images.items() if name.lower() == split for image in members):
            inside = Path(*image.relative_to(folder).parts[1:])
            if len(inside.parts) > 1:
                sample = _sample(folder, image, inside.parts[0], _mask_of(inside, masks))
            elif split == "train":
                sample = _sample(folder, image, GOOD)
            else:
                sample = Sample.still(image.relative_to(folder).as_posix(), image)
            found.append((split, sample))
    return found


def _read_named_folders(folder: Path, images: _Images) -> list[tuple[Split, Sample]]:
    found: list[tuple[Split, Sample]] = []
    normal: list[Sample] = []
    masks = _masks_in(folder, images)
    for kind, members in images.items():
        if kind == "" or kind.lower() in MASK_NAMES:
            continue
        samples = [_sample(folder, image, kind, _mask_of(image.relative_to(folder), masks)) for image in members]
        if kind.lower() in NORMAL_NAMES:
            normal += samples
        else:
            found += [("test", sample) for sample in samples]
    return _with_held_out(normal) + found


def _read_plain_images(folder: Path, images: _Images) -> list[tuple[Split, Sample]]:
    every = sorted(image for members in images.values() for image in members)
    return _with_held_out([_sample(folder, image, GOOD) for image in every])


_READERS = {
    "split folders": _read_split_folders,
    "named folders": _read_named_folders,
    "plain images": _read_plain_images,
}


def _sample(folder: Path, image: Path, kind: str, mask: Path | None = None) -> Sample:
    normal = kind.lower() in NORMAL_NAMES
    name = image.relative_to(folder).as_posix()
    return Sample.still(name, image, anomalous=not normal, kind=GOOD if normal else kind, mask=None if normal else mask)


_Images = Mapping[str, Sequence[Path]]  # by the folder directly inside in which they are, "" for none
_Masks = dict[tuple[str, str], Path]  # by the folder below the mask folder, in small letters, and the file's name


def _masks_in(folder: Path, images: _Images) -> list[_Masks]:
    """Return what each of the mask folders holds, ground_truth first."""
    found: list[_Masks] = []
    for wanted in MASK_NAMES:
        for masks in (members for name, members in images.items() if name.lower() == wanted):
            places = [(Path(*mask.relative_to(folder).parts[1:]), mask) for mask in masks]
            found.append({(inside.parent.as_posix().lower(), mask.name): mask for inside, mask in places})
    return found


def _mask_of(inside: Path, masks: list[_Masks]) -> Path | None:
    """Return the mask of the image at <kind>/…/<name>: at the same place, else in the kind's own folder."""
    for place in dict.fromkeys((inside.parent.as_posix().lower(), inside.parts[0].lower())):
        for known in masks:
            for stem in (f"{inside.stem}_mask", inside.stem):
                for suffix in (".png", inside.suffix, ".bmp", ".tif", ".tiff"):
                    if mask := known.get((place, f"{stem}{suffix}")):
                        return mask
    return None


def _with_held_out(normal: list[Sample]) -> list[tuple[Split, Sample]]:
    # File names may be any bytes.
    by_hash = sorted(normal, key=lambda sample: hashlib.sha256(sample.id.encode(errors="surrogateescape")).digest())
    held_out = {sample.id for sample in by_hash[: int(HELD_OUT_SHARE * len(normal))]}
    return [("test" if sample.id in held_out else "train", sample) for sample in normal]
