from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from adkit.drawing.overlay import Scale, image_uri
from adkit.errors import FrameError
from adkit.report import examples
from adkit.report.examples import PANEL_PX, Example, Gallery, colour_ramp
from adkit.report.page import environment
from adkit.types import Sample
from adkit.workflows.score import Judged

SCALE = Scale(0.0, 2.0, 1.0)


def pixels_of(source: str) -> NDArray[np.uint8]:
    """The image in a data URI."""
    kind, _, content = source.partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(content, validate=True))) as picture:
        assert picture.format == "JPEG"
        return np.asarray(picture.convert("RGB"))


@pytest.fixture
def shown(tmp_path: Path) -> Example:
    """A defective sample of 40 × 20 px with everything known of it."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(100, 140, (20, 40, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    mask = np.zeros((20, 40), np.uint8)
    mask[:10, :20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    sample = Sample.still("test/crack/a", tmp_path / "a.png", anomalous=True, kind="crack", mask=tmp_path / "mask.png")
    heat = np.zeros((5, 10), np.float32)
    heat[:, 5:] = 2
    return Example(sample, Judged(1.5, 0.02, True, heat, np.full((8, 16, 3), 200, np.uint8)), "caught")


def changed(shown: Example, sample: Sample | None = None, **fields: Any) -> Example:
    return replace(shown, sample=sample or shown.sample, result=replace(shown.result, reconstruction=None, **fields))


def alternative(title: str, sample: Sample) -> str:
    """What the page says of a panel to those who do not see it."""
    return str(environment().get_template("macros.html.jinja").module.alternative(title, sample))  # type: ignore[attr-defined]


def test_the_panels_of_a_sample(shown: Example) -> None:
    (picture,) = Gallery(SCALE).draw([shown], ["clearest"])
    assert picture.about == "clearest"
    assert list(picture.panels) == ["input", "reconstruction", "heat map", "truth"]
    for source in picture.panels.values():
        pixels = pixels_of(source)
        assert pixels.shape == (PANEL_PX // 2, PANEL_PX, 3)
        assert (picture.height, picture.width) == pixels.shape[:2]
    assert [(region.left, region.top, region.height) for region in picture.outline.regions] == [(20, 0, 20)]
    assert all("test/crack/a (crack)" in alternative(title, shown.sample) for title in picture.panels)
    given, rebuilt, heat, truth = (pixels_of(source).astype(int) for source in picture.panels.values())
    assert abs(given.mean() - 120) < 3
    assert abs(rebuilt.mean() - 200) < 3
    assert heat[:, 200:].mean() > heat[:, :120].mean() + 30
    assert (truth[10:70, 10:150, 1] - truth[10:70, 10:150, 0]).mean() > 40
    assert (truth[100:, 200:, 1] - truth[100:, 200:, 0]).mean() < 10


def test_what_is_not_known_is_not_shown(shown: Example) -> None:
    sample = Sample.still("x", shown.sample.frame.path)
    (picture,) = Gallery(None).draw([changed(shown, sample=sample)])
    assert list(picture.panels) == ["input"]
    assert alternative("input", sample) == "input image x (truth not known)"
    (picture,) = Gallery(SCALE).draw([changed(shown, map=None)])
    assert list(picture.panels) == ["input", "truth"]


@pytest.mark.parametrize(
    ("verdict", "mistaken"),
    [
        ("caught", False),
        ("missed defect", True),
        ("missed event", True),
        ("false alarm", True),
        ("passed", False),
        ("flagged", False),
    ],
)
def test_mistakes_are_told_by_their_verdict(verdict: str, mistaken: bool, shown: Example) -> None:
    assert replace(shown, verdict=verdict).mistaken == mistaken


def test_a_page_has_enough_at_some_point(shown: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "MOST_BYTES", 1)
    drawn = Gallery(SCALE)
    assert len(drawn.draw([shown, shown])) == 1
    assert drawn.draw([shown]) == []
    assert drawn.left_out == 2


@pytest.mark.parametrize("size", [(1000, 30), (3, 700), (1, 1)])
def test_pictures_of_any_shape(size: tuple[int, int], tmp_path: Path, shown: Example) -> None:
    Image.new("RGB", size).save(tmp_path / "b.png")
    (picture,) = Gallery(SCALE).draw([changed(shown, sample=Sample.still("b", tmp_path / "b.png"))])
    assert max(picture.width, picture.height) == PANEL_PX
    for source in picture.panels.values():
        assert pixels_of(source).shape[:2] == (picture.height, picture.width)


def test_an_image_that_is_gone_is_a_fault_of_the_user(shown: Example, tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="there is no file"):
        Gallery(SCALE).draw([changed(shown, sample=Sample.still("x", tmp_path / "gone.png"))])


def test_the_same_pixels_give_the_same_address() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    assert image_uri(pixels) == image_uri(pixels.copy())
    assert np.abs(pixels_of(image_uri(np.full((16, 16, 3), 90, np.uint8))).astype(int) - 90).max() <= 2


def test_the_ramp_runs_from_dark_to_bright() -> None:
    colours = [bytes.fromhex(code) for code in re.findall("#([0-9a-f]{6})", colour_ramp())]
    assert len(colours) == 9
    assert sum(colours[0]) < 20
    assert sum(colours[-1]) > 500
