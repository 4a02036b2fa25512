"""Further good images for a model that has learned already, without those that it learned from."""

import difflib
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from adkit.containment import plugin_code
from adkit.data.batches import FrameBatches
from adkit.data.boxes import Size
from adkit.data.fingerprints import content_hashes, data_hash
from adkit.data.images import FrameShapes, decoded_pixels, is_image
from adkit.data.inputs import find_inputs, require_good_inputs
from adkit.errors import DatasetError, OptionError, PluginError
from adkit.files.atomic import plain_name, require_writable, storage_faults, write_whole
from adkit.interfaces import Progress, Updatable
from adkit.registry import Registry
from adkit.runs.predictions import Predictions, join_predictions
from adkit.runs.record import LeftOut, RunRecord, SeenData, UpdateRecord
from adkit.runs.store import Run, new_run_id, save_run
from adkit.stats.calibration import Threshold
from adkit.stats.formatting import counted
from adkit.stats.significance import Drift, drift_test
from adkit.types import FitReport, Sample
from adkit.workflows.audit import moved
from adkit.workflows.fit import Basis, calibration_record, proven_state, versions
from adkit.workflows.fresh_data import FreshNormals, ScoredNormals, fresh_normals, score_normals
from adkit.workflows.predict import left_one_out
from adkit.workflows.score import FittedModel, Workplace, require_plugin, sample_scores

FEEDBACK = "feedback"
"""Holds the confirmed images in a run's folder, each by a beginning of its checksum and then its name."""
_HASH = 16


@dataclass(frozen=True)
class Updated:
    """A new run that has learned further images."""

    run: Run
    before: Threshold  # of the run that it was
    fresh: FreshNormals
    flagged: dict[str, float]  # new images that were anomalous to the run before, the highest score first
    drift: Drift | None  # of the new images' scores from the earlier ones'; None: those have no say any more


def update(
    run: Run, workplace: Workplace, normal: Sequence[str], *, remove: Sequence[str] = (), feedback: bool = False
) -> Updated:
    """Write a new run beside this one, which has learned what `normal` names as well, with a threshold anew.

    The threshold is set by the scores of the new images, each as if it had not been learned, and by those that set it
    before: these can only be too high, as rows come closer. With `remove`, names of learned images are taken out, and
    the new images alone set it. What `keep_feedback` kept (`feedback`) has no say in it: it was not taken at random.
    Raises AdkitError; then nothing was written.
    """
    record, seen = run.record, run.seen()
    require_writable(root := run.folder.resolve().parent)
    _require_updatable(run, workplace.registry)
    removed = _numbers_of(remove, list(seen.training))
    fresh = fresh_normals([*normal, *_feedback_of(run, wanted=feedback)], seen.training.values(), record)
    kept = None if removed else _still_counting(run, seen, set(fresh.hashes.values()))
    count = sum(not _is_feedback(sample, run) for sample in fresh.samples)
    record.calibration.rule.rank(count + (len(kept.ids) if kept else 0))  # before anything takes long
    before = score_normals(run, workplace, fresh)
    samples = _named_anew(fresh, before, seen)
    started = time.perf_counter()
    report, new = _learned_besides(before.model, samples, len(seen.training), removed, workplace.progress)
    state = proven_state(before.model.method, record.view, samples, record.origin)
    random = [row for row, sample in enumerate(samples) if not _is_feedback(sample, run)]
    voting = new.take(random) if random else None
    drift = None
    if kept and voting:
        drift = drift_test(*(sample_scores(one, before.model.scorer, 0.0) for one in (kept, voting)), upwards_only=True)
    taught = UpdateRecord(
        of=record.id,
        created=datetime.now(UTC),
        data=fresh.named,
        images=len(samples),
        removed=[list(seen.training)[one] for one in removed],
        drift=moved(drift, leave_one_out=True),
    )
    names = zip(before.predictions.ids, samples, strict=True)
    learned = SeenData(
        {**seen.training, **{sample.id: fresh.hashes[name] for name, sample in names}},
        {name: seen.calibration[name] for name in (kept.ids if kept else ()) if name in seen.calibration},
    )
    parts = [part for part in (voting, kept) if part]
    predictions = join_predictions(parts, sum(len(part.ids) for part in parts))
    changed = _next_record(before.model, taught, learned, predictions, kept)
    skipped, facts = [*record.skipped, *fresh.unreadable], {**record.facts, **report.facts}
    timings_s = {"update": round(time.perf_counter() - started, 3)}
    changed = changed.model_copy(update={"skipped": skipped, "facts": facts, "timings_s": timings_s})
    written = save_run(root, changed, state, predictions, learned)
    return Updated(written, record.threshold, fresh, _flagged(before), drift)


