"""Banks as they would be had one clip not been seen: for out-of-sample results of a patch memory.

Striking the rows that came from the clip leaves holes. A patch of another clip lay near such a row, was
therefore not chosen, and now has no row near it, so that distances come out too high and thresholds catch
too little. A hole is closed as the greedy selection would have closed it: from the patches of the *other*
clips that the rest covers worse than the whole bank covers all, the farthest is taken, until none is left.
No row comes from the left-out clip. It is an approximation all the same: which of the other rows were chosen
was decided while the clip was there.
"""

import torch
from torch import Tensor

from adkit.interfaces import Progress
from adkit.nn.features.neighbours import NearestNeighbour
from adkit.nn.spool import Rows, in_parts

_PATCHES = 16_384  # per step of progress


class LeaveOneOutBanks:
    """For each clip, the bank without it.

    `patches` are (N, D), `sources` (N,) the clip number of each, and `chosen` (M,) the indices of the patches
    that make up the bank; `patches` are only read. Of clips before number `first` nothing will be asked.
    """

    def __init__(self, patches: Rows, sources: Tensor, chosen: Tensor, progress: Progress, *, first: int = 0) -> None:
        self._patches, self._sources = patches, sources
        self._bank = patches[chosen]
        self._owners = sources[chosen]
        self._closing: dict[int, Tensor] = {}
        squared, row = self._cover(patches, progress)
        self._squared = squared
        self.radius = float(squared.max()) ** 0.5  # no patch is farther from the bank
        # The radius that the other clips need: a clip's own farthest patch must not decide for its own bank.
        count = int(sources.max()) + 1
        farthest = torch.zeros(count).scatter_reduce_(0, sources, squared, "amax")
        # Patches in the order of the clip that the nearest row came from: one clip's are one slice.
        owner = self._owners[row]
        self._own = owner == sources  # the nearest row is the clip's own
        order = owner.argsort(stable=True)
        ends = torch.searchsorted(owner[order].contiguous(), torch.arange(count), right=True).tolist()
        with progress.task("closing holes", count) as advance:
            advance(first)
            for clip in range(first, count):
                cell = order[(ends[clip - 1] if clip else 0) : ends[clip]]
                orphans = cell[sources[cell] != clip]
                if len(orphans):
                    others = farthest.clone()
                    others[clip] = 0
                    radius = float(others.max())
                    self._closing[clip] = self._close(patches[orphans.to(patches.device)], clip, radius)
                advance(1)

    def without(self, clip: int) -> Tensor:
        """Return the bank (M', D) had this clip not been seen."""
        rest = self._rest(clip)
        return torch.cat([rest, self._closing[clip]]) if clip in self._closing else rest

    def squared(self, clip: int) -> Tensor:
        """Return the squared distances (K,) of a clip's patches, in their order, to the bank without it.

        Only those whose nearest row goes with the clip are looked up again: another row stays the nearest, or one that
        closes a hole is nearer.
        """
        members = (self._sources == clip).nonzero()[:, 0]
        distances = self._squared[members]
        patches = self._patches[members.to(self._patches.device)]
        own = self._own[members]
        if bool(own.any()):
            looked_up = patches[own.to(patches.device)]
            distances[own] = NearestNeighbour(self.without(clip)).squared(looked_up).cpu()
        if clip in self._closing:
            distances = torch.minimum(distances, NearestNeighbour(self._closing[clip]).squared(patches).cpu())
        return distances

    def _cover(self, patches: Rows, progress: Progress) -> tuple[Tensor, Tensor]:
        """Squared distance (N,) of every patch to its nearest row, and the number (N,) of that row; on the CPU."""
        nearest = NearestNeighbour(self._bank)
        parts = []
        with progress.task("covering", len(patches)) as advance:
            for part in in_parts(patches, _PATCHES):
                squared, row = nearest.nearest(part)
                parts.append((squared.cpu(), row.cpu()))
                advance(len(squared))
        return torch.cat([squared for squared, _ in parts]), torch.cat([row for _, row in parts])

    def _rest(self, clip: int) -> Tensor:
        return self._bank[(self._owners != clip).to(self._bank.device)]

    def _close(self, orphans: Tensor, clip: int, radius: float) -> Tensor:
        """Return those of the orphaned patches that the greedy selection would take in place of the clip's rows."""
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
