"""Scores with a run: its model made ready, and the scores and thresholds of normal data."""

import math
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adkit.containment import plugin_code
from adkit.data.batches import BATCH
from adkit.data.boxes import Map, Marks, Pixels, Size, px
from adkit.data.clips import at_steps
from adkit.data.datasets import open_datasets
from adkit.data.frame_source import Frame, OnBad, frame_of_array, frames_of
from adkit.data.images import other_compression
from adkit.data.inputs import find_inputs
from adkit.data.view import View, counting_px
from adkit.drawing.overlay import Scale
from adkit.drawing.regions import Region, highest_place, outline_of, region_columns, region_mask
from adkit.errors import AdkitError, FrameError, OptionError, PluginError, RunError
from adkit.interfaces import SILENT, Dataset, Method, Progress, Scorer
from adkit.options import options_of, parse_options, split_assignments, stored_options
from adkit.registry import Catalogue, Registry
from adkit.runs.predictions import Predictions
from adkit.runs.store import Run
from adkit.stats.calibration import Threshold, p_values, threshold_from, unit_scores
from adkit.stats.formatting import AS_A_WHOLE, is_floor
from adkit.stats.smoothing import Smoother, smoothed
from adkit.types import Sample, read_only
from adkit.workflows.predict import predicted

_MAPS = 256
_LEAST_SIDE = 0.75
"""Sides of an image and of those that were learned from, the shorter by the longer: less are other images."""
_MOST_UNLIKE = 0.5
"""Of an image's area; defects are smaller."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a run says of one image."""

    score: float  # of clips smoothed over the past, as the run's threshold wants it
    p_value: float | None  # the share of normal units that score as high; None: it is one of those
    anomalous: bool  # the score is above the threshold
    map: Map | None  # (h, w) of the image, at the method's own resolution
    reconstruction: Pixels | None = None  # RGB (H, W, 3), likewise
    whole: bool = False  # no place makes it anomalous, but what the image as a whole is made up of
    p_value_is_floor: bool = False  # the score is higher than all normal ones: the p-value is a bound, and no rate


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameResult(Judged):
    """What a run says of one frame: a still image, or a frame of a clip."""

    id: str
    clip: str
    index: int  # in its clip
    time_s: float  # since the clip's start
    raw: float  # the score of the frame alone
    p_value: float
    region: Region | None  # the strongest region; of what is anomalous without one, the map's highest cell
    learned: bool = False  # the run has learned from it: its score says nothing, and it is part of no event
    event: int | None = None  # the number of the event that it is part of
    shape: tuple[int, int] = (0, 0)  # (height, width) px of the image
    regions: tuple[Region, ...] = ()  # what the map outlines, whatever the decision; the highest peak first
    specks: int = 0  # what it outlines besides, too small to be regions

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name, for a table: without map and reconstruction."""
        names = ("id", "clip", "index", "time_s", "score", "p_value", "p_value_is_floor", "anomalous")
        return {**{name: getattr(self, name) for name in names}, **self.places()}

    def places(self) -> dict[str, Any]:
        """Say where, for a table: all regions, how many specks there are, and where the strongest region is."""
        regions = [region.as_dict() for region in self.regions]
        where = region_columns(self.region) | ({"where": AS_A_WHOLE} if self.whole else {})
        return {"regions": regions, "specks": self.specks, **where}


def still_row(path: str, threshold: float, found: Judged | AdkitError) -> dict[str, Any]:
    """Return an image for programs: what was found in it, or why it cannot be read."""
    row = {"path": path, "score": None, "threshold": threshold, "p_value": None, "p_value_is_floor": None}
    places = found.places() if isinstance(found, FrameResult) else {"regions": [], "specks": 0, **region_columns(None)}
    if isinstance(found, AdkitError):
        return {**row, "decision": "unreadable", "error": found.message, **places}
    scores = {name: getattr(found, name) for name in ("score", "p_value", "p_value_is_floor")}
    return {**row, **scores, "decision": "anomalous" if found.anomalous else "normal", "error": None, **places}


@dataclass(frozen=True)
class FittedModel:
    """A run made ready to score: its method, its scorer, and what normal scores look like."""

    run: Run
    method: Method[Any]
    scorer: Scorer[Any] | None
    normal_scores: NDArray[np.float64]  # of units: images, or clips
    threshold: Threshold

    @property
    def view(self) -> View:
        """Say how the method sees images."""
        return self.run.record.view

    def score(self, inputs: Iterable[str | Path | NDArray[Any]], on_bad: OnBad | None = None) -> Iterator[FrameResult]:
        """Score images and videos by path, folder or pattern, and arrays (H, W) or (H, W, 3), RGB, 8 or 16 bits.

        Of videos frames are scored as far apart as those that the run learned from. What cannot be read raises its
        FrameError, or goes to `on_bad` and is left out. Raises OptionError for an input that is in no list.
        """
        if isinstance(inputs, str | Path | np.ndarray):
            raise OptionError("one input was given where several were expected", hint="put it into a list: score([it])")
        step_s, view = self.run.record.step_s, self.view
        for number, one in enumerate(inputs):
            path = Path(one if isinstance(one, str | Path) else f"array {number}")
            try:
                if isinstance(one, str | Path):
                    found = find_inputs([str(one)], of_clips=self.threshold.unit == "clip")
                    parts = [found.stills, *(at_steps(clip.samples(), step_s) for clip in found.clips)]
                    walks: list[Iterable[Frame]] = [frames_of(samples, view, on_bad) for samples in parts]
                else:
                    walks = [[frame_of_array(one, str(path), view)]]
            except FrameError as error:
                if on_bad is None:
                    raise
                on_bad(Sample.still(str(one) if isinstance(one, str | Path) else str(path), path), error)
                continue
            for frames in walks:
                yield from self.stream(frames)

    def doubt(self, result: FrameResult) -> str | None:
        """Say why a still image is hardly one of those that the run is for; None where nothing speaks against it."""
        if self.threshold.unit == "clip":
            return "the run learned from clips, and this is a still image"
        if why := self.other_size(result.shape):
            return why
        if result.anomalous and (types := other_compression([result.id], self._learned)):
            return f"it and what the run learned from are files of other types ({types}), which can look like a defect"
        if result.map is not None and self.outline is not None and (result.map > self.outline).mean() > _MOST_UNLIKE:
            return "most of it looks like nothing that the run learned from"
        return None

    @cached_property
    def _learned(self) -> Mapping[str, str]:
        return self.run.seen().training

    def other_size(self, shape: Size) -> str | None:
        """Say so where an image of this shape is of another size than those that were learned from."""
        least, most = self.view.sizes or (self.view.picture, self.view.picture)
        if not least or not most:
            return None
        sides = zip(least, shape, most, strict=True)
        if all(_LEAST_SIDE * shortest < own < longest / _LEAST_SIDE for shortest, own, longest in sides):
            return None
        return f"it is of another size than what the run learned from ({' to '.join({px(least): 0, px(most): 0})} px)"

    @property
    def doubt_of_clips(self) -> str | None:
        """Say what scores of clips are worth less for; None for a run that learned from clips."""
        if self.threshold.unit == "clip":
            return None
        return (
            "learned from still images: each frame is scored as one, and its threshold counts images. A minute has many"
        )

    def stills(self, samples: Iterable[Sample]) -> Iterator[tuple[Sample, FrameResult | AdkitError]]:
        """Judge still images: give each in its turn with what is found in it, or why it cannot be read."""
        samples, found = list(samples), dict[str, FrameResult | AdkitError]()
        with closing(frames_of(samples, self.view, lambda one, error: found.update({one.id: error}))) as frames:
            results = self.stream(frames)
            for sample in samples:
                while sample.id not in found and (result := next(results, None)):
                    found[result.id] = result
                yield sample, found.pop(sample.id)

    def stream(self, frames: Iterable[Frame]) -> Iterator[FrameResult]:
        """Judge frames in their order: those that have pixels; scores of clips are smoothed over their past."""
        return (result for _, result in self.judged(frames) if result is not None)

    @cached_property
    def scale(self) -> Scale | None:
        """Return the colours of its maps, the same in all pictures; None for a method without maps."""
        return colour_scale(self.run)

    @property
    def outline(self) -> float | None:
        """Return the map value above which a place is outlined; None without maps."""
        return self.run.record.pixel_threshold.value if self.run.record.pixel_threshold else None

    def mask(self, result: FrameResult) -> Marks | None:
        """Return which pixels (H, W) of a result's image are in its regions; None for a method without maps."""
        counts = counting_px(self.view, result.shape)
        return None if result.map is None else region_mask(result.map, self.outline, result.shape, counts)

    def judged(self, frames: Iterable[Frame], batch_size: int = BATCH) -> Generator[tuple[Frame, FrameResult | None]]:
        """Give back every frame with its result, None for a frame without pixels."""
        smoother = Smoother(self.run.record.smoothing_s)
        for group, predictions, images in predicted(self.method, self.view, frames, batch_size):
            raw = enumerate(() if predictions is None else raw_scores(predictions, self.scorer).tolist())
            for frame in group:
                if frame.pixels is None or predictions is None:
                    yield frame, None
                    continue
                row, alone = next(raw)
                score = smoother(frame.clip, frame.time_s, alone)
                anomalous = score > self.threshold.value
                anomaly_map = None
                if predictions.maps is not None:
                    anomaly_map = self.view.whole(predictions.maps[row], frame.shape, self.outline)
                one = predictions.take([row])
                whole = anomalous and bool(without_place(one, self.scorer, self.threshold, self.outline)[0])
                p_value = float(p_values([score], self.normal_scores)[0])
                regions, specks, place = self._places(anomaly_map, frame.shape, anomalous and not whole)
                result = FrameResult(
                    score,
                    p_value=p_value,
                    anomalous=anomalous,
                    map=anomaly_map,
                    reconstruction=None if images is None else images[row],
                    whole=whole,
                    p_value_is_floor=is_floor(p_value, len(self.normal_scores)),
                    id=frame.id,
                    clip=frame.clip,
                    index=frame.index,
                    time_s=frame.time_s,
                    raw=alone,
                    region=place,
                    shape=frame.shape,
                    regions=regions,
                    specks=specks,
                )
                yield frame, result

    def _places(self, found: Map | None, shape: Size, anomalous: bool) -> tuple[tuple[Region, ...], int, Region | None]:
        """Return a map's regions, how many specks there are, and the one place to look at first."""
        if found is None:
            return (), 0, None
        counts = counting_px(self.view, shape)
        outline = outline_of(found, self.outline, shape, counts)
        stand_in = highest_place(found, shape, counts) if anomalous and not outline.regions else None
        return outline.regions, outline.specks, next(iter(outline.regions), stand_in)


