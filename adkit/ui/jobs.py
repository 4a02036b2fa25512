"""Trainings, reports and comparisons as processes of their own, one at a time, remembered on disk.

    runs/.page-jobs/20261121-233012-1f3a/
        job.json        what was asked for: a command line of adkit
        cancelled       somebody asked it to stop
        stdout, stderr  what it says: the result, and its progress as JSON lines
        lock, process, outcome.json
                        whether it runs, and how it ended; see `adkit.files.outcome`

A job needs no server: it goes on when the page is closed and when the server is stopped or killed, and the next
server finds it. What waits, runs, is done or failed is read from these files alone.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from adkit.errors import INTERRUPTED, SOME_UNREADABLE, OptionError, RunError
from adkit.files.atomic import storage_faults, write_whole
from adkit.files.documents import MOST_BYTES, read_file
from adkit.files.lock import LockHeld, lock
from adkit.files.outcome import PROCESS, VARIABLE, Outcome, read_outcome, running_process, write_outcome
from adkit.runs.unfinished import discard_unfinished, find_unfinished, list_unfinished
from adkit.stats.formatting import duration_text, often_text
from adkit.stats.segments import grouped
from adkit.ui.markup import render
from adkit.ui.settings import TOKEN_VARIABLE, ServerSettings

MOST_READ = 600_000
"""Bytes of a stream, from its end."""
FOLDER = ".page-jobs"
JOB, CANCELLED = "job.json", "cancelled"
MOST_KEPT = 50
PATIENCE_S = 20.0
"""A job that was asked to stop is ended by force when it takes longer."""
Kind = Literal["fit", "report", "compare"]
State = Literal["waiting", "running", "stopping", "done", "failed", "cancelled"]


class ProgressLine(BaseModel, frozen=True):
    """A line of progress; see `adkit.cli.terminal.JsonLines`."""

    share: float = 0.0  # of all, 0..1
    text: str = ""  # how far it is; "" before the first step
    status: str = ""
    figures: dict[str, float] = {}  # the next points of curves


@dataclass(frozen=True, slots=True)
class Steps:
    """How far a job is."""

    now: ProgressLine
    curves: dict[str, list[float]] = field(default_factory=dict)  # of two points or more
    notes: tuple[str, ...] = ()  # what else was written to stderr


def read_steps(path: Path) -> Steps:
    """Return the progress in a stream of stderr; of a stream that is not there or not that, none."""
    lines, notes = [], []
    for text in filter(None, read_end(path).splitlines()):
        if not text.startswith("{"):
            notes.append(text)
            continue
        with suppress(ValidationError):  # a line that is being written
            lines.append(ProgressLine.model_validate_json(text))
    points = grouped((point for line in lines for point in line.figures.items()), itemgetter(0))
    curves = {name: [value for _, value in found] for name, found in points.items() if len(found) > 1}
    return Steps(lines[-1] if lines else ProgressLine(), curves, tuple(notes))


def read_end(path: Path) -> str:
    """Return the end of a file as text; "" of a file that is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - MOST_READ))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


class Job(BaseModel, extra="forbid", frozen=True):
    """What was asked for."""

    id: str
    kind: Kind
    title: str
    created: datetime
    arguments: list[str]  # of adkit
    result: str = ""  # what it makes when that is known before: the run or the comparison


@dataclass(frozen=True, slots=True)
class Status:
    """A job and how it stands."""

    job: Job
    state: State
    steps: Steps
    ahead: int = 0  # jobs that come before it, while it waits
    result: Any = None  # what it printed, when it is done; as JSON where it is that
    message: str = ""  # what is wrong, when it failed
    hint: str = ""

    @property
    def ended(self) -> bool:
        """Say whether nothing more comes."""
        return self.state in ("done", "failed", "cancelled")

    def _rows(self, *names: str) -> list[dict[str, Any]]:
        rows = self.result if isinstance(self.result, list) else [self.result]
        return [row for row in rows if isinstance(row, dict) and {*names} <= row.keys()]

    def promises(self) -> list[str]:
        """Say of each run that a training made how often it flags good parts, and how long it took."""
        return [
            f"flags about {often_text(row['expected_false_alarm_rate'])} good ones · "
            + duration_text(row["fit_s"] + row["calibrate_s"])
            for row in self._rows("expected_false_alarm_rate", "fit_s", "calibrate_s")
        ]

    def made(self) -> list[str]:
        """Return the ids of the runs, or the name of what else the job made."""
        if self.job.kind != "fit":
            return [self.job.result] if self.job.result else []
        return [str(row["run"]) for row in self._rows("run")]


