"""Whether a run's promise is kept on fresh normal images, and whether their scores have drifted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from adkit.data.clips import other_length
from adkit.runs.store import Run
from adkit.stats.calibration import Threshold, alarms_p_value, noticeable_rate
from adkit.stats.formatting import bound_text, counted, rate_text
from adkit.stats.rates import Rate
from adkit.stats.significance import Drift
from adkit.workflows.fresh_data import FreshNormals, fresh_normals, score_normals
from adkit.workflows.score import Workplace

LEVEL = 0.01
"""Each of the two tests cries wolf in one audit of a hundred."""
Verdict = Literal["kept", "broken", "drifted"]


@dataclass(frozen=True)
class Audit:
    """What fresh normal images say of a run's promise."""

    run: Run
    threshold: Threshold
    fresh: FreshNormals
    names: tuple[str, ...]  # of the units (images, or clips) in the order of `scores`
    scores: NDArray[np.float64]
    flagged: Rate
    alarms_p_value: float  # how often so many alarms come of a promise that is kept
    noticeable_rate: float | None  # a true rate from which this many images would break the verdict; None: no rate
    drift: Drift

    @property
    def verdict(self) -> Verdict:
        """Return "broken" for more alarms than the promise allows, "drifted" where scores are not as they were.

        Leave-one-out scores err a little on the high side: against them only a drift upwards is a sign of a change.
        """
        if self.alarms_p_value < LEVEL:
            return "broken"
        return "drifted" if self.drift.p_value < LEVEL else "kept"

    def sentences(self) -> list[str]:
        """Say the result in words, the verdict first."""
        count, unit, promised = self.flagged.total, self.threshold.unit, self.threshold
        observed = f"{self.flagged.count} of {count} normal {unit}s were flagged"
        upwards = " upwards" if self.run.record.calibration.leave_one_out else ""
        direction = "higher" if self.drift.shift > 0.5 else "lower"
        few = self.noticeable_rate is None
        headings = {
            "broken": "the promise is broken: more false alarms than chance allows",
            "drifted": f"the promise is in doubt: scores are {direction} than those it was made from",
            "kept": f"too few {unit}s to judge the promise" if few else "nothing speaks against the promise",
        }
        sentences = [
            headings[self.verdict],
            f"{observed} ({self.flagged.in_percent(2)}); promised: {rate_text(promised.expected_rate)}, "
            f"at most {bound_text(promised.certain_rate)}",
            f"if the promise holds, this many alarms or more have a probability of {self.alarms_p_value:.2g}",
            f"drift of the scores{upwards}: p = {self.drift.p_value:.3g}; a fresh score is above a calibrated one "
            f"in {self.drift.shift:.0%} of pairs",
        ]
        if other := other_length(self.fresh.unit_s, promised.unit_s):
            sentences.append(other)
        if self.verdict != "kept":
            sentences.append(
                f"look at the {unit}s: if light, camera or file type changed, change it back or fit again; "
                "if good parts look so from now on, adkit calibrate sets a threshold from them"
            )
        if few:
            sentences.append(f"{counted(count, unit, 'are')} too few to notice any broken promise")
        elif self.verdict == "kept":
            rate = f"{self.noticeable_rate:.1%}"
            sentences.append(
                f"{count} {unit}s reveal a false-alarm rate of {rate} or more in 80% of audits; "
                "a lower one may go unnoticed"
            )
        return sentences

    def as_json(self) -> dict[str, Any]:
        """Return everything, for programs."""
        return {
            "run": self.run.record.id,
            "verdict": self.verdict,
            "normal": self.fresh.named,
            "units": self.flagged.total,
            "alarms": self.flagged.count,
            "rate": self.flagged.share,
            "interval": asdict(self.flagged)["interval"],
            "threshold": asdict(self.threshold),
            "alarms_p_value": self.alarms_p_value,
            "noticeable_rate": self.noticeable_rate,
            "drift": asdict(self.drift),
            "left_out": {"seen": self.fresh.seen, "copies": self.fresh.copies, "unreadable": self.fresh.unreadable},
            "sentences": self.sentences(),
        }


def moved(drift: Drift | None, leave_one_out: bool) -> str | None:
    """Say in words that new images score otherwise than those that set the threshold; None where they do not."""
    if drift is None or drift.p_value >= LEVEL:
        return None
    direction = "higher" if leave_one_out or drift.shift > 0.5 else "lower"
    return f"the new images score {direction} than those that set the threshold so far, p = {drift.p_value:.2g}"


def audit(run: Run, workplace: Workplace, normal: Sequence[str]) -> Audit:
    """Hold the scores of fresh good images, which the run has not seen, against its promise; raises AdkitError."""
    fresh = fresh_normals(normal, set(run.seen().all.values()), run.record)
    found = score_normals(run, workplace, fresh)
    threshold = found.model.threshold
    flagged, names = Rate.of(found.scores > threshold.value), tuple(dict.fromkeys(found.predictions.clips))
    chance = alarms_p_value(flagged.count, flagged.total, threshold.rank, threshold.count)
    least = noticeable_rate(flagged.total, threshold.rank, threshold.count, LEVEL)
    return Audit(run, threshold, fresh, names, found.scores, flagged, chance, least, found.drift)
