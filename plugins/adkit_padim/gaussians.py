"""Gaussians of normal features, one for each position, and their distances with or without a clip."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adkit.nn.features.patches import level_weights

_POSITIONS = 128  # factorised at a time
_GRAM = 4_000_000  # elements of the Gram matrices that are held at a time


class PositionMoments:
    """Count, sum and products of the features at each position, taken in a batch at a time."""

    def __init__(self) -> None:
        self.count = 0
        self.grid: tuple[int, int] = (0, 0)
        self._origin = torch.empty(0)
        self._sums = torch.empty(0)
        self._products = torch.empty(0)

    def add(self, features: Tensor) -> None:
        """Take in (B, h, w, D)."""
        batch, height, width, length = features.shape
        values = features.flatten(1, 2).transpose(0, 1)  # (P, B, D)
        if not self.count:
            self.grid = (height, width)
            # Products of what is left after a first guess of the mean lose no digits in float32.
            self._origin = values.mean(dim=1, keepdim=True)
            self._sums = torch.zeros_like(self._origin)
            self._products = torch.zeros(height * width, length, length, device=features.device)
        centred = values - self._origin
        self._sums += centred.sum(dim=1, keepdim=True)
        self._products.baddbmm_(centred.transpose(1, 2), centred)
        self.count += batch

    def take(self) -> tuple[Tensor, Tensor]:
        """Return mean (P, D) and scatter (P, D, D) at each of P positions; nothing is left here, for its size."""
        shift = self._sums / self.count
        scatter = self._products.baddbmm_(shift.transpose(1, 2), shift, alpha=-self.count)
        self._products = torch.empty(0)
        return (self._origin + shift).squeeze(1), scatter


@dataclass(frozen=True)
class Gaussians:
    """Mean and whitening at each of P positions, for features whose levels are weighted."""

    weights: Tensor  # (D,)
    mean: Tensor  # (P, D), weighted
    factors: Tensor  # (P, D, D), upper triangular: (x - mean) @ factors has the length of the distance

    @classmethod
    def learn(cls, moments: PositionMoments, lengths: Sequence[int], shrinkage: float) -> "Gaussians":
        """Learn with the covariance (scatter + k I) / N; k is `shrinkage` of N times the mean variance of a feature.

        The levels are weighted so that their variances around the positions' means sum to one each; so the mean
        variance is a constant, and the units of the features, or variances of zero, do no harm.
        """
        count = moments.count
        mean, scatter = moments.take()
        variances = scatter.diagonal(dim1=1, dim2=2).mean(dim=0) / count
        weights = level_weights(variances, lengths)
        ridge = shrinkage * count * len(lengths) / len(weights)
        diagonal = ridge * torch.eye(len(weights), device=mean.device)
        for part in torch.split(scatter, _POSITIONS):
            lower = torch.linalg.cholesky(part * torch.outer(weights, weights) + diagonal)
            inverse = torch.linalg.solve_triangular(lower, torch.eye(len(weights), device=mean.device), upper=False)
            part.copy_(inverse.transpose(1, 2) * count**0.5)  # in place: the scatter is by far the largest thing here
        return cls(weights, mean * weights, scatter)

    def round(self) -> None:
        """Round the factors, in place, as a run stores them: enough to score, but not for `left_out_distances`."""
        for part in torch.split(self.factors, _POSITIONS):
            part.copy_(part.to(torch.float16))

    def whitened(self, features: Tensor) -> Tensor:
        """Turn (B, h, w, D) into (P, B, D), whose squared lengths are squared Mahalanobis distances."""
        centred = features.flatten(1, 2).transpose(0, 1) * self.weights - self.mean[:, None]
        return torch.bmm(centred, self.factors)

    def state(self) -> dict[str, Tensor]:
        """Give it as tensors for a run: of each factor the one triangle, in float16."""
        rows, columns = torch.triu_indices(*self.factors.shape[1:])
        packed = self.factors.cpu()[:, rows, columns].to(torch.float16)
        return {"weights": self.weights, "mean": self.mean, "factors": packed}

    @classmethod
    def from_state(cls, weights: Tensor, mean: Tensor, packed: Tensor) -> "Gaussians":
        """Return what `state` gave, on the device of these tensors."""
        rows, columns = torch.triu_indices(len(weights), len(weights))
        factors = torch.zeros(len(mean), len(weights), len(weights), device=mean.device)
        factors[:, rows, columns] = packed.to(torch.float32)
        return cls(weights, mean, factors)


def left_out_distances(whitened: Tensor, count: int) -> Tensor:
    """Return distances (P, k) of one clip's k frames to the Gaussians as they would be without all of them.

    `whitened` (P, k, D) are the frames as the Gaussians of all `count` frames whiten them, count > k. With
    S + κI the regularised scatter, d a frame's difference from the mean and G the k × k matrix of d' (S + κI)⁻¹ d, the
    scatter without the clip is S - Σ C_ij d_i d_j' for C = I + 1/(count - k), and the differences from the mean
    of the others are C d. Woodbury's identity then gives all from G alone: the squared distances are the diagonal
    of count C G (I - C G)⁻¹ C. For k = 1 that is Sherman and Morrison's formula.

    The covariance is (S' + κI) / count, S' without the clip: as κ = shrinkage × count, the share of the identity is
    what it will be for new frames. Where the data outweigh it, distances come out by count / (count - k) too high
    in the square: on the side of fewer false alarms.
    """
    positions, frames, _ = whitened.shape
    rest = count - frames
    exchange = torch.eye(frames, dtype=torch.float64) + 1 / rest
    results = []
    for part in torch.split(whitened, max(1, min(positions, _GRAM // frames**2))):
        values = part.cpu().to(torch.float64)
        product = exchange @ (values @ values.transpose(1, 2) / count)
        solved = torch.linalg.solve(torch.eye(frames, dtype=torch.float64) - product, exchange.expand_as(product))
        results.append(count * (product * solved.transpose(1, 2)).sum(dim=2))
    return torch.cat(results).clamp_min_(0).sqrt_().to(torch.float32)
