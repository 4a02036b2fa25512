"""What `score` does with clips: watches each, writes what was asked for, prints what was found."""

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import typer

from adkit.cli.faults import report_fault
from adkit.cli.output import Destination, print_table, say, say_places, tell, warn
from adkit.cli.stopping import stopping
from adkit.cli.terminal import terminal_progress
from adkit.cli.workers import Elsewhere
from adkit.data.clips import differ
from adkit.data.inputs import VideoInput
from adkit.data.live import Gap
from adkit.data.spans import Span
from adkit.data.video_writer import require_video_file
from adkit.errors import INTERRUPTED, SOME_UNREADABLE, USER_FAULT, AdkitError, FrameError, OptionError
from adkit.files.atomic import is_folder, plain_name
from adkit.files.table import Rows
from adkit.interfaces import SILENT
from adkit.stats.formatting import clock, counted, p_value_text
from adkit.watching.event_files import event_row, require_event_file, write_events
from adkit.watching.events import Event
from adkit.watching.timeline import Trace, write_timeline
from adkit.watching.watch import Settings, Watch, frame_row
from adkit.workflows.score import FittedModel, FrameResult

Add = Callable[[Mapping[str, Any]], None]
"""Takes the row of a frame."""


@dataclass(frozen=True, slots=True)
class ClipFiles:
    """The files that were asked for, beside the rows; by the names of the clips where each has its own."""

    events: Path | None
    annotated: dict[str, Path] = field(default_factory=dict)
    timelines: dict[str, Path] = field(default_factory=dict)

    def places(self) -> dict[str, Path | None]:
        """Say where they lie: those of several clips in a folder."""
        by_clip = {"annotated": [*self.annotated.values()], "timelines": [*self.timelines.values()]}
        own = {what: paths[0].parent if len(paths) > 1 else paths[0] for what, paths in by_clip.items() if paths}
        return {"events": self.events, **own}


def clip_files(
    clips: Sequence[VideoInput], annotate: Path | None, events: Path | None, timeline: Path | None, rows: Path | None
) -> ClipFiles:
    """Name the files to write, in folders for several clips; raises AdkitError for a file that cannot be meant."""
    if events:
        require_event_file(events, len(clips))
    files = ClipFiles(events)
    inputs = {path.resolve() for clip in clips for path in (clip.video, *clip.frames) if path is not None}
    taken: dict[Path, str] = {}

    def claim(path: Path, what: str) -> Path:
        whole = path.resolve()
        if whole in inputs:
            raise OptionError(f"{path} ({what}) is the input itself", hint="choose another name")
        if whole in taken:
            raise OptionError(f"{path} is named twice: {what} and {taken[whole]}", hint="choose another name")
        taken[whole] = what
        return path

    for name in (clip.name for clip in clips):
        if annotate:
            require_video_file(video := _for_clip(annotate, name, len(clips), ".mp4"))
            files.annotated[name] = claim(video, f"--annotate for {name}")
        if timeline:
            picture = _for_clip(timeline, name, len(clips), ".png")
            if picture.suffix.lower() != ".png":
                raise OptionError(f"{picture} does not end in .png", hint=f"for example {picture.with_suffix('.png')}")
            files.timelines[name] = claim(picture, f"--timeline for {name}")
    for path, option in ((events, "--events"), (rows, "--output")):
        if path:
            claim(path, option)
    return files


