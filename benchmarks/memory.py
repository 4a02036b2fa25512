"""Peak memory of `fit` on few and on many pictures: `python benchmarks/memory.py --pictures 1000,10000`.

Each fit is a process of its own, on small pictures made by code, with patches beyond --patch-limit in a file.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image


def draw(folder: Path, count: int, side: int) -> None:
    """Draw so many pictures, no two alike."""
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(90, 160, (side // 4, side // 4, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((side, side)).save(folder / f"{number:06d}.png")


def main() -> None:
    """Print a line for each number of pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", default="1000,10000")
    parser.add_argument("--size", type=int, default=64, help="px, the side of a picture")
    parser.add_argument("--patch-limit", type=int, default=20_000)
    given = parser.parse_args()
    least, before_mb = None, 0.0
    for count in sorted(map(int, given.pictures.split(","))):
        with tempfile.TemporaryDirectory() as place:
            draw(Path(place) / "data" / "train" / "good", count, given.size)
            options = [f"size={given.size}", f"patch_limit={given.patch_limit}", "bank_limit=1000"]
            command = [sys.executable, "-m", "adkit", "fit", "-m", "patchknn", "-d", f"folder:{place}/data"]
            command += [word for option in options for word in ("--set", option)]
            started = time.perf_counter()
            subprocess.run([*command, "--runs", f"{place}/runs"], check=True, stdout=subprocess.DEVNULL)
            took = time.perf_counter() - started
        # Of all processes that ended, the highest: so the smallest number of pictures comes first.
        peak_mb = max(before_mb, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
        least, before_mb = least or peak_mb, peak_mb
        print(f"{count:>8,} pictures  {peak_mb:8,.0f} MB  {peak_mb / least:5.2f} x  {took:7.1f} s", flush=True)


if __name__ == "__main__":
    main()
