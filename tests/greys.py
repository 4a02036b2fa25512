"""A method that looks at brightness only, and small grey images for it: a run takes milliseconds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from adkit.errors import DatasetError
from adkit.files.atomic import prefix_of, remove_abandoned
from adkit.interfaces import Batches, Dataset, Method, MethodEntry, Progress, Workspace
from adkit.options import Options
from adkit.registry import Plugin, Registry, load_registry
from adkit.runs.record import FitSettings
from adkit.runs.store import Run
from adkit.stats.calibration import ThresholdRule
from adkit.types import Batch, FrameRef, Prediction, Sample, Split
from adkit.workflows.fit import fit

SIDE = 8
USUAL, SPREAD = 120.0, 5.0
"""The brightness of good parts, 0..255: a normal distribution's mean and standard deviation."""


class Grey(Method[Options]):
    """How much brighter an image is than the training images' mean; cannot calibrate itself."""

    frame_size = (SIDE, SIDE)  # type: ignore[assignment]
    fits: ClassVar[int] = 0  # of all methods in this module

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        Grey.fits += 1
        self.known = torch.cat([self.brightness(batch) for batch in batches])
        self.mean = self.known.mean()

    def predict(self, batch: Batch) -> Prediction:
        return Prediction(scores=self.brightness(batch) - self.mean)

    def state(self) -> dict[str, Tensor]:
        return {"mean": self.mean}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.mean = state["mean"]

    @staticmethod
    def brightness(batch: Batch) -> Tensor:
        return 255 * batch.frames[:, -1].mean(dim=(1, 2, 3))


class GreyWithoutOne(Grey):
    """Calibrates itself: each image against the mean of the others."""

    def calibration(self) -> Prediction | None:
        count = len(self.known)
        return Prediction(scores=self.known - (self.known.sum() - self.known) / (count - 1))


class GreyMaps(Grey):
    """Gives maps, no scores."""

    default_scorer = "max"

    def predict(self, batch: Batch) -> Prediction:
        return Prediction(maps=255 * batch.frames[:, -1].mean(dim=1) - self.mean)


class GreyDemanding(Grey):
    """Needs fifty images to learn from."""

    least_samples = 50


METHODS: dict[str, type[Grey]] = {
    "grey": Grey,
    "grey_without_one": GreyWithoutOne,
    "grey_maps": GreyMaps,
    "grey_demanding": GreyDemanding,
}


def with_methods(methods: Mapping[str, type[Method[Any]]]) -> Registry:
    """The installed plugins, and one that brings these methods."""

    registry = load_registry()
    plugin = Plugin("greys", "tests.greys", "adkit-tests", "1")
    for name, method in methods.items():
        registry.methods.add(MethodEntry(name, "a method for tests", method), plugin)
    return registry


def paint(folder: Path, levels: Iterable[float], *, seed: int = 0, name: str = "") -> list[Path]:
    """An image of each brightness, in a folder that is made: <name>000.png and so on."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, level in enumerate(levels):
        # Between two grey levels, as many pixels have the upper one as the brightness says. Half of the pixels are
        # brighter and half are darker by the same amount: no two images are alike, whatever their brightness.
        fractions, grain = random.permutation(SIDE * SIDE) / (SIDE * SIDE), random.permutation([-4, 4] * (SIDE * 4))
        pixels = np.floor(level + fractions + grain).reshape(SIDE, SIDE)
        paths.append(folder / f"{name}{number:03d}.png")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(paths[-1])
    return paths


def usual_levels(count: int, seed: int) -> list[float]:
    """What good parts look like."""
    return np.random.default_rng([count, seed]).normal(USUAL, SPREAD, count).tolist()


class Greys(Dataset):
    """Images to learn from; of a clip's frames each is a file of its own."""

    spec = "greys:all"

    def __init__(self, paths: Sequence[Path], clips: Sequence[str] | None = None) -> None:
        names = clips or [f"train/{number:03d}" for number in range(len(paths))]
        self.train = [
            Sample(f"train/{number:03d}", FrameRef(path), clip, anomalous=False)
            for number, (path, clip) in enumerate(zip(paths, names, strict=True))
        ]

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        raise DatasetError(f"there is no {selection}", hint="make one")

    def samples(self, split: Split) -> list[Sample]:
        assert split == "train", "only the training split may be asked for"
        return list(self.train)


def fit_greys(
    registry: Registry,
    dataset: Dataset,
    runs: Path,
    *,
    method: str = "grey",
    rule: ThresholdRule | None = None,
    seed: int = 0,
) -> Run:
    """A run of a method of this module."""
    settings = FitSettings(method=method, seed=seed, device="cpu", smoothing=0, **promised(rule or ThresholdRule()))
    return fit(settings, dataset, runs, registry)


def promised(rule: ThresholdRule) -> dict[str, Any]:
    """The settings that ask for the rule."""
    if rule.kind == "usual":
        return {}
    if rule.kind == "percentile":
        return {"percentile": 100 * (1 - rule.level)}
    rate = f"{rule.level!r}/h" if rule.hourly else repr(rule.level)
    return {"max_false_alarms": rate, "certain": rule.kind == "certain"}


def left_by_a_killed_process(target: Path) -> Path:
    """The folder in which such a process was about to write the one of that name."""
    dead = prefix_of(target).replace(f"-{os.getpid()}@", f"-{2**22 + 1}@")
    left = target.with_name(f"{dead}abcd1234")
    left.mkdir(parents=True)
    remove_abandoned.cache_clear()
    return left


def bytes_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones included, with what it holds."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
