"""Where decisions go: moved files, a webhook, MQTT, a command. Each follows the journal at its own pace."""

import errno
import hashlib
import hmac
import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from http.client import HTTPException
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from adkit.errors import AdkitError, OptionError, fault_of_system, said
from adkit.files.atomic import require_output, whole_file, write_text
from adkit.files.table import csv_text
from adkit.line.inbox import Arrival
from adkit.line.journal import Journal, Row
from adkit.runs.store import free_name

Deliver = Callable[[Row], None]
"""Takes a row to where it goes; raises what is the matter where that is not to be had now."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
COMMAND_S = 60.0
"""A command that takes longer is ended: the files of later parts wait for it."""
_TIMEOUT_S = 10.0
_POLL_S = 0.05


def deliver_all(
    name: str, journal: Journal, deliver: Deliver, stop: Event, tell: Callable[[str], None], after: Thread | None = None
) -> None:
    """Deliver every row of the journal in order, again and again where it fails, until `stop` is set.

    The rest comes first next time, and a row twice where the process ends between delivering it and noting that.
    `after` delivers each row before, under the thread's name, or nothing is delivered.
    """
    for row, end in journal.follow(name, stop):
        while after and journal.noted(after.name) < end:
            if not after.is_alive():
                return
            time.sleep(_POLL_S)
        for step in (partial(deliver, row), partial(journal.note, name, end)):
            wait_s, told = FIRST_WAIT_S, ""
            while fault := _fault_of(step):
                if fault != told:
                    tell(f"{name}: {fault}; decisions wait in {journal.path} until it works again")
                if stop.wait(wait_s):
                    return
                wait_s, told = min(2 * wait_s, LONGEST_WAIT_S), fault
            if told:
                tell(f"{name}: works again")


def _fault_of(step: Callable[[], None]) -> str | None:
    """Do a step; return what is not to be had now, such as the receiver or room on the disk, None where it is done."""
    try:
        step()
    except Exception as error:  # whatever it is, the thread must not end: the next rows would go nowhere, unseen
        known = fault_of_system(error) or error
        told = isinstance(known, (AdkitError, HTTPException)) and str(known)
        return told or f"{type(error).__name__} {error}".strip()
    return None


_TO_LOOK_AT = {
    ConnectionRefusedError: "is it running, and is the port right?",
    socket.gaierror: "is the name right, and is there a network?",
    TimeoutError: "is it on, and does the network lead there?",
    ssl.SSLCertVerificationError: "SSL_CERT_FILE=plant.pem names a certificate of your own",
}


def _not_reached(receiver: str, error: BaseException | str) -> OSError:
    """Return what says who cannot be reached and why, without numbers, and what to look at."""
    words = re.sub(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$", "", str(error))
    look = next((f" ({hint})" for kind, hint in _TO_LOOK_AT.items() if isinstance(error, kind)), "")
    return OSError(f"{receiver}: {said(words)}{look}")


def mover(template: str, inbox: Path | None = None) -> Deliver:
    """Return what moves files to "moved/{decision}"; raises OptionError for what leads back to the inbox."""
    try:
        folders = {Path(template.format(decision=decision)).resolve() for decision in ("normal", "anomalous")}
    except (KeyError, IndexError, ValueError):
        raise OptionError(f"--to {template}: only {{decision}} can stand in it", hint="moved/{decision}") from None
    if inbox is not None and inbox.resolve() in folders:
        found = f"--to {template} is the folder that is watched: each file would come again and again"
        raise OptionError(found, hint=f"a folder inside it can be: {inbox}/{{decision}}")

    def move(row: Row) -> None:
        if row["path"] is None:  # of a stream, not each row has a frame
            return
        source, folder = Path(row["path"]), Path(template.format(decision=row["decision"]))
        try:
            if row.get("identity", "") not in ("", Arrival.of(source).identity):
                return  # another part has come under its name
        except FileNotFoundError:
            return  # moved already, before the last stop
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / free_name(folder, source.stem, source.suffix)
        try:
            source.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with whole_file(target) as copy:  # to another disk: whoever looks there finds whole files only
                shutil.copy2(source, copy)
            source.unlink()

    return move


def webhook(url: str, secret: str | None) -> Deliver:
    """Return what posts rows as JSON, signed with the secret (X-Adkit-Signature: sha256=HMAC); raises OptionError."""
    found = _address(url, ("http", "https"))
    if not found or found.username or not url.isascii() or not url.isprintable() or " " in url:
        raise OptionError(f"--webhook {url} is no address", hint="http://HOST/PATH or https://HOST/PATH")
    opener = urllib.request.build_opener(_AsItIs)

    def post(row: Row) -> None:
        body = json.dumps(row).encode()
        headers = {"Content-Type": "application/json", "X-Adkit-Part": str(row["part"])}
        if secret:
            headers["X-Adkit-Signature"] = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        try:
            opener.open(urllib.request.Request(url, body, headers), timeout=_TIMEOUT_S).close()
        except urllib.error.HTTPError as error:
            error.close()
            moved = f", and names {error.headers['Location']}" if "Location" in error.headers else ""
            raise OSError(f"{url} answers {error.code} {error.reason}{moved}") from None
        except OSError as error:
            raise _not_reached(url, error.reason if isinstance(error, urllib.error.URLError) else error) from None

    return post


def _address(url: str, schemes: Sequence[str]) -> SplitResult | None:
    try:
        found = urlsplit(url)
        return found if found.scheme in schemes and found.hostname and found.port != 0 else None
    except ValueError:
        return None


class _AsItIs(urllib.request.HTTPRedirectHandler):
    """Follows no other address: what is posted would arrive there without its body, and yet count as delivered."""

    def redirect_request(self, *_: object) -> None:
        return


def mqtt(address: str) -> Deliver:
    """Return what publishes rows as JSON to "mqtt://HOST[:PORT]/TOPIC" and waits until the broker has them (QoS 1).

    "mqtts://" encrypts; a name and password may stand before the host. Raises OptionError, also without paho-mqtt.
    """
    found = _address(address, ("mqtt", "mqtts"))
    topic = found.path.strip("/") if found else ""
    if not found or not topic or found.fragment or "+" in topic:
        raise OptionError(f"--mqtt {address} is no address", hint="mqtt://HOST:1883/TOPIC, without wildcards")
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError:
        raise OptionError("--mqtt needs paho-mqtt", hint="pip install 'adkit-vision[line]'") from None
    client = Client(CallbackAPIVersion.VERSION2)
    if found.username:
        client.username_pw_set(unquote(found.username), unquote(found.password or ""))
    if found.scheme == "mqtts":
        client.tls_set()
    port = found.port or (8883 if found.scheme == "mqtts" else 1883)
    answer, under_way, arrived = "does not answer", None, Event()

    def connected(*given: Any) -> None:
        nonlocal answer
        answer = f"refuses: {given[3]}" if given[3].is_failure else "does not answer"

    client.on_connect = connected
    client.on_publish = lambda *_: arrived.set()

    def publish(row: Row) -> None:
        nonlocal under_way
        try:
            if not client.is_connected():
                client.loop_stop()
                client.connect(str(found.hostname), port)
                client.loop_start()
            if under_way != row["part"]:  # else the client has it, and sends it when it is connected
                arrived.clear()
                client.publish(topic, json.dumps(row), qos=1)
                under_way = row["part"]
        except (OSError, ValueError) as error:  # not there; too large
            raise _not_reached(f"{found.hostname}:{port}", error) from None
        if not arrived.wait(_TIMEOUT_S):
            raise OSError(f"{found.hostname}:{port} {answer}")

    return publish


def metrics(path: Path, earlier: Iterable[Row]) -> Deliver:
    """Return what keeps a file for Prometheus' textfile collector: how many parts were decided how, and when."""
    require_output(path)
    counts, last = Counter[str](), 0

    def count(row: Row) -> None:
        nonlocal last
        if row["part"] > last:  # else it comes again
            last = row["part"]
            counts[row["decision"]] += 1

    for row in earlier:
        count(row)

    def write(row: Row) -> None:
        count(row)
        lines = [
            "# HELP adkit_parts_total Parts that were decided, by decision.",
            "# TYPE adkit_parts_total counter",
            *(f'adkit_parts_total{{decision="{name}"}} {number}' for name, number in sorted(counts.items())),
            "# HELP adkit_last_write_seconds When this was written: a watch that works writes again with each part.",
            "# TYPE adkit_last_write_seconds gauge",
            f"adkit_last_write_seconds {time.time():.3f}",
        ]
        write_text(path, "\n".join(lines) + "\n")

    return write


