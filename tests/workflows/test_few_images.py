"""Learning from a few images: which ones, and that all others set the threshold."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from adkit_folder.dataset import Folder

from adkit.data.fingerprints import content_hashes, data_hash
from adkit.data.frame_source import frames_of
from adkit.errors import DatasetError, OptionError, PromiseError
from adkit.registry import Registry
from adkit.runs.record import FitSettings
from adkit.runs.store import Run
from adkit.stats.calibration import ThresholdRule, threshold_from
from adkit.workflows.fit import check_settings, fit, fit_joint
from adkit.workflows.score import open_model
from tests.greys import METHODS, Grey, Greys, paint, promised, usual_levels, with_methods


@pytest.fixture(scope="module")
def registry() -> Registry:
    return with_methods(METHODS)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return paint(tmp_path_factory.mktemp("pictures"), usual_levels(120, 0))


def settings(few: int | None, method: str = "grey", seed: int = 0, rule: ThresholdRule | None = None) -> FitSettings:
    return FitSettings(method=method, few=few, seed=seed, device="cpu", **promised(rule or ThresholdRule()))


def learned(run: Run) -> set[str]:
    return set(run.seen().training)


@pytest.mark.parametrize("method", ["grey", "grey_without_one", "grey_maps"])
def test_so_few_are_learned_from_and_all_others_set_the_threshold(
    method: str, registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    dataset = Greys(pictures)
    run = fit(settings(4, method=method), dataset, tmp_path, registry)
    record, seen, samples = run.record, run.seen(), dataset.samples("train")
    assert (record.settings.few, record.train_count, record.threshold.count) == (4, 4, 116)
    assert record.calibration.source == "116 of 120 training images, held out from fitting"
    assert not record.calibration.leave_one_out
    assert (len(seen.training), len(seen.calibration)) == (4, 116)
    assert {**seen.training, **seen.calibration} == content_hashes(samples)
    assert record.data_hash == record.calibration.data_hash == data_hash(content_hashes(samples))
    assert list(run.calibration().ids) == [sample.id for sample in samples if sample.id not in seen.training]
    model = open_model(run, registry, device="cpu")
    held_out = [sample for sample in samples if sample.id in seen.calibration]
    scores = [one.score for one in model.stream(frames_of(held_out, model.view))]
    assert model.normal_scores == pytest.approx(scores)
    assert record.threshold == threshold_from(model.normal_scores, ThresholdRule())


def test_all_is_learned_from_without_the_wish(registry: Registry, pictures: list[Path], tmp_path: Path) -> None:
    record = fit(settings(None, method="grey_without_one"), Greys(pictures), tmp_path, registry).record
    assert (record.settings.few, record.train_count) == (None, 120)


@pytest.mark.parametrize("method", ["grey", "grey_without_one"])
@pytest.mark.parametrize("rule", [ThresholdRule("expected", 0.05), ThresholdRule("certain", 0.2)])
def test_so_many_files_as_a_refusal_asks_for_are_enough(
    method: str, rule: ThresholdRule, registry: Registry, tmp_path: Path
) -> None:
    """A fifth of a folder's good images is held out to test with; one less is not enough."""
    paint(tmp_path / "parts" / "good", usual_levels(14, 0))
    paint(tmp_path / "parts" / "bad", [200.0] * 3)

    def fitted() -> Run:
        dataset = Folder(tmp_path / "parts", "folder:parts", tmp_path)
        return fit(settings(None, method, rule=rule), dataset, tmp_path / "runs", registry)

    with pytest.raises(PromiseError) as caught:
        fitted()
    found = re.match(r"add (\d+) more good files, (\d+) in all, of which 20 % are held out", caught.value.hint)
    assert found is not None
    more, total = map(int, found.groups())
    assert total == 14 + more
    *_, last = paint(tmp_path / "parts" / "good", usual_levels(total, 1), seed=1)
    assert fitted().record.threshold.count >= rule.scores_needed
    last.unlink()
    with pytest.raises(PromiseError, match="needs"):
        fitted()


