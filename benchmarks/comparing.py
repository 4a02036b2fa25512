"""What a comparison costs beyond its fits and its scoring: the share of the whole.

python benchmarks/comparing.py [--methods patchknn] [--datasets mvtec:bottle,screw] [--seeds 3]

The reference is the time that fitting, opening the run and judging it take inside the same comparison, so that the
machine's mood harms both alike.
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


def main() -> None:
    """Compare once from nothing and once with every cell finished, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default="patchknn")
    parser.add_argument("--datasets", default="mvtec:bottle,screw")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    candidates = candidates_of(arguments.methods)
    if len(candidates) == 1:  # as the second method, the same with a smaller memory
        candidates = (*candidates, Candidate("small bank", candidates[0].method, {"bank_limit": 500}))
    registry = load_registry()
    datasets = open_datasets(arguments.datasets, data_root(), registry)
    grid = f"{len(candidates)} candidates × {len(datasets)} categories × {arguments.seeds} seeds"
    heading(f"comparing: {grid}")
    spent = [0.0]
    for name in ("fit", "open_judge", "evaluate"):
        setattr(cells, name, _timed(getattr(cells, name), spent))
    with tempfile.TemporaryDirectory() as folder:
        totals = []
        for _ in range(2):
            started = time.perf_counter()
            result = compare(
                candidates, datasets, range(arguments.seeds), Path(folder), registry, progress=terminal_progress()
            )
            write_comparison(result, Path(folder))
            totals.append(time.perf_counter() - started)
    print("| fits and scoring | comparison | beyond them | again, all cells finished |")
    print("|---|---|---|---|")
    print(f"| {spent[0]:.0f} s | {totals[0]:.0f} s | {totals[0] / spent[0] - 1:.1%} | {totals[1]:.1f} s |")


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