def _for_clip(path: Path, name: str, clips: int, suffix: str) -> Path:
    if clips == 1 and path.suffix and not is_folder(path):
        return path
    if clips > 1 and path.suffix.lower() == suffix:
        raise OptionError(f"{path} is one file, and there are {clips} clips", hint="name a folder for them")
    return path / f"{plain_name(name, '_').strip('._')[-100:] or 'clip'}{suffix}"


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in clips, but for the rows of their frames."""

    events: dict[str, list[Event]] = field(default_factory=dict)
    summaries: list[dict[str, Any]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unwritten: list[AdkitError] = field(default_factory=list)

    def add(self, more: Self) -> None:
        """Take what was found in the next clips."""
        self.events.update(more.events)
        self.summaries.extend(more.summaries)
        self.unreadable.extend(more.unreadable)
        self.unwritten.extend(more.unwritten)


class ClipScorer:
    """Watches clips one after another; what goes wrong with one does not keep the next from being watched."""

    def __init__(self, model: FittedModel, settings: Settings, files: ClipFiles) -> None:
        self.model, self.settings, self.files, self.found = model, settings, files, Found()

    def score(
        self, clips: Sequence[VideoInput], to: Destination, *, skip_bad: bool, elsewhere: Elsewhere | None = None
    ) -> bool:
        """Watch all and say whether there was any event; raises Exit where not all went well."""
        warn_of_frames(self.model)
        live, found = any(clip.live for clip in clips), self.found
        head = {"run": self.model.run.record.id, "suspects": self.model.run.record.suspects}
        tail = {"clips": found.summaries, "unreadable": found.unreadable}
        with stopping() as stop, to.streamed(head, tail, live=live) as add:
            if elsewhere:
                self._gather(elsewhere, clips, stop, add)
            else:
                self.watch(clips, stop, add, warn)
        if to.for_people:
            print_clips(self.model, found.summaries, found.events)
            say_places({"rows": to.file, **self.files.places()})
        warn(*found.unreadable)
        for error in found.unwritten:
            report_fault(error)
        if found.unwritten:
            raise typer.Exit(USER_FAULT)
        if stop.is_set() and not live:  # a live source is meant to be stopped
            warn("interrupted: what was watched until then is written")
            raise typer.Exit(INTERRUPTED)
        if found.unreadable and not skip_bad:
            raise typer.Exit(SOME_UNREADABLE)
        return any(found.events.values())

    def watch(self, clips: Sequence[VideoInput], stop: threading.Event, add: Add, note: Callable[[str], None]) -> None:
        """Watch clips until `stop` is set; rows of frames go to `add`, and what is to be told to `note`."""
        for clip in clips:
            if not stop.is_set():
                self._watch(clip, stop, add, note, named=len(clips) > 1)
                self._write_events()

    def _gather(self, elsewhere: Elsewhere, clips: Sequence[VideoInput], stop: threading.Event, add: Add) -> None:
        """Let workers watch the clips, each of them one at a time; the events of all go to one file, from here."""
        work = partial(_watched, self.settings, replace(self.files, events=None))
        for found, rows, notes in elsewhere.each(work, clips, 1, stop):
            for row in rows:
                add(row)
            warn(*notes)
            self.found.add(found)
            self._write_events()

    def _watch(
        self, clip: VideoInput, stop: threading.Event, add: Add, note: Callable[[str], None], *, named: bool
    ) -> None:
        """Watch one clip to its end, and write what is written of a clip."""
        trace, events = Trace(), self.found.events.setdefault(clip.name, [])
        before = f"{clip.name}: " if named else ""
        try:
            watch = Watch(self.model, clip, replace(self.settings, annotate=self.files.annotated.get(clip.name)), stop)
            if doubt := self._doubt_of_rate(watch):
                note(doubt)
            with closing(_told(watch)) as results:
                for result in results:
                    add(frame_row(clip.name, watch.rules.threshold, result))
                    trace.add(result.time_s, result.score)
                    if clip.live:
                        tell_news(watch, before)
                        if len(watch.events) > len(events):
                            events[:] = watch.events
                            self._write_events()
        except FrameError as error:
            if clip.live:
                raise
            self.found.unreadable.append(error.message)
            return
        events[:] = watch.events
        if clip.live:
            tell_news(watch, before)
        self.found.summaries.append(clip_summary(watch))
        if not clip.live and watch.source.length_s < watch.rules.min_duration_s:
            note(
                f"{clip.name} lasts {watch.source.length_s:.2g} s, and an event {watch.rules.min_duration_s:g} s at "
                "least (--min-duration): none can be found in it"
            )
        self.found.unreadable.extend(fault.message for fault in watch.faults if isinstance(fault, FrameError))
        self.found.unwritten.extend(fault for fault in watch.faults if not isinstance(fault, FrameError))
        for text in watch.source.notes:
            note(text)
        if path := self.files.timelines.get(clip.name):
            gaps = [Span(gap.start_s, gap.end_s) for gap in watch.gaps if gap.end_s is not None]
            write_timeline(path, clip.name, trace, watch.rules, events, learned=watch.learned, gaps=gaps)

    def _write_events(self) -> None:
        if self.files.events and (self.found.summaries or any(self.found.events.values())):
            write_events(self.files.events, self.found.events)

    def _doubt_of_rate(self, watch: Watch) -> str | None:
        """Say where frames are judged that are further apart than those that were learned from, or nearer."""
        learned_s, judged_s = self.model.run.record.step_s, watch.every / watch.source.rate
        if not learned_s or watch.clip.live or not differ(judged_s, learned_s):
            return None
        return (
            f"{watch.clip.name}: frames are judged {judged_s:.2g} s apart, and those that set the threshold were "
            f"{learned_s:.2g} s apart: the promise may not hold"
        )


def _watched(
    settings: Settings, files: ClipFiles, model: FittedModel, clips: list[VideoInput]
) -> tuple[Found, list[Mapping[str, Any]], list[str]]:
    """Watch clips as a worker: what was found, the rows of their frames, and what is to be told."""
    scorer, rows, notes = ClipScorer(model, settings, files), list[Mapping[str, Any]](), list[str]()
    with stopping() as stop:  # whoever calls this back wants what there is
        scorer.watch(clips, stop, rows.append, notes.append)
    return scorer.found, rows, notes


def warn_of_frames(model: FittedModel) -> None:
    """Say what the threshold of a run that learned from still images does not promise of a clip."""
    if doubt := model.doubt_of_clips:
        warn(f"{model.run.record.id} {doubt}: learn from clips, or from a part of the video with --learn")


def _told(watch: Watch) -> Generator[FrameResult]:
    """Give the results of a watch, whose progress is told where its end is known."""
    progress, told = terminal_progress() if watch.source.expected else SILENT, 0
    with progress.task("watching", watch.source.expected or 1) as advance:
        for result in watch:
            yield result
            advance(result.index + 1 - told)
            told = result.index + 1


def tell_news(watch: Watch, before: str) -> None:
    """Say on stderr which events of a live source began and ended, and when the source was away."""
    for what, one in watch.news():
        if isinstance(one, Gap):
            back = f"back at {clock(one.end_s)}" if one.end_s is not None else "it did not come back"
            text, colour = f"{clock(one.start_s)} lost ({one.reason}), {back}", "yellow"
        elif what == "began":
            where = f", {one.region.words}" if one.region else ""
            text, colour = f"{clock(one.start_s)} event {one.number}: score {one.peak:.3g}{where}", "red"
        else:
            text, colour = f"{clock(one.end_s)} event {one.number} ended, {one.duration_s:.1f} s", "green"
        tell(before + text, fg=colour)


def clip_summary(watch: Watch) -> dict[str, Any]:
    """Return one watched clip for programs."""
    return {
        "clip": watch.clip.name,
        "frames": watch.source.seen,
        "judged": watch.judged,
        "seconds": round(watch.source.length_s, 3),
        "highest": watch.highest.score if watch.highest else None,
        "highest_s": round(watch.highest.time_s, 3) if watch.highest else None,
        "p_value": watch.highest.p_value if watch.highest else None,
        "p_value_is_floor": watch.highest.p_value_is_floor if watch.highest else None,
        "threshold": watch.rules.threshold,
        "release": watch.rules.release,
        "dropped": watch.dropped,
        "gaps": [{"start_s": gap.start_s, "end_s": gap.end_s, "reason": gap.reason} for gap in watch.gaps],
        "faults": [fault.message for fault in watch.faults],
        "events": [event_row(event) for event in watch.events],
    }


def print_clips(model: FittedModel, summaries: Rows, events: Mapping[str, Sequence[Event]]) -> None:
    """Print how many events there are, a table of them, and one of the clips."""
    found = [
        {
            **({"clip": clip} if len(summaries) > 1 else {}),
            "event": event.number,
            "start": clock(event.start_s),
            "end": clock(event.end_s),
            "seconds": f"{event.duration_s:.1f}",
            "peak": event.peak,
            "peak at": clock(event.peak_s),
            "where": event.region.words if event.region else None,
        }
        for clip, all_of_it in events.items()
        for event in all_of_it
    ]
    total_s = sum(one["seconds"] for one in summaries)
    say(f"{counted(len(found), 'event')} in {clock(total_s)}", bold=True, fg="red" if found else "green")
    if found:
        print_table("events", found, keys=2 if len(summaries) > 1 else 1)
    lossy = any(one["dropped"] or one["gaps"] for one in summaries)
    rows = [
        {
            "clip": one["clip"],
            "frames": one["frames"],
            "length": clock(one["seconds"]),
            "highest": one["highest"],
            "at": None if one["highest_s"] is None else clock(one["highest_s"]),
            "p_value": one["p_value"] and p_value_text(one["p_value"], one["p_value_is_floor"]),
            "events": len(one["events"]),
            **({"dropped": one["dropped"], "gaps": len(one["gaps"])} if lossy else {}),
        }
        for one in summaries
    ]
    threshold = model.threshold
    print_table(f"run {model.run.record.id}", rows, caption=f"threshold {threshold.value:.4f}: {threshold.promise()}")
