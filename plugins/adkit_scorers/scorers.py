"""Scorers of native maps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from adkit import Options, Scorer

if TYPE_CHECKING:
    from torch import Tensor


def _pixels(maps: NDArray[np.float32]) -> NDArray[np.float64]:
    return maps.reshape(len(maps), maps.shape[1] * maps.shape[2]).astype(np.float64)


class Maximum(Scorer[Options]):
    """The highest pixel."""

    def __call__(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the scores (N,) of maps (N, h, w)."""
        return np.asarray(_pixels(maps).max(axis=1))

    def of_tensors(self, maps: Tensor) -> Tensor:
        """Do the same in torch."""
        return maps.flatten(1).amax(dim=1)


class Mean(Scorer[Options]):
    """The mean of all pixels."""

    def __call__(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the scores (N,) of maps (N, h, w)."""
        return np.asarray(_pixels(maps).mean(axis=1))

    def of_tensors(self, maps: Tensor) -> Tensor:
        """Do the same in torch."""
        return maps.flatten(1).mean(dim=1)


class TopPercent(Scorer[Any]):
    """The mean of the highest 1 % of pixels, at least of one pixel."""

    percent: float = 1

    def __call__(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the scores (N,) of maps (N, h, w)."""
        pixels = _pixels(maps)
        count = self._count(pixels.shape[1])
        return np.asarray(np.partition(pixels, -count, axis=1)[:, -count:].mean(axis=1))

    def of_tensors(self, maps: Tensor) -> Tensor:
        """Do the same in torch."""
        pixels = maps.flatten(1)
        return pixels.topk(self._count(pixels.shape[1]), dim=1).values.mean(dim=1)

    def _count(self, pixels: int) -> int:
        return max(1, math.ceil(round(pixels * self.percent / 100, 6)))


class TopFivePercent(TopPercent):
    """The mean of the highest 5 % of pixels: for what fills more of the image, as people and vehicles do."""

    percent = 5


class TopOptions(Options):
    """Options of `top`."""

    percent: float = Field(default=1.0, gt=0, le=100, description="of the pixels: so many of the highest count")


class Top(TopPercent):
    """The mean of the highest pixels, of which so many as `percent` says."""

    Options = TopOptions

    def __init__(self, options: TopOptions) -> None:
        super().__init__(options)
        self.percent = options.percent


class QuantileOptions(Options):
    """Options of `quantile`."""

    q: float = Field(default=0.99, ge=0, le=1, description="which quantile: 0 the lowest pixel, 1 the highest")


class Quantile(Scorer[QuantileOptions]):
    """A quantile of the pixels, by linear interpolation."""

    Options = QuantileOptions

    def __call__(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the scores (N,) of maps (N, h, w)."""
        return np.asarray(np.quantile(_pixels(maps), self.options.q, axis=1))

    def of_tensors(self, maps: Tensor) -> Tensor:
        """Do the same in torch."""
        pixels = maps.flatten(1).sort(dim=1).values
        at = self.options.q * (pixels.shape[1] - 1)
        below, above = pixels[:, math.floor(at)], pixels[:, math.ceil(at)]
        return below + (above - below) * (at % 1)
