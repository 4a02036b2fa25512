"""Synthetic parts with drawn defects and clips of a conveyor belt, made by code."""

from __future__ import annotations

from collections.abc import Iterable

from adkit import hookimpl
from adkit.interfaces import Dataset, DatasetEntry


def _load() -> type[Dataset]:
    from adkit_demo.dataset import Demo

    return Demo


@hookimpl
def adkit_datasets() -> Iterable[DatasetEntry]:
    """Announces `demo`."""
    summary = "synthetic parts with drawn defects, and clips of a conveyor belt, made by adkit itself"
    return [DatasetEntry("demo", summary, _load, "demo:washer")]
