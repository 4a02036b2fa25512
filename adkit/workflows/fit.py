"""Learns from normal data and writes runs."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adkit import __version__
from adkit.containment import plugin_code
from adkit.data.clips import are_stills
from adkit.data.view import View
from adkit.errors import AdkitError, OptionError, PluginError
from adkit.files.atomic import require_writable
from adkit.interfaces import SILENT, Dataset, Method, Progress, Scorer, calibrates_itself
from adkit.options import options_of, parse_options
from adkit.registry import Registry
from adkit.runs.predictions import Predictions
from adkit.runs.record import CalibrationRecord, FitSettings, JointShare, LeftOut, RunRecord, Suspects
from adkit.runs.store import Run, new_run_id, save_runs
from adkit.runs.unfinished import BegunCategory, Unfinished, workspace
from adkit.stats.calibration import ThresholdRule, threshold_from, unit_scores
from adkit.types import Sample
from adkit.workflows.learning import Learned, learn, left_out_of, made_for, without_suspects
from adkit.workflows.predict import predict_all
from adkit.workflows.score import device_of, open_scorer, sample_scores
from adkit.workflows.seeing import check_places
from adkit.workflows.training_data import TrainingData, require_few, seen_by, training_data

if TYPE_CHECKING:
    from torch import Tensor

PIXEL_SHARE = 0.001
"""Of a normal image's area may lie above the pixel threshold without breaking its promise."""
PROVEN = 2
"""Before a run is written, so many frames are judged again from its file."""
FOR_CLIPS = "patchknn"
"""The method that is taken of clips when nobody names one."""


def usual_method(datasets: Sequence[Dataset]) -> str:
    """Say in a sentence which method is taken of clips, and why; raises OptionError for still images."""
    if any(are_stills(dataset.samples("train")) for dataset in datasets):
        hint = "for example: adkit fit --method patchknn --dataset folder:good_parts/"
        raise OptionError("--method is not given", hint=hint)
    return f"no --method: {FOR_CLIPS}, which judges both what frames look like and how things move between them"


def check_settings(settings: FitSettings, registry: Registry) -> None:
    """Raise AdkitError for a method, option, scorer, device or rule that is not to be had, before data is read."""
    method_class = registry.methods.get(settings.method).load()
    parse_options(options_of(method_class), settings.options, settings.method)
    open_scorer(settings.scorer or method_class.default_scorer, registry)
    check_places(settings)
    require_few(settings, method_class)
    device_of(settings.device)
    settings.rule  # noqa: B018 (raises)


def fit(
    settings: FitSettings,
    dataset: Dataset,
    runs_root: Path,
    registry: Registry,
    progress: Progress = SILENT,
    *,
    resumable: bool = True,
) -> Run:
    """Learn from the dataset's training split and write a run below `runs_root`, calibrated on normal data.

    Without `resumable`, nothing is kept of an interrupted training. Raises AdkitError; then nothing was written.
    """
    (run,) = fit_joint(settings, [dataset], runs_root, registry, progress, resumable=resumable)
    return run


def fit_joint(
    settings: FitSettings,
    datasets: Sequence[Dataset],
    runs_root: Path,
    registry: Registry,
    progress: Progress = SILENT,
    *,
    resume: Unfinished | None = None,
    resumable: bool = True,
) -> list[Run]:
    """Learn one model from the training splits of all datasets, and write a run for each, or none.

    Each run's threshold is of its own dataset: what is normal for a screw scores otherwise than for a bottle. All
    datasets are checked before learning. `resume` is a fit of the same that was interrupted; RunError says what differs
    where it is not the same. Raises AdkitError for whatever the user can fix; then nothing was written.
    """
    require_writable(runs_root)
    method_class = registry.methods.get(settings.method).load()
    roots = {dataset.root for dataset in datasets if dataset.root}
    specs = tuple(dataset.spec for dataset in datasets)
    root = str(roots.pop()) if len(roots) == 1 else settings.root
    settings = settings.model_copy(update={"dataset": specs, "joint": len(datasets) > 1, "root": root})
    with ExitStack() as held:
        held.enter_context(progress.plan(_steps(settings, method_class)))
        data = training_data(datasets, settings, method_class, progress)
        method, view = made_for(data, method_class, settings, device_of(settings.device))
        open_scorer(settings.scorer or method.default_scorer, registry)  # raises before anything takes long
        begun = _begun(settings, method, data, registry, runs_root)
        if resume is not None:
            resume.require_same(begun)
            begun = resume

        @cache
        def folder() -> Path:
            return held.enter_context(workspace(runs_root, begun, resume=resume is not None))

        if resume is not None:
            folder()
        learned = learn(method, view, data, begun.origin, progress, folder if resumable else None)
        suspects: dict[str, list[LeftOut]] = {}
        if settings.robust:
            scorer = open_scorer(_scorer_of(settings, learned), registry)
            learned, suspects = without_suspects(learned, settings, datasets, scorer, progress)
        return _save(learned, suspects, begun, registry, runs_root)


