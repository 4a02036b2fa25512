"""Judging a run on its dataset's test split: the only place where labels meet scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from adkit.containment import plugin_code
from adkit.data.boxes import Map
from adkit.data.clips import are_stills, at_steps, ends_s, other_length, with_events_between
from adkit.data.fingerprints import content_hashes, data_hash
from adkit.data.frame_source import OnBad
from adkit.data.images import told_by_compression
from adkit.data.masks import MapsBesideMasks, with_sound_masks
from adkit.data.view import counting_px
from adkit.errors import DatasetError, FrameError, PluginError, StorageError, brief
from adkit.evaluation.split_results import Flags, SplitResults, Values, alarms_at, split_results
from adkit.evaluation.stored import store_document, store_predictions, stored_predictions
from adkit.evaluation.tables import CAUGHT, FIRST, KindRow, details_of, kind_rows
from adkit.interfaces import Metric
from adkit.registry import Registry
from adkit.runs.predictions import Predictions
from adkit.runs.store import EVALUATION, Run
from adkit.stats import bootstrap
from adkit.stats.calibration import Threshold, p_values
from adkit.stats.formatting import Unit, counted, is_floor, listed, verb
from adkit.stats.rates import DecisionRates, precision_recall_curve, roc_curve
from adkit.stats.significance import Interval
from adkit.types import LabelledResults, MetricValue, Sample
from adkit.workflows.predict import predict_all
from adkit.workflows.score import (
    FittedModel,
    Judged,
    Workplace,
    normal_scores_of,
    open_scorer,
    require_plugin,
    sample_scores,
    without_place,
)

MOST_MISTAKES = 6
STEPS = (("checking masks", 1), ("scoring", 6), ("judging", 4))
"""What `evaluate` tells its progress, and how long each takes in proportion."""


@dataclass(frozen=True)
class Evaluation:
    """A run judged on its test split. Arrays are in the order of `samples`."""

    run: Run
    scorer: str | None
    threshold: Threshold
    normal_frame_scores: Values  # of the normal frames that set the threshold, out of sample
    samples: list[Sample]
    p_values: Values
    split: SplitResults
    metrics: dict[str, MetricValue]
    defined: Mapping[str, Metric]  # those that have a value, by name
    apt: tuple[str, ...]  # the metrics for images where there are images, for clips where there are clips
    kinds: list[KindRow]
    test_hash: str  # of the test split's ids and their files' contents
    whole: Flags  # which are anomalous as a whole: no place of theirs is
    seen: list[str] = field(default_factory=list)  # test images that the run learned from or was calibrated with
    unreadable: list[str] = field(default_factory=list)
    odd_masks: dict[str, list[str]] = field(default_factory=dict)  # ids by what looks wrong
    unknown: int = 0  # test samples of which nobody says whether they are good
    between: int = 0  # true events that the frames that were judged do not tell from what is before
    not_stored: str | None = None  # why the result is not in the run's folder, if it is not

    @property
    def unit(self) -> Unit:
        """Return what the promise counts in the test split."""
        return self.split.unit

    @property
    def flattery(self) -> str | None:
        """Say what the result is worth less for: test images that the run has seen, or files of other types."""
        told = told_by_compression(self.samples)
        if not self.seen:
            return told
        are, flatter = ("is", "flatters") if len(self.seen) == 1 else ("are", "flatter")
        images = counted(len(self.seen), f"test {self.unit.sample}")
        seen = f"{images} {are} among those that the run learned from or was calibrated with, and {flatter} it"
        return "; ".join(filter(None, (told, f"{seen}: {listed(self.seen)}")))

    @property
    def notes(self) -> list[str]:
        """Say which masks look wrong, and what was left out."""
        masks = ((len(ids), doubt, listed(ids)) for doubt, ids in self.odd_masks.items())
        odd = [f"{count} {verb(count, 'have')} a mask that {doubt}: {named}" for count, doubt, named in masks]
        unmasked = [sample.id for sample in self.samples if sample.anomalous and sample.mask is None]
        if unmasked and self.results.has_masks:
            none = f"{counted(len(unmasked), f'anomalous {self.unit.sample}', 'have')} no mask"
            odd.append(f"{none}, and {verb(len(unmasked), 'count')} in no figure of pixels: {listed(unmasked)}")
        if self.threshold.unit_s and self.split.normal and self.run.record.segment_s is None:
            lasting_s = [self.results.ends_s[self.results.clips[part.peak]] for part in self.split.normal]
            odd += filter(None, [other_length(float(np.mean(lasting_s)), self.threshold.unit_s)])
        if self.threshold.unit == "clip" and not self.unit.of_clips:
            odd.append("the run learned from clips, and the test split has single frames: its promise is not of these")
        if self.unknown:
            odd.append(f"{counted(self.unknown, f'test {self.unit.sample}', 'are')} left out: the truth is unknown")
        if self.between:
            told = f"{counted(self.between, 'event')} cannot be told from what comes before"
            count = verb(self.between, "count")
            odd.append(f"{told}, as a frame is judged every {self.run.record.step_s:.2g} s, and {count} as part of it")
        return [*odd, *(f"unreadable, left out: {path}" for path in self.unreadable)]

    @property
    def results(self) -> LabelledResults:
        """Return what the metrics judged."""
        return self.split.results

    @property
    def scores(self) -> Values:
        """Return the samples' scores (N,)."""
        return self.results.scores

    @property
    def maps(self) -> Map | None:
        """Return the anomaly maps (N, h, w) of what is seen of the images, at the method's own resolution."""
        return self.results.maps

    def result_at(self, position: int) -> Judged:
        """Return what the run says of a sample; its map is of the whole image, and no reconstruction is kept."""
        p_value, whole = float(self.p_values[position]), bool(self.whole[position])
        anomaly_map = None if self.maps is None else self.run.record.view.whole(self.maps[position])
        score, called, floor = self.scores[position], self.called[position], is_floor(p_value, self.threshold.count)
        return Judged(float(score), p_value, bool(called), anomaly_map, whole=whole, p_value_is_floor=floor)

    @property
    def called(self) -> Flags:
        """Return which samples are called anomalous at the run's threshold."""
        return self.scores > self.threshold.value

    @property
    def anomalous(self) -> Flags:
        """Return which samples are anomalous in truth."""
        return self.results.anomalous

    @property
    def rates(self) -> DecisionRates:
        """Return what the threshold does to images, or to normal clips and to events, whose interval is by clip."""
        found = self.split.rates
        by_clip = self.intervals.get(CAUGHT) or found.caught.interval
        return replace(found, caught=replace(found.caught, interval=by_clip))

    @property
    def verdict(self) -> str:
        """Say in a sentence what is caught at which promise, and how much that is good is flagged."""
        return self.rates.in_words(self.unit, self.run.record.calibration.rule.at(self.threshold))

    @cached_property
    def replicates(self) -> tuple[dict[str, Values], dict[str, str]]:
        """Return each defined metric in 2,000 resamples of the test split, the same for all, and why others failed."""
        values = {name: self.metrics[name].value for name in self.defined}
        metrics = {name: (self.defined[name], value) for name, value in values.items() if value is not None}
        seed = bootstrap.resampling_seed(self.results, self.test_hash)
        return bootstrap.resampled(self.results, metrics, resamples=bootstrap.RESAMPLES, seed=seed)

    @property
    def intervals(self) -> dict[str, Interval]:
        """Return the 95 % intervals of metrics of clips, by whole clips; none of images."""
        found = self.replicates[0] if self.unit.of_clips else {}
        return {name: interval for name, values in found.items() if (interval := bootstrap.interval_of(values))}

    def note(self, name: str) -> str | None:
        """Say why a metric has no value, or of clips why its intervals failed."""
        return self.metrics[name].why_undefined or (self.replicates[1].get(name) if self.unit.of_clips else None)

    def mistakes(self) -> list[int]:
        """Return the positions of samples that are judged wrong, the worst first; of clips, of each event's peak."""
        distance = np.abs(self.scores - self.threshold.value)
        return sorted(self.split.wrong, key=lambda position: -float(distance[position]))

    def as_json(self) -> dict[str, Any]:
        """Return everything but maps and samples, for `--format json` and the run folder."""
        record, intervals = self.run.record, self.intervals
        roc, precision_recall = (curve(self.scores, self.anomalous) for curve in (roc_curve, precision_recall_curve))
        return {
            "run": record.id,
            "method": record.method,
            "dataset": record.dataset,
            "suspects": record.suspects,
            "scorer": self.scorer,
            "verdict": self.verdict,
            "threshold": {
                **asdict(self.threshold),
                "seconds_to_a_false_alarm": self.threshold.alarm_every_s,
                "promise": self.threshold.promise(),
            },
            "samples": len(self.samples),
            "unreadable": self.unreadable,
            "odd_masks": self.odd_masks,
            "seen": self.seen,
            "notes": self.notes,
            "metrics": {
                name: {
                    "value": metric.value,
                    "why_undefined": self.note(name),
                    "interval": asdict(intervals[name]) if name in intervals else None,
                    "details": dict(metric.details),
                }
                for name, metric in self.metrics.items()
            },
            "kinds": [asdict(row) for row in self.kinds],
            "clips": self.split.as_json(),
            "outcomes": {**asdict(self.rates), "separation_ratio": self.rates.separation_ratio},
            "worst_mistakes": [self.samples[position].id for position in self.mistakes()[:MOST_MISTAKES]],
            "curves": {
                "roc": asdict(roc) if roc else None,
                "precision_recall": asdict(precision_recall) if precision_recall else None,
            },
        }


