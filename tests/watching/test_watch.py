"""One pass over a clip: what it tells, that nothing is lost, and what happens when something goes wrong."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import threading
from dataclasses import replace
from itertools import islice
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from adkit.data.boxes import Box
from adkit.data.frame_source import frames_of
from adkit.data.images import frame_shape
from adkit.data.inputs import VideoInput
from adkit.data.video import Video, video_times
from adkit.data.video_writer import VideoWriter
from adkit.errors import FrameError, StorageError
from adkit.registry import Registry
from adkit.runs.store import Run
from adkit.types import FrameRef
from adkit.watching.watch import Settings, Watch
from adkit.workflows.score import FittedModel, FrameResult, open_model
from tests.videos import write_video
from tests.watched import RATE, fit_video, picture, video_of, watched_registry

WRONG = range(30, 50)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return watched_registry()


@pytest.fixture(scope="module")
def normal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return video_of(tmp_path_factory.mktemp("videos") / "normal.mp4", 220)


@pytest.fixture(scope="module")
def run(registry: Registry, normal: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fit_video(registry, normal, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def model(run: Run, registry: Registry) -> FittedModel:
    return open_model(run, registry, device="cpu")


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something is wrong from 3 to 5 s of 8."""
    return video_of(tmp_path_factory.mktemp("videos") / "wrong.mp4", 80, [WRONG])


def watched(model: FittedModel, path: Path, **settings: object) -> tuple[Watch, list[FrameResult]]:
    watch = Watch(model, VideoInput(str(path), video=path), Settings(**settings))  # type: ignore[arg-type]
    return watch, list(watch)


def test_it_says_when_and_where(model: FittedModel, wrong: Path) -> None:
    watch, results = watched(model, wrong)
    assert [result.index for result in results] == list(range(80))
    assert [result.time_s for result in results] == pytest.approx(np.arange(80) / RATE)
    (event,) = watch.events
    assert event.start_frame == 30
    assert event.start_s == pytest.approx(3.0)
    assert 5.0 <= event.end_s < 7.5  # the smoothed score falls slowly
    assert event.region is not None
    assert event.region.words == "upper left"
    assert (event.region.left, event.region.top) == (0, 0)
    assert {result.index for result in results if result.event == 1} == set(
        range(event.start_frame, event.end_frame + 1)
    )
    assert watch.highest is not None
    assert watch.highest.score == event.peak
    assert watch.highest.p_value == min(result.p_value for result in results)
    assert not watch.faults
    assert (watch.source.seen, watch.judged, watch.dropped) == (80, 80, 0)


@pytest.mark.parametrize("method", ["grey_maps", "grey_change", "grey_memory"])
@pytest.mark.parametrize("every", [1, 3])
def test_scores_are_those_of_the_same_frames_as_samples(
    method: str, every: int, registry: Registry, normal: Path, wrong: Path, tmp_path: Path
) -> None:
    model = open_model(fit_video(registry, normal, tmp_path, method), registry, device="cpu")
    _, results = watched(model, wrong, every=every)
    samples = VideoInput("x", video=wrong).samples()[::every]
    expected = list(model.stream(frames_of(samples, model.view)))
    assert [result.index for result in results] == [one.index for one in expected]
    assert [result.score for result in results] == pytest.approx([one.score for one in expected])
    assert [result.anomalous for result in results] == [one.anomalous for one in expected]


def test_frames_that_wait_for_their_event_keep_no_image(model: FittedModel, wrong: Path) -> None:
    watch, results = watched(model, wrong, min_duration_s=600)
    assert len(results) == 80
    assert all(result.map is None and result.reconstruction is None for result in results)
    assert watch.highest is not None
    assert watch.highest.map is None
    assert watch.latest is not None
    assert watch.latest.map is not None


def test_a_run_judges_one_in_so_many_frames_as_it_learned(
    registry: Registry, run: Run, model: FittedModel, wrong: Path
) -> None:
    record = run.record.model_copy(update={"step_s": 0.4})
    sparse = FittedModel(Run(run.folder, record), model.method, model.scorer, model.normal_scores, model.threshold)
    watch, results = watched(sparse, wrong)
    assert [result.index for result in results] == list(range(0, 80, 4))
    assert watch.source.seen == 80


