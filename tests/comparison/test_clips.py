"""Comparing on clips: whole clips are resampled, and decisions count events."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adkit.comparison.cells import Category
from adkit.comparison.compare import compare, compare_runs
from adkit.comparison.documents import as_json, as_markdown, decision_rows, headline
from adkit.comparison.figures import Comparison, compare_cells
from adkit.data.datasets import open_datasets
from adkit.errors import RunError
from adkit.evaluation.evaluate import evaluate
from adkit.registry import Registry
from adkit.report.comparison_page import render_comparison
from adkit.stats.rates import Rate
from adkit.stats.significance import proportion_interval
from adkit.workflows.score import Workplace
from tests.comparison.fakes import compared, made_cell, one_of
from tests.press import fit_press

CANDIDATES = [one_of("mean", "grey_maps"), one_of("memory", "grey_memory")]


@pytest.fixture(scope="module")
def comparison(press: Path, press_methods: Registry, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    datasets = open_datasets(f"videos:{press}", None, press_methods)
    folder = tmp_path_factory.mktemp("comparison")
    first = compare(CANDIDATES, datasets, [0], folder, Workplace(press_methods, device="cpu"))
    again = compare(CANDIDATES, datasets, [0], folder, Workplace(press_methods, device="cpu"))
    assert as_json(first) == as_json(again)  # read from the cells, which hold all
    return first


def test_metrics_are_those_of_clips_with_intervals_by_clip(comparison: Comparison) -> None:
    (row,) = comparison.categories
    assert headline(comparison) == "caught_at_promise"
    assert "image_auroc" not in comparison.metrics
    for name in ("mean", "memory"):
        figure = comparison.figures["frame_auroc", row, name]
        assert figure.interval is not None
        # Three clips with events: wide. The frames by themselves would pretend to a twentieth.
        assert figure.interval.high - figure.interval.low > 0.1
    differing = comparison.figures["frame_auroc", row, "memory"]
    assert differing.difference_interval is not None
    assert differing.p_value is not None


def test_of_false_alarms_the_fewest_are_best(comparison: Comparison) -> None:
    (row,) = comparison.categories
    figures = {name: comparison.figures["false_alarms_per_hour", row, name] for name in ("mean", "memory")}
    values = {name: figure.value or 0.0 for name, figure in figures.items()}
    best = next(name for name, figure in figures.items() if figure.is_best)
    assert values[best] == min(values.values())


def test_documents_say_that_intervals_are_by_clip(comparison: Comparison) -> None:
    text, page = as_markdown(comparison), render_comparison(comparison)
    assert "intervals of 95% are by clip: whole test clips are resampled" in text
    assert "DeLong" not in text
    assert "events |" in text
    assert "normal clips |" in text
    assert "intervals of 95% are by clip: whole test clips are resampled" in page
    assert "test images" not in page
    assert as_json(comparison)["of_clips"] == list(comparison.categories)


def test_runs_that_judge_other_frames_of_the_same_clips_are_compared(
    press: Path, press_methods: Registry, tmp_path: Path
) -> None:
    runs = [fit_press(press_methods, press, tmp_path, "grey_maps", every=every) for every in (1, 2)]
    result = compare_runs(runs, Workplace(press_methods, device="cpu"))
    assert all(figure.value is not None for (metric, _, _), figure in result.figures.items() if "frame" in metric)
    evaluations = [evaluate(run, Workplace(press_methods, device="cpu")) for run in runs]
    assert len(evaluations[0].samples) > len(evaluations[1].samples)


def test_frames_get_no_interval_of_delongs() -> None:
    truth = [False] * 20 + [True] * 20
    scores = [0.1 * number for number in range(40)]
    stills = made_cell("a", scores, truth)
    frames = replace(stills, clips=("x", "y"), replicates={})
    assert compared([stills]).figures["image_auroc", "x:a", "a"].interval is not None
    assert compared([frames]).figures["image_auroc", "x:a", "a"].interval is None
    other = replace(frames, candidate="b", scores=frames.scores[::-1])
    assert compared([frames, other]).figures["image_auroc", "x:a", "b"].p_value is None


def test_where_nothing_is_caught_its_interval_counts_clips() -> None:
    metrics = {"caught_at_promise": 0.0}
    stills = made_cell("a", [0.0] * 6, [True] * 6, metrics=metrics, replicates={"caught_at_promise": np.zeros(400)})
    by_clip = proportion_interval(0, 2)
    found = compared([replace(stills, clips=("x", "y"), unit="clip", caught=Rate(0, 3, by_clip))])
    assert found.figures["caught_at_promise", "x:a", "a"].interval == by_clip
    assert decision_rows(found)[0]["caught %"] == "0.0 (0.0 to 84)"


def test_other_clips_are_not_compared() -> None:
    one = replace(made_cell("a", [0.0, 1.0], [False, True]), clips=("x", "y"))
    same = replace(made_cell("b", [0.0], [False], ids=["other"], metrics={}), clips=("x", "y"))
    other = replace(same, clips=("x", "z"))
    compared([one, same])
    with pytest.raises(RunError, match="were judged on different test images"):
        compared([one, other])


def test_what_is_better_lower_is_best_lowest() -> None:
    cells = [
        made_cell(name, [0.0, 1.0], [False, True], metrics={"alarms": value})
        for name, value in {"few": 1.0, "many": 5.0}.items()
    ]
    candidates = [one_of("few", "few"), one_of("many", "many")]
    result = compare_cells(candidates, ["x:a"], [0], cells, {}, {"alarms"})
    assert result.figures["alarms", "x:a", "few"].is_best
    assert result.figures["alarms", "x:a", "many"].difference == 4.0


def test_a_changed_truth_is_another_category(press: Path, press_methods: Registry) -> None:
    (dataset,) = open_datasets(f"videos:{press}", None, press_methods)
    before = Category.of(dataset)
    samples = dataset.samples("test")
    relabelled = [replace(sample, anomalous=False, kind=None) for sample in samples]
    dataset.samples = lambda split: relabelled if split == "test" else []  # type: ignore[method-assign]
    assert Category.of(dataset).test_hash != before.test_hash
