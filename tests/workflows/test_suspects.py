"""Hidden defects among the good parts: found, left out, and what that does to the promise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from adkit.errors import DatasetError, OptionError, PromiseError
from adkit.registry import Registry
from adkit.runs.record import FitSettings, Suspects
from adkit.runs.store import Run, open_run
from adkit.stats.calibration import ThresholdRule, threshold_from
from adkit.workflows.calibrate import recalibrate
from adkit.workflows.fit import fit, fit_joint
from adkit.workflows.learning import MOST_LEFT_OUT, SURE_SPREADS, why_kept
from adkit.workflows.score import Workplace
from tests.greys import METHODS, Greys, paint, usual_levels, with_methods

HIDDEN = [190.0, 205.0, 230.0]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return with_methods(METHODS)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return paint(tmp_path_factory.mktemp("good"), usual_levels(100, 1))


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory, good: list[Path]) -> list[Path]:
    """A hundred good parts with three defects among them: at 20, 50 and 80."""
    paths = list(good)
    for place, path in zip((20, 50, 80), paint(tmp_path_factory.mktemp("bad"), HIDDEN, seed=7), strict=True):
        paths.insert(place, path)
    return paths


BAD = ["train/080", "train/050", "train/020"]  # the brightest first


def fitted(registry: Registry, paths: list[Path], runs: Path, method: str = "grey_without_one", **settings: Any) -> Run:
    return fit(FitSettings(method=method, device="cpu", **settings), Greys(paths), runs, registry)


@pytest.mark.parametrize("method", ["grey_without_one", "grey", "grey_maps"])
def test_a_robust_fit_is_the_fit_without_the_hidden_defects(
    method: str, registry: Registry, spoilt: list[Path], tmp_path: Path
) -> None:
    robust = fitted(registry, spoilt, tmp_path, method, robust=True)
    named = fitted(registry, spoilt, tmp_path, method, leave_out=BAD)
    assert {one.name for one in robust.record.left_out} == set(BAD)
    assert robust.seen() == named.seen()
    assert robust.record.data_hash == named.record.data_hash
    assert robust.record.threshold == named.record.threshold
    assert robust.record.pixel_threshold == named.record.pixel_threshold
    np.testing.assert_equal(robust.state()["mean"].item(), named.state()["mean"].item())
    assert robust.record.settings.robust
    assert robust.record.settings.leave_out == ()
    assert named.record.settings.leave_out == tuple(BAD)
    assert robust.record.calibration.suspects is None


def test_names_that_are_not_utf_8_are_kept_as_they_are() -> None:
    found = Suspects(scores={"good/p05\udcff.png": 9.5}, gap_from=1.0, gap_to=9.5, among=30, spreads=7.0)
    assert Suspects.model_validate(json.loads(json.dumps(found.model_dump(mode="json")))) == found


def test_the_record_says_who_was_left_out_and_by_which_rule(
    registry: Registry, good: list[Path], spoilt: list[Path], tmp_path: Path
) -> None:
    before = fitted(registry, spoilt, tmp_path).record
    after = fitted(registry, spoilt, tmp_path, robust=True).record
    assert before.suspects == BAD
    assert before.calibration.suspects is not None
    assert not before.left_out
    assert [one.name for one in after.left_out] == BAD
    for one in after.left_out:
        assert one.score == before.calibration.suspects.scores[one.name]
        assert one.why.startswith("3 of 103 scores lie apart from the rest (none between ")
    assert after.train_count == after.threshold.count == 100
    assert after.threshold.value == pytest.approx(fitted(registry, good, tmp_path).record.threshold.value, abs=1e-3)
    assert before.threshold.value > 60 > after.threshold.value
    assert open_run(tmp_path / after.id).record == after


def test_the_promise_says_what_it_assumes(registry: Registry, spoilt: list[Path], tmp_path: Path) -> None:
    threshold = fitted(registry, spoilt, tmp_path, robust=True).record.threshold
    assert (threshold.rank, threshold.count, threshold.left_out) == (1, 100, 3)
    assert threshold.promise().endswith(
        "100 out-of-sample normal scores, 3 others left out as anomalous (if they are normal, it flags about 3.85%)"
    )
    one = threshold_from(range(99), ThresholdRule(), left_out=1)
    assert one.promise().endswith("another 1 left out as anomalous (if it is normal, it flags about 1.98%)")
    assert "left out" not in threshold_from(range(99), ThresholdRule()).promise()


def test_clean_data_are_fitted_as_without_asking(registry: Registry, good: list[Path], tmp_path: Path) -> None:
    plain, robust = (fitted(registry, good, tmp_path, robust=robust).record for robust in (False, True))
    assert robust.left_out == []
    assert robust.calibration.threshold == plain.calibration.threshold


def test_several_turns_find_those_behind_the_farthest(registry: Registry, tmp_path: Path) -> None:
    near = np.random.default_rng(3).normal(120, 0.5, 98).tolist()
    paths = paint(tmp_path / "pictures", [*near, 132.5, 250.0, 250.3])
    record = fitted(registry, paths, tmp_path / "runs", robust=True).record
    assert [one.name for one in record.left_out] == ["train/100", "train/099", "train/098"]
    assert "2 of 101" in record.left_out[0].why
    assert "1 of 99" in record.left_out[2].why


def test_a_second_sort_of_parts_is_not_left_out(registry: Registry, good: list[Path], tmp_path: Path) -> None:
    other = paint(tmp_path / "pictures", np.random.default_rng(4).normal(200, 2, 20).tolist())
    record = fitted(registry, [*good, *other], tmp_path / "runs", robust=True).record
    suspects = record.calibration.suspects
    assert not record.left_out
    assert suspects is not None
    assert len(suspects) == 20 > MOST_LEFT_OUT * 120
    assert "more than 10% of all" in str(why_kept(suspects, 0))


def test_too_few_without_suspects_is_told(registry: Registry, spoilt: list[Path], tmp_path: Path) -> None:
    message = r"without 3 suspects \(the first: greys:all train/080\), greys:all: a promise .* at least 102 .* are 100"
    with pytest.raises(PromiseError, match=message) as caught:
        fitted(registry, spoilt, tmp_path / "runs", robust=True, max_false_alarms="0.98%")
    assert caught.value.hint.endswith("or leave --robust out")
    with pytest.raises(DatasetError, match="has 1 training image besides 102 left out"):
        fitted(registry, spoilt, tmp_path / "runs", leave_out=[f"train/{number:03d}" for number in range(102)])
    assert not (tmp_path / "runs").exists()


def test_of_joint_fits_each_category_is_looked_at_by_itself(
    registry: Registry, good: list[Path], spoilt: list[Path], tmp_path: Path
) -> None:
    first, second = Greys(spoilt), Greys(paint(tmp_path / "pictures", usual_levels(60, 5), seed=5))
    second.spec = "greys:other"  # type: ignore[misc]
    settings = FitSettings(method="grey_without_one", device="cpu", joint=True, robust=True)
    one, other = fit_joint(settings, [first, second], tmp_path / "runs", registry)
    assert [name.name for name in one.record.left_out] == BAD
    assert not other.record.left_out
    assert other.record.joint["greys:all"].train_count == 100
    for words, message in (
        (["train/003"], "is in several datasets: greys:all, greys:other"),
        (["greys:other train/103"], "names no training image or clip"),
    ):
        with pytest.raises(OptionError, match=message):
            fit_joint(settings.model_copy(update={"leave_out": words}), [first, second], tmp_path / "runs", registry)
    named = settings.model_copy(update={"leave_out": ("greys:other train/003",), "robust": False})
    one, other = fit_joint(named, [first, second], tmp_path / "runs", registry)
    assert [len(run.record.left_out) for run in (one, other)] == [0, 1]


# By name


def test_names_are_ids_files_and_several_with_commas(registry: Registry, spoilt: list[Path], tmp_path: Path) -> None:
    for words in (["train/080,train/050", str(spoilt[20])], ["greys:all train/080", "train/020,train/050"]):
        record = fitted(registry, spoilt, tmp_path, leave_out=words).record
        assert sorted(one.name for one in record.left_out) == sorted(BAD)
        assert all(one.score is None for one in record.left_out)
        assert record.threshold.left_out == 3


def test_copies_go_with_what_is_named(registry: Registry, good: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(good[3].read_bytes())
    for name in ("train/003", "train/100"):
        record = fitted(registry, [*good, copy], tmp_path / "runs", leave_out=[name]).record
        assert [one.name for one in record.left_out] == ["train/003", "train/100"]
        assert not record.copies
        assert record.train_count == 99


def test_an_unreadable_file_can_be_left_out(registry: Registry, good: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no image")
    paths = [*good, tmp_path / "bad.png"]
    assert fitted(registry, paths, tmp_path / "runs", leave_out=["train/100"]).record.train_count == 100


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["train/0800"], "'train/0800' names no training image or clip", "did you mean train/080"),
        (["train/080,train/0500"], "'train/0500' names no", "did you mean train/050"),
        (["080.png"], "'080.png' names no", "did you mean train/"),
    ],
)
def test_unknown_names_are_refused(
    words: list[str], message: str, hint: str, registry: Registry, spoilt: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        fitted(registry, spoilt, tmp_path / "runs", leave_out=words)
    assert hint in caught.value.hint
    assert not (tmp_path / "runs").exists()


def test_a_piece_of_a_long_clip_is_left_out_by_its_name(registry: Registry, tmp_path: Path) -> None:
    paths = paint(tmp_path / "pictures", usual_levels(300, 2))
    videos = Greys(paths, [f"video {number // 100}" for number in range(300)])
    videos.train = [replace(sample, index=number % 100) for number, sample in enumerate(videos.train)]
    settings = FitSettings(method="grey_without_one", device="cpu", smoothing=0)
    pieces = list(dict.fromkeys(fit(settings, videos, tmp_path / "runs", registry).calibration().clips))
    assert len(pieces) > 3
    without = settings.model_copy(update={"leave_out": (pieces[2],)})
    run = fit(without, videos, tmp_path / "runs", registry)
    assert list(dict.fromkeys(run.calibration().clips)) == [piece for piece in pieces if piece != pieces[2]]
    assert [one.name for one in run.record.left_out] == [pieces[2]]
    whole = fit(settings.model_copy(update={"leave_out": ("video 1",)}), videos, tmp_path / "runs", registry)
    assert not any(clip.startswith("video 1") for clip in whole.calibration().clips)


def test_new_scores_forget_what_was_left_out(registry: Registry, spoilt: list[Path], tmp_path: Path) -> None:
    run = fitted(registry, spoilt, tmp_path / "runs", robust=True)
    paint(tmp_path / "more", usual_levels(60, 8), seed=8)
    rule = ThresholdRule("expected", 0.05)
    assert recalibrate(run, Workplace(registry), rule=rule).run.record.threshold.left_out == 3
    fresh = recalibrate(open_run(run.folder), Workplace(registry), [str(tmp_path / "more")], rule=rule).run.record
    assert fresh.threshold.left_out == 0
    assert len(fresh.left_out) == 3  # the model has still not learned from them


# The promise in simulation: scores as if what was left out changed none of the others.


def kept(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The scores that set the threshold of a robust fit."""
    total = len(scores)
    while True:
        suspects = Suspects.among_scores([str(place) for place in range(len(scores))], scores)
        if suspects is None or why_kept(suspects, total - len(scores)):
            return scores
        scores = np.delete(scores, [int(name) for name in suspects.scores])