def test_what_was_learned_from_is_scored_but_part_of_no_event(
    registry: Registry, model: FittedModel, tmp_path: Path
) -> None:
    path = video_of(tmp_path / "line.mp4", 220, [range(190, 210)])
    learns = open_model(fit_video(registry, path, tmp_path), registry, device="cpu")
    assert Watch(model, VideoInput("x", video=path), Settings()).learned == ()
    watch, results = watched(learns, path.rename(tmp_path / "renamed.mp4"))
    assert [result.index for result in results if result.learned] == list(range(200))
    assert [result.index for result in results] == list(range(220))
    assert not any(result.event for result in results if result.learned)
    assert watch.events[0].start_frame == 200


def test_a_folder_of_frames_is_judged_as_often_as_was_learned(model: FittedModel, tmp_path: Path) -> None:
    frames = [tmp_path / f"{number}.png" for number in range(75)]
    for number, path in enumerate(frames):
        Image.fromarray(picture(10 <= number < 35, 0)).save(path)
    frames[3].write_bytes(b"")
    watch = Watch(model, VideoInput("frames", frames=tuple(frames)), Settings(annotate=tmp_path / "out.mp4"))
    results = list(watch)
    assert [result.index for result in results] == list(range(0, 75, 2))  # ten a second were learned from
    assert watch.events[0].start_s == pytest.approx(10 / 25, abs=0.1)
    assert "empty" in watch.faults[0].message
    assert video_times(tmp_path / "out.mp4") == pytest.approx([n / 25 for n in (0, 1, 2, *range(4, 75))], abs=1e-4)


def test_the_annotated_video_has_the_inputs_times(model: FittedModel, tmp_path: Path) -> None:
    stamps = list(np.cumsum([1, *[7, 13, 30, 5] * 10]))  # a variable frame rate
    made = write_video(tmp_path / "in.mp4", [picture(False, n) for n in range(41)], stamps=[int(s) for s in stamps])
    watch, _ = watched(model, made, annotate=tmp_path / "out.mp4", every=3)
    assert not watch.faults
    assert video_times(tmp_path / "out.mp4") == pytest.approx(video_times(made), abs=1e-4)
    with Video(tmp_path / "out.mp4") as video:
        assert video._stream.codec_context.name == "h264"
        assert video._stream.codec_context.pix_fmt == "yuv420p"
        frames = list(video)
    assert len(frames) == 41
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]
    content = (tmp_path / "out.mp4").read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")  # a browser plays it while it loads


@pytest.mark.parametrize("overlay", [False, True])
@pytest.mark.parametrize("method", ["grey", "grey_maps", "grey_rebuilt"])
def test_an_annotated_frame_shows_alarms(
    method: str, overlay: bool, registry: Registry, normal: Path, wrong: Path, tmp_path: Path
) -> None:
    model = open_model(fit_video(registry, normal, tmp_path / "runs", method), registry, device="cpu")
    watched(model, wrong, annotate=tmp_path / "out.mp4", overlay=overlay)
    with Video(tmp_path / "out.mp4") as video:
        shown = {frame.number: frame.pixels().astype(int) for frame in video}

    def red(number: int) -> int:
        return int(((shown[number][..., 0] > 170) & (shown[number][..., 1:] < 90).all(axis=2)).sum())

    assert red(45) > 5 * max(red(5), 100)  # a frame around the panels
    assert shown[45].shape[0] <= 600


def test_broken_files_are_watched_up_to_where_they_end(model: FittedModel, tmp_path: Path) -> None:
    frames = [picture(number % 40 > 30, number) for number in range(400)]
    content = write_video(tmp_path / "whole.mp4", frames, options={"movflags": "+faststart"}).read_bytes()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content[: int(len(content) * 0.7)])
    watch, results = watched(model, broken, annotate=tmp_path / "out.mp4")
    assert 100 < len(results) < 400
    assert "breaks off" in watch.faults[0].message or "damaged" in watch.faults[0].message
    assert len(video_times(tmp_path / "out.mp4")) == len(results)


