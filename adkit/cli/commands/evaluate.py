"""`adkit eval`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import typer

from adkit.cli import options as o
from adkit.cli.faults import loaded_registry

if TYPE_CHECKING:
    from adkit.evaluation.evaluate import Evaluation


def evaluate(
    run: o.RunOption = "latest",
    scorer: o.ScorerOption = None,
    root: o.RootOption = None,
    heatmaps: o.HeatmapsOption = None,
    device: o.DeviceOption = "auto",
    runs: o.RunsOption = None,
    skip_bad: o.SkipBadOption = False,
    format_: o.FormatOption = o.Format.table,
    output: o.OutputOption = None,
) -> None:
    """Judge a run on the test split of its dataset: metrics, a table by defect kind, pictures.

    Results are stored in the run, so that another --scorer is judged without the model.

    Example: [bold]adkit eval --run latest --format json[/bold]
    """
    from adkit.cli.output import emit, format_of
    from adkit.cli.terminal import terminal_progress
    from adkit.evaluation.evaluate import evaluate as evaluate_run
    from adkit.evaluation.pictures import redraw, write_pictures
    from adkit.files.atomic import refuse_folder
    from adkit.runs.store import default_runs_root, find_run

    chosen_format = format_of(format_, output)
    refuse_folder(output)
    registry = loaded_registry()
    progress = terminal_progress()
    opened = find_run(runs or default_runs_root(), run)
    result = evaluate_run(
        opened,
        registry,
        scorer=scorer,
        root=root,
        device=device,
        skip_bad=skip_bad,
        progress=progress,
    )
    pictures = heatmaps
    if heatmaps:
        write_pictures(result, registry, heatmaps, device=device, progress=progress)
    elif result.maps is not None and not result.not_stored:
        pictures, _ = redraw(result, registry, device=device, progress=progress)
    if result.not_stored:
        typer.secho(f"the result is not stored in the run: {result.not_stored}", err=True, fg="yellow")
    if chosen_format is not o.Format.table:
        emit(chosen_format, output, sample_rows(result), result.as_json())
    if format_ is o.Format.table:
        print_evaluation(result)
        if pictures:
            typer.echo(f"pictures: {pictures}")
        typer.echo(f"curves, threshold slider and galleries in one page: adkit report {shlex.quote(opened.argument)}")


def sample_rows(result: Evaluation) -> list[dict[str, Any]]:
    """A row per test sample."""
    return [
        {
            "path": str(sample.frame),
            "kind": sample.kind,
            "anomalous": sample.anomalous,
            "score": float(score),
            "threshold": result.threshold.value,
            "p_value": float(p_value),
            "decision": "anomalous" if called else "normal",
            **({"clip": sample.clip, "time_s": sample.time_s, "in_event": bool(alarm)} if result.clips else {}),
        }
        for sample, score, p_value, called, alarm in zip(
            result.samples, result.scores, result.p_values, result.called, result.results.alarms, strict=True
        )
    ]


def print_evaluation(result: Evaluation) -> None:
    """Metrics, then the tables by kind of defect and by clip."""
    from adkit.cli.output import print_table
    from adkit.stats.bootstrap import RESAMPLES

    record = result.run.record
    rows: list[dict[str, Any]] = []
    for name in result.apt:
        metric, interval = result.metrics[name], result.intervals.get(name)
        shown = f"{interval.low:.4f} to {interval.high:.4f}" if interval else "–"
        between = {"95% interval": shown} if result.clips else {}
        rows.append({"metric": name, "value": metric.value, **between, "note": metric.why_undefined or ""})
    heading = f"{record.method} on {record.dataset} · scorer {result.scorer or 'own'} · run {record.id}"
    caption = None
    if result.clips:
        caption = f"over all frames, scores as they are; intervals from {RESAMPLES:,} resamples of the {_clips(result)}"
    print_table(heading, rows, caption=caption)
    if result.clips:
        print_table("by kind", _kinds_of_clips(result))
        print_table("by clip", clip_table(result))
    else:
        print_table("by kind", _kinds_of_images(result))
    _print_outcomes(result)
    if result.flattery:
        typer.secho(f"{result.flattery}: {', '.join(result.seen[:3])}", err=True, fg="yellow")
    for path in result.unreadable:
        typer.secho(f"unreadable, left out: {path}", err=True, fg="yellow")


def _kinds_of_images(result: Evaluation) -> list[dict[str, Any]]:
    auroc = result.metrics["image_auroc"].details if "image_auroc" in result.metrics else {}
    iou = result.metrics["pixel_iou"].details if "pixel_iou" in result.metrics else {}
    return [
        {
            "kind": row.kind,
            "images": row.count,
            "mean score": row.mean_score,
            "lowest": row.quantiles[0],
            "highest": row.quantiles[-1],
            "called anomalous": row.called_anomalous,
            "share": row.called_anomalous / row.count,
            "image_auroc": auroc.get(row.kind),
            "pixel_iou": iou.get(row.kind),
        }
        for row in result.kinds
    ]


def _kinds_of_clips(result: Evaluation) -> list[dict[str, Any]]:
    auroc = result.metrics["frame_auroc"].details if "frame_auroc" in result.metrics else {}
    return [
        {
            "kind": row.kind,
            "frames": row.count,
            "clips": row.clips,
            "events found": None if row.events is None else f"{row.events_caught} of {row.events}",
            "mean score": row.mean_score,
            "highest": row.quantiles[-1],
            "frames above threshold": f"{row.called_anomalous} ({row.called_anomalous / row.count:.0%})",
            "frame_auroc": auroc.get(f"kind {row.kind}"),
        }
        for row in result.kinds
    ]


def clip_table(result: Evaluation) -> list[dict[str, Any]]:
    """A row per test clip."""
    from adkit.stats.formatting import clock

    assert result.clips is not None
    return [
        {
            "clip": row.clip,
            "frames": row.frames,
            "anomalous": row.anomalous_frames,
            "highest": row.highest_score,
            "at": clock(row.highest_s),
            "auroc": row.auroc,
            "events found": f"{row.events_caught} of {row.events}" if row.events else "–",
            "false alarms": row.false_alarms,
            "decision": "anomalous" if row.called_anomalous else "normal",
        }
        for row in result.clips.rows
    ]


def _clips(result: Evaluation) -> str:
    from adkit.stats.formatting import counted

    return counted(len(result.clips.rows), "clip") if result.clips else ""


def _print_outcomes(result: Evaluation) -> None:
    """What the threshold does, and what thresholds would do that know the labels."""
    found = result.rates
    typer.echo(f"threshold {result.threshold.value:.4f}: {result.threshold.promise()}")
    if result.clips:
        typer.echo(f"  normal {result.clips.unit}s flagged: {found.false_alarms}")
        missed = f"{found.misses.count} of {found.misses.total}" if found.misses.total else "none to judge"
        typer.echo(f"  events missed: {missed}")
        typer.echo(f"  alarms that touch no event: {len(result.clips.false)}")
    else:
        typer.echo(f"  good parts flagged: {found.false_alarms}")
        typer.echo(f"  defects missed: {found.misses}")
    if found.mean_normal is not None and found.mean_anomalous is not None:
        ratio = f", ratio {found.separation_ratio:.2f}" if found.separation_ratio else ""
        typer.echo(f"  mean score: {found.mean_normal:.4f} good, {found.mean_anomalous:.4f} anomalous{ratio}")
    for row in found.oracle_passing:
        typer.echo(f"  oracle: good parts that pass when {row.recall:.0%} of defects are caught: {row.passing}")
