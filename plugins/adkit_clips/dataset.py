"""Reads your own videos, in the first of these ways that fits.

1. split folders:  train/[normal/]…, test/normal/…, test/<kind>/…; so also UCSD and Avenue, as they are published:
                   Train/Train001/…, Test/Test001/…, Test/Test001_gt/…; training_videos/…, testing_videos/…, ….mat
2. plain clips:    every clip in the folder, at any depth, is a normal one to learn from

A clip is a video file, a GIF, or a folder of images (its frames, ordered by the numbers in their names: 2 before 10).
Labels beside it say which of its frames are anomalous (see `adkit.data.frame_labels`), or a folder CLIP_gt with a
mask for each frame, which is anomalous where anything is bright in it. Without them all frames of a clip in
test/<kind>/ count as anomalous, although most are often normal: whoever has no labels can then still count the clips
that are found. What lies in test/ itself, without labels, is of unknown truth.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from adkit import USUAL_RATE, DatasetError, FrameError, FrameRef, Sample, Split, counted
from adkit.data import layouts
from adkit.data.contents import Contents, contents_of, is_moving
from adkit.data.folder_names import ANOMALY, GOOD, says, split_of
from adkit.data.frame_labels import is_labels, labels_by_clip, labels_of, read_labels
from adkit.data.images import frame_shape, is_image, read_mask
from adkit.data.layouts import Placed
from adkit.data.locations import OwnFolder
from adkit.data.video import Video

MASKS = "_gt"  # ends the name of the folder with the masks of a clip's frames
_HINT = "put normal clips into train/normal/, others into test/KIND/, and some normal ones into test/normal/"

Layout = Literal["split folders", "plain clips"]


@dataclass(frozen=True, slots=True)
class _Clip:
    """A clip, and what its place says of it."""

    split: Split
    path: Path  # a file, or a folder of images
    frames: list[Path]  # the images of a folder, in their order
    name: str
    kind: str | None  # "good" for a normal one; None: unknown
    labels: Path | None
    masks: list[Path]  # one for each frame; [] where there are none

    @property
    def labelled(self) -> bool:
        """Say whether it is known of each frame whether it is anomalous."""
        return self.labels is not None or bool(self.masks)

    @property
    def truth(self) -> bool | None:
        """Say whether all its frames are anomalous, where no labels say more."""
        return None if self.kind is None else self.kind != GOOD


class Clips(OwnFolder):
    """A folder of one's own videos."""

    name, hint = "clips", "name a folder of videos after clips:"

    def __init__(self, folder: Path, spec: str, root: Path) -> None:
        super().__init__(folder, spec, root)
        self._contents = contents_of(folder)
        self.layout: Layout = _layout_of(self._contents)
        self._clips = _clips_of(self._contents, self.layout)
        self._samples: dict[Split, list[Sample]] = {}
        self._video_notes: list[str] = []  # what the videos say that were looked at
        if not any(clip.split == "train" for clip in self._clips):
            hint = "put normal videos into the folder itself, or into train/normal/ inside it"
            raise DatasetError(f"no normal clip was found to learn from in {folder} (read as {self.layout})", hint=hint)

    def samples(self, split: Split) -> list[Sample]:
        """Return the frames of one split, clip by clip; raises DatasetError for a clip that cannot be opened."""
        if split not in self._samples:
            clips = [clip for clip in self._clips if clip.split == split]
            self._samples[split] = [sample for clip in clips for sample in _frames(clip, self._video_notes)]
        return self._samples[split]

    def notes(self) -> list[str]:
        """Say how the folder was read, how many clips of each kind it holds, and what is not known or left out."""
        self.samples("train")
        test = [clip for clip in self._clips if clip.split == "test"]
        parts = layouts.told_kinds(Counter(clip.kind or "unknown" for clip in test))
        train = counted(len(self._clips) - len(test), "clip")
        lines = [f"read {self.folder} as {self.layout}: {train} to learn from; to test with: {parts}"]
        if whole := sum(not clip.labelled and clip.truth is True for clip in test):
            lines.append(
                f"{counted(whole, 'clip')} of anomalous kinds without labels: all their frames count as anomalous, "
                "also those before and after the anomaly, so that figures for single frames come out too low"
            )
        if unknown := sum(not clip.labelled and clip.kind is None for clip in test):
            lines.append(
                f"{counted(unknown, 'clip', 'lie')} in the test folder without a kind or labels: evaluations leave out "
                "what is not known to be normal or not; use test/normal/ and test/KIND/"
            )
        frames = sum(len(clip.frames) + len(clip.masks) for clip in self._clips)
        if loose := sum(map(_is_frame, self._contents.files)) - frames:
            lines.append(f"left out beside clips or folders of them: {counted(loose, 'image')}")
        taken = {clip.path for clip in self._clips}
        left = ["/".join(self._contents.inside(path)) for path in self._contents.files if is_moving(path)]
        if left := [name for name in left if self.folder / name not in taken]:
            lines.append(f"left out, as no name says whether they are normal: {', '.join(left)}")
        used = {clip.labels for clip in self._clips}
        if unused := [path.name for path in self._contents.files if is_labels(path) and path not in used]:
            lines.append(f"labels without a clip of their name were left out: {', '.join(unused)}")
        lines += self._video_notes
        return lines + self._contents.notes(lambda path: is_moving(path) or is_image(path) or is_labels(path))


