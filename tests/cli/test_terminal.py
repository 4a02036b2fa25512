"""Tables and progress in a terminal and elsewhere."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress as RichProgress

from adkit.cli import terminal
from adkit.cli.terminal import Bars, Lines, terminal_progress


class Screen:
    """A terminal that keeps what is drawn, and the bars that were made."""

    def __init__(self) -> None:
        self.text = io.StringIO()
        self.made: list[RichProgress] = []

    def console(self, **_: object) -> Console:
        return Console(file=self.text, force_terminal=True, width=100)

    def bars(self, *columns: object, **settings: object) -> RichProgress:
        self.made.append(RichProgress(*columns, **settings))  # type: ignore[arg-type]
        return self.made[-1]

    @property
    def shown(self) -> list[str]:
        """The steps that are drawn now."""
        return [task.description for bars in self.made for task in bars.tasks]

    @property
    def drawing(self) -> bool:
        return any(bars.live.is_started for bars in self.made)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    made = Screen()
    monkeypatch.setattr(terminal, "Console", made.console)
    monkeypatch.setattr(terminal, "RichProgress", made.bars)
    return made


def test_a_step_within_a_step_stands_below_it_and_both_are_removed(screen: Screen) -> None:
    bars = Bars()
    with bars.task("categories", 2) as outer:
        assert screen.shown == ["categories"]
        for _ in range(2):
            with bars.task("scoring", 10) as inner:
                assert screen.shown == ["categories", "scoring"]
                inner(4)
                inner(6)
                assert [task.completed for task in screen.made[0].tasks][1] == 10
            assert screen.shown == ["categories"]
            outer(1)
        assert screen.made[0].tasks[0].completed == 2
        assert screen.drawing
    assert screen.shown == []
    assert not screen.drawing
    assert len(screen.made) == 1
    assert "categories" in screen.text.getvalue()


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_an_exception_removes_every_step(screen: Screen, depth: int, fault: type[BaseException]) -> None:
    bars = Bars()

    def descend(level: int) -> None:
        if level == depth:
            raise fault("in the innermost step")
        with bars.task(f"step {level}", 5) as advance:
            advance(1)
            descend(level + 1)

    with pytest.raises(fault, match="innermost"):
        descend(0)
    assert screen.shown == []
    assert not screen.drawing
    with bars.task("afterwards", 1) as advance:  # and the next step starts afresh
        advance(1)
        assert screen.shown == ["afterwards"]
        assert screen.drawing
    assert not screen.drawing


def test_an_inner_step_that_fails_leaves_the_outer_one(screen: Screen) -> None:
    bars = Bars()
    with bars.task("outer", 2) as advance:
        with pytest.raises(ValueError, match="inner"), bars.task("inner", 2):
            raise ValueError("inner")
        assert screen.shown == ["outer"]
        assert screen.drawing
        advance(2)
    assert not screen.drawing


def test_steps_one_after_another_are_drawn_anew(screen: Screen) -> None:
    bars = Bars()
    for label in ("first", "second"):
        with bars.task(label, 1) as advance:
            assert screen.shown == [label]
            assert screen.drawing
            advance(1)
    assert screen.shown == []


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=made.monotonic))
    return made


def test_lines_tell_how_far_it_is_and_how_long_it_will_take(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Lines().task("scoring", 100) as advance:
        for _ in range(10):
            clock.now += 2
            advance(5)
    printed = capsys.readouterr()
    assert printed.out == ""
    # Every third step is the first after five seconds; a picture takes 0.4 s.
    assert printed.err.splitlines() == [
        "scoring: 15 of 100, about 34 s left",
        "scoring: 30 of 100, about 28 s left",
        "scoring: 45 of 100, about 22 s left",
    ]


def test_short_steps_say_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Lines().task("scoring", 100) as advance:
        for _ in range(100):
            clock.now += 0.04
            advance(1)
    assert capsys.readouterr().err == ""


def test_a_step_that_does_not_move_estimates_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Lines().task("scoring", 3) as advance:
        clock.now += 60
        advance(0)
    assert capsys.readouterr().err == ""


def test_lines_of_a_step_within_a_step_are_told_apart(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    with lines.task("cells", 2) as outer:
        with lines.task("scoring", 10) as inner:
            clock.now += 6
            inner(5)
        outer(1)
    assert capsys.readouterr().err.splitlines() == ["scoring: 5 of 10, about 6 s left", "cells: 1 of 2, about 6 s left"]


def test_bars_are_for_terminals_and_lines_for_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
    assert isinstance(terminal_progress(), Bars)
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: False))
    assert isinstance(terminal_progress(), Lines)
