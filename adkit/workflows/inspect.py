"""A look at a dataset before anything is learned from it: counts, sizes, a contact sheet, what looks wrong."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adkit.data.bit_depth import as_rgb8, white_above
from adkit.data.boxes import Size, px
from adkit.data.clips import are_stills, lasting_s
from adkit.data.fingerprints import UNREADABLE, content_hashes
from adkit.data.images import decoded_pixels, pixel_format, read_mask, told_by_compression
from adkit.data.masks import doubt_of
from adkit.data.video import Video
from adkit.drawing.contact_sheet import COLUMNS, ContactSheet
from adkit.errors import FrameError
from adkit.interfaces import SILENT, Advance, Dataset, Progress
from adkit.stats.formatting import clock, counted, listed, verb
from adkit.types import Sample, Split
from adkit.workflows.looks import ClipLooks, Glances

NO_TESTS = (
    "there is no test split: fit needs none, as normal data set the threshold, and audit checks its promise on new "
    "data; eval tells what is caught, and needs anomalous ones to test with"
)
_SPLITS: tuple[Split, ...] = ("train", "test")
_TINY_PX = 32
_EXAMPLES = 3  # names of files per finding
_GLANCE_PX = 64  # frames of videos are looked at as small as this: it tells whether there is anything to see
_Trouble = dict[str, list[tuple[str, ...]]]  # what is wrong -> the images with which it is; copies stand together


@dataclass
class Inspection:
    """What was found in one dataset; where it holds clips, an image is one frame of one."""

    spec: str
    notes: list[str]
    counts: dict[tuple[str, str], int] = field(default_factory=dict)  # (split, kind) -> images
    clips: dict[tuple[str, str], int] = field(default_factory=dict)  # (split, kind) -> clips that show it
    lengths_s: dict[str, float] = field(default_factory=dict)  # clip -> seconds; empty where all are still images
    masks: dict[str, int] = field(default_factory=dict)  # kind -> masks
    shapes: list[Size] = field(default_factory=list)  # (height, width) px of each image that could be read
    formats: Counter[str] = field(default_factory=Counter)  # "RGB" -> images
    findings: list[str] = field(default_factory=list)  # what looks wrong, in sentences
    sheet: Image.Image | None = None

    @property
    def sizes(self) -> Counter[str]:
        """Count the images of each size, "900×900"."""
        return Counter(map(px, self.shapes))


def inspect_dataset(dataset: Dataset, progress: Progress = SILENT) -> Inspection:
    """Read every image, video and mask of the dataset, each once; a bad file is a finding, and raises nothing."""
    samples = [(split, sample) for split in _SPLITS for sample in dataset.samples(split)]
    every = [sample for _, sample in samples]
    look = _Look(Inspection(dataset.spec, dataset.notes()), ContactSheet(every))
    result = look.result
    _count(samples, result)
    with progress.task("inspecting", len(samples)) as advance:
        for video, members in groupby(every, key=lambda one: None if one.frame.number is None else one.frame.path):
            if video is not None:
                look.at_video(video, list(members), advance)
                continue
            for sample in members:
                look.at_image(sample)
                advance(1)
    if look.wide:
        result.notes.append(
            f"{counted(look.wide, 'image', 'have')} more than 8 bits, with values up to "
            f"{look.highest:,}: {white_above(look.highest):,} is read as white"
        )
    _compare_samples(look, samples)
    result.findings = [_sentence(what, groups) for what, groups in look.trouble.items()]
    if told := told_by_compression(every):
        result.findings.append(told)
    if not any(split == "test" for split, _ in samples):
        result.notes.append(NO_TESTS)
    _compare_looks(look, {sample.id: sample for sample in every})
    result.sheet = look.sheet.draw()
    return result


def _picture(sample: Sample) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return an image's own values, and it as RGB (H, W, 3)."""
    pixels = decoded_pixels(sample.frame)
    return pixels, as_rgb8(pixels, str(sample.frame), white_above(int(pixels.max())))


