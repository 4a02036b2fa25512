"""What goes with an exported model sees images as adkit does, to the bit where that is possible."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adkit.data import images
from adkit.data.boxes import Box
from adkit.data.layouts import in_numeric_order
from adkit.data.video import Video
from adkit.data.view import MOST_STRETCH, StillImage, View
from adkit.errors import FrameError
from adkit.export import score
from adkit.nn.normalisation import smooth
from adkit.types import FrameRef
from tests.videos import write_video

SIDES = st.integers(24, 200)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.5), np.uint8)


@settings(max_examples=60)
@given(SIDES, SIDES, st.integers(24, 80), st.integers(24, 80))
def test_images_are_resized_as_opencv_does(height: int, width: int, new_height: int, new_width: int) -> None:
    given_picture = picture(height, width)
    expected = images.resize(given_picture, (new_height, new_width)).astype(int)
    difference = np.abs(score.resize(given_picture, new_height, new_width) - expected)
    if height >= new_height and width >= new_width:
        assert difference.max() == 0
    else:  # OpenCV before 5 has single-precision weights
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.001


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_whole_number_of_pixels_makes_one(factor: int) -> None:
    given_picture = np.random.default_rng(1).integers(0, 256, (40 * factor, 30 * factor, 3)).astype(np.uint8)
    assert (score.resize(given_picture, 40, 30) == images.resize(given_picture, (40, 30))).all()


@settings(max_examples=40)
@given(SIDES, SIDES, st.booleans())
def test_an_image_lies_on_the_canvas_where_the_run_lays_it(height: int, width: int, boxed: bool) -> None:
    box = Box(left=3, top=5, width=width - 8, height=height - 6) if boxed else None
    view = View(frame=(64, 96), picture=(height, width), box=box)
    model = score.Model.__new__(score.Model)
    model.facts = {
        "canvas": (64, 96),
        "box": box and box.model_dump(),
        "only_size": [height, width] if boxed else None,
        "most_stretch": MOST_STRETCH,
        "grid": (8, 12),
    }
    given_picture = picture(height, width)
    pixels, rows, columns = model.see(score.image_of(given_picture))
    assert np.abs(pixels.astype(int) - view.see(StillImage(given_picture))).max() <= 1
    maps = np.random.default_rng(0).random((1, 8, 12), dtype=np.float32)
    assert np.allclose(rows @ maps[0] @ columns.T, view.own_maps(maps, [box.size if box else (height, width)])[0])


def test_a_run_that_looks_at_a_part_takes_one_size() -> None:
    model = score.Model.__new__(score.Model)
    model.facts = {"canvas": (64, 64), "box": None, "only_size": [40, 50], "most_stretch": 1.05, "grid": (8, 8)}
    with pytest.raises(ValueError, match="60×40 px; 50×40 px was expected"):
        model.see(score.image_of(picture(40, 60)))


SORTS = {
    "RGB": Image.fromarray(picture(20, 30)),
    "grey": Image.fromarray(picture(20, 30)).convert("L"),
    "grey and alpha": Image.fromarray(picture(20, 30)).convert("LA"),
    "RGBA": Image.fromarray(picture(20, 30)).convert("RGBA"),
    "padded": Image.new("RGBA", (30, 20), (10, 20, 30, 0)),
    "palette": Image.fromarray(picture(20, 30)).quantize(16),
    "CMYK": Image.fromarray(picture(20, 30)).convert("CMYK"),
    "black and white": Image.fromarray(picture(20, 30)).convert("1"),
    "16 bit": Image.fromarray(np.random.default_rng(0).integers(0, 65536, (20, 30)).astype(np.uint16)),
    "32 bit": Image.fromarray(np.random.default_rng(0).integers(0, 65536, (20, 30)).astype(np.int32)),
}


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("suffix", ["tif", "tga"])
def test_files_are_read_as_adkit_reads_them(sort: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{suffix}"
    if suffix == "tga" and sort in ("CMYK", "16 bit", "32 bit"):
        pytest.skip("TGA has no such images")
    SORTS[sort].save(path)
    assert (score.read(path) == images.read_image(FrameRef(path))).all()


def test_videos_are_read_as_adkit_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "video.mp4", [picture(48, 64, seed) for seed in range(5)], stamps=[7, 12, 30, 31, 50])
    for size in ((24, 32), (48, 64), (60, 100)):
        found = [(number, time_s, pixels(*size)) for number, time_s, (_, pixels) in score.video(path)]
        expected = list(Video(path))
        assert [number for number, *_ in found] == [one.number for one in expected]
        assert [time_s for _, time_s, _ in found] == pytest.approx([one.time_s for one in expected])
        assert all((one == other.pixels(size)).all() for (*_, one), other in zip(found, expected, strict=True))
    with pytest.raises(ValueError, match="no video that can be read"):
        list(score.video(Path(__file__)))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match="videos need PyAV"):
        list(score.video(path))


def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("10.png", "9.png", "frame2.png", "Frame10.png", ".hidden.png", "notes.txt"):
        SORTS["RGB"].save(tmp_path / name, "PNG")
    found = [(number, time_s) for number, time_s, _ in score.frames_in(tmp_path, 65535)]
    assert found == [(0, 0.0), (1, 0.04), (2, 0.08), (3, 0.12)]
    names = [path.name for path in tmp_path.iterdir() if path.suffix == ".png" and path.name[0] != "."]
    in_order = sorted(names, key=score.by_number)
    assert in_order == [path.name for path in in_numeric_order(Path(name) for name in names)]


def test_a_turned_image_is_set_upright(tmp_path: Path) -> None:
    path, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112] = 6
    SORTS["RGB"].save(path, exif=exif)
    assert score.read(path).shape == (30, 20, 3)
    assert (score.read(path) == images.read_image(FrameRef(path))).all()


def test_what_adkit_refuses_is_refused(tmp_path: Path) -> None:
    path, buffer = tmp_path / "floats.tif", io.BytesIO()
    Image.fromarray(np.ones((5, 5), np.float32)).save(buffer, "TIFF")
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match="8 or 16 bits"):
        score.read(path)
    with pytest.raises(FrameError):
        images.read_image(FrameRef(path))


@settings(max_examples=30)
@given(st.integers(3, 40), st.integers(3, 40), st.floats(0.1, 6))
def test_smoothing_by_a_product_is_the_gaussian_blur(height: int, width: int, sigma: float) -> None:
    maps = torch.rand(2, height, width, generator=torch.Generator().manual_seed(0))
    expected = [cv2.GaussianBlur(one, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for one in maps.numpy()]
    assert np.allclose(smooth(maps, sigma).numpy(), np.stack(expected), atol=1e-5)


@pytest.mark.parametrize(("white", "highest"), [(1023, 900), (4095, 5000), (65535, 60000), (255, 200), (255, 60000)])
def test_what_is_white_is_as_the_run_has_it(tmp_path: Path, white: int, highest: int) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.linspace(0, highest, 600).reshape(20, 30).astype(np.uint16)).save(path)
    assert (score.read(path, white) == images.read_image(FrameRef(path), white)).all()


def test_what_cannot_be_read_alike_is_refused(tmp_path: Path) -> None:
    wide = tmp_path / "wide.png"
    Image.fromarray(np.full((4, 4), 3000, np.uint16)).save(wide)
    with pytest.raises(ValueError, match="white is not known"):
        score.read(wide, 255)
    pages = [Image.new("L", (4, 4), value) for value in (1, 2)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match="several images"):
        score.read(tmp_path / "a.tif")
