"""The one walk through folders of data: what is in them, and what is passed over."""

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from adkit.data.folder_names import derived_among, is_drawn, is_mask_folder, is_of_photos, is_of_places, is_other_view
from adkit.data.images import has_few_values, is_drawn_by_adkit, is_image
from adkit.data.mask_names import Inside
from adkit.data.video import is_video
from adkit.stats.formatting import counted, listed
from adkit.stats.segments import grouped

_OF_SYSTEMS = frozenset({"$recycle.bin", "#recycle", "@eadir", "__macosx", "lost+found", "system volume information"})
_OF_VIEWERS = frozenset({"desktop.ini", "ehthumbs.db", "thumbs.db"})
_OF_COMPARISON = {f"comparison.{kind}" for kind in ("csv", "html", "json", "md", "tex")}
_OF_ADKIT = (  # of a run, an export, a cell of a comparison, and its results
    *({"run.json", "model.safetensors"}, {"model.json", "model.onnx", "score.py"}, {"cell.json", "scores.npz"}),
    _OF_COMPARISON,
)

_MOST_SUFFIXES = 8
_HEAD_BYTES = 8192

HIDDEN = "hidden folder{s}"
OWN = "file{s} or folder{s} that adkit wrote"
LOOPS = "link{s} to folders that are read already"
DERIVED = "file{s} or folder{s} named as drawn from photos beside them, or as other views of them"
PLACES = "mask{s} of where to look, by name and content: for --roi or --ignore"
NOWHERE = "file{s} or link{s} that cannot be opened"


def is_moving(path: Path) -> bool:
    """Say whether the file's name says that it moves: a video, or an animated GIF."""
    return is_video(path) or (is_image(path) and path.suffix.lower() == ".gif")


def is_of_adkit(path: Path, below: Path) -> bool:
    """Say whether adkit drew a picture or video, or wrote a folder `below` or in it that holds it, such as a run."""
    places = [place for place in path.parents if place.is_relative_to(below)]
    return is_drawn_by_adkit(path) or any(own <= {*_listed(place)} for place in places for own in _OF_ADKIT)


@dataclass(frozen=True, slots=True)
class Contents:
    """All files in a folder at any depth, sorted by their paths, and what was passed over, by reason."""

    folder: Path
    files: tuple[Path, ...]
    passed: dict[str, list[Path]]
    folders: tuple[Inside, ...] = ()  # those inside that were walked, at any depth, empty ones too

    def inside(self, path: Path) -> Inside:
        """Return where one of its files or folders lies, in parts."""
        return path.parts[len(self.folder.parts) :]

    def by_folder(self) -> dict[str, list[Path]]:
        """Return the files of each folder directly inside, by its name; "" for those in no folder."""
        return grouped(self.files, lambda path: "/".join(self.inside(path)[:-1][:1]))

    def notes(self, known: Callable[[Path], bool]) -> list[str]:
        """Say how much was left out and why; `known` tells which files are read or told of elsewhere."""
        passed = {why: sorted("/".join(self.inside(path)) for path in paths) for why, paths in self.passed.items()}
        told = [f"{len(of)} {why.format(s='s' * (len(of) > 1))} ({listed(of)})" for why, of in passed.items()]
        if other := [path.suffix.lower() or path.name for path in self.files if not known(path)]:
            told.append(f"{counted(len(other), 'file')} of other types ({listed(sorted(set(other)), _MOST_SUFFIXES)})")
        return [f"left out in {self.folder}: {', '.join(told)}"] if told else []


