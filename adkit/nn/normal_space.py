"""A space in which normal images, each a vector, vary alike in every direction; distances to the nearest of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adkit.nn.features.index import Index

RIDGE = 0.1
"""Added to the variance of every direction, in units of a feature's own: few images leave many directions unseen."""
MOST_SPACES = 500  # bounds the time: a space takes some 60 ms to learn

_FLOOR = 0.01
_LEAST = 1e-12


@dataclass(frozen=True)
class NormalSpace:
    """N normal images as vectors (float64) whose differences are Mahalanobis distances."""

    mean: Tensor  # (D,)
    factor: Tensor  # (D, D)
    bank: Tensor  # (N, D)
    index: Index | None = None  # of the bank, in float32

    @classmethod
    def learn(cls, vectors: Tensor, groups: Sequence[int]) -> "NormalSpace":
        """Learn from (N, D) vectors, whose features come in groups of these lengths that share a unit."""
        values = vectors.cpu().to(torch.float64)
        mean = values.mean(dim=0)
        variances = values.var(dim=0, correction=0)
        # A feature that never varies in normal images must not decide everything once it does.
        shared = torch.cat([part.mean().expand(len(part)) for part in torch.split(variances, list(groups))])
        scale = (variances + _FLOOR * shared + _LEAST).rsqrt()
        centred = (values - mean) * scale
        ridge = RIDGE * len(values) * torch.eye(len(mean), dtype=torch.float64)
        lower = torch.linalg.cholesky(centred.T @ centred + ridge)
        inverse = torch.linalg.solve_triangular(lower, torch.eye(len(mean), dtype=torch.float64), upper=False)
        factor = len(values) ** 0.5 * inverse.T
        return cls(mean, scale[:, None] * factor, centred @ factor)

    def points(self, vectors: Tensor) -> Tensor:
        """Turn vectors (B, D) into float64 (B, D), where they lie in the space."""
        return (vectors.cpu().to(torch.float64) - self.mean) @ self.factor

    def scores(self, vectors: Tensor, neighbours: int) -> Tensor:
        """Turn (B, D) into (B,), the mean distance to that many nearest normal images."""
        points = self.points(vectors)
        if self.index is not None:  # finds candidates, whose distances are then exact
            _, rows = self.index.nearest(points, min(2 * neighbours + 8, len(self.bank)))
            squared = (self.bank[rows] - points[:, None]).square().sum(dim=2).masked_fill_(rows < 0, torch.inf)
        else:  # for thousands of images one product is quick, and exact
            lengths = points.square().sum(dim=1, keepdim=True) + self.bank.square().sum(dim=1)
            squared = (lengths - 2 * points @ self.bank.T).clamp_min_(0)
        nearest = squared.topk(min(neighbours, squared.shape[1]), dim=1, largest=False).values
        return nearest.sqrt().mean(dim=1).to(torch.float32)


def left_out_scores(
    vectors: Tensor, clips: Tensor, groups: Sequence[int], neighbours: int, spaces: int = MOST_SPACES
) -> Tensor:
    """Return (N,), each vector's score in the space that is learned without its clip; there must be two clips at least.

    `clips` (N,) are whole numbers from 0. Learning anew is the only exact way: an image of its own enters the features'
    scales too. Of more than that many `spaces` several clips are left out together, which is no less honest.
    """
    parts = clips % spaces
    scores = torch.empty(len(vectors))
    for part in range(int(parts.max()) + 1):
        inside = parts == part
        scores[inside] = NormalSpace.learn(vectors[~inside], groups).scores(vectors[inside], neighbours)
    return scores


def pooled(features: Tensor) -> Tensor:
    """Turn (B, h, w, D) into (B, 2 D): each feature's mean over all positions, then its highest value."""
    patches = features.flatten(1, 2)
    return torch.cat([patches.mean(dim=1), patches.amax(dim=1)], dim=1)
