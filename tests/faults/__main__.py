"""The whole suite: `python -m tests.faults [SHARE [SORT…]]`. Prints one table; exit code 1 where there is a fault."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # or a fork of this process may wait for threads that it has not

import pytest

from tests.faults import sorts
from tests.faults.ground import Ground, Tally, install
from tests.faults.lines import command_lines


def _plugins(ground: Ground, tally: Tally, _: float) -> None:
    for _ in sorts.plugins(ground, tally):
        pass
    sorts.hanging(ground, tally)


SORTS: dict[str, Callable[[Ground, Tally, float], object]] = {
    "limits": lambda ground, tally, _: sorts.limits(ground, tally),
    "plugins": _plugins,
    "files": lambda ground, tally, share: sorts.many_files(ground, tally, int(20_000 * share)),
    "lines": lambda ground, tally, share: command_lines(ground, tally, int(300 * share)),
    "corruptions": lambda ground, tally, share: sorts.corruptions(ground, tally, int(1000 * share)),
    "kills": lambda ground, tally, share: sorts.kills(ground, tally, int(200 * share)),
}


def main(share: str = "1", *names: str) -> int:
    """Try this share of all, or of the sorts that are named."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        install(patch)
        patch.chdir(folder)
        patch.setenv("ADKIT_CACHE", f"{folder}/cache")
        ground = Ground.made(Path(folder))
        for name in names or SORTS:
            began = time.monotonic()
            SORTS[name](ground, tally, float(share))
            print(f"{name}: {time.monotonic() - began:.0f} s, {len(tally.faults)} faults so far", flush=True)
    print(tally.table())
    return int(bool(tally.faults))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