@dataclass(frozen=True)
class Workplace:
    """What is at hand wherever something is done with a run."""

    registry: Registry
    root: Path | None = None  # the folder that holds the run's dataset, where it was moved
    device: str = "auto"
    skip_bad: bool = False  # go on without files that cannot be read
    progress: Progress = SILENT

    def model(self, run: Run) -> FittedModel:
        """Open a run as it is."""
        return open_model(run, self.registry, device=self.device)

    def dataset(self, run: Run) -> Dataset:
        """Open the dataset that a run learned from; raises AdkitError where it is gone."""
        require_plugin(run, self.registry.datasets, run.record.dataset)
        root = self.root or (Path(run.record.root) if run.record.root else None)
        (dataset,) = open_datasets(run.record.dataset, root, self.registry)
        return dataset


def require_plugin(run: Run, catalogue: Catalogue[Any], spec: str) -> None:
    """Raise PluginError where what a run needs, such as its method, is of a plugin that is not there any more."""
    name = spec.partition(":")[0]
    if name not in catalogue.entries:
        whose = f" of {run.record.origin}" if catalogue.sort == "method" else ""
        told = f"{run.record.id} needs the {catalogue.sort} {name}{whose}, which is not there"
        raise PluginError(told, hint="install what brings it, or name its file: adkit --plugin FILE.py …")


