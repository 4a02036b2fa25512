"""What `score` does with clips: watches each, writes what was asked for, prints what was found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from adkit.cli.clip_files import Outputs
from adkit.cli.clip_rows import clip_summary, frame_row, print_clips
from adkit.cli.faults import INTERRUPTED, SOME_UNREADABLE, USER_FAULT, report_fault
from adkit.cli.options import Format
from adkit.errors import AdkitError, FrameError

if TYPE_CHECKING:
    from adkit.data.inputs import VideoInput
    from adkit.watching.events import Event
    from adkit.watching.watch import Settings, Watch
    from adkit.workflows.score import FittedModel

AddRow = Callable[[Mapping[str, Any]], None]


class ClipScorer:
    """Watches clips one after another; what goes wrong with one does not keep the next from being watched."""

    def __init__(self, judge: FittedModel, settings: Settings, outputs: Outputs, chosen: Format, shown: Format) -> None:
        self.judge, self.settings, self.outputs = judge, settings, outputs
        self._format, self._shown = chosen, shown
        self._events: dict[str, list[Event]] = {}
        self._summaries: list[dict[str, Any]] = []
        self._unreadable: list[AdkitError] = []
        self._unwritten: list[AdkitError] = []

    def score(self, clips: Sequence[VideoInput], *, skip_bad: bool) -> None:
        """Watches all; raises Exit where not all went well."""
        from adkit.cli.rows import written_rows
        from adkit.cli.stopping import stopping

        self._warn()
        live = any(clip.live for clip in clips)
        head = {"run": self.judge.run.record.id}
        with stopping() as stop, written_rows(self._format, self.outputs.rows, head, live=live) as rows:
            for clip in clips:
                if not stop.is_set():
                    self._watch(clip, len(clips), stop, rows.add)
            rows.tail |= {"clips": self._summaries, "unreadable": [error.message for error in self._unreadable]}
        if self._shown is Format.table:
            print_clips(self.judge, self._summaries, self._events)
        for error in self._unreadable:
            typer.secho(error.message, err=True, fg="yellow")
        for error in self._unwritten:
            report_fault(error)
        if self._unwritten:
            raise typer.Exit(USER_FAULT)
        if stop.is_set() and not live:  # a live source is meant to be stopped
            typer.secho("interrupted: what was watched until then is written", err=True, fg="yellow")
            raise typer.Exit(INTERRUPTED)
        if self._unreadable and not skip_bad:
            raise typer.Exit(SOME_UNREADABLE)

    def _watch(self, clip: VideoInput, clips: int, stop: threading.Event, add: AddRow) -> None:
        from adkit.watching.watch import Watch

        settings = replace(self.settings, annotate=self.outputs.annotated(clip, clips))
        try:
            watch = Watch(self.judge, clip, settings, stop)
            self._walk(watch, clips, add)
        except FrameError as error:
            if clip.live:
                raise
            self._unreadable.append(error)

    def _walk(self, watch: Watch, clips: int, add: AddRow) -> None:
        """Watches one clip to its end, and writes what is written of a clip."""
        from adkit.cli.terminal import terminal_progress
        from adkit.data.spans import Span
        from adkit.watching.timeline import Trace, write_timeline

        clip, trace = watch.clip, Trace()
        announcer = Announcer(watch, clip.name if clips > 1 else "") if clip.live else None
        events = self._events.setdefault(clip.name, [])
        step: AbstractContextManager[Callable[[int], None]] = nullcontext(lambda _: None)
        if watch.source.expected:
            step = terminal_progress().task("watching", watch.source.expected)
        told = 0
        with step as advance:
            for result in watch:
                add(frame_row(clip.name, watch.rules.threshold, result))
                trace.add(result.time_s, result.score)
                advance(result.index + 1 - told)
                told = result.index + 1
                if announcer:
                    announcer.tell()
                if len(watch.events) > len(events):
                    events[:] = watch.events
                    if clip.live:
                        self._write_events()
        events[:] = watch.events
        if announcer:
            announcer.tell()
        self._summaries.append(clip_summary(watch))
        for fault in watch.faults:
            (self._unreadable if isinstance(fault, FrameError) else self._unwritten).append(fault)
        for note in watch.source.notes:
            typer.secho(note, err=True, fg="yellow")
        self._write_events()
        if path := self.outputs.timeline_of(clip, clips):
            gaps = [Span(gap.start_s, gap.end_s) for gap in watch.gaps if gap.end_s is not None]
            write_timeline(path, clip.name, trace, watch.rules, events, learned=watch.settings.learned, gaps=gaps)

    def _write_events(self) -> None:
        from adkit.watching.event_files import write_events

        if self.outputs.events:
            write_events(self.outputs.events, self._events)

    def _warn(self) -> None:
        """What the run's threshold does not promise of these clips."""
        record = self.judge.run.record
        if self.judge.threshold.unit == "image":
            typer.secho(
                f"{record.id} learned from still images: each frame is scored as one, and its threshold counts images. "
                "A minute has many: learn from clips, or from a part of the video with --normal",
                err=True,
                fg="yellow",
            )
        elif self.settings.every not in (None, record.every):
            typer.secho(
                f"the threshold was set with {_share(record.every)}, and {_share(self.settings.every)} is judged",
                err=True,
                fg="yellow",
            )


def _share(every: int | None) -> str:
    return f"one in {every} frames" if every != 1 else "every frame"


class Announcer:
    """Says on stderr when an event of a live source begins and ends, and when the source was away."""

    def __init__(self, watch: Watch, name: str) -> None:
        self._watch, self._before = watch, f"{name}: " if name else ""
        self._begun = self._ended = self._gaps = 0

    def tell(self) -> None:
        """What is new."""
        from adkit.stats.formatting import clock

        watch = self._watch
        for gap in watch.gaps[self._gaps :]:
            back = f"back at {clock(gap.end_s)}" if gap.end_s is not None else "it did not come back"
            self._say(f"{clock(gap.start_s)} lost ({gap.reason}), {back}", "yellow")
        self._gaps = len(watch.gaps)
        for event in watch.events[self._ended :]:
            if event.number > self._begun:
                self._begin(event)
            self._say(f"{clock(event.end_s)} event {event.number} ended, {event.duration_s:.1f} s", "green")
        self._ended = len(watch.events)
        if watch.under_way and watch.under_way.number > self._begun:
            self._begin(watch.under_way)

    def _begin(self, event: Event) -> None:
        from adkit.stats.formatting import clock

        where = f", {event.region.words}" if event.region else ""
        self._say(f"{clock(event.start_s)} event {event.number}: score {event.peak:.3g}{where}", "red")
        self._begun = event.number

    def _say(self, text: str, colour: str) -> None:
        typer.secho(self._before + text, err=True, fg=colour)
