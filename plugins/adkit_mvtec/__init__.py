"""The MVTec AD dataset in its official layout."""

from collections.abc import Iterable

from adkit import hookimpl
from adkit.interfaces import Dataset, DatasetEntry


def _load() -> type[Dataset]:
    from adkit_mvtec.dataset import MVTec

    return MVTec


@hookimpl
def adkit_datasets() -> Iterable[DatasetEntry]:
    """Announces `mvtec`."""
    return [DatasetEntry("mvtec", "MVTec AD, or any folder in its layout", _load, "mvtec:bottle")]
