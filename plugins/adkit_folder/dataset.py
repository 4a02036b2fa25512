"""A custom folder, read in the first of these ways that fits:

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
from pathlib import Path
from typing import Literal

from adkit import Dataset, DatasetError, Sample, Split
from adkit.data.images import is_image
from adkit.data.locations import named_folder

NORMAL_NAMES = frozenset({"good", "normal", "ok"})
ANOMALOUS_NAMES = frozenset(
    {
        "abnormal",
        "anomalies",
        "anomalous",
        "anomaly",
        "bad",
        "broken",
        "defect",
        "defective",
        "defects",
        "fail",
    }
    | {"faulty", "ng", "nok", "reject", "rejects", "scrap"}
)
MASK_NAMES = ("ground_truth", "masks")
HELD_OUT_SHARE = 0.2

Layout = Literal["split folders", "named folders", "plain images"]


class Folder(Dataset):
    """A folder of one's own images."""

    def __init__(self, folder: Path, spec: str, root: Path) -> None:
        self.folder = folder
        self.spec = spec
        self.root = root
        self.layout: Layout = _layout_of(folder)
        self._samples: dict[Split, list[Sample]] = {"train": [], "test": []}
        for split, sample in _READERS[self.layout](folder):
            self._samples[split].append(sample)
        if not self._samples["train"]:
            raise DatasetError(
                f"no good image was found to learn from in {folder} (read as {self.layout})",
                hint="put good images into the folder itself, or into train/good/ or normal/ inside it",
            )

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        """The folder at that path, below `root`, the current folder or $ADKIT_DATA."""
        place, base = named_folder(selection, root, hint="check the path after folder:")
        return [cls(place, f"folder:{selection}", base)]

    def samples(self, split: Split) -> list[Sample]:
        """The images of one split."""
        return self._samples[split]

    def notes(self) -> list[str]:
        """How the folder was read, and how many of each kind it holds."""
        train, test = self._samples["train"], self._samples["test"]
        kinds = Counter(sample.kind for sample in test if sample.kind)
        parts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"
        lines = [f"read {self.folder} as {self.layout}: {len(train)} to learn from; to test with: {parts}"]
        if self.layout != "split folders" and kinds["good"]:
            lines.append(f"there is no test split: {kinds['good']} good images were held out for testing")
        if unknown := sum(sample.anomalous is None for sample in test):
            lines.append(
                f"{unknown} images lie directly in the test folder: whether they are good is not known, so they are "
                "left out of evaluations; put them into test/good/ or test/KIND/"
            )
        loose = sum(is_image(path) for path in self.folder.iterdir()) if self.layout != "plain images" else 0
        if loose:
            lines.append(f"{loose} images that lie directly in {self.folder} were left out: they are in no folder")
        return lines


def _layout_of(folder: Path) -> Layout:
    names = {path.name.lower() for path in folder.iterdir() if path.is_dir()}
    if "train" in names:
        return "split folders"
    if names & NORMAL_NAMES:
        return "named folders"
    # Defects and masks must not be learned as good parts because the folder beside them has an unusual name.
    suspicious = sorted(names & (ANOMALOUS_NAMES | {*MASK_NAMES, "test"}))
    if suspicious:
        raise DatasetError(
            f"{folder} has the folder {suspicious[0]!r} but none named {', '.join(sorted(NORMAL_NAMES))}",
            hint="put the good images into a folder 'normal' beside it",
        )
    return "plain images"


def _read_split_folders(folder: Path) -> list[tuple[Split, Sample]]:
    found: list[tuple[Split, Sample]] = []
    splits: tuple[Split, ...] = ("train", "test")
    masks = _masks_below(folder)
    for split in splits:
        place = next((path for path in folder.iterdir() if path.name.lower() == split), folder / split)
        for image in _images(place):
            inside = image.relative_to(place)
            if len(inside.parts) > 1:
                sample = _sample(folder, image, inside.parts[0], _mask_of(inside, masks))
            elif split == "train":
                sample = _sample(folder, image, "good")
            else:
                sample = Sample.still(image.relative_to(folder).as_posix(), image)
            found.append((split, sample))
    return found


def _read_named_folders(folder: Path) -> list[tuple[Split, Sample]]:
    found: list[tuple[Split, Sample]] = []
    normal: list[Sample] = []
    masks = _masks_below(folder)
    for kind in _folders(folder):
        if kind.name.lower() in MASK_NAMES:
            continue
        samples = [
            _sample(folder, image, kind.name, _mask_of(image.relative_to(folder), masks)) for image in _images(kind)
        ]
        if kind.name.lower() in NORMAL_NAMES:
            normal += samples
        else:
            found += [("test", sample) for sample in samples]
    return _with_held_out(normal) + found


def _read_plain_images(folder: Path) -> list[tuple[Split, Sample]]:
    return _with_held_out([_sample(folder, image, "good") for image in _images(folder)])


_READERS = {
    "split folders": _read_split_folders,
    "named folders": _read_named_folders,
    "plain images": _read_plain_images,
}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.is_file() and is_image(path))
    # Viewers keep thumbnails in hidden folders.
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _sample(folder: Path, image: Path, kind: str, mask: Path | None = None) -> Sample:
    normal = kind.lower() in NORMAL_NAMES
    name = image.relative_to(folder).as_posix()
    return Sample.still(
        name, image, anomalous=not normal, kind="good" if normal else kind, mask=None if normal else mask
    )


_Masks = dict[tuple[str, str], Path]  # by the folder below the mask folder, in small letters, and the file's name


def _masks_below(folder: Path) -> list[_Masks]:
    """What each of the mask folders holds, ground_truth first."""
    return [
        {
            (mask.relative_to(place).parent.as_posix().lower(), mask.name): mask
            for kind in _folders(place)
            for mask in _images(kind)
        }
        for name in MASK_NAMES
        for place in _folders(folder)
        if place.name.lower() == name
    ]


def _mask_of(inside: Path, masks: list[_Masks]) -> Path | None:
    """The mask of the image at <kind>/…/<name>: the one at the same place, else the one in the kind's own folder."""
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
