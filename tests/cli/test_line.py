"""`adkit watch` and `adkit score --fail-on-anomaly`, as a line's programs call them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from configparser import ConfigParser
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adkit.files.documents import signed
from adkit.nn.profile import SHOWN
from adkit.runs.store import read_record
from tests.cli.invoking import commands_that_find, ok, refused, run
from tests.greys import METHODS, paint, usual_levels, with_methods

REGISTRY = with_methods(METHODS)


@pytest.fixture(scope="module", autouse=True)
def _with_greys() -> Iterator[None]:
    """The commands find the methods of tests.greys among the plugins."""
    with commands_that_find(REGISTRY):
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on brightness."""
    folder = tmp_path_factory.mktemp("data")
    paint(folder / "train" / "good", usual_levels(120, 1))
    ok("fit", "-m", "grey", "-d", f"folder:{folder}", "--runs", folder / "runs")
    return folder / "runs"


def test_a_watch_moves_files_and_keeps_a_journal(runs: Path, tmp_path: Path) -> None:
    inbox, moved = tmp_path / "inbox", tmp_path / "moved"
    paint(inbox, [120, 190, 119], seed=3)
    arguments = [
        "watch",
        inbox,
        "--runs",
        runs,
        "--settle",
        0,
        "--once",
        "--to",
        f"{moved}/{{decision}}",
        "--drift",
        0.01,
    ]
    result = ok(*arguments)
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["1", "normal"],
        ["2", "anomalous"],
        ["3", "normal"],
    ]
    assert {path.parent.name: path.name for path in moved.glob("anomalous/*")} == {"anomalous": "001.png"}
    assert not list(inbox.glob("*.png"))
    paint(inbox, [185], seed=4, name="la\nter")
    (told,) = ok(*arguments).stdout.splitlines()
    assert "la\\nter" in told
    rows = [json.loads(line) for line in (inbox / ".adkit" / "journal.jsonl").read_text().splitlines()]
    assert [(row["part"], row["decision"]) for row in rows][-1] == (4, "anomalous")
    assert len(rows) == 4
    journal = inbox / ".adkit" / "journal.jsonl"
    value = str(rows[0]["threshold"])
    other = value[:-1] + str(9 - int(value[-1]))  # as long: places in the journal stay
    journal.write_text(journal.read_text().replace(value, other, 3))
    told = ok(*arguments).stderr
    assert "it ends when all that is there is judged" in told
    assert "Ctrl-C" not in told
    assert "decided before: 4 parts there" in told
    assert "3 of them by another run or threshold: with another --journal this run judges them" in told


def test_a_watch_that_cannot_be_is_refused_at_once(runs: Path, tmp_path: Path) -> None:
    message, _ = refused("watch", tmp_path / "nowhere", "--runs", runs)
    assert message == f"there is no folder {tmp_path / 'nowhere'}"
    message, _ = refused("watch", tmp_path, "--runs", runs, "--drift", 2)
    assert message == "--drift 2 is no share between 0 and 1"
    message, _ = refused("watch", tmp_path, "--runs", runs, "--webhook", "plc.local")
    assert message == "--webhook plc.local is no address"


def test_a_stream_is_watched_and_what_is_for_folders_refused(runs: Path, tmp_path: Path) -> None:
    message, _ = refused("watch", "tcp://127.0.0.1:9", "--runs", runs, "--once")
    assert message == "--once is for folders, and tcp://127.0.0.1:9 is none"
    message, _ = refused("watch", tmp_path, "--runs", runs, "--duration", 3)
    assert message == f"--duration is for streams, and {tmp_path} is a folder"
    message, _ = refused("watch", "gopher://127.0.0.1:9", "--runs", runs)
    assert message == "gopher://127.0.0.1:9 is not a stream that can be opened"


def test_only_one_watch_writes_a_journal(runs: Path, tmp_path: Path) -> None:
    from adkit.files.lock import lock

    paint(tmp_path, [120], seed=5)
    (tmp_path / ".adkit").mkdir()
    with lock(tmp_path / ".adkit" / "journal.lock"):
        message, _ = refused("watch", tmp_path, "--runs", runs, "--once")
    assert message.endswith("is written by another watch")


