"""Whether scores have drifted, asked after every part: a conformal test martingale.

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

UPWARDS, BOTH_WAYS = (0.0, -1.0, -2.0), (0.0, -1.0, -2.0, 1.0, 2.0)
"""The bets: each multiplies its part of the wealth by 1 + bet (p - 1/2)."""
JUMPS = 0.01  # so large a share of the wealth is spread over the bets anew for each part


class DriftMartingale:
    """Wealth of who bets that scores do not go on as they began; `upwards` bets on higher scores only.

    That is for reference scores that err on the high side, as those of leave-one-out do.
    """

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
