"""A new threshold for a run from further images of good parts; the model stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adkit.data.fingerprints import data_hash
from adkit.errors import OptionError, PromiseError
from adkit.interfaces import Progress, Silent
from adkit.registry import Registry
from adkit.runs.predictions import Predictions, join_predictions
from adkit.runs.record import SeenData
from adkit.runs.store import Run, recalibrated
from adkit.stats.calibration import Threshold, ThresholdRule, unit_scores
from adkit.stats.formatting import counted
from adkit.stats.significance import Drift, drift_test
from adkit.workflows.audit import LEVEL
from adkit.workflows.fit import calibration_record
from adkit.workflows.fresh_data import FreshNormals, fresh_normals, predict_normals
from adkit.workflows.score import calibrating_scores, open_model, open_scorer, sample_scores

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
    drift: Drift | None  # of the new images' scores, from those that set the threshold before; None without new images

    @property
    def warning(self) -> str | None:
        """Why to look at the new images, in a sentence; None when their scores are like those from before."""
        if self.drift is None or self.drift.p_value >= LEVEL:
            return None
        before = self.run.record.earlier_calibrations[-1]
        return (
            f"{_moved(self.drift, before.leave_one_out)}; look at them: if parts or camera changed this is meant, "
            "if defects are among them it is not"
        )


def recalibrate(
    run: Run,
    registry: Registry,
    normal: Sequence[str] = (),
    *,
    rule: ThresholdRule | None = None,
    keep: bool = False,
    device: str = "auto",
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Recalibration:
    """Sets the run's threshold anew from images of good parts, and writes it into the run's folder.

    `normal` names files, folders or patterns; without any, the scores that the run has are used with another
    rule. `keep` adds the run's scores to those of the new images. `rule` None keeps the run's rule. Raises
    AdkitError for what the user can mend, PromiseError when the images are too few, or with `keep` when their scores
    are not like the run's; the run is then unchanged.
    """
    record = run.record
    rule = rule or record.calibration.rule
    if keep and not normal:
        raise OptionError("there are no images to add to those that set the threshold", hint="add --normal DIR")
    if not normal:
        predictions, seen, unit_s = run.calibration(), run.seen(), record.threshold.unit_s
        source, data, fingerprint = (
            record.calibration.source,
            record.calibration.data,
            record.calibration.data_hash,
        )
        fresh = drift = None
    else:
        seen = run.seen()
        avoided = {*seen.training.values(), *(seen.calibration.values() if keep else ())}
        fresh = fresh_normals(normal, avoided, record)
        kept = run.calibration() if keep else None
        unit_s = _mean_of_both(fresh, record.threshold) if keep else fresh.unit_s
        rule.in_units(unit_s).rank(fresh.count + (len(set(kept.clips)) if kept else 0))  # before anything takes long
        judge = open_model(run, registry, device=device)
        predictions = predict_normals(judge, fresh, skip_bad=skip_bad, progress=progress or Silent())
        new_scores, _ = unit_scores(sample_scores(predictions, judge.scorer, record.smoothing_s), predictions.clips)
        leave_one_out = record.calibration.leave_one_out
        drift = drift_test(judge.normal_scores, new_scores, upwards_only=leave_one_out)
        hashes = {sample_id: fresh.hashes[sample_id] for sample_id in predictions.ids}
        source, data = counted(len(set(predictions.clips)), f"further normal {fresh.unit}"), fresh.named
        if kept:
            if drift.p_value < LEVEL:
                raise PromiseError(
                    f"{_moved(drift, leave_one_out)}: "
                    "pooled scores of different parts promise nothing for the new ones",
                    hint="leave --keep out",
                )
            source = f"{source}, and {len(set(kept.clips))} from before ({record.calibration.source})"
            data = f"{data} and {record.calibration.data}"
            names = _names_beside(kept, predictions)
            known = {**seen.training, **seen.calibration}
            hashes |= {names[sample_id]: known[sample_id] for sample_id in kept.ids}
            kept = replace(kept, ids=tuple(names[i] for i in kept.ids), clips=tuple(names[c] for c in kept.clips))
            predictions = join_predictions([predictions, kept])
        fingerprint = data_hash(hashes)
        seen = SeenData(seen.training, hashes)
    scorer = open_scorer(record.scorer, registry)
    described = calibration_record(
        predictions,
        scorer,
        rule,
        unit_s=unit_s,
        smoothing_s=record.smoothing_s,
        source=source,
        leave_one_out=record.calibration.leave_one_out and (keep or not normal),
        data=data,
        fingerprint=fingerprint,
    )
    changed = recalibrated(run, described, predictions, seen)
    return Recalibration(changed, record.threshold, fresh, *calibrating_scores(changed, registry), drift)


def _mean_of_both(fresh: FreshNormals, before: Threshold) -> float | None:
    """How long clips last, on average of the new ones and of those that set the threshold before."""
    if fresh.unit_s is None or before.unit_s is None:
        return None
    return (fresh.unit_s * fresh.count + before.unit_s * before.count) / (fresh.count + before.count)


def _moved(drift: Drift, leave_one_out: bool) -> str:
    direction = "higher" if leave_one_out or drift.shift > 0.5 else "lower"
    return f"the new images score {direction} than those that set the threshold so far, p = {drift.p_value:.2g}"


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
