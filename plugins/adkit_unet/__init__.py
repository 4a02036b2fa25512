"""U-Net autoencoder."""

from adkit import MethodEntry, hookimpl


@hookimpl
def adkit_methods() -> list[MethodEntry]:
    summary = "a U-Net that repairs images; what it changes is anomalous"
    cost = "one CPU core: 167 images of 128 px learned in 4 min (bfloat16), one judged in 0.1 s; model 7 MB"
    return [MethodEntry("unet", summary, target="adkit_unet.method:UNet", cost=cost)]
