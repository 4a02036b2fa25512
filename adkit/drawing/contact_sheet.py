"""A picture with example images of each kind in a dataset, masks outlined."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from adkit.data.boxes import Pixels
from adkit.data.clips import are_stills
from adkit.data.images import read_mask
from adkit.drawing.overlay import letters
from adkit.errors import FrameError
from adkit.stats.formatting import clock, counted
from adkit.stats.segments import grouped
from adkit.types import Sample

COLUMNS = 6
_TILE_PX = 180
_GAP_PX = 8
_TITLE_PX = 22
_LONGEST_CAPTION = 26  # letters that fit below a tile


class ContactSheet:
    """Chooses examples of each kind; takes their pixels as they come by, so that no file is read for it alone."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        """Choose the examples."""
        self._of_clips = not are_stills(samples)
        by_kind = grouped(samples, lambda sample: sample.kind or "unknown")
        self._titles: list[str] = []
        self._places: dict[str, tuple[int, int, str]] = {}  # by sample id: row, column, caption
        for row, (kind, members) in enumerate(sorted(by_kind.items(), key=lambda item: (item[0] != "good", item[0]))):
            clips = len({sample.clip for sample in members})
            count = f"{counted(len(members), 'frame')} of {counted(clips, 'clip')}" if self._of_clips else len(members)
            self._titles.append(f"{kind} ({count})")
            step = max(1, len(members) // COLUMNS)
            for column, sample in enumerate(members[::step][:COLUMNS]):
                caption = f"{_shortened(sample.clip)}  {clock(sample.time_s)}" if self._of_clips else ""
                self._places[sample.id] = row, column, caption
        self._tiles: list[tuple[int, int, str, Image.Image]] = []  # row, column, caption, image

    def wants(self, sample: Sample) -> bool:
        """Say whether the sample is one of the examples."""
        return sample.id in self._places

    def add(self, sample: Sample, image: Pixels) -> None:
        """Keep the image of an example, small; one whose mask cannot be used stays away."""
        if (small := _small(sample, image)) is not None:
            self._tiles.append((*self._places[sample.id], small))

    def add_row(self, title: str, images: Sequence[tuple[Sample, Pixels]]) -> None:
        """Add a row of its own below the kinds, each image with its name."""
        for column, (sample, image) in enumerate(images[:COLUMNS]):
            if (small := _small(sample, image)) is not None:
                self._tiles.append((len(self._titles), column, _shortened(sample.id), small))
        self._titles.append(title)

    def draw(self) -> Image.Image | None:
        """Draw a row for each kind; None when no image came by."""
        if not self._tiles:
            return None
        # Videos are wide: rows are as high as the highest image, and what is told below needs room.
        tile_px = max(tile.height for *_, tile in self._tiles) + 16 * any(caption for _, _, caption, _ in self._tiles)
        row_px = _TITLE_PX + tile_px + _GAP_PX
        size = (COLUMNS * (_TILE_PX + _GAP_PX) + _GAP_PX, len(self._titles) * row_px + _GAP_PX)
        sheet = Image.new("RGB", size, "white")
        pen = ImageDraw.Draw(sheet)
        for row, title in enumerate(self._titles):
            pen.text((_GAP_PX, row * row_px + _GAP_PX), title, fill=(32, 36, 40), font=letters(15, title))
        for row, column, caption, tile in self._tiles:
            left, top = column * (_TILE_PX + _GAP_PX) + _GAP_PX, row * row_px + _GAP_PX + _TITLE_PX
            sheet.paste(tile, (left, top))
            pen.text((left, top + tile.height + 1), caption, fill=(96, 100, 104), font=letters(11, caption))
        return sheet


def _small(sample: Sample, image: Pixels) -> Image.Image | None:
    """Return an image as it stands on the sheet, its mask outlined; None where the mask cannot be used."""
    factor = _TILE_PX / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    small = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    if sample.mask is not None:
        try:
            mask = read_mask(sample.mask, (image.shape[0], image.shape[1])).astype(np.uint8)
        except FrameError:
            return None
        mask_small = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(mask_small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(small, contours, -1, (0, 200, 120), 2, cv2.LINE_AA)
    return Image.fromarray(small)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_CAPTION else f"…{name[1 - _LONGEST_CAPTION :]}"
