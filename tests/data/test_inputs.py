"""What arguments mean: stills or clips, never both."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from PIL import Image

from adkit.data.inputs import Inputs, VideoInput, find_inputs, require_good_inputs
from adkit.errors import DatasetError, OptionError
from tests.greys import paint
from tests.videos import write_greys


def stills(found: Inputs) -> list[str]:
    assert not found.clips
    return [one.frame.path.name for one in found.stills]


def clips(found: Inputs) -> list[VideoInput]:
    assert not found.stills
    return found.clips


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Two folders of frames whose numbers have no leading zeros."""
    for clip, count in (("a", 12), ("b", 3)):
        for number, path in enumerate(paint(tmp_path / "frames" / clip, [100] * count)):
            path.rename(path.with_name(f"{number}.png"))
    return tmp_path / "frames"


def test_images_are_stills_however_they_are_named(frames: Path) -> None:
    assert stills(find_inputs([str(frames / "b")], of_clips=False)) == ["0.png", "1.png", "2.png"]
    assert stills(find_inputs([str(frames / "b" / "1.png")], of_clips=True)) == ["1.png"]
    assert len(stills(find_inputs([str(frames / "*" / "*.png")], of_clips=True))) == 15


def test_folders_of_images_are_clips_for_a_run_that_learned_from_clips(frames: Path) -> None:
    first, second = clips(find_inputs([str(frames)], of_clips=True))
    assert (first.name, second.name) == (str(frames / "a"), str(frames / "b"))
    assert [path.name for path in first.frames][:4] == ["0.png", "1.png", "2.png", "3.png"]
    assert [path.name for path in first.frames][-1] == "11.png"
    samples = second.samples()
    assert [(one.clip, one.index, one.time_s) for one in samples] == [(second.name, n, n / 25) for n in range(3)]


def test_videos_are_clips(tmp_path: Path) -> None:
    for name in ("take10.mp4", "take2.mp4"):
        write_greys(tmp_path / name, [100] * 3)
    found = clips(find_inputs([str(tmp_path), str(tmp_path / "take2.mp4")], of_clips=False))
    assert [Path(one.name).name for one in found] == ["take2.mp4", "take10.mp4"]
    assert not found[0].live
    samples = found[0].samples()
    assert [str(one.frame).rpartition("#")[2] for one in samples] == ["0", "1", "2"]
    assert [one.time_s for one in samples] == pytest.approx([0, 0.1, 0.2])


def test_a_video_that_is_named_is_one_whatever_it_is_called(tmp_path: Path) -> None:
    video = write_greys(tmp_path / "video.mkv", [50, 60]).rename(tmp_path / "recording")
    playlist = tmp_path / "line.m3u8"
    playlist.write_text("#EXTM3U\n", encoding="utf-8")
    assert [clip.video for clip in find_inputs([str(video), str(playlist)]).clips] == [video, playlist]


def test_an_animation_is_a_clip_to_those_who_learned_from_clips(tmp_path: Path) -> None:
    (tmp_path / "turn.gif").write_bytes(b"GIF")
    assert stills(find_inputs([str(tmp_path / "turn.gif")], of_clips=False)) == ["turn.gif"]
    (clip,) = clips(find_inputs([str(tmp_path / "turn.gif")], of_clips=True))
    assert clip.video == tmp_path / "turn.gif"


@pytest.mark.parametrize("address", ["rtsp://camera/1", "http://x/live.ts", "tcp://127.0.0.1:9", "udp://@:1234"])
def test_streams_are_known_by_their_scheme(address: str) -> None:
    (clip,) = clips(find_inputs([address], of_clips=False))
    assert (clip.name, clip.address, clip.live) == (address, address, True)


def test_a_number_is_a_camera_unless_a_file_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(DatasetError, match=r"no camera 97: /dev/video97 is missing"):
        find_inputs(["97"], of_clips=False)
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(DatasetError, match="on Linux only"):
        find_inputs(["97"], of_clips=False)
    Path("97").write_bytes(b"")
    assert stills(find_inputs(["97"], of_clips=False)) == ["97"]


def test_stills_and_clips_together_are_refused(frames: Path, tmp_path: Path) -> None:
    video = write_greys(tmp_path / "line.mp4", [100])
    with pytest.raises(OptionError, match=r"is a still image and .*line.mp4 a clip") as caught:
        find_inputs([str(video), str(frames / "a" / "0.png")], of_clips=False)
    assert "two commands" in caught.value.hint
    with pytest.raises(OptionError, match=r"holds videos \(line.mp4\) and images"):
        find_inputs([str(tmp_path)], of_clips=True)


@pytest.mark.parametrize(
    ("argument", "message"),
    [("nothing.mp4", "there is no file"), ("gopher://x", "not a stream"), ("*.mp4", "there is no file")],
)
def test_what_is_not_there_is_told(
    argument: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=message):
        find_inputs([argument], of_clips=False)
    Path("empty").mkdir()
    with pytest.raises(DatasetError, match="there is no image in the folder"):
        find_inputs(["empty"], of_clips=True)
    Path("empty/lost.png").symlink_to("nowhere")
    with pytest.raises(DatasetError, match=r"no image in the folder empty; left out in empty: .*\(lost\.png\)"):
        find_inputs(["empty"])


def test_masks_in_a_folder_are_not_scored(tmp_path: Path) -> None:
    """DAGM's tests, in which masks lie below the images."""
    for name in ("1.png", "2.png", "Label/2_label.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), 0).save(tmp_path / name)
    found = find_inputs([str(tmp_path)])
    assert [sample.frame.path.name for sample in found.stills] == ["1.png", "2.png"]
    assert found.notes == [f"left out in {tmp_path}: 1 mask (Label/2_label.png)"]
    require_good_inputs([str(tmp_path)], found)  # it marks nothing
    Image.new("L", (8, 8), 255).save(tmp_path / "Label" / "2_label.png")
    with pytest.raises(DatasetError, match=r"masks lie beside the images of .* \(1, the first: 2_label.png\)"):
        require_good_inputs([str(tmp_path)], found)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["good/1.png", "not sure/2.png"], "1 file lies in .* beside folders that say good, .*: not sure/2"),
        (["1.png", "1_test.png"], "names say otherwise: 1_test.png"),
        (["1.png", "NG.csv"], "NG.csv tells what images are"),
        (["good/1.png", "good/2026-05-01/2.png", "labels.csv"], None),
    ],
)
def test_what_is_named_as_normal_is_doubted_as_a_folder_to_learn_from(
    tmp_path: Path, names: list[str], told: str | None
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("file\n1.png\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=told) if told else contextlib.nullcontext():
        require_good_inputs([str(tmp_path)], find_inputs([str(tmp_path)]))
