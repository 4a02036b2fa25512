"""What a method that reconstructs makes of some samples, for pictures of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING

from adkit.batches import FrameBatches
from adkit.interfaces import Progress, Silent
from adkit.registry import Registry
from adkit.runs import Run
from adkit.types import Sample
from adkit.workflows import open_judge, pixels_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def reconstructed(
    run: Run, registry: Registry, samples: Sequence[Sample], *, device: str = "auto", progress: Progress | None = None
) -> Iterator[NDArray[np.uint8] | None]:
    """RGB (H, W, 3) for each sample in its turn; None for each when the run's method does not reconstruct."""
    name = run.record.method
    if name not in registry.methods.entries or not samples or not registry.methods.get(name).load().reconstructs:
        yield from repeat(None, len(samples))
        return
    method = open_judge(run, registry, device=device).method
    if not method.reconstructs:
        yield from repeat(None, len(samples))
        return
    with (progress or Silent()).task("reconstructing", len(samples)) as advance:
        for batch in FrameBatches(samples, method.frame_size, window=method.window):
            images = method.predict(batch).images
            if images is None:
                raise ValueError(f"{type(method).__name__} says that it reconstructs, but predict() gave no images")
            yield from pixels_of(images)
            advance(len(batch))
