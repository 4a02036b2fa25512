"""Figures of scores that need only their order, as they are and in resamples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from adkit.interfaces import LabelledResults
from adkit_metrics.curves import in_chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adkit_metrics.curves import Figure


def lacking_class(results: LabelledResults, thing: str) -> str | None:
    """Why nothing can be told apart; None where there are both sorts of `thing`s."""
    if not results.anomalous.any():
        return f"the test split has no anomalous {thing}"
    if results.anomalous.all():
        return f"the test split has no good {thing}"
    return None


def resampled(results: LabelledResults, weights: NDArray[np.int64], figure: Figure) -> NDArray[np.float64]:
    """The figure of the distinct scores' histograms in each resample: (R, N) weights -> (R,)."""
    order = np.argsort(results.scores)
    _, starts = np.unique(results.scores[order], return_index=True)
    anomalous = results.anomalous[order]

    def of_rows(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        drawn = rows[:, order].astype(np.float64)
        good = np.add.reduceat(drawn * ~anomalous, starts, axis=1)
        return figure(good, np.add.reduceat(drawn * anomalous, starts, axis=1))

    return in_chunks(weights, len(results.scores), of_rows)
