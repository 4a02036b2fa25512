"""Nearest normal images (global features)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adkit import hookimpl
from adkit.interfaces import Method, MethodEntry


def _load() -> type[Method[Any]]:
    from adkit_knn.method import Knn

    return Knn


@hookimpl
def adkit_methods() -> Iterable[MethodEntry]:
    """Announces `knn`."""
    return [
        MethodEntry(
            "knn",
            "how far the whole image is from the nearest normal ones: a score, no map",
            _load,
            cost="one CPU core: 209 images of 384 px learned in 14 s, one judged in 20 ms; model 9 MB",
        )
    ]
