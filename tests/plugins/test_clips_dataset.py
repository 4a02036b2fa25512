from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from adkit_clips.dataset import Clips
from PIL import Image
from scipy.io import savemat

from adkit.data.frame_labels import read_labels
from adkit.errors import DatasetError
from adkit.types import Sample
from tests.videos import grey, write_greys, write_video

FRAMES = 10
"""Of each video here: a tenth of a second each."""


def write(path: Path, frames: int = FRAMES) -> Path:
    return write_greys(path, range(50, 50 + 8 * frames, 8))


def pictures(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"never decoded")
    return folder


def opened(folder: Path) -> Clips:
    (dataset,) = Clips.select(str(folder), None)
    assert isinstance(dataset, Clips)
    return dataset


def kinds(samples: list[Sample]) -> dict[str, Counter[str | None]]:
    found: dict[str, Counter[str | None]] = {}
    for sample in samples:
        assert sample.anomalous == (None if sample.kind is None else sample.kind != "good")
        found.setdefault(sample.clip, Counter())[sample.kind] += 1
    return found


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """A normal video to learn from, a normal one and one with a stop to test with."""
    for name in ("train/normal/a.mp4", "test/normal/b.mp4", "test/stop/c.mp4"):
        write(tmp_path / "line" / name)
    return tmp_path / "line"


def test_clips_of_which_nobody_knows_what_they_are_are_told(line: Path) -> None:
    for place in ("train/unsorted/d.mp4", "extra/e.mp4", "test/not sure/f.mp4"):
        write(line / place)
    dataset = opened(line)
    assert {sample.clip for sample in dataset.samples("train")} == {"train/normal/a.mp4"}
    assert kinds(dataset.samples("test"))["test/not sure/f.mp4"] == {None: FRAMES}
    assert "left out, as no name says whether they are normal: extra/e.mp4, train/unsorted/d.mp4" in dataset.notes()


def test_split_folders(line: Path) -> None:
    dataset = opened(line)
    assert dataset.layout == "split folders"
    train = dataset.samples("train")
    assert [sample.id for sample in train] == [f"train/normal/a.mp4/{number:05d}" for number in range(FRAMES)]
    assert [sample.index for sample in train] == list(range(FRAMES))
    assert [sample.frame.number for sample in train] == list(range(FRAMES))
    assert {sample.clip for sample in train} == {"train/normal/a.mp4"}
    assert [sample.time_s for sample in train] == pytest.approx([number / 10 for number in range(FRAMES)])
    assert kinds(train) == {"train/normal/a.mp4": {"good": FRAMES}}
    assert kinds(dataset.samples("test")) == {
        "test/normal/b.mp4": {"good": FRAMES},
        "test/stop/c.mp4": {"stop": FRAMES},
    }
    read, whole = dataset.notes()
    assert read == f"read {line} as split folders: 1 clip to learn from; to test with: 1 good, 1 stop"
    assert whole.startswith("1 clip of anomalous kinds without labels: all their frames count as anomalous")


def test_times_of_a_variable_rate(tmp_path: Path) -> None:
    write_greys(tmp_path / "a.mkv", [50, 90, 130, 170], stamps=[0, 10, 80, 100])
    assert [sample.timestamp_s for sample in opened(tmp_path).samples("train")] == pytest.approx([0, 0.1, 0.8, 1.0])


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.mov", "a.MKV", "a.webm"])
def test_videos_of_any_type(tmp_path: Path, name: str) -> None:
    codec = {"a.avi": "mpeg4", "a.webm": "libvpx"}.get(name, "libx264")
    write_video(tmp_path / name.lower(), [grey(value) for value in range(50, 130, 8)], codec=codec)
    (tmp_path / name.lower()).rename(tmp_path / name)
    pictures(tmp_path, "notes.txt", "._a.mp4")
    assert kinds(opened(tmp_path).samples("train")) == {name: {"good": FRAMES}}


