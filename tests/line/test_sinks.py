"""Decisions arrive where they should, also when that is away for a while."""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.client import BadStatusLine
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import ClassVar

import pytest

from adkit.errors import OptionError, StorageError
from adkit.line import journal as journal_module
from adkit.line import sinks
from adkit.line.inbox import Arrival
from adkit.line.journal import Journal, Row, tell_health


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
        self.send_response(301 if self.path == "/old" else 500 if refused else 204)
        if self.path == "/old":
            self.send_header("Location", "/parts")
        self.end_headers()

    def do_GET(self) -> None:  # what a redirected post would become
        self.send_response(200)
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
    sentence, again = told
    assert "500" in sentence
    assert again == "webhook: works again"


def test_a_post_is_not_sent_on_without_its_body(address: str) -> None:
    with pytest.raises(OSError, match=r"answers 301 .* names /parts"):
        sinks.webhook(address.replace("/parts", "/old"), None)({"part": 1})


@pytest.mark.parametrize(("receiver", "where"), [("http://{}/parts", "http://{}/parts"), ("mqtt://{}/parts", "{}")])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves the refused socket open
def test_who_cannot_be_reached_is_told_in_words_with_what_to_look_at(receiver: str, where: str) -> None:
    make: Callable[[str], sinks.Deliver] = partial(sinks.webhook, secret=None)
    if receiver.startswith("mqtt"):
        pytest.importorskip("paho")
        make = sinks.mqtt
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(
        OSError, match=r"^[^[]*: connection refused \(is it running, and is the port right\?\)$"
    ) as caught:
        make(receiver.format(nobody))({"part": 1})
    assert str(caught.value).startswith(f"{where.format(nobody)}: ")


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


def test_a_full_disk_an_answer_that_is_none_and_a_bug_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "FIRST_WAIT_S", 0.01)
    held = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "moved/7.png")
    faults = [
        StorageError("the disk is full", hint="free some"),
        held,
        BadStatusLine("what?"),
        ZeroDivisionError("a bug"),
    ]
    stop, told, arrived = Event(), list[str](), list[object]()

    def noted(place: Path, content: bytes) -> None:
        if len(faults) == 4:
            raise faults.pop(0)
        place.write_bytes(content)

    def deliver(row: object) -> None:
        if arrived and len(faults) > 0:
            raise faults.pop(0)
        arrived.append(row)

    monkeypatch.setattr(journal_module, "write_whole", noted)
    with Journal(tmp_path / "journal.jsonl") as journal:
        for part in range(3):
            journal.append({"part": part})
        follower = Thread(target=sinks.deliver_all, args=("webhook", journal, deliver, stop, told.append))
        follower.start()
        while len(arrived) < 3:
            assert follower.is_alive()
        stop.set()
        follower.join()
    assert arrived == [{"part": 0}, {"part": 1}, {"part": 2}]
    assert [line.split(";")[0] for line in told] == [
        "webhook: the disk is full",
        "webhook: works again",
        "webhook: moved/7.png: Permission denied",
        "webhook: what?",
        "webhook: ZeroDivisionError a bug",
        "webhook: works again",
    ]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves the refused socket open
