"""How long the commands take that load no torch: whole processes, the median of ten.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from _setting import heading, in_turns

COMMANDS = (["--help"], ["list", "methods"], ["show", "top1"])


def main() -> None:
    """Time each command in turn with the others and with a bare interpreter."""
    heading("start-up: milliseconds of a whole process")

    def starting(arguments: list[str]) -> object:
        return subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    bare = ["-c", "pass"]
    functions = [lambda a=a: starting(a) for a in [bare, *(["-m", "adkit", *command] for command in COMMANDS)]]
    taken = in_turns(functions, 10)
    print("| command | median | lowest |\n|---|---|---|")
    names = ["python -c pass", *(f"adkit {' '.join(command)}" for command in COMMANDS)]
    for name, times in zip(names, taken, strict=True):
        print(f"| `{name}` | {statistics.median(times) * 1000:.0f} | {min(times) * 1000:.0f} |")


if __name__ == "__main__":
    main()
