"""PatchCore (Roth et al., CVPR 2022, arXiv 2106.08265) on a small frozen backbone.

Fitting collects the patch features of all normal images and keeps the few that cover the others best. A new
patch is as anomalous as it is far from the nearest kept one. Where this differs from the paper: both levels
are averaged on one grid and weighted to the same variance; every other patch is looked up; the map is not
reweighted by the neighbours' density; where position matters, it is normalised per position by the normal
images' own maps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import torch
from pydantic import Field
from torch import Tensor

from adkit import Batches, FitReport, Progress
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
        self._sources = torch.empty(0, dtype=torch.int64)  # (N,) the training image or clip that each row came from
        self._radius = 0.0  # no learned patch is farther from the bank
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
        self._bank, self._sources = patches[chosen], sources[chosen]
        self._facts |= {"patches": len(patches), "bank": len(chosen), "features": patches.shape[1]}
        self._nearest = NearestNeighbour(self._bank, weights)
        if clips < 2:
            self._radius = float(NearestNeighbour(self._bank).distances(patches).max())
            return None
        if LEAST_PICTURES <= len(numbers) == clips and each.shape[1] == len(white_squares(self._grid)):
            self._composition, self._composed = Composition.learn(each, self.seed)
        banks = LeaveOneOutBanks(patches, sources, chosen, progress)
        self._radius = banks.radius
        return self._without_each(batches, each, numbers, banks)

    def update(self, batches: Batches, progress: Progress, *, first: int, removed: Sequence[int]) -> FitReport:
        """Go on filling the bank, from further images; how levels, scales and positions count stays.

        As many rows are added as a fit would keep, and more until no new patch is farther from the bank than the old
        ones were; so no patch's distance differs from what a bank of all images gives by more than the larger of both
        banks' radii.
        """
        self._facts, maps = {}, []
        for one, seen in self._each_scale(batches):
            assert isinstance(one, PatchKnn)
            left_out = one._grow(seen, first, removed, progress)
            maps.append(one._left_out_maps(left_out, len(batches), progress)[0])
        self._calibration = self._blend(maps)
        self._note_scales()
        return FitReport(self._facts)

    def _grow(self, batches: Batches, first: int, removed: Sequence[int], progress: Progress) -> LeftOut:
        """Fill the bank at one scale; where it has no more room, it is chosen anew from its rows and the new patches.

        Then the radius is at most the sum of the one before and of that of the new choice.
        """
        each, numbers = self._collect(batches, progress)
        each *= self._nearest.weights
        if self._composition is not None:
            self._composed = self._composition(each).cpu()
        numbers, stays = numbers + first, ~torch.isin(self._sources, torch.tensor(removed, dtype=torch.int64))
        old = self._bank[stays.to(self._bank.device)]
        patches = torch.cat([old, each.flatten(0, 1)])
        sources = torch.cat([self._sources[stays], numbers.repeat_interleave(each.shape[1])])
        room = min(max(self.options.bank_limit, 2), len(patches))
        before, begun = self._radius, len(old) if len(old) <= room else 0
        count = min(room, len(old) + round(self.options.coreset_ratio * (len(patches) - len(old))))
        chosen = greedy_coreset(patches, room, begun=begun, radius=before, progress=progress)
        if len(chosen) < count:  # as many as a fit would keep
            chosen = greedy_coreset(patches, count, begun=begun, progress=progress)
        if begun and len(chosen) == room and float(NearestNeighbour(patches[chosen]).distances(patches).max()) > before:
            chosen = greedy_coreset(patches, room, progress=progress)
        chosen = chosen.sort().values
        self._bank, self._sources = patches[chosen], sources[chosen]
        self._nearest = NearestNeighbour(self._bank, self._nearest.weights)
        banks = LeaveOneOutBanks(patches, sources, chosen, progress, first=first)
        kept = int((chosen < len(old)).sum())
        self._radius = max(before, banks.radius) if kept == len(old) else before + banks.radius
        self._facts |= {"bank": len(chosen), "rows_removed": int((~stays).sum()), "rows_added": len(chosen) - kept}
        return self._without_each(batches, each, numbers, banks)

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
        """Return the bank, where its rows came from, its radius, and the weights of the features."""
        radius = torch.tensor(self._radius, dtype=torch.float64)
        return {"bank": self._bank, "sources": self._sources, "radius": radius, "weights": self._nearest.weights}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `learned` gave."""
        self._bank = state["bank"].to(self.device)
        self._sources, self._radius = state["sources"].cpu(), float(state["radius"])
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

    def _without_each(self, batches: Batches, each: Tensor, numbers: Tensor, banks: LeaveOneOutBanks) -> LeftOut:
        """Judge frames without their clips, by their patches (n, N, D) and the number (n,) of each one's clip."""
        if each.shape[1] == len(white_squares(self._grid)):
            for number, frames in groupby(numbers.tolist()):
                yield str(number), filled(banks.squared(number).sqrt().reshape(len(list(frames)), -1), self._grid)
            return
        walked = iter(dict.fromkeys(numbers.tolist()))
        for clip, windows in each_clip(batches, lambda frames: frames):
            nearest = NearestNeighbour(banks.without(next(walked)), self._nearest.weights)
            for window in windows:
                yield clip, self.seen(window, nearest)[1]

    def _described(self, frames: Tensor) -> tuple[Tensor, Grid]:
        """Turn float32 (B, T, 3, H, W) into (B, K, D) of every other patch, and the grid that they are taken from."""
        features = self._features(frames[:, -1])
        grid = (features.shape[1], features.shape[2])
        return features.flatten(1, 2)[:, white_squares(grid).to(features.device)], grid
