"""`adkit compare` as a user types it, with methods that fit in milliseconds; and once with patchknn."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adkit.cli import app
from adkit.comparison import cells
from adkit.data.datasets import open_datasets
from adkit.errors import FrameError
from adkit.registry import Registry
from adkit.runs.record import FitSettings
from adkit.runs.store import open_run
from adkit.stats import bootstrap
from adkit.stats.calibration import ThresholdRule
from adkit.synthetic.parts import PART_NAMES
from adkit.workflows.fit import fit
from tests.comparison.fakes import FITTED, Level, fake_registry, part_of_category

FILES = ("comparison.csv", "comparison.html", "comparison.json", "comparison.md", "cost.csv", "decisions.csv")
METRICS = {"average_precision", "highest", "image_auroc", "margin"}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def ok(*arguments: str | Path) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def fault(*arguments: str | Path) -> str:
    """What a comparison that fails through the user's fault prints last: exactly two lines."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()[-2:]
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("hint:  ")
    return "\n".join(lines)


@pytest.fixture(scope="module", autouse=True)
def quick_cells() -> Iterator[None]:
    """Fewer resamples; and what all the tests left in memory is not searched before every cell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "RESAMPLES", 200)
        patch.setattr(cells, "gc", SimpleNamespace(collect=lambda: 0))
        yield


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The fake methods, as if they were installed."""
    registry = fake_registry()
    monkeypatch.setattr("adkit.registry.load_registry", lambda: registry)
    FITTED.clear()
    return registry


@pytest.fixture
def washers(fakes: Registry, parts_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str | Path]:
    """The arguments that name the washers and the CPU; the current folder is the test's own."""
    monkeypatch.chdir(tmp_path)
    return ["--dataset", "mvtec:washer", "--root", parts_root, "--device", "cpu"]


