"""Heat-map pictures of a run's results, written to a folder, and what a method that reconstructs makes of samples."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adkit.data.frame_source import frames_of
from adkit.data.images import png_of, read_image, read_mask
from adkit.data.view import counting_px
from adkit.drawing.overlay import Caption, draw, faded
from adkit.errors import OptionError
from adkit.evaluation.evaluate import MOST_MISTAKES, Evaluation, kind_of
from adkit.files.atomic import whole_folder, write_whole
from adkit.interfaces import sees_motion
from adkit.runs.store import PICTURES, Run
from adkit.stats.calibration import Threshold
from adkit.stats.segments import grouped
from adkit.types import Sample
from adkit.workflows.predict import predicted
from adkit.workflows.score import FittedModel, FrameResult, Judged, Workplace, colour_scale

MOST_FRAMES = 4000
"""So many frames are watched to see what a method with memory makes of a few; where it takes more, there is none."""
LONGEST_NAME = 120  # bytes, without what is appended


@dataclass(frozen=True)
class PictureFolder:
    """Writes pictures of samples into `folder`, none of which replaces another."""

    folder: Path
    clashing: frozenset[str] = frozenset()  # the ids, of all samples, of those whose plain names are taken

    def write(self, sample: Sample, picture: Image.Image) -> Path:
        """Write the picture, and return its path, by a name that tells which sample it is."""
        path = self.folder / picture_name(sample, hashed=sample.id in self.clashing)
        write_whole(path, png_of(picture))
        return path


def clashing(samples: Iterable[Sample]) -> frozenset[str]:
    """Return the ids of samples whose pictures would have the names, in small letters, of others before them."""
    taken: dict[str, str] = {}
    return frozenset(one.id for one in samples if taken.setdefault(picture_name(one).lower(), one.id) != one.id)


def require_maps(run: Run, option: str) -> None:
    """Raise OptionError where the run's method gives no maps, so that there is nothing that the option could draw."""
    if run.record.pixel_threshold is None:
        hint = f"leave {option} out, or use a method that shows where"
        raise OptionError(f"{run.record.method} gives no maps, so there is nothing to draw", hint=hint)


def write_mask(model: FittedModel, folder: PictureFolder, sample: Sample, result: FrameResult) -> Path:
    """Write the mask of a still, named as its heat map would be: 8 bits in its own size, 255 in its regions, else 0."""
    mask = model.mask(result)
    assert mask is not None  # there are maps
    return folder.write(sample, Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))))


class PictureWriter:
    """Draws samples of one run into a folder; all pictures share one colour scale."""

    def __init__(self, run: Run, threshold: Threshold, folder: PictureFolder) -> None:
        """Raise OptionError for a method without maps."""
        require_maps(run, "--heatmaps")
        self._threshold, self._folder, self._scale = threshold, folder, colour_scale(run)
        self._view = run.record.view

    def write(self, sample: Sample, result: Judged) -> Path:
        """Write the picture and return its path."""
        return self._folder.write(sample, self.drawn(sample, result))

    def drawn(self, sample: Sample, result: Judged) -> Image.Image:
        """Draw the sample with its map."""
        assert result.map is not None  # there are maps
        assert result.p_value is not None  # and only what is none of the normal ones is drawn
        image = faded(read_image(sample.frame, self._view.white), self._view)
        mask, shape = None, (image.shape[0], image.shape[1])
        if sample.anomalous is not None and (sample.mask or not sample.anomalous):
            mask = read_mask(sample.mask, shape) if sample.mask else np.zeros(shape, bool)
        caption = Caption(
            sample.id,
            score=result.score,
            p_value=result.p_value,
            anomalous=result.anomalous,
            threshold=self._threshold.value,
            truth=None if sample.anomalous is None else kind_of(sample),
            whole=result.whole,
            p_value_is_floor=result.p_value_is_floor,
        )
        assert self._scale is not None  # there are maps
        return draw(
            image, result.map, self._scale, caption, mask, result.reconstruction, counting_px(self._view, shape)
        )


def picture_name(sample: Sample, *, hashed: bool = False) -> str:
    """Return a flat file name that tells which sample it is: test/crack/003 -> test_crack_003.png.

    8 hex digits of the id's hash are appended to long ones, where more than slashes is lost, and when `hashed`.
    """
    slashless = sample.id.removesuffix(".png").replace("/", "_")
    plain = sample.id.removesuffix(".png").strip("/.").translate(str.maketrans("/\\:", "___"))
    # The end of a path tells more than its beginning. Names of files are limited in bytes, not in letters.
    short = plain.encode(errors="ignore")[-LONGEST_NAME:].decode(errors="ignore")
    if hashed or short != slashless:
        return f"{short}-{hashlib.sha256(sample.id.encode(errors='backslashreplace')).hexdigest()[:8]}.png"
    return f"{short}.png"


