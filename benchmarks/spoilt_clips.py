"""How well spoilt normal clips stand out from the same clips as they are: a criterion that needs no test label.

python benchmarks/spoilt_clips.py [--dataset ipad:ped2] [--methods convlstm "patchknn size=256x384" …]

Every fourth training clip is kept from the method, then judged as it is, and spoilt: with every third frame only
(fast), backwards, its frames shuffled, with a part of the image played three times too fast (part), with a patch of
another clip moving across (patch), with a thing of another colour and texture moving across (thing), and with the light
turned warmer or colder (tint). Frame AUROC of spoilt against plain, smoothed as a run does it, and its mean.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from _setting import data_root, heading
from sklearn.metrics import roc_auc_score
from torch import Tensor

from adkit.cli.terminal import terminal_progress
from adkit.data.batches import FrameBatches
from adkit.data.clips import frame_gap_s, one_in
from adkit.data.datasets import open_datasets
from adkit.data.view import View
from adkit.interfaces import Dataset, Method
from adkit.options import split_assignments
from adkit.registry import load_registry
from adkit.runs.predictions import to_predictions
from adkit.runs.record import FitSettings
from adkit.stats.smoothing import SMOOTHING_S, smoothed
from adkit.types import Batch, Prediction, Sample, Split
from adkit.workflows.fit import fit
from adkit.workflows.score import open_model, open_scorer, raw_scores

METHODS = ("convlstm", "patchknn size=256x384")
KEPT_EVERY = 4
TINT = (1.1, 1.0, 0.9)
PATCH_SHARES = (0.1, 0.25)  # of the frame's height: the least and the largest side of a moving patch
SPEEDS = (0.005, 0.02)  # of the frame's width, in each frame

Spoil = Callable[[Tensor, Tensor, np.random.Generator], Tensor]
"""A clip (n, 3, H, W), another clip and random numbers -> the clip spoilt."""


@dataclass(frozen=True)
class Pace:
    """How far frames are apart, and which of them are judged."""

    gap_s: float
    every: int  # one in so many is judged


class Fewer(Dataset):
    """A dataset without every fourth of its training clips."""

    def __init__(self, dataset: Dataset) -> None:
        self.spec, self.root = dataset.spec, dataset.root
        samples = dataset.samples("train")
        names = list(dict.fromkeys(sample.clip for sample in samples))[KEPT_EVERY - 1 :: KEPT_EVERY]
        self.learned = [sample for sample in samples if sample.clip not in names]
        self.kept = [[sample for sample in samples if sample.clip == name] for name in names]

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        """Nobody names it."""
        raise NotImplementedError

    def samples(self, split: Split) -> list[Sample]:
        """Return what is left to learn from; nothing to test with."""
        return self.learned if split == "train" else []


def fast(clip: Tensor, other: Tensor, rng: np.random.Generator) -> Tensor:
    """Return every third frame only."""
    return clip[::3]


def backwards(clip: Tensor, other: Tensor, rng: np.random.Generator) -> Tensor:
    """Put the last frame first."""
    return clip.flip(0)


def shuffled(clip: Tensor, other: Tensor, rng: np.random.Generator) -> Tensor:
    """In no order."""
    return clip[torch.from_numpy(rng.permutation(len(clip)))]


def patch(clip: Tensor, other: Tensor, rng: np.random.Generator) -> Tensor:
    """Let a patch of another clip move across, and come back at the border."""
    tall, wide = _side_lengths(clip, rng)
    height, width = clip.shape[-2:]
    top, left = int(rng.integers(height - tall)), int(rng.integers(width - wide))
    return _moving(clip, other[int(rng.integers(len(other))), :, top : top + tall, left : left + wide], rng)


def thing(clip: Tensor, other: Tensor, rng: np.random.Generator) -> Tensor:
    """Let something blotchy, of a colour by chance, move across, and come back at the border."""
    tall, wide = _side_lengths(clip, rng)
    blotches = torch.from_numpy(rng.normal(0, 0.15, (1, 3, 4, 4)).astype(np.float32))
    texture = F.interpolate(blotches, (tall, wide), mode="bicubic")[0]
    colour = torch.from_numpy(rng.random((3, 1, 1), dtype=np.float32))
    return _moving(clip, (colour + texture).clamp(0, 1), rng)


def tint(clip: Tensor, other: Tensor, rng: np.random.Generator) -> Tensor:
    """Red and blue by a tenth brighter and darker, or the other way round."""
    factors = torch.tensor(TINT if rng.random() < 0.5 else TINT[::-1])
    return (clip * factors[:, None, None]).clamp(0, 1)


def _side_lengths(clip: Tensor, rng: np.random.Generator) -> tuple[int, int]:
    tall, wide = (int(clip.shape[-2] * rng.uniform(*PATCH_SHARES)) for _ in range(2))
    return tall, wide


def _moving(clip: Tensor, pasted: Tensor, rng: np.random.Generator) -> Tensor:
    """Return the clip with an image (3, h, w) that moves across it."""
    height, width = clip.shape[-2] - pasted.shape[-2], clip.shape[-1] - pasted.shape[-1]
    speed, angle = clip.shape[-1] * rng.uniform(*SPEEDS), rng.uniform(0, 2 * np.pi)
    y, x = rng.uniform(0, height), rng.uniform(0, width)
    found = clip.clone()
    for number, frame in enumerate(found):
        row = _there_and_back(y + number * speed * np.sin(angle), height)
        column = _there_and_back(x + number * speed * np.cos(angle), width)
        frame[:, row : row + pasted.shape[-2], column : column + pasted.shape[-1]] = pasted
    return found


def part(clip: Tensor, other: Tensor, rng: np.random.Generator) -> Tensor:
    """Play a part of the image, a third of its height and width, three times too fast, there and back."""
    height, width = clip.shape[-2] // 3, clip.shape[-1] // 3
    top, left = int(rng.integers(2 * height)), int(rng.integers(2 * width))
    found = clip.clone()
    for number, frame in enumerate(found):
        source = clip[_there_and_back(3 * number, len(clip) - 1)]
        frame[:, top : top + height, left : left + width] = source[:, top : top + height, left : left + width]
    return found


KINDS: tuple[Spoil, ...] = (fast, backwards, shuffled, part, patch, thing, tint)
SPOILT = {kind.__name__: kind for kind in KINDS}


def main() -> None:
    """Fit each method on fewer clips, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="ipad:ped2")
    parser.add_argument("--methods", nargs="+", default=METHODS, metavar="METHOD")
    parser.add_argument("--scorers", default="top1,top5,mean")
    parser.add_argument("--every", type=int, help="learn from every so many-th frame")
    arguments = parser.parse_args()
    registry = load_registry()
    (dataset,) = open_datasets(arguments.dataset, data_root(), registry)
    fewer = Fewer(dataset)
    heading(f"spoilt clips of {dataset.spec}")
    print(f"| method | scorer | {' | '.join(SPOILT)} | mean |")
    print(f"|---|---|{'---|' * len(SPOILT)}---|")
    for spec in arguments.methods:
        name, *assignments = spec.split()
        options = split_assignments(assignments, example="convlstm code=16")
        with tempfile.TemporaryDirectory() as folder:
            settings = FitSettings(method=name, options=options, every=arguments.every)
            run = fit(settings, fewer, Path(folder), registry, terminal_progress())
            gap_s = frame_gap_s(fewer.learned)
            method, pace = open_model(run, registry).method, Pace(gap_s, one_in(run.record.step_s, gap_s))
        clips = [_decoded(samples, method) for samples in fewer.kept]
        plain = [_maps(method, clip, pace) for clip in clips]
        others = clips[1:] + clips[:1]
        rng = np.random.default_rng(0)
        spoilt = {
            kind: [_maps(method, corrupt(clip, other, rng), pace) for clip, other in zip(clips, others, strict=True)]
            for kind, corrupt in SPOILT.items()
        }
        for scorer in arguments.scorers.split(","):
            normal = _scores(plain, scorer, registry, pace)
            aurocs = [_auroc(normal, _scores(spoilt[kind], scorer, registry, pace)) for kind in SPOILT]
            print(
                f"| {spec} | {scorer} | {' | '.join(f'{auroc:.3f}' for auroc in [*aurocs, np.mean(aurocs)])} |",
                flush=True,
            )


