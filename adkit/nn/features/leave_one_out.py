"""Banks as they would be had one clip not been seen: for out-of-sample results of a patch memory.

Striking the rows that came from the clip leaves holes. A patch of another clip lay near such a row, was therefore not
chosen, and now has no row near it, so that distances come out too high and thresholds catch too little. A hole is
closed as the greedy selection would have closed it: from the patches of the *other* clips that the rest covers worse
than the whole bank covers all, the farthest is taken, until none is left. It is an approximation all the same: which
of the other rows were chosen was decided while the clip was there.
"""

import torch
from torch import Tensor

from adkit.interfaces import Progress
from adkit.nn.features.neighbours import NearestNeighbour
from adkit.nn.samples import rows_of_clips
from adkit.nn.spool import Rows, in_parts

_PATCHES = 16_384  # per step of progress


class LeaveOneOutBanks:
    """For each clip, the bank without it, made when it is asked for: of a patch, some 17 bytes are kept.

    `patches` are (N, D), `sources` (N,) the clip number of each, and `chosen` (M,) the indices of those in the bank.
    """

    def __init__(self, patches: Rows, sources: Tensor, chosen: Tensor, progress: Progress) -> None:
        self._patches, self._sources = patches, sources.to(torch.int32)
        self._bank = patches[chosen]
        self._owners = sources[chosen]
        self._squared, row = self._cover(patches, progress)
        self.radius = float(self._squared.max()) ** 0.5  # no patch is farther from the bank
        self._members = rows_of_clips(self._sources)
        clips = len(self._members)
        farthest = torch.zeros(clips).scatter_reduce_(0, sources, self._squared, "amax")
        self._farthest = [(int(clip), float(farthest[clip])) for clip in farthest.argsort(descending=True)[:2]]
        owner = self._owners[row].to(torch.int32)
        self._own = owner == self._sources  # the nearest row is the clip's own
        self._cells = rows_of_clips(owner, clips)  # patches by the clip that the nearest row came from

    def without(self, clip: int) -> Tensor:
        """Return the bank (M', D) had this clip not been seen."""
        return torch.cat([self._rest(clip), self._closing(clip)])

    def squared(self, clip: int) -> Tensor:
        """Return the squared distances (K,) of a clip's patches, in their order, to the bank without it.

        Only those whose nearest row goes with the clip are looked up again, and those that close a hole.
        """
        members, closing = self._members[clip], self._closing(clip)
        distances, own = self._squared[members], self._own[members]
        patches = self._patches[members.to(self._patches.device)]
        if bool(own.any()):
            rest = torch.cat([self._rest(clip), closing])
            distances[own] = NearestNeighbour(rest).squared(patches[own.to(patches.device)]).cpu()
        if len(closing):
            distances = torch.minimum(distances, NearestNeighbour(closing).squared(patches).cpu())
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

    def _closing(self, clip: int) -> Tensor:
        """Return those of the patches near the clip's rows that the greedy selection would take in place of them."""
        cell = self._cells[clip]
        cell = cell[self._sources[cell] != clip]
        if not len(cell):
            return self._bank[:0]
        orphans = self._patches[cell.to(self._patches.device)]
        # The radius that the other clips need: a clip's own farthest patch must not decide for its own bank.
        radius = max((squared for other, squared in self._farthest if other != clip), default=0.0)
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
