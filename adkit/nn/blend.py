"""How the maps of several scales make one, and whether position matters in it.

Each scale's maps are counted in spreads above what is usual, over all positions or at each one. Their mean is one of
third powers: what one scale sees clearly counts, though the other sees nothing there. Whether positions are told apart
is asked of some normal images that are spoilt: what is found of them at the thresholds that unspoilt ones set. The
scales' weights are not chosen that way: what is spoilt is small, and would always speak for the fine scale, while the
coarse one is there for what lies in the wrong place or is missing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from adkit.nn.corruption import SPOILT
from adkit.nn.normalisation import LEAST_MAPS, MAPS, PositionNormalisation, normalised_out_of_sample, require_maps
from adkit.nn.options import ScaledMapOptions

WEIGHTS = (2 / 3, 1 / 3)  # of the fine and the coarse scale
POWER = 3  # of the mean over scales; 1 would be the plain mean, and an endless one the maximum
FLOOR = 2.0
"""Spreads below what is usual, where maps begin to count: powers of what is less would turn their order round."""
RATES = (0.003, 0.006, 0.01, 0.02, 0.03, 0.05)
"""False alarms at which what is found is counted: a single threshold would hang on a single normal image."""
CLEARLY = 2.0  # so many standard errors over the spoilt images' sources are a proof
TOP_SHARE = 0.01  # of a map's positions make its score here: the highest, as the scorer `top1` takes them


@dataclass(frozen=True)
class Blend:
    """Weights of the scales' maps, finest first, and what is usual in each; none of it: the fine map as it is."""

    weights: tuple[float, ...] = (1.0,)
    usual: tuple[PositionNormalisation, ...] = ()

    @classmethod
    def learn(cls, maps: Sequence[Tensor], weights: tuple[float, ...], *, by_position: bool) -> "Blend":
        """Learn from out-of-sample maps (N, h, w) of normal frames at each scale."""
        learn = PositionNormalisation.learn if by_position else PositionNormalisation.overall
        return cls(weights, tuple(learn(part) for part in maps))

    @property
    def by_position(self) -> bool:
        """Say whether each position is judged by what is usual there."""
        return any(usual.mean.ndim for usual in self.usual)

    def __call__(self, maps: Sequence[Tensor]) -> Tensor:
        """Turn maps (B, h, w) of each scale into one, on the finest grid."""
        if not self.usual:
            return maps[0]
        return self._mean([usual(part) for usual, part in zip(self.usual, maps, strict=True)])

    def out_of_sample(self, maps: Sequence[Tensor], clips: Tensor) -> Tensor:
        """Blend normal maps (N, h, w) of each scale, each judged by what the maps of other clips say is usual."""
        if self.by_position:  # else one map among all does not move the mean of all positions
            maps = [normalised_out_of_sample(part, clips) for part in maps]
        blended = torch.empty_like(maps[0])
        for first in range(0, len(blended), MAPS):  # powers of all at once would take many times the memory
            parts = [part[first : first + MAPS] for part in maps]
            blended[first : first + MAPS] = self._mean(parts) if self.by_position else self(parts)
        return blended

    def state(self) -> dict[str, Tensor]:
        """Give it as tensors for a run."""
        found = {"blend_weights": torch.tensor(self.weights, dtype=torch.float64)}
        for scale, usual in enumerate(self.usual):
            found |= {f"blend_mean_{scale}": usual.mean, f"blend_spread_{scale}": usual.spread}
        return found

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "Blend":
        """Return what `state` gave."""
        weights = tuple(state["blend_weights"].tolist())
        scales = [scale for scale in range(len(weights)) if f"blend_mean_{scale}" in state]
        usual = [PositionNormalisation(state[f"blend_mean_{one}"], state[f"blend_spread_{one}"]) for one in scales]
        return cls(weights, tuple(usual))

    def _mean(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the weighted power mean of maps in spreads, enlarged to the finest grid; one alone stays as it is."""
        if len(maps) == 1:
            return maps[0]
        size, total = maps[0].shape[1:], torch.zeros_like(maps[0])
        for weight, part in zip(self.weights, maps, strict=True):
            enlarged = F.interpolate(part[:, None], size, mode="bilinear", align_corners=False)[:, 0]
            total += weight * (enlarged + FLOOR).clamp_min(0).pow(POWER)
        return total.pow(1 / POWER) - FLOOR


def is_open(clips: Tensor, options: ScaledMapOptions) -> bool:
    """Say whether spoilt images are to decide, by the number (N,) of each normal frame's clip and the options."""
    return options.position_normalisation == "auto" and len(torch.unique(clips)) >= LEAST_MAPS


def choose_blend(
    normal: Sequence[Tensor], clips: Tensor, spoilt: Sequence[Tensor], options: ScaledMapOptions, *, apart: bool = False
) -> tuple[Blend, dict[str, float | bool]]:
    """Decide whether position matters, by maps at each scale: out-of-sample (N, h, w), and of spoilt frames (M, h, w).

    `clips` (N,) is the number of each normal frame's clip; the spoilt ones come source by source, each in as many ways.
    Positions are told apart where that finds clearly more of them, or, where they are held `apart` as a rule, unless it
    finds clearly fewer. Returns the blend, and how it was chosen. Raises OptionError as `require_maps` does.
    """
    require_maps(len(clips), options.position_normalisation)
    weights = WEIGHTS if len(normal) > 1 else (1.0,)
    blends = [Blend.learn(normal, weights, by_position=by_position) for by_position in (False, True)]
    chosen = blends[options.position_normalisation == "on"]
    facts: dict[str, float | bool] = {}
    if is_open(clips, options):
        found = [_found(blend, normal, clips, spoilt) for blend in blends]
        more = (found[1] - found[0]).mean(dim=1)  # of each source
        error = CLEARLY * float(more.std()) / math.sqrt(len(more))
        chosen = blends[float(more.mean()) >= -error if apart else float(more.mean()) > error]
        overall, by_position = (round(float(one.mean()), 4) for one in found)
        facts = {"spoilt_found": overall, "spoilt_found_by_position": by_position}
    return chosen, {"context_weight": round(1 - weights[0], 4), "position_normalised": chosen.by_position, **facts}


def _found(blend: Blend, normal: Sequence[Tensor], clips: Tensor, spoilt: Sequence[Tensor]) -> Tensor:
    """Return (sources, ways): at which share of the rates each spoilt image is found."""
    scores = top_scores(blend.out_of_sample(normal, clips))
    units = torch.zeros(int(clips.max()) + 1).scatter_reduce_(0, clips, scores, "amax", include_self=False)
    ranks = sorted({min(len(units), max(1, round(rate * len(units)))) for rate in RATES})
    thresholds = units.sort(descending=True).values[[rank - 1 for rank in ranks]]
    beyond = (top_scores(blend(spoilt))[:, None] > thresholds).to(torch.float32).mean(dim=1)
    return beyond.reshape(-1, len(SPOILT))


def top_scores(maps: Tensor) -> Tensor:
    """Turn maps (N, h, w) into (N,): the mean of each one's highest positions."""
    positions = maps.flatten(1)
    count = max(1, math.ceil(TOP_SHARE * positions.shape[1]))
    return positions.topk(count, dim=1).values.mean(dim=1)
