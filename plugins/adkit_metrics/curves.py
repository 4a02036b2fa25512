"""Figures of two histograms: how much that is good, and how much that is anomalous, lies at each level of score.

Histograms are (..., L), levels ascending; a figure is nan where nothing is good or nothing is anomalous.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

FPR_LIMIT = 0.3
LOW_FPR, HIGH_FPR = 0.00001, 0.0001
VALUES_AT_ONCE = 2**20  # the most numbers of one array in a chunk of resamples: 8 MB, of which a figure needs about ten


def share(part: NDArray[Any], whole: NDArray[Any], *, of_nothing: float = np.nan) -> Values:
    """Return part / whole, and `of_nothing` where the whole is not above 0."""
    shares = np.full(np.shape(part), of_nothing, np.float64)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares


def roc_area(good: Values, anomalous: Values) -> Values:
    """Return the chance that something anomalous lies above something good, ties half."""
    wins = anomalous * (np.cumsum(good, axis=-1) - good / 2)
    return share(wins.sum(axis=-1), anomalous.sum(axis=-1) * good.sum(axis=-1))


def average_precision(good: Values, anomalous: Values) -> Values:
    """Return the mean precision over the levels at which something anomalous is found."""
    found, false = _from_highest(anomalous), _from_highest(good)
    precision = share(found, found + false, of_nothing=0)
    total = (anomalous[..., ::-1] * precision).sum(axis=-1)
    return np.where(false[..., -1] > 0, share(total, found[..., -1]), np.nan)


def best_f1(good: Values, anomalous: Values) -> Values:
    """Return the best F1 of "at this level or above" over all levels."""
    found, false = _from_highest(anomalous), _from_highest(good)
    best = share(2 * found, found + false + found[..., -1:], of_nothing=0).max(axis=-1)
    return np.where((found[..., -1] > 0) & (false[..., -1] > 0), best, np.nan)


def overlap_area(good: Values, anomalous: Values) -> Values:
    """Return the mean share of the anomalous that is caught, over rates up to FPR_LIMIT; lines join the points."""
    rates, overlaps = _caught(good), _caught(anomalous)
    widths = np.diff(np.minimum(rates, FPR_LIMIT))
    counted = share(widths, np.diff(rates), of_nothing=0)
    heights = overlaps[..., :-1] + np.diff(overlaps) * counted / 2
    return np.asarray((widths * heights).sum(axis=-1) / FPR_LIMIT)


def log_recall(good: Values, anomalous: Values) -> Values:
    """Return the mean share of the anomalous that is caught, over the logarithm of rates from LOW_FPR to HIGH_FPR.

    A rate is the share of the good at a level or above. What lies at a level is caught from that level's rate on, so
    that the area needs no curve: it is the mean, over the anomalous, of the part of the range above their rates.
    """
    rates = _caught(good)[..., :0:-1]
    with np.errstate(divide="ignore"):  # a rate of 0 catches in all of the range
        caught = np.clip(np.log(HIGH_FPR / rates) / np.log(HIGH_FPR / LOW_FPR), 0, 1)
    return share((anomalous * caught).sum(axis=-1), anomalous.sum(axis=-1))


def in_chunks(weights: NDArray[np.int64], levels: int, figure: Callable[[NDArray[np.int64]], Values]) -> Values:
    """Turn figure(weights) of (R, N) weights into (R,), as many rows at a time as keep (rows, levels) arrays small."""
    rows = max(1, VALUES_AT_ONCE // levels)
    values = np.empty(len(weights))
    for first in range(0, len(weights), rows):
        values[first : first + rows] = figure(weights[first : first + rows])
    return values


def _from_highest(histogram: Values) -> Values:
    return np.cumsum(histogram[..., ::-1], axis=-1)


def _caught(histogram: Values) -> Values:
    """Return (..., L + 1): the share at or above each level, from none to all."""
    caught = _from_highest(histogram)
    caught = share(caught, np.broadcast_to(caught[..., -1:], caught.shape))
    return np.concatenate([np.zeros_like(caught[..., :1]), caught], axis=-1)
