"""Judging a run on its dataset's test split: the only place where labels meet scores.

The method's answers are stored in the run (`evaluation/predictions.safetensors`), so that another scorer or
metric is applied to them without the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adkit.calibration import Threshold, counted, p_values
from adkit.clips import thinned
from adkit.errors import AdkitError, DatasetError, FrameError, PluginError, RunError, StorageError
from adkit.frames import frame_shape, read_mask
from adkit.interfaces import Evidence, MetricValue, Progress, Silent
from adkit.outcomes import Outcomes, outcomes, precision_recall_curve, roc_curve
from adkit.registry import Registry
from adkit.runs import EVALUATION, Predictions, Run
from adkit.sources import content_hashes, data_hash, open_datasets
from adkit.storage import checksum, whole_folder
from adkit.types import Sample
from adkit.workflows import Judge, normal_scores_of, open_judge, open_scorer, predict_all, sample_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

PREDICTIONS = "predictions.safetensors"
INDEX = "evaluation.json"
MOST_MISTAKES = 6
_MOST_KEPT_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class KindRow:
    """One line of the table by defect kind."""

    kind: str
    count: int
    mean_score: float
    called_anomalous: int  # at the run's threshold
    quantiles: tuple[float, float, float, float, float]  # of the scores: lowest, 25 %, median, 75 %, highest


@dataclass(frozen=True)
class Evaluation:
    """A run judged on its test split. Arrays are in the order of `samples`."""

    run: Run
    scorer: str | None
    threshold: Threshold
    normal_scores: NDArray[np.float64]  # out-of-sample scores of normal units, which set the threshold
    samples: list[Sample]
    scores: NDArray[np.float64]
    p_values: NDArray[np.float64]
    evidence: Evidence  # what the metrics judged
    metrics: dict[str, MetricValue]
    kinds: list[KindRow]
    test_hash: str  # of the test split's ids and their files' contents
    seen: list[str] = field(default_factory=list)  # test images that the run learned from or was calibrated with
    unreadable: list[str] = field(default_factory=list)
    not_stored: str | None = None  # why the result is not in the run's folder, if it is not

    @property
    def flattery(self) -> str | None:
        """What the result is worth less for, in a sentence; None when the run has seen none of the test images."""
        if not self.seen:
            return None
        are, flatter = ("is", "flatters") if len(self.seen) == 1 else ("are", "flatter")
        return (
            f"{counted(len(self.seen), 'test image')} {are} among those that the run learned from or was calibrated "
            f"with, and {flatter} it"
        )

    @property
    def maps(self) -> NDArray[np.float32] | None:
        """(N, h, w) anomaly maps at the method's own resolution."""
        return self.evidence.maps

    @property
    def called(self) -> NDArray[np.bool_]:
        """Which samples are called anomalous at the run's threshold."""
        return self.scores > self.threshold.value

    @property
    def anomalous(self) -> NDArray[np.bool_]:
        """Which samples are anomalous in truth."""
        return self.evidence.anomalous

    @property
    def outcomes(self) -> Outcomes:
        """What the run's threshold does to the test split."""
        return outcomes(self.scores, self.anomalous, self.threshold.value)

    def mistakes(self) -> list[int]:
        """Positions of the samples that are judged wrong, the worst first."""
        wrong = np.flatnonzero(self.called != self.anomalous)
        distance = np.abs(self.scores - self.threshold.value)
        return [int(position) for position in wrong[np.argsort(-distance[wrong], kind="stable")]]

    def as_json(self) -> dict[str, Any]:
        """Everything but maps and samples, for `--format json` and the run folder."""
        record, found = self.run.record, self.outcomes
        roc, precision_recall = (curve(self.scores, self.anomalous) for curve in (roc_curve, precision_recall_curve))
        return {
            "run": record.id,
            "method": record.method,
            "dataset": record.dataset,
            "scorer": self.scorer,
            "threshold": {**asdict(self.threshold), "promise": self.threshold.promise()},
            "samples": len(self.samples),
            "unreadable": self.unreadable,
            "seen": self.seen,
            "metrics": {
                name: {
                    "value": metric.value,
                    "why_undefined": metric.why_undefined,
                    "details": dict(metric.details),
                }
                for name, metric in self.metrics.items()
            },
            "kinds": [asdict(row) for row in self.kinds],
            "outcomes": {
                "false_alarms": asdict(found.false_alarms),
                "misses": asdict(found.misses),
                "mean_normal": found.mean_normal,
                "mean_anomalous": found.mean_anomalous,
                "separation_ratio": found.separation_ratio,
                "oracle_passing": [asdict(row) for row in found.oracle_passing],
            },
            "worst_mistakes": [self.samples[position].id for position in self.mistakes()[:MOST_MISTAKES]],
            "curves": {
                "roc": asdict(roc) if roc else None,
                "precision_recall": asdict(precision_recall) if precision_recall else None,
            },
        }


