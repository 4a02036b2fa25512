"""Decides how a method sees the images that it learns from: what of them, and how large."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adkit.containment import plugin_code
from adkit.data.boxes import Box, Size, px
from adkit.data.frame_source import frames_of
from adkit.data.images import frame_shape, read_mask
from adkit.data.tiles import tiles_over
from adkit.data.view import View, packed_mask, usual_shape
from adkit.errors import FrameError, OptionError, PluginError
from adkit.files.atomic import checksum
from adkit.interfaces import Method, misdeclared
from adkit.options import Options, options_of, parse_options
from adkit.runs.record import PART, FitSettings
from adkit.types import FrameRef, Sample

LARGE_DEFECT_PX = 8
"""Where a defect must be larger than this to be seen, in px of an image, tiles are proposed."""
PART_PX, PART_SAMPLES = 256, 60
"""The part is looked for in so many normal images at most, shrunk to this many px along the longer side."""
PART_ROOM = 0.05
"""What is left around it, as a share of its longer side."""
PART_MOST = 0.9
"""A part that takes more than this share of the image is not cut out."""
_PLACES = {
    "--roi": "a box is --roi x,y,w,h, what stands out from its ground is --roi part, and a mask is an image",
    "--ignore": "it takes a mask, an image that is bright where nothing counts; to look at a box only: --roi x,y,w,h",
}


def method_and_view(
    method_class: type[Method[Any]],
    settings: FitSettings,
    shapes: Sequence[Size],
    samples: Sequence[Sample] = (),
    device: str = "cpu",
    white: int | None = None,
) -> tuple[Method[Any], View]:
    """Make the method for images of these shapes, (height, width) px each, and say how it sees them.

    `samples` are normal ones, among which the part is looked for where that is asked; `white` is theirs.
    Raises AdkitError for options that it does not take, and for places to look at that these images do not have.
    """
    options = parse_options(options_of(method_class), settings.options, settings.method)
    looks_at = _looks_at(settings, shapes, samples, white)
    seen = looks_at.box.size if looks_at.box else usual_shape(shapes)
    if isinstance(options, Options):
        options = options.sized((1, 1) if settings.tiles else seen)
    with plugin_code(method_class):
        method = method_class(options, seed=settings.seed, device=device)
        frame_size, odd = method.frame_size, misdeclared(method)
    if odd:
        raise PluginError(f"{settings.method}: its {odd}", hint="tell its author; adkit list methods shows others")
    if not (settings.scorer or method.default_scorer or (looks_at.mask is None and looks_at.border == 0)):
        told = f"{settings.method} gives one score for all that it sees: no place of it can be ignored"
        hint = "cut the image down with --roi x,y,w,h, or take a method with maps: adkit list methods"
        raise OptionError(told, hint=hint)
    finest_px = options.finest_px if isinstance(options, Options) else None
    tiles = _tiles(settings, method, seen) if settings.tiles else ()
    return method, looks_at.model_copy(update={"frame": frame_size, "tiles": tiles, "finest_px": finest_px})


def _tiles(settings: FitSettings, method: Method[Any], seen: Size) -> tuple[Box, ...]:
    """Return the tiles that cover (height, width) px; raises OptionError where that cannot be."""
    frame = method.frame_size
    if type(method).stream is not Method.stream:
        raise OptionError(
            f"{settings.method} remembers what a clip showed before, and sees each frame as a whole: it takes no tiles",
            hint="--set size= sees smaller things; or take another method: adkit list methods",
        )
    if frame[0] >= seen[0] and frame[1] >= seen[1]:
        told = f"tiles of {px(frame)} px are as large as what is seen of the images, {px(seen)} px"
        raise OptionError(told, hint=f"leave --tiles out, or take smaller ones: --set size={max(32, min(seen) // 2)}")
    return tiles_over(seen, frame)


def tiles_instead(
    method_class: type[Method[Any]], settings: FitSettings, shapes: Sequence[Size], view: View | None
) -> View | None:
    """Return how the method would see these images in tiles, where else it cannot see small defects; or None."""
    if view is None or (view.smallest_px or 0) <= LARGE_DEFECT_PX:
        return None
    with suppress(OptionError):
        return method_and_view(method_class, settings.model_copy(update={"tiles": True}), shapes)[1]
    return None


def check_places(settings: FitSettings) -> None:
    """Raise AdkitError for a box that is none, and for a mask that cannot be read, before any data is read."""
    for option, mask in _masks(settings).items():
        try:
            read_mask(FrameRef(mask), frame_shape(FrameRef(mask)))
        except FrameError as error:
            raise OptionError(f"{option}: {error.message}", hint=_PLACES[option]) from None


def mask_checksums(settings: FitSettings) -> list[str]:
    """Return checksums of the masks that the settings name; raises AdkitError as `check_places` does."""
    check_places(settings)
    return [checksum(mask.read_bytes()) for mask in _masks(settings).values()]


def _masks(settings: FitSettings) -> dict[str, Path]:
    """Return the masks that the settings name, by option; raises OptionError for a box that is none."""
    of_roi = settings.roi not in (None, PART) and _box_of(str(settings.roi)) is None
    named = {"--roi": settings.roi if of_roi else None, "--ignore": settings.ignore}
    return {option: Path(mask) for option, mask in named.items() if mask}


def _looks_at(settings: FitSettings, shapes: Sequence[Size], samples: Sequence[Sample], white: int | None) -> View:
    """Return a view, its frame unknown, of the places of images of these shapes that are asked for."""
    check_places(settings)
    usual = usual_shape(shapes)
    asked = "--roi" if settings.roi else "--ignore"
    if (settings.roi or settings.ignore) and len(set(shapes)) > 1:
        other = next(shape for shape in shapes if shape != usual)
        told = f"{asked} is for images of one size, and these are of several: {px(usual)} px, {px(other)} px"
        hint = f"leave {asked} out, or learn from the images of one camera; --ignore-border fits any size"
        raise OptionError(told, hint=hint)
    box, counts = None, np.ones(usual, bool)
    if settings.roi == PART:
        box = _part_in(samples, usual, white)
    elif settings.roi:
        box = _box_of(settings.roi)
        if box is None:
            counts = read_mask(FrameRef(Path(settings.roi)), usual)
            box = _around(counts, settings.roi)
        elif box.left + box.width > usual[1] or box.top + box.height > usual[0]:
            hint = f"x + w is at most {usual[1]}, y + h at most {usual[0]}"
            raise OptionError(f"--roi {settings.roi} reaches out of the images, which are {px(usual)} px", hint=hint)
    if settings.ignore:
        ignored = read_mask(FrameRef(Path(settings.ignore)), usual)
        if not ignored.any():
            hint = "a mask is bright where nothing counts; leave --ignore out where all does"
            raise OptionError(f"--ignore {settings.ignore} marks nothing", hint=hint)
        counts &= ~ignored
    mask = None if (box.of(counts) if box else counts).all() else packed_mask(counts)
    least, most = ((pick(one[0] for one in shapes), pick(one[1] for one in shapes)) for pick in (min, max))
    border = settings.ignore_border
    view = View(frame=(1, 1), white=white, picture=usual, sizes=(least, most), box=box, mask=mask, border=border)
    if not view.counting(usual).any():
        given = [("--roi", settings.roi), ("--ignore", settings.ignore), ("--ignore-border", settings.ignore_border)]
        named = " with ".join(f"{name} {value}" for name, value in given if value)
        raise OptionError(
            f"{named} leaves nothing to look at in images of {px(usual)} px",
            hint="a mask is bright where something is ignored (--ignore) or looked at (--roi)"
            if settings.ignore or settings.roi
            else f"less than half of the shorter side: at most {(min(usual) - 1) // 2}",
        )
    return view


def _box_of(roi: str) -> Box | None:
    """Return the box that "x,y,w,h" means; None for the path of a mask."""
    if not re.fullmatch(r"[-\d.,\s]*", roi):
        return None
    parts = roi.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() for part in parts):
        hint = "four whole numbers of px: x,y,w,h, as in 100,40,640,480; or a mask's path"
        raise OptionError(f"--roi {roi} is no box", hint=hint)
    left, top, width, height = map(int, parts)
    if not (width and height):
        raise OptionError(f"--roi {roi} is empty", hint="w and h are at least 1 px")
    return Box(left=left, top=top, width=width, height=height)


def _part_in(samples: Sequence[Sample], shape: Size, white: int | None) -> Box:
    """Return the box around what stands out in normal images of this shape; raises OptionError where that is all."""
    from adkit.nn.training.registration import foreground  # loads torch

    shrunk = min(1.0, PART_PX / max(shape))
    small = View(frame=(max(1, round(shape[0] * shrunk)), max(1, round(shape[1] * shrunk))), white=white)
    found = np.zeros(small.frame, bool)
    for frame in frames_of(samples[:: -(-len(samples) // PART_SAMPLES)], small):
        assert frame.pixels is not None
        found |= foreground(np.asarray(frame.pixels / 255, np.float32))
    around = _around(found, PART).scaled(shape[0] / found.shape[0], shape[1] / found.shape[1])
    room = round(PART_ROOM * max(around.size))
    top, left = max(0, around.top - room), max(0, around.left - room)
    bottom = min(shape[0], around.top + around.height + room)
    right = min(shape[1], around.left + around.width + room)
    if (bottom - top) * (right - left) > PART_MOST * shape[0] * shape[1]:
        hint = "leave --roi out, or give a box: --roi x,y,w,h"
        raise OptionError("--roi part: what stands out from its ground takes all of the images", hint=hint)
    return Box(left=left, top=top, width=right - left, height=bottom - top)


def _around(counts: NDArray[np.bool_], name: str) -> Box:
    """Return the box around all that a mask marks; raises OptionError where that is nothing."""
    if not counts.any():
        raise OptionError(f"the mask --roi {name} marks nothing", hint="make it bright where to look")
    return Box.around(counts)
