"""A cell of a comparison: one candidate, one category, one seed. Computed once, and kept on disk.

    comparison/cells/patchknn-bottle-0-1f3a…/
        cell.json            settings, metrics, decisions, cost
        scores.npz           scores and truth of the test split, and each metric in 2,000 resamples of it
        20261122-…           the run itself, which every command opens

A cell is written whole or not at all, and found again by everything that its result depends on.
"""

import gc
import hashlib
import io
import json
import shlex
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter

from adkit.comparison.grid import Candidate
from adkit.containment import is_of_plugin
from adkit.data.clips import are_stills
from adkit.data.fingerprints import content_hashes, data_hash
from adkit.data.frame_source import frames_of
from adkit.errors import AdkitError, DatasetError, PluginError, fault_of_system
from adkit.evaluation.evaluate import STEPS, Evaluation, evaluate
from adkit.files.atomic import checksum, plain_name, whole_folder
from adkit.files.documents import read_file, read_signed, signed
from adkit.interfaces import Dataset
from adkit.options import options_of, parse_options
from adkit.registry import Registry
from adkit.runs.record import FitSettings
from adkit.runs.store import LONGEST_CATEGORY, Run
from adkit.stats import bootstrap
from adkit.stats.calibration import Threshold
from adkit.stats.rates import Rate
from adkit.types import Sample
from adkit.workflows.fit import fit
from adkit.workflows.predict import predicted
from adkit.workflows.score import FittedModel, Workplace, open_scorer
from adkit.workflows.seeing import mask_checksums

TIMED_IMAGES = 16
_INTERVAL_S = 0.05
TIMES, SIZES = ("fit_s", "predict_ms", "decode_ms"), ("peak_memory_bytes", "model_bytes")
CELLS = "cells"
RECORD = "cell.json"
SCORES = "scores.npz"
FORMAT = 10
_OF = "of "  # before a metric's name in scores.npz: it may be named as an array there, or as an argument of savez


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one cell, or of those of a candidate on a category: seconds, milliseconds an image, bytes."""

    fit_s: float  # and to calibrate
    predict_ms: float  # an image, from the method's input to maps or scores, one at a time
    decode_ms: float  # an image, from its file to there
    peak_memory_bytes: int  # of the whole process, while it fitted and scored
    model_bytes: int  # on disk


class PeakMemory:
    """The highest resident memory of this process inside a `with` block, looked at twenty times a second."""

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.bytes = 0

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._stop.wait(_INTERVAL_S):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, int(self._process.memory_info().rss))


def time_images(model: FittedModel, samples: Sequence[Sample]) -> tuple[float, float]:
    """Return (decode, predict) in ms an image or frame, over a few samples; the first only warms up.

    Of still images these are medians, one at a time. Of clips they are of consecutive frames, as a stream takes them:
    decoding is the mean, for a frame is decoded from those before it.
    """
    if not are_stills(samples):
        return _time_frames(model, [sample for sample in samples if sample.clip == samples[0].clip])
    decoding, predicting = [], []
    for sample in [samples[0], *samples[:TIMED_IMAGES]]:
        started = time.perf_counter()
        frames = list(frames_of([sample], model.view))
        decoded = time.perf_counter()
        list(predicted(model.method, model.view, frames))  # waits for a GPU to be done
        predicting.append(time.perf_counter() - decoded)
        decoding.append(decoded - started)
    return 1000 * statistics.median(decoding[1:]), 1000 * statistics.median(predicting[1:])


def _time_frames(model: FittedModel, clip: Sequence[Sample]) -> tuple[float, float]:
    started = time.perf_counter()
    frames = list(frames_of(clip[: TIMED_IMAGES + 1], model.view))
    decoding = (time.perf_counter() - started) / len(frames)
    predicting = []
    started = time.perf_counter()
    for _ in predicted(model.method, model.view, frames, batch_size=1):
        predicting.append(time.perf_counter() - started)
        started = time.perf_counter()
    return 1000 * decoding, 1000 * statistics.median(predicting[1:] or predicting)


@dataclass(frozen=True)
class Category:
    """One dataset of the comparison and the fingerprints of its data, taken once."""

    dataset: Dataset
    train_hash: str
    test_hash: str  # masks and truth included

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Read every file of both splits; raises DatasetError without a test split of known truth."""
        test = [sample for sample in dataset.samples("test") if sample.anomalous is not None]
        if not test:
            told = f"{dataset.spec} has no test images of known truth: nothing can be compared on it"
            raise DatasetError(told, hint="add folders of defective images, or leave it out")
        masks = [replace(one, id=f"mask of {one.id}", frame=one.mask) for one in test if one.mask]
        hashes = content_hashes([*test, *masks])
        for one in test:  # the truth of a clip's frames is in none of their files
            hashes[one.id] += f" {one.anomalous} {one.kind}"
        return cls(dataset, data_hash(content_hashes(dataset.samples("train"))), data_hash(hashes))