def evaluate(
    run: Run,
    registry: Registry,
    *,
    scorer: str | None = None,
    root: Path | None = None,
    device: str = "auto",
    skip_bad: bool = False,
    progress: Progress | None = None,
    judge: Judge | None = None,
) -> Evaluation:
    """Judges the run on the test split of its dataset and stores the result in the run's folder, if it can be written.

    Answers of an earlier evaluation are used again when the test split is the same. `root` replaces the
    data's root that the run remembers; `judge` is the run, if it was opened before. Raises AdkitError for what the
    user can mend.
    """
    progress = progress or Silent()
    origin = registry.methods.origin(run.record.method).origin  # without the method there is no judging
    unreadable: list[str] = []
    samples = _with_sound_masks(_test_samples(run, registry, root), skip_bad, unreadable, progress)
    hashes = content_hashes(samples)
    test_hash = data_hash(hashes)
    predictions = _stored(run, origin, test_hash)
    if predictions is None:
        judge = judge or open_judge(run, registry, device=device)
        note = _Collector(unreadable) if skip_bad else None
        predictions = predict_all(judge.method, samples, progress, "scoring", note)
    if not predictions.ids:
        raise FrameError(f"of {counted(len(samples), 'test image')} none can be read", hint="adkit inspect names them")
    by_id = {sample.id: sample for sample in samples}
    kept = [by_id[sample_id] for sample_id in predictions.ids]

    spec = scorer or run.record.scorer
    chosen = open_scorer(spec, registry)
    normal_scores, threshold = normal_scores_of(run, chosen)
    scores = sample_scores(predictions, chosen, run.record.smoothing_s)
    evidence = _evidence(kept, scores, threshold, predictions.maps, run)
    evaluation = Evaluation(
        run,
        spec,
        threshold,
        normal_scores,
        kept,
        scores,
        p_values(scores, normal_scores),
        evidence,
        _judge(evidence, registry, progress),
        _by_kind(kept, scores, threshold),
        test_hash,
        _seen(run, kept, hashes),
        unreadable,
    )
    try:
        _save(evaluation, origin, predictions)
    except StorageError as error:
        return replace(evaluation, not_stored=error.message)
    return evaluation


@dataclass(frozen=True)
class _Collector:
    paths: list[str]

    def __call__(self, sample: Sample, _: AdkitError) -> None:
        self.paths.append(str(sample.frame))


def _seen(run: Run, samples: Sequence[Sample], hashes: Mapping[str, str]) -> list[str]:
    """The files among the samples that the run has seen: judging them again flatters it."""
    seen = run.seen()
    known = {*seen.training.values(), *seen.calibration.values()}
    return [str(sample.frame) for sample in samples if hashes[sample.id] in known]


def _test_samples(run: Run, registry: Registry, root: Path | None) -> list[Sample]:
    record = run.record
    remembered = Path(record.root) if record.root else None
    (dataset,) = open_datasets(record.dataset, root or remembered, registry)
    known = [sample for sample in dataset.samples("test") if sample.anomalous is not None]
    samples = thinned(known, record.every)
    if not samples:
        raise DatasetError(
            f"{record.dataset} has no test images of known truth", hint="score images with: adkit score FILES"
        )
    return samples


def _stored(run: Run, origin: str, test_hash: str) -> Predictions | None:
    """The answers of an earlier evaluation, if they are whole, of this test split and this version of the method."""
    folder = run.folder / EVALUATION
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if (index["data_hash"], index["origin"]) != (test_hash, origin) or index["unreadable"]:
            return None
        if index["predictions_sha256"] != checksum((folder / PREDICTIONS).read_bytes()):
            return None
        return Predictions.from_file(folder / PREDICTIONS)
    except (OSError, ValueError, KeyError, TypeError, RunError):
        return None  # absent or damaged: it can be made again


