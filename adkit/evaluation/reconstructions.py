"""What a method that reconstructs makes of some samples, for pictures of them."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, repeat

import numpy as np
from numpy.typing import NDArray

from adkit.data.frame_source import frames_of
from adkit.interfaces import SILENT, Progress, sees_motion
from adkit.registry import Registry
from adkit.runs.store import Run
from adkit.stats.segments import by_clip
from adkit.types import Sample
from adkit.workflows.predict import predicted
from adkit.workflows.score import FittedModel, open_model

MOST_FRAMES = 4000
"""So many frames are watched to see what a method with memory makes of a few; where it takes more, there is none."""


def reconstructed(
    run: Run,
    registry: Registry,
    samples: Sequence[Sample],
    *,
    footage: Sequence[Sample] = (),
    device: str = "auto",
    progress: Progress = SILENT,
) -> Iterator[NDArray[np.uint8] | None]:
    """Yield RGB (H, W, 3) for each sample in its turn; None for each when the run's method does not reconstruct.

    What a method that looks at more than one frame makes of a frame depends on what the clip showed before: `footage`
    has all frames of the clips, in their order. Frames that are not in it have no reconstruction.
    """
    name = run.record.method
    may = name in registry.methods.entries and samples and registry.methods.get(name).load().reconstructs
    model = open_model(run, registry, device=device) if may else None
    if model is None or not model.method.reconstructs:
        yield from repeat(None, len(samples))
        return
    remembers = sees_motion(type(model.method)) or model.method.window > 1
    watched = _with_past(samples, footage) if remembers else list(samples)
    wanted = {sample.id for sample in samples}
    found: dict[str, NDArray[np.uint8]] = {}
    with progress.task("reconstructing", len(watched)) as advance:
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
    """Part samples that need no past: frames of films by themselves, as they may come from anywhere, in any order."""
    for of_film, members in groupby(samples, key=lambda sample: sample.frame.number is not None):
        together = list(members)
        yield from [[sample] for sample in together] if of_film else [together]


def _with_past(samples: Sequence[Sample], footage: Sequence[Sample]) -> list[Sample]:
    """Return the samples that are in the footage, with their clips up to them; as many as are not too long.

    Those whose past is the shortest come first into the bound; the rest have no reconstruction.
    """
    clips = by_clip((sample.clip for sample in footage), footage)
    places = {sample.id: (clip, row) for clip, members in clips.items() for row, sample in enumerate(members)}
    needed: dict[str, int] = {}
    for clip, row in sorted((places[sample.id] for sample in samples if sample.id in places), key=lambda one: one[1]):
        others = sum(count for name, count in needed.items() if name != clip)
        if others + row + 1 <= MOST_FRAMES:
            needed[clip] = row + 1
    return [sample for clip, count in needed.items() for sample in clips[clip][:count]]
