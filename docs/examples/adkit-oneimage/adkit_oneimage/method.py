"""The one image that differs least from all normal ones: the smallest method that trains a network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from adkit import Batch, Batches, FitReport, Method, Prediction, Progress, Workspace
from adkit.nn.options import TrainingOptions
from adkit.nn.training.frame_store import STOPPING_SHARE, FrameStore, hold_out
from adkit.nn.training.loop import Objective, TrainingRows, train


class OneImage(Objective):
    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.full((3, *size), 0.5))

    def forward(self, batch: Tensor, draw: int) -> Tensor:
        """Return the losses (B,) of frames (B, 3, H, W); `draw` seeds whatever is random in them."""
        return self.difference(batch).mean(dim=(1, 2))

    def scores(self, batch: Tensor) -> Tensor:
        """Return (B,), to see how well corrupted rows stand out where TrainingRows has some."""
        return self.difference(batch).amax(dim=(1, 2))

    def difference(self, batch: Tensor) -> Tensor:
        return (batch - self.image).abs().mean(dim=1)


class OneImageMethod(Method[TrainingOptions]):
    Options = TrainingOptions
    default_scorer = "top1"

    def __init__(self, options: TrainingOptions, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        self.objective = OneImage(self.frame_size)

    @property
    def frame_size(self) -> tuple[int, int]:
        return (64, 64)

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> FitReport:
        store = FrameStore.collect(batches, progress)
        training, held_out = (store.take(rows) for rows in hold_out(store.clips, STOPPING_SHARE, self.seed))
        trained = train(
            self.objective,
            TrainingRows(training, held_out),
            self.options,
            seed=self.seed,
            device=self.device,
            progress=progress,
            folder=workspace() if workspace else None,
        )
        return FitReport(trained.facts(), trained.curves)

    @torch.inference_mode()
    def predict(self, batch: Batch) -> Prediction:
        maps = self.objective.to(self.device).difference(batch.frames[:, -1].to(self.device))
        return Prediction(maps=maps.cpu())

    def state(self) -> dict[str, Tensor]:
        return self.objective.state_dict()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.objective.load_state_dict(state)
