"""What a fitted method says, for tests of methods with maps."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from adkit.interfaces import Method
from adkit.nn.features.patch_maps import PatchMapMethod
from adkit.testing.synthetic import PartBatches
from adkit.types import Batch


def maps_of(method: Method[Any], frames: Tensor) -> Tensor:
    """Its maps of frames (N, T, 3, H, W) that it has not seen."""
    maps = method.predict(batch_of(frames)).maps
    assert maps is not None
    return maps


def batch_of(frames: Tensor) -> Batch:
    """Frames (N, T, 3, H, W) as stills that were not seen."""
    names = tuple(f"unseen/{row}" for row in range(len(frames)))
    return Batch(frames, names, names)


def calibration_of(method: Method[Any]) -> Tensor:
    """Its maps of the training frames, each as if it had not been seen."""
    calibration = method.calibration()
    assert calibration is not None
    assert calibration.maps is not None
    return calibration.maps


def in_pairs(frames: Tensor) -> PartBatches:
    """Frames as batches, of which every two are one clip."""
    return PartBatches(frames, clips=[f"clip/{row // 2}" for row in range(len(frames))])


def in_distances(method: PatchMapMethod[Any], maps: Tensor) -> Tensor:
    """Turn maps (B, h, w) of a method that looks at one scale, in spreads above the usual, back into distances."""
    (usual,) = method._blend.usual
    return maps * usual.spread + usual.mean
