"""What several commands say of thresholds and of the scores that set them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from adkit.cli.output import warn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from adkit.runs.record import RunRecord

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
    wanted = ThresholdRule().scores_wanted
    if calibration.rule.kind == "usual" and threshold.count < wanted:
        typer.secho(
            f"  a promise of {ThresholdRule().level:.0%} needs {wanted} such scores: "
            "adkit calibrate RUN --normal DIR --keep adds them",
            fg="yellow",
        )


def promise_row(record: RunRecord) -> dict[str, object]:
    """Return what the threshold promises, for programs."""
    return {
        "expected_false_alarm_rate": record.threshold.expected_rate,
        "certain_false_alarm_rate": record.threshold.certain_rate,
        "seconds_to_a_false_alarm": record.threshold.alarm_every_s,
    }


def warn_of_mixture(names: Sequence[str], scores: NDArray[np.float64]) -> None:
    """Print some lines on stderr when a few of the scores lie apart, as those of anomalous parts would."""
    from adkit.stats.significance import looks_mixed

    apart = looks_mixed(scores)
    if apart is None:
        return
    count = len(apart.positions)
    these, lie = ("this", "lies") if count == 1 else ("these", "lie")
    warn(
        f"look at {these}: {count} of {len(scores)} scores {lie} apart from the rest (none between "
        f"{apart.gap_from:.3f} and {apart.gap_to:.3f}), as if anomalous parts were among the normal ones"
    )
    for position in apart.positions[:MOST_NAMED]:
        warn(f"  {scores[position]:.4f}  {names[position]}")
    if count > MOST_NAMED:
        warn(f"  and {count - MOST_NAMED} more")
