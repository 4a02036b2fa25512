"""What `fit` prints of the runs that it made."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import typer

from adkit.cli.calibration import print_threshold, warn_of_mixture
from adkit.cli.options import Format

if TYPE_CHECKING:
    from types import TracebackType

    from adkit.registry import Registry
    from adkit.runs.store import Run


class FittedRuns:
    """Prints each run as soon as it is made; as JSON, one document at the end, also when a later fit failed."""

    def __init__(self, chosen: Format, several: bool) -> None:
        self._format = chosen
        self._several = several
        self._rows: list[dict[str, object]] = []

    def __enter__(self) -> FittedRuns:
        return self

    def add(self, run: Run, registry: Registry) -> None:
        """A run that was made."""
        from adkit.cli.output import emit
        from adkit.workflows.score import calibrating_scores

        self._rows.append(_row(run))
        warn_of_mixture(*calibrating_scores(run, registry))
        if self._format is Format.table:
            print_fitted(run)
        elif self._format is not Format.json:
            emit(self._format, None, self._rows[-1:], None, header=len(self._rows) == 1)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        from adkit.cli.output import emit

        if self._format is Format.json and self._rows:
            emit(self._format, None, self._rows, self._rows if self._several else self._rows[0])


def print_fitted(run: Run) -> None:
    """What was learned, what it promises, and what to do next."""
    from adkit.stats.formatting import counted

    record = run.record
    typer.secho(f"run {record.id}", bold=True)
    took = sum(record.timings_s.values())
    typer.echo(
        f"  learned from {counted(record.train_count, 'normal image')} of {record.dataset} in {took:.0f} s "
        f"({record.origin})"
    )
    if record.settings.few is not None:
        typer.echo(
            f"  drawn by seed {record.settings.seed} of the training split, whose other images set the threshold"
        )
    if record.joint:
        others = ", ".join(f"{count} of {spec}" for spec, count in record.learned_with.items())
        typer.echo(f"  and from {others}: one model; the threshold is of {record.dataset} alone")
    if record.skipped:
        files = counted(len(record.skipped), "file")
        typer.echo(f"  left out {files} that cannot be read: {', '.join(record.skipped[:3])}")
    if record.copies:
        copies = counted(len(record.copies), record.threshold.unit)
        typer.echo(f"  left out {copies} of which there are copies: {', '.join(record.copies[:3])}")
    for name, value in record.facts.items():
        typer.echo(f"  {name.replace('_', ' ')}: {value}")
    print_threshold(record)
    typer.echo(f"  folder {run.folder}")
    name = shlex.quote(run.argument)
    typer.echo(f"  next: adkit eval --run {name}   or   adkit score FILES --run {name}")


def _row(run: Run) -> dict[str, object]:
    record = run.record
    return {
        "run": record.id,
        "folder": str(run.folder),
        "method": record.method,
        "dataset": record.dataset,
        "train_count": record.train_count,
        "few": record.settings.few,
        "learned_with": ", ".join(record.learned_with),  # other categories; as text: CSV knows no lists
        "learned_with_count": sum(record.learned_with.values()),
        "threshold": record.threshold.value,
        "expected_false_alarm_rate": record.threshold.expected_rate,
        "certain_false_alarm_rate": record.threshold.certain_rate,
        "seconds_to_a_false_alarm": record.threshold.alarm_every_s,
        "fit_s": record.timings_s["fit"],
        "calibrate_s": record.timings_s["calibrate"],
    }