@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_nothing_is_sent_to_who_has_the_wrong_certificate(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    named = ["-days", "1", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate]
    subprocess.run([*made, *named], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                with suppress(OSError):
                    context.wrap_socket(server.accept()[0], server_side=True).close()

        Thread(target=serve, daemon=True).start()
        port = server.getsockname()[1]
        with pytest.raises(OSError, match=f"^https://localhost:{port}/parts: .*certificate verify failed"):
            sinks.webhook(f"https://localhost:{port}/parts", None)({"part": 1})
        pytest.importorskip("paho")
        with pytest.raises(OSError, match=f"localhost:{port}: .*certificate verify failed"):
            sinks.mqtt(f"mqtts://localhost:{port}/parts")({"part": 1})


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


def test_only_the_part_that_was_judged_is_moved_and_whole_to_another_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_disk(*_: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    move, file = sinks.mover(f"{tmp_path}/moved"), tmp_path / "part.png"
    file.write_text("one")
    row = {"path": str(file), "decision": "normal", "identity": Arrival.of(file).identity}
    file.write_text("the next one")
    move(row)
    assert file.read_text() == "the next one"
    monkeypatch.setattr(Path, "rename", other_disk)
    move({**row, "identity": Arrival.of(file).identity})
    move({"path": None, "decision": "ended"})  # of a stream
    assert {one.name: one.read_text() for one in (tmp_path / "moved").iterdir()} == {"part.png": "the next one"}
    assert not file.exists()


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


def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "COMMAND_S", 0.1)
    told: list[str] = []
    sinks.command("sleep", told.append)({"path": "60", "decision": "anomalous"})
    assert told == ["sleep took longer than 0.1 s for 60, and was ended"]


def test_files_wait_for_the_command_and_commands_not_for_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "FIRST_WAIT_S", 0.01)
    stop, allowed, done, told = Event(), Event(), list[str](), list[str]()

    def act(row: Row) -> None:
        assert allowed.wait(10)
        done.append(f"command {row['part']}")

    def move(row: Row) -> None:
        done.append(f"move {row['part']}")
        raise OSError("the disk is full")

    with Journal(tmp_path / "journal.jsonl") as journal:
        for part in range(3):
            journal.append({"part": part})
        command = Thread(target=sinks.deliver_all, name="command", args=("command", journal, act, stop, told.append))
        files = Thread(target=sinks.deliver_all, args=("files", journal, move, stop, told.append, command))
        for thread in (command, files):
            thread.start()
        time.sleep(0.1)
        assert not done
        allowed.set()
        while not told or "command 2" not in done:
            assert command.is_alive()
        stop.set()
        for thread in (command, files):
            thread.join()
    assert [one for one in done if "command" in one] == ["command 0", "command 1", "command 2"]
    assert {one for one in done if "move" in one} == {"move 0"}


USERS = ("http://me:secret@plc/parts", "http://plc/größe")  # of which urllib makes no request


def test_bad_targets_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"only \{decision\}"):
        sinks.mover("moved/{line}")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OptionError, match="is the folder that is watched"):
        sinks.mover(f"{tmp_path}/link", tmp_path)
    sinks.mover(f"{tmp_path}/{{decision}}", tmp_path)
    for url in ("plc.local/parts", "http:///parts", "http://plc:port/", "http://plc/a part", "http://plc/\n", *USERS):
        with pytest.raises(OptionError, match="no address"):
            sinks.webhook(url, None)
    with pytest.raises(OptionError, match="no program there-is-no-such-program can be run"):
        sinks.command("there-is-no-such-program", print)
    with pytest.raises(OptionError, match="No closing quotation"):
        sinks.command("'stop the line", print)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Callable[[], int]]:
    """Starts mosquitto when it is called, and gives its port; the test is skipped without it."""
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    pytest.importorskip("paho")
    if program is None:
        pytest.skip("there is no mosquitto")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings, running = tmp_path / "broker.conf", []
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")

    def start() -> int:
        running.append(subprocess.Popen([program, "-c", str(settings)], stderr=subprocess.DEVNULL))
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return port
            time.sleep(0.02)
        raise TimeoutError("mosquitto does not start")

    yield lambda: start() if not running else port
    for process in running:
        process.terminate()
        process.wait()


def test_a_broker_gets_each_row_also_after_it_was_away(
    broker: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    monkeypatch.setattr(sinks, "FIRST_WAIT_S", 0.05)
    port = int((tmp_path / "broker.conf").read_text().split()[1])
    stop, told, got = Event(), list[str](), list[int]()
    with Journal(tmp_path / "journal.jsonl") as journal:
        work = (journal, sinks.mqtt(f"mqtt://127.0.0.1:{port}/line/parts"), stop, told.append)
        follower = Thread(target=sinks.deliver_all, args=("mqtt", *work))
        journal.append({"part": 0})
        follower.start()
        while not told:
            time.sleep(0.01)
        assert told[0].startswith(f"mqtt: 127.0.0.1:{port}: ")
        listener = Client(CallbackAPIVersion.VERSION2)
        listener.on_message = lambda *arguments: got.append(json.loads(arguments[2].payload)["part"])
        listening = Event()
        listener.on_subscribe = lambda *_: listening.set()
        broker()
        listener.connect("127.0.0.1", port)
        listener.loop_start()
        listener.subscribe("line/parts", qos=1)
        assert listening.wait(20)
        for part in range(1, 5):
            journal.append({"part": part})
        end = time.monotonic() + 20
        while 4 not in got:
            assert time.monotonic() < end
            time.sleep(0.01)
        stop.set()
        follower.join()
        listener.disconnect()
        listener.loop_stop()
    assert [part for part in got if part] == [1, 2, 3, 4]


def test_a_broker_that_refuses_is_not_called_silent(
    broker: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "_TIMEOUT_S", 0.5)
    settings = tmp_path / "broker.conf"
    settings.write_text(settings.read_text().replace("allow_anonymous true", "allow_anonymous false"))
    with pytest.raises(OSError, match="refuses: Not authorized"):
        sinks.mqtt(f"mqtt://127.0.0.1:{broker()}/line/parts")({"part": 1})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves the refused socket open
def test_a_row_is_published_once_however_often_the_broker_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("paho")
    monkeypatch.setattr(sinks, "_TIMEOUT_S", 0.2)
    published: list[bytes] = []

    def serve(server: socket.socket) -> None:
        for refusal in (5, 5, 0):
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as packets, suppress(OSError):
                while head := packets.read(2):
                    body = packets.read(head[1])
                    if head[0] >> 4 == 1:
                        connection.sendall(bytes([0x20, 2, 0, refusal]))
                    elif head[0] >> 4 == 3 and not refusal:
                        published.append(body)
                        connection.sendall(b"\x40\x02" + body[3:5])

    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=serve, args=(server,), daemon=True).start()
        publish, row = sinks.mqtt(f"mqtt://127.0.0.1:{server.getsockname()[1]}/t"), {"part": 1}
        refused = 0
        for _ in range(20):
            try:
                publish(row)
                break
            except OSError:
                refused += 1
    assert refused >= 2
    assert [body[5:] for body in published] == [b'{"part": 1}']


