"""Judging a run on its test split: decisions, mistakes, curves, and answers that are used again."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adkit.data.datasets import open_datasets
from adkit.errors import DatasetError, FrameError, PluginError
from adkit.evaluation.evaluate import MOST_MISTAKES, Evaluation, evaluate
from adkit.evaluation.stored import INDEX, PREDICTIONS, StoredFigures, stored_figures
from adkit.files.atomic import write_whole
from adkit.interfaces import Metric, MetricEntry
from adkit.registry import Plugin, Registry, load_registry
from adkit.runs.store import EVALUATION, Run, open_run
from adkit.stats.calibration import ThresholdRule
from adkit.stats.rates import decision_rates, precision_recall_curve, roc_curve
from adkit.types import LabelledResults, MetricValue
from adkit.workflows.calibrate import recalibrate
from adkit.workflows.score import Workplace
from tests.greys import METHODS, SIDE, SPREAD, USUAL, fit_greys, paint, usual_levels, with_methods

LOO = "grey_without_one"

Judged = Callable[[list[float], list[float]], Evaluation]
"""Evaluates test parts of these brightnesses, good ones and anomalous ones, in spreads from the usual."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return with_methods(METHODS)


def make_run(folder: Path, registry: Registry, good: list[float], bright: list[float], method: str = LOO) -> Run:
    """A run on a folder of forty good parts, with test parts of these brightnesses."""
    paint(folder / "parts" / "train" / "good", usual_levels(40, 1))
    for number, (kind, levels) in enumerate([("good", good), ("bright", bright)]):
        if levels:
            paint(folder / "parts" / "test" / kind, [USUAL + SPREAD * level for level in levels], seed=100 + number)
    (dataset,) = open_datasets(f"folder:{folder / 'parts'}", None, registry)
    return fit_greys(registry, dataset, folder / "runs", method=method)


@pytest.fixture
def judged(tmp_path: Path, registry: Registry) -> Judged:
    return lambda good, bright: evaluate(make_run(tmp_path, registry, good, bright), Workplace(registry, device="cpu"))


GOOD, BRIGHT = [-1.0, 0.0, 0.5, 1.0, 6.0, 9.0], [0.2, 4.0, 8.0, 12.0]


def test_outcomes_are_those_at_the_runs_threshold(judged: Judged) -> None:
    found = judged(GOOD, BRIGHT)
    assert found.threshold == found.run.record.threshold
    assert found.rates == decision_rates(found.scores, found.anomalous, found.threshold.value)
    assert (found.rates.false_alarms.count, found.rates.false_alarms.total) == (2, 6)
    assert (found.rates.caught.count, found.rates.caught.total) == (3, 4)
    assert [row.passing.count for row in found.rates.oracle_passing] == [2, 2]


def test_mistakes_are_the_samples_judged_wrong_the_worst_first(judged: Judged) -> None:
    found = judged(GOOD, BRIGHT)
    names = [found.samples[position].id for position in found.mistakes()]
    # Flagged far above the threshold; flagged less far above; missed a little below.
    assert names == ["test/good/005.png", "test/good/004.png", "test/bright/000.png"]
    assert found.as_json()["worst_mistakes"] == names


def test_only_the_worst_mistakes_are_written_down(judged: Judged) -> None:
    found = judged([0.0], [0.1 * number for number in range(-5, 5)])
    assert len(found.mistakes()) == 10
    worst = found.as_json()["worst_mistakes"]
    assert worst == [f"test/bright/{number:03d}.png" for number in range(MOST_MISTAKES)]


def test_without_mistakes_there_are_none(judged: Judged) -> None:
    found = judged([0.0, 0.5], [10.0, 11.0])
    assert found.mistakes() == []
    assert found.as_json()["worst_mistakes"] == []


