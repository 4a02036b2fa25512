from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adkit_ipad.dataset import Ipad

from adkit.errors import DatasetError


def clip(folder: Path, numbers: Sequence[int], suffix: str = ".jpg") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number}{suffix}").write_bytes(b"never decoded")
    return folder


def label(device: Path, name: str, values: Any) -> None:
    (device / "test_label").mkdir(exist_ok=True)
    np.save(device / "test_label" / name, np.array(values))


def device(folder: Path) -> Path:
    """A device with one clip to learn from, and two of three frames to test with, the second all normal."""
    clip(folder / "training/frames/01", range(3))
    clip(folder / "testing/frames/01", range(3))
    clip(folder / "testing/frames/02", range(3))
    label(folder, "001.npy", [0, 1, 0])
    label(folder, "002.npy", [0, 0, 0])
    return folder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ADKIT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "root"


def opened(root: Path, name: str = "R01") -> Ipad:
    (dataset,) = Ipad.select(name, root)
    assert isinstance(dataset, Ipad)
    return dataset


def test_samples_of_a_device(root: Path) -> None:
    folder = device(root / "ipad" / "R01")
    dataset = opened(root)
    assert dataset.spec == "ipad:R01"
    train = dataset.samples("train")
    assert [(s.id, s.clip, s.index, s.anomalous, s.kind) for s in train] == [
        ("training/01/0000", "training/01", 0, False, "good"),
        ("training/01/0001", "training/01", 1, False, "good"),
        ("training/01/0002", "training/01", 2, False, "good"),
    ]
    assert train[2].frame.path == folder / "training/frames/01/2.jpg"
    assert train[2].frame.number is None
    test = dataset.samples("test")
    assert [sample.anomalous for sample in test] == [False, True, False, False, False, False]
    assert [sample.kind for sample in test[:3]] == ["good", "anomaly", "good"]
    assert [sample.index for sample in test] == [0, 1, 2, 0, 1, 2]
    assert test[3].clip == "testing/02"
    assert dataset.notes() == []


def test_frames_and_clips_are_ordered_as_numbers(root: Path) -> None:
    folder = device(root / "R01")
    clip(folder / "training/frames/2", [*range(98, 102), 7])
    clip(folder / "training/frames/10", [1])
    names = [sample.id for sample in opened(root).samples("train")]
    assert names[3:] == [*(f"training/2/{number:04d}" for number in (7, 98, 99, 100, 101)), "training/10/0001"]
    assert [sample.index for sample in opened(root).samples("train")[3:8]] == [0, 1, 2, 3, 4]


def test_labels_of_two_digits_are_the_second_choice(root: Path) -> None:
    folder = device(root / "R01")
    (folder / "test_label/001.npy").rename(folder / "test_label/01.npy")
    assert [sample.anomalous for sample in opened(root).samples("test")[:3]] == [False, True, False]
    label(folder, "001.npy", [1, 1, 1])
    assert [sample.anomalous for sample in opened(root).samples("test")[:3]] == [True, True, True]


@pytest.mark.parametrize("values", [[0, 1], [0, 1, 0, 1], [[0, 1, 0]], [0, 1, 2], ["0", "1", "0"], [0, np.nan, 1]])
def test_labels_that_do_not_fit_leave_the_clip_unknown(root: Path, values: Any) -> None:
    label(device(root / "R01"), "001.npy", values)
    first, second = opened(root).samples("test")[:3], opened(root).samples("test")[3:]
    assert [(sample.anomalous, sample.kind) for sample in first] == [(None, None)] * 3
    assert [sample.anomalous for sample in second] == [False] * 3
    (line,) = opened(root).notes()
    assert line.startswith("testing/01: ")
    assert "test_label/001.npy" in line
    assert line.endswith("its truth is unknown, and evaluations leave it out")


