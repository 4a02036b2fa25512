"""From cells to figures: means, paired intervals, and what of the differences is more than noise.

Within a category the test images, or whole test clips, are resampled, the same ones for every candidate (paired,
stratified bootstrap); image AUROCs have DeLong's interval and test (1988). Across categories a category is one
observation (Demšar 2006). Seeds are a level of their own: a figure is the mean over seeds, its interval is of the test
images or clips, and the spread over seeds stands beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from adkit.comparison.cells import Cell
from adkit.comparison.decisions import Decisions, Expense, decisions_of, expense_of
from adkit.comparison.grid import Candidate
from adkit.errors import RunError
from adkit.stats.bootstrap import interval_of
from adkit.stats.significance import (
    Delong,
    Friedman,
    Interval,
    auroc_interval,
    delong,
    delong_p_value,
    difference_p_value,
    friedman,
    holm,
    least_categories,
    percentile_interval,
    wilcoxon,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALL = "all categories"
LEVEL = 0.05
_EQUAL_DIGITS = 12  # figures that are equal may differ in the sixteenth digit, in every resample alike
DELONG_METRIC = "image_auroc"


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric of one candidate on one category, or on the mean of all."""

    value: float | None  # the mean over seeds
    why_undefined: str | None = None
    interval: Interval | None = None  # 95 %, from resampled test images or clips; None: the metric cannot be resampled
    by_seed: tuple[float, ...] = ()
    is_best: bool = False
    difference: float | None = None  # to the best
    difference_interval: Interval | None = None
    p_value: float | None = None  # of no difference to the best, after Holm over all pairs of candidates

    @property
    def is_worse(self) -> bool:
        """Whether it is worse than the best by more than noise."""
        return self.p_value is not None and self.p_value < LEVEL


@dataclass(frozen=True, slots=True)
class AcrossCategories:
    """A test with a category as one observation; `why_not` says why there is none."""

    why_not: str | None = None
    p_value: float | None = None  # Wilcoxon's with Holm over metrics for two candidates, Friedman's for more
    friedman: Friedman | None = None
    categories: int = 0  # with a value for every candidate


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison's tables and pages show."""

    candidates: tuple[Candidate, ...]
    categories: tuple[str, ...]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    figures: Mapping[tuple[str, str, str], Figure]  # (metric, category or ALL, candidate)
    decisions: Mapping[tuple[str, str], Decisions]  # (category, candidate)
    expenses: Mapping[tuple[str, str], Expense]
    across: Mapping[str, AcrossCategories]  # metric
    runs: Mapping[tuple[str, str], tuple[str, ...]]  # (category, candidate) -> folders, one for each seed
    failures: Mapping[tuple[str, str, int], str] = field(default_factory=dict)
    of_clips: frozenset[str] = frozenset()  # the categories whose test split has clips, not still images

    @property
    def things(self) -> str:
        """What is resampled, in the plural."""
        if not self.of_clips:
            return "test images"
        return "test clips" if self.of_clips >= set(self.categories) else "test images (test clips, of films)"

    @property
    def rows(self) -> tuple[str, ...]:
        """The categories, and their mean where there are several."""
        return (*self.categories, ALL) if len(self.categories) > 1 else self.categories


Group = dict[tuple[str, str], list[Cell]]
"""(category, candidate) -> its cells in the order of seeds."""


def compare_cells(
    candidates: Sequence[Candidate],
    categories: Sequence[str],
    seeds: Sequence[int],
    cells: Sequence[Cell],
    failures: Mapping[tuple[str, str, int], str],
    lower_is_better: Collection[str] = (),
) -> Comparison:
    """The comparison of these cells; raises RunError when those of one category were judged on different data.

    Of all metrics but those in `lower_is_better`, higher is better.
    """
    group: Group = {(category, one.name): [] for category in categories for one in candidates}
    for cell in sorted(cells, key=lambda cell: cell.seed):
        group[cell.category, cell.candidate].append(cell)
    for category in categories:
        _require_same_data(category, [cell for cell in cells if cell.category == category])
    complete = {place: found for place, found in group.items() if found and not _lacking(place, failures)}
    metrics = tuple(dict.fromkeys(name for cell in cells for name in cell.metrics))
    figures: dict[tuple[str, str, str], Figure] = {}
    for metric in metrics:
        for category in categories:
            row = {one.name: _figure(metric, category, one.name, complete, failures) for one in candidates}
            tests = _tests(metric, category, complete)
            tested = _against_best(row, tests, significance=True, lower=metric in lower_is_better)
            figures |= {(metric, category, name): figure for name, figure in tested.items()}
        if len(categories) > 1:
            row = {one.name: _mean_figure(metric, categories, one.name, figures, complete) for one in candidates}
            tests = _mean_tests(metric, complete)
            tested = _against_best(row, tests, significance=False, lower=metric in lower_is_better)
            figures |= {(metric, ALL, name): figure for name, figure in tested.items()}
    return Comparison(
        tuple(candidates),
        tuple(categories),
        tuple(sorted(seeds)),
        metrics,
        figures,
        {place: decisions_of(found) for place, found in complete.items()},
        {place: expense_of(found) for place, found in complete.items()},
        _across(metrics, categories, [one.name for one in candidates], figures, lower_is_better),
        {place: tuple(cell.run for cell in found) for place, found in complete.items()},
        failures,
        frozenset(cell.category for cell in cells if cell.clips),
    )


