"""What the page of a run says in sentences, without their looks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adkit.evaluation.evaluate import Evaluation
from adkit.evaluation.tables import AUPRO
from adkit.report import plots
from adkit.report.charts import Chart
from adkit.report.thresholds import Step
from adkit.runs.record import RunRecord
from adkit.stats.calibration import alarms_p_value, noticeable_rate
from adkit.stats.formatting import NOTHING, Unit, bound_text, counted, metric_text, percent_text, rate_text, score_text
from adkit.stats.rates import Rate
from adkit.workflows.audit import LEVEL

_TITLES = {"separation": "separation (AUROC)"}


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the large figures at the top."""

    title: str
    big: str
    of: str  # "of 20", or ""
    about: str
    colour: str = ""


def plain(text: str) -> str:
    """Return the text as any font, file and terminal can take it: in one line, with odd bytes spelt out."""
    spelt = text.encode(errors="backslashreplace").decode()
    return "".join(letter if letter.isprintable() else " " for letter in spelt)


def tiles(evaluation: Evaluation) -> list[Tile]:
    """Say what is caught and what is flagged, and how well scores and maps separate."""
    found, unit = evaluation.rates, evaluation.unit
    meaning = "how often a defective part scores above a good one"
    if unit.of_clips:
        meaning = "how often an anomalous frame scores above a normal one, all clips together"
    return [
        _tile(f"{unit.defect}s caught", found.caught, "defect"),
        _tile(f"{unit.good}s flagged", found.false_alarms, "good"),
        _metric_tile(f"{unit.sample} AUROC", f"{unit.sample}_auroc", meaning, evaluation),
        _metric_tile("AUPRO", AUPRO, "how much of each defect the maps cover, up to 30% of false area", evaluation),
    ]


def _tile(title: str, rate: Rate, colour: str) -> Tile:
    if not rate.total:
        return Tile(title, NOTHING, "", "the test split has none to judge", colour)
    return Tile(title, f"{rate.count:,}", f"of {rate.total:,}", rate.in_percent(), colour)


def _metric_tile(title: str, name: str, meaning: str, evaluation: Evaluation) -> Tile:
    metric, interval = evaluation.metrics.get(name), evaluation.intervals.get(name)
    if metric is None:
        meaning = "the metric is not installed"
    elif metric.value is None:
        meaning = metric.why_undefined or ""
    elif interval:
        meaning += f"; with 95% certainty {interval.low:.3f} to {interval.high:.3f}, by clip"
    return Tile(title, metric_text(metric.value if metric else None), "", meaning)


def kind_table(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """Return cells by kind and column: of clips with their events, and without what says little of single frames."""
    unit, table = evaluation.unit, {}
    for row in evaluation.kinds:
        called, share = row.called_anomalous, row.called_anomalous / row.count
        lowest, _, median, _, highest = map(score_text, row.quantiles)
        cells: dict[str, Any] = {"images": row.count, "flagged": called, "share": percent_text(share)}
        scores = {"mean score": score_text(row.mean_score), "lowest": lowest, "median": median, "highest": highest}
        if unit.of_clips:
            events = NOTHING if row.events is None else f"{row.events_caught} of {row.events}"
            cells = {"events found": events, "clips": row.clips, "frames": row.count}
            cells["above threshold"] = f"{called} ({percent_text(share, 0)})"
            del scores["lowest"]
        quality = {f"{unit.sample} AUROC": metric_text(row.auroc), "pixel IoU": metric_text(row.pixel_iou)}
        table[row.kind] = cells | scores | quality
    return table


def promise_kept(evaluation: Evaluation) -> str | None:
    """Say whether the test split's false alarms speak against the promise; None where that cannot be told."""
    alarms, threshold, unit = evaluation.rates.false_alarms, evaluation.threshold, evaluation.unit
    if not alarms.total or evaluation.seen:
        return None
    chance = alarms_p_value(alarms.count, alarms.total, threshold.rank, threshold.count)
    found = f"On the test split it flagged {alarms.count} of {counted(alarms.total, unit.good)}"
    if noticeable_rate(alarms.total, threshold.rank, threshold.count, LEVEL) is None:
        return f"{found}; so few would not speak against the promise even if all were flagged."
    if chance >= LEVEL:
        return f"{found}, which does not speak against the promise."
    return (
        f"{found}. That is more than the promise allows: if the promise held, this many false alarms or more would "
        f"happen with probability {chance:.2g}. Are these {unit.thing}s like those that the threshold was set from?"
    )


def step_texts(steps: Sequence[Step], command: str, evaluation: Evaluation | None, unit: Unit) -> list[dict[str, Any]]:
    """Return the texts of the slider's steps, in the page's words; `command` calibrates the run to a rate."""
    texts = []
    found = None if evaluation is None else evaluation.rates
    for step in steps:
        threshold = step.threshold
        expected = rate_text(threshold.expected_rate)
        row: dict[str, Any] = {
            "threshold": score_text(threshold.value),
            "rank": f"{threshold.rank} of {threshold.count}",
            "expected": expected,
            "in_words": _of_many(threshold.expected_rate, f"{unit.good}s"),
            "certain": bound_text(threshold.certain_rate),
            "command": f"{command} --max-false-alarms {step.rate}",
            "name": plain(step.name),
            "chosen": step.chosen,
            "in_table": step.in_table,
            "spoken": f"threshold {score_text(threshold.value)}, {expected} false alarms expected",
        }
        if found is not None:
            for name, count, rate in (
                ("caught", step.caught, found.caught),
                ("false_alarms", step.false_alarms, found.false_alarms),
            ):
                row[name] = f"{count} of {rate.total}" if rate.total else "none there"
            row["outside"] = step.outside
        texts.append(row)
    return texts


def _of_many(rate: float, things: str) -> str:
    """Write a rate in words: "about 9 of 1,000 good parts"."""
    count = 1000 * rate
    return f"about {count:.0f} of 1,000 {things}" if count >= 1 else f"about {10 * count:.0f} of 10,000 {things}"


@dataclass(frozen=True, slots=True)
class TrainingSection:
    """A training as the page shows it."""

    epochs: int
    best_epoch: int | None  # counted from 1
    ended: str | None  # why, in words
    learning_rate: str | None  # in a sentence
    losses: Chart | None  # None: the method gives no loss
    others: dict[str, Chart]  # by the method's name for it


def training_of(record: RunRecord) -> TrainingSection | None:
    """Return the training of a run; None where its method gives no curves."""
    curves = {name: values for name, values in record.curves.items() if values}
    if not curves:
        return None
    epochs = max(map(len, curves.values()))
    best, ended = record.facts.get("best_epoch"), record.facts.get("training_ended")
    best_epoch = best if isinstance(best, int) and 1 <= best <= epochs else None
    rates = [rate for rate in curves.pop("learning_rate", []) if math.isfinite(rate)]
    losses = {name: curves.pop(name) for name in plots.LOSSES if name in curves}
    return TrainingSection(
        epochs,
        best_epoch,
        ended if isinstance(ended, str) and ended else None,
        _learning_rate(rates),
        plots.epochs("loss", losses, best_epoch) if losses else None,
        {
            name: plots.epochs(_TITLES.get(name, name.replace("_", " ")), {name: values}, best_epoch, 130)
            for name, values in curves.items()
        },
    )


def _learning_rate(rates: Sequence[float]) -> str | None:
    if not rates:
        return None
    if min(rates) == max(rates):
        return f"The learning rate was {rates[0]:.3g} throughout."
    return f"The learning rate began at {rates[0]:.3g} and ended at {rates[-1]:.3g}."
