"""From cells to figures: means over seeds with their intervals, decisions, cost, and the comparison of them all.

Seeds are a level of their own: a figure is the mean over seeds, its interval is of the test images or clips, and the
spread over seeds stands beside it.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adkit.comparison.cells import SIZES, TIMES, Cell, Cost
from adkit.comparison.differences import AcrossCategories, Differences, Figure, across_categories, against_best
from adkit.comparison.grid import Candidate
from adkit.errors import RunError
from adkit.evaluation.tables import AUROCS, CAUGHT
from adkit.stats.bootstrap import interval_of
from adkit.stats.calibration import most_alarms
from adkit.stats.rates import Rate, over_seeds
from adkit.stats.significance import auroc_interval, delong, delong_p_value, mcnemar, proportion_interval

Replicates = Mapping[tuple[str, str], NDArray[np.float64]]
ALL = "all categories"


@dataclass(frozen=True, slots=True)
class DecisionsBySeed:
    """What the runs' own thresholds do to the test split, all seeds together; the interval is of one seed's count."""

    caught: tuple[Rate, ...]  # one for each seed; of anomalous images, or of events
    false_alarms: tuple[Rate, ...]  # of good images, or of normal clips or their pieces
    promised: float  # how many false alarms a seed's threshold promises on average …
    promised_most: int  # … and with 95 % certainty at most
    at: str
    unit: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison's tables and pages show."""

    candidates: tuple[Candidate, ...]
    categories: tuple[str, ...]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    figures: Mapping[tuple[str, str, str], Figure]  # (metric, category or ALL, candidate)
    decisions: Mapping[tuple[str, str], DecisionsBySeed]  # (category or ALL, candidate)
    expenses: Mapping[tuple[str, str], Cost]
    across: Mapping[str, AcrossCategories]  # metric
    runs: Mapping[tuple[str, str], tuple[str, ...]]  # (category, candidate) -> folders, one for each seed
    failures: Mapping[tuple[str, str, int], str] = field(default_factory=dict)
    of_clips: frozenset[str] = frozenset()  # the categories whose test split has clips, not still images

    @property
    def things(self) -> str:
        """Return what is resampled, in the plural."""
        if not self.of_clips:
            return "test images"
        return "test clips" if self.of_clips >= set(self.categories) else "test images (test clips, of videos)"

    @property
    def rows(self) -> tuple[str, ...]:
        """Return the categories, and their mean where there are several."""
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
    """Return the comparison of these cells; raise RunError when one category's were judged on different data."""
    names = [one.name for one in candidates]
    group: Group = {(category, name): [] for category in categories for name in names}
    for cell in sorted(cells, key=lambda cell: cell.seed):
        group[cell.category, cell.candidate].append(cell)
    for category in categories:
        _require_same_data(category, [cell for cell in cells if cell.category == category])
    failed: dict[tuple[str, str], str] = {}
    for (category, name, _), why in failures.items():
        failed.setdefault((category, name), why)
    complete = {place: found for place, found in group.items() if found and place not in failed}
    lacking = {place: Figure(None, failed.get(place, "not computed")) for place in group.keys() - complete.keys()}
    metrics = tuple(dict.fromkeys(name for cell in cells for name in cell.metrics))
    figures: dict[tuple[str, str, str], Figure] = {}
    for metric in metrics:
        replicates, lower = _replicates(metric, categories, names, complete), metric in lower_is_better
        for category in categories:
            places = {name: (category, name) for name in names}
            row = {
                name: lacking.get(place) or _figure(metric, complete[place], replicates.get(place))
                for name, place in places.items()
            }
            differences = Differences(_of_row(category, replicates), _tests(metric, category, complete))
            tested = against_best(row, differences, significance=True, lower=lower)
            figures |= {(metric, category, name): figure for name, figure in tested.items()}
        if len(categories) > 1:
            row = {
                name: _mean_figure([figures[metric, one, name] for one in categories], replicates.get((ALL, name)))
                for name in names
            }
            if metric == CAUGHT and not any(cell.clips for cell in cells):
                row = {name: _with_bounds(one, name, categories, complete) for name, one in row.items()}
            tested = against_best(row, Differences(_of_row(ALL, replicates)), significance=False, lower=lower)
            figures |= {(metric, ALL, name): figure for name, figure in tested.items()}
    return Comparison(
        tuple(candidates),
        tuple(categories),
        tuple(sorted(seeds)),
        metrics,
        figures,
        _decided(categories, names, complete),
        {place: _expense(found) for place, found in complete.items()},
        across_categories(metrics, categories, names, figures, lower_is_better),
        {place: tuple(cell.run for cell in found) for place, found in complete.items()},
        failures,
        frozenset(cell.category for cell in cells if cell.clips),
    )


def _require_same_data(category: str, cells: Sequence[Cell]) -> None:
    for cell in cells[1:]:
        same = cell.test_hash == cells[0].test_hash and cell.ids == cells[0].ids
        if cell.clips and cells[0].clips and cell.ids != cells[0].ids:
            # One may judge every frame, the other one in ten: the clips are the same, and they are what is resampled.
            same = cell.clips == cells[0].clips
        if not same:
            told = f"{cells[0].run} and {cell.run} were judged on different test images of {category}"
            raise RunError(told, hint="compare runs of the same data; adkit eval judges a run anew")


def _replicates(metric: str, categories: Sequence[str], names: Sequence[str], complete: Group) -> Replicates:
    """Return means over seeds (R,) in resamples that each category has of its own, by category or ALL and candidate."""
    found: dict[tuple[str, str], NDArray[np.float64]] = {
        place: np.mean([cell.replicates[metric] for cell in cells], axis=0)
        for place, cells in complete.items()
        if all(metric in cell.replicates for cell in cells)
    }
    for name in names:
        if all((category, name) in found for category in categories):
            found[ALL, name] = np.mean([found[category, name] for category in categories], axis=0)
    return found


