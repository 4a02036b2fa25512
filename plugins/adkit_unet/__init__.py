"""U-Net autoencoder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adkit import hookimpl
from adkit.interfaces import Method, MethodEntry


def _load() -> type[Method[Any]]:
    from adkit_unet.method import UNet

    return UNet


@hookimpl
def adkit_methods() -> Iterable[MethodEntry]:
    """Announces `unet`."""
    return [
        MethodEntry(
            "unet",
            "a U-Net that repairs pictures; what it changes is anomalous",
            _load,
            cost="one CPU core: 167 images of 128 px learned in 4 min (bfloat16), one judged in 0.1 s; model 7 MB",
        )
    ]
