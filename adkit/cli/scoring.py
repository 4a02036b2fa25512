"""What `score` does with still images, and how it learns from a part of a video; clips are in `clips`."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from adkit.cli.calibration import warn_of_suspects
from adkit.cli.faults import INTERRUPTED, SOME_UNREADABLE
from adkit.cli.output import MOST_ROWS, Destination, print_table, warn
from adkit.errors import AdkitError, OptionError
from adkit.stats.formatting import counted

if TYPE_CHECKING:
    from adkit.data.inputs import VideoInput
    from adkit.data.spans import Span
    from adkit.export.score import Model
    from adkit.registry import Registry
    from adkit.runs.record import FitSettings
    from adkit.runs.store import Run
    from adkit.stats.batch import Decisions, Row
    from adkit.types import Sample
    from adkit.workflows.score import FittedModel


def fit_spans(
    clips: Sequence[VideoInput], spans: Sequence[Span], settings: FitSettings, runs_root: Path, registry: Registry
) -> Run:
    """Learn from the spans of the one video, and say so on stderr; raises AdkitError where that cannot be."""
    from adkit.cli.terminal import terminal_progress
    from adkit.data.spans import VideoSpans
    from adkit.workflows.fit import check_settings, fit

    if len(clips) != 1 or clips[0].video is None:
        named = f"{len(clips)} clips" if len(clips) > 1 else clips[0].name
        raise OptionError(f"--learn names parts of one video file, and {named} was given", hint="name one file")
    check_settings(settings, registry)
    dataset = VideoSpans(clips[0].video, spans)
    run = fit(settings, dataset, runs_root, registry, terminal_progress())
    warn_of_suspects(run.record)
    typer.echo(f"run {run.record.id}: learned from {run.record.train_count:,} frames of {dataset.spec}", err=True)
    return run


def score_stills(
    model: FittedModel,
    samples: list[Sample],
    heatmaps: Path | None,
    masks: Path | None,
    to: Destination,
    decisions: Decisions,
    *,
    skip_bad: bool,
) -> bool:
    """Print or write a row for each image, say whether any is anomalous; raises Exit where some could not be read."""
    from adkit.data.outputs import require_folder

    decisions.require(model.threshold.expected_rate, len(model.normal_scores))
    require_folder(heatmaps)
    require_folder(masks)
    if told := model.view.white_in_words:
        warn(f"{told}, as the run learned")
    rows, record = _score_rows(model, samples, heatmaps, masks), model.run.record
    caption = f"threshold {model.threshold.value:.4f}: {model.threshold.promise()}"
    head = {"run": record.id, "suspects": record.suspects}
    notes = decisions.notes(len(samples), len(model.normal_scores))
    return _told(decisions(rows), len(samples), head, [caption, *notes], to, skip_bad=skip_bad)


def score_exported(
    folder: Path, files: Sequence[str], to: Destination, decisions: Decisions, *, skip_bad: bool
) -> bool:
    """Do the same with an exported model; nothing of it needs torch."""
    from adkit.data.inputs import find_inputs
    from adkit.export.score import Model

    model, found = Model(folder), find_inputs(files)
    count = len(model.facts["normal_scores"])
    decisions.require(model.p_value(model.threshold), count)
    if found.clips:
        raise OptionError(f"{folder} judges still images, and {found.clips[0].name} is none", hint="name images")
    for note in found.notes:
        typer.echo(note, err=True)
    rows = (_exported_row(model, sample.frame.path) for sample in found.stills)
    caption = f"threshold {model.threshold:.4f}: {model.facts['promise']}"
    captions = [caption, *decisions.notes(len(found.stills), count)]
    return _told(decisions(rows), len(found.stills), {"run": model.facts["run"]}, captions, to, skip_bad=skip_bad)


def _exported_row(model: Model, path: Path) -> dict[str, Any]:
    from adkit.drawing.regions import region_columns

    row: dict[str, Any] = {"path": str(path), "score": None, "threshold": model.threshold, "p_value": None}
    try:
        score, _ = model.judge(path)
    except (OSError, ValueError) as error:
        row |= {"decision": "unreadable", "error": f"{path}: {error}"}
    else:
        decision = "anomalous" if score > model.threshold else "normal"
        row |= {"score": score, "p_value": model.p_value(score), "decision": decision, "error": None}
    return {**row, "regions": [], "specks": 0, **region_columns(None)}


def _told(
    coming: Iterable[Row], count: int, head: dict[str, Any], captions: Sequence[str], to: Destination, *, skip_bad: bool
) -> bool:
    """Write rows as they come, `count` in all; what was written stays when it is interrupted."""
    from adkit.cli.stopping import stopping

    rows: list[Row] = []
    bad: list[str] = []
    with stopping() as stop, to.streamed(head, {"unreadable": bad}) as add:
        for row in coming:
            add(row)
            rows.append(row)
            bad += [row["error"]] if row["error"] else []
            if stop.is_set():
                break
    unreadable = [row for row in rows if row["decision"] == "unreadable"]
    if to.for_people:
        _print_rows(head["run"], captions, [row for row in rows if row["score"] is not None])
    for row in unreadable:
        warn(f"unreadable: {row['error']}")
    if len(rows) < count:
        warn(f"interrupted: {len(rows)} of {count} were scored, and are written")
        raise typer.Exit(INTERRUPTED)
    if unreadable:
        typer.echo(f"{len(unreadable)} of {len(rows)} files could not be read", err=True)
        if not skip_bad:
            raise typer.Exit(SOME_UNREADABLE)
    return any(row["decision"] == "anomalous" for row in rows)


def _score_rows(
    model: FittedModel, samples: list[Sample], heatmaps: Path | None, masks: Path | None
) -> Iterator[dict[str, Any]]:
    """Yield a row for each sample, in the samples' order; pictures and masks are written on the way."""
    from adkit.cli.terminal import terminal_progress
    from adkit.data.frame_source import frames_of
    from adkit.evaluation.pictures import MaskWriter, PictureWriter
    from adkit.workflows.score import still_row

    found: dict[str, dict[str, Any]] = {}
    doubts: Counter[str] = Counter()
    first: dict[str, str] = {}

    def note(sample: Sample, error: AdkitError) -> None:
        found[sample.id] = still_row(str(sample.frame), model.threshold, None, error)

    if heatmaps and masks and heatmaps.resolve() == masks.resolve():
        raise OptionError(f"{masks} would hold heat maps and masks of the same names", hint="name another folder")
    picture_writer = PictureWriter(model.run, model.threshold, heatmaps) if heatmaps else None
    mask_writer = MaskWriter(model, masks) if masks else None
    by_id, waiting = {sample.id: sample for sample in samples}, deque(samples)
    with terminal_progress().task("scoring", len(samples)) as advance:
        for result in model.stream(frames_of(samples, model.view, note)):
            sample = by_id[result.id]
            found[result.id] = still_row(str(sample.frame), model.threshold, result)
            if why := model.doubt(result):
                doubts[why] += 1
                first.setdefault(why, str(sample.frame))
            if picture_writer:
                picture_writer.write(sample, result.score, result.p_value, result.map, result.reconstruction)
            if mask_writer:
                mask_writer.write(sample, result)
            advance(1)
            while waiting and waiting[0].id in found:
                yield found.pop(waiting.popleft().id)
    for why, count in doubts.items():
        more = f" (and {count - 1} more)" if count > 1 else ""
        warn(f"{first[why]}{more}: {why}; is {model.run.record.id}, of {model.run.record.dataset}, the run for it?")
    yield from (found[sample.id] for sample in waiting)


