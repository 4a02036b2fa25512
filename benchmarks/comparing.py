"""What a comparison costs beyond its fits and its scoring: the share of the whole.

python benchmarks/comparing.py [--methods patchknn] [--datasets mvtec:bottle,screw] [--seeds 3] [--workers]

The reference is the time that fitting, opening the run and judging it take inside the same comparison, so that the
machine's mood harms both alike. With --workers: one worker of a Ray cluster against two, each with one core, which
must be free.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _setting import data_root, heading

from adkit.cli.commands.compare import write_comparison
from adkit.cli.terminal import terminal_progress
from adkit.comparison import cells
from adkit.comparison.compare import compare
from adkit.comparison.grid import Candidate, candidates_of
from adkit.data.datasets import open_datasets
from adkit.registry import load_registry
from adkit.workflows.score import Workplace


def main() -> None:
    """Compare once from nothing and once with every cell finished, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default="patchknn")
    parser.add_argument("--datasets", default="mvtec:bottle,screw")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", action="store_true")
    arguments = parser.parse_args()
    candidates = candidates_of(arguments.methods)
    if len(candidates) == 1:  # as the second method, the same with a smaller memory
        small = candidates[0].settings.model_copy(update={"options": {"bank_limit": "500"}})
        candidates = (*candidates, Candidate("small bank", small))
    registry = load_registry()
    datasets = open_datasets(arguments.datasets, data_root(), registry)
    grid = f"{len(candidates)} candidates × {len(datasets)} categories × {arguments.seeds} seeds"
    heading(f"comparing: {grid}")

    def compared(folder: str, engine: str = "local") -> float:
        started, place = time.perf_counter(), Path(folder)
        progress = terminal_progress()
        result = compare(
            candidates, datasets, range(arguments.seeds), place, Workplace(registry, progress=progress), engine=engine
        )
        write_comparison(result, place)
        return time.perf_counter() - started

    if arguments.workers:
        taken = [by_workers(compared, count) for count in (1, 2)]
        print("| one worker | two workers | ratio |\n|---|---|---|")
        print(f"| {taken[0]:.0f} s | {taken[1]:.0f} s | {taken[0] / taken[1]:.2f} |")
        return
    spent = [0.0]
    for name in ("fit", "open_judge", "evaluate"):
        setattr(cells, name, _timed(getattr(cells, name), spent))
    with tempfile.TemporaryDirectory() as folder:
        totals = [compared(folder) for _ in range(2)]
    print("| fits and scoring | comparison | beyond them | again, all cells finished |")
    print("|---|---|---|---|")
    print(f"| {spent[0]:.0f} s | {totals[0]:.0f} s | {totals[0] / spent[0] - 1:.1%} | {totals[1]:.1f} s |")


def by_workers(compared: Callable[[str, str], float], count: int) -> float:
    """Return the seconds of a comparison by so many workers of a cluster that is begun for it."""
    import ray  # of the extra of its name

    ray.init("local", num_cpus=count, include_dashboard=False, log_to_driver=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return compared(folder, "ray")
    finally:
        ray.shutdown()


def _timed(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """Return the function, with its seconds added to `spent`."""

    def timed(*arguments: Any, **settings: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments, **settings)
        finally:
            spent[0] += time.perf_counter() - started

    return timed


if __name__ == "__main__":
    main()
