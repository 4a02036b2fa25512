"""Fits that were broken off: what was asked for, and where the training stood, so that `fit --resume` goes on.

    runs/.unfinished/20261121-233012-ae-bottle/
        request.json            what was asked for, and of which data
        …                       what the method keeps there, such as its last checkpoint

The folder is there while a method that can go on learns, and is deleted when its run is written.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from adkit.calibration import Rule
from adkit.errors import AdkitError, RunError, nearest
from adkit.storage import write_whole

FOLDER = ".unfinished"
REQUEST = "request.json"


class BegunCategory(BaseModel):
    """One category that is learned from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str  # of the run that comes of it
    dataset: str  # spec
    root: str | None
    images: int
    data_hash: str  # of the training split's ids and their files' contents


class Unfinished(BaseModel):
    """A fit that has begun."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    created: datetime
    method: str
    origin: str
    options: dict[str, Any]
    scorer: str | None
    seed: int
    device: str
    rule: Rule
    few: int | None
    skip_bad: bool
    categories: list[BegunCategory]

    @property
    def id(self) -> str:
        """The name to resume it by: that of its first run."""
        return self.categories[0].id

    def require_same(self, now: Unfinished) -> None:
        """Raises RunError naming the first thing in which `now`, asked for to go on with this fit, differs."""
        for then, found in zip(self.categories, now.categories, strict=True):
            if then.images != found.images:
                self._refuse(f"{then.dataset} had {then.images} training images, and has {found.images}")
            if then.data_hash != found.data_hash:
                self._refuse(f"training images of {then.dataset} were changed or renamed since")
        for name in ("origin", "scorer", "seed", "rule", "few", "skip_bad"):
            self._require_same(name, getattr(self, name), getattr(now, name))
        for name in {**self.options, **now.options}:
            self._require_same(f"option {name}", self.options.get(name), now.options.get(name))

    def _require_same(self, name: str, then: object, found: object) -> None:
        if then != found:
            self._refuse(f"{name} was {then}, and is {found}")

    def _refuse(self, what: str) -> None:
        raise RunError(f"{self.id} cannot go on: {what}", hint="put it back as it was, or fit anew without --resume")


@contextmanager
def workspace(runs_root: Path, begun: Unfinished) -> Iterator[Path]:
    """A folder for a method to keep what it needs to go on; it lasts when the block is broken off.

    It is deleted when the block ends well, when a fault of the user's ends it (going on would only repeat it), and
    when nothing was kept in it.
    """
    folder = runs_root / FOLDER / begun.id
    write_whole(folder / REQUEST, begun.model_dump_json(indent=2).encode())
    try:
        yield folder
    except AdkitError:
        _delete(folder)
        raise
    except BaseException:
        if [path.name for path in folder.iterdir()] == [REQUEST]:
            _delete(folder)
        raise
    _delete(folder)


def find_unfinished(runs_root: Path, name: str) -> Unfinished:
    """The fit of that id, or for "latest" the one that began last; raises RunError when there is none."""
    found = {one.id: one for one in list_unfinished(runs_root)}
    if name == "latest" and found:
        return max(found.values(), key=lambda one: one.created)
    if name in found:
        return found[name]
    if not found:
        raise RunError(
            f"there is no unfinished fit in {runs_root.resolve()}",
            hint="only a method that trains a network can go on, once it has trained for some seconds",
        )
    raise RunError(f"there is no unfinished fit {name!r} in {runs_root}", hint=nearest(name, found))


def list_unfinished(runs_root: Path) -> list[Unfinished]:
    """The fits that began and did not end, the oldest first; what cannot be read is none."""
    found = []
    for path in (runs_root / FOLDER).glob(f"*/{REQUEST}"):
        try:
            found.append(Unfinished.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            continue
    return sorted(found, key=lambda one: one.created)


def _delete(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.rmdir()  # only when it was the last
    except OSError:
        return
