"""Trainings, reports and comparisons as processes of their own, one at a time, remembered on disk.

    runs/.jobs/20261121-233012-1f3a/
        job.json        what was asked for: a command line of adkit
        process.json    which process does it, and since when
        cancelled       somebody asked it to stop
        stdout, stderr  what it says: the result, and its progress as JSON lines

A job needs no server: it goes on when the page is closed and when the server is stopped or killed, and the next
server finds it. What is done, failed or broken off is read from these files alone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from adkit.errors import OptionError, RunError
from adkit.files.atomic import storage_faults, write_whole
from adkit.files.lock import LockHeld, lock
from adkit.runs.record import FitSettings
from adkit.ui.following import Outcome, Steps, outcome_of, read_steps
from adkit.ui.safety import is_name

FOLDER = ".jobs"
SPINS = "2000"
"""How often a thread of torch looks whether the others are done before it sleeps: about a tenth of a millisecond.

A job shares the machine with the server, a browser and perhaps more. Where threads outnumber cores, one that looks
on for 10 ms, as GNU OpenMP's do, keeps the very thread from running that it waits for: a small training beside two busy
processes on two cores was several times slower. With the cores to itself it would be a little faster.
"""
JOB, PROCESS, CANCELLED = "job.json", "process.json", "cancelled"
MOST_KEPT = 50
PATIENCE_S = 20.0
"""A job that was asked to stop is ended by force when it takes longer."""

Kind = Literal["fit", "report", "compare"]
State = Literal["waiting", "running", "stopping", "done", "failed", "cancelled"]

_ENDED = ("done", "failed", "cancelled")

Model = TypeVar("Model", bound=BaseModel)


class Job(BaseModel):
    """What was asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    kind: Kind
    title: str
    created: datetime
    arguments: list[str]  # of adkit
    result: str = ""  # what it makes when that is known before: the run or the comparison