@pytest.mark.parametrize(
    "address", ["http://broker/parts", "mqtt://broker", "mqtt:///parts", "mqtt://a:b/parts", "mqtt://broker/+/parts"]
)
def test_what_is_no_broker_is_refused(address: str) -> None:
    with pytest.raises(OptionError, match="is no address"):
        sinks.mqtt(address)


def test_counts_for_prometheus_go_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "metrics.prom"
    rows = [{"part": part, "decision": one} for part, one in enumerate(("normal", "normal", "anomalous", "normal"), 1)]
    write = sinks.metrics(path, rows[:3])
    for row in rows[1:]:  # two of them had not been noted
        write(row)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert lines[:2] == ['adkit_parts_total{decision="anomalous"} 1', 'adkit_parts_total{decision="normal"} 3']
    assert float(lines[2].removeprefix("adkit_last_write_seconds ")) == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_table_begins_anew_each_day_and_holds_each_part_once(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = str(tmp_path / "log" / ("{date}" + suffix))
    days = ("2026-11-28", "2026-11-28", "2026-11-29")
    rows = [
        {"part": part, "time": f"{day}T10:00:00Z", "path": "a,b.png", "score": 1.5, "decision": "normal", "regions": []}
        for part, day in enumerate(days, 9)
    ]
    append = sinks.table(template)
    for row in rows[:2]:
        append(row)
    first = tmp_path / "log" / f"2026-11-28{suffix}"
    before = first.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(sinks, "csv_text", lambda *_, **__: pytest.fail("written twice"))
        sinks.table(template)(rows[1])  # it had not been noted
    append(rows[2])
    assert first.read_bytes() == before
    files = {path.name: path.read_text().splitlines() for path in first.parent.iterdir()}
    if suffix == ".csv":
        assert [line.split(",")[0] for line in files["2026-11-28.csv"]] == ["part", "9", "10"]
        assert files["2026-11-29.csv"][0].startswith("part,time,path,source,event,decision,score,threshold")
        assert '"a,b.png"' in files["2026-11-29.csv"][1]
    else:
        assert [json.loads(line) for line in files["2026-11-28.jsonl"]] == rows[:2]
        assert [json.loads(line) for line in files["2026-11-29.jsonl"]] == rows[2:]


def test_a_table_goes_on_whatever_a_file_is_called(tmp_path: Path) -> None:
    append = sinks.table(str(tmp_path / "log.csv"))
    for part, name in enumerate((os.fsdecode(b"\xff.png"), "a\n99.png", "b.png"), 1):
        append({"part": part, "time": "2026-11-28T10:00:00Z", "path": name, "decision": "normal"})
    rows = (tmp_path / "log.csv").read_bytes().splitlines()[1:]
    assert [row.split(b",")[2] for row in rows] == [b"\xff.png", b"a\\n99.png", b"b.png"]


def test_a_table_that_cannot_grow_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="names no format that grows"):
        sinks.table(str(tmp_path / "log.json"))
    with pytest.raises(OptionError, match="can stand in it"):
        sinks.table(str(tmp_path / "{day}.csv"))


def test_health_tells_what_was_decided_and_who_waits(tmp_path: Path) -> None:
    class Ticks(Event):
        """Lets three lines be told, and a row come before the second."""

        left = 3

        def wait(self, timeout: float | None = None) -> bool:
            assert timeout == 60
            if self.left == 2:
                journal.record({"decision": "anomalous"})
            if self.left == 1:
                journal.note("webhook", journal.path.stat().st_size)
            self.left -= 1
            return self.left < 0

    told: list[str] = []
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.note("webhook", 0)
        tell_health(60, journal, ["webhook"], Ticks(), told.append)
    assert told[0].endswith("UTC: 0 decisions since the start")
    assert "1 decision since the start (1 anomalous), the last at " in told[1]
    assert told[1].endswith("; some wait for: webhook")
    assert "wait" not in told[2]
