"""How many threads the libraries take, and how long they wait in circles: told before any of them is loaded."""

import os

SPINS = "2000"
"""How often a thread of OpenMP looks whether the others are done before it sleeps: about a tenth of a millisecond.

One that looks on for 10 ms, as GNU OpenMP's do, keeps the very thread from running that it waits for where threads
outnumber cores: a fit at low priority beside two others took twenty times as long. Alone it would be a little faster.
"""
LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
"""What torch, onnxruntime (by `adkit.nn.features.onnx_session`), numpy and OpenCV ask."""


def limit_threads(count: int | None) -> None:
    """Let every library take so many threads; None: as many as the environment says, else as there are cores."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    if count is not None:
        os.environ.update(dict.fromkeys(LIMITS, str(count)))
    elif (given := os.environ.get(LIMITS[0], "")).isdigit():
        for name in LIMITS[1:]:
            os.environ.setdefault(name, given)
