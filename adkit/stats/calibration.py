"""Thresholds and p-values from the scores of normal data only, what they promise, and whether that is kept.

The threshold is the k-th largest of n out-of-sample normal scores, and a sample is called anomalous when its
score lies above it. For exchangeable continuous scores, the false-alarm rate of that rule on new normal data
follows Beta(k, n + 1 - k), whatever the scores' distribution (order statistics; the split-conformal argument
of Vovk et al. 2005, and Bates et al. 2023, arXiv 2104.08279, for outliers).

The unit is the image, or for video the clip: frames of one clip are alike, and alike is not exchangeable.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adkit.errors import OptionError, PromiseError
from adkit.stats.formatting import SLACK, Unit, UnitName, bound_text, counted, duration_text, often_text, rate_text
from adkit.stats.segments import clip_numbers, grouped, length_s

CERTAINTY = 0.95
USUAL_RATE = 0.01  # the false-alarm rate that is aimed at when the user asks for none


@dataclass(frozen=True, slots=True)
class Threshold:
    """The score above which a sample is called anomalous, and the false-alarm rate to expect of it."""

    value: float
    rank: int  # it is the rank-th largest …
    count: int  # … of this many normal scores
    expected_rate: float  # mean of the false-alarm rate over draws of the normal data
    certain_rate: float  # with 95 % certainty the false-alarm rate is at most this
    unit: UnitName = "image"  # what a false alarm is counted by
    unit_s: float | None = None  # how long a clip lasts, on average of those that set it
    left_out: int = 0  # units without a say in it, since they are held for anomalous

    @property
    def words(self) -> Unit:
        """Return what a false alarm is counted by, with its words."""
        return Unit.of(self.unit)

    @property
    def alarm_every_s(self) -> float | None:
        """Return the seconds of normal operation to one flagged clip; None where clips have no known length."""
        return None if self.unit_s is None else self.unit_s / self.expected_rate

    def promise(self) -> str:
        """Return the threshold in words."""
        rate, every_s = self.expected_rate, self.alarm_every_s
        in_time = "" if every_s is None else f", one in {duration_text(every_s)}"
        return (
            f"flags about {often_text(rate)} normal {self.unit}s{_each(self.unit_s)} ({rate_text(rate)}){in_time}, "
            f"with {CERTAINTY:.0%} certainty at most {bound_text(self.certain_rate)}; "
            f"from {counted(self.count, 'out-of-sample normal score')}{self._assumption()}"
        )

    def _assumption(self) -> str:
        """Say what the promise takes for granted of those that were left out, and what it would be otherwise."""
        if not self.left_out:
            return ""
        others, they = ("another 1", "it is") if self.left_out == 1 else (f"{self.left_out:,} others", "they are")
        weaker = (self.rank + self.left_out) / (self.count + self.left_out + 1)
        return f", {others} left out as anomalous (if {they} normal, it flags about {rate_text(weaker)})"


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """How the threshold's rank follows from the number of normal scores.

    "expected": the false-alarm rate is at most `level` on average over draws of the normal data.
    "certain": it is at most `level` with 95 % certainty.
    "usual": as "expected", or the strictest that the scores support: for when nobody asked for a rate.
    "percentile": `level` of the normal scores at hand lie above the threshold; a habit, not a promise.

    `level` is a share of images or clips. With `hourly`, for clips only, it is false alarms in an hour of normal
    operation, which `in_units` turns into a share.
    """

    kind: Literal["usual", "expected", "certain", "percentile"] = "usual"
    level: float = USUAL_RATE
    hourly: bool = False
    unit_s: float | None = field(default=None, compare=False)  # a clip's length: tells in time what is missing

    def __post_init__(self) -> None:
        if self.hourly:
            if not (math.isfinite(self.level) and self.level > 0):
                told = f"{self.level:g} false alarms an hour were asked for; a promise needs more than none"
                raise PromiseError(told, hint="for example 6/h, one in ten minutes")
        elif not (SLACK <= self.level < 1 or (self.kind == "percentile" and self.level == 0)):
            told = f"a false-alarm rate of {self.level:.6g} was asked for; it lies between 0% and 100%, without either"
            raise PromiseError(told, hint="no finite number of images supports 0%, and 100% needs no threshold; try 1%")

    def __str__(self) -> str:
        if self.kind == "percentile":
            return f"percentile {100 * (1 - self.level):g} of the normal scores"
        rate = f"{self.level:g} false alarms an hour" if self.hourly else f"{100 * self.level:.3g}% false alarms"
        return f"at most {rate} " + (f"with {CERTAINTY:.0%} certainty" if self.kind == "certain" else "on average")

    def at(self, threshold: Threshold) -> str:
        """Say at what threshold: "the promised 1%", or "percentile 75 of the normal scores", which promises nothing."""
        if self.kind == "percentile":
            return str(self)
        if self.hourly:
            rate = f"{self.level:g} false alarms an hour"
        elif self.kind == "usual" and threshold.expected_rate > self.level + SLACK:
            rate = rate_text(threshold.expected_rate)  # as few as the scores support
        else:
            rate = f"{100 * self.level:.3g}%"
        return f"the promised {rate}" + (f" ({CERTAINTY:.0%} certain)" if self.kind == "certain" else "")

    def in_units(self, unit_s: float | None) -> "ThresholdRule":
        """Return the rule as a share of clips that last `unit_s` on average (None: not known); raises PromiseError."""
        if not self.hourly:
            return replace(self, unit_s=unit_s)
        if unit_s is None:
            raise PromiseError(
                f"a rate of {self.level:g}/h counts hours, and how long these last is not known: "
                "they are still images, or frames without times",
                hint="ask for a share of them, such as 1%",
            )
        share = self.level * unit_s / 3600
        if share >= 1:
            told = f"{self.level:g}/h is at least one false alarm in each clip, which last {duration_text(unit_s)}"
            raise PromiseError(told, hint="ask for fewer")
        return ThresholdRule(self.kind, share, unit_s=unit_s)

    @property
    def scores_needed(self) -> int:
        """Return the least number of normal scores that supports it; its level must be a share."""
        if self.hourly:
            raise ValueError("how many scores an hourly rate needs depends on how long clips last")
        if self.kind == "expected":
            return math.ceil(1 / self.level - 1 - SLACK)
        if self.kind == "certain":
            return math.ceil(math.log(1 - CERTAINTY) / math.log1p(-self.level) - SLACK)
        return 1

    @property
    def scores_wanted(self) -> int:
        """Return the least number of normal scores with which it does what it aims at."""
        return ThresholdRule("expected", self.level).scores_needed if self.kind == "usual" else self.scores_needed

    def supported(self, count: int) -> str:
        """Return the lowest rate of its kind that `count` scores support, rounded up to two digits, in percent."""
        certain = self.kind == "certain" and count > 0
        rate = float(_beta_quantile(1, count)) if certain else 1 / (count + 1)
        in_time = f", one in {duration_text(self.unit_s / rate)}" if self.unit_s else ""
        return f"{float(bound_text(rate).removesuffix('%')):g}%{in_time}"

    def counted(self, count: int) -> str:
        """Write so many normal scores as what they are: "99 normal samples", "99 normal clips of 12 s (20 min)"."""
        in_time = f"{count:,} normal clips{_each(self.unit_s)} ({self.lasting(count)})"
        return in_time if self.unit_s else f"{count:,} normal samples"

    def lasting(self, count: int) -> str:
        """Write so many clips as the time that they last: "20 min"; images as their number."""
        return duration_text(count * self.unit_s) if self.unit_s else f"{count:,}"

    def rank(self, count: int) -> int:
        """Say which of `count` scores, from the largest (1) down; raise PromiseError where they do not suffice."""
        if count < self.scores_needed:
            raise PromiseError(
                f"a promise of {self} needs at least {self.counted(self.scores_needed)}; there are {count:,}",
                hint=f"add {self.lasting(self.scores_needed - count)} more, or ask for {self.supported(count)}",
                needs=self.scores_needed,
            )
        if self.kind == "percentile":
            return count - math.ceil((1 - self.level) * (count - 1) - SLACK)
        if self.kind == "certain":
            # The promise grows with the rank: a few quantiles find the last that keeps it, among millions too.
            return bisect_right(
                range(1, count + 1), self.level + SLACK, key=lambda rank: float(_beta_quantile(rank, count + 1 - rank))
            )
        return max(1, min(count, int(self.level * (count + 1) + SLACK)))


def _each(unit_s: float | None) -> str:
    """Say how long clips last behind their name: they may be pieces of longer ones."""
    return f" of {duration_text(unit_s)}" if unit_s else ""


def parse_rule(text: str, *, certain: bool = False) -> ThresholdRule:
    """Read a promise from "1%", "0.01" or, for clips, "6/h"; raise PromiseError for what is neither."""
    kind: Literal["expected", "certain"] = "certain" if certain else "expected"
    number, slash, unit = text.strip().partition("/")
    if not slash:
        return ThresholdRule(kind, parse_rate(text))
    try:
        level = float(number)
    except ValueError:
        level = math.nan
    if unit.strip() not in ("h", "hour") or math.isnan(level):
        raise PromiseError(f"{text!r} is not a rate", hint="write it as 1%, or for clips as 6/h")
    return ThresholdRule(kind, level, hourly=True)


def rule_of(max_false_alarms: str | None, certain: bool, percentile: float | None) -> ThresholdRule | None:
    """Read the rule that these options ask for, or None; raises OptionError and PromiseError for what is none."""
    if percentile is not None:
        if max_false_alarms is not None or certain:
            told = "a percentile and a promise were asked for; the threshold follows from one of them"
            raise OptionError(told, hint="leave --percentile out, or --max-false-alarms and --certain")
        if not 0 < percentile <= 100:
            raise OptionError(f"--percentile {percentile:g} is not above 0 and at most 100", hint="for example 99")
        return ThresholdRule("percentile", 1 - percentile / 100)
    if max_false_alarms is None:
        if certain:
            raise OptionError("--certain says nothing without a rate", hint="add --max-false-alarms 5%")
        return None
    return parse_rule(max_false_alarms, certain=certain)


def parse_rate(text: str) -> float:
    """Return the share that "1%", "0.5 %" or "0.005" means; raise PromiseError for anything not between 0 and 1."""
    number, percent = text.strip().removesuffix("%").strip(), text.strip().endswith("%")
    try:
        value = float(number)
    except ValueError:
        raise PromiseError(f"{text!r} is not a rate", hint="write it as 1% or 0.01") from None
    rate = value / 100 if percent else value
    if not SLACK <= rate < 1:
        hint = "no finite number of images supports 0%, and 100% needs no threshold; try 1%"
        if rate >= 1 and not percent and value < 100:
            hint = f"write {value:g}% if you mean percent"
        raise PromiseError(f"a rate of {text} was asked for; it lies between 0% and 100%, without either", hint=hint)
    return rate


def threshold_from(
    normals: ArrayLike, rule: ThresholdRule, unit: UnitName = "image", unit_s: float | None = None, left_out: int = 0
) -> Threshold:
    """Return the rule's threshold from out-of-sample scores of normal units; clips last `unit_s` on average.

    `left_out` units are held for anomalous, and have no score among them. Of clips a false alarm is a flagged one.
    Raises PromiseError where there are too few for the rule, ValueError without scores.
    """
    scores = np.sort(np.asarray(normals, dtype=np.float64))[::-1]
    count = len(scores)
    if count == 0:
        raise ValueError("a threshold needs at least one normal score")
    rank = rule.in_units(unit_s).rank(count)
    value, expected_rate = float(scores[rank - 1]), rank / (count + 1)
    certain_rate = float(_beta_quantile(rank, count + 1 - rank))
    return Threshold(value, rank, count, expected_rate, certain_rate, unit, unit_s, left_out)


def mean_length_s(
    clips: Sequence[str], times_s: Sequence[float | None], known_s: Mapping[str, float] | None = None
) -> float | None:
    """Return how long a clip lasts on average; None of stills, and where a frame of a clip has no time.

    Of a clip whose length is among `known_s`, the times may be those of some frames only. A single frame lasts no time
    that is known: its clip counts nevertheless, so that a rate by the hour errs towards fewer alarms.
    """
    lengths = []
    for clip, members in grouped(zip(clips, times_s, strict=True), itemgetter(0)).items():
        known = [time_s for _, time_s in members if time_s is not None]
        if len(known) < len(members):
            return None
        lengths.append((known_s or {}).get(clip, length_s(known)))
    return float(np.mean(lengths)) if lengths and max(lengths) > 0 else None


def unit_scores(scores: ArrayLike, clips: Sequence[str]) -> tuple[NDArray[np.float64], UnitName]:
    """Return the highest score of each clip, in the order in which clips begin; stills are clips of one image."""
    values, numbers = np.asarray(scores, dtype=np.float64), clip_numbers(clips)
    highest = np.full(int(numbers.max(initial=-1)) + 1, -np.inf)
    if len(highest) == len(values):
        return values, "image"
    np.maximum.at(highest, numbers, values)
    return highest, "clip"


def p_values(scores: ArrayLike, normal_scores: ArrayLike) -> NDArray[np.float64]:
    """Return (1 + #{normal ≥ score}) / (n + 1) for each score: of a new normal sample at most p with probability p."""
    normals = np.sort(np.asarray(normal_scores, dtype=np.float64))
    below = np.searchsorted(normals, np.asarray(scores, dtype=np.float64), side="left")
    return np.asarray((1 + len(normals) - below) / (len(normals) + 1), dtype=np.float64)


def alarms_p_value(alarms: int, total: int, rank: int, count: int) -> float:
    """Return P(at least `alarms` of `total` new normal samples score above the `rank`-th largest of `count` others).

    One-sided: small when there are more false alarms than the threshold promised. For exchangeable continuous scores
    the false-alarm rate is Beta(rank, count + 1 - rank), so that their number is Beta-binomial.
    """
    from scipy.stats import betabinom  # takes half a second to import

    # A sum of the tail's own terms: one minus the rest would lose all digits of a small p-value.
    tail = betabinom.pmf(np.arange(alarms, total + 1), total, rank, count + 1 - rank)
    return min(1.0, float(tail.sum()))


def most_alarms(promises: Sequence[tuple[int, int, int]]) -> int:
    """Return how many false alarms independent promises (total, rank, count) give, with 95 % certainty at most."""
    from scipy.stats import betabinom

    chances = np.ones(1)  # of 0, 1, 2 … alarms so far
    for total, rank, count in promises:
        chances = np.convolve(chances, betabinom.pmf(np.arange(total + 1), total, rank, count + 1 - rank))
    at_least = np.cumsum(chances[::-1])[::-1]
    return int(np.flatnonzero(at_least > 1 - CERTAINTY)[-1])


def noticeable_rate(total: int, rank: int, count: int, level: float, power: float = 0.8) -> float | None:
    """Return the lowest true rate at which `alarms_p_value` falls below `level` with this `power`; None: no rate."""
    from scipy.optimize import brentq
    from scipy.stats import binom

    telling = bisect_left(range(total + 1), True, key=lambda alarms: alarms_p_value(alarms, total, rank, count) < level)
    if telling > total:
        return None
    return float(brentq(lambda rate: binom.sf(telling - 1, total, rate) - power, 0, 1))


def _beta_quantile(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return the value below which Beta(a, b) lies with 95 % certainty."""
    from scipy.special import betaincinv  # scipy.stats has the same, and takes half a second to import

    return np.asarray(betaincinv(a, b, CERTAINTY), dtype=np.float64)
