"""Patch features: what a frozen network sees around each position of the picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def patch_features(levels: Sequence[Tensor], neighbourhood: int = 3) -> Tensor:
    """(B, C_i, h_i, w_i) per level -> float32 (B, h, w, D), D = sum of C_i, on the first level's grid.

    Coarser levels are enlarged bilinearly; then each position takes the mean over `neighbourhood`² positions.
    PatchCore (arXiv 2106.08265, section 3.1) averages each level on its own grid instead, which blurs the
    coarse level over an area four times as large; on one grid, all levels describe the same area.
    """
    height, width = levels[0].shape[-2:]
    aligned = [
        level
        if level.shape[-2:] == (height, width)
        else F.interpolate(level, (height, width), mode="bilinear", align_corners=False)
        for level in levels
    ]
    joined = torch.cat(aligned, dim=1)
    if neighbourhood > 1:
        # Zeros outside the picture do not count, or the border would look anomalous.
        joined = F.avg_pool2d(joined, neighbourhood, 1, neighbourhood // 2, count_include_pad=False)
    return joined.permute(0, 2, 3, 1).contiguous()


def level_weights(patches: Tensor, lengths: Sequence[int]) -> Tensor:
    """(N, D) patches whose D features come in levels of these lengths -> (D,) weights that balance them.

    Each level is divided by the square root of its total variance over the normal patches, so that a level
    of many channels, or of large activations, does not drown the others in a distance.
    """
    variances = patches.var(dim=0, correction=0)
    weights = [
        torch.full((len(part),), float(part.sum().clamp_min(1e-12)) ** -0.5) for part in variances.split(list(lengths))
    ]
    return torch.cat(weights)
