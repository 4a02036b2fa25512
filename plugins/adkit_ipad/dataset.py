"""IPAD (arXiv 2404.15033): <device>/{training,testing}/frames/<clip>/<k>.jpg, test_label/<clip>.npy.

Frames are ordered by k as a number: it has no leading zeros. The labels of clip 01 are in 001.npy, else in 01.npy: 0 or
1 for each frame. R02 is known for label files that are a frame too long or too short. Which frame lacks its label then
cannot be known, so that the truth of the whole clip is unknown, which `notes` says. Clips to test with may be normal
throughout.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.format import read_array

from adkit import Dataset, DatasetError, FrameRef, Sample, Split
from adkit.data.images import is_image
from adkit.data.locations import chosen_folders

if TYPE_CHECKING:
    from numpy.typing import NDArray

GOOD, ANOMALY = "good", "anomaly"
_PLACES = ("ipad", "IPAD", "IPAD_dataset", "")
_FOLDERS: dict[Split, str] = {"train": "training", "test": "testing"}
_LAYOUT = "expected <root>/ipad/<device>/{training,testing}/frames/<clip>/<k>.jpg; set --root or $ADKIT_DATA"


class Ipad(Dataset):
    """One device of IPAD."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = f"ipad:{folder.name}"
        self.root = folder.parent.resolve()

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        """Devices by name, comma-separated, or "all" of those that are there."""
        folders = chosen_folders(selection, root, _PLACES, _is_device, owner="IPAD", thing="device", hint=_LAYOUT)
        return [cls(folder) for folder in folders]

    def samples(self, split: Split) -> list[Sample]:
        """The frames of training/ or testing/, clip by clip; `kind` is "good" or "anomaly"."""
        return [sample for clip in self._clips(split) for sample in self._frames(split, clip)]

    def notes(self) -> list[str]:
        """Which clips have labels that cannot be used, and which files are no frames."""
        lines = []
        for clip in self._clips("test"):
            _, trouble = self._labels(clip, len(_numbered(clip)))
            if trouble:
                lines.append(f"testing/{clip.name}: {trouble}; its truth is unknown, and evaluations leave it out")
        unnumbered = [
            image
            for split in _FOLDERS
            for clip in self._clips(split)
            for image in sorted(clip.iterdir())
            if is_image(image) and not _is_number(image.stem)
        ]
        if unnumbered:
            lines.append(f"{len(unnumbered)} images were left out: their names are no numbers, such as {unnumbered[0]}")
        return lines

    def _clips(self, split: Split) -> list[Path]:
        """The folders of frames; 2 before 10, whether or not there are leading zeros."""
        place = self.folder / _FOLDERS[split] / "frames"
        found = [path for path in place.iterdir() if path.is_dir()] if place.is_dir() else []
        return sorted(found, key=lambda path: (int(path.name) if _is_number(path.name) else -1, path.name))

    def _frames(self, split: Split, clip: Path) -> list[Sample]:
        name = f"{_FOLDERS[split]}/{clip.name}"
        images = _numbered(clip)
        labels = np.zeros(len(images), bool) if split == "train" else self._labels(clip, len(images))[0]
        samples = []
        for index, (number, image) in enumerate(images):
            anomalous = None if labels is None else bool(labels[index])
            kind = None if anomalous is None else ANOMALY if anomalous else GOOD
            samples.append(Sample(f"{name}/{number:04d}", FrameRef(image), name, index, anomalous=anomalous, kind=kind))
        return samples

    def _labels(self, clip: Path, frames: int) -> tuple[NDArray[np.bool_] | None, str]:
        """Whether each frame of a test clip is anomalous, else None and the reason."""
        names = [f"{int(clip.name):03d}.npy"] if _is_number(clip.name) else []
        names.append(f"{clip.name}.npy")
        path = next((path for name in names if (path := self.folder / "test_label" / name).is_file()), None)
        if path is None:
            return None, f"there are no labels (test_label/{' or '.join(dict.fromkeys(names))})"
        name = path.relative_to(self.folder).as_posix()
        try:
            with path.open("rb") as file:
                labels = read_array(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            return None, f"{name} cannot be read as labels ({str(error).splitlines()[0]})"
        if labels.shape != (frames,):
            return None, f"{frames} frames, but {name} has labels of shape {labels.shape}"
        if labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all():
            return None, f"{name} has other values than 0 and 1"
        return labels.astype(bool), ""


def _is_device(folder: Path) -> bool:
    return (folder / "training" / "frames").is_dir()


def _numbered(clip: Path) -> list[tuple[int, Path]]:
    """The frames in their order, each with its number; raises DatasetError where two have the same."""
    found = sorted((int(path.stem), path) for path in clip.iterdir() if is_image(path) and _is_number(path.stem))
    for (number, path), (following, other) in pairwise(found):
        if number == following:
            raise DatasetError(
                f"{path} and {other.name} have the same number, so that their order is unknown", hint="remove one"
            )
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
