"""The ground that faults are tried on: images, a run of them, commands here and in forked processes, a tally."""

from __future__ import annotations

import gc
import io
import os
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from adkit import registry
from adkit.cli import app
from adkit.files.atomic import remove_abandoned
from tests.greys import paint, usual_levels

CODES = (0, 2, 3, 4, 130)
"""Exit codes that `adkit --help` documents, but for that of a bug."""
LONGEST_S = 900
"""No command takes longer, on a machine that does thirty other things."""


@dataclass
class Tally:
    """What was tried of each sort, and what came of it; a fault is neither a refusal nor the same as ever."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, sort: str, outcome: str, what: str = "") -> None:
        """Count one try: "refused", "identical", or in words what is wrong."""
        known = outcome in ("refused", "identical")
        self.counts.setdefault(sort, Counter())[outcome if known else "faults"] += 1
        if not known:
            self.faults.append(f"{sort}: {what}: {outcome}")

    def table(self) -> str:
        """The one table, as text."""
        columns = ("refused", "identical", "faults")
        lines = [f"{'':<24}{'tried':>8}" + "".join(f"{name:>11}" for name in columns)]
        rows = {**self.counts, "all": sum(self.counts.values(), Counter())}
        for sort, counts in rows.items():
            lines.append(f"{sort:<24}{counts.total():>8}" + "".join(f"{counts[name]:>11}" for name in columns))
        return "\n".join([*lines, *self.faults])


@dataclass(frozen=True)
class Ground:
    """A folder with `parts/` to learn from and to test with, `more/` good ones, and `runs/` with a run of them."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> Ground:
        """Paint the images, and fit."""
        for name, levels in (
            ("train/good", usual_levels(30, 1)),
            ("test/good", usual_levels(6, 2)),
            ("test/bad", [200.0] * 4),
        ):
            paint(folder / "parts" / name, levels, seed=len(levels))
        paint(folder / "more", usual_levels(25, 4), seed=9)
        ground = cls(folder)
        ground.fit()
        ground.must("eval", "--runs", ground.runs)
        return ground

    @property
    def runs(self) -> Path:
        """Where the run lies."""
        return self.folder / "runs"

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return next(path for path in sorted(self.runs.iterdir()) if not path.name.startswith("."))

    def fit(self, runs: Path | None = None) -> Result:
        """Fit the method that can be resumed."""
        return self.must("fit", "-m", "steps", "-d", f"folder:{self.folder / 'parts'}", "--runs", runs or self.runs)

    def must(self, *arguments: object) -> Result:
        """Do what has to end well."""
        result = command(*arguments)
        assert result.exit_code == 0, result.output
        return result


def install(monkeypatch: Any) -> None:
    """Let every command of this process know the methods of `tests.faults.plugin`."""
    found = [*entry_points(group=registry.GROUP), EntryPoint("faults", "tests.faults.plugin", registry.GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group: found)


class Hung(BaseException):
    """A command takes longer than any should: no Exception, or the command would tell it as a fault of the disk."""


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise Hung in what takes longer."""

    def hang(*_: object) -> None:
        raise Hung(f"it hangs: longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def command(*arguments: object) -> Result:
    """Run a command in this process."""
    remove_abandoned.cache_clear()
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def outcome_of(result: Result, *codes: int) -> str:
    """What a command came to: done and refused count as right, a traceback or another exit code as wrong."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return "".join(traceback.format_exception(result.exception))[-600:]
    if result.exit_code not in (codes or CODES):
        return f"exit code {result.exit_code}: {result.output[-300:]}"
    return "identical" if result.exit_code == 0 else "refused"


def forked(
    arguments: Sequence[object],
    log: Path,
    before: Callable[[], object] = lambda: None,
    kill_after_s: float | None = None,
    longest_s: int = LONGEST_S,
) -> int:
    """Run a command in a fork of this process, with what it prints in `log`; returns its exit code, or -signal."""
    child = os.fork()
    if child == 0:
        code = 70
        gc.freeze()  # what lies here is the parent's: to collect it would wait for threads that no fork has
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is deaf to it
        with suppress(BaseException):
            target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(target, 1)
            os.dup2(target, 2)
            result = None
            before()
            try:
                with at_most(longest_s):
                    result = command(*arguments)
            except Hung:
                os.write(2, traceback.format_exc().encode(errors="replace"))
                raise
            code = result.exit_code
            text = io.StringIO()
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                traceback.print_exception(result.exception, file=text)
            os.write(2, (result.output + text.getvalue()).encode(errors="replace"))
        os.kill(os.getpid(), signal.SIGKILL) if code == 70 else os._exit(code)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
