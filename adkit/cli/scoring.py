"""What `score` does with still images, and how it learns from a part of a video; clips are in `clips`."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import islice
from pathlib import Path
from typing import Any

import typer

from adkit import __version__
from adkit.cli.calibration import name_suspects
from adkit.cli.kept_rows import KeptRows, kept_rows
from adkit.cli.output import MOST_ROWS, Destination, print_table, say, say_places, tell, warn
from adkit.cli.stopping import stopping
from adkit.cli.terminal import terminal_progress
from adkit.cli.workers import Elsewhere
from adkit.data.inputs import VideoInput, find_inputs
from adkit.data.outputs import require_folder
from adkit.data.spans import Span, VideoSpans
from adkit.errors import INTERRUPTED, SKIPPING, SOME_UNREADABLE, FrameError, OptionError
from adkit.evaluation.pictures import PictureFolder, PictureWriter, clashing, require_maps, write_mask
from adkit.export.score import Model
from adkit.files.atomic import checksum
from adkit.files.documents import signed
from adkit.interfaces import SILENT, Progress
from adkit.registry import Registry
from adkit.runs.record import FitSettings, RunRecord
from adkit.runs.store import Run
from adkit.stats.batch import LOOK, Decisions
from adkit.stats.formatting import AS_A_WHOLE, counted, is_floor, p_value_in_words, p_value_text, verb
from adkit.types import Sample
from adkit.workflows.fit import check_settings, fit
from adkit.workflows.score import FittedModel, FrameResult, Judged, still_row

MOST_HINTS = 3
SHARD = 64
"""Images that a worker scores before it gives their rows back."""


def fit_spans(
    clips: Sequence[VideoInput], spans: Sequence[Span], settings: FitSettings, runs_root: Path, registry: Registry
) -> Run:
    """Learn from the spans of the one video, and say so on stderr; raises AdkitError where that cannot be."""
    if len(clips) != 1 or clips[0].video is None:
        named = f"{len(clips)} clips" if len(clips) > 1 else clips[0].name
        raise OptionError(f"--learn names parts of one video file, and {named} was given", hint="name one file")
    check_settings(settings, registry)
    dataset = VideoSpans(clips[0].video, spans)
    run = fit(settings, dataset, runs_root, registry, terminal_progress())
    if suspects := run.record.calibration.suspects:
        name_suspects(suspects)
        warn("if that is anomalous, learn from another part of the video: --learn START-END")
    tell(f"run {run.record.id}: learned from {run.record.train_count:,} frames of {dataset.spec}")
    return run


@dataclass(frozen=True)
class Pictures:
    """Folders for pictures of each image, None where none are wanted, and whose plain names are taken."""

    heatmaps: Path | None
    masks: Path | None
    clashing: frozenset[str]

    def require(self, run: Run) -> None:
        """Raise AdkitError where a run has none or they cannot be written, or would lie among, or over, others."""
        for folder, option in ((self.heatmaps, "--heatmaps"), (self.masks, "--masks")):
            if folder:
                require_folder(folder)
                require_maps(run, option)
        if self.heatmaps and self.masks and self.heatmaps.resolve() == self.masks.resolve():
            told = f"{self.masks} would hold heat maps and masks of the same names"
            raise OptionError(told, hint="name another folder")

    def writers(self, model: FittedModel) -> list[Callable[[Sample, FrameResult], object]]:
        """Return what writes them."""
        found: list[Callable[[Sample, FrameResult], object]] = []
        if self.heatmaps:
            folder = PictureFolder(self.heatmaps, self.clashing)
            found.append(PictureWriter(model.run, model.threshold, folder).write)
        if self.masks:
            found.append(partial(write_mask, model, PictureFolder(self.masks, self.clashing)))
        return found


@dataclass
class _Doubts:
    """Why images are hardly ones that the run is for: how many, and the first of them."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    hints: dict[str, None] = field(default_factory=dict)  # of what could not be read, in their order

    def add(self, why: str, path: str, count: int = 1) -> None:
        """Count some images of which it holds."""
        self.counts[why] += count
        self.first.setdefault(why, path)

    def tell(self, record: RunRecord) -> None:
        """Say it on stderr."""
        for why, count in self.counts.items():
            more = f" (and {count - 1} more)" if count > 1 else ""
            warn(f"{self.first[why]}{more}: {why}; is {record.id}, of {record.dataset}, the run for it?")


