"""Convolutional LSTM over the frames of clips."""

from adkit import MethodEntry, hookimpl


@hookimpl
def adkit_methods() -> list[MethodEntry]:
    summary = "for video: remembers what it has seen and rebuilds the next frame; what it cannot rebuild is anomalous"
    cost = "one CPU core: 1,530 frames of 256x384 px learned in 299 s (bfloat16), one judged in 10 ms; 1 MB"
    return [MethodEntry("convlstm", summary, target="adkit_convlstm.method:ConvLstmMethod", cost=cost)]
