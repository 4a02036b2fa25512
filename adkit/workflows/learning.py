"""Lets a method learn, judge normal data as if it had not learned from it, and leave out hidden defects."""

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from adkit.containment import plugin_code, returned
from adkit.data.batches import FrameBatches
from adkit.data.boxes import px
from adkit.data.clips import differ, frame_gap_s
from adkit.data.view import MOST_STRETCH, View, usual_shape
from adkit.errors import DatasetError, PromiseError
from adkit.interfaces import Dataset, Method, Progress, Scorer, Workspace, calibrates_itself
from adkit.runs.predictions import Predictions
from adkit.runs.record import FitSettings, LeftOut, Suspects
from adkit.stats.calibration import unit_scores
from adkit.stats.formatting import counted, verb
from adkit.stats.segments import grouped
from adkit.types import Batch, FitReport
from adkit.workflows.looks import ClipLooks, named, of_clips
from adkit.workflows.predict import left_one_out, pixels_of, predict_all
from adkit.workflows.score import sample_scores
from adkit.workflows.seeing import method_and_view
from adkit.workflows.training_data import TrainingData, learned_together, training_data

SURE_SPREADS = 10.0
"""So wide a gap is asked for before anything is left out; docs/thresholds.md says how many clean sets have one."""
MOST_LEFT_OUT = 0.1
"""Of the images or clips. More that lie apart are a second sort of parts rather than hidden defects."""
MOST_ROUNDS = 5
"""As often it is learned anew: defects that are alike hide each other until the first of them are out."""
REMEMBERED = 200_000_000
"""Bytes of frames: methods that look at them again find so many in memory, 450 images of 384 px."""
SCORER = "top1"
"""Makes scores of the maps of a method that gives no scores, and forgets to name one."""
LEAST_S = 0.5
"""Shorter clips are told: it is as long as motion is looked at between two frames, and smoothing wants a moment."""


@dataclass(frozen=True)
class Learned:
    """A method that has learned, and what it says of normal data of each category."""

    method: Method[Any]
    origin: str  # the plugin and distribution that brought it
    view: View
    data: Sequence[TrainingData]
    report: FitReport
    predictions: list[Predictions]  # out of sample
    timings_s: dict[str, float]


def made_for(
    data: Sequence[TrainingData], method_class: type[Method[Any]], settings: FitSettings, device: str
) -> tuple[Method[Any], View]:
    """Make the method for this data, and say how it sees images, and motion; raises AdkitError."""
    shapes = [shape for one in data for shape in one.shapes]
    samples = [sample for one in data for sample in one.learned]
    white = max(one.white for one in data)
    method, view = method_and_view(method_class, settings, shapes, samples, device, white)
    if settings.appearance_only or any(one.stills for one in data):
        return method, view
    from adkit.nn.moving import with_motion  # loads torch

    return with_motion(method), view


def learn(
    method: Method[Any],
    view: View,
    data: Sequence[TrainingData],
    origin: str,
    progress: Progress,
    workspace: Workspace | None,
) -> Learned:
    """Fit the method, and let it judge normal data."""
    started = time.perf_counter()
    batches = FrameBatches(learned_together(data), view, window=method.window, remember=REMEMBERED)
    looks = None if any(one.stills for one in data) else ClipLooks()
    given = batches if looks is None else _LookedAt(batches, _clip_names(data), looks)
    with plugin_code(origin):
        with progress.task("learning", 1):
            report = returned(method.fit(given, progress, workspace) or FitReport(), FitReport, "fit")
        fitted = time.perf_counter()
        if data[0].held_out:
            predictions = [predict_all(method, view, one.held_out, progress, "calibrating") for one in data]
        else:
            predictions = left_one_out(method, view, [(one.learned, one.shapes) for one in data])
    if predictions[0].scores is None and not (report.scorer or method.default_scorer):
        # Nothing says before it learns that it gives maps: by now the refusal would cost all that was learned.
        told = (
            f"{type(method).__name__} gives maps and names no scorer for them: unless --scorer says so, it is {SCORER}"
        )
        report = replace(report, scorer=SCORER, notes=[*report.notes, told])
    if looks is not None:
        from adkit.nn.motion import LONGEST_SPAN_S  # loads torch
        from adkit.nn.moving import MOVING_CLIPS

        facts = dict(report.facts)
        moving = str(facts.pop(MOVING_CLIPS, "")).split()
        lines = [*looks.findings(), *_sizes(data), *_rates(data), *_short(data), *_cameras(data, moving)]
        if facts.get("motions") == 0:
            lines.append(f"motion is not judged: frames are over {LONGEST_SPAN_S:g} s apart; a lower --every helps")
        report = replace(report, facts=facts, notes=[*report.notes, *lines])
    else:
        report = replace(report, notes=[*_shapes(data), *report.notes])
    timings_s = {"fit": round(fitted - started, 3), "calibrate": round(time.perf_counter() - fitted, 3)}
    return Learned(method, origin, view, data, report, predictions, timings_s)


