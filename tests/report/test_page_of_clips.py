"""The page of a run on clips: timelines that follow the slider, videos that follow the timelines."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from adkit.evaluation.evaluate import Evaluation, evaluate
from adkit.registry import Registry
from adkit.report import timelines
from adkit.report.examples import _example
from adkit.report.page import write_report
from adkit.report.thresholds import threshold_steps
from adkit.report.timelines import HEIGHT, WIDTH, clip_video, clips_of
from adkit.runs.store import Run
from adkit.types import FrameRef, LabelledResults, Sample
from adkit.workflows.score import Workplace, calibrating_scores
from tests.press import PRESS
from tests.report.conftest import Page
from tests.videos import write_greys


@pytest.fixture(scope="module")
def judged(press_run: Run, press_methods: Registry) -> Evaluation:
    return evaluate(press_run, Workplace(press_methods, device="cpu"))


@pytest.fixture(scope="module")
def written(press_run: Run, press_methods: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(
        press_run, Workplace(press_methods, device="cpu"), tmp_path_factory.mktemp("page") / "page.html"
    ).path


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page(written.read_text(encoding="utf-8"))


def section(evaluation: Evaluation, registry: Registry) -> timelines.ClipSection:
    names, scores = calibrating_scores(evaluation.run, registry)
    found = clips_of(evaluation, threshold_steps(names, scores, evaluation.threshold, evaluation))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def clips(judged: Evaluation, press_methods: Registry) -> timelines.ClipSection:
    return section(judged, press_methods)


def test_every_clip_has_a_timeline_with_its_truth_and_what_was_found(
    judged: Evaluation, clips: timelines.ClipSection
) -> None:
    assert [one.row.clip for one in clips.timelines] == [f"test/{name}" for name in sorted(PRESS)]
    one = next(one for one in clips.timelines if one.row.clip == "test/jerking")
    assert one.length_s == pytest.approx(3.5)
    # Frames 8 to 13 and 26 to 31 of 35.
    assert [event.block for event in one.truth] == [
        pytest.approx((WIDTH * 8 / 35, WIDTH * 6 / 35), abs=0.1),
        pytest.approx((WIDTH * 26 / 35, WIDTH * 6 / 35), abs=0.1),
    ]
    assert [event.kind for event in one.truth] == ["jerk", "jerk"]
    first = judged.results.clips.index("test/jerking")
    alarms = judged.results.spans(judged.results.alarms)
    own = [span for span in alarms if first <= span.start < first + 35]
    assert [block[0] for block in one.found[-1]] == pytest.approx(
        [WIDTH * (s.start - first) / 35 for s in own], abs=0.1
    )
    assert one.ticks == [(0.0, "0:00"), (28.57, "0:01"), (57.14, "0:02"), (85.71, "0:03")]


def test_all_curves_share_one_scale_and_the_threshold_lies_where_it_is(
    judged: Evaluation, clips: timelines.ClipSection
) -> None:
    assert clips.limits == sorted(clips.limits, reverse=True)
    level = clips.high - clips.limits[-1] / HEIGHT * (clips.high - clips.low)
    assert level == pytest.approx(judged.threshold.value, rel=1e-2)
    heights = [float(y) for one in clips.timelines for y in re.findall(r"[ML]\S+ (\S+?)(?=L|$)", one.curve)]
    assert len(heights) == len(judged.scores)
    expected = HEIGHT * (1 - (np.minimum(judged.scores, clips.high) - clips.low) / (clips.high - clips.low))
    assert heights == pytest.approx(expected.tolist(), abs=0.01)
    assert clips.cut == (judged.scores.max() > clips.high)


def test_more_is_found_where_the_threshold_is_lower(judged: Evaluation, clips: timelines.ClipSection) -> None:
    widths = [
        sum(width for one in clips.timelines for _, width in one.found[step]) for step in range(len(clips.limits))
    ]
    assert all(lower >= higher for lower, higher in pairwise(widths))
    assert sum(len(one.found[-1]) for one in clips.timelines) == len(judged.results.spans(judged.results.alarms))


def test_false_alarms_are_counted_in_all_clips_and_no_single_frame_is_one(
    judged: Evaluation, press_methods: Registry
) -> None:
    names, scores = calibrating_scores(judged.run, press_methods)
    assert judged.split.rows
    for step in threshold_steps(names, scores, judged.threshold, judged):
        spans = judged.results.spans(np.array(step.alarms))
        assert step.outside == sum(not judged.anomalous[list(span)].any() for span in spans)
        if step.chosen:
            assert step.outside == len(judged.split.false)
    normal_frame = int(np.flatnonzero(~judged.anomalous & ~judged.results.alarms)[0])
    high = replace(judged.results, scores=judged.scores + np.eye(len(judged.scores))[normal_frame] * 1e6)
    alone = _example(replace(judged, split=replace(judged.split, results=high)), normal_frame)
    assert (alone.verdict, alone.mistaken, alone.result.anomalous) == ("too short for an event", False, True)
    for event in judged.split.events:
        missed = event in judged.split.missed
        assert _example(judged, event.peak).verdict == ("missed event" if missed else "caught")


def test_events_are_sought_once_for_a_step_however_many_clips_there_are(
    judged: Evaluation, press_methods: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, scores = calibrating_scores(judged.run, press_methods)
    steps = threshold_steps(names, scores, judged.threshold, judged)
    calls: list[int] = []
    spans = LabelledResults.spans

    def counting(results: LabelledResults, flags: NDArray[np.bool_]) -> list[range]:
        calls.append(len(flags))
        return spans(results, flags)

    monkeypatch.setattr(LabelledResults, "spans", counting)
    monkeypatch.setattr(timelines, "MOST_VIDEOS", 0)
    for most in (1, 5):
        monkeypatch.setattr(timelines, "MOST_TIMELINES", most)
        calls.clear()
        assert clips_of(judged, steps) is not None
        assert len(calls) <= len(steps) + 2, f"{most} clips"


def test_long_clips_keep_their_peaks(judged: Evaluation, press_methods: Registry, monkeypatch: Any) -> None:
    monkeypatch.setattr(timelines, "MOST_POINTS", 10)
    monkeypatch.setattr(timelines, "MOST_VIDEOS", 0)
    clips = section(judged, press_methods)
    for one in clips.timelines:
        heights = [float(y) for y in re.findall(r"[ML]\S+ (\S+?)(?=L|$)", one.curve)]
        assert len(heights) <= 10
        peak = HEIGHT * (1 - (min(one.row.highest_score, clips.high) - clips.low) / (clips.high - clips.low))
        assert min(heights) == pytest.approx(peak, abs=0.01)


def test_of_many_clips_those_that_tell_most_are_drawn_and_have_videos(
    judged: Evaluation, press_methods: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timelines, "MOST_TIMELINES", 3)
    monkeypatch.setattr(timelines, "MOST_VIDEOS", 1)
    clips = section(judged, press_methods)
    assert clips.left_out == 2
    assert {"test/jerking", "test/stopped"} <= {one.row.clip for one in clips.timelines}
    assert [one.row.clip for one in clips.timelines if one.video] == ["test/stopped"]  # the clearest event
    monkeypatch.setattr(timelines, "MOST_VIDEO_BYTES", 100)
    assert section(judged, press_methods).videos == 0


def frames_of(path: Path, count: int, rate: int) -> list[Sample]:
    return [
        Sample(f"x/{number}", FrameRef(path, number), "x", number, timestamp_s=number / rate) for number in range(count)
    ]


def shown(source: str) -> list[tuple[float, int]]:
    """The times and greys of a video's frames."""
    content = base64.b64decode(source.removeprefix("data:video/mp4;base64,"), validate=True)
    with av.open(io.BytesIO(content)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return [
            (float(frame.time or 0), round(float(frame.to_ndarray(format="gray").mean())))
            for frame in container.decode(video=0)
        ]


def test_a_video_shows_the_clip_at_its_times(tmp_path: Path) -> None:
    path = write_greys(tmp_path / "x.mp4", [40 + 5 * number for number in range(30)], rate=10)
    made = clip_video(frames_of(path, 30, 10), 1.0)
    assert made is not None
    frames = shown(made.source)
    assert [time for time, _ in frames] == pytest.approx([number / 10 for number in range(30)], abs=0.002)
    assert [grey for _, grey in frames] == pytest.approx([40 + 5 * number for number in range(30)], abs=8)
    assert (made.width, made.height) == (320, 240)
    again = clip_video(frames_of(path, 30, 10), 1.0)  # x264 itself may write other bytes for the same frames
    assert again is not None
    assert replace(again, source=made.source) == made
    assert [grey for _, grey in shown(again.source)] == pytest.approx([grey for _, grey in frames], abs=2)


def test_a_video_of_a_long_clip_shows_what_surrounds_the_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timelines, "LONGEST_S", 2.0)
    path = write_greys(tmp_path / "x.mp4", [40] * 60 + [200] * 10 + [40] * 80, rate=25)
    made = clip_video(frames_of(path, 150, 25), 2.6)
    assert made is not None
    assert (made.start_s, made.end_s) == pytest.approx((1.6, 3.6))
    frames = shown(made.source)
    assert len(frames) == 26  # every other one: 12.5 a second
    assert max(grey for _, grey in frames) > 150
    late = clip_video(frames_of(path, 150, 25), 6.0)
    assert late is not None
    assert late.end_s == pytest.approx(149 / 25)


