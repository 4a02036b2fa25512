"""Small H.264 videos inside a page, as addresses that hold the video itself."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from adkit.data.frame_source import frames_of
from adkit.data.images import frame_shape
from adkit.drawing.overlay import fitted
from adkit.errors import AdkitError
from adkit.types import Sample

SIDE_PX = 320
"""Longer side of each video."""
LONGEST_S = 40.0
"""Of a longer clip, only what surrounds the moment that matters is shown."""
RATE = 12.5
"""Frames a second, where there are more."""
_CLOCK = 1000  # ticks a second
_QUALITY = {"preset": "slow", "crf": "32", "threads": "1"}  # one thread: other work needs the cores


@dataclass(frozen=True, slots=True)
class Film:
    """A video of a clip, or of a part of it."""

    source: str
    width: int
    height: int
    start_s: float  # of the clip, when the video begins
    end_s: float


def film(clip: Sequence[Sample], around_s: float) -> Film | None:
    """The clip's frames as a video, or those around a time where it is long; None where they can no longer be read."""
    start_s = max(clip[0].time_s, min(around_s - LONGEST_S / 2, clip[-1].time_s - LONGEST_S))
    shown = [sample for sample in clip if start_s <= sample.time_s <= start_s + LONGEST_S]
    lasts_s = shown[-1].time_s - shown[0].time_s
    step = max(1, math.ceil((len(shown) - 1) / (lasts_s * RATE))) if lasts_s > 0 else 1
    try:
        height, width = (side - side % 2 for side in fitted(frame_shape(shown[0].frame), SIDE_PX))
        content = _encoded(shown[::step], (height, width))
    except AdkitError:
        return None
    source = "data:video/mp4;base64," + base64.b64encode(content).decode()
    return Film(source, width, height, shown[0].time_s, shown[-1].time_s)


def _encoded(samples: Sequence[Sample], size: tuple[int, int]) -> bytes:
    import av  # heavy: only where there are clips

    times = {sample.id: sample.time_s - samples[0].time_s for sample in samples}
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(RATE), options=_QUALITY)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, _CLOCK)
        context.max_b_frames = 0  # frames in the order of their times: the first is shown at 0
        context.gop_size = 25  # a click needs a key frame near by
        for one in frames_of(samples, size):
            assert one.pixels is not None
            frame = av.VideoFrame.from_ndarray(one.pixels, format="rgb24")
            frame.pts, frame.time_base = round(times[one.id] * _CLOCK), Fraction(1, _CLOCK)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
