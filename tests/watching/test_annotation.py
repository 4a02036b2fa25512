"""What annotated frames look like, and that their memory is bounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adkit.drawing.overlay import RED, Scale
from adkit.watching.annotation import ONE_PANEL, PANEL, SHOWN_S, ScoreScale, ScoreStrip, Sheet, panel_size
from adkit.watching.events import Event
from adkit.workflows.score import FrameResult

SCORES = ScoreScale(threshold=2.0, usual=1.0)


def result(
    heat: NDArray[np.float32] | None = None, rebuilt: NDArray[np.uint8] | None = None, event: int | None = None
) -> FrameResult:
    place: dict[str, Any] = {"id": "x", "clip": "x", "index": 0, "time_s": 0.0, "raw": 3.0, "region": None}
    return FrameResult(3.0, p_value=0.1, anomalous=True, map=heat, reconstruction=rebuilt, event=event, **place)


def strip() -> ScoreStrip:
    return ScoreStrip(96, 600, SCORES)


def test_a_strip_keeps_only_what_it_shows() -> None:
    drawn = strip()
    for number in range(5000):
        drawn.add(number / 10, 1.0, learned=number % 100 < 50)
        if number % 50 == 0:
            drawn.mark(Event(number, number / 10, number / 10 + 1, 0, 0, 3, 0, 0, 3, None))
    assert len(drawn._points) <= 10 * SHOWN_S + 3
    assert len(drawn._events) <= SHOWN_S / 5 + 2
    assert len(drawn._learned) <= SHOWN_S / 5
    assert drawn.draw(500.0).shape == (96, 600, 3)


def test_a_strip_grows_then_moves() -> None:
    drawn = strip()
    for number in range(51):
        drawn.add(number / 10, 1.0)
    line = (drawn.draw(5.0) < 100).all(axis=2).any(axis=0)
    assert not line[200:].any()  # five of twenty seconds are drawn
    for number in range(51, 400):
        drawn.add(number / 10, 3.0)
    image = drawn.draw(39.9).astype(int)
    blue = (np.abs(image - [52, 84, 128]).max(axis=2) < 40).any(axis=0)
    assert blue[: drawn._right - 10].all()


def test_the_levels_are_named_beside_the_line_that_they_would_cover() -> None:
    drawn = ScoreStrip(96, 600, ScoreScale(threshold=2.0, usual=1.0, release=1.5))
    for number in range(400):
        drawn.add(number / 10, 1.4)
    image = drawn.draw(39.9).astype(int)
    red, blue = ((np.abs(image - colour).max(axis=2) < 60) for colour in (RED, [52, 84, 128]))
    lines = red[:, : drawn._right - 1]
    assert lines.any(axis=1).sum() == 2  # nothing else is red where scores are
    assert red[:, drawn._right :].any(axis=1).sum() > 15
    assert not blue[:, drawn._right :].any()


def test_the_line_is_not_cut_off_above_the_scale() -> None:
    drawn = strip()
    for number in range(100):
        drawn.add(number / 10, 1.0 + number)  # far above twice the threshold
    blue = np.asarray(np.abs(drawn.draw(10.0).astype(int) - [52, 84, 128]).max(axis=2) < 40)
    tops = blue.argmax(axis=0)[blue.any(axis=0)][20:-6].tolist()
    assert max(np.diff(tops[::25])) < 0  # it rises all the time
    assert len(set(tops)) > 30
    assert SCORES.unit(50.0, 100.0) < SCORES.unit(100.0, 100.0) == 1


def test_scores_beyond_the_scale_stay_in_the_strip() -> None:
    assert SCORES.unit(1e9) == 1
    assert SCORES.unit(-1e9) == 0
    assert 0 < SCORES.unit(1.0) < SCORES.unit(2.0) < 1
    assert 0 <= ScoreScale(1.0, 1.0).unit(1.0) <= 1


@pytest.mark.parametrize("shape", [(360, 640), (1080, 1920), (640, 360), (48, 64), (7, 3000), (2161, 1215)])
@pytest.mark.parametrize("overlay", [False, True])
def test_panels_are_bounded_even_and_of_the_videos_shape(shape: tuple[int, int], overlay: bool) -> None:
    height, width = panel_size(shape, overlay=overlay)
    most = ONE_PANEL if overlay else PANEL
    assert height <= most[0] or height == 64
    assert width <= most[1]
    assert height % 2 == width % 2 == 0
    if max(shape) / min(shape) < 4:
        assert height / width == pytest.approx(shape[0] / shape[1], rel=0.02)


@pytest.mark.parametrize(("rebuilds", "overlay", "panels"), [(True, False, 3), (False, False, 2), (False, True, 1)])
def test_sheets_have_even_sides_and_room_for_their_panels(rebuilds: bool, overlay: bool, panels: int) -> None:
    sheet = Sheet((120, 200), Scale(0.0, 2.0, 1.0), SCORES, rebuilds=rebuilds, overlay=overlay)
    assert sheet.height % 2 == sheet.width % 2 == 0
    assert sheet.width >= max(640, panels * 200)
    pixels = np.full((120, 200, 3), 90, np.uint8)
    hot = np.zeros((12, 20), np.float32)
    hot[3:6, 3:6] = 2.0
    calm = sheet.draw(pixels, 0.0, None)
    assert calm.shape == (sheet.height, sheet.width, 3)
    alarm = sheet.draw(pixels, 0.0, result(hot, pixels, event=1))
    assert (alarm != calm).any(axis=2).mean() > 0.02


def test_a_method_without_maps_shows_the_input_alone() -> None:
    sheet = Sheet((120, 200), None, SCORES, rebuilds=False, overlay=False)
    pixels = np.full((120, 200, 3), 90, np.uint8)
    drawn = sheet.draw(pixels, 0.0, result())
    assert (drawn == 90).all(axis=2).sum() >= 120 * 200
