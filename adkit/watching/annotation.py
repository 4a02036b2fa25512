"""A watched clip as a video for people: its frames with heat maps, the running score, the events."""

import math
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from adkit.data.boxes import Pixels
from adkit.data.images import DRAWN_BY, resize
from adkit.data.video_writer import Encoding, VideoWriter, require_video_file
from adkit.drawing.overlay import FAINT, GREEN, INK, RED, Scale, heat, letters, write
from adkit.stats.formatting import clock
from adkit.watching.events import Event
from adkit.workflows.score import FrameResult

PANEL = (270, 480)
"""(height, width) in px that bound each of several panels."""
ONE_PANEL = (432, 768)
"""They bound the one panel of an overlay."""
SHOWN_S = 20.0
"""Seconds of the past in the strip."""
_LEAST_WIDTH = 640
_LEAST_SIDE = 64
_MARGIN = 10
_TITLE = 22
_SIGN = 156  # width of what stands to the left of the strip
_STRIP = 96
_BORDER = 4
_EVENT = (255, 214, 214)
_LEARNED = (222, 232, 243)
_LINE = (52, 84, 128)
_GRID = (226, 230, 234)
_TEXT = 13
_TOP, _BOTTOM = 6, 20
_FINE = 4  # fractional bits of the line's coordinates: it moves smoothly


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """Where scores are drawn: what is usual lies low, and the top is twice as far above it as the threshold."""

    threshold: float
    usual: float  # what normal frames score
    release: float | None = None  # a score below it ends an event

    @property
    def reach(self) -> float:
        """Return how far the threshold is above what is usual."""
        return max(self.threshold - self.usual, 1e-9)

    def unit(self, score: float, highest: float = -math.inf) -> float:
        """Map a score to 0..1; the scale reaches up to `highest`, where that is further than usual."""
        low = self.usual - 0.25 * self.reach
        share = (score - low) / (max(highest, self.usual + 2 * self.reach) - low)
        return min(max(share, 0.0), 1.0)


