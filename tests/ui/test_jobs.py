"""Jobs: processes of their own that outlive the server, one at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from adkit.errors import AdkitError, OptionError, RunError, StorageError
from adkit.files.outcome import PROCESS, running_process
from adkit.runs.record import FitSettings
from adkit.ui import jobs as jobs_module
from adkit.ui.jobs import FOLDER, Jobs, Status, act, fit_arguments, panel, report_arguments
from adkit.ui.settings import ServerSettings

PROGRAM = """
import json, os, sys, time
import typer
from adkit.cli.faults import FaultReportingGroup
from adkit.errors import OptionError

app = typer.Typer(cls=FaultReportingGroup, pretty_exceptions_enable=False)

@app.callback()
def root(): pass

def tell(done, total=5, status="", **figures):
    line = {"share": done / total, "text": f"training · about 10 s in all · {done} of {total}", "status": status}
    print(json.dumps(line | {"figures": figures}), file=sys.stderr, flush=True)

@app.command()
def good(run: str = "made"):
    tell(0)
    for number in range(1, 6):
        tell(number, status=f"epoch {number}", loss=1 / number, held_out=2 / number)
    print(json.dumps({"run": run}))

@app.command()
def noisy():
    print("a warning\\nTraceback (most recent call last):\\nerror: of a library", file=sys.stderr)
    print(json.dumps({"run": "made"}))

@app.command()
def partly():
    print("a file cannot be read", file=sys.stderr)
    print(json.dumps({"run": "made"}))
    raise typer.Exit(3)

@app.command()
def fault():
    print("a line before", file=sys.stderr)
    raise OptionError("there is no <b>data</b>", hint="put some there")

@app.command()
def bug():
    raise ZeroDivisionError("inside")

@app.command()
def environment():
    print(json.dumps({"run": os.environ["GOMP_SPINCOUNT"], "inherited": "ADKIT_OUTCOME" in os.environ}))

@app.command()
def deaf():
    import signal
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tell(1)
    time.sleep(60)

@app.command()
def slow():
    time.sleep(1.5)
    print(json.dumps({"run": "made"}))

@app.command()
def long():
    print(json.dumps({"run": "half of it"}), flush=True)
    tell(2, status="epoch 2: loss 0.5, held out 0.6")
    time.sleep(60)

app()
"""


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    """Jobs that do what PROGRAM does; none outlives the test."""
    made = Jobs(tmp_path / "runs", (sys.executable, "-c", PROGRAM))
    yield made
    for child in made._children:
        child.kill()
        child.wait(20)


def process_of(jobs: Jobs, job_id: str) -> int:
    """The number of the process that does the job."""
    process = running_process(jobs.folder / job_id)
    assert process is not None
    return process


def until(jobs: Jobs, job_id: str, wanted: Callable[[Status], bool]) -> Status:
    """The job's status as soon as it is as wanted."""
    for _ in range(400):
        jobs.advance()
        status = jobs.get(job_id)
        if wanted(status):
            return status
        time.sleep(0.05)
    raise AssertionError(f"still {status}")


def ended(status: Status) -> bool:
    return status.ended


def told(status: Status) -> bool:
    return status.steps.now.share > 0


def test_a_job_tells_how_far_it_is_and_what_it_made(jobs: Jobs) -> None:
    job = jobs.submit("fit", "ae on washers", ["good", "--run", "20261126-ae-washers"])
    status = until(jobs, job.id, ended)
    assert status.state == "done"
    assert status.result == {"run": "20261126-ae-washers"}
    assert status.made() == ["20261126-ae-washers"]
    assert status.steps.now.share == 1
    assert status.steps.curves["loss"] == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert status.steps.curves["held_out"][0] == 2
    text = panel(jobs, trainings=True)
    assert "Inspect with it" in text
    assert "held_out 0.4000" in text


def test_a_running_job_says_how_long_it_takes(jobs: Jobs) -> None:
    job = jobs.submit("fit", "long", ["long"])
    status = until(jobs, job.id, told)
    assert status.state == "running"
    assert status.steps.now.share == pytest.approx(0.4)
    assert "training · about 10 s in all · 2 of 5" in panel(jobs, trainings=True)
    assert "Cancel" in panel(jobs, trainings=True)


