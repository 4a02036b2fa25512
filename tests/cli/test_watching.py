"""`adkit score` with videos, as a user types it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adkit.data.video import video_frame, video_times
from adkit.runs.store import open_run
from tests.cli.invoking import ok, refused, run
from tests.greys import bytes_below
from tests.watched import picture, video_of
from tests.workflows.test_engine import through_pickle

SMALL = ["--set", "size=64", "--set", "coreset_ratio=0.02"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that is normal for 12 s and wrong from 14 to 16 of 20, and a run that learned from its start."""
    root = tmp_path_factory.mktemp("watching")
    video_of(root / "line.mp4", 200, [range(140, 160)])
    ok("score", root / "line.mp4", "-m", "patchknn", "--learn", "0:00-0:12", "--runs", root / "runs", *SMALL)
    return root


@pytest.fixture
def video(folder: Path) -> Path:
    return folder / "line.mp4"


def test_normal_makes_a_run_that_watches_other_videos(folder: Path, video: Path, tmp_path: Path) -> None:
    (made,) = (folder / "runs").iterdir()
    record = open_run(made).record
    assert record.dataset == "span:line.mp4@0:00.0-0:12.0"
    assert record.threshold.unit == "clip"
    assert record.train_count == 98  # gaps between the pieces are left out
    assert record.smoothing_s > 0
    result = ok("score", video, "--runs", folder / "runs", "--events", tmp_path / "events.json")
    assert "1 event in 0:20.0" in result.stdout
    (clip,) = json.loads((tmp_path / "events.json").read_text())
    (event,) = clip["events"]
    assert event["start_s"] == pytest.approx(14, abs=0.3)
    assert event["where"]
    assert event["where"] in result.stdout


def test_all_outputs_of_one_video(folder: Path, video: Path, tmp_path: Path) -> None:
    outputs = {
        "--annotate": tmp_path / "out.mp4",
        "--events": tmp_path / "events.vtt",
        "--timeline": tmp_path / "timeline.png",
        "--output": tmp_path / "scores.csv",
    }
    printed = ok("score", video, "--runs", folder / "runs", *(part for pair in outputs.items() for part in pair)).stdout
    named = zip(("annotated", "events", "timelines", "rows"), outputs.values(), strict=True)
    assert all(f"{what}: {place}" in printed for what, place in named)
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert [int(row["frame"]) for row in rows] == list(range(200))
    assert {row["decision"] for row in rows[:120]} == {"learned"}
    assert {row["decision"] for row in rows[120:]} == {"normal", "anomalous"}
    assert next(row["frame"] for row in rows if row["event"]) in ("140", "141")
    assert video_times(tmp_path / "out.mp4") == pytest.approx(video_times(video), abs=1e-4)
    assert (tmp_path / "events.vtt").read_text().startswith("WEBVTT\n\n1\n00:00:14.")
    with Image.open(tmp_path / "timeline.png") as picture_:
        assert picture_.size[0] > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in outputs.values())


def test_json_holds_rows_and_clips(folder: Path, video: Path) -> None:
    document = json.loads(ok("score", video, "--runs", folder / "runs", "-f", "json").stdout)
    assert len(document["results"]) == 200
    (clip,) = document["clips"]
    assert (clip["frames"], clip["judged"], len(clip["events"])) == (200, 200, 1)
    lines = ok("score", video, "--runs", folder / "runs", "-f", "jsonl", "--every", 50).stdout.splitlines()
    assert [json.loads(line)["frame"] for line in lines] == [0, 50, 100, 150]


