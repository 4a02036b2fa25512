"""The IPAD dataset of industrial videos, and any data in its layout."""

from collections.abc import Iterable

from adkit import hookimpl
from adkit.interfaces import Dataset, DatasetEntry


def _load() -> type[Dataset]:
    from adkit_ipad.dataset import Ipad

    return Ipad


@hookimpl
def adkit_datasets() -> Iterable[DatasetEntry]:
    """Announces `ipad`."""
    return [DatasetEntry("ipad", "IPAD's videos of devices, or any in its layout", _load, "ipad:R01")]
