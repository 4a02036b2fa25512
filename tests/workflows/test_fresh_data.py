"""Further images of good parts: each counts once, and none that the run has seen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from adkit.data.fingerprints import content_hashes
from adkit.errors import DatasetError, FrameError
from adkit.registry import Registry
from adkit.runs.store import Run
from adkit.workflows.fresh_data import fresh_normals, score_normals
from adkit.workflows.score import Workplace
from tests.greys import METHODS, Greys, fit_greys, paint, usual_levels, with_methods


@pytest.fixture(scope="module")
def registry() -> Registry:
    return with_methods(METHODS)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return paint(tmp_path_factory.mktemp("learned"), usual_levels(20, 1))


@pytest.fixture(scope="module")
def run(registry: Registry, learned: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fit_greys(registry, Greys(learned), tmp_path_factory.mktemp("runs"))


@pytest.fixture
def fresh(tmp_path: Path) -> list[Path]:
    return paint(tmp_path / "fresh", usual_levels(10, 2), seed=2)


def seen_by(run: Run) -> set[str]:
    return {*run.seen().training.values(), *run.seen().calibration.values()}


def test_new_images_are_all_taken_in_order(run: Run, fresh: list[Path]) -> None:
    found = fresh_normals([str(fresh[0].parent)], seen_by(run), run.record)
    assert [sample.frame.path for sample in found.samples] == fresh
    assert found.hashes == content_hashes(found.samples)
    assert found.named == str(fresh[0].parent)
    assert found.notes() == []


def test_what_the_run_has_seen_is_left_out_by_content_whatever_it_is_called(
    run: Run, learned: list[Path], fresh: list[Path]
) -> None:
    renamed = fresh[0].parent / "taken today.png"
    shutil.copyfile(learned[3], renamed)
    found = fresh_normals([str(fresh[0].parent), str(learned[5])], seen_by(run), run.record)
    assert [sample.frame.path for sample in found.samples] == fresh
    assert found.seen == [str(renamed), str(learned[5])]
    assert found.copies == []
    (note,) = found.notes()
    assert note.startswith("left out 2 images that the run has seen")
    assert str(renamed) in note


def test_a_file_that_only_has_the_name_of_a_seen_one_is_taken(run: Run, learned: list[Path], tmp_path: Path) -> None:
    (other,) = paint(tmp_path, [100.0], seed=9)
    assert other.name == learned[0].name
    found = fresh_normals([str(other)], seen_by(run), run.record)
    assert (len(found.samples), found.seen) == (1, [])


@pytest.mark.parametrize("place", ["NG", "monday/scratched", "masks", "stripe"])
def test_what_a_name_says_is_bad_is_no_normal_data(run: Run, fresh: list[Path], tmp_path: Path, place: str) -> None:
    """Beside good/, that is any other name."""
    fresh[0].parent.rename(tmp_path / "good")
    paint(tmp_path / place, [200.0], seed=3)
    with pytest.raises(DatasetError, match=r"1 file in .* the names say otherwise|masks lie beside the images of"):
        fresh_normals([str(tmp_path)], seen_by(run), run.record)


def test_a_copy_counts_once(run: Run, fresh: list[Path]) -> None:
    folder = fresh[0].parent
    for name in ("copy.png", "later.png"):
        shutil.copyfile(fresh[2], folder / name)
    found = fresh_normals([str(folder)], seen_by(run), run.record)
    assert len(found.samples) == 10
    assert found.copies == [str(folder / "copy.png"), str(folder / "later.png")]
    assert found.notes() == [
        f"left out 2 images of which there are copies: each counts once (the first: {folder / 'copy.png'})"
    ]


def test_a_file_that_is_named_twice_is_not_even_a_copy(run: Run, fresh: list[Path]) -> None:
    found = fresh_normals([str(fresh[0]), str(fresh[0].parent), f"{fresh[0].parent}/*.png"], seen_by(run), run.record)
    assert (len(found.samples), found.copies) == (10, [])


@pytest.mark.parametrize("renamed", [False, True])
def test_nothing_but_seen_images_is_refused(run: Run, learned: list[Path], tmp_path: Path, renamed: bool) -> None:
    folder = learned[0].parent
    if renamed:
        folder = tmp_path / "copies"
        folder.mkdir()
        for number, path in enumerate(learned):
            shutil.copyfile(path, folder / f"new {number}.png")
    with pytest.raises(DatasetError, match="the run has seen all 20 images of ") as caught:
        fresh_normals([str(folder)], seen_by(run), run.record)
    assert str(folder) in caught.value.message
    assert "taken later" in caught.value.hint


def test_the_one_seen_image_is_one(run: Run, learned: list[Path]) -> None:
    with pytest.raises(DatasetError, match="the run has seen the one image of "):
        fresh_normals([str(learned[0])], seen_by(run), run.record)


def test_a_place_without_images_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no image in the folder"):
        fresh_normals([str(tmp_path)], seen_by(run), run.record)


def damaged(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:40])
    return path


def test_an_unreadable_image_is_refused_by_name(registry: Registry, run: Run, fresh: list[Path]) -> None:
    damaged(fresh[4])
    found = fresh_normals([str(fresh[0].parent)], seen_by(run), run.record)
    with pytest.raises(FrameError, match=r"004\.png"):
        score_normals(run, Workplace(registry, device="cpu"), found)


def test_unreadable_images_are_left_out_on_demand_and_noted(registry: Registry, run: Run, fresh: list[Path]) -> None:
    bad = [damaged(fresh[number]) for number in (4, 7)]
    bad[1].write_bytes(b"")
    found = fresh_normals([str(fresh[0].parent)], seen_by(run), run.record)
    predictions = score_normals(run, Workplace(registry, device="cpu", skip_bad=True), found).predictions
    assert predictions.ids == tuple(str(path) for path in fresh if path not in bad)
    assert found.unreadable == [str(path) for path in bad]
    assert found.notes() == [f"left out 2 images that cannot be read (the first: {bad[0]})"]


def test_nothing_readable_is_refused(registry: Registry, run: Run, fresh: list[Path]) -> None:
    found = fresh_normals([str(damaged(fresh[4]))], seen_by(run), run.record)
    with pytest.raises(DatasetError, match=r"none of the images of .* can be read"):
        score_normals(run, Workplace(registry, device="cpu", skip_bad=True), found)


def test_files_that_cannot_be_opened_are_not_taken_for_copies_of_each_other(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = paint(tmp_path / "locked", [90.0, 91.0, 92.0], seed=3)
    monkeypatch.setattr("adkit.data.fingerprints.content_hash", lambda _: "unreadable")
    found = fresh_normals([str(path) for path in paths], seen_by(run), run.record)
    assert [sample.frame.path for sample in found.samples] == paths
    assert found.copies == []


def test_scores_are_those_of_the_method(registry: Registry, run: Run, fresh: list[Path]) -> None:
    found = fresh_normals([str(fresh[0].parent)], seen_by(run), run.record)
    scored = score_normals(run, Workplace(registry, device="cpu"), found)
    assert scored.scores.tolist() == [result.score for result in scored.model.score([fresh[0].parent])]
