"""One walk through folders for whatever reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from adkit_clips.dataset import Clips
from adkit_folder.dataset import Folder
from PIL import Image

from adkit.data.images import png_of
from adkit.data.inputs import find_inputs
from adkit.data.layouts import ANOMALOUS_NAMES, OWN, contents_of, in_numeric_order
from adkit.errors import DatasetError
from adkit.types import Sample
from tests.videos import write_greys


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"never decoded")
    return folder


def paths_in(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in contents_of(folder).files]


def learned(folder: Path) -> list[Sample]:
    return [*Folder(folder, "folder:x", folder).samples("train"), *Folder(folder, "folder:x", folder).samples("test")]


def watched(folder: Path) -> list[Sample]:
    return Clips(folder, "clips:x", folder).samples("train")


def scored(folder: Path) -> list[Sample]:
    return find_inputs([str(folder)]).stills


def calibrated(folder: Path) -> list[Sample]:
    return [sample for clip in find_inputs([str(folder)], of_clips=True).clips for sample in clip.samples()]


READERS = pytest.mark.parametrize("read", [learned, watched, scored, calibrated])


@READERS
@pytest.mark.parametrize("name", [".thumbnails/2.png", "__MACOSX/2.png", "@eaDir/2.png", "a/._1.png"])
def test_what_is_hidden_or_left_by_others_is_read_nowhere(
    tmp_path: Path, read: Callable[[Path], list[Sample]], name: str
) -> None:
    touch(tmp_path, "a/1.png", name, "a/Thumbs.db")
    assert [sample.frame.path for sample in read(tmp_path)] == [tmp_path / "a" / "1.png"]


@READERS
def test_runs_are_not_read(tmp_path: Path, read: Callable[[Path], list[Sample]]) -> None:
    touch(tmp_path, "a/1.png", "runs/one/run.json", "runs/one/model.safetensors", "runs/one/pictures/1.png")
    assert [sample.frame.path for sample in read(tmp_path)] == [tmp_path / "a" / "1.png"]
    assert len(read(tmp_path / "runs" / "one" / "pictures")) == 1, "named itself"


@READERS
@pytest.mark.parametrize("name", ["a/inspect-folder-parts.png", "maps/1.PNG"])
def test_pictures_that_adkit_drew_are_not_read(tmp_path: Path, read: Callable[[Path], list[Sample]], name: str) -> None:
    touch(tmp_path, "a/1.png", name)
    (tmp_path / name).write_bytes(png_of(Image.new("RGB", (8, 8))))
    assert [sample.frame.path for sample in read(tmp_path)] == [tmp_path / "a" / "1.png"]
    assert f"1 {OWN}" in contents_of(tmp_path).notes(lambda _: True)[0]


@READERS
def test_linked_folders_are_read_once_and_loops_are_noticed(
    tmp_path: Path, read: Callable[[Path], list[Sample]]
) -> None:
    touch(tmp_path, "store/1.png", "store/2.png", "parts/a/3.png")
    parts = tmp_path / "parts"
    (parts / "linked").symlink_to(tmp_path / "store")
    (parts / "again").symlink_to(tmp_path / "store")
    (parts / "a" / "up").symlink_to(parts)
    (tmp_path / "store" / "back").symlink_to(parts)
    (parts / "lost").symlink_to(tmp_path / "nowhere")
    assert sorted(sample.frame.path.name for sample in read(parts)) == ["1.png", "2.png", "3.png"]
    (note,) = contents_of(parts).notes(lambda _: True)
    assert "links to folders that are read already" in note
    assert "1 files or links that cannot be opened" in note


def test_a_link_to_the_own_parent_adds_nothing(tmp_path: Path) -> None:
    for number in range(2):
        write_greys(tmp_path / "line" / "day" / f"{number}.mp4", [50, 90])
    (tmp_path / "line" / "day" / "up").symlink_to(tmp_path / "line")
    assert len({sample.clip for sample in watched(tmp_path / "line")}) == 2


def test_a_split_may_be_linked(tmp_path: Path) -> None:
    touch(tmp_path, "store/good/1.png", "parts/test/crack/2.png")
    (tmp_path / "parts" / "train").mkdir()
    (tmp_path / "parts" / "train" / "good").symlink_to(tmp_path / "store" / "good")
    (sample,) = Folder(tmp_path / "parts", "folder:x", tmp_path).samples("train")
    assert sample.id == "train/good/1.png"


def test_what_is_left_out_is_told_by_all(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "a/2.avif", "a/3.AVIF", "a/4.jp2", ".cache/5.png")
    told = f"left out in {tmp_path}: 1 hidden folders, 3 files of other types (.avif, .jp2)"
    assert Folder(tmp_path, "folder:x", tmp_path).notes()[-1] == told
    assert Clips(tmp_path, "clips:x", tmp_path).notes()[-1] == told
    assert find_inputs([str(tmp_path)]).notes == [told]


@pytest.mark.parametrize("empty", ["train", "normal"])
def test_an_empty_folder_of_normal_data_is_not_looked_past(tmp_path: Path, empty: str) -> None:
    touch(tmp_path, "unsorted/1.png", "unsorted/2.mp4")
    (tmp_path / empty).mkdir()
    for dataset in (Folder, Clips):
        with pytest.raises(DatasetError, match=f"{tmp_path} has the folder|was found to learn from in {tmp_path}"):
            dataset(tmp_path, "x", tmp_path)


@pytest.mark.parametrize("name", sorted(ANOMALOUS_NAMES))
def test_no_dataset_learns_from_a_folder_that_says_it_is_bad(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"{name.upper()}/1.png", "usual/2.png")
    for dataset in (Folder, Clips):
        with pytest.raises(DatasetError, match=f"has the folder '{name}' but none named"):
            dataset(tmp_path, "x", tmp_path)


@pytest.mark.parametrize("name", ["a.CSV", "a.mp4.csv", "a.csv"])
def test_labels_are_found_under_names_that_tools_give_them(tmp_path: Path, name: str) -> None:
    write_greys(tmp_path / "train" / "n.mp4", [50, 90])
    write_greys(tmp_path / "test" / "stop" / "a.mp4", [50, 90, 130])
    (tmp_path / "test" / "stop" / name).write_text("first_frame,last_frame\n1,1\n", encoding="utf-8")
    samples = Clips(tmp_path, "clips:x", tmp_path).samples("test")
    assert [sample.anomalous for sample in samples] == [False, True, False]


def test_the_part_of_a_pattern_that_is_there_stands_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "line [2]/1.png", "line [2]/2.png", "line 2/3.png")
    for pattern in (str(tmp_path / "line [2]" / "*.png"), "line [2]/*.png"):
        monkeypatch.chdir(tmp_path)
        assert [sample.frame.path.name for sample in find_inputs([pattern]).stills] == ["1.png", "2.png"]


def test_a_folder_without_files_has_none(tmp_path: Path) -> None:
    assert paths_in(tmp_path) == []
    assert contents_of(tmp_path / "absent").files == ()


def test_files_are_numbered_as_people_do() -> None:
    names = ["10/1.jpg", "2/10.jpg", "2/9.jpg", "2/a.jpg"]
    assert [str(path) for path in in_numeric_order(map(Path, names))] == ["2/9.jpg", "2/10.jpg", "2/a.jpg", "10/1.jpg"]
