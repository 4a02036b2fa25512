"""Further images or clips of what is normal, for calibrating and auditing a run: only those that it has not seen."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adkit.data.clips import at_steps, cut_into, lasting_s
from adkit.data.fingerprints import content_hashes
from adkit.data.inputs import find_inputs, require_good_inputs
from adkit.errors import AdkitError, DatasetError
from adkit.runs.predictions import Predictions
from adkit.runs.record import RunRecord
from adkit.runs.store import Run
from adkit.stats.calibration import mean_length_s, unit_scores
from adkit.stats.formatting import UnitName, counted
from adkit.stats.segments import grouped
from adkit.stats.significance import Drift, drift_test
from adkit.types import Sample
from adkit.workflows.predict import predict_all
from adkit.workflows.score import FittedModel, Workplace, sample_scores
from adkit.workflows.training_data import without_copies


@dataclass
class FreshNormals:
    """Images or clips that are said to be normal, each once, and what was left out of them."""

    named: str  # as the user named them
    samples: list[Sample]
    hashes: dict[str, str]  # checksum of each sample's file, by sample id
    unit: UnitName = "image"  # of what the run's threshold counts
    seen: list[str] = field(default_factory=list)  # left out: the run has seen these very files, or frames of them
    copies: list[str] = field(default_factory=list)  # left out: the same file under another name
    unreadable: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # in sentences: of the folders, what is neither
    lengths_s: dict[str, float] = field(default_factory=dict)  # of clips, with all their frames

    @property
    def count(self) -> int:
        """Return how many images or clips there are."""
        return len({sample.clip for sample in self.samples})

    @property
    def unit_s(self) -> float | None:
        """Return how long the clips last, on average; None for images, or where it is not known."""
        times_s = [one.timestamp_s for one in self.samples]
        return mean_length_s([one.clip for one in self.samples], times_s, self.lengths_s)

    def notes(self) -> list[str]:
        """Say what was left out and why."""
        reasons = (
            (self.seen, "that the run has seen: such scores say nothing of new parts"),
            (self.copies, "of which there are copies: each counts once"),
            (self.unreadable, "that cannot be read"),
        )
        told = [f"left out {counted(len(of), self.unit)} {why} (the first: {of[0]})" for of, why in reasons if of]
        return told + self.left_out


def fresh_normals(arguments: Sequence[str], seen: Collection[str], record: RunRecord) -> FreshNormals:
    """Return what paths, folders and patterns name, without copies, and without what has a checksum among `seen`.

    Images, or clips thinned and cut as the run's own were: what its threshold counts. Scores of files that took part in
    fitting are too low, and a copy adds nothing: both would break the promise. Raises DatasetError for nothing of that.
    """
    named = " ".join(str(Path(argument)) for argument in arguments)
    unit = record.threshold.unit
    samples, left_out, lengths_s = _found(arguments, named, record)
    hashes = content_hashes(samples)
    members = grouped(samples, lambda sample: sample.clip)
    known = {clip for clip, frames in members.items() if any(hashes[sample.id] in seen for sample in frames)}
    names = [str(members[clip][0].frame) if unit == "image" else clip for clip in members if clip in known]
    samples, copies = without_copies([one for one in samples if one.clip not in known], hashes, set())
    own = {sample.id: hashes[sample.id] for sample in samples}
    fresh = FreshNormals(named, samples, own, unit, names, copies, left_out=left_out, lengths_s=lengths_s)
    if not samples:
        all_of_them = f"the one {unit}" if len(members) == 1 else f"all {len(members)} {unit}s"
        told = f"the run has seen {all_of_them} of {named}, and its scores of them say nothing of new parts"
        raise DatasetError(told, hint=f"name {unit}s of good parts that were taken later")
    return fresh


def _found(arguments: Sequence[str], named: str, record: RunRecord) -> tuple[list[Sample], list[str], dict[str, float]]:
    """Return what is named, clips as the run takes them, what was left out, in sentences, and how long clips last."""
    unit = record.threshold.unit
    hint = "name images of good parts, or folders of them"
    if unit == "clip":
        hint = "name video files of normal operation, or folders of their frames"
    found = find_inputs(arguments, of_clips=unit == "clip", hint=hint)
    other = "videos" if found.clips else None
    if unit == "clip":
        # Single images say nothing of a clip's highest score, and a stream is another one tomorrow.
        other = "still images" if found.stills else "a stream" if any(clip.live for clip in found.clips) else None
    elif other:
        hint += "; or fit on clips"
    if other:
        raise DatasetError(f"the promise of this run counts {unit}s, and {named} names {other}", hint=hint)
    require_good_inputs(arguments, found)
    if unit == "image":
        return found.stills, found.notes, {}
    frames = [sample for clip in found.clips for sample in clip.samples()]
    samples, lengths_s = at_steps(frames, record.step_s), lasting_s(frames)
    return samples if record.segment_s is None else cut_into(samples, record.segment_s), found.notes, lengths_s


@dataclass(frozen=True)
class ScoredNormals:
    """Fresh normal data as a run scores it."""

    model: FittedModel
    predictions: Predictions
    scores: NDArray[np.float64]  # one for each image or clip, in the order in which they begin
    drift: Drift  # from the scores that set the threshold; upwards only where those err on the high side


def score_normals(run: Run, workplace: Workplace, fresh: FreshNormals) -> ScoredNormals:
    """Score what is fresh with the run's model, and compare it with the scores that set the threshold.

    Without the unreadable where the workplace says so; raises FrameError, and DatasetError where nothing is left.
    """

    def note(sample: Sample, _: AdkitError) -> None:
        if (name := str(sample.frame.path)) not in fresh.unreadable:
            fresh.unreadable.append(name)

    model, on_bad = workplace.model(run), note if workplace.skip_bad else None
    predictions = predict_all(model.method, model.view, fresh.samples, workplace.progress, "scoring", on_bad)
    if not predictions.ids:
        raise DatasetError(f"none of the {fresh.unit}s of {fresh.named} can be read", hint="look at: adkit inspect")
    scores, _ = unit_scores(sample_scores(predictions, model.scorer, run.record.smoothing_s), predictions.clips)
    drift = drift_test(model.normal_scores, scores, upwards_only=run.record.calibration.leave_one_out)
    return ScoredNormals(model, predictions, scores, drift)
