"""What an evaluation leaves in the run's folder: the predictions, and beside them what was made of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adkit.errors import RunError, StorageError
from adkit.evaluation.tables import AUPRO, AUROCS
from adkit.files.atomic import checksum, write_whole
from adkit.files.documents import read_file, read_signed, signed
from adkit.runs.predictions import Predictions
from adkit.runs.store import EVALUATION, Run
from adkit.stats.rates import Rate

PREDICTIONS = "predictions.safetensors"
INDEX = "evaluation.json"
NONE_JUDGED = Rate(0, 0, None)


def stored_predictions(folder: Path, key: Mapping[str, str], skip_bad: bool) -> Predictions | None:
    """Return the predictions of an earlier evaluation of this key, if they are whole.

    They are of all its samples, or with `skip_bad` of those that can be read.
    """
    try:
        index = read_signed(folder / INDEX)
        same = {name: index[name] for name in key} == key
        whole = index["predictions_sha256"] == checksum(read_file(folder / PREDICTIONS))
        wanted = same and whole and (skip_bad or not index["unreadable"])
        return Predictions.from_file(folder / PREDICTIONS) if wanted else None
    except (OSError, ValueError, KeyError, TypeError, RunError):
        return None  # absent or damaged: it can be made again


def skipped_bad(run: Run) -> bool:
    """Say whether the run's last evaluation went on without files that cannot be read."""
    try:
        return bool(read_signed(run.folder / EVALUATION / INDEX)["unreadable"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


@dataclass(frozen=True, slots=True)
class StoredFigures:
    """What a run's last evaluation found; nothing where there was none."""

    verdict: str = ""
    caught: Rate = NONE_JUDGED
    flagged: Rate = NONE_JUDGED
    auroc: float | None = None  # of images, or of the frames of clips
    aupro: float | None = None


def stored_figures(run: Run) -> StoredFigures:
    """Return the figures in the run's folder; what hangs on a threshold only where it is the run's by now."""
    try:
        found = read_signed(run.folder / EVALUATION / INDEX)
        metrics = {name: found["metrics"].get(name, {}).get("value") for name in (*AUROCS, AUPRO)}
        figures = StoredFigures(
            auroc=next((metrics[name] for name in AUROCS if metrics[name] is not None), None), aupro=metrics[AUPRO]
        )
        if found["threshold"]["value"] != run.record.threshold.value:
            return figures
        rates = (found["outcomes"][name] for name in ("caught", "false_alarms"))
        caught, flagged = (Rate(one["count"], one["total"], None) for one in rates)
        return replace(figures, verdict=found["verdict"], caught=caught, flagged=flagged)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return StoredFigures()  # absent, damaged, or of an older adkit


def store_predictions(folder: Path, key: Mapping[str, str], predictions: Predictions, unreadable: list[str]) -> None:
    """Write the predictions, and last their index with their checksum; raise StorageError if that fails."""
    content = predictions.to_bytes()
    write_whole(folder / PREDICTIONS, content)
    index = {**key, "predictions_sha256": checksum(content), "unreadable": unreadable}
    write_whole(folder / INDEX, signed(index))


def store_document(folder: Path, key: Mapping[str, str], document: Mapping[str, Any]) -> None:
    """Write what was made of the stored predictions of this key beside them; raise StorageError if that fails."""
    try:
        index = read_signed(folder / INDEX)
    except (OSError, ValueError):
        index = {}
    if {name: index.get(name) for name in key} != key:
        raise StorageError("another evaluation of this run was stored meanwhile", hint="evaluate again")
    write_whole(folder / INDEX, signed({**index, **document}))
