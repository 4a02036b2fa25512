"""`adkit audit`: exit code 0 says that nothing speaks against the promise, 4 that it is broken or in doubt."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from PIL import Image

from adkit.cli import stopping
from adkit.runs.store import open_run
from adkit.synthetic.parts import draw_part
from tests.cli.invoking import commands_that_find, ok, refused, run
from tests.greys import METHODS, SPREAD, USUAL, bytes_below, paint, usual_levels, with_methods

REGISTRY = with_methods(METHODS)
BROKEN = 4


@pytest.fixture(scope="module", autouse=True)
def _with_greys() -> Iterator[None]:
    """The commands find the methods of tests.greys among the plugins."""
    with commands_that_find(REGISTRY):
        yield


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paint(tmp_path_factory.mktemp("data") / "parts" / "train" / "good", usual_levels(300, 1))[0].parent


@pytest.fixture(scope="module")
def folder(learned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with 99 held-out scores."""
    runs = tmp_path_factory.mktemp("runs")
    ok("fit", "-m", "grey", "-d", f"folder:{learned.parent.parent}", "--runs", runs)
    (found,) = runs.iterdir()
    return found


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "new"


def test_a_kept_promise_is_told_with_exit_code_0(folder: Path, new: Path) -> None:
    paint(new, usual_levels(100, 2), seed=2)
    before = bytes_below(folder.parent)
    result = ok("audit", "latest", "--normal", new, "--runs", folder.parent)
    lines = result.stdout.splitlines()
    assert lines[0] == "nothing speaks against the promise"
    assert "of 100 normal images were flagged" in lines[1]
    assert "promised: 1.00%, at most 3.0%" in lines[1]
    assert result.stderr == ""
    assert bytes_below(folder.parent) == before


