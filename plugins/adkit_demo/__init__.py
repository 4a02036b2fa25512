"""Synthetic parts with drawn defects, made by code."""

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
    return [DatasetEntry("demo", "synthetic parts with drawn defects, made by adkit itself", _load, "demo:washer")]
