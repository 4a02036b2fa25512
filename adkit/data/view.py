"""How a method sees images: how they become frames of its size, and its maps become maps of the images.

An image, or the box of it that is looked at, is laid on a canvas: scaled to fit, without distortion. The canvas is
what the method sees; or with tiles it is as large as the image, and the method sees overlapping parts of it in turn.
"""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from adkit.data.boxes import Box, Kind, Map, Marks, Pixels, Size, px
from adkit.data.tiles import blended
from adkit.errors import FrameError
from adkit.stats.formatting import percent_text

MOST_STRETCH = 1.05
"""An image whose sides relate to each other almost as the frame's do fills it, by so little distortion."""
LOOSE = 0.75
"""Of an image's area: where all that counts lies in a box smaller than this, the box is proposed."""
LONGEST_MAP = 2048
"""Positions along the longer side, at most, of a map that lies over a whole image although only a part is seen."""
NARROWEST, WIDEST = 255, 65535  # the white of images of 8 and of 16 bits
_UNSEEN = 128  # the grey of a reconstruction where nobody looks


class DecodedImage(Protocol):
    """A decoded image, converted when it is known at which size it is needed."""

    @property
    def shape(self) -> Size:
        """Return its (height, width) in px."""

    def pixels(self, size: Size | None = None) -> Pixels:
        """Return it as RGB (H, W, 3), at this size or at its own."""


@dataclass(frozen=True, slots=True)
class StillImage:
    """An array, RGB (H, W, 3), as a decoded image."""

    image: Pixels

    @property
    def shape(self) -> Size:
        """Return its (height, width) in px."""
        return self.image.shape[0], self.image.shape[1]

    def pixels(self, size: Size | None = None) -> Pixels:
        """Return it at this size or at its own."""
        from adkit.data.images import resize  # loads OpenCV

        return self.image if size is None else resize(self.image, size)