def write_pictures(
    evaluation: Evaluation, workplace: Workplace, folder: Path, chosen: Sequence[int] | None = None
) -> list[Path]:
    """Write pictures of an evaluation's samples, all or those at the chosen positions."""
    positions = range(len(evaluation.samples)) if chosen is None else chosen
    samples = [evaluation.samples[position] for position in positions]
    writer = PictureWriter(evaluation.run, evaluation.threshold, PictureFolder(folder, clashing(samples)))
    # An evaluation stores no reconstructions: they are large, and for most samples nobody looks at them.
    rebuilt = reconstructed(evaluation.run, workplace, samples, all_frames=evaluation.samples)
    return [
        writer.write(evaluation.samples[position], replace(evaluation.result_at(position), reconstruction=image))
        for position, image in zip(positions, rebuilt, strict=True)
    ]


def redraw(evaluation: Evaluation, workplace: Workplace) -> tuple[Path, list[Path]]:
    """Return the run's folder of pictures worth seeing, drawn anew as a whole, and the pictures in it."""
    folder = evaluation.run.folder / PICTURES
    chosen = worth_seeing(evaluation)
    with whole_folder(folder) as temporary:
        drawn = write_pictures(evaluation, workplace, temporary, chosen)
    return folder, [folder / path.name for path in drawn]


def worth_seeing(evaluation: Evaluation) -> list[int]:
    """Return the clearest and the least clear sample of each kind, and the worst mistakes."""
    chosen = [position for ends in ends_of_kinds(evaluation).values() for position in ends]
    return list(dict.fromkeys([*chosen, *evaluation.mistakes()[:MOST_MISTAKES]]))


def ends_of_kinds(evaluation: Evaluation) -> dict[str, tuple[int, int]]:
    """Return the positions of the highest and the lowest score of each kind, in the order of the samples."""
    kinds = evaluation.results.kinds
    by_score = sorted(evaluation.split.telling, key=lambda position: float(evaluation.scores[position]))
    members = {kind: [position for position in by_score if kinds[position] == kind] for kind in dict.fromkeys(kinds)}
    return {kind: (found[-1], found[0]) for kind, found in members.items() if found}


def reconstructed(
    run: Run, workplace: Workplace, samples: Sequence[Sample], *, all_frames: Sequence[Sample] = ()
) -> Iterator[NDArray[np.uint8] | None]:
    """Yield RGB (H, W, 3) for each sample in its turn; None for each when the run's method does not reconstruct.

    `all_frames` has all frames of the clips, for a method that looks at more than one; what is not in it has none.
    """
    name, methods = run.record.method, workplace.registry.methods
    may = name in methods.entries and samples and methods.get(name).load().reconstructs
    model = workplace.model(run) if may else None
    if model is None or not model.method.reconstructs:
        yield from repeat(None, len(samples))
        return
    remembers = sees_motion(type(model.method)) or model.method.window > 1
    watched = _with_past(samples, all_frames) if remembers else list(samples)
    wanted = {sample.id for sample in samples}
    found: dict[str, NDArray[np.uint8]] = {}
    with workplace.progress.task("reconstructing", len(watched)) as advance:
        rebuilt = _rebuilt(model, [watched] if remembers else _together(watched))
        for sample in samples:
            while sample.id not in found and (one := next(rebuilt, None)) is not None:
                name, image = one
                if name in wanted:
                    found[name] = image
                advance(1)
            yield found.pop(sample.id, None)


def _rebuilt(model: FittedModel, parts: Iterable[Sequence[Sample]]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    for part in parts:
        for group, _, images in predicted(model.method, model.view, frames_of(part, model.view)):
            if images is None:
                name = type(model.method).__name__
                raise ValueError(f"{name} says that it reconstructs, but predict() gave no images")
            yield from zip((frame.id for frame in group), images, strict=True)


def _together(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Part samples that need no past: frames of videos by themselves, as they may come from anywhere, in any order."""
    for of_video, members in groupby(samples, key=lambda sample: sample.frame.number is not None):
        together = list(members)
        yield from [[sample] for sample in together] if of_video else [together]


def _with_past(samples: Sequence[Sample], all_frames: Sequence[Sample]) -> list[Sample]:
    """Return the samples in `all_frames`, with their clips up to them; those with the longest past are left out."""
    clips = grouped(all_frames, lambda sample: sample.clip)
    places = {sample.id: (clip, row) for clip, members in clips.items() for row, sample in enumerate(members)}
    needed: dict[str, int] = {}
    for clip, row in sorted((places[sample.id] for sample in samples if sample.id in places), key=lambda one: one[1]):
        others = sum(count for name, count in needed.items() if name != clip)
        if others + row + 1 <= MOST_FRAMES:
            needed[clip] = row + 1
    return [sample for clip, count in needed.items() for sample in clips[clip][:count]]
