"""Tables and progress in a terminal and elsewhere."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress as RichProgress

from adkit.cli import terminal
from adkit.cli.terminal import Bar, Lines, terminal_progress
from adkit.workflows import progress


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
        """What is drawn now, in words."""
        return [task.description for bar in self.made if bar.live.is_started for task in bar.tasks]

    @property
    def drawing(self) -> bool:
        return any(bars.live.is_started for bars in self.made)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    made = Screen()
    monkeypatch.setattr(terminal, "Console", made.console)
    monkeypatch.setattr(terminal, "RichProgress", made.bars)
    return made


def test_one_bar_stands_for_all_steps_and_is_gone_at_the_end(screen: Screen) -> None:
    bar = Bar()
    with bar.plan([("features", 3), ("training", 1)]):
        with bar.task("features", 2_000) as advance:
            advance(1_000)
            assert screen.shown == ["step 1 of 2 · features · 1,000 of 2,000"]
            assert screen.made[0].tasks[0].completed == pytest.approx(3 / 8)
        with bar.task("training", 10) as advance:
            bar.status("loss 0.01")
            advance(5)
            assert screen.shown == ["step 2 of 2 · training · 5 of 10 · loss 0.01"]
        assert screen.drawing
    assert not screen.drawing
    assert len(screen.made) == 1
    assert "training" in screen.text.getvalue()


def test_a_bar_that_was_hidden_goes_on_where_it_stood(screen: Screen) -> None:
    bar = Bar()
    with bar.task("category", 2) as advance:
        advance(1)
        bar.hide()
        assert not screen.drawing
        with bar.task("scoring", 4) as inner:
            inner(2)
        assert screen.drawing
        assert screen.made[1].tasks[0].completed == 0.75
    assert not screen.drawing


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("depth", [1, 3])
def test_an_exception_removes_the_bar(screen: Screen, depth: int, fault: type[BaseException]) -> None:
    bar = Bar()

    def descend(level: int) -> None:
        if level == depth:
            raise fault("in the innermost step")
        with bar.task(f"step {level}", 5) as advance:
            advance(1)
            descend(level + 1)

    with pytest.raises(fault, match="innermost"):
        descend(0)
    assert not screen.drawing
    with bar.task("afterwards", 1) as advance:  # and the next one begins anew
        assert screen.made[-1].tasks[0].completed == 0
        advance(1)
        assert screen.drawing
    assert not screen.drawing


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=made.monotonic))
    return made


def test_lines_tell_how_far_it_is_and_how_long_it_will_take(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Lines().task("scoring", 100) as advance:
        for _ in range(10):
            clock.now += 2
            advance(5)
    printed = capsys.readouterr()
    assert printed.out == ""
    # Every third step is the first after five seconds; an image takes 0.4 s.
    assert printed.err.splitlines() == [
        "scoring · about 40 s in all · 15 of 100",
        "scoring · about 40 s in all · 30 of 100",
        "scoring · about 40 s in all · 45 of 100",
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


def test_lines_of_a_step_within_a_step_say_which(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    with lines.task("cell", 1_200) as outer:
        outer(599)
        with lines.task("scoring", 10) as inner:
            clock.now += 600
            inner(10)
        outer(1)
    assert capsys.readouterr().err.splitlines() == ["cell 600 of 1,200 · scoring · about 20 min in all · 10 of 10"]


def test_bars_are_for_terminals_and_lines_for_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
    assert isinstance(terminal_progress(), Bar)
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: False))
    assert isinstance(terminal_progress(), Lines)
