"""Rows that are too many for the memory: in a file without a name, of which only what is asked for is in memory."""

import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adkit.files.atomic import storage_faults

_AT_ONCE = 1024  # rows that are looked up one by one, before what the system read around them is given back


def unnamed_file(size: int, folder: Path | None = None) -> IO[bytes]:
    """Return an open file of `size` bytes, without a name where the system can; raises StorageError without room."""
    place = folder or Path(tempfile.gettempdir())
    with storage_faults(place), ExitStack() as closing:
        file = closing.enter_context(tempfile.TemporaryFile(dir=place))
        file.truncate(size)
        if hasattr(os, "posix_fallocate"):  # or a full disk would be noticed only by a crash on writing
            os.posix_fallocate(file.fileno(), 0, size)
        closing.pop_all()
        return file


class Spool:
    """Float32 (N, ...) in a file; indexed with a slice or a Tensor of rows, it gives them as a Tensor of their own."""

    def __init__(self, shape: tuple[int, ...], device: torch.device, content: mmap.mmap, matrix: Tensor | None = None):
        self.shape, self.device = shape, device
        self._content, self._matrix = content, matrix

    @classmethod
    def made(cls, like: Tensor, shape: tuple[int, ...], folder: Path | None) -> "Spool":
        """Make room for rows like these, on their device, in a folder; raises StorageError where there is none."""
        with unnamed_file(4 * prod(shape), folder) as file:
            return cls(shape, like.device, mmap.mmap(file.fileno(), 4 * prod(shape)))

    def __len__(self) -> int:
        return self.shape[0]

    def __setitem__(self, rows: slice, values: Tensor) -> None:
        self._rows()[rows] = values.cpu().numpy()
        self._give_back()

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        parts = [rows] if isinstance(rows, slice) else [part.numpy() for part in torch.split(rows.cpu(), _AT_ONCE)]
        found = []
        for part in parts:
            found.append(np.array(self._rows()[part]))
            self._give_back()
        tensor = torch.from_numpy(found[0] if len(found) == 1 else np.concatenate(found)).to(self.device)
        return tensor if self._matrix is None else tensor @ self._matrix

    def times(self, matrix: Tensor) -> "Spool":
        """Return the same rows, multiplied by a matrix (D, D) as they are read."""
        return Spool(self.shape, self.device, self._content, matrix if self._matrix is None else self._matrix @ matrix)

    def flatten(self, first: int, last: int) -> "Spool":
        """Return the same rows with these neighbouring dimensions as one."""
        joined = prod(self.shape[first : last + 1])
        shape = (*self.shape[:first], joined, *self.shape[last + 1 :])
        return Spool(shape, self.device, self._content, self._matrix)

    def _rows(self) -> NDArray[np.float32]:
        return np.frombuffer(self._content, np.float32).reshape(self.shape)

    def _give_back(self) -> None:
        """Let the system have the pages that were touched, which else count as this process's memory."""
        if hasattr(self._content, "madvise"):
            self._content.madvise(mmap.MADV_DONTNEED)


Rows = Tensor | Spool  # rows in memory, or in a file


def in_parts(rows: Rows, most: int) -> Iterator[Tensor]:
    """Walk the rows in their order, at most so many at a time."""
    return (rows[first : first + most] for first in range(0, len(rows), most))


def times(rows: Rows, matrix: Tensor) -> Rows:
    """Multiply rows (N, ..., D) by a matrix (D, D): in place, or those in a file as they are read."""
    if isinstance(rows, Spool):
        return rows.times(matrix)
    for part in rows:  # at once they would be twice in memory
        part.copy_(part @ matrix)
    return rows


def variances(rows: Rows, most: int) -> Tensor:
    """Turn (N, D) into the variances (D,) of the columns; of those in a file in two walks, so many rows at a time."""
    if isinstance(rows, Tensor):
        return rows.var(dim=0, correction=0)

    def mean(center: Tensor | float, power: int) -> Tensor:
        sums = (part.double().sub(center).pow(power).sum(dim=0) for part in in_parts(rows, most))
        return sum(sums, torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)) / len(rows)

    return mean(mean(0.0, 1), 2).to(torch.float32)
