"""Synthetic parts with drawn defects and clips of a conveyor belt, made by code."""

from adkit import DatasetEntry, hookimpl


@hookimpl
def adkit_datasets() -> list[DatasetEntry]:
    summary = "synthetic parts with drawn defects, and clips of a conveyor belt, made by adkit itself"
    return [DatasetEntry("demo", summary, target="adkit_demo.dataset:Demo", example="demo:washer")]