def test_the_second_waits_for_the_first(jobs: Jobs) -> None:
    first = jobs.submit("fit", "long", ["long"])
    second = jobs.submit("report", "report", ["good"], result="x")
    third = jobs.submit("fit", "third", ["good"])
    for title, arguments in (("long", ["long"]), ("third", ["good"])):  # pressed twice
        with pytest.raises(OptionError, match="already"):
            jobs.submit("fit", title, arguments)
    until(jobs, first.id, told)
    assert [status.state for status in jobs.list()] == ["running", "waiting", "waiting"]
    assert jobs.get(second.id).steps.now.text == ""
    assert [status.ahead for status in jobs.list()] == [0, 1, 2]
    assert "waiting, 2 before it" in panel(jobs, trainings=True)
    jobs.cancel(third.id)
    jobs.cancel(first.id)
    assert until(jobs, first.id, ended).state == "cancelled"
    assert until(jobs, second.id, ended).state == "done"
    assert jobs.get(third.id).state == "cancelled"
    assert not (jobs.folder / third.id / "stdout").exists()


def test_a_fault_is_told_in_two_lines(jobs: Jobs) -> None:
    status = until(jobs, jobs.submit("fit", "bad", ["fault"]).id, ended)
    assert status.state == "failed"
    assert status.message == "there is no <b>data</b>"
    assert status.hint == "put some there"
    assert "&lt;b&gt;data&lt;/b&gt;" in panel(jobs, trainings=True)


def test_a_bug_keeps_its_traceback_to_itself(jobs: Jobs) -> None:
    status = until(jobs, jobs.submit("fit", "bad", ["bug"]).id, ended)
    assert status.state == "failed"
    assert "inside adkit" in status.message
    assert "ZeroDivisionError" not in panel(jobs, trainings=True)
    assert "ZeroDivisionError" in (jobs.folder / status.job.id / "stderr").read_text()


def test_a_killed_job_is_a_failed_one_whatever_it_had_printed(jobs: Jobs) -> None:
    job = jobs.submit("fit", "long", ["long"])
    until(jobs, job.id, told)
    assert (jobs.folder / job.id / "stdout").read_text()
    os.kill(process_of(jobs, job.id), signal.SIGKILL)
    status = until(jobs, job.id, ended)
    assert status.state == "failed"
    assert status.message == "it was ended before it was done"


def test_what_a_good_job_writes_to_stderr_is_no_fault(jobs: Jobs) -> None:
    status = until(jobs, jobs.submit("fit", "x", ["noisy"]).id, ended)
    assert status.state == "done"
    assert status.made() == ["made"]
    assert "a warning" in panel(jobs, trainings=True)


def test_a_job_that_left_out_files_is_done(jobs: Jobs) -> None:
    status = until(jobs, jobs.submit("fit", "x", ["partly"]).id, ended)
    assert status.state == "done"
    assert "a file cannot be read" in panel(jobs, trainings=True)


def test_a_command_that_there_is_not_is_a_failed_job(jobs: Jobs) -> None:
    status = until(jobs, jobs.submit("fit", "x", ["nothing"]).id, ended)
    assert status.state == "failed"
    assert "no such command" in status.message


def test_a_process_that_ends_before_it_begins_is_a_failed_job(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "runs", (sys.executable, "-c", "raise SystemExit(0)"))
    job = jobs.submit("fit", "x", [])
    assert jobs.get(job.id).state == "failed"


def test_a_job_that_does_not_listen_is_ended_by_force(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "PATIENCE_S", 0.3)
    job = jobs.submit("fit", "deaf", ["deaf"])
    until(jobs, job.id, told)
    jobs.cancel(job.id)
    assert jobs.get(job.id).state == "stopping"
    assert until(jobs, job.id, ended).state == "cancelled"


def test_another_server_finds_the_jobs_of_the_first(jobs: Jobs, tmp_path: Path) -> None:
    running = jobs.submit("fit", "long", ["long"])
    waiting = jobs.submit("fit", "next", ["good"])
    until(jobs, running.id, told)
    other = Jobs(tmp_path / "runs", jobs.command)
    other.advance()
    assert [status.state for status in other.list()] == ["running", "waiting"]
    other.cancel(running.id)
    assert until(jobs, running.id, ended).state == "cancelled"
    assert until(other, waiting.id, ended).state == "done"
    for child in other._children:
        child.wait(20)


def test_a_job_outlives_its_server(tmp_path: Path) -> None:
    """The server is killed; the job ends well, and the next server knows what it made."""
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from adkit.ui.jobs import Jobs\n"
        f"jobs = Jobs(Path({str(tmp_path)!r}), (sys.executable, '-c', {PROGRAM!r}))\n"
        "print(jobs.submit('fit', 'x', ['slow']).id, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        job_id = server.stdout.readline().strip()
        jobs = Jobs(tmp_path)
        assert until(jobs, job_id, lambda status: status.state == "running")
        os.kill(server.pid, signal.SIGKILL)
    assert until(jobs, job_id, ended).result == {"run": "made"}


