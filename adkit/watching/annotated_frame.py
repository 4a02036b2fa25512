"""One frame of an annotated video: what was seen, what was expected, where it differs, and the score over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw

from adkit.drawing.overlay import FAINT, GREEN, INK, RED, Scale, heat, letters, rebuilt
from adkit.stats.formatting import clock
from adkit.watching.score_strip import ScoreScale, ScoreStrip

if TYPE_CHECKING:
    from numpy.typing import NDArray

PANEL = (270, 480)
"""(height, width) in px that bound each of several panels."""
ONE_PANEL = (432, 768)
"""They bound the one panel of an overlay."""
_LEAST_WIDTH = 640
_LEAST_SIDE = 64
_MARGIN = 10
_TITLE = 22
_SIGN = 156  # width of what stands to the left of the strip
_STRIP = 96
_BORDER = 4


@dataclass(frozen=True, slots=True)
class Sight:
    """What an annotated frame shows of a method's judgement; for a frame that was not scored, of the last that was."""

    score: float
    state: str  # "normal", "event 3"
    alarm: bool
    map: NDArray[np.float32] | None
    reconstruction: NDArray[np.uint8] | None


def panel_size(shape: tuple[int, int], *, overlay: bool) -> tuple[int, int]:
    """(height, width) in px, both even, of a panel for a video of this shape."""
    most_height, most_width = ONE_PANEL if overlay else PANEL
    factor = min(most_height / shape[0], most_width / shape[1])
    height, width = (max(_LEAST_SIDE, 2 * round(side * factor / 2)) for side in shape)
    return height, width


class Sheet:
    """Draws the frames of one video, all of one size: panels side by side, the running score below them.

    `panel` is the size of a panel; `scale` None: the method gives no map, and there is no heat to show.
    """

    def __init__(
        self, panel: tuple[int, int], scale: Scale | None, scores: ScoreScale, *, rebuilds: bool, overlay: bool
    ) -> None:
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
        self._write_titles(titles)
        self.strip = ScoreStrip(_STRIP, self.width - _SIGN - 2 * _MARGIN, scores)

    def draw(self, pixels: NDArray[np.uint8], now_s: float, sight: Sight | None) -> NDArray[np.uint8]:
        """RGB (height, width, 3) for a frame at a panel's size; `sight` None: nothing was scored yet."""
        sheet = self._empty.copy()
        height, width = self.panel
        for left, picture in zip(self._lefts, self._pictures(pixels, sight), strict=True):
            sheet[_TITLE : _TITLE + height, left : left + width] = picture
        if sight is not None and sight.alarm:
            left, right = self._lefts[0], self._lefts[-1] + width
            cv2.rectangle(sheet, (left - 2, _TITLE - 2), (right + 1, _TITLE + height + 1), RED, _BORDER, cv2.LINE_8)
        top = _TITLE + height + _MARGIN
        sheet[top : top + _STRIP, _MARGIN : _MARGIN + _SIGN] = self._sign(now_s, sight)
        left = _MARGIN + _SIGN
        sheet[top : top + _STRIP, left : left + self.strip.width] = self.strip.draw(now_s)
        return sheet

    def _pictures(self, pixels: NDArray[np.uint8], sight: Sight | None) -> list[NDArray[np.uint8]]:
        if self._scale is None:
            return [pixels]
        if sight is None or sight.map is None:
            return [pixels] * len(self._lefts)
        hot = heat(pixels, sight.map, self._scale)
        if self._overlay:
            return [hot]
        if len(self._lefts) == 2:
            return [pixels, hot]
        expected = pixels if sight.reconstruction is None else rebuilt(sight.reconstruction, self.panel)
        return [pixels, expected, hot]

    def _write_titles(self, titles: list[str]) -> None:
        image = Image.fromarray(self._empty)
        pen = ImageDraw.Draw(image)
        for left, title in zip(self._lefts, titles, strict=True):
            pen.text((left, 3), title, fill=FAINT, font=letters(14))
        self._empty = np.asarray(image).copy()

    def _sign(self, now_s: float, sight: Sight | None) -> NDArray[np.uint8]:
        image = Image.new("RGB", (_SIGN, _STRIP), "white")
        pen = ImageDraw.Draw(image)
        pen.text((2, 4), clock(now_s), fill=INK, font=letters(26))
        if sight is not None:
            pen.text((2, 42), f"score {sight.score:.3g}", fill=INK, font=letters(15))
            colour = RED if sight.alarm else GREEN if sight.state == "normal" else FAINT
            pen.text((2, 64), sight.state, fill=colour, font=letters(17))
        return np.asarray(image)
