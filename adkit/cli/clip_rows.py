"""Clips, their frames and events as rows, for programs and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from adkit.watching.events import Event
    from adkit.watching.watch import Watch
    from adkit.workflows.score import FittedModel, FrameResult


def frame_row(clip: str, threshold: float, result: FrameResult) -> dict[str, Any]:
    """One judged frame; the box is in px of the clip."""
    from adkit.drawing.regions import region_columns

    return {
        "clip": clip,
        "frame": result.index,
        "time_s": round(result.time_s, 4),
        "raw_score": result.raw,
        "score": result.score,
        "threshold": threshold,
        "p_value": result.p_value,
        "decision": "learned" if result.learned else "anomalous" if result.anomalous else "normal",
        "event": result.event,
        **region_columns(result.region),
    }


def clip_summary(watch: Watch) -> dict[str, Any]:
    """One watched clip, for programs."""
    from adkit.watching.event_files import event_row

    return {
        "clip": watch.clip.name,
        "frames": watch.source.seen,
        "judged": watch.judged,
        "seconds": round(watch.source.length_s, 3),
        "highest": watch.highest.score if watch.highest else None,
        "highest_s": round(watch.highest.time_s, 3) if watch.highest else None,
        "p_value": watch.highest.p_value if watch.highest else None,
        "threshold": watch.rules.threshold,
        "release": watch.rules.release,
        "dropped": watch.dropped,
        "gaps": [{"start_s": gap.start_s, "end_s": gap.end_s, "reason": gap.reason} for gap in watch.gaps],
        "faults": [fault.message for fault in watch.faults],
        "events": [event_row(event) for event in watch.events],
    }


def print_clips(
    judge: FittedModel, summaries: Sequence[Mapping[str, Any]], events: Mapping[str, Sequence[Event]]
) -> None:
    """A table of the clips, and one of their events."""
    from adkit.cli.output import print_table
    from adkit.stats.formatting import clock, counted

    rows = []
    for one in summaries:
        row: dict[str, Any] = {
            "clip": one["clip"],
            "frames": one["frames"],
            "length": clock(one["seconds"]),
            "highest": one["highest"],
            "at": None if one["highest_s"] is None else clock(one["highest_s"]),
            "p_value": one["p_value"],
            "events": len(one["events"]),
        }
        if any(other["dropped"] or other["gaps"] for other in summaries):
            row |= {"dropped": one["dropped"], "gaps": len(one["gaps"])}
        rows.append(row)
    threshold = judge.threshold
    print_table(f"run {judge.run.record.id}", rows, caption=f"threshold {threshold.value:.4f}: {threshold.promise()}")
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
    if found:
        print_table("events", found)
    total_s = sum(one["seconds"] for one in summaries)
    typer.echo(f"{counted(len(found), 'event')} in {clock(total_s)}")
