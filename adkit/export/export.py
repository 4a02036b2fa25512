"""A run as a folder that needs no adkit: the model, what it decides by, pictures to check it with, and `score.py`.

    bracket.adkit/
        model.onnx    from pixels to map and score
        model.json    the threshold, what it promises, and how pictures become pixels
        score.py      judges pictures: numpy, onnxruntime and pillow are all that it needs
        golden/       some pictures, whose scores stand in model.json: `score.py --check` judges them again

Nothing is exported that decides otherwise: normal pictures of the run's own, and spoilt ones, go through both.
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from adkit.data.bit_depth import WHITES
from adkit.data.datasets import open_datasets
from adkit.data.frame_source import frames_of
from adkit.data.images import read_image
from adkit.data.view import MOST_STRETCH
from adkit.errors import AdkitError, DatasetError, OptionError, RunError
from adkit.export.graph import to_onnx
from adkit.export.score import Model
from adkit.files.atomic import storage_faults, whole_file, whole_folder
from adkit.interfaces import Progress, Silent
from adkit.nn.corruption import SPOILT, spoilt
from adkit.registry import Registry
from adkit.runs.store import Run
from adkit.types import Sample
from adkit.workflows.score import FittedModel, open_model

FORMAT = 1
TOLERANCE = 1e-4
"""Scores may differ by this share of the threshold."""
SLACK = 5e-5
"""The threshold goes up by this share of itself: rounding shall not flag the good picture whose score it is."""
MOST_NORMAL = 100
"""So many normal pictures, spread over all, are judged by both."""
SPOILT_SOURCES = 6
"""So many of them are spoilt too, each in every way."""
MOST_TILES = 40
"""They are judged together: with patchknn each takes some 30 MB."""
GOLDEN = 3
"""Pictures of either sort that go with the model."""


@dataclass(frozen=True)
class Export:
    """What was exported, and how it compares."""

    path: Path
    normal: int  # pictures that went through both
    spoilt: int
    difference: float  # of the scores, at most, as a share of the threshold
    model_mb: float


@dataclass(frozen=True)
class _Judged:
    file: Path
    score: float  # of the run
    exported: float
    anomalous: bool
    spoilt: bool


def export(
    run: Run, registry: Registry, target: Path, *, root: Path | None = None, progress: Progress | None = None
) -> Export:
    """Write a run as a folder, or a .zip where the target ends so, and return how it compares.

    `root` is the folder that holds the dataset, where it was moved: its normal pictures are judged by both. Raises
    OptionError for a run that cannot be exported, RunError, which names the picture, where the two decide differently.
    """
    progress = progress or Silent()
    if target.exists():
        raise OptionError(f"{target} is there already", hint="name another place, or remove it")
    _require_exportable(run)
    samples = _normal_samples(run, registry, root)
    model = open_model(run, registry, device="cpu")
    with progress.task("graph", 1) as advance:
        graph, grid = to_onnx(model)
        advance(1)
    with tempfile.TemporaryDirectory() as place, storage_faults(target):
        folder = Path(place) / "export"
        (folder / "golden").mkdir(parents=True)
        (folder / "model.onnx").write_bytes(graph)
        shutil.copyfile(Path(__file__).with_name("score.py"), folder / "score.py")
        facts = _facts(model, grid)
        _write(folder, facts)
        pictures = [
            *((sample.frame.path, False) for sample in samples),
            *_spoilt(samples, Path(place), model.view.white),
        ]
        exported = Model(folder)
        judged, difference = _compared(model, exported, pictures, progress)
        facts["threshold"] = exported.threshold
        facts["golden"] = [_golden(one, number, folder) for number, one in enumerate(_some(judged), 1)]
        _write(folder, facts)
        _place(folder, target)
    return Export(target, len(samples), len(judged) - len(samples), difference, len(graph) / 1e6)


def _require_exportable(run: Run) -> None:
    record = run.record
    if record.threshold.unit == "clip" or record.window > 1:
        raise OptionError(
            f"{run.folder} judges clips, and only what judges still images can be exported",
            hint="fit on images, for example with --dataset folder:good_parts/",
        )
    if len(record.view.tiles) > MOST_TILES:
        raise OptionError(
            f"{run.folder} sees pictures in {len(record.view.tiles)} tiles; the graph has room for {MOST_TILES}",
            hint="fit again without --tiles, or with larger ones: --set size=768",
        )


def _normal_samples(run: Run, registry: Registry, root: Path | None) -> list[Sample]:
    """Return normal pictures of the run's own dataset, spread over all of them."""
    record = run.record
    (dataset,) = open_datasets(record.dataset, root or (Path(record.root) if record.root else None), registry)
    normal = [sample for sample in dataset.samples("train") if not sample.anomalous]
    samples = [one for one in normal if one.frame.number is None and one.frame.page is None]
    if not samples:
        raise DatasetError(f"{record.dataset} has no normal images to compare with", hint="put them back, or --root")
    count = min(MOST_NORMAL, len(samples))
    return [samples[number * len(samples) // count] for number in range(count)]


def _facts(model: FittedModel, grid: tuple[int, int] | None) -> dict[str, Any]:
    """Return what model.json says, but for the golden pictures."""
    from adkit import __version__

    record, view = model.run.record, model.view
    return {
        "format": FORMAT,
        "run": record.id,
        "method": record.method,
        "learned_from": record.dataset,
        "adkit": __version__,
        "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "promise": model.threshold.promise(),
        "threshold": model.threshold.value + SLACK * abs(model.threshold.value),
        "tolerance": TOLERANCE,
        "canvas": view.canvas,
        "most_stretch": MOST_STRETCH,
        "white": view.white or WHITES[-1],
        "box": view.box and view.box.model_dump(),
        "only_size": None if view.everywhere else view.picture,
        "grid": grid or (1, 1),
        "normal_scores": sorted(model.normal_scores.tolist()),
        "golden": [],
    }


def _write(folder: Path, facts: dict[str, Any]) -> None:
    (folder / "model.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _spoilt(samples: Sequence[Sample], folder: Path, white: int | None) -> Iterator[tuple[Path, bool]]:
    """Write some of the pictures, each spoilt in every way, and yield their files."""
    count = min(SPOILT_SOURCES, len(samples))
    chosen = [samples[number * len(samples) // count] for number in range(count)]
    for row, sample in enumerate(chosen):
        frame, donor = (
            torch.from_numpy(read_image(one.frame, white).copy()).permute(2, 0, 1) / 255
            for one in (sample, chosen[row - 1])
        )
        copies = spoilt(frame, donor if donor.shape == frame.shape else frame, [0, row])
        for way, copy in zip(SPOILT, copies, strict=True):
            file = folder / f"{sample.frame.path.stem}-{row}-{way}.png"
            pixels = (copy * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
            Image.fromarray(np.ascontiguousarray(pixels)).save(file, compress_level=1)
            yield file, True


def _compared(
    model: FittedModel, exported: Model, pictures: Iterable[tuple[Path, bool]], progress: Progress
) -> tuple[list[_Judged], float]:
    """Let both judge the pictures; raises RunError for the first that they judge differently.

    The export's threshold is lowered where it would let a picture pass that the run flags.
    """
    files = dict(pictures)
    judged: list[_Judged] = []
    own = model.threshold.value
    samples = [Sample.still(str(path), path) for path in files]
    frames = frames_of(samples, model.view, _pass_over)
    with progress.task("compare", len(samples)) as advance, closing(frames):
        for result in model.stream(frames):
            path = Path(result.id)
            try:
                score, _ = exported.judge(path)
            except ValueError as error:
                raise RunError(f"the export cannot judge {path}: {error}", hint=_HINT) from None
            if result.anomalous:  # what is flagged by a hair stays so
                exported.threshold = min(exported.threshold, (own + result.score) / 2)
            judged.append(_Judged(path, result.score, score, result.anomalous, files[path]))
            advance(1)
    for one in judged:
        close = abs(one.score - one.exported) <= TOLERANCE * abs(own)
        if not close or (one.exported > exported.threshold) != one.anomalous:
            raise RunError(
                f"the export decides otherwise: {one.file} has the score {one.score:.6g} and there {one.exported:.6g}, "
                f"at the threshold {own:.6g}",
                hint=_HINT,
            )
    return judged, max((abs(one.score - one.exported) for one in judged), default=0.0) / abs(own)


_HINT = "nothing was written; use the run with adkit, or fit again with another method"


def _pass_over(_: Sample, __: AdkitError) -> None:
    """Leave a picture out that cannot be read: fitting told of it."""


def _some(judged: Sequence[_Judged]) -> list[_Judged]:
    """Return the golden ones: the most and the least anomalous of both sorts, and those between."""
    found: list[_Judged] = []
    for sort in (False, True):
        ordered = sorted((one for one in judged if one.spoilt is sort), key=lambda one: one.score)
        count = min(GOLDEN, len(ordered))
        found += [ordered[number * (len(ordered) - 1) // max(1, count - 1)] for number in range(count)]
    return found


def _golden(one: _Judged, number: int, folder: Path) -> dict[str, Any]:
    """Copy a picture into the export, and return what model.json says of it."""
    sort = "spoilt" if one.spoilt else "good"
    name = f"golden/{number}-{sort}{one.file.suffix.lower()}"
    shutil.copyfile(one.file, folder / name)
    return {"file": name, "score": one.score, "anomalous": one.anomalous}


def _place(folder: Path, target: Path) -> None:
    """Give a finished folder its name, or pack it."""
    if target.suffix.lower() != ".zip":
        with whole_folder(target, replace=False) as place:
            shutil.copytree(folder, place, dirs_exist_ok=True)
        return
    with whole_file(target) as file:
        packed = shutil.make_archive(str(folder), "zip", folder)
        shutil.copyfile(packed, file)