def _layout_of(contents: Contents) -> Layout:
    if any(split_of(place[0]) == "train" for place in contents.folders):
        return "split folders"
    # Anomalous clips must not be learned as normal ones because they lie in a folder that is not looked for.
    layouts.require_no_doubt(contents.folder, contents.folders, "train", _HINT)
    return "plain clips"


def _clips_of(contents: Contents, layout: Layout) -> list[_Clip]:
    """Return the clips, those to learn from first, numbers in names as numbers: 2 before 10."""
    labels = labels_by_clip(contents.files)
    found = dict(_clips_in(contents.files))
    places = []
    for path, frames in found.items():
        inside = contents.inside(path) or (path.resolve().name,)
        # Frames may lie in a folder of their kind, and in none of their own.
        places.append(((*inside, "frames") if frames and says(inside[-1]) else inside, path))
    split = layout == "split folders"
    normal = [Placed("train", inside, path, GOOD) for inside, path in places]
    placed = list(layouts.in_splits(places)) if split else normal
    layouts.require_good(contents.folder, [one.inside for one in placed if one.kind == GOOD], _HINT, depth=int(split))
    placed.sort(key=lambda one: one.split == "test")
    return [_clip(contents.folder, one, found[one.path], labels) for one in placed]


def _clip(folder: Path, one: Placed, frames: list[Path], labels: Mapping[Path, list[Path]]) -> _Clip:
    path = one.path
    name = path.relative_to(folder).as_posix() if path != folder else folder.resolve().name
    masks = layouts.in_numeric_order(filter(is_image, Path(f"{path}{MASKS}").glob("*"))) if frames else []
    if masks and len(masks) != len(frames):
        raise DatasetError(
            f"{path} has {len(frames)} frames and {path.name + MASKS} {len(masks)} masks: which is whose is not known",
            hint="put the missing ones back, or move the folder of masks away",
        )
    return _Clip(one.split, path, frames, name, one.kind, labels_of(path, labels, folder=bool(frames)), masks)


def _clips_in(files: Sequence[Path]) -> list[tuple[Path, list[Path]]]:
    """Return the clips among files in their order, each with its images; a folder with images beside clips is none."""
    folders: dict[Path, list[Path]] = {}
    for path in layouts.in_numeric_order(filter(_is_frame, files)):
        folders.setdefault(path.parent, []).append(path)
    videos: dict[Path, list[Path]] = {path: [] for path in files if is_moving(path)}
    above = {place for path in (*videos, *folders) for place in path.parents}
    above |= {place for place in folders if Path(str(place).removesuffix(MASKS)) in folders.keys() - {place}}
    found = videos | {place: images for place, images in folders.items() if place not in above}
    return [(path, found[path]) for path in layouts.in_numeric_order(found)]


def _frames(clip: _Clip, notes: list[str]) -> list[Sample]:
    if clip.frames:
        refs = [FrameRef(image) for image in clip.frames]
        times_s = np.arange(len(refs)) / USUAL_RATE
    else:
        try:
            with Video(clip.path) as video:
                times_s = video.times_s()
                notes += video.notes
        except FrameError as error:
            raise DatasetError(error.message, hint="record it again, or move it out of the dataset") from None
        refs = [FrameRef(clip.path, number) for number in range(len(times_s))]
    truths = [(clip.truth, clip.kind)] * len(refs)
    masks: list[FrameRef | None] = [None] * len(refs)
    if clip.labelled:
        kind = ANOMALY if clip.kind in (None, GOOD) else clip.kind
        if clip.labels is not None:
            kinds = read_labels(clip.labels, times_s, kind)
        else:
            masks = [_marked(FrameRef(mask), ref) for mask, ref in zip(clip.masks, refs, strict=True)]
            kinds = [kind if mask else None for mask in masks]
        truths = [(found is not None, found or GOOD) for found in kinds]
    return [
        Sample(f"{clip.name}/{index:05d}", ref, clip.name, index, anomalous, kind, mask, float(time_s))
        for index, (ref, time_s, (anomalous, kind), mask) in enumerate(zip(refs, times_s, truths, masks, strict=True))
    ]


def _marked(mask: FrameRef, frame: FrameRef) -> FrameRef | None:
    """Return the mask of a frame where it has anything bright in it; raises FrameError for one that does not fit."""
    return mask if read_mask(mask, frame_shape(frame)).any() else None


def _is_frame(path: Path) -> bool:
    return is_image(path) and not is_moving(path)
