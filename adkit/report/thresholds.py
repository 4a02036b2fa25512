"""The thresholds that a run's normal scores offer, and what each would change: the steps of the page's slider."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adkit.evaluation.evaluate import Evaluation
from adkit.evaluation.split_results import alarms_at
from adkit.stats.calibration import Threshold, ThresholdRule, parse_rate, threshold_from

MOST_STEPS = 120
"""The slider has no more steps than about this; with more ranks, the further ones are sampled ever more coarsely."""
LEAST_RANKS = 10
SHARE_OF_RANKS = 4
"""Of the normal scores, one in this many can become the threshold: nobody wants more false alarms than that."""
_IN_TABLE = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True, slots=True)
class Step:
    """A threshold that could be chosen from the normal scores."""

    threshold: Threshold
    rate: str  # what --max-false-alarms takes to set it
    name: str  # the normal sample whose score it is
    chosen: bool  # it is the run's own
    in_table: bool  # one of the few for a table
    caught: int | None = None  # in the test split; None without one
    false_alarms: int | None = None
    alarms: NDArray[np.bool_] | None = None  # (N,) frames of events that it would find; None: no clips
    outside: int | None = None  # of those events, that touch no true one; None: no clips


def threshold_steps(
    names: Sequence[str], scores: NDArray[np.float64], own: Threshold, evaluation: Evaluation | None
) -> list[Step]:
    """Return steps by ascending threshold, one of them the run's own; `scores` (n,) are those of normal units."""
    order = np.argsort(-scores, kind="stable")
    ranks = offered_ranks(len(scores), own.rank)
    steps = []
    for rank in reversed(ranks):
        rate = rate_for(rank, len(scores))
        threshold = threshold_from(scores, ThresholdRule("expected", parse_rate(rate)), own.unit, own.unit_s)
        decided = _decided(evaluation, threshold.value) if evaluation else ()
        in_table = rank in (*_IN_TABLE, own.rank, ranks[-1])
        steps.append(Step(threshold, rate, names[int(order[rank - 1])], rank == own.rank, in_table, *decided))
    return steps


def _decided(evaluation: Evaluation, threshold: float) -> tuple[int, int, NDArray[np.bool_] | None, int | None]:
    """Count what is caught and falsely flagged; of clips also return the alarms, and how many touch no true event."""
    split, results = evaluation.split, evaluation.results
    normal, ends_s = evaluation.normal_frame_scores, results.ends_s
    alarms = alarms_at(threshold, normal, results.clips, results.times_s, results.scores, ends_s)
    flags, flagged = alarms.tolist(), sum(part.score > threshold for part in split.normal)
    caught = sum(True in flags[event.frames.start : event.frames.stop] for event in split.events)
    if not split.rows:
        return caught, flagged, None, None
    return caught, flagged, alarms, len(results.spans_beside(alarms, results.anomalous))


def offered_ranks(count: int, own: int) -> list[int]:
    """Return the ranks that become steps, ascending, of `count` scores from the highest down, the run's own too."""
    lowest = max(min(count, max(LEAST_RANKS, count // SHARE_OF_RANKS)), own)
    ranks = {*range(1, lowest + 1)}
    if lowest > MOST_STEPS:
        ranks = {int(rank) for rank in np.round(np.geomspace(1, lowest, MOST_STEPS))} | {own}
    return sorted(ranks)


def rate_for(rank: int, count: int) -> str:
    """Return a short rate in percent for which the threshold is the rank-th largest of `count` scores: "0.94%"."""
    exact = 100 * rank / (count + 1)
    for digits in range(2, 12):
        scale = 10**digits
        text = f"{math.ceil(exact * scale - 1e-9) / scale:.{digits}f}".rstrip("0").rstrip(".") + "%"
        if float(text[:-1]) < 100 and ThresholdRule("expected", parse_rate(text)).rank(count) == rank:
            return text
    raise AssertionError(f"no rate gives rank {rank} of {count}")
