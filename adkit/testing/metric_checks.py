"""The check of metrics: see `adkit.testing.conformance`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adkit.errors import brief
from adkit.interfaces import Metric
from adkit.testing.told import told
from adkit.types import LabelledResults, MetricValue, read_only

RESAMPLING_TOLERANCE = 2e-2
"""A resampled metric may differ by this much from the metric: it may count pixels at fewer levels."""


@told
def check_metric(metric_class: type[Metric]) -> None:
    """Check perfect, wrong and undefined results, of still images and of clips, and resamples if there are any."""
    metric = metric_class()
    defined = [_check_judging(metric, case) for case in (_IMAGES, _FRAMES)]
    assert any(defined) or _check_judging(metric, replace(_IMAGES, enlarged=40)), (
        f"a plain case is undefined: {metric(_IMAGES.results()).why_undefined}"
    )


def _check_judging(metric: Metric, case: "_Case") -> bool:
    """Say whether the metric is defined for this sort of results; if so, check all that must hold then."""
    perfect, wrong = metric(case.results()), metric(case.results(right=[]))
    all_good = metric(case.results(anomalous=False))
    for what, found in (("a perfect result", perfect), ("a wrong result", wrong), ("without anomalies", all_good)):
        assert isinstance(found, MetricValue), f"{what} gives {brief(found)}, expected a MetricValue"
        assert found.value is None or np.isfinite(found.value), f"{what}: {found.value}"
    if perfect.value is None:
        return False
    assert wrong.value is not None, f"a plain case is undefined: {wrong.why_undefined}"
    better, worse = (perfect, wrong) if metric.higher_is_better else (wrong, perfect)
    assert (better.value or 0) > (worse.value or 0), (
        f"a perfect result gives {perfect.value}, a wrong one {wrong.value}; higher_is_better is "
        f"{metric.higher_is_better}"
    )
    if case.enlarged == 1:  # maps of two values only say too little of how finely resamples count
        _check_resampled(metric, case)
    return True


def _check_resampled(metric: Metric, case: "_Case") -> None:
    """Compare resamples of results, some right and some wrong, with results that are really drawn that often."""
    count, right = len(case.labels), (0, 2, 3, 5)
    once = np.ones(count, np.int64)
    by_chance = np.random.default_rng(0).multinomial(count, [1 / count] * count, size=20)
    only_good = (~case.labels.any(axis=1)).astype(np.int64)
    weights = np.vstack([once, once + np.eye(count, dtype=np.int64), by_chance, only_good])
    values = metric.resampled(case.results(right), read_only(weights.repeat(case.labels.shape[1], axis=1)))
    if values is None:
        return
    assert values.shape == (len(weights),), f"{len(weights)} resamples gave values of shape {values.shape}"
    assert values.dtype == np.float64, f"resampled values are {values.dtype}, expected float64"
    for drawn, found in zip(weights, values, strict=True):
        value = metric(case.results(right, drawn=np.arange(count).repeat(drawn))).value
        expected = np.nan if value is None else value
        assert np.isclose(found, expected, rtol=RESAMPLING_TOLERANCE / 10, atol=RESAMPLING_TOLERANCE, equal_nan=True), (
            f"samples drawn {drawn.tolist()} times give {found} resampled, but {expected} as results of their own"
        )


@dataclass(frozen=True)
class _Case:
    """Six clips, or images, which are clips of one frame: what is anomalous in them, and their scores."""

    labels: NDArray[np.bool_]  # (6, n)
    scores: NDArray[np.float64]  # (6, n)
    enlarged: int = 1  # maps have so many times 8 px a side

    def results(
        self, right: Sequence[int] = range(6), *, anomalous: bool = True, drawn: NDArray[np.int64] | None = None
    ) -> LabelledResults:
        """Give the results of these clips as often as they are `drawn`; those not `right` have all upside down."""
        chosen = np.arange(6) if drawn is None else drawn
        length = self.labels.shape[1]
        labels = (self.labels & anomalous)[chosen].ravel()
        kept = np.isin(chosen, right).repeat(length)
        times = self.enlarged
        masks = np.zeros((len(labels), 8 * times, 8 * times), bool)
        masks[labels, 2 * times : 5 * times, 2 * times : 6 * times] = True
        maps = np.where(kept[:, None, None], masks, ~masks).astype(np.float32)
        scores = self.scores[chosen].ravel()
        found = np.where(kept, scores, 1 - scores)
        return LabelledResults(
            scores=found,
            anomalous=labels,
            kinds=tuple("crack" if label else "good" for label in labels),
            threshold=0.5,
            pixel_threshold=0.5,
            maps=maps,
            has_masks=bool(labels.any()),
            pixels=lambda: zip(range(len(labels)), maps, masks, strict=True),
            clips=tuple(f"clip {number}" for number in range(len(chosen)) for _ in range(length)),
            times_s=np.tile(np.arange(length) / 25, len(chosen)),
            alarms=found > 0.5,
        )


_IMAGES = _Case(np.arange(6)[:, None] > 2, np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])[:, None])
_EVENTS = np.array([[0, 0, 0, 0, 0]] * 3 + [[0, 1, 1, 0, 0], [1, 0, 0, 1, 1], [0, 0, 0, 0, 1]], bool)
"""Two clips with an event, and one with two."""
_FRAMES = _Case(_EVENTS, np.where(_EVENTS, 0.7, 0.1) + np.linspace(0, 0.2, 30).reshape(6, 5))
