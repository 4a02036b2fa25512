"""The IPAD dataset of industrial videos, and any data in its layout."""

from adkit import DatasetEntry, hookimpl


@hookimpl
def adkit_datasets() -> list[DatasetEntry]:
    summary = "IPAD's videos of devices, or any in its layout"
    return [DatasetEntry("ipad", summary, target="adkit_ipad.dataset:Ipad", example="ipad:R01")]
