from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from adkit.data.datasets import open_datasets
from adkit.data.fingerprints import content_hashes, data_hash
from adkit.data.inputs import find_inputs
from adkit.errors import DatasetError, PluginError
from adkit.interfaces import Dataset, DatasetEntry
from adkit.registry import Plugin, Registry
from adkit.types import Sample, Split


class Shelf(Dataset):
    """A dataset that remembers how it was selected."""

    def __init__(self, spec: str, root: Path | None) -> None:
        self.spec = spec
        self.root = root

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        return [cls(f"shelf:{name}", root) for name in selection.split(",")]

    def samples(self, split: Split) -> list[Sample]:
        return []


@pytest.fixture
def shelves() -> Registry:
    """A registry with the dataset `shelf` alone."""
    registry = Registry()
    registry.datasets.add(DatasetEntry("shelf", "a shelf", Shelf, "shelf:top"), Plugin("shelf", "shelf", "acme", "1.0"))
    return registry


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a.png, b.JPG, deep/c.png, deep/deeper/d.tif and what is no image."""
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "none").mkdir()
    names = (
        "a.png",
        "b.JPG",
        "deep/c.png",
        "deep/deeper/d.tif",
        "notes.txt",
        ".hidden.png",
        "none/x.txt",
        "odd[1].png",
    )
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names_of(samples: list[Sample]) -> list[str]:
    """The paths of samples with `/`."""
    return [sample.frame.path.as_posix() for sample in samples]


def test_a_spec_is_split_at_its_first_colon(shelves: Registry, tmp_path: Path) -> None:
    (dataset,) = open_datasets("shelf:left:top", tmp_path, shelves)
    assert isinstance(dataset, Shelf)
    assert (dataset.spec, dataset.root) == ("shelf:left:top", tmp_path)


def test_a_spec_may_name_several_categories(shelves: Registry) -> None:
    assert [dataset.spec for dataset in open_datasets("shelf:top,low", None, shelves)] == ["shelf:top", "shelf:low"]


@pytest.mark.parametrize("spec", ["shelf", "shelf:"])
def test_without_a_category_an_example_is_given(shelves: Registry, spec: str) -> None:
    with pytest.raises(DatasetError, match="does not say which part of shelf to take") as caught:
        open_datasets(spec, None, shelves)
    assert caught.value.hint == "for example: shelf:top"


def test_an_unknown_dataset_gets_the_nearest_one(shelves: Registry) -> None:
    with pytest.raises(PluginError, match="there is no dataset named 'shelv'") as caught:
        open_datasets("shelv:top", None, shelves)
    assert caught.value.hint == "did you mean shelf? Known: shelf"


def test_a_bare_path_gets_the_spec_that_was_meant(shelves: Registry, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is a path; a dataset is named as NAME:SELECTION") as caught:
        open_datasets(str(tmp_path), None, shelves)
    assert f"--dataset folder:{tmp_path}" in caught.value.hint


def test_a_folder_is_searched_with_all_it_contains(pictures: Path) -> None:
    assert names_of(find_inputs(["deep"]).stills) == ["deep/c.png", "deep/deeper/d.tif"]
    assert names_of(find_inputs(["."]).stills) == ["a.png", "b.JPG", "deep/c.png", "deep/deeper/d.tif", "odd[1].png"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png", "odd[1].png"]),
        ("**/*.png", ["a.png", "deep/c.png", "odd[1].png"]),
        ("deep/*", ["deep/c.png"]),
        ("odd[1].png", ["odd[1].png"]),
        ("notes.txt", ["notes.txt"]),
    ],
)
def test_files_are_named_directly_or_by_a_pattern(pictures: Path, pattern: str, expected: list[str]) -> None:
    assert names_of(find_inputs([pattern]).stills) == expected


def test_each_file_comes_once_in_the_order_of_the_arguments(pictures: Path) -> None:
    samples = find_inputs(["deep/c.png", "*.png", "./a.png", "deep"]).stills
    assert names_of(samples) == ["deep/c.png", "a.png", "odd[1].png", "deep/deeper/d.tif"]
    assert len({sample.id for sample in samples}) == len(samples)
    assert all(sample.anomalous is None and sample.mask is None and sample.clip == sample.id for sample in samples)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("none", "there is no image in the folder none"),
        ("absent.png", "there is no file absent.png"),
        ("*.gif", r"there is no file \*.gif"),
        ("*.txt", r"there is no file \*.txt"),
    ],
)
def test_an_argument_that_names_nothing_is_refused(pictures: Path, argument: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        find_inputs(["a.png", argument])


def hash_in(folder: Path, contents: dict[str, bytes]) -> str:
    """The fingerprint of files that are written there."""
    samples = []
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        samples.append(Sample.still(name, path))
    return data_hash(content_hashes(samples))


def test_the_same_data_has_the_same_fingerprint_anywhere(tmp_path: Path) -> None:
    here = hash_in(tmp_path / "here", {"a.png": b"1", "b.png": b"22"})
    assert here == hash_in(tmp_path / "there", {"b.png": b"22", "a.png": b"1"})
    assert len(here) == 64


def test_other_data_has_another_fingerprint(tmp_path: Path) -> None:
    hashes = {
        hash_in(tmp_path / "1", {"a.png": b"1"}),
        hash_in(tmp_path / "2", {"b.png": b"1"}),
        hash_in(tmp_path / "3", {"a.png": b"22"}),
        hash_in(tmp_path / "4", {"a.png": b"1", "b.png": b"1"}),
        hash_in(tmp_path / "5", {}),
        data_hash(content_hashes([Sample.still("a.png", tmp_path / "absent.png")])),
    }
    assert len(hashes) == 6


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_a_file_name_that_is_not_utf_8_has_a_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"pr\xfcfling.png")
    path.touch()
    (sample,) = find_inputs([str(tmp_path)]).stills
    assert data_hash(content_hashes([sample])) != data_hash(content_hashes([]))


def test_other_contents_of_the_same_size_have_another_fingerprint(tmp_path: Path) -> None:
    large = b"x" * 3_000_000
    assert hash_in(tmp_path, {"a.png": b"1"}) != hash_in(tmp_path, {"a.png": b"2"})
    assert hash_in(tmp_path, {"a.bmp": large + b"1"}) != hash_in(tmp_path, {"a.bmp": large + b"2"})


def test_an_unreadable_file_is_not_an_empty_one(tmp_path: Path) -> None:
    absent = data_hash(content_hashes([Sample.still("a.png", tmp_path / "a.png")]))
    os.mkfifo(tmp_path / "pipe")
    assert absent == data_hash(content_hashes([Sample.still("a.png", tmp_path / "pipe")]))
    assert absent != hash_in(tmp_path, {"a.png": b""})


def test_a_name_that_is_too_long_is_refused(shelves: Registry) -> None:
    with pytest.raises(DatasetError, match=r"cannot look for x+: "):
        find_inputs(["x" * 300])
    with pytest.raises(PluginError, match=r"there is no dataset named 'x+'"):
        open_datasets("x" * 300, None, shelves)
