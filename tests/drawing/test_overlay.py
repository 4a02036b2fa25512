from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from adkit.data.boxes import Box
from adkit.data.view import EVERYWHERE, View
from adkit.drawing.overlay import PANEL_PX, Caption, Scale, draw, faded, letters

CAPTION = Caption("test/crack/003", score=2.5, p_value=0.0123, anomalous=True, threshold=1.5, truth="crack")
SCALE = Scale(0.0, 2.0, 1.0)


def grey(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 128, np.uint8)


def spot(height: int = 30, width: int = 40) -> NDArray[np.float32]:
    """A map that is 2 in its lower right quarter, else 0."""
    values = np.zeros((height, width), np.float32)
    values[height // 2 :, width // 2 :] = 2
    return values


def panels(sheet: Image.Image, height: int, width: int, count: int) -> list[NDArray[np.int64]]:
    """The panels' pixels: they stand side by side, 14 px apart, at the bottom of the sheet."""
    pixels = np.asarray(sheet).astype(np.int64)
    bottom = pixels.shape[0] - 14
    lefts = [14 + number * (width + 14) for number in range(count)]
    return [pixels[bottom - height : bottom, left : left + width] for left in lefts]


def test_scale_of_a_run() -> None:
    maps = np.array([[[1.0, 2.0, 3.0, 10.0, 2.0]]], np.float32)
    assert Scale.of_run(maps, 5.0) == Scale(2.0, 8.0, 5.0), "the median, and twice as far as the threshold"
    assert Scale.of_run(maps, None) == Scale(2.0, 18.0, None)


@pytest.mark.parametrize("threshold", [None, 1.0, 0.5])
def test_a_scale_is_never_empty(threshold: float | None) -> None:
    scale = Scale.of_run(np.ones((2, 3, 3), np.float32), threshold)
    assert scale.high > scale.low
    assert np.isfinite(scale.unit(np.array([0.0, 1.0, 2.0], np.float32))).all()


def test_unit_is_clipped() -> None:
    assert SCALE.unit(np.array([-5.0, 0.0, 0.5, 2.0, 9.0], np.float32)).tolist() == [0, 0, 0.25, 1, 1]


@pytest.mark.parametrize(("masked", "count"), [(False, 2), (True, 3)])
def test_one_panel_more_with_the_truth(masked: bool, count: int) -> None:
    mask = np.zeros((60, 80), bool) if masked else None
    sheet = draw(grey(60, 80), spot(), SCALE, CAPTION, mask)
    assert sheet.mode == "RGB"
    assert sheet.width == 14 + count * (PANEL_PX + 14) + 126
    for panel in panels(sheet, 315, PANEL_PX, count):
        assert panel.shape == (315, PANEL_PX, 3)
        assert panel.std() < 120
        assert (panel < 250).all(axis=2).mean() > 0.9, "no white of the sheet shows in it"


@pytest.mark.parametrize(("height", "width"), [(1000, 1000), (20, 30), (300, 7), (5, 900), (1, 1)])
def test_images_of_any_shape(height: int, width: int) -> None:
    sheet = draw(grey(height, width), spot(), SCALE, CAPTION, np.zeros((height, width), bool))
    factor = PANEL_PX / max(height, width)
    expected = max(1, round(height * factor)), max(1, round(width * factor))
    first = panels(sheet, *expected, count=1)[0]
    assert max(first.shape) == PANEL_PX
    assert (first == 128).all(), "the input is shown as it is"


def test_a_non_contiguous_image_is_drawn() -> None:
    image = np.arange(60 * 80 * 3, dtype=np.uint32).reshape(60, 80, 3).astype(np.uint8)
    straight = draw(np.ascontiguousarray(image[:, ::-1]), spot(), SCALE, CAPTION)
    turned = draw(image[:, ::-1], spot(), SCALE, CAPTION)
    assert np.array_equal(np.asarray(straight), np.asarray(turned))


def test_heat_is_where_the_map_is_high() -> None:
    _, heat = panels(draw(grey(60, 80), spot(), SCALE, CAPTION), 315, PANEL_PX, 2)
    cold, hot = heat[20:100, 20:150].mean(axis=(0, 1)), heat[200:300, 260:400].mean(axis=(0, 1))
    np.testing.assert_allclose(cold, 128, atol=2)  # what is usual is not covered
    assert hot[0] > cold[0] + 60, "inferno's high end is bright and yellow"
    assert hot[0] > hot[2] + 30
    assert cold.std() < 20, "the image shows through where nothing is found"


def test_the_threshold_is_outlined() -> None:
    _, with_line = panels(draw(grey(60, 80), spot(), SCALE, CAPTION), 315, PANEL_PX, 2)
    _, without = panels(draw(grey(60, 80), spot(), Scale(0.0, 2.0, None), CAPTION), 315, PANEL_PX, 2)
    differs = (with_line != without).any(axis=2)
    assert (with_line[differs].min(axis=1) > 200).mean() > 0.3, "white"
    rows, columns = np.nonzero(differs)
    # Along the borders of the lower right quarter, not inside it.
    assert rows.min() > 140
    assert columns.min() > 195
    assert not differs[180:290, 235:400].any()


def test_nothing_above_the_threshold_is_not_outlined() -> None:
    calm = np.zeros((30, 40), np.float32)
    _, with_line = panels(draw(grey(60, 80), calm, SCALE, CAPTION), 315, PANEL_PX, 2)
    _, without = panels(draw(grey(60, 80), calm, Scale(0.0, 2.0, None), CAPTION), 315, PANEL_PX, 2)
    assert np.array_equal(with_line, without)


def test_the_truth_is_green() -> None:
    mask = np.zeros((60, 80), bool)
    mask[:30, :40] = True
    truth = panels(draw(grey(60, 80), spot(), SCALE, CAPTION, mask), 315, PANEL_PX, 3)[2]
    inside, outside = truth[20:130, 20:180].mean(axis=(0, 1)), truth[200:, 250:].mean(axis=(0, 1))
    assert inside[1] > inside[0] + 50
    assert outside.tolist() == [128, 128, 128]


def test_a_reconstruction_stands_beside_the_input() -> None:
    red = np.zeros((20, 26, 3), np.uint8)
    red[..., 0] = 200
    sheet = draw(grey(60, 80), spot(), SCALE, CAPTION, np.zeros((60, 80), bool), red)
    shown = panels(sheet, 315, PANEL_PX, 4)
    assert (shown[1] == [200, 0, 0]).all()
    without = panels(draw(grey(60, 80), spot(), SCALE, CAPTION, np.zeros((60, 80), bool)), 315, PANEL_PX, 3)
    assert all((one == other).all() for one, other in zip([shown[0], *shown[2:]], without, strict=True))


def test_the_image_is_not_changed() -> None:
    image, values, mask = grey(60, 80), spot(), np.ones((60, 80), bool)
    copies = image.copy(), values.copy(), mask.copy()
    draw(image, values, SCALE, CAPTION, mask)
    for one, copy in zip((image, values, mask), copies, strict=True):
        assert np.array_equal(one, copy)


def test_a_caption_says_what_the_score_is_worth() -> None:
    assert CAPTION.verdict == "ANOMALOUS"
    assert CAPTION.details == "score 2.500   threshold 1.500   p = 0.0123   truth: crack"
    odd = Caption("a", 2.5, 0.0106, True, 1.5, whole=True, p_value_is_floor=True)
    assert odd.verdict == "ANOMALOUS as a whole"
    assert odd.details == "score 2.500   threshold 1.500   p at most 0.0106"
    assert Caption("a", 0.5, 0.9, False, 1.5).verdict == "normal"


@pytest.mark.parametrize(
    ("whole", "said"), [(False, "the map is highest at: lower right"), (True, "no place is odd by itself")]
)
def test_what_is_anomalous_and_has_no_outline_says_why(whole: bool, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    pen = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw, "text", lambda self, at, text, **how: (written.append(text), pen(self, at, text, **how))
    )
    caption = Caption("a", 2.5, 0.0123, True, 1.5, whole=whole)
    weak = np.pad(np.full((1, 1), 0.5, np.float32), ((28, 1), (37, 2)))
    draw(grey(60, 80), weak, SCALE, caption)
    assert any(text.endswith(f"nothing outlined, {said}") for text in written)
    draw(grey(60, 80), weak, SCALE, caption, counts=np.arange(4800).reshape(60, 80) < 2400)
    assert any(text.endswith("no place is odd by itself" if whole else "highest at: upper left") for text in written)
    written.clear()
    draw(grey(60, 80), spot(), SCALE, caption)
    draw(grey(60, 80), weak, SCALE, Caption("a", 0.5, 0.9, False, 1.5))
    assert not any("nothing outlined" in text for text in written)


def test_the_verdict_has_a_colour() -> None:
    def head(anomalous: bool) -> NDArray[np.int64]:
        caption = Caption("a", 1.0, 0.5, anomalous, 1.5)
        return np.asarray(draw(grey(60, 80), spot(), SCALE, caption)).astype(np.int64)[30:58]

    red, green = head(True), head(False)
    assert ((red[..., 0] - red[..., 1]) > 100).sum() > 20
    assert not ((green[..., 0] - green[..., 1]) > 100).any()
    assert ((green[..., 1] - green[..., 0]) > 80).sum() > 20


@pytest.mark.parametrize("name", ["x" * 500, "Prüfung/ß 漢字.png", "", "a\nb"])
def test_any_name_is_written(name: str) -> None:
    sheet = draw(grey(60, 80), spot(), SCALE, Caption(name, -1.0, 1.0, False, 0.0, None))
    assert sheet.width == 14 + 2 * (PANEL_PX + 14) + 126


@pytest.mark.parametrize(("name", "truth"), [("W" * 78, None), ("a", "missing part and wrong colour " * 3)])
def test_no_caption_is_cut_off(name: str, truth: str | None) -> None:
    """A tall image is narrow, and what is written above it is not."""
    sheet = np.asarray(draw(grey(400, 40), spot(), SCALE, Caption(name, 2.5, 0.0123, True, 1.5, truth)))
    head = (sheet[:50] < 200).any(axis=(0, 2))
    assert head[600:].any()
    assert not head[-10:].any()


def test_letters_beyond_english_are_written() -> None:
    """The font that Pillow brings draws a box for each of them."""
    drawn = {letter: np.asarray(letters(30, letter).getmask(letter)).tobytes() for letter in "äöüßéłж–"}
    assert len(set(drawn.values())) == len(drawn)


def test_chinese_letters_are_written_where_the_system_has_a_font(monkeypatch: pytest.MonkeyPatch) -> None:
    usual, bold = letters(17, "é–"), str(letters(17, "é").path).replace("Sans.ttf", "Sans-Bold.ttf")
    monkeypatch.setattr("adkit.drawing.overlay._ASIAN_FONTS", ("absent.ttc", bold))
    assert letters(17, "良品 é").path == bold
    assert letters(17, "é–").path == usual.path
    monkeypatch.setattr("adkit.drawing.overlay._ASIAN_FONTS", ())
    assert letters(18, "良品").path == usual.path


@pytest.mark.parametrize("threshold", [-5.0, 0.0, 2.0, 99.0])
def test_a_threshold_outside_the_colours_is_drawn(threshold: float) -> None:
    sheet = draw(grey(60, 80), spot(), Scale(0.0, 2.0, threshold), CAPTION)
    assert np.asarray(sheet).std() > 10


def test_what_is_left_out_is_paler_and_the_rest_is_not_touched() -> None:
    picture = np.full((60, 100, 3), 20, np.uint8)
    assert faded(picture, EVERYWHERE) is picture
    view = View(frame=(1, 1), picture=(60, 100), box=Box(left=20, top=10, width=50, height=30), border=5)
    drawn = faded(picture, view)
    assert (drawn[13:37, 23:67] == 20).all()
    assert drawn[:8].min() > 40
    assert picture.max() == 20
    half = faded(np.ascontiguousarray(picture[::2, ::2]), view, (60, 100))
    assert (half[7:18, 12:33] == 20).all()
    assert half[:4].min() > 40
