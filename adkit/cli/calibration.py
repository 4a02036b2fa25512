"""What several commands say of thresholds and of the scores that set them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from adkit.cli.output import warn
from adkit.stats.formatting import counted

if TYPE_CHECKING:
    from adkit.runs.record import LeftOut, RunRecord, Suspects

MANY_FALSE_ALARMS = 0.05
MOST_NAMED = 8


def print_threshold(record: RunRecord) -> None:
    """Print the threshold, what it promises, what set it, and what that means where it promises little."""
    from adkit.stats.calibration import ThresholdRule

    calibration, threshold = record.calibration, record.threshold
    typer.echo(f"  threshold {threshold.value:.4f}: {threshold.promise()}")
    typer.echo(f"  set for {calibration.rule}")
    typer.echo(f"  set by {calibration.source}")
    if threshold.expected_rate > MANY_FALSE_ALARMS and threshold.unit == "image":
        typer.secho(f"  of 1,000 good parts it flags about {1000 * threshold.expected_rate:.0f}", fg="yellow")
    usual = ThresholdRule().in_units(threshold.unit_s)
    if calibration.rule.kind == "usual" and threshold.count < usual.scores_wanted:
        more = usual.lasting(usual.scores_wanted - threshold.count)
        missing = "" if usual.unit_s is None else f", {more} more of film"
        typer.secho(
            f"  a promise of {usual.level:.0%} needs {usual.scores_wanted} such scores{missing}: "
            "adkit calibrate RUN --normal DIR --keep adds them",
            fg="yellow",
        )


def promise_row(record: RunRecord) -> dict[str, object]:
    """Return what the threshold promises, for programs."""
    return {
        "expected_false_alarm_rate": record.threshold.expected_rate,
        "certain_false_alarm_rate": record.threshold.certain_rate,
        "seconds_to_a_false_alarm": record.threshold.alarm_every_s,
        "suspects": record.suspects,
    }


def print_left_out(record: RunRecord) -> None:
    """Print what was neither learned from nor had a say in the threshold, each with the reason."""
    if not record.left_out:
        return
    units = counted(len(record.left_out), record.threshold.unit)
    typer.echo(f"  left out {units}, held for anomalous; only the others were learned from and set the threshold")
    reasons: dict[str, list[LeftOut]] = {}
    for one in record.left_out:
        reasons.setdefault(one.why, []).append(one)
    for why, group in reasons.items():
        typer.echo(f"    {why}:")
        for one in group[:MOST_NAMED]:
            typer.echo("      " + ("" if one.score is None else f"{one.score:.4f}  ") + one.name)
        if (more := len(group) - MOST_NAMED) > 0:
            typer.echo(f"      and {more} more: adkit show {record.id}")


def warn_of_suspects(record: RunRecord) -> None:
    """Print some lines on stderr where suspects are among what set a threshold, and how to go on without them."""
    from adkit.workflows.suspects import why_kept

    suspects = record.calibration.suspects
    if suspects is None:
        return
    name_suspects(suspects)
    found = sum(one.score is not None for one in record.left_out)
    why = why_kept(suspects, found) if record.settings.robust else None
    these = "it is" if len(suspects) == 1 else "they are"
    warn(f"not left out by --robust: {why}" if why else "--robust leaves such out, and learns anew")
    warn(f"adkit report {record.id} shows the highest; if {these} anomalous: adkit fit … --leave-out NAMES")


def name_suspects(suspects: Suspects | None) -> None:
    """Print some lines on stderr that name units whose scores lie apart, as those of anomalous ones would."""
    if suspects is None:
        return
    these = "this" if len(suspects) == 1 else "these"
    warn(f"look at {these}: {suspects}, as if anomalous parts were among the normal ones")
    for name, score in list(suspects.scores.items())[:MOST_NAMED]:
        warn(f"  {score:.4f}  {name}")
    if len(suspects) > MOST_NAMED:
        warn(f"  and {len(suspects) - MOST_NAMED} more")


def remind_of_suspects(record: RunRecord) -> None:
    """Say on stderr, in a line, that a run's threshold may be too high for its defects."""
    if suspects := record.calibration.suspects:
        are = "suspect is" if len(suspects) == 1 else "suspects are"
        warn(
            f"{len(suspects)} {are} among the {suspects.among} normal {record.threshold.unit}s that set the threshold, "
            f"so that defects may be missed: adkit show {record.id}"
        )
