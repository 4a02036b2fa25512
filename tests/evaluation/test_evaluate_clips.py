"""Judging a run on clips: events, clips and frames; what is stored, what is worth seeing, what is drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from adkit.data.images import read_image
from adkit.data.inputs import VideoInput
from adkit.evaluation.evaluate import Evaluation, evaluate
from adkit.evaluation.pictures import reconstructed, worth_seeing
from adkit.registry import Registry
from adkit.runs.store import Run
from adkit.watching.watch import Settings, Watch
from adkit.workflows.score import Workplace, open_model
from tests.press import PRESS, fit_press, write_press

FRAMES = sum(len(frames) for frames, _ in PRESS.values())


@pytest.fixture(scope="module")
def judged(press_run: Run, press_methods: Registry) -> Evaluation:
    return evaluate(press_run, Workplace(press_methods, device="cpu"))


def test_frames_are_pooled_as_they_are(judged: Evaluation) -> None:
    assert len(judged.samples) == FRAMES
    frame_auroc = judged.metrics["frame_auroc"]
    assert frame_auroc.value == pytest.approx(roc_auc_score(judged.anomalous, judged.scores))
    assert {"test/stopped", "test/jerking", "test/hardly", "macro"} <= set(frame_auroc.details)
    interval = judged.intervals["frame_auroc"]
    assert frame_auroc.value is not None
    assert interval.low < frame_auroc.value < interval.high


def test_metrics_of_images_are_told_to_be_for_images(judged: Evaluation) -> None:
    assert "frame_auroc" in judged.apt
    assert "image_auroc" not in judged.apt
    assert "frame_auroc" in str(judged.metrics["image_auroc"].why_undefined)
    assert judged.metrics["pixel_auroc"].why_undefined == "no anomalous sample of the test split has a mask"


def test_kinds_are_counted_in_frames_clips_and_events(judged: Evaluation) -> None:
    rows = {row.kind: row for row in judged.kinds}
    assert [row.kind for row in judged.kinds] == ["good", "jerk", "stop"]
    assert (rows["good"].clips, rows["good"].events) == (5, None)
    assert (rows["jerk"].count, rows["jerk"].clips, rows["jerk"].events) == (17, 2, 3)
    assert (rows["stop"].events, rows["stop"].events_caught) == (1, 1)


def test_the_verdict_counts_normal_clips_and_events(judged: Evaluation) -> None:
    found, clips = judged.rates, judged.split
    assert clips is not None
    assert (found.false_alarms.total, found.caught.total) == (2, 4)
    recall = judged.metrics["caught_at_promise"].value
    assert recall == pytest.approx(found.caught.count / 4)
    assert [row.clip for row in clips.rows] == [f"test/{name}" for name in sorted(PRESS)]
    document = json.loads(json.dumps(judged.as_json(), allow_nan=False))
    assert document["outcomes"]["caught"]["total"] == 4
    assert [row["clip"] for row in document["clips"]["clips"]] == [f"test/{name}" for name in sorted(PRESS)]
    assert document["metrics"]["frame_auroc"]["interval"]["low"] == judged.intervals["frame_auroc"].low


def test_a_frame_stands_for_each_mistake_and_for_each_end_of_a_kind(judged: Evaluation) -> None:
    clips = judged.split
    assert clips is not None
    assert len(judged.mistakes()) == len(clips.missed) + len(clips.false)
    for position in judged.mistakes():
        (span,) = [part for part in [*clips.missed, *clips.false] if part.peak == position]
        assert judged.scores[position] == judged.scores[span.frames.start : span.frames.stop].max()
    seen = worth_seeing(judged)
    assert set(judged.mistakes()) <= set(seen)
    assert {judged.results.kinds[position] for position in seen} == {"good", "jerk", "stop"}
    assert len(seen) <= 6 + len(judged.mistakes())


def test_answers_are_used_again(judged: Evaluation, press_methods: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("adkit.workflows.score.open_model", refuse)
    again = evaluate(judged.run, Workplace(press_methods, device="cpu"))
    assert again.as_json() == judged.as_json()


def test_where_every_clip_has_an_event_a_normal_frame_is_shown_all_the_same(
    tmp_path: Path, press_methods: Registry
) -> None:
    videos = write_press(tmp_path / "videos", {"a": ("....ss..", 14), "b": ("..ss....", 14)}, train=(8,) * 6)
    found = evaluate(
        fit_press(press_methods, videos, tmp_path / "runs", "grey"), Workplace(press_methods, device="cpu")
    )
    assert found.rates.false_alarms.total == 0
    assert "good" in {found.results.kinds[position] for position in found.split.telling}


def test_where_one_long_video_was_cut_its_normal_pieces_are_counted(tmp_path: Path, press_methods: Registry) -> None:
    videos = write_press(tmp_path / "videos", {"long": ("." * 60 + "s" * 10 + "." * 30, 14)}, train=(300,))
    run = fit_press(press_methods, videos, tmp_path / "runs", "grey_maps")
    assert run.record.segment_s is not None
    found = evaluate(run, Workplace(press_methods, device="cpu"))
    assert found.split.rows
    assert found.split.unit.name.endswith("s piece")
    assert 3 <= found.rates.false_alarms.total <= 6
    # One clip cannot tell how much another would differ.
    assert "frame_auroc" not in found.intervals


def seen_means(run: Run, registry: Registry, judged: Evaluation, positions: list[int]) -> Iterator[float]:
    samples = [judged.samples[position] for position in positions]
    for image in reconstructed(run, Workplace(registry, device="cpu"), samples, all_frames=judged.samples):
        assert image is not None
        yield float(image.mean())


def test_reconstructions_know_what_the_clip_showed_before(
    judged: Evaluation, press_run: Run, press_methods: Registry
) -> None:
    # In any order, from two clips: each is the mean brightness of its clip so far.
    calm, jerking = (judged.results.clips.index(f"test/{name}") for name in ("calm", "jerking"))
    positions = [jerking + 20, calm + 3, jerking + 2]
    for position, first, mean in zip(
        positions, [jerking, calm, jerking], seen_means(press_run, press_methods, judged, positions), strict=True
    ):
        shown = [read_image(sample.frame).mean() for sample in judged.samples[first : position + 1]]
        assert mean == pytest.approx(np.mean(shown), abs=3)


def test_reconstructions_that_take_too_long_or_whose_past_is_not_there_are_left_out(
    judged: Evaluation, press_run: Run, press_methods: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = judged.samples[2], judged.samples[25]
    assert [*reconstructed(press_run, Workplace(press_methods, device="cpu"), [near])] == [None]
    monkeypatch.setattr("adkit.evaluation.pictures.MOST_FRAMES", 10)
    first, second = reconstructed(
        press_run, Workplace(press_methods, device="cpu"), [far, near], all_frames=judged.samples
    )
    assert first is None
    assert second is not None


def test_events_found_are_those_that_watching_the_clip_reports(
    judged: Evaluation, press_run: Run, press_methods: Registry
) -> None:
    require_as_watched(judged, press_run, press_methods, ("jerking", "hardly", "calm"))


@pytest.mark.parametrize(("every", "between"), [(2, 2), (4, 3)])
def test_events_and_normal_clips_are_as_many_however_few_frames_are_judged(
    every: int, between: int, tmp_path: Path, press_methods: Registry
) -> None:
    # Some lie between two frames that are judged; one ends with its clip, sooner than an event may be over.
    test = {
        "a": ("." * 9 + "s" + "." * 3, 30),
        "b": ("." * 12 + "s", 30),
        "c": ("." * 40, 0),
        "d": ("..s........s.", 9),
        "e": ("..s", 30),  # shorter than a step: its first and its last frame are judged
    }
    videos = write_press(tmp_path / "videos", test, train=(13,) * 6)
    run = fit_press(press_methods, videos, tmp_path / "runs", every=every)
    found = evaluate(run, Workplace(press_methods, device="cpu"))
    assert (found.rates.caught.total, found.rates.false_alarms.total) == (5, 1)
    assert found.notes == [
        "clips last 4 s here and 1.3 s where the threshold was set: more are flagged than it promises",
        f"{between} events cannot be told from what comes before, as a frame is judged every 0.{every} s, "
        "and count as part of it",
    ]
    require_as_watched(found, run, press_methods, tuple(test))


def test_single_frames_are_no_clips(tmp_path: Path, press_methods: Registry) -> None:
    videos = write_press(tmp_path / "videos", {"a": (".", 0), "b": ("s", 30)}, train=(13,) * 6)
    found = evaluate(fit_press(press_methods, videos, tmp_path / "runs"), Workplace(press_methods, device="cpu"))
    (note,) = found.notes
    assert note == "the run learned from clips, and the test split has single frames: its promise is not of these"


def require_as_watched(judged: Evaluation, run: Run, registry: Registry, names: tuple[str, ...]) -> None:
    judge = open_model(run, registry, device="cpu")
    for first in [judged.results.clips.index(f"test/{name}") for name in names]:
        path = judged.samples[first].frame.path
        watch = Watch(judge, VideoInput(str(path), video=path), Settings())
        results = list(watch)
        last = first + judged.results.clips.count(judged.results.clips[first])
        assert [result.score for result in results] == pytest.approx(judged.scores[first:last].tolist())
        found = [span for span in judged.results.spans(judged.results.alarms) if first <= span.start < last]
        expected = [(judged.samples[span.start].index, judged.samples[span.stop - 1].index) for span in found]
        assert [(event.start_frame, event.end_frame) for event in watch.events] == expected
