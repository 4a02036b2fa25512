"""A folder into which pictures come: which of them are complete, and were not judged yet."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from adkit.data.images import is_image
from adkit.errors import DatasetError

GIVE_UP_S = 10.0
"""A picture that still cannot be read so long after its last change is unreadable."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file as it was found: another size or time of change means another part."""

    path: Path
    size: int
    changed_ns: int

    @property
    def identity(self) -> str:
        """Return what tells it from every other part."""
        return f"{self.path.name}/{self.size}/{self.changed_ns}"


@dataclass
class Inbox:
    """The pictures in a folder, without those in its folders; `judged` are identities."""

    folder: Path
    settle_s: float
    judged: set[str] = field(default_factory=set)
    _waiting: dict[str, float] = field(default_factory=dict)  # identities, and when they were first seen

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise DatasetError(f"there is no folder {self.folder}", hint="make it: pictures are expected there")

    def ready(self) -> list[Arrival]:
        """Return what has not changed for a while, in the order of its last change."""
        now, seen = time.monotonic(), list(self._arrivals())
        self._waiting = {one.identity: self._waiting.get(one.identity, now) for one in seen}
        settled = [one for one in seen if now - self._waiting[one.identity] >= self.settle_s]
        return sorted(settled, key=lambda one: (one.changed_ns, one.path.name))

    @property
    def waiting(self) -> bool:
        """Say whether something is there that was not judged."""
        return bool(self._waiting)

    def may_become_readable(self, arrival: Arrival) -> bool:
        """Say whether it is so new that it may still be written."""
        return time.monotonic() - self._waiting[arrival.identity] < GIVE_UP_S

    def _arrivals(self) -> Iterable[Arrival]:
        with os.scandir(self.folder) as entries:
            for entry in entries:
                path = Path(entry.path)
                if not is_image(path):
                    continue
                try:
                    found = entry.stat()
                    if not entry.is_file():
                        continue
                except OSError:  # it has gone
                    continue
                arrival = Arrival(path, found.st_size, found.st_mtime_ns)
                if arrival.identity not in self.judged:
                    yield arrival
