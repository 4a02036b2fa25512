"""Every command with a method that gives scores and no maps."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from adkit.types import Batch, Prediction
from tests.cli.invoking import ok, refused
from tests.greys import Grey, with_methods

SMALL = ["--set", "size=64"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, parts_root: Path) -> Path:
    """A runs folder with one run of knn on the washers."""
    folder = tmp_path_factory.mktemp("runs")
    ok("fit", "-m", "knn", "-d", "mvtec:washer", "--root", parts_root, "--runs", folder, *SMALL)
    return folder


def test_eval_gives_figures_of_images_and_says_why_there_are_none_of_pixels(runs: Path, parts_root: Path) -> None:
    metrics = json.loads(ok("eval", "--runs", runs, "--root", parts_root, "-f", "json").stdout)["metrics"]
    assert 0 <= metrics["image_auroc"]["value"] <= 1
    assert metrics["pixel_auroc"]["value"] is None
    assert metrics["pixel_auroc"]["why_undefined"] == "the method gives no maps"


@pytest.mark.parametrize(("command", "option"), [("score", "--heatmaps"), ("score", "--masks"), ("eval", "--heatmaps")])
def test_pictures_of_maps_are_refused(command: str, option: str, runs: Path, parts_root: Path, tmp_path: Path) -> None:
    good = parts_root / "mvtec" / "washer" / "test" / "good"
    what = [good, "-o", tmp_path / "rows.csv"] if command == "score" else ["--root", parts_root]
    error, hint = refused(command, *what, "--runs", runs, option, tmp_path / "maps")
    assert error == "knn gives no maps, so there is nothing to draw"
    assert f"leave {option} out" in hint
    assert not list(tmp_path.iterdir())
    assert not (tmp_path / "maps").exists()


def test_a_scorer_of_maps_is_refused(runs: Path, parts_root: Path) -> None:
    good = parts_root / "mvtec" / "washer" / "test" / "good"
    assert refused("score", good, "--runs", runs, "--scorer", "top1")[0].startswith("a scorer needs maps")


def test_score_report_audit_and_calibrate(runs: Path, parts_root: Path) -> None:
    good = parts_root / "mvtec" / "washer" / "test" / "good"
    scored = json.loads(ok("score", good, "--runs", runs, "-f", "json").stdout)
    assert all(row["score"] > 0 for row in scored["results"])
    ok("eval", "--runs", runs, "--root", parts_root)
    ok("report", "latest", "--runs", runs)
    (folder,) = runs.iterdir()
    assert (folder / "report.html").is_file()
    assert "of 4 normal images were flagged" in ok("audit", "latest", "--normal", good, "--runs", runs).stdout
    ok("calibrate", "latest", "--max-false-alarms", "20%", "--runs", runs)


@pytest.mark.usefixtures("few_demo_parts")
def test_the_demo_advises_no_heat_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = with_methods({"grey": Grey})
    monkeypatch.setattr("adkit.registry.load_registry", lambda: registry)
    last = ok("demo", "--method", "grey", "--runs", tmp_path).stdout.splitlines()[-1]
    assert last.strip() == "adkit score NEW_IMAGES/ --method grey"


class Talks(Grey):
    def predict(self, batch: Batch) -> Prediction:
        print("{}, looking at", len(batch))
        return super().predict(batch)


def test_what_a_method_prints_while_it_predicts_is_among_no_results(
    parts_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = with_methods({"talks": Talks})
    monkeypatch.setattr("adkit.registry.load_registry", lambda: registry)
    at = ("--runs", tmp_path / "runs")
    fitted = ok("fit", "-m", "talks", "-d", "mvtec:washer", "--root", parts_root, *at, "-f", "json")
    assert json.loads(fitted.stdout)["method"] == "talks"
    scored = [ok("score", parts_root / "mvtec/washer/test/good", *at, "-f", form) for form in ("json", "jsonl", "csv")]
    assert len(json.loads(scored[0].stdout)["results"]) == 4
    assert [json.loads(line)["decision"] for line in scored[1].stdout.splitlines()]
    assert len(list(csv.DictReader(scored[2].stdout.splitlines()))) == 4
    judged = ok("eval", *at, "--root", parts_root, "-f", "json")
    assert json.loads(judged.stdout)["metrics"]
    for result in (*scored, judged, ok("score", parts_root / "mvtec/washer/test/good", *at)):
        assert "looking at" in result.stderr
        assert "looking at" not in result.stdout
