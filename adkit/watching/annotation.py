"""A watched clip as a video for people: its frames with heat maps, the running score, the events."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from adkit.data.video_writer import VideoWriter, require_video_file
from adkit.drawing.overlay import Scale
from adkit.watching.annotated_frame import Sheet, Sight, panel_size
from adkit.watching.events import Event
from adkit.watching.score_strip import ScoreScale

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class _Result(Protocol):
    """What is shown of a frame's result."""

    @property
    def time_s(self) -> float: ...
    @property
    def score(self) -> float: ...
    @property
    def anomalous(self) -> bool: ...
    @property
    def learned(self) -> bool: ...
    @property
    def event(self) -> int | None: ...


class Annotator:
    """Draws a clip's frames in their order and writes them; `judged` tells the results of those that were scored.

    A frame that was not scored shows the last result. `scale` None: the method gives no map. The video appears when it
    is finished. Raises StorageError when it cannot be written; nothing is then left of it.
    """

    def __init__(self, path: Path, rate: float, scale: Scale | None, scores: ScoreScale, *, overlay: bool) -> None:
        require_video_file(path)
        self.path, self._rate, self._overlay = path, rate, overlay
        self._how = scale, scores
        self._sheet: Sheet | None = None
        self._video: VideoWriter | None = None
        self._last: tuple[_Result, NDArray[np.float32] | None, NDArray[np.uint8] | None] | None = None

    def panel_of(self, shape: tuple[int, int]) -> tuple[int, int]:
        """(height, width) in px at which the frames of a clip of this shape are to be given to `draw`."""
        return panel_size(shape, overlay=self._overlay)

    def judged(
        self, result: _Result, anomaly_map: NDArray[np.float32] | None, reconstruction: NDArray[np.uint8] | None
    ) -> None:
        """What the method says of the frame that is drawn next."""
        self._last = result, anomaly_map, reconstruction
        if self._sheet:
            self._sheet.strip.add(result.time_s, result.score, learned=result.learned)

    def draw(self, pixels: NDArray[np.uint8], time_s: float, event: Event | None) -> None:
        """The clip's next frame, RGB at a panel's size, and the event that is under way, for the strip."""
        if self._sheet is None:
            scale, scores = self._how
            rebuilds = self._last is not None and self._last[2] is not None
            size = pixels.shape[0], pixels.shape[1]
            self._sheet = Sheet(size, scale, scores, rebuilds=rebuilds, overlay=self._overlay)
            self._video = VideoWriter(self.path, (self._sheet.height, self._sheet.width), self._rate)
            if self._last:
                first = self._last[0]
                self._sheet.strip.add(first.time_s, first.score, learned=first.learned)
        assert self._video is not None
        if event:
            self._sheet.strip.mark(event)
        self._video.add(self._sheet.draw(pixels, time_s, self._sight()), time_s)

    def finish(self) -> None:
        """Writes the video's end and gives it its name; a clip without frames leaves none."""
        video, self._video = self._video, None
        if video:
            video.finish()

    def discard(self) -> None:
        """Leaves nothing of it, unless it was finished."""
        video, self._video = self._video, None
        if video:
            video.discard()

    def _sight(self) -> Sight | None:
        if self._last is None:
            return None
        result, anomaly_map, reconstruction = self._last
        if result.event is not None:
            state = f"event {result.event}"
        elif result.learned:
            state = "learned from"
        else:
            state = "above threshold" if result.anomalous else "normal"
        return Sight(result.score, state, result.event is not None, anomaly_map, reconstruction)
