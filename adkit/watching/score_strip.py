"""The running score of an annotated video: a line over the last seconds, with threshold and events."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw

from adkit.drawing.overlay import FAINT, INK, RED, letters
from adkit.stats.formatting import clock
from adkit.watching.events import Event

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN_S = 20.0
"""Seconds of the past in the strip."""
_EVENT = (255, 214, 214)
_LEARNED = (222, 232, 243)
_LINE = (52, 84, 128)
_GRID = (226, 230, 234)
_TEXT = 13
_TOP, _BOTTOM = 6, 20
_FINE = 4  # fractional bits of the line's coordinates: it moves smoothly


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """Where scores are drawn: what is usual lies low, and twice as far above it as the threshold is the top."""

    threshold: float
    usual: float  # what normal frames score

    def unit(self, score: float) -> float:
        """A score as 0..1."""
        reach = max(self.threshold - self.usual, 1e-9)
        share = (score - self.usual + 0.25 * reach) / (2.25 * reach)  # a quarter of room below what is usual
        return min(max(share, 0.0), 1.0)


@dataclass
class ScoreStrip:
    """Draws the score's last seconds, `height` × `width` px; memory is bounded by the seconds shown."""

    height: int
    width: int
    scale: ScoreScale
    _points: deque[tuple[float, float]] = field(default_factory=deque, init=False)
    _events: dict[int, tuple[float, float]] = field(default_factory=dict, init=False)
    _learned: deque[tuple[float, float]] = field(default_factory=deque, init=False)

    def add(self, time_s: float, score: float, *, learned: bool = False) -> None:
        """The score of the next frame; `learned`: the method has learned from it."""
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
        """An event as far as it is known by now."""
        self._events[event.number] = (event.start_s, event.end_s)

    def draw(self, now_s: float) -> NDArray[np.uint8]:
        """RGB (height, width, 3) at that time: at first the line grows to the right, then it moves to the left."""
        start_s = max(0.0, now_s - SHOWN_S)
        strip = np.full((self.height, self.width, 3), 255, np.uint8)
        for spans, colour in ((self._learned, _LEARNED), (self._events.values(), _EVENT)):
            for since_s, until_s in spans:
                left, right = self._x(since_s, start_s), self._x(until_s, start_s)
                if right > 0:
                    strip[:, max(0, int(left)) : max(int(right), int(left) + 2)] = colour
        ticks = range(math.ceil(start_s / 5) * 5, int(start_s + SHOWN_S) + 1, 5)
        for tick in ticks:
            x = min(self.width - 1, int(self._x(tick, start_s)))
            strip[: self.height - _BOTTOM, x] = _GRID
        level = int(self._y(self.scale.threshold))
        for x in range(0, self.width, 10):
            strip[level, x : x + 6] = RED
        line = [(self._x(time, start_s), self._y(score)) for time, score in self._points]
        fine = np.round(np.array(line, np.float64).reshape(-1, 1, 2) * (1 << _FINE)).astype(np.int32)
        if len(line) > 1:
            cv2.polylines(strip, [fine], False, _LINE, 2, cv2.LINE_AA, _FINE)
        if line:
            cv2.circle(strip, tuple(fine[-1, 0]), 4 << _FINE, _LINE, -1, cv2.LINE_AA, _FINE)
        return self._labelled(strip, ticks, start_s, level)

    def _labelled(self, strip: NDArray[np.uint8], ticks: range, start_s: float, level: int) -> NDArray[np.uint8]:
        sheet = Image.fromarray(strip)
        pen = ImageDraw.Draw(sheet)
        for tick in ticks:
            text = clock(tick).partition(".")[0]
            place = self._x(tick, start_s) - pen.textlength(text, font=letters(_TEXT)) / 2
            place = min(max(place, 1), self.width - pen.textlength(text, font=letters(_TEXT)) - 1)
            pen.text((place, self.height - _TEXT - 3), text, fill=FAINT, font=letters(_TEXT))
        pen.text((4, level - _TEXT - 4), f"threshold {self.scale.threshold:.3g}", fill=RED, font=letters(_TEXT))
        for number, (since_s, until_s) in self._events.items():
            left, right = max(0.0, self._x(since_s, start_s)), self._x(until_s, start_s)
            if right - left > 4:
                pen.text((left + 3, self.height - _BOTTOM - _TEXT - 3), str(number), fill=INK, font=letters(_TEXT))
        return np.asarray(sheet)

    def _x(self, time_s: float, start_s: float) -> float:
        return (time_s - start_s) / SHOWN_S * (self.width - 6)

    def _y(self, score: float) -> float:
        return _TOP + (1 - self.scale.unit(score)) * (self.height - _TOP - _BOTTOM)
