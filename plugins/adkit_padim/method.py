"""PaDiM (Defard et al., ICPR 2020 workshops, arXiv 2011.08785) on a small frozen backbone.

Fitting learns a Gaussian of the normal features at every position. A new patch is as anomalous as its
Mahalanobis distance from the Gaussian of its place is large. Where this differs from the paper: all features are
used instead of a random part; the regularisation is a share of the features' own variance instead of a constant;
levels are weighted to the same variance; where position matters, the maps are normalised per position.
"""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from adkit import Batches, Progress
from adkit.nn.features.patch_maps import LeftOutDistances, PatchMapMethod
from adkit.nn.options import ScaledMapOptions
from adkit.nn.samples import each_clip
from adkit_padim.gaussians import Gaussians, PositionMoments, left_out_distances


class PadimOptions(ScaledMapOptions):
    """Options of `padim`."""

    shrinkage: float = Field(
        default=0.1,
        ge=1e-4,
        le=100,
        description="how much the covariances are drawn to a multiple of the identity, in mean variances of a feature",
    )


class Padim(PatchMapMethod[PadimOptions]):
    """Mahalanobis distance of every patch from the normal patches of its place."""

    Options = PadimOptions
    steps = (("features", 10), ("Gaussians", 1), ("leave one out", 9))

    _gaussians: Gaussians

    def learn_patches(self, batches: Batches, progress: Progress) -> LeftOutDistances | None:
        """Make one pass for the moments; what a clip adds to them is taken back in closed form."""
        moments = PositionMoments()
        clips: set[str] = set()
        with progress.task("features", len(batches)) as advance:
            for batch in batches:
                moments.add(self._features(batch.frames[:, -1]))
                clips.update(batch.clips)
                advance(len(batch))
        with progress.task("Gaussians", 1) as advance:
            self._gaussians = Gaussians.learn(moments, self._features.lengths, self.options.shrinkage)
            advance(1)
        positions, length, _ = self._gaussians.factors.shape
        packed = positions * length * (length + 1) // 2
        self._facts |= {"positions": positions, "features": length, "model_mb": round(2 * packed / 1e6, 1)}
        if len(clips) < 2:
            self._gaussians.round()
            return None
        return self._left_out(batches, moments.grid, moments.count)

    def judged(self, features: Tensor) -> Tensor:
        """Turn (B, h, w, D) into (B, h, w) Mahalanobis distances."""
        lengths: Tensor = self._gaussians.whitened(features).norm(dim=2)
        return lengths.T.reshape(features.shape[:3])

    def learned(self) -> dict[str, Tensor]:
        """Return weights, means, and one triangle of each whitening matrix."""
        return self._gaussians.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `learned` gave."""
        weights, mean, packed = (state[name].to(self.device) for name in ("weights", "mean", "factors"))
        self._gaussians = Gaussians.from_state(weights, mean, packed)

    def _left_out(self, batches: Batches, grid: tuple[int, int], count: int) -> LeftOutDistances:
        """Walk whole clips, whose whitened features are held: at the default size 1.4 MB for each frame."""

        def whitened(frames: Tensor) -> Tensor:
            return self._gaussians.whitened(self._features(frames)).transpose(0, 1)

        for clip, frames in each_clip(batches, whitened):
            together = torch.cat([frame.transpose(0, 1) for frame in frames], dim=1)
            yield clip, left_out_distances(together, count).T.reshape(-1, *grid)
        self._gaussians.round()