def open_model(run: Run, registry: Registry, *, scorer: str | None = None, device: str = "auto") -> FittedModel:
    """Load a run's method. Another `scorer` than the run's gets a threshold of its own from the stored maps."""
    from adkit.nn.moving import restored  # loads torch

    record = run.record
    require_plugin(run, registry.methods, record.method)
    if scorer is None and record.scorer:
        require_plugin(run, registry.scorers, record.scorer)
    method_class = registry.methods.get(record.method).load()
    model = options_of(method_class)
    options = stored_options(model, record.options, record.method)
    if options is None:
        differing = ", ".join(sorted(set(record.options) ^ set(model.model_fields)))
        told = f"{run.folder} was fitted with other options of {record.method} than it has now: {differing}"
        raise RunError(told, hint=f"fit again, or install {record.origin}")
    state = run.state()
    with plugin_code(record.origin):
        method = restored(method_class, options, record.settings.seed, device_of(device), state)
    chosen = open_scorer(scorer or record.scorer, registry)
    normal_scores, threshold = normal_scores_of(run, chosen)
    return FittedModel(run, method, chosen, normal_scores, threshold)


def normal_scores_of(run: Run, scorer: Scorer[Any] | None) -> tuple[NDArray[np.float64], Threshold]:
    """Return the run's normal scores as this scorer gives them, one for each unit, and the threshold its rule takes."""
    predictions = run.calibration()
    scores, unit = unit_scores(sample_scores(predictions, scorer, run.record.smoothing_s), predictions.clips)
    own = run.record.threshold
    return scores, threshold_from(scores, run.record.calibration.rule, unit, own.unit_s, own.left_out)