def test_a_gif_is_a_clip(tmp_path: Path) -> None:
    frames = [Image.fromarray(grey(value)) for value in (40, 90, 140, 190)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=200)
    samples = opened(tmp_path).samples("train")
    assert [sample.time_s for sample in samples] == pytest.approx([0, 0.2, 0.4, 0.6])
    assert [sample.frame.number for sample in samples] == [0, 1, 2, 3]


def test_folders_of_frames_are_clips(tmp_path: Path) -> None:
    names = [f"frame_{number}.jpg" for number in range(12)]
    pictures(tmp_path / "train" / "one", *names, "notes.txt")
    pictures(tmp_path / "train" / "normal" / "deep" / "two", *names[:3])
    pictures(tmp_path / "test" / "stop" / "three", *names[:2])
    train = opened(tmp_path).samples("train")
    assert kinds(train) == {"train/normal/deep/two": {"good": 3}, "train/one": {"good": 12}}
    assert [sample.frame.path.name for sample in train[3:]] == names, "2 comes before 10"
    assert all(sample.frame.number is None for sample in train)
    assert train[4].time_s == 1 / 25
    assert kinds(opened(tmp_path).samples("test")) == {"test/stop/three": {"stop": 2}}


def test_plain_clips_at_any_depth_are_normal(tmp_path: Path) -> None:
    write(tmp_path / "monday" / "clip10.mp4")
    write(tmp_path / "monday" / "clip9.mp4")
    pictures(tmp_path / "tuesday", "1.jpg", "2.jpg")
    dataset = opened(tmp_path)
    assert dataset.layout == "plain clips"
    assert list(kinds(dataset.samples("train"))) == ["monday/clip9.mp4", "monday/clip10.mp4", "tuesday"]
    assert dataset.samples("test") == []
    assert dataset.notes() == [f"read {tmp_path} as plain clips: 3 clips to learn from; to test with: nothing"]


def test_the_folder_itself_may_be_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path / "press", "1.png", "2.png")
    monkeypatch.chdir(tmp_path / "press")
    (dataset,) = Clips.select(".", None)
    assert [sample.id for sample in dataset.samples("train")] == ["press/00000", "press/00001"]
    (again,) = Clips.select(".", dataset.root)
    assert [sample.id for sample in again.samples("train")] == ["press/00000", "press/00001"]


def test_images_beside_clips_are_left_out_and_told(line: Path) -> None:
    pictures(line, "overview.jpg")
    pictures(line / "test", "sketch.png")
    assert list(kinds(opened(line).samples("test"))) == ["test/normal/b.mp4", "test/stop/c.mp4"]
    assert opened(line).notes()[-1] == "left out beside clips or folders of them: 2 images"


@pytest.mark.parametrize("normal", ["normal", "good", "OK"])
def test_names_of_normal(line: Path, normal: str) -> None:
    (line / "train/normal").rename(line / "train" / normal)
    (line / "test/normal").rename(line / "test" / normal)
    dataset = opened(line)
    assert not any(sample.anomalous for sample in dataset.samples("train"))
    assert [sample.kind for sample in dataset.samples("test")].count("good") == FRAMES


def test_anomalous_training_clips_are_reported_as_such(line: Path) -> None:
    write(line / "train/stop/d.mp4")
    pictures(line / "train/bad", "1.jpg")
    found = kinds(opened(line).samples("train"))
    assert found["train/stop/d.mp4"] == {"stop": FRAMES}
    assert found["train/bad"] == {"bad": 1}


