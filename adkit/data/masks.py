"""The truth of pixels: masks beside the maps that are judged by them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from adkit.data.images import FrameShapes, frame_shape, read_mask
from adkit.data.view import View, counting_px
from adkit.errors import FrameError
from adkit.interfaces import Progress
from adkit.types import Sample

_MOST_KEPT_BYTES = 200_000_000
_MOST_MARKED = 0.5


class MapsBesideMasks:
    """Maps of whole images, each beside its mask and as large; masks are decoded once and kept as bits."""

    def __init__(self, samples: Sequence[Sample], maps: NDArray[np.float32] | None, view: View) -> None:
        self._samples = samples
        self._view = view
        self._maps = maps
        self._kept: dict[int, tuple[tuple[int, int], NDArray[np.uint8]]] = {}
        self._kept_bytes = 0
        self._shape = FrameShapes()

    def __call__(self) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]:
        """Yield each sample's index, its map and its mask, as `LabelledResults.pixels` has them."""
        for index, sample in enumerate(self._samples):
            if self._maps is None or (sample.anomalous and sample.mask is None):
                continue
            mask = self._mask(index, sample)
            one = self._maps[index]
            yield index, self._view.over(one, (mask.shape[0], mask.shape[1]), float(one.min())), mask

    def _mask(self, index: int, sample: Sample) -> NDArray[np.bool_]:
        if index not in self._kept:
            shape = self._shape(sample.frame)
            mask = read_mask(sample.mask, shape) if sample.mask and sample.anomalous else np.zeros(shape, bool)
            bits = np.packbits(mask) if mask.any() else np.zeros(1, np.uint8)
            if self._kept_bytes + bits.nbytes > _MOST_KEPT_BYTES:
                return mask
            self._kept[index] = shape, bits
            self._kept_bytes += bits.nbytes
        shape, bits = self._kept[index]
        return np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).view(bool)  # beyond its end it is 0


def doubt_of(mask: NDArray[np.bool_], counts: NDArray[np.bool_] | None = None) -> str | None:
    """Say what is odd about a mask (H, W) of something anomalous, in an image of which `counts`; None: nothing is."""
    if not mask.any():
        return "marks nothing"
    if mask.mean() > _MOST_MARKED:
        return "marks more than half, as if inverted"
    return None if counts is None or counts[mask].all() else "marks what does not count, which is missed there"


def with_sound_masks(
    samples: Sequence[Sample], view: View, skip_bad: bool, bad: list[str], odd: dict[str, list[str]], progress: Progress
) -> list[Sample]:
    """Return the samples, after every mask was read once: before anything is scored, as scoring takes long.

    Raises FrameError for a mask that does not fit its image; with `skip_bad` the sample goes on without it, and
    the mask is added to `bad`. Those that look wrong are added to `odd`, by `doubt_of`, and so are those that mark what
    does not count in the view. An image that cannot be read itself is left to the scoring.
    """
    sound = []
    with progress.task("checking masks", len(samples)) as advance:
        for sample in samples:
            try:
                shape = frame_shape(sample.frame) if sample.mask else None
                if shape:
                    view.require(shape, str(sample.frame))
            except FrameError:
                shape = None
            try:
                mask = read_mask(sample.mask, shape) if sample.mask and shape else None
                if mask is not None and (doubt := doubt_of(mask, counting_px(view, mask.shape))):
                    odd.setdefault(doubt, []).append(sample.id)
            except FrameError:
                if not skip_bad:
                    raise
                bad.append(str(sample.mask))
                sample = replace(sample, mask=None)
            sound.append(sample)
            advance(1)
    return sound
