"""A run as a folder that needs no adkit: the model, what it decides by, images to check it with, and `score.py`.

    bracket.adkit/
        model.onnx    from pixels to map and score
        model.json    the threshold, what it promises, and how images become pixels
        score.py      judges images: numpy, onnxruntime and pillow are all that it needs
        golden/       some images, whose scores stand in model.json: `score.py --check` judges them again

Nothing is exported that decides otherwise: normal images of the run's own, and spoilt ones, go through both. What
judges clips does so frame by frame: the model is then one step, which takes and gives what is remembered of a clip.
"""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from adkit import __version__
from adkit.data.bit_depth import WHITES
from adkit.data.clips import at_steps
from adkit.data.frame_source import frames_of
from adkit.data.images import read_image
from adkit.data.view import MOST_STRETCH
from adkit.errors import DatasetError, OptionError, RunError
from adkit.export.graph import OnnxModel, to_onnx
from adkit.export.score import FORMAT, Clip, Model, Undecoded, still, video
from adkit.files.atomic import require_output, storage_faults, whole_file, whole_folder
from adkit.interfaces import Progress
from adkit.nn.corruption import SPOILT, spoilt
from adkit.runs.store import Run
from adkit.stats.segments import grouped
from adkit.types import FrameRef, Sample
from adkit.workflows.score import FittedModel, Workplace, open_model

TOLERANCE = 1e-4
"""Scores may differ by this share of the threshold."""
SLACK = 5e-5
"""The threshold goes up by this share of itself: rounding shall not flag the good image whose score it is."""
MOST_NORMAL = 100
"""So many normal images, spread over all, are judged by both."""
MOST_CLIPS, MOST_FRAMES = 8, 25
"""So many normal clips are, and so many frames of each."""
SPOILT_SOURCES = 6
"""So many of them are spoilt too, each in every way; of a clip the last of its first frames."""
LEAD = 4
"""The first frames of a clip that are played before it is spoilt, and that go with the model."""
MOST_TILES = 40
"""They are judged together: with patchknn each takes some 30 MB."""
GOLDEN = 3
"""Images of either sort that go with the model; of clips the beginning of one."""
_FILES = {".7z", ".bz2", ".gz", ".onnx", ".rar", ".tar", ".tgz", ".xz"}
"""Endings by which nobody means a folder."""
_HINT = "nothing was written; use the run with adkit, or fit again with another method"


@dataclass(frozen=True)
class Export:
    """What was exported, and how it compares."""

    path: Path
    normal: int  # images, or frames of clips, that went through both
    spoilt: int
    difference: float  # of the scores, at most, as a share of the threshold
    model_mb: float


@dataclass(frozen=True)
class _Judged:
    sample: Sample
    spoilt: bool
    score: float  # of the run
    exported: float
    anomalous: bool


@dataclass
class _Images:
    """Reads images as the export does; frames of a video are asked for in their order."""

    white: int
    videos: dict[Path, Iterator[tuple[int, float, Undecoded]]] = field(default_factory=dict)

    def __call__(self, frame: FrameRef) -> Undecoded:
        """Return an image; raises ValueError for what cannot be read."""
        if frame.number is None:
            return still(frame.path, self.white)
        frames = self.videos.setdefault(frame.path, video(frame.path))
        for number, _, image in frames:
            if number == frame.number:
                return image
        raise ValueError("the video has no such frame")