class _Process(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    pid: int
    began: float  # as the system tells it: another process may have the number later


class Status(BaseModel):
    """A job and how it stands."""

    model_config = ConfigDict(frozen=True)

    job: Job
    state: State
    steps: Steps
    outcome: Outcome
    ahead: int = 0  # jobs that come before it, while it waits

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.state in _ENDED


class Jobs:
    """The jobs in one folder of runs. Several servers, or none, may look after the same."""

    def __init__(self, runs_root: Path, command: Sequence[str] = (sys.executable, "-m", "adkit")) -> None:
        self.runs_root = runs_root
        self.command = command
        self.folder = runs_root / FOLDER
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: dict[str, Status] = {}  # they change no more, and their streams are long
        self._changing = threading.RLock()

    def submit(self, kind: Kind, title: str, arguments: Sequence[str], *, result: str = "") -> Job:
        """Queues `adkit ARGUMENTS`, and starts it when nothing else runs; raises StorageError for a full disk."""
        now = datetime.now(UTC)
        job = Job(
            id=f"{now:%Y%m%d-%H%M%S-%f}-{secrets.token_hex(2)}",
            kind=kind,
            title=title,
            created=now,
            arguments=list(arguments),
            result=result,
        )
        write_whole(self.folder / job.id / JOB, job.model_dump_json(indent=2).encode())
        self.advance()
        return job

    def advance(self) -> None:
        """Starts the job that has waited longest if none runs, ends one that does not stop, forgets old ones."""
        with self._changing, suppress(LockHeld), storage_faults(self.folder):
            if not self.folder.is_dir():
                return
            with lock(self.folder / "lock"):
                listed = self.list()
                self._forget([status for status in listed if status.ended][:-MOST_KEPT])
                for status in listed:
                    if status.state == "stopping" and self._cancelled_for(status.job.id) > PATIENCE_S:
                        self._kill(status.job.id)
                if any(status.state in ("running", "stopping") for status in listed):
                    return
                waiting = [status.job for status in listed if status.state == "waiting"]
                if waiting:
                    self._start(waiting[0])

    def list(self) -> list[Status]:
        """All jobs, the oldest first."""
        found: list[Status] = []
        for folder in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            job = _read(folder / JOB, Job)
            if job is None:
                continue
            ahead = sum(not status.ended for status in found)
            found.append(self._status(job, ahead))
        return found

    def get(self, job_id: str) -> Status:
        """The job of that id; raises RunError when there is none."""
        job = _read(self.folder / job_id / JOB, Job) if is_name(job_id) else None
        if job is None:
            raise RunError(f"there is no job {job_id[:80]!r}", hint="it was forgotten; reload the page")
        return self._status(job, 0)

    def cancel(self, job_id: str) -> None:
        """Asks the job to stop as Ctrl-C does: nothing is left half-written, and a training can go on later."""
        with self._changing:  # it must not be started in between
            if self.get(job_id).ended:
                return
            write_whole(self.folder / job_id / CANCELLED, b"")
            process = self._process(job_id)
            if process is not None:
                _interrupt(process)
        self.advance()

    def forget(self, job_id: str) -> None:
        """Deletes what is kept of a job that ended, not what it made; raises OptionError while it runs."""
        status = self.get(job_id)
        if not status.ended:
            raise OptionError(f"{status.job.title} has not ended", hint="cancel it first")
        self._forget([status])

    def _forget(self, ended: Sequence[Status]) -> None:
        for status in ended:
            shutil.rmtree(self.folder / status.job.id, ignore_errors=True)
            self._children.pop(status.job.id, None)
            self._ended.pop(status.job.id, None)

    def _status(self, job: Job, ahead: int) -> Status:
        if job.id not in self._ended:
            status = self._status_now(job, ahead)
            if not status.ended:
                return status
            self._ended[job.id] = status
        return self._ended[job.id]

    def _status_now(self, job: Job, ahead: int) -> Status:
        folder = self.folder / job.id
        steps = read_steps(folder / "stderr")
        cancelled = (folder / CANCELLED).exists()
        state: State
        if not (folder / PROCESS).exists():
            state = "cancelled" if cancelled else "waiting"
            return Status(job=job, state=state, steps=steps, outcome=Outcome(), ahead=ahead)
        if self._process(job.id) is not None:
            state = "stopping" if cancelled else "running"
            return Status(job=job, state=state, steps=steps, outcome=Outcome())
        outcome = outcome_of(folder)
        state = "done" if outcome.done else "cancelled" if cancelled else "failed"
        return Status(job=job, state=state, steps=steps, outcome=outcome)

    def _start(self, job: Job) -> None:
        folder = self.folder / job.id
        environment = {"GOMP_SPINCOUNT": SPINS, **os.environ}
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
        self._children[job.id] = child
        try:
            began = psutil.Process(child.pid).create_time()
            write_whole(folder / PROCESS, _Process(pid=child.pid, began=began).model_dump_json().encode())
        except BaseException:
            child.kill()  # nobody would know that it runs, and it would be started again
            raise

    def _process(self, job_id: str) -> psutil.Process | None:
        """The job's process while it lives."""
        if child := self._children.get(job_id):
            child.poll()  # else a child that ended stays a zombie
        told = _read(self.folder / job_id / PROCESS, _Process)
        if told is None:
            return None
        try:
            process = psutil.Process(told.pid)
            if abs(process.create_time() - told.began) > 1 or process.status() == psutil.STATUS_ZOMBIE:
                return None
        except psutil.Error:
            return None
        return process

    def _cancelled_for(self, job_id: str) -> float:
        try:
            asked = (self.folder / job_id / CANCELLED).stat().st_mtime
        except OSError:
            return 0.0
        return datetime.now(UTC).timestamp() - asked

    def _kill(self, job_id: str) -> None:
        process = self._process(job_id)
        if process is not None:
            for one in [*process.children(recursive=True), process]:
                with suppress(psutil.Error):
                    one.kill()


def _interrupt(process: psutil.Process) -> None:
    """As Ctrl-C in a terminal does to a command and its children."""
    if sys.platform == "win32":
        with suppress(psutil.Error):
            process.terminate()
    else:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGINT)


def _read(path: Path, model: type[Model]) -> Model | None:
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def fit_arguments(settings: FitSettings, runs_root: Path) -> list[str]:
    """The command line of a training."""
    return ["fit", *settings.command_line(), f"--runs={runs_root.resolve()}", "--format=json"]


def resume_arguments(unfinished_id: str, runs_root: Path) -> list[str]:
    """The command line that goes on with a training."""
    return ["fit", f"--resume={unfinished_id}", f"--runs={runs_root.resolve()}", "--format=json"]


def report_arguments(run_folder: Path, runs_root: Path, device: str = "auto") -> list[str]:
    """The command line that writes a run's report into its folder."""
    return ["report", *_common(runs_root, device), "--skip-bad", "--", str(run_folder.resolve())]


def compare_arguments(
    methods: Sequence[str], spec: str, seeds: int, output: Path, data_root: Path, runs_root: Path, device: str = "auto"
) -> list[str]:
    """The command line of a comparison."""
    return [
        "compare",
        f"--methods={','.join(methods)}",
        f"--dataset={spec}",
        f"--seeds={seeds}",
        f"--output={output.resolve()}",
        f"--root={data_root.resolve()}",
        *_common(runs_root, device),
        "--format=json",
    ]


def _common(runs_root: Path, device: str) -> list[str]:
    return [f"--runs={runs_root.resolve()}", f"--device={device}"]