def evaluate(
    run: Run, workplace: Workplace, *, scorer: str | None = None, model: FittedModel | None = None
) -> Evaluation:
    """Judge the run on the test split of its dataset and store the result in the run's folder, if it can be written.

    Predictions are stored before any metric sees them, and used again while the test split is the same. `model` is the
    run, if it was opened before. Raises AdkitError.
    """
    require_plugin(run, workplace.registry.methods, run.record.method)  # without the method there is no judging
    origin = workplace.registry.methods.origin(run.record.method).origin
    unreadable: list[str] = []
    odd: dict[str, list[str]] = {}
    tested = workplace.dataset(run).samples("test")
    known = _of_known_truth(tested, run)
    samples, between = with_events_between(known, at_steps(known, run.record.step_s))
    samples = with_sound_masks(samples, run.record.view, workplace.skip_bad, unreadable, odd, workplace.progress)
    hashes = content_hashes(samples)
    key, folder = {"origin": origin, "data_hash": data_hash(hashes)}, run.folder / EVALUATION
    stored, not_stored = stored_predictions(folder, key, workplace.skip_bad), None
    predictions = stored
    if predictions is None:
        model = model or workplace.model(run)
        on_bad: OnBad | None = (lambda *_: None) if workplace.skip_bad else None
        predictions = predict_all(model.method, model.view, samples, workplace.progress, "scoring", on_bad)
        if not predictions.ids:
            of_all = counted(len(samples), "test image")
            raise FrameError(f"of {of_all} none can be read", hint="adkit inspect names them")
    by_id = {sample.id: sample for sample in samples}
    kept = [by_id.pop(sample_id) for sample_id in predictions.ids]
    unreadable += [str(sample.frame) for sample in by_id.values()]
    if stored is None:
        not_stored = _told(lambda: store_predictions(folder, key, predictions, unreadable))
    chosen = scorer or run.record.scorer
    evaluation = _judged(run, kept, ends_s(known), predictions, chosen, key["data_hash"], workplace)
    seen, unknown = _seen(run, kept, hashes), len(tested) - len(known)
    evaluation = replace(evaluation, seen=seen, unreadable=unreadable, odd_masks=odd, between=between, unknown=unknown)
    not_stored = not_stored or _told(lambda: store_document(folder, key, evaluation.as_json()))
    return replace(evaluation, not_stored=not_stored) if not_stored else evaluation