@dataclass
class _Look:
    """Goes through files and notes what it sees."""

    result: Inspection
    sheet: ContactSheet
    trouble: _Trouble = field(default_factory=lambda: defaultdict(list))
    wide: int = 0  # images of more than 8 bits
    highest: int = 0  # of their values
    glances: Glances = field(default_factory=Glances)  # of good still images
    clips: ClipLooks = field(default_factory=ClipLooks)  # of good clips
    sizes: dict[str, list[str]] = field(default_factory=dict)  # by clip, those that could be read: "900×900", …

    def at_image(self, sample: Sample) -> None:
        """Read an image and its mask."""
        try:
            pixels, image = _picture(sample)
            mode = pixel_format(sample.frame)
        except FrameError as error:
            self.trouble["cannot be read"].append((error.message,))
            return
        self._note(sample, (image.shape[0], image.shape[1]), mode)
        if int(image.max()) == int(image.min()):
            self.trouble["show one colour only"].append((sample.id,))
        if pixels.dtype != image.dtype:
            self.wide += 1
            self.highest = max(self.highest, int(pixels.max()))
        self._look_at_mask(sample, image)
        if sample.anomalous is False and not self.result.lengths_s:
            self.glances.add(sample.id, image)
        elif sample.anomalous is False:
            self.clips.add(sample.clip, image)
        if self.sheet.wants(sample):
            self.sheet.add(sample, image)

    def at_video(self, path: Path, samples: Sequence[Sample], advance: Advance) -> None:
        """Walk a video once, from its first frame to its last."""
        expected = {sample.frame.number: sample for sample in samples}
        blank: list[Sample] = []
        try:
            with Video(path) as video:
                for frame in video:
                    if (sample := expected.pop(frame.number, None)) is None:
                        continue
                    height, width = frame.shape
                    self._note(sample, (height, width), "video")
                    glance = frame.pixels((min(height, _GLANCE_PX), min(width, _GLANCE_PX)))
                    if int(glance.max()) == int(glance.min()):
                        blank.append(sample)
                    if sample.anomalous is False:
                        self.clips.add(sample.clip, glance)
                    shown = self.sheet.wants(sample)
                    if sample.mask is not None or shown:
                        pixels = frame.pixels()
                        self._look_at_mask(sample, pixels)
                        if shown:
                            self.sheet.add(sample, pixels)
                    advance(1)
                self.result.notes += [note for note in video.notes if note not in self.result.notes]
        except FrameError as error:
            self.trouble["cannot be read"].append((error.message,))
        else:
            if expected:
                self.trouble["have fewer frames than they say"].append((f"{path} (lacks {len(expected)})",))
        if blank:
            of = "1 frame" if len(blank) == 1 else f"{len(blank)} frames"
            told = f"{blank[0].clip} ({of}, the first at {clock(blank[0].time_s)})"
            self.trouble["have frames of one colour only"].append((told,))
        advance(len(expected))

    def _note(self, sample: Sample, shape: tuple[int, int], mode: str) -> None:
        size = px(shape)
        known = self.sizes.setdefault(sample.clip, [])
        if size not in known:
            known.append(size)
            if min(shape) < _TINY_PX:
                self.trouble[f"are smaller than {_TINY_PX} px"].append((sample.clip,))
        self.result.shapes.append(shape)
        self.result.formats[mode] += 1

    def _look_at_mask(self, sample: Sample, image: NDArray[np.uint8]) -> None:
        if sample.mask is None:
            # Of clips, frames are judged, not pixels.
            if sample.anomalous and not self.result.lengths_s:
                self.trouble["are anomalous without a mask: pixel metrics leave them out"].append((sample.id,))
            return
        kind = sample.kind or "unknown"
        try:
            if doubt := doubt_of(read_mask(sample.mask, (image.shape[0], image.shape[1]))):
                self.trouble[f"have a mask that {doubt}"].append((sample.id,))
            self.result.masks[kind] = self.result.masks.get(kind, 0) + 1
        except FrameError as error:
            self.trouble["have a mask that cannot be used"].append((error.message,))


