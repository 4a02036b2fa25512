"""Runs that are ready to score, shared by all who ask; one image at a time, so that memory stays bounded."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Event, Lock

import numpy as np
from numpy.typing import NDArray

from adkit.data.images import read_image
from adkit.errors import AdkitError
from adkit.interfaces import SILENT, Progress
from adkit.registry import Registry, load_registry
from adkit.runs.store import RECORD, open_run
from adkit.types import FrameRef, Sample
from adkit.ui.safety import named_folder, require_image
from adkit.ui.settings import ServerSettings
from adkit.workflows.score import FittedModel, FrameResult, open_model

MOST_OPEN = 2
"""Runs that are kept ready; a run that is asked for again later is read anew."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent: what its sender calls it, and where it lies now."""

    name: str
    path: Path

    def named_in(self, error: AdkitError, hint: str = "") -> AdkitError:
        """Return the error with the sender's name of the file, instead of where it lies; no hint speaks of options."""
        told = hint or error.hint.partition("; --")[0]
        return type(error)(error.message.replace(str(self.path), self.name), hint=told)

    def image(self, white: int | None) -> NDArray[np.uint8]:
        """Return the image, RGB (h, w, 3), read with a run's white; raises FrameError, by the sender's name."""
        try:
            return read_image(FrameRef(self.path), white)
        except AdkitError as error:
            raise self.named_in(error, "upload it again") from None


@dataclass(frozen=True, slots=True)
class UploadResult:
    """What was found in one image that was uploaded, or why it could not be looked at."""

    upload: Upload
    found: FrameResult | AdkitError

    @property
    def decision(self) -> str:
        """Say "anomalous", "normal" or "unreadable"."""
        if isinstance(self.found, AdkitError):
            return "unreadable"
        return "anomalous" if self.found.anomalous else "normal"


class Judges:
    """Opens runs when they are asked for and keeps the latest ready. May be asked from several threads."""

    def __init__(self, settings: ServerSettings, registry: Registry | None = None) -> None:
        self.settings = settings
        self.watching = Lock()  # one video at a time
        self._opening = Lock()
        self._scoring = Lock()
        self._registry = registry
        self._opened = lru_cache(MOST_OPEN)(self._open)

    @cached_property
    def registry(self) -> Registry:
        """Return the installed plugins, found once."""
        return self._registry or load_registry()

    def warm_up(self) -> None:
        """Load what the first image would have to wait for; a fault is told to whoever asks for that run."""
        import torch  # noqa: F401

        with suppress(AdkitError):
            self.ready("latest")

    def ready(self, run_id: str) -> FittedModel:
        """Return the run of that id as it is now, the newest for "latest"; raises RunError for one gone or damaged."""
        with self._opening:
            folder = named_folder(self.settings, run_id)
            record = (folder / RECORD).stat()
            return self._opened(folder, (record.st_mtime_ns, record.st_size))

    def _open(self, folder: Path, _: tuple[int, int]) -> FittedModel:
        return open_model(open_run(folder), self.registry, device=self.settings.device)

    def findings(
        self, model: FittedModel, uploads: Sequence[Upload], progress: Progress = SILENT, stop: Event | None = None
    ) -> list[UploadResult]:
        """Return a finding for each upload in their order, also for what cannot be read, until `stop` is set."""
        found: dict[int, UploadResult] = {}
        sound = []
        for number, upload in enumerate(uploads):
            try:
                require_image(upload.path, upload.name, self.settings.limits)
                sound.append(Sample.still(str(number), upload.path))
            except AdkitError as error:
                found[number] = UploadResult(upload, error)
        with self._scoring, progress.task("scoring", len(sound)) as advance:
            for sample, one in model.stills(sound):
                upload = uploads[int(sample.id)]
                told = upload.named_in(one) if isinstance(one, AdkitError) else one
                found[int(sample.id)] = UploadResult(upload, told)
                advance(1)
                if stop and stop.is_set():
                    break
        return [found[number] for number in sorted(found)]