class View(BaseModel, extra="forbid", frozen=True):
    """How a method sees images of any shape.

    With a `box` it sees that part of them alone, and with a `mask` or a `border` only some places count. Masks and
    boxes are those of images of one size; `require` refuses others. With `tiles` an image is seen as several frames.
    """

    frame: Size  # what the method sees
    tiles: tuple[Box, ...] = ()  # where on the canvas each frame lies; none: the canvas is one frame
    picture: Size | None = None  # the usual shape of the images; None: nobody has looked
    sizes: tuple[Size, Size] | None = None  # the least and the most of their heights and widths
    finest_px: float | None = None  # of the frame: the smallest defect that the method can see; None: nobody knows
    box: Box | None = None  # the part of an image that is looked at; None: all of it
    mask: str | None = None  # a PNG as base64, of an image's size: bright where its places count; None: everywhere
    border: int = 0  # px along an image's edges that do not count
    white: int | None = None  # the value that stands for it in images of more than 8 bits; None: the full range

    @property
    def canvas(self) -> Size:
        """Return (height, width) in px of what an image is laid on."""
        if not self.tiles:
            return self.frame
        return max(tile.top + tile.height for tile in self.tiles), max(tile.left + tile.width for tile in self.tiles)

    @property
    def frames(self) -> int:
        """Say how many frames an image becomes."""
        return max(1, len(self.tiles))

    @property
    def everywhere(self) -> bool:
        """Say whether it looks at all of an image."""
        return self.box is None and self.mask is None and self.border == 0

    def require(self, shape: Size, name: str) -> None:
        """Raise FrameError for an image of another size than those whose part it looks at, or that is all border."""
        if 2 * self.border >= min(shape):
            told = f"{name} is {px(shape)} px, and {self.border} px along its edges are ignored: nothing is left"
            raise FrameError(told, hint="give larger images, or learn with a smaller --ignore-border")
        if (self.box or self.mask) and shape != self.picture and self.picture:
            told = f"{name} is {px(shape)} px, and the run looks at a part of images of {px(self.picture)} px"
            raise FrameError(told, hint="give images of that size, or fit again for these")

    def see(self, picture: DecodedImage) -> Pixels:
        """Return an image as it lies on the canvas, RGB (h, w, 3); the rest of that is filled by mirroring."""
        import cv2

        part = self._part(picture.shape)
        seen = StillImage(self.box.of(picture.pixels())) if self.box else picture
        pixels = seen.pixels(part.size)
        if pixels.shape[:2] == self.canvas:
            return np.ascontiguousarray(pixels)
        below, right = self.canvas[0] - part.top - part.height, self.canvas[1] - part.left - part.width
        border = cv2.BORDER_REFLECT_101
        return np.asarray(cv2.copyMakeBorder(pixels, part.top, below, part.left, right, border), np.uint8)

    def frames_of(self, canvas: Pixels) -> list[Pixels]:
        """Return the frames, each (h, w, 3), that the method sees of a canvas."""
        return [tile.of(canvas) for tile in self.tiles] if self.tiles else [canvas]

    def joined(self, values: NDArray[Kind]) -> NDArray[Kind]:
        """Turn frames' maps (N * frames, h, w) or images (..., h, w, 3) into canvases (N, ...), tiles blended."""
        return blended(values, self.tiles, self.frame) if self.tiles else values

    def own_maps(self, maps: Map, shapes: Sequence[Size]) -> Map:
        """Cut canvases' maps (N, h, w) down to the images' seen parts; what does not count has the lowest value."""
        own = self._own(maps, shapes)
        if self.mask is None and self.border == 0:
            return own
        own = own.copy()
        for one, shape in zip(own, shapes, strict=True):
            counts = counting_positions(self, shape, (one.shape[0], one.shape[1]))
            one[~counts] = one[counts].min()
        return own

    def own_images(self, images: Pixels, shapes: Sequence[Size]) -> Pixels:
        """Turn canvases (N, h, w, 3) that a method made up into images of these shapes, grey where nobody looks."""
        own = self._own(images, shapes)
        return own if self.box is None else np.stack([self.over(one, self._grid(one), _UNSEEN) for one in own])

    def whole(self, anomaly_map: Map, shape: Size | None = None, ceiling: float | None = None) -> Map:
        """Return a map (h, w) of what is seen as one of the whole image, with its lowest value where nobody looks.

        With the image's `shape` that value is at most `ceiling`, also where all that counts is higher.
        """
        lowest = float(anomaly_map.min())
        lowest = lowest if ceiling is None else min(lowest, ceiling)
        whole = anomaly_map if self.box is None else self.over(anomaly_map, self._grid(anomaly_map), lowest)
        if shape is None or (self.mask is None and self.border == 0):
            return whole
        counts = shares_of(self.counting(shape), (whole.shape[0], whole.shape[1])) > 0
        return np.where(counts, whole, np.float32(lowest))

    def over(self, values: NDArray[Kind], size: Size, outside: float) -> NDArray[Kind]:
        """Enlarge a map (h, w) or image (h, w, 3) of what is seen to a whole image of (height, width) px."""
        import cv2

        if self.box is None:
            box = Box(left=0, top=0, width=size[1], height=size[0])
        else:
            assert self.picture is not None  # a box is one of images of a known size
            box = self.box.scaled(size[0] / self.picture[0], size[1] / self.picture[1])
        enlarged = cv2.resize(values, box.size[::-1], interpolation=cv2.INTER_LINEAR)
        if self.box is None:
            return np.asarray(enlarged, values.dtype)
        whole = np.full((*size, *values.shape[2:]), outside, values.dtype)
        box.of(whole)[...] = enlarged
        return whole

    def counting(self, shape: Size) -> Marks:
        """Return which px of an image (height, width) count."""
        counts = np.zeros(shape, bool)
        (self.box.of(counts) if self.box else counts)[...] = True
        if self.mask is not None:
            counts &= _decoded(self.mask)
        if self.border:
            edge = np.ones(shape, bool)
            edge[self.border : -self.border, self.border : -self.border] = False
            counts &= ~edge
        return counts

    @property
    def smallest_px(self) -> int | None:
        """Say how many px of a usual image the smallest defect takes that can be seen; None where nobody knows."""
        if self.picture is None or self.finest_px is None:
            return None
        scale = min(side / own for side, own in zip(self.canvas, self._seen(self.picture), strict=True))
        return max(1, round(self.finest_px / scale))

    @property
    def white_in_words(self) -> str:
        """Say what is white in images of more than 8 bits, "" where that is the highest value of 16."""
        return "" if self.white in (None, NARROWEST, WIDEST) else f"in 16-bit files {self.white:,} is read as white"

    def in_words(self) -> str:
        """Say how large images are seen, and what can be seen in them; "" where no image was looked at."""
        if self.picture is None:
            return ""
        part = f", of which {px(self.box.size)} from {self.box.left},{self.box.top}" if self.box else ""
        how = f" in {len(self.tiles)} tiles of {px(self.frame)}" if self.tiles else f" → {px(self.frame)}"
        seen = f"{px(self.picture)}{part}{how}"
        if self.mask or self.border:
            counts = self.counting(self.picture)
            share = 1 - float((self.box.of(counts) if self.box else counts).mean())
            seen += f"; {percent_text(share)} of it does not count"
            rest = Box.around(counts)
            if self.mask and not self.box and rest.width * rest.height < LOOSE * counts.size:
                roi = f"--roi {rest.left},{rest.top},{rest.width},{rest.height}"
                seen += f" (fit with {roi} besides sees the rest larger)"
        seen += f"; {self.white_in_words}" if self.white_in_words else ""
        if (smallest := self.smallest_px) is None:
            return seen
        return f"{seen}; the smallest defect it can see is about {smallest}×{smallest} px of your image"

    def _seen(self, shape: Size) -> Size:
        return self.box.size if self.box else shape

    def _part(self, shape: Size) -> Box:
        """Say where on the canvas lies what is seen of an image of this shape."""
        seen, canvas = self._seen(shape), self.canvas
        scales = [side / own for side, own in zip(canvas, seen, strict=True)]
        if max(scales) <= MOST_STRETCH * min(scales):
            return Box(left=0, top=0, width=canvas[1], height=canvas[0])
        height, width = (max(1, min(side, round(own * min(scales)))) for side, own in zip(canvas, seen, strict=True))
        return Box(left=(canvas[1] - width) // 2, top=(canvas[0] - height) // 2, width=width, height=height)

    def _own(self, values: NDArray[Kind], shapes: Sequence[Size]) -> NDArray[Kind]:
        if all(self._part(shape).size == self.canvas for shape in set(shapes)):
            return values
        return np.stack([self._cut(one, shape) for one, shape in zip(values, shapes, strict=True)])

    def cuts(self, shape: Size, grid: Size) -> tuple[Map, Map]:
        """Return (h, h) and (w, w) that turn a canvas's map (h, w) into one of an image: rows @ map @ columns.T."""
        part = self._part(shape)
        starts, sides = (part.top, part.left), part.size
        rows, columns = (_cut_along(*of_axis) for of_axis in zip(grid, starts, sides, self.canvas, strict=True))
        return rows, columns

    def _cut(self, values: NDArray[Kind], shape: Size) -> NDArray[Kind]:
        rows, columns = self.cuts(shape, (values.shape[0], values.shape[1]))
        cut = np.einsum("wv,hv...->hw...", columns, np.tensordot(rows, values, 1), optimize=True)
        return np.asarray(cut if values.dtype == np.float32 else cut.round(), values.dtype)

    def _grid(self, values: NDArray[Kind]) -> Size:
        """Say how many positions a whole image has where the part that is seen has those of `values` (h, w, ...)."""
        assert self.box is not None
        assert self.picture is not None
        counts = zip(self.picture, values.shape[:2], self.box.size, strict=True)
        sides = [own * positions / seen for own, positions, seen in counts]
        shrunk = min(1.0, LONGEST_MAP / max(sides))
        return max(1, round(sides[0] * shrunk)), max(1, round(sides[1] * shrunk))


def _cut_along(count: int, start: int, side: int, canvas: int) -> Map:
    """Return (count, count): as many positions over `side` px from `start` on, from those over all px of a canvas.

    Each comes of the two nearest ones; positions whose middle is filled are never looked at.
    """
    first, end = (math.ceil(px * count / canvas - 0.5) for px in (start, start + side))
    middles = (start + side * (np.arange(count) + 0.5) / count) * count / canvas - 0.5
    middles = middles.clip(first, max(first, end - 1))
    return np.asarray(np.maximum(0, 1 - np.abs(middles[:, None] - np.arange(count))), np.float32)


@lru_cache(maxsize=8)
def counting_px(view: View, shape: Size) -> Marks | None:
    """Return which px of an image (height, width) count; None where all do."""
    return None if view.everywhere else view.counting(shape)


@lru_cache(maxsize=32)
def counting_positions(view: View, shape: Size, grid: Size) -> Marks:
    """Return which positions of a map (h, w) of what is seen count: those that do with over half of their area."""
    counts = view.counting(shape)
    shares = shares_of(view.box.of(counts) if view.box else counts, grid)
    return shares > 0.5 if (shares > 0.5).any() else shares >= shares.max()


def shares_of(counts: Marks, grid: Size) -> Map:
    """Return which share of each position of a map (h, w) over an image counts."""
    import cv2

    return np.asarray(cv2.resize(counts.astype(np.float32), grid[::-1], interpolation=cv2.INTER_AREA), np.float32)


@lru_cache(maxsize=8)
def _decoded(mask: str) -> Marks:
    import cv2

    picture = cv2.imdecode(np.frombuffer(base64.b64decode(mask), np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.asarray(picture) > 127


EVERYWHERE = View(frame=(1, 1))  # a view that leaves nothing out


def packed_mask(mask: Marks) -> str:
    """Return a mask (H, W) as a View keeps it."""
    import cv2

    return base64.b64encode(cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()).decode()


def usual_shape(shapes: Sequence[Size]) -> Size:
    """Return the shape (height, width) of the image that lies in the middle when they are ordered by shape."""
    return sorted(shapes, key=lambda shape: (shape[0] / shape[1], shape))[len(shapes) // 2]
