"""Which scorer patchknn has by default was chosen here: on synthetic parts only, no real test label is read.

python benchmarks/scorers.py [--seeds 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from _setting import heading, in_percent

from adkit.cli.terminal import terminal_progress
from adkit.data.datasets import open_datasets
from adkit.evaluation.evaluate import Evaluation, evaluate
from adkit.registry import load_registry
from adkit.runs.record import FitSettings
from adkit.workflows.fit import fit
from adkit.workflows.score import Workplace

SCORERS = ("max", "top1", "quantile:q=0.99", "mean")


def main() -> None:
    """Judge the same maps with every scorer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    heading(f"scorers of patchknn on the synthetic parts: caught, flagged, image AUROC; {arguments.seeds} seeds")
    registry = load_registry()
    print(f"| part | {' | '.join(SCORERS)} |\n|---|{'---|' * len(SCORERS)}")
    for dataset in open_datasets("demo:all", None, registry):
        found: dict[str, list[Evaluation]] = {scorer: [] for scorer in SCORERS}
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(arguments.seeds):
                settings = FitSettings(method="patchknn", seed=seed)
                run = fit(settings, dataset, Path(folder), registry, terminal_progress())
                for scorer in SCORERS:
                    found[scorer].append(evaluate(run, Workplace(registry), scorer=scorer))
        print(f"| {dataset.spec} | {' | '.join(map(_cell, found.values()))} |", flush=True)


def _cell(results: Sequence[Evaluation]) -> str:
    caught = in_percent([result.rates.caught for result in results])
    flagged = in_percent([result.rates.false_alarms for result in results])
    aurocs = [value for result in results if (value := result.metrics["image_auroc"].value) is not None]
    return f"{caught}, {flagged}, {statistics.mean(aurocs):.4f}"


if __name__ == "__main__":
    main()