class Jobs:
    """The jobs in one folder of runs. Several servers, or none, may look after the same."""

    def __init__(self, runs_root: Path, command: Sequence[str] = (sys.executable, "-m", "adkit")) -> None:
        self.runs_root, self.command, self.folder = runs_root, command, runs_root / FOLDER
        self._children: list[subprocess.Popen[bytes]] = []
        self._ended: dict[str, Status] = {}  # they change no more, and their streams are long
        self._changing = threading.RLock()

    def submit(self, kind: Kind, title: str, arguments: Sequence[str], *, result: str = "") -> Job:
        """Queue `adkit ARGUMENTS`; raises OptionError for what runs or waits already, StorageError for a full disk."""
        with self._changing:
            for status in self.list():
                if not status.ended and (status.job.kind, status.job.arguments) == (kind, list(arguments)):
                    raise OptionError(
                        f"{title}: the same {'waits' if status.state == 'waiting' else 'runs'} already",
                        hint="it is in the list; to start another, change something, such as the seed",
                    )
            now = datetime.now(UTC)
            job_id = f"{now:%Y%m%d-%H%M%S-%f}-{secrets.token_hex(2)}"
            job = Job(id=job_id, kind=kind, title=title, created=now, arguments=list(arguments), result=result)
            write_whole(self.folder / job.id / JOB, job.model_dump_json(indent=2).encode())
        self.advance()
        return job

    def advance(self) -> None:
        """Start the job that has waited longest if none runs, end one that does not stop, forget old ones."""
        with self._changing, suppress(LockHeld), storage_faults(self.folder):
            self._children = [child for child in self._children if child.poll() is None]  # else they stay zombies
            if not self.folder.is_dir():
                return
            with lock(self.folder / "lock"):
                listed = self.list()
                for status in [status for status in listed if status.ended][:-MOST_KEPT]:
                    self.forget(status.job.id)
                for status in listed:
                    asked = self.folder / status.job.id / CANCELLED
                    if status.state == "stopping" and time.time() - asked.stat().st_mtime > PATIENCE_S:
                        self._interrupt(status.job.id, by_force=True)
                waiting = [status for status in listed if not status.ended]
                if waiting and all(status.state == "waiting" for status in waiting):
                    self._start(waiting[0].job)

    def list(self) -> list[Status]:
        """Return all jobs, the oldest first."""
        found: list[Status] = []
        for folder in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if (job := _job_in(folder)) and job.id == folder.name:  # so no id leads out of the folder
                found.append(self._status(job, sum(not status.ended for status in found)))
        return found

    def get(self, job_id: str) -> Status:
        """Return the job of that id; raises RunError when there is none."""
        if found := [status for status in self.list() if status.job.id == job_id]:
            return found[0]
        raise RunError(f"there is no job {job_id[:80]!r}", hint="it was forgotten; reload the page")

    def cancel(self, job_id: str) -> None:
        """Ask the job to stop as Ctrl-C does: nothing is left half-written, and a training can be resumed."""
        with self._changing:  # it must not be started in between
            if self.get(job_id).ended:
                return
            write_whole(self.folder / job_id / CANCELLED, b"")
            self._interrupt(job_id)
        self.advance()

    def forget(self, job_id: str) -> None:
        """Delete what is kept of a job that ended, not what it made; raises OptionError while it runs."""
        status = self.get(job_id)
        if not status.ended:
            raise OptionError(f"{status.job.title} has not ended", hint="cancel it first")
        shutil.rmtree(self.folder / job_id, ignore_errors=True)
        self._ended.pop(job_id, None)

    def _status(self, job: Job, ahead: int) -> Status:
        if job.id in self._ended:
            return self._ended[job.id]
        folder = self.folder / job.id
        cancelled = (folder / CANCELLED).exists()
        runs = running_process(folder) is not None  # before the outcome, which is there when it runs no more
        outcome = read_outcome(folder)
        status = Status(job, "cancelled", read_steps(folder / "stderr"))  # if nothing below says otherwise
        if runs:
            return replace(status, state="stopping" if cancelled else "running")
        if outcome is not None and outcome.exit_code in (0, SOME_UNREADABLE):
            status = replace(status, state="done", result=_json_in(folder / "stdout"))
        elif not cancelled:
            if outcome is None and not (folder / PROCESS).exists():
                return replace(status, state="waiting", ahead=ahead)
            told = ("something failed inside adkit", f"its log says where: {job.id}/stderr")
            if outcome is None or outcome.exit_code == INTERRUPTED:
                told = ("it was ended before it was done", "start it again, or resume it")
            elif outcome.message:
                told = (outcome.message, outcome.hint)
            status = replace(status, state="failed", message=told[0], hint=told[1])
        self._ended[job.id] = status
        return status

    def _start(self, job: Job) -> None:
        """Start the job's process, and wait until it says itself that it runs."""
        folder = self.folder / job.id
        environment = {**os.environ, VARIABLE: str(folder.resolve())}
        environment.pop(TOKEN_VARIABLE, None)  # of the server: who sees its jobs must not learn it
        environment |= {"ADKIT_PROGRESS": "json", "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
        # Its own session: Ctrl-C in the server's terminal ends the server, not the training.
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            child = subprocess.Popen(
                [*self.command, *job.arguments],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=environment,
                start_new_session=True,
            )
        self._children.append(child)
        while not (folder / PROCESS).exists() and child.poll() is None:
            time.sleep(0.01)
        if not (folder / PROCESS).exists():  # it would be started again and again
            write_outcome(folder, Outcome(exit_code=child.returncode or 1))

    def _interrupt(self, job_id: str, *, by_force: bool = False) -> None:
        """Do what Ctrl-C in a terminal does to a command and all that it started; or kill them."""
        process = running_process(self.folder / job_id)
        if process is None:
            return
        with suppress(OSError):
            if sys.platform == "win32":
                os.kill(process, signal.SIGTERM)
            else:
                os.killpg(process, signal.SIGKILL if by_force else signal.SIGINT)


def _job_in(folder: Path) -> Job | None:
    try:
        return Job.model_validate_json(read_file(folder / JOB, MOST_BYTES))
    except (OSError, ValidationError):
        return None


def _json_in(path: Path) -> Any:
    text = read_end(path).strip()
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def fit_arguments(settings: ServerSettings, wanted: Sequence[str]) -> list[str]:
    """Return the command line of a training, by the options that it is `wanted` with, or resumed."""
    return ["fit", *wanted, f"--runs={settings.runs_root.resolve()}", "--format=json"]


def report_arguments(settings: ServerSettings, run_folder: Path) -> list[str]:
    """Return the command line that writes a run's report into its folder."""
    options = [f"--runs={settings.runs_root.resolve()}", f"--device={settings.device}", "--skip-bad"]
    return ["report", *options, "--", str(run_folder.resolve())]


def compare_arguments(
    settings: ServerSettings, methods: Sequence[str], spec: str, seeds: int, output: Path
) -> list[str]:
    """Return the command line of a comparison."""
    what = [f"--methods={','.join(methods)}", f"--dataset={spec}", f"--seeds={seeds}", f"--output={output.resolve()}"]
    places = [f"--root={settings.data_root.resolve()}", f"--runs={settings.runs_root.resolve()}"]
    return ["compare", *what, *places, f"--device={settings.device}", "--format=json"]


def panel(jobs: Jobs, *, trainings: bool) -> str:
    """Return these, or all other jobs as HTML, the newest first; with interrupted trainings that can be resumed."""
    statuses = [status for status in jobs.list() if (status.job.kind == "fit") == trainings]
    begun = []
    if trainings:
        waiting = {status.job.result for status in statuses if not status.ended}
        unfinished = [one for one in list_unfinished(jobs.runs_root) if not one.is_running(jobs.runs_root)]
        begun = [one for one in unfinished if one.id not in waiting]
    return render("jobs.html", statuses=statuses[::-1], begun=begun[::-1], trainings=trainings)


def act(settings: ServerSettings, jobs: Jobs, what: Mapping[str, Any]) -> None:
    """Do what a button of a job's card asks for; raises AdkitError for what is not there any more."""
    if isinstance(job := what.get("cancel"), str):
        jobs.cancel(job)
    elif isinstance(job := what.get("forget"), str):
        jobs.forget(job)
    elif isinstance(name := what.get("resume"), str):
        begun = find_unfinished(settings.runs_root, name)
        specs = ", ".join(category.dataset for category in begun.categories)
        title = f"{begun.settings.method} on {specs}, continued"
        jobs.submit("fit", title, fit_arguments(settings, [f"--resume={name}"]), result=name)
    elif isinstance(name := what.get("discard"), str):
        discard_unfinished(settings.runs_root, name)
