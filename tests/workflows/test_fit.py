"""What is learned from, what is held out, and what the record says of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adkit.data.fingerprints import content_hashes, data_hash
from adkit.errors import DatasetError, FrameError, PromiseError, StorageError
from adkit.interfaces import Dataset
from adkit.registry import Registry
from adkit.runs.predictions import Predictions
from adkit.runs.record import CalibrationRecord, FitSettings
from adkit.runs.store import Run
from adkit.stats.calibration import ThresholdRule, threshold_from
from adkit.workflows.fit import PIXEL_SHARE, Basis, calibration_record, fit
from adkit.workflows.score import calibrating_scores, normal_scores_of, open_model, open_scorer, sample_scores
from tests.greys import METHODS, Grey, Greys, fit_greys, paint, usual_levels, with_methods


@pytest.fixture(scope="module")
def registry() -> Registry:
    return with_methods(METHODS)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six hundred good parts."""
    return paint(tmp_path_factory.mktemp("pictures"), usual_levels(600, 0))


@pytest.fixture
def no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has been fitted yet."""
    monkeypatch.setattr(Grey, "fits", 0)


def of_clips(pictures: list[Path], clips: int, frames: int) -> Greys:
    """Clips of several frames each; neighbours in the list are of different clips."""
    return Greys(pictures[: clips * frames], [f"clip {number % clips:03d}" for number in range(clips * frames)])


@pytest.mark.parametrize(
    ("count", "rule", "held_out"),
    [
        (3, ThresholdRule(), 1),
        (20, ThresholdRule(), 4),  # a fifth
        (296, ThresholdRule(), 59),  # 99 would be more than a third: a fifth
        (297, ThresholdRule(), 99),  # 99 reach 1 % on average
        (400, ThresholdRule(), 99),
        (600, ThresholdRule(), 120),  # a fifth does too
        (200, ThresholdRule("expected", 0.05), 40),
        (50, ThresholdRule("expected", 0.05), 19),
        (38, ThresholdRule("expected", 0.05), 19),  # up to half on demand
        (58, ThresholdRule("certain", 0.1), 29),
        (30, ThresholdRule("percentile", 0.25), 6),
    ],
    ids=str,
)
def test_as_many_are_held_out_as_the_rule_needs(
    count: int, rule: ThresholdRule, held_out: int, registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    run = fit_greys(registry, Greys(pictures[:count]), tmp_path, rule=rule)
    record, seen = run.record, run.seen()
    assert (record.train_count, record.threshold.count) == (count - held_out, held_out)
    assert record.calibration.source == f"{held_out} of {count} training images, held out from fitting"
    assert (len(seen.training), len(seen.calibration)) == (count - held_out, held_out)
    assert set(run.calibration().ids) == set(seen.calibration)
    assert seen.training.keys().isdisjoint(seen.calibration)
    assert record.calibration.rule == rule


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    ("method", "count", "rule", "expected"),
    [
        (
            "grey",
            37,
            ThresholdRule("expected", 0.05),
            "needs 19 normal samples held out from learning; grey can spare 18 of 37",
        ),
        (
            "grey",
            57,
            ThresholdRule("certain", 0.1),
            "needs 29 normal samples held out from learning; grey can spare 28 of 57",
        ),
        (
            "grey",
            150,
            ThresholdRule("expected", 0.001),
            "needs 999 normal samples held out .* grey can spare 75 of 150",
        ),
        ("grey_without_one", 98, ThresholdRule("expected", 0.01), "needs at least 99 normal samples; there are 98"),
        ("grey_demanding", 55, ThresholdRule("expected", 0.1), "needs 9 normal samples held out .* can spare 5 of 55"),
    ],
    ids=str,
)
def test_a_promise_out_of_reach_is_refused_before_anything_is_fitted(
    method: str,
    count: int,
    rule: ThresholdRule,
    expected: str,
    registry: Registry,
    pictures: list[Path],
    tmp_path: Path,
) -> None:
    with pytest.raises(PromiseError, match=expected) as caught:
        fit_greys(registry, Greys(pictures[:count]), tmp_path / "runs", method=method, rule=rule)
    assert Grey.fits == 0
    assert not (tmp_path / "runs").exists()
    assert re.search("(take [0-9,]+ in all|add [0-9]+ more), or ask for [0-9.]+%$", caught.value.hint)


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize("resumable", [True, False])
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_fitted(
    resumable: bool, registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    runs = tmp_path / "file" / "line 3" / "runs"
    settings = FitSettings(method="grey", device="cpu")
    with pytest.raises(StorageError, match="line 3/runs: a file stands where a folder was expected") as caught:
        fit(settings, Greys(pictures[:40]), runs, registry, resumable=resumable)
    assert caught.value.hint.startswith("choose another folder")
    assert Grey.fits == 0


@pytest.mark.parametrize(
    ("method", "count", "rule"),
    [
        ("grey", 37, ThresholdRule("expected", 0.05)),
        ("grey", 57, ThresholdRule("certain", 0.1)),
        ("grey_without_one", 98, ThresholdRule("expected", 0.01)),
        ("grey_demanding", 55, ThresholdRule("expected", 0.1)),
    ],
    ids=str,
)
def test_both_ways_out_that_a_refusal_names_are_open(
    method: str, count: int, rule: ThresholdRule, registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(PromiseError) as caught:
        fit_greys(registry, Greys(pictures[:count]), tmp_path, method=method, rule=rule)
    found = re.match("(take|add) ([0-9]+) (?:in all|more), or ask for ([0-9.]+)%", caught.value.hint)
    assert found
    total = int(found[2]) + (count if found[1] == "add" else 0)
    enough = fit_greys(registry, Greys(pictures[:total]), tmp_path, method=method, rule=rule)
    assert enough.record.threshold.rank == 1
    with pytest.raises(PromiseError):
        fit_greys(registry, Greys(pictures[: total - 1]), tmp_path, method=method, rule=rule)
    lower = ThresholdRule(rule.kind, float(found[3]) / 100)
    assert fit_greys(registry, Greys(pictures[:count]), tmp_path, method=method, rule=lower).record.threshold.rank >= 1


@pytest.mark.parametrize(("clips", "frames", "held_out"), [(30, 5, 6), (3, 40, 1), (10, 7, 2)])
def test_whole_clips_are_held_out(
    clips: int, frames: int, held_out: int, registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    dataset = of_clips(pictures, clips, frames)
    run = fit_greys(registry, dataset, tmp_path)
    predictions, threshold = run.calibration(), run.record.threshold
    of_clip = {sample.id: sample.clip for sample in dataset.samples("train")}
    assert [of_clip[sample_id] for sample_id in predictions.ids] == list(predictions.clips)
    chosen = set(predictions.clips)
    assert len(chosen) == held_out
    assert len(predictions.ids) == held_out * frames
    assert not chosen & {of_clip[sample_id] for sample_id in run.seen().training}
    assert run.record.train_count == (clips - held_out) * frames
    assert (threshold.count, threshold.unit) == (held_out, "clip")
    names, scores = calibrating_scores(run, registry)
    assert names == tuple(dict.fromkeys(predictions.clips))
    assert predictions.scores is not None
    own = [predictions.scores[np.array(predictions.clips) == clip].max() for clip in names]
    assert scores.tolist() == own
    assert run.record.calibration.source.startswith(f"{held_out} of {clips} training clips")


def test_frames_of_one_clip_do_not_count_as_so_many_scores(
    registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    dataset, rule, fits = of_clips(pictures, 15, 40), ThresholdRule("expected", 0.05), Grey.fits
    with pytest.raises(PromiseError, match="can spare 7 of 15"):
        fit_greys(registry, dataset, tmp_path, rule=rule)
    with pytest.raises(PromiseError, match="there are 15"):
        fit_greys(registry, dataset, tmp_path, method="grey_without_one", rule=rule)
    assert Grey.fits == fits


def test_the_same_seed_holds_out_the_same_and_another_seed_others(
    registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    dataset = Greys(pictures[:60])
    first, again, other = (fit_greys(registry, dataset, tmp_path, seed=seed) for seed in (0, 0, 1))
    assert first.record.files == again.record.files
    assert first.record.calibration.threshold == again.record.calibration.threshold
    assert first.calibration().ids != other.calibration().ids
    assert len(first.calibration().ids) == len(other.calibration().ids) == 12


def test_a_method_that_calibrates_itself_learns_from_all(
    registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    run = fit_greys(registry, Greys(pictures[:99]), tmp_path, method="grey_without_one")
    assert run.record.train_count == run.record.threshold.count == 99
    assert run.record.threshold.expected_rate == 0.01
    assert run.record.calibration.source == "leave-one-out on the training images"
    assert run.seen().calibration == {}
    assert len(run.seen().training) == 99


def test_the_record_says_what_calibrated_and_the_run_what_it_has_seen(
    registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    dataset = Greys(pictures[:20])
    run = fit_greys(registry, dataset, tmp_path)
    calibration, hashes = run.record.calibration, content_hashes(dataset.samples("train"))
    assert calibration.data == run.record.dataset == "greys:all"
    assert calibration.data_hash == run.record.data_hash == data_hash(hashes)
    assert {**run.seen().training, **run.seen().calibration} == hashes
    assert run.record.earlier_calibrations == []


@pytest.mark.parametrize("method", ["grey", "grey_demanding"])
def test_too_few_to_learn_and_to_hold_out_are_refused(
    method: str, registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    least = METHODS[method].least_samples
    with pytest.raises(DatasetError, match=f"has {least} training images; {method} needs at least {least + 1}"):
        fit_greys(registry, Greys(pictures[:least]), tmp_path, method=method)
    run = fit_greys(registry, Greys(pictures[: least + 1]), tmp_path, method=method)
    assert (run.record.train_count, run.record.threshold.count) == (least, 1)


# From stored answers to scores and thresholds.


@pytest.fixture(scope="module")
def mapped(registry: Registry, pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose method gives maps."""
    return fit_greys(registry, Greys(pictures[:100]), tmp_path_factory.mktemp("runs"), method="grey_maps")