_COLUMNS = ("part", "time", "path", "source", "event", "decision", "score", "threshold", "p_value", "where", "error")
_TAIL_BYTES = 65_536  # longer than any row


def table(template: str) -> Deliver:
    """Return what appends rows to a .csv or .jsonl; "{date}" in its name begins a new one with each day (UTC)."""
    try:
        path = Path(template.format(date="2026-01-01"))
    except (KeyError, IndexError, ValueError):
        raise OptionError(f"--output {template}: only {{date}} can stand in it", hint="log-{date}.csv") from None
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise OptionError(f"--output {template} names no format that grows", hint="log-{date}.csv or log-{date}.jsonl")
    require_output(path)

    def append(row: Row) -> None:
        path = Path(template.format(date=row["time"][:10]))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            last = re.match(rb'(?:{"part": )?(\d+)', file.read().rpartition(b"\n")[0].rpartition(b"\n")[2])
            if last and int(last[1]) >= row["part"]:
                return  # it was written just before the last stop
            shown = {name: _in_a_line(row.get(name)) for name in _COLUMNS}
            csv = path.suffix.lower() == ".csv"
            text = csv_text([shown], header=not size) if csv else json.dumps(row) + "\n"
            try:
                file.write(text.encode(errors="surrogateescape"))  # a file's name may be any bytes
            except OSError:
                file.truncate(size)
                raise

    return append


def _in_a_line(value: object) -> object:
    """Return a value of a row without line breaks, which a file's name may have: each row begins with its part."""
    return value.replace("\r", "\\r").replace("\n", "\\n") if isinstance(value, str) else value


def command(line: str, tell: Callable[[str], None]) -> Deliver:
    """Return what runs a command for each anomalous part: with its path as the last word, the row as JSON on stdin."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise OptionError(f"--on-anomaly {line}: {error}", hint="put a path with spaces into quotes") from None
    if not words or shutil.which(words[0]) is None:
        what = f"no program {words[0]} can be run" if words else "it names no program"
        raise OptionError(f"--on-anomaly {line}: {what}", hint="give its path; a script is made a program by chmod +x")

    def run(row: Row) -> None:
        if row["decision"] != "anomalous":
            return
        try:
            subprocess.run([*words, row["path"] or ""], input=json.dumps(row), text=True, check=True, timeout=COMMAND_S)
        except subprocess.TimeoutExpired:
            tell(f"{words[0]} took longer than {COMMAND_S:g} s for {row['path']}, and was ended")
        except subprocess.CalledProcessError as error:
            tell(f"{words[0]} ended with exit code {error.returncode} for {row['path']}")

    return run
