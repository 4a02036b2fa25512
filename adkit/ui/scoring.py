"""Runs that are ready to score, shared by all who ask; one image at a time, so that memory stays bounded."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adkit.errors import AdkitError
from adkit.interfaces import Progress, Silent
from adkit.registry import Registry, load_registry
from adkit.runs.record import RECORD, RunRecord
from adkit.runs.store import open_run
from adkit.types import FrameRef, Sample
from adkit.ui.safety import named_folder, require_image
from adkit.ui.settings import ServerSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adkit.drawing.overlay import Scale
    from adkit.workflows.score import FittedModel, FrameResult

MOST_OPEN = 2
"""Runs that are kept ready; a run that is asked for again later is read anew."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A run that can score: its judge, its maps' scale, and the state of its folder when it was opened."""

    judge: FittedModel
    scale: Scale | None  # None: it gives no maps
    stamp: tuple[int, int]  # when its record was written, and its size

    @property
    def record(self) -> RunRecord:
        """What the run says of itself."""
        return self.judge.run.record


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found in one image that was uploaded, or why it could not be looked at."""

    name: str
    path: Path
    score: float | None = None
    p_value: float | None = None
    anomalous: bool | None = None
    map_png: bytes | None = None  # the map at the method's own resolution, see `packed`
    map_range: tuple[float, float] = (0.0, 1.0)
    reconstruction: NDArray[np.uint8] | None = None  # RGB (h, w, 3)
    error: AdkitError | None = None

    @property
    def decision(self) -> str:
        """ "anomalous", "normal" or "unreadable"."""
        return "unreadable" if self.error else "anomalous" if self.anomalous else "normal"

    def image(self) -> NDArray[np.uint8]:
        """Return the image, RGB (h, w, 3); raises FrameError when it is gone."""
        from adkit.data.images import read_image

        return read_image(FrameRef(self.path))

    def map_over(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the map (h, w) in the shape of an image (h, w, 3)."""
        import cv2

        assert self.map_png is not None
        values = unpacked(self.map_png, self.map_range)
        return np.asarray(cv2.resize(values, (image.shape[1], image.shape[0])), np.float32)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent: what its sender calls it, and where it lies now."""

    name: str
    path: Path

    def named_in(self, error: AdkitError, hint: str = "") -> AdkitError:
        """Return the error with the sender's name of the file, instead of where it lies."""
        return type(error)(error.message.replace(str(self.path), self.name), hint=hint or error.hint)


class Judges:
    """Opens runs when they are asked for and keeps the latest ready. May be asked from several threads."""

    def __init__(self, settings: ServerSettings, registry: Registry | None = None) -> None:
        self.settings = settings
        self._ready: OrderedDict[str, Ready] = OrderedDict()
        self._opening = threading.Lock()
        self._scoring = threading.Lock()
        self.watching = threading.Lock()  # one video at a time
        self._registry = registry

    @cached_property
    def registry(self) -> Registry:
        """The installed plugins, found once."""
        return self._registry or load_registry()

    def warm_up(self) -> None:
        """Load what the first image would have to wait for; a fault is told to whoever asks for that run."""
        import torch  # noqa: F401

        try:
            self.ready("latest")
        except AdkitError:
            return

    def ready(self, run_id: str) -> Ready:
        """Return the run of that id, or the newest for "latest"; raises RunError where it is gone or damaged.

        A run that was deleted or calibrated anew in the meantime is not answered from memory.
        """
        from adkit.evaluation.pictures import colour_scale
        from adkit.workflows.score import open_model

        with self._opening:
            folder = named_folder(self.settings, run_id)
            record = (folder / RECORD).stat()
            stamp = (record.st_mtime_ns, record.st_size)
            known = self._ready.get(folder.name)
            if known is None or known.stamp != stamp:
                run = open_run(folder)
                judge = open_model(run, self.registry, device=self.settings.device)
                known = Ready(judge, colour_scale(run), stamp)
            self._ready[folder.name] = known
            self._ready.move_to_end(folder.name)
            while len(self._ready) > MOST_OPEN:
                self._ready.popitem(last=False)
            return known

    def judge_of_its_own(self, ready: Ready) -> FittedModel:
        """Open the run once more: a video takes minutes, and others would else wait for it."""
        from adkit.workflows.score import open_model

        return open_model(ready.judge.run, self.registry, device=self.settings.device)

    def findings(self, ready: Ready, uploads: Sequence[Upload], progress: Progress | None = None) -> list[Finding]:
        """Return a finding for each upload, in their order; a file that cannot be read is a finding too."""
        from adkit.data.frame_source import frames_of

        found: dict[int, Finding] = {}
        samples = {}
        for number, upload in enumerate(uploads):
            try:
                require_image(upload.path, upload.name, self.settings.limits)
                samples[str(number)] = Sample.still(str(number), upload.path)
            except AdkitError as error:
                found[number] = Finding(upload.name, upload.path, error=error)

        def refuse(sample: Sample, error: AdkitError) -> None:
            upload = uploads[int(sample.id)]
            found[int(sample.id)] = Finding(upload.name, upload.path, error=upload.named_in(error, "check the file"))

        with self._scoring:
            frames = frames_of(samples.values(), ready.judge.method.frame_size, refuse)
            with (progress or Silent()).task("scoring", len(samples)) as advance:
                for scored in ready.judge.stream(frames):
                    found[int(scored.id)] = _finding(uploads[int(scored.id)], scored)
                    advance(1)
        return [found[number] for number in range(len(uploads))]


def _finding(upload: Upload, scored: FrameResult) -> Finding:
    png, values = (None, (0.0, 1.0)) if scored.map is None else packed(scored.map)
    return Finding(
        upload.name,
        upload.path,
        scored.score,
        scored.p_value,
        scored.anomalous,
        png,
        values,
        scored.reconstruction,
    )


def packed(anomaly_map: NDArray[np.float32]) -> tuple[bytes, tuple[float, float]]:
    """Return a map as a PNG whose red and green are the high and low byte of 65,536 levels, and its range.

    Browsers show 8 bits a channel, and a threshold that is moved by hand wants more.
    """
    from PIL import Image

    low, high = float(anomaly_map.min()), float(anomaly_map.max())
    levels = np.round((anomaly_map - low) / max(high - low, 1e-12) * 65535).astype(np.uint16)
    pixels = np.stack([levels >> 8, levels & 255, np.zeros_like(levels)], axis=2).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue(), (low, high)


def unpacked(png: bytes, values: tuple[float, float]) -> NDArray[np.float32]:
    """Return the map (h, w) that `packed` gave, to 65,536 levels."""
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(png))).astype(np.float32)
    levels = pixels[:, :, 0] * 256 + pixels[:, :, 1]
    return np.asarray(values[0] + levels / 65535 * (values[1] - values[0]), np.float32)
