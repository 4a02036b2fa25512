"""What the page of a run says: sentences and rows of tables, without their looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adkit.evaluation.evaluate import Evaluation
from adkit.registry import Registry
from adkit.report import words
from adkit.report.svg import plain
from adkit.report.thresholds import Step
from adkit.runs.record import MODEL, RunRecord
from adkit.stats.calibration import Threshold
from adkit.stats.formatting import bound_text, counted, rate_text
from adkit.stats.rates import DecisionRates, Rate
from adkit.stats.significance import Interval, alarms_p_value, noticeable_rate
from adkit.workflows.audit import LEVEL

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
    auroc: float | None
    pixel_iou: float | None
    clips: int | None
    events: str  # "2 of 3" found; "" for images and normal frames


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the large figures at the top."""

    title: str
    big: str
    of: str  # "of 20", or ""
    about: str
    colour: str = ""


def things_of(threshold: Threshold, evaluation: Evaluation | None) -> words.Things:
    """The words for what the run judges."""
    if evaluation is not None and evaluation.clips:
        return words.of_clips(evaluation.clips.unit)
    return words.PARTS if threshold.unit == "image" else words.of_clips(threshold.unit)


def tiles(evaluation: Evaluation, things: words.Things) -> list[Tile]:
    """False alarms, misses, and how well the scores separate."""
    found = evaluation.rates
    missed = _certain(found.misses.interval)
    if evaluation.clips:  # events of one clip are alike: their interval is by clip
        recall = evaluation.intervals.get("event_recall")
        missed = _certain(Interval(1 - recall.high, 1 - recall.low)) if recall else "too few clips for an interval"
    name, meaning = "image_auroc", "how often a defective part scores above a good one"
    if evaluation.clips:
        name, meaning = "frame_auroc", "how often an anomalous frame scores above a normal one, all clips together"
    auroc, interval = evaluation.metrics.get(name), evaluation.intervals.get(name)
    if auroc is None:
        meaning = "the metric is not installed"
    elif auroc.value is None:
        meaning = auroc.why_undefined or ""
    elif interval:
        meaning += f"; with 95% certainty {interval.low:.3f} to {interval.high:.3f}, by clip"
    return [
        _tile(f"{_upper(things.good)}s flagged", found.false_alarms, _certain(found.false_alarms.interval), "good"),
        _tile(f"{_upper(things.defect)}s missed", found.misses, missed, "defect"),
        Tile(f"{_upper(things.sample)} AUROC", words.metric(auroc.value if auroc else None), "", meaning),
    ]


def _tile(title: str, rate: Rate, certain: str, colour: str) -> Tile:
    if not rate.total:
        return Tile(title, "–", "", "the test split has none to judge", colour)
    share = f"{words.percent(rate.share)}; {certain}"
    return Tile(title, words.whole(rate.count), f"of {words.whole(rate.total)}", share, colour)


def _certain(interval: Interval) -> str:
    return f"with 95% certainty {words.percent(interval.low)} to {words.percent(interval.high)}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def headline(found: DecisionRates, things: words.Things = words.PARTS) -> str:
    """What the run did to the test split, in a sentence."""
    parts = []
    misses, alarms = found.misses, found.false_alarms
    if misses.total:
        defective = f"{words.whole(misses.total)} {things.defective}s"
        every = f"the one {things.defective}" if misses.total == 1 else f"all {defective}"
        if misses.count in (0, misses.total):
            parts.append(f"{'missed' if misses.count else 'caught'} {every}")
        else:
            caught = misses.total - misses.count
            parts.append(f"caught {words.whole(caught)} of {defective}, missed {words.whole(misses.count)}")
    if alarms.total:
        flagged = words.whole(alarms.count) if alarms.count else "none"
        parts.append(f"flagged {flagged} of {counted(alarms.total, things.good)}")
    joint = ", and " if 0 < misses.count < misses.total else " and "
    return f"It {joint.join(parts)}."


def promise_kept(evaluation: Evaluation, things: words.Things = words.PARTS) -> str | None:
    """Whether the false alarms of the test split speak against the promise; None where that cannot be told."""
    alarms, threshold = evaluation.rates.false_alarms, evaluation.threshold
    if not alarms.total or evaluation.seen:
        return None
    chance = alarms_p_value(alarms.count, alarms.total, threshold.rank, threshold.count)
    found = f"On the test split it flagged {alarms.count} of {counted(alarms.total, things.good)}"
    if noticeable_rate(alarms.total, threshold.rank, threshold.count, LEVEL) is None:
        return f"{found}; so few would not speak against the promise even if all were flagged."
    if chance >= LEVEL:
        return f"{found}, which does not speak against the promise."
    return (
        f"{found}. That is more than the promise allows: so many or more would come of a kept promise with "
        f"p = {chance:.2g}. Are these {'clips' if evaluation.clips else 'parts'} like those that the threshold was set "
        "from?"
    )


def metric_rows(evaluation: Evaluation, registry: Registry) -> list[MetricRow]:
    """Every metric of the evaluation."""
    return [
        MetricRow(name, registry.metrics.entries[name].summary, found.value, found.why_undefined or "")
        for name, found in ((name, evaluation.metrics[name]) for name in evaluation.apt)
    ]


