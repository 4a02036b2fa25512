"""Banks as they would be had one clip not been seen: for out-of-sample results of a patch memory.

Striking the rows that came from the clip leaves holes. A patch of another clip lay near such a row, was therefore not
chosen, and now has no row near it, so that distances come out too high and thresholds catch too little. A hole is
closed as the greedy selection would have closed it: from the patches of the *other* clips that the rest covers worse
than the whole bank covers all, the farthest is taken, until none is left. It is an approximation all the same: which
of the other rows were chosen was decided while the clip was there.
"""

from itertools import pairwise

import torch
from torch import Tensor

from adkit.interfaces import Progress
from adkit.nn.features.neighbours import NearestNeighbour
from adkit.nn.samples import rows_of_clips
from adkit.nn.spool import Rows, in_parts

_PATCHES = 16_384  # per step of progress
_AT_ONCE = 2**21  # distances: more do not stay in the caches
_GROUPS = 16  # of rows, at most


class LeaveOneOutBanks:
    """For each clip, distances to the bank without it: of a patch, some 21 bytes are kept.

    `patches` are (N, D), `sources` (N,) the clip number of each, and `chosen` (M,) the indices of those in the bank.
    """

    def __init__(self, patches: Rows, sources: Tensor, chosen: Tensor, progress: Progress) -> None:
        self._patches, self._sources = patches, sources.to(torch.int32)
        self._bank = patches[chosen]
        self._owners = self._sources[chosen]
        self._squared, self._beside, owner = self._cover(patches, progress)
        self.radius = float(self._squared.max()) ** 0.5  # no patch is farther from the bank
        self._members = rows_of_clips(self._sources)
        clips = len(self._members)
        farthest = torch.zeros(clips).scatter_reduce_(0, sources, self._squared, "amax")
        self._farthest = [(int(clip), float(farthest[clip])) for clip in farthest.argsort(descending=True)[:2]]
        self._own = owner == self._sources  # the nearest row is the clip's own
        self._cells = rows_of_clips(owner, clips)  # patches by the clip that the nearest row came from

    def squared(self, clip: int) -> Tensor:
        """Return the squared distances (K,) of a clip's patches, in their order, to the bank without it."""
        members, closing = self._members[clip], self._closing(clip)
        distances = torch.where(self._own[members], self._beside[members], self._squared[members])
        if len(closing):
            patches = self._patches[members.to(self._patches.device)]
            distances = torch.minimum(distances, NearestNeighbour(closing).squared(patches).cpu())
        return distances

    def _cover(self, patches: Rows, progress: Progress) -> tuple[Tensor, Tensor, Tensor]:
        """Return squared distances (N,) of every patch to its nearest row and to that of another clip.

        Also the clip (N,) of the nearest row; infinity where all rows are of one clip. All on the CPU. Rows are in
        groups of whole clips: what is nearest of another group is of another clip, so that clips need to be told apart
        only in the group of the nearest row.
        """
        order = self._owners.argsort(stable=True)
        bank, owners = NearestNeighbour(self._bank[order]), self._owners[order].to(self._bank.device)
        groups = _groups(self._owners)
        # Made before the walk: small results kept between large matrices would tear holes into the memory, and it grew
        # by a matrix with each block.
        found, nearest_owners = torch.empty(2, len(patches)), torch.empty(len(patches), dtype=torch.int32)
        first = 0
        with progress.task("covering", len(patches)) as advance:
            for part in in_parts(patches, _PATCHES):
                for block in torch.split(part, max(1, _AT_ONCE // len(owners))):
                    product = bank.products(block)
                    lowest = torch.stack([product[:, columns].amin(dim=1) for columns in groups], dim=1)
                    nearest, group = lowest.min(dim=1)
                    beside = lowest.scatter(1, group[:, None], torch.inf).amin(dim=1)
                    owner = torch.empty_like(group, dtype=torch.int32)
                    for number, columns in enumerate(groups):
                        rows = (group == number).nonzero()[:, 0]
                        inside, own = product[rows, columns], owners[columns]
                        owner[rows] = own[inside.argmin(dim=1)]
                        inside.masked_fill_(own == owner[rows, None], torch.inf)
                        beside[rows] = torch.minimum(beside[rows], inside.amin(dim=1))
                    squared = torch.stack([nearest, beside]).add_(block.square().sum(dim=1)).clamp_min_(0)
                    last = first + len(block)
                    found[:, first:last], nearest_owners[first:last], first = squared.cpu(), owner.cpu(), last
                advance(len(part))
        return found[0], found[1], nearest_owners

    def _closing(self, clip: int) -> Tensor:
        """Return those of the patches near the clip's rows that the greedy selection would take in place of them."""
        cell = self._cells[clip]
        cell = cell[self._sources[cell] != clip]
        # The radius that the other clips need: a clip's own farthest patch must not decide for its own bank.
        radius = max((squared for other, squared in self._farthest if other != clip), default=0.0)
        cell = cell[self._beside[cell] > radius]
        orphans, distances = self._patches[cell.to(self._patches.device)], self._beside[cell].to(self._bank.device)
        taken: list[Tensor] = []
        while len(orphans) and float(distances.max()) > radius:
            taken.append(orphans[int(distances.argmax())])
            distances = torch.minimum(distances, (orphans - taken[-1]).square().sum(dim=1))
        return torch.stack(taken) if taken else self._bank[:0]


def _groups(owners: Tensor) -> list[slice]:
    """Cut rows that are sorted by their owners, given (M,) in any order, into groups of about the same size."""
    ends = owners.bincount().cumsum(dim=0)
    wanted = torch.arange(1, _GROUPS + 1) * len(owners) / _GROUPS
    stops = sorted(set(ends[torch.searchsorted(ends.to(wanted.dtype), wanted)].tolist()))
    return [slice(start, stop) for start, stop in pairwise([0, *stops])]
