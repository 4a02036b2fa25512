"""Whether the parts that pass have changed."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from adkit.line.journal import Row
from adkit.runs.record import RunRecord
from adkit.stats.martingale import DriftMartingale


class DriftAlarm:
    """Says once when the scores of parts that pass are no longer like those that set the threshold.

    Defective parts are no drift: only scores up to the threshold count, on both sides. A false alarm comes on at most a
    share `level` of lines, however long they run. `doubt` says why these may be mixed.
    """

    def __init__(self, record: RunRecord, normal_scores: NDArray[np.float64], level: float) -> None:
        self._threshold, self._limit = record.threshold.value, -math.log10(level)
        reference = [score for score in normal_scores.tolist() if score <= self._threshold]
        self._wealth = DriftMartingale(reference, upwards=record.calibration.leave_one_out)
        self._told = False
        drifted = record.updates and record.updates[-1].drift and not record.earlier_calibrations
        self.doubt = (
            "when the run was updated, the new images scored higher than those before, and --drift compares with both: "
            f"adkit calibrate {record.id} --normal DIR makes today's parts what counts"
            if drifted
            else None
        )

    def after(self, earlier: Iterable[Row]) -> str | None:
        """Take in the rows from before it was asked; return the doubt."""
        for row in earlier:
            self(row)
        return self.doubt

    def __call__(self, row: Row) -> str | None:
        """Take in a row; return what to say, if anything."""
        if row["score"] is None or row["score"] > self._threshold or self._told:
            return None
        if self._wealth(row["score"]) < self._limit:
            return None
        self._told = True
        return (
            f"part {row['part']}: the scores have drifted from those that set the threshold; look at camera, light and "
            "parts, then: adkit audit, adkit calibrate"
        )
