"""What was decided, one line of JSON for each part: whoever is stopped at any moment goes on without losing any.

A line is on the disk before anything else is done with it. How far each follower of the journal has come stands in a
file beside it.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Condition, Event, Lock
from typing import Any, Self

from adkit.errors import StorageError
from adkit.files.atomic import storage_faults, write_whole

Row = Mapping[str, Any]

_WAIT_S = 0.2


class Journal:
    """An open journal; a last line that was not written to its end is dropped, as if it had never begun."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with storage_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self._parts = whole = 0
            for end, line in _lines(path):
                self._parts, whole = self._parts + 1, end
                if not (line.startswith(b"{") and line.endswith(b"}\n")):
                    hint = "take that line out; or move the journal away: what is still in the folder is judged again"
                    raise StorageError(f"line {self._parts} of {path} is damaged", hint=hint)
            self._file = path.open("a+b", buffering=0)
            self._file.truncate(whole)
        self._grown, self._recording = Condition(), Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def record(self, row: Row) -> Row:
        """Add a row as the next part, now; return it with its number and time. Any thread may."""
        with self._recording:
            named = {"part": self._parts + 1, "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", **row}
            self.append(named)
            self._parts += 1
        return named

    def rows(self) -> Iterator[Row]:
        """Walk the rows that are there, one in memory at a time."""
        return (json.loads(line) for _, line in _lines(self.path))

    def append(self, row: Row) -> None:
        """Add a row; it is on the disk when this returns. Raises StorageError, and the journal is as it was."""
        end = os.fstat(self._file.fileno()).st_size
        with storage_faults(self.path):
            try:
                self._file.write(json.dumps(row).encode() + b"\n")
                os.fsync(self._file.fileno())
            except OSError:
                self._file.truncate(end)
                raise
        with self._grown:
            self._grown.notify_all()

    def follow(self, name: str, stop: Event) -> Iterator[tuple[Row, Callable[[], None]]]:
        """Yield each row, from where `name` stopped last, and what to call when it is dealt with.

        Waits for new rows; ends when `stop` is set and no row is left.
        """
        place = self.path.with_name(f"{self.path.stem}.{name}")
        start = place.read_text().strip() if place.exists() else ""
        with self.path.open("rb") as file:
            # The journal may be a new one, and the note may be damaged: rows come again, which `part` tells.
            file.seek(int(start) if start.isdecimal() and int(start) <= self.path.stat().st_size else 0)
            while True:
                before, line = file.tell(), file.readline()
                if line.endswith(b"\n"):
                    yield json.loads(line), partial(write_whole, place, str(file.tell()).encode())
                    continue
                file.seek(before)
                if stop.is_set():
                    return
                with self._grown:
                    self._grown.wait(_WAIT_S)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each line that was written to its end, and where it ends."""
    end = 0
    with path.open("rb") as file:
        for line in file:
            end += len(line)
            if line.endswith(b"\n"):
                yield end, line