def test_a_video_that_is_gone_is_left_out(tmp_path: Path) -> None:
    assert clip_video(frames_of(tmp_path / "gone.mp4", 30, 10), 1.0) is None


def test_the_page_speaks_of_clips_frames_and_events(page: Page, judged: Evaluation) -> None:
    found = judged.rates
    assert f"It caught {found.caught.count} of 4 events at the promised" in page.text
    assert f", flagged {found.false_alarms.count} of 2 normal clips." in page.text
    assert f"{len(judged.samples)} frames in 5 clips of known truth" in page.text
    interval = judged.intervals["frame_auroc"]
    assert f"with 95% certainty {interval.low:.3f} to {interval.high:.3f}, by clip" in page.text
    assert "over the past, time constant 0.2 s" in page.text
    assert "no: the threshold counts whole clips" in page.text
    assert "A frame stands for each event that was missed" in page.text
    assert "image_auroc" not in page.text
    for wrong in ("good parts", "defects missed", "good part flagged"):
        assert wrong not in page.text


def test_the_page_is_sound_and_small_and_says_what_it_loads(written: Path, page: Page) -> None:
    (policy,) = [tag["content"] or "" for tag in page.all("meta") if tag.get("http-equiv")]
    assert "default-src 'none'" in policy
    assert "media-src data:" in policy
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(page.all("video")) == 5
    for video in page.all("video"):
        assert (video["src"] or "").startswith("data:video/mp4;base64,")
    assert all(tag.get("aria-label") or tag.get("aria-hidden") for tag in page.all("svg"))
    found = json.loads(page.scripts[2])
    assert len(found["found"]) == 5
    assert all(len(steps) == len(found["limits"]) for steps in found["found"])
    assert written.stat().st_size < 1_000_000


