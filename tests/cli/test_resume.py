"""`adkit fit --resume` as a user types it, after Ctrl-C and after a kill."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adkit.nn.training.checkpoints import FILE
from adkit.runs.store import CALIBRATION, MODEL, open_run
from adkit.runs.unfinished import FOLDER
from adkit.synthetic.parts import write_parts
from tests.cli.invoking import ok, refused, run

SMALL = ["--set", "size=32", "--set", "width=4", "--set", "epochs=4", "--set", "precision=32", "--device", "cpu"]
FIT = ["fit", "-m", "ae", *SMALL]


@pytest.fixture(scope="module")
def sorts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with few washers and connectors to learn from."""
    root = tmp_path_factory.mktemp("sorts")
    write_parts(root / "mvtec" / "washer", "washer", seed=1, train=10, good=2, each_grade=1)
    write_parts(root / "mvtec" / "connector", "connector", seed=1, train=9, good=2, each_grade=1)
    return root


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Ctrl-C once the checkpoint of the second epoch is written; `undo` ends that."""
    from adkit.nn.training.checkpoints import Checkpoint, Checkpoints

    write = Checkpoints.write

    def write_and_interrupt(self: Checkpoints, checkpoint: Checkpoint) -> None:
        write(self, checkpoint)
        if len(checkpoint.numbers["curves"]["loss"]) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "due", True)
    monkeypatch.setattr(Checkpoints, "write", write_and_interrupt)
    return monkeypatch


def broken_off(interrupted: pytest.MonkeyPatch, *arguments: str | Path) -> str:
    """A fit that was interrupted in its second epoch; what it prints on stderr."""
    result = run(*arguments)
    interrupted.undo()
    assert result.exit_code == 130, result.output
    assert result.stdout == ""
    return result.stderr


def unfinished_id(runs: Path) -> str:
    """The id of the one fit there is in the runs folder, which is unfinished."""
    assert [path.name for path in runs.iterdir()] == [FOLDER]
    (folder,) = (runs / FOLDER).iterdir()
    return folder.name


def assert_alike(one: Path, other: Path) -> None:
    """Two runs are of the same training, to the last bit."""
    for name in (MODEL, CALIBRATION):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    first, second = open_run(one).record, open_run(other).record
    assert first.curves == second.curves
    assert first.facts == second.facts
    assert first.threshold == second.threshold
    assert first.options == second.options


def test_a_fit_that_was_interrupted_goes_on(sorts: Path, tmp_path: Path, interrupted: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "broken"
    text = broken_off(interrupted, *FIT, "-d", "mvtec:washer", "--root", sorts, "--runs", runs)
    name = unfinished_id(runs)
    assert f"the training is kept; to resume it: adkit fit --resume {name} --runs {runs}" in text
    shutil.copytree(runs, tmp_path / "copy")
    ok(*FIT, "-d", "mvtec:washer", "--root", sorts, "--runs", tmp_path / "whole")
    (whole,) = (tmp_path / "whole").iterdir()
    assert len(open_run(whole).record.curves["loss"]) == 4
    for root, wanted in ((runs, "latest"), (tmp_path / "copy", name)):
        made = json.loads(ok("fit", "--resume", wanted, "--runs", root, "-f", "json").stdout)
        assert made["run"] == name
        assert [path.name for path in root.iterdir()] == [name]
        assert_alike(whole, root / name)


def test_a_joint_fit_goes_on(sorts: Path, tmp_path: Path, interrupted: pytest.MonkeyPatch) -> None:
    both = [*FIT, "-d", "mvtec:washer,connector", "--joint", "--few", "6", "--root", sorts]
    broken_off(interrupted, *both, "--runs", tmp_path / "broken")
    assert len(unfinished_id(tmp_path / "broken")) > 0
    ok("fit", "--resume", "latest", "--runs", tmp_path / "broken")
    ok(*both, "--runs", tmp_path / "whole")
    made, whole = (sorted((tmp_path / name).iterdir(), key=lambda one: one.name[16:]) for name in ("broken", "whole"))
    assert [open_run(one).record.dataset for one in made] == ["mvtec:connector", "mvtec:washer"]
    assert [open_run(one).record.settings.few for one in made] == [6, 6]
    for one, other in zip(made, whole, strict=True):
        assert_alike(one, other)


@pytest.fixture
def stopped(sorts: Path, tmp_path: Path, interrupted: pytest.MonkeyPatch) -> Path:
    """A runs folder with an unfinished fit of washers that lie in `data` beside it."""
    shutil.copytree(sorts, tmp_path / "data")
    runs = tmp_path / "runs"
    broken_off(interrupted, *FIT, "-d", "mvtec:washer", "--root", tmp_path / "data", "--runs", runs)
    return runs


def test_what_is_settled_may_not_be_said_again(stopped: Path) -> None:
    for arguments, option in [
        (["-m", "ae"], "--method"),
        (["-d", "mvtec:washer"], "--dataset"),
        (["-s", "epochs=9"], "--set"),
        (["--seed", "0"], "--seed"),
        (["--few", "3"], "--few"),
        (["--joint"], "--joint"),
        (["--scorer", "max"], "--scorer"),
        (["--max-false-alarms", "5%"], "--max-false-alarms"),
        (["--percentile", "99"], "--percentile"),
        (["--root", "elsewhere"], "--root"),
        (["--skip-bad"], "--skip-bad"),
    ]:
        error, hint = refused("fit", "--resume", "latest", "--runs", stopped, *arguments)
        assert error == f"--resume takes the options that the fit began with, and {option} was given"
        assert hint == f"leave {option} out, or fit anew without --resume"
    unfinished_id(stopped)


def test_other_training_data_is_refused_and_named(stopped: Path, tmp_path: Path) -> None:
    name = unfinished_id(stopped)
    good = tmp_path / "data" / "mvtec" / "washer" / "train" / "good"
    first, new = good / "000.png", good / "new.png"
    content = first.read_bytes()

    def difference() -> str:
        error, hint = refused("fit", "--resume", name, "--runs", stopped)
        assert "put it back as it was" in hint
        return error

    shutil.copy(tmp_path / "data" / "mvtec" / "washer" / "test" / "good" / "000.png", new)
    assert difference() == f"{name} cannot be resumed: mvtec:washer had 10 training images, and has 11"
    first.unlink()
    assert difference() == f"{name} cannot be resumed: training images of mvtec:washer were changed or renamed since"
    new.unlink()
    assert difference() == f"{name} cannot be resumed: mvtec:washer had 10 training images, and has 9"
    first.write_bytes((tmp_path / "data" / "mvtec" / "washer" / "test" / "good" / "001.png").read_bytes())
    assert difference() == f"{name} cannot be resumed: training images of mvtec:washer were changed or renamed since"
    first.write_bytes(content)
    ok("fit", "--resume", name, "--runs", stopped)
    assert [path.name for path in stopped.iterdir()] == [name]


def test_data_that_is_gone_is_refused_and_costs_no_training(stopped: Path, tmp_path: Path) -> None:
    (tmp_path / "data").rename(tmp_path / "moved")
    error, _ = refused("fit", "--resume", "latest", "--runs", stopped)
    assert "no category of MVTec was found" in error
    unfinished_id(stopped)


def test_unknown_names_are_refused(stopped: Path, tmp_path: Path) -> None:
    name = unfinished_id(stopped)
    error, hint = refused("fit", "--resume", name[:-1], "--runs", stopped)
    assert error == f"there is no unfinished fit {name[:-1]!r} in {stopped}"
    assert f"did you mean {name}?" in hint
    for wanted in ("latest", name):
        error, hint = refused("fit", "--resume", wanted, "--runs", tmp_path / "none")
        assert error == f"there is no unfinished fit in {tmp_path / 'none'}"
        assert "a method that trains a network" in hint
    ok("fit", "--resume", name, "--runs", stopped)
    error, hint = refused("fit", "--resume", name, "--runs", stopped)
    assert error == f"{name} is a run that was fitted to its end: nothing of it is left to resume"
    assert f"adkit score FILES --run {name}" in hint


def test_a_bug_before_the_first_checkpoint_leaves_nothing(
    sorts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adkit.nn.training.loop.auroc", lambda *_: 1 / 0)
    failed = run(*FIT, "-d", "mvtec:washer", "--root", sorts, "--runs", tmp_path / "runs")
    assert isinstance(failed.exception, ZeroDivisionError)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_list_says_how_to_go_on(stopped: Path, sorts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = unfinished_id(stopped)
    monkeypatch.setenv("ADKIT_RUNS", str(stopped))
    (row,) = json.loads(ok("list", "runs", "-f", "json").stdout)
    assert row["run"] == name
    assert (row["method"], row["dataset"], row["images"]) == ("ae", "mvtec:washer", 10)
    assert row["promised"] is None
    assert row["problem"] == f"unfinished: adkit fit --resume {name}"
    assert "unfinished: adkit" in ok("list", "runs").stdout
    (line,) = csv.DictReader(io.StringIO(ok("list", "runs", "-f", "csv").stdout))
    assert line["problem"] == row["problem"]
    ok(*FIT, "-d", "mvtec:connector", "--root", sorts)
    assert [one["run"] == name for one in json.loads(ok("list", "runs", "-f", "json").stdout)] == [True, False]
    ok("fit", "--resume", "latest")
    assert [one["problem"] for one in json.loads(ok("list", "runs", "-f", "json").stdout)] == [None, None]


STAYING = """
import time
from adkit.cli import main
from adkit.nn.training.checkpoints import Checkpoints