def export(run: Run, workplace: Workplace, target: Path) -> Export:
    """Write a run as a folder, or a .zip where the target ends so, and return how it compares on the CPU.

    Raises OptionError for a run that cannot be exported, RunError with the image that the two decide differently.
    """
    if target.exists():
        raise OptionError(f"{target} is there already", hint="name another place, or remove it")
    if target.suffix.lower() in _FILES:
        hint = f"{target.with_suffix('.zip')} is packed; a name without such an ending is a folder's"
        raise OptionError(f"{target} ends as a file that is not made: a folder or a .zip was expected", hint=hint)
    require_output(target)
    _require_exportable(run)
    normal = _normal_clips(run, workplace)
    model = open_model(run, workplace.registry, device="cpu")
    with workplace.progress.task("graph", 1) as advance:
        graph = to_onnx(model)
        advance(1)
    with tempfile.TemporaryDirectory() as place, storage_faults(target):
        folder = Path(place) / "export"
        (folder / "golden").mkdir(parents=True)
        (folder / "model.onnx").write_bytes(graph.proto)
        shutil.copyfile(Path(__file__).with_name("score.py"), folder / "score.py")
        facts = _facts(model, graph)
        _write(folder, facts)
        exported, bad = Model(folder), list(_spoilt(normal, Path(place), model.view.white))
        judged, difference = _compared(model, exported, list(chain(*normal)), bad, workplace.progress)
        facts["threshold"] = exported.threshold
        facts["golden"] = [_golden(clip, number, exported) for number, clip in enumerate(_some(judged), 1)]
        _write(folder, facts)
        _place(folder, target)
    count = sum(one.spoilt for one in judged)
    return Export(target, len(judged) - count, count, difference, len(graph.proto) / 1e6)


def _require_exportable(run: Run) -> None:
    record = run.record
    if record.window > 1:
        of_motion = "fit again with --appearance-only: then each frame is judged by itself"
        hint = "take another method, such as patchknn" if record.settings.appearance_only else of_motion
        raise OptionError(f"{run.folder} compares frames of a clip to see what moves, which no graph can do", hint=hint)
    if len(record.view.tiles) > MOST_TILES:
        told = f"{run.folder} sees images in {len(record.view.tiles)} tiles; the graph has room for {MOST_TILES}"
        raise OptionError(told, hint="fit again without --tiles, or with larger ones: --set size=768")


