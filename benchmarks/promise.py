"""Whether the printed bounds hold, on a real category and in simulation, and what breaks them.

python benchmarks/promise.py [--method patchknn] [--dataset mvtec:screw] [--rate 1%] [--resamples 1000]

The first table is of real data: the rate on the good images of the test split, and the bounds in resamples of the
run's own normal scores. The second needs no data: thresholds from scores that are, or are not, exchangeable with those
of new good parts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _setting import data_root, heading
from numpy.typing import NDArray
from scipy import stats

from adkit.cli.terminal import terminal_progress
from adkit.data.datasets import open_datasets
from adkit.evaluation.evaluate import evaluate
from adkit.registry import load_registry
from adkit.runs.record import FitSettings, Suspects
from adkit.stats.calibration import CERTAINTY, ThresholdRule, parse_rate, threshold_from, unit_scores
from adkit.workflows.fit import fit
from adkit.workflows.learning import why_kept
from adkit.workflows.score import Workplace, calibrating_scores

IMAGES = 100
COPIES = 10
CLIPS = 10


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="patchknn")
    parser.add_argument("--dataset", default="mvtec:screw")
    parser.add_argument("--rate", default="1%")
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    rule = ThresholdRule("expected", parse_rate(arguments.rate))
    heading(f"promise: {arguments.method} on {arguments.dataset}, {rule}, {arguments.resamples} resamples")
    _real(arguments, rule)
    _simulated(arguments.resamples)


def _real(arguments: argparse.Namespace, rule: ThresholdRule) -> None:
    registry = load_registry()
    print("| category | threshold | new good images flagged | bound holds in resamples | mean rate in resamples |")
    print("|---|---|---|---|---|")
    for dataset in open_datasets(arguments.dataset, data_root(), registry):
        with tempfile.TemporaryDirectory() as folder:
            settings = FitSettings(method=arguments.method, max_false_alarms=arguments.rate)
            run = fit(settings, dataset, Path(folder), registry, terminal_progress())
            evaluation = evaluate(run, Workplace(registry, progress=terminal_progress()))
            _, scores = calibrating_scores(run, registry)
        rates, threshold = _resampled(scores, rule, arguments.resamples)
        print(
            f"| {dataset.spec} | {threshold} | {evaluation.rates.false_alarms} "
            f"| {np.mean(rates <= evaluation.threshold.certain_rate):.1%} | {rates.mean():.2%} |\n",
            flush=True,
        )


def _resampled(scores: NDArray[np.float64], rule: ThresholdRule, resamples: int) -> tuple[NDArray[np.float64], str]:
    """Rates of thresholds from draws of a continuous distribution that runs through the run's normal scores."""
    generator = np.random.default_rng(0)
    ordered = np.sort(scores)
    levels = (np.arange(len(ordered)) + 0.5) / len(ordered)
    rates = []
    for _ in range(resamples):
        draw = np.interp(generator.random(len(ordered)), levels, ordered)
        # Below the lowest and above the highest score the distribution has jumps: ties, which err on the safe side.
        value = threshold_from(draw, rule).value
        rates.append(0.0 if value >= ordered[-1] else 1 - float(np.interp(value, ordered, levels)))
    return np.array(rates), threshold_from(scores, rule).promise()


def _simulated(resamples: int) -> None:
    """Thresholds for 5 % from sets of normal scores that were had in good and in bad ways."""
    rule = ThresholdRule(level=0.05)
    ways: dict[str, Callable[[np.random.Generator], tuple[NDArray[np.float64], Callable[[float], float]]]] = {
        f"{IMAGES} new good images": _fresh,
        f"{IMAGES} images that the memory has learned from (scores a fifth lower)": _learned,
        f"{IMAGES} images, each with {COPIES - 1} augmented copies counted as images": _copied,
        f"{CLIPS} clips of {IMAGES} alike frames, each frame counted": _frames,
        f"{CLIPS} clips of {IMAGES} alike frames, each clip counted once (per clip)": _clips,
        f"{IMAGES} images, 3 of them defective": _contaminated,
        f"{IMAGES} images, 3 of them defective, --robust": lambda generator: _robust(_contaminated(generator)),
        f"{IMAGES} new good images, --robust": lambda generator: _robust(_fresh(generator)),
    }
    print(f"Promised: 5 % on average; the printed bound should hold in {CERTAINTY:.0%} of all cases.\n")
    print("| normal scores from | mean rate of false alarms | printed bound | bound holds |")
    print("|---|---|---|---|")
    for name, way in ways.items():
        generator = np.random.default_rng(0)
        rates, bounds = [], []
        for _ in range(resamples):
            scores, rate_above = way(generator)
            threshold = threshold_from(scores, rule)
            rates.append(rate_above(threshold.value))
            bounds.append(threshold.certain_rate)
        held = np.mean(np.array(rates) <= np.array(bounds))
        print(f"| {name} | {np.mean(rates):.1%} | {np.median(bounds):.1%} | {held:.1%} |", flush=True)


def _fresh(generator: np.random.Generator) -> tuple[NDArray[np.float64], Callable[[float], float]]:
    return np.exp(0.3 * generator.standard_normal(IMAGES)), _rate_of_images


def _learned(generator: np.random.Generator) -> tuple[NDArray[np.float64], Callable[[float], float]]:
    return 0.8 * _fresh(generator)[0], _rate_of_images


def _copied(generator: np.random.Generator) -> tuple[NDArray[np.float64], Callable[[float], float]]:
    jitter = np.exp(0.03 * generator.standard_normal((COPIES, IMAGES)))
    return (_fresh(generator)[0] * jitter).ravel(), _rate_of_images


def _contaminated(generator: np.random.Generator) -> tuple[NDArray[np.float64], Callable[[float], float]]:
    scores = _fresh(generator)[0]
    scores[:3] += 5
    return scores, _rate_of_images


def _robust(
    way: tuple[NDArray[np.float64], Callable[[float], float]],
) -> tuple[NDArray[np.float64], Callable[[float], float]]:
    """Leave out what a robust fit does; learning anew changes no score here."""
    scores, rate = way
    total = len(scores)
    while suspects := Suspects.among_scores([str(place) for place in range(len(scores))], scores):
        if why_kept(suspects, total - len(scores)):
            break
        scores = np.delete(scores, [int(name) for name in suspects.scores])
    return scores, rate


def _frames(generator: np.random.Generator) -> tuple[NDArray[np.float64], Callable[[float], float]]:
    levels = 0.3 * generator.standard_normal((CLIPS, 1))
    return np.exp(levels + 0.05 * generator.standard_normal((CLIPS, IMAGES))).ravel(), _rate_of_clips


def _clips(generator: np.random.Generator) -> tuple[NDArray[np.float64], Callable[[float], float]]:
    scores, rate = _frames(generator)
    return unit_scores(scores, [str(clip) for clip in range(CLIPS) for _ in range(IMAGES)])[0], rate


def _rate_of_images(threshold: float) -> float:
    return float(stats.norm.sf(np.log(threshold) / 0.3))


_LEVELS = stats.norm.ppf((np.arange(2000) + 0.5) / 2000)


def _rate_of_clips(threshold: float) -> float:
    """Return the share of new clips with any frame above the threshold: the mean over what level a clip may have."""
    quiet = stats.norm.cdf((np.log(threshold) - 0.3 * _LEVELS) / 0.05) ** IMAGES
    return float(1 - quiet.mean())


if __name__ == "__main__":
    main()
