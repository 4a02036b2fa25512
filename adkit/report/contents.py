"""What the page of a run says: sentences and rows of tables, without their looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adkit.audit import LEVEL
from adkit.calibration import bound_text, counted, rate_text
from adkit.evaluation import Evaluation
from adkit.outcomes import Outcomes
from adkit.registry import Registry
from adkit.report import words
from adkit.report.svg import plain
from adkit.report.thresholds import Step
from adkit.runs import MODEL, RunRecord
from adkit.statistics import alarms_p_value, noticeable_rate

Rows = list[tuple[str, str]]

_TIMINGS = {"fit": "time to learn", "calibrate": "time to calibrate"}


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A metric, what it means, and its value or why it has none."""

    name: str
    summary: str
    value: float | None
    why_undefined: str


@dataclass(frozen=True, slots=True)
class KindFigures:
    """A line of the table by kind of defect."""

    kind: str
    count: int
    mean: float
    lowest: float
    median: float
    highest: float
    flagged: int
    image_auroc: float | None
    pixel_iou: float | None


def headline(found: Outcomes) -> str:
    """What the run did to the test split, in a sentence."""
    parts = []
    misses, alarms = found.misses, found.false_alarms
    if misses.total:
        defective = f"{words.whole(misses.total)} defective parts"
        every = "the one defective part" if misses.total == 1 else f"all {defective}"
        if misses.count in (0, misses.total):
            parts.append(f"{'missed' if misses.count else 'caught'} {every}")
        else:
            caught = misses.total - misses.count
            parts.append(f"caught {words.whole(caught)} of {defective}, missed {words.whole(misses.count)}")
    if alarms.total:
        flagged = words.whole(alarms.count) if alarms.count else "none"
        parts.append(
            f"flagged {flagged} of {words.whole(alarms.total)} good {'part' if alarms.total == 1 else 'parts'}"
        )
    joint = ", and " if 0 < misses.count < misses.total else " and "
    return f"It {joint.join(parts)}."


def promise_kept(evaluation: Evaluation) -> str | None:
    """Whether the false alarms of the test split speak against the promise; None where that cannot be told."""
    alarms, threshold = evaluation.outcomes.false_alarms, evaluation.threshold
    if not alarms.total or threshold.unit != "image" or evaluation.seen:
        return None
    chance = alarms_p_value(alarms.count, alarms.total, threshold.rank, threshold.count)
    found = f"On the test split it flagged {alarms.count} of {counted(alarms.total, 'good part')}"
    if noticeable_rate(alarms.total, threshold.rank, threshold.count, LEVEL) is None:
        return f"{found}; so few would not speak against the promise even if all were flagged."
    if chance >= LEVEL:
        return f"{found}, which does not speak against the promise."
    return (
        f"{found}. That is more than the promise allows: so many or more would come of a kept promise with "
        f"p = {chance:.2g}. Are these parts like those that the threshold was set from?"
    )


def metric_rows(evaluation: Evaluation, registry: Registry) -> list[MetricRow]:
    """Every metric of the evaluation."""
    return [
        MetricRow(name, registry.metrics.entries[name].summary, found.value, found.why_undefined or "")
        for name, found in ((name, evaluation.metrics[name]) for name in evaluation.apt)
    ]


def kind_rows(evaluation: Evaluation) -> list[KindFigures]:
    """The table by kind of defect, good parts first."""
    auroc, iou = (
        evaluation.metrics[name].details if name in evaluation.metrics else {} for name in ("image_auroc", "pixel_iou")
    )
    return [
        KindFigures(
            row.kind,
            row.count,
            row.mean_score,
            row.quantiles[0],
            row.quantiles[2],
            row.quantiles[-1],
            row.called_anomalous,
            auroc.get(row.kind),
            iou.get(row.kind),
        )
        for row in evaluation.kinds
    ]


def oracle_rows(evaluation: Evaluation) -> Rows:
    """Figures of thresholds that know the test labels."""
    rows = [
        (f"good parts that pass when {row.recall:.0%} of the defects are caught", str(row.passing))
        for row in evaluation.outcomes.oracle_passing
    ]
    best = evaluation.metrics.get("oracle_f1")
    if best and best.value is not None:
        rows.append(("best F1 that any threshold reaches", words.metric(best.value)))
    return rows


