from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adkit.files.lock import LockHeld, is_locked, lock

HOLDING = "import sys; from pathlib import Path; from adkit.files.lock import lock\n"
HOLDING += "with lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"


def test_nobody_else_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    with lock(path):
        assert is_locked(path)
        with pytest.raises(LockHeld), lock(path):
            pytest.fail("two hold it")
        assert is_locked(path)
    assert not is_locked(path)
    with lock(path):
        pass


def test_a_process_that_is_killed_holds_it_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert is_locked(path)
        with pytest.raises(LockHeld), lock(path):
            pytest.fail("two processes hold it")
        process.kill()
        process.wait()
    assert not is_locked(path)
