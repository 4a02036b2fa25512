"""A linear subspace of normal features, after SubspaceAD (CVPR 2026), on a small frozen backbone.

Fitting learns mean and main directions of the features of all normal patches. A new patch is as anomalous as
much of it these directions leave unexplained. Where this differs from SubspaceAD: a small convolutional network in
place of DINOv2; levels are weighted to the same variance; what is left over is measured in units of each
direction's own spread; where position matters, the maps are normalised per position.
"""

import math
from collections.abc import Mapping
from itertools import chain

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from adkit import Batches, Progress
from adkit.nn.features.patch_maps import LeftOutDistances, PatchMapMethod
from adkit.nn.features.patches import level_weights
from adkit.nn.options import Neighbourhood, ScaledMapOptions
from adkit.nn.samples import each_clip
from adkit_subspace.moments import Moments, Residual


class SubspaceOptions(ScaledMapOptions):
    """Options of `subspace`."""

    # A mean over neighbours takes away the very detail that tells how features go together; the maps are
    # smoothed afterwards.
    neighbourhood: Neighbourhood = 1
    explained: float = Field(
        default=0.98, gt=0, lt=1, description="share of the normal variance that the main directions explain"
    )
    components: int = Field(
        default=0, ge=0, le=100_000, description="number of main directions; 0: as many as `explained` asks for"
    )
    turns: int = Field(
        default=1,
        ge=1,
        le=36,
        description="learn from each image in this many turned copies: for few images of parts that lie any way",
    )


class Subspace(PatchMapMethod[SubspaceOptions]):
    """Length of what the main directions of normal features leave over of a patch."""

    Options = SubspaceOptions
    steps = (("features", 1), ("leave one out", 1))
    least_samples = 1

    _weights: Tensor  # (D,)
    _residual: Residual

    def learn_patches(self, batches: Batches, progress: Progress) -> LeftOutDistances | None:
        """Make one pass for the moments; those of a clip are taken off again to leave it out."""
        total, clips, of_clips = self._collect(batches, progress)
        weights = level_weights(total.scatter.diagonal() / total.count, self._features.lengths).to(torch.float32)
        self._weights = weights.to(self.device)
        self._residual = self._learned_from(total)
        length, left = self._residual.directions.shape
        self._facts |= {"patches": total.count, "features": length, "components": length - left}
        return self._left_out(batches, total, of_clips) if clips > 1 else None

    def judged(self, features: Tensor) -> Tensor:
        """Turn (B, h, w, D) into (B, h, w) lengths of what is left over."""
        return self._residual.lengths(features * self._weights)

    def learned(self) -> dict[str, Tensor]:
        """Return weights, mean, and the directions left over."""
        return {"weights": self._weights, "mean": self._residual.mean, "directions": self._residual.directions}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `learned` gave."""
        self._weights = state["weights"].to(self.device)
        self._residual = Residual(state["mean"], state["directions"]).to(self.device)

    def _learned_from(self, moments: Moments) -> Residual:
        weighted = moments.scaled(self._weights.cpu())
        return Residual.learn(weighted, self.options.explained, self.options.components).to(self.device)

    def _moments(self, frame: Tensor) -> Moments:
        """Return those of all patches of one frame (1, 3, H, W) and of its turned copies."""
        return Moments.of(torch.cat([self._features(copy).flatten(0, 2) for copy in turned(frame, self.options.turns)]))

    def _collect(self, batches: Batches, progress: Progress) -> tuple[Moments, int, dict[str, Moments]]:
        """Return the moments of all, the number of clips, and the moments of those of several frames."""
        total: Moments | None = None
        clips = 0
        of_clips: dict[str, Moments] = {}
        with progress.task("features", len(batches)) as advance:
            for clip, frames in each_clip(batches):
                of_clip: Moments | None = None
                for frame in frames:
                    own = self._moments(frame)
                    total = own if total is None else total + own
                    if of_clip is not None:
                        of_clips[clip] = of_clip + own
                    of_clip = of_clips.get(clip, own)
                    advance(1)
                clips += 1
        assert total is not None
        return total, clips, of_clips

    def _left_out(self, batches: Batches, total: Moments, of_clips: Mapping[str, Moments]) -> LeftOutDistances:
        for clip, frames in each_clip(batches):
            first = next(frames)
            own = of_clips[clip] if clip in of_clips else self._moments(first)
            residual = self._learned_from(total - own)
            for frame in chain([first], frames):
                yield clip, residual.lengths(self._features(frame) * self._weights)


def turned(frames: Tensor, count: int) -> list[Tensor]:
    """Return the frames (B, 3, H, W) turned by 0, 1/count, 2/count … of a full turn; corners repeat the border."""
    height, width = frames.shape[-2:]
    copies = [frames]
    for number in range(1, count):
        angle = 2 * math.pi * number / count
        cosine, sine = math.cos(angle), math.sin(angle)
        # In units of half the height and half the width: a turn keeps the part's shape in px.
        matrix = torch.tensor([[cosine, -sine * height / width, 0], [sine * width / height, cosine, 0]])
        grid = F.affine_grid(matrix.expand(len(frames), 2, 3), list(frames.shape), align_corners=False)
        copies.append(F.grid_sample(frames, grid, padding_mode="border", align_corners=False))
    return copies
