"""Accuracy of methods with their defaults, one row for each category, as a Markdown table.

python benchmarks/accuracy.py [--methods patchknn] [--datasets mvtec:bottle,screw] [--seeds 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from _setting import data_root, heading

from adkit.cli.terminal import terminal_progress
from adkit.data.datasets import open_datasets
from adkit.evaluation.evaluate import Evaluation, evaluate
from adkit.registry import load_registry
from adkit.runs.record import FitSettings
from adkit.workflows.fit import fit

METRICS = ("image_auroc", "pixel_auroc", "aupro")


def main() -> None:
    """Fit and judge every method on every category with every seed, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default="patchknn")
    parser.add_argument("--datasets", default="mvtec:bottle,screw")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    heading(f"accuracy: {arguments.seeds} seeds, defaults, mean (lowest to highest)")
    registry = load_registry()
    print("| method | category | image AUROC | pixel AUROC | AUPRO | defects caught | false alarms | fit |")
    print("|---|---|---|---|---|---|---|---|")
    for method in arguments.methods.split(","):
        for dataset in open_datasets(arguments.datasets, data_root(), registry):
            results = []
            with tempfile.TemporaryDirectory() as folder:
                for seed in range(arguments.seeds):
                    settings = FitSettings(method=method, seed=seed)
                    run = fit(settings, dataset, Path(folder), registry, terminal_progress())
                    results.append(evaluate(run, registry, progress=terminal_progress()))
            figures = " | ".join(_spread(results, name) for name in METRICS)
            caught = " | ".join(_called(results, anomalous) for anomalous in (True, False))
            seconds = statistics.median(result.run.record.timings_s["fit"] for result in results)
            print(f"| {method} | {dataset.spec} | {figures} | {caught} | {seconds:.0f} s |", flush=True)


def _spread(results: list[Evaluation], name: str) -> str:
    values = [result.metrics[name].value for result in results]
    known = [value for value in values if value is not None]
    if not known:
        return f"– ({results[0].metrics[name].why_undefined})"
    return f"{statistics.mean(known):.4f} ({min(known):.4f} to {max(known):.4f})"


def _called(results: list[Evaluation], anomalous: bool) -> str:
    """Say how many are called anomalous at the runs' thresholds, which were set from normal images only."""
    counts = []
    total = 0
    for result in results:
        chosen = [
            called
            for sample, called in zip(result.samples, result.called, strict=True)
            if bool(sample.anomalous) is anomalous
        ]
        counts.append(int(sum(chosen)))
        total = len(chosen)
    return f"{', '.join(map(str, counts))} of {total}"


if __name__ == "__main__":
    main()
