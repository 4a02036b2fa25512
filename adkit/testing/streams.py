"""Checks of how a method judges the frames of clips as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from adkit.interfaces import Method
from adkit.testing.sameness import check_same, joined
from adkit.types import Batch, Prediction

FIRST, SECOND = "first clip", "second clip"


def check_stream(method: Method[Any], clips: tuple[Tensor, Tensor]) -> None:
    """Checks the stream of a fitted method with two clips, float32 (n, 3, H, W) each.

    Answers may not depend on how frames are parted into batches, nor on the clip before, nor on another stream;
    and those of a method with memory must be those of `predict` on a clip's frames from its start.
    """
    first, second = (_windows(clip, method.window) for clip in clips)
    frames, names = torch.cat([first, second]), [FIRST] * len(first) + [SECOND] * len(second)
    one_by_one = _streamed(method, frames, names, 1)
    check_same(one_by_one, _streamed(method, frames, names, 4), "streamed in fours", "streamed one by one")
    apart = joined([_streamed(method, first, names, 1), _streamed(method, second, names[len(first) :], 1)])
    check_same(apart, one_by_one, "streamed clip after clip", "streamed alone")
    if type(method).stream is Method.stream:
        return
    for clip, name, start in ((clips[0], FIRST, 0), (clips[1], SECOND, len(first))):
        past = [method.predict(Batch(clip[None, : end + 1], ("frame",), (name,))) for end in range(len(clip))]
        streamed = _part(one_by_one, slice(start, start + len(clip)))
        check_same(joined(past), streamed, "streamed", "predicted from the clip's start")


def _windows(clip: Tensor, window: int) -> Tensor:
    """(n, 3, H, W) -> (n, window, 3, H, W): each frame with those before it, the first one repeated."""
    numbers = torch.arange(len(clip))[:, None] - torch.arange(window - 1, -1, -1)
    return clip[numbers.clamp_min(0)]


def _streamed(method: Method[Any], frames: Tensor, clips: Sequence[str], batch_size: int) -> Prediction:
    stream = method.stream()
    parts = []
    for first in range(0, len(frames), batch_size):
        part = frames[first : first + batch_size]
        ids = tuple(f"frame {first + row}" for row in range(len(part)))
        parts.append(stream(Batch(part, ids, tuple(clips[first : first + len(part)]))))
    return joined(parts)


def _part(prediction: Prediction, rows: slice) -> Prediction:
    tensors = (prediction.maps, prediction.scores, prediction.images)
    return Prediction(*(None if tensor is None else tensor[rows] for tensor in tensors))
