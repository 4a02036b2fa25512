"""Draws what labelling tools saved of images: outlines of what is wrong, as JSON, XML or text.

labelme, Pascal VOC (labelImg), Supervisely, YOLO   a file for each image, with its name
COCO, CVAT, VIA, Label Studio                       a file that names many images

A shape whose label says good, and those that labelme's tools leave out ("__ignore__"), mark nothing.
"""

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adkit.data.folder_names import BAD, says
from adkit.data.outline_formats import Outlined, file_name, in_json, in_xml, is_of_yolo, of_yolo
from adkit.data.shapes import draw, rectangle, require_drawable
from adkit.errors import FrameError, said
from adkit.stats.segments import grouped
from adkit.types import FrameRef

OUTLINE_SUFFIXES = (".json", ".xml", ".txt")

_HEAD_BYTES = 4096
_BEGINNING = re.compile(
    rb'"(?:shapes|images|annotations|categories|regions|objects)"\s*:\s*[\[{]|"(?:_via_settings|imageData)"'
    rb"|<annotations?[\s>]"
)
_OF_LABELME, _NOTHING = b'"shapes"', re.compile(rb'"shapes"\s*:\s*\[\s*\]')
_FLAGGED = re.compile(rb'"flags"\s*:\s*\{[^}]*\btrue\b')


def is_outlines(path: Path) -> bool:
    """Say whether a file may hold outlines, by its beginning: the images that may follow are long."""
    head = _head(path)
    if path.suffix.lower() == ".txt":
        return all(map(is_of_yolo, head[: head.rfind(b"\n") + 1 or None].decode("ascii", "replace").splitlines()))
    return _BEGINNING.search(head) is not None


def outlined_in(path: Path) -> list[tuple[FrameRef, str]]:
    """Return the mask and the image's name, as far as it is said, of each image in which a file marks something.

    A file that cannot be read is taken for one of its own name: who reads its mask is told.
    """
    head = _head(path)
    if _OF_LABELME in head:
        return [] if _NOTHING.search(head) else [(FrameRef(path), "")]
    try:
        found = _read(path)
    except FrameError:
        return [(FrameRef(path), "")]
    return [(FrameRef(path, page=page if one.name else None), one.name) for page, one in enumerate(found) if one.shapes]


def called_bad_in(path: Path) -> list[str]:
    """Return the images that a file of outlines calls bad as a whole, and in which it outlines nothing."""
    head = _head(path)
    if path.suffix.lower() == ".txt" or (_OF_LABELME in head and not _FLAGGED.search(head)):
        return []
    try:
        found = _read(path)
    except FrameError:  # who reads it as a mask is told
        return []
    bad = [one.name for one in found if not one.shapes and any(says(label) == BAD for label in one.labels)]
    return [file_name(name) or path.stem for name in bad]


def outlines_of(path: Path, image: Path) -> FrameRef:
    """Return the mask of an image in a file of outlines: of several names in it, the one that ends most alike."""
    try:
        images, pages = _read(path), _by_file_name(path, path.stat().st_mtime_ns).get(image.name, ())
    except FrameError:
        return FrameRef(path)
    ends = {page: _common_end(images[page].name, image) for page in pages}
    best = [page for page, end in ends.items() if end == max(ends.values())]
    return FrameRef(path, page=best[0] if len(best) == 1 else None)


def is_outlined(ref: FrameRef) -> bool | None:
    """Say whether something is outlined in an image; None: the file names others. Raises FrameError for a bad file."""
    named = [one for page, one in enumerate(_read(ref.path)) if page == ref.page or (ref.page is None and not one.name)]
    return any(one.shapes for one in named) if named else None


def outline_mask(ref: FrameRef, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return uint8 (H, W), 1 in a shape, of an image of this shape; raises FrameError for an unreadable file."""
    images = _read(ref.path)
    if ref.page is None and (len(images) != 1 or images[0].name):
        hint = "name images in it as their files are named"
        raise FrameError(f"{ref.path} outlines {len(images)} images, and none by the name of this one", hint=hint)
    one = images[ref.page or 0]
    height, width = one.size or shape
    mask = Image.new("L", (width, height))
    for part in one.shapes:
        if ref.path.suffix.lower() == ".txt":  # in shares of the sides
            points = [(round(x * width, 2), round(y * height, 2)) for x, y in part.points]
            part = rectangle(*points[0], *points[1]) if part.sort == "rectangle" else replace(part, points=points)
        draw(mask, part)
    return np.asarray(mask)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") if path.suffix.lower() in OUTLINE_SUFFIXES else io.BytesIO() as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return b""


def _common_end(name: str, image: Path) -> int:
    """Return how many parts of two paths are the same, from the last one on."""
    pairs = zip(reversed(name.replace("\\", "/").split("/")), reversed(image.parts), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _read(path: Path) -> tuple[Outlined, ...]:
    try:
        return _images(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise FrameError(
            f"cannot read the shapes of {path} ({said(str(error.strerror))})", hint="check the path"
        ) from None


@lru_cache(maxsize=8)
def _by_file_name(path: Path, changed: int) -> Mapping[str, Sequence[int]]:
    """Return the pages of a file by the last part of their images' names."""
    images = _images(path, changed)
    return grouped(range(len(images)), lambda page: file_name(images[page].name))


@lru_cache(maxsize=8)
def _images(path: Path, _: int) -> tuple[Outlined, ...]:
    """Return the images of a file, which is read anew when the time of its last change is another."""
    try:
        if path.suffix.lower() == ".txt":
            lines = map(str.split, path.read_text(encoding="ascii").splitlines())
            found = [Outlined("", None, tuple(of_yolo(line) for line in lines if line))]
        elif path.suffix.lower() == ".xml":
            found = list(in_xml(ElementTree.fromstring(path.read_bytes())))
        elif path.suffix.lower() not in OUTLINE_SUFFIXES:
            raise ValueError("neither an image nor a file of outlines")
        else:
            found = list(in_json(json.loads(path.read_text(encoding="utf-8-sig"))))
        if not found:
            raise ValueError("no outlines of a tool that is known")
        for one in found:
            for part in one.shapes:
                require_drawable(part)
        return tuple(found)
    # SyntaxError: of XML.
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, SyntaxError) as error:
        reason = f"{type(error).__name__}: {error}"
        hint = "save it again with the tool that made it"
        raise FrameError(f"cannot read the shapes of {path} ({reason})", hint=hint) from None
