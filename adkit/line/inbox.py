"""A folder into which images come: which of them are complete, and were not judged yet."""

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Self

from adkit.data.images import is_image
from adkit.errors import DatasetError, said

GIVE_UP_S = 10.0
"""An image that still cannot be read so long after its last change is unreadable."""
LOOK_S = 0.25
_PNG, _PNG_END = b"\x89PNG", b"IEND\xaeB`\x82"
_JPEG = b"\xff\xd8", b"\xff\xd9"
"""How files begin and end that say where they end."""


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

    @classmethod
    def of(cls, path: Path) -> Self:
        """Look at a file; raises OSError where it has gone."""
        found = path.stat()
        return cls(path, found.st_size, found.st_mtime_ns)


def is_complete(path: Path) -> bool | None:
    """Say whether an image ends where it says that it does, and nobody on this computer is writing it.

    None where that cannot be known: in other formats than PNG and JPEG, on network drives, on other systems than Linux.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(-min(8, os.fstat(file.fileno()).st_size), os.SEEK_END)
            end = file.read()
            if start == _PNG and not end.endswith(_PNG_END):
                return False
            closed = _is_closed(file)
            return closed if closed is False or start == _PNG or (start[:2], end[-2:]) == _JPEG else None
    except OSError:
        return None


def _is_closed(file: BinaryIO) -> bool | None:
    """Ask the kernel for a lease, which it gives where no process has the file open for writing; None: it cannot."""
    if sys.platform != "linux":
        return None
    import fcntl

    try:
        # Who opens it just then waits until the lease is given back, and we are told by a signal that does nothing.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@dataclass
class Inbox:
    """The images in a folder, without those in its folders; `judged` are identities."""

    folder: Path
    settle_s: float
    tell: Callable[[str], None] = lambda _: None  # gets what is left alone, and what is doubtful
    judged: set[str] = field(default_factory=set)
    waiting: dict[str, float] = field(default_factory=dict)  # identities of those, and when they were first seen
    _told: set[str] = field(default_factory=set)
    _looked: tuple[int, float] = (0, -math.inf)  # the folder's time of change at the last look, and when that was

    def __post_init__(self) -> None:
        if self.folder.is_file():
            raise DatasetError(f"{self.folder} is a file, and a folder is watched", hint="adkit score judges files")
        if not self.folder.is_dir():
            raise DatasetError(f"there is no folder {self.folder}", hint="make it: images are expected there")

    def ready(self, most: int) -> list[Arrival]:
        """Return up to `most` that are complete, as far as is known, in the order of their last change.

        Where it is not known, what has not changed for `settle_s` is complete; what is not finished is given up later.

        A folder that has not changed is looked through every LOOK_S: a file may be written anew under its name. Raises
        DatasetError where the folder has gone, as a network drive may: the journal in it would be lost unseen.
        """
        try:
            now, changed = time.monotonic(), self.folder.stat().st_mtime_ns
            if not self.waiting and changed == self._looked[0] and now < self._looked[1] + LOOK_S:
                return []
            seen = sorted(self._arrivals(), key=lambda one: (one.changed_ns, one.path.name))
        except OSError as error:
            hint = "see that it is there, then start the watch again: it goes on where it was"
            raise DatasetError(
                f"the folder {self.folder} cannot be looked into: {said(str(error.strerror))}", hint=hint
            ) from None
        self._looked = changed, now
        self.waiting = {one.identity: self.waiting.get(one.identity, now) for one in seen}
        settled = (one for one in seen if self._is_ready(one, now - self.waiting[one.identity]))
        return list(islice(settled, most))

    def _is_ready(self, arrival: Arrival, unchanged_s: float) -> bool:
        complete = is_complete(arrival.path)
        if not complete and unchanged_s < (self.settle_s if complete is None else GIVE_UP_S):
            return False
        with suppress(OSError):  # of another size or time than it was found with, it would come again as another part
            return Arrival.of(arrival.path) == arrival
        return False

    def may_become_readable(self, arrival: Arrival) -> bool:
        """Say whether it is so new that it may still be written."""
        return time.monotonic() - self.waiting[arrival.identity] < GIVE_UP_S

    def _arrivals(self) -> Iterable[Arrival]:
        with os.scandir(self.folder) as entries:
            for entry in entries:
                path = Path(entry.path)
                try:
                    arrival = Arrival.of(path)
                    if not is_image(path) or not entry.is_file():
                        self._leave_alone(path, entry)
                        continue
                except OSError as error:  # it has gone, but for a link
                    if entry.is_symlink():
                        self.tell_once(
                            entry.name, f"{entry.name} is a link that leads nowhere: {said(str(error.strerror))}"
                        )
                    continue
                if arrival.identity not in self.judged:
                    yield arrival

    def _leave_alone(self, path: Path, entry: os.DirEntry[str]) -> None:
        sort, why = f"*{path.suffix}" if path.suffix else "files without a suffix", "no images"
        if entry.is_dir():
            sort, why = "folders", "images are watched in the folder itself"
        elif not entry.is_file():
            sort, why = "pipes and devices", "files are expected"
        if not path.name.startswith("."):
            self.tell_once(sort, f"{path.name} is left alone, and so are other {sort}: {why}")

    def tell_once(self, sort: str, text: str) -> None:
        """Tell something of which there may be much, the first time only."""
        if sort not in self._told:
            self._told.add(sort)
            self.tell(text)
