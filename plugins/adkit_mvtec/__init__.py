"""MVTec's anomaly detection datasets and VisA, as they are downloaded."""

from adkit import DatasetEntry, hookimpl


@hookimpl
def adkit_datasets() -> list[DatasetEntry]:
    mvtec = "MVTec AD, AD 2 and LOCO AD, or any folder in their layout"
    return [
        DatasetEntry("mvtec", mvtec, "adkit_mvtec.dataset:MVTec", example="mvtec:bottle"),
        DatasetEntry("visa", "VisA, as it is downloaded", "adkit_mvtec.visa:VisA", example="visa:candle"),
    ]
