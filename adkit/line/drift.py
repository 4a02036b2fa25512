"""Whether the parts that pass have changed, asked after every part: a conformal test martingale.

A part's p-value is the share of all scores so far, those that set the threshold among them, that are as high; ties are
broken by chance. As long as parts are exchangeable, these are independent and uniform, exactly (Vovk, Gammerman and
Shafer 2005, chapter 7). Somebody who bets against that has wealth with mean 1 at any time, and it reaches 1/α with a
probability of at most α (Ville 1939): an alarm at 1/α is wrong on at most a share α of lines, however long they run.
The bets are those of the Simple Jumper (Vovk et al. 2021): shares of the wealth that now and then change direction.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from adkit.line.journal import Row
from adkit.runs.record import RunRecord

UPWARDS, BOTH_WAYS = (0.0, -1.0, -2.0), (0.0, -1.0, -2.0, 1.0, 2.0)
"""The bets: each multiplies its part of the wealth by 1 + bet (p - 1/2)."""
JUMPS = 0.01  # so large a share of the wealth is spread over the bets anew for each part


class DriftMartingale:
    """Wealth of who bets that scores do not go on as they began; `upwards`: on higher only, as references err high."""

    def __init__(self, reference: Iterable[float], *, upwards: bool, seed: int = 0) -> None:
        self._scores = sorted(reference)
        self._bets = np.array(UPWARDS if upwards else BOTH_WAYS)
        self._shares = np.full(len(self._bets), 1 / len(self._bets))  # of the wealth, on each bet
        self._random = np.random.default_rng(seed)
        self.log10_wealth = 0.0

    def __call__(self, score: float) -> float:
        """Take in the next score; return the wealth's decimal logarithm."""
        lower, upper = bisect_left(self._scores, score), bisect_right(self._scores, score)
        above, tied = len(self._scores) - upper, upper - lower
        p_value = (above + self._random.random() * (tied + 1)) / (len(self._scores) + 1)
        insort(self._scores, score)
        shares = (1 - JUMPS) * self._shares + JUMPS / len(self._shares)
        shares = shares * (1 + self._bets * (p_value - 0.5))
        factor = float(shares.sum())
        self._shares = shares / factor
        self.log10_wealth += math.log10(factor)
        return self.log10_wealth


class DriftAlarm:
    """Says once when the scores of parts that pass are no longer like those that set the threshold.

    Defective parts are no drift: only scores up to the threshold count, on both sides. A false alarm comes on at most a
    share `level` of lines, however long they run. `doubt` says why these may be mixed.
    """

    def __init__(self, record: RunRecord, normal_scores: NDArray[np.float64], level: float) -> None:
        self._threshold, self._limit = record.threshold.value, -math.log10(level)
        # The threshold is one of the scores, and the highest of those that pass by how it was chosen, not by chance.
        reference = sorted(score for score in normal_scores.tolist() if score <= self._threshold)[:-1]
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
