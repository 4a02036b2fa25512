"""Tables in a real terminal: no key and no number is ever cut, however narrow it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from adkit.cli import app
from adkit.cli.faults import report_fault
from adkit.cli.output import print_table, warn
from adkit.errors import AdkitError
from adkit.registry import load_registry
from adkit.runs.store import Run, open_run
from tests.cli.invoking import ok, run
from tests.greys import SPREAD, USUAL, paint, usual_levels
from tests.press import press_registry

pty = pytest.importorskip("pty", reason="terminals of POSIX")
termios = pytest.importorskip("termios")
WIDTHS = [40, 80]
KEYS = {"name", "path", "run", "option", "metric", "clip", "event", "what", "found", "field", "value"}
"""Heads of columns that a narrow terminal shows without one."""
InTerminal = Callable[..., str]


def read_all(descriptor: int) -> str:
    """Return what comes through a terminal until nobody writes to it any more."""
    parts = []
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # Linux says so that all writers are gone
            break
        if not part:
            break
        parts.append(part)
    plain = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", b"".join(parts).decode())  # no colours, no movements
    return plain.replace("\r\n", "\n")


def narrow_terminal(columns: int) -> tuple[int, int]:
    """Return both ends of a terminal of that many columns."""
    reading, writing = pty.openpty()
    termios.tcsetwinsize(writing, (24, columns))
    return reading, writing


@pytest.fixture
def in_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[InTerminal]:
    """Run a command, or a function, in this process, whose output is a terminal for as long."""
    monkeypatch.setenv("TERM", "dumb")
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def run(columns: int, *arguments: str | Path, call: Callable[[], None] | None = None) -> str:
        reading, writing = narrow_terminal(columns)
        text: list[str] = []
        reader = threading.Thread(target=lambda: text.append(read_all(reading)))
        reader.start()
        kept = [os.dup(number) for number in range(3)]
        for number in range(3):
            os.dup2(writing, number)
        os.close(writing)
        try:
            with monkeypatch.context() as patch, open(1, "w", encoding="utf-8", closefd=False) as screen:
                patch.setattr(sys, "stdout", screen)
                patch.setattr(sys, "stderr", screen)
                if call:
                    call()
                else:
                    app([str(argument) for argument in arguments], standalone_mode=False)
        finally:
            for number, descriptor in enumerate(kept):
                os.dup2(descriptor, number)
                os.close(descriptor)
            reader.join()
            os.close(reading)
        return text[0]

    return run


def too_long(text: str, columns: int) -> list[str]:
    """Return the lines that a terminal breaks anywhere, but for a name or a command, which is copied in one piece."""
    whole = r"\S.* · \S+|/.*| *(\S+|[\w ]+: (\S+|\S*/.*)|adkit .*)"
    lines = [line.rstrip() for line in text.splitlines()]
    return [line for line in lines if cell_len(line) > columns and not re.fullmatch(whole, line)]


def words_of(text: str) -> set[str]:
    """Return the words, but for ids, durations and what changes its place."""
    changing = r"\d\d+-\d{6}\S*|[\d.]+ m?s\b|\b\d+\.\d\b|\S*/(read|seen)/\S*"
    return {word.strip(",:;()·–─") for word in re.sub(changing, "", text).split()} - {""}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty good parts to learn from, good and bad ones to test with, below a path of some length."""
    folder = tmp_path_factory.mktemp("a folder") / "parts_of_the_third_line"
    paint(folder / "train" / "good", usual_levels(50, 1))
    paint(folder / "test" / "good", usual_levels(10, 2), seed=2)
    paint(folder / "test" / "bright_along_the_edge", [USUAL + 10 * SPREAD + number for number in range(5)], seed=3)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _with_greys() -> Iterator[None]:
    registry = press_registry()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adkit.registry.load_registry", lambda: registry)
        yield


