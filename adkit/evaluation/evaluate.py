"""Judging a run on its dataset's test split: the only place where labels meet scores.

The method's answers are stored in the run (`evaluation/predictions.safetensors`), so that another scorer or
metric is applied to them without the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adkit.data.clips import are_stills, thinned
from adkit.data.datasets import open_datasets
from adkit.data.fingerprints import content_hashes, data_hash
from adkit.data.masks import MapsBesideMasks, with_sound_masks
from adkit.errors import AdkitError, DatasetError, FrameError, PluginError, RunError, StorageError
from adkit.evaluation.clip_results import ClipResults, alarms_at, clip_results
from adkit.files.atomic import checksum, whole_folder
from adkit.interfaces import LabelledResults, MetricValue, Progress, Silent
from adkit.registry import Registry
from adkit.runs.predictions import Predictions
from adkit.runs.record import EVALUATION
from adkit.runs.store import Run
from adkit.stats.bootstrap import RESAMPLES, interval_of, metrics_with_value, resampled, resampling_seed
from adkit.stats.calibration import Threshold, p_values
from adkit.stats.formatting import counted
from adkit.stats.rates import DecisionRates, decision_rates, precision_recall_curve, roc_curve
from adkit.stats.significance import Interval
from adkit.types import Sample
from adkit.workflows.score import FittedModel, normal_scores_of, open_model, open_scorer, predict_all, sample_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

PREDICTIONS = "predictions.safetensors"
INDEX = "evaluation.json"
MOST_MISTAKES = 6


@dataclass(frozen=True, slots=True)
class KindRow:
    """One line of the table by defect kind; of clips, what is counted is frames."""

    kind: str
    count: int
    mean_score: float
    called_anomalous: int  # at the run's threshold
    quantiles: tuple[float, float, float, float, float]  # of the scores: lowest, 25 %, median, 75 %, highest
    clips: int | None = None  # that hold such frames; None: they are still images
    events: int | None = None  # of this kind in truth; None: still images, or normal frames
    events_caught: int | None = None


@dataclass(frozen=True)
class Evaluation:
    """A run judged on its test split. Arrays are in the order of `samples`."""

    run: Run
    scorer: str | None
    threshold: Threshold
    normal_scores: NDArray[np.float64]  # out-of-sample scores of normal units, which set the threshold
    normal_frame_scores: NDArray[np.float64]  # the same of single frames; of images, the same
    samples: list[Sample]
    scores: NDArray[np.float64]
    p_values: NDArray[np.float64]
    results: LabelledResults  # what the metrics judged
    metrics: dict[str, MetricValue]
    apt: tuple[str, ...]  # the metrics for images where there are images, for clips where there are clips
    kinds: list[KindRow]
    test_hash: str  # of the test split's ids and their files' contents
    clips: ClipResults | None = None  # None: the test split has still images
    intervals: Mapping[str, Interval] = field(default_factory=dict)  # 95 %, of metrics of clips, by whole clips
    seen: list[str] = field(default_factory=list)  # test images that the run learned from or was calibrated with
    unreadable: list[str] = field(default_factory=list)
    not_stored: str | None = None  # why the result is not in the run's folder, if it is not

    @property
    def flattery(self) -> str | None:
        """What the result is worth less for, in a sentence; None when the run has seen none of the test images."""
        if not self.seen:
            return None
        are, flatter = ("is", "flatters") if len(self.seen) == 1 else ("are", "flatter")
        images = counted(len(self.seen), f"test {self.thing}")
        return f"{images} {are} among those that the run learned from or was calibrated with, and {flatter} it"

    @property
    def thing(self) -> str:
        """What a sample is: an image, or a frame."""
        return "frame" if self.clips else "image"

    @property
    def maps(self) -> NDArray[np.float32] | None:
        """(N, h, w) anomaly maps at the method's own resolution."""
        return self.results.maps

    @property
    def called(self) -> NDArray[np.bool_]:
        """Which samples are called anomalous at the run's threshold."""
        return self.scores > self.threshold.value

    @property
    def anomalous(self) -> NDArray[np.bool_]:
        """Which samples are anomalous in truth."""
        return self.results.anomalous

    @property
    def rates(self) -> DecisionRates:
        """What the run's threshold does to the test split: to images, or to normal clips and to events."""
        if self.clips:
            return self.clips.rates(self.scores, self.threshold.value)
        return decision_rates(self.scores, self.anomalous, self.threshold.value)

    def mistakes(self) -> list[int]:
        """Positions of the samples that are judged wrong, the worst first.

        Of clips, a frame stands for each event that is missed and for each that is none: the one of the highest score.
        """
        if self.clips:
            wrong = np.array([part.peak for part in [*self.clips.missed, *self.clips.false]], np.int64)
        else:
            wrong = np.flatnonzero(self.called != self.anomalous)
        distance = np.abs(self.scores - self.threshold.value)
        return [int(position) for position in wrong[np.argsort(-distance[wrong], kind="stable")]]

    def telling(self) -> list[int]:
        """Positions of the samples of which some are worth seeing: all images; the peaks of what is in clips."""
        if not self.clips:
            return list(range(len(self.samples)))
        normal = [part.peak for part in self.clips.normal]
        if not normal and not self.anomalous.all():  # every clip has an event: then of all normal frames
            normal = [int(np.where(self.anomalous, -np.inf, self.scores).argmax())]
        return [*normal, *(event.peak for event in self.clips.events)]

    def alarms_at(self, threshold: float) -> NDArray[np.bool_]:
        """(N,) of clips, which frames belong to an event that this threshold would find."""
        results = self.results
        return alarms_at(threshold, self.normal_frame_scores, results.clips, results.times_s, self.scores)

    def as_json(self) -> dict[str, Any]:
        """Everything but maps and samples, for `--format json` and the run folder."""
        record, found = self.run.record, self.rates
        roc, precision_recall = (curve(self.scores, self.anomalous) for curve in (roc_curve, precision_recall_curve))
        return {
            "run": record.id,
            "method": record.method,
            "dataset": record.dataset,
            "scorer": self.scorer,
            "threshold": {
                **asdict(self.threshold),
                "seconds_to_a_false_alarm": self.threshold.alarm_every_s,
                "promise": self.threshold.promise(),
            },
            "samples": len(self.samples),
            "unreadable": self.unreadable,
            "seen": self.seen,
            "metrics": {
                name: {
                    "value": metric.value,
                    "why_undefined": metric.why_undefined,
                    "interval": asdict(self.intervals[name]) if name in self.intervals else None,
                    "details": dict(metric.details),
                }
                for name, metric in self.metrics.items()
            },
            "kinds": [asdict(row) for row in self.kinds],
            "clips": self.clips.as_json() if self.clips else None,
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
    judge: FittedModel | None = None,
) -> Evaluation:
    """Judges the run on the test split of its dataset and stores the result in the run's folder, if it can be written.

    Answers of an earlier evaluation are used again when the test split is the same. `root` replaces the
    data's root that the run remembers; `judge` is the run, if it was opened before. Raises AdkitError for what the
    user can mend.
    """
    progress = progress or Silent()
    origin = registry.methods.origin(run.record.method).origin  # without the method there is no judging
    unreadable: list[str] = []
    samples = with_sound_masks(_test_samples(run, registry, root), skip_bad, unreadable, progress)
    hashes = content_hashes(samples)
    test_hash = data_hash(hashes)
    predictions = _stored(run, origin, test_hash)
    if predictions is None:
        judge = judge or open_model(run, registry, device=device)
        note = _Collector(unreadable) if skip_bad else None
        predictions = predict_all(judge.method, samples, progress, "scoring", note)
    if not predictions.ids:
        raise FrameError(f"of {counted(len(samples), 'test image')} none can be read", hint="adkit inspect names them")
    by_id = {sample.id: sample for sample in samples}
    kept = [by_id[sample_id] for sample_id in predictions.ids]

    spec = scorer or run.record.scorer
    chosen = open_scorer(spec, registry)
    normal_scores, threshold = normal_scores_of(run, chosen)
    normal_frame_scores = sample_scores(run.calibration(), chosen, run.record.smoothing_s)
    scores = sample_scores(predictions, chosen, run.record.smoothing_s)
    results = _labelled(kept, scores, threshold, predictions.maps, run, normal_frame_scores)
    metrics, apt = _judge(results, registry, progress)
    of_clips = None
    if results.of_clips:
        aurocs = metrics["frame_auroc"].details if "frame_auroc" in metrics else {}
        of_clips = clip_results(results, run.record.segment_s, aurocs)
    evaluation = Evaluation(
        run,
        spec,
        threshold,
        normal_scores,
        normal_frame_scores,
        kept,
        scores,
        p_values(scores, normal_scores),
        results,
        metrics,
        apt,
        _by_kind(results, of_clips),
        test_hash,
        of_clips,
        _intervals(results, metrics, registry, test_hash) if of_clips else {},
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


def _labelled(
    samples: Sequence[Sample],
    scores: NDArray[np.float64],
    threshold: Threshold,
    maps: NDArray[np.float32] | None,
    run: Run,
    normal_frame_scores: NDArray[np.float64],
) -> LabelledResults:
    pixel_threshold = run.record.pixel_threshold
    clips, times_s = tuple(sample.clip for sample in samples), np.array([sample.time_s for sample in samples])
    alarms, stills = scores > threshold.value, are_stills(samples)
    if not stills:
        alarms = alarms_at(threshold.value, normal_frame_scores, clips, times_s, scores)
    return LabelledResults(
        scores,
        np.array([bool(sample.anomalous) for sample in samples]),
        tuple(_kind(sample, stills=stills) for sample in samples),
        threshold.value,
        pixel_threshold.value if pixel_threshold else None,
        maps=maps,
        has_masks=any(sample.mask for sample in samples if sample.anomalous),
        pixels=MapsBesideMasks(samples, maps),
        clips=clips,
        times_s=times_s,
        alarms=alarms,
    )


def _kind(sample: Sample, *, stills: bool) -> str:
    """A dataset may name a whole clip after what happens in it: its normal frames are good all the same."""
    if sample.anomalous:
        return sample.kind or "anomalous"
    return (sample.kind if stills else None) or "good"


def _judge(
    results: LabelledResults, registry: Registry, progress: Progress
) -> tuple[dict[str, MetricValue], tuple[str, ...]]:
    """The value of every installed metric, and the names of those that are meant for such results."""
    names = registry.metrics.names()
    values, apt = {}, []
    with progress.task("judging", len(names)) as advance:
        for name in names:
            try:
                metric = registry.metrics.get(name).load()()
                values[name] = metric(results)
                if metric.judges != ("images" if results.of_clips else "clips"):
                    apt.append(name)
            except PluginError as error:  # two plugins claim this name: the other metrics are not harmed
                values[name] = MetricValue(None, error.message)
                apt.append(name)
            advance(1)
    return values, tuple(apt)


def _intervals(
    results: LabelledResults, values: Mapping[str, MetricValue], registry: Registry, test_hash: str
) -> dict[str, Interval]:
    metrics = metrics_with_value(values, registry)
    found = resampled(results, metrics, resamples=RESAMPLES, seed=resampling_seed(results, test_hash))
    intervals = {name: interval_of(replicates) for name, replicates in found.items()}
    return {name: interval for name, interval in intervals.items() if interval is not None}


def _by_kind(results: LabelledResults, of_clips: ClipResults | None) -> list[KindRow]:
    kinds = np.array(results.kinds)
    rows = []
    for kind in sorted(set(results.kinds), key=lambda kind: (kind != "good", kind)):
        chosen = kinds == kind
        scores = results.scores[chosen]
        row = KindRow(
            kind,
            len(scores),
            float(scores.mean()),
            int((scores > results.threshold).sum()),
            tuple(np.quantile(scores, (0, 0.25, 0.5, 0.75, 1)).tolist()),
        )
        if of_clips:
            row = replace(row, clips=len({results.clips[position] for position in np.flatnonzero(chosen)}))
            if results.anomalous[chosen].any():
                missed = sum(event.kind == kind for event in of_clips.missed)
                count = sum(event.kind == kind for event in of_clips.events)
                row = replace(row, events=count, events_caught=count - missed)
        rows.append(row)
    return rows
