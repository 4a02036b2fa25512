"""The only decoder of images: files on disk become arrays here; `adkit.data.video` decodes what moves.

Every image becomes 8-bit RGB: grey is copied to three channels, CMYK and palettes are converted, what is transparent
is laid on white, EXIF rotation is applied. Of more than 8 bits, one value stands for white in all images of a run, so
that they stay comparable: the highest of 16 bits, or of the 10, 12 or 14 that a camera has.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from adkit.data import bit_depth
from adkit.data.bitstreams import is_broken_photo
from adkit.data.outlines import OUTLINE_SUFFIXES, outline_mask
from adkit.data.packets import begins_as_video
from adkit.data.video import is_video, require_file, video_frame, video_shape
from adkit.errors import SKIPPING, AdkitError, FrameError
from adkit.types import FrameRef, Sample

IMAGE_SUFFIXES = frozenset(
    {".apng", ".avif", ".bmp", ".bw", ".dds", ".dib", ".gif", ".icb", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe"}
    | {".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".qoi", ".ras"}
    | {".rgb", ".rgba", ".sgi", ".tga", ".tif", ".tiff", ".vda", ".vst", ".webp"}
)

MAX_PIXELS = 178_000_000
"""More than this is refused: about half a gigabyte as RGB, and the usual sign of a decompression bomb."""

MAX_SIDE_PX = 65_535  # a longer side is refused: no camera makes it, and what draws pictures does not take it

# Pillow's own limit only warns in its lower half; ours refuses, by name, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

# A damaged EXIF block brings a warning per entry, and what matters is raised. Said once for the whole process:
# warnings.catch_warnings() around each file is not safe between threads.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

MOST_LABELS = 16
HIGHEST_LABEL = 32
_LOSSLESS = frozenset({"BMP", "GIF", "PNG", "PPM", "TIFF"})

DRAWN_BY = "drawn by adkit"  # what an annotated video says of itself, so that nobody learns from it
_COMMENT_BYTES = 300

_FORMATS = {"1": "black and white", "F": "floating point", "I;16": "grey of 16 bits", "L": "grey", "P": "palette"}
_GROUND = "white"  # below what is transparent
_SUBFILE_TYPE, _COPY_OR_MASK = 254, 0b101  # of a TIFF's page: a smaller copy of another, or a mask
_ORIENTATION = 0x0112  # a tag of EXIF
_EXIF_OF_PNG = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")  # where a PNG says how it is turned

_NOT_READ = {
    "a TIFF that is damaged or of a rare form (such as floating-point colours)": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "an HEIC image, which cannot be read": re.compile(rb"....ftyp(hei|hev|mif|msf)", re.DOTALL),
    "a JPEG XL image, which cannot be read": re.compile(rb"\xff\x0a|....JXL ", re.DOTALL),
}

_CONVERT = f"save it as PNG, JPEG or TIFF of 8 or 16 bits{SKIPPING}"
_HINT = f"check or remove the file{SKIPPING}"


def is_image(path: Path) -> bool:
    """Say whether the file's name says that it is an image (hidden files are not)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def other_compression(names: Iterable[object], others: Iterable[object]) -> str | None:
    """Name the types of two groups of files, ".png, .jpg", where one has JPEG files only and the other has none."""
    types = [{Path(str(name)).suffix.lower() for name in group} & IMAGE_SUFFIXES for group in (names, others)]
    are_jpegs = [{one in (".jpg", ".jpeg") for one in group} for group in types]
    apart = are_jpegs in ([{True}, {False}], [{False}, {True}])
    return ", ".join(one for group in types for one in sorted(group)) if apart else None


def told_by_compression(samples: Sequence[Sample]) -> str | None:
    """Say so where the compression of the files tells anomalous images from good ones; None where it does not."""
    anomalous, good = ([one.frame.path for one in samples if one.anomalous is truth] for truth in (True, False))
    types = other_compression(anomalous, good)
    return types and (
        f"anomalous and good images are files of other types ({types}): compression alone can tell them apart, so that "
        "results look too good"
    )


def png_of(picture: Image.Image) -> bytes:
    """Return a picture as a PNG file that says who drew it, so that nobody learns from it."""
    buffer, said = io.BytesIO(), PngImagePlugin.PngInfo()
    said.add_text("Software", "adkit")
    # The usual level 6 takes twice as long, for files of photographs that are no smaller.
    picture.save(buffer, "PNG", pnginfo=said, compress_level=4)
    return buffer.getvalue()


