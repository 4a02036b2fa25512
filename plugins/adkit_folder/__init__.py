"""A folder of one's own images."""

from collections.abc import Iterable

from adkit import DatasetEntry, hookimpl


@hookimpl
def adkit_datasets() -> Iterable[DatasetEntry]:
    """Announce `folder`."""
    yield DatasetEntry(
        "folder",
        "a folder of your own images, in any of three layouts",
        target="adkit_folder.dataset:Folder",
        example="folder:./parts",
    )
