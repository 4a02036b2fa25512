"""What pixels of more than 8 bits mean: which value is white, and how Pillow's colours keep their low bytes."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adkit.errors import FrameError
from adkit.types import FrameRef

WHITES = (255, 1023, 4095, 16383, 65535)
"""What may stand for white in an image of more than 8 bits: the highest values of 8, 10, 12, 14 and 16 bits."""

_CONVERT = "save it with whole numbers of 8 or 16 bits, and all images of the parts on the same scale"
_BITS_PER_SAMPLE, _PHOTOMETRIC, _MAX_SAMPLE_VALUE, _PLANES = 258, 262, 281, 284  # tags of TIFF
_COLOURS = ("RGB", "RGBA", "RGBX")


def white_above(highest: int) -> int:
    """Return which of WHITES is the least that pixels up to this value may have."""
    return next((white for white in WHITES if white >= highest), WHITES[-1])


def is_deep_colour(image: Image.Image) -> bool:
    """Say whether an opened file holds colours of 16 bits each, of which Pillow would keep 8: of BMP all share 16."""
    deep = image.mode in _COLOURS and image.format != "BMP"
    return deep and any(";16" in str(part[-1]) for part in getattr(image, "tile", ()))


def require_interleaved(image: Image.Image, name: str) -> None:
    """Raise FrameError for a TIFF of deep colours that lie plane by plane: what decoders make of it is no image."""
    tags = getattr(image, "tag_v2", {})
    if image.mode in _COLOURS and tags.get(_PLANES) == 2 and max(tags.get(_BITS_PER_SAMPLE, ()), default=8) > 8:
        raise FrameError(
            f"colours of {max(tags[_BITS_PER_SAMPLE])} bits, one plane after the other, and not pixel by pixel: {name}",
            hint="save it with interleaved colours (tifffile: planarconfig='contig'), or as PNG",
        )


def deep_colour(ref: FrameRef, orientation: int) -> NDArray[np.uint16]:
    """Return colours of 16 bits, RGB (H, W, 3) upright; Pillow has read the file before, so that it is whole."""
    file, page = np.fromfile(ref.path, np.uint8), ref.page or 0
    _, pages = cv2.imdecodemulti(file, cv2.IMREAD_UNCHANGED, None, (page, page + 1))
    found = next(iter(pages), None)
    if found is None or found.dtype != np.uint16:
        raise ValueError("colours of 16 bits in a form that is not known")
    pixels = found[..., 2::-1]
    if found.shape[2] == 4:
        for row in found:  # one at a time: all of a large image would take gigabytes
            opaque = row[:, 3:] / WHITES[-1]
            row[:, :3] = (row[:, :3] * opaque + WHITES[-1] * (1 - opaque)).round()
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    down, across = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return np.asarray(pixels[:: -1 if down else 1, :: -1 if across else 1], np.uint16)


def positive(image: Image.Image, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return grey values with 0 as black; Pillow leaves those of a TIFF of 16 bits whose 0 is white."""
    negative = image.mode.startswith("I;16") and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
    return WHITES[-1] - pixels if negative else pixels


def declared_white(image: Image.Image) -> int:
    """Return the highest value that a TIFF says it may hold, where it says so of fewer than 16 bits; else 0."""
    tags = getattr(image, "tag_v2", {})
    highest = tags.get(_MAX_SAMPLE_VALUE) or tuple(2**bits - 1 for bits in tags.get(_BITS_PER_SAMPLE, ()))
    most = max(highest if isinstance(highest, tuple) else (highest,), default=0)
    return int(most) if WHITES[0] < most < WHITES[-1] else 0


def as_rgb8(pixels: NDArray[Any], name: str, white: int | None = None) -> NDArray[np.uint8]:
    """Return pixels (H, W) or (H, W, 3), RGB, of 8 or 16 bits as RGB uint8 (H, W, 3); raises FrameError for others.

    `white`, one of WHITES, stands for white where there are more than 8 bits, and what is brighter is white too. None:
    the full range. 255: the run knows images of 8 bits only; then what may be of 10, 12 or 14 bits is refused.
    """
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,)) or not pixels.size:
        hint = "one image each"
        raise FrameError(f"an array of shape {pixels.shape}; (H, W) or (H, W, 3) was expected: {name}", hint=hint)
    if not np.issubdtype(pixels.dtype, np.integer):
        raise FrameError(f"floating-point pixels; 8 or 16 bits were expected: {name}", hint=_CONVERT)
    if pixels.dtype != np.uint8:
        highest = int(pixels.max())
        if not 0 <= int(pixels.min()) <= highest <= WHITES[-1]:
            raise FrameError(f"32-bit pixels; 8 or 16 bits were expected: {name}", hint=_CONVERT)
        if white == WHITES[0] and highest > WHITES[0]:
            if highest <= WHITES[-2]:
                raise FrameError(
                    f"values up to {highest:,} in 16 bits, and the run learned from 8 bits: which of them is white "
                    f"is not known: {name}",
                    hint="fit again with such images among those of good parts, or convert it to 8 bits",
                )
            white = None
        white = white or WHITES[-1]
        levels = np.minimum((np.arange(highest + 1) * 255 + white // 2) // white, 255).astype(np.uint8)
        pixels = levels[pixels]  # looked up: a large image as wider numbers would take gigabytes
    return pixels if pixels.shape[2:] == (3,) else np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
