from __future__ import annotations

import wave
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pytest

from adkit.data.video import Video, VideoFrame, is_video, video_frame, video_shape, video_times
from adkit.errors import FrameError
from tests.videos import SIZE, grey, write_greys, write_video

VALUES = list(range(20, 220, 10))


@pytest.fixture(scope="module")
def video_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_greys(tmp_path_factory.mktemp("greys") / "greys.mp4", VALUES)


def greys(video: Video, size: tuple[int, int] | None = None) -> list[int]:
    return [round(float(frame.pixels(size).mean())) for frame in video]


def test_every_frame_comes_once_in_order_with_its_time(video_path: Path) -> None:
    with Video(video_path) as video:
        frames = [(frame.number, frame.time_s, frame.shape, round(float(frame.pixels().mean()))) for frame in video]
    assert [number for number, *_ in frames] == list(range(len(VALUES)))
    assert [time for _, time, *_ in frames] == pytest.approx([number / 10 for number in range(len(VALUES))])
    assert {shape for _, _, shape, _ in frames} == {SIZE}
    assert [value for *_, value in frames] == pytest.approx(VALUES, abs=2)


def test_pixels_are_resized_as_they_are_decoded(video_path: Path) -> None:
    with Video(video_path) as video:
        frame = next(iter(video))
        assert frame.pixels((10, 31)).shape == (10, 31, 3)
        assert frame.pixels((100, 131)).shape == (100, 131, 3)
        assert frame.pixels().dtype == np.uint8


def test_times_are_read_without_decoding(video_path: Path) -> None:
    assert video_times(video_path).tolist() == pytest.approx([number / 10 for number in range(len(VALUES))])


def test_a_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    stamps = [0, 5, 60, 61, 200]
    path = write_greys(tmp_path / "variable.mkv", [50] * 5, stamps=stamps)
    expected = [stamp / 100 for stamp in stamps]
    assert video_times(path).tolist() == pytest.approx(expected, abs=0.002)
    with Video(path) as video:
        assert [frame.time_s for frame in video] == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("number", [0, 7, 19])
def test_one_frame_is_found_by_its_number(video_path: Path, number: int) -> None:
    assert float(video_frame(video_path, number).mean()) == pytest.approx(VALUES[number], abs=2)


def test_a_frame_that_is_not_there_is_an_error(video_path: Path) -> None:
    with pytest.raises(FrameError, match=r"has 20 frames; number 20 \(from 0\)"):
        video_frame(video_path, 20)


def test_the_shape_is_read_from_the_first_frame(video_path: Path) -> None:
    assert video_shape(video_path) == SIZE


def test_odd_sizes_are_decoded(tmp_path: Path) -> None:
    path = write_video(tmp_path / "odd.avi", [grey(90, (47, 63))] * 3, codec="ffv1")
    with Video(path) as video:
        assert [frame.pixels().shape for frame in video] == [(47, 63, 3)] * 3


def test_a_turned_video_is_shown_upright() -> None:
    @dataclass
    class Turned:
        """What PyAV gives for a telephone's video: the sensor's image, and by how much to turn it."""

        height: int = 2
        width: int = 3
        rotation: int = -90
        format: av.VideoFormat = field(default_factory=lambda: av.VideoFormat("rgb24"))

        def reformat(self, width: int, height: int, **_: object) -> Turned:
            assert (height, width) == (2, 3)
            return self

        def to_ndarray(self) -> object:
            return np.arange(6, dtype=np.uint8).reshape(2, 3, 1).repeat(3, axis=2)

    frame = VideoFrame(0, 0.0, Turned())  # type: ignore[arg-type]
    assert frame.shape == (3, 2)
    assert frame.pixels()[..., 0].tolist() == [[3, 0], [4, 1], [5, 2]]  # clockwise


def test_what_is_transparent_lies_on_white_as_in_images(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, 4:] = 200, 100, 0, 255
    pixels[:4, :4, 3] = 51  # a fifth of black
    with av.open(tmp_path / "logo.mov", "w") as container:
        stream = container.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "rgba"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgba")))
        container.mux(stream.encode(None))
    shown = video_frame(tmp_path / "logo.mov", 0)
    assert shown[0, 0].tolist() == [204, 204, 204]
    assert shown[7, 0].tolist() == [255, 255, 255]
    assert shown[0, 7].tolist() == [200, 100, 0]


def test_a_video_that_was_cut_off_gives_what_there_is_and_says_where_it_ends(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, *SIZE, 3), dtype=np.uint8)
    whole = write_video(tmp_path / "whole.mp4", list(noise), options={"movflags": "faststart"})
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    seen = []
    with (
        Video(cut) as video,
        pytest.raises(FrameError, match=r"of 60 frames, up to 0:0\d\.\d can be decoded") as caught,
    ):
        seen.extend(frame.number for frame in video)
    assert seen == list(range(len(seen)))
    assert 20 <= len(seen) <= 40
    assert str(cut) in caught.value.message


def test_a_video_that_was_cut_without_coding_it_again_is_whole(tmp_path: Path) -> None:
    """Frames between a key frame and where an edit list begins are in the file, and never shown."""
    whole, cut = write_greys(tmp_path / "whole.mp4", range(20, 220)), tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        assert stream.time_base is not None
        skipped = round(5.3 / stream.time_base)
        for packet in source.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - skipped, packet.dts - skipped, copy
                target.mux(packet)
    with Video(cut) as video:
        assert (video.declared_frames or 0) > 147
        frames = [(frame.time_s, round(float(frame.pixels().mean()))) for frame in video]
    assert [time_s for time_s, _ in frames] == pytest.approx(video_times(cut).tolist())
    assert frames == [(pytest.approx(n / 10), pytest.approx(73 + n, abs=2)) for n in range(147)]
    assert float(video_frame(cut, 50).mean()) == pytest.approx(123, abs=2)


@pytest.mark.parametrize("name", ["a.ts", "a.MTS", "a.3gp", "a.flv", "a.h264", "a.vob"])
def test_cameras_have_other_suffixes_too(tmp_path: Path, name: str) -> None:
    codec = "mpeg2video" if name == "a.vob" else "libx264"
    path = write_video(tmp_path / name, [grey(value) for value in VALUES], codec=codec, rate=25)
    assert is_video(path)
    assert len(video_times(path)) == len(VALUES)
    assert float(video_frame(path, 7).mean()) == pytest.approx(VALUES[7], abs=4)


def test_a_half_written_video_is_none(tmp_path: Path, video_path: Path) -> None:
    path = tmp_path / "half.mp4"
    path.write_bytes(video_path.read_bytes()[:300])
    with pytest.raises(FrameError, match=r"half\.mp4 cannot be read as a video: \w+"):
        Video(path)


def test_sound_alone_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\0" * 800)
    with pytest.raises(FrameError, match="has no video stream"):
        Video(path)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", r"is empty \(0 bytes\)"), (b"no video at all" * 50, r"as a video: (?!its index)")]
)
def test_what_is_no_video_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(FrameError, match=message):
        Video(path)


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="there is no file"):
        Video(tmp_path / "none.mp4")
    with pytest.raises(FrameError, match="is a folder"):
        Video(tmp_path)


def test_videos_are_known_by_their_names() -> None:
    assert is_video(Path("line.MP4"))
    assert not is_video(Path(".line.mp4"))
    assert not is_video(Path("part.png"))