def _told(store: Callable[[], None]) -> str | None:
    """Store something; return why that cannot be done, if so: an evaluation counts all the same."""
    try:
        store()
    except StorageError as error:
        return error.message
    return None


def _judged(
    run: Run,
    samples: list[Sample],
    ends: Mapping[str, float],
    predictions: Predictions,
    scorer: str | None,
    test_hash: str,
    workplace: Workplace,
) -> Evaluation:
    """Return what scorer, threshold and metrics make of the predictions for the samples, whose clips end at `ends`."""
    chosen, smoothing_s = open_scorer(scorer, workplace.registry), run.record.smoothing_s
    normal_scores, threshold = normal_scores_of(run, chosen)
    normal_frame_scores = sample_scores(run.calibration(), chosen, smoothing_s)
    scores, pixel_threshold = sample_scores(predictions, chosen, smoothing_s), run.record.pixel_threshold
    clips, times_s = tuple(sample.clip for sample in samples), np.array([sample.time_s for sample in samples])
    stills = are_stills(samples)
    results = LabelledResults(
        scores,
        np.array([bool(sample.anomalous) for sample in samples]),
        # A dataset may name a whole clip after an event in it; its normal frames are good.
        tuple(kind_of(sample) if stills or sample.anomalous else "good" for sample in samples),
        threshold.value,
        pixel_threshold.value if pixel_threshold else None,
        maps=predictions.maps,
        has_masks=any(sample.mask for sample in samples if sample.anomalous),
        pixels=MapsBesideMasks(samples, predictions.maps, run.record.view),
        clips=clips,
        times_s=times_s,
        alarms=alarms_at(threshold.value, normal_frame_scores, clips, times_s, scores, ends),
        ends_s=ends,
        counting=partial(counting_px, run.record.view),
    )
    metrics, defined, apt = _measured(results, workplace)
    split = split_results(results, run.record.segment_s, details_of(metrics, "frame_auroc"))
    return Evaluation(
        run=run,
        scorer=scorer,
        threshold=threshold,
        normal_frame_scores=normal_frame_scores,
        samples=samples,
        p_values=p_values(scores, normal_scores),
        split=split,
        metrics=metrics,
        defined=defined,
        apt=apt,
        kinds=kind_rows(split, metrics),
        test_hash=test_hash,
        whole=(scores > threshold.value) & without_place(predictions, chosen, threshold, results.pixel_threshold),
    )


