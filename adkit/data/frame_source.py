"""The frames of a clip as they come from a file, a folder or a live source, in the sizes that are needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from adkit.data.images import read_image, resize
from adkit.data.inputs import VideoInput
from adkit.data.live import LiveFeed
from adkit.data.video import Video, VideoFrame
from adkit.errors import FrameError
from adkit.stats.formatting import clock
from adkit.types import USUAL_RATE, FrameRef

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Size = tuple[int, int]
"""(height, width) in px."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One frame: its pixels for the method, where it is to be judged, and for the eye, where somebody looks."""

    number: int
    time_s: float
    connection: int  # how often a live source had to be opened anew before
    shape: Size
    pixels: NDArray[np.uint8] | None  # RGB, at the method's size; None: it is not judged
    panel: NDArray[np.uint8] | None  # RGB, at the panel's size


class _Picture(Protocol):
    @property
    def shape(self) -> Size: ...

    def pixels(self, size: Size | None = None) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, slots=True)
class _Still:
    """An image file as a frame of a clip."""

    image: NDArray[np.uint8]

    @property
    def shape(self) -> Size:
        return self.image.shape[0], self.image.shape[1]

    def pixels(self, size: Size | None = None) -> NDArray[np.uint8]:
        return self.image if size is None else resize(self.image, size)


@dataclass
class Source:
    """A clip's frames, decoded when they are asked for; what is found on the way stands in it afterwards."""

    footage: VideoInput
    stop: threading.Event
    feed: LiveFeed | None = None  # of live footage
    rate: float = USUAL_RATE  # frames a second, as far as is known
    expected: int | None = None  # frames, as far as is known
    seen: int = field(default=0, init=False)  # frames that were decoded
    last_s: float = field(default=0.0, init=False)
    _step_s: float = field(default=0.0, init=False)
    notes: list[str] = field(default_factory=list, init=False)  # where the picture's size changes
    unreadable: list[FrameError] = field(default_factory=list, init=False)  # images of a folder

    def __post_init__(self) -> None:
        """Looks at the clip; raises FrameError where there is none."""
        footage = self.footage
        if footage.video is not None:
            with Video(footage.video) as video:
                self.rate, self.expected = video.rate, video.expected_frames
        elif not footage.live:
            self.expected = len(footage.frames)

    @property
    def length_s(self) -> float:
        """How long the frames last that were decoded, the last one for as long as the one before."""
        return self.last_s + self._step_s

    def arrivals(self, size: Size, every: int, panel_of: Callable[[Size], Size] | None) -> Generator[Arrival]:
        """One in `every` frames at `size`, for the method; with `panel_of` all, also at its size for the first's shape.

        Raises FrameError after the last frame where there should have been more.
        """
        first: Size | None = None
        shape: Size | None = None
        panel: Size | None = None
        for number, time_s, connection, picture in self._pictures():
            if shape != picture.shape:
                if shape is not None:
                    self.notes.append(
                        f"{self.footage.name} changes its size from {_px(shape)} to {_px(picture.shape)} px "
                        f"at {clock(time_s)}; all frames are resized alike"
                    )
                shape = picture.shape
                first = first or shape
                panel = panel_of(first) if panel_of else None
            if self.seen:
                self._step_s = time_s - self.last_s
            self.seen, self.last_s = self.seen + 1, time_s
            judged = number % every == 0
            if judged or panel:
                yield Arrival(
                    number,
                    time_s,
                    connection,
                    shape,
                    picture.pixels(size) if judged else None,
                    picture.pixels(panel) if panel else None,
                )
            if self.stop.is_set():
                return

    def _pictures(self) -> Iterator[tuple[int, float, int, _Picture]]:
        footage = self.footage
        if self.feed is not None:
            for live in self.feed:
                yield live.number, live.time_s, live.connection, live.decoded
        elif footage.video is not None:
            with Video(footage.video) as video:
                frame: VideoFrame
                for frame in video:
                    yield frame.number, frame.time_s, 0, frame
        else:
            yield from self._stills(footage.frames)

    def _stills(self, paths: tuple[Path, ...]) -> Iterator[tuple[int, float, int, _Picture]]:
        for number, path in enumerate(paths):
            try:
                image = read_image(FrameRef(path))
            except FrameError as error:
                self.unreadable.append(error)
                continue
            yield number, number / USUAL_RATE, 0, _Still(image)
        if len(self.unreadable) == len(paths):
            raise FrameError(f"none of the images in {self.footage.name} can be read", hint="check the files")


def _px(shape: Size) -> str:
    return f"{shape[1]}×{shape[0]}"