class Asked(NamedTuple):
    """What a cell is computed of."""

    candidate: Candidate
    category: Category
    seed: int
    max_false_alarms: str | None = None

    @property
    def place(self) -> tuple[str, str, int]:
        """Return where it stands in a comparison: category, candidate and seed."""
        return self.category.dataset.spec, self.candidate.name, self.seed

    def settings(self, device: str = "auto") -> FitSettings:
        """Return what its fit is asked for."""
        return self.candidate.asked(self.seed, self.max_false_alarms, device)


@dataclass(frozen=True)
class Cell:
    """What one candidate reached on one category with one seed; arrays are in the order of `ids`."""

    candidate: str
    category: str  # the dataset's spec
    seed: int
    run: str  # the run's folder: relative to the comparison's, or absolute where it was fitted elsewhere
    test_hash: str
    metrics: Mapping[str, float | None]
    why_undefined: Mapping[str, str]
    threshold: Threshold
    at: str  # in words: "the promised 1%"
    unit: str  # what false alarms are counted by: "image", "clip", "30 s piece"
    caught: Rate  # of anomalous images, or of events
    false_alarms: Rate
    cost: Cost
    ids: tuple[str, ...]
    scores: NDArray[np.float64]
    anomalous: NDArray[np.bool_]
    replicates: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)  # metric -> (R,)
    clips: tuple[str, ...] = ()  # their names; none: still images

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)


_CELL = TypeAdapter(Cell)
"""Writes a cell down but for its arrays, and reads it again."""


def cell_key(asked: Asked, registry: Registry) -> dict[str, Any]:
    """Return all that a cell's result depends on, in one form; raise AdkitError for settings that do not exist."""
    settings, category = asked.settings(), asked.category
    method_class = registry.methods.get(settings.method).load()
    options = parse_options(options_of(method_class), settings.options, settings.method)
    scorer = settings.scorer or method_class.default_scorer
    open_scorer(scorer, registry)
    settings = settings.model_copy(update={"scorer": scorer})
    return {
        "format": FORMAT,
        "origin": registry.methods.origin(settings.method).origin,
        "settings": settings.model_dump(exclude={"device", "options", "root", "dataset", "max_false_alarms"}),
        "masks": mask_checksums(settings),
        "rule": asdict(settings.rule),
        "options": options.model_dump(mode="json"),
        "scorer_origin": registry.scorers.origin(scorer.partition(":")[0]).origin if scorer else None,
        "dataset": category.dataset.spec,
        "train_hash": category.train_hash,
        "test_hash": category.test_hash,
        "metrics": {name: registry.metrics.origin(name).origin for name in registry.metrics.names()},
        "resamples": bootstrap.RESAMPLES,
    }