def test_the_seed_draws_and_a_smaller_number_draws_from_a_larger_one(
    registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    dataset = Greys(pictures)
    first, again = (fit(settings(8, seed=3), dataset, tmp_path, registry) for _ in range(2))
    assert first.record.files == again.record.files
    assert first.record.threshold == again.record.threshold
    other, fewer = (fit(settings(few, seed=seed), dataset, tmp_path, registry) for few, seed in ((8, 4), (3, 3)))
    assert len(learned(other)) == 8
    assert learned(other) != learned(first)
    assert learned(fewer) < learned(first)


def test_every_image_is_drawn_by_some_seed(registry: Registry, pictures: list[Path], tmp_path: Path) -> None:
    dataset = Greys(pictures[:6])
    drawn = [learned(fit(settings(2, seed=seed), dataset, tmp_path, registry)) for seed in range(12)]
    assert set.union(*drawn) == {sample.id for sample in dataset.samples("train")}


def test_of_videos_whole_clips_are_drawn(registry: Registry, pictures: list[Path], tmp_path: Path) -> None:
    dataset = Greys(pictures, [f"clip {number % 12:02d}" for number in range(120)])
    run = fit(settings(3), dataset, tmp_path, registry)
    of_clip = {sample.id: sample.clip for sample in dataset.samples("train")}
    assert len({of_clip[sample_id] for sample_id in learned(run)}) == 3
    assert run.record.train_count == 30
    assert (run.record.threshold.count, run.record.threshold.unit) == (9, "clip")


@pytest.mark.parametrize("method", ["grey", "grey_without_one"])
def test_an_image_must_be_left_to_set_the_threshold(
    method: str, registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    fits = Grey.fits
    for few in (10, 11):
        expected = f"greys:all has 10 training images; learning from {few} needs at least {few + 1}"
        with pytest.raises(DatasetError, match=expected) as caught:
            fit(settings(few, method=method), Greys(pictures[:10]), tmp_path / "runs", registry)
        assert "fewer" in caught.value.hint
    assert Grey.fits == fits
    assert not (tmp_path / "runs").exists()
    run = fit(settings(9, method=method), Greys(pictures[:10]), tmp_path / "runs", registry)
    assert (run.record.train_count, run.record.threshold.count) == (9, 1)


@pytest.mark.parametrize(("method", "few", "least"), [("grey", 1, 2), ("grey", 0, 2), ("grey_demanding", 49, 50)])
def test_fewer_than_the_method_can_learn_from_are_refused(
    method: str, few: int, least: int, registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    expected = rf"{method} was to learn from {few} images? only, and needs at least {least}"
    with pytest.raises(OptionError, match=expected) as caught:
        fit(settings(few, method=method), Greys(pictures), tmp_path / "runs", registry)
    assert caught.value.hint == f"ask for {least} or more"
    with pytest.raises(OptionError, match=expected):
        check_settings(settings(few, method), registry)
    assert not (tmp_path / "runs").exists()


def test_a_promise_that_the_others_cannot_support_is_refused_before_anything_is_fitted(
    registry: Registry, pictures: list[Path], tmp_path: Path
) -> None:
    fits, rule = Grey.fits, ThresholdRule("expected", 0.01)
    with pytest.raises(PromiseError, match="needs at least 99 normal samples; there are 98") as caught:
        fit(settings(22, rule=rule), Greys(pictures), tmp_path / "runs", registry)
    assert Grey.fits == fits
    assert not (tmp_path / "runs").exists()
    supported = re.search("ask for ([0-9.]+)%$", caught.value.hint)
    assert supported
    lower = ThresholdRule("expected", float(supported[1]) / 100)
    for few, enough in ((21, rule), (22, lower)):
        assert fit(settings(few, rule=enough), Greys(pictures), tmp_path, registry).record.threshold.rank == 1


class Dark(Greys):
    """Other images under the same names."""

    spec = "greys:dark"


def test_jointly_as_few_of_each_category(registry: Registry, pictures: list[Path], tmp_path: Path) -> None:
    dark = Dark(paint(tmp_path / "dark", np.random.default_rng(1).normal(40, 5, 30), seed=7))
    runs = fit_joint(settings(4, "grey_without_one"), [Greys(pictures), dark], tmp_path / "runs", registry)
    assert [(run.record.train_count, run.record.threshold.count) for run in runs] == [(4, 116), (4, 26)]
    assert [run.record.learned_with for run in runs] == [{"greys:dark": 4}, {"greys:all": 4}]
    assert runs[0].record.threshold.value - runs[1].record.threshold.value > 50
    assert all(len(run.seen().training) == 8 for run in runs)
    assert all(run.record.settings.few == 4 for run in runs)
