"""The only decoder of videos (PyAV): every frame once, from 0 on as they are shown, with its time since the first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from heapq import heappop, heappush
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from adkit.data.bitstreams import is_broken
from adkit.data.packets import InOrder, Packets, lacks_index, videos_in
from adkit.data.raw_streams import RawFrames
from adkit.errors import SKIPPING, FrameError, said
from adkit.stats.formatting import clock
from adkit.types import USUAL_RATE

if TYPE_CHECKING:
    import av

VIDEO_SUFFIXES = frozenset(
    {".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".dav", ".divx", ".dv", ".f4v", ".flv", ".h264", ".h265", ".hevc"}
    | {".ivf", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpe", ".mpeg"}
    | {".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv"}
)

_AHEAD = 3  # frames that wait for one that comes later and has an earlier stamp, as programme streams tell them
_HINT = f"check the file, or record it again{SKIPPING}"


def is_video(path: Path) -> bool:
    """Say whether the file's name says that it is a video (hidden files are not)."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One decoded frame; it becomes RGB only when its pixels are asked for."""

    number: int
    time_s: float  # since the first frame
    decoded: av.VideoFrame
    mirrored: bool = False  # to be turned upside down before it is turned upright
    connection: int = 0  # how often a live source had to be opened anew before

    @property
    def spoilt(self) -> bool:
        """Say whether the decoder knows that it made up a part of it."""
        return bool(self.decoded.is_corrupt)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (height, width) in px, upright."""
        height, width = self.decoded.height, self.decoded.width
        return (width, height) if self._quarter_turns % 2 else (height, width)

    def pixels(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return RGB uint8 (H, W, 3), upright; resized to `size` = (height, width) in the same step as converted."""
        turns = self._quarter_turns
        height, width = size or self.shape
        if turns % 2:
            height, width = width, height
        shrinks = height <= self.decoded.height and width <= self.decoded.width
        transparent = _is_transparent(self.decoded.format.name)
        kind, how = "rgba" if transparent else "rgb24", "AREA" if shrinks else "BILINEAR"
        pixels = self.decoded.reformat(width=width, height=height, format=kind, interpolation=how).to_ndarray()
        if transparent:  # on white, as images are
            alpha = pixels[..., 3:].astype(np.uint32)
            pixels = ((pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
        if turns or self.mirrored:
            pixels = np.rot90(pixels[::-1] if self.mirrored else pixels, turns)
        return np.ascontiguousarray(pixels)  # rot90 gives a view, and rows of odd widths are padded

    @property
    def _quarter_turns(self) -> int:
        """Counter-clockwise, from the file's display matrix: telephones record upright and say so there."""
        return round(self.decoded.rotation / 90) % 4


class Video:
    """An opened video file, stream or camera; walk it once, in a `with`. Raises FrameError for what is none.

    `settings` are those of av.open.
    """

    def __init__(self, source: Path | str, **settings: Any) -> None:
        import av  # heavy: only where there is a video

        self.source, self.name = source, str(source)
        if isinstance(source, Path):
            require_file(source, "a video", _HINT)
        with _decoding(source):
            self._container: Any = av.open(self.name, **settings)
        cover = av.stream.Disposition.attached_pic
        self._streams = sum(not one.disposition & cover for one in self._container.streams.video)
        if not self._streams:
            self.close()
            raise FrameError(f"{self.name} has no video stream, only sound or data", hint="name a file with a video")
        self._stream = cast("Any", self._container.streams.best("video"))  # as players choose
        self._stream.thread_type = "AUTO"
        self._codec = self._stream.codec_context.name
        if self._codec == "mjpeg":  # whose decoder else makes up what is missing, and says nothing
            self._stream.codec_context.options = {"err_detect": "explode"}
        self._packets = Packets(self._container, self._stream)
        self._damages_s: list[float] = []  # when frames are lost or spoilt
        self._mirrored: bool | None = None
        self._last_stamp = -(2**63)
        self.first_stamp: int | None = None  # of what was shown
        self.number = 0  # of the next frame
        self._undecodable = 0  # frames at its beginning

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
        """Say about how many frames there are, by what the file says of itself; None where it does not."""
        if self.declared_frames:
            return self.declared_frames
        duration = self._container.duration  # in millionths of a second
        return (round(duration / 1e6 * self.rate) or None) if duration else None

    def stamps(self) -> NDArray[np.int64]:
        """Return (N,) stamps (or numbers, without any) of the frames that are shown, in their order; ends the walk."""
        found: list[int | None] = []
        lead: int | None = None  # the stamp of the first packet, where decoding can begin with it
        with _decoding(self.source):
            for packet in self._packets:
                if packet.size and not packet.is_discard:
                    if not found and packet.is_keyframe:
                        lead = packet.pts
                    found.append(packet.pts)
        if not found:
            raise FrameError(f"{self.name} has no frame", hint=_HINT)
        known = np.sort(np.array([stamp for stamp in found if stamp is not None], dtype=np.int64))
        if len(known) < len(found):
            return np.arange(len(found))
        if lead is None or known[0] < lead:  # a video cut within a group of pictures begins with what cannot be decoded
            with Video(Path(self.name)) as video:
                next(iter(video))
                begins = np.searchsorted(known, video.first_stamp or 0)
                self._undecodable, known = int(begins), known[begins:]
        return known

    def times_s(self) -> NDArray[np.float64]:
        """Return (N,) when each frame is shown, in seconds from the first; ends the walk."""
        stamps = self.stamps()
        tick = 1 / self.rate if self._packets.without_stamps else self._packets.tick_s
        return np.asarray((stamps - stamps[0]) * tick, np.float64)

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield every frame that can be decoded, in order; its number counts those before it that are lost.

        After the last one, raises FrameError when something is damaged or missing, saying where.
        """
        import av

        shown, time_s = 0, 0.0
        order = InOrder(_AHEAD if isinstance(self.source, Path) else 0)
        waiting: list[int] = []  # a heap of the stamps of packets whose frames were not shown yet
        raw = RawFrames(self._codec)
        packets = iter(self._packets)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                told = f"{self.name} breaks off after {_ended(shown, time_s)}: {_told(error)}"
                raise FrameError(told, hint=_HINT) from None
            if packet is not None and packet.size and not packet.is_discard:
                if packet.pts is not None and packet.pts > self._last_stamp:
                    heappush(waiting, packet.pts)
                elif self._packets.without_stamps:
                    raw.sent(packet, self._packets.count)
                if is_broken(self._codec, bytes(packet)):
                    self._damages_s.append(self._packets.reached_s)
                    if self._codec == "mjpeg":  # what can be seen of it is not its frame
                        continue
            try:
                frames = [] if packet is None else packet.decode()
            except av.error.FFmpegError:
                self._damages_s.append(time_s)
                continue
            if self._packets.without_stamps:
                raw.shown(frames)
            for decoded, stamp in order(frames, last=packet is None):
                number = self._next_number(stamp, waiting)
                if stamp is None:
                    time_s = number / self.rate
                else:
                    time_s = (stamp - (self.first_stamp or 0)) * self._packets.tick_s
                if decoded.is_corrupt:
                    self._damages_s.append(time_s)
                if self._mirrored is None:
                    self._mirrored = _is_mirrored(decoded)
                yield VideoFrame(number, time_s, decoded, self._mirrored)
                shown += 1
            if packet is None:
                break
        if waiting:
            self._damages_s.append(time_s)
        lost = raw.lost()
        self._damages_s += [number / self.rate for number in lost]
        self.number += len(waiting) + len(lost)
        self.require_sound(shown, time_s)

    def _next_number(self, stamp: int | None, waiting: list[int]) -> int:
        """Return a shown frame's number; those whose stamps come before its own, and were not shown, are lost."""
        lost = -1
        while waiting and stamp is not None and waiting[0] <= stamp:
            heappop(waiting)
            lost += 1
        if self.first_stamp is None:
            self.first_stamp, self._undecodable = stamp, max(0, lost)  # the video was cut there
        elif lost > 0:
            self._damages_s.append(self._packets.seconds(self._last_stamp))
            self.number += lost
        if stamp is not None:
            self._last_stamp = stamp
        self.number += 1
        return self.number - 1

    def require_sound(self, shown: int, time_s: float) -> None:
        """Raise FrameError where frames are lost, spoilt or missing at the end, of those that were shown so far."""
        if shown == 0:
            raise FrameError(f"no frame of {self.name} can be decoded", hint=_HINT)
        if not (isinstance(self.source, Path) or self.is_recording):
            return  # of what comes live, the end tells nothing
        of_file = isinstance(self.source, Path) and "mp4" in self._container.format.name
        if of_file and (more := videos_in(Path(self.name))[0]) > 1:
            raise FrameError(
                f"{self.name} holds {more} videos, one behind the other, and only the first can be read: "
                f"{_ended(shown, time_s)}",
                hint="join such files by a tool for videos: ffmpeg -f concat",
            )
        found = sorted([*self._damages_s, *self._packets.broken_s()])
        missing_s = self._packets.missing_s
        if not (found or missing_s or self._packets.breaks_off):
            return
        all_of_it = max(self.number, self.declared_frames or 0)
        only, of = ("only ", f" of {all_of_it:,}") if all_of_it > shown else ("", "")
        lacking = f", {missing_s:.1f} s before it should end" if missing_s else ""
        what = f"is damaged at {clock(found[0])}" if found else f"is cut off at its end{lacking}"
        ended = f"{only}{_ended(shown, time_s, of)} can be decoded"
        raise FrameError(f"{self.name} {what}: {ended}", hint=_HINT)

    @property
    def notes(self) -> list[str]:
        """Say where its clock was set anew, as far as it was read, and what of it is not read."""
        frames = "frame" if self._undecodable == 1 else "frames"
        cut = f"{self.name}: its first {self._undecodable} {frames} cannot be decoded, as where it was cut"
        one = f"{self.name}: of its {self._streams} video streams, only one is read (index {self._stream.index})"
        return [*self._packets.notes(self.name), *[cut] * (self._undecodable > 0), *[one] * (self._streams > 1)]

    @property
    def moved(self) -> bool:
        """Say whether stamps, as far as they were read, are not those in the file, or not of all its frames."""
        return bool(self._packets.jumps or self._undecodable)

    def at(self, number: int, stamp: int) -> VideoFrame | None:
        """Return the frame that has this stamp, found from a key frame before it; None where that cannot be trusted."""
        import av

        if self._container.format.name in ("avi", "mpeg") and self._stream.codec_context.codec.reorder:
            return None  # after a seek FFmpeg guesses their stamps anew
        try:
            self._container.seek(stamp, stream=self._stream, backward=True)
            for decoded in self._container.decode(self._stream):
                if decoded.pts is None or decoded.pts > stamp:
                    return None
                if decoded.pts == stamp:
                    return VideoFrame(number, 0.0, decoded, _is_mirrored(decoded))
        except (av.error.FFmpegError, OSError):
            return None
        return None


@cache
def _is_transparent(kind: str) -> bool:
    """Say whether frames of a pixel format have an alpha channel."""
    import av

    return any(one.is_alpha for one in av.VideoFormat(kind).components)


def video_times(path: Path) -> NDArray[np.float64]:
    """Return (N,) seconds from the first frame to each, by packets; raises FrameError for what is no video."""
    with Video(path) as video:
        return video.times_s()


def video_frame(path: Path, number: int) -> NDArray[np.uint8]:
    """Read frame `number` of a video file as RGB (H, W, 3), without decoding what comes before its key frame."""
    with Video(path) as video:
        stamps, plain = video.stamps(), not video.moved
    if not 0 <= number < len(stamps):
        raise FrameError(f"{path} has {len(stamps):,} frames; number {number} (from 0) was asked for", hint=_HINT)
    if plain:  # else stamps are not those in the file
        with Video(path) as video:
            if found := video.at(number, int(stamps[number])):
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
def _decoding(source: Path | str) -> Iterator[None]:
    """Turn what FFmpeg says of a file or stream into a FrameError."""
    import av

    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        told = _told(error)
        if isinstance(source, Path) and lacks_index(source):
            told = "its index (moov) is missing, as where a recording was cut off"
        raise FrameError(f"{source} cannot be read as a video: {told}", hint=_HINT) from None


def require_file(path: Path, expected: str, hint: str) -> None:
    """Raise FrameError for what is no file, cannot be read or is empty; `expected` is "a video", or "an image"."""
    if path.is_dir():
        raise FrameError(f"{path} is a folder, {expected} was expected", hint="name a file")
    if not path.exists():
        raise FrameError(f"there is no file {path}", hint="check the path")
    if not os.access(path, os.R_OK):
        raise FrameError(f"no permission to read {path}", hint="check the file's owner and mode")
    if path.stat().st_size == 0:
        raise FrameError(f"the file is empty (0 bytes): {path}", hint=hint)


def _is_mirrored(decoded: av.VideoFrame) -> bool:
    """Say whether a frame's display matrix mirrors it; its rotation does not tell."""
    matrix: Any = decoded.side_data.get("DISPLAYMATRIX")
    if not matrix:
        return False
    right_x, right_y, _, down_x, down_y = np.frombuffer(matrix, np.int32)[:5].astype(float)
    return bool(right_x * down_y < right_y * down_x)


def _ended(number: int, time_s: float, of: str = "") -> str:
    return f"{number:,}{of} frames, up to {clock(max(0.0, time_s))}"


def _told(error: Exception) -> str:
    """Return FFmpeg's own words without number and path; plainer ones where a live source is silent."""
    import av

    if isinstance(error, av.error.ExitError):
        return "nothing came in time"
    return said(str(getattr(error, "strerror", None) or error))
