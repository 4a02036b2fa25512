"""What several commands say of thresholds and of the scores that set them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from adkit.runs.record import RunRecord

MANY_FALSE_ALARMS = 0.05
MOST_NAMED = 8


def print_threshold(record: RunRecord) -> None:
    """The threshold, what it promises, what set it, and what that means where it promises much."""
    from adkit.stats.calibration import ThresholdRule

    calibration, threshold = record.calibration, record.threshold
    typer.echo(f"  threshold {threshold.value:.4f}: {threshold.promise()}")
    typer.echo(f"  set for {calibration.rule} by {calibration.source}")
    if threshold.expected_rate > MANY_FALSE_ALARMS and threshold.unit == "image":
        typer.secho(f"  of 1,000 good parts it flags about {1000 * threshold.expected_rate:.0f}", fg="yellow")
    wanted = ThresholdRule().scores_wanted
    if calibration.rule.kind == "usual" and threshold.count < wanted:
        typer.secho(
            f"  a promise of {ThresholdRule().level:.0%} needs {wanted} such scores: "
            "adkit calibrate RUN --normal DIR --keep adds them",
            fg="yellow",
        )


def warn_of_mixture(names: Sequence[str], scores: NDArray[np.float64]) -> None:
    """Some lines on stderr when a few of the scores lie apart, as those of anomalous parts would."""
    from adkit.stats.significance import looks_mixed

    apart = looks_mixed(scores)
    if apart is None:
        return
    count = len(apart.positions)
    these, lie = ("this", "lies") if count == 1 else ("these", "lie")
    typer.secho(
        f"look at {these}: {count} of {len(scores)} scores {lie} apart from the rest (none between "
        f"{apart.gap_from:.3f} and {apart.gap_to:.3f}), as if anomalous parts were among the normal ones",
        err=True,
        fg="yellow",
    )
    for position in apart.positions[:MOST_NAMED]:
        typer.secho(f"  {scores[position]:.4f}  {names[position]}", err=True, fg="yellow")
    if count > MOST_NAMED:
        typer.secho(f"  and {count - MOST_NAMED} more", err=True, fg="yellow")