def test_clips_in_test_itself_are_unknown(line: Path) -> None:
    write(line / "test/d.mp4")
    pictures(line / "test/e", "1.jpg")
    found = kinds(opened(line).samples("test"))
    assert found["test/d.mp4"] == {None: FRAMES}
    assert found["test/e"] == {None: 1}
    assert opened(line).notes()[-1].startswith("2 clips lie in the test folder without a kind or labels")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.csv", "start_s,end_s\n0.3,0.6\n0.8,0.9\n"),
        ("c.csv", "start_s;end_s\r\n0.3;0.6\r\n0.8;0.9\r\n"),
        ("c.csv", "sep=;\nEnd_S;Start_S\n0,6;0,3\n;\n0,9;0,8\n"),
        ("c.csv", "start_s\tend_s\n0.3\t0.6\n0.8\t0.9\n"),
        ("c.csv", "\ufefffirst_frame, last_frame, kind\n3,5,\n8,8,\n"),
        ("c.json", json.dumps([{"start_s": 0.3, "end_s": 0.6}, {"start_s": 0.8, "end_s": 0.9, "kind": "stop"}])),
        ("c.json", json.dumps([{"first_frame": 3, "last_frame": 5}, {"first_frame": 8, "last_frame": 8}])),
        ("c.npy", ""),
    ],
)
def test_labels(line: Path, name: str, content: str) -> None:
    path = line / "test/stop" / name
    if name.endswith(".npy"):
        np.save(path, np.array([0, 0, 0, 1, 1, 1, 0, 0, 1, 0]))
    else:
        path.write_text(content, encoding="utf-8")
    samples = opened(line).samples("test")[FRAMES:]
    assert [sample.index for sample in samples if sample.anomalous] == [3, 4, 5, 8]
    assert {sample.kind for sample in samples if sample.anomalous} == {"stop"}
    assert {sample.kind for sample in samples if not sample.anomalous} == {"good"}
    assert len(opened(line).notes()) == 1


def test_labels_may_name_kinds_and_say_that_nothing_happens(line: Path) -> None:
    (line / "test/stop/c.csv").write_text("start_s,end_s,kind\n0.0,0.2,jerk\n0.5,0.7,\n", encoding="utf-8")
    (line / "test/normal/b.csv").write_text("start_s,end_s\n0.0,0.1\n", encoding="utf-8")
    write(line / "test/d.mp4")
    (line / "test/d.json").write_text("[]", encoding="utf-8")
    pictures(line / "test/e", "1.jpg", "2.jpg", "3.jpg")
    (line / "test/e.csv").write_text("first_frame,last_frame\n1,2\n", encoding="utf-8")
    assert kinds(opened(line).samples("test")) == {
        "test/d.mp4": {"good": FRAMES},
        "test/e": {"good": 1, "anomaly": 2},
        "test/normal/b.mp4": {"anomaly": 1, "good": FRAMES - 1},
        "test/stop/c.mp4": {"jerk": 2, "stop": 2, "good": FRAMES - 4},
    }


def test_labels_of_training_clips_count_too(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    (tmp_path / "a.csv").write_text("first_frame,last_frame\n9,9\n", encoding="utf-8")
    assert kinds(opened(tmp_path).samples("train")) == {"a.mp4": {"good": FRAMES - 1, "anomaly": 1}}


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("c.csv", "", "its names are missing"),
        ("c.csv", "start,end\n1,2\n", "its names are start, end"),
        ("c.csv", "start_s,start_s,end_s\n1,2,3\n", "its names are start_s, start_s, end_s"),
        ("c.csv", "start_s,last_frame\n1,2\n", "its names are start_s, last_frame"),
        ("c.csv", "start_s,end_s\n0.1\n", "line 2 has another number of columns"),
        ("c.csv", "start_s,end_s\n0.1,0.2,0.3\n", "line 2 has another number of columns"),
        ("c.csv", "start_s,end_s\n0.1,soon\n", "end_s is 'soon', a number was expected"),
        ("c.csv", "start_s,end_s\n0.1,nan\n", "end_s is 'nan', a number was expected"),
        ("c.csv", "start_s,end_s\n0.5,0.2\n", r"seconds 0\.5 to 0\.2; its frames are from 0 to 0\.9 s"),
        ("c.csv", "start_s,end_s\n0.5,9\n", "seconds 0.5 to 9"),
        ("c.csv", "start_s,end_s\n5,6\n", "seconds 5 to 6"),
        ("c.csv", "first_frame,last_frame\n3,10\n", "frames 3 to 10; they are numbered 0 to 9"),
        ("c.csv", "first_frame,last_frame\n-1,3\n", "frames -1 to 3"),
        ("c.csv", "first_frame,last_frame\n1.5,3\n", "frames 1.5 to 3"),
        ("c.json", "{}", "a list of objects was expected"),
        ("c.json", "[[1, 2]]", "a list of objects was expected"),
        ("c.json", '[{"start_s": 1, "end_s": null}]', "end_s is None, a number was expected"),
        ("c.json", '[{"start_s": 1}]', "its names are start_s"),
        ("c.json", "[", "cannot be read as labels"),
        ("c.npy", "0101010101", "magic string"),
    ],
)
def test_labels_that_do_not_fit_are_refused(line: Path, name: str, content: str, complaint: str) -> None:
    (line / "test/stop" / name).write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError, match=complaint) as caught:
        opened(line).samples("test")
    assert name in caught.value.message
    assert caught.value.hint.startswith("a label has start_s and end_s (seconds), or first_frame")


