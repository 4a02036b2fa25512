"""What the commands and the web page do: fit, score, evaluate. Labels are seen by `evaluate` alone."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adkit import __version__
from adkit.batches import FrameBatches, OnBad
from adkit.calibration import Threshold, p_values, threshold_from
from adkit.errors import AdkitError, DatasetError, OptionError
from adkit.interfaces import Dataset, Method, Progress, Scorer, Silent
from adkit.options import options_of, parse_options, split_assignments
from adkit.registry import Registry
from adkit.runs import Predictions, Run, RunRecord, new_run_id, save_run
from adkit.sources import data_hash
from adkit.types import Prediction, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

HELD_OUT_SHARE = 0.2
"""Of the training data, for methods that cannot calibrate themselves."""
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
    false_alarm_rate: float = 0.01
    skip_bad: bool = False


@dataclass(frozen=True, slots=True)
class Scored:
    """The result for one sample."""

    sample: Sample
    score: float
    p_value: float
    anomalous: bool
    map: NDArray[np.float32] | None  # (h, w), the method's own resolution


def fit(request: FitRequest, registry: Registry, progress: Progress | None = None) -> Run:
    """Learns from the dataset's training split and writes a run, calibrated on normal data.

    Raises AdkitError for whatever the user can mend; then nothing was written.
    """
    progress = progress or Silent()
    entry = registry.methods.get(request.method)
    method_class = entry.load()
    options = parse_options(options_of(method_class), request.options, request.method)
    scorer = open_scorer(request.scorer or method_class.default_scorer, registry)

    samples, skipped = _training_samples(request, progress)
    training, held_out = samples, list[Sample]()
    if not method_class.calibrates_itself():
        training, held_out = _hold_out(samples, request.seed)
    if len(training) < method_class.least_samples:
        raise DatasetError(
            f"{request.dataset.spec} has {len(samples)} training images; "
            f"{request.method} needs at least {method_class.least_samples + len(held_out)}",
            hint="add more images of good parts",
        )

    started = time.perf_counter()
    method = method_class(options, seed=request.seed, device=_pick_device(request.device))
    method.fit(_batches(method, training), progress)
    fitted = time.perf_counter()
    calibration, source = _calibrate(method, training, held_out, progress)
    normal_scores = sample_scores(calibration, scorer)
    calibrated = time.perf_counter()

    record = RunRecord(
        id=new_run_id(request.runs_root, request.method, Path(request.dataset.spec.partition(":")[2]).name),
        created=datetime.now(UTC),
        method=request.method,
        origin=registry.methods.origin(request.method).origin,
        options=options.model_dump(mode="json"),
        scorer=request.scorer or method_class.default_scorer,
        dataset=request.dataset.spec,
        root=str(request.dataset.root) if request.dataset.root else None,
        seed=request.seed,
        device=method.device,
        frame_size=method.frame_size,
        window=method.window,
        train_count=len(training),
        calibration_source=source,
        data_hash=data_hash(samples),
        skipped=skipped,
        requested_false_alarm_rate=request.false_alarm_rate,
        threshold=threshold_from(normal_scores, request.false_alarm_rate),
        pixel_threshold=_pixel_threshold(calibration, request.false_alarm_rate),
        facts=method.facts(),
        timings_s={"fit": round(fitted - started, 3), "calibrate": round(calibrated - fitted, 3)},
        versions=_versions(),
    )
    return save_run(request.runs_root, record, method.state(), calibration)


@dataclass(frozen=True)
class Judge:
    """A run made ready to score: its method, its scorer, and what normal scores look like."""

    run: Run
    method: Method[Any]
    scorer: Scorer[Any] | None
    normal_scores: NDArray[np.float64]  # sorted
    threshold: Threshold

    def score(
        self, samples: Sequence[Sample], *, on_bad: OnBad | None = None, progress: Progress | None = None
    ) -> Iterator[Scored]:
        """Scores samples in their order, one batch ahead of what is taken.

        A sample that cannot be read raises its FrameError, or goes to `on_bad` and is left out.
        """
        batches = FrameBatches(samples, self.method.frame_size, window=self.method.window, on_bad=on_bad)
        by_id = {sample.id: sample for sample in samples}
        with (progress or Silent()).task("scoring", len(samples)) as advance:
            for batch in batches:
                predictions = to_predictions([(batch.ids, self.method.predict(batch))])
                scores = sample_scores(predictions, self.scorer)
                chances = p_values(scores, self.normal_scores)
                for row, sample_id in enumerate(batch.ids):
                    yield Scored(
                        by_id[sample_id],
                        float(scores[row]),
                        float(chances[row]),
                        bool(scores[row] > self.threshold.value),
                        None if predictions.maps is None else predictions.maps[row],
                    )
                advance(len(batch))


def open_judge(run: Run, registry: Registry, *, scorer: str | None = None, device: str = "auto") -> Judge:
    """Loads a run's method. Another `scorer` than the run's gets a threshold of its own from the stored maps."""
    record = run.record
    method_class = registry.methods.get(record.method).load()
    options = parse_options(options_of(method_class), record.options, record.method)
    method = method_class(options, seed=record.seed, device=_pick_device(device))
    method.load_state(run.state())
    chosen = open_scorer(scorer or record.scorer, registry)
    normal_scores = np.sort(sample_scores(run.calibration(), chosen))
    return Judge(run, method, chosen, normal_scores, run_threshold(run, normal_scores))


def run_threshold(run: Run, normal_scores: NDArray[np.float64]) -> Threshold:
    """The threshold at the run's false-alarm rate for these normal scores."""
    return threshold_from(normal_scores, run.record.requested_false_alarm_rate)


