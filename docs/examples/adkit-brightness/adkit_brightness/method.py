"""How unusual a part's mean brightness is: the smallest complete method."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from adkit import Batch, Batches, Method, Options, Prediction, Progress, Workspace


class BrightnessOptions(Options):
    side: int = Field(default=64, ge=1, le=1024, description="frames are shrunk to this many px a side")


class Brightness(Method[BrightnessOptions]):
    """Spreads between a frame's mean brightness and that of the normal frames."""

    Options = BrightnessOptions

    @property
    def frame_size(self) -> tuple[int, int]:
        return (self.options.side, self.options.side)

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        means = []
        with progress.task("brightness", len(batches)) as advance:
            for batch in batches:
                means.append(self._brightness(batch))
                advance(len(batch))
        known = torch.cat(means)
        self._mean, self._spread = known.mean(), known.std().clamp_min(1e-6)

    def predict(self, batch: Batch) -> Prediction:
        return Prediction(scores=((self._brightness(batch) - self._mean) / self._spread).abs())

    def state(self) -> dict[str, Tensor]:
        return {"mean": self._mean, "spread": self._spread}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self._mean, self._spread = state["mean"], state["spread"]

    @staticmethod
    def _brightness(batch: Batch) -> Tensor:
        return batch.frames[:, -1].mean(dim=(1, 2, 3))  # (B,)