SCORES: dict[str, tuple[Callable[..., NDArray[np.float64]], Callable[[float], float]]] = {
    "normal": (lambda random, count: random.normal(size=count), stats.norm.sf),
    "lognormal": (lambda random, count: random.lognormal(sigma=0.3, size=count), stats.lognorm(0.3).sf),
    "gamma": (lambda random, count: random.gamma(3, size=count), stats.gamma(3).sf),
    "exponential": (lambda random, count: random.exponential(size=count), stats.expon.sf),
}


@pytest.mark.parametrize(("count", "level"), [(20, 0.05), (100, 0.05), (199, 0.01)])
@pytest.mark.parametrize("name", SCORES)
def test_clean_data_keep_the_promise(name: str, count: int, level: float) -> None:
    draw, rate_above = SCORES[name]
    random, rule, repeats = np.random.default_rng(count), ThresholdRule("expected", level), 1000
    rates, extra = [], 0
    for _ in range(repeats):
        scores = draw(random, count)
        rest = kept(scores)
        extra += count - len(rest)
        rates.append(rate_above(threshold_from(rest, ThresholdRule("usual", level)).value))
    promised = rule.rank(count) / (count + 1)
    error = 3 * np.std(rates) / np.sqrt(repeats)
    assert np.mean(rates) <= promised + extra / repeats / (count + 1) + error
    assert extra / repeats <= {"exponential": 0.06}.get(name, 0.01)  # left out of a clean set, on average


