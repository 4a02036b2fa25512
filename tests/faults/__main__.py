"""The whole suite: `python -m tests.faults [SHARE]`. Prints one table; exit code 1 where there is a fault."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # or a fork of this process may wait for threads that it has not

import pytest

from tests.faults import sorts
from tests.faults.ground import Ground, Tally, install
from tests.faults.lines import command_lines


def main(share: float = 1.0) -> int:
    """Try this share of all."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        install(patch)
        patch.chdir(folder)
        patch.setenv("ADKIT_CACHE", f"{folder}/cache")
        ground = Ground.made(Path(folder))
        sorts.corruptions(ground, tally, int(1000 * share))
        print(tally.table(), flush=True)
        sorts.kills(ground, tally, int(200 * share))
        sorts.limits(ground, tally)
        for _ in sorts.plugins(ground, tally):
            pass
        sorts.hanging(ground, tally)
        sorts.many_files(ground, tally, int(20_000 * share))
        command_lines(ground, tally, int(300 * share))
    print(tally.table())
    return int(bool(tally.faults))


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:])))