@pytest.fixture(scope="module")
def runs(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of two methods."""
    folder = tmp_path_factory.mktemp("runs")
    for method in ("grey", "grey_without_one"):
        ok("fit", "-m", method, "-d", f"folder:{parts}", "--runs", folder)
    return folder


@pytest.fixture(scope="module")
def places(
    runs: Path, parts: Path, press: Path, press_run: Run, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str | Path]:
    """What commands are given; among the images are long names, wide ones, and a file that holds none."""
    named = tmp_path_factory.mktemp("named")
    pictures = paint(named / "good", [*usual_levels(24, 4), USUAL + 10 * SPREAD], seed=4)
    for picture, name in zip(pictures, ("検査画像_第三ライン_" * 3, "a b" * 16, "🔥🚗 one", "x" * 120), strict=False):
        picture.rename(picture.with_name(f"{name}.png"))
    (named / "good" / "検査画像_no_picture.png").touch()
    run, other = sorted(folder.name for folder in runs.iterdir())
    watched = paint(named / "watched", usual_levels(3, 5))[0].parent
    return {
        "watched": watched,
        "parts": parts,
        "runs": runs,
        "run": run,
        "other": other,
        "named": named,
        "press": press,
        "video_run": press_run.folder,
    }


@pytest.mark.parametrize("columns", WIDTHS)
def test_every_run_is_listed_with_its_id_and_numbers(columns: int, runs: Path, in_terminal: InTerminal) -> None:
    text = in_terminal(columns, "list", "runs", "--runs", runs)
    for folder in runs.iterdir():
        record = open_run(folder).record
        assert record.id in text
        for told in (record.method, record.dataset, f"{record.created:%Y-%m-%d %H:%M}", f"{record.train_count}"):
            assert told in text
        assert f"{record.threshold.expected_rate:.2%}" in text
    assert not too_long(text, columns)


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize(
    "command",
    [
        *(f"list {what}" for what in ("methods", "datasets", "scorers", "metrics", "plugins", "runs --runs {runs}")),
        *(f"show {what}" for what in ("patchknn", "max", "folder", "aupimo", "{run} --runs {runs}", "no_such_thing")),
        "inspect -d folder:{parts} --sheet {out}/sheet.png",
        "fit -m grey -d folder:{parts} --runs {out} --name a_name_that_somebody_chose_with_great_care_and_little_hurry",
        "eval --run {run} --runs {runs}",
        "score {named} --run {run} --runs {runs}",
        "score {press}/test --run {video_run}",
        "eval --run {video_run}",
        "calibrate {run} --runs {runs} --max-false-alarms 5%",
        "calibrate {run} --runs {runs} --normal {named}/good",
        "audit {run} --runs {runs} --normal {named}/good",
        "watch {watched} --run {run} --runs {runs} --once --journal {out}/journal.jsonl",
        "report {run} --runs {runs}",
        "compare {run} {other} --runs {runs} -o {out}",
        "export {run} {out}/exported --runs {runs}",
        "doctor --no-self-test --runs {runs}",
        "update {run} --runs {runs} --normal {named}/good",
        "restore {run} --runs {runs}",
        "feedback {run} --runs {runs} --good {named}/there_is_no_such_folder_of_pictures",
        "demo --part no_such_part_as_this_one",
    ],
)
def test_lines_break_between_words_and_nothing_is_lost(
    command: str, columns: int, places: dict[str, str | Path], in_terminal: InTerminal, tmp_path: Path
) -> None:
    def told(out: str) -> list[str]:
        (tmp_path / out).mkdir()
        return [word.format(**places, out=tmp_path / out) for word in command.split()]

    text = in_terminal(columns, *told("seen"))
    piped = run(*told("read"))
    assert not too_long(text, columns)
    assert words_of(piped.output) - words_of(text) - KEYS == set()


@pytest.mark.parametrize("columns", WIDTHS)
def test_eval_shows_every_kind_and_metric(columns: int, runs: Path, in_terminal: InTerminal) -> None:
    text = in_terminal(columns, "eval", "--runs", runs)
    document = json.loads(ok("eval", "--runs", runs, "-f", "json").stdout)
    for row in document["kinds"]:
        assert row["kind"] in text
        for number in (row["mean_score"], row["quantiles"][0], row["quantiles"][-1]):
            assert f"{number:.4f}" in text
    for name in ("image_auroc", "average_precision"):
        assert name in text
        assert f"{document['metrics'][name]['value']:.4f}" in text
    assert document["run"] in text
    verdict = document["verdict"]
    assert verdict.startswith(f"caught {document['outcomes']['caught']['count']} of 5 defects at the promised ")
    assert text.index(verdict.split(" at ")[0]) < text.index("caught_at_promise") < text.index("image_auroc")
    assert " ".join(text.split()).startswith(f"{document['method']} on {document['dataset']} · run {document['run']} ")


@pytest.mark.parametrize("columns", WIDTHS)
def test_compare_shows_every_candidate(columns: int, runs: Path, in_terminal: InTerminal, tmp_path: Path) -> None:
    names = sorted(folder.name for folder in runs.iterdir())
    arguments = ["compare", *names, "--runs", str(runs), "-o", str(tmp_path)]
    text = in_terminal(columns, *arguments)
    document = json.loads(ok(*arguments, "-f", "json").stdout)
    for name in names:
        assert text.count(name) >= 4  # in each of the tables
    for figure in document["figures"]:
        if figure["value"] is not None:
            assert f"{figure['value']:.4f}" in text


@pytest.mark.parametrize("columns", WIDTHS)
def test_score_says_first_how_many_are_anomalous_and_names_every_file(
    columns: int, runs: Path, parts: Path, in_terminal: InTerminal
) -> None:
    arguments = ["score", str(parts / "test"), "--runs", str(runs)]
    text = in_terminal(columns, *arguments).lstrip()  # the bar of progress is gone
    rows = json.loads(ok(*arguments, "-f", "json").stdout)["results"]
    anomalous = sum(row["decision"] == "anomalous" for row in rows)
    assert text.splitlines()[0] == f"{anomalous} of {len(rows)} images are anomalous"
    for row in rows:
        assert row["path"] in text
        assert f"{row['score']:.4f}" in text
    assert text.split().count("anomalous") >= anomalous


@pytest.mark.parametrize("dumb", [False, True])
@pytest.mark.parametrize(
    "command", ["fit -m grey -d folder:{parts} --runs {out}", "score {named} --run {run} --runs {runs} -f jsonl"]
)
def test_a_bar_is_gone_from_every_line(
    command: str,
    dumb: bool,
    places: dict[str, str | Path],
    in_terminal: InTerminal,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("TERM", "dumb" if dumb else "xterm")
    text = in_terminal(80, *(word.format(**places, out=tmp_path) for word in command.split()))
    assert ("━" in text) == (not dumb and command.startswith("fit"))  # not among rows, nor where nothing can be erased
    assert not [line for line in text.split("\n") if re.search("━.*(read |{)", line.rpartition("\r")[2])]
    assert not text.startswith("\n")  # for a bar that is not drawn


@pytest.mark.parametrize(("variable", "value"), [("TERM", "dumb"), ("NO_COLOR", "1"), ("TERM", "xterm")])
def test_colours_come_where_they_are_wanted(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    report_fault(AdkitError("no", hint="yes"))
    assert ("\x1b" in capsys.readouterr().err) == (value == "xterm")


def test_a_table_is_split_where_that_is_shorter_and_turned_where_it_must_be(in_terminal: InTerminal) -> None:
    rows = [{"key": f"key-{number}", **{f"figure {name}": number / 7 for name in "abcdefgh"}} for number in range(5)]

    def printed() -> None:
        print_table("figures", rows, caption="what it is")

    split = in_terminal(60, call=printed)
    assert split.count("key-3") == 2
    assert not too_long(split, 60)
    turned = in_terminal(40, call=printed)
    assert turned.count("key-3\n  figure a: 0.4286 · figure b: 0.4286\n") == 1  # each key once
    assert turned.count("\n") == 2 + 5 * (1 + 4) + 1
    assert not too_long(turned, 40)
    assert in_terminal(15, call=printed).count("\n  figure h: 0.4286\n") == 1
    assert in_terminal(200, call=printed).count("key-3") == 1


def test_columns_that_say_nothing_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("some", [{"name": None, "problem": None, "note": "", "count": 0, "low": -0.00001}])
    assert capsys.readouterr().out.replace("─", "").split() == ["some", "name", "count", "low", "–", "0", "0.0000"]


def test_names_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[31m\x07b\nc\x9b\u202e\u200b.png"
    print_table("t", [{"path": name, "score": 1.0}], caption=f"of {name}")
    report_fault(AdkitError(f"there is no {name}", hint=name))
    warn(name)
    printed = "".join(capsys.readouterr())
    assert "a\\x1b[31m\\x07b\\nc\\x9b\\u202e\\u200b.png" in printed
    assert not set(re.sub(r"\x1b\[\d*m", "", printed)) & set("\x1b\x07\x9b\u202e\u200b")


def test_where_there_is_no_terminal_every_row_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("paths", [{"path": number * "x", "score": 0.5} for number in (200, 3)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if "0.5" in line] == [[200 * "x", "0.5000"], [3 * "x", "0.5000"]]


def test_a_process_of_its_own_sees_the_terminal(tmp_path: Path) -> None:
    reading, writing = narrow_terminal(80)
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "adkit", "list", "methods"]
    with subprocess.Popen(command, stdin=writing, stdout=writing, stderr=writing, env=environment, cwd=tmp_path):
        os.close(writing)
        text = read_all(reading)
    os.close(reading)
    assert all(name in text for name in load_registry().methods.names() if not name.startswith("grey"))
    assert not too_long(text, 80)
