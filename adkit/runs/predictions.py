"""What a method said of samples, batch by batch, as it is stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adkit.errors import RunError
from adkit.runs.record import UNTRUSTED

if TYPE_CHECKING:
    from torch import Tensor

    from adkit.types import Prediction


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a method said of N samples, as it is stored: native maps, own scores, or both."""

    ids: tuple[str, ...]
    clips: tuple[str, ...]  # whose frames they are; a still image is a clip of its own
    maps: NDArray[np.float32] | None  # (N, h, w)
    scores: NDArray[np.float32] | None  # (N,)
    times_s: NDArray[np.float64] | None = None  # (N,) since the start of their clips; None: they are stills

    def take(self, rows: Sequence[int]) -> Predictions:
        """Return those of some samples."""
        ids, clips = (tuple(names[row] for row in rows) for names in (self.ids, self.clips))
        given: dict[str, Any] = {name: values[list(rows)] for name, values in self._given().items()}
        return replace(self, ids=ids, clips=clips, **given)

    def _given(self) -> dict[str, NDArray[Any]]:
        """Return what there is of maps, scores and times, by name."""
        parts = {"maps": self.maps, "scores": self.scores, "times_s": self.times_s}
        return {name: values for name, values in parts.items() if values is not None}

    def to_bytes(self) -> bytes:
        """Give it as a safetensors file, the same bytes for the same content; ids and clips are in its metadata."""
        from safetensors.numpy import save

        # safetensors takes an array's memory as it lies, whatever its strides.
        tensors = {name: np.ascontiguousarray(part) for name, part in self._given().items()}
        # As one entry: safetensors writes several in an order that changes from time to time.
        return save(tensors, metadata={"samples": json.dumps({"ids": self.ids, "clips": self.clips})})

    @classmethod
    def from_file(cls, path: Path) -> Predictions:
        """Read what `to_bytes` wrote; raises RunError for anything else."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
                samples = json.loads((file.metadata() or {})["samples"])
                ids, clips = tuple(samples["ids"]), tuple(samples["clips"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"cannot read {path}: {error}", hint=UNTRUSTED) from None
        return cls(ids, clips, tensors.get("maps"), tensors.get("scores"), tensors.get("times_s"))


def to_predictions(ids: tuple[str, ...], clips: tuple[str, ...], prediction: Prediction) -> Predictions:
    """Return a method's answer as it is stored; raises ValueError, a plugin's bug, for a wrong number or nan."""
    if len(prediction) != len(ids):
        raise ValueError(f"the method answered for {len(prediction)} of {len(ids)} samples")

    def checked(name: str, tensor: Tensor | None) -> NDArray[np.float32] | None:
        if tensor is None:
            return None
        values = tensor.detach().cpu().numpy()
        finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        if not finite.all():
            raise ValueError(f"the method gave {name} that are not finite for {ids[int(finite.argmin())]}")
        return values

    return Predictions(ids, clips, checked("maps", prediction.maps), checked("scores", prediction.scores))


def join_predictions(parts: Iterable[Predictions], most: int) -> Predictions:
    """Gather up to `most` samples' parts in one piece of memory; raises ValueError where some lack what others have."""
    ids: list[str] = []
    clips: list[str] = []
    kinds: dict[str, NDArray[Any]] | None = None
    for part in parts:
        given = part._given()
        if kinds is None:
            kinds = {name: np.empty((most, *one.shape[1:]), one.dtype) for name, one in given.items()}
        if given.keys() != kinds.keys():
            raise ValueError(f"the method gave {min(given.keys() ^ kinds.keys())} for some batches only")
        for name, values in given.items():
            kinds[name][len(ids) : len(ids) + len(values)] = values
        ids += part.ids
        clips += part.clips
    joined = {name: values[: len(ids)] for name, values in (kinds or {}).items()}
    return Predictions(tuple(ids), tuple(clips), **{"maps": None, "scores": None, **joined})
