"""What `adkit eval` prints and writes of clips."""

from __future__ import annotations

from pathlib import Path

import pytest

from adkit.cli.commands.evaluate import print_evaluation
from adkit.cli.output import csv_text
from adkit.evaluation.evaluate import Evaluation, evaluate
from adkit.evaluation.tables import clip_table, sample_rows
from adkit.registry import Registry
from adkit.runs.store import Run
from adkit.workflows.score import Workplace
from tests.press import PRESS, fit_press, write_press


@pytest.fixture(scope="module")
def judged(press_run: Run, press_methods: Registry) -> Evaluation:
    return evaluate(press_run, Workplace(press_methods, device="cpu"))


def test_metrics_have_intervals_by_clip_and_those_of_images_are_not_there(
    judged: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    print_evaluation(judged)
    text = capsys.readouterr().out
    assert "intervals from 2,000 resamples of the 5 clips" in " ".join(text.split())
    interval = judged.intervals["frame_auroc"]
    assert f"{interval.low:.4f} to {interval.high:.4f}" in text
    assert "image_auroc" not in text
    found = judged.rates
    assert f"caught {found.caught.count} of 4 events at the promised " in text
    assert f", flagged {found.false_alarms.count} of 2 normal clips\n" in text
    by_clip = judged.intervals["caught_at_promise"]
    assert f"  caught: {found.caught.share:.1%}, with 95% certainty {by_clip.low:.1%} to {by_clip.high:.1%}\n" in text
    assert "alarms that touch no event: " in text
    assert "oracle" not in text


def test_tables_by_kind_and_by_clip(judged: Evaluation, capsys: pytest.CaptureFixture[str]) -> None:
    print_evaluation(judged)
    lines = capsys.readouterr().out.splitlines()
    (stop,) = [line.split() for line in lines if line.strip().startswith("stop ")]
    assert stop[:6] == ["stop", "15", "1", "1", "of", "1"]
    table = clip_table(judged)
    assert [row["clip"] for row in table] == [f"test/{name}" for name in sorted(PRESS)]
    jerking = table[2]
    assert (jerking["frames"], jerking["anomalous"], jerking["events found"]) == (35, 12, "2 of 2")
    assert table[0]["events found"] is None  # shown as a dash


def test_rows_for_programs_tell_clip_time_and_event(judged: Evaluation) -> None:
    rows = sample_rows(judged)
    assert rows[3]["clip"] == "test/calm"
    assert rows[3]["time_s"] == pytest.approx(0.3)
    assert [row["in_event"] for row in rows] == judged.results.alarms.tolist()
    assert csv_text(rows).splitlines()[0].endswith("decision,clip,time_s,in_event")


def test_without_events_or_normal_clips_that_is_said(
    press_methods: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, test in {"calm": {"a": ("." * 8, 0.0)}, "odd": {"a": ("..ss....", 14.0)}}.items():
        videos = write_press(tmp_path / name, test, train=(8,) * 6)
        run = fit_press(press_methods, videos, tmp_path / "runs", "grey")
        print_evaluation(evaluate(run, Workplace(press_methods, device="cpu")))
    text = " ".join(capsys.readouterr().out.split())
    assert "caught: none to judge" in text
    assert "the test split has no anomalous frame" in text
    assert "flagged: none to judge" in text
