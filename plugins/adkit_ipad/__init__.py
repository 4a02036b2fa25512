"""The IPAD dataset of industrial videos, and any data in its layout."""

from collections.abc import Iterable

from adkit import DatasetEntry, hookimpl


@hookimpl
def adkit_datasets() -> Iterable[DatasetEntry]:
    """Announce `ipad`."""
    yield DatasetEntry(
        "ipad", "IPAD's videos of devices, or any in its layout", target="adkit_ipad.dataset:Ipad", example="ipad:R01"
    )
