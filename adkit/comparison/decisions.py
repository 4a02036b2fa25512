"""What a candidate's runs decide at their own thresholds, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adkit.comparison.cells import Cell
from adkit.stats.rates import Rate


@dataclass(frozen=True, slots=True)
class Decisions:
    """What the runs' own thresholds do to the test split, all seeds together; the interval is of one seed's count."""

    false_alarms: tuple[Rate, ...]  # one for each seed; of good images, or of normal clips or their pieces
    misses: tuple[Rate, ...]  # of anomalous images, or of events
    expected_rate: float
    unit: str = "image"


@dataclass(frozen=True, slots=True)
class Expense:
    """What a candidate costs on a category: medians over seeds, the largest for memory and size."""

    fit_s: float
    predict_ms: float
    decode_ms: float
    peak_memory_bytes: int
    model_bytes: int


def decisions_of(cells: Sequence[Cell]) -> Decisions:
    """Of the cells of one candidate on one category, one for each seed."""
    expected = float(np.mean([cell.expected_rate for cell in cells]))
    counts = [cell.clips for cell in cells if cell.clips]
    if counts:
        return Decisions(
            tuple(Rate.counted(one.flagged, one.normal) for one in counts),
            tuple(Rate.counted(one.missed, one.events) for one in counts),
            expected,
            counts[0].unit,
        )
    return Decisions(
        tuple(Rate.of(cell.scores[~cell.anomalous] > cell.threshold) for cell in cells),
        tuple(Rate.of(cell.scores[cell.anomalous] <= cell.threshold) for cell in cells),
        expected,
    )


def expense_of(cells: Sequence[Cell]) -> Expense:
    """Of the same cells."""

    def median(name: str) -> float:
        return float(np.median([getattr(cell.cost, name) for cell in cells]))

    return Expense(
        median("fit_s") + median("calibrate_s"),
        median("predict_ms"),
        median("decode_ms"),
        max(cell.cost.peak_memory_bytes for cell in cells),
        max(cell.cost.model_bytes for cell in cells),
    )
