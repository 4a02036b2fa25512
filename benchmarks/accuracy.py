"""What methods catch with their defaults, one row for each category, as a Markdown table.

python benchmarks/accuracy.py [--methods patchknn] [--datasets mvtec:bottle,screw] [--seeds 3] [--json FILE]

Caught and flagged are counted over all seeds at the runs' own thresholds, which were set from good images only; their
95 % intervals are of the test images, which are the same for every seed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _setting import data_root, heading, in_percent

from adkit.cli.terminal import terminal_progress
from adkit.data.datasets import open_datasets
from adkit.evaluation.evaluate import Evaluation, evaluate
from adkit.interfaces import Dataset
from adkit.registry import Registry, load_registry
from adkit.runs.record import FitSettings
from adkit.stats.calibration import CERTAINTY, most_alarms
from adkit.stats.rates import Rate
from adkit.workflows.fit import fit
from adkit.workflows.score import Workplace

DATASETS = "mvtec:bottle,screw,transistor,kolektor,piped_BDP01_TL,piped_GLA01_TL"
METRICS = ("image_auroc", "pixel_auroc", "aupro", "aupimo")


def main() -> None:
    """Fit and judge every method on every category with every seed, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default="patchknn")
    parser.add_argument("--datasets", default=DATASETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write each seed's figures to this file, after every category")
    arguments = parser.parse_args()
    heading(f"accuracy: {arguments.seeds} seeds, defaults; metrics: mean (lowest to highest)")
    registry = load_registry()
    datasets = open_datasets(arguments.datasets, data_root(), registry)
    print("| method | category | caught | flagged | at | image AUROC | pixel AUROC | AUPRO | AUPIMO | fit |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    rows: list[dict[str, Any]] = []
    together = []
    for method in arguments.methods.split(","):
        judged = []
        for dataset in datasets:
            results = _judged(method, dataset, arguments.seeds, registry)
            judged.append(results)
            print(f"| {method} | {dataset.spec} | {_row(results)} |", flush=True)
            rows += [_document(result) for result in results]
            if arguments.json:
                arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        together.append(f"{method}: {_together(judged)}")
    print("\n" + "\n\n".join(together))


def _judged(method: str, dataset: Dataset, seeds: int, registry: Registry) -> list[Evaluation]:
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            run = fit(FitSettings(method=method, seed=seed), dataset, Path(folder), registry, terminal_progress())
            results.append(evaluate(run, Workplace(registry, progress=terminal_progress())))
    return results


def _row(results: Sequence[Evaluation]) -> str:
    first = results[0]
    cells = [
        in_percent([result.rates.caught for result in results]),
        in_percent([result.rates.false_alarms for result in results]),
        first.run.record.calibration.rule.at(first.threshold),
        *(_spread(results, name) for name in METRICS),
        f"{statistics.median(result.run.record.timings_s['fit'] for result in results):.0f} s",
    ]
    return " | ".join(cells)


def _spread(results: Sequence[Evaluation], name: str) -> str:
    values = [result.metrics[name].value for result in results]
    known = [value for value in values if value is not None]
    if not known:
        return f"– ({results[0].metrics[name].why_undefined})"
    return f"{statistics.mean(known):.4f} ({min(known):.4f} to {max(known):.4f})"


def _together(judged: Sequence[Sequence[Evaluation]]) -> str:
    """Say whether what is flagged on all categories is within the sum of their promises."""
    flagged = [Rate.sum_of([result.rates.false_alarms for result in of_seed]) for of_seed in zip(*judged, strict=True)]
    promises = [(results[0].rates.false_alarms.total, results[0].threshold) for results in judged]
    expected = sum(total * threshold.expected_rate for total, threshold in promises)
    most = most_alarms([(total, threshold.rank, threshold.count) for total, threshold in promises])
    kept = statistics.mean(rate.count for rate in flagged) <= most
    return (
        f"good parts flagged on all of them together: {in_percent(flagged)}; the promise allows a seed {expected:.1f} "
        f"of {flagged[0].total} on average and with {CERTAINTY:.0%} certainty at most {most}: "
        f"{'kept' if kept else 'NOT kept'}"
    )


def _document(result: Evaluation) -> dict[str, Any]:
    record, document = result.run.record, result.as_json()
    return {
        "method": record.method,
        "dataset": record.dataset,
        "seed": record.settings.seed,
        **{name: document[name] for name in ("verdict", "threshold")},
        **{name: document["outcomes"][name] for name in ("caught", "false_alarms")},
        "metrics": {name: metric["value"] for name, metric in document["metrics"].items()},
        "fit_s": record.timings_s["fit"],
    }


if __name__ == "__main__":
    main()