@pytest.mark.parametrize("values", [[0, 1], [[0] * FRAMES], [2] * FRAMES, [0.5] * FRAMES])
def test_arrays_of_labels_that_do_not_fit_are_refused(line: Path, values: list[int]) -> None:
    np.save(line / "test/stop/c.npy", np.array(values))
    with pytest.raises(DatasetError, match=r"c\.npy does not fit its clip"):
        opened(line).samples("test")


def test_an_end_may_be_rounded_up(line: Path) -> None:
    (line / "test/stop/c.csv").write_text("start_s,end_s\n0.5,1.5\n", encoding="utf-8")
    samples = opened(line).samples("test")[FRAMES:]
    assert [sample.index for sample in samples if sample.anomalous] == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("tick_s", [1 / 15360, 1 / 1000], ids=["of mp4", "of mkv"])
@pytest.mark.parametrize("digits", [3, 4, 16])
def test_labels_may_be_rounded_as_score_rounds_times(tmp_path: Path, tick_s: float, digits: int) -> None:
    path, times_s = tmp_path / "c.csv", np.round(np.arange(30) / 30 / tick_s) * tick_s
    for first, end in pairwise(range(30)):
        path.write_text(f"start_s,end_s\n{round(first / 30, digits)},{round(end / 30, digits)}\n", encoding="utf-8")
        assert [number for number, kind in enumerate(read_labels(path, times_s, "x")) if kind] == [first]


def test_two_files_of_labels_are_refused(line: Path) -> None:
    for name in ("c.csv", "c.json"):
        (line / "test/stop" / name).write_text("", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"several files of labels: c\.csv, c\.json"):
        opened(line)


@pytest.mark.parametrize("content", [b"", b"no video at all"])
def test_a_clip_that_cannot_be_opened_is_named(line: Path, content: bytes) -> None:
    (line / "test/stop/broken.mp4").write_bytes(content)
    dataset = opened(line)
    assert len(dataset.samples("train")) == FRAMES, "the test split is not needed to learn"
    with pytest.raises(DatasetError, match=r"broken\.mp4") as caught:
        dataset.samples("test")
    assert caught.value.hint == "record it again, or move it out of the dataset"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["test/stop/a.mp4"], "test"),
        (["normal/a.mp4", "stop/b.mp4"], "stop"),
        (["abnormal/a.mp4", "usual/b.mp4"], "abnormal"),
    ],
)
def test_anomalous_clips_are_not_taken_for_normal_ones(tmp_path: Path, names: list[str], found: str) -> None:
    for name in names:
        write(tmp_path / name)
    with pytest.raises(DatasetError, match=f"has the folder '{found}' but none named train") as caught:
        opened(tmp_path)
    assert "train/normal/" in caught.value.hint


