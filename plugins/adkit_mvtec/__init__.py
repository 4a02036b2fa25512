"""MVTec's anomaly detection datasets and VisA, as they are downloaded."""

from collections.abc import Iterable

from adkit import DatasetEntry, hookimpl


@hookimpl
def adkit_datasets() -> Iterable[DatasetEntry]:
    """Announce `mvtec` and `visa`."""
    yield DatasetEntry(
        "mvtec",
        "MVTec AD, AD 2 and LOCO AD, or any folder in their layout",
        target="adkit_mvtec.dataset:MVTec",
        example="mvtec:bottle",
    )
    yield DatasetEntry("visa", "VisA, as it is downloaded", target="adkit_mvtec.visa:VisA", example="visa:candle")
