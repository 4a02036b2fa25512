"""What a run's page tells of its training, where the method had one: charts and sentences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from adkit.report import plots
from adkit.report.charts import Chart
from adkit.runs.record import RunRecord

_TITLES = {"separation": "separation (AUROC)"}


@dataclass(frozen=True, slots=True)
class Training:
    """A training as the page shows it."""

    epochs: int
    best_epoch: int | None  # counted from 1
    ended: str | None  # why, in words
    learning_rate: str | None  # in a sentence
    losses: Chart | None  # None: the method gives no loss
    others: dict[str, Chart]  # by the method's name for it


def training_of(record: RunRecord) -> Training | None:
    """Return the training of a run; None where its method gives no curves."""
    curves = {name: values for name, values in record.curves.items() if values}
    if not curves:
        return None
    epochs = max(map(len, curves.values()))
    best, ended = record.facts.get("best_epoch"), record.facts.get("training_ended")
    best_epoch = best if isinstance(best, int) and 1 <= best <= epochs else None
    rates = [rate for rate in curves.pop("learning_rate", []) if math.isfinite(rate)]
    losses = {name: curves.pop(name) for name in plots.LOSSES if name in curves}
    return Training(
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