def _compare_samples(look: _Look, samples: Sequence[tuple[Split, Sample]]) -> None:
    """Note what no sample shows by itself: copies, an unusual size, a label that does not suit the split."""
    trouble, sizes = look.trouble, look.result.sizes
    for same in _copies(samples, look.sizes):
        across = len({split for split, _ in same}) > 1
        heading = "are in both training and test: results would look too good" if across else "have identical copies"
        trouble[heading].append(tuple(name for _, name in same))
    if len(sizes) > 1:
        ((common, _),) = sizes.most_common(1)
        trouble["have another size than the most common one"] += [
            (f"{clip} ({size})",) for clip, own in look.sizes.items() for size in own if size != common
        ]
    wrong = [(sample.id,) for split, sample in samples if split == "train" and sample.anomalous]
    if wrong:
        trouble["are marked anomalous, yet stand in the training split"] += wrong
    unsaid = [(one.id,) for split, one in samples if split == "test" and one.kind is not None and one.anomalous is None]
    if unsaid:
        trouble["have a kind, but not whether it is anomalous: eval leaves them out"] += unsaid


def _compare_looks(look: _Look, samples: Mapping[str, Sample]) -> None:
    """Say whether the good images are of two sorts, and show those that are least like the others."""
    look.result.findings += look.clips.findings()
    rows = {"least like the others": look.glances.oddest(COLUMNS)}
    if groups := look.glances.two_groups():
        more, fewer = map(len, groups)
        look.result.findings.append(
            f"the good images fall into two groups of {more} and {fewer}, as if of two sorts of parts or two views "
            f"({groups[0][0]}, {groups[1][0]}): one run for each finds smaller defects"
        )
        rows["of the smaller group"] = groups[1]
    for title, names in rows.items():
        if names:
            shown = [samples[name] for name in names[:COLUMNS]]
            look.sheet.add_row(f"good, {title}", [(sample, _picture(sample)[1]) for sample in shown])


def _count(samples: Sequence[tuple[Split, Sample]], result: Inspection) -> None:
    """Note how many images and clips there are of each kind, and how long the clips are."""
    clips: dict[tuple[str, str], set[str]] = defaultdict(set)
    for split, sample in samples:
        key = split, sample.kind or "unknown"
        result.counts[key] = result.counts.get(key, 0) + 1
        clips[key].add(sample.clip)
    result.clips = {key: len(names) for key, names in clips.items()}
    every = [sample for _, sample in samples]
    result.lengths_s = {} if are_stills(every) else lasting_s(every)


def _copies(samples: Sequence[tuple[Split, Sample]], readable: dict[str, list[str]]) -> list[list[tuple[Split, str]]]:
    """Return clips (an image is a clip of one) whose files hold the same; only those that could be read."""
    hashes = content_hashes([sample for _, sample in samples])
    contents: dict[tuple[str, ...], list[tuple[Split, str]]] = defaultdict(list)
    for (split, clip), members in groupby(samples, key=lambda item: (item[0], item[1].clip)):
        found = tuple(hashes[sample.id] for _, sample in members)
        if clip in readable and UNREADABLE not in found:
            contents[found].append((split, clip))
    return [same for same in contents.values() if len(same) > 1]


def _sentence(what: str, groups: Sequence[tuple[str, ...]]) -> str:
    """Say how many images there are, what is wrong with them, and some by name."""
    count = sum(map(len, groups))
    shown = [group[:_EXAMPLES] for group in groups[:_EXAMPLES]]
    left = count - sum(map(len, shown))
    begun, _, rest = what.partition(" ")
    what = f"{verb(count, begun)} {rest}"
    return f"{count} {what}: {listed(list(map(' = '.join, shown)), len(shown))}" + (f" and {left} more" if left else "")
