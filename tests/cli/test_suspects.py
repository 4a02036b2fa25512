"""Hidden defects at the command line: named, left out by name, left out by --robust, and what is said afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from adkit.runs.store import list_runs
from tests.cli.invoking import fault, ok, refused
from tests.greys import METHODS, paint, usual_levels, with_methods

REGISTRY = with_methods(METHODS)


@pytest.fixture(scope="module", autouse=True)
def _with_greys() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adkit.registry.load_registry", lambda: REGISTRY)
        yield


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty good parts with three bright ones among them; five bright ones to test with."""
    folder = tmp_path_factory.mktemp("data") / "parts"
    paint(folder / "train" / "good", usual_levels(60, 1))
    paint(folder / "train" / "good", [190.0, 205.0, 230.0], seed=2, name="x")
    paint(folder / "test" / "good", usual_levels(10, 3), seed=3)
    paint(folder / "test" / "bright", [185.0, 190.0, 195.0, 200.0, 205.0], seed=4)
    return folder


HIDDEN = [f"train/good/x{number:03d}.png" for number in (2, 1, 0)]


def fit_of(parts: Path, runs: Path, *options: str | Path) -> list[str | Path]:
    return ["fit", "-m", "grey_without_one", "-d", f"folder:{parts}", "--runs", runs, *options]


def newest(runs: Path) -> str:
    return list_runs(runs)[-1][0].name


def test_suspects_are_named_with_what_to_do_and_stay_with_the_run(parts: Path, tmp_path: Path) -> None:
    result = ok(*fit_of(parts, tmp_path))
    run = newest(tmp_path)
    lines = result.stderr.splitlines()
    start = next(
        place for place, line in enumerate(lines) if line.startswith("look at these: 3 of 63 scores lie apart")
    )
    assert [line.split("  ")[-1] for line in lines[start + 1 : start + 4]] == HIDDEN
    assert lines[start + 4] == "--robust leaves such out, and learns anew"
    assert lines[start + 5] == (
        f"adkit report {tmp_path / run} shows the highest; if they are anomalous: adkit fit … --leave-out NAMES"
    )
    reminder = "3 suspects are among the 63 normal images that set the threshold, so that defects may be missed"
    judged = ok("eval", "--runs", tmp_path, "-f", "json")
    assert json.loads(judged.stdout)["suspects"] == HIDDEN
    assert f"{reminder}: adkit show {run}" in judged.stderr
    scored = ok("score", parts / "test" / "good", "--runs", tmp_path, "-f", "json")
    assert json.loads(scored.stdout)["suspects"] == HIDDEN
    assert reminder in scored.stderr
    shown = ok("show", run, "--runs", tmp_path, "-f", "json")
    assert [one["name"] for one in json.loads(shown.stdout)["calibration"]["suspects"]["scores"]] == HIDDEN
    assert "calibration.suspects.scores.1.name" in ok("show", run, "--runs", tmp_path).stdout


def test_robust_says_who_was_left_out_and_why(parts: Path, tmp_path: Path) -> None:
    result = ok(*fit_of(parts, tmp_path, "--robust"))
    lines = [line.strip() for line in result.stdout.splitlines()]
    start = lines.index(
        "left out 3 images, held for anomalous; only the others were learned from and set the threshold"
    )
    assert lines[start + 1].startswith("3 of 63 scores lie apart from the rest (none between ")
    assert [line.split("  ")[1] for line in lines[start + 2 : start + 5]] == HIDDEN
    assert "3 others left out as anomalous (if they are normal, it flags about 6.25%)" in result.stdout
    assert "look at" not in result.stderr
    caught = json.loads(ok("eval", "--runs", tmp_path, "-f", "json").stdout)["outcomes"]["caught"]
    assert (caught["count"], caught["total"]) == (5, 5)
    assert "suspect" not in ok("eval", "--runs", tmp_path).stderr
    assert "left_out.3.name" in ok("show", newest(tmp_path), "--runs", tmp_path).stdout
    written = ok("report", newest(tmp_path), "--runs", tmp_path).stdout.split()[-1]
    page = Path(written).read_text(encoding="utf-8")
    assert "3 images of the training split were neither learned from" in page
    assert all(name in page for name in HIDDEN)


def test_names_come_from_the_command_line_or_a_file(parts: Path, tmp_path: Path) -> None:
    names = tmp_path / "bad.txt"
    names.write_text("\n".join([*HIDDEN[:2], "", str(parts / "train" / "good" / "x000.png")]) + "\n")
    for number, words in enumerate((["--leave-out", names], ["--leave-out", ",".join(HIDDEN)])):
        runs = tmp_path / str(number)
        row = json.loads(ok(*fit_of(parts, runs, *words, "-f", "json")).stdout)
        assert sorted(row["left_out"]) == sorted(HIDDEN)
        assert row["suspects"] == []
        assert row["train_count"] == 60
    record = json.loads(ok("show", newest(tmp_path / "0"), "--runs", tmp_path / "0", "-f", "json").stdout)
    assert record["settings"]["leave_out"][:2] == HIDDEN[:2]  # what the file said, and not where it lay
    assert "3 suspects" not in ok("fit", *fit_of(parts, tmp_path / "2")[1:], "--leave-out", names).stderr


def test_what_cannot_be_meant_is_refused(parts: Path, tmp_path: Path) -> None:
    told = fault(*fit_of(parts, tmp_path, "--leave-out", "train/good/x01.png"))
    assert "--leave-out 'train/good/x01.png' names no training image or clip" in told
    assert "did you mean train/good/" in told
    error, hint = refused(*fit_of(parts, tmp_path, "--leave-out", "nowhere.txt"))
    assert error == "--leave-out nowhere.txt cannot be read: no such file or directory"
    assert "one on each line" in hint
    error, _ = refused(*fit_of(parts, tmp_path, "-d", f"folder:{parts / 'train'}", "--leave-out", HIDDEN[0]))
    assert error == "--leave-out is for one category, and there are 2"
