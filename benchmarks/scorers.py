"""Which scorer patchknn has by default was chosen here: on synthetic parts only, no real test label is read.

python benchmarks/scorers.py [--seeds 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from _setting import heading

from adkit.cli.terminal import terminal_progress
from adkit.data.datasets import open_datasets
from adkit.evaluation.evaluate import evaluate
from adkit.registry import load_registry
from adkit.runs.record import FitSettings
from adkit.workflows.fit import fit

SCORERS = ("max", "top1", "quantile:q=0.99", "mean")


def main() -> None:
    """Judge the same maps with every scorer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    heading(f"scorers of patchknn: image AUROC on the synthetic parts, mean of {arguments.seeds} seeds")
    registry = load_registry()
    print(f"| part | {' | '.join(SCORERS)} |\n|---|{'---|' * len(SCORERS)}")
    for dataset in open_datasets("demo:all", None, registry):
        values: dict[str, list[float]] = {scorer: [] for scorer in SCORERS}
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(arguments.seeds):
                settings = FitSettings(method="patchknn", seed=seed)
                run = fit(settings, dataset, Path(folder), registry, terminal_progress())
                for scorer in SCORERS:
                    metric = evaluate(run, registry, scorer=scorer).metrics["image_auroc"]
                    assert metric.value is not None
                    values[scorer].append(metric.value)
        print(
            f"| {dataset.spec} | {' | '.join(f'{statistics.mean(values[scorer]):.4f}' for scorer in SCORERS)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
