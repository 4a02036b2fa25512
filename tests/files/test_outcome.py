"""How a command tells whoever started it that it runs, and how it ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adkit.files.lock import LockHeld
from adkit.files.outcome import OUTCOME, Outcome, begin, read_outcome, running_process, write_outcome

BEGINS = "import sys; from pathlib import Path; from adkit.files.outcome import begin; begin(Path(sys.argv[1]))"


def test_a_process_runs_until_it_ends(tmp_path: Path) -> None:
    assert running_process(tmp_path) is None
    waits = f"{BEGINS}; print(flush=True); input()"
    command = [sys.executable, "-c", waits, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert running_process(tmp_path) == process.pid
        with pytest.raises(LockHeld):
            begin(tmp_path)
        process.communicate(b"\n")
    assert running_process(tmp_path) is None
    assert read_outcome(tmp_path) is None


def test_the_number_of_a_process_that_has_ended_means_nothing(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", BEGINS, str(tmp_path)], check=True)
    (tmp_path / "process").write_text(str(os.getpid()))
    assert running_process(tmp_path) is None


def test_an_outcome_is_read_as_it_was_written(tmp_path: Path) -> None:
    told = Outcome(exit_code=2, message="there is no data", hint="put some there")
    write_outcome(tmp_path, told)
    assert read_outcome(tmp_path) == told
    (tmp_path / OUTCOME).write_text('{"exit_code": 2, "mess')
    assert read_outcome(tmp_path) is None
