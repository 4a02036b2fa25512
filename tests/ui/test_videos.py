"""Videos on the page."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from adkit.data.video import is_video
from adkit.errors import FrameError
from adkit.interfaces import Advance, Progress
from adkit.runs.store import Run
from adkit.ui.scoring import Judges, Upload
from adkit.ui.settings import Limits
from adkit.ui.videos import panel, watch
from tests.videos import write_greys


class Told(Progress):
    """Counts what is done."""

    done = 0

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        def advance(steps: int) -> None:
            self.done += steps

        yield advance


def test_a_video_has_a_player_a_timeline_and_events(judges: Judges, run: Run, tmp_path: Path) -> None:
    path = write_greys(tmp_path / "line.mp4", [120] * 20 + [220] * 10 + [120] * 20)
    told = Told()
    seen = watch(judges, judges.ready("latest"), Upload("<b>line.mp4", path), tmp_path / "out", told)
    assert told.done == 50
    assert len(seen.scores) == 50
    (event,) = seen.events
    assert event.start_s == pytest.approx(2, abs=0.2)
    assert event.end_s == pytest.approx(3, abs=0.2)
    assert seen.annotated is not None
    assert is_video(seen.annotated)
    assert seen.annotated.stat().st_size > 0
    text = panel(seen, lambda path: f"/at/{path.name}")
    assert f"by run {run.record.id}" in text
    assert 'href="/at/line-scores.csv"' in text
    assert seen.files["scores.csv"].read_text().count("\n") == 51
    assert seen.files["events.csv"].read_text().count("\n") == 2
    assert "the run learned from still images" in text  # the command line warns of it too
    assert f'data-seek="{event.start_s:.3f}"' in text
    assert "✕ 1 event" in text
    assert "<b>line" not in text
    still = write_greys(tmp_path / "b.mp4", [120] * 9)
    calm = watch(judges, judges.ready("latest"), Upload("calm.mp4", still), tmp_path)
    assert "Nothing anomalous" in panel(calm, str)
    assert "data-seek" not in panel(calm, str)


def test_a_video_that_is_none_or_too_large(judges: Judges, run: Run, tmp_path: Path) -> None:
    ready = judges.ready("latest")
    (tmp_path / "text.mp4").write_text("no video")
    long = write_greys(tmp_path / "long.mp4", [120] * 30)
    for name, limits, told in (
        ("text.mp4", Limits(), "text.mp4"),
        ("long.mp4", Limits(video_s=2), "longer than"),
        ("long.mp4", Limits(video_pixels=1000), "megapixels a frame"),
    ):
        judges.settings = replace(judges.settings, limits=limits)
        with pytest.raises(FrameError, match=told) as caught:
            watch(judges, ready, Upload(name, tmp_path / name), tmp_path)
        assert str(tmp_path) not in caught.value.message
    assert not (tmp_path / "annotated.mp4").exists()
    assert long.exists()


def test_a_video_that_lies_about_its_length(judges: Judges, run: Run, tmp_path: Path) -> None:
    path = write_greys(tmp_path / "line.mp4", [120] * 40)
    judges.settings = replace(judges.settings, limits=Limits(video_s=2))
    # What the header says of its length is made less than it is.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adkit.data.video.Video.expected_frames", 1)
        with pytest.raises(FrameError, match="longer than"):
            watch(judges, judges.ready("latest"), Upload("line.mp4", path), tmp_path)
    assert not (tmp_path / "annotated.mp4").exists()


def test_watching_ends_when_it_is_cancelled(judges: Judges, run: Run, tmp_path: Path) -> None:
    path = write_greys(tmp_path / "line.mp4", [120] * 60)
    stop = threading.Event()

    class Stopping(Told):
        @contextmanager
        def task(self, label: str, total: int) -> Iterator[Advance]:
            yield lambda steps: stop.set()

    seen = watch(judges, judges.ready("latest"), Upload("line.mp4", path), tmp_path / "out", Stopping(), stop)
    assert 0 < len(seen.scores) < 60
    assert "cancelled at 0:0" in panel(seen, str)
    assert not judges.watching.locked()