def _require_same_data(category: str, cells: Sequence[Cell]) -> None:
    for cell in cells[1:]:
        same = cell.test_hash == cells[0].test_hash and cell.ids == cells[0].ids
        if cell.clips and cells[0].clips and cell.ids != cells[0].ids:
            # One may judge every frame, the other one in ten: the clips are the same, and they are what is resampled.
            same = cell.clips.names == cells[0].clips.names
        if not same:
            raise RunError(
                f"{cells[0].run} and {cell.run} were judged on different test images of {category}",
                hint="compare runs of the same data; adkit eval judges a run anew",
            )


def _lacking(place: tuple[str, str], failures: Mapping[tuple[str, str, int], str]) -> str | None:
    return next((why for (category, name, _), why in failures.items() if (category, name) == place), None)


def _figure(
    metric: str,
    category: str,
    candidate: str,
    complete: Group,
    failures: Mapping[tuple[str, str, int], str],
) -> Figure:
    cells = complete.get((category, candidate))
    if cells is None:
        return Figure(None, _lacking((category, candidate), failures) or "not computed")
    values = [value for cell in cells if (value := cell.metrics.get(metric)) is not None]
    if len(values) < len(cells):
        why = next(cell.why_undefined.get(metric, "not defined") for cell in cells if cell.metrics.get(metric) is None)
        return Figure(None, why)
    interval = interval_of(_replicates(metric, cells))
    if metric == DELONG_METRIC and not cells[0].clips:
        found = delong([[cell.scores for cell in cells]], cells[0].anomalous)
        anomalous = int(cells[0].anomalous.sum())
        normal = len(cells[0].anomalous) - anomalous
        by_delong = auroc_interval(float(np.mean(values)), float(found.covariance[0, 0]), normal, anomalous)
        interval = by_delong or interval  # DeLong's has no variance with a single sample of a kind
    return Figure(float(np.mean(values)), None, interval, tuple(values))


def _replicates(metric: str, cells: Sequence[Cell]) -> NDArray[np.float64] | None:
    """(R,) means over seeds in each resample; None when the metric cannot be resampled."""
    if any(metric not in cell.replicates for cell in cells):
        return None
    mean: NDArray[np.float64] = np.mean([cell.replicates[metric] for cell in cells], axis=0)
    return mean


def _mean_figure(
    metric: str,
    categories: Sequence[str],
    candidate: str,
    figures: Mapping[tuple[str, str, str], Figure],
    complete: Group,
) -> Figure:
    """The mean over categories, which were resampled independently of each other."""
    parts = [figures[metric, category, candidate] for category in categories]
    lacking = next((part.why_undefined for part in parts if part.value is None), None)
    if lacking:
        return Figure(None, f"not defined on every category: {lacking}")
    values = [part.value for part in parts if part.value is not None]
    replicates = _mean_replicates(metric, categories, candidate, complete)
    by_seed: tuple[float, ...] = ()
    if len({len(part.by_seed) for part in parts}) == 1:
        by_seed = tuple(np.mean([part.by_seed for part in parts], axis=0).tolist())
    return Figure(float(np.mean(values)), None, interval_of(replicates), by_seed)


def _difference_interval(differences: NDArray[np.float64] | None) -> Interval | None:
    if differences is None or np.isnan(differences).all():
        return None
    return percentile_interval(differences)


def _mean_replicates(
    metric: str, categories: Sequence[str], candidate: str, complete: Group
) -> NDArray[np.float64] | None:
    parts = [_replicates(metric, complete[category, candidate]) for category in categories]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    mean: NDArray[np.float64] = np.mean(known, axis=0)
    return mean


