"""Where datasets lie: below the root that the user gave, else below $ADKIT_DATA, else near the working folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from adkit.errors import DatasetError, nearest
from adkit.files.atomic import is_folder


def chosen_folders(
    selection: str,
    root: Path | None,
    subfolders: Sequence[str],
    is_one: Callable[[Path], bool],
    *,
    owner: str,
    thing: str,
    hint: str,
) -> list[Path]:
    """The folders of a benchmark that a selection names: names with commas between them, or "all" that are there.

    They are looked for in the `subfolders` of the root, "" for itself, the likeliest first; `is_one` knows them by what
    is in them. `owner` and `thing` are words for what is not found, as in "MVTec has no category 'botle' here"; `hint`
    describes the layout. Raises DatasetError for a name that is not there, or when there is nothing at all.
    """
    given = root or os.environ.get("ADKIT_DATA")
    bases = [Path(given)] if given else [Path("data"), Path()]
    places = [base / subfolder for base in bases for subfolder in subfolders]
    known = {
        folder.name: folder
        for place in reversed(places)
        if place.is_dir()
        for folder in sorted(place.iterdir())
        if is_one(folder)
    }
    if not known:
        tried = ", ".join(map(str, places))
        raise DatasetError(f"no {thing} of {owner} was found in any of: {tried}", hint=hint)
    names = sorted(known) if selection == "all" else [name.strip() for name in selection.split(",")]
    for name in names:
        if name not in known:
            raise DatasetError(f"{owner} has no {thing} {name!r} here", hint=nearest(name, known))
    return [known[name] for name in dict.fromkeys(names)]


def named_folder(selection: str, root: Path | None, *, hint: str) -> tuple[Path, Path]:
    """The folder at a path of the user's own, and what it was found below: `root`, the working folder, $ADKIT_DATA.

    Raises DatasetError when there is none in any of them.
    """
    bases = [*([root] if root else []), Path(), *map(Path, filter(None, [os.environ.get("ADKIT_DATA")]))]
    for base in bases:
        if is_folder(place := base / Path(selection).expanduser()):
            return place, base.resolve()
    tried = ", ".join(dict.fromkeys(str(base / selection) for base in bases))
    raise DatasetError(f"there is no such folder: tried {tried}", hint=hint)
