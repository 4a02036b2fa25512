"""How a method sees pictures: how they become frames of its size, and its maps become maps of the pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = TypeVar("Kind", np.uint8, np.float32)

Size = tuple[int, int]
"""(height, width) in px."""

MOST_STRETCH = 1.05
"""A picture whose sides relate to each other almost as the frame's do fills it, by so little distortion."""


class Picture(Protocol):
    """A decoded picture, converted when it is known at which size it is needed."""

    @property
    def shape(self) -> Size:
        """Return its (height, width) in px."""

    def pixels(self, size: Size | None = None) -> NDArray[np.uint8]:
        """Return it as RGB (H, W, 3), at this size or at its own."""


@dataclass(frozen=True, slots=True)
class StillPicture:
    """An image, RGB (H, W, 3), as a picture."""

    image: NDArray[np.uint8]

    @property
    def shape(self) -> Size:
        """Return its (height, width) in px."""
        return self.image.shape[0], self.image.shape[1]

    def pixels(self, size: Size | None = None) -> NDArray[np.uint8]:
        """Return it at this size or at its own."""
        from adkit.data.images import resize  # loads OpenCV

        return self.image if size is None else resize(self.image, size)


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a frame that a picture takes, in px; the rest is filled by mirroring."""

    top: int
    left: int
    height: int
    width: int


class View(BaseModel):
    """How a method sees pictures of any shape: scaled to fit into its frame, without distortion, in the middle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    frame: Size  # what the method sees
    picture: Size | None = None  # the usual shape of the pictures; None: nobody has looked
    finest_px: float | None = None  # of the frame: the smallest defect that the method can see; None: nobody knows

    def see(self, picture: Picture) -> NDArray[np.uint8]:
        """Return the frame, RGB (h, w, 3), of a picture."""
        import cv2

        part = self.part(picture.shape)
        pixels = picture.pixels((part.height, part.width))
        if pixels.shape[:2] == self.frame:
            return pixels
        below, right = self.frame[0] - part.top - part.height, self.frame[1] - part.left - part.width
        border = cv2.BORDER_REFLECT_101
        return np.asarray(cv2.copyMakeBorder(pixels, part.top, below, part.left, right, border), np.uint8)

    def part(self, shape: Size) -> Part:
        """Say where in the frame a picture of this shape lies."""
        scales = [side / own for side, own in zip(self.frame, shape, strict=True)]
        if max(scales) <= MOST_STRETCH * min(scales):
            return Part(0, 0, *self.frame)
        height, width = (
            max(1, min(side, round(own * min(scales)))) for side, own in zip(self.frame, shape, strict=True)
        )
        return Part((self.frame[0] - height) // 2, (self.frame[1] - width) // 2, height, width)

    def own(self, values: NDArray[Kind], shapes: Sequence[Size]) -> NDArray[Kind]:
        """Cut frames' maps (N, h, w) or pictures (N, h, w, 3) down to those of pictures of these shapes.

        Each keeps as many positions, whatever its picture's shape: the maps of all pictures lie side by side.
        """
        if all(self._fills(shape) for shape in set(shapes)):
            return values
        return np.stack([self._cut(one, shape) for one, shape in zip(values, shapes, strict=True)])

    def _fills(self, shape: Size) -> bool:
        part = self.part(shape)
        return (part.height, part.width) == self.frame

    def _cut(self, values: NDArray[Kind], shape: Size) -> NDArray[Kind]:
        import cv2

        part, (rows, columns) = self.part(shape), values.shape[:2]
        down, across = rows / self.frame[0], columns / self.frame[1]  # positions a px
        top, left = part.top * down, part.left * across
        # Positions whose middle is filled are never looked at.
        first_row, first_column = math.ceil(top - 0.5), math.ceil(left - 0.5)
        end_row, end_column = math.ceil(top + part.height * down - 0.5), math.ceil(left + part.width * across - 0.5)
        seen = values[first_row : max(end_row, first_row + 1), first_column : max(end_column, first_column + 1)]
        # From positions of the result to positions of what is seen, both counted from the middle of the first.
        down, across = part.height / self.frame[0], part.width / self.frame[1]
        top, left = top - first_row + (down - 1) / 2, left - first_column + (across - 1) / 2
        back = np.array([[across, 0, left], [0, down, top]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cut = cv2.warpAffine(seen, back, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cut, values.dtype)

    @property
    def smallest_px(self) -> int | None:
        """Say how many px of a usual picture the smallest defect takes that can be seen; None where nobody knows."""
        if self.picture is None or self.finest_px is None:
            return None
        scale = min(side / own for side, own in zip(self.frame, self.picture, strict=True))
        return max(1, round(self.finest_px / scale))

    def in_words(self) -> str:
        """Say how large pictures are seen, and what can be seen in them; "" where no picture was looked at."""
        if self.picture is None:
            return ""
        seen = f"{px(self.picture)} → {px(self.frame)}"
        if (smallest := self.smallest_px) is None:
            return seen
        return f"{seen}; the smallest defect it can see is about {smallest}×{smallest} px of your picture"


def px(shape: Size) -> str:
    """Write (height, width) as people do: width×height."""
    return f"{shape[1]}×{shape[0]}"


def usual_shape(shapes: Sequence[Size]) -> Size:
    """Return the shape (height, width) of the picture that lies in the middle when they are ordered by shape."""
    return sorted(shapes, key=lambda shape: (shape[0] / shape[1], shape))[len(shapes) // 2]