def open_scorer(spec: str | None, registry: Registry) -> Scorer[Any] | None:
    """A scorer from "top1" or "quantile:q=0.9"; None for None (the method's own scores)."""
    if spec is None:
        return None
    name, _, settings = spec.partition(":")
    scorer_class = registry.scorers.get(name).load()
    values = split_assignments(part for part in settings.split(",") if part)
    return scorer_class(parse_options(options_of(scorer_class), values, f"scorer {name}"))


def sample_scores(predictions: Predictions, scorer: Scorer[Any] | None) -> NDArray[np.float64]:
    """(N,) scores of stored predictions: the scorer's of the maps, or the method's own."""
    if scorer is None:
        if predictions.scores is None:
            raise OptionError("the method gives maps only", hint="name a scorer, for example --scorer top1")
        return predictions.scores.astype(np.float64)
    if predictions.maps is None:
        raise OptionError("a scorer needs maps, and this method gives only scores", hint="leave --scorer out")
    return scorer(predictions.maps)


def to_predictions(parts: Sequence[tuple[tuple[str, ...], Prediction]]) -> Predictions:
    """Joins a method's answers; raises ValueError, a plugin's bug, for values that are not finite."""
    ids = tuple(sample_id for names, _ in parts for sample_id in names)

    def join(name: str) -> NDArray[np.float32] | None:
        tensors = [getattr(prediction, name) for _, prediction in parts]
        if not tensors or any(tensor is None for tensor in tensors):
            return None
        joined = np.concatenate([tensor.detach().cpu().numpy() for tensor in tensors])
        finite = np.isfinite(joined.reshape(len(joined), -1)).all(axis=1)
        if not finite.all():
            raise ValueError(f"the method gave {name} that are not finite for {ids[int(finite.argmin())]}")
        return joined

    predictions = Predictions(ids, join("maps"), join("scores"))
    for _, prediction in parts:
        expected = len(ids) if len(parts) == 1 else None
        if expected is not None and len(prediction) != expected:
            raise ValueError(f"the method answered for {len(prediction)} samples of {expected}")
    return predictions


def _training_samples(request: FitRequest, progress: Progress) -> tuple[list[Sample], list[str]]:
    """The training samples, and the paths of those left out because they cannot be read."""
    samples = request.dataset.samples("train")
    if not samples:
        raise DatasetError(
            f"{request.dataset.spec} has no training image",
            hint="adkit inspect shows how the folder was read",
        )
    anomalous = [sample for sample in samples if sample.anomalous]
    if anomalous:
        raise DatasetError(
            f"{len(anomalous)} of {len(samples)} training images are marked anomalous, the first: {anomalous[0].frame}",
            hint="learning takes good parts only: move the others to the test split",
        )
    if not request.skip_bad:
        return samples, []
    bad: list[str] = []

    def note(sample: Sample, _: AdkitError) -> None:
        bad.append(str(sample.frame))

    readable: list[Sample] = []
    by_id = {sample.id: sample for sample in samples}
    with progress.task("checking files", len(samples)) as advance:
        # Tiny frames: only whether each can be decoded matters here.
        for batch in FrameBatches(samples, (1, 1), on_bad=note):
            readable += [by_id[sample_id] for sample_id in batch.ids]
            advance(len(batch))
    return readable, bad


def _hold_out(samples: list[Sample], seed: int) -> tuple[list[Sample], list[Sample]]:
    """Whole clips, a fifth of all and at least one, apart from the rest: frames of one clip are alike."""
    clips = sorted({sample.clip for sample in samples})
    count = max(1, round(HELD_OUT_SHARE * len(clips)))
    chosen = set(np.random.default_rng(seed).choice(clips, size=min(count, len(clips)), replace=False))
    training = [sample for sample in samples if sample.clip not in chosen]
    return training, [sample for sample in samples if sample.clip in chosen]


def _calibrate(
    method: Method[Any], training: Sequence[Sample], held_out: Sequence[Sample], progress: Progress
) -> tuple[Predictions, str]:
    """Results on normal data that the method did not learn from, and how they were had."""
    if method.calibrates_itself():
        prediction = method.calibration()
        if prediction is None or len(prediction) != len(training):
            found = "None" if prediction is None else f"{len(prediction)} results"
            raise ValueError(f"{type(method).__name__}.calibration gave {found} for {len(training)} samples")
        ids = tuple(sample.id for sample in training)
        return to_predictions([(ids, prediction)]), "leave-one-out on the training images"
    return predict_all(method, held_out, progress, "calibrating"), "training images held out from fitting"


def predict_all(
    method: Method[Any],
    samples: Sequence[Sample],
    progress: Progress,
    label: str,
    on_bad: Callable[[Sample, AdkitError], None] | None = None,
) -> Predictions:
    """The method's answers for all samples that can be read, in their order."""
    parts = []
    with progress.task(label, len(samples)) as advance:
        for batch in FrameBatches(samples, method.frame_size, window=method.window, on_bad=on_bad):
            parts.append((batch.ids, method.predict(batch)))
            advance(len(batch))
    return to_predictions(parts)


def _pixel_threshold(calibration: Predictions, false_alarm_rate: float) -> Threshold | None:
    """The map value that more than a thousandth of a picture exceeds in that share of normal *pictures* only.

    The unit is the picture here too: its pixels are not exchangeable. A thousandth, and not the one highest
    pixel: a single pixel's noise would else decide how much of every defect is outlined.
    """
    if calibration.maps is None:
        return None
    pixels = calibration.maps.reshape(len(calibration.maps), -1)
    return threshold_from(np.quantile(pixels, 1 - PIXEL_SHARE, axis=1), false_alarm_rate)


def _batches(method: Method[Any], samples: Sequence[Sample]) -> FrameBatches:
    return FrameBatches(samples, method.frame_size, window=method.window)


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
