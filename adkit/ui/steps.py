"""How far a job is, from the JSON lines that its process writes to stderr."""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel, ValidationError

MOST_READ = 600_000
"""Bytes of a stream, from its end."""

DRAWN = ("loss", "held out")
"""The numbers of a training whose curves are shown."""

_FIGURE = re.compile(r"([a-z][a-z ]*?) (\d+(?:\.\d+)?(?:e-?\d+)?)\b")


class ProgressLine(BaseModel, frozen=True):
    """A line of progress; see `adkit.cli.terminal.Stream`."""

    share: float = 0.0  # of all, 0..1
    text: str = ""  # how far it is; "" before the first step
    status: str = ""


@dataclass(frozen=True, slots=True)
class Steps:
    """How far a job is."""

    now: ProgressLine
    curves: dict[str, list[float]] = field(default_factory=dict)  # values that the statuses told, of DRAWN
    notes: tuple[str, ...] = ()  # what else was written to stderr


def read_steps(path: Path) -> Steps:
    """Return the progress in a stream of stderr; of a stream that is not there or not that, none."""
    lines, notes = [], []
    for text in filter(None, read_end(path).splitlines()):
        if not text.startswith("{"):
            notes.append(text)
            continue
        with suppress(ValidationError):  # a line that is being written
            lines.append(ProgressLine.model_validate_json(text))
    now = lines[-1] if lines else ProgressLine()
    return Steps(now, _curves([line.status for line in lines]), tuple(notes))


def _curves(statuses: list[str]) -> dict[str, list[float]]:
    told = [figures_of(status) for status, _ in groupby(filter(None, statuses))]
    curves = {name: [figures[name] for figures in told if name in figures] for name in DRAWN}
    return {name: values for name, values in curves.items() if len(values) > 1}


def figures_of(status: str) -> dict[str, float]:
    """Return the numbers in a status by the words before them: "loss 0.012, held out 0.013" has two."""
    return {name.strip(): float(value) for name, value in _FIGURE.findall(status)}


def read_end(path: Path) -> str:
    """Return the end of a file as text; "" of a file that is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - MOST_READ))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
