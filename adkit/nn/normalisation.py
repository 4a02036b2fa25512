"""Maps made steadier: smoothing, and per-position normalisation by what is usual *here* in normal samples.

On aligned parts some places (edges, prints, reflections) always score higher than others, and dividing that
out lets defects elsewhere stand out. On freely rotated parts position says little, and the estimates only add
noise. The normal maps themselves tell which: the share of their variance that position explains.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from adkit.errors import OptionError
from adkit.nn.options import Choice
from adkit.nn.samples import rows_of_clips

EXPLAINED_SHARE = 0.5
"""With "auto", maps are normalised when position explains at least this share of the normal maps' variance."""
LEAST_MAPS = 20
"""With "auto", so many still images or clips must have out-of-sample maps: of fewer, a mean and a spread are chance.

Frames of one clip are much alike at each position: more of them say little more. Pieces that long clips were cut into
count as clips, as they do for the threshold.
"""

MAPS = 256  # so many are turned into wider numbers together

LEAST_MAPS_ON = 3  # with "on", fewer maps than this are refused: of two, the other one alone would have no spread


def smooth(maps: Tensor, sigma: float) -> Tensor:
    """Turn (B, h, w) into (B, h, w) smoothed by a Gaussian of this standard deviation in positions; 0: as they are."""
    if sigma == 0:
        return maps
    height, width = maps.shape[1:]
    return _smoothing(height, sigma) @ maps @ _smoothing(width, sigma).T


@lru_cache(maxsize=32)
def _smoothing(length: int, sigma: float) -> Tensor:
    """Return (n, n) by which columns of `length` positions are smoothed, mirrored at the border."""
    taps = round(8 * sigma + 1) | 1
    single = np.eye(length, dtype=np.float32)
    return torch.from_numpy(cv2.GaussianBlur(single, (1, taps), sigma, borderType=cv2.BORDER_REFLECT))


def explained_by_position(maps: Tensor) -> float:
    """Turn (N, h, w) into the share, 0..1, of the maps' variance that lies between positions (an R²)."""
    total = float(maps.var(correction=0))
    return float(maps.mean(dim=0).var(correction=0)) / total if total > 0 else 0.0


@dataclass(frozen=True)
class PositionNormalisation:
    """Mean and spread of normal maps at each position; a normalised map counts spreads above the mean."""

    mean: Tensor  # (h, w), or () where all positions are alike
    spread: Tensor  # likewise, positive

    @classmethod
    def learn(cls, maps: Tensor) -> "PositionNormalisation":
        """Learn from out-of-sample maps (N, h, w) of normal samples."""
        return cls.of_moments(maps.mean(dim=0), maps.var(dim=0, correction=0))

    @classmethod
    def overall(cls, maps: Tensor) -> "PositionNormalisation":
        """Learn from the same maps, all positions taken together: both tensors are of no dimension."""
        return cls(maps.mean(), maps.std(correction=0).clamp_min(1e-6))

    @classmethod
    def of_moments(cls, mean: Tensor, variance: Tensor) -> "PositionNormalisation":
        """Make it from the mean (h, w) and variance (h, w) of normal maps."""
        # The overall spread has an equal say: a position that hardly ever varies would else turn the
        # slightest oddity of a good part into dozens of spreads, and raise the threshold for all.
        shared = (variance + variance.mean()) / 2
        return cls(mean.to(torch.float32), shared.clamp_min(1e-12).sqrt().to(torch.float32))

    def __call__(self, maps: Tensor) -> Tensor:
        """Turn (B, h, w) into (B, h, w) in spreads above the mean."""
        return (maps - self.mean) / self.spread

    def state(self) -> dict[str, Tensor]:
        """Give it as tensors for a run."""
        return {"position_mean": self.mean, "position_spread": self.spread}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "PositionNormalisation | None":
        """Return what `state` gave; None where there is none."""
        return cls(state["position_mean"], state["position_spread"]) if "position_mean" in state else None


def require_maps(count: int, choice: Choice) -> None:
    """Raise OptionError for "on" with too few out-of-sample maps to come; for asking before the work is done."""
    if choice == "on" and count < LEAST_MAPS_ON:
        told = f"position_normalisation=on needs {LEAST_MAPS_ON} normal images it did not learn from, and has {count}"
        raise OptionError(told, hint="leave it at auto, or add more images of good parts")


def decide(maps: Tensor, clips: Tensor, choice: Choice) -> tuple[PositionNormalisation | None, dict[str, float | bool]]:
    """Decide by out-of-sample maps (N, h, w) of normal samples, and the number (N,) of each one's clip.

    Returns the normalisation, None where position matters little; and how it was decided. Raises OptionError.
    """
    require_maps(len(maps), choice)
    explained = explained_by_position(maps)
    matters = choice == "on"
    if choice == "auto":
        matters = len(torch.unique(clips)) >= LEAST_MAPS and explained >= EXPLAINED_SHARE
    facts = {"explained_by_position": round(explained, 4), "position_normalised": matters}
    return PositionNormalisation.learn(maps) if matters else None, facts


def normalised_out_of_sample(maps: Tensor, clips: Tensor) -> Tensor:
    """Normalise each of N maps (N, h, w) by what the maps of other clips say: what a new normal map would become.

    `clips` (N,) are whole numbers from 0, at least two different ones.
    """

    def sums(some: Tensor) -> Tensor:
        values = some.to(torch.float64)
        return torch.stack([values.sum(dim=0), values.square().sum(dim=0)])

    everything, results = sum(map(sums, torch.split(maps, MAPS))), torch.empty_like(maps)
    for rows in filter(len, rows_of_clips(clips)):
        own = maps[rows]
        mean, square = (everything - sums(own)) / (len(maps) - len(own))
        results[rows] = PositionNormalisation.of_moments(mean, (square - mean.square()).clamp_min_(0))(own)
    return results
