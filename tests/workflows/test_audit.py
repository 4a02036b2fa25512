"""Whether a promise is kept on fresh good parts: kept, broken, or in doubt because the scores have moved."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from adkit.errors import DatasetError, FrameError
from adkit.registry import Registry
from adkit.runs.store import Run
from adkit.stats.calibration import ThresholdRule, noticeable_rate
from adkit.stats.formatting import bound_text
from adkit.stats.significance import drift_test, proportion_interval
from adkit.workflows.audit import LEVEL, Audit, audit
from adkit.workflows.score import Workplace, open_model
from tests.greys import METHODS, SPREAD, USUAL, Greys, bytes_below, fit_greys, paint, usual_levels, with_methods


@pytest.fixture(scope="module")
def registry() -> Registry:
    return with_methods(METHODS)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return paint(tmp_path_factory.mktemp("learned"), usual_levels(300, 1))


@pytest.fixture(scope="module")
def run(registry: Registry, learned: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with 99 held-out scores, the highest of which is the threshold."""
    found = fit_greys(registry, Greys(learned), tmp_path_factory.mktemp("runs"))
    assert (found.record.threshold.rank, found.record.threshold.count) == (1, 99)
    return found


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "new"


def audited(run: Run, registry: Registry, folder: Path) -> Audit:
    return audit(run, Workplace(registry, device="cpu"), [str(folder)])


def test_the_promise_is_kept_on_fresh_good_parts(run: Run, registry: Registry, new: Path) -> None:
    paint(new, usual_levels(150, 2), seed=2)
    before = bytes_below(run.folder)
    found = audited(run, registry, new)
    assert found.verdict == "kept"
    assert found.flagged.count <= 3
    assert found.threshold == run.record.threshold
    assert found.names == tuple(str(path) for path in sorted(new.iterdir()))
    assert found.drift.p_value > LEVEL
    verdict, *details = found.sentences()
    assert verdict == "nothing speaks against the promise"
    assert "150 images reveal a false-alarm rate of " in details[-1]
    assert bytes_below(run.folder) == before


def test_the_promise_is_kept_for_most_sets_of_good_parts(run: Run, registry: Registry, new: Path) -> None:
    """Of twenty sets, each test cries wolf in one of a hundred: three wrong verdicts would be one in 130."""
    paint(new, usual_levels(1200, 3), seed=3)
    images = sorted(map(str, new.iterdir()))
    verdicts = [
        audit(run, Workplace(registry, device="cpu"), images[first : first + 60]).verdict
        for first in range(0, len(images), 60)
    ]
    assert verdicts.count("kept") >= 18


def test_anomalous_parts_given_as_normal_break_it(run: Run, registry: Registry, new: Path) -> None:
    paint(new, [*usual_levels(40, 4), *[USUAL + 12 * SPREAD] * 5], seed=4)
    found = audited(run, registry, new)
    assert found.verdict == "broken"
    assert 5 <= found.flagged.count <= 7
    assert found.alarms_p_value < LEVEL
    assert found.sentences()[0] == "the promise is broken: more false alarms than chance allows"
    assert f"at most {bound_text(run.record.threshold.certain_rate)}" in found.sentences()[1]
    assert "adkit calibrate sets a threshold from them" in found.sentences()[-1]
    assert "look at the images" in found.sentences()[-1]
    of_clips = replace(found, threshold=replace(found.threshold, unit="clip"))
    assert "look at the clips" in of_clips.sentences()[-1]


@pytest.mark.parametrize(("levels", "direction"), [((0.2, 1.8), "higher"), ((-2.0, -0.5), "lower")])
def test_scores_that_move_without_alarms_put_it_in_doubt(
    levels: tuple[float, float], direction: str, run: Run, registry: Registry, new: Path
) -> None:
    low, high = levels
    paint(new, np.linspace(USUAL + low * SPREAD, USUAL + high * SPREAD, 60), seed=5)
    found = audited(run, registry, new)
    assert found.flagged.count == 0
    assert found.verdict == "drifted"
    assert found.drift.p_value < LEVEL <= found.alarms_p_value
    assert found.sentences()[0] == f"the promise is in doubt: scores are {direction} than those it was made from"
    assert (found.drift.shift > 0.5) is (direction == "higher")


