"""Which data there is to learn from below the data root."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from adkit.data.datasets import open_datasets
from adkit.data.images import is_image
from adkit.data.layouts import refuse_several
from adkit.data.tables import is_table
from adkit.data.video import is_video
from adkit.errors import AdkitError, DatasetError
from adkit.registry import Registry
from adkit.ui.settings import ServerSettings

MOST_LISTED = 200
_MOST_LOOKED_AT = 4000  # files and folders; a data root may be large


def listed(settings: ServerSettings, registry: Registry) -> list[str]:
    """Return what can be chosen: folders, uploads first, tables of images, and each dataset's categories."""
    folders = [f"{sort}:{path.relative_to(settings.data_root).as_posix()}" for path, sort in _folders(settings)]
    categories = []
    for name in registry.datasets.names():
        try:  # by name only: which files they hold is looked at when one is chosen
            categories += [one.spec for one in open_datasets(f"{name}:all", settings.data_root.resolve(), registry)]
        except AdkitError:
            continue
    root = settings.data_root
    tables = [f"manifest:{path.name}" for path in sorted(root.glob("*.csv")) if is_table(path)]
    return list(dict.fromkeys([*folders, *tables, *categories]))[:MOST_LISTED]


def _folders(settings: ServerSettings) -> Iterator[tuple[Path, str]]:
    """Yield folders directly in the uploads and in the data root that hold images or videos, and the dataset for it."""
    for parent in (settings.uploads, settings.data_root):
        if not parent.is_dir():
            continue
        for folder in sorted(path for path in parent.iterdir() if path.is_dir() and not path.is_symlink()):
            if folder != settings.uploads and not folder.name.startswith(".") and (sort := _sort_of(folder)):
                yield folder, sort


def _sort_of(folder: Path) -> str | None:
    """Return the dataset for such folders, by their first image or video; None: neither, or datasets of their own."""
    found, places = None, set()
    for path in islice(folder.rglob("*"), _MOST_LOOKED_AT):
        sort = "folder" if is_image(path) else "clips" if is_video(path) else None
        found = found or sort
        inside = path.relative_to(folder).parts[:-1] if sort else ()
        places |= {inside[: depth + 1] for depth in range(len(inside))}
    with suppress(DatasetError):
        refuse_several(folder, places)
        return found
    return None
