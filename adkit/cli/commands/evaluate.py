"""`adkit eval`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from adkit.cli import options as o
from adkit.cli.calibration import remind_of_suspects
from adkit.cli.output import destination, print_table, say, say_places, warn
from adkit.stats.formatting import counted

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

    Example: [bold]adkit eval --run latest --heatmaps maps/[/bold]
    """
    from adkit.data.outputs import require_folder
    from adkit.evaluation.evaluate import STEPS
    from adkit.evaluation.evaluate import evaluate as evaluate_run
    from adkit.evaluation.pictures import redraw, write_pictures
    from adkit.evaluation.tables import sample_rows

    to = destination(format_, output)
    require_folder(heatmaps)
    workplace = o.workplace(root, device, skip_bad=skip_bad)
    opened = o.opened_run(run, runs)
    remind_of_suspects(opened.record)
    pictures = heatmaps
    with workplace.progress.plan([*STEPS, ("reconstructing", 2)]):
        result = evaluate_run(opened, workplace, scorer=scorer)
        if heatmaps:
            write_pictures(result, workplace, heatmaps)
        elif result.maps is not None and not result.not_stored:
            pictures, _ = redraw(result, workplace)
    if result.not_stored:
        warn(f"the result is not stored in the run: {result.not_stored}")
    to.emit(sample_rows(result), result.as_json())
    if to.for_people:
        print_evaluation(result)
        say_places({"rows": to.file, "pictures": pictures})
        say(f"curves, threshold slider and galleries in one page: adkit report {shlex.quote(opened.argument)}")


def print_evaluation(result: Evaluation) -> None:
    """Print what is caught and what is flagged, then metrics, then the tables by kind of defect and by clip."""
    from adkit.evaluation.tables import clip_table, kind_table
    from adkit.stats.bootstrap import RESAMPLES

    record = result.run.record
    say(f"{record.method} on {record.dataset} · run {record.id}", bold=True)
    say(result.verdict)
    _print_rates(result)
    metrics = []
    for name in result.apt:
        metric, interval = result.metrics[name], result.intervals.get(name)
        shown = f"{interval.low:z.4f} to {interval.high:z.4f}" if interval else None
        metrics.append({"metric": name, "value": metric.value, "95% interval": shown, "note": result.note(name)})
    clips, of_clips = clip_table(result), counted(len(result.split.rows), "clip")
    caption = f"over all frames, scores as they are; intervals from {RESAMPLES:,} resamples of the {of_clips}"
    print_table(f"metrics, scorer {result.scorer or 'own'}", metrics, caption=caption if clips else "")
    print_table("by kind", kind_table(result))
    if clips:
        print_table("by clip", clips)
    if result.flattery:
        warn(result.flattery)
    warn(*result.notes)


def _print_rates(result: Evaluation) -> None:
    """Print how certain that is, what is promised, and what thresholds would do that know the labels."""
    found = result.rates
    for title, rate in (("caught", found.caught), ("flagged", found.false_alarms)):
        say(f"  {title}: {rate.in_percent() if rate.total else 'none to judge'}")
    if result.unit.of_clips:
        say(f"  alarms that touch no event: {len(result.split.false)}")
    say(f"  threshold {result.threshold.value:.4f}: {result.threshold.promise()}")
    if found.mean_normal is not None and found.mean_anomalous is not None:
        ratio = f", ratio {found.separation_ratio:.2f}" if found.separation_ratio else ""
        say(f"  mean score: {found.mean_normal:.4f} good, {found.mean_anomalous:.4f} anomalous{ratio}")
    # Of few defects 99 % are all of them, at the same threshold.
    told = {row.threshold: row for row in reversed(found.oracle_passing)}
    for row in reversed(told.values()):
        say(f"  oracle: good parts that pass when {row.recall:.0%} of defects are caught: {row.passing}")
    say()