def _scorer_of(settings: FitSettings, learned: Learned) -> str | None:
    """Return how maps become scores: as the user says, as what was learned says, or as the method always does."""
    return settings.scorer or learned.report.scorer or learned.method.default_scorer


def _steps(settings: FitSettings, method_class: type[Method[Any]]) -> list[tuple[str, float]]:
    """Return what a fit goes through, and how long each takes in proportion; what is not needed is left out."""
    checking = [("checking files", 1.0)] if settings.skip_bad else []
    learning = [("learning", 10.0), *([] if calibrates_itself(method_class) else [("calibrating", 1.0)])]
    return [*checking, *learning, *([("looking for suspects", 1.0), *learning] if settings.robust else [])]


def _begun(
    settings: FitSettings, method: Method[Any], data: Sequence[TrainingData], registry: Registry, runs_root: Path
) -> Unfinished:
    categories = [
        BegunCategory(
            id=new_run_id(runs_root, settings, one.dataset.spec),
            dataset=one.dataset.spec,
            root=str(one.dataset.root) if one.dataset.root else None,
            images=len(one.hashes),
            data_hash=one.fingerprint,
        )
        for one in data
    ]
    now, origin = datetime.now(UTC), registry.methods.origin(settings.method).origin
    options = method.options.model_dump(mode="json")
    return Unfinished(created=now, settings=settings, options=options, origin=origin, categories=categories)


def _save(
    learned: Learned, suspects: Mapping[str, list[LeftOut]], begun: Unfinished, registry: Registry, runs_root: Path
) -> list[Run]:
    """Calibrate each category by itself, and write a run for each."""
    settings = begun.settings.model_copy(update={"scorer": _scorer_of(begun.settings, learned)})
    scorer, method, data = open_scorer(settings.scorer, registry), learned.method, learned.data
    shares = {one.dataset.spec: JointShare(train_count=len(one.learned), data_hash=one.fingerprint) for one in data}
    state, notes, parts = proven_state(method, learned.view, data[0].learned, begun.origin), learned.report.notes, []
    if not state:
        told = f"{settings.method} keeps nothing of what it learned: state() is empty. Unless it learns nothing, "
        notes = [*notes, told + "the run will score otherwise, or not at all; tell its author"]
    for category, one, predictions in zip(begun.categories, data, learned.predictions, strict=True):
        left_out = left_out_of(one, suspects.get(one.dataset.spec, []))
        source, spec, out = one.calibration_source, one.dataset.spec, len(left_out)
        basis = Basis(predictions, source, not one.held_out, spec, one.fingerprint, one.unit_s, out)
        record = RunRecord(
            id=category.id,
            created=datetime.now(UTC),
            settings=settings,
            origin=begun.origin,
            options=method.options.model_dump(mode="json"),
            dataset=category.dataset,
            root=category.root,
            device=method.device,
            view=learned.view,
            window=method.window,
            train_count=len(one.learned),
            data_hash=one.fingerprint,
            step_s=one.step_s,
            smoothing_s=0.0 if one.stills else settings.smoothing,
            segment_s=one.segment_s,
            joint=shares if len(data) > 1 else {},
            skipped=one.skipped,
            copies=one.copies,
            left_out=left_out,
            calibration=calibration_record(basis, scorer, settings.rule, settings.smoothing),
            facts=dict(learned.report.facts),
            notes=list(notes),
            curves=dict(learned.report.curves),
            timings_s=learned.timings_s,
            versions=versions(),
        )
        parts.append((record, predictions, seen_by(one, data)))
    return save_runs(runs_root, state, parts)


