"""Synthetic parts with drawn defects and clips of a conveyor belt, made by code."""

from collections.abc import Iterable

from adkit import DatasetEntry, hookimpl


@hookimpl
def adkit_datasets() -> Iterable[DatasetEntry]:
    """Announce `demo`."""
    summary = "synthetic parts with drawn defects, and clips of a conveyor belt, made by adkit itself"
    yield DatasetEntry("demo", summary, target="adkit_demo.dataset:Demo", example="demo:washer")
