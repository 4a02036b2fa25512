"""Small videos for tests, made by code."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SIZE = (48, 64)


def grey(value: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """An image of one grey."""
    return np.full((*size, 3), value, np.uint8)


def write_video(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    rate: int = 10,
    stamps: Sequence[int] | None = None,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> Path:
    """The frames (H, W, 3) as a video; `stamps` are their times in hundredths of a second (default: regular)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.time_base = Fraction(1, 100)
            frame.pts = stamps[number] if stamps else round(100 * number / rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_greys(path: Path, values: Sequence[int], *, rate: int = 10, stamps: Sequence[int] | None = None) -> Path:
    """A video whose frames are these greys."""
    return write_video(path, [grey(value) for value in values], rate=rate, stamps=stamps)
