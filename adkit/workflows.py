"""What the commands do: fit and score; `adkit.evaluation` judges. Labels are seen there alone."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adkit import __version__
from adkit.answers import Answers, to_predictions
from adkit.batches import FrameBatches, OnBad
from adkit.calibration import Rule, Threshold, p_values, threshold_from, unit_scores
from adkit.clips import are_stills
from adkit.errors import AdkitError, OptionError, RunError
from adkit.interfaces import Dataset, Method, Progress, Scorer, Silent
from adkit.options import options_of, parse_options, split_assignments
from adkit.registry import Registry
from adkit.runs import CalibrationRecord, JointShare, Predictions, Run, RunRecord, new_run_id, save_runs
from adkit.smoothing import SMOOTHING_S, Smoother, smoothed
from adkit.training_data import TrainingData, learned_together, require_few, seen_by, training_data
from adkit.types import Prediction, Sample
from adkit.unfinished import BegunCategory, Unfinished, workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

PIXEL_SHARE = 0.001
"""Of a normal picture's area may lie above the pixel threshold without breaking its promise."""


_MAPS = 256


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
    rule: Rule = field(default_factory=Rule)
    skip_bad: bool = False
    few: int | None = None  # learn from so many images (clips) drawn by the seed; all others set the threshold
    every: int | None = None  # of clips, learn from and judge one in so many frames; None: as many as are needed
    smoothing_s: float = SMOOTHING_S  # of the scores of clips' frames
    resumable: bool = True  # what a training keeps lasts when it is broken off


@dataclass(frozen=True, slots=True)
class Scored:
    """The result for one sample."""

    sample: Sample
    score: float
    p_value: float
    anomalous: bool
    map: NDArray[np.float32] | None  # (h, w), the method's own resolution
    reconstruction: NDArray[np.uint8] | None = None  # RGB (H, W, 3), likewise


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
    _pick_device(device)


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

    device = _pick_device(request.device)
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
            piece_s=one.piece_s,
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


@dataclass(frozen=True)
class Judge:
    """A run made ready to score: its method, its scorer, and what normal scores look like."""

    run: Run
    method: Method[Any]
    scorer: Scorer[Any] | None
    normal_scores: NDArray[np.float64]  # of units: images, or clips
    threshold: Threshold

    def score(
        self, samples: Sequence[Sample], *, on_bad: OnBad | None = None, progress: Progress | None = None
    ) -> Iterator[Scored]:
        """Scores samples in their order, a batch at a time; files are decoded ahead, scores of clips are smoothed.

        A sample that cannot be read raises its FrameError, or goes to `on_bad` and is left out.
        """
        batches = FrameBatches(samples, self.method.frame_size, window=self.method.window, on_bad=on_bad)
        by_id = {sample.id: sample for sample in samples}
        stream, smoother = self.method.stream(), Smoother(self.run.record.smoothing_s)
        with (progress or Silent()).task("scoring", len(samples)) as advance:
            for batch in batches:
                answer = stream(batch)
                predictions = to_predictions(batch.ids, batch.clips, answer)
                rebuilt = None if answer.images is None else pixels_of(answer.images)
                raw = zip(batch.ids, batch.clips, raw_scores(predictions, self.scorer), strict=True)
                scores = np.array([smoother(clip, by_id[name].time_s, float(score)) for name, clip, score in raw])
                chances = p_values(scores, self.normal_scores)
                for row, sample_id in enumerate(batch.ids):
                    yield Scored(
                        by_id[sample_id],
                        float(scores[row]),
                        float(chances[row]),
                        bool(scores[row] > self.threshold.value),
                        None if predictions.maps is None else predictions.maps[row],
                        None if rebuilt is None else rebuilt[row],
                    )
                advance(len(batch))


def open_judge(run: Run, registry: Registry, *, scorer: str | None = None, device: str = "auto") -> Judge:
    """Loads a run's method. Another `scorer` than the run's gets a threshold of its own from the stored maps."""
    record = run.record
    method_class = registry.methods.get(record.method).load()
    model = options_of(method_class)
    if set(record.options) != set(model.model_fields):
        # A default that was not there at fitting would change the scores, and the threshold would not follow.
        differing = ", ".join(sorted(set(record.options) ^ set(model.model_fields)))
        raise RunError(
            f"{run.folder} was fitted with other options of {record.method} than it has now: {differing}",
            hint=f"fit again, or install {record.origin}",
        )
    options = parse_options(model, record.options, record.method)
    method = method_class(options, seed=record.seed, device=_pick_device(device))
    method.load_state(run.state())
    chosen = open_scorer(scorer or record.scorer, registry)
    normal_scores, threshold = normal_scores_of(run, chosen)
    return Judge(run, method, chosen, normal_scores, threshold)