def _where(row: Row) -> str | None:
    """Return the words for the strongest region, and how many more there are."""
    from adkit.workflows.score import AS_A_WHOLE

    more = len(row["regions"]) - 1
    where: str | None = row["where"]
    return f"{where} +{more}" if more > 0 and where != AS_A_WHOLE else where


def _print_rows(run: str, captions: Sequence[str], rows: list[Row]) -> None:
    from adkit.stats.batch import LOOK
    from adkit.workflows.score import AS_A_WHOLE

    anomalous = sum(row["decision"] == "anomalous" for row in rows)
    looks = sum(row["decision"] == LOOK for row in rows)
    look = f", {looks} to look at" if looks else ""
    are = "image is" if len(rows) == 1 else "images are"
    typer.secho(
        f"{anomalous} of {len(rows)} {are} anomalous{look}",
        bold=True,
        fg="red" if anomalous else "green",
    )
    if len(rows) > MOST_ROWS:
        rows = sorted(rows, key=lambda row: -row["score"])  # the most anomalous first
    print_table(
        f"run {run}",
        [
            {
                **{name: row[name] for name in ("path", "score", "p_value", "decision")},
                "where": _where(row),
            }
            for row in rows
        ],
        caption=captions[0],
    )
    for note in captions[1:]:
        typer.echo(note)
    if any(row["where"] == AS_A_WHOLE for row in rows):
        typer.echo(f"{AS_A_WHOLE}: no place is anomalous, but something may be missing, extra or exchanged")
    if specks := sum(row["specks"] for row in rows):
        typer.echo(f"{counted(specks, 'outlined speck')} smaller than a cell of the map: no region, and in no mask")
