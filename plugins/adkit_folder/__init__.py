"""One's own images, in a folder or listed in a table."""

from collections.abc import Iterable

from adkit import DatasetEntry, hookimpl


@hookimpl
def adkit_datasets() -> Iterable[DatasetEntry]:
    """Announce `folder` and `manifest`."""
    yield DatasetEntry(
        "folder",
        "a folder of your own images, in any of three layouts",
        target="adkit_folder.dataset:Folder",
        example="folder:./parts",
    )
    yield DatasetEntry(
        "manifest",
        "your own images, listed in a CSV file: path, split, kind, mask, group",
        target="adkit_folder.manifest:Manifest",
        example="manifest:parts.csv",
    )