def normal_scores_of(run: Run, scorer: Scorer[Any] | None) -> tuple[NDArray[np.float64], Threshold]:
    """The run's normal scores as this scorer gives them, one for each unit, and the threshold its rule takes."""
    predictions = run.calibration()
    scores, unit = unit_scores(sample_scores(predictions, scorer, run.record.smoothing_s), predictions.clips)
    return scores, threshold_from(scores, run.record.calibration.rule, unit, run.record.threshold.unit_s)


def calibrating_scores(run: Run, registry: Registry) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The units (images, or clips) whose scores set the run's threshold, and those scores."""
    scores, _ = normal_scores_of(run, open_scorer(run.record.scorer, registry))
    return tuple(dict.fromkeys(run.calibration().clips)), scores


def calibration_record(
    predictions: Predictions,
    scorer: Scorer[Any] | None,
    rule: Rule,
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


def open_scorer(spec: str | None, registry: Registry) -> Scorer[Any] | None:
    """A scorer from "top1" or "quantile:q=0.9"; None for None (the method's own scores)."""
    if spec is None:
        return None
    name, _, settings = spec.partition(":")
    scorer_class = registry.scorers.get(name).load()
    parts = (part for part in settings.split(",") if part)
    values = split_assignments(parts, example="--scorer quantile:q=0.99")
    return scorer_class(parse_options(options_of(scorer_class), values, f"scorer {name}"))


def sample_scores(predictions: Predictions, scorer: Scorer[Any] | None, smoothing_s: float) -> NDArray[np.float64]:
    """(N,) scores of stored predictions: the scorer's of the maps, or the method's own; those of clips smoothed."""
    return smoothed(raw_scores(predictions, scorer), predictions.clips, predictions.times_s, smoothing_s)


def raw_scores(predictions: Predictions, scorer: Scorer[Any] | None) -> NDArray[np.float64]:
    """(N,) scores, each of its frame alone."""
    if scorer is None:
        if predictions.scores is None:
            raise OptionError("the method gives maps only", hint="name a scorer, for example --scorer top1")
        return predictions.scores.astype(np.float64)
    if predictions.maps is None:
        raise OptionError("a scorer needs maps, and this method gives only scores", hint="leave --scorer out")
    # A part at a time: scorers may copy what they are given several times over.
    parts = [scorer(predictions.maps[first : first + _MAPS]) for first in range(0, len(predictions.maps), _MAPS)]
    return np.concatenate(parts) if parts else np.empty(0)


def pixels_of(images: Tensor) -> NDArray[np.uint8]:
    """float32 (N, 3, H, W), RGB in 0..1 -> (N, H, W, 3), 0..255."""
    return np.asarray((images.detach().cpu().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy())


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
        parts.append(to_predictions(ids, clips, Prediction(*answers), _times_s(one.learned)))
        first = own.stop
    return parts


def predict_all(
    method: Method[Any],
    samples: Sequence[Sample],
    progress: Progress,
    label: str,
    on_bad: Callable[[Sample, AdkitError], None] | None = None,
) -> Predictions:
    """The method's answers for all samples that can be read, in their order."""
    answers, stream = Answers(len(samples)), method.stream()
    times_s = None if are_stills(samples) else {sample.id: sample.time_s for sample in samples}
    with progress.task(label, len(samples)) as advance:
        for batch in FrameBatches(samples, method.frame_size, window=method.window, on_bad=on_bad):
            times = None if times_s is None else np.array([times_s[sample_id] for sample_id in batch.ids])
            answers.add(to_predictions(batch.ids, batch.clips, stream(batch), times))
            advance(len(batch))
    return answers.together()


def _times_s(samples: Sequence[Sample]) -> NDArray[np.float64] | None:
    return None if are_stills(samples) else np.array([sample.time_s for sample in samples])


def _pick_device(name: str) -> str:
    from adkit.nn.devices import pick_device  # loads torch

    return pick_device(name)


def _versions() -> dict[str, str]:
    found = {"adkit": __version__, "python": platform.python_version()}
    for name in ("torch", "timm", "onnxruntime", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
