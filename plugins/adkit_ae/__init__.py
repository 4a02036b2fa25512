"""Convolutional autoencoder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adkit import hookimpl
from adkit.interfaces import Method, MethodEntry


def _load() -> type[Method[Any]]:
    from adkit_ae.method import Autoencoder

    return Autoencoder


@hookimpl
def adkit_methods() -> Iterable[MethodEntry]:
    """Announces `ae`."""
    return [
        MethodEntry(
            "ae",
            "a convolutional autoencoder; what it cannot reconstruct is anomalous",
            _load,
            cost="one CPU core: 167 images of 128 px learned in 150 s (bfloat16), one judged in 5 ms; model 6 MB",
        )
    ]
