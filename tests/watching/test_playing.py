"""An annotated video is played by a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from adkit.data.inputs import VideoInput
from adkit.watching.watch import Settings, Watch
from adkit.workflows.score import open_model
from tests.browser import played
from tests.watched import fit_video, video_of, watched_registry


@pytest.mark.flaky(reruns=2)  # a real browser, on a machine that may be busy
def test_a_browser_plays_an_annotated_video(tmp_path: Path) -> None:
    registry = watched_registry()
    run = fit_video(registry, video_of(tmp_path / "n.mp4", 220), tmp_path / "runs", "grey_rebuilt")
    wrong = video_of(tmp_path / "wrong.mp4", 80, [range(30, 50)])
    out = tmp_path / "out" / "annotated.mp4"
    list(Watch(open_model(run, registry, device="cpu"), VideoInput("x", video=wrong), Settings(annotate=out)))
    found = played(out)
    assert found.duration == pytest.approx(8.0, abs=0.05)
    assert found.drawn >= 5
    assert found.played > 0.5
    assert found.at == pytest.approx(4.0, abs=0.05)
    assert found.spread > 100  # it shows an image, not one colour
