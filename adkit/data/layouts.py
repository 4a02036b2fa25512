"""Folders of data: one walk through them, and one table of the names that tell good from bad."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from adkit.data.images import is_drawn_by_adkit, is_image
from adkit.data.video import is_video
from adkit.types import Sample, Split

GOOD = "good"
"""The kind of what is normal."""
NORMAL_NAMES = frozenset({"good", "normal", "ok"})
ANOMALOUS_NAMES = frozenset(
    {"abnormal", "anomalies", "anomalous", "anomaly", "bad", "broken", "defect", "defective", "defects", "fail"}
    | {"faulty", "ng", "nok", "reject", "rejects", "scrap"}
)
MASK_NAMES = ("ground_truth", "masks")

_OF_SYSTEMS = frozenset({"$recycle.bin", "#recycle", "@eadir", "__macosx", "lost+found", "system volume information"})
_OF_VIEWERS = frozenset({"desktop.ini", "thumbs.db"})
_RUN = frozenset({"run.json", "model.safetensors"})

HIDDEN = "hidden folders"
OWN = "files or folders that adkit wrote"
LOOPS = "links to folders that are read already"
NOWHERE = "files or links that cannot be opened"


def is_film(path: Path) -> bool:
    """Say whether the file's name says that it moves: a video, or an animated GIF."""
    return is_video(path) or (is_image(path) and path.suffix.lower() == ".gif")


@dataclass(frozen=True, slots=True)
class Contents:
    """All files in a folder at any depth, sorted by their paths, and what was passed over, by reason."""

    folder: Path
    files: tuple[Path, ...]
    passed: Mapping[str, list[Path]]
    folders: frozenset[str] = frozenset()  # the names of those directly inside that are to be seen, empty ones too

    def by_folder(self) -> dict[str, list[Path]]:
        """Return the files of each folder directly inside, by its name; "" for those in no folder."""
        groups: dict[str, list[Path]] = defaultdict(list)
        for path in self.files:
            inside = path.relative_to(self.folder).parts
            groups[inside[0] if len(inside) > 1 else ""].append(path)
        return groups

    def notes(self, known: Callable[[Path], bool]) -> list[str]:
        """Say how much was left out and why; `known` tells which files are read or told of elsewhere."""
        counts = {reason: len(paths) for reason, paths in self.passed.items()}
        if other := [path.suffix.lower() or path.name for path in self.files if not known(path)]:
            files, kinds = "file" if len(other) == 1 else "files", ", ".join(sorted(set(other)))
            counts[f"{files} of other types ({kinds})"] = len(other)
        told = ", ".join(f"{count} {reason}" for reason, count in counts.items())
        return [f"left out in {self.folder}: {told}"] if told else []


def contents_of(folder: Path) -> Contents:
    """Look through a folder with all it contains.

    What is hidden, what systems and viewers keep beside pictures, and what adkit wrote is passed over, but for the
    folder itself, which somebody named. A link to a folder is followed once, and never to where it came from.
    """
    passed: dict[str, list[Path]] = defaultdict(list)
    found: list[Path] = []
    followed = {folder.resolve()}
    inside: frozenset[str] = frozenset()

    def refuse(error: OSError) -> None:
        passed[NOWHERE].append(Path(error.filename))

    for place, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        here = Path(place)
        folders.sort()  # which of two links to one folder is followed does not depend on the disk
        if here == folder:
            inside = frozenset(one for one in folders if not one.startswith(".") and one.lower() not in _OF_SYSTEMS)
        if here != folder and set(names) >= _RUN:
            passed[OWN].append(here)
            folders.clear()
            continue
        for name in list(folders):
            path = here / name
            if name.startswith(".") or name.lower() in _OF_SYSTEMS:
                passed[HIDDEN].append(path)
            elif not path.is_symlink():
                continue
            elif (target := path.resolve()) in followed or here.resolve().is_relative_to(target):
                passed[LOOPS].append(path)
            else:
                followed.add(target)
                continue
            folders.remove(name)
        for path in map(here.joinpath, names):
            if path.name.startswith(".") or path.name.lower() in _OF_VIEWERS:
                continue
            if not path.is_file():
                passed[NOWHERE].append(path)
            elif is_drawn_by_adkit(path):
                passed[OWN].append(path)
            else:
                found.append(path)
    return Contents(folder, tuple(sorted(found)), passed, inside)


def unlike_normal(names: Iterable[str]) -> list[str]:
    """Return those of the folders' names, in small letters, that must not be learned from as if they were normal."""
    return sorted({name.lower() for name in names} & (ANOMALOUS_NAMES | {*MASK_NAMES, "test"}))


def in_numeric_order(paths: Iterable[Path]) -> list[Path]:
    """Sort paths as people number files: 2.jpg before 10.jpg, in each folder."""

    def key(path: Path) -> list[tuple[list[str | int], str]]:
        # Texts and numbers take turns, beginning with a text, so that only like is compared with like.
        parts = [(re.split(r"([0-9]+)", part.lower()), part) for part in path.parts]
        return [([int(text) if place % 2 else text for place, text in enumerate(texts)], part) for texts, part in parts]

    return sorted(paths, key=key)


def samples_by_kind(folder: Path, split: Split) -> list[Sample]:
    """Read the still images of <folder>/<split>/<kind>/, with masks in ground_truth/<kind>/ (MVTec's layout).

    003_mask.png and 003.png both are the mask of the image 003, whatever its suffix.
    """
    masks = {
        (path.parent.name, path.stem.removesuffix("_mask")): path
        for path in _images_at(folder / "ground_truth")
        if path.parent.name != GOOD
    }
    images = _images_at(folder / split)
    stems = Counter((image.parent, image.stem) for image in images)
    return [
        Sample.still(
            f"{split}/{kind}/{image.stem if stems[image.parent, image.stem] == 1 else image.name}",
            image,
            anomalous=kind != GOOD,
            kind=kind,
            mask=masks.get((kind, image.stem)),
        )
        for image in images
        for kind in [image.parent.name]
    ]


def _images_at(folder: Path) -> list[Path]:
    """Return the images in the folders of `folder`, no deeper."""
    return [path for path in contents_of(folder).files if is_image(path) and path.parent.parent == folder]
