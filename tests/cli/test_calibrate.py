"""Thresholds at the command line: `fit` with a promise, `calibrate`, and what `eval` says of them."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from adkit.runs.store import MODEL, open_run
from adkit.stats.calibration import ThresholdRule
from tests.cli.invoking import commands_that_find, ok, refused, run
from tests.greys import METHODS, SPREAD, USUAL, Grey, bytes_below, paint, usual_levels, with_methods

REGISTRY = with_methods(METHODS)


@pytest.fixture(scope="module", autouse=True)
def _with_greys() -> Iterator[None]:
    """The commands find the methods of tests.greys among the plugins."""
    with commands_that_find(REGISTRY):
        yield


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty good parts to learn from; ten good and five bright ones to test with."""
    folder = tmp_path_factory.mktemp("data") / "parts"
    paint(folder / "train" / "good", usual_levels(50, 1))
    paint(folder / "test" / "good", usual_levels(10, 2), seed=2)
    paint(folder / "test" / "bright", [USUAL + 10 * SPREAD + number for number in range(5)], seed=3)
    return folder


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred and twenty further good parts."""
    return paint(tmp_path_factory.mktemp("more"), usual_levels(120, 4), seed=4)[0].parent


@pytest.fixture(scope="module")
def original(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run."""
    runs = tmp_path_factory.mktemp("runs")
    ok("fit", "-m", "grey", "-d", f"folder:{parts}", "--runs", runs)
    (folder,) = runs.iterdir()
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """The folder of a run, to be changed."""
    return Path(shutil.copytree(original, tmp_path / "runs" / original.name))


def fit_arguments(parts: Path, runs: Path, method: str = "grey") -> list[str]:
    return ["fit", "-m", method, "-d", f"folder:{parts}", "--runs", str(runs)]


# Fitting.


def test_names_that_are_no_text_are_kept(parts: Path, tmp_path: Path) -> None:
    """A copy is left out and noted in the run, which every command then reads."""
    folder = Path(shutil.copytree(parts / "train" / "good", tmp_path / "parts"))
    odd = shutil.copy(next(folder.glob("*.png")), folder / os.fsdecode(b"\xff.png"))
    ok(*fit_arguments(folder, tmp_path / "runs"))
    assert "udcff.png" in run("score", odd, "--runs", tmp_path / "runs").stdout
    assert "udcff.png" in ok("show", "latest", "--runs", tmp_path / "runs", "--format", "json").stdout


def test_fit_says_what_sets_the_threshold_and_how_to_do_better(parts: Path, tmp_path: Path) -> None:
    printed = ok(*fit_arguments(parts, tmp_path)).stdout
    assert "flags about 1 in 11 normal images (9.09%), with 95% certainty at most 26%" in printed
    assert "by 10 of 50 training images, held out from fitting" in printed
    assert "of 1,000 good parts it flags about 91" in printed
    assert "too few for that: it is the strictest that they support. 1% needs 99 such scores" in printed
    assert "adkit calibrate RUN --normal DIR --keep adds them" in printed


def test_fit_at_a_percentile_prints_the_consequence(parts: Path, tmp_path: Path) -> None:
    printed = ok(*fit_arguments(parts, tmp_path, "grey_without_one"), "--percentile", 75).stdout
    (folder,) = tmp_path.iterdir()
    threshold = open_run(folder).record.threshold
    assert (threshold.rank, threshold.count) == (13, 50)
    assert "of 1,000 good parts it flags about 255" in printed
    assert "set for percentile 75 of the normal scores" in printed
    assert "adkit calibrate" not in printed


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ([], ThresholdRule()),
        (["--max-false-alarms", "5%"], ThresholdRule("expected", 0.05)),
        (["--max-false-alarms", "0.05"], ThresholdRule("expected", 0.05)),
        (["--max-false-alarms", "20 %", "--certain"], ThresholdRule("certain", 0.2)),
        (["--percentile", "100"], ThresholdRule("percentile", 0.0)),
    ],
    ids=str,
)
def test_fit_keeps_the_promise_that_was_asked_for(
    options: list[str], rule: ThresholdRule, parts: Path, tmp_path: Path
) -> None:
    fitted = json.loads(ok(*fit_arguments(parts, tmp_path), *options, "-f", "json").stdout)
    record = open_run(Path(fitted["folder"])).record
    assert record.calibration.rule == rule
    assert fitted["expected_false_alarm_rate"] == record.threshold.expected_rate
    if rule.kind == "expected":
        assert fitted["expected_false_alarm_rate"] <= rule.level
    if rule.kind == "certain":
        assert fitted["certain_false_alarm_rate"] <= rule.level


