"""What all methods share that give maps from the patch features of a frozen network.

A method says how far a patch is from normal, and how far each training frame's patches are when its clip is left
out. The rest is done here: features, smoothing, the decision whether position matters, calibration, state.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from adkit.interfaces import Batches, Method, Progress, Workspace
from adkit.nn.features.patches import PatchFeatures
from adkit.nn.normalisation import (
    PositionNormalisation,
    decide,
    normalised_out_of_sample,
    require_maps,
    smooth,
)
from adkit.nn.options import PatchMapOptions
from adkit.types import Batch, FitReport, Prediction

PatchMapOptionsType = TypeVar("PatchMapOptionsType", bound=PatchMapOptions)

LeftOut = Iterator[tuple[str, Tensor]]
"""For some training frames at a time, in training order: their clip, and their distances (k, h, w) without it."""


class PatchMapMethod(Method[PatchMapOptionsType]):
    """A method whose maps are distances of patches from what is normal, on the grid of the first level.

    A subclass writes `learn`, `distances`, `learned` and `restore`.
    """

    # The mean over 1 % of the pixels has less noise than the one highest pixel, and is still small enough for a
    # small defect. benchmarks/scorers.py compares them on the synthetic parts; no real test label was used.
    default_scorer: ClassVar[str | None] = "top1"

    def __init__(self, options: PatchMapOptionsType, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        self._features = PatchFeatures.from_options(options, device)
        self._normalisation: PositionNormalisation | None = None
        self._calibration: Tensor | None = None
        self._facts: dict[str, str | int | float | bool] = {}

    @abstractmethod
    def learn(self, batches: Batches, progress: Progress) -> LeftOut | None:
        """Learns, and puts its sizes into `self._facts`; then gives every training frame's left-out distances.

        None when there is only one clip, so that nothing remains when it is left out.
        """

    @abstractmethod
    def distances(self, frames: Tensor) -> Tensor:
        """float32 (B, 3, H, W) -> (B, h, w), how far each patch is from normal; on any device."""

    def window_distances(self, frames: Tensor) -> Tensor:
        """float32 (B, T, 3, H, W) -> (B, h, w); the last frame's alone, unless a method compares it with others."""
        return self.distances(frames[:, -1])

    @abstractmethod
    def learned(self) -> dict[str, Tensor]:
        """What `learn` learned, for a run."""

    @abstractmethod
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes back what `learned` gave."""

    @property
    def frame_size(self) -> tuple[int, int]:
        """As the options say."""
        return self.options.size

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> FitReport:
        """Learns, then scores every training frame as if its clip had not been seen; raises OptionError.

        Those maps say whether position matters, and calibrate.
        """
        with progress.task("network", 1) as advance:
            self._features.prepare(self.frame_size)
            advance(1)
        self._normalisation = self._calibration = None
        self._facts = {}
        left_out = self.learn(batches, progress)
        if left_out is None:
            require_maps(1, self.options.position_normalisation)
            return FitReport(self._facts)
        clips: dict[str, int] = {}
        numbers: list[int] = []
        maps = torch.empty(0)
        with progress.task("leave one out", len(batches)) as advance:
            for clip, distances in left_out:
                smoothed, first = self._smoothed(distances), len(numbers)
                if not numbers:  # in one piece of memory, as `PredictionBuffer` are
                    maps = smoothed.new_empty((len(batches), *smoothed.shape[1:]))
                numbers += [clips.setdefault(clip, len(clips))] * len(smoothed)
                maps[first : len(numbers)] = smoothed
                advance(len(smoothed))
        self._calibration = self._normalise(maps[: len(numbers)], torch.tensor(numbers))
        return FitReport(self._facts)

    def predict(self, batch: Batch) -> Prediction:
        """Maps on the first level's grid: distances, or spreads above the usual where position matters."""
        maps = self._smoothed(self.window_distances(batch.frames))
        return Prediction(maps=self._normalisation(maps) if self._normalisation else maps)

    def calibration(self) -> Prediction | None:
        """Leave-one-image-out maps (for frames of a video: leave-one-clip-out); None with one clip only."""
        return None if self._calibration is None else Prediction(maps=self._calibration)

    def state(self) -> dict[str, Tensor]:
        """What was learned, the backbone's fingerprint, and the normalisation where there is one."""
        extra = self._normalisation.state() if self._normalisation else {}
        learned = {name: tensor.cpu() for name, tensor in self.learned().items()}
        return {**learned, **self._features.state(), **extra}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Takes back what `state` gave; raises BackboneError when the backbone's weights are others by now."""
        self._features.check(state)
        self._normalisation = PositionNormalisation.from_state(state)
        self._calibration = None
        self.restore(state)

    def _smoothed(self, distances: Tensor) -> Tensor:
        """(B, h, w) on any device -> (B, h, w) on the CPU."""
        return smooth(distances.cpu(), self.options.smoothing / self.options.levels[0])

    def _normalise(self, maps: Tensor, clips: Tensor) -> Tensor:
        """Out-of-sample maps (N, h, w) as they calibrate, after deciding by them whether position matters."""
        self._normalisation, found = decide(maps, clips, self.options.position_normalisation)
        self._facts |= found
        return normalised_out_of_sample(maps, clips) if self._normalisation else maps