def test_defects_given_as_normal_break_it_and_are_named(
    folder: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(new.parent)
    new = Path("new")
    paint(new, usual_levels(60, 3), seed=3)
    bright = paint(new, [USUAL + (12 + number) * SPREAD for number in range(7)], seed=4, name="bright")
    result = run("audit", folder, "-n", new)
    assert result.exit_code == BROKEN
    assert result.stdout.splitlines()[0] == "the promise is broken: more false alarms than chance allows"
    highest_first = [str(path) for path in reversed(bright)]
    flagged = [line.split()[0] for line in result.stdout.splitlines() if line.strip().startswith("new")]
    assert flagged[:7] == highest_first
    assert len(flagged) <= 9
    mixture = result.stderr.splitlines()
    assert mixture[0].startswith("look at these: 7 of 67 scores lie apart from the rest")
    assert [line.split("  ")[-1] for line in mixture[1:]] == highest_first


def test_scores_that_moved_put_it_in_doubt(folder: Path, new: Path) -> None:
    paint(new, np.linspace(USUAL - 2 * SPREAD, USUAL - 0.5 * SPREAD, 60), seed=5)
    result = run("audit", folder, "-n", new)
    assert result.exit_code == BROKEN
    assert result.stdout.startswith("the promise is in doubt: scores are lower than those it was made from")
    assert "0 of 60 normal images were flagged" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(("levels", "code"), [([0.0, 0.5, -1.0], 0), ([10.0, 15.0, 20.0], BROKEN)])
def test_the_document_holds_everything(levels: list[float], code: int, folder: Path, new: Path) -> None:
    paint(new, [USUAL + SPREAD * level for level in levels], seed=6)
    result = run("audit", folder, "-n", new, "-f", "json")
    assert result.exit_code == code
    document = json.loads(result.stdout)
    record = open_run(folder).record
    assert document["run"] == record.id
    assert document["verdict"] == ("broken" if code else "kept")
    assert document["alarms"] == (3 if code else 0)
    assert document["units"] == 3
    assert document["threshold"]["value"] == record.threshold.value
    # Beta-binomial by hand: all of three above the highest of 99, 1 / C(102, 3); none is always possible.
    assert document["alarms_p_value"] == pytest.approx(1 / 171_700 if code else 1.0)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_rows_are_the_images(form: str, folder: Path, new: Path) -> None:
    paths = paint(new, [USUAL, USUAL + 20 * SPREAD], seed=7)
    result = run("audit", folder, "-n", new, "-f", form)
    lines = result.stdout.splitlines()
    rows = list(csv.DictReader(lines)) if form == "csv" else [json.loads(line) for line in lines]
    assert [row["path"] for row in rows] == [str(path) for path in paths]
    assert [str(row["flagged"]) for row in rows] == ["False", "True"]
    scored = json.loads(ok("score", new, "--run", folder, "-f", "json").stdout)["results"]
    assert [float(row["score"]) for row in rows] == [row["score"] for row in scored]


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl"])
def test_a_file_takes_the_results_and_the_words_are_still_printed(
    suffix: str, folder: Path, new: Path, tmp_path: Path
) -> None:
    paint(new, usual_levels(5, 8), seed=8)
    output = tmp_path / f"audit.{suffix}"
    printed = ok("audit", folder, "-n", new, "-o", output).stdout
    assert printed.startswith("nothing speaks against the promise")
    assert f"rows: {output}" in printed
    content = output.read_text(encoding="utf-8")
    assert ("verdict" in content) is (suffix == "json")
    assert str(new / "004.png") in content or suffix == "json"


def test_seen_images_copies_and_bad_files_are_left_out_and_told(folder: Path, learned: Path, new: Path) -> None:
    fresh = paint(new, usual_levels(5, 9), seed=9)
    shutil.copyfile(learned / "007.png", new / "taken today.png")
    shutil.copyfile(fresh[0], new / "zcopy.png")
    (new / "broken.png").write_bytes(b"")
    error, hint = refused("audit", folder, "-n", new)
    assert "broken.png" in error
    assert "--skip-bad" in hint
    (new / "bad").mkdir()
    (new / "bad" / "only.png").write_bytes(b"")
    assert "--skip-bad" not in refused("audit", folder, "-n", new / "bad", "--skip-bad")[1]
    shutil.rmtree(new / "bad")
    result = ok("audit", folder, "-n", new, "--skip-bad", "-f", "json")
    assert json.loads(result.stdout)["units"] == 5
    assert json.loads(result.stdout)["left_out"] == {
        "seen": [str(new / "taken today.png")],
        "copies": [str(new / "zcopy.png")],
        "unreadable": [str(new / "broken.png")],
    }
    assert len(result.stderr.splitlines()) == 3


@pytest.mark.parametrize(
    ("options", "error", "hint"),
    [
        ([], "audit was given no images of good parts", "add --normal DIR"),
        (["-n", "{learned}"], "the run has seen all 300 images", "taken later"),
        (["-n", "{learned}/nothing"], "there is no file", "name images of good parts"),
        (["-n", "{learned}", "-o", "audit.txt"], "names no format", "rename it"),
        (["-n", "{learned}", "-o", "audit.csv", "-f", "json"], "ends in .csv", "leave one of them out"),
    ],
)
def test_what_cannot_be_audited_is_refused_in_two_lines(
    options: list[str], error: str, hint: str, folder: Path, learned: Path
) -> None:
    before = bytes_below(folder.parent)
    found = refused("audit", folder, *(option.format(learned=learned) for option in options))
    assert error in found[0]
    assert hint in found[1]
    assert bytes_below(folder.parent) == before


def test_an_audit_after_a_calibration_holds_against_the_new_promise(folder: Path, new: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "runs" / folder.name))
    moved = [USUAL + 6 * SPREAD + SPREAD * (level - USUAL) / SPREAD for level in usual_levels(160, 10)]
    paths = paint(new, moved, seed=10)
    assert run("audit", copy, "-n", new).exit_code == BROKEN
    ok("calibrate", copy, "-n", f"{new}/0*.png")
    result = ok("audit", copy, "-n", new, "-f", "json")
    document = json.loads(result.stdout)
    assert document["verdict"] == "kept"
    assert document["units"] == len(paths) - 100 == 60


# With a method that looks at images.


