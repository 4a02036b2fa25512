"""What labelling tools write into their files: each format's outlines as shapes, and what it says of whole images."""

import base64
import io
import math
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adkit.data.folder_names import GOOD, says
from adkit.data.shapes import Points, Shape, box_around, ellipse, rectangle, turned_box

_UPLOADED = re.compile("^[0-9a-f]{8}-")
_NOT_MEANT = ("__ignore__", "_background_")
_OUTSIDE = 0.1  # of a side: so far may a share be rounded, or a box reach, beyond the image
_WORD_BITS, _SIZE_BITS = 5, 4


@dataclass(frozen=True, slots=True)
class Outlined:
    """An image, and what is outlined in it."""

    name: str  # as the file has it; "" where it is that of the file
    size: tuple[int, int] | None  # (height, width) px; None: the file does not say
    shapes: tuple[Shape, ...]
    labels: tuple[str, ...] = ()  # of the image as a whole


def file_name(name: str) -> str:
    """Return the last part of a path, as any system writes it."""
    return name.replace("\\", "/").rpartition("/")[2]


def without_upload(name: str) -> str:
    """Return a file's name without what Label Studio puts before that of an uploaded one."""
    return _UPLOADED.sub("", name)


def in_json(saved: Any) -> Iterator[Outlined]:
    """Return the images of which JSON of a known tool tells; raises whatever other JSON leads to."""
    if isinstance(saved, list):
        return _in_label_studio(saved)
    read = next((read for names, read in _BY_NAMES if all(name in saved for name in names)), _in_via)
    return read(saved)


def _in_labelme(saved: Mapping[str, Any]) -> Iterator[Outlined]:
    flags = [name for name, raised in (saved.get("flags") or {}).items() if raised]
    yield _outlined("", (saved["imageHeight"], saved["imageWidth"]), map(_of_labelme, saved["shapes"]), flags)


def _in_supervisely(saved: Mapping[str, Any]) -> Iterator[Outlined]:
    size, tags = saved["size"], map(str, saved.get("tags", ()))
    yield _outlined("", (size["height"], size["width"]), map(_of_supervisely, saved["objects"]), tags)


def _in_coco(saved: Mapping[str, Any]) -> Iterator[Outlined]:
    labels = {one["id"]: one.get("name") for one in saved.get("categories", ())}
    drawn: dict[Any, list[tuple[str | None, Shape]]] = defaultdict(list)
    for one in saved["annotations"]:
        drawn[str(one["image_id"])] += [(labels.get(one.get("category_id")), shape) for shape in _of_coco(one)]
    if drawn and drawn.keys().isdisjoint(str(image["id"]) for image in saved["images"]):
        raise ValueError("it has annotations of other images than it lists")
    for image in saved["images"]:
        yield _outlined(image["file_name"], (image.get("height"), image.get("width")), drawn[str(image["id"])])


def _in_via(saved: Mapping[str, Any]) -> Iterator[Outlined]:
    for image in saved.get("_via_img_metadata", saved).values():
        if isinstance(image, dict) and "regions" in image:
            regions = image["regions"]  # a list, or by number
            regions = regions.values() if isinstance(regions, dict) else regions
            told = map(str, (image.get("file_attributes") or {}).values())
            yield _outlined(image["filename"], None, map(_of_via, regions), told)


def _in_label_studio(saved: Sequence[Mapping[str, Any]]) -> Iterator[Outlined]:
    for task in saved:
        answers = [one for answer in task["annotations"] for one in answer["result"] if "original_width" in one]
        said = [one for one in answers if not {"x", "points", "rle"}.isdisjoint(one["value"])]  # no mere choices
        # Uploaded files have a number before their names, as in "/data/upload/1/0a1b2c3d-004.png".
        texts = [unquote(value).rpartition("?d=")[2] for value in task["data"].values() if isinstance(value, str)]
        address = max(texts, key=lambda text: "." in file_name(text))
        size = (said[0]["original_height"], said[0]["original_width"]) if said else None
        parts = [part.get("value", {}) for answer in task["annotations"] for part in answer["result"]]
        chosen = [str(value.get("choices", "")) for value in parts]
        yield _outlined(without_upload(file_name(address)), size, map(_of_label_studio, said), chosen)


_BY_NAMES: Sequence[tuple[Sequence[str], Callable[[Any], Iterator[Outlined]]]] = (
    (("shapes",), _in_labelme),
    (("objects",), _in_supervisely),
    (("annotations", "images"), _in_coco),
)
"""What a tool's file holds, by which it is told, and what reads it."""