def test_the_figures_are_those_of_the_tests_by_name(run: Run, registry: Registry, new: Path) -> None:
    paint(new, [*usual_levels(80, 6), USUAL + 4 * SPREAD, USUAL + 5 * SPREAD], seed=6)
    found = audited(run, registry, new)
    scores = found.scores
    rank, count = run.record.threshold.rank, run.record.threshold.count
    alarms = int((scores > run.record.threshold.value).sum())
    assert found.flagged.count == alarms >= 2
    expected = stats.betabinom.sf(alarms - 1, len(scores), rank, count + 1 - rank)
    assert found.alarms_p_value == pytest.approx(expected, rel=1e-6)
    assert found.flagged.interval == proportion_interval(alarms, 82)
    assert found.noticeable_rate == noticeable_rate(82, rank, count, LEVEL)
    judge = open_model(run, registry, device="cpu")
    assert found.drift == drift_test(judge.normal_scores, scores)


def test_a_threshold_that_promises_little_is_not_broken_by_what_it_promised(
    registry: Registry, learned: list[Path], new: Path, tmp_path: Path
) -> None:
    run = fit_greys(registry, Greys(learned), tmp_path / "runs", rule=ThresholdRule("percentile", 0.25))
    paint(new, usual_levels(100, 7), seed=7)
    found = audited(run, registry, new)
    assert 15 <= found.flagged.count <= 40
    assert found.verdict == "kept"


def test_too_few_images_to_notice_anything_are_told_so(run: Run, registry: Registry, new: Path) -> None:
    paint(new, [USUAL + 20 * SPREAD], seed=8)
    found = audited(run, registry, new)
    assert found.flagged.count == 1
    assert found.verdict == "kept"  # p = 1/100 is not below 1/100
    assert found.noticeable_rate is None
    assert found.sentences()[0] == "too few images to judge the promise"
    assert found.sentences()[-1] == "1 image is too few to notice any broken promise"


def test_what_was_learned_from_or_calibrated_with_is_left_out(
    run: Run, registry: Registry, learned: list[Path], new: Path
) -> None:
    fresh = paint(new, usual_levels(5, 9), seed=9)
    shutil.copyfile(learned[0], new / "renamed.png")
    found = audit(run, Workplace(registry, device="cpu"), [str(learned[0].parent), str(new)])
    assert found.names == tuple(map(str, fresh))
    assert len(found.fresh.seen) == 301
    with pytest.raises(DatasetError, match="the run has seen all 300"):
        audited(run, registry, learned[0].parent)


def test_unreadable_images_are_refused_or_left_out(run: Run, registry: Registry, new: Path) -> None:
    paths = paint(new, usual_levels(5, 10), seed=10)
    paths[1].write_bytes(b"")
    with pytest.raises(FrameError, match=r"001\.png"):
        audited(run, registry, new)
    found = audit(run, Workplace(registry, skip_bad=True, device="cpu"), [str(new)])
    assert len(found.scores) == 4
    assert found.as_json()["left_out"] == {"seen": [], "copies": [], "unreadable": [str(paths[1])]}


def test_everything_is_json(run: Run, registry: Registry, new: Path) -> None:
    paint(new, usual_levels(12, 11), seed=11)
    found = audited(run, registry, new)
    document = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert document["run"] == run.record.id
    assert document["verdict"] == found.verdict
    assert document["units"] == 12
    assert document["rate"] == found.flagged.count / 12
    assert document["interval"] == {"low": found.flagged.interval.low, "high": found.flagged.interval.high}
    assert document["threshold"]["value"] == run.record.threshold.value
    assert document["drift"]["p_value"] == found.drift.p_value
    assert document["sentences"] == found.sentences()
    assert document["normal"] == str(new)


def test_a_kept_promise_is_called_broken_no_more_often_than_the_level() -> None:
    """Draws of the calibration and of the audit, for a rank of 1 of 99 and 60 fresh images."""
    rng = np.random.default_rng(12)
    rates = rng.beta(1, 99, 200_000)
    alarms = rng.binomial(60, rates)
    p_values = stats.betabinom.sf(np.arange(61) - 1, 60, 1, 99)
    broken = np.mean(p_values[alarms] < LEVEL)
    assert broken <= LEVEL


def test_scores_below_leave_one_out_scores_are_no_verdict(
    registry: Registry, learned: list[Path], tmp_path: Path
) -> None:
    darker = paint(tmp_path / "darker", [level - 2 * SPREAD for level in usual_levels(150, 3)], seed=3)
    found = {}
    for method in ("grey", "grey_without_one"):
        made = fit_greys(registry, Greys(learned), tmp_path / "runs", method=method)
        found[method] = audited(made, registry, darker[0].parent)
        assert found[method].drift.shift < 0.5
    assert found["grey"].verdict == "drifted"
    assert found["grey_without_one"].verdict == "kept"
    assert found["grey"].drift.p_value < LEVEL < found["grey_without_one"].drift.p_value
    assert any(
        sentence.startswith("drift of the scores upwards: p") for sentence in found["grey_without_one"].sentences()
    )
