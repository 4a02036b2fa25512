"""Mean and scatter that can be joined and taken apart, and the subspace that they span."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FLOOR = 0.1
"""Of the mean variance of all directions left over: added to each one's own, so that none counts without bound."""

_LEAST = 1e-8


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter (the sum of squared differences from the mean) of vectors, in float64."""

    count: int
    mean: Tensor  # (D,)
    scatter: Tensor  # (D, D)

    @classmethod
    def of(cls, vectors: Tensor) -> Moments:
        """Return those of (N, D) vectors."""
        values = vectors.cpu().to(torch.float64)
        mean = values.mean(dim=0)
        centred = values - mean
        return cls(len(values), mean, centred.T @ centred)

    def __add__(self, other: Moments) -> Moments:
        """Return those of both sets of vectors together (Chan, Golub and LeVeque 1983)."""
        count = self.count + other.count
        apart = other.mean - self.mean
        scatter = self.scatter + other.scatter + torch.outer(apart, apart) * (self.count * other.count / count)
        return Moments(count, self.mean + apart * (other.count / count), scatter)

    def __sub__(self, part: Moments) -> Moments:
        """Return those of the vectors without a part of them; something must remain."""
        count = self.count - part.count
        mean = self.mean + (self.mean - part.mean) * (part.count / count)
        apart = part.mean - mean
        scatter = self.scatter - part.scatter - torch.outer(apart, apart) * (count * part.count / self.count)
        return Moments(count, mean, scatter)

    def scaled(self, weights: Tensor) -> Moments:
        """Return those of the vectors times the weights (D,)."""
        factors = weights.to(torch.float64)
        return Moments(self.count, self.mean * factors, self.scatter * torch.outer(factors, factors))


@dataclass(frozen=True)
class Residual:
    """What the main directions of normal vectors leave over of a vector, each direction in units of its spread."""

    mean: Tensor  # float32 (D,)
    directions: Tensor  # float32 (D, R): the R directions left over, divided by their spread

    @classmethod
    def learn(cls, moments: Moments, explained: float, components: int) -> Residual:
        """Take away `components` main directions, or if 0 as many as explain that share, but leave one at least."""
        values, vectors = torch.linalg.eigh(moments.scatter / moments.count)  # ascending
        values = values.clamp_min(0)
        left = len(values) - components
        if not components:
            # The smallest directions are left over for as long as they hold no more than the rest of the variance.
            left = int((values.cumsum(0) <= (1 - explained) * values.sum()).sum())
        left = max(1, left)
        spread = (values[:left] + FLOOR * values[:left].mean() + _LEAST).sqrt()
        return cls(moments.mean.to(torch.float32), (vectors[:, :left] / spread).to(torch.float32))

    def lengths(self, vectors: Tensor) -> Tensor:
        """Turn (..., D) into (...), the length of what is left over."""
        lengths: Tensor = torch.linalg.vector_norm((vectors - self.mean) @ self.directions, dim=-1)
        return lengths

    def to(self, device: str) -> Residual:
        """Return the same on a device."""
        return Residual(self.mean.to(device), self.directions.to(device))
