"""What a job's process says, read while it runs and after it ended."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

MOST_READ = 600_000
"""Bytes of a stream, from its end."""

_FIGURE = re.compile(r"([a-z][a-z ]*?) (\d+(?:\.\d+)?(?:e-?\d+)?)\b")


class _Line(BaseModel):
    """A line of progress; see `adkit.cli.terminal.Stream`."""

    model_config = ConfigDict(frozen=True)

    steps: list[str]
    done: int
    total: int
    elapsed_s: float
    status: str = ""


class Steps(BaseModel):
    """How far a job is."""

    model_config = ConfigDict(frozen=True)

    path: tuple[str, ...] = ()  # the open steps, the outermost first; () before the first
    done: int = 0  # of the outermost
    total: int = 0
    inner_done: int = 0  # of the innermost
    inner_total: int = 0
    left_s: float | None = None  # of the outermost step
    status: str = ""
    curves: dict[str, list[float]] = {}  # the numbers that the statuses told, by name: "loss", "held out"

    @property
    def share(self) -> float | None:
        """How much of the outermost step is done, 0..1, with a part for the inner one."""
        if not self.total:
            return None
        inner = self.inner_done / self.inner_total if self.inner_total and len(self.path) > 1 else 0.0
        return min(1.0, (self.done + inner) / self.total)


class Outcome(BaseModel):
    """What a process that ended has left."""

    model_config = ConfigDict(frozen=True)

    done: bool = False
    result: Any = None  # what it printed, as JSON where it is that
    message: str = ""  # what is wrong
    hint: str = ""
    notes: tuple[str, ...] = ()  # what else it said
    bug: bool = False  # it failed with a traceback, which stays in its log


def read_steps(path: Path) -> Steps:
    """The progress in a stream of stderr; of a stream that is not there or not that, none."""
    lines = []
    for text in _tail(path).splitlines():
        if text.startswith("{"):
            try:
                lines.append(_Line.model_validate_json(text))
            except ValidationError:
                continue  # a line that is being written
    if not lines:
        return Steps()
    last = lines[-1]
    outer = next((line for line in reversed(lines) if len(line.steps) == 1), last)
    if outer.steps[:1] != last.steps[:1]:
        outer = last
    curves: dict[str, list[float]] = {}
    told = ""
    for line in lines:
        if line.status and line.status != told:
            told = line.status
            for name, value in figures_of(told).items():
                curves.setdefault(name, []).append(value)
    left = outer.elapsed_s * (outer.total - outer.done) / outer.done if outer.done else None
    return Steps(
        path=tuple(last.steps),
        done=outer.done,
        total=outer.total,
        inner_done=last.done,
        inner_total=last.total,
        left_s=left,
        status=last.status,
        curves={name: values for name, values in curves.items() if len(values) > 1},
    )


def figures_of(status: str) -> dict[str, float]:
    """The numbers in a status by the words before them: "loss 0.012, held out 0.013" has two."""
    return {name.strip(): float(value) for name, value in _FIGURE.findall(status)}


def outcome_of(folder: Path) -> Outcome:
    """What the process in this job's folder left: a result, a fault in two lines, or neither when it was killed."""
    printed = _tail(folder / "stdout").strip()
    said = [line for line in _tail(folder / "stderr").splitlines() if line and not line.startswith("{")]
    message = next((line.removeprefix("error: ") for line in said if line.startswith("error: ")), "")
    hint = next((line.removeprefix("hint:").strip() for line in said if line.startswith("hint:")), "")
    bug = any(line.startswith("Traceback ") for line in said)
    interrupted = any(line.startswith("interrupted") for line in said)
    notes = tuple(line for line in said if not line.startswith(("error: ", "hint:", "Traceback "))) if not bug else ()
    if message:
        return Outcome(message=message, hint=hint, notes=notes)
    if bug:
        return Outcome(
            message="something failed inside adkit", hint=f"its log says where: {folder.name}/stderr", bug=True
        )
    if printed and not interrupted:
        try:
            result = json.loads(printed)
        except json.JSONDecodeError:
            result = printed
        return Outcome(done=True, result=result, notes=notes)
    return Outcome(message="it was ended before it was done", hint="start it again, or go on with it", notes=notes)


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MOST_READ))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