def colour_scale(run: Run) -> Scale | None:
    """Return the colours of the run's maps, the same in all its pictures; None for a method without maps."""
    maps, threshold = run.calibration().maps, run.record.pixel_threshold
    return None if maps is None else Scale.of_run(maps, threshold.value if threshold else None)


def calibrating_scores(run: Run, registry: Registry) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the units (images, or clips) whose scores set the run's threshold, and those scores."""
    scores, _ = normal_scores_of(run, open_scorer(run.record.scorer, registry))
    return tuple(dict.fromkeys(run.calibration().clips)), scores


def open_scorer(spec: str | None, registry: Registry) -> Scorer[Any] | None:
    """Return a scorer from "top1" or "quantile:q=0.9"; None for None (the method's own scores)."""
    if spec is None:
        return None
    name, _, settings = spec.partition(":")
    scorer_class = registry.scorers.get(name).load()
    parts = (part for part in settings.split(",") if part)
    values = split_assignments(parts, example="--scorer quantile:q=0.99")
    options = parse_options(options_of(scorer_class), values, f"scorer {name}")
    with plugin_code(scorer_class):
        return scorer_class(options)


def sample_scores(predictions: Predictions, scorer: Scorer[Any] | None, smoothing_s: float) -> NDArray[np.float64]:
    """Return (N,) scores of stored predictions: the scorer's of the maps, or the method's; those of clips smoothed."""
    return smoothed(raw_scores(predictions, scorer), predictions.clips, predictions.times_s, smoothing_s)


def raw_scores(predictions: Predictions, scorer: Scorer[Any] | None) -> NDArray[np.float64]:
    """Return (N,) scores, each of its frame alone: the scorer's, raised by what is odd as a whole beyond any place."""
    if scorer is None:
        assert predictions.scores is not None  # a fit names a scorer where there are maps only
        return predictions.scores.astype(np.float64)
    if predictions.maps is None:
        hint = "leave --scorer out; where none is given, the method's author takes its default_scorer out"
        raise OptionError("a scorer needs maps, and this method gives only scores", hint=hint)
    scores = [np.empty(0)]
    for first in range(0, len(predictions.maps), _MAPS):  # a part at a time: it is copied several times over
        maps = predictions.maps[first : first + _MAPS]
        scores.append(scores_of(scorer, maps))
        if predictions.scores is not None:
            # The unit of scores beside maps is that of their highest hundredth; another scorer's may be far smaller.
            places = maps.reshape(len(maps), -1).astype(np.float64)
            count = math.ceil(places.shape[1] / 100)
            highest = np.partition(places, -count, axis=1)[:, -count:].mean(axis=1)
            scores[-1] = scores[-1] + np.maximum(0, predictions.scores[first : first + _MAPS] - highest)
    return np.concatenate(scores)


def scores_of(scorer: Scorer[Any], maps: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a scorer's (N,) scores of maps (N, h, w); raises ValueError for anything but a finite number for each."""
    with plugin_code(type(scorer)):
        found = np.asarray(scorer(read_only(maps)), dtype=np.float64)
        if found.shape != (len(maps),) or not np.isfinite(found).all():
            raise ValueError(f"the scorer gave {found.shape} of {len(maps)} maps, or scores that are no numbers")
    return found


def without_place(
    predictions: Predictions, scorer: Scorer[Any] | None, threshold: Threshold, outline: float | None
) -> Marks:
    """Say of which images (N,) the map, beside a score as a whole, shows no place: none is above the `outline`."""
    if predictions.maps is None or predictions.scores is None or scorer is None or outline is None:
        return np.zeros(len(predictions.ids), bool)
    unmarked = predictions.maps.max(axis=(1, 2)) <= outline
    return np.asarray(unmarked & (raw_scores(replace(predictions, scores=None), scorer) <= threshold.value), bool)


def device_of(name: str) -> str:
    """Return the device that "auto" or another name means; raises OptionError for one that is not there."""
    from adkit.nn.devices import pick_device  # loads torch

    return pick_device(name)
