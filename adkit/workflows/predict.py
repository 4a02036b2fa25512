"""What a method says of frames, one group after another, and what that means for their images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adkit.containment import plugin_code
from adkit.data.batches import BATCH, batched
from adkit.data.boxes import Size
from adkit.data.clips import are_stills
from adkit.data.frame_source import Frame, frames_of
from adkit.data.view import View
from adkit.errors import AdkitError
from adkit.interfaces import Advance, Method, Progress
from adkit.runs.predictions import Predictions, join_predictions, to_predictions
from adkit.types import Prediction, Sample

if TYPE_CHECKING:
    from torch import Tensor


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
                waiting.add(stream(batch))
        judged = [frame for frame in group if frame.pixels is not None]
        if not judged:
            if group:
                yield group, None, None
            continue
        prediction = waiting.take(len(judged) * view.frames)
        shapes = [frame.shape for frame in judged]
        images = None
        if prediction.images is not None:
            images = view.own_images(view.joined(pixels_of(prediction.images)), shapes)
        ids, clips = tuple(frame.id for frame in judged), tuple(frame.clip for frame in judged)
        with plugin_code(type(method)):  # whose numbers may be none
            found = of_images(prediction, view, shapes, ids, clips, np.array([one.time_s for one in judged]))
        yield group, found, images


@dataclass
class _Waiting:
    """What a method said of frames, until all frames of their image are judged."""

    parts: list[Prediction] = field(default_factory=list)
    sizes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of a frame's map and image

    def add(self, part: Prediction) -> None:
        """Take what was said of the next frames; raises ValueError where its size is another than before."""
        for name in ("maps", "images"):
            tensor = getattr(part, name)
            size = () if tensor is None else tuple(tensor.shape[1:])
            if self.sizes.setdefault(name, size) != size:
                raise ValueError(f"the method gave {name} of {size}, and of {self.sizes[name]} before")
        self.parts.append(part)

    def take(self, count: int) -> Prediction:
        """Return what was said of the first frames; what is left goes on waiting."""
        names = ("maps", "scores", "images")
        given = {name: [getattr(part, name) for part in self.parts] for name in names}
        for name, values in given.items():
            if len({value is None for value in values}) > 1:
                raise ValueError(f"the method gave {name} for some batches only")
        joined = {name: values[0] if len(values) == 1 else _concatenated(values) for name, values in given.items()}
        rest = {name: None if value is None else value[count:] for name, value in joined.items()}
        self.parts = [Prediction(**rest)] if any(value is not None and len(value) for value in rest.values()) else []
        return Prediction(**{name: None if value is None else value[:count] for name, value in joined.items()})


def _concatenated(values: Sequence[Tensor | None]) -> Tensor | None:
    import torch  # heavy: only where there is more than one part

    known = [value for value in values if value is not None]
    return torch.cat(known) if known else None


def of_images(
    prediction: Prediction,
    view: View,
    shapes: Sequence[Size],
    ids: tuple[str, ...],
    clips: tuple[str, ...],
    times_s: NDArray[np.float64] | None,
) -> Predictions:
    """Turn what a method said of frames into what that means for their images, (height, width) px each.

    Of scores of its own the highest of an image's tiles counts; beside maps they are left out where a part of the
    image does not count, since they are of all of it.
    """
    of_each = [name for name in ids for _ in range(view.frames)]
    found = to_predictions(tuple(of_each), tuple(of_each), prediction)
    maps = None if found.maps is None else view.own_maps(view.joined(found.maps), shapes)
    scores = None if found.scores is None else found.scores.reshape(len(ids), view.frames).max(axis=1)
    of_a_part = maps is not None and not view.everywhere
    return Predictions(ids, clips, maps, None if of_a_part else scores, times_s)


def predict_all(
    method: Method[Any],
    view: View,
    samples: Sequence[Sample],
    progress: Progress,
    label: str,
    on_bad: Callable[[Sample, AdkitError], None] | None = None,
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


def times_of(samples: Sequence[Sample]) -> NDArray[np.float64] | None:
    """Return (N,) seconds since the start of each sample's clip; None for stills."""
    return None if are_stills(samples) else np.array([sample.time_s for sample in samples])
