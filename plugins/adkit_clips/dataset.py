"""Your own videos, read in the first of these ways that fits:

1. split folders:  train/[normal/]…, test/normal/…, test/<kind>/…
2. plain clips:    every clip in the folder, at any depth, is a normal one to learn from

A clip is a video file, a GIF, or a folder of images (its frames, ordered by the numbers in their names: 2 before 10).
"good" and "ok" mean "normal"; the case of these names does not matter.

Labels beside a clip say which of its frames are anomalous (`labels.py` describes the files). Without them all frames of
a clip in test/<kind>/ count as anomalous, although most of such a clip is often normal: whoever has no labels can then
still count the clips that are found, and `notes` says that figures for single frames come out too low. A clip that lies
in test/ itself has no kind: without labels its truth is unknown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from adkit import USUAL_RATE, Dataset, DatasetError, FrameError, FrameRef, Sample, Split
from adkit.data.images import is_image
from adkit.data.locations import named_folder
from adkit.data.video import is_video, video_times
from adkit_clips.labels import labels_beside, read_labels

GOOD, ANOMALY = "good", "anomaly"
NORMAL_NAMES = frozenset({"good", "normal", "ok"})
ANOMALOUS_NAMES = frozenset({"abnormal", "anomalies", "anomalous", "anomaly", "bad", "defect", "defects", "ng", "nok"})

Layout = Literal["split folders", "plain clips"]


@dataclass(frozen=True, slots=True)
class _Clip:
    """A clip, and what its place says of it."""

    split: Split
    path: Path  # a file, or a folder of images
    name: str
    kind: str | None  # "good" for a normal one; None: unknown
    labels: Path | None

    @property
    def truth(self) -> bool | None:
        """Whether all its frames are anomalous, where no labels say more."""
        return None if self.kind is None else self.kind != GOOD


class Clips(Dataset):
    """A folder of one's own videos."""

    def __init__(self, folder: Path, spec: str, root: Path) -> None:
        self.folder = folder
        self.spec = spec
        self.root = root
        self.layout: Layout = _layout_of(folder)
        self._clips = _split_folders(folder) if self.layout == "split folders" else _plain_clips(folder)
        self._samples: dict[Split, list[Sample]] = {}
        if not any(clip.split == "train" for clip in self._clips):
            raise DatasetError(
                f"no normal clip was found to learn from in {folder} (read as {self.layout})",
                hint="put normal videos into the folder itself, or into train/normal/ inside it",
            )

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        """The folder at that path, below `root`, the current folder or $ADKIT_DATA."""
        place, base = named_folder(selection, root, hint="name a folder of videos after clips:")
        return [cls(place, f"clips:{selection}", base)]

    def samples(self, split: Split) -> list[Sample]:
        """The frames of one split, clip by clip; raises DatasetError for a clip that cannot be opened."""
        if split not in self._samples:
            self._samples[split] = [sample for clip in self._clips if clip.split == split for sample in _frames(clip)]
        return self._samples[split]

    def notes(self) -> list[str]:
        """How the folder was read, how many clips of each kind it holds, and what is not known of them."""
        test = [clip for clip in self._clips if clip.split == "test"]
        kinds = Counter(clip.kind or "unknown" for clip in test)
        parts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"
        train = _counted(len(self._clips) - len(test))
        lines = [f"read {self.folder} as {self.layout}: {train} to learn from; to test with: {parts}"]
        if whole := sum(clip.labels is None and clip.truth is True for clip in test):
            lines.append(
                f"{_counted(whole)} of anomalous kinds without labels: all their frames count as anomalous, "
                "also those before and after the anomaly, so that figures for single frames come out too low"
            )
        if unknown := sum(clip.labels is None and clip.kind is None for clip in test):
            lines.append(
                f"{_counted(unknown)} directly in the test folder, without labels: whether they are normal is not "
                "known, so they are left out of evaluations; put them into test/normal/ or test/KIND/"
            )
        frames = sum(len(_images(clip.path)) for clip in self._clips if clip.path.is_dir())
        if loose := sum(_is_frame(path) for path in _visible_below(self.folder)) - frames:
            lines.append(f"{loose} images that lie beside clips or folders of them were left out")
        return lines