@dataclass(frozen=True)
class _LookedAt:
    """Batches of clips; what these look like is noted when they are walked for the first time."""

    batches: FrameBatches
    names: Sequence[str]  # of each frame's clip: batches do not tell it
    looks: ClipLooks

    def __iter__(self) -> Iterator[Batch]:
        first, names = not self.looks.frames, iter(self.names)
        for batch in self.batches:
            if first:
                for row, clip in zip(range(len(batch)), names, strict=False):
                    if clip not in self.looks.changing:
                        self.looks.add(clip, pixels_of(batch.frames[row : row + 1, -1])[0])
            yield batch

    def __len__(self) -> int:
        return len(self.batches)


def _clip_names(data: Sequence[TrainingData]) -> list[str]:
    return [sample.clip for one in data for sample in one.learned]


def _shapes(data: Sequence[TrainingData]) -> Iterator[str]:
    """Say how many images have another shape than the one that frames are laid out in."""
    shapes = [shape for one in data for shape in one.shapes]
    usual = usual_shape(shapes)
    other = [one for one in shapes if not 1 / MOST_STRETCH <= one[0] * usual[1] / (one[1] * usual[0]) <= MOST_STRETCH]
    if other:
        images = f"{counted(len(shapes), 'image')} {verb(len(other), 'have')}"
        told = f"{len(other)} of {images} another shape than {px(usual)}, such as {px(other[0])}"
        yield f"{told}: fitted in whole, smaller, with mirrored edges"


def _sizes(data: Sequence[TrainingData]) -> Iterator[str]:
    """Say which clips have another size than most frames have; each image is fitted in without distortion."""
    sizes = dict(zip(_clip_names(data), [size for one in data for size in one.shapes], strict=True))
    usual = Counter(sizes.values()).most_common(1)[0][0]
    other = [f"{clip} ({px(size)})" for clip, size in sizes.items() if size != usual]
    if other:
        yield f"{of_clips(other, len(sizes), 'has', 'have')} another size than the others ({px(usual)}): {named(other)}"


def _rates(data: Sequence[TrainingData]) -> Iterator[str]:
    """Say which clips have another frame rate than most frames have, and what follows."""
    gaps_s: dict[str, float] = {}
    taken_s: dict[str, float] = {}
    step_s = max(one.step_s for one in data)
    for one in data:
        every, own = one.dataset.samples("train"), [*one.learned, *one.held_out]
        gaps_s |= {clip: frame_gap_s(frames) for clip, frames in grouped(every, lambda one: one.clip).items()}
        taken_s |= {clip: frame_gap_s(frames) for clip, frames in grouped(own, lambda one: one.clip).items()}
    usual_s = median(gaps_s.values())
    other = [f"{clip} ({1 / gap_s:.3g})" for clip, gap_s in gaps_s.items() if gap_s and differ(gap_s, usual_s)]
    if not other:
        return
    slowest_s, then = max(taken_s.values()), ""
    if slowest_s > step_s and differ(slowest_s, step_s):
        then = f", of some {slowest_s:.2g} s: --every {math.ceil(max(gaps_s.values()) / usual_s)} takes all alike"
    yield (
        f"{of_clips(other, len(gaps_s), 'has', 'have')} another frame rate than the others "
        f"({1 / usual_s:.3g} a second): {named(other)}; frames are taken by their time, {step_s:.2g} s apart{then}"
    )


def _short(data: Sequence[TrainingData]) -> Iterator[str]:
    """Say which clips are too short to show how things move."""
    samples = [sample for one in data for sample in (*one.learned, *one.held_out)]
    clips = grouped(samples, lambda sample: sample.clip)
    short = [clip for clip, frames in clips.items() if frames[-1].time_s - frames[0].time_s < LEAST_S]
    if short:
        yield (
            f"{of_clips(short, len(clips), 'lasts', 'last')} less than {LEAST_S:g} s, too short to show how things "
            f"move: {named(short)}; record longer ones, or leave them out with --leave-out"
        )


