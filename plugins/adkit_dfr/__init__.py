"""Deep feature reconstruction."""

from collections.abc import Iterable

from adkit import MethodEntry, hookimpl


@hookimpl
def adkit_methods() -> Iterable[MethodEntry]:
    """Announce `dfr`."""
    yield MethodEntry(
        "dfr",
        "an autoencoder of deep features; what it cannot reconstruct is anomalous",
        target="adkit_dfr.method:DeepFeatureReconstruction",
        cost="one CPU core: 167 images of 384 px learned in 90 s, one judged in 34 ms; model 0.5 MB",
    )
