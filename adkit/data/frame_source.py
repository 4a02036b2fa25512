"""The one source of frames: from samples, a video, a folder, a live source or arrays, in the sizes that are needed."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adkit.data.bit_depth import as_rgb8
from adkit.data.boxes import Size, px
from adkit.data.clips import Pace
from adkit.data.images import read_image
from adkit.data.inputs import VideoInput
from adkit.data.live import LiveFeed
from adkit.data.prefetch import ahead
from adkit.data.video import Video
from adkit.data.view import DecodedImage, StillImage, View
from adkit.errors import AdkitError, FrameError
from adkit.stats.formatting import clock
from adkit.types import USUAL_RATE, FrameRef, Sample

OnBad = Callable[[Sample, AdkitError], None]

_Decoded = tuple[int, float, int, Any]
"""Number, time, connection and image."""
LOOKAHEAD = 16
"""Frames that are decoded ahead of the model: they keep it busy, and bound the memory whatever the data's length."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its pixels for the method, where it is to be judged, and for the eye, where somebody looks."""

    id: str
    clip: str  # a still image is a clip of its own
    index: int  # in its clip
    time_s: float  # since the clip's start
    shape: Size  # of the image as it lies in the file
    pixels: NDArray[np.uint8] | None  # RGB, as the view lays it on the canvas; None: it is not judged
    panel: NDArray[np.uint8] | None = None  # RGB, at the panel's size


def frames_of(
    samples: Iterable[Sample], view: View, on_bad: OnBad | None = None, lookahead: int = LOOKAHEAD
) -> Generator[Frame]:
    """Yield a frame for every readable sample in order, at most `lookahead` decoded ahead; `on_bad` gets the others."""
    lookahead = max(2, lookahead // view.frames)  # with tiles, images are large
    for video, members in groupby(samples, key=lambda one: None if one.frame.number is None else one.frame.path):
        if video is None:
            yield from _stills(members, view, on_bad, lookahead)
        else:
            yield from _video(video, list(members), view, on_bad, lookahead)


def frame_of_array(pixels: NDArray[Any], name: str, view: View) -> Frame:
    """Make a frame of an array (H, W) or (H, W, 3), RGB, 8 or 16 bits; raises FrameError for any other."""
    kind = getattr(getattr(pixels, "dtype", None), "name", type(pixels).__name__)  # a list and an Image have none
    if kind not in ("uint8", "uint16"):  # 200 as a 64-bit number would be taken for 200 of 65,535
        hint = "numpy.asarray(image) makes an array of many other things"
        if "float" in kind or kind == "bool":
            hint = "(255 * image).astype('uint8') where 1 is white"
        elif "int" in kind:
            hint = "image.astype('uint8') where 255 is white, astype('uint16') where 65,535 is"
        raise FrameError(f"pixels are {kind}; uint8 or uint16 was expected: {name}", hint=hint)
    image = StillImage(as_rgb8(pixels, name, view.white))
    view.require(image.shape, name)
    return Frame(name, name, 0, 0.0, image.shape, view.see(image))


def _frame(sample: Sample, image: DecodedImage, view: View) -> Frame:
    view.require(image.shape, str(sample.frame))
    return Frame(sample.id, sample.clip, sample.index, sample.time_s, image.shape, view.see(image))


def _stills(samples: Iterator[Sample], view: View, on_bad: OnBad | None, lookahead: int) -> Iterator[Frame]:
    """Yield images, each decoded by one of several threads."""

    def read(sample: Sample) -> Frame:
        return _frame(sample, StillImage(read_image(sample.frame, view.white)), view)

    pool = ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 2)), thread_name_prefix="decode")
    waiting: deque[tuple[Sample, Future[Frame]]] = deque()
    try:
        while True:
            while len(waiting) < lookahead and (upcoming := next(samples, None)) is not None:
                waiting.append((upcoming, pool.submit(read, upcoming)))
            if not waiting:
                return
            sample, future = waiting.popleft()
            try:
                frame = future.result()
            except AdkitError as error:
                if on_bad is None:
                    raise
                on_bad(sample, error)
                continue
            yield frame
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _video(path: Path, samples: Sequence[Sample], view: View, on_bad: OnBad | None, lookahead: int) -> Iterator[Frame]:
    """Yield frames of one video, walked once by a thread of its own; what is not asked for is not converted."""
    numbers = [sample.frame.number or 0 for sample in samples]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise ValueError(f"the frames of {path} are not asked for in their order")
    wanted = dict(zip(numbers, samples, strict=True))

    def decode() -> Generator[Frame]:
        with Video(path) as video:
            for frame in video:
                if not wanted:  # asked here, so that a video that is walked to its end may say what is wrong with it
                    return
                if not frame.spoilt and (sample := wanted.get(frame.number)) is not None:
                    yield _frame(sample, frame, view)
                    del wanted[frame.number]
        if not wanted:
            return
        raise FrameError(f"{path} lacks frame {min(wanted)}", hint="check the file, or record it again")

    try:
        yield from ahead(decode(), lookahead)
    except AdkitError as error:
        if on_bad is None:
            raise
        for sample in list(wanted.values()):  # the rest of a video that breaks off
            on_bad(sample, error)