def _cameras(data: Sequence[TrainingData], moving: Sequence[str]) -> Iterator[str]:
    """Say in which clips the camera moves, by their numbers in the order of what is learned from; nothing of all."""
    clips = dict(zip((sample.clip for sample in learned_together(data)), _clip_names(data), strict=True))
    names = list(clips.values())
    if 0 < len(moving) < len(names):
        yield (
            f"in {of_clips(moving, len(names))} the whole image moves: {named([names[int(one)] for one in moving])}; "
            "is the camera fixed? What moves in some of the normal clips is normal in all"
        )


def second_look(learned: Learned, progress: Progress) -> list[list[Predictions]]:
    """Return results on what was learned from, where others set the threshold: hidden defects may be among it too.

    They are out of sample where the method can do that. Where it cannot they are lower than those of new data, yet
    alike among themselves, and a defect that was learned from still stands out of them.
    """
    from adkit.nn.moving import class_of  # loads torch

    method, view, data = learned.method, learned.view, learned.data
    if not data[0].held_out:
        return []
    if calibrates_itself(class_of(method)):
        return [left_one_out(method, view, [(one.learned, one.shapes) for one in data])]
    return [[predict_all(method, view, one.learned, progress, "looking for suspects") for one in data]]


def why_kept(suspects: Suspects, out: int) -> str | None:
    """Say why suspects are not left out by themselves, where `out` units are out already; None when they are."""
    if suspects.spreads < SURE_SPREADS:
        return f"the gap is {suspects.spreads:.1f} spreads wide, and {SURE_SPREADS:g} are asked for to be sure"
    if out + len(suspects) > MOST_LEFT_OUT * (out + suspects.among):
        return f"they are more than {MOST_LEFT_OUT:.0%} of all: a second sort of good parts?"
    return None


def without_suspects(
    learned: Learned, settings: FitSettings, datasets: Sequence[Dataset], scorer: Scorer[Any] | None, progress: Progress
) -> tuple[Learned, dict[str, list[LeftOut]]]:
    """Learn anew without suspects until there are none; return them, by spec. Raises AdkitError for too few others."""
    from adkit.nn.moving import class_of  # loads torch

    found: dict[str, list[LeftOut]] = {one.dataset.spec: [] for one in learned.data}
    timings_s = learned.timings_s
    for _ in range(MOST_ROUNDS):
        new = _sure_suspects(learned, found, scorer, settings.smoothing, progress)
        if not any(new.values()):
            break
        found = {spec: [*before, *new[spec]] for spec, before in found.items()}
        names = tuple(f"{spec} {suspect.name}" for spec, suspects in found.items() for suspect in suspects)
        kind, without = class_of(learned.method), settings.model_copy(update={"leave_out": settings.leave_out + names})
        try:
            data = training_data(datasets, without, kind, progress)
        except (DatasetError, PromiseError) as error:
            message = f"without {counted(len(names), 'suspect')} (the first: {names[0]}), {error.message}"
            raise type(error)(message, hint=f"{error.hint}, or leave --robust out") from None
        method, view = made_for(data, kind, settings, learned.method.device)
        learned = learn(method, view, data, learned.origin, progress, None)
        timings_s = {name: round(took + learned.timings_s[name], 3) for name, took in timings_s.items()}
    return replace(learned, timings_s=timings_s), found


def _sure_suspects(
    learned: Learned, out: dict[str, list[LeftOut]], scorer: Scorer[Any] | None, smoothing_s: float, progress: Progress
) -> dict[str, list[LeftOut]]:
    """Return those to leave out besides what is `out` already, by the spec of their dataset."""
    new: dict[str, list[LeftOut]] = {spec: [] for spec in out}
    with plugin_code(learned.origin):
        looks = [learned.predictions, *second_look(learned, progress)]
    for look in looks:
        for one, predictions in zip(learned.data, look, strict=True):
            spec = one.dataset.spec
            scores, _ = unit_scores(sample_scores(predictions, scorer, smoothing_s), predictions.clips)
            suspects = Suspects.among_scores(list(dict.fromkeys(predictions.clips)), scores)
            if suspects is None or why_kept(suspects, len(out[spec])):
                continue
            why = f"{suspects}, a gap of {suspects.spreads:.0f} spreads"
            new[spec] += [LeftOut(name=name, score=score, why=why) for name, score in suspects.scores.items()]
    return new


def left_out_of(data: TrainingData, suspects: Sequence[LeftOut]) -> list[LeftOut]:
    """Return all that was left out of a category: the suspects, then what was named, copies included."""
    known = {suspect.name for suspect in suspects}
    others = [name for name in data.left_out if name not in known]
    return [*suspects, *(LeftOut(name=name, score=None, why="named, or a copy of what is out") for name in others)]