@pytest.mark.parametrize("name", ["notes.txt", "train/normal/notes.txt", "train/.hidden/a.jpg"])
def test_nothing_to_learn_from_is_refused(tmp_path: Path, name: str) -> None:
    pictures((tmp_path / name).parent, Path(name).name)
    with pytest.raises(DatasetError, match="no normal clip was found to learn from"):
        opened(tmp_path)


def test_the_path_is_looked_for_in_several_places(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Clips.select("line", line.parent)[0].spec == "clips:line"
    monkeypatch.setenv("ADKIT_DATA", str(line.parent))
    (dataset,) = Clips.select("line", None)
    assert dataset.root == line.parent
    with pytest.raises(DatasetError, match="there is no such folder: tried") as caught:
        Clips.select("lime", None)
    assert caught.value.hint == "name a folder of videos after clips:, or what it lies in: --root FOLDER"


@pytest.fixture
def ucsd(tmp_path: Path) -> Path:
    """Clips of three frames as UCSD has them, the first one to test with beside its masks."""
    for place in ("Train/Train001", "Train/Train002", "Test/Test001", "Test/Test001_gt", "Test/Test002"):
        (tmp_path / place).mkdir(parents=True)
        for number in range(1, 4):
            if place.endswith("_gt"):
                marked = np.zeros((6, 8), np.uint8)
                marked[1:3, 2:5] = 255 * (number == 2)
                Image.fromarray(marked).save(tmp_path / place / f"{number:03d}.bmp")
            else:
                Image.new("L", (8, 6), 90).save(tmp_path / place / f"{number:03d}.tif")
    (tmp_path / "Test" / "UCSDped2.m").write_text("TestVideoFile = {};")
    return tmp_path


def test_ucsd_with_its_folders_of_masks(ucsd: Path) -> None:
    dataset = opened(ucsd)
    assert kinds(dataset.samples("train")) == {f"Train/Train00{number}": Counter(good=3) for number in (1, 2)}
    test = dataset.samples("test")
    assert kinds(test) == {"Test/Test001": Counter(good=2, anomaly=1), "Test/Test002": Counter({None: 3})}
    assert [one.mask and one.mask.path.name for one in test] == [None, "002.bmp", None, None, None, None]
    assert [note for note in dataset.notes() if "beside clips" in note] == []


def test_masks_of_other_frames_are_refused(ucsd: Path) -> None:
    (ucsd / "Test/Test001_gt/003.bmp").unlink()
    with pytest.raises(DatasetError, match="3 frames and Test001_gt 2 masks"):
        opened(ucsd)


def test_avenue_with_its_files_of_masks(tmp_path: Path) -> None:
    for place in ("training_videos", "testing_videos", "ground_truth_demo/testing_label_mask"):
        (tmp_path / place).mkdir(parents=True)
    for name in ("training_videos/01.avi", "testing_videos/01.avi", "testing_videos/02.avi"):
        write_video(tmp_path / name, [grey(value) for value in range(50, 130, 8)], codec="mpeg4")
    labels, masks = tmp_path / "ground_truth_demo/testing_label_mask/1_label.mat", np.empty((1, FRAMES), object)
    for number in range(FRAMES):
        masks[0, number] = np.full((4, 5), number in (3, 4), np.uint8)
    savemat(labels, {"volLabel": masks})
    dataset = opened(tmp_path)
    assert kinds(dataset.samples("train")) == {"training_videos/01.avi": Counter(good=FRAMES)}
    assert kinds(dataset.samples("test")) == {
        "testing_videos/01.avi": Counter(good=FRAMES - 2, anomaly=2),
        "testing_videos/02.avi": Counter({None: FRAMES}),
    }
    for content, fault in (
        ({"volLabel": masks[:, 1:]}, "10 frames, but 9 masks"),
        ({"x": masks}, "volLabel was expec"),
    ):
        savemat(labels, content)
        with pytest.raises(DatasetError, match=fault):
            opened(tmp_path).samples("test")
