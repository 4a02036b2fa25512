"""PatchCore (Roth et al., CVPR 2022, arXiv 2106.08265) on a small frozen backbone.

Fitting collects the patch features of all normal images and keeps the few that cover the others best. A new
patch is as anomalous as it is far from the nearest kept one. Where this differs from the paper: both levels
are averaged on one grid and weighted to the same variance; every other patch is looked up; the map is not
reweighted by the neighbours' density; where position matters, it is normalised per position by the normal
images' own maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

import torch
from pydantic import Field
from torch import Tensor

from adkit import Batches, Progress
from adkit.nn.composition import LEAST_PICTURES, Composition
from adkit.nn.features.checkerboard import Grid, filled, white_squares
from adkit.nn.features.coreset import greedy_coreset
from adkit.nn.features.leave_one_out import LeaveOneOutBanks
from adkit.nn.features.neighbours import LEAST_DISTANCE, NearestNeighbour
from adkit.nn.features.patch_maps import LeftOut, PatchMapMethod
from adkit.nn.features.patches import level_weights
from adkit.nn.options import PatchLimit, ScaledMapOptions
from adkit.nn.samples import each_clip, gather


class PatchKnnOptions(ScaledMapOptions):
    """Options of `patchknn`."""

    coreset_ratio: float = Field(
        default=0.02, gt=0, le=1, description="share of the normal patches that the bank keeps"
    )
    bank_limit: int = Field(
        default=6000,
        ge=16,
        le=10_000_000,
        description="the bank keeps at most this many patches: bounds the time to score",
    )
    patch_limit: PatchLimit = Field(
        default=1_500_000,
        description="fitting holds at most this many patches, the same number of each image: bounds the memory",
    )


class PatchKnn(PatchMapMethod[PatchKnnOptions]):
    """Distance of every patch to the nearest patch of a bank of normal ones."""

    Options = PatchKnnOptions

    def __init__(self, options: PatchKnnOptions, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        self._bank = torch.empty(0, 1)  # (N, D), already weighted
        self._nearest = NearestNeighbour(self._bank)
        self._grid = (0, 0)  # rows and columns of positions of a frame

    def learn_patches(self, batches: Batches, progress: Progress) -> LeftOut | None:
        """Fill the bank; left out, an image is scored against the bank without its own patches.

        See `adkit.nn.features.leave_one_out` for how the bank is completed without the image.
        """
        each, numbers = self._collect(batches, progress)
        clips = int(numbers.max()) + 1
        patches, sources = each.flatten(0, 1), numbers.repeat_interleave(each.shape[1])
        weights = level_weights(patches.var(dim=0, correction=0), self._features.lengths)
        patches *= weights  # and so `each`
        generator = torch.Generator().manual_seed(self.seed)
        start = int(torch.randint(len(patches), (1,), generator=generator))
        count = max(2, min(round(self.options.coreset_ratio * len(patches)), self.options.bank_limit))
        chosen = greedy_coreset(patches, min(count, len(patches)), start=start, progress=progress).sort().values
        self._bank = patches[chosen]
        self._facts |= {"patches": len(patches), "bank": len(chosen), "features": patches.shape[1]}
        self._nearest = NearestNeighbour(self._bank, weights)
        if clips < 2:
            return None
        if LEAST_PICTURES <= len(numbers) == clips and each.shape[1] == len(white_squares(self._grid)):
            self._composition, self._composed = Composition.learn(each, self.seed)
        banks = LeaveOneOutBanks(patches, sources, chosen, progress)
        if each.shape[1] == len(white_squares(self._grid)):
            return self._left_out_of(numbers, banks)
        return self._left_out(batches, banks)

    def seen(self, frames: Tensor, bank: NearestNeighbour | None = None) -> tuple[Tensor, Tensor]:
        """Turn float32 (B, T, 3, H, W) into every other patch (B, K, D), and (B, h, w) distances to a bank's rows.

        The bank is the learned one if no other is given.
        """
        bank = bank or self._nearest
        patches, distances = self._features.looked_up(frames[:, -1], bank)
        return patches * bank.weights, distances

    def patches(self, features: Tensor) -> Tensor:
        """Turn (B, h, w, D) into every other patch (B, K, D), weighted."""
        grid = (features.shape[1], features.shape[2])
        return features.flatten(1, 2)[:, white_squares(grid).to(features.device)] * self._nearest.weights

    def judged(self, features: Tensor) -> Tensor:
        """Turn (B, h, w, D) into (B, h, w) distances to the nearest row of the bank."""
        grid = (features.shape[1], features.shape[2])
        chosen = features.flatten(1, 2)[:, white_squares(grid).to(features.device)]
        return filled(self._nearest.in_torch(chosen).sqrt().clamp_min(LEAST_DISTANCE), grid)

    def learned(self) -> dict[str, Tensor]:
        """Return the bank and the weights of the features."""
        return {"bank": self._bank, "weights": self._nearest.weights}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `learned` gave."""
        self._bank = state["bank"].to(self.device)
        self._nearest = NearestNeighbour(self._bank, state["weights"].to(self.device))

    def _collect(self, batches: Batches, progress: Progress) -> tuple[Tensor, Tensor]:
        """Patches (n, N, D) of each image, and the number (n,) of its clip.

        Where there are more patches than the limit, a random part of each image's is taken.
        """
        generator = torch.Generator().manual_seed(self.seed)
        quota = max(1, self.options.patch_limit // len(batches))

        def some(frames: Tensor) -> Tensor:
            each, self._grid = self._described(frames)
            if each.shape[1] <= quota:
                return each
            orders = [torch.randperm(each.shape[1], generator=generator)[:quota].to(each.device) for _ in each]
            return torch.stack([one[order] for one, order in zip(each, orders, strict=True)])

        with progress.task("features", len(batches)) as advance:
            return gather(((batch.clips, some(batch.frames)) for batch in batches), len(batches), advance)

    def _left_out_of(self, numbers: Tensor, banks: LeaveOneOutBanks) -> LeftOut:
        """Walk frames whose patches are all in the banks, by the number (n,) of each one's clip."""
        for number, frames in groupby(numbers.tolist()):
            yield str(number), filled(banks.squared(number).sqrt().reshape(len(list(frames)), -1), self._grid)

    def _left_out(self, batches: Batches, banks: LeaveOneOutBanks) -> LeftOut:
        numbers: dict[str, int] = {}
        for clip, windows in each_clip(batches, lambda frames: frames):
            bank = banks.without(numbers.setdefault(clip, len(numbers)))
            nearest = NearestNeighbour(bank, self._nearest.weights)
            for window in windows:
                yield clip, self.seen(window, nearest)[1]

    def _described(self, frames: Tensor) -> tuple[Tensor, Grid]:
        """Turn float32 (B, T, 3, H, W) into (B, K, D) of every other patch, and the grid that they are taken from."""
        features = self._features(frames[:, -1])
        grid = (features.shape[1], features.shape[2])
        return features.flatten(1, 2)[:, white_squares(grid).to(features.device)], grid
