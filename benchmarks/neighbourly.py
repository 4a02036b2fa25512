"""Fits side by side: two at once against one alone, one at low priority beside two, and what not spinning costs alone.

python benchmarks/neighbourly.py [--rounds 3]

Threads that wait in circles are a little faster alone and starve whatever runs beside them. Here two fits at once may
take 2.3 times as long as one; one at low priority (nice 10), beside two others that never end, must still end; and one
alone may lose 3 % against one whose threads spin as GNU OpenMP's do by default.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _setting import heading

from adkit.synthetic.parts import write_parts

SPINNING = {"GOMP_SPINCOUNT": "300000"}
"""What GNU OpenMP takes where nobody says anything: about 10 ms."""
MOST_OF_TWO, MOST_ALONE = 2.3, 1.03
NICE, MOST_NICED = 10, 25
"""Times as long as alone: on each core two threads of the usual weight leave one of this priority a twentieth."""


def main() -> None:
    """Print one table; exit code 1 where a bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    heading("fits side by side: seconds of `adkit fit` as a process")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_parts(root / "mvtec" / "washer", "washer", seed=1, train=60, good=1, each_grade=0)
        ended(started(root))  # whatever is exported or cached once
        alone, spinning, two, niced = [], [], [], []
        for _ in range(arguments.rounds):
            alone.append(ended(started(root)))
            spinning.append(ended(started(root, **SPINNING)))
            two.append(ended(started(root), started(root)))
        others = [started(root, endless=True) for _ in range(2)]
        try:
            niced.append(ended(started(root, nice=NICE), most_s=MOST_NICED * statistics.median(alone)))
        finally:
            for other in others:
                os.killpg(other.pid, signal.SIGKILL)  # and the fit that it has started
                other.wait()
    usual = statistics.median(alone)
    rows = (
        ("one alone", usual, 1.0, None),
        ("one alone whose threads spin", statistics.median(spinning), None, None),
        ("one alone, by one whose threads spin", usual, usual / statistics.median(spinning), MOST_ALONE),
        ("two at once, until both are done", statistics.median(two), statistics.median(two) / usual, MOST_OF_TWO),
        ("one at low priority beside two", niced[0], niced[0] / usual, MOST_NICED),
    )
    print("| fits | seconds | ratio | at most |\n|---|---|---|---|")
    for name, seconds, ratio, most in rows:
        print(f"| {name} | {seconds:.1f} | {f'{ratio:.2f}' if ratio else ''} | {most or ''} |")
    sys.exit(any(ratio is not None and most is not None and ratio > most for _, _, ratio, most in rows))


def started(root: Path, *, nice: int = 0, endless: bool = False, **environment: str) -> subprocess.Popen[bytes]:
    """Start a fit, or one after the other for ever."""
    fit = [sys.executable, "-m", "adkit", "fit", "--method", "patchknn", "--dataset", "mvtec:washer"]
    command = [*fit, "--root", str(root), "--runs", str(root / "runs")]
    if endless:
        again = f"import subprocess\nwhile True:\n    subprocess.run({command!r}, capture_output=True)"
        command = [sys.executable, "-c", again]
    return subprocess.Popen(
        ["nice", "-n", str(nice), *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
        start_new_session=endless,
    )


def ended(*processes: subprocess.Popen[bytes], most_s: float | None = None) -> float:
    """Wait for all; return the seconds from now, infinity where they take longer than `most_s`."""
    began = time.perf_counter()
    for process in processes:
        try:
            code = process.wait(most_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return float("inf")
        if code:
            raise SystemExit(f"a fit failed with exit code {code}")
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