@dataclass
class ScoreStrip:
    """Draws the score's last seconds, `height` × `width` px, and to their right what the levels are called.

    Memory is bounded by the seconds shown.
    """

    height: int
    width: int
    scale: ScoreScale
    _points: deque[tuple[float, float]] = field(default_factory=deque, init=False)
    _events: dict[int, tuple[float, float]] = field(default_factory=dict, init=False)
    _learned: deque[tuple[float, float]] = field(default_factory=deque, init=False)

    def __post_init__(self) -> None:
        """Write the levels' names, and leave room for them: where the newest scores are they would cover the line."""
        self._levels = [(self.scale.threshold, 6, f"threshold {self.scale.threshold:.3g}", -_TEXT - 4)]
        if (release := self.scale.release) is not None:
            self._levels.append((release, 2, f"events end below {release:.3g}", 1))
        self._right = self.width - 6 - math.ceil(max(letters(_TEXT).getlength(name) for *_, name, _ in self._levels))

    def add(self, time_s: float, score: float, *, learned: bool = False) -> None:
        """Take the score of the next frame; `learned`: the method has learned from it."""
        if learned:
            since_s = self._points[-1][0] if self._points else time_s
            if self._learned and self._learned[-1][1] >= since_s:
                since_s = self._learned.pop()[0]
            self._learned.append((since_s, time_s))
        self._points.append((time_s, score))
        start_s = time_s - SHOWN_S
        while len(self._points) > 2 and self._points[1][0] < start_s:
            self._points.popleft()
        while self._learned and self._learned[0][1] < start_s:
            self._learned.popleft()
        self._events = {number: span for number, span in self._events.items() if span[1] >= start_s}

    def mark(self, event: Event) -> None:
        """Take an event as far as it is known by now."""
        self._events[event.number] = (event.start_s, event.end_s)

    def draw(self, now_s: float) -> Pixels:
        """Return RGB (height, width, 3) at that time: the line grows to the right, then it moves to the left."""
        start_s = max(0.0, now_s - SHOWN_S)
        strip = np.full((self.height, self.width, 3), 255, np.uint8)
        for spans, colour in ((self._learned, _LEARNED), (self._events.values(), _EVENT)):
            for since_s, until_s in spans:
                left, right = self._x(since_s, start_s), self._x(until_s, start_s)
                if right > 0:
                    strip[:, max(0, int(left)) : max(int(right), int(left) + 2)] = colour
        ticks = range(math.ceil(start_s / 5) * 5, int(start_s + SHOWN_S) + 1, 5)
        for tick in ticks:
            strip[: self.height - _BOTTOM, int(self._x(tick, start_s))] = _GRID
        highest = max((score for _, score in self._points), default=-math.inf)  # the scale does not cut it off
        for value, dash_px, name, below_px in self._levels:
            level = int(self._y(value, highest))
            strip[level, np.arange(self.width) % 10 < dash_px] = RED
            write(strip, self._right, level + below_px, name, _TEXT, RED)
        line = [(self._x(time, start_s), self._y(score, highest)) for time, score in self._points]
        fine = np.round(np.array(line, np.float64).reshape(-1, 1, 2) * (1 << _FINE)).astype(np.int32)
        if len(line) > 1:
            cv2.polylines(strip, [fine], False, _LINE, 2, cv2.LINE_AA, _FINE)
        if line:
            cv2.circle(strip, tuple(fine[-1, 0]), 4 << _FINE, _LINE, -1, cv2.LINE_AA, _FINE)
        for tick in ticks:
            text = clock(tick).partition(".")[0]
            place = self._x(tick, start_s) - letters(_TEXT).getlength(text) / 2
            write(strip, place, self.height - _TEXT - 3, text, _TEXT, FAINT)
        if highest > self.scale.threshold:
            write(strip, 4, 0, f"{highest:.3g}", _TEXT, FAINT)
        for number, (since_s, until_s) in self._events.items():
            left, right = max(0.0, self._x(since_s, start_s)), self._x(until_s, start_s)
            if right - left > 4:
                write(strip, left + 3, self.height - _BOTTOM - _TEXT - 3, str(number), _TEXT, INK)
        return strip

    def _x(self, time_s: float, start_s: float) -> float:
        return (time_s - start_s) / SHOWN_S * (self._right - 6)

    def _y(self, score: float, highest: float) -> float:
        return _TOP + (1 - self.scale.unit(score, highest)) * (self.height - _TOP - _BOTTOM)


class Sheet:
    """Draws frames of one size: panels side by side, the running score below; `scale` None: the method gives no map."""

    def __init__(
        self, panel: tuple[int, int], scale: Scale | None, scores: ScoreScale, *, rebuilds: bool, overlay: bool
    ) -> None:
        """Lay the panels out."""
        self.panel, self._scale = panel, scale
        if scale is None:
            titles = ["input"]
        elif overlay:
            titles = ["heat map over the input"]
        else:
            titles = ["input", *(["reconstruction"] if rebuilds else []), "heat map"]
        self._overlay = overlay
        height, width = panel
        content = len(titles) * (width + _MARGIN) - _MARGIN
        self.width = max(content, _LEAST_WIDTH) + 2 * _MARGIN
        self.height = _TITLE + height + _MARGIN + _STRIP + _MARGIN
        first = (self.width - content) // 2
        self._lefts = [first + number * (width + _MARGIN) for number in range(len(titles))]
        self._empty = np.full((self.height, self.width, 3), 255, np.uint8)
        for left, title in zip(self._lefts, titles, strict=True):
            write(self._empty, left, 3, title, 14, FAINT)
        self.strip = ScoreStrip(_STRIP, self.width - _SIGN - 2 * _MARGIN, scores)

    def draw(self, pixels: Pixels, now_s: float, result: FrameResult | None) -> Pixels:
        """Return RGB (height, width, 3) of a frame, with the last `result`; None: nothing was scored yet."""
        sheet = self._empty.copy()
        height, width = self.panel
        for left, picture in zip(self._lefts, self._pictures(pixels, result), strict=True):
            sheet[_TITLE : _TITLE + height, left : left + width] = picture
        if result is not None and result.event is not None:
            left, right = self._lefts[0], self._lefts[-1] + width
            cv2.rectangle(sheet, (left - 2, _TITLE - 2), (right + 1, _TITLE + height + 1), RED, _BORDER, cv2.LINE_8)
        top = _TITLE + height + _MARGIN
        sheet[top : top + _STRIP, _MARGIN : _MARGIN + _SIGN] = self._sign(now_s, result)
        left = _MARGIN + _SIGN
        sheet[top : top + _STRIP, left : left + self.strip.width] = self.strip.draw(now_s)
        return sheet

    def _pictures(self, pixels: Pixels, result: FrameResult | None) -> list[Pixels]:
        if self._scale is None:
            return [pixels]
        if result is None or result.map is None:
            return [pixels] * len(self._lefts)
        hot = heat(pixels, result.map, self._scale)
        if self._overlay:
            return [hot]
        if len(self._lefts) == 2:
            return [pixels, hot]
        expected = pixels if result.reconstruction is None else resize(result.reconstruction, self.panel)
        return [pixels, expected, hot]

    def _sign(self, now_s: float, result: FrameResult | None) -> Pixels:
        sign = np.full((_STRIP, _SIGN, 3), 255, np.uint8)
        write(sign, 2, 4, clock(now_s), 26, INK)
        if result is not None:
            write(sign, 2, 42, f"score {result.score:.3g}", 15, INK)
            if result.event is not None:
                state, colour = f"event {result.event}", RED
            elif result.learned or result.anomalous:
                state, colour = "learned from" if result.learned else "above threshold", FAINT
            else:
                state, colour = "normal", GREEN
            write(sign, 2, 64, state, 17, colour)
        return sign