@pytest.mark.parametrize("scorer", ["max", "mean"])
def test_each_scorer_gets_normal_scores_and_a_threshold_of_its_own(
    mapped: Run, registry: Registry, scorer: str
) -> None:
    predictions = mapped.calibration()
    assert predictions.maps is not None
    scores, threshold = normal_scores_of(mapped, open_scorer(scorer, registry))
    expected = getattr(np, scorer)(predictions.maps, axis=(1, 2))
    assert scores == pytest.approx(expected, rel=1e-6)
    assert threshold == threshold_from(scores, ThresholdRule())
    assert (threshold == mapped.record.threshold) is (scorer == "max")
    judge = open_model(mapped, registry, scorer=scorer, device="cpu")
    assert judge.threshold == threshold
    assert judge.normal_scores.tolist() == scores.tolist()


def test_images_that_the_run_is_hardly_for_are_told(mapped: Run, registry: Registry, pictures: list[Path]) -> None:
    model = open_model(mapped, registry, device="cpu")
    (result,) = model.score([pictures[0]])
    assert model.doubt(result) is None
    assert model.view.picture is not None
    height, width = model.view.picture
    assert model.doubt(replace(result, shape=(height, 2 * width))) == (
        f"it is of another size than what the run learned from ({width}×{height} px)"
    )
    mixed = model.run.record.model_copy(
        update={"view": model.view.model_copy(update={"sizes": ((height, width), (height, 3 * width))})}
    )
    several = replace(model, run=replace(model.run, record=mixed))
    assert [several.other_size((height, side * width)) for side in (1, 2, 3)] == [None] * 3
    told = f"({width}×{height} to {3 * width}×{height} px)"
    assert told in (several.other_size((height, 5 * width)) or "")
    assert model.doubt(replace(result, map=np.full((8, 8), 1e9, np.float32))) == (
        "most of it looks like nothing that the run learned from"
    )
    vars(model)["_learned"] = {"good/000.png": ""}  # these samples have no names of files
    for name, anomalous, told in [("a.jpg", True, True), ("a.jpg", False, False), ("a.bmp", True, False)]:
        doubt = model.doubt(replace(result, id=name, anomalous=anomalous))
        assert (doubt is not None and "files of other types (.jpg, .png)" in doubt) is told
    of_clips = replace(model, threshold=replace(model.threshold, unit="clip"))
    assert of_clips.doubt(result) == "the run learned from clips, and this is a still image"


