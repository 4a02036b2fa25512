"""Convolutional autoencoder."""

from collections.abc import Iterable

from adkit import MethodEntry, hookimpl


@hookimpl
def adkit_methods() -> Iterable[MethodEntry]:
    """Announce `ae`."""
    yield MethodEntry(
        "ae",
        "a convolutional autoencoder; what it cannot reconstruct is anomalous",
        target="adkit_ae.method:Autoencoder",
        cost="one CPU core: 167 images of 128 px learned in 150 s (bfloat16), one judged in 5 ms; model 6 MB",
    )
