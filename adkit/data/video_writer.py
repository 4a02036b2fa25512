"""A video as it is written: H.264 that browsers play, with the times of the frames it shows, whole or not there."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adkit.errors import OptionError
from adkit.files.atomic import refuse_folder, whole_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIX = ".mp4"
_CLOCK = 90_000  # ticks a second: what MPEG uses, and finer than any camera
_KEY_FRAMES_S = 2.0
_QUALITY: dict[str, object] = {"preset": "veryfast", "crf": "23"}


def require_video_file(path: Path) -> None:
    """Raises AdkitError for a name under which no annotated video can be written."""
    if path.suffix.lower() != SUFFIX:
        raise OptionError(f"{path} does not end in {SUFFIX}", hint=f"for example {path.with_suffix(SUFFIX)}")
    refuse_folder(path)


class AnnotatedVideo:
    """Takes RGB frames (height, width, 3) with their times; the file appears when it is finished.

    Both sides are even numbers of px. Raises StorageError when the disk is full or must not be written: nothing is then
    left of it.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        import av  # heavy: only where a video is written

        require_video_file(path)
        self.path = path
        self._waiting: tuple[NDArray[Any], int] | None = None  # until it is known for how long it is shown
        self._usual_ticks = max(1, round(_CLOCK / rate))
        self._durations: dict[int, int] = {}
        self._file = ExitStack()
        self._container: Any = None
        self._temporary = self._file.enter_context(whole_file(path))
        with self._writing():
            # The index goes to the front, so that a browser need not load the whole file first.
            self._container = av.open(str(self._temporary), "w", format="mp4", options={"movflags": "+faststart"})
            stream = self._container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
            stream.height, stream.width = size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = Fraction(1, _CLOCK)
            stream.codec_context.gop_size = max(1, round(_KEY_FRAMES_S * rate))
            stream.codec_context.max_b_frames = 0  # frames in the order of their times: the first is shown at 0
            stream.options = _QUALITY
            self._stream = stream

    def add(self, pixels: NDArray[Any], time_s: float) -> None:
        """The next frame and the seconds at which it is shown, later than those before."""
        ticks = round(time_s * _CLOCK)
        if self._waiting is not None:
            before = self._waiting[1]
            ticks = max(ticks, before + 1)
            self._encode(ticks - before)
        self._waiting = (pixels, ticks)

    def finish(self) -> None:
        """Writes what is left and gives the file its name."""
        if self._waiting is not None:
            self._encode(self._usual_ticks)
            self._waiting = None
        with self._writing():
            self._mux(self._stream.encode(None))
            container, self._container = self._container, None
            container.close()
            self._file.close()

    def discard(self) -> None:
        """Leaves nothing of it."""
        with suppress(_Discarded):
            self._leave(_Discarded())

    def _leave(self, error: BaseException) -> None:
        """Ends the writing because of an error, which is raised in the end as what it means."""
        import av

        container, self._container = self._container, None
        if container is not None:
            with suppress(av.error.FFmpegError, OSError):
                container.close()
        with self._file:
            raise error

    def _encode(self, ticks: int) -> None:
        import av

        assert self._waiting is not None
        pixels, start = self._waiting
        with self._writing():
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = start, Fraction(1, _CLOCK)
            self._durations[start] = ticks
            self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts, self._usual_ticks)
            self._container.mux(packet)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Inside it, any fault ends the writing; that of a disk becomes a StorageError."""
        import av

        try:
            yield
        except av.error.FFmpegError as error:
            number = error.errno if error.errno and error.errno > 0 else errno.EIO
            self._leave(OSError(number, error.strerror))
        except BaseException as error:
            self._leave(error)


class _Discarded(Exception):  # noqa: N818 (nothing failed)
    """Nobody wants the video."""
