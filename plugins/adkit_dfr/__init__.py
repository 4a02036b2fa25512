"""Deep feature reconstruction."""

from adkit import MethodEntry, hookimpl


@hookimpl
def adkit_methods() -> list[MethodEntry]:
    summary = "an autoencoder of deep features; what it cannot reconstruct is anomalous"
    cost = "one CPU core: 167 images of 384 px learned in 90 s, one judged in 34 ms; model 0.5 MB"
    return [MethodEntry("dfr", summary, target="adkit_dfr.method:DeepFeatureReconstruction", cost=cost)]
