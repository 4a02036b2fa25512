"""Rectangles in images, the sizes that they have there, and the arrays that images and maps are."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

Kind = TypeVar("Kind", np.uint8, np.float32)  # what an image (0..255) or a map holds
Scalar = TypeVar("Scalar", bound=np.generic)

Size = tuple[int, int]  # (height, width) in px
Pixels = NDArray[np.uint8]  # of images, RGB (..., H, W, 3)
Map = NDArray[np.float32]  # values by place, (h, w)
Marks = NDArray[np.bool_]  # which px of an image, (H, W)


class Box(BaseModel, extra="forbid", frozen=True):
    """A rectangle in px."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def around(cls, marks: Marks) -> "Box":
        """Return the least one that holds all marks, of which there are some."""
        rows, columns = (np.flatnonzero(marks.any(axis=axis)) for axis in (1, 0))
        (top, bottom), (left, right) = ((int(one[0]), int(one[-1]) + 1) for one in (rows, columns))
        return cls(left=left, top=top, width=right - left, height=bottom - top)

    @property
    def size(self) -> Size:
        """Return (height, width)."""
        return self.height, self.width

    def of(self, values: NDArray[Scalar]) -> NDArray[Scalar]:
        """Cut it out of an image or mask (H, W, ...)."""
        return values[self.top : self.top + self.height, self.left : self.left + self.width]

    def scaled(self, down: float, across: float) -> "Box":
        """Return it where a px is `down` high and `across` wide, at least one wide and high."""
        top, left = round(self.top * down), round(self.left * across)
        bottom, right = round((self.top + self.height) * down), round((self.left + self.width) * across)
        return Box(left=left, top=top, width=max(1, right - left), height=max(1, bottom - top))


def px(shape: Size) -> str:
    """Write (height, width) as people do: width×height."""
    return f"{shape[1]}×{shape[0]}"