def _save(evaluation: Evaluation, origin: str, predictions: Predictions) -> None:
    content = predictions.to_bytes()
    index = {
        **evaluation.as_json(),
        "origin": origin,
        "data_hash": evaluation.test_hash,
        "predictions_sha256": checksum(content),
    }
    with whole_folder(evaluation.run.folder / EVALUATION) as temporary:
        (temporary / PREDICTIONS).write_bytes(content)
        (temporary / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _evidence(
    samples: Sequence[Sample],
    scores: NDArray[np.float64],
    threshold: Threshold,
    maps: NDArray[np.float32] | None,
    run: Run,
) -> Evidence:
    pixel_threshold = run.record.pixel_threshold
    return Evidence(
        scores,
        np.array([bool(sample.anomalous) for sample in samples]),
        tuple(sample.kind or ("anomalous" if sample.anomalous else "good") for sample in samples),
        threshold.value,
        pixel_threshold.value if pixel_threshold else None,
        maps=maps,
        has_masks=any(sample.mask for sample in samples if sample.anomalous),
        pixels=_Pixels(samples, maps),
    )


def _judge(evidence: Evidence, registry: Registry, progress: Progress) -> dict[str, MetricValue]:
    """The value of every installed metric."""
    names = registry.metrics.names()
    values = {}
    with progress.task("judging", len(names)) as advance:
        for name in names:
            try:
                values[name] = registry.metrics.get(name).load()()(evidence)
            except PluginError as error:  # two plugins claim this name: the other metrics are not harmed
                values[name] = MetricValue(None, error.message)
            advance(1)
    return values


class _Pixels:
    """Maps at the masks' resolution, each beside its mask; walked once for each metric that looks at pixels.

    Masks are decoded once and kept as bits, as long as they take little memory.
    """

    def __init__(self, samples: Sequence[Sample], maps: NDArray[np.float32] | None) -> None:
        self._samples = samples
        self._maps = maps
        self._kept: dict[int, tuple[tuple[int, int], NDArray[np.uint8] | None]] = {}
        self._kept_bytes = 0

    def __call__(self) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]:
        for index, sample in enumerate(self._samples):
            if self._maps is None or (sample.anomalous and sample.mask is None):
                continue
            mask = self._mask(index, sample)
            yield index, enlarge(self._maps[index], (mask.shape[0], mask.shape[1])), mask

    def _mask(self, index: int, sample: Sample) -> NDArray[np.bool_]:
        if index in self._kept:
            shape, bits = self._kept[index]
            if bits is None:
                return np.zeros(shape, bool)
            return np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).view(bool)
        shape = frame_shape(sample.frame)
        marked = sample.mask is not None and bool(sample.anomalous)
        mask = read_mask(sample.mask, shape) if sample.mask and marked else np.zeros(shape, bool)
        bits = np.packbits(mask) if marked else None
        if self._kept_bytes + (0 if bits is None else bits.nbytes) <= _MOST_KEPT_BYTES:
            self._kept[index] = (shape, bits)
            self._kept_bytes += 0 if bits is None else bits.nbytes
        return mask


def enlarge(anomaly_map: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """A map (h, w) at the picture's resolution (H, W), bilinearly."""
    import cv2

    return np.asarray(cv2.resize(anomaly_map, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def _with_sound_masks(
    samples: Sequence[Sample], skip_bad: bool, unreadable: list[str], progress: Progress
) -> list[Sample]:
    """The samples, after every mask was read once: before anything is scored, as scoring takes long.

    Raises FrameError for a mask that does not fit its image; with `skip_bad` the sample goes on without it, and
    the mask is added to `unreadable`. A picture that cannot be read itself is left to the scoring.
    """
    sound = []
    with progress.task("checking masks", len(samples)) as advance:
        for sample in samples:
            try:
                shape = frame_shape(sample.frame) if sample.mask else None
            except FrameError:
                shape = None
            try:
                if sample.mask and shape:
                    read_mask(sample.mask, shape)
            except FrameError:
                if not skip_bad:
                    raise
                unreadable.append(str(sample.mask))
                sample = replace(sample, mask=None)
            sound.append(sample)
            advance(1)
    return sound


def _by_kind(samples: Sequence[Sample], scores: NDArray[np.float64], threshold: Threshold) -> list[KindRow]:
    kinds = np.array([sample.kind or ("anomalous" if sample.anomalous else "good") for sample in samples])
    normal_first = sorted(set(kinds), key=lambda kind: (kind != "good", kind))
    return [
        KindRow(
            str(kind),
            int((kinds == kind).sum()),
            float(scores[kinds == kind].mean()),
            int((scores[kinds == kind] > threshold.value).sum()),
            tuple(np.quantile(scores[kinds == kind], (0, 0.25, 0.5, 0.75, 1)).tolist()),
        )
        for kind in normal_first
    ]