class Annotator:
    """Draws a clip's frames in their order and writes them; `judged` tells the results of those that were scored.

    A frame that was not scored shows the last result. `scale` None: the method gives no map. The video appears when it
    is finished. Raises StorageError when it cannot be written; nothing is then left of it.
    """

    def __init__(self, path: Path, rate: float, scale: Scale | None, scores: ScoreScale, *, overlay: bool) -> None:
        """Refuse a path that cannot be written; the video is begun with its first frame."""
        require_video_file(path)
        self.path, self._rate, self._overlay = path, rate, overlay
        self._how = scale, scores
        self._sheet: Sheet | None = None
        self._video: VideoWriter | None = None
        self._last: FrameResult | None = None

    def judged(self, result: FrameResult) -> None:
        """Take what the method says of the frame that is drawn next."""
        self._last = result
        if self._sheet:
            self._sheet.strip.add(result.time_s, result.score, learned=result.learned)

    def draw(self, pixels: Pixels, time_s: float, event: Event | None) -> None:
        """Draw the clip's next frame, RGB of its `panel_size`, with the event that is under way in the strip."""
        last = self._last
        if self._sheet is None or self._video is None:
            scale, scores = self._how
            rebuilds = last is not None and last.reconstruction is not None
            size = pixels.shape[0], pixels.shape[1]
            self._sheet = Sheet(size, scale, scores, rebuilds=rebuilds, overlay=self._overlay)
            size, encoding = (self._sheet.height, self._sheet.width), Encoding(says=DRAWN_BY)
            self._video = VideoWriter(self.path, size, self._rate, encoding)
            if last:
                self._sheet.strip.add(last.time_s, last.score, learned=last.learned)
        if event:
            self._sheet.strip.mark(event)
        self._video.add(self._sheet.draw(pixels, time_s, last), time_s)

    def finish(self) -> None:
        """Write the video's end and give it its name; a clip without frames leaves none."""
        video, self._video = self._video, None
        if video:
            video.finish()

    def discard(self) -> None:
        """Leave nothing of it, unless it was finished."""
        video, self._video = self._video, None
        if video:
            video.discard()


def panel_size(shape: tuple[int, int], *, overlay: bool) -> tuple[int, int]:
    """Return (height, width) in px, both even, of a panel for a video of this shape."""
    most_height, most_width = ONE_PANEL if overlay else PANEL
    factor = min(most_height / shape[0], most_width / shape[1])
    height, width = (max(_LEAST_SIDE, 2 * round(side * factor / 2)) for side in shape)
    return height, width
