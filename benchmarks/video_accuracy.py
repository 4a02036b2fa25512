"""Frame accuracy of methods on clips, by how maps become scores: a Markdown table for each method.

python benchmarks/video_accuracy.py [--dataset ipad:ped2] [--methods convlstm,patchknn …] [--scorers max,top1,top5,mean]

A method may be given with options, as in "convlstm task=predict code=16". AUROC and average precision are over all
frames together, never normalised by clip; "each clip" is the mean of the clips' own AUROCs. Intervals resample clips.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _setting import data_root, heading
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from adkit.cli.terminal import terminal_progress
from adkit.data.clips import at_steps
from adkit.data.datasets import open_datasets
from adkit.interfaces import Dataset
from adkit.options import split_assignments
from adkit.registry import Registry, load_registry
from adkit.runs.predictions import Predictions
from adkit.runs.record import FitSettings
from adkit.stats.smoothing import SMOOTHING_S, smoothed
from adkit.workflows.fit import fit
from adkit.workflows.predict import predict_all
from adkit.workflows.score import open_model, open_scorer, raw_scores

METHODS = ("convlstm", "patchknn size=256x384")
RESAMPLES = 500


def main() -> None:
    """Fit each method once, judge the test clips once, and print a table of scorers and smoothing for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="ipad:ped2")
    parser.add_argument("--methods", nargs="+", default=METHODS, metavar="METHOD")
    parser.add_argument("--scorers", default="max,top1,top5,mean")
    parser.add_argument("--smoothings", default=f"0,{SMOOTHING_S}", help="time constants in seconds")
    parser.add_argument("--every", type=int, help="learn from every so many-th frame")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    registry = load_registry()
    (dataset,) = open_datasets(arguments.dataset, data_root(), registry)
    heading(f"frames of {dataset.spec}: seed {arguments.seed}")
    for spec in arguments.methods:
        _judge(spec, dataset, registry, arguments)


def _judge(spec: str, dataset: Dataset, registry: Registry, arguments: argparse.Namespace) -> None:
    name, *assignments = spec.split()
    options = split_assignments(assignments, example="convlstm code=16")
    with tempfile.TemporaryDirectory() as folder:
        settings = FitSettings(method=name, options=options, seed=arguments.seed, every=arguments.every)
        started = time.process_time()
        run = fit(settings, dataset, Path(folder), registry, terminal_progress())
        busy_s = time.process_time() - started
        samples = [sample for sample in dataset.samples("test") if sample.anomalous is not None]
        started = time.perf_counter()
        model = open_model(run, registry)
        samples = at_steps(samples, run.record.step_s)
        found = predict_all(model.method, model.view, samples, terminal_progress(), "scoring")
        rate = len(samples) / (time.perf_counter() - started)
    facts = ", ".join(f"{key} {value}" for key, value in run.record.facts.items())
    print(f"### {spec}\n\nlearned in {run.record.timings_s['fit']:.0f} s", end="")
    print(f" ({busy_s:.0f} s of one core, calibration included), scored {rate:.0f} frames/s; {facts}\n")
    print("| scorer | smoothing | frame AUROC | each clip | average precision |")
    print("|---|---|---|---|---|")
    truth = np.array([bool(sample.anomalous) for sample in samples])
    for scorer in arguments.scorers.split(","):
        raw = raw_scores(found, open_scorer(scorer, registry))
        for constant_s in map(float, arguments.smoothings.split(",")):
            _print_row(f"| {scorer} | {constant_s:g} s |", raw, constant_s, found, truth)
    print(flush=True)


def _print_row(
    start: str, raw: NDArray[np.float64], constant_s: float, found: Predictions, truth: NDArray[np.bool_]
) -> None:
    scores = smoothed(raw, found.clips, found.times_s, constant_s)
    names = np.array(found.clips)
    clips = [np.flatnonzero(names == name) for name in dict.fromkeys(found.clips)]
    own = [float(roc_auc_score(truth[rows], scores[rows])) for rows in clips if 0 < truth[rows].mean() < 1]
    low, high = _interval(scores, truth, clips)
    print(
        f"{start} {roc_auc_score(truth, scores):.3f} ({low:.3f} to {high:.3f}) | {np.mean(own):.3f} |"
        f" {average_precision_score(truth, scores):.3f} |"
    )


def _interval(
    scores: NDArray[np.float64], truth: NDArray[np.bool_], clips: Sequence[NDArray[np.intp]]
) -> tuple[float, float]:
    """Return the 95 % interval of the AUROC over all frames when clips are drawn anew."""
    rng = np.random.default_rng(0)
    values = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([clips[number] for number in rng.integers(len(clips), size=len(clips))])
        if 0 < truth[rows].mean() < 1:
            values.append(roc_auc_score(truth[rows], scores[rows]))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
