"""A look at a dataset before anything is learned from it: counts, sizes, a contact sheet, what looks wrong."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from adkit.errors import FrameError
from adkit.frames import frame_shape, pixel_format, read_image, read_mask
from adkit.interfaces import Dataset, Progress, Silent
from adkit.types import Sample, Split

_SPLITS: tuple[Split, ...] = ("train", "test")
_TINY_PX = 32
_EXAMPLES = 3  # names of files per finding, pictures per kind
_TILE_PX = 180
_DARK_16_BIT = (4095 + 128) // 257  # the most that a 12-bit camera's images in a 16-bit file reach, read as 8 bit

_Trouble = dict[str, list[tuple[str, ...]]]  # what is wrong -> the images with which it is; copies stand together


@dataclass
class Inspection:
    """What was found in one dataset."""

    spec: str
    notes: list[str]
    counts: dict[tuple[str, str], int] = field(default_factory=dict)  # (split, kind) -> images
    masks: dict[str, int] = field(default_factory=dict)  # kind -> masks
    sizes: Counter[str] = field(default_factory=Counter)  # "900×900" -> images
    formats: Counter[str] = field(default_factory=Counter)  # "RGB" -> images
    findings: list[str] = field(default_factory=list)  # what looks wrong, in sentences
    sheet: Image.Image | None = None


def inspect_dataset(dataset: Dataset, progress: Progress | None = None) -> Inspection:
    """Reads every image and mask of the dataset and reports; raises nothing for a bad file, it is a finding."""
    result = Inspection(dataset.spec, dataset.notes())
    samples = [(split, sample) for split in _SPLITS for sample in dataset.samples(split)]
    trouble: _Trouble = defaultdict(list)
    contents: dict[str, list[tuple[Split, Sample]]] = defaultdict(list)
    sizes: dict[str, str] = {}  # by sample id
    with (progress or Silent()).task("inspecting", len(samples)) as advance:
        for split, sample in samples:
            kind = sample.kind or "unknown"
            result.counts[split, kind] = result.counts.get((split, kind), 0) + 1
            try:
                sizes[sample.id] = _look(sample, result, trouble)
                content = hashlib.sha256(sample.frame.path.read_bytes()).hexdigest()
                contents[content].append((split, sample))
            except FrameError as error:
                trouble["cannot be read"].append((error.message,))
            advance(1)
    for same in contents.values():
        if len(same) > 1:
            across = len({split for split, _ in same}) > 1
            heading = "are in both splits: the test would know its answers" if across else "have identical copies"
            trouble[heading].append(tuple(sample.id for _, sample in same))
    if len(result.sizes) > 1:
        ((common, _),) = result.sizes.most_common(1)
        trouble["have another size than the most common one"] += [
            (f"{name} ({size})",) for name, size in sizes.items() if size != common
        ]
    wrong = [(sample.id,) for split, sample in samples if split == "train" and sample.anomalous]
    if wrong:
        trouble["are marked anomalous, yet stand in the training split"] += wrong
    result.findings = [_sentence(what, groups) for what, groups in trouble.items()]
    if not any(split == "test" for split, _ in samples):
        result.findings.append("there is no test split: eval cannot judge a run")
    result.sheet = contact_sheet([sample for _, sample in samples])
    return result


def contact_sheet(samples: Sequence[Sample]) -> Image.Image | None:
    """A row of example pictures per kind, masks outlined; None when no picture can be read."""
    by_kind: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_kind[sample.kind or "unknown"].append(sample)
    columns = 2 * _EXAMPLES
    font = ImageFont.load_default(15)
    sheet = Image.new("RGB", (columns * (_TILE_PX + 8) + 8, len(by_kind) * (_TILE_PX + 30) + 8), "white")
    pen = ImageDraw.Draw(sheet)
    drawn = 0
    for row, (kind, members) in enumerate(sorted(by_kind.items(), key=lambda item: (item[0] != "good", item[0]))):
        top = row * (_TILE_PX + 30) + 8
        pen.text((8, top), f"{kind} ({len(members)})", fill=(32, 36, 40), font=font)
        step = max(1, len(members) // columns)
        for column, sample in enumerate(members[::step][:columns]):
            try:
                tile = _tile(sample)
            except FrameError:
                continue
            sheet.paste(tile, (column * (_TILE_PX + 8) + 8, top + 22))
            drawn += 1
    return sheet if drawn else None


def _look(sample: Sample, result: Inspection, trouble: _Trouble) -> str:
    """Notes what is to be said of one sample; gives the image's size in words."""
    image = read_image(sample.frame)
    height, width = image.shape[:2]
    mode = pixel_format(sample.frame)
    size = f"{width}×{height}"
    result.sizes[size] += 1
    result.formats[mode] += 1
    if min(height, width) < _TINY_PX:
        trouble[f"are smaller than {_TINY_PX} px"].append((sample.id,))
    if int(image.max()) == int(image.min()):
        trouble["show one colour only"].append((sample.id,))
    elif mode.startswith("I") and int(image.max()) <= _DARK_16_BIT:
        trouble["are 16-bit files that use 12 bits or fewer: they are read as very dark"].append((sample.id,))
    if sample.anomalous and sample.mask is None:
        trouble["are anomalous but have no mask: pixel metrics leave them out"].append((sample.id,))
    if sample.mask is not None:
        kind = sample.kind or "unknown"
        try:
            if not read_mask(sample.mask, (height, width)).any():
                trouble["have a mask that marks nothing"].append((sample.id,))
            result.masks[kind] = result.masks.get(kind, 0) + 1
        except FrameError as error:
            trouble["have a mask that cannot be used"].append((error.message,))
    return size


def _sentence(what: str, groups: Sequence[tuple[str, ...]]) -> str:
    """How many images, what is wrong with them, and some by name."""
    count = sum(map(len, groups))
    shown = [group[:_EXAMPLES] for group in groups[:_EXAMPLES]]
    left = count - sum(map(len, shown))
    return f"{count} {what}: {', '.join(map(' = '.join, shown))}" + (f" and {left} more" if left else "")


def _tile(sample: Sample) -> Image.Image:
    image = read_image(sample.frame)
    shape = frame_shape(sample.frame)
    factor = _TILE_PX / max(shape)
    size = (max(1, round(shape[1] * factor)), max(1, round(shape[0] * factor)))
    small = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    if sample.mask is not None:
        mask = cv2.resize(read_mask(sample.mask, shape).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(small, contours, -1, (0, 200, 120), 2, cv2.LINE_AA)
    return Image.fromarray(small)
