"""What is missing in videos without a container is told; a video of any encoder that is whole is not called damaged."""

from __future__ import annotations

import io
import re
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from adkit.data.bitstreams import broken_frame, is_broken
from adkit.data.video import Video
from adkit.errors import FrameError
from tests.containers import FRAMES, damage, pixels_of, write_container

_UNITS = re.compile(rb"\x00*\x00\x00\x01")


def raw(path: Path, codec: str, options: dict[str, str]) -> Path:
    """Write 40 images by an encoder as it is, or told otherwise."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number in range(FRAMES):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(pixels_of(number))))
        target.mux(stream.encode())
    return path


def seen(path: Path) -> int:
    """Walk a video, and count the frames."""
    with Video(path) as video:
        return len(list(video))


@pytest.mark.parametrize(
    "options",
    [
        "keyint=12:open-gop=1:bframes=3:b-pyramid=2",
        "slices=4:keyint=25",
        "intra-refresh=1:keyint=25",
        "interlaced=1:keyint=25",
        "bframes=0:keyint=25",
        "cqm=jvt:keyint=25",
    ],
)
def test_h264_of_any_kind_is_whole(options: str, tmp_path: Path) -> None:
    assert seen(raw(tmp_path / "a.h264", "libx264", {"x264-params": options})) == FRAMES


@pytest.mark.parametrize("options", ["keyint=12:min-keyint=12:open-gop=1", "bframes=0:temporal-layers=0"])
def test_hevc_of_any_kind_is_whole(options: str, tmp_path: Path) -> None:
    quiet = {"preset": "ultrafast", "x265-params": f"{options}:pools=none:log-level=none"}
    assert seen(raw(tmp_path / "a.h265", "libx265", quiet)) == FRAMES


@pytest.mark.parametrize("name", ["a.h264", "a.h265"])
def test_frames_that_were_taken_out_of_a_raw_stream_are_missed(name: str, tmp_path: Path) -> None:
    content = write_container(tmp_path / name).read_bytes()
    starts = [found.start() for found in _UNITS.finditer(content)] + [len(content)]
    units = [content[start:end] for start, end in pairwise(starts)]
    kinds = [_UNITS.sub(b"", unit, count=1)[0] for unit in units]
    shown = [place for place, kind in enumerate(kinds) if (kind >> 1 < 16 if name.endswith("5") else kind & 31 == 1)]
    del units[shown[3]]
    (tmp_path / name).write_bytes(b"".join(units))
    with pytest.raises(FrameError, match=r"is damaged at 0:00\.\d: only \d\d of \d\d frames"):
        seen(tmp_path / name)


def jpeg(number: int, **options: object) -> bytes:
    """Return an image as a JPEG."""
    Image.fromarray(pixels_of(number)).resize((320, 240)).save(buffer := io.BytesIO(), "JPEG", **options)
    return buffer.getvalue()


def without_tables(coded: bytes) -> bytes:
    """Take the Huffman tables away, which many cameras leave out."""
    at = 2
    while coded[at + 1] != 0xDA:
        length = 2 + int.from_bytes(coded[at + 2 : at + 4])
        if coded[at + 1] == 0xC4:
            coded = coded[:at] + coded[at + length :]
        else:
            at += length
    return coded


@pytest.mark.parametrize(
    "options", [{}, {"optimize": True}, {"restart_marker_rows": 1}, {"progressive": True}, {"subsampling": 0}]
)
def test_jpegs_of_any_encoder_are_whole(options: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "a.mjpeg"
    path.write_bytes(b"".join(jpeg(number, **options) + bytes(number % 3) for number in range(20)))
    assert seen(path) == 20


def test_jpegs_of_cameras_are_whole(tmp_path: Path) -> None:
    """Without tables, without an end, and with something behind it; black ones are nothing but zeroes."""
    cameras = [without_tables(jpeg(0)), jpeg(1)[:-2], jpeg(2) + bytes(100)]
    black = io.BytesIO()
    Image.new("RGB", (640, 480)).save(black, "JPEG", optimize=True)
    assert bytes(256) in black.getvalue()
    for coded in (*cameras, black.getvalue()):
        assert not is_broken("mjpeg", coded)
        (tmp_path / "a.mjpeg").write_bytes(coded + jpeg(5))
        assert seen(tmp_path / "a.mjpeg") == 2


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"restart_marker_rows": 1}])
def test_damage_in_a_jpeg_is_seen(options: dict[str, object]) -> None:
    coded = jpeg(3, quality=95, **options)
    middle = len(coded) // 2
    for part in (bytes(3000), np.random.default_rng(0).bytes(2000)):
        damaged = coded[:middle] + part + coded[middle + len(part) :]
        told = is_broken("mjpeg", damaged)
        if not told:
            decoder = av.CodecContext.create("mjpeg", "r")
            decoder.options = {"err_detect": "explode"}  # as it is opened for videos
            with pytest.raises(av.error.FFmpegError):
                decoder.decode(av.Packet(damaged))


def test_zeroes_in_a_unit_are_damage_and_before_the_next_one_are_not() -> None:
    unit, other = b"\0\0\1\x65" + bytes(range(1, 200)), b"\0\0\1\x41" + bytes(range(1, 100))
    assert not is_broken("h264", unit + bytes(100) + other + bytes(50))
    assert is_broken("h264", unit + bytes(100) + b"\5" + other)
    in_mp4 = [len(one).to_bytes(4) + one for one in (unit[3:] + bytes(60), other[3:])]
    assert not is_broken("hevc", b"".join(in_mp4))
    assert is_broken("hevc", (len(unit) + 60).to_bytes(4) + unit + bytes(40) + bytes(range(2, 22)))
    assert not is_broken("vp9", unit + bytes(100) + b"\5")


def test_a_gif_says_which_frame_is_broken(tmp_path: Path) -> None:
    path = write_container(tmp_path / "a.gif")
    assert broken_frame(path) is None
    number = broken_frame(damage(path, tmp_path / "b.gif", lambda part: bytes(byte ^ 255 for byte in part)))
    assert number is not None
    assert 15 < number < 25
