"""Samples become batches: decoded ahead in threads, each frame once, windows never across a clip's end."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adkit.data.images import read_image, resize
from adkit.data.prefetch import ahead
from adkit.data.video import Video
from adkit.errors import AdkitError, FrameError
from adkit.types import Batch, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

OnBad = Callable[[Sample, AdkitError], None]


class FrameBatches:
    """Batches over `samples` in their order; may be walked again (files are then read again).

    `size` is (height, width) in px; `window` is the number of frames per sample, the last being its own,
    and the frames before a clip's start are copies of its first. A frame that cannot be read raises its
    FrameError, or goes to `on_bad` and is left out.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        size: tuple[int, int],
        *,
        window: int = 1,
        batch_size: int = 8,
        on_bad: OnBad | None = None,
    ) -> None:
        self.samples = samples
        self.size = size
        self.window = window
        self.batch_size = batch_size
        self.on_bad = on_bad

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Batch]:
        past: deque[NDArray[np.uint8]] = deque(maxlen=self.window)
        clip: str | None = None
        windows: list[NDArray[np.uint8]] = []
        members: list[Sample] = []
        for sample, frame in self._frames():
            if sample.clip != clip:
                clip = sample.clip
                past.extend([frame] * (self.window - 1))
            past.append(frame)
            windows.append(np.stack(past))
            members.append(sample)
            if len(members) == self.batch_size:
                yield batch_of(windows, [one.id for one in members], [one.clip for one in members])
                windows, members = [], []
        if members:
            yield batch_of(windows, [one.id for one in members], [one.clip for one in members])

    def _frames(self) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
        """Every readable frame in order, decoded a little ahead of the model."""
        for film, members in groupby(self.samples, key=_film):
            yield from self._of(film, members)

    def _of(self, film: Path | None, samples: Iterable[Sample]) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
        return self._stills(samples) if film is None else self._film(film, list(samples))

    def _stills(self, samples: Iterable[Sample]) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
        """Images, each decoded by one of several threads."""
        workers = max(2, min(8, os.cpu_count() or 2))
        pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        waiting: deque[tuple[Sample, Future[NDArray[np.uint8]]]] = deque()
        upcoming = iter(samples)
        try:
            while True:
                # Two batches ahead keep the model busy, and bound the memory whatever the data's length.
                while len(waiting) < 2 * self.batch_size and (sample := next(upcoming, None)) is not None:
                    waiting.append((sample, pool.submit(self._read, sample)))
                if not waiting:
                    return
                sample, future = waiting.popleft()
                try:
                    frame = future.result()
                except AdkitError as error:
                    if self.on_bad is None:
                        raise
                    self.on_bad(sample, error)
                    continue
                yield sample, frame
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _film(self, path: Path, samples: list[Sample]) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
        """Frames of one video, walked once by a thread of its own; those that are not asked for are not converted."""
        numbers = [sample.frame.number or 0 for sample in samples]
        if any(later <= earlier for earlier, later in pairwise(numbers)):
            raise ValueError(f"the frames of {path} are not asked for in their order")
        wanted = dict(zip(numbers, samples, strict=True))

        def decode() -> Generator[tuple[Sample, NDArray[np.uint8]]]:
            with Video(path) as video:
                for frame in video:
                    if (sample := wanted.get(frame.number)) is not None:
                        yield sample, frame.pixels(self.size)
                        del wanted[frame.number]
                    if not wanted:
                        return
            raise FrameError(f"{path} lacks frame {min(wanted)}", hint="check the file, or record it again")

        try:
            yield from ahead(decode(), 2 * self.batch_size)
        except AdkitError as error:
            if self.on_bad is None:
                raise
            for sample in list(wanted.values()):  # the rest of a video that breaks off
                self.on_bad(sample, error)

    def _read(self, sample: Sample) -> NDArray[np.uint8]:
        return resize(read_image(sample.frame), self.size)


def _film(sample: Sample) -> Path | None:
    """The video file that the sample's frame is in."""
    return None if sample.frame.number is None else sample.frame.path


def batch_of(windows: Sequence[NDArray[np.uint8]], ids: Sequence[str], clips: Sequence[str]) -> Batch:
    """Windows (T, H, W, 3) of RGB pixels, 0..255, as a batch."""
    import torch  # heavy: only once there is something to compute

    pixels = torch.from_numpy(np.stack(windows)).permute(0, 1, 4, 2, 3)
    return Batch(pixels.to(torch.float32).div_(255).contiguous(), tuple(ids), tuple(clips))
