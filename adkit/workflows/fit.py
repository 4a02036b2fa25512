"""Learns from normal data and writes runs."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adkit import __version__
from adkit.data.batches import FrameBatches
from adkit.interfaces import Dataset, Method, Progress, Scorer, Silent
from adkit.options import options_of, parse_options
from adkit.registry import Registry
from adkit.runs.predictions import Predictions, to_predictions
from adkit.runs.record import CalibrationRecord, JointShare, RunRecord
from adkit.runs.store import Run, new_run_id, save_runs
from adkit.runs.unfinished import BegunCategory, Unfinished, workspace
from adkit.stats.calibration import ThresholdRule, threshold_from, unit_scores
from adkit.stats.smoothing import SMOOTHING_S
from adkit.types import Prediction
from adkit.workflows.training_data import TrainingData, learned_together, require_few, seen_by, training_data

if TYPE_CHECKING:
    pass

from adkit.workflows.score import device_of, open_scorer, predict_all, sample_scores, times_of

PIXEL_SHARE = 0.001
"""Of a normal picture's area may lie above the pixel threshold without breaking its promise."""


@dataclass(frozen=True, slots=True)
class FitRequest:
    """What to fit. `options` are texts or values by name; `scorer` None means the method's default."""

    method: str
    dataset: Dataset
    runs_root: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    scorer: str | None = None
    seed: int = 0
    device: str = "auto"
    rule: ThresholdRule = field(default_factory=ThresholdRule)
    skip_bad: bool = False
    few: int | None = None  # learn from so many images (clips) drawn by the seed; all others set the threshold
    every: int | None = None  # of clips, learn from and judge one in so many frames; None: as many as are needed
    smoothing_s: float = SMOOTHING_S  # of the scores of clips' frames
    resumable: bool = True  # what a training keeps lasts when it is broken off


def check_settings(
    method: str,
    options: Mapping[str, Any],
    scorer: str | None,
    device: str,
    registry: Registry,
    *,
    few: int | None = None,
) -> None:
    """Raises AdkitError for a method, option, scorer or device that is not to be had, before any data is read.

    So it does for fewer images than the method can learn from.
    """
    method_class = registry.methods.get(method).load()
    parse_options(options_of(method_class), options, method)
    open_scorer(scorer or method_class.default_scorer, registry)
    require_few(few, method, method_class)
    device_of(device)


def fit(request: FitRequest, registry: Registry, progress: Progress | None = None) -> Run:
    """Learns from the dataset's training split and writes a run, calibrated on normal data.

    Raises AdkitError for whatever the user can mend; then nothing was written.
    """
    (run,) = fit_joint([request], registry, progress)
    return run


def fit_joint(
    requests: Sequence[FitRequest],
    registry: Registry,
    progress: Progress | None = None,
    *,
    resume: Unfinished | None = None,
) -> list[Run]:
    """Learns one model from the training splits of all requests, which differ in their dataset only; a run for each.

    Every run holds that model, and a calibration on its own dataset's normal data alone: what is normal for a
    screw scores otherwise than what is normal for a bottle. All datasets are checked before learning, and all
    runs are written or none. `resume` is a fit of the same that was broken off: it goes on where it stood, and
    RunError says what differs where it is not the same. Raises AdkitError for whatever the user can mend; then
    nothing was written.
    """
    progress = progress or Silent()
    request = requests[0]
    if any(replace(other, dataset=request.dataset) != request for other in requests):
        raise ValueError("requests to fit jointly may differ in their dataset only")
    method_class = registry.methods.get(request.method).load()
    options = parse_options(options_of(method_class), request.options, request.method)
    scorer = open_scorer(request.scorer or method_class.default_scorer, registry)
    data = training_data(
        [one.dataset for one in requests],
        request.method,
        method_class,
        request.rule,
        seed=request.seed,
        few=request.few,
        every=request.every,
        skip_bad=request.skip_bad,
        progress=progress,
    )

    device = device_of(request.device)
    begun = Unfinished(
        created=datetime.now(UTC),
        method=request.method,
        origin=registry.methods.origin(request.method).origin,
        options=options.model_dump(mode="json"),
        scorer=request.scorer or method_class.default_scorer,
        seed=request.seed,
        device=device,
        rule=request.rule,
        few=request.few,
        every=request.every,
        smoothing_s=request.smoothing_s,
        skip_bad=request.skip_bad,
        categories=[_begun(request, one) for one in data],
    )
    if resume is not None:
        resume.require_same(begun)
        begun = resume
    method = method_class(options, seed=request.seed, device=device)
    resumed = resume is not None
    with (
        workspace(request.runs_root, begun, resume=resumed)
        if method.resumable and request.resumable
        else nullcontext() as method.workspace
    ):
        return _learn(method, scorer, request, begun, data, progress)


def _begun(request: FitRequest, data: TrainingData) -> BegunCategory:
    dataset = data.dataset
    return BegunCategory(
        id=new_run_id(request.runs_root, request.method, Path(dataset.spec.partition(":")[2]).name),
        dataset=dataset.spec,
        root=str(dataset.root) if dataset.root else None,
        images=len(data.hashes),
        data_hash=data.fingerprint,
    )