def test_a_number_that_another_process_has_now_is_not_the_job(jobs: Jobs) -> None:
    job = jobs.submit("fit", "x", ["long"])
    until(jobs, job.id, told)
    os.kill(process_of(jobs, job.id), signal.SIGKILL)
    until(jobs, job.id, ended)
    (jobs.folder / job.id / PROCESS).write_text(str(os.getpid()))
    other = Jobs(jobs.runs_root)
    assert other.get(job.id).state == "failed"
    other.cancel(job.id)


def test_what_ended_can_be_forgotten(jobs: Jobs) -> None:
    job = jobs.submit("fit", "x", ["long"])
    until(jobs, job.id, told)
    with pytest.raises(OptionError, match="has not ended"):
        jobs.forget(job.id)
    jobs.cancel(job.id)
    until(jobs, job.id, ended)
    jobs.forget(job.id)
    assert jobs.list() == []


def test_only_the_newest_are_kept(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "MOST_KEPT", 2)
    for number in range(4):
        until(jobs, jobs.submit("fit", str(number), ["good"]).id, ended)
    jobs.advance()
    assert [status.job.title for status in jobs.list()] == ["2", "3"]


@pytest.mark.parametrize("name", ["../x", "/etc", "", ".", "nothing", "a\0b"])
def test_no_job_lies_elsewhere(jobs: Jobs, name: str) -> None:
    for ask in (jobs.get, jobs.cancel, jobs.forget):
        with pytest.raises(RunError):
            ask(name)


def test_a_file_that_names_another_folder_is_no_job(jobs: Jobs) -> None:
    job = jobs.submit("fit", "x", ["good"])
    until(jobs, job.id, ended)
    changed = job.model_copy(update={"id": "../../outside"})
    (jobs.folder / job.id / "job.json").write_text(changed.model_dump_json())
    assert jobs.list() == []
    with pytest.raises(RunError):
        jobs.forget("../../outside")


def test_a_full_disk_is_told_and_nothing_is_queued(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        jobs.submit("fit", "x", ["good"])
    assert jobs.list() == []


def test_unreadable_files_are_no_jobs(jobs: Jobs) -> None:
    folder = jobs.runs_root / FOLDER / "20261126-x"
    folder.mkdir(parents=True)
    assert jobs.list() == []
    (folder / "job.json").write_text('{"id": "x"')
    assert jobs.list() == []


def test_command_lines_cannot_be_mistaken(
    settings: ServerSettings, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"size": "--runs=/"}
    asked = FitSettings(method="--help", dataset=("-x:y",), options=options, max_false_alarms="1%", certain=True)
    made = fit_arguments(settings, asked.command_line())
    assert made[:1] == ["fit"]
    assert {"--method=--help", "--dataset=-x:y", "size=--runs=/", "--certain"} <= set(made)
    assert made[made.index("size=--runs=/") - 1] == "--set"
    assert report_arguments(settings, Path("/-x"))[-2:] == ["--", "/-x"]
    begun = SimpleNamespace(settings=asked, categories=[])
    monkeypatch.setattr(jobs_module, "find_unfinished", lambda *_: begun)
    act(settings, jobs, {"resume": "--help"})
    assert jobs.list()[0].job.arguments[1] == "--resume=--help"


def test_a_fault_of_the_jobs_is_a_users(jobs: Jobs) -> None:
    with pytest.raises(AdkitError):
        jobs.get("20261126-000000-000000-beef")


def test_a_process_of_which_nothing_can_be_noted_is_begun_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(tmp_path / "runs", (sys.executable, "-c", "raise SystemExit(2)"))

    def full(path: Path, _: object) -> None:
        raise StorageError("cannot write: the disk is full", hint="free some space")

    monkeypatch.setattr(jobs_module, "write_outcome", full)
    with pytest.raises(StorageError):
        jobs.submit("fit", "x", [])
    (status,) = jobs.list()
    assert status.state == "waiting"


def test_a_finished_training_says_its_promise(jobs: Jobs) -> None:
    status = until(jobs, jobs.submit("fit", "x", ["good"]).id, ended)
    assert status.promises() == []  # of a run of which nothing more was printed
    row = {"run": "made", "expected_false_alarm_rate": 1 / 94, "fit_s": 20.0, "calibrate_s": 2.0}
    assert replace(status, result=[row]).promises() == ["flags about 1 in 94 good ones · 22 s"]
