"""PatchCore (Roth et al., CVPR 2022, arXiv 2106.08265) on a small frozen backbone.

Fitting collects the patch features of all normal images and keeps the few that cover the others best. A new patch is as
anomalous as it is far from the nearest kept one. Where this differs from the paper: both levels are averaged on one
grid, weighted to the same variance, and whitened in part by what differs between like patches; every other patch is
looked up; the map is not reweighted by the neighbours' density; where position matters, it is normalised per position
by the normal images' own maps.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from adkit import Batches, FitReport, OptionError, Progress
from adkit.nn.composition import Composition
from adkit.nn.features.checkerboard import at_white_squares, filled
from adkit.nn.features.coreset import greedy_coreset, merged_coreset
from adkit.nn.features.index import QUERIES, Index, IndexKind, doubts, kind_of, require_exact
from adkit.nn.features.leave_one_out import LeaveOneOutBanks
from adkit.nn.features.likeness import likeness_weights
from adkit.nn.features.neighbours import LEAST_DISTANCE, NearestNeighbour
from adkit.nn.features.patch_maps import KeepingSome, LeftOutDistances, PatchMapMethod, as_a_whole
from adkit.nn.features.patches import level_weights
from adkit.nn.options import PatchLimit, ScaledMapOptions
from adkit.nn.samples import gather
from adkit.nn.spool import Rows, Spool, in_parts, times, variances
from adkit.nn.whole import LEAST_IMAGES

MOST_EXACT = 20_000  # rows of a bank that are searched by one product where nothing else is asked for
BLOCK = 262_144  # patches from which the bank is selected together, where they are in a file


class PatchKnnOptions(ScaledMapOptions):
    """Options of `patchknn`."""

    since: ClassVar[Mapping[str, Any]] = {"whitening": 0.0}
    """What options that came later were before, so that a run of then decides as it did."""

    coreset_ratio: float = Field(default=0.02, gt=0, le=1, description="share of normal patches that the bank keeps")
    bank_limit: int = Field(
        default=6000,
        ge=16,
        le=10_000_000,
        description="the bank keeps at most this many patches: bounds the time to score",
    )
    whitening: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="how much less a direction counts in which normal patches differ from those most like them; 0: not",
    )
    index: IndexKind = Field(
        default="auto",
        description="how the bank is searched: exact, ivf or hnsw (faiss); auto: exact up to 20,000 patches, then ivf",
    )
    patch_limit: PatchLimit = Field(
        default=1_500_000,
        description="fitting holds at most so many patches in memory; of more, in a file, the bank is chosen in blocks",
    )


class PatchKnn(PatchMapMethod[PatchKnnOptions]):
    """Distance of every patch to the nearest patch of a bank of normal ones."""

    Options = PatchKnnOptions
    steps = (("features", 35), ("coreset", 40), ("covering", 15), ("closing holes", 10), ("leave one out", 3))
    apart = True

    _bank: Tensor  # (N, D), already weighted
    _nearest: NearestNeighbour
    _sources: Tensor  # int64 (N,), the training image or clip that each row came from
    _radius: float  # no learned patch is farther from the bank
    _grid: tuple[int, int]  # rows and columns of positions of a frame

    def learn_patches(self, batches: Batches, progress: Progress) -> LeftOutDistances | None:
        """Fill the bank; an image left out is judged as `adkit.nn.features.leave_one_out` says."""
        each, numbers = self._collect(batches, progress)
        clips = int(numbers.max()) + 1
        sources = numbers.repeat_interleave(each.shape[1])
        patches = each.flatten(0, 1)
        generator = torch.Generator().manual_seed(self.seed)
        start = int(torch.randint(len(patches), (1,), generator=generator))
        levels = level_weights(variances(patches, BLOCK), self._features.lengths)
        weights = likeness_weights(patches, sources, levels, self.options.whitening, generator)
        each = times(each, weights)
        patches = each.flatten(0, 1)
        count = max(2, min(round(self.options.coreset_ratio * len(patches)), self.options.bank_limit))
        if isinstance(patches, Tensor):
            chosen = greedy_coreset(patches, min(count, len(patches)), start=start, progress=progress)
        else:
            most = max(min(BLOCK, self.options.patch_limit), 2 * count)
            chosen, radius = merged_coreset(patches, min(count, len(patches)), most, start=start, progress=progress)
            self._facts |= {"selected_in_blocks_of": most, "no_patch_is_farther_from_the_bank_than": radius}
        chosen = chosen.sort().values
        self._bank, self._sources = patches[chosen], sources[chosen]
        self._facts |= {"patches": len(patches), "bank": len(chosen), "features": patches.shape[1]}
        self._nearest = NearestNeighbour(self._bank, weights, self._indexed(patches, chosen, generator))
        if clips < 2:
            nearest = NearestNeighbour(self._bank)
            self._radius = max(float(nearest.distances(part).max()) for part in in_parts(patches, BLOCK))
            return None
        if LEAST_IMAGES <= len(numbers) == clips and len(self._scales) == 1:  # that of the coarsest scale counts
            self._composition, self._composed = Composition.learn(each, self.seed)
        banks = LeaveOneOutBanks(patches, sources, chosen, progress)
        self._radius = banks.radius
        return self._left_out_of(numbers, banks)

    def update(self, batches: Batches, progress: Progress, *, first: int, removed: Sequence[int]) -> FitReport:
        """Go on filling the bank, from further images; how levels, scales and positions count stays.

        As many rows are added as a fit would keep, and more until no new patch is farther from the bank than old ones
        were: no distance differs from what a bank of all images gives by more than the larger of both banks' radii.
        """
        self._facts, maps = {}, []
        kept = KeepingSome(batches, self._vectors if self._whole else None)
        for one, seen in self._each_scale(kept):
            assert isinstance(one, PatchKnn)
            left_out = one._grow(seen, first, removed, progress)
            maps.append(one._left_out_maps(left_out, len(batches), progress)[0])
        self._calibration, added = self._blend(maps), None
        if self._whole:
            vectors = torch.cat(kept.vectors)
            added, self._whole = self._whole(vectors), self._whole.updated(vectors, first, removed)
        self._scored = as_a_whole(self._calibration, added, self._scales[-1]._composed)
        self._note_scales()
        return FitReport(self._facts)

    def _grow(self, batches: Batches, first: int, removed: Sequence[int], progress: Progress) -> LeftOutDistances:
        """Fill the bank at one scale; where it has no more room, it is chosen anew from its rows and the new patches.

        Then the radius is at most the sum of the one before and of that of the new choice.
        """
        each, numbers = self._collect(batches, progress)
        if not isinstance(each, Tensor):
            found = f"{len(numbers):,} further images have more than {self.options.patch_limit:,} patches"
            raise OptionError(f"{found}, the method's patch_limit", hint="update with fewer at a time, or fit anew")
        each = each @ self._nearest.weights
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
        generator = torch.Generator().manual_seed(self.seed)
        self._nearest = NearestNeighbour(self._bank, self._nearest.weights, self._indexed(patches, chosen, generator))
        banks = LeaveOneOutBanks(patches, sources, chosen, progress)
        kept = int((chosen < len(old)).sum())
        self._radius = max(before, banks.radius) if kept == len(old) else before + banks.radius
        self._facts |= {"bank": len(chosen), "rows_removed": int((~stays).sum()), "rows_added": len(chosen) - kept}
        return self._left_out_of(numbers, banks)

    def seen(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Turn float32 (B, T, 3, H, W) into every other patch (B, K, D), and (B, h, w) distances to the bank's rows."""
        return self._features.looked_up(frames[:, -1], self._nearest)

    def patches(self, features: Tensor) -> Tensor:
        """Turn (B, h, w, D) into every other patch (B, K, D), weighted."""
        return self._nearest.weighted(at_white_squares(features))

    def judged(self, features: Tensor) -> Tensor:
        """Turn (B, h, w, D) into (B, h, w) distances to the nearest row of the bank."""
        distances = self._nearest.in_torch(at_white_squares(features)).sqrt().clamp_min(LEAST_DISTANCE)
        return filled(distances, (features.shape[1], features.shape[2]))

    def learned(self) -> dict[str, Tensor]:
        """Return the bank, where its rows came from, its radius, the weights of the features, and an index, if any."""
        radius, nearest = torch.tensor(self._radius, dtype=torch.float64), self._nearest
        learned = {"bank": self._bank, "sources": self._sources, "radius": radius, "weights": nearest.weights}
        return learned | (nearest.index.state() if nearest.index else {})

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `learned` gave."""
        self._bank = state["bank"].to(self.device)
        self._sources, self._radius = state["sources"].cpu(), float(state["radius"])
        weights = state["weights"].to(self.device)
        weights = torch.diag(weights) if weights.ndim == 1 else weights  # of runs that told levels apart only
        self._nearest = NearestNeighbour(self._bank, weights, Index.from_state(state))

    def graph(self) -> nn.Module:
        """Return `predict` as a module; raises OptionError for one that searches by an index."""
        for one in self._scales:
            assert isinstance(one, PatchKnn)
            require_exact(one._nearest.index)
        return super().graph()

    def _indexed(self, patches: Rows, chosen: Tensor, generator: torch.Generator) -> Index | None:
        """Return an index of the bank, made of the `chosen` patches, where it is not searched exactly."""
        kind = kind_of(self.options.index, len(self._bank), MOST_EXACT)
        if kind == "exact":
            return None
        some = torch.randint(len(patches), (4 * QUERIES,), generator=generator)
        index, recall = Index.built(self._bank, kind, patches[some[~torch.isin(some, chosen)][:QUERIES]])
        self._facts |= {"index": kind, "index_recall": round(recall, 4)}
        self._notes += doubts(recall)
        return index

    def _collect(self, batches: Batches, progress: Progress) -> tuple[Rows, Tensor]:
        """Return patches (n, N, D) of each image, and its clip's number (n,); beyond the limit all go to a file."""

        def room(part: Tensor, shape: tuple[int, ...]) -> Rows:
            if shape[0] * shape[1] <= self.options.patch_limit:
                return part.new_empty(shape)
            return Spool.made(part, shape, self._workspace() if self._workspace else None)

        parts = ((batch.clips, self._described(batch.frames)) for batch in batches)
        return gather(parts, len(batches), progress, "features", room)

    def _left_out_of(self, numbers: Tensor, banks: LeaveOneOutBanks) -> LeftOutDistances:
        """Walk frames whose patches are all in the banks, by the number (n,) of each one's clip."""
        for number, frames in groupby(numbers.tolist()):
            yield str(number), filled(banks.squared(number).sqrt().reshape(len(list(frames)), -1), self._grid)

    def _described(self, frames: Tensor) -> Tensor:
        """Turn float32 (B, T, 3, H, W) into (B, K, D) of every other patch."""
        features = self._features(frames[:, -1])
        self._grid = (features.shape[1], features.shape[2])
        return at_white_squares(features)
