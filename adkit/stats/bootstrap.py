"""Metrics in resamples of a test split, for intervals: still images are drawn one by one, clips as a whole.

Frames of one clip are alike, so that to draw them one by one would make a figure look far more certain than it is.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from adkit.containment import plugin_code
from adkit.files.atomic import checksum
from adkit.interfaces import Metric
from adkit.stats.segments import clip_numbers
from adkit.stats.significance import Interval, bootstrap_weights, percentile_interval
from adkit.types import LabelledResults, read_only

RESAMPLES = 2000
MOST_WEIGHTS = 2**24
"""Of what is made at a time (128 MB): an hour of video has 90,000 frames, each drawn in 2,000 resamples."""


def resampled(
    results: LabelledResults, metrics: Mapping[str, tuple[Metric, float]], *, resamples: int, seed: int
) -> tuple[dict[str, NDArray[np.float64]], dict[str, str]]:
    """Return (R,) values of each metric that can be resampled, and why others failed; values agree with the metric's.

    They are shifted to the metric's value for the results as they are.
    """
    left = dict(metrics)
    parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in metrics}
    failed = {}
    for weights in map(read_only, clip_weights(results, resamples, seed)):
        for name, (metric, _) in list(left.items()):
            try:
                with plugin_code(type(metric)):
                    values = metric.resampled(results, weights)
                if values is not None and np.shape(values) != (len(weights),):
                    raise ValueError(f"{len(weights)} resamples gave values of shape {np.shape(values)}")
            # A plugin may fail in any way: its value stands, and other metrics are not harmed.
            except Exception as error:
                whose, fault = f"{type(metric).__name__}.resampled", f"{type(error).__name__}: {error}"
                failed[name], values = f"no interval, as {whose} failed: {fault}", None
            if values is None:
                del left[name]
            else:
                parts[name].append(np.asarray(values, dtype=np.float64))
    found = {}
    for name, (_, value) in left.items():
        # The first row is the test split itself.
        itself, replicates = parts[name][0][0], np.concatenate(parts[name])[1:]
        if np.isfinite(itself):
            found[name] = replicates + (value - itself)
    return found, failed


def interval_of(replicates: NDArray[np.float64] | None) -> Interval | None:
    """Return the 95 % interval of a metric's resamples; None without any, and where none of them differs."""
    if replicates is None or np.isnan(replicates).all():
        return None
    found = percentile_interval(replicates)
    return found if found.low < found.high else None


def clip_weights(results: LabelledResults, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield parts (r, N) of all samples' weights, everything once first; clips with an anomaly are drawn apart."""
    clip_of = clip_numbers(results.clips)
    count = int(clip_of.max(initial=-1)) + 1
    with_anomaly = np.zeros(count, bool)
    with_anomaly[clip_of[results.anomalous]] = True
    drawn = np.concatenate([np.ones((1, count), np.int64), bootstrap_weights(with_anomaly, resamples, seed)])
    rows = max(1, MOST_WEIGHTS // max(1, len(clip_of)))
    for first in range(0, len(drawn), rows):
        yield drawn[first : first + rows][:, clip_of]


def resampling_seed(results: LabelledResults, test_hash: str) -> int:
    """Return the seed that comes of the data, or of clips' names: candidates may judge other frames of them."""
    names = "\n".join(dict.fromkeys(results.clips)).encode(errors="surrogateescape")
    return int((checksum(names) if results.of_clips else test_hash)[:8], 16)