def test_the_document_holds_outcomes_and_curves(judged: Judged) -> None:
    found = judged(GOOD, BRIGHT)
    document = json.loads(json.dumps(found.as_json(), allow_nan=False))
    told = document["outcomes"]
    assert (told["false_alarms"]["count"], told["false_alarms"]["total"]) == (2, 6)
    interval = found.rates.caught.interval
    assert interval is not None
    assert told["caught"] == {"count": 3, "total": 4, "interval": {"low": interval.low, "high": interval.high}}
    assert told["mean_normal"] == pytest.approx(float(found.scores[~found.anomalous].mean()))
    assert told["separation_ratio"] == pytest.approx(told["mean_anomalous"] / told["mean_normal"])
    assert [row["recall"] for row in told["oracle_passing"]] == [1.0, 0.99]
    roc, precision_recall = (
        roc_curve(found.scores, found.anomalous),
        precision_recall_curve(found.scores, found.anomalous),
    )
    assert roc is not None
    assert precision_recall is not None
    assert document["curves"] == {
        "roc": {"x": list(roc.x), "y": list(roc.y)},
        "precision_recall": {"x": list(precision_recall.x), "y": list(precision_recall.y)},
    }
    assert document["threshold"]["promise"] == found.threshold.promise()
    stored = json.loads((found.run.folder / EVALUATION / "evaluation.json").read_text(encoding="utf-8"))
    assert stored.items() >= document.items()


@pytest.mark.parametrize(("good", "bright"), [(GOOD, []), ([], BRIGHT)], ids=["all normal", "all anomalous"])
def test_a_test_split_of_one_sort_is_judged_as_far_as_it_goes(
    good: list[float], bright: list[float], judged: Judged
) -> None:
    found = judged(good, bright)
    document = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert document["curves"] == {"roc": None, "precision_recall": None}
    assert document["outcomes"]["oracle_passing"] == []
    assert document["outcomes"]["separation_ratio"] is None
    assert document["outcomes"]["mean_anomalous" if good else "mean_normal"] is None
    assert found.metrics["image_auroc"].value is None
    assert found.metrics["image_auroc"].why_undefined
    assert {row.kind for row in found.kinds} == ({"good"} if good else {"bright"})


def test_p_values_and_decisions_agree(judged: Judged) -> None:
    found = judged(GOOD, BRIGHT)
    assert (found.called == (found.p_values <= found.threshold.expected_rate)).all()
    assert len(found.normal_frame_scores) == found.threshold.count == 40


def no_model(*_: Any, **__: Any) -> None:
    raise AssertionError("the model was loaded")


def test_a_new_threshold_judges_the_stored_answers(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, registry, GOOD, BRIGHT)
    before = evaluate(run, Workplace(registry, device="cpu"))
    recalibrate(run, Workplace(registry), rule=ThresholdRule("percentile", 0.5))
    monkeypatch.setattr("adkit.workflows.score.open_model", no_model)
    after = evaluate(open_run(run.folder), Workplace(registry, device="cpu"))
    assert after.scores.tolist() == before.scores.tolist()
    assert after.threshold.value < before.threshold.value
    assert after.rates.false_alarms.count > before.rates.false_alarms.count
    assert after.rates.oracle_passing == before.rates.oracle_passing
    assert after.as_json()["curves"] == before.as_json()["curves"]


def test_a_test_image_that_changed_is_scored_anew(tmp_path: Path, registry: Registry) -> None:
    run = make_run(tmp_path, registry, GOOD, BRIGHT)
    before = evaluate(run, Workplace(registry, device="cpu"))
    paint(tmp_path / "parts" / "test" / "bright", [USUAL + 30 * SPREAD], seed=200)
    after = evaluate(run, Workplace(registry, device="cpu"))
    (changed,) = np.flatnonzero(after.scores != before.scores)
    assert after.samples[changed].id == "test/bright/000.png"
    assert after.rates.caught.count == before.rates.caught.count + 1