def _normal_clips(run: Run, workplace: Workplace) -> list[list[Sample]]:
    """Return normal data of the run's own dataset, spread over all: frames of clips as a run takes them, or stills."""
    record = run.record
    samples = [one for one in workplace.dataset(run).samples("train") if not one.anomalous and one.frame.page is None]
    if record.threshold.unit == "clip":
        frames = grouped(samples, lambda one: one.clip).values()
        clips, most = [at_steps(one, record.step_s)[:MOST_FRAMES] for one in frames], MOST_CLIPS
    else:
        clips, most = [[one] for one in samples if one.frame.number is None], MOST_NORMAL
    if not clips:
        raise DatasetError(f"{record.dataset} has no normal images to compare with", hint="put them back, or --root")
    count = min(most, len(clips))
    return [clips[number * len(clips) // count] for number in range(count)]


def _facts(model: FittedModel, graph: OnnxModel) -> dict[str, Any]:
    """Return what model.json says, but for the golden images."""
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
        "sizes": view.sizes,
        "unusual": model.outline,
        "only_size": None if view.everywhere else view.picture,
        "grid": graph.grid or (1, 1),
        "unit": record.threshold.unit,
        "step_s": record.step_s,
        "smoothing_s": record.smoothing_s,
        "states": dict(graph.states),
        "normal_scores": sorted(model.normal_scores.tolist()),
        "golden": [],
    }


def _write(folder: Path, facts: dict[str, Any]) -> None:
    (folder / "model.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _spoilt(clips: Sequence[Sequence[Sample]], folder: Path, white: int | None) -> Iterator[Sample]:
    """Write some of the images, each spoilt in every way, and yield them; of clips first what came before."""
    count = min(SPOILT_SOURCES, len(clips))
    chosen = [clips[number * len(clips) // count][:LEAD] for number in range(count)]
    for row, clip in enumerate(chosen):
        *before, frame, donor = (
            torch.from_numpy(read_image(one.frame, white).copy()).permute(2, 0, 1) / 255
            for one in (*clip, chosen[row - 1][-1])
        )
        copies = spoilt(frame, donor if donor.shape == frame.shape else frame, [0, row])
        step_s = (clip[-1].time_s - clip[0].time_s) / max(1, len(clip) - 1)
        names = [*(f"before-{number}" for number in range(len(before))), *SPOILT]
        for number, (way, copy) in enumerate(zip(names, [*before, *copies], strict=True)):
            file = folder / f"{clip[-1].frame.path.stem}-{row}-{way}.png"
            _write_png(file, (copy * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
            of_clip = str(folder / str(row)) if len(clip) > 1 else str(file)
            yield Sample(str(file), FrameRef(file), of_clip, number, timestamp_s=number * step_s)


def _compared(
    model: FittedModel, exported: Model, normal: Sequence[Sample], bad: Sequence[Sample], progress: Progress
) -> tuple[list[_Judged], float]:
    """Let both judge; raises RunError where they differ. What the run flags by a hair lowers the export's threshold."""
    own, clip, judged = model.threshold.value, Clip(exported), list[_Judged]()
    by_id = {one.id: (one, spoilt) for spoilt, samples in ((False, normal), (True, bad)) for one in samples}
    frames = frames_of([*normal, *bad], model.view, lambda *_: None)  # fitting told of what cannot be read
    images = _Images(exported.facts["white"])
    with progress.task("compare", len(by_id)) as advance, closing(frames):
        for result in model.stream(frames):
            sample, spoilt = by_id[result.id]
            if not judged or judged[-1].sample.clip != sample.clip:
                clip = Clip(exported)
            try:
                score, _ = clip.judge(images(sample.frame), sample.time_s)
            except ValueError as error:
                raise RunError(f"the export cannot judge {sample.frame}: {error}", hint=_HINT) from None
            if result.anomalous:  # what is flagged by a hair stays so
                exported.threshold = min(exported.threshold, (own + result.score) / 2)
            judged.append(_Judged(sample, spoilt, result.score, score, result.anomalous))
            advance(1)
    for one in judged:
        close = abs(one.score - one.exported) <= TOLERANCE * abs(own)
        if not close or (one.exported > exported.threshold) != one.anomalous:
            raise RunError(
                f"the export decides otherwise: {one.sample.frame} has the score {one.score:.6g} and there "
                f"{one.exported:.6g}, at the threshold {own:.6g}",
                hint=_HINT,
            )
    return judged, max((abs(one.score - one.exported) for one in judged), default=0.0) / abs(own)


def _some(judged: Sequence[_Judged]) -> list[list[_Judged]]:
    """Return the golden ones, clips or stills: the least and the most anomalous of both sorts, and those between."""
    clips, found = grouped(judged, lambda one: one.sample.clip).values(), list[list[_Judged]]()
    most = GOLDEN if max(map(len, clips), default=1) == 1 else 1
    for sort in (False, True):
        ordered = sorted((one for one in clips if one[0].spoilt is sort), key=lambda one: max(f.score for f in one))
        count = min(most, len(ordered))
        found += [ordered[number * (len(ordered) - 1) // max(1, count - 1)] for number in range(count)]
    return found


def _golden(judged: Sequence[_Judged], number: int, exported: Model) -> dict[str, Any]:
    """Copy an image, or a clip's first ones, into the export; return what model.json says of them, as it was found."""
    clip, images, found = Clip(exported), _Images(exported.facts["white"]), list[tuple[str, float, float]]()
    for place, one in enumerate(judged[: LEAD + len(SPOILT)]):
        frame, of_video = one.sample.frame, one.sample.frame.number is not None
        order = f"-{place}" if len(judged) > 1 else ""
        suffix = ".png" if of_video else frame.path.suffix.lower()
        name = f"golden/{number}-{'spoilt' if one.spoilt else 'good'}{order}{suffix}"
        if of_video:
            size, pixels = images(frame)
            _write_png(exported.folder / name, pixels(*size))
        else:
            shutil.copyfile(frame.path, exported.folder / name)
        score, _ = clip.judge(still(exported.folder / name, images.white), one.sample.time_s)
        found.append((name, one.sample.time_s, score))
    return dict(zip(("files", "times_s", "scores"), zip(*found, strict=True), strict=True))


def _write_png(file: Path, pixels: NDArray[np.uint8]) -> None:
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, compress_level=1)


def _place(folder: Path, target: Path) -> None:
    """Give a finished folder its name, or pack it."""
    if target.suffix.lower() != ".zip":
        with whole_folder(target, replace=False) as place:
            shutil.copytree(folder, place, dirs_exist_ok=True)
        return
    # A clock that starts in 1970 is before the first day that a zip file can name.
    with whole_file(target) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as pack:
        for one in sorted(folder.rglob("*")):
            pack.write(one, one.relative_to(folder))
