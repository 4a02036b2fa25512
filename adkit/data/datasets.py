"""Opens the datasets that a spec names."""

from pathlib import Path

from adkit.containment import plugin_code, returned
from adkit.errors import DatasetError
from adkit.files.atomic import is_folder
from adkit.interfaces import Dataset
from adkit.registry import Registry


def open_datasets(spec: str, root: Path | None, registry: Registry) -> list[Dataset]:
    """Return the categories that a spec such as "mvtec:bottle,screw" names, each as a dataset of its own."""
    name, colon, selection = spec.partition(":")
    if not colon and is_folder(Path(spec)):
        hint = f"for a folder of your own images: --dataset folder:{spec}"
        raise DatasetError(f"{spec!r} is a path; a dataset is named as NAME:SELECTION", hint=hint)
    entry = registry.datasets.get(name)
    if not selection:
        raise DatasetError(f"{spec!r} does not say which part of {name} to take", hint=f"for example: {entry.example}")
    with plugin_code(entry.origin):
        return returned(entry.load().select(selection, root), list, "select")