def test_several_clips_write_into_folders_wherever_they_are_watched(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adkit.workflows.engine.require_engine", lambda _: None)
    monkeypatch.setattr("adkit.cli.workers.each", through_pickle)
    clips = tmp_path / "clips"
    video_of(clips / "a.mp4", 30)
    video_of(clips / "b.mp4", 40, [range(20, 40)])
    (tmp_path / "frames").mkdir()
    for number in range(5):  # as the camera gave them
        Image.fromarray(video_frame(clips / "a.mp4", number)).save(tmp_path / "frames" / f"{number}.png")
    (clips / "text.mp4").write_text("hello")
    told = []
    for engine in ("local", "ray"):
        place = tmp_path / engine
        result = ok(
            *("score", clips, tmp_path / "frames", "--runs", folder / "runs", "--annotate", place / "out"),
            *("--timeline", place / "out", "--events", place / "events.csv", "--output", place / "rows.json"),
            *("--skip-bad", "--engine", engine),
        )
        printed = result.stdout.replace(str(place), "PLACE")
        told.append((printed, [line for line in result.stderr.splitlines() if line.startswith("unreadable")]))
    assert told[0] == told[1]
    assert "annotated: PLACE/out; timelines: PLACE/out" in printed
    here, there = (bytes_below(tmp_path / engine) for engine in ("local", "ray"))
    videos = [name for name in here if name.endswith(".mp4")]
    assert len(videos) == 3
    for name in videos:  # what x264's threads give depends on their turns, by some bytes and hardly visible levels
        last = 4 if "frames" in name else 29
        one, other = (video_frame(tmp_path / engine / name, last).astype(float) for engine in ("local", "ray"))
        assert np.abs(one - other).mean() < 2
    assert {**here, **dict.fromkeys(videos)} == {**there, **dict.fromkeys(videos)}
    assert sum(path.suffix == ".png" for path in (place / "out").iterdir()) == 3
    rows = list(csv.DictReader((place / "events.csv").read_text().splitlines()))
    assert {Path(row["clip"]).name for row in rows} == {"b.mp4"}
    assert "frames" in result.stdout
    assert "text.mp4 cannot be read as a video" in result.stderr


def test_a_clip_too_short_for_any_event_is_told(folder: Path, tmp_path: Path) -> None:
    for number in range(2):
        Image.fromarray(picture(False, number)).save(tmp_path / f"{number}.png")
    told = ok("score", tmp_path, "--runs", folder / "runs").stderr
    assert "lasts 0.08 s, and an event 0.2 s at least (--min-duration): none can be found in it" in told


def test_a_damaged_video_is_scored_as_far_as_it_goes_and_the_others_too(folder: Path, tmp_path: Path) -> None:
    content = video_of(tmp_path / "whole.mp4", 200, [range(100, 120)]).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.mp4").write_text("hello")
    arguments = [
        "score",
        tmp_path / "cut.mp4",
        tmp_path / "text.mp4",
        tmp_path / "whole.mp4",
        "--runs",
        folder / "runs",
    ]
    result = run(*arguments)
    assert result.exit_code == 3
    assert "text.mp4 cannot be read as a video" in result.stderr
    assert "whole.mp4" in result.stdout
    assert run(*arguments, "--skip-bad").exit_code == 0


def test_normal_needs_one_video_and_a_method(folder: Path, video: Path, tmp_path: Path) -> None:
    base = ["score", video, "--learn", "0:00-0:05", "--runs", tmp_path]
    assert "not how" in refused(*base)[0]
    assert "--run names a run" in refused(*base, "-m", "patchknn", "--run", "latest")[0]
    assert "2 clips" in refused("score", video, video_of(tmp_path / "b.mp4", 5), *base[2:], "-m", "patchknn")[0]
    late = refused("score", video, "-m", "patchknn", "--learn", "0:00-0:30", "--runs", tmp_path)[0]
    assert late.endswith("ends at 0:19.9")
    assert not list(tmp_path.glob("*patchknn*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--annotate", "out.avi"], "does not end in .mp4"),
        (["--annotate", "{video}"], "is the input itself"),
        (["--output", "x.csv", "--events", "x.csv"], "is named twice"),
        (["--events", "events.txt"], "names no format for events"),
        (["--timeline", "t.jpg"], "does not end in .png"),
        (["--heatmaps", "maps"], "is for still images"),
        (["--engine", "cluster"], "there is no engine 'cluster'"),
        (["--set", "size=64"], "is for learning"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_done(
    options: list[str], message: str, folder: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = [option.format(video=video) for option in options]
    error, _ = refused("score", video, "--runs", folder / "runs", *options)
    assert message in error
    assert not list(tmp_path.iterdir())
    assert video.stat().st_size > 1000


def test_options_of_videos_are_refused_for_stills(folder: Path, tmp_path: Path) -> None:
    Image.fromarray(picture(False, 0)).save(tmp_path / "still.png")
    error, _ = refused("score", tmp_path / "still.png", "--runs", folder / "runs", "--annotate", tmp_path / "o.mp4")
    assert "--annotate is for videos" in error


def test_a_run_of_stills_says_what_it_does_not_promise(parts_root: Path, video: Path, tmp_path: Path) -> None:
    ok("fit", "-m", "patchknn", "-d", "mvtec:washer", "--root", parts_root, "--runs", tmp_path, "--set", "size=64")
    result = ok("score", video, "--runs", tmp_path, "--every", 40)
    assert "learned from still images" in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_finishes_what_was_begun(folder: Path, tmp_path: Path) -> None:
    long = video_of(tmp_path / "long.mp4", 3000, [range(20, 60)])
    arguments = [sys.executable, "-m", "adkit", "score", long, "--runs", folder / "runs"]
    outputs = ["--annotate", tmp_path / "out.mp4", "--output", tmp_path / "scores.csv"]
    process = subprocess.Popen([*map(str, arguments), *map(str, outputs)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not any(path.stat().st_size for path in tmp_path.glob(".adkit*.csv")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "stopping" in said
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert 0 < len(rows) < 3000
    assert len(video_times(tmp_path / "out.mp4")) == len(rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.mp4", "out.mp4", "scores.csv"]
