"""What `score` does with still images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from adkit.cli import options as o
from adkit.cli.faults import SOME_UNREADABLE

if TYPE_CHECKING:
    from adkit.errors import AdkitError
    from adkit.types import Sample
    from adkit.workflows.score import FittedModel


def score_stills(
    judge: FittedModel,
    samples: list[Sample],
    heatmaps: Path | None,
    chosen_format: o.Format,
    shown: o.Format,
    output: Path | None,
    skip_bad: bool,
) -> None:
    """Scores the images and prints or writes a row for each; raises Exit where some could not be read."""
    from adkit.cli.output import emit
    from adkit.cli.terminal import terminal_progress

    rows = _score_rows(judge, samples, heatmaps, terminal_progress())
    unreadable = [row for row in rows if row["decision"] == "unreadable"]
    if chosen_format is not o.Format.table:
        emit(chosen_format, output, rows, {"run": judge.run.record.id, "results": rows})
    if shown is o.Format.table:
        _print_rows(judge, rows)
    for row in unreadable:
        typer.secho(f"unreadable: {row['error']}", err=True, fg="yellow")
    if unreadable:
        typer.echo(f"{len(unreadable)} of {len(rows)} files could not be read", err=True)
        if not skip_bad:
            raise typer.Exit(SOME_UNREADABLE)


def _score_rows(
    judge: FittedModel, samples: list[Sample], heatmaps: Path | None, progress: Any
) -> list[dict[str, Any]]:
    """A row per sample in the samples' order; pictures are drawn on the way."""
    from adkit.data.frame_source import frames_of
    from adkit.evaluation.pictures import PictureWriter

    failed: dict[str, str] = {}

    def note(sample: Sample, error: AdkitError) -> None:
        failed[sample.id] = error.message

    writer = PictureWriter(judge.run, judge.threshold, heatmaps) if heatmaps else None
    scored = {}
    by_id = {sample.id: sample for sample in samples}
    with progress.task("scoring", len(samples)) as advance:
        for result in judge.stream(frames_of(samples, judge.method.frame_size, note)):
            sample = by_id[result.id]
            scored[sample.id] = {
                "path": str(sample.frame),
                "score": result.score,
                "threshold": judge.threshold.value,
                "p_value": result.p_value,
                "decision": "anomalous" if result.anomalous else "normal",
                "error": None,
            }
            if writer:
                writer.write(sample, result.score, result.p_value, result.map, result.reconstruction)
            advance(1)
    unreadable = {
        "score": None,
        "threshold": judge.threshold.value,
        "p_value": None,
        "decision": "unreadable",
    }
    return [
        scored.get(sample.id) or {"path": str(sample.frame), **unreadable, "error": failed[sample.id]}
        for sample in samples
    ]


def _print_rows(judge: FittedModel, rows: list[dict[str, Any]]) -> None:
    from adkit.cli.output import MOST_ROWS, print_table

    readable = [row for row in rows if row["score"] is not None]
    if len(readable) > MOST_ROWS:
        readable = sorted(readable, key=lambda row: -row["score"])  # the most anomalous first
    shown = [{name: row[name] for name in ("path", "score", "p_value", "decision")} for row in readable]
    print_table(
        f"run {judge.run.record.id}",
        shown,
        caption=f"threshold {judge.threshold.value:.4f}: {judge.threshold.promise()}",
    )
    anomalous = sum(row["decision"] == "anomalous" for row in rows)
    typer.echo(f"{anomalous} of {len(readable)} images are anomalous")
