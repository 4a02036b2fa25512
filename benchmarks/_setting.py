"""What benchmarks share: the line that names machine and date, timing, the data's folder, counts over seeds."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from adkit.stats.rates import Rate, over_seeds


def heading(title: str, **further: str) -> dict[str, str]:
    """Print what is measured, on what machine, when, with which libraries, and return the same for a JSON file."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = lines[0].partition(":")[2].strip() if lines else processor
    libraries = {name: version(name) for name in ("adkit-vision", "torch", "onnxruntime", "numpy")} | further
    machine, date = f"{os.cpu_count()} cores of {processor}", f"{datetime.now(UTC):%Y-%m-%d}"
    print(f"## {title}\n")
    print(f"{date}, {machine}, {', '.join(map(' '.join, libraries.items()))}\n", flush=True)
    return {"title": title, "date": date, "machine": machine, **libraries}


def data_root() -> Path:
    """Return the folder that $ADKIT_DATA names; the benchmark ends without it."""
    root = os.environ.get("ADKIT_DATA")
    if not root or not Path(root).is_dir():
        raise SystemExit(f"no data at {root}: set ADKIT_DATA" if root else "no data: set ADKIT_DATA")
    return Path(root)


def in_turns(functions: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Return seconds of each function in each round, A B A B …, so that a drifting machine harms all alike."""
    taken: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()  # warm up
    for _ in range(rounds):
        for times, function in zip(taken, functions, strict=True):
            started = time.perf_counter()
            function()
            times.append(time.perf_counter() - started)
    return taken


def in_percent(rates: Sequence[Rate]) -> str:
    """Write counts of the same samples over seeds: "201 of 357 (56.3 %; 46.9 to 65.4)", the interval of one seed."""
    together, (share, interval) = Rate.sum_of(rates), over_seeds(rates)
    if share is None:
        return "none to judge"
    return (
        f"{together.count} of {together.total} ({100 * share:.1f} %; "
        f"{100 * interval.low:.1f} to {100 * interval.high:.1f})"
    )


def median_ratio(times: Sequence[float], reference: Sequence[float]) -> float:
    """Return the median over rounds of times / reference."""
    return statistics.median(one / other for one, other in zip(times, reference, strict=True))