def in_xml(root: ElementTree.Element) -> Iterator[Outlined]:
    """Return the images of which XML of a known tool tells; none of other XML."""
    if root.tag == "annotations":  # CVAT for images
        for image in root.iter("image"):
            drawn = ((one.get("label"), _CVAT[one.tag](one)) for one in image if one.tag in _CVAT)
            tags = [tag.get("label", "") for tag in image.iter("tag")]
            yield _outlined(image.attrib["name"], (image.get("height"), image.get("width")), drawn, tags)
    elif root.tag == "annotation" and (root.find("size") is not None or root.find("object") is not None):
        size = root.findtext("size/height"), root.findtext("size/width")
        yield _outlined("", size, map(_of_voc, root.iter("object")))


def _outlined(
    name: str, size: tuple[Any, Any] | None, drawn: Iterable[tuple[str | None, Shape]], labels: Iterable[str] = ()
) -> Outlined:
    meant = tuple(shape for label, shape in drawn if label not in _NOT_MEANT and says(str(label or "")) != GOOD)
    height, width = (int(side or 0) for side in size or (0, 0))  # labelImg writes 0 where it does not know
    return Outlined(str(name), (height, width) if height and width else None, meant, tuple(labels))


def _of_labelme(shape: Mapping[str, Any]) -> tuple[str | None, Shape]:
    sort = shape.get("shape_type") or "polygon"
    points = _pairs(number for point in shape["points"] for number in point)
    pixels = None
    if sort == "mask":
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))).convert("L")) > 0
        points = [box_around(points)[:2]]
    return shape.get("label"), Shape(sort, points, pixels)


def _of_supervisely(one: Mapping[str, Any]) -> tuple[str | None, Shape]:
    sort = one["geometryType"]
    if sort == "bitmap":
        drawn = Image.open(io.BytesIO(zlib.decompress(base64.b64decode(one["bitmap"]["data"]))))
        pixels = np.asarray(drawn.convert("RGB").convert("L")) > 0
        return one.get("classTitle"), Shape("mask", _pairs(one["bitmap"]["origin"]), pixels)
    points, *holes = (
        _pairs(number for point in part for number in point)
        for part in (one["points"]["exterior"], *one["points"].get("interior", ()))
    )
    return one.get("classTitle"), Shape("linestrip" if sort == "line" else sort, points, holes=tuple(holes))


def is_of_yolo(line: str) -> bool:
    """Say whether a line is a class and shares of an image's sides."""
    try:
        return not line.strip() or (
            len(line.split()) > 4 and all(-_OUTSIDE <= float(word) <= 1 + _OUTSIDE for word in line.split()[1:])
        )
    except ValueError:
        return False


def of_yolo(line: Sequence[str]) -> Shape:
    """Return a box, by its middle and sides (then a detector's certainty), or a polygon; in shares of the sides."""
    numbers = list(map(float, line[1:]))  # the class may be a word
    if len(numbers) > 5:
        return Shape("polygon", _pairs(numbers))
    x, y, across, down = numbers[:4]
    return Shape("rectangle", [(x - across / 2, y - down / 2), (x + across / 2, y + down / 2)])


def _of_coco(annotation: Mapping[str, Any]) -> list[Shape]:
    outlines = annotation.get("segmentation")
    if isinstance(outlines, dict):  # all pixels in columns, in turns without and with it
        height, width = outlines["size"]
        counts = outlines["counts"]
        counts = _unpacked(counts) if isinstance(counts, str) else counts
        return [Shape("mask", [(0, 0)], _alternating(counts, width * height).reshape(width, height).T)]
    if outlines and any(outlines):
        return [Shape("polygon", _pairs(outline)) for outline in outlines if outline]
    left, top, width, height = annotation["bbox"]
    return [rectangle(left, top, left + width, top + height)]


def _unpacked(counts: str) -> list[int]:
    """Return the numbers that COCO's own tools pack into a text: 5 bits a letter, differences from the third on."""
    found: list[int] = []
    value = shift = 0
    for letter in counts.encode():
        bits = letter - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4)
            found.append(value + (found[-2] if len(found) > 2 else 0))
            value = shift = 0
    return found


def _alternating(counts: Sequence[int], total: int) -> NDArray[np.bool_]:
    """Return so many pixels, in turns of these lengths without and with what is meant."""
    if sum(counts) != total:
        raise ValueError(f"runs of {sum(counts)} pixels, and {total} were expected")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts)


def _cvat_points(one: ElementTree.Element) -> Points:
    return _pairs(float(number) for point in one.attrib["points"].split(";") for number in point.split(","))


