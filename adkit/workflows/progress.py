"""One bar over all steps of a fit, an evaluation or a comparison, and one way to say in words how far it is."""

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from adkit.interfaces import Advance, Progress
from adkit.stats.formatting import duration_text

EARLY_S, EARLY_SHARE = 2.0, 0.02
"""Before so much time and work has passed, nobody can say how long it takes in all."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far it is."""

    steps: tuple[str, ...]  # that are open, the outermost first
    done: int  # of the innermost step's units
    total: int
    share: float  # of all steps, 0..1; it never falls
    elapsed_s: float  # since the first step began
    text: str  # "step 3 of 6 · training · about 3 min in all · 12 of 60"
    status: str  # how the innermost step goes
    figures: Mapping[str, float]  # that came with it; each is told once


@dataclass(eq=False)
class _Plan:
    """Steps that follow each other, with how long each takes in proportion."""

    steps: Sequence[tuple[str, float]]
    at: int = -1  # -1: before the first
    within: int = 0  # so many more steps than these there were, in steps that had plans of their own

    def enter(self, label: str) -> None:
        """Go on to the next step of that name; one that is not planned counts for nothing."""
        ahead = range(self.at + 1, len(self.steps))
        self.at = next((number for number in ahead if self.steps[number][0] == label), self.at)

    def room(self) -> tuple[float, float]:
        """Return where the present step begins, and how much of all steps it is, 0..1."""
        weights = [weight for _, weight in self.steps]
        return sum(weights[: max(0, self.at)]) / sum(weights), (weights[self.at] / sum(weights) if self.at >= 0 else 0)


@dataclass(eq=False)
class _Step:
    """An open step."""

    label: str
    total: int
    done: int = 0
    status: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)  # not told yet

    def room(self) -> tuple[float, float]:
        """Return how much is done, and how much one unit is, 0..1."""
        return min(1.0, self.done / max(1, self.total)), 1 / max(1, self.total)


class OneBar(Progress):
    """All plans and steps that are open as one share of the whole; a subclass shows it."""

    def __init__(self) -> None:
        self._open: list[_Plan | _Step] = []
        self._share = self._began_s = 0.0

    @abstractmethod
    def show(self, standing: Standing, *, advanced: bool) -> None:
        """Show how far it is; `advanced`: within a step, which else has just begun or ended."""

    def hide(self) -> None:
        """Remove what is shown, until a step goes on: all is done, or something is printed."""
        return

    @contextmanager
    def plan(self, steps: Sequence[tuple[str, float]]) -> Iterator[None]:
        """Tell which steps follow; a plan that is opened in another one, and not in a step of it, adds nothing."""
        if self._open and isinstance(self._open[-1], _Plan):
            yield
        else:
            around = self._open[-2] if len(self._open) > 1 else None
            with self._opened(inner := _Plan(steps)):
                yield
            if isinstance(around, _Plan):
                around.within += len(steps) - 1 + inner.within

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        """Open a step that is shown until it ends."""
        step = _Step(label, total)
        if self._open and isinstance(around := self._open[-1], _Plan):
            around.enter(label)

        def advance(steps: int) -> None:
            step.done += steps
            if step is self._open[-1]:
                self.show(self._standing(), advanced=True)

        with self._opened(step):
            self.show(self._standing(), advanced=False)
            yield advance
            self.show(self._standing(), advanced=False)

    def status(self, text: str, figures: Mapping[str, float] | None = None) -> None:
        """Keep text and figures for the next time that the innermost step is shown."""
        if self._open and isinstance(step := self._open[-1], _Step):
            step.status, step.figures = text, figures or {}

    @contextmanager
    def _opened(self, part: _Plan | _Step) -> Iterator[None]:
        if not self._open:
            self._share, self._began_s = 0.0, time.monotonic()
        self._open.append(part)
        try:
            yield
        finally:
            self._open.remove(part)
            if not self._open:
                self.hide()

    def _standing(self) -> Standing:
        begin, span = 0.0, 1.0
        for part in self._open:
            first, room = part.room()
            begin, span = begin + span * first, span * room
        self._share = max(self._share, min(1.0, begin))
        elapsed_s = time.monotonic() - self._began_s
        steps = [part for part in self._open if isinstance(part, _Step)]
        now = steps[-1]
        labels, text = tuple(step.label for step in steps), " · ".join(self._words(elapsed_s))
        figures, now.figures = now.figures, {}
        return Standing(labels, now.done, now.total, self._share, elapsed_s, text, now.status, figures)

    def _words(self, elapsed_s: float) -> Iterator[str]:
        """Say where it is: what several are done of, the number of the step, its name, and how long all takes."""
        *outer, now = self._open
        number = count = 0
        for part in outer:
            if isinstance(part, _Plan) and part.at >= 0:  # a plan within a step stands in that step's place
                number = max(1, number) + part.at + part.within
                count = max(1, count) + len(part.steps) - 1 + part.within
            elif isinstance(part, _Step) and part.total > 1:
                yield f"{part.label} {min(part.done + 1, part.total):,} of {part.total:,}"
                number = count = 0
        if count > 1:
            yield f"step {number} of {count}"
        assert isinstance(now, _Step)
        yield now.label
        if elapsed_s >= EARLY_S and self._share >= EARLY_SHARE:
            yield f"about {_rounded(elapsed_s / self._share)} in all"
        if now.total > 1:
            yield f"{now.done:,} of {now.total:,}"


def _rounded(seconds: float) -> str:
    """Write an estimate as coarsely as it is sure: "5 s", "85 s", "3 min", "1.5 h"."""
    step = 5 if seconds < 87 else 60 if seconds < 5370 else 1800
    return duration_text(max(step, step * round(seconds / step)))