def _learn(
    method: Method[Any],
    scorer: Scorer[Any] | None,
    request: FitRequest,
    begun: Unfinished,
    data: Sequence[TrainingData],
    progress: Progress,
) -> list[Run]:
    """Fits, calibrates each category by itself, and writes a run for each."""
    started = time.perf_counter()
    method.fit(FrameBatches(learned_together(data), method.frame_size, window=method.window), progress)
    fitted = time.perf_counter()
    predictions = _out_of_sample(method, data, progress)
    calibrations = [
        calibration_record(
            answers,
            scorer,
            request.rule,
            unit_s=one.unit_s,
            smoothing_s=request.smoothing_s,
            source=one.calibration_source,
            leave_one_out=not one.held_out,
            data=one.dataset.spec,
            fingerprint=one.fingerprint,
        )
        for one, answers in zip(data, predictions, strict=True)
    ]
    calibrated = time.perf_counter()

    shares = {one.dataset.spec: JointShare(train_count=len(one.learned), data_hash=one.fingerprint) for one in data}
    records = [
        RunRecord(
            id=category.id,
            created=datetime.now(UTC),
            method=begun.method,
            origin=begun.origin,
            options=begun.options,
            scorer=begun.scorer,
            dataset=category.dataset,
            root=category.root,
            seed=begun.seed,
            device=method.device,
            frame_size=method.frame_size,
            window=method.window,
            train_count=len(one.learned),
            data_hash=category.data_hash,
            every=one.every,
            smoothing_s=0.0 if one.stills else begun.smoothing_s,
            segment_s=one.segment_s,
            few=begun.few,
            joint=shares if len(data) > 1 else {},
            skipped=one.skipped,
            copies=one.copies,
            calibration=calibration,
            facts=method.facts(),
            curves=method.curves(),
            timings_s={"fit": round(fitted - started, 3), "calibrate": round(calibrated - fitted, 3)},
            versions=_versions(),
        )
        for category, one, calibration in zip(begun.categories, data, calibrations, strict=True)
    ]
    seen = [seen_by(one, data) for one in data]
    return save_runs(request.runs_root, method.state(), list(zip(records, predictions, seen, strict=True)))


def calibration_record(
    predictions: Predictions,
    scorer: Scorer[Any] | None,
    rule: ThresholdRule,
    *,
    unit_s: float | None,
    smoothing_s: float,
    source: str,
    leave_one_out: bool,
    data: str,
    fingerprint: str,
) -> CalibrationRecord:
    """The thresholds that the rule takes from these results on normal data; raises PromiseError for too few.

    `unit_s` is how long their clips last on average, None where that is not known.

    The pixel threshold is the map value that more than a thousandth of a picture exceeds in that share of normal
    *pictures* only. The unit is the picture here too: its pixels are not exchangeable. A thousandth, and not the
    one highest pixel: a single pixel's noise would else decide how much of every defect is outlined.
    """
    scores, unit = unit_scores(sample_scores(predictions, scorer, smoothing_s), predictions.clips)
    pixel_threshold = None
    if predictions.maps is not None:
        pixels = predictions.maps.reshape(len(predictions.maps), -1)
        highest, unit = unit_scores(np.quantile(pixels, 1 - PIXEL_SHARE, axis=1), predictions.clips)
        pixel_threshold = threshold_from(highest, rule, unit, unit_s)
    return CalibrationRecord(
        created=datetime.now(UTC),
        source=source,
        leave_one_out=leave_one_out,
        data=data,
        data_hash=fingerprint,
        rule=rule,
        threshold=threshold_from(scores, rule, unit, unit_s),
        pixel_threshold=pixel_threshold,
    )


def _out_of_sample(method: Method[Any], data: Sequence[TrainingData], progress: Progress) -> list[Predictions]:
    """For each category, results on normal data as if the method had not learned from it."""
    if data[0].held_out:
        return [predict_all(method, one.held_out, progress, "calibrating") for one in data]
    total = sum(len(one.learned) for one in data)
    prediction = method.calibration()
    if prediction is None or len(prediction) != total:
        found = "None" if prediction is None else f"{len(prediction)} results"
        raise ValueError(f"{type(method).__name__}.calibration gave {found} for {total} samples")
    parts, first = [], 0
    for one in data:
        own = slice(first, first + len(one.learned))
        ids, clips = tuple(sample.id for sample in one.learned), tuple(sample.clip for sample in one.learned)
        answers = (None if tensor is None else tensor[own] for tensor in (prediction.maps, prediction.scores))
        parts.append(to_predictions(ids, clips, Prediction(*answers), times_of(one.learned)))
        first = own.stop
    return parts


def _versions() -> dict[str, str]:
    found = {"adkit": __version__, "python": platform.python_version()}
    for name in ("torch", "timm", "onnxruntime", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
