"""A new threshold for a run from further images of good parts; the model stays as it is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from adkit.data.fingerprints import data_hash
from adkit.errors import OptionError, PromiseError, RunError
from adkit.files.atomic import require_writable, storage_faults
from adkit.files.lock import lock
from adkit.runs.predictions import Predictions, join_predictions
from adkit.runs.record import SeenData
from adkit.runs.store import Run, open_run, put_away, recalibrated, uncalibrated
from adkit.stats.calibration import Threshold, ThresholdRule
from adkit.stats.formatting import counted
from adkit.stats.significance import Drift
from adkit.workflows.audit import moved
from adkit.workflows.fit import Basis, calibration_record
from adkit.workflows.fresh_data import FreshNormals, fresh_normals, score_normals
from adkit.workflows.score import Workplace, open_scorer

LOCK = ".lock"
PATIENCE_S = 10.0
"""So long does a change of a run wait for another."""
LOOK = "look at them: if parts or camera changed this is meant, if defects are among them it is not"
"""Says what to do where new images score otherwise."""


@dataclass(frozen=True)
class Recalibration:
    """A run with its new threshold."""

    run: Run
    before: Threshold
    fresh: FreshNormals | None  # None: the normal scores that the run had were used again
    drift: Drift | None  # of the new images' scores, from those that set the threshold before; None without new images

    @property
    def warning(self) -> str | None:
        """Say why to look at the new images; None when their scores are like those from before."""
        changed = self.drift and moved(self.drift, self.run.record.earlier_calibrations[-1].leave_one_out)
        return f"{changed}; {LOOK}" if changed else None


def recalibrate(
    run: Run, workplace: Workplace, normal: Sequence[str] = (), *, rule: ThresholdRule | None = None, keep: bool = False
) -> Recalibration:
    """Set the run's threshold anew from images of good parts, and write it into the run's folder.

    Without `normal`, the scores that the run has are used with another rule; `keep` adds them to the new ones; `rule`
    None keeps the run's. Raises AdkitError, PromiseError for too few images or, with `keep`, for scores that are not
    like the run's; the run is then unchanged.
    """
    rule = rule or run.record.calibration.rule
    if keep and not normal:
        raise OptionError("there are no images to add to those that set the threshold", hint="add --normal DIR")
    require_writable(run.folder)
    _require_unchanged(run)
    own, before = run.record.calibration, run.record.threshold
    if normal:
        basis, seen, fresh, drift = _fresh_basis(run, workplace, normal, rule, keep)
    else:
        kept, length_s, left_out = run.calibration(), before.unit_s, before.left_out
        basis = Basis(kept, own.source, own.leave_one_out, own.data, own.data_hash, length_s, left_out)
        seen, fresh, drift = run.seen(), None, None
    scorer = open_scorer(run.record.scorer, workplace.registry)
    calibration = calibration_record(basis, scorer, rule, run.record.smoothing_s)
    with _only_one(run):
        _require_unchanged(run)
        changed = recalibrated(run, calibration, basis.predictions, seen)
    return Recalibration(changed, before, fresh, drift)


def restore(run: Run) -> Run:
    """Undo the last calibration or update of a run; return the run that counts; raises RunError for neither."""
    _require_unchanged(run)
    with _only_one(run):
        _require_unchanged(run)
        return uncalibrated(run) if run.record.earlier_calibrations or not run.record.updates else put_away(run)


def _fresh_basis(
    run: Run, workplace: Workplace, normal: Sequence[str], rule: ThresholdRule, keep: bool
) -> tuple[Basis, SeenData, FreshNormals, Drift]:
    """Return the new images' results, with `keep` beside those that the run has, what they are, and their drift."""
    record, seen = run.record, run.seen()
    fresh = fresh_normals(normal, {*(seen.all if keep else seen.training).values()}, record)
    kept = run.calibration() if keep else None
    unit_s = _mean_of_both(fresh, record.threshold) if keep else fresh.unit_s
    rule.in_units(unit_s).rank(fresh.count + (len(set(kept.clips)) if kept else 0))  # before anything takes long
    found = score_normals(run, workplace, fresh)
    predictions = found.predictions
    hashes = {sample_id: fresh.hashes[sample_id] for sample_id in predictions.ids}
    source, data = counted(len(set(predictions.clips)), f"further normal {fresh.unit}"), fresh.named
    if kept:
        if changed := moved(found.drift, record.calibration.leave_one_out):
            message = f"{changed}: pooled scores of different parts promise nothing for the new ones"
            raise PromiseError(message, hint="leave --keep out")
        source = f"{source}, and {len(set(kept.clips))} from before{record.calibration.in_brackets}"
        data = f"{data} and {record.calibration.data}"
        names, known = _names_beside(kept, predictions), seen.all
        hashes |= {names[sample_id]: known[sample_id] for sample_id in kept.ids}
        kept = replace(kept, ids=tuple(names[i] for i in kept.ids), clips=tuple(names[c] for c in kept.clips))
        predictions = join_predictions([predictions, kept], len(predictions.ids) + len(kept.ids))
    leave_one_out, left_out = keep and record.calibration.leave_one_out, record.threshold.left_out if keep else 0
    basis = Basis(predictions, source, leave_one_out, data, data_hash(hashes), unit_s, left_out)
    return basis, SeenData(seen.training, hashes), fresh, found.drift


def _require_unchanged(run: Run) -> None:
    """Raise RunError where the run is no longer as it was opened, since somebody else changed it."""
    if open_run(run.folder).record.calibration != run.record.calibration:
        hint = "its threshold is the other command's; calibrate again to replace it"
        raise RunError(f"{run.record.id} was changed by another command meanwhile", hint=hint)


@contextmanager
def _only_one(run: Run) -> Iterator[None]:
    """Hold the run's lock; raise RunError where somebody else holds it."""
    path, hint = run.folder / LOCK, "wait until it is done, then calibrate again"
    taken = RunError(f"{run.record.id} is being changed by another command", hint=hint)
    with storage_faults(run.folder), lock(path, patience_s=PATIENCE_S, otherwise=taken):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _mean_of_both(fresh: FreshNormals, before: Threshold) -> float | None:
    """Return how long clips last, on average of the new ones and of those that set the threshold before."""
    if fresh.unit_s is None or before.unit_s is None:
        return None
    return (fresh.unit_s * fresh.count + before.unit_s * before.count) / (fresh.count + before.count)


def _names_beside(kept: Predictions, new: Predictions) -> dict[str, str]:
    """Return a name for each kept sample and clip that no new one has: a path may stand for another image today."""
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
