"""A method gives images exactly when its class says that it reconstructs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from adkit.interfaces import Batches, Method, Progress, Workspace
from adkit.options import Options
from adkit.types import Batch, Prediction
from tests.conforming import check_method


class Rebuilds(Method[Options]):
    """Distance to the mean frame, which is its reconstruction."""

    default_scorer = "max"
    reconstructs: ClassVar[bool] = True
    frame_size = (16, 16)

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        self.frames = torch.cat([batch.frames[:, -1] for batch in batches])
        self.mean = self.frames.mean(dim=0)

    def predict(self, batch: Batch) -> Prediction:
        rebuilt = self.mean.expand(len(batch), -1, -1, -1)
        return Prediction(maps=(batch.frames[:, -1] - rebuilt).abs().mean(dim=1), images=rebuilt.contiguous())

    def state(self) -> dict[str, Tensor]:
        return {"mean": self.mean}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.mean = state["mean"]


class SaysNothing(Rebuilds):
    reconstructs: ClassVar[bool] = False


class GivesNothing(Rebuilds):
    def predict(self, batch: Batch) -> Prediction:
        return dataclasses.replace(super().predict(batch), images=None)


class CalibratesWithoutImages(Rebuilds):
    def calibration(self) -> Prediction | None:
        count = len(self.frames)
        others = (self.frames.sum(dim=0) - self.frames) / (count - 1)
        return Prediction(maps=(self.frames - others).abs().mean(dim=1))


@pytest.mark.parametrize("method", [Rebuilds, CalibratesWithoutImages])
def test_a_method_that_reconstructs_passes(method: type[Method[Options]]) -> None:
    check_method(method)


@pytest.mark.parametrize(
    ("method", "complaint"),
    [
        (SaysNothing, "a method that gives images must say so: reconstructs = True"),
        (GivesNothing, "a method that reconstructs must give images"),
    ],
)
def test_a_class_that_says_otherwise_fails(method: type[Method[Options]], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_method(method)
