"""Decisions arrive where they should, also when that is away for a while."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import ClassVar

import pytest

from adkit.errors import OptionError
from adkit.line import sinks
from adkit.line.journal import Journal


class Receiver(BaseHTTPRequestHandler):
    """Refuses the first two posts, keeps the others."""

    got: ClassVar[list[tuple[bytes, str | None]]] = []
    refusals: ClassVar[int] = 2

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        refused = Receiver.refusals > 0
        Receiver.refusals -= refused
        if not refused:
            Receiver.got.append((body, self.headers["X-Adkit-Signature"]))
        self.send_response(500 if refused else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/parts"
        server.shutdown()


def test_posts_are_signed_in_order_and_none_is_lost(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "FIRST_WAIT_S", 0.01)
    stop, told = Event(), []
    with Journal(tmp_path / "journal.jsonl") as journal:
        work = (journal, sinks.webhook(address, "secret"), stop, told.append)
        follower = Thread(target=sinks.deliver_all, args=("webhook", *work))
        follower.start()
        for number in range(5):
            journal.append({"part": number, "decision": "normal"})
        while len(Receiver.got) < 5:
            assert follower.is_alive()
        stop.set()
        follower.join()
    assert [json.loads(body)["part"] for body, _ in Receiver.got] == [0, 1, 2, 3, 4]
    for body, signature in Receiver.got:
        assert signature == "sha256=" + hmac.new(b"secret", body, hashlib.sha256).hexdigest()
    (sentence,) = told
    assert "500" in sentence


def test_what_was_not_delivered_waits_for_the_next_start(tmp_path: Path) -> None:
    stop, arrived = Event(), []

    def away(_: object) -> None:
        stop.set()
        raise OSError("nobody there")

    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append({"part": 1})
        sinks.deliver_all("webhook", journal, away, stop, arrived.append)
        assert len(arrived) == 1
        sinks.deliver_all("webhook", journal, arrived.append, stop, print)
    assert arrived[1:] == [{"part": 1}]


def test_files_are_moved_by_decision_and_never_over_each_other(tmp_path: Path) -> None:
    move = sinks.mover(f"{tmp_path}/moved/{{decision}}")
    for content in ("one", "two"):
        file = tmp_path / "part.png"
        file.write_text(content)
        row = {"path": str(file), "decision": "anomalous"}
        move(row)
        move(row)  # again, after a stop: it is there already
    moved = tmp_path / "moved" / "anomalous"
    assert {file.name: file.read_text() for file in moved.iterdir()} == {"part.png": "one", "part-2.png": "two"}


def test_a_command_runs_for_what_is_anomalous(tmp_path: Path) -> None:
    script = tmp_path / "act.py"
    log = str(tmp_path / "log")
    lines = ["import sys", f"with open({log!r}, 'a') as file:", "    file.write(sys.argv[1] + sys.stdin.read())"]
    script.write_text("\n".join([*lines, "sys.exit(7)"]))
    told: list[str] = []
    run = sinks.command(f"{sys.executable} {script}", told.append)
    run({"path": "good.png", "decision": "normal"})
    run({"path": "bad.png", "decision": "anomalous"})
    assert (tmp_path / "log").read_text() == 'bad.png{"path": "bad.png", "decision": "anomalous"}'
    assert told == [f"{sys.executable} ended with exit code 7 for bad.png"]


def test_bad_targets_are_refused_at_once() -> None:
    with pytest.raises(OptionError, match=r"only \{decision\}"):
        sinks.mover("moved/{line}")
    with pytest.raises(OptionError, match="no address"):
        sinks.webhook("plc.local/parts", None)
    with pytest.raises(OptionError, match="no program"):
        sinks.command("there-is-no-such-program", print)
