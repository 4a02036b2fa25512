"""Memory where there is much: `python benchmarks/memory.py [--pictures 1000,10000] [--files 100000]`.

Peak memory of `fit` on few and on many images: each fit is a process of its own, on small images made by code, with
patches beyond --patch-limit in a file. With --files, memory of `score` on so many files as it goes on: it is killed
three times on the way, taken up with --resume each time, and at the end each file must have one row.
"""

from __future__ import annotations

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

KILLS = 3


def draw(folder: Path, count: int, side: int) -> None:
    """Draw so many images, no two alike."""
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(90, 160, (side // 4, side // 4, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((side, side)).save(folder / f"{number:06d}.png")


def fit(place: Path, count: int, side: int, method: str, options: dict[str, int]) -> float:
    """Learn so many images, and return the seconds that it took."""
    draw(place / "data" / "train" / "good", count, side)
    words = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "adkit", "fit", "-m", method, "-d", f"folder:{place}/data", *words]
    started = time.perf_counter()
    subprocess.run([*command, "--runs", f"{place}/runs"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def score(place: Path, count: int, side: int) -> None:
    """Score so many files, and print a line for each tenth of them."""
    fit(place, 100, side, "knn", {"size": side})
    draw(place / "files", count, side)
    rows = place / "rows.csv"
    command = [sys.executable, "-m", "adkit", "score", f"{place}/files", "--runs", f"{place}/runs", "-o", str(rows)]
    print("| rows | memory | seconds | |\n|---|---|---|---|")
    done, began = 0, time.perf_counter()
    for kill in range(1, KILLS + 2):
        more = ["--resume"] if kill > 1 else []
        process = psutil.Popen([*command, *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        memory = 0.0
        while process.poll() is None:
            time.sleep(0.5)
            memory = memory_mb(process) or memory
            found = lines_of(rows.with_name("rows.csv.unfinished") / "rows.jsonl")
            if kill <= KILLS and found >= kill * count // (KILLS + 1):
                process.kill()
            if found * 10 // count > done * 10 // count:
                print(f"| {found:,} | {memory:,.0f} MB | {time.perf_counter() - began:,.0f} | |", flush=True)
            done = max(found, done)
        took = time.perf_counter() - began
        print(f"| {done:,} | {memory:,.0f} MB | {took:,.0f} | exit {process.wait()} |", flush=True)
    with rows.open(newline="") as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    expected = [str(place / "files" / f"{number:06d}.png") for number in range(count)]
    print(f"\n{len(paths):,} rows of {count:,} files: {'each has one' if paths == expected else 'NOT ONE EACH'}")
    if paths != expected:
        raise SystemExit(1)


def memory_mb(process: psutil.Process) -> float:
    """Return the resident memory; 0 where the process has just ended."""
    try:
        return float(process.memory_info().rss) / 2**20
    except psutil.Error:
        return 0.0


def lines_of(file: Path) -> int:
    """Count the lines of a file that grows, which may not be there."""
    if not file.is_file():
        return 0
    with file.open("rb") as content:
        return sum(part.count(b"\n") for part in iter(lambda: content.read(1 << 20), b""))


def main() -> None:
    """Print a line for each number of images, or a table for --files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", default="1000,10000", help="numbers of images to learn, one after another")
    parser.add_argument("--files", type=int, default=0, help="score so many files instead")
    parser.add_argument("--size", type=int, default=64, help="px, the side of an image")
    parser.add_argument("--patch-limit", type=int, default=20_000)
    given = parser.parse_args()
    if given.files:
        with tempfile.TemporaryDirectory() as place:
            score(Path(place), given.files, given.size)
        return
    least, before_mb = None, 0.0
    for count in sorted(map(int, given.pictures.split(","))):
        with tempfile.TemporaryDirectory() as place:
            options = {"size": given.size, "patch_limit": given.patch_limit, "bank_limit": 1000}
            took = fit(Path(place), count, given.size, "patchknn", options)
        # Of all processes that ended, the highest: so the smallest number of images comes first.
        peak_mb = max(before_mb, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
        least, before_mb = least or peak_mb, peak_mb
        print(f"{count:>8,} images  {peak_mb:8,.0f} MB  {peak_mb / least:5.2f} x  {took:7.1f} s", flush=True)


if __name__ == "__main__":
    main()
