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

from adkit import Batches, OptionError, Progress
from adkit.nn.features.coreset import greedy_coreset
from adkit.nn.features.leave_one_out import LeaveOneOutBanks
from adkit.nn.features.neighbours import NearestNeighbour
from adkit.nn.features.patch_maps import LeftOut, PatchMapMethod
from adkit.nn.features.patches import level_weights
from adkit.nn.options import PatchLimit, PatchMapOptions


class PatchKnnOptions(PatchMapOptions):
    """Options of `patchknn`."""

    coreset_ratio: float = Field(
        default=0.01, gt=0, le=1, description="share of the normal patches that the bank keeps"
    )
    bank_limit: int = Field(
        default=3000,
        ge=16,
        le=10_000_000,
        description="the bank keeps at most this many patches: bounds the time to score",
    )
    patch_limit: PatchLimit = Field(
        default=1_500_000,
        description="fitting holds at most this many patches, the same number of each image: bounds the memory",
    )
    motion: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="for clips: how much the change since `lag` frames before counts, beside what a patch looks like; "
        "0: not at all",
    )
    lag: int = Field(default=2, ge=1, le=64, description="with motion: so many frames back (of those that are taken)")


class PatchKnn(PatchMapMethod[PatchKnnOptions]):
    """Distance of every patch to the nearest patch of a bank of normal ones."""

    Options = PatchKnnOptions

    def __init__(self, options: PatchKnnOptions, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        self._bank = torch.empty(0)  # (N, D), already weighted
        self._weights = torch.empty(0)  # (D,)
        self._nearest = NearestNeighbour(torch.empty(0, 1))
        if options.motion:
            self.window = 1 + options.lag

    def learn(self, batches: Batches, progress: Progress) -> LeftOut | None:
        """Fills the bank; left out, an image is scored against the bank without its own patches.

        See `adkit.nn.features.leave_one_out` for how the bank is completed without the image.
        """
        patches, sources, clips = self._collect(batches, progress)
        if self.options.motion and len(clips) == len(batches):
            raise OptionError("motion needs clips, and these are still images", hint="leave motion at 0")
        generator = torch.Generator().manual_seed(self.seed)
        start = int(torch.randint(len(patches), (1,), generator=generator))
        count = max(2, min(round(self.options.coreset_ratio * len(patches)), self.options.bank_limit))
        chosen = greedy_coreset(patches, min(count, len(patches)), start=start, progress=progress).sort().values
        self._bank = patches[chosen]
        self._facts |= {"patches": len(patches), "bank": len(chosen), "features": patches.shape[1]}
        self._nearest = NearestNeighbour(self._bank, self._weights)
        if len(clips) < 2:
            return None
        return self._left_out(batches, LeaveOneOutBanks(patches, sources, chosen, progress), clips)

    def distances(self, frames: Tensor) -> Tensor:
        """float32 (B, 3, H, W) -> (B, h, w) distances to the nearest row of the bank."""
        return self._features.distances(frames, self._nearest)

    def window_distances(self, frames: Tensor) -> Tensor:
        """float32 (B, T, 3, H, W) -> (B, h, w); with motion, of the first and the last frame."""
        return self._window_distances(frames, self._nearest)

    def learned(self) -> dict[str, Tensor]:
        """The bank and the weights of the features."""
        return {"bank": self._bank, "weights": self._weights}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes back what `learned` gave."""
        self._bank = state["bank"].to(self.device)
        self._weights = state["weights"].to(self.device)
        self._nearest = NearestNeighbour(self._bank, self._weights)

    def _collect(self, batches: Batches, progress: Progress) -> tuple[Tensor, Tensor, dict[str, int]]:
        """Weighted patches (N, D), the clip number of each (N,), and the number of each clip.

        Where there are more patches than the limit, a random part of each image's is taken.
        """
        generator = torch.Generator().manual_seed(self.seed)
        quota = max(1, self.options.patch_limit // len(batches))
        clips: dict[str, int] = {}
        sources: list[int] = []
        patches = torch.empty(0)
        filled = 0
        with progress.task("features", len(batches)) as advance:
            for batch in batches:
                each = self._described(batch.frames).flatten(1, 2)
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
        self._weights = self._balanced(patches)
        return patches.mul_(self._weights), torch.tensor(sources).repeat_interleave(filled // len(sources)), clips

    def _left_out(self, batches: Batches, banks: LeaveOneOutBanks, clips: Mapping[str, int]) -> LeftOut:
        nearest, current = self._nearest, ""
        for batch in batches:
            for frames, clip in zip(torch.split(batch.frames, 1), batch.clips, strict=True):
                if clip != current:
                    nearest, current = NearestNeighbour(banks.without(clips[clip]), self._weights), clip
                yield clip, self._window_distances(frames, nearest)

    def _window_distances(self, frames: Tensor, bank: NearestNeighbour) -> Tensor:
        if not self.options.motion:
            return self._features.distances(frames[:, -1], bank)
        described = self._described(frames)
        return bank.distances(described.flatten(0, 2)).reshape(described.shape[:3])

    def _described(self, frames: Tensor) -> Tensor:
        """float32 (B, T, 3, H, W) -> (B, h, w, D): features, and with motion how much they changed in the window."""
        features = self._features(frames[:, -1])
        if not self.options.motion:
            return features
        return torch.cat([features, features - self._features(frames[:, 0])], dim=-1)

    def _balanced(self, patches: Tensor) -> Tensor:
        """(N, D) -> weights (D,): all levels have the same say, and their changes as much as `motion` says."""
        lengths = self._features.lengths
        if not self.options.motion:
            return level_weights(patches, lengths)
        weights = level_weights(patches, lengths * 2)
        weights[sum(lengths) :] *= self.options.motion
        return weights
