"""Decides how a method sees the pictures that it learns from: at which size, and what of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adkit.data.view import Size, View, usual_shape
from adkit.interfaces import Method
from adkit.options import Options, options_of, parse_options
from adkit.runs.record import FitSettings


def method_and_view(
    method_class: type[Method[Any]], settings: FitSettings, shapes: Sequence[Size], device: str = "cpu"
) -> tuple[Method[Any], View]:
    """Make the method for pictures of these shapes, (height, width) px each, and say how it sees them.

    Raises OptionError for options that it does not take.
    """
    options = parse_options(options_of(method_class), settings.options, settings.method)
    usual = usual_shape(shapes)
    if isinstance(options, Options):
        options = options.sized(usual)
    method = method_class(options, seed=settings.seed, device=device)
    finest_px = options.finest_px if isinstance(options, Options) else None
    return method, View(frame=method.frame_size, picture=usual, finest_px=finest_px)