@pytest.mark.parametrize(
    ("method", "options", "needed", "hint"),
    [
        ("grey", ["0.1%"], "needs 999 normal samples held out", "take 1,998 in all, or ask for 3.9%"),
        ("grey_without_one", ["0.1%"], "needs at least 999 normal samples; there are 50", "add 949 more"),
        ("grey_without_one", ["5%", "--certain"], "needs at least 59 normal samples; there are 50", "or ask for 5.9%"),
    ],
)
def test_fit_refuses_a_promise_out_of_reach_before_it_learns(
    method: str,
    options: list[str],
    needed: str,
    hint: str,
    parts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Grey, "fits", 0)
    result = run(*fit_arguments(parts, tmp_path / "runs", method), "--max-false-alarms", *options)
    assert result.exit_code == 2
    error, advice = result.stderr.splitlines()[-2:]  # above them: how the folder was read
    assert needed in error
    assert hint in advice
    assert (result.stdout, Grey.fits) == ("", 0)
    assert not (tmp_path / "runs").exists()


CONTRADICTIONS = [
    (["--percentile", "75", "--max-false-alarms", "1%"], "a percentile and a promise were asked for", "leave"),
    (["--percentile", "75", "--certain"], "a percentile and a promise were asked for", "leave"),
    (["--certain"], "--certain says nothing without a rate", "--max-false-alarms"),
    (["--percentile", "0"], "--percentile 0 is not above 0 and at most 100", "99"),
    (["--percentile", "101"], "--percentile 101 is not above 0", "99"),
    (["--percentile", "nan"], "--percentile nan is not above 0", "99"),
    (["--max-false-alarms", "0"], "a rate of 0 was asked for", "try 1%"),
    (["--max-false-alarms", "100%"], "a rate of 100% was asked for", "try 1%"),
    (["--max-false-alarms", "1"], "a rate of 1 was asked for", "write 1% if you mean percent"),
    (["--max-false-alarms", "few"], "'few' is not a rate", "1% or 0.01"),
    (["--max-false-alarms", ""], "'' is not a rate", "1% or 0.01"),
]


@pytest.mark.parametrize(("options", "error", "hint"), CONTRADICTIONS, ids=str)
def test_fit_refuses_contradictions_in_two_lines(
    options: list[str], error: str, hint: str, parts: Path, tmp_path: Path
) -> None:
    found = refused(*fit_arguments(parts, tmp_path / "runs"), *options)
    assert error in found[0]
    assert hint in found[1]
    assert not (tmp_path / "runs").exists()


# Calibrating.


def test_calibrate_sets_the_threshold_from_the_images_and_tells_the_old_one(folder: Path, more: Path) -> None:
    before = open_run(folder).record
    model = (folder / MODEL).read_bytes()
    result = ok("calibrate", "latest", "--normal", more, "--runs", folder.parent)
    after = open_run(folder).record
    assert after.threshold.count == 120
    assert (folder / MODEL).read_bytes() == model
    lines = result.stdout.splitlines()
    assert lines[0] == f"run {before.id}"
    assert lines[1] == f"  threshold {after.threshold.value:.4f}: {after.threshold.promise()}"
    assert lines[3] == "  set by 120 further normal images"
    assert lines[-1] == f"  it was {before.threshold.value:.4f}: {before.threshold.promise()}"
    assert result.stderr == ""


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_calibrate_prints_machine_formats(form: str, folder: Path, more: Path) -> None:
    before = open_run(folder).record.threshold
    printed = ok("calibrate", folder, "-n", more, "--max-false-alarms", "1%", "-f", form).stdout
    row = next(csv.DictReader(printed.splitlines())) if form == "csv" else json.loads(printed)
    record = open_run(folder).record
    assert row["run"] == record.id
    assert float(row["threshold"]) == record.threshold.value
    assert float(row["threshold_before"]) == before.value
    assert float(row["expected_false_alarm_rate"]) <= 0.01
    assert int(row["normal_scores"]) == 120
    assert (row["unit"], row["data"]) == ("image", str(more))
    assert row["rule"] == "at most 1% false alarms on average"


def test_calibrate_keeps_on_demand(folder: Path, more: Path) -> None:
    document = json.loads(ok("calibrate", folder, "-n", more, "--keep", "-f", "json").stdout)
    assert document["normal_scores"] == 130
    assert document["source"].startswith("120 further normal images, and 10 from before")


def test_calibrate_takes_several_places(folder: Path, more: Path) -> None:
    some = ["-n", f"{more}/00*.png", "-n", str(more / "050.png")]
    assert json.loads(ok("calibrate", folder, *some, "-f", "json").stdout)["normal_scores"] == 11