def is_drawn_by_adkit(path: Path) -> bool:
    """Say whether a file is a heat map, an annotated video or another picture of adkit's own."""
    name = path.name.lower()
    if not name.endswith((".png", ".mp4")):
        return False
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(100)
            if name.endswith(".png"):
                return b"Software\0adkit" in head
            # The index, which ends in the video's comment, is second in what adkit writes.
            at = int.from_bytes(head[:4])
            file.seek(max(0, at + int.from_bytes(head[at : at + 4]) - _COMMENT_BYTES))
            return head[at + 4 : at + 8] == b"moov" and DRAWN_BY.encode() in file.read(_COMMENT_BYTES)
    except OSError:
        return False


def read_image(ref: FrameRef, white: int | None = None) -> NDArray[np.uint8]:
    """Return the frame as RGB, uint8 (H, W, 3), with `white` as `as_rgb8` takes it; raises FrameError."""
    if ref.number is not None:
        return video_frame(ref.path, ref.number)
    return bit_depth.as_rgb8(decoded_pixels(ref, deep=white not in (None, bit_depth.WHITES[-1])), str(ref), white)


def image_to_look_at(ref: FrameRef) -> NDArray[np.uint8]:
    """Return the frame as `read_image` does, with the white of its own values: nobody looks at a black one."""
    if ref.number is not None:
        return read_image(ref)
    pixels = decoded_pixels(ref)
    return bit_depth.as_rgb8(pixels, str(ref), bit_depth.white_above(pixels.max()))


def decoded_pixels(ref: FrameRef, *, deep: bool = True) -> NDArray[Any]:
    """Return an image upright with the values that its file holds: uint8 (H, W, 3), or (H, W) of more than 8 bits.

    With `deep`, colours of 16 bits come as uint16 (H, W, 3), without it as the upper 8 of them. Raises FrameError.
    """
    with _decoding(ref) as image:
        _require_one(image, ref)
        if image.format == "JPEG" and is_broken_photo(ref.path.read_bytes()):  # the decoder passes over it
            raise ValueError("some of its coded pixels are damaged")
        if deep and bit_depth.is_deep_colour(image):  # asked before it is decoded
            image.load()
            return bit_depth.deep_colour(ref, image.getexif().get(_ORIENTATION, 1) if image.format != "TIFF" else 1)
        ImageOps.exif_transpose(image, in_place=True)  # else a copy of every image is made
        return _pixels(image, _GROUND)


def by_page(sample: Sample) -> list[Sample]:
    """Return a still image as it is, or its pages, with those of its mask if as many, where it is a TIFF of several."""
    paged = sample.frame.number is None and sample.frame.path.suffix.lower() in (".tif", ".tiff")
    pages = _pages(sample.frame.path) if paged else []
    if len(pages) < 2:
        return [sample]
    marked = _pages(sample.mask.path) if sample.mask else []
    found = []
    for place, page in enumerate(pages):
        name = f"{sample.id} page {page + 1}"
        mask = FrameRef(sample.mask.path, page=marked[place]) if sample.mask and len(marked) == len(pages) else None
        found.append(replace(sample, id=name, clip=name, frame=FrameRef(sample.frame.path, page=page), mask=mask))
    return found


def _pages(path: Path) -> list[int]:
    """Return the numbers of a file's pages, without smaller copies and masks of others; of a bad file none."""
    try:
        with Image.open(path) as image:
            pages = []
            for page in range(getattr(image, "n_frames", 1)):
                image.seek(page)
                if not getattr(image, "tag_v2", {}).get(_SUBFILE_TYPE, 0) & _COPY_OR_MASK:
                    pages.append(page)
            return pages
    except Exception:  # a damaged file can make Pillow raise anything; who reads it is told
        return []


def _require_one(image: Image.Image, ref: FrameRef) -> None:
    """Raise FrameError where a file holds several images, and it is not said which one is meant."""
    if ref.page is not None or image.format in ("GIF", "MPO", "PSD"):  # clips; photographs with previews; layers
        return
    if getattr(image, "n_frames", 1) > 1 and (count := len(_pages(ref.path))) > 1:
        hint = "save each as a file of its own; of a TIFF named to adkit score, or in folder:, each page is an image"
        raise FrameError(f"{ref} holds {count} images, and one was expected", hint=hint)


