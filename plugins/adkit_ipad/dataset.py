"""IPAD (arXiv 2404.15033): <device>/{training,testing}/frames/<clip>/<k>.jpg, test_label/<clip>.npy.

Frames are ordered by k as a number: it has no leading zeros. The labels of clip 01 are in 001.npy, else in 01.npy: 0 or
1 for each frame. R02 is known for label files that are a frame too long or too short: the truth of the whole clip is
then unknown, which `notes` says.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adkit import DatasetError, FrameRef, Sample, Split, counted
from adkit.data.contents import contents_of
from adkit.data.folder_names import ANOMALY, GOOD
from adkit.data.frame_labels import read_flags
from adkit.data.images import is_image
from adkit.data.locations import Benchmark

_FOLDERS: dict[Split, str] = {"train": "training", "test": "testing"}


class Ipad(Benchmark):
    """One device of IPAD."""

    name, owner, thing = "ipad", "IPAD", "device"
    places, mark = ("ipad", "IPAD", "IPAD_dataset", ""), "training/frames"
    expected = "<root>/ipad/<device>/{training,testing}/frames/<clip>/<k>.jpg"

    def samples(self, split: Split) -> list[Sample]:
        """Return the frames of training/ or testing/, clip by clip; `kind` is "good" or "anomaly"."""
        return [sample for clip, images in self._clips(split) for sample in self._frames(split, clip, images)]

    def notes(self) -> list[str]:
        """Say which clips have labels that cannot be used, and which images are no frames."""
        lines = []
        for clip, images in self._clips("test"):
            _, trouble = self._labels(clip, len(_numbered(images)))
            if trouble:
                lines.append(f"testing/{clip}: {trouble}; its truth is unknown, and evaluations leave it out")
        found = [image for split in _FOLDERS for _, images in self._clips(split) for image in images]
        if unnumbered := [image for image in found if not _is_number(image.stem)]:
            count = counted(len(unnumbered), "image")
            lines.append(f"left out, as frames have numbers as names: {count}, such as {unnumbered[0]}")
        return lines

    def _clips(self, split: Split) -> list[tuple[str, list[Path]]]:
        """Return the images of each clip; 2 before 10, whether or not there are leading zeros."""
        place = self.folder / _FOLDERS[split] / "frames"
        clips = [
            (name, [path for path in files if is_image(path) and path.parent.parent == place])
            for name, files in contents_of(place).by_folder().items()
            if name
        ]
        return sorted(clips, key=lambda clip: (int(clip[0]) if _is_number(clip[0]) else -1, clip[0]))

    def _frames(self, split: Split, clip: str, images: list[Path]) -> list[Sample]:
        name = f"{_FOLDERS[split]}/{clip}"
        frames = _numbered(images)
        labels = np.zeros(len(frames), bool) if split == "train" else self._labels(clip, len(frames))[0]
        samples = []
        for index, (number, image) in enumerate(frames):
            anomalous = None if labels is None else bool(labels[index])
            kind = None if anomalous is None else ANOMALY if anomalous else GOOD
            samples.append(Sample(f"{name}/{number:04d}", FrameRef(image), name, index, anomalous=anomalous, kind=kind))
        return samples

    def _labels(self, clip: str, frames: int) -> tuple[NDArray[np.bool_] | None, str]:
        """Say of each frame of a test clip whether it is anomalous, else None and the reason."""
        names = [f"{int(clip):03d}.npy"] if _is_number(clip) else []
        names.append(f"{clip}.npy")
        path = next((path for name in names if (path := self.folder / "test_label" / name).is_file()), None)
        if path is None:
            return None, f"there are no labels (test_label/{' or '.join(dict.fromkeys(names))})"
        name = path.relative_to(self.folder).as_posix()
        try:
            return read_flags(path, frames), ""
        except (OSError, ValueError) as error:
            return None, f"{name} cannot be read as labels ({str(error).splitlines()[0]})"


def _numbered(images: list[Path]) -> list[tuple[int, Path]]:
    """Return the frames in their order, each with its number; raises DatasetError where two have the same."""
    found = sorted((int(path.stem), path) for path in images if _is_number(path.stem))
    for (number, path), (following, other) in pairwise(found):
        if number == following:
            told = f"{path} and {other.name} have the same number, so that their order is unknown"
            raise DatasetError(told, hint="remove one")
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
