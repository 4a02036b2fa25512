"""Small videos of a press in which a grey changes, a dataset of them, and a method that remembers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from adkit.data.datasets import open_datasets
from adkit.data.video import video_times
from adkit.errors import DatasetError
from adkit.interfaces import Batches, Dataset, DatasetEntry, Method, Progress, Stream, Workspace
from adkit.registry import Plugin, Registry
from adkit.runs.record import FitSettings
from adkit.runs.store import Run
from adkit.types import Batch, FrameRef, Prediction, Sample, Split
from adkit.workflows.fit import fit
from tests.greys import METHODS, SPREAD, USUAL, Grey, GreyMaps, with_methods
from tests.videos import write_greys

RATE = 10
TRUTH = "truth.json"

Frames = tuple[str, float]
"""A letter for each frame, "." for a normal one, and how many spreads brighter the others are."""


class Videos(Dataset):
    """Videos in train/ and test/, and truth.json: the letters of each test video, and what they mean."""

    def __init__(self, folder: Path) -> None:
        self.spec, self.root = f"videos:{folder}", None
        self._folder = folder

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        """The videos in that folder."""
        if not (Path(selection) / TRUTH).is_file():
            raise DatasetError(f"no videos in {selection}", hint="write some")
        return [cls(Path(selection))]

    def samples(self, split: Split) -> list[Sample]:
        """All frames."""
        truth = json.loads((self._folder / TRUTH).read_text(encoding="utf-8"))
        found = []
        for path in sorted((self._folder / split).glob("*.mp4")):
            clip, times = f"{split}/{path.stem}", video_times(path)
            letters = truth["videos"].get(path.stem, "." * len(times))
            found += [
                Sample(
                    f"{clip}#{number}",
                    FrameRef(path, number),
                    clip,
                    number,
                    letter != ".",
                    None if letter == "." else truth["kinds"].get(letter, letter),
                    timestamp_s=float(time_s),
                )
                for number, (letter, time_s) in enumerate(zip(letters, times, strict=True))
            ]
        return found


class GreyMemory(GreyMaps):
    """How far the brightness lies from the mean of all that the clip has shown so far, and an image of that mean."""

    reconstructs: ClassVar[bool] = True

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        super().fit(batches, progress)
        assert all(batch.frames.shape[1] == 1 for batch in batches)

    def predict(self, batch: Batch) -> Prediction:
        levels = 255 * batch.frames.mean(dim=(2, 3, 4))
        return self._judged(levels[:, -1], levels.mean(dim=1))

    def stream(self) -> Stream:
        state: dict[str, Any] = {"clip": None}

        def judge(batch: Batch) -> Prediction:
            levels, means = self.brightness(batch), []
            for clip, level in zip(batch.clips, levels.tolist(), strict=True):
                if clip != state["clip"]:
                    state.update(clip=clip, total=0.0, count=0)
                state.update(total=state["total"] + level, count=state["count"] + 1)
                means.append(state["total"] / state["count"])
            return self._judged(levels, torch.tensor(means))

        return judge

    @staticmethod
    def _judged(levels: torch.Tensor, means: torch.Tensor) -> Prediction:
        apart = (levels - means).abs().float()
        images = (means / 255).float().clamp(0, 1)[:, None, None, None].repeat(1, 3, 8, 8)
        return Prediction(maps=apart[:, None, None].repeat(1, 2, 2), images=images)


def press_registry(more: Mapping[str, type[Method[Any]]] | None = None) -> Registry:
    """The installed plugins, the grey methods, one with a memory, and the videos."""
    registry = with_methods({**METHODS, "grey_memory": GreyMemory, **(more or {})})
    registry.datasets.add(
        DatasetEntry("videos", "videos for tests", Videos, "videos:PATH"), Plugin("videos", "", "tests", "1")
    )
    return registry


def write_press(
    folder: Path,
    test: Mapping[str, Frames],
    *,
    train: Sequence[int] = (12,) * 24,
    kinds: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Path:
    """Training videos of so many frames each, test videos by name, and their truth; ten frames a second."""
    random = np.random.default_rng(seed)

    def write(path: Path, frames: str, spreads: float) -> None:
        usual = random.normal(USUAL, SPREAD / 2)
        levels = usual + random.normal(0, SPREAD, len(frames))
        levels += [SPREAD * spreads * (letter != ".") for letter in frames]
        write_greys(path, levels.clip(0, 255).astype(int).tolist(), rate=RATE)

    for number, count in enumerate(train):
        write(folder / "train" / f"{number:02d}.mp4", "." * count, 0)
    for name, (frames, spreads) in test.items():
        write(folder / "test" / f"{name}.mp4", frames, spreads)
    truth = {"videos": {name: frames for name, (frames, _) in test.items()}, "kinds": dict(kinds or {})}
    (folder / TRUTH).write_text(json.dumps(truth), encoding="utf-8")
    return folder


PRESS: dict[str, Frames] = {
    "calm": ("." * 30, 0),
    "quiet": ("." * 25, 0),
    "stopped": ("." * 10 + "s" * 15 + "." * 10, 14),
    "jerking": ("." * 8 + "j" * 6 + "." * 12 + "j" * 6 + "." * 3, 10),
    "hardly": ("." * 12 + "j" * 5 + "." * 8, 0.5),
}
KINDS = {"s": "stop", "j": "jerk"}


def fit_press(registry: Registry, folder: Path, runs: Path, method: str = "grey_maps", **settings: Any) -> Run:
    """A run on the videos in that folder."""
    (dataset,) = open_datasets(f"videos:{folder}", None, registry)
    return fit(FitSettings(method=method, device="cpu", **settings), dataset, runs, registry)


__all__ = ["KINDS", "PRESS", "RATE", "Grey", "GreyMemory", "Videos", "fit_press", "press_registry", "write_press"]