def _cvat_box(one: ElementTree.Element) -> Shape:
    left, top, right, bottom = (float(one.attrib[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
    return turned_box(left, top, right, bottom, float(one.get("rotation", 0)), ((left + right) / 2, (top + bottom) / 2))


def _cvat_ellipse(one: ElementTree.Element) -> Shape:
    x, y, across, down = (float(one.attrib[name]) for name in ("cx", "cy", "rx", "ry"))
    return ellipse(x, y, across, down, float(one.get("rotation", 0)))


def _cvat_mask(one: ElementTree.Element) -> Shape:
    left, top, width, height = (int(float(one.attrib[name])) for name in ("left", "top", "width", "height"))
    counts = [int(number) for number in one.attrib["rle"].split(",")]
    return Shape("mask", [(left, top)], _alternating(counts, width * height).reshape(height, width))


_CVAT: Mapping[str, Callable[[ElementTree.Element], Shape]] = {
    "polygon": lambda one: Shape("polygon", _cvat_points(one)),
    "polyline": lambda one: Shape("linestrip", _cvat_points(one)),
    "points": lambda one: Shape("points", _cvat_points(one)),
    "box": _cvat_box,
    "ellipse": _cvat_ellipse,
    "mask": _cvat_mask,
}


def _of_voc(one: ElementTree.Element) -> tuple[str | None, Shape]:
    label = one.findtext("name")
    if corners := one.findall("polygon/pt"):  # as the older LabelMe has it
        return label, Shape("polygon", _pairs(float(pt.findtext(name, "")) for pt in corners for name in "xy"))
    left, top, right, bottom = (float(one.findtext(f"bndbox/{name}", "")) for name in ("xmin", "ymin", "xmax", "ymax"))
    return label, rectangle(left - 1, top - 1, right, bottom)  # its first pixel is 1


def _of_via(region: Mapping[str, Any]) -> tuple[str | None, Shape]:
    drawn, sort = region["shape_attributes"], region["shape_attributes"]["name"]
    if sort == "rect":
        left, top = drawn["x"], drawn["y"]
        return None, rectangle(left, top, left + drawn["width"], top + drawn["height"])
    if sort in ("circle", "ellipse"):
        x, y, across, down = drawn["cx"], drawn["cy"], drawn.get("rx", drawn.get("r")), drawn.get("ry", drawn.get("r"))
        return None, ellipse(x, y, across, down, math.degrees(drawn.get("theta", 0)))
    if sort == "point":
        return None, Shape("point", [(drawn["cx"], drawn["cy"])])
    points = list(zip(drawn["all_points_x"], drawn["all_points_y"], strict=True))
    return None, Shape("linestrip" if sort == "polyline" else sort, points)


def _of_label_studio(one: Mapping[str, Any]) -> tuple[str | None, Shape]:
    drawn, across, down = one["value"], one["original_width"] / 100, one["original_height"] / 100  # px of a percent
    label = next(iter(drawn.get(one["type"], ())), None)
    if "points" in drawn:
        return label, Shape("polygon", [(x * across, y * down) for x, y in drawn["points"]])
    if "rle" in drawn:
        pixels = _unrolled(drawn["rle"]).reshape(one["original_height"], one["original_width"], -1)[..., -1]
        return label, Shape("mask", [(0, 0)], pixels > 127)
    x, y, turned = drawn["x"] * across, drawn["y"] * down, drawn.get("rotation", 0)
    if "radiusX" in drawn:
        return label, ellipse(x, y, drawn["radiusX"] * across, drawn["radiusY"] * down, turned)
    if "height" not in drawn:
        return label, Shape("point", [(x, y)])
    return label, turned_box(x, y, x + drawn["width"] * across, y + drawn["height"] * down, turned, (x, y))


def _unrolled(packed: Sequence[int]) -> NDArray[np.uint8]:
    """Return the values that Label Studio packs into bytes: runs of one value, or of several, each with its length."""
    bits = "".join(f"{byte:08b}" for byte in packed)
    place = 0

    def taken(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    total, word = taken(32), taken(_WORD_BITS) + 1
    sizes = [taken(_SIZE_BITS) + 1 for _ in range(4)]  # of the lengths
    found, at = np.zeros(total, np.uint8), 0
    while at < total:
        alike, length = taken(1), taken(sizes[taken(2)]) + 1
        found[at : at + length] = taken(word) if alike else [taken(word) for _ in range(length)]
        at += length
    return found


def _pairs(numbers: Iterable[float]) -> Points:
    flat = [float(number) for number in numbers]
    return list(zip(flat[::2], flat[1::2], strict=True))
