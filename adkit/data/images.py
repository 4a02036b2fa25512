"""The only decoder of images: files on disk become arrays here; `adkit.data.video` decodes what moves.

Every image becomes 8-bit RGB: grey is copied to three channels, 16 bit is divided by 257 (the full range, so
that two images stay comparable), CMYK and palettes are converted, alpha is dropped, EXIF rotation is applied.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from adkit.data.video import is_video, video_frame, video_shape
from adkit.errors import AdkitError, FrameError
from adkit.types import FrameRef

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})

MAX_PIXELS = 178_000_000
"""More than this is refused: about half a gigabyte as RGB, and the usual sign of a decompression bomb."""

# Pillow's own limit only warns in its lower half; ours refuses, by name, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

# A damaged EXIF block brings a warning per entry, and what matters is raised. Said once for the whole process:
# warnings.catch_warnings() around each file is not safe between threads.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

MOST_LABELS = 16
HIGHEST_LABEL = 32

_DRAWN_BY = ("Software", "adkit")

_HINT = "check or remove the file; --skip-bad continues without such files"


def is_image(path: Path) -> bool:
    """Say whether the file's name says that it is an image (hidden files are not)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def png_of(picture: Image.Image) -> bytes:
    """Return a picture as a PNG file that says who drew it, so that nobody learns from it."""
    buffer, said = io.BytesIO(), PngImagePlugin.PngInfo()
    said.add_text(*_DRAWN_BY)
    # The usual level 6 takes twice as long, for files of photographs that are no smaller.
    picture.save(buffer, "PNG", pnginfo=said, compress_level=4)
    return buffer.getvalue()


def is_drawn_by_adkit(path: Path) -> bool:
    """Say whether a file is a heat map or another picture of adkit's own."""
    try:
        with path.open("rb") if path.suffix.lower() == ".png" else nullcontext(io.BytesIO()) as file:
            return "\0".join(_DRAWN_BY).encode() in file.read(100)
    except OSError:
        return False


def read_image(ref: FrameRef) -> NDArray[np.uint8]:
    """Return the frame as RGB, uint8 (H, W, 3); raises FrameError naming the file and what is wrong with it."""
    if ref.number is not None:
        return video_frame(ref.path, ref.number)
    with _decoding(ref) as image:
        return _as_rgb(ImageOps.exif_transpose(image), ref)


