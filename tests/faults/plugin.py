"""Methods for the suite of faults: one that is quick and can be resumed, and those that do wrong at every step."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from adkit.hookspecs import hookimpl
from adkit.interfaces import Batches, MethodEntry, Metric, MetricEntry, Progress, Workspace
from adkit.nn.training.checkpoints import Checkpoint, Checkpoints
from adkit.types import Batch, MetricValue, Prediction
from tests.greys import Grey

STEPS = 20


class Steps(Grey):
    """Comes to the mean step by step, each of which is kept, so that it can be resumed."""

    default_scorer = "max"
    pause_s: ClassVar[float] = 0.004

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        kept = Checkpoints(workspace() if workspace else None)
        found, step, self.mean = kept.read(), 0, torch.zeros(())
        if found is not None:
            step, self.mean = found.numbers["step"], found.tensors["all"]["mean"]
        whole = torch.cat([self.brightness(batch) for batch in batches]).mean()
        while step < STEPS:
            self.mean = self.mean + (whole - self.mean) * torch.rand((), generator=torch.Generator().manual_seed(step))
            step += 1
            kept.write(Checkpoint({"all": {"mean": self.mean}}, {"step": step}))
            time.sleep(self.pause_s)

    def predict(self, batch: Batch) -> Prediction:
        return Prediction(maps=255 * batch.frames[:, -1].mean(dim=1) - self.mean)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.mean = state["mean"]


def _raise() -> None:
    raise ValueError("a plugin's own fault")


DEEDS: dict[str, Callable[[], Any]] = {
    "raises": _raise,
    "exits": lambda: sys.exit(0),
    "ends": lambda: os._exit(0),
    "prints": lambda: print("not a result"),
    "wants_memory": lambda: torch.empty(10**15),
}
PLACES = ("__init__", "fit", "predict", "state", "load_state")


def _evil(deed: str, place: str) -> type[Steps]:
    """A method that does something at a place, and else what it should."""

    def act(self: Any, *arguments: Any, **named: Any) -> Any:
        DEEDS[deed]()
        return getattr(Steps, place)(self, *arguments, **named)

    return type(f"Evil_{deed}_{place}", (Steps,), {place: act, "pause_s": 0.0, "__module__": __name__})


class NotANumber(Steps):
    """Learns, and then answers with what is no number."""

    def predict(self, batch: Batch) -> Prediction:
        return Prediction(maps=255 * batch.frames[:, -1].mean(dim=1) * float("nan"))


EVIL = {f"{deed}_{place.strip('_')}": _evil(deed, place) for deed in DEEDS for place in PLACES} | {"nan": NotANumber}


class Deeds(Metric):
    """A metric that does what $DEED says."""

    def __call__(self, results: Any) -> MetricValue:
        DEEDS.get(os.environ.get("DEED", ""), lambda: None)()
        return MetricValue(1.0)


@hookimpl
def adkit_methods() -> Iterable[MethodEntry]:
    return [MethodEntry(name, "for tests", method) for name, method in {"steps": Steps, **EVIL}.items()]


@hookimpl
def adkit_metrics() -> Iterable[MetricEntry]:
    return [MetricEntry("deeds", "for tests", Deeds)]
