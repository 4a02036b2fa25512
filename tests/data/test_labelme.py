"""What labelme saved is read as it draws it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adkit_folder.dataset import Folder
from PIL import Image

from adkit.data.images import png_of, read_mask
from adkit.errors import DatasetError, FrameError
from adkit.types import FrameRef


def saved(path: Path, *shapes: dict[str, Any], **changes: Any) -> FrameRef:
    """A file of labelme's, of a picture of 80 × 60 px."""
    whole = {"version": "5.4.1", "flags": {}, "shapes": list(shapes), "imagePath": "a.png", "imageData": None}
    path.write_text(json.dumps({**whole, "imageHeight": 60, "imageWidth": 80, **changes}), encoding="utf-8")
    return FrameRef(path)


def shape(sort: str, *points: tuple[float, float], label: str = "tear", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": sort, "flags": {}, **more}


ROWS, COLUMNS = np.mgrid[:60, :80]
BOX = (ROWS >= 10) & (ROWS <= 20) & (COLUMNS >= 30) & (COLUMNS <= 50)


@pytest.mark.parametrize(
    "drawn",
    [
        shape("rectangle", (30, 10), (50, 20)),
        shape("rectangle", (50, 20), (30, 10)),
        shape("polygon", (30, 10), (50, 10), (50, 20), (30, 20)),
        {**shape("polygon", (30, 10), (50, 10), (50, 20), (30, 20)), "shape_type": None},
    ],
)
def test_boxes_and_outlines(tmp_path: Path, drawn: dict[str, Any]) -> None:
    assert np.array_equal(read_mask(saved(tmp_path / "a.json", drawn), (60, 80)), BOX)


def test_masks_that_a_model_proposed(tmp_path: Path) -> None:
    part = Image.fromarray(np.eye(11, 21, dtype=np.uint8) * 255)
    ai = shape("mask", (30, 10), (50, 20), mask=base64.b64encode(png_of(part)).decode())
    expected = np.zeros((60, 80), bool)
    expected[10:21, 30:51] = np.eye(11, 21, dtype=bool)
    assert np.array_equal(read_mask(saved(tmp_path / "a.json", ai), (60, 80)), expected)


def test_a_circle_and_what_has_no_area(tmp_path: Path) -> None:
    circle = read_mask(saved(tmp_path / "c.json", shape("circle", (40, 30), (50, 30))), (60, 80))
    far = np.hypot(ROWS - 30, COLUMNS - 40)
    assert circle[far < 9].all()
    assert not circle[far > 11].any()
    for sort, points in (("line", [(10, 30), (70, 30)]), ("linestrip", [(10, 30), (70, 30)]), ("point", [(40, 30)])):
        mask = read_mask(saved(tmp_path / f"{sort}.json", shape(sort, *points)), (60, 80))
        assert mask[30, 40]
        assert not mask[45:].any()


def test_what_is_to_be_ignored_is_not_marked(tmp_path: Path) -> None:
    drawn = shape("rectangle", (30, 10), (50, 20), label="__ignore__")
    assert not read_mask(saved(tmp_path / "a.json", drawn), (60, 80)).any()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"imageHeight": 600}, "mask is 80×600 but the image is 80×60"),
        ({"imageHeight": None}, "cannot read the shapes of"),
        ({"shapes": [{"label": "x"}]}, "cannot read the shapes of"),
        ({"shapes": [shape("cuboid", (1, 1), (2, 2))]}, "a shape of the type 'cuboid'"),
        ({"shapes": [shape("rectangle", (1, 1))]}, "a rectangle of 1 points"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(FrameError, match=complaint):
        read_mask(saved(tmp_path / "a.json", **change), (60, 80))


def test_they_are_found_beside_their_pictures(tmp_path: Path) -> None:
    for name in ("good/1.png", "tear/2.png", "tear/3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"never decoded")
    saved(tmp_path / "tear" / "2.json", shape("rectangle", (30, 10), (50, 20)))
    (tmp_path / "tear" / "3.json").write_text('{"exposure_ms": 4}')
    first, second = (sample for sample in Folder(tmp_path, "x", tmp_path).samples("test") if sample.anomalous)
    assert first.mask == FrameRef(tmp_path / "tear" / "2.json")
    assert second.mask is None
    (tmp_path / "good").rename(tmp_path / "monday")
    (tmp_path / "tear").rename(tmp_path / "tuesday")
    with pytest.raises(DatasetError, match=r"masks lie beside the images of .* \(1, the first: 2\.json\)"):
        Folder(tmp_path, "x", tmp_path)