def test_a_damaged_store_is_made_again(tmp_path: Path, registry: Registry) -> None:
    run = make_run(tmp_path, registry, GOOD, BRIGHT, method="grey_maps")
    before = evaluate(run, Workplace(registry, device="cpu"))
    path = run.folder / EVALUATION / "predictions.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    after = evaluate(run, Workplace(registry, device="cpu"))
    assert after.scores.tolist() == before.scores.tolist()
    assert path.read_bytes() == whole


@pytest.mark.parametrize("method", [LOO, "grey_maps"])
def test_an_evaluation_writes_the_same_bytes_each_time(method: str, tmp_path: Path, registry: Registry) -> None:
    run = make_run(tmp_path, registry, GOOD, BRIGHT, method=method)
    contents = []
    for _ in range(2):
        evaluate(run, Workplace(registry, device="cpu"))
        contents.append([path.read_bytes() for path in sorted((run.folder / EVALUATION).iterdir())])
        (run.folder / EVALUATION / "evaluation.json").unlink()  # so that it is scored again
    assert contents[0] == contents[1]


class Broken(Metric):
    """Fails like a plugin that nobody tested."""

    fault: BaseException = ValueError("no such column")

    def __call__(self, results: LabelledResults) -> MetricValue:
        raise self.fault


def with_metric(registry: Registry, metric: type[Metric]) -> Registry:
    metrics = replace(registry.metrics, entries={**registry.metrics.entries}, claims={**registry.metrics.claims})
    metrics.add(MetricEntry("broken", "a metric for tests", metric), Plugin("odd", "odd", "adkit-odd", "3"))
    return replace(registry, metrics=metrics)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (ValueError("no such column"), "the metric of odd of adkit-odd 3 failed: ValueError: no such column"),
        (SystemExit(0), "odd of adkit-odd 3 ended the program (exit code 0) instead of raising an error"),
    ],
    ids=["raises", "exits"],
)
def test_a_metric_that_fails_is_undefined_and_harms_no_other(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, fault: BaseException, why: str
) -> None:
    monkeypatch.setattr(Broken, "fault", fault)
    run = make_run(tmp_path, registry, GOOD, BRIGHT)
    usual = evaluate(run, Workplace(registry, device="cpu"))
    found = evaluate(run, Workplace(with_metric(registry, Broken), device="cpu"))
    told = found.metrics.pop("broken")
    assert told.value is None
    assert told.why_undefined == why
    assert "broken" in found.apt
    assert found.metrics == usual.metrics


@pytest.mark.parametrize(("given", "value"), [(np.float32(0.5), 0.5), (np.nan, None)])
def test_a_metrics_figure_is_a_number(tmp_path: Path, registry: Registry, given: float, value: float | None) -> None:
    class Odd(Broken):
        def __call__(self, results: LabelledResults) -> MetricValue:
            return MetricValue(given, details={"of bad": given})

    run = make_run(tmp_path, registry, GOOD, BRIGHT)
    found = evaluate(run, Workplace(with_metric(registry, Odd), device="cpu"))
    assert found.metrics["broken"].value == value
    assert (found.metrics["broken"].why_undefined is None) == (value is not None)
    json.dumps(found.as_json(), allow_nan=False)


def _stretched(results: LabelledResults) -> MetricValue:
    scores = results.scores
    scores -= scores.min()
    return MetricValue(float(scores.mean()))


def _of_kinds(results: LabelledResults) -> MetricValue:
    return MetricValue(0.5, details={"scratch": np.inf, "dent": None})


@pytest.mark.parametrize(
    ("judge", "why"),
    [(_stretched, r"ValueError: .*read-only"), (_of_kinds, "ValueError: its details gave inf for scratch")],
)
def test_a_metric_that_would_spoil_what_others_judge_or_what_is_written_fails_alone(
    judge: Callable[[LabelledResults], MetricValue], why: str, tmp_path: Path, registry: Registry
) -> None:
    class Spoiling(Broken):
        def __call__(self, results: LabelledResults) -> MetricValue:
            return judge(results)

    run = make_run(tmp_path, registry, GOOD, BRIGHT)
    usual = evaluate(run, Workplace(registry, device="cpu"))
    found = evaluate(run, Workplace(with_metric(registry, Spoiling), device="cpu"))
    assert re.search(f"the metric of odd of adkit-odd 3 failed: {why}", found.metrics["broken"].why_undefined or "")
    assert found.scores.tolist() == usual.scores.tolist()
    json.dumps(found.as_json(), allow_nan=False)