def test_the_note_says_how_many_labels_and_frames_there_are(root: Path) -> None:
    label(device(root / "R01"), "001.npy", [0, 1])
    assert "test_label/001.npy cannot be read as labels (3 frames, but labels of shape (2,))" in opened(root).notes()[0]


@pytest.mark.parametrize("content", [b"", b"no labels", pickle.dumps([0, 1, 0]), b"PK\x03\x04zip"])
def test_files_that_hold_no_labels_leave_the_clip_unknown(root: Path, content: bytes) -> None:
    (device(root / "R01") / "test_label/001.npy").write_bytes(content)
    assert opened(root).samples("test")[0].anomalous is None
    assert "001.npy cannot be read as labels" in opened(root).notes()[0]


def test_labels_are_never_unpickled(root: Path) -> None:
    path = device(root / "R01") / "test_label/001.npy"
    np.save(path, np.array([0, 1, None], dtype=object), allow_pickle=True)
    assert opened(root).samples("test")[0].anomalous is None
    assert "allow_pickle=False" in opened(root).notes()[0]


def test_missing_labels_leave_the_clip_unknown(root: Path) -> None:
    (device(root / "R01") / "test_label/002.npy").unlink()
    assert [sample.anomalous for sample in opened(root).samples("test")] == [False, True, False, None, None, None]
    assert "there are no labels (test_label/002.npy or 02.npy)" in opened(root).notes()[0]


def test_other_images_are_left_out_and_told(root: Path) -> None:
    folder = device(root / "R01")
    (folder / "training/frames/01/mean.jpg").write_bytes(b"")
    (folder / "training/frames/01/Thumbs.db").write_bytes(b"")
    assert len(opened(root).samples("train")) == 3
    (line,) = opened(root).notes()
    assert line.startswith("left out, as frames have numbers as names: 1 image, such as ")


def test_two_frames_of_one_number_are_refused(root: Path) -> None:
    clip(device(root / "R01") / "training/frames/01", [2], ".png")
    with pytest.raises(DatasetError, match=r"2\.jpg and 2\.png have the same number"):
        opened(root).samples("train")


@pytest.mark.parametrize("place", ["ipad", "IPAD", ".", "IPAD_dataset"])
def test_devices_are_found_in_several_places(root: Path, place: str) -> None:
    device(root / place / "R01")
    assert opened(root).spec == "ipad:R01"


def test_the_root_comes_from_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device(root / "ipad" / "ped2")
    monkeypatch.setenv("ADKIT_DATA", str(root))
    (dataset,) = Ipad.select("ped2", None)
    assert dataset.root == root / "ipad"
    with pytest.raises(DatasetError, match="no device of IPAD was found in any of"):
        Ipad.select("ped2", root / "elsewhere")


def test_all_and_lists_of_devices(root: Path) -> None:
    for name in ("R02", "R01", "S01"):
        device(root / "ipad" / name)
    (root / "ipad" / "notes").mkdir()
    assert [dataset.spec for dataset in Ipad.select("all", root)] == ["ipad:R01", "ipad:R02", "ipad:S01"]
    assert [dataset.spec for dataset in Ipad.select("S01, R01,S01", root)] == ["ipad:S01", "ipad:R01"]
    with pytest.raises(DatasetError, match="IPAD has no device 'R1' here") as caught:
        Ipad.select("R1", root)
    assert "did you mean R01? Known: R01, R02, S01" in caught.value.hint


def test_a_device_without_a_test_split(root: Path) -> None:
    clip(root / "R01/training/frames/01", range(2))
    assert opened(root).samples("test") == []
    assert opened(root).notes() == []


def test_all_sixteen_devices_are_known_by_their_names(root: Path) -> None:
    names = [*(f"R{number:02d}" for number in range(1, 5)), *(f"S{number:02d}" for number in range(1, 13))]
    for name in names:
        device(root / "IPAD_dataset" / name)
    assert [one.spec for one in Ipad.select("all", root)] == [f"ipad:{name}" for name in names]