def read_mask(ref: FrameRef, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask, bool (H, W), True where anomalous; raises FrameError when its shape is not `shape`.

    A mask of whole numbers, none above 32, holds labels: all but 0 are anomalous. So does one of at most 16 colours. In
    any other mask the pixels above half of its own maximum are (0/255, also with soft or compressed borders), and those
    of a lower value that fills a square of 3×3 px, which no border does. What is painted on a transparent ground is
    anomalous where it is seen. Of several files, it is their union; of a file of outlines, what is outlined in it.
    """
    if ref.others:
        return np.asarray(np.logical_or.reduce([read_mask(FrameRef(one), shape) for one in (ref.path, *ref.others)]))
    if ref.path.suffix.lower() in OUTLINE_SUFFIXES:
        grey, coloured, lossless = outline_mask(ref, shape), False, True
    else:
        with _decoding(ref) as image:
            _require_one(image, ref)
            ImageOps.exif_transpose(image, in_place=True)
            grey, coloured = _grey_of_mask(image)
            lossless = image.format in _LOSSLESS
    if grey.shape != shape:
        found, expected = f"{grey.shape[1]}×{grey.shape[0]}", f"{shape[1]}×{shape[0]}"
        hint = "make the mask in the image's own resolution"
        raise FrameError(f"mask is {found} but the image is {expected}: {ref}", hint=hint)
    highest, values = grey.max(), np.unique(grey)
    few = values.size <= MOST_LABELS
    numbered = highest <= HIGHEST_LABEL and (few or (lossless and values.size <= HIGHEST_LABEL + 1))
    if numbered or (few and coloured and lossless):
        return np.asarray(grey > 0)
    mask: NDArray[np.bool_] = grey.astype(np.float64) * 2 > highest
    if few and lossless:
        for value in values[(values > 0) & (values.astype(np.float64) * 2 <= highest)]:
            level = grey == value
            if cv2.erode(level.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).any():
                mask |= level
    return mask


def is_black(ref: FrameRef) -> bool:
    """Say whether an image is black all over, quickly; a palette may say otherwise, and is not asked."""
    with _decoding(ref) as image:
        return image.mode in ("1", "L", "RGB") and image.getbbox() is None


def has_few_values(path: Path, most: int = MOST_LABELS) -> bool:
    """Say whether an image holds no more values than a mask, and in a format that keeps them."""
    try:
        with _decoding(FrameRef(path)) as image:
            if image.format not in _LOSSLESS:
                return False
            grey = _grey_of_mask(image)[0]
            some = grey[:: 1 + len(grey) // 16]  # enough to see that it is a photo
            return np.unique(some).size <= most and np.unique(grey).size <= most
    except FrameError:
        return False


def _grey_of_mask(image: Image.Image) -> tuple[NDArray[Any], bool]:
    """Return what a mask shows, (H, W), 0 where nothing is marked, and whether it is in colour."""
    colours = _pixels(image, "black")
    if colours.ndim == 2:  # not as 8 bit: the 1 of a 16-bit 0/1 mask would be rounded away
        return np.nan_to_num(colours), False
    if not colours.any():
        if image.has_transparency_data:  # perhaps painted in black on a transparent ground
            alpha = np.asarray(image.convert("RGBA"))[..., 3]
            return np.where(alpha.min() < alpha, alpha, 0), False
        if image.mode == "P":  # labels whose palette was lost
            return np.asarray(image), False
    return colours.max(axis=2), bool((colours != colours[..., :1]).any())


@dataclass(frozen=True)
class FrameShapes:
    """Gives (height, width) in px of frames; a video is asked once, or it would be opened anew for each frame."""

    _of_video: Callable[[Path], tuple[int, int]] = field(default_factory=lambda: cache(video_shape), init=False)
    _wide: list[FrameRef] = field(default_factory=list, init=False)

    @property
    def white(self) -> int:
        """Return which value stands for white in those of more than 8 bits (255: there are none); raises FrameError."""
        highest = 0
        for ref in self._wide:
            with _decoding(ref) as image:
                highest = max(highest, bit_depth.declared_white(image))
            highest = max(highest, int(decoded_pixels(ref).max()))
        return bit_depth.white_above(highest)

    def __call__(self, ref: FrameRef) -> tuple[int, int]:
        """Return the shape of one as `read_image` would give it; raises FrameError."""
        if ref.number is not None:
            return self._of_video(ref.path)
        with _decoding(ref) as image:
            width, height = image.size
            if image.mode.startswith("I") or bit_depth.is_deep_colour(image):
                self._wide.append(ref)
            # EXIF orientations 5 to 8 turn the image by a quarter; Pillow gives the size of a TIFF turned already.
            turned = image.format != "TIFF" and _exif(image, ref.path).get(_ORIENTATION, 1) in (5, 6, 7, 8)
            return (width, height) if turned else (height, width)


def _exif(image: Image.Image, path: Path) -> Image.Exif:
    """Return what stands in an image's header, and behind its pixels; these are decoded only where something does."""
    if image.format == "PNG" and not any(name in path.read_bytes() for name in _EXIF_OF_PNG):
        return Image.Exif()
    return image.getexif()


def frame_shape(ref: FrameRef) -> tuple[int, int]:
    """Return (height, width) px of a frame as `read_image` would give it; raises FrameError."""
    return FrameShapes()(ref)


def pixel_count(ref: FrameRef) -> int:
    """Say how many pixels the file's header tells of; decodes nothing, whatever the format."""
    with _decoding(ref) as image:
        return image.width * image.height


def pixel_format(ref: FrameRef) -> str:
    """Name the file's pixel format, such as "RGB" or "grey of 16 bits", and what is transparent; or "video"."""
    if ref.number is not None:
        return "video"
    with _decoding(ref) as image:
        name = _FORMATS.get(image.mode, image.mode)
        seen_through = image.has_transparency_data and not _is_padded(image)
        return f"{name}, on {_GROUND} where transparent" if seen_through else name


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the image at `size` = (height, width) px: area averages when shrinking, so that thin defects survive."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    if shrinks:
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    # In double precision: what OpenCV does to whole numbers nobody else can do to the bit, and with single precision
    # the last bit decides how one pixel in 50,000 is rounded. An export sees images without OpenCV.
    exact = cv2.resize(image.astype(np.float64), (width, height), interpolation=cv2.INTER_LINEAR)
    # A half would be rounded by the last bit of how it was computed: a little more, and all round it upwards.
    return np.asarray(np.rint(exact + 0.0020123), dtype=np.uint8)


@contextmanager
def _decoding(ref: FrameRef) -> Iterator[Image.Image]:
    """Open the file; what a damaged one makes Pillow raise, there or inside the block, becomes a FrameError."""
    path, attempt = ref.path, f"open {ref.path}"
    try:
        require_file(path, "an image", _HINT)
        with Image.open(path) as image:
            if ref.page:
                image.seek(ref.page)
            _require_size(image, path)
            bit_depth.require_interleaved(image, str(ref))
            attempt = f"decode {ref}"
            yield image
    except UnidentifiedImageError:
        form = _form_of(path)
        what = form or ("a video, an image was expected" if is_video(path) or begins_as_video(path) else "not an image")
        raise FrameError(f"{path} is {what}", hint=_CONVERT if form else _HINT) from None
    except (AdkitError, MemoryError):
        raise
    # A damaged file can make Pillow raise anything, TypeError and struct.error included.
    except Exception as error:
        raise FrameError(f"cannot {attempt}: {error}", hint=_HINT) from None


def _require_size(image: Image.Image, path: Path) -> None:
    width, height = image.size
    limit = f"{MAX_PIXELS // 1_000_000} megapixels" if width * height > MAX_PIXELS else None
    limit = f"{MAX_SIDE_PX:,} px for a side" if max(width, height) > MAX_SIDE_PX else limit
    if limit:
        hint = "cut the image into tiles, or shrink it"
        raise FrameError(f"{width}×{height} px is above the limit of {limit}: {path}", hint=hint)


def _form_of(path: Path) -> str | None:
    """Say what image a file is that Pillow does not open; None for what is none."""
    with path.open("rb") as file:
        head = file.read(16)
    return next((form for form, begins in _NOT_READ.items() if begins.match(head)), None)


def _pixels(image: Image.Image, ground: str) -> NDArray[Any]:
    """Return an image as RGB, uint8 (H, W, 3), or (H, W) with its own values where those are grey of more bits."""
    if image.mode == "F" or image.mode.startswith("I"):
        return bit_depth.positive(image, np.asarray(image))
    if image.has_transparency_data and not _is_padded(image):
        below = Image.new("RGBA", image.size, ground)
        below.alpha_composite(image if image.mode == "RGBA" else image.convert("RGBA"))
        image = below
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _is_padded(image: Image.Image) -> bool:
    """Say whether all transparency is 0 in a format where many programs leave that byte unused."""
    return image.format in ("BMP", "DIB", "TGA") and image.getchannel("A").getbbox() is None
