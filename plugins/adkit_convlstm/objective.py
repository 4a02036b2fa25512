"""What the network learns: to give each frame of a normal sequence from what it remembers, a clip's first ones too."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from adkit.nn.training.loop import Objective
from adkit_convlstm.network import Memory, RecurrentNetwork

Task = Literal["predict", "reconstruct"]  # from which frames a frame is given: those before it only, or itself too
PseudoAnomaly = Literal["none", "skip"]

Past = tuple[Memory, Tensor]  # what is remembered of a clip, and what the network says comes next, (B, 1, C, h, w)

SKIPPING_SHARE = 0.25  # of the sequences, with pseudo=skip
MOST_SKIPPED = 4  # with pseudo=skip, sequences take every second to this many-th frame
WORST_SHARE = 0.05
"""Of the positions of a frame: their mean error is its score, while training tells how well anomalies stand out."""


class Rebuild(Objective):
    """Gives each frame of a sequence (B, T, C, h, w) from what the network remembers.

    With "skip", a part of the sequences plays too fast, and yet the network is to tell what comes next at the normal
    speed: so it does not learn to follow any motion (Astrid et al., 2021, arXiv 2110.09742, in our own form).
    """

    def __init__(self, network: RecurrentNetwork, task: Task, pseudo: PseudoAnomaly) -> None:
        super().__init__()
        self.network = network
        self.task = task
        self.pseudo = pseudo

    def rebuild(self, frames: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        """Rebuild (B, T, C, h, w), frames in their order, from what was before; give what is then past, too.

        Nothing foretells a clip's first frame: it is compared with what the network gives when it has seen it.
        """
        memory, expected = past if past is not None else (None, None)
        told, memory = self.network(frames, memory)
        expected = told[:, :1] if expected is None else expected
        rebuilt = torch.cat([expected, told[:, :-1]], dim=1) if self.task == "predict" else told
        return rebuilt, (memory, told[:, -1:])

    def forward(self, batch: Tensor, draw: int) -> Tensor:
        """Turn (B, T, C, h, w) into (B,) mean squared errors of what the network is to rebuild."""
        generator = torch.Generator().manual_seed(draw)
        too_fast = (torch.rand(len(batch), generator=generator) < SKIPPING_SHARE).to(batch.device)
        step = int(torch.randint(2, MOST_SKIPPED + 1, (1,), generator=generator))
        if self.pseudo == "none" or batch.shape[1] <= step or not too_fast.any():
            return self._loss(self.rebuild(batch)[0], batch)
        losses = torch.empty(len(batch), device=batch.device)
        if not too_fast.all():
            losses[~too_fast] = self._loss(self.rebuild(batch[~too_fast])[0], batch[~too_fast])
        given = batch[too_fast, ::step]
        # What the frame would be, had only one passed since the one before.
        wanted = batch[too_fast, 1 : 1 + step * (given.shape[1] - 1) : step]
        losses[too_fast] = self._loss(self.rebuild(given)[0][:, 1:], wanted)
        return losses

    def scores(self, batch: Tensor) -> Tensor:
        """Return the mean of each frame's worst errors, mean over the second half of the sequence."""
        errors = self._squares(self.rebuild(batch)[0], batch).mean(dim=2).sqrt()[:, batch.shape[1] // 2 :].flatten(2)
        return errors.topk(max(1, round(WORST_SHARE * errors.shape[2])), dim=2).values.mean(dim=(1, 2))

    def _loss(self, rebuilt: Tensor, wanted: Tensor) -> Tensor:
        return self._squares(rebuilt, wanted).mean(dim=(1, 2, 3, 4))

    def _squares(self, rebuilt: Tensor, wanted: Tensor) -> Tensor:
        """Turn (B, T, C, h, w) both into squared errors of the channels that the network rebuilds."""
        channels = self.network.rebuilt_channels
        return (rebuilt[:, :, :channels] - wanted[:, :, :channels]).square()


@dataclass(frozen=True)
class WarmUp:
    """How many times larger a normal frame's error is while the memory fills, than when it is full."""

    factors: Tensor = field(default_factory=lambda: torch.ones(1))
    """float32 (T,), positive: of a clip's first frame, its second, …; then 1."""

    @classmethod
    def learn(cls, starts: Iterable[Tensor]) -> "WarmUp":
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
