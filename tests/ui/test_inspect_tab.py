"""What is shown for files that are dropped: mixed ones, cancelled ones, and those of a run that is gone."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from adkit.runs.store import Run
from adkit.ui.safety import delete_folder
from adkit.ui.scoring import Judges, Upload
from tests.greys import paint
from tests.videos import write_greys

inspect_tab = pytest.importorskip("adkit.ui.inspect_tab", reason="the extra ui is not installed")


def look(judges: Judges, run: str, paths: list[Path], stop: threading.Event | None = None) -> tuple[Any, ...]:
    uploads = [Upload(path.name, path) for path in paths]
    found: tuple[Any, ...] = inspect_tab._look(judges, run, uploads, lambda *_, **__: None, stop or threading.Event())
    return found


def test_images_and_videos_that_are_dropped_together_are_all_shown(judges: Judges, run: Run, tmp_path: Path) -> None:
    video = write_greys(tmp_path / "line.mp4", [120] * 9)
    (tmp_path / "torn.avi").write_text("no video")
    images = paint(tmp_path / "sent", [120.0, 220.0])
    inspected, decision, picture, cards, moving, _ = look(
        judges, run.record.id, [video, *images, tmp_path / "torn.avi"]
    )
    assert "✓ Normal" in decision
    assert "adkit-viewer" in picture
    assert "1 of 2 images" in cards
    assert "line.mp4" in moving
    assert "torn.avi" in moving
    assert len(inspected.uploads) == 4


def test_what_was_not_looked_at_is_said_when_it_is_cancelled(judges: Judges, run: Run, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    images = paint(tmp_path / "sent", [120.0] * 20)
    inspected, decision, *_ = look(judges, run.record.id, images, stop)
    assert 0 < len(inspected.findings) < 20
    assert f"{len(inspected.findings)} of 20 images" in decision


def test_files_wait_for_another_run_where_the_run_is_gone(judges: Judges, run: Run, tmp_path: Path) -> None:
    delete_folder(run.folder)
    inspected, decision, *_ = look(judges, run.record.id, paint(tmp_path / "sent", [120.0]))
    assert "there is no run" in decision
    assert (inspected.run, len(inspected.uploads)) == (run.record.id, 1)


def test_the_last_question_of_a_browser_counts() -> None:
    turns = inspect_tab.Turns()
    one, other = (cast(Any, SimpleNamespace(session_hash=name)) for name in ("one", "other"))
    first, beside = turns.begin(one), turns.begin(other)
    second = turns.begin(one)
    assert [first.is_set(), beside.is_set(), second.is_set()] == [True, False, False]
    assert turns.is_old(one, first)
    assert not turns.is_old(one, second)
    turns.stop(one)
    assert second.is_set()
    assert not turns.is_old(one, second)  # what was done until then is shown
