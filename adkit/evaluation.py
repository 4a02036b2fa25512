"""Judging a run on its dataset's test split: the only place where labels meet scores.

The method's answers are stored in the run (`evaluation/predictions.safetensors`), so that another scorer or
metric is applied to them without the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adkit.calibration import Threshold, p_values
from adkit.errors import AdkitError, DatasetError, FrameError, PluginError, RunError
from adkit.frames import frame_shape, read_mask
from adkit.interfaces import Evidence, MetricValue, Progress, Silent
from adkit.registry import Registry
from adkit.runs import EVALUATION, Predictions, Run
from adkit.sources import data_hash, open_datasets
from adkit.storage import checksum, whole_folder
from adkit.types import Sample
from adkit.workflows import open_judge, open_scorer, predict_all, run_threshold, sample_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

PREDICTIONS = "predictions.safetensors"
INDEX = "evaluation.json"


@dataclass(frozen=True, slots=True)
class KindRow:
    """One line of the table by defect kind."""

    kind: str
    count: int
    mean_score: float
    called_anomalous: int  # at the run's threshold


@dataclass(frozen=True)
class Evaluation:
    """A run judged on its test split. Arrays are in the order of `samples`."""

    run: Run
    scorer: str | None
    threshold: Threshold
    samples: list[Sample]
    scores: NDArray[np.float64]
    p_values: NDArray[np.float64]
    maps: NDArray[np.float32] | None
    metrics: dict[str, MetricValue]
    kinds: list[KindRow]
    unreadable: list[str] = field(default_factory=list)

    @property
    def called(self) -> NDArray[np.bool_]:
        """Which samples are called anomalous at the run's threshold."""
        return self.scores > self.threshold.value

    def as_json(self) -> dict[str, Any]:
        """Everything but maps and samples, for `--format json` and the run folder."""
        record = self.run.record
        return {
            "run": record.id,
            "method": record.method,
            "dataset": record.dataset,
            "scorer": self.scorer,
            "threshold": {**asdict(self.threshold), "promise": self.threshold.promise()},
            "samples": len(self.samples),
            "unreadable": self.unreadable,
            "metrics": {
                name: {
                    "value": metric.value,
                    "why_undefined": metric.why_undefined,
                    "details": dict(metric.details),
                }
                for name, metric in self.metrics.items()
            },
            "kinds": [asdict(row) for row in self.kinds],
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
) -> Evaluation:
    """Judges the run on the test split of its dataset and stores the result in the run's folder.

    Answers of an earlier evaluation are used again when the test split is the same. `root` replaces the
    data's root that the run remembers. Raises AdkitError for what the user can mend.
    """
    progress = progress or Silent()
    unreadable: list[str] = []
    samples = _with_sound_masks(_test_samples(run, registry, root), skip_bad, unreadable, progress)
    predictions = _stored(run, registry, samples)
    if predictions is None:
        judge = open_judge(run, registry, device=device)
        note = _Collector(unreadable) if skip_bad else None
        predictions = predict_all(judge.method, samples, progress, "scoring", note)
    if not predictions.ids:
        raise FrameError(f"none of the {len(samples)} test images can be read", hint="adkit inspect names them")
    by_id = {sample.id: sample for sample in samples}
    kept = [by_id[sample_id] for sample_id in predictions.ids]

    spec = scorer or run.record.scorer
    chosen = open_scorer(spec, registry)
    normal_scores = sample_scores(run.calibration(), chosen)
    threshold = run_threshold(run, normal_scores)
    scores = sample_scores(predictions, chosen)
    evaluation = Evaluation(
        run,
        spec,
        threshold,
        kept,
        scores,
        p_values(scores, normal_scores),
        predictions.maps,
        _judge(kept, scores, threshold, predictions.maps, run, registry, progress),
        _by_kind(kept, scores, threshold),
        unreadable,
    )
    _save(evaluation, registry, predictions, samples)
    return evaluation


@dataclass(frozen=True)
class _Collector:
    paths: list[str]

    def __call__(self, sample: Sample, _: AdkitError) -> None:
        self.paths.append(str(sample.frame))


def _test_samples(run: Run, registry: Registry, root: Path | None) -> list[Sample]:
    record = run.record
    remembered = Path(record.root) if record.root else None
    (dataset,) = open_datasets(record.dataset, root or remembered, registry)
    samples = [sample for sample in dataset.samples("test") if sample.anomalous is not None]
    if not samples:
        raise DatasetError(
            f"{record.dataset} has no test images of known truth", hint="score images with: adkit score FILES"
        )
    return samples


def _stored(run: Run, registry: Registry, samples: Sequence[Sample]) -> Predictions | None:
    """The answers of an earlier evaluation, if they are whole, of this test split and this version of the method."""
    folder = run.folder / EVALUATION
    origin = registry.methods.origin(run.record.method).origin
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if (index["data_hash"], index["origin"]) != (data_hash(samples), origin) or index["unreadable"]:
            return None
        if index["predictions_sha256"] != checksum((folder / PREDICTIONS).read_bytes()):
            return None
        return Predictions.from_file(folder / PREDICTIONS)
    except (OSError, ValueError, KeyError, TypeError, RunError):
        return None  # absent or damaged: it can be made again


def _save(evaluation: Evaluation, registry: Registry, predictions: Predictions, samples: Sequence[Sample]) -> None:
    content = predictions.to_bytes()
    index = {
        **evaluation.as_json(),
        "origin": registry.methods.origin(evaluation.run.record.method).origin,
        "data_hash": data_hash(samples),
        "predictions_sha256": checksum(content),
    }
    with whole_folder(evaluation.run.folder / EVALUATION) as temporary:
        (temporary / PREDICTIONS).write_bytes(content)
        (temporary / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _judge(
    samples: Sequence[Sample],
    scores: NDArray[np.float64],
    threshold: Threshold,
    maps: NDArray[np.float32] | None,
    run: Run,
    registry: Registry,
    progress: Progress,
) -> dict[str, MetricValue]:
    """The value of every installed metric."""
    pixel_threshold = run.record.pixel_threshold
    evidence = Evidence(
        scores,
        np.array([bool(sample.anomalous) for sample in samples]),
        tuple(sample.kind or ("anomalous" if sample.anomalous else "good") for sample in samples),
        threshold.value,
        pixel_threshold.value if pixel_threshold else None,
        has_maps=maps is not None,
        has_masks=any(sample.mask for sample in samples if sample.anomalous),
        pixels=lambda: _pixels(samples, maps),
    )
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


def _pixels(
    samples: Sequence[Sample], maps: NDArray[np.float32] | None
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]:
    for index, sample in enumerate(samples):
        if maps is None or (sample.anomalous and sample.mask is None):
            continue
        shape = frame_shape(sample.frame)
        mask = read_mask(sample.mask, shape) if sample.mask and sample.anomalous else np.zeros(shape, bool)
        yield index, enlarge(maps[index], shape), mask


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
        )
        for kind in normal_first
    ]
