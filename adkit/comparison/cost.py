"""What a method costs: memory while it works, and milliseconds an image with decoding apart."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from adkit.data.clips import are_stills
from adkit.data.frame_source import frames_of
from adkit.types import Sample
from adkit.workflows.predict import predicted
from adkit.workflows.score import FittedModel

TIMED_IMAGES = 16
_INTERVAL_S = 0.05


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one cell, or of those of a candidate on a category: seconds, milliseconds an image, bytes."""

    fit_s: float  # and to calibrate
    predict_ms: float  # an image, from the method's input to maps or scores, one at a time
    decode_ms: float  # an image, from its file to there
    peak_memory_bytes: int  # of the whole process, while it fitted and scored
    model_bytes: int  # on disk


TIMES, SIZES = ("fit_s", "predict_ms", "decode_ms"), ("peak_memory_bytes", "model_bytes")


class PeakMemory:
    """The highest resident memory of this process inside a `with` block, looked at twenty times a second."""

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.bytes = 0

    def __enter__(self) -> PeakMemory:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._stop.wait(_INTERVAL_S):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, int(self._process.memory_info().rss))


def time_images(model: FittedModel, samples: Sequence[Sample]) -> tuple[float, float]:
    """Return (decode, predict) in ms an image or frame, over a few samples; the first only warms up.

    Of still images these are medians, one at a time. Of clips they are of consecutive frames, as a stream takes them:
    decoding is the mean, for a frame is decoded from those before it.
    """
    if not are_stills(samples):
        return _time_frames(model, [sample for sample in samples if sample.clip == samples[0].clip])
    decoding, predicting = [], []
    for sample in [samples[0], *samples[:TIMED_IMAGES]]:
        started = time.perf_counter()
        frames = list(frames_of([sample], model.view))
        decoded = time.perf_counter()
        list(predicted(model.method, model.view, frames))  # waits for a GPU to be done
        predicting.append(time.perf_counter() - decoded)
        decoding.append(decoded - started)
    return 1000 * statistics.median(decoding[1:]), 1000 * statistics.median(predicting[1:])


def _time_frames(model: FittedModel, clip: Sequence[Sample]) -> tuple[float, float]:
    started = time.perf_counter()
    frames = list(frames_of(clip[: TIMED_IMAGES + 1], model.view))
    decoding = (time.perf_counter() - started) / len(frames)
    predicting = []
    started = time.perf_counter()
    for _ in predicted(model.method, model.view, frames, batch_size=1):
        predicting.append(time.perf_counter() - started)
        started = time.perf_counter()
    return 1000 * decoding, 1000 * statistics.median(predicting[1:] or predicting)