write = Checkpoints.write

def write_and_stay(self, checkpoint):
    write(self, checkpoint)
    time.sleep(600)

Checkpoints.due, Checkpoints.write = True, write_and_stay
main()
"""
"""`adkit`, whose trainings stand still after their first checkpoint, until they are killed."""


def test_a_fit_that_was_killed_goes_on(sorts: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    fit = [*FIT, "-d", "mvtec:washer", "--root", str(sorts)]
    process = subprocess.Popen([sys.executable, "-c", STAYING, *fit, "--runs", str(runs)])
    with process:
        until = time.monotonic() + 60
        while not list(runs.glob(f"{FOLDER}/*/{FILE}")):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        name = unfinished_id(runs)
        for wanted in ("latest", name):
            error, _ = refused("fit", "--resume", wanted, "--runs", runs)
            assert error == f"{name} is still learning, in another process"
        (row,) = json.loads(ok("list", "runs", "--runs", runs, "-f", "json").stdout)
        assert row["problem"] == "still learning"
        process.kill()
    ok("fit", "--resume", "latest", "--runs", runs)
    ok(*fit, "--runs", tmp_path / "whole")
    (whole,) = (tmp_path / "whole").iterdir()
    assert [path.name for path in runs.iterdir()] == [name]
    assert len(open_run(whole).record.curves["loss"]) == 4
    assert_alike(runs / name, whole)
