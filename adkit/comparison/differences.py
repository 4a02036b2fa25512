"""What of the differences between candidates is more than noise.

Within a category the test images, or whole test clips, are resampled, the same ones for every candidate (paired,
stratified bootstrap); of images, AUROCs have DeLong's test (1988) and what is caught has McNemar's (1947). Across
categories a category is one observation (Demšar 2006).
"""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from adkit.stats.significance import (
    EQUAL_DIGITS,
    Friedman,
    Interval,
    difference_p_value,
    friedman,
    holm,
    least_categories,
    percentile_interval,
    wilcoxon,
)

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric of one candidate on one category, or on the mean of all."""

    value: float | None  # the mean over seeds
    why_undefined: str | None = None  # of its interval, where there is a value
    interval: Interval | None = None  # 95 %, from resampled test images or clips; None: the metric cannot be resampled
    by_seed: tuple[float, ...] = ()
    is_best: bool = False  # no other is better; of equal ones each is
    difference: float | None = None  # to the best
    difference_interval: Interval | None = None
    p_value: float | None = None  # of no difference to the best, after Holm over all pairs of candidates

    @property
    def is_worse(self) -> bool:
        """Return whether it is worse than the best by more than noise."""
        return self.p_value is not None and self.p_value < LEVEL


@dataclass(frozen=True, slots=True)
class AcrossCategories:
    """A test with a category as one observation; `why_not` says why there is none."""

    why_not: str | None = None
    p_value: float | None = None  # Wilcoxon's with Holm over metrics for two candidates, Friedman's for more
    friedman: Friedman | None = None
    categories: int = 0  # with a value for every candidate


@dataclass(frozen=True)
class Differences:
    """What is needed to test candidates against each other in one row: a category, or the mean of all."""

    replicates: Mapping[str, NDArray[np.float64]]
    tests: Mapping[frozenset[str], float] = field(default_factory=dict)  # p-values of the metric's own test, by pair

    def differences(self, name: str, other: str) -> NDArray[np.float64] | None:
        """Return the difference (R,) in each resample; None when the metric cannot be resampled."""
        if name not in self.replicates or other not in self.replicates:
            return None
        return np.round(self.replicates[name] - self.replicates[other], EQUAL_DIGITS)

    def interval(self, name: str, other: str) -> Interval | None:
        """Return the 95 % interval of the difference; None without one."""
        differences = self.differences(name, other)
        return None if differences is None or np.isnan(differences).all() else percentile_interval(differences)

    def p_value(self, name: str, other: str) -> float:
        """Return that of the metric's own test where there is one, else the bootstrap's; nan for neither.

        Where DeLong's variance is 0 and the difference is not, its p-value is 0, which is no certainty: the
        bootstrap's is taken there too.
        """
        p_value, differences = self.tests.get(frozenset((name, other)), 0.0), self.differences(name, other)
        if p_value != 0 or (differences is None and self.tests):
            return p_value
        return math.nan if differences is None else difference_p_value(differences)


def against_best(
    row: Mapping[str, Figure], differences: Differences, *, significance: bool, lower: bool
) -> dict[str, Figure]:
    """Return figures with differences to the best, intervals and, if asked for, p-values after Holm over all pairs."""
    defined = {name: figure.value for name, figure in row.items() if figure.value is not None}
    if len(defined) < 2:
        return {name: replace(figure, is_best=name in defined) for name, figure in row.items()}
    sign = -1 if lower else 1
    best = max(defined, key=lambda name: sign * round(defined[name], EQUAL_DIGITS))
    pairs = list(itertools.combinations(defined, 2))
    raw = [differences.p_value(*pair) for pair in pairs] if significance else [math.nan] * len(pairs)
    adjusted = dict(zip(map(frozenset, pairs), holm(np.array(raw)).tolist(), strict=True))
    result = {}
    for name, figure in row.items():
        if name == best or name not in defined:
            result[name] = replace(figure, is_best=name == best)
            continue
        p_value, difference = adjusted[frozenset((name, best))], round(defined[name] - defined[best], EQUAL_DIGITS)
        result[name] = replace(
            figure,
            is_best=difference == 0,
            difference=difference,
            difference_interval=differences.interval(name, best),
            p_value=None if math.isnan(p_value) else p_value,
        )
    return result


def across_categories(
    metrics: Sequence[str],
    categories: Sequence[str],
    candidates: Sequence[str],
    figures: Mapping[tuple[str, str, str], Figure],
    lower_is_better: Collection[str],
) -> dict[str, AcrossCategories]:
    """Return tests with a category as one observation, where there are enough; Holm's correction is over metrics."""
    if len(candidates) < 2:
        return {metric: AcrossCategories("there is one candidate only") for metric in metrics}
    tables = {}
    for metric in metrics:
        values = ([figures[metric, category, name].value for name in candidates] for category in categories)
        tables[metric] = np.array([row for row in values if None not in row], dtype=np.float64)
    defined = sum(len(table) > 0 for table in tables.values())
    least = least_categories(len(candidates), max(1, defined))
    found = {}
    for metric, whole in tables.items():
        if len(whole) < least:
            metrics_tested = f" (for {defined} metrics)" if defined > 1 else ""
            found[metric] = AcrossCategories(
                f"{len(whole)} {'category has' if len(whole) == 1 else 'categories have'} a value for every candidate, "
                f"and with fewer than {least}{metrics_tested} no difference could become significant",
                categories=len(whole),
            )
        elif len(candidates) == 2:
            found[metric] = AcrossCategories(p_value=wilcoxon(whole[:, 0], whole[:, 1]), categories=len(whole))
        else:
            result = friedman(-whole if metric in lower_is_better else whole)
            found[metric] = AcrossCategories(None, result.p_value, result, len(whole))
    tested = [metric for metric in metrics if found[metric].p_value is not None]
    raw = np.array([found[metric].p_value for metric in tested], dtype=np.float64)
    for metric, adjusted in zip(tested, holm(raw).tolist(), strict=True):
        found[metric] = replace(found[metric], p_value=adjusted)
    return found
