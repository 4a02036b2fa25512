"""The only writer of videos: H.264 that browsers play, with the times of the frames it shows."""

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from adkit.errors import OptionError
from adkit.files.atomic import require_output, whole_file

SUFFIX = ".mp4"
_CLOCK = 90_000  # ticks a second: what MPEG uses, and finer than any camera


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a video is compressed: x264's preset and rate factor (higher is smaller and worse)."""

    preset: str = "veryfast"
    rate_factor: int = 23
    key_frames_s: float = 2.0  # a click into the video needs a key frame near by
    threads: int = 0  # 0: as many as there are cores
    says: str = ""  # a comment in the file
    b_frames: int | None = 0  # 0: frames are in the order of their times, and the first is shown at 0; None: x264's own


USUAL = Encoding()


def require_video_file(path: Path) -> None:
    """Raise AdkitError for a name under which no video can be written."""
    if path.suffix.lower() != SUFFIX:
        raise OptionError(f"{path} does not end in {SUFFIX}", hint=f"for example {path.with_suffix(SUFFIX)}")
    require_output(path)


class VideoWriter:
    """Takes RGB frames (height, width, 3), both even, with their times, for a path or an open file such as BytesIO.

    The file appears, whole, when it is finished: at the end of a `with`, unless something fails. Raises StorageError
    when the disk is full or must not be written: nothing is then left of it.
    """

    def __init__(self, target: Path | BinaryIO, size: tuple[int, int], rate: float, how: Encoding = USUAL) -> None:
        import av  # heavy: only where a video is written

        self._waiting: tuple[NDArray[Any], int] | None = None  # until it is known for how long it is shown
        self._usual_ticks = max(1, round(_CLOCK / rate))
        self._durations: dict[int, int] = {}
        self._file = ExitStack()
        self._container: Any = None
        file: Any = target
        options = {}
        if isinstance(target, Path):
            require_video_file(target)
            file = str(self._file.enter_context(whole_file(target)))
            options["movflags"] = "+faststart"  # the index first: a browser need not load the whole file to begin
        with self._writing():
            self._container = av.open(file, "w", format="mp4", options=options)
            self._container.metadata["comment"] = how.says
            stream = self._container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
            stream.height, stream.width = size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = Fraction(1, _CLOCK)
            stream.codec_context.gop_size = max(1, round(how.key_frames_s * rate))
            if how.b_frames is not None:
                stream.codec_context.max_b_frames = how.b_frames
            stream.options = {"preset": how.preset, "crf": str(how.rate_factor), "threads": str(how.threads)}
            self._stream = stream

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.finish()
        else:
            self.discard()

    def add(self, pixels: NDArray[Any], time_s: float) -> None:
        """Add the next frame and the seconds at which it is shown, later than those before."""
        ticks = round(time_s * _CLOCK)
        if self._waiting is not None:
            before = self._waiting[1]
            ticks = max(ticks, before + 1)
            self._encode(ticks - before)
        self._waiting = (pixels, ticks)

    def finish(self) -> None:
        """Write what is left and give the file its name."""
        if self._waiting is not None:
            self._encode(self._usual_ticks)
            self._waiting = None
        with self._writing():
            self._mux(self._stream.encode(None))
            container, self._container = self._container, None
            container.close()
            self._file.close()

    def discard(self) -> None:
        """Leave nothing of it."""
        with suppress(_Discarded):
            self._leave(_Discarded())

    def _leave(self, error: BaseException) -> None:
        """End the writing because of an error, which is raised in the end as what it means."""
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
        """Let any fault inside it end the writing; that of a disk becomes a StorageError."""
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