def test_methods_are_compared_and_files_are_written(washers: list[str | Path]) -> None:
    result = ok("--methods", "level,shade", *washers, "--seeds", "2")
    assert len(FITTED) == 4
    for title in ("means over seeds", "image_auroc", "caught and flagged at the runs' own thresholds", "cost"):
        assert title in result.stdout
    assert "the method gives no maps" in " ".join(result.stdout.split())
    assert "No test across categories" in result.stdout
    assert "results: comparison/comparison.html, .md, .tex, .csv, .json; decisions.csv, cost.csv" in result.stdout
    assert all(Path("comparison", name).is_file() for name in FILES)
    rows = list(csv.DictReader(Path("comparison/comparison.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["metric"] for row in rows} == METRICS
    assert {row["candidate"] for row in rows} == {"level", "shade"}
    document = json.loads(Path("comparison/comparison.json").read_text(encoding="utf-8"))
    assert document["seeds"] == [0, 1]
    for row in document["runs"]:
        assert all(open_run("comparison" / Path(folder)) for folder in row["folders"])
    assert Path("comparison/comparison.md").read_text(encoding="utf-8").startswith("# Comparison")


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_machine_formats_are_all_that_stdout_holds(form: str, washers: list[str | Path]) -> None:
    text = ok("-m", "level,shade", *washers, "--seeds", "1", "-o", "out", "--format", form).stdout
    if form == "json":
        rows = json.loads(text)["figures"]
        assert text == Path("out/comparison.json").read_text(encoding="utf-8")
    elif form == "jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
    else:
        rows = list(csv.DictReader(text.splitlines()))
        assert text == Path("out/comparison.csv").read_text(encoding="utf-8")
    assert len(rows) == len(METRICS) * 2
    assert {row["category"] for row in rows} == {"mvtec:washer"}


def test_a_grid_names_everything_and_the_command_line_overrides_it(washers: list[str | Path], parts_root: Path) -> None:
    Path("grid.toml").write_text(
        """
        datasets = ["mvtec:washer"]
        seeds = [4, 2]
        max_false_alarms = "20%"

        [candidates."strong | odd/name"]
        method = "level"
        vary = { strength = [1, 2.5] }

        [candidates.shade]
        scorer = "mean"
        """,
        encoding="utf-8",
    )
    arguments = ["--grid", "grid.toml", "--root", str(parts_root), "--device", "cpu", "--format", "json"]
    document = json.loads(ok(*arguments).stdout)
    names = ["strong | odd/name strength=1", "strong | odd/name strength=2.5", "shade"]
    assert [candidate["name"] for candidate in document["candidates"]] == names
    assert document["seeds"] == [2, 4]
    assert {seed for _, seed in FITTED} == {2, 4}
    folder = Path("comparison", document["runs"][2]["folders"][0])
    assert open_run(folder).record.calibration.rule == ThresholdRule("expected", 0.2)
    text = Path("comparison/comparison.md").read_text(encoding="utf-8")
    assert "| strong \\| odd/name strength=2.5 |" in text
    FITTED.clear()
    other = json.loads(ok(*arguments, "--seeds", "1", "--max-false-alarms", "50%", "-o", "other").stdout)
    assert other["seeds"] == [0]
    folder = Path("other", other["runs"][2]["folders"][0])
    assert open_run(folder).record.calibration.rule == ThresholdRule("expected", 0.5)


def test_caught_flagged_and_cost_are_files_of_their_own(washers: list[str | Path]) -> None:
    ok("--methods", "level,shade", *washers, "--seeds", "2")
    counts = list(csv.DictReader(Path("comparison/decisions.csv").read_text(encoding="utf-8").splitlines()))
    places = [(row["candidate"], row["seed"]) for row in counts]
    assert places == [(name, seed) for name in ("level", "shade") for seed in "01"]
    for row in counts:
        assert 0 <= int(row["caught"]) <= int(row["anomalous"]) == 9
        assert 0 <= int(row["flagged"]) <= int(row["good"])
    costs = list(csv.DictReader(Path("comparison/cost.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["candidate"] for row in costs] == ["level", "shade"]
    assert all(float(row["predict_ms"]) > 0 and int(row["model_bytes"]) > 0 for row in costs)


def test_options_on_the_command_line_are_for_all_that_do_not_set_them(washers: list[str | Path]) -> None:
    arguments = [*washers, "--seeds", "1", "-f", "json"]
    document = json.loads(ok("--methods", "level,shade", *arguments, "--set", "side=4").stdout)
    assert [one["options"] for one in document["candidates"]] == [{"side": "4"}] * 2
    for row in document["runs"]:
        assert open_run("comparison" / Path(row["folders"][0])).record.options["side"] == 4
    assert "level has no option 'sides'" in fault("--methods", "level", *washers, "--set", "sides=4")
    Path("grid.toml").write_text("[candidates.level]\n[candidates.shade]\noptions = { side = 6 }", encoding="utf-8")
    document = json.loads(ok("--grid", "grid.toml", *arguments, "--set", "side=4").stdout)
    assert [one["options"] for one in document["candidates"]] == [{"side": "4"}, {"side": "6"}]


def test_three_seeds_are_the_default(washers: list[str | Path]) -> None:
    assert json.loads(ok("-m", "level", *washers, "-f", "json").stdout)["seeds"] == [0, 1, 2]
    assert FITTED == [("Level", 0), ("Level", 1), ("Level", 2)]


def test_a_category_may_be_named_by_an_option_of_its_own(fakes: Registry, parts_root: Path, tmp_path: Path) -> None:
    for name in ("nut", "bolt"):
        shutil.copytree(parts_root / "mvtec" / "washer", tmp_path / "mvtec" / name)
    arguments = ["-m", "level", "-d", "mvtec:nut", "-d", "mvtec:bolt", "--root", str(tmp_path), "--seeds", "1"]
    result = ok(*arguments, "-o", tmp_path / "out", "--device", "cpu")
    assert "all categories" in result.stdout
    assert "mvtec:nut is named twice" in fault(*arguments, "-d", "mvtec:nut", "-o", tmp_path / "out")


def test_bottle_is_the_default_where_it_is_found(washers: list[str | Path], parts_root: Path, tmp_path: Path) -> None:
    shutil.copytree(parts_root / "mvtec" / "washer", tmp_path / "data" / "mvtec" / "bottle")
    result = ok("-m", "level", "--seeds", "1", "--device", "cpu", "-f", "json")
    assert "no --dataset is named: comparing on mvtec:bottle" in result.stderr.splitlines()
    assert json.loads(result.stdout)["categories"] == ["mvtec:bottle"]


def test_the_synthetic_parts_are_the_default_where_there_is_no_bottle(
    washers: list[str | Path], parts_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADKIT_CACHE", str(tmp_path / "cache"))
    for part in PART_NAMES:  # or a minute goes into drawing them
        shutil.copytree(parts_root / "mvtec" / "washer", tmp_path / "cache" / "demo" / "1-0" / part)
    result = ok("-m", "level", "--seeds", "1", "--device", "cpu", "-f", "json")
    assert "no --dataset is named and no mvtec:bottle found: comparing on demo:all" in result.stderr.splitlines()
    assert json.loads(result.stdout)["categories"] == [f"demo:{part}" for part in PART_NAMES]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "neither runs nor --methods nor --grid"),
        (["-m", "level", "--grid", "grid.toml"], "both --methods and --grid"),
        (["-m", "", "--grid", "grid.toml"], "both --methods and --grid"),
        (["-m", ""], "no method is named"),
        (["-m", "level,level"], "--methods names level twice"),
        (["-m", "level,shde"], "did you mean shade"),
        (["-m", "level", "-d", "mvtec:washr"], "did you mean washer"),
        (["-m", "level", "--max-false-alarms", "0%"], "lies between 0% and 100%"),
        (["-m", "level", "--device", "tpu"], "no device 'tpu'"),
        (["-m", "level", "-o", "taken"], "a file stands where a folder was expected"),
        (["-m", "level", "-d", "mvtec:bare"], "mvtec:bare has no test images of known truth"),
        (["--grid", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["--grid", "grid.toml"], "did you mean vary"),
        (["a-run", "-m", "level"], "runs are compared as they are"),
        (["a-run", "--grid", "grid.toml"], "runs are compared as they are"),
        (["a-run", "-d", "mvtec:washer"], "runs are compared as they are"),
        (["a-run", "--seeds", "2"], "runs are compared as they are"),
        (["a-run", "--max-false-alarms", "5%"], "runs are compared as they are"),
        (["-m", "level,", "shade"], "shade stands behind --methods"),
        (["a-run"], "there is no run 'a-run'"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_fitted(
    arguments: list[str], expected: str, washers: list[str | Path], parts_root: Path, tmp_path: Path
) -> None:
    Path("taken").write_text("", encoding="utf-8")
    Path("grid.toml").write_text("[candidates.a]\nvari = {}\n", encoding="utf-8")
    shutil.copytree(parts_root / "mvtec" / "washer" / "train", tmp_path / "mvtec" / "bare" / "train")
    shutil.copytree(parts_root / "mvtec" / "washer", tmp_path / "mvtec" / "washer")
    if arguments and "a-run" not in arguments and "-d" not in arguments:
        arguments = [*arguments, "-d", "mvtec:washer"]
    message = fault(*arguments, "--root", tmp_path)
    assert expected in message
    assert FITTED == []
    assert not list(tmp_path.rglob("comparison.*"))


def test_no_seed_is_refused(washers: list[str | Path]) -> None:
    result = run("-m", "level", *washers, "--seeds", "0")
    assert result.exit_code == 2
    assert "--seeds" in result.stderr


@pytest.mark.parametrize("form", ["table", "json"])
@pytest.mark.parametrize("only", ["good", "anomalous"])
def test_a_test_split_of_one_sort_shows_why_figures_are_missing(
    only: str, form: str, washers: list[str | Path], parts_root: Path, tmp_path: Path
) -> None:
    part_of_category(
        parts_root / "mvtec" / "washer",
        tmp_path / "mvtec" / "washer",
        keep=lambda kind: (kind == "good") is (only == "good"),
    )
    arguments = ["-d", "mvtec:washer", "--root", str(tmp_path), "--device", "cpu", "--seeds", "2"]
    result = ok("-m", "level,shade", *arguments, "-f", form)
    why = f"the test split has no {'anomalous' if only == 'good' else 'good'} image"
    if form == "table":
        assert why in " ".join(result.stdout.split())
        assert "0, 0 of 0" in result.stdout
    else:
        reasons = {row["metric"]: row["why_undefined"] for row in json.loads(result.stdout)["figures"]}
        assert reasons["image_auroc"] == why
    assert f"– ({why})" in Path("comparison/comparison.md").read_text(encoding="utf-8")


def test_a_candidate_that_cannot_be_fitted_is_named_and_the_others_are_compared(washers: list[str | Path]) -> None:
    result = ok("-m", "level,hungry", *washers, "--seeds", "1")
    why = "mvtec:washer has 8 training images; hungry needs at least 9"
    assert f"hungry on mvtec:washer, seed 0: {why} (add more images of good parts)" in result.stderr
    assert why in " ".join(result.stdout.split())
    assert "1 of 2 cells were finished before" in ok("-m", "level,hungry", *washers, "--seeds", "1").stderr


def test_when_no_candidate_has_all_its_seeds_the_reasons_are_said_and_finished_cells_stay(
    washers: list[str | Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Level.fit

    @wraps(whole)
    def failing(self: Level, *arguments: Any) -> None:
        if self.seed == 1:
            raise FrameError("an image is broken", hint="fix it")
        whole(self, *arguments)

    monkeypatch.setattr(Level, "fit", failing)
    result = run("-m", "level", *washers, "--seeds", "2")
    assert result.exit_code == 2
    assert "level on mvtec:washer, seed 1: an image is broken (fix it)" in result.stderr
    assert "no candidate has a category with every seed computed" in result.stderr
    assert len(list(Path("comparison/cells").iterdir())) == 1
    assert not Path("comparison/comparison.csv").exists()


def test_ctrl_c_says_how_to_resume_and_the_same_command_does(
    washers: list[str | Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["-m", "level,shade", *washers, "--seeds", "2", "-f", "csv", "-o"]
    expected = ok(*arguments, "whole").stdout
    FITTED.clear()
    whole = Level.fit

    @wraps(whole)
    def interrupted(self: Level, *rest: Any) -> None:
        whole(self, *rest)
        if len(FITTED) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Level, "fit", interrupted)
        result = run(*arguments, "parts")
    assert result.exit_code == 130
    assert result.stdout == ""
    assert "finished cells stay in parts: the same command resumes from there" in result.stderr
    assert not Path("parts/comparison.csv").exists()
    assert len(list(Path("parts/cells").iterdir())) == 2
    FITTED.clear()
    again = ok(*arguments, "parts")
    assert len(FITTED) == 2
    assert "2 of 4 cells were finished before, and are taken as they are" in again.stderr
    assert again.stdout == expected
    assert Path("parts/comparison.csv").read_bytes() == Path("whole/comparison.csv").read_bytes()


def test_a_damaged_cell_is_mentioned(washers: list[str | Path]) -> None:
    ok("-m", "level", *washers, "--seeds", "1")
    (cell,) = Path("comparison/cells").iterdir()
    (cell / "cell.json").unlink()
    assert (
        f"the cell {cell.name} is not whole: it is computed again" in ok("-m", "level", *washers, "--seeds", "1").stderr
    )


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_folder_whose_name_is_not_utf_8_is_compared(
    form: str, fakes: Registry, parts_root: Path, tmp_path: Path
) -> None:
    parts = tmp_path / os.fsdecode(b"pr\xfcf[1]")
    shutil.copytree(parts_root / "mvtec" / "washer", parts)
    ok("-m", "level,shade", "-d", f"folder:{parts}", "--seeds", "1", "-o", tmp_path / "out", "-f", form)
    spec = f"folder:{parts}"
    assert os.fsencode(spec) in (tmp_path / "out" / "comparison.csv").read_bytes()
    escaped = spec.replace("[", r"\[").replace("]", r"\]")
    assert os.fsencode(escaped) in (tmp_path / "out" / "comparison.md").read_bytes()
    assert json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))["categories"] == [spec]


def fitted(methods: Sequence[str], root: Path, runs: Path, registry: Registry) -> list[str]:
    (dataset,) = open_datasets("mvtec:washer", root, registry)
    return [
        fit(FitSettings(method=method, seed=number, device="cpu"), dataset, runs, registry).record.id
        for number, method in enumerate(methods)
    ]


def test_runs_are_compared_by_name_or_path(washers: list[str | Path], fakes: Registry, parts_root: Path) -> None:
    first, second = fitted(["level", "shade"], parts_root, Path("runs"), fakes)
    FITTED.clear()
    document = json.loads(ok(first, Path("runs", second), "-o", "out", "-f", "json", "--device", "cpu").stdout)
    assert FITTED == []
    assert [candidate["name"] for candidate in document["candidates"]] == [first, second]
    assert document["seeds"] == [0, 1]
    folders = [[str(Path("runs", name).absolute())] for name in (first, second)]
    assert [row["folders"] for row in document["runs"]] == folders
    assert all(Path("out", name).is_file() for name in FILES)
    assert "model MB" in ok(first, second, "-o", "out", "--device", "cpu").stdout
    assert "a run is named twice" in fault(first, Path("runs", first), "-o", "none")
    assert not Path("none").exists()


def test_runs_of_different_data_are_refused(
    washers: list[str | Path], fakes: Registry, parts_root: Path, tmp_path: Path
) -> None:
    shutil.copytree(parts_root / "mvtec" / "washer", tmp_path / "mvtec" / "nut")
    (nut,) = open_datasets("mvtec:nut", tmp_path, fakes)
    (first,) = fitted(["level"], parts_root, Path("runs"), fakes)
    second = fit(FitSettings(method="level", device="cpu"), nut, Path("runs"), fakes).record.id
    message = fault(first, second)
    assert "runs of different data cannot be compared" in message
    assert not Path("comparison").exists()


def test_it_explains_itself_with_an_example() -> None:
    assert "Example: adkit compare" in " ".join(ok("--help").stdout.split())


def test_an_ablation_of_patchknn_from_grid_to_runs(
    parts_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("grid.toml").write_text(
        """
        datasets = "mvtec:washer"
        seeds = 1

        [candidates.patchknn]
        options = { size = "64" }
        vary = { smoothing = [0, 8] }
        """,
        encoding="utf-8",
    )
    arguments = ["--grid", "grid.toml", "--root", str(parts_root), "-o", "out"]
    table = ok(*arguments).stdout
    assert "patchknn smoothing=8" in table
    result = ok(*arguments, "-f", "json")
    assert "2 of 2 cells were finished before" in result.stderr
    document = json.loads(result.stdout)
    metrics = {"caught_at_promise", "image_auroc", "average_precision", "oracle_f1"}
    metrics |= {"pixel_auroc", "aupro", "aupimo", "pixel_iou"}
    assert {row["metric"] for row in document["figures"]} == metrics
    for row in document["figures"]:
        if row["low"] is None:  # all resamples agree
            continue
        assert -1e-4 <= row["low"] <= row["value"] <= row["high"] <= 1 + 1e-4  # shifted resamples may leave 0 to 1
        assert row["best"] is not bool(row["difference_to_best"])
    folders = [str(Path("out", row["folders"][0])) for row in document["runs"]]
    assert [open_run(Path(folder)).record.options["smoothing"] for folder in folders] == [0, 8]
    again = json.loads(ok(*folders, "-o", "runs", "-f", "json").stdout)
    names = ["metric", "value", "low", "high", "difference_to_best", "p_value"]
    assert [[row[name] for name in names] for row in again["figures"]] == [
        [row[name] for name in names] for row in document["figures"]
    ]
