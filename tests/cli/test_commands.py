"""The commands as a user types them, on small synthetic parts."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adkit_patchknn.method import PatchKnn
from PIL import Image

from adkit.cli.commands.fit import print_fitted
from adkit.cli.output import print_table
from adkit.interfaces import Method, MethodEntry
from adkit.registry import Plugin, load_registry
from adkit.runs.store import RECORD, open_run
from adkit.synthetic.parts import write_parts
from tests.cli.invoking import fault, ok, refused, run
from tests.greys import Grey, bytes_below
from tests.videos import write_greys

SMALL = ["--set", "size=64", "--set", "context=false"]  # one small network export for all tests


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, parts_root: Path) -> Path:
    """A runs folder with one run of patchknn on the washers."""
    folder = tmp_path_factory.mktemp("runs")
    ok("fit", "-m", "patchknn", "-d", "mvtec:washer", "--root", parts_root, "--runs", folder, *SMALL)
    return folder


@pytest.fixture
def washers(parts_root: Path) -> Path:
    return parts_root / "mvtec" / "washer"


def test_fit_writes_a_run_that_says_what_it_promises(runs: Path) -> None:
    (folder,) = runs.iterdir()
    record = open_run(folder).record
    assert record.method == "patchknn"
    assert record.options["size"] == "64x64"
    assert record.train_count == record.threshold.count == 8
    assert record.threshold.expected_rate == pytest.approx(1 / 9)
    assert record.facts["bank"] > 0


def test_fit_prints_json(parts_root: Path, tmp_path: Path) -> None:
    result = ok(
        "fit", "-m", "patchknn", "-d", "mvtec:washer", "--root", parts_root, "--runs", tmp_path, *SMALL, "-f", "json"
    )
    fitted = json.loads(result.stdout)
    assert Path(fitted["folder"]).is_dir()
    assert fitted["expected_false_alarm_rate"] == pytest.approx(1 / 9)


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "table"])
def test_fit_prints_the_runs_made_before_a_category_fails(form: str, parts_root: Path, tmp_path: Path) -> None:
    mvtec = tmp_path / "mvtec"
    for name in ("bolt", "nut"):
        shutil.copytree(parts_root / "mvtec" / "washer" / "train", mvtec / name / "train")
    shutil.copytree(mvtec / "bolt", mvtec / "zip")
    (mvtec / "zip" / "train" / "good" / "003.png").write_bytes(b"")
    arguments = ["fit", "-m", "patchknn", "-d", "mvtec:bolt,nut,zip", "--root", tmp_path, "--runs", tmp_path / "runs"]
    result = run(*arguments, *SMALL, "-f", form)
    assert result.exit_code == 2
    assert "003.png" in result.stderr
    made = sorted(folder.name for folder in (tmp_path / "runs").iterdir())
    assert len(made) == 2
    lines = result.stdout.splitlines()
    if form == "table":
        printed = [line.removeprefix("run ") for line in lines if line.startswith("run ")]
    elif form == "csv":
        printed = [row["run"] for row in csv.DictReader(lines)]
    else:
        rows = json.loads(result.stdout) if form == "json" else [json.loads(line) for line in lines]
        printed = [row["run"] for row in rows]
    assert sorted(printed) == made


@pytest.fixture(scope="module")
def two_sorts(parts_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with eight washers and ten connectors to learn from."""
    root = tmp_path_factory.mktemp("sorts")
    shutil.copytree(parts_root, root, dirs_exist_ok=True)
    write_parts(root / "mvtec" / "connector", "connector", seed=1, train=10, good=3, each_grade=1)
    return root


BOTH = ["fit", "-m", "patchknn", "-d", "mvtec:connector,washer", "--joint", *SMALL]


def test_a_joint_fit_gives_each_category_a_run_that_every_command_takes(two_sorts: Path, tmp_path: Path) -> None:
    rows = json.loads(ok(*BOTH, "--root", two_sorts, "--runs", tmp_path, "-f", "json").stdout)
    assert [(row["dataset"], row["train_count"]) for row in rows] == [("mvtec:connector", 10), ("mvtec:washer", 8)]
    assert [(row["learned_with"], row["learned_with_count"]) for row in rows] == [
        ("mvtec:washer", 8),
        ("mvtec:connector", 10),
    ]
    assert rows[0]["threshold"] != rows[1]["threshold"]
    first, second = (open_run(Path(row["folder"])).record for row in rows)
    assert first.files["model.safetensors"] == second.files["model.safetensors"]
    for row in rows:
        judged = json.loads(ok("eval", "--run", row["run"], "--runs", tmp_path, "-f", "json").stdout)
        assert judged["threshold"]["value"] == row["threshold"]
        shown = ok("show", row["run"], "--runs", tmp_path).stdout
        assert "joint.mvtec:connector.train_count" in shown
    listed = ok("list", "runs", "--runs", tmp_path).stdout
    assert all(row["run"] in listed for row in rows)
    train = two_sorts / "mvtec" / "washer" / "train" / "good"
    assert "the run has seen all 8 images" in fault("audit", rows[0]["run"], "--runs", tmp_path, "--normal", train)
    assert "report.html" in ok("report", rows[0]["run"], "--runs", tmp_path, "--root", two_sorts).stdout


