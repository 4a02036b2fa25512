"""A folder of one's own images."""

from collections.abc import Iterable

from adkit import hookimpl
from adkit.interfaces import Dataset, DatasetEntry


def _load() -> type[Dataset]:
    from adkit_folder.dataset import Folder

    return Folder


@hookimpl
def adkit_datasets() -> Iterable[DatasetEntry]:
    """Announces `folder`."""
    return [DatasetEntry("folder", "a folder of your own images, in any of three layouts", _load, "folder:./parts")]