def test_a_new_rate_needs_no_images(folder: Path) -> None:
    result = ok("calibrate", folder, "--percentile", 50)
    record = open_run(folder).record
    assert record.threshold.count == 10
    assert record.calibration.rule == ThresholdRule("percentile", 0.5)
    assert f"of 1,000 good parts it flags about {1000 * record.threshold.expected_rate:.0f}" in result.stdout
    assert len(record.earlier_calibrations) == 1


def test_a_calibration_can_be_undone_once(folder: Path) -> None:
    before = open_run(folder).record
    ok("calibrate", folder, "--percentile", 50)
    result = ok("restore", folder)
    assert open_run(folder).record == before
    assert f"threshold {before.threshold.value:.4f}" in result.stdout
    message, _ = refused("restore", folder)
    assert message == f"{before.id} has the calibration that it was fitted with"


def test_what_is_left_out_is_told_on_stderr(folder: Path, parts: Path, more: Path, tmp_path: Path) -> None:
    new = Path(shutil.copytree(more, tmp_path / "new"))
    for name in ("copy.png", "other copy.png"):
        shutil.copyfile(new / "003.png", new / name)
    (new / "broken.png").write_bytes(b"")
    learned = parts / "train" / "good"
    arguments = ["calibrate", str(folder), "-n", str(new), "-n", str(learned)]
    refusal = refused(*arguments)
    assert "broken.png" in refusal[0]
    assert "--skip-bad" in refusal[1]
    result = ok(*arguments, "--skip-bad")
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("left out 40 images that the run has seen")
    assert lines[1].startswith("left out 2 images of which there are copies")
    assert lines[2] == f"left out 1 image that cannot be read (the first: {new / 'broken.png'})"
    assert open_run(folder).record.threshold.count == 130  # the ten that were held out are among them


def test_anomalous_parts_among_the_normal_ones_are_named(folder: Path, more: Path, tmp_path: Path) -> None:
    new = Path(shutil.copytree(more, tmp_path / "new"))
    bright = paint(new, [USUAL + 20 * SPREAD + number for number in range(3)], seed=9, name="bright")
    result = ok("calibrate", folder, "-n", new)
    lines = result.stderr.splitlines()
    assert lines[0].startswith("look at these: 3 of 123 scores lie apart from the rest")
    assert [line.split("  ")[-1] for line in lines[1:]] == [str(path) for path in reversed(bright)]


def test_one_anomalous_part_is_one(folder: Path, more: Path, tmp_path: Path) -> None:
    new = Path(shutil.copytree(more, tmp_path / "new"))
    paint(new, [USUAL + 20 * SPREAD], seed=9, name="bright")
    lines = ok("calibrate", folder, "-n", new).stderr.splitlines()
    assert lines[0].startswith("look at this: 1 of 121 scores lies apart from the rest")


def test_other_parts_are_told_and_not_pooled(folder: Path, more: Path, tmp_path: Path) -> None:
    ok("calibrate", folder, "-n", more)
    others = paint(tmp_path / "others", [level + 3 * SPREAD for level in usual_levels(40, 6)], seed=6)[0].parent
    before = bytes_below(folder.parent)
    error, hint = refused("calibrate", folder, "-n", others, "--keep")
    assert error.startswith("the new images score higher than those that set the threshold so far, p = ")
    assert hint == "leave --keep out"
    assert bytes_below(folder.parent) == before
    result = ok("calibrate", folder, "-n", others, "-f", "json")
    (line,) = result.stderr.splitlines()
    assert line.startswith("the new images score higher than those that set the threshold so far, p = ")
    assert line.endswith("look at them: if parts or camera changed this is meant, if defects are among them it is not")
    assert json.loads(result.stdout)["drift_p_value"] < 0.01


def test_many_anomalous_parts_are_counted(folder: Path, more: Path, tmp_path: Path) -> None:
    new = Path(shutil.copytree(more, tmp_path / "new"))
    paint(new, [USUAL + 20 * SPREAD + number for number in range(11)], seed=9, name="bright")
    lines = ok("calibrate", folder, "-n", new).stderr.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "  and 3 more"


@pytest.mark.parametrize(("options", "error", "hint"), CONTRADICTIONS, ids=str)
def test_calibrate_refuses_contradictions_in_two_lines(
    options: list[str], error: str, hint: str, folder: Path, more: Path
) -> None:
    before = bytes_below(folder.parent)
    for images in ([], ["-n", str(more)]):
        found = refused("calibrate", folder, *images, *options)
        assert error in found[0]
        assert hint in found[1]
    assert bytes_below(folder.parent) == before