@pytest.mark.parametrize("share", [0.02, 0.05])
@pytest.mark.parametrize("count", [100, 200])
def test_with_hidden_defects_the_catch_rate_returns(share: float, count: int) -> None:
    random, rule = np.random.default_rng(5), ThresholdRule()
    hidden = round(share * count)
    caught: dict[str, list[float]] = {"clean": [], "spoilt": [], "robust": []}
    for _ in range(300):
        clean, defects = random.lognormal(sigma=0.3, size=count - hidden), 4 + random.lognormal(1, 0.5, size=500)
        spoilt = np.concatenate([clean, defects[:hidden]])
        for way, scores in (("clean", clean), ("spoilt", spoilt), ("robust", kept(spoilt))):
            caught[way].append(float(np.mean(defects[hidden:] > threshold_from(scores, rule).value)))
    assert np.mean(caught["clean"]) > 0.99
    assert np.mean(caught["spoilt"]) < 0.6
    assert np.mean(caught["robust"]) > 0.95


def test_a_gap_that_is_not_wide_enough_leaves_all_in() -> None:
    scores = np.append(np.linspace(0, 1, 60), 1 + 8 * np.linspace(0, 1, 60).std(ddof=1))
    suspects = Suspects.among_scores([str(place) for place in range(61)], scores)
    assert suspects is not None
    assert list(suspects.scores) == ["60"]
    assert 6 < suspects.spreads < SURE_SPREADS
    assert "8.0 spreads wide, and 10 are asked for" in str(why_kept(suspects, 0))
    assert len(kept(scores)) == 61
