"""Frames that a training walks through again and again: decoded once, kept as bytes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from adkit.interfaces import Batches, Progress
from adkit.nn.samples import gather
from adkit.nn.spool import unnamed_file

MOST_BYTES_IN_MEMORY = 2_000_000_000
"""More than this goes to a temporary file, which the system pages in as it is needed."""

STOPPING_SHARE = 0.2
"""Of what a method gets to learn from, it holds out to know when to stop, and what is usual at each position.

The images that set the threshold are held out before: no method sees them.
"""


@dataclass(frozen=True)
class FrameStore:
    """N frames as bytes; `store[rows]` gives float32 (*rows.shape, 3, H, W), RGB in 0..1, or features as they are."""

    pixels: Tensor  # uint8 (M, 3, H, W)
    places: Tensor  # int64 (N,), where in `pixels` each frame lies
    clips: Tensor  # int64 (N,), the number of each frame's clip, from 0
    most_bytes: int = MOST_BYTES_IN_MEMORY

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Tensor) -> Tensor:
        found = self.pixels[self.places[rows]]
        return found.to(torch.float32) if found.is_floating_point() else found.to(torch.float32).div_(255)

    def parts(self, size: int) -> Iterator[Tensor]:
        """Walk all frames in their order, so many at a time."""
        return (self[rows] for rows in torch.split(torch.arange(len(self)), size))

    def changed(self, change: Callable[[Tensor, int], Tensor], at_once: int = 32) -> "FrameStore":
        """Return what `change` makes of the frames: it gets float32 (B, 3, H, W), a part of them, and its number."""
        pixels = torch.empty(0)
        for number, rows in enumerate(torch.split(torch.arange(len(self)), at_once)):
            part = as_bytes(change(self[rows], number))
            if not number:
                pixels = _room((len(self), *part.shape[1:]), self.most_bytes)
            pixels[rows] = part
        return FrameStore(pixels, torch.arange(len(self)), self.clips, self.most_bytes)

    def take(self, rows: Tensor) -> Self:
        """Return these frames as a store of their own, over the same bytes."""
        return replace(self, places=self.places[rows], clips=self.clips[rows])

    @classmethod
    def collect(cls, batches: Batches, progress: Progress, most_bytes: int = MOST_BYTES_IN_MEMORY) -> "FrameStore":
        """Keep every sample's own frame, decoded."""
        frames = ((batch.clips, as_bytes(batch.frames[:, -1])) for batch in batches)
        pixels, clips = gather(frames, len(batches), progress, "reading", lambda _, shape: _room(shape, most_bytes))
        return cls(pixels, torch.arange(len(clips)), clips, most_bytes)


def as_bytes(frames: Tensor) -> Tensor:
    """Return frames in 0..1 as a store keeps them."""
    return (frames * 255).round_().to(torch.uint8)


def _room(shape: tuple[int, ...], most_bytes: int) -> Tensor:
    if int(np.prod(shape)) <= most_bytes:
        return torch.empty(shape, dtype=torch.uint8)
    with unnamed_file(int(np.prod(shape))) as file:
        return torch.from_numpy(np.memmap(file, np.uint8, "r+", shape=shape))


def hold_out(clips: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the rows to learn from, and those of this share of the clips (N,); of one clip both are all rows."""
    names = torch.unique(clips)
    if len(names) < 2:
        return torch.arange(len(clips)), torch.arange(len(clips))
    count = min(max(1, round(share * len(names))), len(names) - 1)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    held_out = torch.isin(clips, names[order[:count]])
    return (~held_out).nonzero().flatten(), held_out.nonzero().flatten()