def _next_record(
    model: FittedModel, taught: UpdateRecord, learned: SeenData, predictions: Predictions, kept: Predictions | None
) -> RunRecord:
    """Return what the new run says of itself; `predictions` set its threshold, those that are `kept` among them."""
    record, root = model.run.record, model.run.folder.resolve().parent
    new, data = len(predictions.ids) - (len(kept.ids) if kept else 0), taught.data
    sources = [f"leave-one-out on {counted(new, 'further normal image')}"] if new else []
    if kept:
        sources.append(f"{counted(len(kept.ids), 'score')} from before{record.calibration.in_brackets}")
        data += f" and {record.calibration.data}"
    digest, left_out = data_hash(learned.all), record.threshold.left_out if kept else 0
    basis = Basis(predictions, ", and ".join(sources), True, data, digest, None, left_out)
    removed = [LeftOut(name=one, score=None, why="taken out later") for one in taught.removed]
    return record.model_copy(
        update={
            "id": new_run_id(root, record.settings, record.dataset),
            "created": taught.created,
            "device": model.method.device,
            "train_count": record.train_count + taught.images - len(taught.removed),
            "data_hash": data_hash(learned.training),
            "left_out": record.left_out + removed,
            "calibration": calibration_record(basis, model.scorer, record.calibration.rule, record.smoothing_s),
            "earlier_calibrations": [],
            "updates": [*record.updates, taught],
            "versions": versions(),
        }
    )


def keep_feedback(run: Run, files: Sequence[str], registry: Registry) -> tuple[int, int, int]:
    """Copy images that were confirmed as good into the run's folder, for its next update; raises AdkitError.

    Returns how many were kept, how many the run has learned or kept already, and how many wait for an update.
    """
    _require_updatable(run, registry)
    hint = "name images of parts that are good, or folders of them"
    found, known = find_inputs(files, hint=hint), {*run.seen().training.values()}
    if found.clips:
        raise OptionError(f"{found.clips[0].name} is a clip, and parts are confirmed by still images", hint=hint)
    require_good_inputs(files, found)
    for sample in found.stills:  # all, before one is kept: the next update would fail at it, under another name
        decoded_pixels(sample.frame)
    hashes, folder, kept = content_hashes(found.stills), run.folder / FEEDBACK, 0
    waiting = {path.name[:_HASH] for path in folder.glob("*")}
    for sample in found.stills:
        content, path = hashes[sample.id], sample.frame.path
        if content in known or content[:_HASH] in waiting:
            continue
        suffix = path.suffix if is_image(path) else ".png"  # by which it is found again
        target = folder / f"{content[:_HASH]}-{plain_name(path.stem)[:60]}{suffix}"
        with storage_faults(target):
            write_whole(target, path.read_bytes())
        waiting.add(content[:_HASH])
        kept += 1
    return kept, len(found.stills) - kept, len(waiting)


