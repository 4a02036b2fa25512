"""Nearest normal images (global features)."""

from adkit import MethodEntry, hookimpl


@hookimpl
def adkit_methods() -> list[MethodEntry]:
    summary = "how far the whole image is from the nearest normal ones: a score, no map"
    cost = "one CPU core: 209 images of 384 px learned in 13 s, one judged in 16 ms; model 9 MB"
    return [MethodEntry("knn", summary, target="adkit_knn.method:Knn", cost=cost, draws=False)]
