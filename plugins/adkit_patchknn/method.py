"""PatchCore (Roth et al., CVPR 2022, arXiv 2106.08265) on a small frozen backbone.

Fitting collects the patch features of all normal images and keeps the few that cover the others best. A new
patch is as anomalous as it is far from the nearest kept one. Where this differs from the paper: both levels
are averaged on one grid and weighted to the same variance; the map is not reweighted by the neighbours'
density; where position matters, it is normalised per position by the normal images' own maps.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from adkit.errors import BackboneError
from adkit.interfaces import Batches, Method, Progress
from adkit.nn.coreset import greedy_coreset
from adkit.nn.features import PatchFeatures, level_weights
from adkit.nn.leave_one_out import LeaveOneOutBanks
from adkit.nn.neighbours import NearestNeighbour
from adkit.nn.normalisation import (
    Choice,
    PositionNormalisation,
    explained_by_position,
    normalised_out_of_sample,
    position_matters,
    smooth,
)
from adkit.nn.options import FeatureOptions
from adkit.types import Batch, Prediction


class PatchKnnOptions(FeatureOptions):
    """Options of `patchknn`."""

    neighbourhood: int = Field(
        default=3, ge=1, le=15, description="each patch takes the mean over this many positions a side"
    )
    coreset_ratio: float = Field(
        default=0.01, gt=0, le=1, description="share of the normal patches that the bank keeps"
    )
    bank_limit: int = Field(
        default=3000, ge=16, description="the bank keeps at most this many patches: bounds the time to score"
    )
    patch_limit: int = Field(
        default=1_500_000,
        ge=1000,
        description="fitting holds at most this many patches, the same number of each image: bounds the memory",
    )
    smoothing: float = Field(
        default=4.0, ge=0, le=64, description="px, the maps are smoothed by a Gaussian of this standard deviation"
    )
    position_normalisation: Choice = Field(
        default="auto",
        description="judge each position by what is usual there: auto lets the normal images decide",
    )


class PatchKnn(Method[PatchKnnOptions]):
    """Distance of every patch to the nearest patch of a bank of normal ones."""

    Options = PatchKnnOptions
    # The mean over 1 % of the pixels has less noise than the one highest pixel, and is still small enough for a
    # small defect. benchmarks/scorers.py compares them on the synthetic parts; no real test label was used.
    default_scorer = "top1"

    def __init__(self, options: PatchKnnOptions, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        self._features = PatchFeatures(
            options.backbone,
            strides=options.levels,
            weights=options.weights,
            neighbourhood=options.neighbourhood,
            device=device,
        )
        self._bank = torch.empty(0)  # (N, D), already weighted
        self._weights = torch.empty(0)  # (D,)
        self._nearest = NearestNeighbour(torch.empty(0, 1))
        self._normalisation: PositionNormalisation | None = None
        self._calibration: Tensor | None = None
        self._facts: dict[str, str | int | float | bool] = {}

    @property
    def frame_size(self) -> tuple[int, int]:
        """As the options say."""
        return self.options.size

    def fit(self, batches: Batches, progress: Progress) -> None:
        """Fills the bank, then scores every training image against the bank without its own patches."""
        patches, sources, clips = self._collect(batches, progress)
        generator = torch.Generator().manual_seed(self.seed)
        start = int(torch.randint(len(patches), (1,), generator=generator))
        count = max(2, min(round(self.options.coreset_ratio * len(patches)), self.options.bank_limit))
        chosen = greedy_coreset(patches, min(count, len(patches)), start=start, progress=progress).sort().values
        self._bank = patches[chosen]
        self._facts = {"patches": len(patches), "bank": len(chosen), "features": patches.shape[1]}
        self._nearest = NearestNeighbour(self._bank, self._weights)
        banks = LeaveOneOutBanks(patches, sources, chosen, progress)
        del patches
        maps, numbers = self._leave_one_out(batches, banks, clips, progress)
        self._facts["explained_by_position"] = round(explained_by_position(maps), 4)
        self._facts["position_normalised"] = position_matters(maps, self.options.position_normalisation)
        if self._facts["position_normalised"]:
            self._normalisation = PositionNormalisation.learn(maps)
            maps = normalised_out_of_sample(maps, numbers)
        self._calibration = maps

    def predict(self, batch: Batch) -> Prediction:
        """Maps on the first level's grid: distances, or spreads above the usual where position matters."""
        maps = self._distances(batch.frames[:, -1], self._nearest)
        return Prediction(maps=self._normalisation(maps) if self._normalisation else maps)

    def calibration(self) -> Prediction | None:
        """Leave-one-image-out maps (for frames of a video: leave-one-clip-out).

        See `adkit.nn.leave_one_out` for how the bank is completed without the image.
        """
        return None if self._calibration is None else Prediction(maps=self._calibration)

    def state(self) -> dict[str, Tensor]:
        """The bank, the weights of the features, and the normalisation where there is one."""
        extra = self._normalisation.state() if self._normalisation else {}
        fingerprint = torch.tensor(list(bytes.fromhex(self._features.fingerprint)), dtype=torch.uint8)
        return {"bank": self._bank.cpu(), "weights": self._weights.cpu(), "backbone_fingerprint": fingerprint, **extra}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Takes back what `state` gave; raises BackboneError when the backbone's weights are others by now."""
        expected = bytes(state["backbone_fingerprint"].tolist()).hex()
        if self._features.fingerprint != expected:
            raise BackboneError(
                f"the weights of {self.options.backbone} changed since fitting: found {self._features.fingerprint}, "
                f"expected {expected}",
                hint="put the weights of that time back, or fit again",
            )
        self._bank = state["bank"].to(self.device)
        self._weights = state["weights"].to(self.device)
        self._normalisation = PositionNormalisation.from_state(state)
        self._nearest = NearestNeighbour(self._bank, self._weights)

    def facts(self) -> dict[str, str | int | float | bool]:
        """Sizes, and whether position mattered."""
        return self._facts

    def _distances(self, frames: Tensor, nearest: NearestNeighbour) -> Tensor:
        """float32 (B, 3, H, W) -> (B, h, w), smoothed, on the CPU."""
        maps = self._features.distances(frames, nearest).cpu()
        return smooth(maps, self.options.smoothing / self.options.levels[0])

    def _collect(self, batches: Batches, progress: Progress) -> tuple[Tensor, Tensor, dict[str, int]]:
        """Weighted patches (N, D), the clip number of each (N,), and the number of each clip.

        Where there are more patches than the limit, a random part of each image's is taken.
        """
        with progress.task("network", 1) as advance:
            self._features.prepare(self.frame_size)
            advance(1)
        generator = torch.Generator().manual_seed(self.seed)
        quota = max(1, self.options.patch_limit // len(batches))
        clips: dict[str, int] = {}
        sources: list[int] = []
        patches = torch.empty(0)
        filled = 0
        with progress.task("features", len(batches)) as advance:
            for batch in batches:
                each = self._features(batch.frames[:, -1]).flatten(1, 2)
                count, length = min(quota, each.shape[1]), each.shape[2]
                if not filled:
                    # In one piece from the start: joining parts at the end would need twice the memory.
                    patches = torch.empty((len(batches) * count, length), device=each.device)
                for frame, clip in zip(each, batch.clips, strict=True):
                    if count < len(frame):
                        frame = frame[torch.randperm(len(frame), generator=generator)[:count].to(frame.device)]
                    patches[filled : filled + count] = frame
                    filled += count
                    sources.append(clips.setdefault(clip, len(clips)))
                advance(len(batch))
        self._weights = level_weights(patches, self._features.lengths)
        return patches.mul_(self._weights), torch.tensor(sources).repeat_interleave(filled // len(sources)), clips

    def _leave_one_out(
        self, batches: Batches, banks: LeaveOneOutBanks, clips: Mapping[str, int], progress: Progress
    ) -> tuple[Tensor, Tensor]:
        """Every training frame's distances (N, h, w) to the bank as it would be without its clip; clip numbers (N,)."""
        nearest, current = self._nearest, ""
        maps: list[Tensor] = []
        numbers: list[int] = []
        with progress.task("leave one out", len(batches)) as advance:
            for batch in batches:
                for frame, clip in zip(torch.split(batch.frames[:, -1], 1), batch.clips, strict=True):
                    if clip != current:
                        nearest, current = NearestNeighbour(banks.without(clips[clip]), self._weights), clip
                    maps.append(self._distances(frame, nearest))
                    numbers.append(clips[clip])
                    advance(1)
        return torch.cat(maps), torch.tensor(numbers)
