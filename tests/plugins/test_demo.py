from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from adkit_demo import dataset as demo
from adkit_demo.dataset import Demo

from adkit.errors import DatasetError
from adkit.synthetic import conveyor
from adkit.synthetic.parts import DEFECTS, GRADES, PART_NAMES


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and few images in it."""
    monkeypatch.setenv("ADKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(demo, "COUNTS", {"train": 3, "good": 2, "each_grade": 1})
    return tmp_path


@pytest.mark.usefixtures("small")
def test_samples() -> None:
    (dataset,) = Demo.select("connector", None)
    assert dataset.spec == "demo:connector"
    train, test = dataset.samples("train"), dataset.samples("test")
    assert [sample.id for sample in train] == [f"train/good/{number:03d}" for number in range(3)]
    assert not any(sample.anomalous for sample in train)
    kinds = Counter(sample.kind for sample in test)
    assert kinds == {"good": 2} | {f"{grade}_{defect}": 1 for grade in GRADES for defect in DEFECTS}
    for sample in test:
        assert sample.anomalous == (sample.kind != "good")
        assert (sample.mask is not None) == sample.anomalous
        assert sample.frame.path.is_file()
        assert sample.mask is None or sample.mask.path.is_file()


def test_parts_are_drawn_once(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (dataset,) = Demo.select("washer", None)
    before = [sample.frame.path.read_bytes() for sample in dataset.samples("train")]
    assert all(small in sample.frame.path.parents for sample in dataset.samples("test"))
    monkeypatch.setattr(demo, "write_parts", lambda *_, **__: pytest.fail("drawn again"))
    (again,) = Demo.select("washer", None)
    assert [sample.frame.path.read_bytes() for sample in again.samples("train")] == before


def test_an_interrupted_drawing_leaves_nothing(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(folder: Path, *_: object, **__: object) -> None:
        (folder / "train").mkdir()
        raise KeyboardInterrupt

    (dataset,) = Demo.select("washer", None)
    with monkeypatch.context() as patch:
        patch.setattr(demo, "write_parts", interrupted)
        with pytest.raises(KeyboardInterrupt):
            dataset.samples("train")
    assert not [path for path in small.rglob("*") if path.name == "train"]
    assert len(dataset.samples("train")) == 3


def test_a_new_version_is_drawn_anew(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Demo("washer").samples("train")[0].frame.path
    monkeypatch.setattr(demo, "PARTS_VERSION", demo.PARTS_VERSION + 1)
    second = Demo("washer").samples("train")[0].frame.path
    assert first != second
    assert first.is_file()


def test_selections() -> None:
    assert [dataset.spec for dataset in Demo.select("all", None)] == [f"demo:{name}" for name in PART_NAMES]
    assert [dataset.spec for dataset in Demo.select("fabric, washer,fabric", None)] == ["demo:fabric", "demo:washer"]


def test_an_unknown_part_is_told_with_the_nearest() -> None:
    with pytest.raises(DatasetError, match="there is no synthetic part 'wascher'") as caught:
        Demo.select("wascher", None)
    assert "did you mean washer?" in caught.value.hint


@pytest.mark.usefixtures("small")
def test_notes_say_that_the_parts_are_synthetic() -> None:
    (line,) = Demo("fabric").notes()
    assert line.startswith("synthetic fabrics, drawn with seed 0")


def test_clips_of_the_conveyor(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conveyor, "KINDS", ("stop",))
    monkeypatch.setattr(demo, "CLIP_COUNTS", {"train": 1, "good": 1, "each_kind": 1})
    (dataset,) = Demo.select("conveyor", None)
    assert dataset.spec == "demo:conveyor"
    train, test = dataset.samples("train"), dataset.samples("test")
    assert [sample.id for sample in train[:2]] == ["train/normal/000/00000", "train/normal/000/00001"]
    assert len(train) == 240
    assert not any(sample.anomalous for sample in train)
    assert (train[1].clip, train[1].index, train[1].frame.number) == ("train/normal/000", 1, 1)
    assert train[-1].time_s == pytest.approx(239 / 20)
    assert all(small in sample.frame.path.parents for sample in test)
    assert list(dict.fromkeys(sample.clip for sample in test)) == ["test/normal/000", "test/stop/000"]
    stop = [sample for sample in test if sample.clip == "test/stop/000"]
    assert {(sample.anomalous, sample.kind) for sample in stop} == {(False, "good"), (True, "stop")}
    assert 40 < sum(bool(sample.anomalous) for sample in stop) < 120
    assert [sample.kind for sample in test[:240]] == ["good"] * 240
    monkeypatch.setattr(demo, "write_conveyor", lambda *_, **__: pytest.fail("drawn again"))
    assert Demo.select("conveyor", None)[0].samples("train") == train
    assert dataset.notes()[0].startswith("synthetic clips of a conveyor belt, drawn with seed 0; anomalies are stop,")


def test_clips_are_not_among_all_parts() -> None:
    """`demo:all` is what every method learns from, and clips are not for every method."""
    assert "demo:conveyor" not in [dataset.spec for dataset in Demo.select("all", None)]
    assert [dataset.spec for dataset in Demo.select("washer,conveyor", None)] == ["demo:washer", "demo:conveyor"]


def test_a_tray(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "TRAY_COUNTS", {"train": 3, "good": 2, "each_kind": 1})
    (dataset,) = Demo.select("tray", None)
    assert len(dataset.samples("train")) == 3
    kinds = Counter(sample.kind for sample in dataset.samples("test"))
    assert kinds == {"good": 2, "extra": 1, "missing": 1, "swapped": 1}
    assert str(small) in dataset.notes()[0]
