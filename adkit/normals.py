"""Further images of good parts, for calibrating and auditing a run: only those that it has not seen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adkit.calibration import counted
from adkit.errors import AdkitError, DatasetError
from adkit.interfaces import Progress
from adkit.runs import Predictions
from adkit.sources import UNREADABLE, content_hashes, loose_samples
from adkit.types import Sample
from adkit.workflows import Judge, predict_all


@dataclass
class FreshNormals:
    """Images that are said to be normal, each once, and what was left out of them."""

    named: str  # as the user named them
    samples: list[Sample]
    hashes: dict[str, str]  # checksum of each sample's file, by sample id
    seen: list[str] = field(default_factory=list)  # left out: the run has seen these very files
    copies: list[str] = field(default_factory=list)  # left out: the same file under another name
    unreadable: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """What was left out and why, in sentences."""
        reasons = (
            (self.seen, "that the run has seen: such scores say nothing of new parts"),
            (self.copies, "of which there are copies: each counts once"),
            (self.unreadable, "that cannot be read"),
        )
        return [
            f"left out {counted(len(paths), 'image')} {why} (the first: {paths[0]})" for paths, why in reasons if paths
        ]


def fresh_normals(arguments: Sequence[str], seen: Collection[str]) -> FreshNormals:
    """The images that paths, folders and patterns name, without those whose checksum is among `seen`.

    Scores of files that took part in fitting are lower than those of new parts, and a copy is no further
    evidence: both would break the promise. Raises DatasetError when nothing is left.
    """
    samples = loose_samples(arguments)
    named = " ".join(str(Path(argument)) for argument in arguments)
    hashes = content_hashes(samples)
    fresh = FreshNormals(named, [], {})
    taken: set[str] = set()
    for sample in samples:
        content = hashes[sample.id]
        if content in seen:
            fresh.seen.append(str(sample.frame))
        elif content in taken:
            fresh.copies.append(str(sample.frame))
        else:
            fresh.samples.append(sample)
            fresh.hashes[sample.id] = content
            if content != UNREADABLE:
                taken.add(content)
    if not fresh.samples:
        all_of_them = "the one image" if len(samples) == 1 else f"all {len(samples)} images"
        raise DatasetError(
            f"the run has seen {all_of_them} of {named}, and its scores of them say nothing of new parts",
            hint="name images of good parts that were taken later",
        )
    return fresh


def predict_normals(judge: Judge, fresh: FreshNormals, *, skip_bad: bool, progress: Progress) -> Predictions:
    """The method's answers for the fresh images; with `skip_bad`, those that cannot be read are left out and noted.

    Raises FrameError for the first that cannot be read otherwise, DatasetError when none can, or when the run's
    promise is of clips: single images say nothing of a clip's highest score.
    """
    if judge.threshold.unit == "clip":
        raise DatasetError(
            f"the promise of this run counts clips, and {fresh.named} names still images",
            hint="fit again with more clips of good parts: their scores then set the threshold",
        )

    def note(sample: Sample, _: AdkitError) -> None:
        fresh.unreadable.append(str(sample.frame))

    predictions = predict_all(judge.method, fresh.samples, progress, "scoring", note if skip_bad else None)
    if not predictions.ids:
        raise DatasetError(f"none of the images of {fresh.named} can be read", hint="look at: adkit inspect")
    return predictions
