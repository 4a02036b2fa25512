"""Scores with a run: its model made ready, and the scores and thresholds of normal data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adkit.data.batches import FrameBatches, OnBad
from adkit.data.clips import are_stills
from adkit.errors import AdkitError, OptionError, RunError
from adkit.interfaces import Method, Progress, Scorer, Silent
from adkit.options import options_of, parse_options, split_assignments
from adkit.registry import Registry
from adkit.runs.predictions import Answers, Predictions, to_predictions
from adkit.runs.store import Run
from adkit.stats.calibration import Threshold, p_values, threshold_from, unit_scores
from adkit.stats.smoothing import Smoother, smoothed
from adkit.types import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


_MAPS = 256


@dataclass(frozen=True, slots=True)
class Scored:
    """The result for one sample."""

    sample: Sample
    score: float
    p_value: float
    anomalous: bool
    map: NDArray[np.float32] | None  # (h, w), the method's own resolution
    reconstruction: NDArray[np.uint8] | None = None  # RGB (H, W, 3), likewise


@dataclass(frozen=True)
class FittedModel:
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


def open_model(run: Run, registry: Registry, *, scorer: str | None = None, device: str = "auto") -> FittedModel:
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
    method = method_class(options, seed=record.settings.seed, device=device_of(device))
    method.load_state(run.state())
    chosen = open_scorer(scorer or record.scorer, registry)
    normal_scores, threshold = normal_scores_of(run, chosen)
    return FittedModel(run, method, chosen, normal_scores, threshold)


def normal_scores_of(run: Run, scorer: Scorer[Any] | None) -> tuple[NDArray[np.float64], Threshold]:
    """The run's normal scores as this scorer gives them, one for each unit, and the threshold its rule takes."""
    predictions = run.calibration()
    scores, unit = unit_scores(sample_scores(predictions, scorer, run.record.smoothing_s), predictions.clips)
    return scores, threshold_from(scores, run.record.calibration.rule, unit, run.record.threshold.unit_s)


def calibrating_scores(run: Run, registry: Registry) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The units (images, or clips) whose scores set the run's threshold, and those scores."""
    scores, _ = normal_scores_of(run, open_scorer(run.record.scorer, registry))
    return tuple(dict.fromkeys(run.calibration().clips)), scores


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


def times_of(samples: Sequence[Sample]) -> NDArray[np.float64] | None:
    """(N,) seconds since the start of each sample's clip; None for stills."""
    return None if are_stills(samples) else np.array([sample.time_s for sample in samples])


def device_of(name: str) -> str:
    """The device that "auto" or another name means; raises OptionError for one that is not there."""
    from adkit.nn.devices import pick_device  # loads torch

    return pick_device(name)
