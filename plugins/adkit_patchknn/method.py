"""PatchCore (Roth et al., CVPR 2022, arXiv 2106.08265) on a small frozen backbone.

Fitting collects the patch features of all normal images and keeps the few that cover the others best. A new
patch is as anomalous as it is far from the nearest kept one. Where this differs from the paper: both levels
are averaged on one grid and weighted to the same variance; the map is not reweighted by the neighbours'
density; where position matters, it is normalised per position by the normal images' own maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from pydantic import Field
from torch import Tensor

from adkit.interfaces import Batches, Method, Progress
from adkit.nn.backbones import Backbone
from adkit.nn.coreset import greedy_coreset
from adkit.nn.features import level_weights, patch_features
from adkit.nn.leave_one_out import LeaveOneOutBanks
from adkit.nn.neighbours import NearestNeighbour
from adkit.nn.normalisation import (
    Choice,
    PositionNormalisation,
    explained_by_position,
    normalised_out_of_sample,
    position_matters,
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
        default=3500, ge=16, description="the bank keeps at most this many patches: bounds the time to score"
    )
    patch_limit: int = Field(
        default=1_500_000,
        ge=1000,
        description="fitting holds at most this many patches, the same number of each image: bounds the memory",
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
        self._backbone = Backbone(options.backbone, strides=options.levels, weights=options.weights, device=device)
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
        patches, sources = self._collect(batches, progress)
        generator = torch.Generator().manual_seed(self.seed)
        start = int(torch.randint(len(patches), (1,), generator=generator))
        count = max(2, min(round(self.options.coreset_ratio * len(patches)), self.options.bank_limit))
        chosen = greedy_coreset(patches, min(count, len(patches)), start=start, progress=progress).sort().values
        self._bank = patches[chosen]
        self._facts = {"patches": len(patches), "bank": len(chosen), "features": patches.shape[1]}
        self._nearest = NearestNeighbour(self._bank)
        banks = LeaveOneOutBanks(patches, sources, chosen, progress)
        del patches
        maps = self._leave_one_out(batches, banks, progress)
        self._facts["explained_by_position"] = round(explained_by_position(maps), 4)
        self._facts["position_normalised"] = position_matters(maps, self.options.position_normalisation)
        if self._facts["position_normalised"]:
            self._normalisation = PositionNormalisation.learn(maps)
            maps = normalised_out_of_sample(maps)
        self._calibration = maps

    def predict(self, batch: Batch) -> Prediction:
        """Maps on the first level's grid: distances, or spreads above the usual where position matters."""
        features = self._features(batch)
        maps = self._nearest.distances(features.flatten(0, 2)).reshape(features.shape[:3]).cpu()
        return Prediction(maps=self._normalisation(maps) if self._normalisation else maps)

    def calibration(self) -> Prediction | None:
        """Leave-one-image-out maps (for frames of a video: leave-one-clip-out).

        See `adkit.nn.leave_one_out` for how the bank is completed without the image.
        """
        return None if self._calibration is None else Prediction(maps=self._calibration)

    def state(self) -> dict[str, Tensor]:
        """The bank, the weights of the features, and the normalisation where there is one."""
        extra = self._normalisation.state() if self._normalisation else {}
        return {"bank": self._bank.cpu(), "weights": self._weights.cpu(), **extra}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Takes back what `state` gave."""
        self._bank = state["bank"].to(self.device)
        self._weights = state["weights"].to(self.device)
        self._normalisation = PositionNormalisation.from_state(state)
        self._nearest = NearestNeighbour(self._bank)

    def facts(self) -> dict[str, str | int | float | bool]:
        """Sizes, and whether position mattered."""
        return self._facts

    def _features(self, batch: Batch) -> Tensor:
        """float32 (B, h, w, D), weighted once the weights are known."""
        features = patch_features(self._backbone(batch.frames[:, -1]), self.options.neighbourhood)
        return features * self._weights if len(self._weights) else features

    def _collect(self, batches: Batches, progress: Progress) -> tuple[Tensor, Tensor]:
        """All patches (N, D), weighted, and the clip number of each (N,); a random part if they are too many."""
        generator = torch.Generator().manual_seed(self.seed)
        self._weights = torch.empty(0)
        parts: list[Tensor] = []
        sources: list[Tensor] = []
        quota = max(1, self.options.patch_limit // len(batches))
        with progress.task("features", len(batches)) as advance:
            for features, numbers in self._walk(batches):
                each = features.flatten(1, 2)
                if each.shape[1] > quota:
                    kept = torch.randperm(each.shape[1], generator=generator)[:quota].sort().values
                    each = each[:, kept.to(each.device)]
                parts.append(each.flatten(0, 1))
                sources.append(numbers.repeat_interleave(each.shape[1]))
                advance(len(numbers))
        patches = torch.cat(parts)
        parts.clear()
        self._weights = level_weights(patches, self._backbone.channels)
        return patches.mul_(self._weights), torch.cat(sources)

    def _walk(self, batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
        """Features (B, h, w, D) of each batch, and the number (B,) of the clip that each frame belongs to."""
        clips: dict[str, int] = {}
        for batch in batches:
            yield (
                self._features(batch),
                torch.tensor([clips.setdefault(clip, len(clips)) for clip in batch.clips]),
            )

    def _leave_one_out(self, batches: Batches, banks: LeaveOneOutBanks, progress: Progress) -> Tensor:
        """(N, h, w) distances of every training frame to the bank as it would be without its clip."""
        nearest, current = self._nearest, -1
        maps = []
        with progress.task("leave one out", len(batches)) as advance:
            for features, numbers in self._walk(batches):
                for frame, number in zip(features, numbers.tolist(), strict=True):
                    if number != current:
                        nearest, current = NearestNeighbour(banks.without(number)), number
                    maps.append(nearest.distances(frame.flatten(0, 1)).reshape(frame.shape[:2]).cpu())
                    advance(1)
        return torch.stack(maps)
