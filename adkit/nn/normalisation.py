"""Maps made steadier: smoothing, and per-position normalisation by what is usual *here* in normal samples.

On aligned parts some places (edges, prints, reflections) always score higher than others, and dividing that
out lets defects elsewhere stand out. On freely rotated parts position says little, and the estimates only add
noise. The normal maps themselves tell which: the share of their variance that position explains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

Choice = Literal["auto", "on", "off"]

EXPLAINED_SHARE = 0.5
"""With "auto", maps are normalised when position explains at least this share of the normal maps' variance."""
LEAST_MAPS = 20
"""With "auto", fewer maps than this are too few to estimate a mean and a spread per position."""


def smooth(maps: Tensor, sigma: float) -> Tensor:
    """(B, h, w) -> (B, h, w) smoothed by a Gaussian of this standard deviation in positions; 0: as they are."""
    if sigma == 0:
        return maps
    # The border is mirrored, so that a defect at the edge of the picture loses nothing.
    smoothed = [cv2.GaussianBlur(one, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for one in maps.numpy()]
    return torch.from_numpy(np.stack(smoothed))


def explained_by_position(maps: Tensor) -> float:
    """(N, h, w) -> the share, 0..1, of the maps' variance that lies between positions (an R²)."""
    total = float(maps.var(correction=0))
    return float(maps.mean(dim=0).var(correction=0)) / total if total > 0 else 0.0


@dataclass(frozen=True)
class PositionNormalisation:
    """Mean and spread of normal maps at each position; a normalised map counts spreads above the mean."""

    mean: Tensor  # (h, w)
    spread: Tensor  # (h, w), positive

    @classmethod
    def learn(cls, maps: Tensor) -> PositionNormalisation:
        """From out-of-sample maps (N, h, w) of normal samples."""
        variance = maps.var(dim=0, correction=0)
        # The overall spread has an equal say: a position that hardly ever varies would else turn the
        # slightest oddity of a good part into dozens of spreads, and raise the threshold for all.
        shared = (variance + variance.mean()) / 2
        return cls(maps.mean(dim=0), shared.clamp_min(1e-12).sqrt())

    def __call__(self, maps: Tensor) -> Tensor:
        """(B, h, w) -> (B, h, w) in spreads above the mean."""
        return (maps - self.mean) / self.spread

    def state(self) -> dict[str, Tensor]:
        """As tensors for a run."""
        return {"position_mean": self.mean, "position_spread": self.spread}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> PositionNormalisation | None:
        """What `state` gave; None where there is none."""
        if "position_mean" not in state:
            return None
        return cls(state["position_mean"], state["position_spread"])


def position_matters(maps: Tensor, choice: Choice) -> bool:
    """Whether to normalise, given out-of-sample maps (N, h, w) of normal samples."""
    if choice != "auto":
        return choice == "on"
    return len(maps) >= LEAST_MAPS and explained_by_position(maps) >= EXPLAINED_SHARE


def normalised_out_of_sample(maps: Tensor) -> Tensor:
    """Each of N ≥ 2 maps, normalised by what the N - 1 others say: what a new normal map would become."""
    others = torch.ones(len(maps), dtype=torch.bool)
    results = []
    for row in range(len(maps)):
        others[row] = False
        results.append(PositionNormalisation.learn(maps[others])(maps[row]))
        others[row] = True
    return torch.stack(results)
