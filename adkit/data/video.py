"""The only decoder of videos (PyAV): every frame once, in order, with its time; what is damaged is told.

Frames are numbered from 0 in the order in which they are shown, and times count from the first one's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adkit.errors import FrameError
from adkit.stats.formatting import clock
from adkit.types import USUAL_RATE

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

VIDEO_SUFFIXES = frozenset(
    {".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".h264", ".h265", ".hevc", ".m2t", ".m2ts"}
    | {".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob"}
    | {".webm", ".wmv"}
)

_HINT = "check the file, or record it again; --skip-bad continues without such files"


def is_video(path: Path) -> bool:
    """Say whether the file's name says that it is a video (hidden files are not)."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One decoded frame; it becomes RGB only when its pixels are asked for."""

    number: int
    time_s: float  # since the first frame
    decoded: av.VideoFrame

    @property
    def shape(self) -> tuple[int, int]:
        """Return (height, width) in px, upright."""
        height, width = self.decoded.height, self.decoded.width
        return (width, height) if self._quarter_turns % 2 else (height, width)

    def pixels(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return RGB uint8 (H, W, 3), upright; resized to `size` = (height, width) in the same step as converted."""
        height, width = size or self.shape
        if self._quarter_turns % 2:
            height, width = width, height
        shrinks = height <= self.decoded.height and width <= self.decoded.width
        converted = self.decoded.reformat(
            width=width, height=height, format="rgb24", interpolation="AREA" if shrinks else "BILINEAR"
        )
        # As an array without gaps: rot90 gives a view, and rows of odd widths are padded.
        return np.ascontiguousarray(np.rot90(converted.to_ndarray(), self._quarter_turns))

    @property
    def _quarter_turns(self) -> int:
        """Counter-clockwise, from the file's display matrix: telephones film upright and say so there."""
        return round(self.decoded.rotation / 90) % 4


class Video:
    """An opened video file, stream or camera; use it in a `with`, and walk its frames once.

    `source` is a path or what FFmpeg takes for one (`rtsp://…`); `format` and `options` go to FFmpeg. Raises
    FrameError for what is not a video, has no picture, or cannot be opened.
    """

    def __init__(
        self,
        source: Path | str,
        *,
        format: str | None = None,  # noqa: A002 (FFmpeg's word)
        options: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        import av  # heavy: only where there is a video

        self.name = str(source)
        if isinstance(source, Path):
            _require_file(source)
        with _decoding(self.name):
            self._container: Any = av.open(
                self.name, format=format, options=dict(options or {}), timeout=timeout_s, mode="r"
            )
        if not self._container.streams.video:
            self.close()
            raise FrameError(f"{self.name} has no video stream, only sound or data", hint="name a file with pictures")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file or stream."""
        self._container.close()

    @property
    def rate(self) -> float:
        """Return frames a second on average, as the file says; 25 where it does not."""
        return float(self._stream.average_rate or self._stream.guessed_rate or USUAL_RATE)

    @property
    def coded_shape(self) -> tuple[int, int]:
        """Return (height, width) in px of a frame before it is turned upright, as the header says."""
        return int(self._stream.height), int(self._stream.width)

    @property
    def is_recording(self) -> bool:
        """Say whether its length in seconds or bytes is known: then it has an end, also where a server offers it."""
        playlist = self._container.format.name in ("hls", "dash")  # which may grow
        return bool(self._container.duration) or (not playlist and self._container.size > 0)

    @property
    def declared_frames(self) -> int | None:
        """Say how many frames an mp4 or mov says that it has; None for formats that count otherwise or do not say."""
        return (int(self._stream.frames) or None) if "mp4" in self._container.format.name else None

    @property
    def expected_frames(self) -> int | None:
        """About how many frames there are, by what the file says of itself; None where it does not."""
        if self.declared_frames:
            return self.declared_frames
        duration = self._container.duration  # in millionths of a second
        return (round(duration / 1e6 * self.rate) or None) if duration else None

    @property
    def time_base(self) -> Fraction:
        """Return the fraction of a second in which its timestamps count."""
        return self._stream.time_base or Fraction(1, 1000)

    def times_s(self) -> NDArray[np.float64]:
        """Return (N,) when each frame is shown, read from the packets' headers; ends the walk."""
        with _decoding(self.name):
            stamps = [
                packet.pts for packet in self._container.demux(self._stream) if packet.size and not packet.is_discard
            ]
        if not stamps:
            raise FrameError(f"{self.name} has no frame", hint=_HINT)
        known = [stamp for stamp in stamps if stamp is not None]
        if len(known) < len(stamps):  # raw streams carry no times
            return np.arange(len(stamps)) / self.rate
        times = np.sort(np.array(known, dtype=np.float64)) * float(self.time_base)
        return np.asarray(times - times[0])

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield every frame that can be decoded, in order.

        After the last one, raises FrameError when there should have been more, saying where the video ends; so a
        caller has had all that there is.
        """
        import av

        first: int | None = None
        number, time_s, damaged = 0, -1.0, 0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                raise FrameError(
                    f"{self.name} breaks off after {_ended(number, time_s)}: {_told(error)}", hint=_HINT
                ) from None
            if packet is None:
                break
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                damaged += 1
                continue
            for decoded in frames:
                if decoded.pts is not None and first is None:
                    first = decoded.pts
                stamp = number / self.rate if decoded.pts is None else (decoded.pts - (first or 0)) * self.time_base
                time_s = max(time_s, float(stamp), 0.0)  # files that were joined may start their clock again
                yield VideoFrame(number, time_s, decoded)
                number += 1
        if number == 0:
            raise FrameError(f"no frame of {self.name} can be decoded", hint=_HINT)
        declared = self.declared_frames or 0
        # Frames that an edit list leaves out are counted in the header and never shown; the length tells the end.
        length_s = float((self._stream.duration or 0) * self.time_base)
        breaks_off = number < declared - max(2, declared // 100) and time_s + 3 / self.rate < length_s
        if damaged or breaks_off:
            of = f" of {declared:,}" if declared > number else ""
            raise FrameError(f"{self.name} is damaged: only {_ended(number, time_s, of)} can be decoded", hint=_HINT)

    def at(self, number: int, time_s: float) -> VideoFrame | None:
        """Return the frame that is shown at this time, found from a key frame before it; None where seeking fails."""
        import av

        stamp = (self._stream.start_time or 0) + round(time_s / self.time_base)
        try:
            self._container.seek(stamp, stream=self._stream, backward=True)
            for decoded in self._container.decode(self._stream):
                if decoded.pts is None or decoded.pts > stamp + 1:
                    return None
                if decoded.pts >= stamp - 1:
                    return VideoFrame(number, time_s, decoded)
        except (av.error.FFmpegError, OSError):
            return None
        return None


def video_times(path: Path) -> NDArray[np.float64]:
    """Return (N,) seconds from the first frame to each, by packets; raises FrameError for what is no video."""
    with Video(path) as video:
        return video.times_s()


def video_frame(path: Path, number: int) -> NDArray[np.uint8]:
    """Frame `number` of a video file as RGB (H, W, 3), without decoding what comes before its key frame."""
    times = video_times(path)
    if not 0 <= number < len(times):
        raise FrameError(f"{path} has {len(times):,} frames; number {number} (from 0) was asked for", hint=_HINT)
    with Video(path) as video:
        if found := video.at(number, float(times[number])):
            return found.pixels()
    with Video(path) as video:  # transport streams and raw ones know no places to go to
        for frame in video:
            if frame.number == number:
                return frame.pixels()
    raise FrameError(f"frame {number} of {path} cannot be decoded", hint=_HINT)


def video_shape(path: Path) -> tuple[int, int]:
    """Return (height, width) in px of a video file's first frame, upright."""
    with Video(path) as video:
        return next(iter(video)).shape


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Inside it, what FFmpeg says of a file or stream becomes a FrameError."""
    import av

    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise FrameError(f"{name} cannot be read as a video: {_told(error)}", hint=_HINT) from None


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise FrameError(f"{path} is a folder, a video was expected", hint="name a file")
    if not path.exists():
        raise FrameError(f"there is no file {path}", hint="check the path")
    if not os.access(path, os.R_OK):
        raise FrameError(f"no permission to read {path}", hint="check the file's owner and mode")
    if path.stat().st_size == 0:
        raise FrameError(f"the file is empty (0 bytes): {path}", hint=_HINT)


def _ended(number: int, time_s: float, of: str = "") -> str:
    return f"{number:,}{of} frames, up to {clock(max(0.0, time_s))}"


def _told(error: Exception) -> str:
    """FFmpeg's own words without number and path."""
    return str(getattr(error, "strerror", None) or error)