@dataclass
class ClipSource:
    """A clip's frames, decoded when they are asked for; what is found on the way stands in it afterwards."""

    clip: VideoInput
    stop: threading.Event
    feed: LiveFeed | None = None  # of a live source
    rate: float = USUAL_RATE  # frames a second, as far as is known
    expected: int | None = None  # frames, as far as is known
    seen: int = field(default=0, init=False)  # frames that were decoded
    last_s: float = field(default=0.0, init=False)
    _step_s: float = field(default=0.0, init=False)
    notes: list[str] = field(default_factory=list, init=False)  # where the frame's size changes
    unreadable: list[FrameError] = field(default_factory=list, init=False)  # images of a folder

    def __post_init__(self) -> None:
        """Look at the clip; raises FrameError where there is none."""
        if self.clip.video is not None:
            with Video(self.clip.video) as video:
                self.rate, self.expected = video.rate, video.expected_frames
        elif not self.clip.live:
            self.expected = len(self.clip.frames)

    @property
    def length_s(self) -> float:
        """Say how long the frames last that were decoded, the last one for as long as the one before."""
        return self.last_s + self._step_s

    def frames(
        self, view: View, every: int | None, step_s: float, panel_of: Callable[[Size], Size] | None
    ) -> Generator[Frame]:
        """Yield one in `every` frames, or those about `step_s` apart; with `panel_of` all, also at the panel's size.

        Connections of a live source are clips of their own. Raises FrameError behind the last frame of what breaks off.
        """
        panel: Size | None = None
        shape: Size | None = None
        for judged, (number, time_s, connection, image) in self._paced(view.white, every, step_s):
            if shape is None:
                panel = panel_of(image.shape) if panel_of else None
            elif shape != image.shape:
                self.notes.append(
                    f"{self.clip.name} changes its size from {px(shape)} to {px(image.shape)} px "
                    f"at {clock(time_s)}; each frame is fitted in as it is"
                )
            shape = image.shape
            if self.seen:
                self._step_s = time_s - self.last_s
            self.seen, self.last_s = self.seen + 1, time_s
            view.require(shape, self.clip.name)
            if judged or panel:
                name, clip = f"{self.clip.name}#{number}", f"{self.clip.name} {connection}"
                pixels, shown = view.see(image) if judged else None, image.pixels(panel) if panel else None
                yield Frame(name, clip, number, time_s, shape, pixels, shown)
            if self.stop.is_set():
                return

    def _paced(self, white: int | None, every: int | None, step_s: float) -> Iterator[tuple[bool, _Decoded]]:
        """Say of each decoded frame whether it is judged: of a clip with an end, two at least, as of normal ones."""
        pace, taken = Pace(step_s), 0
        held: _Decoded | None = None  # may be the last one
        fault: FrameError | None = None
        try:
            for one in self._decoded(white):
                if held:
                    yield False, held
                judged = one[0] % every == 0 if every else pace(one[1])
                taken += judged
                held = None if judged or taken > 1 or self.feed else one
                if not held:
                    yield judged, one
        except FrameError as error:
            fault = error
        if held:
            yield True, held
        if fault:
            raise fault

    def _decoded(self, white: int | None) -> Iterator[_Decoded]:
        """Yield number, time, how often a live source was opened anew before, and the decoded frame."""
        if self.feed is not None:
            yield from ((frame.number, frame.time_s, frame.connection, frame) for frame in self.feed)
        elif self.clip.video is not None:
            with Video(self.clip.video) as video:
                try:
                    yield from ((frame.number, frame.time_s, 0, frame) for frame in video)
                finally:
                    self.notes += video.notes
        else:
            yield from self._images(self.clip.frames, white)

    def _images(self, paths: tuple[Path, ...], white: int | None) -> Iterator[_Decoded]:
        for number, path in enumerate(paths):
            try:
                image = read_image(FrameRef(path), white)
            except FrameError as error:
                self.unreadable.append(error)
                continue
            yield number, number / USUAL_RATE, 0, StillImage(image)
        if len(self.unreadable) == len(paths):
            raise FrameError(f"none of the images in {self.clip.name} can be read", hint="check the files")