def kind_rows(evaluation: Evaluation) -> list[KindFigures]:
    """The table by kind of defect, good parts first."""
    name, prefix = ("frame_auroc", "kind ") if evaluation.clips else ("image_auroc", "")
    auroc, iou = (evaluation.metrics[one].details if one in evaluation.metrics else {} for one in (name, "pixel_iou"))
    return [
        KindFigures(
            row.kind,
            row.count,
            row.mean_score,
            row.quantiles[0],
            row.quantiles[2],
            row.quantiles[-1],
            row.called_anomalous,
            auroc.get(f"{prefix}{row.kind}"),
            iou.get(row.kind),
            row.clips,
            "" if row.events is None else f"{row.events_caught} of {row.events}",
        )
        for row in evaluation.kinds
    ]


def oracle_rows(evaluation: Evaluation) -> Rows:
    """Figures of thresholds that know the test labels."""
    rows = [
        (f"good parts that pass when {row.recall:.0%} of the defects are caught", str(row.passing))
        for row in evaluation.rates.oracle_passing
    ]
    best = evaluation.metrics.get("oracle_f1")
    if best and best.value is not None and evaluation.clips is None:
        rows.append(("best F1 that any threshold reaches", words.metric(best.value)))
    return rows


def cost_rows(record: RunRecord) -> Rows:
    """What learning took, and what the model takes."""
    height, width = record.frame_size
    others = sum(record.learned_with.values())
    rows = [
        (
            "learned from",
            counted(record.train_count + others, _sample(record)) + (" of all categories" if others else ""),
        ),
        *((_TIMINGS.get(name, name), words.seconds(taken)) for name, taken in record.timings_s.items()),
        ("device", record.device),
        (f"{_sample(record)}s are resized to", f"{width} × {height} px (width × height)"),
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
        ("seed", str(record.settings.seed)),
        *((("few images to learn from", f"{record.settings.few}, drawn by the seed"),) if record.settings.few else ()),
        ("window", f"{record.window} frame{'s' if record.window > 1 else ''}"),
        *_clip_rows(record),
        ("checksum of the training data", record.data_hash),
    ]
    if record.calibration.data_hash != record.data_hash:
        rows.append(("checksum of the calibration data", record.calibration.data_hash))
    if evaluation is not None:
        rows.append(("checksum of the test split", evaluation.test_hash))
    return rows


def _clip_rows(record: RunRecord) -> Rows:
    if _sample(record) == "image":
        return []
    pieces = "no: the threshold counts whole clips"
    if record.segment_s is not None:
        pieces = f"into pieces of about {record.segment_s:g} s, which the threshold counts"
    smoothing = f"over the past, time constant {record.smoothing_s:g} s" if record.smoothing_s else "no"
    every = "all" if record.every == 1 else f"one in {record.every}"
    return [("frames of a clip that are judged", every), ("scores are smoothed", smoothing), ("clips are cut", pieces)]


def _sample(record: RunRecord) -> str:
    return "image" if record.threshold.unit == "image" else "frame"


def fact_rows(record: RunRecord) -> Rows:
    """What the method says of itself after learning."""
    return [(name.replace("_", " "), _shown(value)) for name, value in record.facts.items()]


def split_rows(record: RunRecord, evaluation: Evaluation | None) -> list[tuple[str, str, str]]:
    """Which data did what: (data, how much of it, its part)."""
    calibration = record.calibration
    threshold = calibration.threshold
    rows = [
        (f"training split of {record.dataset}", counted(record.train_count, _sample(record)), "the method learned"),
        *(
            (
                f"training split of {spec}",
                counted(count, _sample(record)),
                "the method learned as well: one model for all",
            )
            for spec, count in record.learned_with.items()
        ),
        (
            f"{calibration.source}, of {calibration.data}",
            counted(threshold.count, "piece" if record.segment_s else threshold.unit),
            "set the threshold, and nothing else did",
        ),
    ]
    if evaluation is not None:
        part = "only judged: no threshold, scorer or option was taken from it by adkit"
        if evaluation.seen:
            part = f"judged, although the run learned from {len(evaluation.seen)} of them or was calibrated with them"
        rows.append((f"test split of {record.dataset}", counted(len(evaluation.samples), evaluation.unit.sample), part))
    return rows


def step_texts(steps: list[Step], command: str, evaluation: Evaluation | None) -> list[dict[str, Any]]:
    """What the slider says at each step: every text is written here, the page only shows it.

    `command` calibrates the run once it is given a rate.
    """
    found = None if evaluation is None else evaluation.rates
    texts = []
    for step in steps:
        threshold = step.threshold
        good = things_of(threshold, evaluation).good + "s"
        expected = rate_text(threshold.expected_rate)
        row: dict[str, Any] = {
            "threshold": words.figure(threshold.value),
            "rank": f"{threshold.rank} of {threshold.count}",
            "expected": expected,
            "in_words": words.of_thousand(threshold.expected_rate, good),
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