@pytest.mark.parametrize(
    ("options", "error", "hint"),
    [
        ([], "calibrate was given neither images nor a rate", "add --normal DIR"),
        (["--keep"], "calibrate was given neither images nor a rate", "add --normal DIR"),
        (["-n", "{more}", "--max-false-alarms", "0.1%"], "needs at least 999 normal samples; there are 120", "add 879"),
        (["-n", "{more}", "--max-false-alarms", "1%", "--certain"], "needs at least 299 normal samples", "2.5%"),
        (["--max-false-alarms", "1%"], "needs at least 99 normal samples; there are 10", "add 89 more"),
        (["-n", "{learned}/*.png", "--keep"], "the run has seen all 50 images", "taken later"),
        (["-n", "{more}/nothing"], "there is no file", "name images of good parts"),
        (["-n", "manifest:a.csv"], "there is no file manifest:a.csv", "no dataset is meant here (manifest:…)"),
        (["-n", "{more}", "--device", "tpu"], "no device 'tpu'", "cpu"),
    ],
)
def test_a_calibration_that_cannot_be_had_changes_nothing(
    options: list[str], error: str, hint: str, folder: Path, more: Path, parts: Path
) -> None:
    before = bytes_below(folder.parent)
    filled = [option.format(more=more, learned=parts / "train" / "good") for option in options]
    found = refused("calibrate", folder, *filled)
    assert error in found[0]
    assert hint in found[1]
    assert bytes_below(folder.parent) == before


def test_a_run_that_is_not_there_cannot_be_calibrated(folder: Path, more: Path) -> None:
    error, hint = refused("calibrate", folder.name + "x", "-n", more, "--runs", folder.parent)
    assert "there is no run" in error
    assert folder.name in hint


def test_an_interrupted_calibration_changes_nothing(folder: Path, more: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = bytes_below(folder.parent)
    monkeypatch.setattr("adkit.workflows.calibrate.recalibrated", interrupt)
    result = run("calibrate", folder, "-n", more)
    assert result.exit_code == 130
    assert result.stderr.splitlines() == ["interrupted: nothing was left half-written"]
    assert bytes_below(folder.parent) == before


# What the other commands then say.


def test_scores_and_evaluation_follow_the_new_threshold(folder: Path, parts: Path) -> None:
    bright = parts / "test" / "bright"

    def decisions() -> tuple[int, str]:
        scored = json.loads(ok("score", bright, "--run", folder, "-f", "json").stdout)["results"]
        return sum(row["decision"] == "anomalous" for row in scored), ok("eval", "--run", folder).stdout

    flagged, judged = decisions()
    assert flagged == 5
    assert "caught 5 of 5 defects at the promised " in judged
    assert "  caught: 100.0%, with 95% certainty 47.8% to 100.0%\n" in judged
    paths = paint(folder.parent.parent / "very bright", [250.0], seed=5)
    ok("calibrate", folder, "-n", paths[0])
    flagged, judged = decisions()
    assert flagged == 0
    assert "caught 0 of 5 defects at the promised " in judged
    assert ", flagged 0 of 10 good parts\n" in judged


def test_eval_tells_rates_means_and_what_an_oracle_would_do(folder: Path) -> None:
    printed = ok("eval", "--run", folder).stdout
    assert "  flagged: " in printed
    assert "mean score: " in printed
    assert "oracle: good parts that pass when 100% of defects are caught: 10 of 10" in printed
    assert "99% of defects" not in printed  # of five they are all


def test_eval_goes_on_where_the_run_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bytes_below(folder)

    def refuse(*_: object, **__: object) -> str:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("adkit.files.atomic.tempfile.mkstemp", refuse)
    result = ok("eval", "--run", folder)
    assert "  flagged: " in result.stdout
    assert "pictures: " not in result.stdout
    (note,) = result.stderr.splitlines()
    assert note.startswith("the result is not stored in the run: cannot write ")
    assert note.endswith("the disk is read-only")
    assert bytes_below(folder) == before


def test_eval_and_audit_refuse_a_folder_as_output_before_the_work(
    folder: Path, more: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = bytes_below(tmp_path)
    for command in (["eval", "--run", folder], ["audit", folder, "-n", more]):
        error, hint = refused(*command, "-o", ".", "-f", "csv")
        assert error == "cannot write .: a folder stands where a file was expected"
        assert hint.startswith("name a file")
    assert bytes_below(tmp_path) == before


def test_eval_gives_outcomes_mistakes_and_curves_as_json(folder: Path) -> None:
    document = json.loads(ok("eval", "--run", folder, "-f", "json").stdout)
    assert document["outcomes"]["caught"]["count"] == 5
    assert document["curves"]["roc"]["y"][-1] == 1
    assert isinstance(document["worst_mistakes"], list)


@pytest.mark.parametrize("command", ["calibrate", "audit"])
def test_the_commands_explain_themselves_with_an_example(command: str) -> None:
    assert f"Example: adkit {command}" in " ".join(ok(command, "--help").stdout.split())
