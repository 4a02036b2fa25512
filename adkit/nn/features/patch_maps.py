"""What all methods share that give maps from the patch features of a frozen network.

A method says how far a patch is from normal, and how far each training frame's patches are when its clip is left
out. The rest is done here: features, smoothing, the decision whether position matters, calibration.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TypeVar

from torch import Tensor

from adkit.interfaces import Batches, Progress
from adkit.nn.features.patches import PatchFeatures
from adkit.nn.methods import MapMethod
from adkit.nn.normalisation import normalised_out_of_sample, require_maps
from adkit.nn.options import PatchMapOptions
from adkit.nn.samples import gather
from adkit.types import Batch, Prediction

PatchMapOptionsType = TypeVar("PatchMapOptionsType", bound=PatchMapOptions)

LeftOut = Iterator[tuple[str, Tensor]]
"""For some training frames at a time, in training order: their clip, and their distances (k, h, w) without it."""


class PatchMapMethod(MapMethod[PatchMapOptionsType]):
    """A method whose maps are distances of patches from what is normal, on the grid of the first level.

    A subclass writes `learn_patches`, `distances`, `learned` and `restore`.
    """

    _features: PatchFeatures

    def __init__(self, options: PatchMapOptionsType, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        self._features = PatchFeatures.from_options(options, device, options.neighbourhood)

    @abstractmethod
    def learn_patches(self, batches: Batches, progress: Progress) -> LeftOut | None:
        """Learn, and put the sizes into `self._facts`; then give every training frame's left-out distances.

        None when there is only one clip, so that nothing remains when it is left out.
        """

    @abstractmethod
    def distances(self, frames: Tensor) -> Tensor:
        """Say how far each patch of the last frame is from normal: float32 (B, T, 3, H, W) -> (B, h, w), any device."""

    def learn(self, batches: Batches, progress: Progress) -> None:
        """Learn, then score every training frame as if its clip had not been seen; raises OptionError.

        Those maps say whether position matters, and calibrate.
        """
        left_out = self.learn_patches(batches, progress)
        if left_out is None:
            require_maps(1, self.options.position_normalisation)
            return
        with progress.task("leave one out", len(batches)) as advance:
            parts = (([clip] * len(distances), self._smoothed(distances)) for clip, distances in left_out)
            maps, clips = gather(parts, len(batches), advance)
        self.decide(maps, clips)
        self._calibration = normalised_out_of_sample(maps, clips) if self._normalisation else maps

    def predict(self, batch: Batch) -> Prediction:
        """Return maps on the first level's grid: distances, or spreads above the usual where position matters."""
        return Prediction(maps=self.normalised(self._smoothed(self.distances(batch.frames))))

    def calibration(self) -> Prediction | None:
        """Leave-one-image-out maps (for frames of a video: leave-one-clip-out); None with one clip only."""
        return None if self._calibration is None else Prediction(maps=self._calibration)

    def _smoothed(self, distances: Tensor) -> Tensor:
        return self.smoothed(distances, self.options.levels[0])
