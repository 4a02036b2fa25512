"""Samples become batches: decoded ahead in threads, each frame once, windows never across a clip's end."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from adkit.errors import AdkitError
from adkit.frames import read_image, resize
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
                yield _batch(windows, members)
                windows, members = [], []
        if members:
            yield _batch(windows, members)

    def _frames(self) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
        """Every readable frame in order, decoded a little ahead of the model."""
        workers = max(2, min(8, os.cpu_count() or 2))
        pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        waiting: deque[tuple[Sample, Future[NDArray[np.uint8]]]] = deque()
        upcoming = iter(self.samples)
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

    def _read(self, sample: Sample) -> NDArray[np.uint8]:
        return resize(read_image(sample.frame), self.size)


def _batch(windows: list[NDArray[np.uint8]], members: list[Sample]) -> Batch:
    import torch  # heavy: only once there is something to compute

    pixels = torch.from_numpy(np.stack(windows)).permute(0, 1, 4, 2, 3)
    frames = pixels.to(torch.float32).div_(255).contiguous()
    return Batch(frames, tuple(s.id for s in members), tuple(s.clip for s in members))