def test_the_same_run_gives_the_same_page(
    written: Path, press_run: Run, press_methods: Registry, tmp_path: Path
) -> None:
    again = write_report(press_run, Workplace(press_methods, device="cpu"), tmp_path / "again.html").path
    # The videos' bytes are the encoder's affair: now and then they differ by a few.
    videos = re.compile(rb"data:video/mp4;base64,[A-Za-z0-9+/=]+")
    assert videos.search(again.read_bytes())
    assert videos.sub(b"", again.read_bytes()) == videos.sub(b"", written.read_bytes())


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, where it and playwright are installed."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no browser")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.flaky(reruns=2)  # a real browser, on a machine that may be busy
@pytest.mark.parametrize("width", [1000, 390])
def test_a_click_on_a_timeline_jumps_its_video(width: int, browser: Any, written: Path) -> None:
    opened = browser.new_page(viewport={"width": width, "height": 800})
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(written.as_uri())
    clip = opened.locator("figure.clip", has_text="test/jerking")
    timeline, video = clip.locator(".timeline"), clip.locator("video")
    opened.wait_for_function("video => video.readyState > 0", arg=video.element_handle())
    assert video.evaluate("video => video.duration") == pytest.approx(3.5, abs=0.15)
    box = timeline.bounding_box()
    timeline.click(position={"x": box["width"] * 8 / 35, "y": 20})
    opened.wait_for_function("video => !video.seeking", arg=video.element_handle())
    assert video.evaluate("video => video.currentTime") == pytest.approx(0.8, abs=0.03)
    assert float(timeline.locator(".playhead").get_attribute("x1")) == pytest.approx(WIDTH * 8 / 35, abs=5)
    assert timeline.get_attribute("aria-valuetext") == "0:00.8"
    timeline.press("ArrowRight")
    opened.wait_for_function("video => !video.seeking", arg=video.element_handle())
    assert video.evaluate("video => video.currentTime") == pytest.approx(1.8, abs=0.03)
    assert opened.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert complaints == []
    opened.close()


@pytest.mark.flaky(reruns=2)  # a real browser, on a machine that may be busy
def test_the_slider_moves_every_threshold_and_what_is_found(browser: Any, written: Path, page: Page) -> None:
    opened = browser.new_page()
    opened.goto(written.as_uri())
    expected = json.loads(page.scripts[2])
    slider = opened.locator("#slider")
    for step in (0, len(expected["limits"]) - 1):
        slider.evaluate("(slider, step) => { slider.value = step; slider.dispatchEvent(new Event('input')); }", step)
        limits = opened.eval_on_selector_all(".timeline .limit", "lines => lines.map(line => +line.getAttribute('y1'))")
        assert limits == [expected["limits"][step]] * 5
        counts = opened.eval_on_selector_all(".timeline .found", "groups => groups.map(group => group.children.length)")
        assert counts == [len(steps[step]) for steps in expected["found"]]
    opened.close()