def test_the_units_of_the_scores_are_named(mapped: Run, registry: Registry) -> None:
    names, scores = calibrating_scores(mapped, registry)
    assert names == mapped.calibration().clips
    assert scores.tolist() == sample_scores(mapped.calibration(), open_scorer("max", registry), 0.0).tolist()


def stored(scores: list[float], clips: list[str], maps: np.ndarray | None = None) -> Predictions:
    ids = tuple(f"frame {number}" for number in range(len(scores)))
    return Predictions(ids, tuple(clips), maps, np.array(scores, np.float32))


def recorded(predictions: Predictions, rule: ThresholdRule) -> CalibrationRecord:
    basis = Basis(predictions, "by hand", False, "folder:x", "abc", None)
    return calibration_record(basis, None, rule, smoothing_s=0.0)


def test_a_calibration_records_its_rule_source_and_thresholds() -> None:
    predictions = stored([1, 5, 3, 4], ["a", "a", "b", "c"])
    record = recorded(predictions, ThresholdRule("expected", 0.5))
    assert (record.source, record.data, record.data_hash) == ("by hand", "folder:x", "abc")
    assert record.rule == ThresholdRule("expected", 0.5)
    assert record.threshold == threshold_from([5, 3, 4], ThresholdRule("expected", 0.5), "clip")
    assert record.pixel_threshold is None
    assert record.created.tzinfo is not None


