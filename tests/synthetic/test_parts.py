from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adkit.data.images import read_image, read_mask
from adkit.synthetic.parts import DEFECTS, GRADES, PART_NAMES, SIZE_PX, draw_part, write_parts
from adkit.types import FrameRef


def draw(part: str, seed: int, defect: str | None = None, grade: str = "clear") -> tuple[np.ndarray, np.ndarray]:
    return draw_part(part, np.random.default_rng(seed), defect, grade)


@pytest.mark.parametrize("part", PART_NAMES)
def test_good_parts_have_an_empty_mask(part: str) -> None:
    picture, mask = draw(part, 0)
    assert picture.shape == (SIZE_PX, SIZE_PX, 3)
    assert picture.dtype == np.uint8
    assert mask.shape == (SIZE_PX, SIZE_PX)
    assert mask.dtype == np.bool_
    assert not mask.any()
    assert picture.std() > 5, "not a flat image"


@pytest.mark.parametrize("part", PART_NAMES)
def test_a_seed_gives_one_image(part: str) -> None:
    one, again, other = draw(part, 1)[0], draw(part, 1)[0], draw(part, 2)[0]
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("part", PART_NAMES)
@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.parametrize("grade", GRADES)
def test_defects_are_small_but_there(part: str, defect: str, grade: str) -> None:
    for seed in range(2):
        picture, mask = draw(part, seed, defect, grade)
        assert picture.dtype == np.uint8
        assert 10 < mask.sum() < 0.25 * mask.size, f"{mask.sum()} anomalous pixels with seed {seed}"


@pytest.mark.parametrize("part", PART_NAMES)
@pytest.mark.parametrize("defect", DEFECTS)
def test_defects_change_the_image_where_the_mask_says(part: str, defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without lamp and noise, a part with a defect equals the same part without it except under the mask.
    monkeypatch.setattr("adkit.synthetic.parts._light", lambda canvas, rng: canvas)
    for seed in range(2):
        good = draw(part, seed)[0].astype(np.float64)
        picture, mask = draw(part, seed, defect)
        change = np.abs(picture - good).mean(axis=2)
        noise = np.median(change)
        assert change[mask].mean() > 3 * noise, "a defect is seen"
        away = ~mask
        for _ in range(8):  # a soft edge of a few pixels surrounds it
            away[1:] &= away[:-1].copy()
        assert change[mask].mean() > 2 * change[away].mean(), "and nothing else changed as much"


@pytest.mark.parametrize("part", PART_NAMES)
def test_grades_are_ordered(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adkit.synthetic.parts._light", lambda canvas, rng: canvas)
    good = draw(part, 4)[0].astype(np.float64)
    for defect in ("scratch", "stain"):
        changes = []
        for grade in GRADES:
            picture, mask = draw(part, 4, defect, grade)
            changes.append(float(np.abs(picture - good).mean(axis=2)[mask].mean()))
        assert changes == sorted(changes, reverse=True), f"{defect}: {changes}"


def test_mean_brightness_does_not_tell_defects() -> None:
    good = [float(draw("washer", seed)[0].mean()) for seed in range(12)]
    bad = [float(draw("washer", seed, DEFECTS[seed % 3])[0].mean()) for seed in range(12, 18)]
    inside = sum(min(good) <= value <= max(good) for value in bad)
    assert inside >= 3, f"good {sorted(good)}, bad {sorted(bad)}"


def test_written_parts_are_in_mvtecs_layout(tmp_path: Path) -> None:
    write_parts(tmp_path / "fabric", "fabric", seed=5, train=2, good=1, each_grade=1)
    kinds = {f"{grade}_{defect}" for grade in GRADES for defect in DEFECTS}
    files = {path.relative_to(tmp_path / "fabric").as_posix() for path in tmp_path.rglob("*.png")}
    expected = {"train/good/000.png", "train/good/001.png", "test/good/000.png"}
    expected |= {f"test/{kind}/000.png" for kind in kinds} | {f"ground_truth/{kind}/000_mask.png" for kind in kinds}
    assert files == expected
    for kind in kinds:
        truth = FrameRef(tmp_path / "fabric" / "ground_truth" / kind / "000_mask.png")
        assert read_mask(truth, (SIZE_PX, SIZE_PX)).any()


def test_more_of_one_kind_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    write_parts(tmp_path / "few", "connector", seed=5, train=1, good=0, each_grade=1)
    write_parts(tmp_path / "more", "connector", seed=5, train=2, good=1, each_grade=1)
    few = sorted((tmp_path / "few").rglob("*.png"))
    assert len(few) == 1 + 2 * len(GRADES) * len(DEFECTS)
    for path in few:
        other = tmp_path / "more" / path.relative_to(tmp_path / "few")
        assert np.array_equal(read_image(FrameRef(path)), read_image(FrameRef(other)))


def test_train_and_test_share_no_image(tmp_path: Path) -> None:
    write_parts(tmp_path, "washer", seed=5, train=2, good=2, each_grade=0)
    pictures = {read_image(FrameRef(path)).tobytes() for path in tmp_path.rglob("*.png")}
    assert len(pictures) == 4
