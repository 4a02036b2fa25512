"""Where decisions go: moved files, a webhook, a command. Each follows the journal at its own pace."""

from __future__ import annotations

import hashlib
import hmac
import json
import shlex
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from threading import Event

from adkit.errors import OptionError
from adkit.line.journal import Journal, Row

Deliver = Callable[[Row], None]
"""Takes a row to where it goes; raises OSError where that is not to be had now."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
_TIMEOUT_S = 10.0


def deliver_all(name: str, journal: Journal, deliver: Deliver, stop: Event, tell: Callable[[str], None]) -> None:
    """Deliver every row of the journal in order, again and again where it fails, until `stop` is set.

    What is not delivered then comes first next time. A row may come twice: when the process ends between delivering it
    and noting that.
    """
    for row, done in journal.follow(name, stop):
        wait_s = FIRST_WAIT_S
        while True:
            try:
                deliver(row)
                break
            except OSError as error:
                if wait_s == FIRST_WAIT_S:
                    tell(f"{name}: {error}; decisions wait in {journal.path} until it works again")
                if stop.wait(wait_s):
                    return
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        done()


def mover(template: str) -> Deliver:
    """Return what moves files to "moved/{decision}"; a file of the same name gets a number. Raises OptionError."""
    try:
        template.format(decision="normal")
    except (KeyError, IndexError, ValueError):
        raise OptionError(f"--to {template}: only {{decision}} can stand in it", hint="moved/{decision}") from None

    def move(row: Row) -> None:
        source, folder = Path(row["path"]), Path(template.format(decision=row["decision"]))
        if not source.exists():  # moved already, before the last stop
            return
        folder.mkdir(parents=True, exist_ok=True)
        target, number = folder / source.name, 1
        while target.exists():
            number += 1
            target = folder / f"{source.stem}-{number}{source.suffix}"
        shutil.move(source, target)

    return move


def webhook(url: str, secret: str | None) -> Deliver:
    """Return what posts rows as JSON; with a secret, X-Adkit-Signature is "sha256=" and the body's HMAC.

    Raises OptionError for what is no address.
    """
    if not url.startswith(("http://", "https://")):
        raise OptionError(f"--webhook {url} is no address", hint="http://HOST/PATH or https://HOST/PATH")

    def post(row: Row) -> None:
        body = json.dumps(row).encode()
        headers = {"Content-Type": "application/json", "X-Adkit-Part": str(row["part"])}
        if secret:
            headers["X-Adkit-Signature"] = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        try:
            urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=_TIMEOUT_S).close()
        except urllib.error.HTTPError as error:
            error.close()
            raise OSError(f"{url} answers {error.code} {error.reason}") from None

    return post


def command(line: str, tell: Callable[[str], None]) -> Deliver:
    """Return what runs a command for each anomalous part: with its path as the last word, the row as JSON on stdin."""
    words = shlex.split(line)
    if not words or shutil.which(words[0]) is None:
        raise OptionError(f"--on-anomaly {line}: there is no program {words[:1]}", hint="give its path")

    def run(row: Row) -> None:
        if row["decision"] == "anomalous":
            done = subprocess.run([*words, row["path"]], input=json.dumps(row), text=True, check=False)
            if done.returncode:
                tell(f"{words[0]} ended with exit code {done.returncode} for {row['path']}")

    return run