def test_what_was_scored_is_kept_whatever_becomes_of_judging_it(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, registry, GOOD, BRIGHT)

    class Interrupted(Broken):
        fault = KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        evaluate(run, Workplace(with_metric(registry, Interrupted), device="cpu"))
    monkeypatch.setattr("adkit.workflows.score.open_model", no_model)
    assert len(evaluate(run, Workplace(registry, device="cpu")).scores) == len(GOOD) + len(BRIGHT)


def test_unreadable_test_images_are_refused_or_left_out(tmp_path: Path, registry: Registry) -> None:
    run = make_run(tmp_path, registry, GOOD, BRIGHT)
    bad = tmp_path / "parts" / "test" / "good" / "002.png"
    bad.write_bytes(b"")
    with pytest.raises(FrameError, match=r"002\.png"):
        evaluate(run, Workplace(registry, device="cpu"))
    found = evaluate(run, Workplace(registry, skip_bad=True, device="cpu"))
    assert found.notes == [f"unreadable, left out: {bad}"]
    assert len(found.scores) == 9
    assert found.rates.false_alarms.total == 5


def test_masks_that_look_wrong_are_told(tmp_path: Path, registry: Registry) -> None:
    run = make_run(tmp_path, registry, GOOD, BRIGHT)
    masks = tmp_path / "parts" / "ground_truth" / "bright"
    masks.mkdir(parents=True)
    for number, rows in enumerate((0, SIDE - 1, 2, SIDE)):
        marked = np.arange(SIDE)[:, None].repeat(SIDE, 1) < rows
        Image.fromarray(marked.astype(np.uint8) * 255).save(masks / f"{number:03d}_mask.png")
    found = evaluate(run, Workplace(registry, device="cpu"))
    more = "marks more than half, as if inverted"
    assert found.odd_masks == {
        "marks nothing": ["test/bright/000.png"],
        more: ["test/bright/001.png", "test/bright/003.png"],
    }
    assert found.notes[1] == f"2 have a mask that {more}: test/bright/001.png, test/bright/003.png"
    assert found.as_json()["odd_masks"] == found.odd_masks
    (masks / "003_mask.png").unlink()
    told = "1 anomalous image has no mask, and counts in no figure of pixels: test/bright/003.png"
    assert evaluate(run, Workplace(registry, device="cpu")).as_json()["notes"][-1] == told


def test_images_of_unknown_truth_are_left_out_and_told(tmp_path: Path, registry: Registry) -> None:
    run = make_run(tmp_path, registry, GOOD, BRIGHT)
    images = tmp_path / "parts" / "test"
    shutil.copytree(images / "bright", images / "not sure")
    found = evaluate(run, Workplace(registry, device="cpu"))
    assert len(found.samples) == len(GOOD) + len(BRIGHT)
    assert f"{len(BRIGHT)} test images are left out: the truth is unknown" in found.notes


def test_a_dataset_without_a_test_split_is_refused(tmp_path: Path, registry: Registry) -> None:
    run = make_run(tmp_path, registry, [], [])
    with pytest.raises(DatasetError, match="has no test images of known truth"):
        evaluate(run, Workplace(registry, device="cpu"))


def test_a_run_that_cannot_be_written_is_judged_all_the_same(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, registry, GOOD, BRIGHT)
    stored = evaluate(run, Workplace(registry, device="cpu"))
    assert stored.not_stored is None
    shutil.rmtree(run.folder / EVALUATION)

    def refuse(*_: Any, **__: Any) -> str:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("adkit.files.atomic.tempfile.mkstemp", refuse)
    found = evaluate(run, Workplace(registry, device="cpu"))
    assert found.not_stored == f"cannot write {run.folder / EVALUATION / PREDICTIONS}: the disk is read-only"
    assert found.as_json() == stored.as_json()
    assert not list((run.folder / EVALUATION).iterdir())


