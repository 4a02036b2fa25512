"""How long commands take from a cold process: those that load no torch, and the score of one image.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from _setting import heading, in_turns

from adkit.synthetic.parts import write_parts

COMMANDS = ("--help", "list methods", "show top1")


def adkit(*arguments: object) -> list[str]:
    """Return a command line of adkit."""
    return ["-m", "adkit", *map(str, arguments)]


def scoring(place: Path) -> dict[str, list[str]]:
    """Fit a run at the defaults, export it, and return how both score one image."""
    write_parts(place / "mvtec" / "washer", "washer", seed=0, train=30, good=2, each_grade=1)
    run, export, image = (
        place / "runs" / "parts",
        place / "export",
        place / "mvtec" / "washer" / "test" / "good" / "000.png",
    )
    starting(
        adkit("fit", "-m", "patchknn", "-d", "mvtec:washer", "--root", place, "--runs", run.parent, "--name", "parts")
    )
    starting(adkit("export", "parts", export, "--runs", run.parent))
    by_run = adkit("score", image, "--run", "parts", "--runs", run.parent)
    return {
        "adkit score IMAGE --run RUN": by_run,
        "adkit score IMAGE --run EXPORT": adkit("score", image, "--run", export),
    }


def starting(arguments: list[str]) -> object:
    """Run a whole process of Python."""
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def main() -> None:
    """Time each command in turn with the others, with a bare interpreter and with importing torch."""
    heading("start-up: milliseconds of a whole process")
    with tempfile.TemporaryDirectory() as folder:
        lines = {"python -c pass": ["-c", "pass"], "python -c 'import torch'": ["-c", "import torch"]}
        lines |= {f"adkit {command}": adkit(*command.split()) for command in COMMANDS} | scoring(Path(folder))
        taken = in_turns([lambda line=line: starting(line) for line in lines.values()], 10)
    torch_s = statistics.median(taken[1])
    print("| command | median | lowest | of importing torch |\n|---|---|---|---|")
    for name, times in zip(lines, taken, strict=True):
        middle = statistics.median(times)
        print(f"| `{name}` | {middle * 1000:.0f} | {min(times) * 1000:.0f} | {middle / torch_s:.2f} |")


if __name__ == "__main__":
    main()