def _seen(run: Run, samples: Sequence[Sample], hashes: Mapping[str, str]) -> list[str]:
    """Return the files among the samples that the run has seen: judging them again flatters it."""
    known = set(run.seen().all.values())
    return [str(sample.frame) for sample in samples if hashes[sample.id] in known]


def _of_known_truth(tested: Sequence[Sample], run: Run) -> list[Sample]:
    samples = [sample for sample in tested if sample.anomalous is not None]
    if not samples:
        hint = "score images with: adkit score FILES"
        raise DatasetError(f"{run.record.dataset} has no test images of known truth", hint=hint)
    return samples


def kind_of(sample: Sample) -> str:
    """Say in a word what the sample is in truth: the kind of its defect, or "good"."""
    return sample.kind or ("anomalous" if sample.anomalous else "good")


def _measured(
    results: LabelledResults, workplace: Workplace
) -> tuple[dict[str, MetricValue], dict[str, Metric], tuple[str, ...]]:
    """Return every metric's value, what tells most first, the metrics that have one, and the names of the apt ones."""
    known = workplace.registry.metrics.names()
    names = [*filter(known.__contains__, FIRST), *(name for name in known if name not in FIRST)]
    values, defined, apt = {}, {}, []
    with workplace.progress.task("judging", len(names)) as advance:
        for name in names:
            metric, values[name] = _measured_by(name, results, workplace.registry)
            if metric is not None and values[name].value is not None:
                defined[name] = metric
            if metric is None or metric.judges != ("images" if results.of_clips else "clips"):
                apt.append(name)
            advance(1)
    return values, defined, tuple(apt)


def _measured_by(name: str, results: LabelledResults, registry: Registry) -> tuple[Metric | None, MetricValue]:
    """Return a metric and its value; what goes wrong in a plugin leaves that metric undefined, and harms no other."""
    try:
        entry = registry.metrics.get(name)
        with plugin_code(entry.origin):
            metric = entry.load()()
            value = metric(results)
        if not isinstance(value, MetricValue):
            raise TypeError(f"it gave {brief(value)}, expected a MetricValue")
        if value.value is not None and not np.isfinite(value.value):
            raise ValueError(f"it gave {value.value}")
        details = {one: None if figure is None else float(figure) for one, figure in value.details.items()}
        if odd := [f"{figure} for {one}" for one, figure in details.items() if not np.isfinite(figure or 0)]:
            raise ValueError(f"its details gave {', '.join(odd)}; None says that there is no figure")
        value = replace(value, value=None if value.value is None else float(value.value), details=details)
    except PluginError as error:  # two plugins claim this name, or it cannot be loaded
        return None, MetricValue(None, error.message)
    except Exception as error:
        origin = registry.metrics.origin(name).origin
        return None, MetricValue(None, f"the metric of {origin} failed: {type(error).__name__}: {error}")
    return metric, value
