from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from adkit.data.bit_depth import as_rgb8
from adkit.data.fingerprints import content_hashes
from adkit.data.images import (
    MAX_PIXELS,
    MAX_SIDE_PX,
    FrameShapes,
    by_page,
    decoded_pixels,
    frame_shape,
    image_to_look_at,
    is_image,
    pixel_count,
    pixel_format,
    read_image,
    read_mask,
    resize,
)
from adkit.errors import FrameError
from adkit.export import score
from adkit.types import FrameRef, Sample
from tests import videos

NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def saved(path: Path, picture: Image.Image | NDArray[np.generic], **settings: Any) -> FrameRef:
    """Writes the image and names it."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **settings)
    return FrameRef(path)


def palette(transparency: int | bytes | None, path: Path) -> FrameRef:
    """A 4 × 4 palette image whose pixels are all (200, 100, 50)."""
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    return saved(path, image, **({} if transparency is None else {"transparency": transparency}))


def png_of_size(path: Path, width: int, height: int) -> FrameRef:
    """A PNG file whose header declares that size, with hardly any data behind it."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return FrameRef(path)


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tif"])
def test_colours_come_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    image = read_image(saved(tmp_path / f"a.{suffix}", NOISE))
    assert image.dtype == np.uint8
    assert np.array_equal(image, NOISE)


@pytest.mark.parametrize(
    ("mode", "value", "suffix", "expected"),
    [
        ("L", 77, "png", (77, 77, 77)),
        ("1", 1, "png", (255, 255, 255)),
        ("LA", (10, 255), "png", (10, 10, 10)),
        ("LA", (10, 0), "png", (255, 255, 255)),
        ("RGBA", (10, 20, 30, 0), "png", (255, 255, 255)),
        ("RGBA", (10, 20, 30, 0), "tga", (10, 20, 30)),
        ("RGBA", (0, 100, 30, 51), "webp", (204, 224, 210)),
        ("CMYK", (0, 255, 255, 0), "tif", (255, 0, 0)),
        ("RGB", (1, 2, 3), "gif", (1, 2, 3)),
    ],
)
def test_every_pixel_format_becomes_rgb(
    tmp_path: Path, mode: str, value: float | tuple[int, ...], suffix: str, expected: tuple[int, int, int]
) -> None:
    image = read_image(saved(tmp_path / f"a.{suffix}", Image.new(mode, (4, 3), value)))
    assert image.shape == (3, 4, 3)
    assert (image == expected).all()


