"""A new threshold for a run from further images of good parts; the model stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adkit.calibration import Rule, Threshold
from adkit.errors import OptionError
from adkit.interfaces import Progress, Silent
from adkit.normals import FreshNormals, fresh_normals, predict_normals
from adkit.registry import Registry
from adkit.runs import Predictions, Run, SeenData, recalibrated
from adkit.sources import data_hash
from adkit.workflows import calibrating_scores, calibration_record, join_predictions, open_judge, open_scorer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Recalibration:
    """A run with its new threshold, and the scores that set it."""

    run: Run
    before: Threshold
    fresh: FreshNormals | None  # None: the normal scores that the run had were used again
    names: tuple[str, ...]  # of the calibrating samples, in the order of `scores`
    scores: NDArray[np.float64]


def recalibrate(
    run: Run,
    registry: Registry,
    normal: Sequence[str] = (),
    *,
    rule: Rule | None = None,
    keep: bool = False,
    device: str = "auto",
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Recalibration:
    """Sets the run's threshold anew from images of good parts, and writes it into the run's folder.

    `normal` names files, folders or patterns; without any, the scores that the run has are used with another
    rule. `keep` adds the run's scores to those of the new images. `rule` None keeps the run's rule. Raises
    AdkitError for what the user can mend, PromiseError when the images are too few; the run is then unchanged.
    """
    record = run.record
    rule = rule or record.calibration.rule
    if keep and not normal:
        raise OptionError("there are no images to add to those that set the threshold", hint="add --normal DIR")
    if not normal:
        predictions, seen = run.calibration(), run.seen()
        source, data, fingerprint = (
            record.calibration.source,
            record.calibration.data,
            record.calibration.data_hash,
        )
        fresh = None
    else:
        seen = run.seen()
        avoided = {*seen.training.values(), *(seen.calibration.values() if keep else ())}
        fresh = fresh_normals(normal, avoided)
        kept = run.calibration() if keep else None
        rule.rank(len(fresh.samples) + (len(set(kept.clips)) if kept else 0))  # before anything takes long
        judge = open_judge(run, registry, device=device)
        predictions = predict_normals(judge, fresh, skip_bad=skip_bad, progress=progress or Silent())
        hashes = {sample_id: fresh.hashes[sample_id] for sample_id in predictions.ids}
        source, data, fingerprint = f"{len(predictions.ids)} further normal images", fresh.named, data_hash(hashes)
        if kept:
            source = f"{source}, and {len(kept.ids)} from before ({record.calibration.source})"
            data = f"{data} and {record.calibration.data}"
            names = _names_beside(kept, predictions)
            known = {**seen.training, **seen.calibration}
            fingerprint = data_hash(hashes | {names[sample_id]: known[sample_id] for sample_id in kept.ids})
            hashes |= {names[sample_id]: content for sample_id, content in seen.calibration.items()}
            kept = replace(kept, ids=tuple(names[i] for i in kept.ids), clips=tuple(names[c] for c in kept.clips))
            predictions = join_predictions([predictions, kept])
        seen = SeenData(seen.training, hashes)
    scorer = open_scorer(record.scorer, registry)
    described = calibration_record(
        predictions,
        scorer,
        rule,
        source=source,
        leave_one_out=record.calibration.leave_one_out and (keep or not normal),
        data=data,
        fingerprint=fingerprint,
    )
    changed = recalibrated(run, described, predictions, seen)
    return Recalibration(changed, record.threshold, fresh, *calibrating_scores(changed, registry))


def _names_beside(kept: Predictions, new: Predictions) -> dict[str, str]:
    """A name for each of the kept samples and clips that no new one has.

    A path that stood for one image may stand for another today; under one name they would count as one clip.
    """
    at_hand = {*new.ids, *new.clips}
    taken = {*kept.ids, *kept.clips, *at_hand}
    names = {}
    for name in dict.fromkeys((*kept.ids, *kept.clips)):
        names[name] = name
        if name in at_hand:
            while names[name] in taken:
                names[name] += " (before)"
            taken.add(names[name])
    return names
