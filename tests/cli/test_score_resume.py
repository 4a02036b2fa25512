"""`adkit score --resume`: after a kill at any row, the file holds each row once, as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from adkit.cli.output import MOST_ROWS
from adkit.errors import OptionError
from adkit.files.lock import lock
from adkit.line.journal import Journal, Row
from tests.cli.invoking import commands_that_find, ok, refused, run
from tests.faults.ground import forked
from tests.greys import METHODS, bytes_below, paint, usual_levels, with_methods
from tests.workflows.test_engine import through_pickle

COUNT = 30


@pytest.fixture(scope="module", autouse=True)
def _with_greys() -> Iterator[None]:
    """The commands find the methods of tests.greys among the plugins."""
    with commands_that_find(with_methods(METHODS)):
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs on brightness that give maps."""
    folder = tmp_path_factory.mktemp("data")
    paint(folder / "train" / "good", usual_levels(60, 1))
    for name in ("one", "other"):
        ok("fit", "-m", "grey_maps", "-d", f"folder:{folder}", "--runs", folder / "runs", "--name", name)
    return folder / "runs"


@pytest.fixture(scope="module")
def names(runs: Path) -> list[str]:
    """The names of both runs."""
    return sorted(path.name for path in runs.iterdir() if path.is_dir() and not path.name.startswith("."))


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Images, one of which is none."""
    folder = tmp_path / "parts"
    paint(folder, usual_levels(COUNT, 2), seed=2)
    (folder / "007.png").write_bytes(b"no image")
    return folder


def killed(row: int, *arguments: object, log: Path) -> None:
    """Run a command that is killed when it has written half of the line of this row."""
    append, count = Journal.append, 0

    def torn(self: Journal, one: Row) -> None:
        nonlocal count
        count += 1
        if count > row:
            os.write(self._file.fileno(), json.dumps(one).encode()[:40])
            os.kill(os.getpid(), signal.SIGKILL)
        append(self, one)

    def patch() -> None:
        Journal.append = torn  # type: ignore[method-assign]  # in the fork only

    assert forked(arguments, log, before=patch) == -signal.SIGKILL


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
def test_a_score_that_was_killed_twice_gives_what_one_gives(
    suffix: str, runs: Path, names: list[str], parts: Path, tmp_path: Path
) -> None:
    def score(place: Path) -> list[object]:
        return ["score", parts, "--skip-bad", "--runs", runs, "-r", names[0], "-o", place / f"rows.{suffix}"]

    at_once, in_parts = tmp_path / "at once", tmp_path / "in parts"
    ok(*score(at_once), "--masks", at_once / "masks")
    arguments = [*score(in_parts), "--masks", in_parts / "masks"]
    killed(5, *arguments, log=tmp_path / "log")
    assert not (in_parts / f"rows.{suffix}").exists()
    message, hint = refused(*arguments)
    assert message == f"{in_parts / f'rows.{suffix}'}.unfinished holds rows of a score that was interrupted"
    assert "--resume" in hint
    killed(9, *arguments, "--resume", log=tmp_path / "log")
    assert "14 rows are there already" in ok(*arguments, "--resume").stderr
    assert bytes_below(in_parts) == bytes_below(at_once)


def test_a_score_that_fails_before_its_first_row_leaves_nothing(
    runs: Path, names: list[str], parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OptionError("no cluster", hint="none")

    monkeypatch.setattr("adkit.workflows.engine.require_engine", lambda _: None)
    monkeypatch.setattr("adkit.cli.workers.each", fail)
    there = sorted(tmp_path.iterdir())
    arguments = ["score", parts, "--runs", runs, "-r", names[0], "-o", tmp_path / "rows.csv", "--engine", "ray"]
    assert "--resume" not in run(*arguments).stderr
    assert sorted(tmp_path.iterdir()) == there


def test_rows_of_workers_are_the_same(
    runs: Path, names: list[str], parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adkit.workflows.engine.require_engine", lambda _: None)
    monkeypatch.setattr("adkit.cli.workers.each", through_pickle)
    monkeypatch.setattr("adkit.cli.scoring.SHARD", 7)
    arguments = ["score", parts, "--skip-bad", "--runs", runs, "-r", names[0]]
    for suffix in ("csv", "jsonl"):
        told = []
        for engine in ("local", "ray"):
            place = tmp_path / engine
            pictures = ["--heatmaps", place / "maps", "--masks", place / "masks"] if suffix == "csv" else []
            result = ok(*arguments, "-o", place / f"rows.{suffix}", *pictures, "--engine", engine)
            told.append(result.stderr.partition("unreadable")[2])  # without progress, which a busy machine tells
        assert "007.png" in told[0]
        assert told[0] == told[1]
    assert bytes_below(tmp_path / "ray") == bytes_below(tmp_path / "local")
    assert len(list((tmp_path / "ray" / "masks").iterdir())) == COUNT - 1


def test_rows_of_another_model_are_refused(runs: Path, names: list[str], parts: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    arguments = ["score", parts, "--runs", runs, "-o", file, "--skip-bad"]
    killed(3, *arguments, "-r", names[0], log=tmp_path / "log")
    message, _ = refused(*arguments, "-r", names[1], "--resume")
    assert message == f"{file} cannot be resumed: run was {names[0]}, and is {names[1]}"
    message, _ = refused(*arguments, "-r", names[0], "--scorer", "mean", "--resume")
    assert message.startswith(f"{file} cannot be resumed: threshold was ")
    message, _ = refused(*arguments, "-r", names[0], "--masks", tmp_path / "masks", "--resume")
    assert message == f"{file} cannot be resumed: --masks was None, and is {tmp_path / 'masks'}"
    ok(*arguments, "-r", names[0], "--resume")
    assert len(file.read_text().splitlines()) == COUNT + 1


def test_a_file_that_vanishes_is_told(runs: Path, names: list[str], parts: Path, tmp_path: Path) -> None:
    """Its row stays where it was scored before; where it vanishes under way, its row says so."""
    (parts / "007.png").unlink()
    file = tmp_path / "rows.jsonl"
    arguments = ["score", parts, "--runs", runs, "-r", names[0], "-o", file]
    killed(4, *arguments, log=tmp_path / "log")
    (parts / "001.png").unlink()
    with pytest.MonkeyPatch.context() as patch:
        found = Journal.append

        def append(self: Journal, row: Row) -> None:
            (parts / "028.png").unlink(missing_ok=True)
            found(self, row)

        patch.setattr(Journal, "append", append)
        result = run(*arguments, "--resume")
    assert result.exit_code == 3
    assert f"1 of the rows are of files that are not named or not there any more: {parts / '001.png'}" in result.stderr
    assert f"there is no file {parts / '028.png'}" in result.stderr
    rows = {Path(row["path"]).name: row for row in map(json.loads, file.read_text().splitlines())}
    assert len(rows) == COUNT - 1
    assert rows["001.png"]["decision"] == "normal"
    assert rows["028.png"]["decision"] == "unreadable"


def test_what_cannot_be_resumed_is_refused(runs: Path, names: list[str], parts: Path, tmp_path: Path) -> None:
    arguments = ["score", parts, "--runs", runs, "-r", names[0], "--skip-bad"]
    assert refused(*arguments, "--resume")[0] == "--resume goes on with a file of rows, and none is named"
    file = tmp_path / "rows.csv"
    ok(*arguments, "-o", file, "--resume")  # of what has not begun it is the beginning
    assert refused(*arguments, "-o", file, "--resume")[0] == f"{file} is whole: there is nothing to resume"
    (tmp_path / "new.csv.unfinished").mkdir()
    with lock(tmp_path / "new.csv.unfinished" / "lock"):
        message, _ = refused(*arguments, "-o", tmp_path / "new.csv")
    assert message == f"{tmp_path / 'new.csv'} is being written by another score"


def test_of_many_rows_people_see_the_most_anomalous(runs: Path, names: list[str], tmp_path: Path) -> None:
    levels = [100 + (7 * number) % 50 for number in range(50)]
    paint(tmp_path / "many", levels)
    file = tmp_path / "rows.jsonl"
    shown = ok("score", tmp_path / "many", "--runs", runs, "-r", names[0], "-o", file).stdout
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    expected = sorted(rows, key=lambda row: -row["score"])[:MOST_ROWS]
    found = [line.split()[0] for line in shown.splitlines() if ".png" in line]
    assert found == [row["path"] for row in expected]
    assert f"{sum(row['decision'] == 'anomalous' for row in rows)} of 50 images are anomalous" in shown
    assert "… and 10 more" in shown
