"""Convolutional autoencoder."""

from adkit import MethodEntry, hookimpl


@hookimpl
def adkit_methods() -> list[MethodEntry]:
    summary = "a convolutional autoencoder; what it cannot reconstruct is anomalous"
    cost = "one CPU core: 167 images of 128 px learned in 150 s (bfloat16), one judged in 5 ms; model 6 MB"
    return [MethodEntry("ae", summary, target="adkit_ae.method:Autoencoder", cost=cost)]
