"""Interrupted fits: what was asked for, and where the training stood, so that `fit --resume` goes on from there.

    runs/.unfinished/20261121-233012-ae-bottle/
        request.json            what was asked for, and of which data
        lock                    held by the process that learns
        …                       what the method keeps there, such as its last checkpoint

The folder is there while a method that can go on learns, and is deleted when its run is written.
"""

import shlex
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from adkit.errors import AdkitError, OptionError, PluginError, RunError, StorageError, TrainingError, nearest
from adkit.files.atomic import storage_faults, write_whole
from adkit.files.documents import read_signed, signed
from adkit.files.lock import is_locked, lock
from adkit.runs.record import FitSettings
from adkit.runs.store import RECORD, default_runs_root, folders_called, free_name, read_record

FOLDER = ".unfinished"
REQUEST = "request.json"
LOCK = "lock"
FREE = {"device", "dataset", "root"}
"""Settings that may differ when a fit is resumed; what is in the data is compared by itself."""


class BegunCategory(BaseModel, extra="forbid", frozen=True):
    """One category that is learned from."""

    id: str  # of the run that comes of it
    dataset: str  # spec
    root: str | None
    images: int
    data_hash: str  # of the training split's ids and their files' contents


class Unfinished(BaseModel, extra="forbid", frozen=True):
    """A fit that has begun."""

    created: datetime
    settings: FitSettings
    options: dict[str, Any]  # of the method: all of them, with the defaults of its time
    origin: str
    categories: list[BegunCategory]

    @property
    def id(self) -> str:
        """Return the name to resume it by: that of its first run."""
        return self.categories[0].id

    def command(self, runs_root: Path) -> str:
        """Return what a user types to resume it."""
        elsewhere = runs_root.resolve() != default_runs_root().resolve()
        return shlex.join(["adkit", "fit", "--resume", self.id, *(["--runs", str(runs_root)] if elsewhere else [])])

    def is_running(self, runs_root: Path) -> bool:
        """Say whether a process still learns."""
        return is_locked(runs_root / FOLDER / self.id / LOCK)

    def require_same(self, now: "Unfinished") -> None:
        """Raise RunError naming the first thing in which `now`, asked for to go on with this fit, differs."""
        for then, found in zip(self.categories, now.categories, strict=True):
            if then.images != found.images:
                self._refuse(f"{then.dataset} had {then.images} training images, and has {found.images}")
            if then.data_hash != found.data_hash:
                self._refuse(f"training images of {then.dataset} were changed or renamed since")
        old, new = self._asked(), now._asked()
        for name in {**old, **new}:
            if old.get(name) != new.get(name):
                self._refuse(f"{name} was {old.get(name)}, and is {new.get(name)}")

    def _asked(self) -> dict[str, Any]:
        options = {f"option {name}": value for name, value in self.options.items()}
        return {"origin": self.origin, **options, **self.settings.model_dump(exclude={"options", *FREE})}

    def _refuse(self, what: str) -> None:
        hint = "put it back as it was, or fit anew without --resume"
        raise RunError(f"{self.id} cannot be resumed: {what}", hint=hint)


@contextmanager
def workspace(runs_root: Path, begun: Unfinished, *, resume: bool = False) -> Iterator[Path]:
    """Return a folder for a method to keep what it needs to go on; it lasts when the block is broken off.

    The exception then says in a note how to go on. It is deleted when the block ends well, when a fault of the user's
    ends it (going on would only repeat it, but for a full disk or memory), and when nothing was kept in it. With
    `resume` it is the one that the fit left, and RunError is raised when another process is in it.
    """
    with ExitStack() as held:
        if resume:
            folder = runs_root / FOLDER / begun.id
            _enter(folder, begun, held)
        else:
            begun, folder = _reserved(runs_root, begun)
            held.enter_context(lock(folder / LOCK))
        try:
            if not resume:
                write_whole(folder / REQUEST, signed(begun.model_dump(mode="json")))
            yield folder
        except BaseException as error:
            again = isinstance(error, AdkitError) and not isinstance(error, StorageError | TrainingError | PluginError)
            if again or {path.name for path in folder.iterdir()} <= {REQUEST, LOCK}:
                _delete(folder, held)
            else:
                error.add_note(f"the training is kept; to resume it: {begun.command(runs_root)}")
            raise
        _delete(folder, held)


