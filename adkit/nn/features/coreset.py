"""Greedy k-centre selection: the patches that cover all others best, exactly as the plain loop finds them.

The textbook loop (PatchCore, arXiv 2106.08265, algorithm 1; Sener & Savarese, arXiv 1708.00489) makes one
pass over all N patches per chosen one. This looks at some of them per block of many:

  1. Take the L patches that lie farthest from the selection. No other patch is farther than the nearest of
     these, its distance is the *floor*; and distances only shrink as the selection grows.
  2. Run the greedy loop among the L alone, on their own distance matrix, for as long as the farthest of them
     stays above the floor: so long, the loop over all patches would have chosen the same.
  3. Bring up to date, with one matrix product, the distances of those that may now be among the farthest: what an
     earlier distance puts below them cannot be (Minoux's lazy greedy, 1978); start again.

Fast products round, and rounding may swap two patches that are nearly equally far. Whenever the farthest is not clear
by more than the rounding, the distances of the farthest are computed anew, as differences and in float64, and stay
exact until a patch nearer to them is chosen; where float32 cannot tell many patches from those outside the block (tight
clusters, flat backgrounds), all is computed in float64. Equal distances go to the lowest index.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adkit.interfaces import SILENT, Advance, Progress
from adkit.nn.features.neighbours import NearestNeighbour
from adkit.nn.spool import Rows

BLOCK = 4096
_ROWS = 32_768  # patches per matrix product: bounds the memory that a pass takes beside the patches
_MANY = 64  # that are about as far are looked at in float64; more, and all is computed in it
_BESIDE = 8  # times as many patches as are asked for are looked at together
_AT_ONCE = 128  # patches whose distances are computed anew together
_PAIRS = 32_768  # of patches, whose differences are taken together


def greedy_coreset(
    patches: Tensor,
    count: int,
    *,
    start: int = 0,
    begun: int = 0,
    radius: float = 0.0,
    block: int | None = None,
    progress: Progress = SILENT,
) -> Tensor:
    """Return the indices, int64 (≤ count,), of a greedy k-centre selection of float32 (N, D), in order of choice.

    `start` is chosen first, or the first `begun` patches where there are such; then always the patch farthest from all
    chosen ones. Fewer than `count` are returned when all others lie within `radius` of chosen ones, up to the rounding
    of float32; of 0, when they are copies, up to that of float64. Beside the patches it holds about (3 L + 32,768)
    · L floats. Raises ValueError for a count, start or beginning that the patches do not have.
    """
    if not 0 <= start < len(patches) or not max(1, begun) <= count <= len(patches):
        raise ValueError(f"count={count} and start={start} do not fit {len(patches)} patches, {begun} of them chosen")
    with progress.task("coreset", count) as advance:
        return _Selection(patches, radius**2).grown(list(range(begun)) or [start], count, block, advance)[0]


def merged_coreset(
    patches: Rows, count: int, at_once: int, *, start: int = 0, progress: Progress = SILENT
) -> tuple[Tensor, float]:
    """Return the indices, int64 (≤ count,), of a selection of float32 (N, D) made block by block, and its radius.

    No patch is farther from the selection than the radius. Of each block of `at_once` patches as many are selected as
    of all; of those that the blocks gave, `count` again, also in between where they are more than a block. So the
    radius is at most the largest of a block's plus that of what the blocks gave, and at most 4 times as large as the
    least that `count` patches can have (2 more for each selection in between): each greedy selection's is at most twice
    the least (Gonzalez 1985; merged by Malkomes et al., NeurIPS 2015). One block is selected from as
    `greedy_coreset` does.
    """
    at_once = max(at_once, 2 * count)
    starts = range(0, len(patches), at_once)
    kept, radius = torch.empty(0, dtype=torch.int64), 0.0  # of the patches so far, by what is kept of them
    with progress.task("coreset", len(starts)) as advance:
        for first in starts:
            part = patches[first : first + at_once]
            chosen, own = _Selection(part).grown([start % len(part)], min(count, len(part)))
            kept, radius = torch.cat([kept, first + chosen]), max(radius, own)
            if len(starts) > 1 and (len(kept) > at_once or first == starts[-1]):
                chosen, own = _Selection(patches[kept]).grown([0], min(count, len(kept)))
                kept, radius = kept[chosen], radius + own
            advance(1)
    return kept, radius


class _Selection:
    """The patches chosen so far, and every patch's squared distance to the nearest of the first so many."""

    def __init__(self, patches: Tensor, enough: float = 0.0) -> None:
        self.patches = patches
        self.enough = enough  # no patch is chosen whose squared distance is at most this
        self.indices: list[int] = []
        self._use(torch.float32)

    def grown(
        self, first: list[int], count: int, block: int | None = None, advance: Advance = lambda _: None
    ) -> tuple[Tensor, float]:
        """Go on from the first ones; return the indices (≤ count,), and how far the farthest patch is from them."""
        total = len(self.patches)
        if block is None:  # its own matrix must not take longer than the passes over all patches that it saves
            block = min(BLOCK, max(BLOCK // 4, total // 48))
        chosen = first
        while chosen:
            self.add(chosen)
            advance(len(chosen))
            left = count - len(self.indices)
            chosen = self.choose(min(block, total), left) if left else []
        return torch.tensor(self.indices, dtype=torch.int64), float(self.farthest(1)[0].sqrt())

    def _use(self, dtype: torch.dtype) -> None:
        """Start to compute in `dtype`; distances are brought up to date."""
        if dtype == torch.float64 and self.patches.device.type == "mps":
            self.patches = self.patches.cpu()  # MPS has no float64
        self.dtype = dtype
        longest = max(float(part.to(dtype).square().sum(dim=1).max()) for part in torch.split(self.patches, _ROWS))
        # The error of |a|² + |b|² - 2ab, with a margin. BLAS adds the D terms in blocks, so that the error
        # grows far slower than D.
        self.rounding = 32 * torch.finfo(dtype).eps * longest
        self.distances = torch.full((len(self.patches),), torch.inf, dtype=dtype, device=self.patches.device)
        self.seen = torch.zeros(len(self.patches), dtype=torch.int32, device=self.patches.device)
        chosen, self.indices = self.indices, []
        self.centres = self.patches[:0].to(dtype)
        if chosen:
            self.add(chosen)

    def _squared(self, rows: Tensor, centres: Tensor) -> Tensor:
        """Turn (R, D) and (C, D) into (R, C) squared distances."""
        left, right = rows.to(self.dtype), centres.to(self.dtype)
        if self.dtype == torch.float32:
            products = NearestNeighbour(right).products(left)
        else:
            products = torch.addmm(right.square().sum(dim=1)[None], left, right.T, alpha=-2)
        return products.add_(left.square().sum(dim=1)[:, None]).clamp_min_(0)

    def add(self, chosen: list[int]) -> None:
        """Add patches. Distances to them are computed of those that may be among the farthest, when these are asked."""
        self.indices += chosen
        numbers = torch.tensor(chosen, dtype=torch.int64, device=self.patches.device)
        self.centres = torch.cat([self.centres, self.patches[numbers].to(self.dtype)])
        self.distances[numbers] = 0
        if len(self.centres) == len(chosen):
            self._look_at(torch.arange(len(self.patches), device=self.patches.device))

    def farthest(self, count: int) -> tuple[Tensor, Tensor]:
        """Return the squared distances and the indices (count,) of the farthest patches, in this order."""
        while True:
            distances, numbers = torch.topk(self.distances, count)
            if bool((self.seen[numbers] == len(self.centres)).all()):
                return distances, numbers
            # What an earlier distance puts so low cannot be among them: distances only shrink.
            more = torch.topk(self.distances, min(_BESIDE * count, len(self.patches))).indices
            self._look_at(torch.unique(torch.cat([numbers, more])))  # of equals it may have taken others

    def _look_at(self, numbers: Tensor) -> None:
        """Bring the distances of these patches up to date."""
        numbers = numbers[self.seen[numbers] < len(self.centres)]
        seen, step = self.seen[numbers], _ROWS if self.dtype == torch.float32 else _ROWS // 8
        for before in torch.unique(seen).tolist():
            for centres in torch.split(self.centres[before:], BLOCK):
                bank = NearestNeighbour(centres) if self.dtype == torch.float32 else None
                for part in torch.split(numbers[seen == before], step):
                    rows = self.patches[part]
                    nearest = bank.squared(rows) if bank else self._squared(rows, centres).amin(dim=1)
                    self.distances[part] = torch.minimum(self.distances[part], nearest)
        self.seen[numbers] = len(self.centres)

    def choose(self, block: int, count: int) -> list[int]:
        """Return the next patches that the plain loop would choose: at least one, unless only copies are left."""
        farthest, members = self.farthest(block)
        outside = float(farthest[-1]) + self.rounding if block < len(self.patches) else -np.inf
        members = members.sort().values
        patches, index_of = self.patches[members], members.tolist()
        among = self._squared(patches, patches).cpu().numpy()
        distances = self.distances[members].cpu().numpy().astype(np.float64)
        doubt = np.full(block, self.rounding)  # no distance is off by more
        chosen: list[int] = []
        while len(chosen) < count:
            top, least = float(distances.max()), float((distances - doubt).max())
            if top <= self.enough > 0:
                break
            if least <= outside or top <= 2 * self.rounding:  # a patch outside may be as far: look again at all of them
                return chosen or self._choose_among_equals(top)
            close = np.flatnonzero(distances + doubt >= least)
            if len(close) > 1 and doubt[close].any():
                # The farthest will be in doubt one after the other: many at once take hardly longer than one.
                unsure = np.flatnonzero(doubt)
                asked = unsure[np.argsort(distances[unsure])[-_AT_ONCE:]]
                distances[asked], doubt[asked] = self._exact(patches[torch.from_numpy(asked)], chosen), 0
                continue
            pick = int(close[distances[close].argmax()])
            chosen.append(index_of[pick])
            doubt[among[pick] - self.rounding < distances] = self.rounding
            np.minimum(distances, among[pick], out=distances)
            distances[pick] = doubt[pick] = 0
        return chosen

    def _exact(self, asked: Tensor, chosen: list[int]) -> NDArray[np.float64]:
        """Turn patches (K, D) into their squared distances (K,) to all chosen ones and these, in float64."""
        latest = torch.tensor(chosen, dtype=torch.int64, device=self.patches.device)
        bank = torch.cat([self.centres, self.patches[latest].to(self.dtype)])
        lengths, found = bank.square().sum(dim=1), []
        for part in torch.split(asked.to(self.dtype), _AT_ONCE):
            squared = torch.addmm(lengths[None], part, bank.T, alpha=-2)
            # What is nearest in float64 is hardly farther than what is nearest by products: the rest need no look.
            near = (squared <= squared.amin(dim=1, keepdim=True) + 2 * self.rounding).nonzero()
            nearest = torch.full((len(part),), torch.inf, dtype=torch.float64)
            for pairs in torch.split(near, _PAIRS):
                rows, columns = pairs.T
                exact = (
                    (part[rows].cpu().to(torch.float64) - bank[columns].cpu().to(torch.float64)).square_().sum(dim=1)
                )
                nearest.scatter_reduce_(0, rows.cpu(), exact, "amin")
            found.append(nearest)
        return torch.cat(found).numpy()

    def _choose_among_equals(self, top: float) -> list[int]:
        """Return one patch, when many are the farthest up to the rounding; none, when only copies are left."""
        self._look_at((self.distances >= top - 2 * self.rounding).nonzero()[:, 0])
        close = np.flatnonzero((self.distances >= top - 2 * self.rounding).cpu().numpy())
        if 0 < self.enough >= top:
            return []
        if self.dtype == torch.float64 and top <= 2 * self.rounding:
            return []
        if self.dtype == torch.float32 and (len(close) > _MANY or top <= 2 * self.rounding):
            self._use(torch.float64)
            return self._choose_among_equals(float(self.farthest(1)[0]))
        # Copies, as of a flat background, need one look; np.unique gives the first index of each.
        rows = self.patches[torch.from_numpy(close).to(self.patches.device)].cpu().numpy()
        first = np.sort(np.unique(rows, axis=0, return_index=True)[1])
        unequal = torch.from_numpy(close[first]).to(self.patches.device)
        return [int(unequal[int(self._exact(self.patches[unequal], []).argmax())])]
