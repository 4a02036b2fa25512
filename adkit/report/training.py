"""What a run's page tells of its training, where the method had one: charts and sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from adkit.report.charts import Trace, epoch_chart
from adkit.report.plots import WIDTHS
from adkit.report.svg import Ink
from adkit.runs.record import RunRecord
from adkit.stats.formatting import counted

_TITLES = {"loss": "on training images", "held_out_loss": "on held-out normal images"}
_SMALL = {"separation": "separation (AUROC)"}


@dataclass(frozen=True, slots=True)
class SmallChart:
    """A curve of its own, without the losses."""

    name: str  # as the method calls it
    chart: Markup  # SVG


@dataclass(frozen=True, slots=True)
class Training:
    """A training as the page shows it."""

    epochs: int
    best_epoch: int | None  # counted from 1
    ended: str | None  # why, in words
    learned: bool  # whether there is a loss on the images that were learned from
    held_out: bool  # and on held-out ones
    learning_rate: str | None  # in a sentence
    losses: dict[str, Markup]  # SVG in both widths; {}: the method gives no loss
    small: list[SmallChart]


def training_of(record: RunRecord) -> Training | None:
    """The training of a run, None where its method gives no curves."""
    if not any(record.curves.values()):
        return None
    epochs = max(map(len, record.curves.values()))
    best, ended = record.facts.get("best_epoch"), record.facts.get("training_ended")
    best_epoch = best if isinstance(best, int) and 1 <= best <= epochs else None
    losses = [
        Trace(_TITLES[name], record.curves[name], ink, dashed)
        for name, ink, dashed in (("loss", Ink.soft, True), ("held_out_loss", Ink.good, False))
        if record.curves.get(name)
    ]
    others = [name for name in record.curves if name not in (*_TITLES, "learning_rate") and record.curves[name]]
    return Training(
        epochs,
        best_epoch,
        ended if isinstance(ended, str) and ended else None,
        bool(record.curves.get("loss")),
        bool(record.curves.get("held_out_loss")),
        _learning_rate(record.curves.get("learning_rate", [])),
        {width: _drawn(f"losses-{width}", "loss", losses, best_epoch, px, 250) for width, px in WIDTHS.items()}
        if losses
        else {},
        [
            SmallChart(
                name,
                _drawn(
                    f"training-{number}",
                    _SMALL.get(name, name.replace("_", " ")),
                    [Trace("", record.curves[name], Ink.good)],
                    best_epoch,
                    WIDTHS["narrow"],
                    200,
                ),
            )
            for number, name in enumerate(others)
        ],
    )


def _drawn(
    name: str, title: str, traces: Sequence[Trace], best_epoch: int | None, width: float, height: float
) -> Markup:
    label = f"{title} over {counted(max(len(trace.values) for trace in traces), 'epoch')}: "
    label += "; ".join(_in_words(trace, best_epoch) for trace in traces)
    return Markup(epoch_chart(name, label[0].upper() + label[1:], traces, best_epoch, title, width, height))


def _in_words(trace: Trace, best_epoch: int | None) -> str:
    values = trace.values
    text = f"{trace.title} from {values[0]:.4g} to {values[-1]:.4g}".strip()
    if best_epoch is not None and best_epoch <= len(values):
        text += f", {values[best_epoch - 1]:.4g} in epoch {best_epoch}, whose weights are kept"
    return text


def _learning_rate(rates: Sequence[float]) -> str | None:
    rates = [rate for rate in rates if math.isfinite(rate)]
    if not rates:
        return None
    if min(rates) == max(rates):
        return f"The learning rate was {rates[0]:.3g} throughout."
    return f"The learning rate began at {rates[0]:.3g} and ended at {rates[-1]:.3g}."
