from __future__ import annotations

from pathlib import Path

import pytest
from adkit_mvtec.dataset import MVTec

from adkit.errors import DatasetError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"never decoded")


def category(folder: Path) -> Path:
    """A category with two training images, one good and two cracked ones to test, one of them with a mask."""
    touch(folder / "train/good/000.png", folder / "train/good/001.png", folder / "test/good/000.png")
    touch(folder / "test/crack/000.png", folder / "test/crack/001.png", folder / "ground_truth/crack/000_mask.png")
    return folder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ADKIT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "root"


def specs(selection: str, root: Path | None) -> list[str]:
    return [dataset.spec for dataset in MVTec.select(selection, root)]


@pytest.mark.parametrize("name", ["MVTec_AD_2", "mvtec-ad", "MVTec", "MVTec LOCO AD"])
def test_the_folder_of_all_categories_may_be_called_in_any_way(root: Path, name: str) -> None:
    category(root / name / "bottle")
    assert specs("bottle", root) == ["mvtec:bottle"]


def test_samples_of_a_category(root: Path) -> None:
    folder = category(root / "mvtec" / "bottle")
    (dataset,) = MVTec.select("bottle", root)
    assert dataset.spec == "mvtec:bottle"
    train = dataset.samples("train")
    assert [(s.id, s.anomalous, s.kind) for s in train] == [
        ("train/good/000", False, "good"),
        ("train/good/001", False, "good"),
    ]
    test = {sample.id: sample for sample in dataset.samples("test")}
    assert list(test) == ["test/crack/000", "test/crack/001", "test/good/000"]
    first, second, good = test.values()
    assert (first.anomalous, first.kind) == (True, "crack")
    assert first.mask is not None
    assert first.mask.path == folder / "ground_truth/crack/000_mask.png"
    assert first.frame.path == folder / "test/crack/000.png"
    assert first.clip == first.id, "a still image is a clip of its own"
    assert second.anomalous
    assert second.mask is None
    assert (good.anomalous, good.kind, good.mask) == (False, "good", None)


@pytest.mark.parametrize("place", ["mvtec", ".", "mvtec_anomaly_detection"])
def test_categories_are_found_in_several_places(root: Path, place: str) -> None:
    category(root / place / "bottle")
    assert specs("bottle", root) == ["mvtec:bottle"]


def test_the_root_comes_from_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    category(root / "mvtec" / "bottle")
    monkeypatch.setenv("ADKIT_DATA", str(root))
    assert specs("bottle", None) == ["mvtec:bottle"]
    with pytest.raises(DatasetError, match="no category of MVTec was found"):
        MVTec.select("bottle", root / "elsewhere")


@pytest.mark.parametrize("place", ["data/mvtec", "mvtec", "data"])
def test_the_working_folder_is_looked_at(root: Path, place: str) -> None:
    category(root.parent / place / "bottle")
    assert specs("bottle", None) == ["mvtec:bottle"]


def test_a_category_is_found_again_from_elsewhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    category(root.parent / "data/mvtec/bottle")
    (dataset,) = MVTec.select("bottle", None)
    root.mkdir()
    monkeypatch.chdir(root)
    (again,) = MVTec.select("bottle", dataset.root)
    assert len(again.samples("train")) == 2


def test_the_likeliest_place_wins(root: Path) -> None:
    near = category(root / "mvtec" / "bottle")
    category(root / "bottle")
    (dataset,) = MVTec.select("bottle", root)
    assert isinstance(dataset, MVTec)
    assert dataset.folder == near


def test_all_and_lists_of_categories(root: Path) -> None:
    for name in ("screw", "bottle", "pill"):
        category(root / "mvtec" / name)
    touch(root / "mvtec" / "readme" / "notes.png")
    assert specs("all", root) == ["mvtec:bottle", "mvtec:pill", "mvtec:screw"]
    assert specs("screw, bottle", root) == ["mvtec:screw", "mvtec:bottle"]
    assert specs("pill,pill", root) == ["mvtec:pill"]


def test_an_unknown_category_is_told_with_the_nearest(root: Path) -> None:
    for name in ("screw", "bottle"):
        category(root / "mvtec" / name)
    with pytest.raises(DatasetError, match="MVTec has no category 'botle' here") as caught:
        MVTec.select("screw,botle", root)
    assert "did you mean bottle? Known: bottle, screw" in caught.value.hint


def test_the_tried_places_are_named(root: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        MVTec.select("bottle", root)
    for place in (root / "mvtec", root, root / "mvtec_anomaly_detection"):
        assert str(place) in caught.value.message
    assert "--root" in caught.value.hint
    assert "$ADKIT_DATA" in caught.value.hint


@pytest.mark.parametrize("name", ["000.png", "000.PNG", "000.jpg", "000.JPEG", "000.bmp", "000.tif", "000.webp"])
def test_images_of_any_type(root: Path, name: str) -> None:
    touch(root / "bottle/train/good" / name, root / "bottle/train/good/Thumbs.db", root / "bottle/train/good/._000.png")
    (dataset,) = MVTec.select("bottle", root)
    assert [sample.frame.path.name for sample in dataset.samples("train")] == [name]


@pytest.mark.parametrize("name", ["000_mask.png", "000.png", "000_mask.bmp"])
def test_masks_by_either_name(root: Path, name: str) -> None:
    touch(root / "bottle/train/good/000.png", root / "bottle/test/crack/000.jpg")
    touch(root / "bottle/ground_truth/crack" / name)
    (sample,) = MVTec.select("bottle", root)[0].samples("test")
    assert sample.mask is not None
    assert sample.mask.path.name == name


def test_anomalous_training_images_are_reported_as_such(root: Path) -> None:
    category(root / "bottle")
    touch(root / "bottle/train/crack/000.png")
    train = MVTec.select("bottle", root)[0].samples("train")
    assert [(sample.id, sample.anomalous) for sample in train] == [
        ("train/crack/000", True),
        ("train/good/000", False),
        ("train/good/001", False),
    ]


def test_a_category_without_a_test_split(root: Path) -> None:
    touch(root / "bottle/train/good/000.png")
    (dataset,) = MVTec.select("bottle", root)
    assert dataset.samples("test") == []


def test_images_that_differ_in_their_suffix_only_stay_apart(root: Path) -> None:
    touch(root / "bottle/train/good/000.png", root / "bottle/train/good/000.jpg")
    ids = [sample.id for sample in MVTec.select("bottle", root)[0].samples("train")]
    assert len(set(ids)) == 2
