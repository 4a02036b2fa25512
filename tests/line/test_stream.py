"""A stream is watched: events and losses become rows of the journal, with frames."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path
from threading import Event

import pytest
from PIL import Image

from adkit.data.inputs import VideoInput
from adkit.errors import FrameError
from adkit.line.journal import Journal, Row
from adkit.line.stream import watch_stream
from adkit.types import Batch, Prediction
from adkit.watching import watch as watch_module
from adkit.workflows.score import open_model
from tests.data.test_live import served
from tests.watched import fit_video, video_of, watched_registry


def test_events_and_losses_of_a_stream_are_rows(tmp_path: Path) -> None:
    stream = video_of(tmp_path / "a.ts", 60, [range(20, 30)]).read_bytes()
    registry = watched_registry()
    model = open_model(
        fit_video(registry, video_of(tmp_path / "n.mp4", 220), tmp_path / "runs"), registry, device="cpu"
    )
    stop, told = Event(), list[Row]()

    def serve(connection: socket.socket, number: int) -> None:
        if number > 1:
            stop.set()
        elif number == 1:
            time.sleep(0.2)
            connection.sendall(stream)
        else:
            connection.sendall(stream)

    with served(serve) as port, Journal(tmp_path / "journal.jsonl") as journal:
        address = f"tcp://127.0.0.1:{port}"
        watch_stream(model, VideoInput(address, address=address), journal, stop, told.append, print)
    rows = [json.loads(line) for line in journal.path.read_text().splitlines()]
    assert rows == told
    assert [row["part"] for row in rows] == list(range(1, len(rows) + 1))
    decisions = [row["decision"] for row in rows]
    assert [one for one in decisions if one in ("anomalous", "ended")] == ["anomalous", "ended"] * 2
    assert decisions.count("back") == 1
    assert decisions.index("lost") < decisions.index("back")
    began = next(row for row in rows if row["decision"] == "anomalous")
    ended = next(row for row in rows if row["decision"] == "ended")
    assert began["event"] == ended["event"] == 1
    assert 1.7 < began["start_s"] < 3, "where a machine is busy, frames are passed over"
    assert ended["end_s"] > began["start_s"]
    assert {row["source"] for row in rows} == {address}
    with Image.open(began["path"]) as picture:
        assert picture.height > 0
    assert all(row["path"] is None for row in rows if row["decision"] != "anomalous")


def test_a_stream_that_is_not_there_is_refused(tmp_path: Path) -> None:
    registry = watched_registry()
    model = open_model(
        fit_video(registry, video_of(tmp_path / "n.mp4", 220), tmp_path / "runs"), registry, device="cpu"
    )
    with Journal(tmp_path / "journal.jsonl") as journal, pytest.raises(FrameError):
        watch_stream(model, VideoInput("gone", address="tcp://127.0.0.1:9"), journal, Event(), print, print)
    assert journal.path.read_text() == ""


def test_frames_that_are_passed_over_and_pictures_that_cannot_be_kept_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "_BURST_S", 2.5)
    stream = video_of(tmp_path / "a.ts", 80, [range(10, 20)]).read_bytes()
    registry = watched_registry()
    runs = tmp_path / "runs"
    model = open_model(fit_video(registry, video_of(tmp_path / "n.mp4", 220), runs), registry, device="cpu")
    quick, stop, said, rows = model.method.predict, Event(), list[str](), list[Row]()
    (tmp_path / "pictures").touch()  # no folder

    def slow(batch: Batch) -> Prediction:
        time.sleep(0.02)
        return quick(batch)

    monkeypatch.setattr(model.method, "predict", slow)
    send = (lambda connection: connection.sendall(stream), lambda _: stop.set())
    with served(lambda one, number: send[min(number, 1)](one)) as port, Journal(tmp_path / "j.jsonl") as journal:
        address = f"tcp://127.0.0.1:{port}"
        watch_stream(model, VideoInput(address, address=address), journal, stop, rows.append, said.append)
    undrawn, behind = said
    assert undrawn.startswith("event 1 has no picture: ")
    assert re.match(rf"{address}: \d+ of \d+ frames were passed over: ", behind)
    assert [row["path"] for row in rows if row["decision"] == "anomalous"] == [None]
