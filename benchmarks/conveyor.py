"""What is found on the synthetic conveyor at one false alarm in ten minutes, and whether that promise holds.

python benchmarks/conveyor.py [--methods convlstm "patchknn size=128" …] [--train 24] [--calibrate 99] [--normal 150]

Each method learns from clips of 12 s, as `demo:conveyor` has them. Its threshold is then set from further normal clips
that it has not seen (`adkit calibrate --normal`), for at most one flagged clip in 50: ten minutes. New normal clips
tell how many false alarms there are in truth, new clips of each kind what is found. No clip is one of `demo:conveyor`,
which was looked at while defaults were chosen.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from _setting import heading
from scipy.stats import binomtest

from adkit.cli.terminal import terminal_progress
from adkit.data.datasets import open_datasets
from adkit.evaluation.evaluate import Evaluation, evaluate
from adkit.options import split_assignments
from adkit.registry import Registry, load_registry
from adkit.runs.record import FitSettings
from adkit.stats.calibration import CERTAINTY, ThresholdRule
from adkit.stats.formatting import duration_text
from adkit.synthetic.conveyor import KINDS, SECONDS, write_conveyor
from adkit.workflows.calibrate import recalibrate
from adkit.workflows.fit import fit
from adkit.workflows.score import Workplace

METHODS = ("convlstm", "patchknn")
MINUTES = 10
"""In which there is to be one false alarm at most."""


def main() -> None:
    """Draw the clips once, then print a Markdown table for each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=METHODS, metavar="METHOD")
    parser.add_argument("--train", type=int, default=24, help="clips to learn from")
    parser.add_argument("--calibrate", type=int, default=99, help="further normal clips that set the threshold")
    parser.add_argument("--normal", type=int, default=150, help="new normal clips")
    parser.add_argument("--each", type=int, default=10, help="new clips of each kind")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    heading(
        f"conveyor: {arguments.train} clips to learn from, {arguments.calibrate} to calibrate, "
        f"{arguments.normal} normal ones and {arguments.each} of each kind to test with"
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        counts = {"train": arguments.train, "good": arguments.normal, "each_kind": arguments.each}
        write_conveyor(root / "clips", seed=arguments.seed, **counts)
        write_conveyor(root / "more", seed=arguments.seed + 1, train=arguments.calibrate, good=0, each_kind=0)
        registry = load_registry()
        for spec in arguments.methods:
            _print(spec, *_judged(spec, root, registry))


def _judged(spec: str, root: Path, registry: Registry) -> tuple[Evaluation, float]:
    """Return the method's answers for the test clips at the new threshold, and the minutes that its fit took."""
    name, *assignments = spec.split()
    (dataset,) = open_datasets(f"clips:{root / 'clips'}", None, registry)
    options = split_assignments(assignments, example="convlstm code=16")
    started = time.perf_counter()
    run = fit(FitSettings(method=name, options=options), dataset, root / "runs", registry, terminal_progress())
    minutes = (time.perf_counter() - started) / 60
    rule = ThresholdRule("expected", 60 / MINUTES, hourly=True)
    calibrated = recalibrate(
        run, Workplace(registry, progress=terminal_progress()), [str(root / "more" / "train" / "normal")], rule=rule
    )
    return evaluate(calibrated.run, Workplace(registry, progress=terminal_progress())), minutes


def _print(spec: str, found: Evaluation, minutes: float) -> None:
    normal = [row for row in found.split.rows if not row.anomalous_frames]
    minutes_watched = len(normal) * SECONDS / 60
    flagged = sum(row.called_anomalous for row in normal)
    rates = binomtest(flagged, len(normal)).proportion_ci(CERTAINTY, method="exact")
    print(f"### {spec}\n\nlearned in {minutes:.1f} min; {found.threshold.count} clips set the threshold: ", end="")
    print(
        f"{found.threshold.promise()}. Of {len(normal)} new normal clips ({minutes_watched:.0f} min) {flagged} ", end=""
    )
    print(f"were flagged: {_often(flagged / len(normal))} ({_often(rates.high)} to {_often(rates.low)}); ", end="")
    print(f"alarms in them: {sum(row.false_alarms for row in normal)}\n")
    print("| kind | events found | AUROC of frames, mean of its clips |")
    print("|---|---|---|")
    for kind in KINDS:
        rows = [row for row in found.split.rows if row.clip.split("/")[-2] == kind]
        aurocs = [row.auroc for row in rows if row.auroc is not None]
        events = sum(row.events for row in rows)
        print(f"| {kind} | {sum(row.events_caught for row in rows)} of {events} | {sum(aurocs) / len(aurocs):.3f} |")
    print(flush=True)


def _often(share: float) -> str:
    """Say how often that share of the clips is, in time."""
    return f"one in {duration_text(SECONDS / share)}" if share else "none"


if __name__ == "__main__":
    main()
