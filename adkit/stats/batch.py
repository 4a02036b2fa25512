"""Decisions by more than the threshold: over a batch, and with a third answer."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adkit.errors import PromiseError
from adkit.stats.formatting import SLACK, counted, rate_text

Row = Mapping[str, Any]
LOOK = "look"  # the decision of a part that a person is to look at


@dataclass(frozen=True, slots=True)
class Decisions:
    """How rows of images become anomalous or normal where the threshold alone does not decide.

    Of those called anomalous in a batch at most `false_share` is expected to be normal. A person looks at what is
    normal and has a p-value of at most `look`.
    """

    false_share: float | None = None
    look: float | None = None

    def require(self, expected_rate: float, count: int) -> None:
        """Raise PromiseError for a `look` that lies not above what the threshold flags, of `count` normal scores."""
        flagged = round(expected_rate * (count + 1))
        if self.look is not None and int(self.look * (count + 1) + SLACK) <= flagged:
            rate = rate_text(expected_rate)
            raise PromiseError(
                f"no part lies between: a person was to look up to {rate_text(self.look)}, the threshold flags {rate}",
                hint=f"ask for {rate_text((flagged + 1) / (count + 1))} or more",
            )

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Give each row its decision; with `false_share` none comes before the last is known."""
        if self.false_share is None:
            yield from map(self.third, rows)
            return
        batch = list(rows)
        known = [row for row in batch if row["p_value"] is not None]
        called = iter(called_anomalous([row["p_value"] for row in known], self.false_share).tolist())
        for row in batch:
            decided = row if row["p_value"] is None else {**row, "decision": "anomalous" if next(called) else "normal"}
            yield self.third(decided)

    def third(self, row: Row) -> Row:
        """Turn a normal row into one to look at, where it is near to anomalous."""
        is_near = self.look is not None and row["decision"] == "normal" and row["p_value"] <= self.look + SLACK
        return {**row, "decision": LOOK} if is_near else row

    def notes(self, total: int, count: int) -> Iterator[str]:
        """Say what a batch of so many images, judged by `count` normal scores, can be promised."""
        if self.look is not None:
            yield f"{LOOK}: of good parts at most {rate_text(self.look)} on average are not called normal"
        if self.false_share is None:
            return
        yield (
            f"of those called anomalous at most {rate_text(self.false_share)} are expected to be good parts, as long "
            "as the good ones here are like those that set the threshold"
        )
        fewest = int(np.ceil(total / (self.false_share * (count + 1)) - SLACK))
        if fewest > 1:
            yield (
                f"{counted(count, 'normal score')} can tell {total:,} images apart only where {fewest:,} or more are "
                "anomalous at once: adkit calibrate RUN --normal DIR --keep adds scores"
            )


def called_anomalous(p_values: ArrayLike, share: float) -> NDArray[np.bool_]:
    """Say which of a batch (N,) to call anomalous, so that at most `share` of those are expected to be normal.

    Benjamini and Hochberg (1995): the k lowest p-values, for the largest k whose highest is at most `share` k / N. It
    holds for p-values that share their normal scores (Bates et al. 2023, arXiv 2104.08279, theorem 2), as long as the
    normal ones of the batch are exchangeable with those.
    """
    from scipy.stats import false_discovery_control  # takes half a second to import

    return np.asarray(false_discovery_control(p_values) <= share + SLACK, np.bool_)
