from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from adkit.drawing.regions import Region
from adkit.errors import OptionError
from adkit.watching.event_files import COLUMNS, write_events
from adkit.watching.events import Event

FIRST = Event(
    1, 3723.5, 3725.0, 93087, 93124, 2.5, 3724.0, 93100, 2.0, Region(8, 16, 30, 40, 900, 0.01, 3.0, 2.0, "upper left")
)
SECOND = Event(2, 3800.0, 3800.0, 95000, 95000, 1.5, 3800.0, 95000, 1.5, None)


def test_csv_has_a_row_for_each_event_of_each_clip(tmp_path: Path) -> None:
    write_events(tmp_path / "events.csv", {"a.mp4": [FIRST, SECOND], "b.mp4": [], "c.mp4": [SECOND]})
    rows = list(csv.DictReader((tmp_path / "events.csv").read_text().splitlines()))
    assert [(row["clip"], row["event"]) for row in rows] == [("a.mp4", "1"), ("a.mp4", "2"), ("c.mp4", "2")]
    assert (rows[0]["start_s"], rows[0]["end_frame"], rows[0]["where"]) == ("3723.5", "93124", "upper left")
    assert (rows[0]["left"], rows[0]["width"], rows[1]["left"]) == ("8", "30", "")


def test_csv_without_events_still_names_its_columns(tmp_path: Path) -> None:
    write_events(tmp_path / "events.csv", {"a.mp4": []})
    assert (tmp_path / "events.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_json_names_clips_without_events_too(tmp_path: Path) -> None:
    write_events(tmp_path / "events.json", {"a.mp4": [FIRST], "b.mp4": []})
    first, second = json.loads((tmp_path / "events.json").read_text())
    assert (first["clip"], first["events"][0]["peak"]) == ("a.mp4", 2.5)
    assert second == {"clip": "b.mp4", "events": []}


def test_webvtt_is_what_players_read(tmp_path: Path) -> None:
    write_events(tmp_path / "events.vtt", {"a.mp4": [FIRST, SECOND]})
    assert (tmp_path / "events.vtt").read_text() == (
        "WEBVTT\n\n"
        "1\n01:02:03.500 --> 01:02:05.000\nevent 1: score 2.5, upper left\n\n"
        "2\n01:03:20.000 --> 01:03:20.001\nevent 2: score 1.5\n"  # players refuse a cue of no length
    )


@pytest.mark.parametrize(("name", "message"), [("e.txt", "names no format"), ("e.vtt", "subtitles of 2 videos")])
def test_what_cannot_be_written_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=message):
        write_events(tmp_path / name, {"a.mp4": [], "b.mp4": []})
    assert not list(tmp_path.iterdir())
