"""Learning from a part of the video that is then watched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from adkit.cli.calibration import warn_of_mixture
from adkit.errors import OptionError

if TYPE_CHECKING:
    from adkit.data.inputs import VideoInput
    from adkit.data.spans import Span
    from adkit.registry import Registry
    from adkit.runs.store import Run


def fit_spans(
    clips: Sequence[VideoInput],
    spans: Sequence[Span],
    method: str | None,
    settings: Sequence[str],
    every: int | None,
    scorer: str | None,
    device: str,
    runs_root: Path,
    registry: Registry,
    *,
    skip_bad: bool,
) -> Run:
    """A run that learned from the spans of the one video; said on stderr. Raises AdkitError where that cannot be."""
    from adkit.cli.terminal import terminal_progress
    from adkit.data.spans import VideoSpans
    from adkit.options import split_assignments
    from adkit.runs.record import FitSettings
    from adkit.workflows.fit import check_settings, fit
    from adkit.workflows.score import calibrating_scores

    if method is None:
        raise OptionError("--learn says what to learn from, not how", hint="add --method; see: adkit list methods")
    if len(clips) != 1 or clips[0].video is None:
        named = f"{len(clips)} clips" if len(clips) > 1 else clips[0].name
        raise OptionError(f"--learn names parts of one video file, and {named} was given", hint="name one file")
    wanted = FitSettings(
        method=method,
        options=split_assignments(settings, example="--set coreset_ratio=0.05"),
        scorer=scorer,
        device=device,
        skip_bad=skip_bad,
        every=every,
    )
    check_settings(wanted, registry)
    dataset = VideoSpans(clips[0].video, spans)
    run = fit(wanted, dataset, runs_root, registry, terminal_progress())
    warn_of_mixture(*calibrating_scores(run, registry))
    record = run.record
    typer.echo(f"run {record.id}: learned from {record.train_count:,} frames of {dataset.spec}", err=True)
    return run
