"""What labelling tools saved is read as they draw it."""

from __future__ import annotations

import base64
import json
import math
import zlib
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adkit_folder.dataset import Folder
from adkit_folder.manifest import Manifest
from PIL import Image

from adkit.data.images import png_of, read_mask
from adkit.errors import DatasetError, FrameError
from adkit.types import FrameRef


def saved(path: Path, *shapes: dict[str, Any], **changes: Any) -> FrameRef:
    """A file of labelme's, of an image of 80 × 60 px."""
    whole = {"version": "5.4.1", "flags": {}, "shapes": list(shapes), "imagePath": "a.png", "imageData": None}
    path.write_text(json.dumps({**whole, "imageHeight": 60, "imageWidth": 80, **changes}), encoding="utf-8")
    return FrameRef(path)


def shape(sort: str, *points: tuple[float, float], label: str = "tear", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": sort, "flags": {}, **more}


def written(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"never decoded")
    return folder


ROWS, COLUMNS = np.mgrid[:60, :80]
BOX = (ROWS >= 10) & (ROWS <= 20) & (COLUMNS >= 30) & (COLUMNS <= 50)


@pytest.mark.parametrize(
    "drawn",
    [
        shape("rectangle", (30, 10), (50, 20)),
        shape("rectangle", (50, 20), (30, 10)),
        shape("polygon", (30, 10), (50, 10), (50, 20), (30, 20)),
        {**shape("polygon", (30, 10), (50, 10), (50, 20), (30, 20)), "shape_type": None},
        shape("rectangle", (30, 10), (50, 10), (50, 20), (30, 20)),
        shape("rotation", (30, 20), (30, 10), (50, 10), (50, 20)),
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
        ({"imageHeight": "tall"}, "cannot read the shapes of"),
        ({"shapes": [{"label": "x"}]}, "cannot read the shapes of"),
        ({"shapes": [shape("cuboid", (1, 1), (2, 2))]}, "a shape of the type 'cuboid'"),
        ({"shapes": [shape("rectangle", (1, 1))]}, "a rectangle of 1 points"),
        ({"shapes": [shape("oriented_rectangle", (1, 1), (2, 2))]}, "a oriented_rectangle of 2 points"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(FrameError, match=complaint):
        read_mask(saved(tmp_path / "a.json", **change), (60, 80))


def test_they_are_found_beside_their_images(tmp_path: Path) -> None:
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
    dataset = Folder(tmp_path, "x", tmp_path)  # no name says which are good, so what is outlined does
    assert [sample.id for sample in dataset.samples("train")] == ["monday/1.png", "tuesday/3.png"]
    assert [sample.id for sample in dataset.samples("test")] == ["tuesday/2.png"]


def packed(counts: list[int]) -> str:
    """As COCO's own tools write numbers (rleToString of pycocotools)."""
    text = ""
    for place, count in enumerate(counts):
        rest, more = count - (counts[place - 2] if place > 2 else 0), True
        while more:
            bits, rest = rest & 31, rest >> 5
            more = rest != -1 if bits & 16 else rest != 0
            text += chr(bits + 32 * more + 48)
    return text


def turns(pixels: np.ndarray[Any, Any]) -> list[int]:
    """How long the turns of 0 and 1 are, beginning with 0."""
    flat = [0, *pixels.astype(int)]
    ends = [place for place in range(1, len(flat)) if flat[place] != flat[place - 1]]
    return [int(length) for length in np.diff([1, *ends, len(flat)])]


SPOT = (np.hypot(ROWS - 30, COLUMNS - 50) < 9) | (COLUMNS % 37 == 3)


def coco(name: str, annotation: dict[str, Any], **size: int) -> dict[str, Any]:
    images = [{"id": 7, "file_name": "good/1.png", **size}, {"id": 3, "file_name": name, **size}]
    annotations = [{"id": 1, "image_id": 3, "category_id": 2, **annotation}]
    return {"images": images, "annotations": annotations, "categories": [{"id": 2, "name": "tear"}]}


SIZE = {"width": 80, "height": 60}


def supervisely(sort: str, **drawn: Any) -> dict[str, Any]:
    return {
        "description": "",
        "tags": [],
        "size": SIZE,
        "objects": [{"classTitle": "t", "geometryType": sort, **drawn}],
    }


LABELME = {"shapes": [shape("rectangle", (30, 10), (50, 20))], "imageHeight": 60, "imageWidth": 80}
BOX_OUTLINE = [30, 10, 50, 10, 50, 20, 30, 20]
BOX_CORNERS = [[30, 10], [50, 10], [50, 20], [30, 20]]
BITMAP = base64.b64encode(zlib.compress(png_of(Image.new("RGBA", (21, 11), "white")))).decode()
CVAT = '<annotations><image id="0" name="{}" width="80" height="60">{}</image></annotations>'
VOC = "<annotation><size><width>80</width><height>60</height></size><object><name>tear</name>{}</object></annotation>"
VIA = {"name": "polygon", "all_points_x": BOX_OUTLINE[::2], "all_points_y": BOX_OUTLINE[1::2]}
VIA_BOX = {"shape_attributes": {"name": "rect", "x": 30, "y": 10, "width": 21, "height": 11}}


def label_studio(*drawn: dict[str, Any]) -> list[dict[str, Any]]:
    size = {"original_width": 80, "original_height": 60}
    result = [{**size, "type": "labels", "value": value} for value in drawn]
    return [{"data": {"image": "/data/upload/1/0a1b2c3d-2.png"}, "annotations": [{"result": result}]}]


def rolled(values: np.ndarray[Any, Any]) -> list[int]:
    """As Label Studio packs values: the length of each run, and one value of it or all."""
    bits = f"{len(values):032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    for value, run in groupby(values.tolist()):
        length = len(list(run))
        bits += f"000{length - 1:03b}" + length * f"{value:08b}" if length < 9 else f"111{length - 1:016b}{value:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


FILES: list[tuple[str, Any, Any]] = [
    ("annotations/instances_default.json", coco("tear/2.png", {"segmentation": [BOX_OUTLINE]}, **SIZE), BOX),
    ("tear/_annotations.coco.json", coco("2.png", {"segmentation": [], "bbox": [30, 10, 21, 11]}), BOX),
    ("coco.json", coco("2.png", {"image_id": "3", "segmentation": [[]], "bbox": [30, 10, 21, 11]}), BOX),
    ("coco.json", coco("C:\\data\\2.png", {"segmentation": {"size": [60, 80], "counts": turns(SPOT.T.ravel())}}), SPOT),
    ("a/b.json", coco("x/2.jpg", {"segmentation": {"size": [60, 80], "counts": packed(turns(SPOT.T.ravel()))}}), SPOT),
    ("annotations.xml", CVAT.format("tear/2.png", '<polygon label="tear" points="30,10;50,10;50,20;30,20"/>'), BOX),
    ("annotations.xml", CVAT.format("2.png", '<box label="tear" xtl="30" ytl="10" xbr="51" ybr="21"/>'), BOX),
    (
        "all.xml",
        CVAT.format(
            "tear/2.png", f'<mask rle="{", ".join(map(str, turns(SPOT.ravel())))}" left="0" top="0" {{}}/>'
        ).format('width="80" height="60"'),
        SPOT,
    ),
    (
        "Annotations/2.xml",
        VOC.format("<bndbox><xmin>31</xmin><ymin>11</ymin><xmax>51</xmax><ymax>21</ymax></bndbox>"),
        BOX,
    ),
    (
        "tear/2.xml",
        VOC.replace("80", "0")
        .replace("60", "0")
        .format(
            "<polygon><pt><x>30</x><y>10</y></pt><pt><x>50</x><y>10</y></pt><pt><x>50</x><y>20</y></pt>"
            "<pt><x>30</x><y>20</y></pt></polygon>"
        ),
        BOX,
    ),
    ("labels/tear/2.txt", "0 0.50625 0.258333 0.2625 0.183333\n", BOX),
    ("labels/tear/2.txt", "tear 0.50625 0.258333 0.2625 0.183333 0.91\n", BOX),
    ("tear/2.txt", "3 0.375 0.166667 0.625 0.166667 0.625 0.333333 0.375 0.333333\n", BOX),
    ("ann/tear/2.png.json", supervisely("polygon", points={"exterior": BOX_CORNERS, "interior": []}), BOX),
    ("ann/tear/2.png.json", supervisely("rectangle", points={"exterior": BOX_CORNERS[::2], "interior": []}), BOX),
    ("ann/tear/2.png.json", supervisely("bitmap", bitmap={"origin": [30, 10], "data": BITMAP}), BOX),
    ("project-1.json", label_studio({"x": 37.5, "y": 100 / 6, "width": 26.25, "height": 1100 / 60}), BOX),
    (
        "project-1.json",
        label_studio({"x": 62.5, "y": 100 / 6, "width": 12.5, "height": 100 / 3, "rotation": 90}, {"choices": ["x"]}),
        BOX,
    ),
    (
        "project-1.json",
        [
            {
                **label_studio({"x": 37.5, "y": 100 / 6, "width": 26.25, "height": 1100 / 60})[0],
                "data": {"text": "of monday", "image": "/data/local-files/?d=tear%2F2.png"},
            }
        ],
        BOX,
    ),
    ("project-1.json", label_studio({"format": "rle", "rle": rolled(np.repeat(SPOT.ravel() * 255, 4))}), SPOT),
    ("tear/2.json", {"imageData": 5000 * "A", **LABELME}, BOX),
    ("labels/tear/2.txt", "0 0.50625 0.258333 0.2625 0.183333\n0 1.05 0.5 0.01 0.1\n", BOX),
    (
        "ann/tear/2.png.json",
        supervisely(
            "polygon", points={"exterior": BOX_CORNERS, "interior": [[[35, 12], [40, 12], [40, 15], [35, 15]]]}
        ),
        BOX & ~((ROWS >= 12) & (ROWS <= 15) & (COLUMNS >= 35) & (COLUMNS <= 40)),
    ),
    ("via.json", {"2.png123": {"filename": "2.png", "regions": [{"shape_attributes": VIA}]}}, BOX),
    (
        "project.json",
        {"_via_settings": {}, "_via_img_metadata": {"2.png1": {"filename": "2.png", "regions": {"0": VIA_BOX}}}},
        BOX,
    ),
]


@pytest.mark.parametrize(("name", "content", "expected"), FILES)
def test_files_that_name_their_images(tmp_path: Path, name: str, content: Any, expected: Any) -> None:
    touched(tmp_path, "good/1.png", "tear/2.png", "tear/3.png")
    if "tear/2" in str(content):  # then it is clear which one is meant
        touched(tmp_path, "dent/2.png")
    written(tmp_path / name, content)
    masks = {one.id: one.mask for one in Folder(tmp_path, "x", tmp_path).samples("test") if one.anomalous}
    mask = masks.pop("tear/2.png")
    assert not any(masks.values())
    assert mask is not None
    assert np.array_equal(read_mask(mask, (60, 80)), expected)


VIA_TURNED = {"name": "ellipse", "cx": 40, "cy": 25, "rx": 5, "ry": 10, "theta": math.pi / 2}


@pytest.mark.parametrize(
    ("name", "content", "extent"),
    [
        (
            "a.xml",
            CVAT.format("2.png", '<box label="x" xtl="30" ytl="20" xbr="50" ybr="30" rotation="90"/>'),
            (15, 35, 35, 45),
        ),
        (
            "a.xml",
            CVAT.format("2.png", '<ellipse label="x" cx="40" cy="25" rx="5" ry="10" rotation="90"/>'),
            (20, 30, 30, 50),
        ),
        ("a.json", {"2.png1": {"filename": "2.png", "regions": [{"shape_attributes": VIA_TURNED}]}}, (20, 30, 30, 50)),
    ],
)
def test_what_was_turned(tmp_path: Path, name: str, content: Any, extent: tuple[int, ...]) -> None:
    """By a quarter about its middle: as wide as it was high."""
    rows, columns = np.nonzero(read_mask(FrameRef(written(tmp_path / name, content), page=0), (60, 80)))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == extent


def test_what_cannot_be_read_is_told_and_never_good(tmp_path: Path) -> None:
    touched(tmp_path, "good/1.png", "good/2.png", "tear/2.png")
    written(tmp_path / "good" / "2.json", {"item": {"name": "2.png"}, "annotations": []})
    task = label_studio({"x": "left"})
    written(tmp_path / "project-1.json", task)
    notes = Folder(tmp_path, "x", tmp_path).notes()
    assert any(
        f"2 masks cannot be read: cannot read the shapes of {tmp_path / 'good' / '2.json'} (" in one for one in notes
    )


@pytest.mark.parametrize("name", ["labels/2.txt", "groundTruth/2.mat", "masks/2.npy"])
def test_masks_that_cannot_be_read_leave_nothing_good(tmp_path: Path, name: str) -> None:
    touched(tmp_path, "images/1.png", "images/2.png", "masks/readme.md", "labels/train.cache")
    written(tmp_path / name, "tear 0.0 0 0.0 30 10 50 20\n")
    with pytest.raises(DatasetError, match=f"may mark what is wrong, and cannot be read: .*{name}") as caught:
        Folder(tmp_path, "x", tmp_path)
    assert caught.value.hint == "save it again with the tool that made it; or move it away"


@pytest.mark.parametrize("told", [{"images": 12, "objects": "screws"}, {"categories": None, "name": "1.png"}])
def test_what_a_program_notes_beside_images_is_no_file_of_outlines(told: dict[str, Any], tmp_path: Path) -> None:
    touched(tmp_path, "1.png", "2.png")
    written(tmp_path / "config.json", told)
    assert len(Folder(tmp_path, "x", tmp_path).samples("train")) == 2


def test_who_is_called_good_is_not_outlined_as_bad(tmp_path: Path) -> None:
    touched(tmp_path, "train/good/1.png", "test/tear/2.png")
    marked = written(tmp_path / "train" / "_annotations.coco.json", coco("1.png", {"bbox": [1, 1, 5, 5]}, **SIZE))
    with pytest.raises(DatasetError, match=r"1 image would be taken as good, .*: train/good/1.png"):
        Folder(tmp_path, "x", tmp_path)
    whole = coco("1.png", {"bbox": [1, 1, 5, 5]}, **SIZE)
    written(marked, {**whole, "categories": [{"id": 2, "name": "OK"}]})
    assert len(Folder(tmp_path, "x", tmp_path).samples("train")) == 1


def test_of_images_of_one_name_the_path_decides(tmp_path: Path) -> None:
    touched(tmp_path, "0.png", "tear/2.png", "dent/2.png", "bump/2.png")
    whole = coco("day1/tear/2.png", {"segmentation": [BOX_OUTLINE]}, **SIZE)
    whole["images"] += [{"id": 4, "file_name": "dent/2.png", **SIZE}, {"id": 5, "file_name": "rust/2.png", **SIZE}]
    whole["annotations"] += [{"image_id": 4, "bbox": [1, 2, 3, 4]}, {"image_id": 5, "bbox": [5, 5, 5, 5]}]
    written(tmp_path / "all.json", whole)
    rows = "".join(f"{kind}/2.png,{kind},all.json\n" for kind in ("tear", "dent", "bump"))
    table = written(tmp_path / "parts.csv", f"path,kind,mask\n0.png,good,\n{rows}")
    tear, dent, bump = (one.mask for one in Manifest(table, "x", tmp_path).samples("test") if one.anomalous)
    assert tear is not None
    assert dent is not None
    assert bump is not None
    assert np.array_equal(read_mask(tear, (60, 80)), BOX)
    assert int(read_mask(dent, (60, 80)).sum()) == 12
    with pytest.raises(FrameError, match="none by the name of this one"):
        read_mask(bump, (60, 80))


def test_outlines_say_what_a_table_does_not(tmp_path: Path) -> None:
    touched(tmp_path, "good/0.png", "good/1.png", "2.png", "3.png", "4.png")
    whole = coco("2.png", {"bbox": [1, 2, 3, 4]}, **SIZE)
    whole["images"] += [{"id": 4, "file_name": "3.png", **SIZE}]
    written(tmp_path / "all.json", whole)
    rows = "".join(f"{number}.png,test,,all.json\n" for number in (2, 3, 4))
    table = written(tmp_path / "parts.csv", f"path,split,kind,mask\ngood/0.png,train,good,all.json\n{rows}")
    tests = Manifest(table, "x", tmp_path).samples("test")
    assert [sample.anomalous for sample in tests] == [True, False, None]
    written(table, "path,split,kind,mask\ngood/1.png,train,,\n2.png,train,good,all.json\n")
    with pytest.raises(DatasetError, match=r"line 3: 2.png is said to be good, and .* marks something in it"):
        Manifest(table, "x", tmp_path)


def test_a_table_may_name_a_file_for_all(tmp_path: Path) -> None:
    touched(tmp_path, "1.png", "2.png")
    written(tmp_path / "all.json", coco("elsewhere/2.png", {"segmentation": [BOX_OUTLINE]}, **SIZE))
    table = written(tmp_path / "parts.csv", "path,kind,mask\n1.png,good,\n2.png,tear,all.json\n")
    (sample,) = (one for one in Manifest(table, "x", tmp_path).samples("test") if one.anomalous)
    assert sample.mask is not None
    assert np.array_equal(read_mask(sample.mask, (60, 80)), BOX)
    with pytest.raises(FrameError, match="outlines 2 images, and none by the name of this one"):
        read_mask(FrameRef(tmp_path / "all.json"), (60, 80))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.xml", "<annotation><object>"),
        ("a.xml", VOC.format("<name>x</name>")),
        ("a.json", coco("2.png", {"segmentation": {"size": [60, 80], "counts": [5, 5]}})),
        ("a.json", coco("2.png", {"bbox": [1, 2, float("nan"), 4]})),
        ("a.json", {"images": [], "annotations": [{"image_id": 1, "segmentation": [[1, 2, 3]]}]}),
        ("a.json", {"images": 3, "annotations": []}),
        ("a.json", coco("2.png", {"image_id": 8, "bbox": [1, 1, 5, 5]})),
        ("a.json", {"item": {"name": "2.png"}, "annotations": []}),
        ("a.xml", "<annotation><bbox>1 1 5 5</bbox></annotation>"),
    ],
)
def test_what_is_not_whole_is_refused(tmp_path: Path, name: str, content: Any) -> None:
    path = written(tmp_path / "bad" / name, content)
    with pytest.raises(FrameError, match="cannot read the shapes of"):
        read_mask(FrameRef(path, page=1), (60, 80))
    touched(tmp_path, "good/1.png", "bad/2.png")
    assert len(Folder(tmp_path, "x", tmp_path).samples("test")) == 1


def test_where_outlines_decide_one_that_cannot_be_read_is_not_looked_past(tmp_path: Path) -> None:
    written(tmp_path / "train" / "_annotations.coco.json", '{"images": [')
    touched(tmp_path, "train/1.png", "test/good/2.png")
    with pytest.raises(DatasetError, match="whether images are good is told by a file that nobody can read"):
        Folder(tmp_path, "x", tmp_path)


def test_outlines_of_an_image_of_another_size_are_told(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", coco("2.png", {"segmentation": [BOX_OUTLINE]}, **SIZE))
    with pytest.raises(FrameError, match="mask is 80×60 but the image is 160×120"):
        read_mask(FrameRef(path, page=1), (120, 160))