def proven_state(method: Method[Any], view: View, learned: Sequence[Sample], origin: str) -> dict[str, Tensor]:
    """Return what was learned, once a new instance says the same by it; raises PluginError where it does not."""
    from safetensors.torch import load, save

    from adkit.nn.moving import class_of, restored  # loads torch

    samples = [sample for sample in learned if sample.clip == learned[0].clip][:PROVEN]
    was, asked_again = (predict_all(method, view, samples, SILENT, "proving") for _ in range(2))
    if odd := _differing(was, asked_again):
        told = f"{class_of(method).__name__} gives other {odd} when it judges the same frames again ({origin})"
        raise PluginError(told, hint="nothing was written; tell its author: predict() may draw nothing at random")
    try:
        with plugin_code(origin):
            state = {name: tensor.detach().cpu().contiguous() for name, tensor in method.state().items()}
            again = restored(class_of(method), method.options, method.seed, method.device, load(save(state)))
        now = predict_all(again, view, samples, SILENT, "proving")
        if odd := _differing(was, now):
            raise ValueError(f"its {odd} are others after load_state(state())")
    except (AdkitError, MemoryError):
        raise
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
        told = f"what {class_of(method).__name__} learned cannot be used again ({origin}): {fault}"
        hint = "nothing was written; tell its author: state() must give all that load_state() needs"
        raise PluginError(told, hint=hint) from error
    return state


def _differing(was: Predictions, now: Predictions) -> str | None:
    """Say what differs in two answers about the same frames, by more than rounding; None: nothing does."""
    for name in ("maps", "scores"):
        before, after = getattr(was, name), getattr(now, name)
        if before is not None and not np.allclose(before, after, rtol=1e-3, atol=1e-3 * np.abs(before).max()):
            return name
    return None


@dataclass(frozen=True)
class Basis:
    """What thresholds are set from: results on normal data, and where they come from."""

    predictions: Predictions  # out of sample
    source: str  # in words: how they were had
    leave_one_out: bool
    data: str  # the dataset's spec, or the folders that were given
    data_hash: str
    unit_s: float | None  # how long their clips last on average, if that is known
    left_out: int = 0  # further units that are held for anomalous


def calibration_record(
    basis: Basis, scorer: Scorer[Any] | None, rule: ThresholdRule, smoothing_s: float
) -> CalibrationRecord:
    """Return the thresholds that the rule takes from the basis; raises PromiseError for too few results.

    The pixel threshold is what more than a thousandth of an image exceeds in that share of normal *images*, for
    pixels are not exchangeable; of the one highest, its noise would decide how much of every defect is outlined.
    """
    predictions, unit_s, left_out = basis.predictions, basis.unit_s, basis.left_out
    scores, unit = unit_scores(sample_scores(predictions, scorer, smoothing_s), predictions.clips)
    pixel_threshold = None
    if predictions.maps is not None:
        pixels = predictions.maps.reshape(len(predictions.maps), -1)
        highest, unit = unit_scores(np.quantile(pixels, 1 - PIXEL_SHARE, axis=1), predictions.clips)
        pixel_threshold = threshold_from(highest, rule, unit, unit_s, left_out)
    return CalibrationRecord(
        created=datetime.now(UTC),
        source=basis.source,
        leave_one_out=basis.leave_one_out,
        data=basis.data,
        data_hash=basis.data_hash,
        rule=rule,
        threshold=threshold_from(scores, rule, unit, unit_s, left_out),
        pixel_threshold=pixel_threshold,
        suspects=Suspects.among_scores(list(dict.fromkeys(predictions.clips)), scores),
    )


def versions() -> dict[str, str]:
    """Say by which versions of what it is computed."""
    found = {"adkit": __version__, "python": platform.python_version()}
    for name in ("torch", "timm", "onnxruntime", "numpy"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
