"""What becomes of videos: every circumstance in every container, as the table in docs/video.md says."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from adkit.data.boxes import Size
from adkit.data.frame_source import ClipSource, frames_of
from adkit.data.inputs import VideoInput
from adkit.data.video import Video, video_frame, video_times
from adkit.data.view import View
from adkit.errors import AdkitError, FrameError
from tests.containers import (
    ALL,
    CODECS,
    CUT,
    DAMAGES,
    FIRST,
    FRAMES,
    JOINED,
    LEFT,
    RATE,
    REFUSED,
    SIZE,
    SPOILT,
    TABLE,
    TOLD,
    cut_off,
    damage,
    join,
    known_by,
    pixels_of,
    trim,
    write_container,
)

TRIMMED_S, TRIMMED = 0.64, 16
UNEVEN_S = [number / RATE + (0.2 if number > 12 else 0) + (2.0 if number > 21 else 0) for number in range(FRAMES)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    return {container: write_container(folder / f"video.{container}", sound=True) for container in CODECS}


def outcome(path: Path, shown: list[int], times_s: list[float] | None = None) -> str:
    """What the table says of a video of which these frames are to be shown, after a look at all that is said of it."""
    frames, error, notes = [], None, []
    try:
        with Video(path) as video:
            notes = video.notes
            frames.extend((one.number, one.time_s, round(known_by(one.pixels())), one.spoilt) for one in video)
    except FrameError as caught:
        error = caught
    if not frames:
        assert error is not None
        assert "its index (moov) is missing" in error.message
        return REFUSED
    stamps = [time_s for _, time_s, *_ in frames]
    assert all(later > earlier for earlier, later in pairwise(stamps))
    packets_s = video_times(path)
    assert all(packets_s[number] == pytest.approx(time_s, abs=0.002) for number, time_s, *_ in frames)
    with Video(path) as video:
        assert len(video.times_s()) == len(packets_s)
        notes = video.notes
    if error is None:
        times_s = times_s or [number / RATE for number in range(len(shown))]
        assert [number for number, *_ in frames] == list(range(len(shown)))
        assert [picture for *_, picture, _ in frames] == pytest.approx(shown, abs=1)
        assert stamps == pytest.approx(times_s, abs=0.025)
        for number in (0, len(shown) // 2, len(shown) - 1):
            assert known_by(video_frame(path, number)) == pytest.approx(shown[number], abs=1)
        told = " ".join(notes)
        return JOINED if "its clock jumps" in told else CUT if "cannot be decoded" in told else ALL
    assert "up to 0:0" in error.message
    assert str(path) in error.message
    return FIRST if "only the first can be read" in error.message else TOLD


@pytest.mark.parametrize("container", CODECS)
@pytest.mark.parametrize("circumstance", TABLE)
def test_the_table_is_true(circumstance: str, container: str, videos: dict[str, Path], tmp_path: Path) -> None:
    expected = TABLE[circumstance][container]
    if expected == LEFT:
        pytest.skip("there is no such video")
    video, made, every = videos[container], tmp_path / f"made.{container}", list(range(FRAMES))
    if circumstance in ("with sound", "without sound"):
        found = outcome(video if circumstance == "with sound" else write_container(made), every)
    elif circumstance == "variable rate":
        found = outcome(write_container(made, times_s=UNEVEN_S), every, UNEVEN_S)
    elif circumstance == "open groups of pictures":
        found = outcome(write_container(made, open_groups=True), every)
    elif circumstance == "begins before 0":
        found = outcome(trim(video, made, TRIMMED_S, keep_negative=True), every[10:])
    elif circumstance == "trimmed at a key frame":
        # An edit list says that what lies before is not to be shown; two frames need the group before, which is gone.
        begins = {"mp4": TRIMMED, "mov": TRIMMED, "avi": 12}.get(container, 10)
        found = outcome(trim(video, made, TRIMMED_S), every[begins:])
    elif circumstance == "trimmed elsewhere":
        if container == "mpg":
            content = video.read_bytes()
            made.write_bytes(content[len(content) // 3 // 2048 * 2048 :])
        else:
            trim(video, made, TRIMMED_S, anywhere=True)
        found = outcome(made, every[30 if container == "mpg" else 20 :])
    elif circumstance == "joined end to end":
        found = outcome(join(video, video, made), every + every)
    elif circumstance == "turned, mirrored":
        found = turned(made)
    else:
        damaged = damage(video, made, DAMAGES[circumstance]) if circumstance in DAMAGES else cut_off(video, made)
        found = outcome(damaged, every)
        if found == ALL:
            found = SPOILT
    assert found == expected


def _flv(video: Path, path: Path) -> None:
    with av.open(str(video)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)


def _wmv(source: Path, path: Path) -> None:
    with Video(source) as video, av.open(str(path), "w", format="asf") as target:
        stream = target.add_stream("wmv2", rate=RATE)
        stream.height, stream.width = SIZE
        for frame in video:
            target.mux(stream.encode(av.VideoFrame.from_ndarray(frame.pixels())))
        target.mux(stream.encode())


@pytest.mark.parametrize(("write", "name"), [(_flv, "a.flv"), (_wmv, "a.wmv")])
def test_other_containers_tell_that_they_are_cut_off_or_joined(
    write: Callable[[Path, Path], None], name: str, videos: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / name
    write(videos["mp4"], path)
    content = path.read_bytes()
    with Video(path) as video:
        assert len(list(video)) == FRAMES
    path.write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(FrameError, match=r"is (cut off|damaged) at"), Video(path) as video:
        list(video)
    path.write_bytes(content + content)
    with pytest.raises(FrameError, match="is cut off at its end"), Video(path) as video:
        list(video)


def turned(path: Path) -> str:
    """Look at a video that is to be turned by a quarter and mirrored: its left, a dark grey, is above, or below."""
    for rotation, mirrored, above in ((90, False, False), (270, False, True), (90, True, False), (0, True, None)):
        with Video(write_container(path, turned=(rotation, mirrored))) as video:
            frame = next(iter(video))
        pixels = frame.pixels().astype(int)
        assert frame.shape == pixels.shape[:2] == (SIZE if rotation == 0 else SIZE[::-1])
        halves = np.split(pixels, 2, axis=1 if above is None else 0)
        dark_first = halves[0].mean() < halves[1].mean()
        assert dark_first == (False if above is None else above)
    return "upright"


@pytest.mark.parametrize("container", ["mp4", "mkv", "avi", "ts", "mpg"])
@pytest.mark.parametrize("how", [DAMAGES["a part cut out"], DAMAGES["noise within"]])
def test_frames_keep_their_numbers_behind_what_is_damaged(
    how: object, container: str, videos: dict[str, Path], tmp_path: Path
) -> None:
    path = damage(videos[container], tmp_path / f"a.{container}", how)  # type: ignore[arg-type]
    seen = []
    with pytest.raises(FrameError, match=r"damaged at 0:0|index"), Video(path) as video:
        seen.extend((one.time_s, known_by(one.pixels())) for one in video if not one.spoilt)
    behind = [(time_s, picture) for time_s, picture in seen if time_s > 1.42]  # the images between are spoilt
    assert all(picture == pytest.approx(time_s * RATE, abs=1.5) for time_s, picture in behind)


def test_a_clock_that_leaps_ahead_is_one_that_was_set(videos: dict[str, Path], tmp_path: Path) -> None:
    later = write_container(tmp_path / "later.ts", starts_s=50_000)
    assert outcome(join(videos["ts"], later, tmp_path / "a.ts"), 2 * list(range(FRAMES))) == JOINED
    assert outcome(join(later, videos["ts"], tmp_path / "b.ts"), 2 * list(range(FRAMES))) == JOINED


def test_a_recording_that_paused_has_a_clock_that_goes_on(tmp_path: Path) -> None:
    times_s = [number / RATE + (300 if number > 20 else 0) for number in range(FRAMES)]
    assert outcome(write_container(tmp_path / "a.ts", times_s=times_s), list(range(FRAMES)), times_s) == ALL


def _edited(video: Path, path: Path, *parts: tuple[int, int]) -> Path:
    """Have an edit list show these parts, each `count` frames from one on; its index is at its end, and grows."""
    content = bytearray(video.read_bytes())
    at = content.index(b"elst")
    size = int.from_bytes(content[at - 4 : at])
    ticks = int.from_bytes(content[at + 16 : at + 20])  # of the first frame: others are decoded before it
    entries = [struct.pack(">IiI", 40 * count, ticks + 512 * first, 1 << 16) for first, count in parts]
    content[at + 4 : at + size - 4] = struct.pack(">II", 0, len(parts)) + b"".join(entries)
    for box in (b"moov", b"trak", b"edts", b"elst"):
        place = content.rindex(box, 0, at + 4) - 4
        grown = int.from_bytes(content[place : place + 4]) + 16 + 12 * len(parts) - size
        content[place : place + 4] = grown.to_bytes(4)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("parts", [[(0, 10), (20, 10)], [(20, 10), (0, 10)], [(0, 9), (0, 9)]])
def test_an_edit_list_shows_parts_of_a_video_one_after_the_other(parts: list[tuple[int, int]], tmp_path: Path) -> None:
    shown = [first + number for first, count in parts for number in range(count)]
    assert outcome(_edited(write_container(tmp_path / "video.mp4"), tmp_path / "a.mp4", *parts), shown) == ALL


def test_of_several_streams_one_is_read_and_told_and_a_cover_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as target:
        streams = [target.add_stream("mjpeg", rate=RATE, pix_fmt="yuvj420p", height=48, width=64) for _ in range(2)]
        streams[0].disposition = av.stream.Disposition(0)
        streams[1].disposition = av.stream.Disposition.default
        for stream, number in ((stream, number) for number in range(3) for stream in streams):
            grey = np.full((*SIZE, 3), 200 if stream is streams[1] else 50, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey)
            frame.pts = number
            target.mux(stream.encode(frame))
    with Video(path) as video:
        assert [round(float(frame.pixels().mean()), -1) for frame in video] == [200] * 3
        assert video.notes == [f"{path}: of its 2 video streams, only one is read (index 1)"]
    assert float(video_frame(path, 1).mean()) == pytest.approx(200, abs=2)


def test_a_video_in_fragments_tells_that_it_is_cut_off(videos: dict[str, Path], tmp_path: Path) -> None:
    whole = trim(videos["mp4"], tmp_path / "whole.mp4", 0.0, movflags="frag_keyframe+empty_moov")
    assert outcome(whole, list(range(FRAMES))) == ALL
    assert outcome(cut_off(whole, tmp_path / "cut.mp4"), list(range(FRAMES))) == TOLD


def test_who_watches_is_told_of_the_clock(videos: dict[str, Path], tmp_path: Path) -> None:
    def no_panel(_: Size) -> Size:
        return SIZE

    path = join(videos["mkv"], videos["mkv"], tmp_path / "a.mkv")
    source = ClipSource(VideoInput(str(path), video=path), threading.Event())
    found = [frame.time_s for frame in source.frames(View(frame=SIZE), 1, 0.0, no_panel)]
    assert found == pytest.approx([number / RATE for number in range(2 * FRAMES)], abs=0.002)
    assert source.notes == [
        f"{path}: its clock jumps back by 0:01.6 at 0:01.6, as where recordings were joined; time goes on from there"
    ]


def test_nobody_learns_from_frames_that_are_lost(videos: dict[str, Path], tmp_path: Path) -> None:
    path = damage(videos["avi"], tmp_path / "a.avi")
    samples = VideoInput(str(path), video=path).samples()
    with pytest.raises(FrameError, match="is damaged at"):
        list(frames_of(samples, View(frame=SIZE)))
    bad: list[AdkitError] = []
    read = list(frames_of(samples, View(frame=SIZE), lambda _, error: bad.append(error)))
    assert 0 < len(bad) == len(samples) - len(read) < 6


def test_a_video_that_was_cut_off_is_told_also_where_all_its_frames_are_there(
    videos: dict[str, Path], tmp_path: Path
) -> None:
    path = cut_off(videos["webm"], tmp_path / "a.webm")
    samples = VideoInput(str(path), video=path).samples()
    with pytest.raises(FrameError, match=r"is cut off at its end, 0\.\d s before it should end"):
        list(frames_of(samples, View(frame=SIZE)))


def test_a_packet_without_content_shows_what_was_shown_and_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "video.nut"  # Theora has them too
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(12):
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels_of(number), format="rgb24")):
                sent = packet
                if number == 5:
                    sent = av.Packet(b"")
                    sent.pts, sent.dts, sent.time_base, sent.stream = packet.pts, packet.dts, packet.time_base, stream
                container.mux(sent)
    with Video(path) as video:
        shown = [(one.number, round(one.time_s * RATE)) for one in video]
    assert shown == list(enumerate([0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]))
    np.testing.assert_allclose(video_times(path) * RATE, [time for _, time in shown], atol=1e-3)