def contents_of(folder: Path) -> Contents:
    """Look through a folder with all it contains; a link to a folder is followed once, and never to where it came from.

    What is hidden, what systems and viewers keep beside images, what adkit wrote, what is named as drawn from photos or
    as another view of them, and masks of where to look are passed over.
    """
    passed: dict[str, list[Path]] = defaultdict(list)
    found: list[Path] = []
    followed = {folder.resolve()}
    walked: list[Inside] = []

    def refuse(error: OSError) -> None:
        if isinstance(error, PermissionError) and Path(error.filename) == folder:
            raise error
        passed[NOWHERE].append(Path(error.filename))

    for place, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        here = Path(place)
        folders.sort()  # which of two links to one folder is followed does not depend on the disk
        if here != folder and any(own <= {*names} for own in _OF_ADKIT):
            passed[OWN].append(here)
            folders.clear()
            continue
        if here != folder:
            walked.append(here.parts[len(folder.parts) :])
        of_photos = _of_photos_among(here, folders, names)
        of_masks = any(map(is_mask_folder, here.parts[len(folder.parts) :]))
        for name in list(folders):
            if why := _why_not_walked(here / name, of_photos, followed):
                passed[why].append(here / name)
                folders.remove(name)
        stems = _stems(names)
        derived = derived_among(set(stems.values()))
        for name in names:
            if name.startswith((".", "~$")) or name.lower() in _OF_VIEWERS:
                continue
            path = here / name
            if not os.path.isfile(path):  # noqa: PTH113 (twice as fast, and there may be many)
                passed[NOWHERE].append(path)
            elif is_drawn_by_adkit(path) or has_rows(path) or (name in _OF_COMPARISON and {*names} >= _OF_COMPARISON):
                passed[OWN].append(path)
            elif stems.get(name) in derived:
                passed[DERIVED].append(path)
            elif is_of_places(stems.get(name, "")) and not of_masks and has_few_values(path, 2):
                passed[PLACES].append(path)
            else:
                found.append(path)
    return Contents(folder, tuple(sorted(found, key=lambda path: path.parts)), passed, tuple(walked))


def _why_not_walked(folder: Path, of_photos: Collection[str], followed: set[Path]) -> str | None:
    """Say why a folder is passed over, if it is; a link that is followed is one of those `followed` from then on."""
    if folder.name.startswith(".") or folder.name.lower() in _OF_SYSTEMS:
        return HIDDEN
    if folder.name in of_photos:
        return DERIVED
    if folder.is_symlink():
        target = folder.resolve()
        if target in followed or folder.parent.resolve().is_relative_to(target):
            return LOOPS
        followed.add(target)
    return None


def has_rows(path: Path) -> bool:
    """Say whether a file holds rows of `score`, `eval` or `watch`, which nobody else's file begins like."""
    if not path.name.lower().endswith((".csv", ".json", ".jsonl")):
        return False
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(_HEAD_BYTES)
    except OSError:  # who reads it tells
        return False
    return b"p_value_is_floor" in head or head.startswith(b"part,time,path,source,event,decision,")


def _stems(names: Iterable[str]) -> dict[str, str]:
    """Return the names of images and videos without suffix, by their names."""
    return {name: path.stem for name in names if is_image(path := Path(name)) or is_video(path)}


def _of_photos_among(here: Path, folders: Sequence[str], names: Sequence[str]) -> set[str]:
    """Return the folders of other views beside one of photos, and of what is drawn if named as the pictures beside.

    Masks lie in such folders as well: they are told by what they hold.
    """
    found = {name for name in folders if is_other_view(name)} if any(map(is_of_photos, folders)) else set[str]()
    doubtful = {name for name in folders if name not in found and (is_drawn(name) or is_other_view(name))}
    others = [here / name for name in folders if name not in found | doubtful] if doubtful else []
    photos = {*_stems(names).values()}.union(*(_stems(_listed(folder)).values() for folder in others))
    for name in doubtful:
        # With the folder's word, a picture in it has the name of one that lies beside its photo.
        drawn = {f"{stem} heatmap": here / name / file for file, stem in _stems(_listed(here / name)).items()}
        alike = derived_among([*photos, *drawn]) & drawn.keys()
        if alike and 2 * len(alike) >= len(drawn) and not has_few_values(drawn[min(alike)]):
            found.add(name)
    return found


def _listed(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:  # who walks it tells
        return []
