"""What a method says of frames, one group after another, and what that means for their images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adkit.containment import plugin_code, returned
from adkit.data.batches import BATCH, batched
from adkit.data.boxes import Size
from adkit.data.clips import are_stills
from adkit.data.frame_source import Frame, OnBad, frames_of
from adkit.data.view import View
from adkit.interfaces import Advance, Method, Progress
from adkit.runs.predictions import Predictions, join_predictions, to_predictions
from adkit.types import Prediction, Sample

if TYPE_CHECKING:
    from torch import Tensor

_PARTS = ("maps", "scores", "images")  # of a Prediction


def pixels_of(images: Tensor) -> NDArray[np.uint8]:
    """Convert float32 (N, 3, H, W), RGB in 0..1, to (N, H, W, 3), 0..255."""
    return np.asarray((images.detach().cpu().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy())


def predicted(
    method: Method[Any], view: View, frames: Iterable[Frame], batch_size: int = BATCH
) -> Iterator[tuple[list[Frame], Predictions | None, NDArray[np.uint8] | None]]:
    """Yield groups of frames in order, with predictions and reconstructions, RGB (N, H, W, 3), of those with pixels.

    None where no frame of the group has pixels, and where the method does not reconstruct.
    """
    stream, waiting = method.stream(), _Waiting()
    for group, batch in batched(frames, view, method.window, batch_size):
        if batch is not None:
            with plugin_code(type(method)):
                waiting.add(returned(stream(batch), Prediction, "predict"))
        judged = [frame for frame in group if frame.pixels is not None]
        if not judged:
            if group:
                yield group, None, None
            continue
        prediction = waiting.take(len(judged) * view.frames)
        shapes, images = [frame.shape for frame in judged], None
        if prediction.images is not None:
            images = view.own_images(view.joined(pixels_of(prediction.images)), shapes)
        with plugin_code(type(method)):  # whose numbers may be none
            found = of_images(prediction, view, shapes, judged, stills=False)
        yield group, found, images


@dataclass
class _Waiting:
    """What a method said of frames, until all frames of their image are judged."""

    parts: list[Prediction] = field(default_factory=list)
    sizes: dict[str, tuple[int, ...] | None] = field(default_factory=dict)  # of what it says of a frame

    def add(self, part: Prediction) -> None:
        """Take what was said of the next frames; raises ValueError where that is of another size than before."""
        for name in _PARTS:
            size = None if (tensor := getattr(part, name)) is None else tuple(tensor.shape[1:])
            if size != (before := self.sizes.setdefault(name, size)):
                told = "for some batches only" if None in (size, before) else f"of {size}, and of {before} before"
                raise ValueError(f"the method gave {name} {told}")
        self.parts.append(part)

    def take(self, count: int) -> Prediction:
        """Return what was said of the first frames; what is left goes on waiting."""
        joined = {name: _joined([getattr(part, name) for part in self.parts]) for name in _PARTS}
        rest = {name: None if value is None else value[count:] for name, value in joined.items()}
        self.parts = [Prediction(**rest)] if any(value is not None and len(value) for value in rest.values()) else []
        return Prediction(**{name: None if value is None else value[:count] for name, value in joined.items()})


def _joined(values: list[Any]) -> Tensor | None:
    import torch  # heavy: only where there is something to join

    return values[0] if len(values) == 1 or values[0] is None else torch.cat(values)


def of_images(
    prediction: Prediction, view: View, shapes: Sequence[Size], images: Sequence[Frame | Sample], *, stills: bool
) -> Predictions:
    """Turn what a method said of frames into what that means for their images, (height, width) px each.

    Of scores of its own the highest of an image's tiles counts; beside maps they are left out where a part of the
    image does not count, since they are of all of it.
    """
    ids, clips = tuple(one.id for one in images), tuple(one.clip for one in images)
    of_each = tuple(name for name in ids for _ in range(view.frames))
    found = to_predictions(of_each, of_each, prediction)
    maps = None if found.maps is None else view.own_maps(view.joined(found.maps), shapes)
    scores = None if found.scores is None else found.scores.reshape(len(ids), view.frames).max(axis=1)
    of_a_part = maps is not None and not view.everywhere
    times_s = None if stills else np.array([one.time_s for one in images])
    return Predictions(ids, clips, maps, None if of_a_part else scores, times_s)


def left_one_out(
    method: Method[Any], view: View, groups: Sequence[tuple[Sequence[Sample], Sequence[Size]]]
) -> list[Predictions]:
    """Return, for each group of what was learned last, results as if each image (shapes beside them) or clip had not.

    Raises ValueError where the method gives another number of them.
    """
    prediction, total = method.calibration(), sum(len(samples) for samples, _ in groups) * view.frames
    if prediction is None or len(prediction) != total:
        found = "None" if prediction is None else f"{len(prediction)} results"
        raise ValueError(f"{type(method).__name__}.calibration gave {found} for {total} frames")
    parts, first = [], 0
    for samples, shapes in groups:
        own = slice(first, first + len(samples) * view.frames)
        given = Prediction(*(None if part is None else part[own] for part in (prediction.maps, prediction.scores)))
        parts.append(of_images(given, view, shapes, samples, stills=are_stills(samples)))
        first = own.stop
    return parts


def predict_all(
    method: Method[Any],
    view: View,
    samples: Sequence[Sample],
    progress: Progress,
    label: str,
    on_bad: OnBad | None = None,
) -> Predictions:
    """Return the method's predictions for all samples that can be read, in their order."""
    stills = are_stills(samples)

    def parts(advance: Advance) -> Iterator[Predictions]:
        for group, predictions, _ in predicted(method, view, frames_of(samples, view, on_bad)):
            assert predictions is not None  # every frame has pixels
            yield replace(predictions, times_s=None) if stills else predictions
            advance(len(group))

    with progress.task(label, len(samples)) as advance:
        return join_predictions(parts(advance), len(samples))