def read_mask(ref: FrameRef, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask, bool (H, W), True where anomalous; raises FrameError when its shape is not `shape`.

    A mask of at most 16 distinct values, none above 32, holds labels: all but 0 are anomalous (0/1, 0/1/3). In
    any other mask the pixels above half of its own maximum are (0/255, also with soft or compressed borders).
    """
    with _decoding(ref) as image:
        upright = ImageOps.exif_transpose(image)
        # Not as 8 bit: the 1 of a 16-bit 0/1 mask would be rounded away.
        grey = np.asarray(upright) if upright.mode.startswith("I") else _as_rgb(upright, ref).max(axis=2)
    if grey.shape != shape:
        found, expected = f"{grey.shape[1]}×{grey.shape[0]}", f"{shape[1]}×{shape[0]}"
        raise FrameError(
            f"mask is {found} but the image is {expected}: {ref}",
            hint="make the mask in the image's own resolution",
        )
    highest = int(grey.max())
    labels = highest <= HIGHEST_LABEL and np.unique(grey).size <= MOST_LABELS
    mask: NDArray[np.bool_] = grey > 0 if labels else grey.astype(np.int64) * 2 > highest
    return mask


def frame_shape(ref: FrameRef) -> tuple[int, int]:
    """Return (height, width) in px as `read_image` would give it, from the file's header where the format allows."""
    if ref.number is not None:
        return video_shape(ref.path)
    with _decoding(ref) as image:
        width, height = image.size
        # EXIF orientations 5 to 8 turn the picture by a quarter; Pillow gives the size of a TIFF turned already.
        turned = image.format != "TIFF" and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        return (width, height) if turned else (height, width)


@dataclass(frozen=True)
class FrameShapes:
    """Gives (height, width) in px of frames; a video is asked once, or it would be opened anew for each frame."""

    _of_videos: dict[Path, tuple[int, int]] = field(default_factory=dict, init=False)

    def __call__(self, ref: FrameRef) -> tuple[int, int]:
        """Return the shape of one; raises FrameError as `frame_shape` does."""
        if ref.number is None:
            return frame_shape(ref)
        if ref.path not in self._of_videos:
            self._of_videos[ref.path] = frame_shape(ref)
        return self._of_videos[ref.path]


def pixel_count(ref: FrameRef) -> int:
    """Say how many pixels the file's header tells of; decodes nothing, whatever the format."""
    with _opened(ref) as image:
        return image.width * image.height


def pixel_format(ref: FrameRef) -> str:
    """Pillow's name of the file's pixel format, such as "RGB", "L" or "I;16"; "video" for a frame of one."""
    if ref.number is not None:
        return "video"
    with _opened(ref) as image:
        return image.mode


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the image at `size` = (height, width) px: area averages when shrinking, so that thin defects survive."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    if shrinks:
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    # In floating point: what OpenCV does to whole numbers nobody else can do to the bit.
    exact = cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    # A half would be rounded by the last bit of how it was computed: a little more, and all round it upwards.
    return np.asarray(np.rint(exact + 0.002), dtype=np.uint8)


@contextmanager
def _decoding(ref: FrameRef) -> Iterator[Image.Image]:
    """Open the file; inside it, what a damaged file makes Pillow raise becomes a FrameError."""
    with _opened(ref) as image:
        try:
            yield image
        except (AdkitError, MemoryError):
            raise
        # A damaged file can make Pillow raise anything, TypeError and struct.error included.
        except Exception as error:
            raise FrameError(f"cannot decode {ref}: {error}", hint=_HINT) from None


def _opened(ref: FrameRef) -> Image.Image:
    path = ref.path
    try:
        if path.stat().st_size == 0:
            raise FrameError(f"the file is empty (0 bytes): {path}", hint=_HINT)
        image = Image.open(path)
    except FileNotFoundError:
        raise FrameError(f"there is no file {path}", hint="check the path") from None
    except IsADirectoryError:
        raise FrameError(f"{path} is a folder, an image was expected", hint="name a file") from None
    except PermissionError:
        raise FrameError(f"no permission to read {path}", hint="check the file's owner and mode") from None
    except UnidentifiedImageError:
        what = "a video, an image was expected" if is_video(path) else "not an image"
        raise FrameError(f"{path} is {what}", hint=_HINT) from None
    except (AdkitError, MemoryError):
        raise
    except Exception as error:
        raise FrameError(f"cannot open {path}: {error}", hint=_HINT) from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        image.close()
        raise FrameError(
            f"{width}×{height} px is above the limit of {MAX_PIXELS // 1_000_000} megapixels: {path}",
            hint="cut the image into tiles, or shrink it",
        )
    return image


def _as_rgb(image: Image.Image, ref: FrameRef) -> NDArray[np.uint8]:
    if image.mode == "F" or image.mode.startswith("I"):
        return as_rgb8(np.asarray(image), str(ref))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def as_rgb8(pixels: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Return pixels (H, W) or (H, W, 3), RGB, of 8 or 16 bits as RGB uint8 (H, W, 3); raises FrameError for others."""
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,)) or not pixels.size:
        raise FrameError(
            f"an array of shape {pixels.shape}; (H, W) or (H, W, 3) was expected: {name}", hint="one picture each"
        )
    if not np.issubdtype(pixels.dtype, np.integer):
        raise FrameError(f"floating-point pixels; 8 or 16 bits were expected: {name}", hint="convert the image")
    if pixels.dtype != np.uint8:
        wide = pixels.astype(np.int64)
        if not 0 <= int(wide.min()) <= int(wide.max()) <= 65535:
            raise FrameError(f"32-bit pixels; 8 or 16 bits were expected: {name}", hint="convert the image")
        pixels = ((wide + 128) // 257).astype(np.uint8)
    return pixels if pixels.shape[2:] == (3,) else np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