@pytest.mark.parametrize("step", ["first", "between", "last"])
def test_a_kill_while_an_evaluation_is_replaced_leaves_the_old_one_or_none(
    step: str, tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, registry, GOOD, BRIGHT)
    evaluate(run, Workplace(registry, device="cpu"))
    (tmp_path / "parts" / "test" / "good" / "000.png").unlink()  # the next one is of other data
    writes = ["first", "between", "last"].index(step)

    def write_or_die(path: Path, content: bytes) -> None:
        nonlocal writes
        if writes == 0:
            raise KeyboardInterrupt
        writes -= 1
        write_whole(path, content)

    monkeypatch.setattr("adkit.evaluation.stored.write_whole", write_or_die)
    with pytest.raises(KeyboardInterrupt):
        evaluate(run, Workplace(registry, device="cpu"))
    monkeypatch.setattr("adkit.evaluation.stored.write_whole", write_whole)
    assert not list(run.folder.glob(".*"))
    assert sorted(path.name for path in (run.folder / EVALUATION).iterdir()) == ["evaluation.json", PREDICTIONS]
    assert len(evaluate(run, Workplace(registry, device="cpu")).scores) == len(GOOD) + len(BRIGHT) - 1


@pytest.mark.parametrize("stored", [False, True])
def test_without_the_method_there_is_no_judging(stored: bool, tmp_path: Path, registry: Registry) -> None:
    run = make_run(tmp_path, registry, GOOD, BRIGHT)
    if stored:
        evaluate(run, Workplace(registry, device="cpu"))
    with pytest.raises(PluginError, match="needs the method grey_without_one"):
        evaluate(run, Workplace(load_registry(), device="cpu"))


def test_test_images_that_the_run_has_seen_are_named(tmp_path: Path, registry: Registry) -> None:
    run = make_run(tmp_path, registry, GOOD, BRIGHT)
    before = evaluate(run, Workplace(registry, device="cpu"))
    assert (before.seen, before.flattery) == ([], None)
    good = tmp_path / "parts" / "test" / "good"
    changed = recalibrate(run, Workplace(registry, device="cpu"), [str(good)], keep=True).run
    found = evaluate(changed, Workplace(registry, device="cpu"))
    assert sorted(found.seen) == sorted(str(path) for path in good.iterdir())
    assert found.as_json()["seen"] == found.seen
    told = "among those that the run learned from or was calibrated with, and"
    assert found.flattery == f"6 test images are {told} flatter it: {', '.join(found.seen[:3])} and 3 more"
    assert replace(found, seen=found.seen[:1]).flattery == f"1 test image is {told} flatters it: {found.seen[0]}"


def test_stored_figures_are_those_of_the_evaluation_and_of_the_runs_threshold_by_now(
    tmp_path: Path, registry: Registry
) -> None:
    run = make_run(tmp_path, registry, GOOD, BRIGHT)
    assert stored_figures(run) == StoredFigures()
    found = evaluate(run, Workplace(registry, device="cpu"))
    figures = stored_figures(run)
    assert (figures.verdict, figures.auroc) == (found.verdict, found.metrics["image_auroc"].value)
    assert (str(figures.caught), str(figures.flagged)) == ("3 of 4 (75.0%)", "2 of 6 (33.3%)")
    changed = recalibrate(run, Workplace(registry, device="cpu"), rule=ThresholdRule("percentile", 0.5)).run
    assert stored_figures(changed) == StoredFigures(auroc=figures.auroc)
    (run.folder / EVALUATION / INDEX).write_text("[1]", encoding="utf-8")
    assert stored_figures(run) == StoredFigures()