def test_a_joint_fit_says_what_else_was_learned_from(two_sorts: Path, tmp_path: Path) -> None:
    categories = ["-d", "mvtec:washer", "-d", "mvtec:connector", "--root", two_sorts, "--runs", tmp_path]
    result = ok("fit", "-m", "patchknn", *categories, "--joint", "--few", 3, *SMALL)
    lines = result.stdout.splitlines()
    assert "  and from 3 of mvtec:connector: one model; the threshold is of mvtec:washer alone" in lines
    assert "  and from 3 of mvtec:washer: one model; the threshold is of mvtec:connector alone" in lines
    assert sum("learned from 3 normal images" in line for line in lines) == 2
    assert "  drawn by seed 0 of the training split, whose other images set the threshold" in lines
    assert result.stdout.count("7 of 10 training images, held out from fitting") == 1


def test_several_datasets_without_joint_are_fits_of_their_own(two_sorts: Path, tmp_path: Path) -> None:
    categories = ["-d", "mvtec:washer", "-d", "mvtec:connector", "--root", two_sorts, "--runs", tmp_path]
    rows = json.loads(ok("fit", "-m", "patchknn", *categories, *SMALL, "-f", "json").stdout)
    assert [(row["dataset"], row["learned_with"]) for row in rows] == [("mvtec:washer", ""), ("mvtec:connector", "")]
    assert all(row["few"] is None for row in rows)


def test_a_joint_fit_of_one_category_is_refused(two_sorts: Path, tmp_path: Path) -> None:
    message = fault("fit", "-m", "patchknn", "-d", "mvtec:washer", "--joint", "--root", two_sorts, "--runs", tmp_path)
    assert "--joint learns from several categories, and mvtec:washer is one" in message
    assert not list(tmp_path.iterdir())


def test_a_joint_fit_writes_no_run_when_a_category_fails(two_sorts: Path, tmp_path: Path) -> None:
    root = shutil.copytree(two_sorts, tmp_path / "root")
    (root / "mvtec" / "washer" / "train" / "good" / "003.png").write_bytes(b"")
    result = run(*BOTH, "--root", root, "--runs", tmp_path / "runs", "-f", "json")
    assert result.exit_code == 2
    assert "003.png" in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("few", "reason"), [(1, "needs at least 2"), (8, "needs at least 9"), (0, "--few '0' is refused: ")]
)
def test_few_images_that_cannot_be_are_refused(few: int, reason: str, two_sorts: Path, tmp_path: Path) -> None:
    arguments = ["-d", "mvtec:washer", "--few", few, "--root", two_sorts, "--runs", tmp_path]
    result = run("fit", "-m", "patchknn", *arguments, *SMALL)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert not list(tmp_path.iterdir())