def test_a_cmyk_jpeg_is_not_inverted(tmp_path: Path) -> None:
    image = read_image(saved(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0))))
    assert image.shape == (16, 16, 3)
    assert np.abs(image.astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("transparency", [None, 1, b"\x00\x80"])
def test_a_palette_gives_its_colours_on_white(tmp_path: Path, transparency: int | bytes | None) -> None:
    shown = {None: (200, 100, 50), 1: (255, 255, 255)}.get(transparency, (227, 177, 152))  # type: ignore[arg-type]
    assert (np.abs(read_image(palette(transparency, tmp_path / "a.png")).astype(int) - shown) <= 1).all()


def test_what_lies_hidden_under_alpha_does_not_matter(tmp_path: Path) -> None:
    hidden = [np.dstack([NOISE // seed, np.full(NOISE.shape[:2], 0, np.uint8)]) for seed in (1, 2)]
    for one in hidden:
        one[:5, :, :3], one[:5, :, 3] = 77, 255
    first, second = (read_image(saved(tmp_path / f"{place}.png", one)) for place, one in enumerate(hidden))
    assert np.array_equal(first, second)
    assert (first[:5] == 77).all()
    assert (first[5:] == 255).all()
    assert pixel_format(FrameRef(tmp_path / "0.png")) == "RGBA, on white where transparent"


def test_a_mask_that_is_transparent_where_nothing_is_marks_what_is_painted(tmp_path: Path) -> None:
    painted = np.zeros((*NOISE.shape[:2], 4), np.uint8)
    painted[:5] = 255, 0, 0, 255
    marked = read_mask(saved(tmp_path / "mask.png", painted), NOISE.shape[:2])
    assert marked[:5].all()
    assert not marked[5:].any()


@pytest.mark.parametrize("suffix", ["avif", "jfif", "jp2", "tga", "dib", "pcx", "sgi", "jpc", "mpo", "qoi"])
def test_what_pillow_opens_is_an_image(tmp_path: Path, suffix: str) -> None:
    ref = saved(tmp_path / f"a.{suffix}", Image.new("RGB", (32, 32), (120, 80, 40)))
    assert is_image(ref.path)
    assert np.abs(read_image(ref).astype(int) - (120, 80, 40)).max() <= 4


def deep_colours(path: Path, values: NDArray[np.uint16]) -> FrameRef:
    """A file of 16-bit colours, RGB or RGBA."""
    cv2.imwrite(str(path), values[..., [2, 1, 0, 3][: values.shape[2]]])
    return FrameRef(path)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("bits", "white"), [(8, 255), (10, 1023), (12, 4095), (14, 16383), (16, 65535)])
def test_the_brightest_of_all_says_what_is_white(tmp_path: Path, bits: int, white: int, suffix: str) -> None:
    values = np.linspace(0, 2**bits - 1, 64).round().reshape(8, 8).astype(np.uint16)
    grey = [saved(tmp_path / f"{place}.{suffix}", values // place) for place in (4, 1)]
    coloured = deep_colours(tmp_path / f"c.{suffix}", np.dstack([values, values // 2, values // 4]))
    for refs in (grey, [coloured]):
        shapes = FrameShapes()
        assert {shapes(ref) for ref in refs} == {(8, 8)}
        assert shapes.white == white
    expected = np.linspace(0, 255, 64).reshape(8, 8)
    assert np.abs(read_image(grey[1], white)[..., 0] - expected).max() <= 0.6
    assert np.abs(read_image(coloured, white) - np.dstack([expected, expected / 2, expected / 4])).max() <= 1


def test_a_header_says_how_many_bits_there_are(tmp_path: Path) -> None:
    ref = saved(tmp_path / "a.tif", np.full((4, 4), 700, np.uint16), tiffinfo={281: 4095})
    shapes = FrameShapes()
    shapes(ref)
    assert shapes.white == 4095


def test_what_is_brighter_than_the_run_knows_is_white(tmp_path: Path) -> None:
    ref = saved(tmp_path / "a.png", np.array([[500, 2000]], np.uint16))
    assert read_image(ref, 1023)[0, :, 0].tolist() == [125, 255]


def test_a_run_that_knows_8_bits_refuses_values_whose_white_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match=r"values up to 3,000 in 16 bits, and the run learned from 8 bits"):
        read_image(saved(tmp_path / "a.png", np.array([[500, 3000]], np.uint16)), 255)
    assert read_image(saved(tmp_path / "b.png", np.array([[257, 65535]], np.uint16)), 255)[0, :, 0].tolist() == [1, 255]
    assert read_image(saved(tmp_path / "c.png", np.array([[7, 255]], np.uint16)), 255)[0, :, 0].tolist() == [7, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_colours_are_upright_and_on_white(tmp_path: Path, orientation: int) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (6, 9, 4)).astype(np.uint16)
    values[..., 3] = 65535
    values[:2, :2, 3] = 0
    plain = deep_colours(tmp_path / "plain.png", values).path.read_bytes()
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Pillow would keep 8 bits of each colour: the chunk is put into the file behind its header.
    chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    block = (len(chunk) - 4).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
    path = tmp_path / "turned.png"
    path.write_bytes(plain[:33] + block + plain[33:])
    shallow, deep = read_image(FrameRef(path)), as_rgb8(decoded_pixels(FrameRef(path)), "turned")
    assert deep.shape == shallow.shape == ((9, 6, 3) if orientation > 4 else (6, 9, 3))
    assert np.abs(deep.astype(int) - shallow).max() <= 1


def stack(path: Path, values: list[int], **settings: Any) -> Path:
    """A TIFF whose pages show these greys."""
    first, *others = [Image.fromarray(np.full((6, 8), value, np.uint8)) for value in values]
    first.save(path, save_all=True, append_images=others, **settings)
    return path


def test_deep_colours_in_planes_are_refused(tmp_path: Path) -> None:
    ref = saved(tmp_path / "a.tif", Image.new("RGB", (4, 4)), tiffinfo={284: 2})
    assert read_image(ref).shape == (4, 4, 3)
    content = ref.path.read_bytes()
    assert content.count(b"\x08\0" * 3) == 1  # bits of each colour
    ref.path.write_bytes(content.replace(b"\x08\0" * 3, b"\x10\0" * 3) + bytes(100))
    with pytest.raises(FrameError, match="colours of 16 bits, one plane after the other"):
        read_image(ref)


def test_each_page_of_a_tiff_is_an_image(tmp_path: Path) -> None:
    path, mask = stack(tmp_path / "a.tif", [10, 90, 170]), stack(tmp_path / "mask.tif", [0, 255, 0])
    pages = by_page(Sample.still("a", path, anomalous=True, mask=mask))
    assert [(one.id, one.clip, str(one.frame)) for one in pages] == [
        (f"a page {page}", f"a page {page}", f"{path} page {page}") for page in (1, 2, 3)
    ]
    assert [int(read_image(one.frame).mean()) for one in pages] == [10, 90, 170]
    assert [one.mask is not None and bool(read_mask(one.mask, (6, 8)).any()) for one in pages] == [False, True, False]
    assert len({content_hashes([one])[one.id] for one in pages}) == 3
    single = Sample.still("mask", stack(tmp_path / "b.tif", [5]))
    assert by_page(single) == [single]


def test_deep_colours_of_a_page_are_its_own(tmp_path: Path) -> None:
    pages = [np.full((4, 4, 3), value, np.uint16) for value in (300, 900)]
    cv2.imwritemulti(str(tmp_path / "a.tif"), pages)
    found = [read_image(FrameRef(tmp_path / "a.tif", page=page), 1023)[0, 0, 0] for page in (0, 1)]
    assert found == [75, 224]


def test_a_smaller_copy_within_a_tiff_is_no_page(tmp_path: Path) -> None:
    small = TiffImagePlugin.ImageFileDirectory_v2()
    small[254] = 1
    large, copy = Image.new("L", (32, 32), 90), Image.new("L", (8, 8), 90)
    copy.encoderinfo = {"tiffinfo": small}
    large.save(tmp_path / "a.tif", save_all=True, append_images=[copy])
    assert len(by_page(Sample.still("a", tmp_path / "a.tif"))) == 1
    assert read_image(FrameRef(tmp_path / "a.tif")).shape == (32, 32, 3)


@pytest.mark.parametrize("suffix", ["tif", "webp", "png"])
def test_a_file_of_several_images_is_not_taken_for_its_first(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(FrameError, match=r"holds 3 images, and one was expected"):
        read_image(FrameRef(stack(tmp_path / f"a.{suffix}", [10, 90, 170])))


@pytest.mark.parametrize(("width", "height"), [(99_000_000, 1), (1, 70_000)])
def test_no_side_is_longer_than_cameras_make_them(tmp_path: Path, width: int, height: int) -> None:
    with pytest.raises(FrameError, match=r"px is above the limit of 65,535 px for a side"):
        read_image(png_of_size(tmp_path / "a.png", width, height))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_keep_their_full_range(tmp_path: Path, suffix: str) -> None:
    wide = np.array([[0, 128, 129], [257 * 100, 65535, 65534]], np.uint16)
    image = read_image(saved(tmp_path / f"a.{suffix}", wide))
    assert image[:, :, 0].tolist() == [[0, 0, 1], [100, 255, 255]]
    assert (image == image[:, :, :1]).all()


def test_a_tiff_of_16_bits_whose_0_is_white_is_turned(tmp_path: Path) -> None:
    ref = saved(tmp_path / "a.tif", np.array([[0, 257 * 100, 65535]], np.uint16))
    photometric, white_is_0 = struct.pack("<HHII", 262, 3, 1, 1), struct.pack("<HHII", 262, 3, 1, 0)
    assert ref.path.read_bytes().count(photometric) == 1
    ref.path.write_bytes(ref.path.read_bytes().replace(photometric, white_is_0))
    assert read_image(ref)[0, :, 0].tolist() == [255, 155, 0]
    assert read_mask(ref, (1, 3)).tolist() == [[True, True, False]]
    assert (score.read(ref.path) == read_image(ref)).all()


def test_the_smallest_image(tmp_path: Path) -> None:
    ref = saved(tmp_path / "a.png", Image.new("RGB", (1, 1), (1, 2, 3)))
    assert read_image(ref).tolist() == [[[1, 2, 3]]]
    assert frame_shape(ref) == (1, 1)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = np.zeros((32, 64, 3), np.uint8)
    upright[:16, :16] = 255  # one corner is white
    turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}[orientation]
    # What the camera stores, so that the tag's instruction makes it upright again.
    stored = np.rot90(upright if orientation in (1, 3, 6, 8) else upright[:, ::-1], turns)
    exif = Image.Exif()
    exif[0x0112] = orientation
    ref = saved(tmp_path / f"a.{suffix}", np.ascontiguousarray(stored), exif=exif)
    image = read_image(ref)
    assert image.shape == (*frame_shape(ref), 3) == (32, 64, 3)
    assert image[4, 4].min() > 200
    assert max(image[-4, 4].max(), image[4, -4].max(), image[-4, -4].max()) < 50


@pytest.mark.parametrize(("suffix", "kept"), [("png", 0.5), ("png", 0.01), ("jpg", 0.5), ("bmp", 0.5), ("tif", 0.5)])
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, suffix: str, kept: float) -> None:
    ref = saved(tmp_path / f"a.{suffix}", NOISE)
    content = ref.path.read_bytes()
    ref.path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(FrameError, match=f"a.{suffix}") as caught:
        read_image(ref)
    assert "--skip-bad" in caught.value.hint


def test_damaged_pixels_are_refused(tmp_path: Path) -> None:
    ref = saved(tmp_path / "a.png", NOISE)
    content = bytearray(ref.path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    ref.path.write_bytes(content)
    with pytest.raises(FrameError, match=r"cannot decode .*a\.png"):
        read_image(ref)


PHOTO = np.kron(NOISE, np.ones((4, 4, 1), np.uint8)) // 2 + np.random.default_rng(1).integers(
    0, 128, (192, 256, 3), dtype=np.uint8
)
FLAT = np.full((600, 800, 3), 240, np.uint8)
JPEGS: list[dict[str, Any]] = [{}, {"optimize": True}, {"progressive": True}, {"restart_marker_rows": 1}]


@pytest.mark.parametrize("how", JPEGS)
@pytest.mark.parametrize("part", [bytes(1500), np.random.default_rng(3).bytes(1500)])
def test_a_jpeg_that_is_damaged_within_is_refused(tmp_path: Path, how: dict[str, Any], part: bytes) -> None:
    ref = saved(tmp_path / "a.jpg", PHOTO, quality=90, **how)
    content = ref.path.read_bytes()
    middle = len(content) // 2
    ref.path.write_bytes(content[:middle] + part + content[middle + len(part) :])
    if "progressive" in how and not any(part):
        return  # zeroes may stand there
    with pytest.raises(FrameError, match=r"cannot decode .*a\.jpg"):
        read_image(ref)


@pytest.mark.parametrize("how", JPEGS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_sound_jpeg_is_not_called_damaged(tmp_path: Path, how: dict[str, Any], mode: str) -> None:
    for picture in (PHOTO, FLAT):
        ref = saved(tmp_path / "a.jpg", Image.fromarray(picture).convert(mode), **how)
        ref.path.write_bytes(ref.path.read_bytes() + bytes(3000) + b"what some cameras add")
        assert read_image(ref).shape == picture.shape


def test_colours_that_share_16_bits_are_read(tmp_path: Path) -> None:
    """A BMP of a small camera: 5, 6 and 5 bits for red, green and blue."""
    red, green, blue = (NOISE[..., place].astype("<u2") for place in range(3))
    rows = (red >> 3 << 11 | green >> 2 << 5 | blue >> 3)[::-1].astype("<u2").tobytes()
    header = struct.pack("<IiiHHIIiiII", 40, 64, 48, 1, 16, 3, len(rows), 0, 0, 0, 0)
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    path = tmp_path / "a.bmp"
    path.write_bytes(b"BM" + struct.pack("<IHHI", 66 + len(rows), 0, 0, 66) + header + masks + rows)
    np.testing.assert_allclose(read_image(FrameRef(path)).astype(int), NOISE, atol=8)
    assert FrameShapes()(FrameRef(path)) == (48, 64)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_the_shape_of_a_truncated_file_is_known_or_refused(tmp_path: Path, suffix: str) -> None:
    ref = saved(tmp_path / f"a.{suffix}", NOISE)
    content = ref.path.read_bytes()
    ref.path.write_bytes(content[: len(content) // 2])
    try:
        assert frame_shape(ref) == (48, 64)
    except FrameError as error:
        assert f"a.{suffix}" in error.message  # noqa: PT017 (either is right)


@pytest.mark.parametrize("reader", [read_image, frame_shape, pixel_format, pixel_count])
def test_what_is_no_image_is_refused_by_every_reader(tmp_path: Path, reader: object) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("this is no image", encoding="utf-8")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x1cftypheic" + bytes(100))
    (tmp_path / "video.png").write_bytes(b"\0\0\0\x1cftypisom" + bytes(100))
    double = saved(tmp_path / "float.tif", np.zeros((4, 4), np.float32)).path.read_bytes()
    (tmp_path / "double.tif").write_bytes(double.replace(b"\2\1\3\0\1\0\0\0\x20", b"\2\1\3\0\1\0\0\0\x40"))
    assert callable(reader)
    for name, message in (
        ("empty.png", r"the file is empty \(0 bytes\)"),
        ("text.png", "is not an image"),
        ("photo.heic", "is an HEIC image, which cannot be read"),
        ("video.png", "is a video, an image was expected"),
        ("double.tif", "is a TIFF that is damaged or of a rare form"),
        ("folder.png", "is a folder, an image was expected"),
        ("absent.png", "there is no file"),
        ("text.png/inner.png", "there is no file"),
        ("x" * 300 + ".png", "cannot open"),
    ):
        with pytest.raises(FrameError, match=message) as caught:
            reader(FrameRef(tmp_path / name))
        assert str(tmp_path / name) in caught.value.message


@pytest.mark.parametrize("reader", [read_image, frame_shape, pixel_format, pixel_count])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, reader: object) -> None:
    assert callable(reader)
    with pytest.raises(FrameError, match="20000×20000 px is above the limit of 178 megapixels"):
        reader(png_of_size(tmp_path / "bomb.png", 20_000, 20_000))


def test_the_limit_itself_passes(tmp_path: Path) -> None:
    assert pixel_format(png_of_size(tmp_path / "large.png", MAX_PIXELS // 4000, 4000)) == "RGB"
    assert pixel_format(png_of_size(tmp_path / "wide.png", MAX_SIDE_PX, 1)) == "RGB"
    for number, size in enumerate([(MAX_PIXELS // 4000 + 1, 4000), (MAX_SIDE_PX + 1, 1)]):
        with pytest.raises(FrameError, match="above the limit"):
            pixel_format(png_of_size(tmp_path / f"{number}.png", *size))


def test_pixels_that_have_no_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="floating-point pixels; 8 or 16 bits were expected") as caught:
        read_image(saved(tmp_path / "float.tif", np.zeros((4, 4), np.float32)))
    assert "8 or 16 bits" in caught.value.hint
    nothing = saved(tmp_path / "nothing.tif", np.full((4, 4), np.nan, np.float32))
    with pytest.raises(FrameError, match="floating-point pixels"):
        image_to_look_at(nothing)
    with pytest.raises(FrameError, match="32-bit pixels; 8 or 16 bits were expected"):
        read_image(saved(tmp_path / "long.tif", np.full((4, 4), 70_000, np.int32)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("high", [1, 255])
def test_masks_of_either_range_read_the_same(tmp_path: Path, high: int, dtype: type[np.generic]) -> None:
    truth = np.zeros((5, 7), bool)
    truth[1:3, 2:6] = True
    mask = read_mask(saved(tmp_path / "m.png", truth.astype(dtype) * dtype(high)), (5, 7))
    assert mask.dtype == np.bool_
    assert np.array_equal(mask, truth)


@pytest.mark.parametrize(("value", "expected"), [(0, False), (1, True), (255, True)])
def test_a_mask_of_one_value(tmp_path: Path, value: int, expected: bool) -> None:
    assert (read_mask(saved(tmp_path / "m.png", np.full((4, 4), value, np.uint8)), (4, 4)) == expected).all()


def test_a_mask_of_one_bit(tmp_path: Path) -> None:
    truth = np.eye(6, dtype=bool)
    assert np.array_equal(read_mask(saved(tmp_path / "m.png", truth), (6, 6)), truth)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    ref = saved(tmp_path / "m.png", np.zeros((900, 90), np.uint8))
    with pytest.raises(FrameError, match=r"mask is 90×900 but the image is 100×1024: .*m\.png"):
        read_mask(ref, (1024, 100))


def test_a_truncated_mask_is_refused(tmp_path: Path) -> None:
    ref = saved(tmp_path / "m.png", NOISE)
    ref.path.write_bytes(ref.path.read_bytes()[:3000])
    with pytest.raises(FrameError, match=r"cannot decode .*m\.png"):
        read_mask(ref, (48, 64))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.png", True), ("A.JPG", True), ("a.tiff", True), (".a.png", False), ("a.txt", False), ("png", False)],
)
def test_images_are_told_by_their_suffix(name: str, expected: bool) -> None:
    assert is_image(Path(name)) is expected


def test_pixel_formats_have_names(tmp_path: Path) -> None:
    assert pixel_format(saved(tmp_path / "rgb.png", NOISE)) == "RGB"
    assert pixel_format(saved(tmp_path / "grey.png", NOISE[:, :, 0])) == "grey"
    assert pixel_format(saved(tmp_path / "wide.png", NOISE[:, :, 0].astype(np.uint16))) == "grey of 16 bits"


def test_a_thin_line_survives_shrinking() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    image[:, 201] = 255
    small = resize(image, (50, 40))
    assert small.shape == (50, 40, 3)
    assert (small.max(axis=1) > 0).all()


@pytest.mark.parametrize("size", [(48, 64), (1, 1), (96, 128), (96, 10), (10, 128)])
def test_resizing_gives_the_size_that_was_asked_for(size: tuple[int, int]) -> None:
    resized = resize(NOISE, size)
    assert resized.shape == (*size, 3)
    assert resized.dtype == np.uint8


def test_an_image_of_that_size_stays_as_it_is() -> None:
    assert np.array_equal(resize(NOISE, (48, 64)), NOISE)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("labels", [[0, 1, 3], [0, 1, 2, 3, 4, 5], [0, 7, 32], [2, 1, 3]])
def test_every_label_of_a_mask_is_anomalous(tmp_path: Path, labels: list[int], dtype: type[np.generic]) -> None:
    values = np.array([labels, labels[::-1]]).astype(dtype)
    assert np.array_equal(read_mask(saved(tmp_path / "m.png", values), values.shape), values > 0)


@pytest.mark.parametrize("values", [[0, 1, 40], [0, 100, 255], list(range(34))])
def test_what_is_no_label_mask_is_cut_at_half_of_its_maximum(tmp_path: Path, values: list[int]) -> None:
    grey = np.array([values], np.uint8)
    assert np.array_equal(read_mask(saved(tmp_path / "m.png", grey), grey.shape), grey > max(values) / 2)


def test_a_frame_of_a_video_is_read_like_an_image(tmp_path: Path) -> None:
    ref = FrameRef(videos.write_greys(tmp_path / "video.mp4", [40, 80, 120]), 2)
    assert float(read_image(ref).mean()) == pytest.approx(120, abs=2)
    assert frame_shape(ref) == videos.SIZE
    assert pixel_format(ref) == "video"


def photo(path: Path, before: bytes, after: bytes) -> FrameRef:
    """A JPEG whose EXIF block was damaged: these bytes of it stand in place of those."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Acme"
    ref = saved(path, NOISE, exif=exif)
    content = ref.path.read_bytes()
    assert content.count(before) == 1
    ref.path.write_bytes(content.replace(before, after))
    return ref


def test_a_damaged_exif_block_is_refused_by_name(tmp_path: Path) -> None:
    # The maker's name stands where the white point is expected: Pillow raises TypeError.
    ref = photo(tmp_path / "a.jpg", b"\x01\x0f\x00\x02", b"\x01\x3e\x00\x02")
    with pytest.raises(FrameError, match=r"cannot decode .*a\.jpg"):
        read_image(ref)


@pytest.mark.parametrize("fault", [RuntimeError("odd"), KeyError("tag"), struct.error("short")])
def test_whatever_a_decoder_raises_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    ref = saved(tmp_path / "a.png", NOISE)

    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr("PIL.Image.Image.convert", fail)
    monkeypatch.setattr("PIL.ImageOps.exif_transpose", fail)
    with pytest.raises(FrameError, match=r"cannot decode .*a\.png"):
        read_image(ref)
    monkeypatch.setattr("PIL.Image.open", fail)
    with pytest.raises(FrameError, match=r"cannot open .*a\.png"):
        read_image(ref)


def test_lack_of_memory_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    ref = saved(tmp_path / "a.png", NOISE)
    monkeypatch.setattr("PIL.ImageOps.exif_transpose", fail)
    with pytest.raises(MemoryError):
        read_image(ref)


def test_pillows_warnings_do_not_reach_the_terminal(tmp_path: Path) -> None:
    """In a process of its own: pytest has warning filters of its own."""
    ref = photo(tmp_path / "a.jpg", b"\x00\x00\x00\x05", b"\x7f\x00\x00\x05")  # the maker's name, far too long
    code = "import sys; from pathlib import Path; from adkit.data.images import *; from adkit.types import FrameRef\n"
    code += "print(read_image(FrameRef(Path(sys.argv[1]))).shape)"
    command = [sys.executable, "-W", "default", "-c", code, str(ref.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # Which entries of a damaged block survive, and so which way up it is, differs between Pillow's versions.
    assert done.stdout.strip() in ("(64, 48, 3)", "(48, 64, 3)")
    assert "UserWarning" not in done.stderr


def test_pixels_are_counted_from_the_header_alone(tmp_path: Path) -> None:
    assert pixel_count(saved(tmp_path / "a.png", NOISE)) == 48 * 64
    assert pixel_count(png_of_size(tmp_path / "b.png", 10_000, 9_000)) == 90_000_000