@dataclass(frozen=True)
class _Tests:
    """What is needed to test candidates against each other on one category."""

    replicates: Mapping[str, NDArray[np.float64]]
    delong: Delong | None = None
    names: tuple[str, ...] = ()  # of DeLong's candidates

    def differences(self, name: str, other: str) -> NDArray[np.float64] | None:
        """(R,) differences in each resample; None when the metric cannot be resampled."""
        if name not in self.replicates or other not in self.replicates:
            return None
        return np.round(self.replicates[name] - self.replicates[other], _EQUAL_DIGITS)

    def p_value(self, name: str, other: str) -> float:
        """DeLong's where there is one, else the bootstrap's; nan for neither.

        Where DeLong's variance is 0 and the difference is not, its p-value is 0, which is no certainty: the
        bootstrap's is taken there too.
        """
        p_value = float("nan")
        if self.delong is not None:
            p_value = delong_p_value(self.delong, self.names.index(name), self.names.index(other))
            if p_value != 0:
                return p_value
        differences = self.differences(name, other)
        return p_value if differences is None else difference_p_value(differences)


def _tests(metric: str, category: str, complete: Group) -> _Tests:
    here = {name: cells for (place, name), cells in complete.items() if place == category}
    found = {name: _replicates(metric, cells) for name, cells in here.items()}
    known = {name: values for name, values in found.items() if values is not None}
    # DeLong's variance is that of independent samples: frames of clips are none.
    of_clips = any(cell.clips for cells in here.values() for cell in cells)
    if metric != DELONG_METRIC or of_clips or len({len(cells) for cells in here.values()}) != 1:
        return _Tests(known)
    scores = np.stack([[cell.scores for cell in cells] for cells in here.values()])
    return _Tests(known, delong(scores, next(iter(here.values()))[0].anomalous), tuple(here))


def _mean_tests(metric: str, complete: Group) -> _Tests:
    """For the mean over all categories: differences in each resample."""
    names = list(dict.fromkeys(name for _, name in complete))
    categories = list(dict.fromkeys(category for category, _ in complete))
    everywhere = [name for name in names if all((one, name) in complete for one in categories)]
    found = {name: _mean_replicates(metric, categories, name, complete) for name in everywhere}
    return _Tests({name: values for name, values in found.items() if values is not None})


def _against_best(row: Mapping[str, Figure], tests: _Tests, *, significance: bool, lower: bool) -> dict[str, Figure]:
    """The figures with their differences to the best, its intervals and, where asked for, p-values.

    Holm's correction is over all pairs of candidates: which of them is best was not known beforehand.
    """
    defined = {name: figure.value for name, figure in row.items() if figure.value is not None}
    if len(defined) < 2:
        return {name: replace(figure, is_best=name in defined) for name, figure in row.items()}
    sign = -1 if lower else 1
    best = max(defined, key=lambda name: sign * round(defined[name], _EQUAL_DIGITS))
    pairs = list(itertools.combinations(defined, 2))
    raw = [tests.p_value(*pair) for pair in pairs] if significance else [float("nan")] * len(pairs)
    adjusted = dict(zip(map(frozenset, pairs), holm(np.array(raw)).tolist(), strict=True))
    result = {}
    for name, figure in row.items():
        if name == best or name not in defined:
            result[name] = replace(figure, is_best=name == best)
            continue
        p_value = adjusted[frozenset((name, best))]
        result[name] = replace(
            figure,
            difference=round(defined[name] - defined[best], _EQUAL_DIGITS),
            difference_interval=_difference_interval(tests.differences(name, best)),
            p_value=None if np.isnan(p_value) else p_value,
        )
    return result


def _across(
    metrics: Sequence[str],
    categories: Sequence[str],
    candidates: Sequence[str],
    figures: Mapping[tuple[str, str, str], Figure],
    lower_is_better: Collection[str],
) -> dict[str, AcrossCategories]:
    """Tests with a category as one observation, where their number allows it; Holm's correction is over metrics."""
    if len(candidates) < 2:
        return {metric: AcrossCategories("there is one candidate only") for metric in metrics}
    tables = {}
    for metric in metrics:
        values = [[figures[metric, category, name].value for name in candidates] for category in categories]
        tables[metric] = np.array([row for row in values if None not in row], dtype=np.float64)
    defined = sum(len(table) > 0 for table in tables.values())
    least = least_categories(len(candidates), max(1, defined))
    found = {}
    for metric, whole in tables.items():
        if len(whole) < least:
            metrics_tested = f" (for {defined} metrics)" if defined > 1 else ""
            found[metric] = AcrossCategories(
                f"{len(whole)} {'category' if len(whole) == 1 else 'categories'} with a value for every candidate: "
                f"with fewer than {least}{metrics_tested}, no difference could become significant",
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