def _layout_of(folder: Path) -> Layout:
    names = {path.name.lower() for path in _inside(folder) if path.is_dir()}
    if "train" in names:
        return "split folders"
    # Anomalous clips must not be learned as normal ones because they lie in a folder that is not looked for.
    normal = names & NORMAL_NAMES
    suspicious = sorted(names & (ANOMALOUS_NAMES | {"test"})) + sorted(names - NORMAL_NAMES if normal else [])
    if suspicious:
        raise DatasetError(
            f"{folder} has the folder {suspicious[0]!r} but none named 'train'",
            hint="put normal clips into train/normal/, others into test/KIND/, and some normal ones into test/normal/",
        )
    return "plain clips"


def _split_folders(folder: Path) -> list[_Clip]:
    found = []
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        place = next((path for path in _inside(folder) if path.name.lower() == split), folder / split)
        for path in _clips_below(place):
            inside = path.relative_to(place).parts
            kind: str | None = GOOD if split == "train" else None
            if len(inside) > 1 or (inside and path.is_dir() and inside[0].lower() in NORMAL_NAMES | ANOMALOUS_NAMES):
                kind = GOOD if inside[0].lower() in NORMAL_NAMES else inside[0]
            found.append(_Clip(split, path, _name(path, folder), kind, labels_beside(path)))
    return found


def _plain_clips(folder: Path) -> list[_Clip]:
    return [
        # What lies beside the folder itself is not part of it.
        _Clip("train", path, _name(path, folder), GOOD, labels_beside(path) if path != folder else None)
        for path in _clips_below(folder)
    ]


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path != folder else folder.resolve().name


def _clips_below(folder: Path) -> list[Path]:
    """The clips in a folder at any depth, else the folder itself where it holds images."""
    inside = _inside(folder) if folder.is_dir() else []
    found: list[Path] = []
    for path in inside:
        if path.is_dir():
            found += _clips_below(path)
        elif _is_film(path):
            found.append(path)
    return found or ([folder] if any(map(_is_frame, inside)) else [])


def _frames(clip: _Clip) -> list[Sample]:
    if clip.path.is_dir():
        refs = [FrameRef(image) for image in _images(clip.path)]
        times_s = np.arange(len(refs)) / USUAL_RATE
    else:
        try:
            times_s = video_times(clip.path)
        except FrameError as error:
            raise DatasetError(error.message, hint="record it again, or move it out of the dataset") from None
        refs = [FrameRef(clip.path, number) for number in range(len(times_s))]
    truths = [(clip.truth, clip.kind)] * len(refs)
    if clip.labels is not None:
        kind = ANOMALY if clip.kind in (None, GOOD) else clip.kind
        truths = [(found is not None, found or GOOD) for found in read_labels(clip.labels, times_s, kind)]
    return [
        Sample(
            f"{clip.name}/{index:05d}",
            ref,
            clip.name,
            index,
            anomalous=anomalous,
            kind=kind,
            timestamp_s=float(time_s),
        )
        for index, (ref, time_s, (anomalous, kind)) in enumerate(zip(refs, times_s, truths, strict=True))
    ]


def _is_film(path: Path) -> bool:
    return is_video(path) or (path.suffix.lower() == ".gif" and is_image(path))


def _is_frame(path: Path) -> bool:
    return is_image(path) and not _is_film(path)


def _images(folder: Path) -> list[Path]:
    return [path for path in _inside(folder) if _is_frame(path)]


def _inside(folder: Path) -> list[Path]:
    """What a folder holds but for hidden things, numbers in names as numbers: 2 before 10."""
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=_in_order)


def _visible_below(folder: Path) -> list[Path]:
    return [inner for path in _inside(folder) for inner in (_visible_below(path) if path.is_dir() else [path])]


def _in_order(path: Path) -> tuple[Sequence[str | int], str]:
    # Texts and numbers take turns, beginning with a text, so that only like is compared with like.
    parts = re.split(r"([0-9]+)", path.name.lower())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], path.name


def _counted(count: int) -> str:
    return f"{count} clip{'' if count == 1 else 's'}"
