"""Finds where datasets lie: below the root that the user gave, else below $ADKIT_DATA, else near the working folder."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from adkit.errors import DatasetError, nearest
from adkit.files.atomic import is_folder
from adkit.interfaces import Dataset
from adkit.stats.formatting import listed


def _called(base: Path, name: str) -> list[Path]:
    """Return the folders in `base` of that name, however it is written: MVTec-AD 2 for mvtec_ad_2."""

    def plain(text: str) -> str:
        return "".join(filter(str.isalnum, text.lower()))

    near = sorted(place for place in base.iterdir() if plain(place.name) == plain(name)) if base.is_dir() else []
    return list(dict.fromkeys([base / name, *near]))


class OwnFolder(Dataset):
    """One folder, or file, of the user's own, named by its path."""

    name: ClassVar[str]
    hint: ClassVar[str]  # where there is no such folder
    thing: ClassVar[str] = "folder"  # or "file"

    def __init__(self, folder: Path, spec: str, root: Path) -> None:
        self.folder, self.spec, self.root = folder, spec, root

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        """Return what is at that path, below `root`, the current folder or $ADKIT_DATA."""
        is_one, thing = is_folder if cls.thing == "folder" else Path.is_file, cls.thing
        bases = [*([root] if root else []), Path(), *map(Path, filter(None, [os.environ.get("ADKIT_DATA")]))]
        for base in bases:
            if is_one(place := base / Path(selection).expanduser()):
                return [cls(place, f"{cls.name}:{selection}", base.resolve())]
            if os.path.exists(place):  # noqa: PTH110 (it takes names that are too long)
                archive = " (unpack it, if it is an archive)" if place.is_file() else ""
                raise DatasetError(f"{place} is no {thing}{archive}", hint=cls.hint)
        tried = ", ".join(dict.fromkeys(str(base / selection) for base in bases))
        several = all(is_one(Path(name.strip())) for name in selection.split(","))
        hint = f"give --dataset once for each {thing}" if several else f"{cls.hint}, or what it lies in: --root FOLDER"
        raise DatasetError(f"there is no such {thing}: tried {tried}", hint=hint)


class Benchmark(Dataset):
    """One of the folders of a published dataset, named by the folder's name."""

    name: ClassVar[str]
    owner: ClassVar[str]
    thing: ClassVar[str]
    places: ClassVar[Sequence[str]]  # below the root, "" for itself, the likeliest first
    mark: ClassVar[str]  # the folder in each of them by which it is known
    expected: ClassVar[str]  # the layout, in words

    def __init__(self, folder: Path) -> None:
        self.folder, self.spec, self.root = folder, f"{self.name}:{folder.name}", folder.parent.resolve()

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        """Return those named, with commas between, or "all"; raises DatasetError for what is in none of `places`."""
        given = root or os.environ.get("ADKIT_DATA")
        bases = [Path(given)] if given else [Path("data"), Path()]
        places = [place for base in bases for subfolder in cls.places for place in _called(base, subfolder)]
        folders = [folder for place in reversed(places) if place.is_dir() for folder in sorted(place.iterdir())]
        known = {folder.name: folder for folder in folders if (folder / cls.mark).is_dir()}
        if not known:
            told = f"no {cls.thing} of {cls.owner} was found in any of: {listed(list(map(str, places)), 4)}"
            raise DatasetError(told, hint=f"expected {cls.expected}; set --root or $ADKIT_DATA")
        names = sorted(known) if selection == "all" else [name.strip() for name in selection.split(",")]
        for name in names:
            if name not in known:
                raise DatasetError(f"{cls.owner} has no {cls.thing} {name!r} here", hint=nearest(name, known))
        return [cls(known[name]) for name in dict.fromkeys(names)]
