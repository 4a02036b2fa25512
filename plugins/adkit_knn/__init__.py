"""Nearest normal images (global features)."""

from collections.abc import Iterable

from adkit import MethodEntry, hookimpl


@hookimpl
def adkit_methods() -> Iterable[MethodEntry]:
    """Announce `knn`."""
    yield MethodEntry(
        "knn",
        "how far the whole image is from the nearest normal ones: a score, no map",
        target="adkit_knn.method:Knn",
        cost="one CPU core: 209 images of 384 px learned in 14 s, one judged in 20 ms; model 9 MB",
        draws=False,
    )
