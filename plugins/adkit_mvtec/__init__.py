"""The MVTec AD dataset in its official layout."""

from collections.abc import Iterable

from adkit import DatasetEntry, hookimpl


@hookimpl
def adkit_datasets() -> Iterable[DatasetEntry]:
    """Announce `mvtec`."""
    yield DatasetEntry(
        "mvtec", "MVTec AD, or any folder in its layout", target="adkit_mvtec.dataset:MVTec", example="mvtec:bottle"
    )