def _feedback_of(run: Run, *, wanted: bool) -> list[str]:
    """Return what was kept, as a pattern: as files, that no name speaks against; OptionError for a wish of nothing."""
    folder = run.folder / FEEDBACK
    if wanted and not folder.is_dir():
        hint = f"keep some: adkit feedback {run.argument} --good FILE"
        raise OptionError(f"{run.record.id} has no confirmed images", hint=hint)
    return [str(folder / "*")] if wanted else []


def _is_feedback(sample: Sample, run: Run) -> bool:
    return sample.frame.path.resolve().parent == (run.folder / FEEDBACK).resolve()


def _require_updatable(run: Run, registry: Registry) -> None:
    """Raise OptionError for a run that cannot go on learning, with what to do instead."""
    record = run.record
    require_plugin(run, registry.methods, record.method)
    method = registry.methods.get(record.method).load()
    why = None
    if not issubclass(method, Updatable):
        able = []
        for name in registry.methods.names():
            with suppress(PluginError):  # another plugin's fault
                able += [name] if issubclass(registry.methods.get(name).load(), Updatable) else []
        why = f"{record.method} cannot go on learning ({', '.join(able)} can)"
    elif record.threshold.unit == "clip" or record.window > 1:
        why = f"{record.id} judges clips, and only what judges still images can go on learning"
    elif record.joint:
        why = f"{record.id} is one of several runs that share a model"
    if why:
        again = shlex.join(["adkit", "fit", *record.settings.command_line()])
        raise OptionError(why, hint=f"fit again, from the old and the new images together: {again}")


def _numbers_of(names: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return at which place among the learned images each name is; raises OptionError for one that is not there."""
    numbers = []
    for name in names:
        if name not in known:
            close = [*difflib.get_close_matches(name, known, n=1), *known][0]
            hint = f"did you mean {close}?"
            raise OptionError(f"--remove {name}: no image of that name was learned from", hint=hint)
        numbers.append(known.index(name))
    if len(set(numbers)) == len(known):
        raise OptionError("--remove names all images that were learned from", hint="fit again instead")
    return numbers


def _still_counting(run: Run, seen: SeenData, learned_now: set[str]) -> Predictions | None:
    """Return the scores that set the threshold so far, without those of images that are now learned."""
    kept, known = run.calibration(), seen.all
    rows = [row for row, name in enumerate(kept.ids) if known[name] not in learned_now]
    return kept.take(rows) if rows else None


def _named_anew(fresh: FreshNormals, scored: ScoredNormals, seen: SeenData) -> list[Sample]:
    """Return the images that can be read, under new names; raises DatasetError for other sizes."""
    by_id, shape_of, known = {sample.id: sample for sample in fresh.samples}, FrameShapes(), seen.all
    samples = []
    for sample in (by_id[name] for name in scored.predictions.ids):
        if why := scored.model.other_size(shape_of(sample.frame)):
            raise DatasetError(f"{sample.frame}: {why}", hint="fit again for images of another size")
        name = sample.id
        while name in known:
            name += " (later)"
        samples.append(replace(sample, id=name, clip=name))
    return samples


def _learned_besides(
    model: FittedModel, samples: Sequence[Sample], first: int, removed: Sequence[int], progress: Progress
) -> tuple[FitReport, Predictions]:
    """Let the method go on learning; return also its results on the new images, each as if it had not been there."""
    method, view, shape_of = model.method, model.view, FrameShapes()
    shapes: list[Size] = [shape_of(sample.frame) for sample in samples]
    with plugin_code(model.run.record.origin):
        assert isinstance(method, Updatable)
        report = method.update(FrameBatches(samples, view), progress, first=first, removed=removed)
        (besides,) = left_one_out(method, view, [(samples, shapes)])
        return report, besides


def _flagged(before: ScoredNormals) -> dict[str, float]:
    names, scores = before.predictions.ids, before.scores
    above = (row for row in np.argsort(-scores).tolist() if scores[row] > before.model.threshold.value)
    return {names[row]: float(scores[row]) for row in above}
