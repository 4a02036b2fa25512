"""What a user sees of a method that trains and reconstructs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adkit.drawing.overlay import PANEL_PX
from tests.cli.invoking import ok

WIDTH_BY_PANELS = {count: 14 + count * (PANEL_PX + 14) + 126 for count in (2, 3, 4)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, parts_root: Path) -> Path:
    """A runs folder with one run of ae on the washers."""
    folder = tmp_path_factory.mktemp("runs")
    small = ["--set", "size=32", "--set", "width=4", "--set", "epochs=2"]
    ok("fit", "-m", "ae", "-d", "mvtec:washer", "--root", parts_root, "--runs", folder, *small)
    return folder


def panel(path: Path, number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """One of the squares of an image."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(np.int64)
    left = 14 + number * (PANEL_PX + 14)
    return pixels[-14 - PANEL_PX : -14, left : left + PANEL_PX]


def test_score_draws_the_reconstruction_beside_the_input(runs: Path, parts_root: Path, tmp_path: Path) -> None:
    good = parts_root / "mvtec" / "washer" / "test" / "good"
    ok("score", good, "--runs", runs, "--heatmaps", tmp_path / "maps")
    drawn = sorted((tmp_path / "maps").iterdir())
    assert len(drawn) == 4
    for path in drawn:
        with Image.open(path) as picture:
            assert picture.width == WIDTH_BY_PANELS[3]
        assert (panel(path, 0) != panel(path, 1)).mean() > 0.5
        # The network of two epochs gives something grey: smooth, and no heat map.
        assert panel(path, 1).std() < panel(path, 0).std()


def test_eval_draws_the_same_again_without_judging_anew(runs: Path, tmp_path: Path) -> None:
    (run,) = runs.iterdir()
    ok("eval", "--runs", runs)
    first = {path.name: path.read_bytes() for path in (run / "pictures").iterdir()}
    assert first
    for path in (run / "pictures").iterdir():
        with Image.open(path) as picture:
            assert picture.width == WIDTH_BY_PANELS[4], path.name
    ok("eval", "--runs", runs, "--heatmaps", tmp_path / "all")  # with the stored answers
    every = {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()}
    assert len(every) == 13
    assert first.items() <= every.items()


def test_the_report_shows_training_and_reconstructions(runs: Path) -> None:
    (run,) = runs.iterdir()
    ok("report", "latest", "--runs", runs)
    text = (run / "report.html").read_text(encoding="utf-8")
    assert '<section id="training"' in text
    assert "learned for 2 epochs; it stopped: after all 2 epochs." in text
    assert text.count('alt="what the method makes of ') == text.count('alt="input image ') > 5


def test_the_curves_are_in_the_run(runs: Path) -> None:
    (run,) = runs.iterdir()
    shown = json.loads(ok("show", run.name, "--runs", runs, "-f", "json").stdout)
    assert {name: len(values) for name, values in shown["curves"].items()} == dict.fromkeys(
        ("loss", "held_out_loss", "separation", "learning_rate"), 2
    )