@pytest.mark.parametrize("kind", ["text", "empty", "sound", "missing", "folder"])
def test_what_is_no_video_is_refused_by_name(kind: str, model: FittedModel, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    if kind == "text":
        path.write_text("no video" * 1000)
    elif kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "sound":
        _write_sound(path)
    with pytest.raises(FrameError, match=r"x\.mp4") as caught:
        watched(model, path, annotate=tmp_path / "out.mp4")
    assert caught.value.hint
    assert not (tmp_path / "out.mp4").exists()
    assert len(list(tmp_path.iterdir())) == (kind != "missing")


def _write_sound(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        for number in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 8000, number * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_must_not_be_read_is_told(model: FittedModel, wrong: Path, tmp_path: Path) -> None:
    locked = Path(shutil.copy(wrong, tmp_path / "locked.mp4"))
    locked.chmod(0)
    with pytest.raises(FrameError, match="no permission to read"):
        watched(model, locked)


def test_a_clip_shorter_than_the_window_is_scored(registry: Registry, normal: Path, tmp_path: Path) -> None:
    model = open_model(fit_video(registry, normal, tmp_path / "runs", "grey_change"), registry, device="cpu")
    _, results = watched(model, video_of(tmp_path / "short.mp4", 2))
    assert len(results) == 2


def test_a_size_that_changes_is_noted_and_watched_on(model: FittedModel, tmp_path: Path) -> None:
    small = write_video(tmp_path / "a.ts", [picture(False, n) for n in range(20)])
    large = write_video(tmp_path / "b.ts", [picture(False, n, (96, 64)) for n in range(20)])
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    watch, results = watched(model, both, annotate=tmp_path / "out.mp4")
    assert len(results) > 35
    size, clock = watch.source.notes
    assert "from 64×48 to 64×96 px at 0:02.0" in size
    assert "its clock jumps back by 0:02.0 at 0:02.0" in clock
    assert len(video_times(tmp_path / "out.mp4")) == len(results)


def test_a_full_disk_costs_the_video_not_the_scores(model: FittedModel, wrong: Path, tmp_path: Path) -> None:
    with mock.patch.object(VideoWriter, "_mux", side_effect=OSError(errno.ENOSPC, "full")):
        watch, results = watched(model, wrong, annotate=tmp_path / "out.mp4")
    assert len(results) == 80
    (fault,) = watch.faults
    assert isinstance(fault, StorageError)
    assert "the disk is full" in fault.message
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_file_that_grows_too_large_is_removed(model: FittedModel, wrong: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        watch, results = watched(model, wrong, annotate=tmp_path / "out.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(results) == 80
    assert isinstance(watch.faults[0], StorageError)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", ["stop", "break"])
def test_a_walk_that_ends_early_leaves_a_video_that_plays(
    how: str, model: FittedModel, normal: Path, tmp_path: Path
) -> None:
    stop = threading.Event()
    threads = threading.active_count()
    watch = Watch(model, VideoInput("x", video=normal), Settings(annotate=tmp_path / "out.mp4"), stop)
    walk = iter(watch)
    results = list(islice(walk, 20))
    if how == "stop":
        stop.set()
        results += list(walk)
        assert len(results) < 220
    else:
        walk.close()  # type: ignore[attr-defined]
    assert len(video_times(tmp_path / "out.mp4")) >= 20
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert threading.active_count() == threads


def test_a_bug_leaves_no_video_and_no_threads(model: FittedModel, wrong: Path, tmp_path: Path) -> None:
    threads = threading.active_count()
    with (
        mock.patch.object(type(model.method), "predict", side_effect=ZeroDivisionError),
        pytest.raises(ZeroDivisionError),
    ):
        watched(model, wrong, annotate=tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())
    assert threading.active_count() == threads


def test_a_part_of_a_video_is_watched(run: Run, registry: Registry, wrong: Path) -> None:
    whole = list(Watch(open_model(run, registry), VideoInput("it", video=wrong), Settings()))
    height, width = frame_shape(FrameRef(wrong, 0))
    box = Box(left=0, top=0, width=width // 2, height=height)
    view = run.record.view.model_copy(update={"box": box, "picture": (height, width)})
    half = replace(run, record=run.record.model_copy(update={"view": view}))
    seen = list(Watch(open_model(half, registry), VideoInput("it", video=wrong), Settings()))
    assert len(seen) == len(whole)
    assert max(result.score for result in seen) != max(result.score for result in whole)
    # Between two positions of the map its values go over into each other: half a position beyond the box.
    assert all(one.region.left + one.region.width <= 0.57 * width for one in seen if one.region)
