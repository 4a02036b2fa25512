"""Frames become batches: each frame once, in order, windows never across a clip's end."""

import itertools
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from adkit.data.boxes import Pixels
from adkit.data.frame_source import Frame, OnBad, frames_of
from adkit.data.view import View
from adkit.errors import FrameError
from adkit.types import Batch, Sample

BATCH = 8  # frames in a batch
_MOST_WAITING = 32  # frames that wait for their batch: those between judged ones wait too


def batched(
    frames: Iterable[Frame], view: View, window: int = 1, batch_size: int = BATCH
) -> Iterator[tuple[list[Frame], Batch | None]]:
    """Group frames in their order, each group with the next batch of those that are judged; None where none is.

    An image is in the group with whose batch all that the method sees of it has come: with tiles that takes a part
    of a batch, or several. The frames before a clip's start are copies of its first. A FrameError comes after all that
    came before it. Frames and clips have numbers as names in a batch: a method cannot read the truth from a path.
    """
    numbers: dict[str, int] = {}  # of the clips
    judged = itertools.count()
    group: list[Frame] = []
    windows: list[Pixels] = []
    names: list[tuple[str, str, float]] = []  # of the frames and their clips, and the time that each window spans
    fault: FrameError | None = None
    try:
        for frame, seen, span_s, whole in _windows(frames, view, window):
            if seen is not None:
                windows.append(seen)
                names.append((str(next(judged)), str(numbers.setdefault(frame.clip, len(numbers))), span_s))
            if whole:
                group.append(frame)
            if len(windows) == batch_size or len(group) == max(batch_size, _MOST_WAITING):
                yield group, _batch(windows, names)
                group, windows, names = [], [], []
    except FrameError as error:
        fault = error
    if group:
        yield group, _batch(windows, names)
    if fault is not None:
        raise fault


def _windows(frames: Iterable[Frame], view: View, window: int) -> Iterator[tuple[Frame, Pixels | None, float, bool]]:
    """Yield each frame, what the method sees, (T, H, W, 3) or None, how many seconds that spans, and if it is all."""
    pasts: list[deque[Pixels]] = [deque(maxlen=window) for _ in range(view.frames)]
    times_s: deque[float] = deque(maxlen=window)
    clip: str | None = None
    for frame in frames:
        if frame.pixels is None:
            yield frame, None, 0.0, True
            continue
        copies = 1 if frame.clip == clip else window
        times_s.extend([frame.time_s] * copies)
        for number, (past, pixels) in enumerate(zip(pasts, view.frames_of(frame.pixels), strict=True), 1):
            past.extend([pixels] * copies)
            yield frame, np.stack(past), times_s[-1] - times_s[0], number == len(pasts)
        clip = frame.clip


@dataclass
class FrameBatches:
    """Batches over `samples`, `window` frames each; bad frames raise, or go to `on_bad`.

    Each walk reads all files anew, unless their frames take at most `remember` bytes: then the first two do. Who walks
    twice only needs no memory for it; who trains walks many times.
    """

    samples: Sequence[Sample]
    view: View
    _: KW_ONLY
    window: int = 1
    batch_size: int = BATCH
    on_bad: OnBad | None = None
    remember: int = 0
    _frames: list[Frame] = field(default_factory=list, init=False, repr=False)  # of a whole walk
    _walks: int = field(default=0, init=False)  # to their end

    def __len__(self) -> int:
        return len(self.samples) * self.view.frames

    def __iter__(self) -> Iterator[Batch]:
        # Closed by name: the threads that decode end with the walk, whoever still holds it.
        with closing(self._walk()) as frames:
            for _, batch in batched(frames, self.view, self.window, self.batch_size):
                if batch is not None:
                    yield batch

    def _walk(self) -> Generator[Frame]:
        if self._frames:
            yield from self._frames
            return
        seen: list[Frame] = []
        with closing(frames_of(self.samples, self.view, self.on_bad, 2 * self.batch_size)) as frames:
            for frame in frames:
                size = 0 if frame.pixels is None else frame.pixels.nbytes
                if self._walks and 0 < size * len(self.samples) <= self.remember:
                    seen.append(frame)
                yield frame
        self._walks += 1
        if len(seen) == len(self.samples):
            self._frames = seen


def _batch(windows: Sequence[Pixels], names: Sequence[tuple[str, str, float]]) -> Batch | None:
    """Make a batch of windows (T, H, W, 3), RGB in 0..255; `names` are those of their frames and clips, and spans."""
    if not windows:
        return None
    import torch  # heavy: only once there is something to compute

    pixels = torch.from_numpy(np.stack(windows)).permute(0, 1, 4, 2, 3)
    return Batch(pixels.to(torch.float32).div_(255).contiguous(), *zip(*names, strict=True))
