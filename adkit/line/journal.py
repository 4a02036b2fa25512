"""What was decided, one line of JSON for each part: whoever is stopped at any moment goes on without losing any.

A line is on the disk before anything else is done with it. How far each follower of the journal has come stands in a
file beside it. A line now and then says that a watch lives, and how far it is.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Condition, Event, Lock
from typing import Any

from adkit.errors import StorageError
from adkit.files.atomic import storage_faults, write_whole
from adkit.stats.formatting import counted

Row = Mapping[str, Any]
Note = Callable[[Row], None]  # gets a row once it is kept
_WAIT_S = 0.2


class Journal(AbstractContextManager["Journal"]):
    """An open journal; a last line that was not written to its end is dropped, as if it had never begun."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with storage_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self.parts = self._opened = 0  # so many rows are in it
            for end, line in _lines(path):
                self.parts, self._opened = self.parts + 1, end
                with suppress(ValueError):
                    if isinstance(json.loads(line), dict):
                        continue
                hint = "take that line out; or move the journal away: what is still in the folder is judged again"
                raise StorageError(f"line {self.parts} of {path} is damaged", hint=hint)
            self._file = path.open("a+b", buffering=0)
            self._file.truncate(self._opened)
        self._grown, self._recording = Condition(), Lock()

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def record(self, row: Row) -> Row:
        """Add a row as the next part, now; return it with its number and time. Any thread may."""
        with self._recording:
            named = {"part": self.parts + 1, "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", **row}
            self.append(named)
        return named

    def rows(self) -> Iterator[Row]:
        """Walk the rows that are there, one in memory at a time."""
        return (json.loads(line) for _, line in _lines(self.path))

    def append(self, row: Row) -> None:
        """Add a row; it is on the disk when this returns. Raises StorageError, and the journal is as it was."""
        found = os.fstat(self._file.fileno())
        if not found.st_nlink:
            hint = "start the watch again: what is still in the folder is judged again"
            raise StorageError(f"{self.path} was deleted while it was written", hint=hint)
        with storage_faults(self.path):
            try:
                self._file.write(json.dumps(row).encode() + b"\n")
                os.fsync(self._file.fileno())
            except OSError:
                self._file.truncate(found.st_size)
                raise
        self.parts += 1
        with self._grown:
            self._grown.notify_all()

    def follow(self, name: str, stop: Event) -> Iterator[tuple[Row, int]]:
        """Yield each row, from where `name` stopped last, and where it ends, to `note` when it is dealt with.

        Waits for new rows; ends when `stop` is set and no row is left.
        """

        def wait() -> None:
            with self._grown:
                self._grown.wait(_WAIT_S)

        yield from following(self.path, stop, self.noted(name), wait)

    def noted(self, name: str) -> int:
        """Return up to where `name` has dealt with rows; who never came does so with those from now on.

        0 where the note is damaged, or of another journal: rows come again, which `part` tells.
        """
        place = self.path.with_suffix(f".{name}")
        if not place.exists():
            return self._opened
        text = place.read_bytes().strip()
        return int(text) if text.isdigit() and int(text) <= self.path.stat().st_size else 0

    def note(self, name: str, end: int) -> None:
        """Keep that `name` has dealt with all rows up to there."""
        write_whole(self.path.with_suffix(f".{name}"), str(end).encode())


def following(
    path: Path, stop: Event, start: int = 0, wait: Callable[[], object] | None = None
) -> Iterator[tuple[Row, int]]:
    """Yield the rows of a journal from a byte on, and where each ends, as they come, until `stop` is set."""
    with path.open("rb") as file:
        file.seek(start)
        while True:
            before, line = file.tell(), file.readline()
            if line.endswith(b"\n"):
                yield json.loads(line), file.tell()
                continue
            file.seek(before)
            if stop.is_set():
                return
            wait() if wait else stop.wait(_WAIT_S)


def tell_health(
    every_s: float, journal: Journal, receivers: Collection[str], stop: Event, tell: Callable[[str], None]
) -> None:
    """Say every so often how parts were decided since the start, when last, and who waits; until `stop` is set."""
    counts, read, last, at_once = Counter[str](), journal.path.stat().st_size, "", Event()
    at_once.set()
    while not stop.wait(every_s):
        for row, end in following(journal.path, at_once, read):
            counts[row["decision"]] += 1
            last, read = f", the last at {row['time'][11:19]}", end
        decided = ", ".join(f"{count:,} {decision}" for decision, count in sorted(counts.items()))
        waiting = ", ".join(name for name in receivers if journal.noted(name) < read)
        tell(
            f"{datetime.now(UTC):%H:%M:%S} UTC: {counted(counts.total(), 'decision')} since the start"
            + (f" ({decided}){last}" if decided else "")
            + (f"; some wait for: {waiting}" if waiting else "")
        )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each line that was written to its end, and where it ends."""
    end = 0
    with path.open("rb") as file:
        for line in file:
            end += len(line)
            if line.endswith(b"\n"):
                yield end, line
