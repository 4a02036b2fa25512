"""How many threads the libraries take: told before any of them is loaded."""

import os

LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
"""What torch, onnxruntime (by `adkit.nn.features.onnx_session`), numpy and OpenCV ask."""


def limit_threads(count: int | None) -> None:
    """Let every library take so many threads; None: as many as the environment says, else as there are cores."""
    if count is not None:
        os.environ.update(dict.fromkeys(LIMITS, str(count)))
    elif (given := os.environ.get(LIMITS[0], "")).isdigit():
        for name in LIMITS[1:]:
            os.environ.setdefault(name, given)
