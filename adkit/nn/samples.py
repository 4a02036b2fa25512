"""Training samples walked once: all that is made of them in one piece of memory, or clip by clip."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from typing import TypeVar

import torch
from torch import Tensor

from adkit.interfaces import Batches, Progress
from adkit.nn.spool import Spool
from adkit.types import Batch

Kept = TypeVar("Kept", bound=Spool | Tensor)


def gather(
    parts: Iterable[tuple[Sequence[Hashable], Tensor]],
    count: int,
    progress: Progress,
    label: str,
    room: Callable[[Tensor, tuple[int, ...]], Kept],
) -> tuple[Kept, Tensor]:
    """Return `count` rows (N, ...) that come in parts, and the number (N,) of each one's clip, counted from 0.

    Each part is the clips of some rows, and the rows. `room` makes place for all, given the first part and the shape:
    in one piece from the start, because joining parts at the end would need twice the memory.
    """
    clips: dict[Hashable, int] = {}
    numbers: list[int] = []
    rows: Kept | None = None
    with progress.task(label, count) as advance:
        for names, part in parts:
            rows = room(part, (count, *part.shape[1:])) if rows is None else rows
            first = len(numbers)
            numbers += [clips.setdefault(name, len(clips)) for name in names]
            rows[first : len(numbers)] = part
            advance(len(names))
    assert rows is not None  # there is something to learn from
    # Fewer than were foretold lie in memory anyway.
    return rows if len(numbers) == len(rows) else rows[: len(numbers)], torch.tensor(numbers)  # type: ignore[return-value]


def rows_of_clips(numbers: Tensor, clips: int = 0) -> Sequence[Tensor]:
    """Return which rows belong to each clip, in their order, by the number (N,) of each one's; at least so many."""
    counts = torch.bincount(numbers, minlength=clips).tolist()
    return torch.split(numbers.argsort(stable=True).to(torch.int32), counts)


@dataclass(frozen=True)
class Changed:
    """The same batches, each as `change` makes it."""

    batches: Batches
    change: Callable[[Batch], Batch]

    def __iter__(self) -> Iterator[Batch]:
        return map(self.change, self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def each_clip(
    batches: Batches, look: Callable[[Tensor], Tensor] = lambda frames: frames
) -> Iterator[tuple[str, Iterator[Tensor]]]:
    """Walk clips, each with what `look` makes of its frames (B, 3, H, W), one by one; all before the next clip."""
    parts = (zip(batch.clips, torch.split(look(batch.frames[:, -1]), 1), strict=True) for batch in batches)
    for clip, group in groupby(chain.from_iterable(parts), key=itemgetter(0)):
        yield clip, (part for _, part in group)