def _there_and_back(place: float, last: int) -> int:
    """Return a place on the way from 0 to `last` and back, again and again."""
    gone = abs(place) % max(1, 2 * last)
    return round(min(gone, 2 * last - gone))


def _decoded(samples: list[Sample], method: Method[Any]) -> Tensor:
    return torch.cat([batch.frames[:, -1] for batch in FrameBatches(samples, View(frame=method.frame_size))])


def _maps(method: Method[Any], clip: Tensor, pace: Pace) -> Tensor:
    """Return the stream's maps of those frames of a clip (n, 3, H, W) that a run judges."""
    stream, parts = method.stream(), []
    numbers = torch.arange(0, len(clip), pace.every)[:, None] - pace.every * torch.arange(method.window - 1, -1, -1)
    for rows in torch.split(numbers.clamp_min(0), 8):
        names = tuple(str(int(row[-1])) for row in rows)
        spans_s = tuple(float(row[-1] - row[0]) * pace.gap_s for row in rows)
        maps = stream(Batch(clip[rows], names, ("clip",) * len(names), spans_s)).maps
        assert maps is not None
        parts.append(maps)
    return torch.cat(parts)


def _scores(clips: list[Tensor], scorer: str, registry: Any, pace: Pace) -> np.ndarray[Any, Any]:
    """Smoothed scores of all frames of clips' maps."""
    found = []
    for number, maps in enumerate(clips):
        names, clip = tuple(map(str, range(len(maps)))), (str(number),) * len(maps)
        times_s = np.arange(len(maps)) * pace.every * pace.gap_s
        predictions = to_predictions(names, clip, Prediction(maps=maps), times_s)
        raw = raw_scores(predictions, open_scorer(scorer, registry))
        found.append(smoothed(raw, clip, times_s, SMOOTHING_S))
    return np.concatenate(found)


def _auroc(normal: np.ndarray[Any, Any], spoilt: np.ndarray[Any, Any]) -> float:
    truth = np.r_[np.zeros(len(normal)), np.ones(len(spoilt))]
    return float(roc_auc_score(truth, np.r_[normal, spoilt]))


if __name__ == "__main__":
    main()