def cell_folder(root: Path, key: Mapping[str, Any]) -> Path:
    """Return where a cell of this key lies."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
    category = Path(str(key["dataset"]).partition(":")[2]).name
    named = (plain_name(name)[:LONGEST_CATEGORY] for name in (key["settings"]["method"], category))
    return root / CELLS / "-".join([*named, str(key["settings"]["seed"]), digest])


def load_cell(root: Path, folder: Path, candidate: str) -> Cell | None:
    """Return the finished cell in that folder; None when there is none, or only a part or a damaged one."""
    try:
        record, content = read_signed(folder / RECORD), read_file(folder / SCORES)
        if checksum(content) != record["scores_sha256"]:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        named = {"candidate": candidate, "run": str((folder / record["run"]).relative_to(root))}
        own = {name: arrays.pop(name) for name in ("scores", "anomalous")}
        replicates = {name.removeprefix(_OF): values for name, values in arrays.items()}
        return _CELL.validate_python({**record["cell"], **named, **own, "replicates": replicates})
    except (OSError, ValueError, KeyError, TypeError):  # among them pydantic's
        return None


def compute_cell(asked: Asked, workplace: Workplace, root: Path) -> Cell:
    """Fit, judge and measure, and write the cell's folder below `root`; nothing of it remains if that fails.

    Raises PluginError for a bug in code of a plugin: it must not end what is compared of the others.
    """
    key, dataset = cell_key(asked, workplace.registry), asked.category.dataset
    folder = cell_folder(root, key)
    gc.collect()  # or the memory of the cell before would count for this one
    with _bugs_told(asked), whole_folder(folder) as temporary:
        with PeakMemory() as memory, workplace.progress.plan([("fit", 40), *STEPS]):
            with workplace.progress.task("fit", 1):
                # Not to be resumed: its folder is temporary, the cell is written whole or not at all.
                settings, registry, progress = asked.settings(workplace.device), workplace.registry, workplace.progress
                run = fit(settings, dataset, temporary, registry, progress, resumable=False)
            model = workplace.model(run)
            evaluation = evaluate(run, replace(workplace, root=dataset.root), model=model)
        _write(temporary, key, cell_of(asked.candidate.name, run, evaluation, model, memory.bytes))
    cell = load_cell(root, folder, asked.candidate.name)
    assert cell is not None
    return cell


@contextmanager
def _bugs_told(asked: Asked) -> Iterator[None]:
    """Turn what a plugin's bug raises into PluginError, with the command that shows the whole of it."""
    try:
        yield
    except Exception as error:
        if isinstance(error, AdkitError) or not is_of_plugin(error) or fault_of_system(error):
            raise
        dataset = asked.category.dataset
        where = {"dataset": (dataset.spec,), "root": str(dataset.root) if dataset.root else None}
        settings = asked.settings().model_copy(update=where)
        hint = f"the whole traceback: {shlex.join(['adkit', 'fit', *settings.command_line()])}; adkit eval"
        told = f"{settings.method} raised {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise PluginError(told, hint=hint) from error


def cell_of(candidate: str, run: Run, evaluation: Evaluation, model: FittedModel, peak_memory_bytes: int) -> Cell:
    """Return what a run reached, with the folder in which it lies now."""
    timings, (decode_ms, predict_ms) = run.record.timings_s, time_images(model, evaluation.samples)
    model_bytes = sum(file.bytes for name, file in run.record.files.items() if name.startswith("model"))
    found, metrics = evaluation.rates, {name: evaluation.metrics[name] for name in evaluation.apt}
    undefined = {name: one.why_undefined or "not defined" for name, one in metrics.items() if one.value is None}
    replicates, failed = evaluation.replicates
    return Cell(
        candidate=candidate,
        category=run.record.dataset,
        seed=run.record.settings.seed,
        run=str(run.folder.absolute()),
        test_hash=evaluation.test_hash,
        metrics={name: one.value for name, one in metrics.items()},
        why_undefined={**failed, **undefined},
        threshold=evaluation.threshold,
        at=run.record.calibration.rule.at(evaluation.threshold),
        unit=evaluation.unit.name,
        caught=found.caught,
        false_alarms=found.false_alarms,
        cost=Cost(timings["fit"] + timings["calibrate"], predict_ms, decode_ms, peak_memory_bytes, model_bytes),
        ids=tuple(sample.id for sample in evaluation.samples),
        scores=evaluation.scores,
        anomalous=evaluation.anomalous,
        replicates=replicates,
        clips=tuple(row.clip for row in evaluation.split.rows),
    )


def _write(folder: Path, key: Mapping[str, Any], cell: Cell) -> None:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {_OF + name: values for name, values in cell.replicates.items()}
    np.savez_compressed(buffer, **{**arrays, "scores": cell.scores, "anomalous": cell.anomalous})
    told = _CELL.dump_python(cell, exclude={"scores", "anomalous", "replicates"})
    digest = checksum(buffer.getvalue())
    record = {"key": key, "run": Path(cell.run).name, "cell": told, "scores_sha256": digest}
    (folder / SCORES).write_bytes(buffer.getvalue())
    (folder / RECORD).write_bytes(signed(record, indent=1))
