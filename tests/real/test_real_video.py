"""A real video from end to end: its start is learned, the rest watched, and a browser plays the result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adkit.data.video import video_times
from tests.browser import played
from tests.cli.invoking import ok

pytestmark = [pytest.mark.real_data, pytest.mark.flaky(reruns=2)]  # a real browser, on a machine that may be busy


def test_the_rest_of_a_real_video_is_watched_and_plays(real_data: Path, tmp_path: Path) -> None:
    video = real_data / "videos" / "bottle-detection.mp4"
    if not video.is_file():
        pytest.skip("no videos/bottle-detection.mp4")
    out = tmp_path / "annotated.mp4"
    # A small image and every twelfth frame: the test is about the way from end to end.
    result = ok(
        *("score", video, "--method", "patchknn", "--learn", "0:00-0:10", "--every", 12, "--set", "size=128"),
        *("--runs", tmp_path / "runs", "--annotate", out, "--events", tmp_path / "events.vtt"),
        *("--timeline", tmp_path / "timeline.png", "--format", "json"),
    )
    document = json.loads(result.stdout)
    (clip,) = document["clips"]
    assert (clip["frames"], clip["judged"]) == (1189, 100)
    assert not [row for row in document["results"] if row["decision"] == "learned" and row["time_s"] >= 10]
    assert all(event["start_s"] >= 10 for event in clip["events"])
    times = video_times(video)
    assert video_times(out) == pytest.approx(times, abs=1e-4)
    found = played(out)
    assert found.duration == pytest.approx(times[-1] + times[1], abs=0.05)
    assert found.drawn >= 10
    assert found.at == pytest.approx(found.duration / 2, abs=0.1)
    assert found.spread > 100
