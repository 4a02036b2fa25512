"""`adkit watch`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Annotated

import typer

from adkit.cli import options as o
from adkit.cli.output import warn
from adkit.errors import OptionError

if TYPE_CHECKING:
    from adkit.line.journal import Journal, Row
    from adkit.line.sinks import Deliver
    from adkit.workflows.score import FittedModel

SECRET = "ADKIT_WEBHOOK_SECRET"


def watch(
    inbox: Annotated[Path, typer.Argument(metavar="INBOX", help="The folder into which pictures come.")],
    run: o.RunOption = "latest",
    to: Annotated[
        str | None, typer.Option("--to", help="Move judged files there: moved/{decision}.", show_default="they stay")
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option("--webhook", metavar="URL", help=f"Post each decision as JSON, signed with ${SECRET}."),
    ] = None,
    on_anomaly: Annotated[
        str | None,
        typer.Option(
            "--on-anomaly", metavar="CMD", help="Run this for each anomalous part, its path as the last word."
        ),
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(
            "--journal", help="The decisions, a line of JSON each.", show_default="INBOX/.adkit/journal.jsonl"
        ),
    ] = None,
    drift: Annotated[
        float | None,
        typer.Option(
            "--drift", metavar="SHARE", help="Warn when scores drift; wrong in at most this share of lines: 0.01."
        ),
    ] = None,
    settle_s: Annotated[float, o.seconds("--settle", "Judge a file when it has not changed for so long.", "0.5")] = 0.5,
    once: Annotated[bool, typer.Option("--once", help="Judge what is there, then end.")] = False,
    device: o.DeviceOption = "auto",
    runs: o.RunsOption = None,
) -> None:
    """Judge pictures as they come into a folder: each once and in order, until Ctrl-C.

    What was decided is in the journal before anything else is done with it: a watch that was stopped in any way goes on
    where it was. Files are judged when they are complete.

    Example: [bold]adkit watch inbox/ --run latest --to moved/{decision} --webhook http://plc.local/parts[/bold]
    """
    from adkit.cli.stopping import stopping
    from adkit.files.lock import LockHeld, lock
    from adkit.line.hot_folder import watch_folder
    from adkit.line.inbox import Inbox
    from adkit.line.journal import Journal
    from adkit.workflows.score import open_model

    box = Inbox(inbox, settle_s)
    sinks = _sinks(to, webhook, on_anomaly)
    if drift is not None and not 0 < drift < 1:
        raise OptionError(f"--drift {drift:g} is no share between 0 and 1", hint="for example 0.01")
    model = open_model(o.opened_run(run, runs), o.loaded_registry(), device=device)
    if model.threshold.unit == "clip":
        raise OptionError("the run judges clips, and pictures come into a folder", hint="adkit score judges clips")
    path = journal or inbox / ".adkit" / "journal.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with lock(path.with_suffix(".lock")), stopping() as stop, Journal(path) as kept:
            _watched(lambda note: watch_folder(model, box, kept, stop, note, once=once), model, kept, sinks, drift)
    except LockHeld:
        raise OptionError(
            f"{path} is written by another watch", hint="stop that one, or name another --journal"
        ) from None


def _sinks(to: str | None, webhook: str | None, on_anomaly: str | None) -> dict[str, Deliver]:
    from adkit.line import sinks

    found = {"webhook": sinks.webhook(webhook, os.environ.get(SECRET))} if webhook else {}
    of_files = [*([sinks.command(on_anomaly, warn)] if on_anomaly else []), *([sinks.mover(to)] if to else [])]

    def in_turn(row: Row) -> None:  # the command finds the file where the row says, before it is moved
        for deliver in of_files:
            deliver(row)

    return {**found, "files": in_turn} if of_files else found


def _watched(
    work: Callable[[Callable[[Row], None]], None],
    model: FittedModel,
    journal: Journal,
    sinks: dict[str, Deliver],
    drift: float | None,
) -> None:
    """Let the folder be watched, decisions told and delivered; what was begun is finished."""
    from adkit.line.drift import DriftAlarm
    from adkit.line.sinks import deliver_all

    done, alarm = Event(), DriftAlarm(model, drift, journal.found) if drift else None
    threads = [
        Thread(target=deliver_all, args=(name, journal, deliver, done, warn), daemon=True)
        for name, deliver in sinks.items()
    ]
    for thread in threads:
        thread.start()

    def note(row: Row) -> None:
        score = "" if row["score"] is None else f"  {row['score']:.4f}"
        typer.echo(f"{row['part']}  {row['decision']}{score}  {Path(row['path']).name}")
        if alarm and (said := alarm(row)):
            warn(said)

    try:
        work(note)
    finally:
        done.set()
        for thread in threads:
            thread.join()
