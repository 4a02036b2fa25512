"""Do intervals by clip hold what they say? Simulated clips whose frames are alike, in many repetitions.

    python benchmarks/clip_intervals.py

Each clip has a level of its own, which all its frames share, and each frame noise of its own; events are higher. The
true AUROC is that of very many clips. An interval that draws frames takes each for an independent image.
"""

from __future__ import annotations

import argparse

import numpy as np
from _setting import heading
from adkit_metrics.ranking import FrameAuroc
from numpy.typing import NDArray

from adkit.stats.bootstrap import interval_of, resampled
from adkit.types import LabelledResults

CLIPS, FRAMES, EVENT = 24, 60, 20  # half of the clips have an event of so many frames
CLIP_SPREAD, SHIFT = 1.0, 1.5  # against a frame's noise of 1


def simulated(random: np.random.Generator, clips: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return (clips, frames) scores and truth."""
    truth = np.zeros((clips, FRAMES), bool)
    truth[: clips // 2, FRAMES // 3 : FRAMES // 3 + EVENT] = True
    shift = random.normal(SHIFT, CLIP_SPREAD / 2, (clips, 1)) * truth  # some events are clearer than others
    levels = random.normal(0, CLIP_SPREAD, (clips, 1))
    return levels + shift + random.normal(0, 1, truth.shape), truth


def results_of(scores: NDArray[np.float64], truth: NDArray[np.bool_], *, frames_apart: bool) -> LabelledResults:
    """Give it as clips; or with pairs of frames for clips, as if nearly each frame were drawn by itself."""
    size = 2 if frames_apart else FRAMES
    return LabelledResults(
        scores=scores.ravel(),
        anomalous=truth.ravel(),
        kinds=("any",) * scores.size,
        threshold=0.0,
        pixel_threshold=None,
        maps=None,
        has_masks=False,
        pixels=lambda: iter(()),
        clips=tuple(str(number // size) for number in range(scores.size)),
        times_s=np.zeros(scores.size),
        alarms=np.zeros(scores.size, bool),
    )


def main() -> None:
    """Print how often the true AUROC lies in the interval, and how wide it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=300)
    parser.add_argument("--resamples", type=int, default=400)
    settings = parser.parse_args()
    metric, random = FrameAuroc(), np.random.default_rng(0)
    expected = metric(results_of(*simulated(random, 4000), frames_apart=False)).value
    heading("clip_intervals: 95 % intervals by clip and by frame")
    print(f"true AUROC {expected:.4f}; {CLIPS} clips of {FRAMES} frames, {settings.repetitions} repetitions")
    print("| drawn | interval holds the true AUROC | its mean width |\n|---|---|---|")
    drawn = [simulated(random, CLIPS) for _ in range(settings.repetitions)]
    for title, frames_apart in (("clips", False), ("frames", True)):
        held, widths = [], []
        for number, (scores, truth) in enumerate(drawn):
            results = results_of(scores, truth, frames_apart=frames_apart)
            value = metric(results).value or 0.0
            found = resampled(results, {"auroc": (metric, value)}, resamples=settings.resamples, seed=number)
            interval = interval_of(found["auroc"])
            assert interval is not None
            held.append(interval.low <= (expected or 0.0) <= interval.high)
            widths.append(interval.high - interval.low)
        print(f"| {title} | {np.mean(held):.1%} | {np.mean(widths):.3f} |", flush=True)


if __name__ == "__main__":
    main()
