"""Scoring against what it cannot do without, in the same run; the backbone alone, products at the processor's peak.

The backbone alone is timed on a frame of the method's size, and on all pixels that the method shows it: both scales
with their margins, and the image as a whole. The floor is the latter, and all products of patches and bank as fast as
one large matrix product is. Then from files to scores, with decoding, which goes on beside it.

python benchmarks/scoring.py [--dataset mvtec:screw]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from _setting import data_root, heading, in_turns, median_ratio

from adkit.cli.terminal import terminal_progress
from adkit.data.batches import FrameBatches
from adkit.data.datasets import open_datasets
from adkit.data.frame_source import frames_of
from adkit.nn.features.backbones import Backbone
from adkit.nn.features.onnx_session import OnnxSession, exported_model
from adkit.registry import load_registry
from adkit.runs.record import FitSettings
from adkit.types import Batch
from adkit.workflows.fit import fit
from adkit.workflows.score import open_model

ROUNDS = 40


class _JoinedLevels(torch.nn.Module):
    """The backbone alone, its levels in one output so that one session gives all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.cat([level.flatten(1) for level in self.backbone(frames)], dim=1)


def bare_backbone(size: tuple[int, int]) -> OnnxSession:
    """Return the backbone alone for frames of `size` = (height, width) px."""
    # Only adkit's own exports belong in the user's cache.
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, ADKIT_CACHE=folder):
        model = exported_model("bare-backbone", _JoinedLevels, size, dict)
    assert model is not None
    return OnnxSession(model)


def main() -> None:
    """Fit once, then measure frame by frame in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="mvtec:screw")
    arguments = parser.parse_args()
    heading("scoring: milliseconds per image, batch of one")
    registry = load_registry()
    (dataset,) = open_datasets(arguments.dataset, data_root(), registry)
    with tempfile.TemporaryDirectory() as folder:
        run = fit(FitSettings(method="patchknn"), dataset, Path(folder), registry, terminal_progress())
        judge = open_model(run, registry)
        size, view = judge.method.frame_size, judge.view
        sizes = [size, *sizes_shown(judge.method)]
        bare = [(bare_backbone(one), torch.rand(1, 3, *one)) for one in sizes]
        samples = dataset.samples("test")
        batch = next(iter(FrameBatches(samples, view)))
        single = Batch(batch.frames[:1], batch.ids[:1], batch.clips[:1])

        def same_pixels() -> None:
            for session, frame in bare[1:]:
                session(frames=frame)

        (session, frame), method = bare[0], judge.method
        bare_s, same_s, predict_s = in_turns(
            [lambda: session(frames=frame), same_pixels, lambda: method.predict(single)], ROUNDS
        )
        started = time.perf_counter()
        decoded = sum(len(one) for one in FrameBatches(samples, view))
        decode_s = (time.perf_counter() - started) / decoded
        judge.method.predict(batch)  # what several frames need is made ready for the first ones
        started = time.perf_counter()
        scored = sum(1 for _ in judge.stream(frames_of(samples, view)))
        whole_s = (time.perf_counter() - started) / scored
    columns = ("size", "bank", "backbone", "on the same pixels", "products", "floor", "scoring", "/ backbone")
    print("|", " | ".join((*columns, "/ on the same pixels", "decoding alone", "files to scores")), "|")
    print("|---" * 11, "|", sep="")
    bare_ms, same_ms, predict_ms = (1000 * statistics.median(times) for times in (bare_s, same_s, predict_s))
    products_ms = 1000 * products_s(dict(run.record.facts), size)
    print(
        f"| {size[0]}×{size[1]} | {run.record.facts['bank']} | {bare_ms:.1f} | {same_ms:.1f} | {products_ms:.1f} "
        f"| {same_ms + products_ms:.1f} | {predict_ms:.1f} | {median_ratio(predict_s, bare_s):.2f} "
        f"| {median_ratio(predict_s, same_s):.2f} | {decode_s * 1000:.1f} | {whole_s * 1000:.1f} |"
    )


def sizes_shown(method: Any) -> list[tuple[int, int]]:
    """Return (height, width) of all that the method shows the backbone of one frame."""
    sizes, whole = [], [method._scales[-1].frame_size] if method._overview else []
    for one in method._scales:
        margin = one._features.network(one.frame_size).margin
        sizes.append((one.frame_size[0] + 2 * margin, one.frame_size[1] + 2 * margin))
    return sizes + whole


def products_s(facts: dict[str, Any], size: tuple[int, int]) -> float:
    """Return how long the products of every other patch with the bank would take at the speed of one large product."""
    large = torch.rand(2048, 2048)
    (times,) = in_turns([lambda: large @ large], 10)
    positions = size[0] * size[1] // 8**2 // 2
    products = positions * facts["bank"] + positions // 4 * facts.get("context_bank", 0)
    return products * (facts["features"] + 1) / 2048**3 * min(times)


if __name__ == "__main__":
    main()