def cost_rows(record: RunRecord) -> Rows:
    """What learning took, and what the model takes."""
    height, width = record.frame_size
    others = sum(record.learned_with.values())
    rows = [
        ("learned from", counted(record.train_count + others, "image") + (" of all categories" if others else "")),
        *((_TIMINGS.get(name, name), words.seconds(taken)) for name, taken in record.timings_s.items()),
        ("device", record.device),
        ("images are resized to", f"{width} × {height} px (width × height)"),
    ]
    if MODEL in record.files:
        rows.append(("model on disk", words.size(record.files[MODEL].bytes)))
    rows.append(("run on disk, with what it keeps to calibrate", words.size(_total_bytes(record))))
    return rows


def provenance_rows(record: RunRecord, evaluation: Evaluation | None) -> Rows:
    """Where everything comes from."""
    rows = [
        ("run", record.id),
        ("created", words.moment(record.created)),
        ("method", f"{record.method} ({record.origin})"),
        ("scorer", record.scorer or "none: the method's own scores"),
        ("dataset", record.dataset),
        *((("learned together with", ", ".join(record.learned_with)),) if record.joint else ()),
        ("root of the data", record.root or "–"),
        ("seed", str(record.seed)),
        *((("few images to learn from", f"{record.few}, drawn by the seed"),) if record.few else ()),
        ("window", f"{record.window} frame{'s' if record.window > 1 else ''}"),
        ("checksum of the training data", record.data_hash),
    ]
    if record.calibration.data_hash != record.data_hash:
        rows.append(("checksum of the calibration data", record.calibration.data_hash))
    if evaluation is not None:
        rows.append(("checksum of the test split", evaluation.test_hash))
    return rows


def fact_rows(record: RunRecord) -> Rows:
    """What the method says of itself after learning."""
    return [(name.replace("_", " "), _shown(value)) for name, value in record.facts.items()]


def split_rows(record: RunRecord, evaluation: Evaluation | None) -> list[tuple[str, str, str]]:
    """Which data did what: (data, how much of it, its part)."""
    calibration = record.calibration
    threshold = calibration.threshold
    rows = [
        (f"training split of {record.dataset}", counted(record.train_count, "image"), "the method learned"),
        *(
            (f"training split of {spec}", counted(count, "image"), "the method learned as well: one model for all")
            for spec, count in record.learned_with.items()
        ),
        (
            f"{calibration.source}, of {calibration.data}",
            counted(threshold.count, threshold.unit),
            "set the threshold, and nothing else did",
        ),
    ]
    if evaluation is not None:
        part = "only judged: no threshold, scorer or option was taken from it by adkit"
        if evaluation.seen:
            part = f"judged, although the run learned from {len(evaluation.seen)} of them or was calibrated with them"
        rows.append((f"test split of {record.dataset}", counted(len(evaluation.samples), "image"), part))
    return rows


def step_texts(steps: list[Step], command: str, evaluation: Evaluation | None) -> list[dict[str, Any]]:
    """What the slider says at each step: every text is written here, the page only shows it.

    `command` calibrates the run once it is given a rate.
    """
    found = None if evaluation is None else evaluation.outcomes
    texts = []
    for step in steps:
        threshold = step.threshold
        things = "good parts" if threshold.unit == "image" else "normal clips"
        expected = rate_text(threshold.expected_rate)
        row: dict[str, Any] = {
            "threshold": words.figure(threshold.value),
            "rank": f"{threshold.rank} of {threshold.count}",
            "expected": expected,
            "in_words": words.of_thousand(threshold.expected_rate, things),
            "certain": bound_text(threshold.certain_rate),
            "command": f"{command} --max-false-alarms {step.rate}",
            "name": plain(step.name),
            "chosen": step.chosen,
            "in_table": step.in_table,
            "spoken": f"threshold {words.figure(threshold.value)}, {expected} false alarms expected",
        }
        if found is not None:
            row["false_alarms"] = _counted(step.false_alarms, found.false_alarms.total)
            row["misses"] = _counted(step.misses, found.misses.total)
        texts.append(row)
    return texts


def _counted(count: int | None, total: int) -> str:
    return f"{count} of {total}" if total else "none there"


def _total_bytes(record: RunRecord) -> int:
    return sum(file.bytes for file in record.files.values())


def _shown(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return words.whole(value) if isinstance(value, int) else str(value)
