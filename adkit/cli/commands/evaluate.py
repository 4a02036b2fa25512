"""`adkit eval`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from adkit.cli import options as o
from adkit.cli.faults import loaded_registry

if TYPE_CHECKING:
    from adkit.evaluation import Evaluation


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
    from adkit import evaluation as judging
    from adkit.cli.output import emit, format_of
    from adkit.cli.terminal import terminal_progress
    from adkit.pictures import worth_seeing, write_pictures
    from adkit.runs import EVALUATION, default_runs_root, find_run

    chosen_format = format_of(format_, output)
    registry = loaded_registry()
    opened = find_run(runs or default_runs_root(), run)
    result = judging.evaluate(
        opened,
        registry,
        scorer=scorer,
        root=root,
        device=device,
        skip_bad=skip_bad,
        progress=terminal_progress(),
    )
    pictures = None
    if heatmaps or result.maps is not None:
        pictures = heatmaps or opened.folder / EVALUATION / "pictures"
        write_pictures(result, pictures, None if heatmaps else worth_seeing(result))
    if chosen_format is not o.Format.table:
        emit(chosen_format, output, sample_rows(result), result.as_json())
    if format_ is o.Format.table:
        print_evaluation(result)
        if pictures:
            typer.echo(f"pictures: {pictures}")


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
        }
        for sample, score, p_value, called in zip(
            result.samples, result.scores, result.p_values, result.called, strict=True
        )
    ]


def print_evaluation(result: Evaluation) -> None:
    """Metrics, then the table by kind of defect."""
    from adkit.cli.output import print_table

    record = result.run.record
    rows = [
        {"metric": name, "value": metric.value, "note": metric.why_undefined or ""}
        for name, metric in result.metrics.items()
    ]
    print_table(f"{record.method} on {record.dataset} · scorer {result.scorer or 'own'} · run {record.id}", rows)
    auroc = result.metrics["image_auroc"].details if "image_auroc" in result.metrics else {}
    iou = result.metrics["pixel_iou"].details if "pixel_iou" in result.metrics else {}
    kinds = [
        {
            "kind": row.kind,
            "images": row.count,
            "mean score": row.mean_score,
            "called anomalous": row.called_anomalous,
            "share": row.called_anomalous / row.count,
            "image_auroc": auroc.get(row.kind),
            "pixel_iou": iou.get(row.kind),
        }
        for row in result.kinds
    ]
    caption = f"threshold {result.threshold.value:.4f}: {result.threshold.promise()}"
    print_table("by kind", kinds, caption=caption)
    for path in result.unreadable:
        typer.secho(f"unreadable, left out: {path}", err=True, fg="yellow")
