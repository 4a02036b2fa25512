"""Banks as they would be had one clip not been seen: for out-of-sample results of a patch memory.

Striking the rows that came from the clip leaves holes. A patch of another clip lay near such a row, was
therefore not chosen, and now has no row near it, so that distances come out too high and thresholds catch
too little. A hole is closed as the greedy selection would have closed it: from the patches of the *other*
clips that the rest covers worse than the whole bank covers all, the farthest is taken, until none is left.
Nothing of the left-out clip takes part.
"""

from __future__ import annotations

import torch
from torch import Tensor

from adkit.interfaces import Progress
from adkit.nn.neighbours import NearestNeighbour


class LeaveOneOutBanks:
    """For each clip, the bank without it.

    `patches` are (N, D), `sources` (N,) the clip number of each, and `chosen` (M,) the indices of the patches
    that make up the bank; `patches` are needed only while this is made.
    """

    def __init__(self, patches: Tensor, sources: Tensor, chosen: Tensor, progress: Progress) -> None:
        self._bank = patches[chosen]
        self._owners = sources[chosen]
        self._closing: dict[int, Tensor] = {}
        nearest = NearestNeighbour(self._bank)
        squared, row = torch.empty(len(patches)), torch.empty(len(patches), dtype=torch.int64)
        clips = sorted(set(self._owners.tolist()))
        with progress.task("covering", len(patches) + len(patches) // 2) as advance:
            for part in torch.split(torch.arange(len(patches)), 16_384):
                found, index = nearest.nearest(patches[part])
                squared[part], row[part] = found.cpu(), index.cpu()
                advance(len(part))
            radius = float(squared.max())
            owner = self._owners[row]
            for done, clip in enumerate(clips):
                orphans = torch.nonzero((owner == clip) & (sources != clip)).flatten()
                if len(orphans):
                    self._closing[clip] = self._close(patches[orphans.to(patches.device)], clip, radius)
                advance(len(patches) // 2 * (done + 1) // len(clips) - len(patches) // 2 * done // len(clips))

    def without(self, clip: int) -> Tensor:
        """The bank (M', D) had this clip not been seen."""
        rest = self._rest(clip)
        return torch.cat([rest, self._closing[clip]]) if clip in self._closing else rest

    def _rest(self, clip: int) -> Tensor:
        return self._bank[(self._owners != clip).to(self._bank.device)]

    def _close(self, orphans: Tensor, clip: int, radius: float) -> Tensor:
        """Those of the orphaned patches that the greedy selection would take in place of the clip's rows."""
        rest = self._rest(clip)
        taken: list[Tensor] = []
        if not len(rest):
            # Every row came from this clip: start anew with the first patch of the others.
            taken.append(orphans[0])
            rest = orphans[:1]
        distances = NearestNeighbour(rest).squared(orphans)
        uncovered = distances > radius
        orphans, distances = orphans[uncovered], distances[uncovered]
        while len(orphans) and float(distances.max()) > radius:
            farthest = orphans[int(distances.argmax())]
            taken.append(farthest)
            distances = torch.minimum(distances, (orphans - farthest).square().sum(dim=1))
        return torch.stack(taken) if taken else rest[:0]