def test_a_calibration_with_too_few_units_is_refused() -> None:
    with pytest.raises(PromiseError, match="there are 3"):
        recorded(stored([1, 5, 3, 4], ["a", "a", "b", "c"]), ThresholdRule("expected", 0.2))


def test_the_pixel_threshold_is_what_a_thousandth_of_a_normal_clip_exceeds() -> None:
    maps = np.random.default_rng(0).random((6, 50, 40), dtype=np.float32)
    clips = ["a", "b", "a", "b", "c", "c"]
    record = recorded(stored([0] * 6, clips, maps), ThresholdRule("percentile", 0.0))
    of_frames = [np.sort(frame.ravel())[-1 - int(PIXEL_SHARE * 2000)] for frame in maps]  # two pixels lie above
    assert record.pixel_threshold is not None
    assert (record.pixel_threshold.count, record.pixel_threshold.unit) == (3, "clip")
    assert max(of_frames) <= record.pixel_threshold.value
    above = [(frame > record.pixel_threshold.value).mean() for frame in maps]
    assert max(above) <= PIXEL_SHARE


def test_a_dataset_is_asked_for_its_training_split_only(
    registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    """Greys.samples would raise."""
    dataset: Dataset = Greys(pictures[:5])
    with pytest.raises(AssertionError, match="only the training split"):
        dataset.samples("test")
    fit_greys(registry, dataset, tmp_path)


@pytest.mark.parametrize("name", ["copy.png", "copy.bmp", "copy.tif"])
def test_a_copy_among_the_training_images_is_left_out(
    registry: Registry, pictures: list[Path], tmp_path: Path, name: str
) -> None:
    copy = tmp_path / name
    with Image.open(pictures[3]) as picture:
        picture.save(copy)
    run = fit_greys(registry, Greys([*pictures[:20], copy]), tmp_path / "runs")
    assert run.record.copies == [str(copy)]
    assert run.record.train_count + run.record.threshold.count == 20
    assert str(copy) not in {**run.seen().training, **run.seen().calibration}


def test_frames_of_one_clip_may_be_the_same(registry: Registry, pictures: list[Path], tmp_path: Path) -> None:
    clips = Greys([*pictures[:10], *pictures[:10]], [f"clip {number % 5}" for number in range(20)])
    assert fit_greys(registry, clips, tmp_path / "runs").record.copies == []


def test_a_clip_that_is_there_twice_counts_once(registry: Registry, pictures: list[Path], tmp_path: Path) -> None:
    names = [f"clip {number // 4}" for number in range(20)]
    clips = Greys([*pictures[:20], *pictures[4:8]], [*names, *["the second again"] * 4])
    record = fit_greys(registry, clips, tmp_path / "runs").record
    assert record.copies == ["the second again"]
    assert record.threshold.unit == "clip"
    assert record.train_count + 4 * record.threshold.count == 20


def test_a_still_that_copies_a_frame_of_a_clip_is_left_out(
    registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    still = tmp_path / "copy.png"
    still.write_bytes(pictures[3].read_bytes())
    clips = Greys([*pictures[:20], still], [*(f"clip {number // 2}" for number in range(20)), "still"])
    assert fit_greys(registry, clips, tmp_path / "runs").record.copies == [str(still)]


def test_files_that_cannot_be_read_are_no_copies_of_each_other(
    registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(FrameError, match=r"absent 1\.png"):
        fit_greys(registry, Greys([*pictures[:20], tmp_path / "absent 1.png", tmp_path / "absent 2.png"]), tmp_path)
