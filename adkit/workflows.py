"""What the commands do: fit and score; `adkit.evaluation` judges. Labels are seen there alone."""

from __future__ import annotations

import math
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adkit import __version__
from adkit.batches import FrameBatches, OnBad
from adkit.calibration import Rule, Threshold, p_values, threshold_from, unit_scores
from adkit.errors import AdkitError, DatasetError, OptionError, PromiseError, RunError
from adkit.interfaces import Dataset, Method, Progress, Scorer, Silent
from adkit.options import options_of, parse_options, split_assignments
from adkit.registry import Registry
from adkit.runs import CalibrationRecord, Predictions, Run, RunRecord, SeenData, new_run_id, save_run
from adkit.sources import UNREADABLE, content_hashes, data_hash
from adkit.types import Prediction, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

HELD_OUT_SHARE = 0.2
"""Of the training data, at least, for methods that cannot calibrate themselves."""
HELD_OUT_MOST = 1 / 3
"""Of the training data: what the usual rule may take to do what it aims at."""
HELD_OUT_MOST_ON_DEMAND = 1 / 2
"""Of the training data: what a promise that the user asked for may take."""
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


@dataclass(frozen=True, slots=True)
class Scored:
    """The result for one sample."""

    sample: Sample
    score: float
    p_value: float
    anomalous: bool
    map: NDArray[np.float32] | None  # (h, w), the method's own resolution


def check_settings(
    method: str, options: Mapping[str, Any], scorer: str | None, device: str, registry: Registry
) -> None:
    """Raises AdkitError for a method, option, scorer or device that is not to be had, before any data is read."""
    method_class = registry.methods.get(method).load()
    parse_options(options_of(method_class), options, method)
    open_scorer(scorer or method_class.default_scorer, registry)
    _pick_device(device)


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
    hashes = content_hashes(samples)
    samples, copies = _without_copies(samples, hashes)
    _require_enough(samples, skipped, method_class, request)
    training, held_out = _split(samples, method_class, request)
    started = time.perf_counter()
    method = method_class(options, seed=request.seed, device=_pick_device(request.device))
    method.fit(_batches(method, training), progress)
    fitted = time.perf_counter()
    calibration, source = _calibrate(method, training, held_out, progress)
    hashes = {sample.id: hashes[sample.id] for sample in samples}
    described = calibration_record(
        calibration,
        scorer,
        request.rule,
        source=source,
        leave_one_out=method.calibrates_itself(),
        data=request.dataset.spec,
        fingerprint=data_hash(hashes),
    )
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
        data_hash=data_hash(hashes),
        skipped=skipped,
        copies=copies,
        calibration=described,
        facts=method.facts(),
        timings_s={"fit": round(fitted - started, 3), "calibrate": round(calibrated - fitted, 3)},
        versions=_versions(),
    )
    seen = SeenData(
        training={sample.id: hashes[sample.id] for sample in training},
        calibration={sample.id: hashes[sample.id] for sample in held_out},
    )
    return save_run(request.runs_root, record, method.state(), calibration, seen)


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
        """Scores samples in their order, a batch at a time; files are decoded ahead.

        A sample that cannot be read raises its FrameError, or goes to `on_bad` and is left out.
        """
        batches = FrameBatches(samples, self.method.frame_size, window=self.method.window, on_bad=on_bad)
        by_id = {sample.id: sample for sample in samples}
        with (progress or Silent()).task("scoring", len(samples)) as advance:
            for batch in batches:
                predictions = to_predictions(batch.ids, batch.clips, self.method.predict(batch))
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
    scores, unit = unit_scores(sample_scores(predictions, scorer), predictions.clips)
    return scores, threshold_from(scores, run.record.calibration.rule, unit)


def calibrating_scores(run: Run, registry: Registry) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The units (images, or clips) whose scores set the run's threshold, and those scores."""
    scores, _ = normal_scores_of(run, open_scorer(run.record.scorer, registry))
    return tuple(dict.fromkeys(run.calibration().clips)), scores