@dataclass
class _Tally:
    """What was found in rows, in constant memory but for what could not be read."""

    expected: int
    count: int = 0
    scored: int = 0
    anomalous: int = 0
    to_look_at: int = 0
    specks: int = 0
    whole: bool = False  # one is anomalous as a whole
    unreadable: list[str] = field(default_factory=list)  # why
    _highest: list[tuple[float, int, Mapping[str, Any]]] = field(default_factory=list)  # a heap

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row, and keep it if it is among those with the highest scores."""
        self.count += 1
        if row["score"] is None:
            self.unreadable.append(row["error"])
            return
        self.scored += 1
        self.anomalous += row["decision"] == "anomalous"
        self.to_look_at += row["decision"] == LOOK
        self.specks += row["specks"]
        self.whole |= row["where"] == AS_A_WHOLE
        heappush(self._highest, (row["score"], -self.count, row))
        if len(self._highest) > MOST_ROWS:
            heappop(self._highest)

    @property
    def shown(self) -> list[Mapping[str, Any]]:
        """Return all rows in their order, or of too many the most anomalous first."""
        by_number = sorted(self._highest, key=lambda one: -one[1])
        ranked = by_number if self.scored <= MOST_ROWS else sorted(by_number, key=lambda one: -one[0])
        return [row for _, _, row in ranked]


@dataclass(frozen=True)
class StillScorer:
    """Scores still images by a run or by an export: writes their rows, prints them, says whether any is anomalous."""

    to: Destination
    decisions: Decisions
    skip_bad: bool
    resume: bool
    heatmaps: Path | None = None
    masks: Path | None = None

    def score(self, model: FittedModel, samples: list[Sample], elsewhere: Elsewhere | None = None) -> bool:
        """Score by a run, here or by workers; raises Exit where some could not be read."""
        self.decisions.require(model.threshold.expected_rate, len(model.normal_scores))
        taken = clashing(samples) if self.heatmaps or self.masks else frozenset[str]()
        pictures = Pictures(self.heatmaps, self.masks, taken)
        pictures.require(model.run)
        if told := model.view.white_in_words:
            warn(f"{told}, as the run learned")
        record = model.run.record
        caption = f"threshold {model.threshold.value:.4f}: {model.threshold.promise()}"
        head = {"run": record.id, "suspects": record.suspects}
        asked = {
            "adkit": __version__,
            "run": record.id,
            "threshold": model.threshold.value,
            "the checksum of run.json": checksum(signed(record.model_dump(mode="json"))),
            "--heatmaps": self.heatmaps and str(self.heatmaps),
            "--masks": self.masks and str(self.masks),
        }
        with kept_rows(self.to.file, asked, resume=self.resume) as kept:
            doubts, todo = _Doubts(), [one for one in samples if str(one.frame) not in kept.paths]
            if elsewhere:
                rows = _rows_of_workers(elsewhere, todo, pictures, doubts)
            else:
                rows = _score_rows(model, todo, pictures, doubts)
            tally = self._written(rows, kept, samples, head)
        doubts.tell(record)
        return self._told(tally, record.id, caption, len(model.normal_scores), doubts.hints)

    def score_exported(self, folder: Path, files: Sequence[str]) -> bool:
        """Do the same with an exported model; nothing of it needs torch."""
        try:
            model = Model(folder)
        except Exception as error:  # onnxruntime has some of its own
            raise OptionError(f"{folder} is no export that can be read: {error}", hint="export the run again") from None
        if model.facts["unit"] == "clip":
            script = f"python {folder / 'score.py'} {' '.join(files[:1])}"
            raise OptionError(f"{folder} judges clips, which adkit does with a run only", hint=f"play them: {script}")
        found, count = find_inputs(files), len(model.facts["normal_scores"])
        self.decisions.require(model.p_value(model.threshold), count)
        if found.clips:
            raise OptionError(f"{folder} judges still images, and {found.clips[0].name} is none", hint="name images")
        tell(*found.notes)
        head = {"run": model.facts["run"]}
        asked = {**head, "export": checksum(json.dumps(model.facts).encode())}
        with kept_rows(self.to.file, asked, resume=self.resume) as kept:
            paths = (sample.frame.path for sample in found.stills)
            rows = (_exported_row(model, path) for path in paths if str(path) not in kept.paths)
            tally = self._written(rows, kept, found.stills, head)
        for why, first in model.doubts.items():
            warn(f"{first}: {why}; is {folder}, of {model.facts['learned_from']}, the model for it?")
        caption = f"threshold {model.threshold:.4f}: {model.facts['promise']}"
        return self._told(tally, model.facts["run"], caption, count)

    def _written(
        self, coming: Iterator[dict[str, Any]], kept: KeptRows, samples: Sequence[Sample], head: dict[str, Any]
    ) -> _Tally:
        """Write rows as they come, and those that are kept; what was written stays when it is interrupted."""
        gone = kept.paths - {str(sample.frame) for sample in samples}
        tally = _Tally(len(samples) + len(gone))
        if gone:
            warn(f"{len(gone):,} of the rows are of files that are not named or not there any more: {min(gone)}")
        with stopping() as stop, self.to.streamed(head, {"unreadable": tally.unreadable}) as add:

            def until_stopped() -> Iterator[dict[str, Any]]:
                for row in coming:
                    yield row
                    if stop.is_set():
                        return

            for row in self.decisions(kept.through(until_stopped())):
                add(row)
                tally.add(row)
        kept.whole = tally.count == tally.expected
        return tally

    def _told(self, tally: _Tally, run: str, caption: str, normal_scores: int, hints: Iterable[str] = ()) -> bool:
        """Say what was found, and whether anything is anomalous."""
        if self.to.for_people:
            if tally.scored:
                _print_rows(run, [caption, *self.decisions.notes(tally.expected, normal_scores)], tally, self.to.file)
            say_places({"rows": self.to.file, "heat maps": self.heatmaps, "masks": self.masks})
        warn(*(f"unreadable: {error}" for error in tally.unreadable))
        if tally.count < tally.expected:
            more = "; the same command with --resume scores the others" if self.to.file else ""
            warn(f"interrupted: {tally.count} of {tally.expected} were scored, and are written{more}")
            raise typer.Exit(INTERRUPTED)
        if tally.unreadable:
            tell(f"{len(tally.unreadable)} of {counted(tally.count, 'file')} could not be read")
            # Who skips them already need not be told how.
            ending = SKIPPING if self.skip_bad else ""
            tell(*(f"hint:  {hint.removesuffix(ending)}" for hint in islice(hints, MOST_HINTS)))
            if not self.skip_bad:
                raise typer.Exit(SOME_UNREADABLE)
        return tally.anomalous > 0


def _exported_row(model: Model, path: Path) -> dict[str, Any]:
    found: Judged | FrameError
    try:
        score, _ = model.judge(path)
    except (OSError, ValueError) as error:
        found = FrameError(f"{path}: {error}", hint="")
    else:
        p_value = model.p_value(score)
        highest = is_floor(p_value, len(model.facts["normal_scores"]))
        found = Judged(score, p_value, score > model.threshold, None, p_value_is_floor=highest)
    return still_row(str(path), model.threshold, found)


def _score_rows(
    model: FittedModel, samples: Sequence[Sample], pictures: Pictures, doubts: _Doubts, progress: Progress | None = None
) -> Iterator[dict[str, Any]]:
    """Yield a row for each sample, in order; pictures are written on the way."""
    writers = pictures.writers(model)
    with (progress or terminal_progress()).task("scoring", len(samples)) as advance:
        for sample, found in model.stills(samples):
            if isinstance(found, FrameResult):
                if why := model.doubt(found):
                    doubts.add(why, str(sample.frame))
                for write in writers:
                    write(sample, found)
            else:
                doubts.hints[found.hint] = None
            advance(1)
            yield still_row(str(sample.frame), model.threshold.value, found)


def _rows_of_workers(
    elsewhere: Elsewhere, samples: Sequence[Sample], pictures: Pictures, doubts: _Doubts
) -> Iterator[dict[str, Any]]:
    for rows, there in elsewhere.each(partial(_shard, pictures), samples, SHARD):
        for why, count in there.counts.items():
            doubts.add(why, there.first[why], count)
        doubts.hints |= there.hints
        yield from rows


def _shard(pictures: Pictures, model: FittedModel, samples: list[Sample]) -> tuple[list[dict[str, Any]], _Doubts]:
    doubts = _Doubts()
    return list(_score_rows(model, samples, pictures, doubts, SILENT)), doubts


def _print_rows(run: str, captions: Sequence[str], tally: _Tally, file: Path | None) -> None:
    are = f"{counted(tally.scored, 'image')} {verb(1 if tally.scored == 1 else tally.anomalous, 'are')}"
    look = f", {tally.to_look_at} to look at" if tally.to_look_at else ""
    colour = "red" if tally.anomalous else "green"
    say(f"{tally.anomalous:,} of {are} anomalous{look}", bold=True, fg=colour)
    rows = [
        {
            "path": row["path"],
            "score": row["score"],
            "p_value": p_value_text(row["p_value"], row["p_value_is_floor"]),
            "decision": row["decision"],
            "where": _where(row),
        }
        for row in tally.shown
    ]
    others = f"{file} holds all" if file else "--output FILE.csv holds all"
    print_table(f"run {run}", rows, caption=captions[0], total=tally.scored, others=others)
    for note in captions[1:]:
        say(note)
    if floor := next((row["p_value"] for row in tally.shown if row["p_value_is_floor"]), None):
        words = p_value_in_words(floor, round(1 / floor) - 1, "normal image").partition(" (")[0]
        say(f"p {p_value_text(floor, True)}: {words}")
    if tally.whole:
        say(f"{AS_A_WHOLE}: no place is anomalous, but something may be missing, extra or exchanged")
    if specks := tally.specks:
        say(f"{counted(specks, 'outlined speck')} smaller than a cell of the map: no region, and in no mask")


def _where(row: Mapping[str, Any]) -> str | None:
    """Return the words for the strongest region, and how many more there are."""
    more = len(row["regions"]) - 1
    where: str | None = row["where"]
    return f"{where} +{more}" if more > 0 and where != AS_A_WHOLE else where