def _of_row(row: str, replicates: Replicates) -> dict[str, NDArray[np.float64]]:
    return {name: values for (place, name), values in replicates.items() if place == row}


def _figure(metric: str, cells: Sequence[Cell], replicates: NDArray[np.float64] | None) -> Figure:
    """Return the figure of one candidate on one category."""
    values = [value for cell in cells if (value := cell.metrics.get(metric)) is not None]
    if len(values) < len(cells):
        why = next(cell.why_undefined.get(metric, "not defined") for cell in cells if cell.metrics.get(metric) is None)
        return Figure(None, why)
    interval = interval_of(replicates)
    if metric == CAUGHT and not cells[0].clips:
        _, interval = over_seeds([cell.caught for cell in cells])
    elif metric == CAUGHT and len({cell.caught for cell in cells}) == 1:
        interval = interval or cells[0].caught.interval
    if metric == AUROCS[0] and not cells[0].clips:
        found = delong([[cell.scores for cell in cells]], cells[0].anomalous)
        anomalous = int(cells[0].anomalous.sum())
        normal = len(cells[0].anomalous) - anomalous
        by_delong = auroc_interval(float(np.mean(values)), float(found.covariance[0, 0]), normal, anomalous)
        interval = by_delong or interval  # DeLong's has no variance with a single sample of a kind
    why_none = next((cell.why_undefined[metric] for cell in cells if metric in cell.why_undefined), None)
    return Figure(float(np.mean(values)), why_none, interval, tuple(values))


def _mean_figure(parts: Sequence[Figure], replicates: NDArray[np.float64] | None) -> Figure:
    """Return the mean over categories of one candidate's figures."""
    lacking = next((part.why_undefined for part in parts if part.value is None), None)
    if lacking:
        return Figure(None, f"not defined on every category: {lacking}")
    by_seed: tuple[float, ...] = ()
    if len({len(part.by_seed) for part in parts}) == 1:
        by_seed = tuple(np.mean([part.by_seed for part in parts], axis=0).tolist())
    mean = float(np.mean([part.value for part in parts if part.value is not None]))
    return Figure(mean, None, interval_of(replicates), by_seed)


def _with_bounds(figure: Figure, name: str, categories: Sequence[str], complete: Group) -> Figure:
    """Return the mean share of what is caught with Clopper and Pearson's interval, of as many images as tell as much.

    The mean over categories varies as a share of as many as their harmonic mean says: all, where they are alike.
    """
    if figure.value is None:
        return figure
    totals = [complete[category, name][0].caught.total for category in categories]
    alike = len(totals) ** 2 / sum(1 / total for total in totals)
    return replace(figure, interval=proportion_interval(figure.value * alike, alike))


def _tests(metric: str, category: str, complete: Group) -> dict[frozenset[str], float]:
    """Return p-values by pair of a category's candidates, where the metric has a test of its own for images."""
    here = {name: cells for (place, name), cells in complete.items() if place == category}
    of_clips = any(cell.clips for cells in here.values() for cell in cells)  # their frames are not independent
    if of_clips or len({len(cells) for cells in here.values()}) != 1:
        return {}
    anomalous = next(iter(here.values()))[0].anomalous
    pairs = list(itertools.combinations(here, 2))
    if metric == AUROCS[0]:
        names = list(here)
        found = delong(np.stack([[cell.scores for cell in cells] for cells in here.values()]), anomalous)
        return {frozenset(pair): delong_p_value(found, *map(names.index, pair)) for pair in pairs}
    if metric == CAUGHT:
        caught = {name: [one.scores[anomalous] > one.threshold.value for one in cells] for name, cells in here.items()}
        return {frozenset(pair): mcnemar(*map(caught.__getitem__, pair)) for pair in pairs}
    return {}


def _decided(
    categories: Sequence[str], names: Sequence[str], complete: Group
) -> dict[tuple[str, str], DecisionsBySeed]:
    """Return the decisions on each category, and together on all of them where a candidate has several."""
    found = {place: _decisions([cells]) for place, cells in complete.items()}
    for name in names:
        parts = [complete[category, name] for category in categories if (category, name) in complete]
        if len(parts) == len(categories) > 1 and len({len(cells) for cells in parts}) == 1:
            found[ALL, name] = _decisions(parts)
    return found


def _decisions(parts: Sequence[Sequence[Cell]]) -> DecisionsBySeed:
    """Return what the cells of one candidate decide together: of each category one cell for each seed."""
    first = [cells[0] for cells in parts]
    promises = [(cell.false_alarms.total, cell.threshold) for cell in first]
    units = {cell.unit for cell in first}
    return DecisionsBySeed(
        tuple(Rate.sum_of([cell.caught for cell in of_seed]) for of_seed in zip(*parts, strict=True)),
        tuple(Rate.sum_of([cell.false_alarms for cell in of_seed]) for of_seed in zip(*parts, strict=True)),
        sum(total * threshold.expected_rate for total, threshold in promises),
        most_alarms([(total, threshold.rank, threshold.count) for total, threshold in promises]),
        "; ".join(dict.fromkeys(cell.at for cell in first)),
        units.pop() if len(units) == 1 else "image",
        tuple(cell.seed for cell in parts[0]),
    )


def _expense(cells: Sequence[Cell]) -> Cost:
    """Return what the same cells cost: medians over seeds, the largest for memory and size."""
    costs = [cell.cost for cell in cells]
    found: dict[str, Any] = {name: float(np.median([getattr(one, name) for one in costs])) for name in TIMES}
    return Cost(**found, **{name: max(getattr(one, name) for one in costs) for name in SIZES})
