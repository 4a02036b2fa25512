"""Synthetic parts in memory, as batches: stills, and clips in which they move."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from adkit.data.boxes import Marks, Pixels
from adkit.data.images import resize
from adkit.synthetic.parts import draw_part
from adkit.types import Batch

CLIPS, CLIP_FRAMES = 6, 12
TRAINING_FRAMES = 8


@dataclass(frozen=True)
class PartBatches:
    """Batches of synthetic parts in memory, walkable again and again; a frame is a still unless `clips` says more."""

    frames: Tensor  # float32 (N, T, 3, H, W)
    batch_size: int = 3
    clips: Sequence[str] = ()  # N names, or none
    named: str = "part"

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Batch]:
        for first in range(0, len(self.frames), self.batch_size):
            yield self.batch(range(first, min(first + self.batch_size, len(self.frames))))

    def batch(self, rows: range) -> Batch:
        """Return the batch of these rows."""
        names = tuple(f"{self.named}/{row}" for row in rows)
        clips = tuple(self.clips[row] for row in rows) if self.clips else names
        return Batch(self.frames[rows.start : rows.stop], names, clips)


@lru_cache(maxsize=200)
def drawn_part(part: str, seed: int, number: int, defect: str | None = None) -> tuple[Pixels, Marks]:
    """Return one synthetic part and its mask, not to be written to: they are drawn once for all checks."""
    return draw_part(part, np.random.default_rng([seed, number]), defect)


def synthetic_frames(count: int, size: tuple[int, int], seed: int = 0, part: str = "washer") -> Tensor:
    """Return float32 (count, 1, 3, H, W): normal synthetic parts."""
    frames = []
    for number in range(count):
        picture, _ = drawn_part(part, seed, number)
        frames.append(torch.from_numpy(resize(picture, size)).permute(2, 0, 1).float() / 255)
    return torch.stack(frames).unsqueeze(1)


def windows(clip: Tensor, window: int) -> Tensor:
    """Turn (n, 3, H, W) into (n, window, 3, H, W): each frame with those before it, the first one repeated."""
    numbers = torch.arange(len(clip))[:, None] - torch.arange(window - 1, -1, -1)
    return clip[numbers.clamp_min(0)]


def moving_frames(size: tuple[int, int], window: int = 1) -> PartBatches:
    """Draw six short clips, one after the other, of a washer that moves to the right at the same speed."""
    frames, clips = [], []
    step = max(1, size[1] // CLIP_FRAMES)
    for number in range(CLIPS):
        (still,) = synthetic_frames(1, size, seed=number)
        clip = torch.cat([still.roll(step * (index + number), dims=-1) for index in range(CLIP_FRAMES)])
        frames.append(windows(clip, window))
        clips += [f"clip {number}"] * CLIP_FRAMES
    return PartBatches(torch.cat(frames), clips=clips)
