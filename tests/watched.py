"""Small grey videos with something bright in them, and a run that learned what is usual."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, tensor

from adkit.data.spans import VideoSpans, parse_spans
from adkit.interfaces import Stream
from adkit.registry import Registry
from adkit.runs.record import FitSettings
from adkit.runs.store import Run
from adkit.types import Batch, Prediction
from adkit.workflows.fit import fit
from tests.greys import METHODS, Grey, GreyMaps, with_methods
from tests.videos import SIZE, write_video

RATE = 10
USUAL = 120


class GreyRebuilt(GreyMaps):
    """Gives maps, and the usual grey as the reconstruction."""

    reconstructs: ClassVar[bool] = True

    def predict(self, batch: Batch) -> Prediction:
        maps = super().predict(batch).maps
        images: Tensor = batch.frames[:, -1] * 0 + self.mean / 255
        return Prediction(maps=maps, images=images)


class GreyChange(Grey):
    """How much brighter the last of four frames is than the first."""

    window = 4

    def predict(self, batch: Batch) -> Prediction:
        return Prediction(scores=255 * (batch.frames[:, -1] - batch.frames[:, 0]).mean(dim=(1, 2, 3)))


class GreyMemory(Grey):
    """How much brighter a frame is than the mean of all before it: it has a memory, and takes a step for each frame."""

    def predict(self, batch: Batch) -> Prediction:
        levels = 255 * batch.frames.mean(dim=(2, 3, 4))
        return Prediction(scores=levels[:, -1] - levels.mean(dim=1))

    def stream(self) -> Stream:
        clip, total, count = "", 0.0, 0

        def step(batch: Batch) -> Prediction:
            nonlocal clip, total, count
            scores = []
            for name, level in zip(batch.clips, self.brightness(batch).tolist(), strict=True):
                if name != clip:
                    clip, total, count = name, 0.0, 0
                total, count = total + level, count + 1
                scores.append(level - total / count)
            return Prediction(scores=tensor(scores))

        return step


def watched_registry() -> Registry:
    return with_methods({**METHODS, "grey_rebuilt": GreyRebuilt, "grey_change": GreyChange, "grey_memory": GreyMemory})


def picture(bright: bool, number: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A grey that wavers a little, with a bright upper left corner where something is wrong."""
    pixels = np.full((*size, 3), USUAL + number % 3, np.uint8)
    if bright:
        pixels[: size[0] // 3, : size[1] // 3] = 250
    return pixels


def video_of(
    path: Path, count: int, bright: Sequence[range] = (), *, size: tuple[int, int] = SIZE, rate: int = RATE
) -> Path:
    """A video of so many frames, ten a second, something being wrong in some of them."""
    frames = [picture(any(number in span for span in bright), number, size) for number in range(count)]
    return write_video(path, frames, rate=rate)


def fit_video(registry: Registry, normal: Path, runs: Path, method: str = "grey_maps", span: str = "0:00-0:20") -> Run:
    """A run that learned from a span of a video; its unit is the clip."""
    return fit(FitSettings(method=method, device="cpu"), VideoSpans(normal, parse_spans([span])), runs, registry)