@pytest.fixture(scope="module")
def washers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic washers: 24 to learn from, 16 fresh good ones, 8 with a label on them that should not be there."""
    root = tmp_path_factory.mktemp("washers")
    for name, count in {"learned/train/good": 24, "fresh": 16, "labelled": 8}.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            picture, _ = draw_part("washer", np.random.default_rng([len(name), number]))
            if name == "labelled":  # large, because the images are scored at 64 px
                picture[90:150, 20:90] = (250, 120, 30)
            Image.fromarray(picture).save(root / name / f"{number:02d}.png")
    return root


@pytest.fixture(scope="module")
def patchknn_run(washers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("patchknn")
    ok("fit", "-m", "patchknn", "-d", f"folder:{washers / 'learned'}", "--runs", runs, "-s", "size=64")
    (found,) = runs.iterdir()
    return found


def test_fresh_good_parts_keep_a_promise(patchknn_run: Path, washers: Path) -> None:
    document = json.loads(ok("audit", patchknn_run, "-n", washers / "fresh", "-f", "json").stdout)
    assert document["verdict"] == "kept"
    assert document["units"] == 16
    assert document["alarms"] <= 3


def test_defective_parts_given_as_normal_break_a_promise(patchknn_run: Path, washers: Path) -> None:
    result = run("audit", patchknn_run, "-n", washers / "labelled", "-f", "json")
    assert result.exit_code == BROKEN
    document = json.loads(result.stdout)
    assert document["verdict"] == "broken"
    assert document["alarms"] >= 5
    assert document["alarms_p_value"] < 0.01


def test_fresh_good_parts_calibrate_a_run_with_maps(patchknn_run: Path, washers: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(patchknn_run, tmp_path / patchknn_run.name))
    document = json.loads(ok("calibrate", copy, "-n", washers / "fresh", "--keep", "-f", "json").stdout)
    record = open_run(copy).record
    assert document["normal_scores"] == record.threshold.count == 40
    assert record.pixel_threshold is not None
    assert record.pixel_threshold.count == 40
    assert record.files["model.safetensors"] == open_run(patchknn_run).record.files["model.safetensors"]


def decided(path: Path, scores: Iterable[float], threshold: float) -> Path:
    """Write the journal of a watch that gave such scores."""
    rows = [{"part": number, "score": score, "threshold": threshold} for number, score in enumerate(scores, 1)]
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_it_follows_a_watch_until_the_scores_drift_or_somebody_stops_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Event()
    stop.set()
    monkeypatch.setattr(stopping, "stopping", lambda: nullcontext(stop))
    opened = open_run(folder)
    (usual, threshold) = opened.calibration().scores, opened.record.threshold.value
    assert usual is not None
    passing = np.random.default_rng(0).permutation(usual[usual <= threshold]).tolist()
    decided(tmp_path / "calm" / ".adkit" / "journal.jsonl", [threshold + 1, *passing], threshold)
    result = ok("audit", folder, "--follow", tmp_path / "calm")
    assert result.stdout.splitlines() == [
        f"no drift in the scores of {len(passing)} parts that passed",
        f"  1 of {len(passing) + 1} parts was anomalous; left out: 0",
    ]
    drifted = decided(tmp_path / "worn" / "parts.jsonl", [*passing[:5], *[max(passing)] * 60], threshold)
    result = run("audit", folder, "--follow", drifted, "--format", "json", "--drift", 0.05)
    assert result.exit_code == BROKEN
    document = json.loads(result.stdout)
    assert document["verdict"] == "drifted"
    assert document["parts"] < 65, "it ends with the alarm"
    other = decided(tmp_path / "other" / "parts.jsonl", [max(passing)] * 60, threshold + 1)
    result = ok("audit", folder, "--follow", other)
    assert "part 1 and maybe others were judged by another run or threshold" in result.stderr
    assert "0 of 0 parts were anomalous; left out: 60" in result.stdout


def test_what_cannot_be_followed_is_refused(folder: Path, tmp_path: Path) -> None:
    message, hint = refused("audit", folder, "--follow", tmp_path)
    assert message.endswith("journal.jsonl: no journal of a watch is there")
    assert hint == "name the folder that adkit watch looks at, or its --journal"
    for content in ("path,score\n", '{"path": "a"}\n', "[1]\n"):
        (tmp_path / "scores.csv").write_text(content)
        result = run("audit", folder, "--follow", tmp_path / "scores.csv")
        assert result.exit_code == 2
        assert "scores.csv is no journal of a watch, or it is damaged" in result.stderr.splitlines()[-2]
    message, _ = refused("audit", folder, "--follow", tmp_path, "--normal", tmp_path)
    assert message == "--normal judges images, and --follow those of a watch"
    message, _ = refused("audit", folder, "--normal", tmp_path, "--drift", 0.5)
    assert message == "--drift is for --follow"
