"""Whether the promised false-alarm rate holds: new good parts against the threshold, and against a naive one.

python benchmarks/false_alarms.py [--train 60] [--new 300] [--seed 1]

The parts are synthetic, so that there are as many good ones as are needed; the seed is not that of `demo`, whose
parts were looked at while defaults were chosen. The naive threshold has the same rank among the scores of the
same training images, but each is scored with its own patches in the bank.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from _setting import heading
from numpy.typing import NDArray
from scipy.stats import binomtest

from adkit.cli.terminal import terminal_progress
from adkit.data.datasets import open_datasets
from adkit.data.frame_source import frames_of
from adkit.registry import load_registry
from adkit.runs.record import FitSettings
from adkit.stats.calibration import CERTAINTY, threshold_from
from adkit.synthetic.parts import PART_NAMES, write_parts
from adkit.types import Sample
from adkit.workflows.fit import fit
from adkit.workflows.score import FittedModel, open_model


def main() -> None:
    """Fit on each sort of part, score new good ones, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=60)
    parser.add_argument("--new", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    heading(
        f"false alarms: patchknn with defaults, {arguments.train} training images, {arguments.new} new good ones, "
        f"intervals of {CERTAINTY:.0%} (Clopper-Pearson)"
    )
    registry = load_registry()
    print("| part | expected | at most, with 95 % certainty | false alarms | false alarms of the naive threshold |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for part in PART_NAMES:
            place = root / "mvtec" / part
            write_parts(place, part, seed=arguments.seed, train=arguments.train, good=arguments.new, each_grade=0)
        for dataset in open_datasets(f"mvtec:{','.join(PART_NAMES)}", root, registry):
            run = fit(FitSettings(method="patchknn"), dataset, root / "runs", registry, terminal_progress())
            model = open_model(run, registry)
            new = _scores(model, dataset.samples("test"))
            in_sample = _scores(model, dataset.samples("train"))
            naive = threshold_from(in_sample, run.record.requested_false_alarm_rate)
            promised = run.record.threshold
            print(
                f"| {dataset.spec.partition(':')[2]} | {promised.expected_rate:.1%} | {promised.certain_rate:.1%} "
                f"| {_alarms(new, promised.value)} | {_alarms(new, naive.value)} |",
                flush=True,
            )


def _scores(model: FittedModel, samples: list[Sample]) -> NDArray[np.float64]:
    return np.array([result.score for result in model.stream(frames_of(samples, model.view))])


def _alarms(scores: NDArray[np.float64], threshold: float) -> str:
    """Say how many good parts are called anomalous, the rate, and where the true rate lies."""
    count = int((scores > threshold).sum())
    interval = binomtest(count, len(scores)).proportion_ci(CERTAINTY, method="exact")
    rate = f"{count / len(scores):.1%} ({interval.low:.1%} to {interval.high:.1%})"
    return f"{count} of {len(scores)}: {rate}"


if __name__ == "__main__":
    main()
