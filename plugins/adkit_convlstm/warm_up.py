"""The first frames of a clip, judged as fairly as the others although nothing is remembered yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from adkit_convlstm.objective import WORST_SHARE


@dataclass(frozen=True)
class WarmUp:
    """How many times larger a normal frame's error is while the memory fills, than when it is full."""

    factors: Tensor = field(default_factory=lambda: torch.ones(1))
    """float32 (T,), positive: of a clip's first frame, its second, …; then 1."""

    @classmethod
    def learn(cls, starts: Iterable[Tensor]) -> WarmUp:
        """Learn from maps (T, h, w) of normal clips, by each frame's highest values; from T / 2 on memory is full."""
        usual = torch.stack([_highest(maps) for maps in starts]).mean(dim=0)
        filling = len(usual) // 2
        full = usual[filling:].mean().clamp_min(1e-12)
        return cls((usual[:filling] / full).clamp_min(1e-6))

    def __call__(self, maps: Tensor, ages: Tensor) -> Tensor:
        """Give (B, h, w) as if the memory were full, by how many frames of its clip came before each, int64 (B,)."""
        factors = torch.cat([self.factors, torch.ones(1)])[ages.clamp_max(len(self.factors))]
        return maps / factors[:, None, None]


def _highest(maps: Tensor) -> Tensor:
    values = maps.flatten(1)
    return values.topk(max(1, round(WORST_SHARE * values.shape[1])), dim=1).values.mean(dim=1)