def find_unfinished(runs_root: Path, name: str) -> Unfinished:
    """Return the fit of that id, or for "latest" the last that is not running; raises RunError for none."""
    found = {one.id: one for one in list_unfinished(runs_root)}
    if name == "latest" and found:
        broken_off = [one for one in found.values() if not one.is_running(runs_root)]
        name = (broken_off or list(found.values()))[-1].id
    if name in found:
        if found[name].is_running(runs_root):
            raise _running(name)
        return found[name]
    if (runs_root / name / RECORD).exists() or folders_called(runs_root, name):
        told = f"{name} is a run that was fitted to its end: nothing of it is left to resume"
        raise RunError(told, hint=f"use it: adkit score FILES --run {name}; or fit anew without --resume")
    if not found:
        hint = "only a method that trains a network can be resumed, once it has trained for some seconds"
        raise RunError(f"there is no unfinished fit in {runs_root.resolve()}", hint=hint)
    raise RunError(f"there is no unfinished fit {name!r} in {runs_root}", hint=nearest(name, found))


def list_unfinished(runs_root: Path) -> list[Unfinished]:
    """Return the fits that began and did not end, the oldest first; what cannot be read is none."""
    found = []
    for path in (runs_root / FOLDER).glob(f"*/{REQUEST}"):
        try:
            begun = Unfinished.model_validate(read_signed(path))
        except (OSError, ValueError, OptionError):  # among them pydantic's
            continue
        if not _is_written(runs_root, begun):
            found.append(begun)
        elif not begun.is_running(runs_root):
            shutil.rmtree(path.parent, ignore_errors=True)
    return sorted(found, key=lambda one: (one.created, one.id))


def discard_unfinished(runs_root: Path, name: str) -> None:
    """Delete what is kept of the fit of that id; raises RunError when there is none, and when it runs."""
    begun = find_unfinished(runs_root, name)
    folder = runs_root / FOLDER / begun.id
    with ExitStack() as held:
        _enter(folder, begun, held)
        _delete(folder, held)


def _reserved(runs_root: Path, begun: Unfinished) -> tuple[Unfinished, Path]:
    """Return the fit under an id that no other unfinished one has, and the empty folder of that name."""
    first = begun.categories[0]
    while True:
        folder = runs_root / FOLDER / free_name(runs_root / FOLDER, first.id)
        with storage_faults(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                folder.mkdir()
            except FileExistsError:
                continue  # another fit took the name in the meantime
        categories = [first.model_copy(update={"id": folder.name}), *begun.categories[1:]]
        return begun.model_copy(update={"categories": categories}), folder


def _enter(folder: Path, begun: Unfinished, held: ExitStack) -> None:
    try:
        held.enter_context(lock(folder / LOCK, otherwise=_running(begun.id)))
    except FileNotFoundError:
        raise _gone(begun.id) from None
    if not (folder / REQUEST).exists():  # it ended between our look and the lock
        _delete(folder, held)
        raise _gone(begun.id)


def _running(name: str) -> RunError:
    return RunError(f"{name} is still learning, in another process", hint="wait until it ends, or end it there")


def _gone(name: str) -> RunError:
    return RunError(f"{name} is no longer unfinished: another process went on with it", hint="see: adkit list runs")


def _delete(folder: Path, held: ExitStack) -> None:
    # Without the request first: whoever waits for the lock must not find a fit that has ended.
    (folder / REQUEST).unlink(missing_ok=True)
    held.close()  # Windows deletes no file that is open
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.rmdir()  # only when it was the last
    except OSError:
        return


def _is_written(runs_root: Path, begun: Unfinished) -> bool:
    """Say whether the runs of a fit are there: its process was killed before it could delete what it kept."""
    with suppress(RunError):
        records = [read_record(runs_root / category.id) for category in begun.categories]
        scorer = {"scorer": begun.settings.scorer}  # a run tells the one that was chosen
        same = [one.settings.model_copy(update=scorer) == begun.settings for one in records]
        return all(same) and all(one.created >= begun.created for one in records)
    return False
