from __future__ import annotations

from pathlib import Path

import pytest

from adkit.data.locations import Benchmark, OwnFolder
from adkit.errors import DatasetError
from adkit.types import Sample, Split


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("ADKIT_DATA", raising=False)
    return folder


def part(folder: Path) -> Path:
    (folder / "train").mkdir(parents=True)
    return folder


class Videos(OwnFolder):
    name, hint = "video", "name one"

    def samples(self, split: Split) -> list[Sample]:
        return []


def video(root: Path | None) -> tuple[Path, Path | None]:
    (found,) = Videos.select("video", root)
    assert isinstance(found, Videos)
    return found.folder, found.root


class Parts(Benchmark):
    """Folders that hold a training split."""

    name, owner, thing = "parts", "Parts", "part"
    places, mark = ("parts", ""), "train"
    expected = "<root>/parts/<part>/train"

    def samples(self, split: Split) -> list[Sample]:
        return []


def chosen(selection: str, root: Path | None) -> list[Path]:
    found = Parts.select(selection, root)
    assert [dataset.spec for dataset in found] == [f"parts:{dataset.folder.name}" for dataset in found]
    return [dataset.folder for dataset in found]


def test_the_likeliest_of_several_places_wins(tmp_path: Path) -> None:
    part(tmp_path / "nut")
    near = part(tmp_path / "parts" / "nut")
    bolt = part(tmp_path / "bolt")
    (tmp_path / "parts" / "notes").mkdir()
    assert chosen("all", tmp_path) == [bolt, near]
    assert chosen("nut, bolt,nut", tmp_path) == [near, bolt]


def test_without_a_root_the_environment_is_asked_and_then_the_working_folder(
    tmp_path: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part(here / "data" / "parts" / "nut")
    assert [folder.resolve() for folder in chosen("nut", None)] == [here / "data" / "parts" / "nut"]
    named = part(tmp_path / "named" / "nut")
    monkeypatch.setenv("ADKIT_DATA", str(tmp_path / "named"))
    assert chosen("nut", None) == [named]


def test_what_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"no part of Parts was found in any of: {tmp_path / 'parts'}, {tmp_path}"):
        chosen("nut", tmp_path)
    part(tmp_path / "nut")
    with pytest.raises(DatasetError, match="Parts has no part 'nit' here") as caught:
        chosen("nut,nit", tmp_path)
    assert "did you mean nut?" in caught.value.hint


def test_a_folder_by_its_path(tmp_path: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match="there is no such folder: tried video") as caught:
        video(None)
    assert caught.value.hint == "name one, or what it lies in: --root FOLDER"
    below = tmp_path / "data" / "video"
    below.mkdir(parents=True)
    monkeypatch.setenv("ADKIT_DATA", str(tmp_path / "data"))
    assert video(None) == (below, tmp_path / "data")
    (here / "video").mkdir()
    assert video(None) == (Path("video"), here)
    assert video(tmp_path / "data") == (below, tmp_path / "data")
