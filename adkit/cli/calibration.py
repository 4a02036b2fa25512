"""What several commands say of thresholds and of the scores that set them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from adkit.cli.output import say, warn
from adkit.stats.formatting import counted

if TYPE_CHECKING:
    from adkit.runs.record import LeftOut, RunRecord, Suspects
    from adkit.runs.store import Run
    from adkit.stats.calibration import Threshold

MANY_FALSE_ALARMS = 0.05
MOST_NAMED = 8


def print_threshold(record: RunRecord, before: Threshold | None = None) -> None:
    """Print the threshold, what it promises, what set it, what that means where it promises little, and what it was."""
    from adkit.stats.calibration import ThresholdRule

    calibration, threshold = record.calibration, record.threshold
    say(f"  threshold {threshold.value:.4f}: {threshold.promise()}")
    say(f"  set for {calibration.rule}")
    say(f"  set by {calibration.source}")
    if threshold.expected_rate > MANY_FALSE_ALARMS and threshold.unit == "image":
        say(f"  of 1,000 good parts it flags about {1000 * threshold.expected_rate:.0f}", fg="yellow")
    usual = ThresholdRule().in_units(threshold.unit_s)
    if calibration.rule.kind == "usual" and threshold.count < usual.scores_wanted:
        more = usual.lasting(usual.scores_wanted - threshold.count)
        missing = "" if usual.unit_s is None else f", {more} more of video"
        say(
            f"  too few for that: it is the strictest that they support. {usual.level:.0%} needs "
            f"{usual.scores_wanted} such scores{missing}: adkit calibrate RUN --normal DIR --keep adds them",
            fg="yellow",
        )
    if before:
        say(f"  it was {before.value:.4f}: {before.promise()}")


def promise_row(record: RunRecord) -> dict[str, object]:
    """Return the threshold and what it promises, for programs."""
    return {
        "threshold": record.threshold.value,
        "expected_false_alarm_rate": record.threshold.expected_rate,
        "certain_false_alarm_rate": record.threshold.certain_rate,
        "seconds_to_a_false_alarm": record.threshold.alarm_every_s,
        "suspects": record.suspects,
    }


def print_left_out(record: RunRecord) -> None:
    """Print what was neither learned from nor had a say in the threshold, each with the reason."""
    if record.settings.robust and not any(one.score is not None for one in record.left_out):
        say("  --robust left nothing out: no score lies far enough apart from the others")
    if not record.left_out:
        return
    units = counted(len(record.left_out), record.threshold.unit)
    say(f"  left out {units}, held for anomalous; only the others were learned from and set the threshold")
    reasons: dict[str, list[LeftOut]] = {}
    for one in record.left_out:
        reasons.setdefault(one.why, []).append(one)
    for why, group in reasons.items():
        say(f"    {why}:")
        for one in group[:MOST_NAMED]:
            say("      " + ("" if one.score is None else f"{one.score:.4f}  ") + one.name)
        if (more := len(group) - MOST_NAMED) > 0:
            say(f"      and {more} more: adkit show {record.id}")


def warn_of_suspects(run: Run) -> None:
    """Print some lines on stderr where suspects are among what set a threshold, and how to go on without them."""
    from adkit.workflows.learning import why_kept

    record, suspects = run.record, run.record.calibration.suspects
    if suspects is None:
        return
    name_suspects(suspects)
    why = why_kept(suspects, sum(one.score is not None for one in record.left_out))
    these = "it is" if len(suspects) == 1 else "they are"
    kept = "not left out by --robust" if record.settings.robust else "--robust would not leave them out"
    warn(f"{kept}: {why}" if why else "--robust leaves such out, and learns anew")
    report = f"adkit report {shlex.quote(run.argument)}"
    warn(f"{report} shows the highest; if {these} anomalous: adkit fit … --leave-out NAMES")


def name_suspects(suspects: Suspects | None) -> None:
    """Print some lines on stderr that name units whose scores lie apart, as those of anomalous ones would."""
    if suspects is None:
        return
    these = "this" if len(suspects) == 1 else "these"
    warn_of_scores(f"look at {these}: {suspects}, as if anomalous parts were among the normal ones", suspects.scores)


def warn_of_scores(told: str, scores: Mapping[str, float]) -> None:
    """Say something on stderr of what has these scores, and name the first of them."""
    warn(told, *(f"  {score:.4f}  {name}" for name, score in list(scores.items())[:MOST_NAMED]))
    if (more := len(scores) - MOST_NAMED) > 0:
        warn(f"  and {more} more")


def remind_of_suspects(record: RunRecord) -> None:
    """Say on stderr, in a line, that a run's threshold may be too high for its defects."""
    if suspects := record.calibration.suspects:
        are = "suspect is" if len(suspects) == 1 else "suspects are"
        warn(
            f"{len(suspects)} {are} among the {suspects.among} normal {record.threshold.unit}s that set the threshold, "
            f"so that defects may be missed: adkit show {record.id}"
        )