def test_fit_prints_nothing_when_the_first_category_fails(parts_root: Path, tmp_path: Path) -> None:
    arguments = ["-d", "mvtec:washer", "--root", parts_root, "--runs", tmp_path, "--set", "size=1", "-f", "json"]
    result = run("fit", "-m", "patchknn", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_the_same_seed_gives_the_same_run(runs: Path, parts_root: Path, tmp_path: Path) -> None:
    ok("fit", "-m", "patchknn", "-d", "mvtec:washer", "--root", parts_root, "--runs", tmp_path, *SMALL)
    (first,), (second,) = runs.iterdir(), tmp_path.iterdir()
    assert open_run(first).record.files == open_run(second).record.files


def test_eval_judges_every_metric(runs: Path) -> None:
    judged = json.loads(ok("eval", "--runs", runs, "--format", "json").stdout)
    names = {"caught_at_promise", "image_auroc", "average_precision", "oracle_f1"}
    names |= {"pixel_auroc", "aupro", "aupimo", "pixel_iou"}
    of_clips = {"frame_auroc", "frame_average_precision", "false_alarms_per_hour"}
    assert set(judged["metrics"]) == names | of_clips
    for name, metric in judged["metrics"].items():
        if name in of_clips:
            assert metric["value"] is None
            assert "still images" in metric["why_undefined"]
            continue
        assert 0 <= metric["value"] <= 1, name
        assert metric["why_undefined"] is None
    assert sum(row["count"] for row in judged["kinds"]) == judged["samples"] == 13


def test_eval_draws_and_prints_a_table_by_kind(runs: Path) -> None:
    result = ok("eval", "--runs", runs)
    assert "clear_scratch" in result.stdout
    pictures = list(runs.glob("*/pictures/*.png"))
    assert len(pictures) >= 10
    with Image.open(pictures[0]) as picture:
        assert picture.width > picture.height > 400


def test_another_scorer_is_judged_without_the_model(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = json.loads(ok("eval", "--runs", runs, "-f", "json").stdout)

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("adkit.workflows.score.open_model", fail)
    after = json.loads(ok("eval", "--runs", runs, "--scorer", "mean", "-f", "json").stdout)
    assert after["scorer"] == "mean"
    assert after["threshold"]["value"] != before["threshold"]["value"]
    assert after["metrics"]["aupro"] == before["metrics"]["aupro"]
    assert after["metrics"]["image_auroc"] != before["metrics"]["image_auroc"]


def test_score_takes_files_folders_and_globs(runs: Path, washers: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.csv"
    one = washers / "test" / "clear_stain" / "000.png"
    ok("score", one, washers / "test" / "good", f"{washers}/test/*/*.png", "--runs", runs, "-o", output)
    rows = list(csv.DictReader(output.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 13
    assert rows[0]["path"] == str(one)
    for row in rows:
        assert row["decision"] == ("anomalous" if float(row["score"]) > float(row["threshold"]) else "normal")
        assert 1 / 9 - 1e-9 <= float(row["p_value"]) <= 1


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_score_prints_machine_formats(runs: Path, washers: Path, form: str) -> None:
    text = ok("score", washers / "test" / "good", "--method", "patchknn", "--runs", runs, "-f", form).stdout
    rows = json.loads(text)["results"] if form == "json" else [json.loads(line) for line in text.splitlines()]
    assert [Path(row["path"]).name for row in rows] == ["000.png", "001.png", "002.png", "003.png"]


def test_score_agrees_with_eval(runs: Path, washers: Path) -> None:
    judged = [json.loads(line) for line in ok("eval", "--runs", runs, "-f", "jsonl").stdout.splitlines()]
    scored = [
        json.loads(line) for line in ok("score", washers / "test", "--runs", runs, "-f", "jsonl").stdout.splitlines()
    ]
    expected = {row["path"]: row["score"] for row in judged}
    assert {row["path"]: row["score"] for row in scored} == pytest.approx(expected, rel=1e-5)


def test_score_draws_heat_maps(runs: Path, washers: Path, tmp_path: Path) -> None:
    ok("score", washers / "test" / "clear_stain", "--runs", runs, "--heatmaps", tmp_path / "maps")
    (picture,) = (tmp_path / "maps").iterdir()
    with Image.open(picture) as opened:
        assert np.asarray(opened).std() > 10


def test_score_tells_regions_and_writes_them_as_masks(runs: Path, washers: Path, tmp_path: Path) -> None:
    masks, maps, spoilt = tmp_path / "masks", tmp_path / "maps", tmp_path / "spoilt.png"
    with Image.open(washers / "test" / "good" / "000.png") as part:
        pixels = np.array(part.convert("RGB"))
    side = len(pixels) // 4
    pixels[:side, :side] = pixels[-side:, -side:] = (255, 0, 255)
    Image.fromarray(pixels).save(spoilt)
    command = ["score", spoilt, washers / "test" / "good", "--runs", runs, "--masks", masks]
    rows = json.loads(ok(*command, "--heatmaps", maps, "-f", "json").stdout)["results"]
    assert sorted(path.name for path in masks.iterdir()) == sorted(path.name for path in maps.iterdir())
    found = rows[0]["regions"]
    assert {"upper left", "lower right"} <= {region["where"] for region in found}
    assert [region["map_peak"] for region in found] == sorted((one["map_peak"] for one in found), reverse=True)
    assert {name: rows[0][name] for name in found[0]} == found[0]
    (path,) = (path for path in masks.iterdir() if "spoilt" in path.name)
    with Image.open(path) as picture:
        assert picture.mode == "L"
        mask = np.asarray(picture)
    assert mask.shape == pixels.shape[:2]
    assert set(np.unique(mask)) == {0, 255}
    assert np.count_nonzero(mask) == sum(region["area_px"] for region in found)
    assert (mask[: side // 2, : side // 2] == 255).all()
    cells = list(csv.DictReader(ok(*command, "-f", "csv").stdout.splitlines()))
    assert [int(cell["regions"]) for cell in cells] == [len(row["regions"]) for row in rows]
    assert cells[0]["left"] == str(found[0]["left"])
    assert "score" in fault("score", masks, "--runs", runs)  # nobody takes them for parts


def test_masks_are_for_stills_and_lie_apart_from_heat_maps(runs: Path, washers: Path, tmp_path: Path) -> None:
    command = ["score", washers / "test" / "good", "--runs", runs, "--masks", tmp_path, "--heatmaps", f"{tmp_path}/."]
    assert "heat maps and masks of the same names" in fault(*command)
    video = write_greys(tmp_path / "video.mp4", [10, 20, 30])
    assert "--masks is for still images" in fault("score", video, "--runs", runs, "--masks", tmp_path / "masks")


@pytest.fixture
def oddly_named(washers: Path, tmp_path: Path) -> Path:
    """An image in a folder with brackets, whose own name is not UTF-8."""
    path = tmp_path / "parts[old]" / os.fsdecode(b"pr\xfcfling.png")
    path.parent.mkdir()
    path.write_bytes((washers / "test" / "good" / "000.png").read_bytes())
    return path


IN_TURN = """
import json, sys
from adkit.cli import main
for command in json.loads(sys.argv[1]):
    sys.argv = ["adkit", *command]
    try:
        main()
    except SystemExit as end:
        assert not end.code, command
"""


def outside(folder: Path, *commands: list[str | Path]) -> bytes:
    """What the commands print in a process of their own in that folder, whose stdout is strict about UTF-8."""
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    told = json.dumps([[*map(str, command)] for command in commands])
    process = [sys.executable, "-c", IN_TURN, told]
    done = subprocess.run(process, capture_output=True, check=False, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
def test_a_file_name_that_is_not_utf_8_comes_back(form: str, runs: Path, oddly_named: Path, tmp_path: Path) -> None:
    output = tmp_path / f"scores.{form}"
    ok("score", oddly_named.parent, "--runs", runs, "-o", output)
    content = output.read_bytes()
    assert run("score", oddly_named.parent, "--runs", runs, "-f", form).stdout_bytes == content
    if form == "csv":
        assert os.fsencode(oddly_named) in content
    else:
        document = json.loads(content.decode("utf-8"))
        row = document["results"][0] if form == "json" else document
        assert row["path"] == str(oddly_named)


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_a_strict_terminal_is_no_obstacle(runs: Path, oddly_named: Path) -> None:
    command: list[str | Path] = ["score", ".", "--runs", runs]
    table, _, rows = outside(oddly_named.parent, command, [*command, "-f", "csv"]).partition(b"path,")
    assert b"pr\\udcfcfling.png" in table
    assert b"pr\xfcfling.png" in rows


def test_titles_and_captions_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("folder:parts[old]:bug:\udcfc", [{"a[b]": "[red]", "path": 40 * "x"}], caption="at [1]")
    print_table("none[s]", [])
    printed = capsys.readouterr().out
    for expected in ("folder:parts[old]:bug:\\udcfc", "a[b]", "[red]", "at [1]", "none[s]: none"):
        assert expected in printed


def test_one_bad_file_among_many_is_named_and_the_rest_scored(runs: Path, washers: Path, tmp_path: Path) -> None:
    bad = tmp_path / "broken.png"
    bad.write_bytes((washers / "test" / "good" / "000.png").read_bytes()[:2000])
    arguments = ["score", washers / "test" / "good", bad, "--runs", runs, "-f", "json"]
    result = run(*arguments)
    assert result.exit_code == 3
    rows = json.loads(result.stdout)["results"]
    assert [row["decision"] for row in rows].count("unreadable") == 1
    assert rows[-1]["score"] is None
    assert str(bad) in result.stderr
    assert "1 of 5" in result.stderr
    assert run(*arguments, "--skip-bad").exit_code == 0


def test_nothing_readable_is_not_a_crash(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not an image")
    result = run("score", tmp_path / "text.png", "--runs", runs)
    assert result.exit_code == 3
    assert "not an image" in result.stderr


def test_fit_refuses_a_bad_training_image_or_skips_it(washers: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts" / "train" / "good"
    parts.mkdir(parents=True)
    for image in (washers / "train" / "good").iterdir():
        (parts / image.name).write_bytes(image.read_bytes())
    (parts / "003.png").write_bytes(b"")
    arguments = ["fit", "-m", "patchknn", "-d", f"folder:{tmp_path / 'parts'}", "--runs", tmp_path / "runs", *SMALL]
    message = fault(*arguments)
    assert "003.png" in message
    assert "0 bytes" in message
    assert not (tmp_path / "runs").exists()
    ok(*arguments, "--skip-bad")
    (folder,) = (tmp_path / "runs").iterdir()
    assert open_run(folder).record.train_count == 7
    assert open_run(folder).record.skipped == [str(parts / "003.png")]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-m", "patchnn", "-d", "mvtec:washer"], "did you mean patchknn"),
        (["-m", "patchknn", "-d", "mvtek:washer"], "did you mean mvtec"),
        (["-m", "patchknn", "-d", "mvtec:washr"], "did you mean washer"),
        (["-m", "patchknn", "-d", "mvtec"], "mvtec:bottle"),
        (["-m", "patchknn", "-d", "mvtec:washer", "--set", "coreset=1"], "did you mean coreset_ratio"),
        (["-m", "patchknn", "-d", "mvtec:washer", "--set", "coreset_ratio=2"], "≤ 1"),
        (["-m", "patchknn", "-d", "mvtec:washer", "--set", "coreset_ratio"], "key=value"),
        (["-m", "patchknn", "-d", "mvtec:washer", "--scorer", "maxx"], "did you mean max"),
        (["-m", "patchknn", "-d", "mvtec:washer", "--scorer", "quantile:q=2"], "≤ 1"),
        (["-m", "patchknn", "-d", "mvtec:washer", "--scorer", "quantile:0.9"], "'0.9' is not of the form key=value"),
        (["-m", "patchknn", "-d", "mvtec:washer", "--device", "tpu"], "no device 'tpu'"),
        (["-m", "patchknn", "-d", "mvtec:washer", "--device", "cpu:7"], "no device 'cpu:7'"),
        (["-m", "patchknn", "-d", "mvtec:washer", "--set", "backbone=resnet81"], "did you mean resnet18"),
    ],
)
def test_a_misspelt_fit_is_refused_and_writes_nothing(
    arguments: list[str], expected: str, parts_root: Path, tmp_path: Path
) -> None:
    assert expected in fault("fit", *arguments, "--root", parts_root, "--runs", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "found", "hint"),
    [
        (["report", "--run", "latest"], "no such option: --run", "did you mean --runs? For example: adkit report "),
        (["eval", "latest"], "unexpected extra argument", "for example: adkit eval --run latest"),
        (
            ["feedback", "x", "--good", "a", "b"],
            "unexpected extra argument",
            "--good is given for each of several: --good ",
        ),
        (["calibrate", "--keep", "x", "y"], "unexpected extra argument(s) (y)", "for example: adkit calibrate"),
        (["fit", "--tiles", "2", "-d", "x"], "unexpected extra argument", "--tiles takes no value: leave '2' out"),
        (["inspect", "parts/"], "missing option '--dataset'", "for example: adkit inspect --dataset folder:"),
        (["list", "run"], "error: 'run' is not one of 'methods'", "see: adkit list --help"),
        (["evl"], "no such command 'evl'", "see: adkit --help"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_answered_with_one_that_can(
    arguments: list[str], found: str, hint: str
) -> None:
    message, told = fault(*arguments).split("hint:  ")
    assert found in message
    assert told.startswith(hint)


def test_a_folder_of_runs_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "nowhere"):
        assert ok("list", "runs", "--runs", place).stderr == f"there is no folder {place}\n"


def test_a_file_that_looks_like_an_option_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-part.png").touch()
    assert fault("score", "-part.png").endswith("hint:  a file whose name begins with '-' is given as ./-part.png")


def test_a_missing_root_lists_the_places_tried(tmp_path: Path) -> None:
    message = fault("fit", "-m", "patchknn", "-d", "mvtec:bottle", "--root", tmp_path / "nowhere")
    for place in ("nowhere/mvtec", "nowhere/mvtec_anomaly_detection", "train/good"):
        assert place in message


def test_too_few_images_are_refused(washers: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no good image" in fault("fit", "-m", "patchknn", "-d", f"folder:{empty}", "--runs", tmp_path / "runs")
    (empty / "one.png").write_bytes((washers / "train" / "good" / "000.png").read_bytes())
    message = fault("fit", "-m", "patchknn", "-d", f"folder:{empty}", "--runs", tmp_path / "runs")
    assert "has 1 training image" in message
    assert not (tmp_path / "runs").exists()


def test_anomalous_training_images_are_refused(washers: Path, tmp_path: Path) -> None:
    for kind in ("good", "crack"):
        folder = tmp_path / "mvtec" / "washer" / "train" / kind
        folder.mkdir(parents=True)
        (folder / "000.png").write_bytes((washers / "train" / "good" / "000.png").read_bytes())
    message = fault("fit", "-m", "patchknn", "-d", "mvtec:washer", "--root", tmp_path, "--runs", tmp_path / "runs")
    assert "1 of 2 training images is marked anomalous" in message
    assert "crack" in message


def test_an_interrupted_fit_leaves_nothing(parts_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("adkit_patchknn.method.PatchKnn._left_out_of", interrupt)
    result = run("fit", "-m", "patchknn", "-d", "mvtec:washer", "--root", parts_root, "--runs", tmp_path, *SMALL)
    assert result.exit_code == 130
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(parts_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bytes = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if self.name == RECORD:  # it comes last, when the model is already written
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    message = fault("fit", "-m", "patchknn", "-d", "mvtec:washer", "--root", parts_root, "--runs", tmp_path, *SMALL)
    assert "the disk is full" in message
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_run_is_refused(runs: Path, washers: Path, tmp_path: Path) -> None:
    (source,) = runs.iterdir()
    copy = tmp_path / source.name
    copy.mkdir()
    for file in source.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    model = copy / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1])
    assert "model.safetensors has" in fault("score", washers / "test" / "good", "--run", copy)
    model.unlink()
    assert "lacks model.safetensors" in fault("score", washers / "test" / "good", "--run", copy)


def test_show_says_what_is_wrong_with_a_damaged_run(runs: Path, tmp_path: Path) -> None:
    (source,) = runs.iterdir()
    copy = shutil.copytree(source, tmp_path / source.name)
    (copy / "run.json").write_text("{", encoding="utf-8")
    for name in (copy.name, str(copy)):
        assert "run.json cannot be read" in fault("show", name, "--runs", tmp_path)
    for name in (source.name + "x", 300 * "x"):
        assert "there is nothing named" in fault("show", name, "--runs", tmp_path)


def test_no_run_yet_says_how_to_make_one(tmp_path: Path, washers: Path) -> None:
    message = fault("score", washers / "test" / "good", "--runs", tmp_path)
    assert "adkit fit --method" in message


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("methods", "patchknn"),
        ("datasets", "mvtec"),
        ("scorers", "top1"),
        ("metrics", "aupro"),
        ("plugins", "adkit_folder"),
        ("runs", "patchknn"),
    ],
)
def test_list(what: str, expected: str, runs: Path) -> None:
    assert expected in ok("list", what, "--runs", runs).stdout
    rows = json.loads(ok("list", what, "--runs", runs, "-f", "json").stdout)
    assert any(expected in map(str, row.values()) for row in rows)


@pytest.mark.parametrize("option", [("--roi", "0,0,9,9"), ("--ignore", "mask.png"), ("--ignore-border", "3")])
def test_where_to_look_is_said_when_fitting(option: tuple[str, str], runs: Path) -> None:
    said = fault("score", "part.png", "--runs", runs, *option)
    assert f"{option[0]} is for learning, with --learn: a run keeps how it was learned" in said


def test_show_prints_options_with_defaults_and_bounds(runs: Path) -> None:
    text = ok("show", "patchknn").stdout
    assert "coreset_ratio" in text
    assert "> 0, ≤ 1" in text
    document = json.loads(ok("show", "patchknn", "-f", "json").stdout)
    assert document["schema"]["properties"]["coreset_ratio"]["default"] == 0.02
    (folder,) = runs.iterdir()
    assert json.loads(ok("show", folder.name, "--runs", runs, "-f", "json").stdout)["id"] == folder.name
    assert "did you mean patchknn" in fault("show", "patchkn")


COST = "[32 px] learns 100 images in 1 s on one core; 2 ms an image; 1 kB"


@pytest.mark.parametrize("method", [Grey, PatchKnn])
def test_show_says_what_a_method_costs(method: type[Method[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    registry = load_registry()
    plugin = Plugin("costs", "tests.costs", "adkit-tests", "1")
    for name, cost in (("measured", COST), ("unknown", "")):
        registry.methods.add(MethodEntry(name, "a method for tests", method, cost), plugin)
    monkeypatch.setattr("adkit.registry.load_registry", lambda: registry)
    first, second = ok("show", "measured").stdout.splitlines()[:2]
    assert first.startswith("method measured: a method for tests (")
    assert second.rstrip() == f"cost: {COST}"
    assert json.loads(ok("show", "measured", "-f", "json").stdout)["cost"] == COST
    assert "cost:" not in ok("show", "unknown").stdout
    assert json.loads(ok("show", "unknown", "-f", "json").stdout)["cost"] == ""
    assert "cost" not in json.loads(ok("show", "top1", "-f", "json").stdout)
    assert all("cost" not in row for row in json.loads(ok("list", "methods", "-f", "json").stdout))


def test_inspect_counts_and_draws(parts_root: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    result = ok("inspect", "-d", "mvtec:washer", "--root", parts_root, "--sheet", sheet, "-f", "json")
    found = json.loads(result.stdout)
    assert found["sizes"] == {"256×256": 21}
    assert found["findings"] == []
    assert {"split": "test", "kind": "good", "images": 4, "masks": 0} in found["counts"]
    with Image.open(sheet) as opened:
        assert opened.width > 500


def test_inspect_says_how_many_sizes_it_does_not_list(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for side in range(40, 47):
        Image.effect_noise((side, 40), 20).save(tmp_path / "parts" / f"{side}.png")
    shown = ok("inspect", "-d", f"folder:{tmp_path / 'parts'}", "--sheet", tmp_path / "sheet.png").stdout
    assert "7 sizes: 1 of 40×40, 1 of 41×40, 1 of 42×40, 1 of 43×40, 1 of 44×40 and 2 more\n" in shown


def test_inspect_counts_clips_and_their_lengths(tmp_path: Path) -> None:
    for name in ("train/a.mp4", "train/b.mp4", "test/stop/c.mp4"):
        write_greys(tmp_path / "line" / name, range(50, 150, 5 if name == "train/b.mp4" else 10))
    asked = ("inspect", "-d", f"clips:{tmp_path / 'line'}", "--sheet", tmp_path / "sheet.png")
    shown = ok(*asked).stdout
    assert "clips: 3, each 0:01.0 to 0:02.0 long (minutes:seconds), 0:04.0 in all" in shown
    found = json.loads(ok(*asked, "-f", "json").stdout)
    assert found["counts"] == [
        {"split": "train", "kind": "good", "clips": 2, "frames": 30, "masks": 0},
        {"split": "test", "kind": "stop", "clips": 1, "frames": 10, "masks": 0},
    ]
    assert found["clips"]["count"] == 3
    assert found["clips"]["total_s"] == pytest.approx(4)


def test_inspect_lists_clips_and_images_in_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADKIT_CACHE", str(tmp_path))
    monkeypatch.setattr("adkit_demo.dataset.COUNTS", {"train": 1, "good": 1, "each_grade": 0})
    monkeypatch.setattr("adkit_demo.dataset.CLIP_COUNTS", {"train": 1, "good": 0, "each_kind": 0})
    result = ok("inspect", "-d", "demo:conveyor,washer", "--sheet", tmp_path / "sheet.png", "-f", "csv")
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [(row["dataset"], row["clips"], row["frames"], row["images"]) for row in rows] == [
        ("demo:conveyor", "1", "240", ""),
        ("demo:washer", "", "", "1"),
        ("demo:washer", "", "", "1"),
    ]


def test_inspect_says_what_looks_wrong(parts_root: Path, tmp_path: Path) -> None:
    source = parts_root / "mvtec" / "washer"
    good = tmp_path / "parts" / "train" / "good"
    test = tmp_path / "parts" / "test" / "crack"
    good.mkdir(parents=True)
    test.mkdir(parents=True)
    for number in range(3):
        (good / f"{number}.png").write_bytes((source / "train" / "good" / f"{number:03d}.png").read_bytes())
    (good / "copy.png").write_bytes((good / "0.png").read_bytes())
    (test / "leak.png").write_bytes((good / "1.png").read_bytes())
    (good / "empty.png").write_bytes(b"")
    Image.new("L", (16, 16), 7).save(good / "tiny.png")
    result = ok("inspect", "-d", f"folder:{tmp_path / 'parts'}", "--sheet", tmp_path / "sheet.png", "-f", "json")
    findings = " | ".join(json.loads(result.stdout)["findings"])
    for expected in (
        "in both training and test",
        "identical copies",
        "0 bytes",
        "smaller than 32 px",
        "one colour",
        "without a mask",
    ):
        assert expected in findings, expected


def test_one_image_gives_no_threshold(washers: Path, tmp_path: Path) -> None:
    """Although the method could learn from it."""
    good = tmp_path / "parts" / "train" / "good"
    good.mkdir(parents=True)
    shutil.copy(washers / "train" / "good" / "000.png", good)
    message = fault("fit", "-m", "subspace", "-d", f"folder:{tmp_path / 'parts'}", "--runs", tmp_path / "runs", *SMALL)
    assert "subspace needs at least 2" in message
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("few_demo_parts")
def test_demo_ends_with_a_picture_and_the_next_step(tmp_path: Path) -> None:
    result = ok("demo", "--runs", tmp_path)
    assert "image_auroc" in result.stdout
    assert "adkit fit --method patchknn --dataset folder:" in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("a picture: ")]
    assert Path(line.removeprefix("a picture: ")).is_file()


@pytest.mark.parametrize("command", ["demo", "inspect", "fit", "eval", "score", "list", "show"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    assert f"Example: adkit {command}" in " ".join(ok(command, "--help").stdout.split())


def test_a_suffix_that_contradicts_the_format_is_refused(runs: Path, washers: Path, tmp_path: Path) -> None:
    message = fault("score", washers / "test" / "good", "--runs", runs, "-o", tmp_path / "s.csv", "-f", "json")
    assert "ends in .csv" in message
    assert "suffix" in fault("inspect", "-d", f"folder:{washers}", "--sheet", tmp_path / "x.txt")
    assert list(tmp_path.iterdir()) == []


def test_version() -> None:
    assert ok("--version").stdout.startswith("adkit 0.")


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"]], ids=str)
def test_no_command_and_help_show_all_commands(arguments: list[str]) -> None:
    shown = ok(*arguments).stdout
    assert all(f" {name} " in shown for name in ("demo", "fit", "eval", "score", "calibrate", "audit", "show"))
    assert "2 something that you can fix" in " ".join(shown.replace("│", "").split())


def test_help_of_a_command_is_its_help_and_options_without_a_value_show_none() -> None:
    shown = ok("help", "fit").stdout
    assert shown == ok("fit", "--help").stdout
    assert "--certain" in shown
    assert "<bool>" not in shown
    assert "calibrate" not in shown


def test_a_misspelt_method_is_named_by_score(tmp_path: Path) -> None:
    assert "did you mean padim" in fault("score", "x.png", "--method", "padimm", "--runs", tmp_path)


def test_spans_of_a_video_are_known_as_a_dataset() -> None:
    shown = ok("show", "span").stdout
    assert shown.startswith("dataset span: ")
    assert "example: span:line.mp4@0:00-2:00" in shown
    assert "span" in [row["name"] for row in json.loads(ok("list", "datasets", "-f", "json").stdout)]


def test_what_a_method_tells_of_itself_is_for_who_asks(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = runs.iterdir()
    run_ = open_run(folder)
    for verbose in (False, True):
        print_fitted(run_, verbose=verbose)
        printed = capsys.readouterr().out.splitlines()
        assert printed[1] == f"  threshold {run_.record.threshold.value:.4f}: {run_.record.threshold.promise()}"
        assert (f"  bank: {run_.record.facts['bank']}" in printed) is verbose


def test_a_sheet_that_cannot_or_must_not_be_written_is_told_before(washers: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    mine = tmp_path / "mine.png"
    shutil.copy(next(washers.rglob("*.png")), mine)
    before = mine.read_bytes()
    message, _ = refused("inspect", "-d", f"folder:{washers}", "--sheet", tmp_path / "file" / "sheet.png")
    assert "a file stands where a folder was expected" in message
    message, _ = refused("inspect", "-d", f"folder:{washers}", "--sheet", mine)
    assert message == f"{mine} is there, and adkit did not draw it"
    assert mine.read_bytes() == before


def test_nothing_is_written_over_inputs_or_into_runs(runs: Path, washers: Path, tmp_path: Path) -> None:
    (run_folder,) = runs.iterdir()
    before = bytes_below(run_folder)
    good = washers / "test" / "good"
    for arguments, told in (
        (["--output", run_folder / "run.json"], "lies in the run"),
        (["--heatmaps", run_folder / "maps"], "lies in the run"),
        (["--heatmaps", good], "holds images of yours"),
        (["--masks", good], "holds images of yours"),
        (["--format", "csv", "--output", good / "000.png"], "is an input itself"),
        (["--output", ""], "--output is empty"),
    ):
        assert told in refused("score", good, "--runs", runs, *arguments)[0]
    assert "holds images of yours" in fault("compare", "-m", "knn", "-o", good)
    assert bytes_below(run_folder) == before


def test_ctrl_c_in_a_long_score_keeps_what_was_scored(runs: Path, washers: Path, tmp_path: Path) -> None:
    """As for videos; a second Ctrl-C ends at once."""
    from adkit.cli import scoring

    rows = scoring._score_rows

    def interrupted_after_two(*arguments: Any) -> Iterator[dict[str, Any]]:
        for number, row in enumerate(rows(*arguments)):
            if number == 1:
                signal.raise_signal(signal.SIGINT)
            yield row

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "_score_rows", interrupted_after_two)
        result = run("score", washers / "test" / "good", "--runs", runs, "-o", tmp_path / "scores.json")
    assert result.exit_code == 130
    assert "interrupted: 2 of 4 were scored, and are written" in result.stderr
    assert len(json.loads((tmp_path / "scores.json").read_text())["results"]) == 2


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "the memory of this machine does not suffice"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "the memory of this machine"),
        (RuntimeError("Symlink loop from '/a/b'"), "Symlink loop from '/a/b'"),
        (OSError(errno.EMFILE, "Too many open files", "/a/b"), "/a/b: Too many open files"),
        (shutil.Error([("/a", "/b", "No space left")]), "No space left"),
        (OSError(errno.ENOSPC, "No space left on device"), "cannot write the output: the disk is full"),
    ],
)
def test_what_the_system_lacks_is_told_in_two_lines(
    error: Exception, told: str, runs: Path, washers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("adkit.workflows.score.open_model", fail)
    assert told in refused("score", washers / "test" / "good", "--runs", runs)[0]


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", ">&- 2>&-"])
def test_a_closed_stream_is_no_place_for_results(closed: str, tmp_path: Path) -> None:
    command = f"exec {sys.executable} -m adkit list methods --format csv {closed}"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ("patchknn" in ended.stdout) == (">&-" not in closed.replace("2>&-", ""))


@pytest.mark.parametrize("format_", ["table", "csv"])
def test_who_reads_no_further_is_told_nothing(format_: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "adkit", "list", "methods", "--format", format_]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_a_plugin_of_one_file_is_in_every_command_and_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADKIT_PLUGINS", "")
    file = tmp_path / "adkit_alone.py"
    entry = 'yield adkit.MethodEntry("alone", "does nothing", target="adkit_alone:Alone")'
    file.write_text(f"import adkit\n\n@adkit.hookimpl\ndef adkit_methods():\n    {entry}\n", encoding="utf-8")
    assert "does nothing" in ok("--plugin", file, "list", "methods").stdout
    assert os.environ["ADKIT_PLUGINS"].split(os.pathsep)[0] == str(file), "jobs and workers get it too"
    (tmp_path / "text.txt").touch()
    for name, what in (("none.py", "not there"), ("text.txt", "no file that ends in .py"), (".", "a folder")):
        refused = run("--plugin", tmp_path / name, "list", "methods")
        assert refused.exit_code == 2
        message, hint = refused.stderr.splitlines()
        assert f"--plugin {tmp_path / name} is {what};" in message
        assert "docs/plugins.md" in hint, "which says what a plugin is"
