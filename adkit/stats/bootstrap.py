"""Metrics in resamples of a test split, for intervals: still images are drawn one by one, clips as a whole.

Frames of one clip are alike, so that to draw them one by one would make a figure look far more certain than it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from adkit.errors import AdkitError
from adkit.files.atomic import checksum
from adkit.interfaces import LabelledResults, Metric, MetricValue
from adkit.registry import Registry
from adkit.stats.significance import Interval, bootstrap_weights, percentile_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 2000
MOST_WEIGHTS = 2**24
"""So many weights are made at a time (128 MB): an hour of film has 90,000 frames, each drawn in 2,000 resamples."""


def resampled(
    results: LabelledResults, metrics: Mapping[str, tuple[Metric, float]], *, resamples: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """(R,) values of each metric that can be resampled, given with its value for the results as it is.

    The same seed and truth give the same resamples, so that differences of candidates are paired. A metric may compute
    its resamples more coarsely than its value: they are shifted so that both agree.
    """
    parts: dict[str, list[NDArray[np.float64]]] = {}
    for weights in clip_weights(results, resamples, seed):
        for name, (metric, _) in metrics.items():
            values = metric.resampled(results, weights)
            if values is not None:
                parts.setdefault(name, []).append(values)
    found = {}
    for name, pieces in parts.items():
        # The first row is the test split itself.
        itself, values = pieces[0][0], np.concatenate(pieces)[1:]
        if np.isfinite(itself):
            found[name] = values + (metrics[name][1] - itself)
    return found


def interval_of(replicates: NDArray[np.float64] | None) -> Interval | None:
    """The 95 % interval of a metric's resamples; None without any.

    None also where all of them agree: that says that nothing varied, not that nothing is uncertain.
    """
    if replicates is None or np.isnan(replicates).all():
        return None
    found = percentile_interval(replicates)
    return found if found.low < found.high else None


def clip_weights(results: LabelledResults, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """(r, N) parts of the weights of all samples, one after another; before the first resample, everything once.

    All-normal clips are drawn among themselves, and clips with an anomaly among themselves.
    """
    numbers: dict[str, int] = {}
    clip_of = np.array([numbers.setdefault(clip, len(numbers)) for clip in results.clips], dtype=np.int64)
    with_anomaly = np.zeros(len(numbers), bool)
    with_anomaly[clip_of[results.anomalous]] = True
    drawn = bootstrap_weights(with_anomaly, resamples, seed)
    drawn = np.concatenate([np.ones((1, len(numbers)), np.int64), drawn])
    rows = max(1, MOST_WEIGHTS // max(1, len(clip_of)))
    for first in range(0, len(drawn), rows):
        yield drawn[first : first + rows][:, clip_of]


def metrics_with_value(values: Mapping[str, MetricValue], registry: Registry) -> dict[str, tuple[Metric, float]]:
    """Those of the evaluation's metrics that are defined, with their values, ready to be resampled."""
    found = {}
    for name, result in values.items():
        try:
            if result.value is not None:
                found[name] = (registry.metrics.get(name).load()(), result.value)
        except AdkitError:  # two plugins claim the name
            continue
    return found


def resampling_seed(results: LabelledResults, test_hash: str) -> int:
    """The seed comes of the data: resamples are paired within a category, and independent between categories.

    Of clips it comes of their names: candidates may judge one frame in many, each in another many.
    """
    names = "\n".join(dict.fromkeys(results.clips)).encode(errors="surrogateescape")
    return int((checksum(names) if results.of_clips else test_hash)[:8], 16)
