"""The frames of clips as a network learns from them: kept in a compact form, cut into short sequences."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from adkit import Batches, Progress
from adkit.nn.samples import gather
from adkit.nn.training.frame_store import FrameStore

BLOCK = 64  # where there are more frames than may be kept, whole blocks of this many are left out
LEAST_PIECES = 5  # fewer clips than this are cut into at least so many pieces, so that there is something to hold out


class Recording(FrameStore):
    """Frames in their order, bytes or features. `clips` are runs of consecutive frames, whose numbers never sink."""

    def lengths(self) -> list[int]:
        """Say how many frames each run has."""
        return torch.unique_consecutive(self.clips, return_counts=True)[1].tolist()  # type: ignore[no-any-return]

    def each_run(self) -> Iterator[Tensor]:
        """Return the rows of each run, int64 (n,)."""
        return iter(torch.split(torch.arange(len(self)), self.lengths()))


def record(batches: Batches, look: Callable[[Tensor], Tensor], limit: int, progress: Progress) -> Recording:
    """Return what `look` (B, 3, H, W) -> (B, C, h, w) keeps of all frames, or of evenly spread blocks up to `limit`."""
    room = len(batches) if limit >= len(batches) else min(len(batches), limit + BLOCK)
    frames, runs = gather(_kept(batches, look, min(limit, len(batches))), room, progress, "reading", Tensor.new_empty)
    return Recording(frames, torch.arange(len(runs)), runs)


def _kept(
    batches: Batches, look: Callable[[Tensor], Tensor], limit: int
) -> Iterator[tuple[list[tuple[str, int]], Tensor]]:
    """Walk what is kept of frames, with the run of each: its clip, and how many frames were left out before."""
    seen = left_out = 0
    for batch in batches:
        rows, runs = [], []
        for row, clip in enumerate(batch.clips):
            block = (seen + row) // BLOCK
            if block * limit // len(batches) > (block - 1) * limit // len(batches):
                rows.append(row)
                runs.append((clip, left_out))
            else:
                left_out += 1
        if rows:
            yield runs, look(batch.frames[rows, -1])
        seen += len(batch)


def in_pieces(recording: Recording, length: int) -> Recording:
    """Return the same frames; few runs are cut into pieces, none shorter than a sequence's `length`."""
    pieces = -(-LEAST_PIECES // len(recording.lengths()))
    parts = [part for run in recording.each_run() for part in run.tensor_split(max(1, min(pieces, len(run) // length)))]
    runs = torch.cat([torch.full((len(part),), number) for number, part in enumerate(parts)])
    return replace(recording, clips=runs)


def beginnings(recording: Recording, count: int) -> Recording:
    """Return so many frames, or a few less: the first of every run, the same number of each that has them."""
    most = max(1, count // len(recording.lengths()))
    return recording.take(torch.cat([rows[:most] for rows in recording.each_run()]))


def thinned(rows: Tensor, count: int) -> Tensor:
    """Return at most so many of the rows, evenly spread."""
    return rows[:: -(-len(rows) // count)]


class Sequences:
    """Sequences of `length` frames from the runs of a recording; `sequences[rows]` gives (B, length, C, h, w).

    One begins every `stride` frames; each takes every `step`-th frame. A run that is too short gives one, whose
    first frame comes several times, as before the start of a clip.
    """

    def __init__(self, recording: Recording, length: int, stride: int, step: int = 1) -> None:
        self.recording = recording
        span = (length - 1) * step
        places = []
        first = 0
        for count in recording.lengths():
            ends = torch.arange(min(span, count - 1), count, stride)
            taken = ends[:, None] - step * torch.arange(length - 1, -1, -1)
            places.append(first + taken.clamp_min(0))
            first += count
        self.places = torch.cat(places)  # int64 (N, length), rows of the recording

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Tensor) -> Tensor:
        return self.recording[self.places[rows]]