def test_a_program_is_told_of_anomalies_by_the_exit_code(runs: Path, tmp_path: Path) -> None:
    good, bad = paint(tmp_path, [120, 190], seed=6)
    assert run("score", good, "--runs", runs, "--fail-on-anomaly").exit_code == 0
    both = run("score", good, bad, "--runs", runs, "--fail-on-anomaly")
    assert both.exit_code == 5
    assert "1 of 2 images is anomalous" in both.stdout
    assert run("score", bad, "--runs", runs).exit_code == 0


def test_a_newest_run_of_a_time_that_is_yet_to_come_is_told(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    (folder,) = (tmp_path / "runs").iterdir()
    later = read_record(folder).model_copy(update={"created": datetime.now(UTC) + timedelta(days=1)})
    (folder / "run.json").write_bytes(signed(later.model_dump(mode="json")))
    told = f"latest is {later.id}, whose time is yet to come"
    good = paint(tmp_path, [120], seed=6)
    assert told in ok("score", *good, "--runs", folder.parent).stderr
    assert told not in ok("score", *good, "--runs", folder.parent, "--run", later.id).stderr


def test_a_profile_is_told_beside_the_results(runs: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    paint(inbox, [120, 190], seed=5)
    plain = ok("score", inbox, "--runs", runs, "--format", "csv")
    profiled = ok("score", inbox, "--runs", runs, "--format", "csv", "--profile")
    assert profiled.stdout == plain.stdout
    first, *stages = profiled.stderr.splitlines()
    assert first.endswith("s, by what the command waited for; and what ran beside it")
    assert {line.split("  ")[1] for line in stages} <= set(SHOWN)


def test_a_batch_is_decided_together_and_a_person_may_be_asked(runs: Path, tmp_path: Path) -> None:
    paint(tmp_path / "parts", [115] * 20 + [127] + [190] * 4, seed=8)

    def decisions(*arguments: str | Path) -> list[str]:
        out = ok("score", tmp_path / "parts", "--runs", runs, "--format", "jsonl", *arguments).stdout
        return [json.loads(line)["decision"] for line in out.splitlines()]

    assert decisions()[20:] == ["normal"] + ["anomalous"] * 4
    assert decisions("--look", "20%")[20:] == ["look"] + ["anomalous"] * 4
    assert decisions("--max-false-share", "30%")[20:] == ["normal"] + ["anomalous"] * 4
    assert "anomalous" not in decisions("--max-false-share", "1%")
    output = ok("score", tmp_path / "parts", "--runs", runs, "--look", "20%", "--max-false-share", "1%").output
    assert "0 of 25 images are anomalous, 5 to look at" in output
    assert "normal scores can tell 25 images apart only where" in output
    assert refused("score", tmp_path / "parts", "--runs", runs, "--look", "0.5%")[0].startswith("no part lies between")
    ok("watch", tmp_path / "parts", "--runs", runs, "--once", "--settle", 0, "--look", "20%")
    journal = (tmp_path / "parts" / ".adkit" / "journal.jsonl").read_text()
    assert journal.count('"decision": "look"') == 1


def test_the_examples_for_a_line_say_commands_that_there_are() -> None:
    """What systemd and Docker start are `adkit watch` with options of today."""
    examples, known = Path(__file__).parents[2] / "docs" / "examples" / "line", ok("watch", "--help").stdout
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(examples / "adkit-watch.service")
    assert unit.sections() == ["Unit", "Service", "Install"]
    program, *started = unit["Service"]["ExecStart"].split()
    assert Path(program).name == "adkit"
    lines = dict(
        line.split(maxsplit=1) for line in (examples / "Dockerfile").read_text().splitlines() if line[:1].isupper()
    )
    assert json.loads(lines["ENTRYPOINT"]) == ["adkit"]
    for words in (started, json.loads(lines["CMD"])):
        assert words[0] == "watch"
        assert all(word in known for word in words if word.startswith("--"))
