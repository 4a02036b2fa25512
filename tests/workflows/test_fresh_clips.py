"""Further normal clips for runs whose threshold counts clips: cut as the run's own, each once, none seen before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from adkit_clips.dataset import Clips

from adkit.data.spans import VideoSpans, parse_spans
from adkit.errors import DatasetError, PromiseError
from adkit.registry import Registry
from adkit.runs.record import FitSettings
from adkit.runs.store import Run, open_run
from adkit.stats.calibration import parse_rule
from adkit.workflows.audit import audit
from adkit.workflows.calibrate import recalibrate
from adkit.workflows.fit import fit
from adkit.workflows.fresh_data import fresh_normals
from adkit.workflows.score import Workplace
from tests.greys import paint
from tests.watched import fit_video, video_of, watched_registry


@pytest.fixture(scope="module")
def registry() -> Registry:
    return watched_registry()


@pytest.fixture(scope="module")
def normal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return video_of(tmp_path_factory.mktemp("videos") / "normal.mp4", 300)


@pytest.fixture
def run(registry: Registry, normal: Path, tmp_path: Path) -> Run:
    run = fit_video(registry, normal, tmp_path / "runs")
    assert run.record.segment_s == pytest.approx(0.8, abs=0.01)  # of one, the last fifth is left out
    return run


@pytest.mark.parametrize("every", [19, 50])
def test_clips_are_counted_however_few_of_their_frames_are_taken(
    registry: Registry, tmp_path: Path, every: int
) -> None:
    for number in range(12):
        video_of(tmp_path / "line" / f"{number}.mp4", 8 + number)
    settings = FitSettings(method="grey", device="cpu", every=every)
    run = fit(settings, Clips(tmp_path / "line", "clips:line", tmp_path), tmp_path / "runs", registry)
    assert run.record.threshold.unit == "clip"
    assert run.record.threshold.unit_s == pytest.approx((0.8 + 1.9) / 2)
    video_of(tmp_path / "later.mp4", 21)
    result = audit(run, Workplace(registry, device="cpu"), [str(tmp_path / "later.mp4")])
    assert result.fresh.unit_s == pytest.approx(2.1)
    longer = "clips last 2.1 s here and 1.3 s where the threshold was set: more are flagged than it promises"
    assert result.sentences()[-2:] == [longer, "1 clip is too few to notice any broken promise"]


def test_a_video_is_cut_into_pieces_like_the_runs(run: Run, tmp_path: Path) -> None:
    fresh = fresh_normals([str(video_of(tmp_path / "later.mp4", 40))], set(), run.record)
    assert (fresh.unit, fresh.count, len(fresh.samples)) == ("clip", 5, 40)
    assert fresh.unit_s == pytest.approx(run.record.segment_s)


def test_what_was_learned_from_is_left_out_piece_by_piece(run: Run, normal: Path) -> None:
    seen = run.seen()
    fresh = fresh_normals([str(normal)], {*seen.training.values(), *seen.calibration.values()}, run.record)
    assert {sample.index for sample in fresh.samples} <= set(range(190, 300))
    assert fresh.count == 12
    assert fresh.notes()[0].startswith("left out 25 clips that the run has seen")


def test_a_copied_video_counts_once(run: Run, tmp_path: Path) -> None:
    later = video_of(tmp_path / "later.mp4", 40)
    shutil.copy(later, tmp_path / "later too.mp4")
    fresh = fresh_normals([str(tmp_path / "*.mp4")], set(), run.record)
    assert (fresh.count, len(fresh.copies)) == (5, 5)


def test_folders_of_frames_are_clips(run: Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        paint(tmp_path / "frames" / name, [120.0] * 20, seed=ord(name))
    fresh = fresh_normals([str(tmp_path / "frames")], set(), run.record)
    assert (fresh.count, len(fresh.samples)) == (2, 20)  # 25 a second, and ten were learned from


def test_audit_and_calibrate_count_pieces(run: Run, registry: Registry, tmp_path: Path) -> None:
    later = video_of(tmp_path / "later.mp4", 160)
    result = audit(run, Workplace(registry, device="cpu"), [str(later)])
    assert len(result.scores) == 20
    assert "normal clips were flagged" in " ".join(result.sentences())
    changed = recalibrate(run, Workplace(registry, device="cpu"), [str(later)])
    assert (changed.run.record.threshold.count, changed.run.record.threshold.unit) == (20, "clip")
    assert changed.run.record.calibration.source == "20 further normal clips"


def test_a_rate_by_the_hour_counts_pieces_of_the_runs_length(run: Run, registry: Registry, tmp_path: Path) -> None:
    assert run.record.threshold.unit_s == pytest.approx(0.81, abs=0.01)
    later = str(video_of(tmp_path / "later.mp4", 104))
    with pytest.raises(PromiseError, match=r"at most 1\.\d+% false alarms on average needs at least \d+ normal clips"):
        recalibrate(run, Workplace(registry), [later], rule=parse_rule("60/h"))
    found = recalibrate(run, Workplace(registry), [later], rule=parse_rule("600/h"))
    record = found.run.record
    assert record.calibration.rule == parse_rule("600/h")  # as it was asked for: clips of another length keep the hour
    assert record.threshold.rank == 1
    assert record.threshold.unit_s is not None
    assert ", one in 11 s, with" in record.threshold.promise()
    # A single clip of half a second beside the ten of one.
    again = recalibrate(found.run, Workplace(registry), [str(video_of(tmp_path / "short.mp4", 5))], keep=True)
    assert again.run.record.calibration.rule.hourly
    assert again.run.record.threshold.unit_s == pytest.approx((10 * record.threshold.unit_s + 0.5) / 11, abs=0.01)


def test_learning_takes_a_rate_by_the_hour(registry: Registry, normal: Path, tmp_path: Path) -> None:
    def fitted(rate: str) -> Run:
        dataset = VideoSpans(normal, parse_spans(["0:00-0:20"]))
        settings = FitSettings(method="grey_memory", device="cpu", max_false_alarms=rate)
        return fit(settings, dataset, tmp_path / "runs", registry)

    with pytest.raises(PromiseError, match="held out from learning"):
        fitted("60/h")
    record = fitted("900/h").record
    assert record.calibration.rule == parse_rule("900/h")
    assert record.threshold.alarm_every_s is not None
    assert record.threshold.alarm_every_s >= 4
    assert open_run(tmp_path / "runs" / record.id).record.threshold == record.threshold


def test_streams_and_images_are_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="names a stream"):
        fresh_normals(["rtsp://127.0.0.1/x"], set(), run.record)
    (image,) = paint(tmp_path, [120.0])
    with pytest.raises(DatasetError, match="names still images"):
        fresh_normals([str(image)], set(), run.record)


def test_videos_are_refused_where_images_are_counted(run: Run, normal: Path) -> None:
    threshold = run.record.threshold.__class__(1.0, 1, 9, 0.1, 0.3)
    calibration = run.record.calibration.model_copy(update={"threshold": threshold})
    record = run.record.model_copy(update={"calibration": calibration})
    with pytest.raises(DatasetError, match=r"counts images, and .* names videos"):
        fresh_normals([str(normal)], set(), record)