def calibration_record(
    predictions: Predictions,
    scorer: Scorer[Any] | None,
    rule: Rule,
    *,
    source: str,
    leave_one_out: bool,
    data: str,
    fingerprint: str,
) -> CalibrationRecord:
    """The thresholds that the rule takes from these results on normal data; raises PromiseError for too few.

    The pixel threshold is the map value that more than a thousandth of a picture exceeds in that share of normal
    *pictures* only. The unit is the picture here too: its pixels are not exchangeable. A thousandth, and not the
    one highest pixel: a single pixel's noise would else decide how much of every defect is outlined.
    """
    scores, unit = unit_scores(sample_scores(predictions, scorer), predictions.clips)
    pixel_threshold = None
    if predictions.maps is not None:
        pixels = predictions.maps.reshape(len(predictions.maps), -1)
        highest, unit = unit_scores(np.quantile(pixels, 1 - PIXEL_SHARE, axis=1), predictions.clips)
        pixel_threshold = threshold_from(highest, rule, unit)
    return CalibrationRecord(
        created=datetime.now(UTC),
        source=source,
        leave_one_out=leave_one_out,
        data=data,
        data_hash=fingerprint,
        rule=rule,
        threshold=threshold_from(scores, rule, unit),
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


def sample_scores(predictions: Predictions, scorer: Scorer[Any] | None) -> NDArray[np.float64]:
    """(N,) scores of stored predictions: the scorer's of the maps, or the method's own."""
    if scorer is None:
        if predictions.scores is None:
            raise OptionError("the method gives maps only", hint="name a scorer, for example --scorer top1")
        return predictions.scores.astype(np.float64)
    if predictions.maps is None:
        raise OptionError("a scorer needs maps, and this method gives only scores", hint="leave --scorer out")
    # A part at a time: scorers may copy what they are given several times over.
    parts = [scorer(predictions.maps[first : first + _MAPS]) for first in range(0, len(predictions.maps), _MAPS)]
    return np.concatenate(parts) if parts else np.empty(0)


def to_predictions(ids: tuple[str, ...], clips: tuple[str, ...], prediction: Prediction) -> Predictions:
    """A method's answer for the samples of these ids and clips, as it is stored.

    Raises ValueError, which is a plugin's bug, for another number of answers or values that are not finite.
    """
    if len(prediction) != len(ids):
        raise ValueError(f"the method answered for {len(prediction)} of {len(ids)} samples")

    def checked(name: str, tensor: Tensor | None) -> NDArray[np.float32] | None:
        if tensor is None:
            return None
        values = tensor.detach().cpu().numpy()
        finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        if not finite.all():
            raise ValueError(f"the method gave {name} that are not finite for {ids[int(finite.argmin())]}")
        return values

    return Predictions(ids, clips, checked("maps", prediction.maps), checked("scores", prediction.scores))


def join_predictions(parts: Sequence[Predictions]) -> Predictions:
    """Predictions of several parts as one; raises ValueError when only some of them have maps or scores."""

    def join(name: str) -> NDArray[np.float32] | None:
        found = [values for part in parts if (values := getattr(part, name)) is not None]
        if found and len(found) < len(parts):
            raise ValueError(f"the method gave {name} for some batches only")
        return np.concatenate(found) if found else None

    ids = tuple(sample_id for part in parts for sample_id in part.ids)
    clips = tuple(clip for part in parts for clip in part.clips)
    return Predictions(ids, clips, join("maps"), join("scores"))


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


def _without_copies(samples: list[Sample], hashes: Mapping[str, str]) -> tuple[list[Sample], list[str]]:
    """Each still image once, and the paths of the copies that were left out.

    A copy is found in a memory that its original is in, and so its score would be too low to set a threshold by.
    """
    frames = Counter(sample.clip for sample in samples)
    taken: set[str] = set()
    kept: list[Sample] = []
    copies: list[str] = []
    for sample in samples:
        content = hashes[sample.id]
        if frames[sample.clip] == 1 and content in taken:
            copies.append(str(sample.frame))
            continue
        if content != UNREADABLE:
            taken.add(content)
        kept.append(sample)
    return kept, copies


def _require_enough(
    samples: list[Sample], skipped: list[str], method_class: type[Method[Any]], request: FitRequest
) -> None:
    """Raises DatasetError when there are too few clips (a still image is one) to fit and to calibrate."""
    clips = len({sample.clip for sample in samples})
    least = method_class.least_samples
    # A threshold needs a second one even where one would do to learn: of one, leaving it out leaves nothing.
    needed = max(2, least) if method_class.calibrates_itself() else least + 1
    if clips < needed:
        count = f"{len(samples)} training images" + (f" in {clips} clips" if clips != len(samples) else "")
        unreadable = f" besides {len(skipped)} that cannot be read" if skipped else ""
        raise DatasetError(
            f"{request.dataset.spec} has {count}{unreadable}; {request.method} needs at least {needed}",
            hint="add more images of good parts",
        )


def _split(
    samples: list[Sample], method_class: type[Method[Any]], request: FitRequest
) -> tuple[list[Sample], list[Sample]]:
    """What to learn from, and what to hold out because the method cannot calibrate itself.

    Whole clips are held out: frames of one clip are alike. A fifth of them, or as many more as the rule needs.
    Raises PromiseError when the rule needs more than there may be.
    """
    rule = request.rule
    clips = sorted({sample.clip for sample in samples})
    if method_class.calibrates_itself():
        rule.rank(len(clips))  # raises PromiseError now rather than after the fit
        return samples, []
    share = HELD_OUT_MOST if rule.kind == "usual" else HELD_OUT_MOST_ON_DEMAND
    most = max(1, min(int(share * len(clips)), len(clips) - method_class.least_samples))
    if rule.scores_needed > most:
        total = rule.scores_needed + max(
            method_class.least_samples, math.ceil(rule.scores_needed * (1 / HELD_OUT_MOST_ON_DEMAND - 1))
        )
        raise PromiseError(
            f"a promise of {rule} needs {rule.scores_needed} normal samples held out from learning; "
            f"{request.method} can spare {most} of {len(clips)}",
            hint=f"take {total} images of good parts, or ask for {rule.supported(most)}",
        )
    count = min(max(1, round(HELD_OUT_SHARE * len(clips)), rule.scores_wanted), most)
    if rule.scores_wanted > most:
        count = min(max(1, round(HELD_OUT_SHARE * len(clips))), most)  # out of reach: keep more to learn from
    chosen = set(np.random.default_rng(request.seed).choice(clips, size=count, replace=False))
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
        ids, clips = tuple(sample.id for sample in training), tuple(sample.clip for sample in training)
        return to_predictions(ids, clips, prediction), "leave-one-out on the training images"
    total = len(training) + len(held_out)
    source = f"{len(held_out)} of {total} training images, held out from fitting"
    return predict_all(method, held_out, progress, "calibrating"), source


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
            parts.append(to_predictions(batch.ids, batch.clips, method.predict(batch)))
            advance(len(batch))
    return join_predictions(parts)


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
