"""A new threshold for a run; the model stays as it is, and the run is whole at every moment."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adkit.data.fingerprints import content_hashes, data_hash
from adkit.data.inputs import find_inputs
from adkit.errors import AdkitError, DatasetError, FrameError, OptionError, PromiseError, RunError, StorageError
from adkit.files.atomic import prefix_of
from adkit.files.lock import lock
from adkit.registry import Registry
from adkit.report.page import write_report
from adkit.runs.store import CALIBRATION, DATA, MODEL, RECORD, Run, find_run, open_run
from adkit.stats.calibration import ThresholdRule, threshold_from
from adkit.stats.significance import drift_test
from adkit.workflows.audit import LEVEL, audit
from adkit.workflows.calibrate import LOCK, recalibrate
from adkit.workflows.score import Workplace, calibrating_scores, open_model, open_scorer, sample_scores
from adkit.workflows.update import update
from tests.greys import METHODS, SPREAD, Greys, bytes_below, fit_greys, paint, usual_levels, with_methods


@pytest.fixture(scope="module")
def registry() -> Registry:
    return with_methods(METHODS)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return paint(tmp_path_factory.mktemp("learned"), usual_levels(50, 1))


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two hundred further good parts."""
    return paint(tmp_path_factory.mktemp("more"), usual_levels(200, 2), seed=2)[0].parent


@pytest.fixture(scope="module")
def originals(registry: Registry, learned: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each method."""
    root = tmp_path_factory.mktemp("originals")
    methods = ("grey", "grey_without_one", "grey_maps")
    return {name: fit_greys(registry, Greys(learned), root / name, method=name).folder for name in methods}


@pytest.fixture(params=["grey", "grey_without_one", "grey_maps"])
def any_run(request: pytest.FixtureRequest, originals: dict[str, Path], tmp_path: Path) -> Run:
    """A run of each method in turn."""
    source = originals[request.param]
    return open_run(shutil.copytree(source, tmp_path / "runs" / source.name))


@pytest.fixture
def run(originals: dict[str, Path], tmp_path: Path) -> Run:
    """A run with ten held-out scores."""
    source = originals["grey"]
    return open_run(shutil.copytree(source, tmp_path / "runs" / source.name))


def scores_of(run: Run, registry: Registry, images: Sequence[str]) -> list[float]:
    """As `adkit score` gives them."""
    return [result.score for result in open_model(run, registry, device="cpu").score(images)]


def test_the_threshold_comes_from_the_new_images_and_the_model_stays(
    any_run: Run, registry: Registry, more: Path
) -> None:
    before, model = any_run.record, (any_run.folder / MODEL).read_bytes()
    scores = scores_of(any_run, registry, [str(more)])
    result = recalibrate(any_run, Workplace(registry, device="cpu"), [str(more)])
    after = open_run(any_run.folder).record
    assert (any_run.folder / MODEL).read_bytes() == model
    assert after.files[MODEL] == before.files[MODEL]
    assert after.threshold == threshold_from(scores, ThresholdRule())
    assert after.threshold.count == 200
    assert (result.before, result.run.record) == (before.threshold, after)
    names, found = calibrating_scores(result.run, registry)
    assert names == tuple(sample.id for sample in find_inputs([str(more)]).stills)
    assert found.tolist() == scores
    assert (after.pixel_threshold is None) == (before.pixel_threshold is None)
    unchanged = {"calibration", "earlier_calibrations", "files"}
    assert after.model_dump(exclude=unchanged) == before.model_dump(exclude=unchanged)


def test_of_two_calibrations_at_once_none_is_lost_without_a_word(
    run: Run, registry: Registry, more: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have opened the run as it was; the second is told of the first."""
    first = recalibrate(run, Workplace(registry, device="cpu"), [str(more)]).run
    with pytest.raises(RunError, match="was changed by another command meanwhile"):
        recalibrate(run, Workplace(registry, device="cpu"), rule=ThresholdRule("certain", 0.05))
    assert open_run(run.folder).record == first.record
    monkeypatch.setattr("adkit.workflows.calibrate.PATIENCE_S", 0.1)
    with lock(run.folder / LOCK), pytest.raises(RunError, match="is being changed by another command"):
        recalibrate(first, Workplace(registry, device="cpu"), rule=ThresholdRule("certain", 0.05))
    assert open_run(run.folder).record == first.record
    assert recalibrate(first, Workplace(registry, device="cpu"), rule=ThresholdRule("percentile", 0.5)).run != first


def test_the_record_says_from_what_and_keeps_what_was_before(run: Run, registry: Registry, more: Path) -> None:
    first = run.record.calibration
    recalibrate(run, Workplace(registry, device="cpu"), [str(more)])
    second = open_run(run.folder).record.calibration
    recalibrate(open_run(run.folder), Workplace(registry, device="cpu"), rule=ThresholdRule("certain", 0.05))
    record = open_run(run.folder).record
    assert record.earlier_calibrations == [first, second]
    assert second.source == "200 further normal images"
    assert second.data == str(more)
    assert second.data_hash == data_hash(content_hashes(find_inputs([str(more)]).stills))
    assert second.rule == first.rule == ThresholdRule()
    assert record.calibration.rule == ThresholdRule("certain", 0.05)
    assert record.calibration.created >= second.created >= first.created


def test_what_calibrates_now_is_what_the_run_has_seen_besides_training(
    run: Run, registry: Registry, more: Path
) -> None:
    training = run.seen().training
    recalibrate(run, Workplace(registry, device="cpu"), [str(more)])
    seen = open_run(run.folder).seen()
    assert seen.training == training
    assert seen.calibration == content_hashes(find_inputs([str(more)]).stills)


def test_held_out_images_may_calibrate_again_and_learned_ones_may_not(
    run: Run, registry: Registry, learned: list[Path]
) -> None:
    result = recalibrate(run, Workplace(registry, device="cpu"), [str(learned[0].parent)])
    assert result.fresh is not None
    assert len(result.fresh.seen) == 40
    assert result.run.record.threshold.count == 10
    # The same ten scores, in another order: the same threshold.
    assert result.run.record.threshold == run.record.threshold


def test_keep_pools_old_scores_and_new_ones(any_run: Run, registry: Registry, more: Path) -> None:
    before = any_run.record
    kept = any_run.calibration()
    old = sample_scores(kept, open_scorer(before.scorer, registry), before.smoothing_s)
    known = {**any_run.seen().training, **any_run.seen().calibration}
    new = scores_of(any_run, registry, [str(more)])
    result = recalibrate(any_run, Workplace(registry, device="cpu"), [str(more)], keep=True)
    record, seen = result.run.record, result.run.seen()
    assert calibrating_scores(result.run, registry)[1].tolist() == [*new, *old]
    assert record.threshold == threshold_from([*new, *old], ThresholdRule())
    assert record.threshold.unit == "image"
    from_before = f"{len(old)} from before ({before.calibration.source})"
    assert record.calibration.source == f"200 further normal images, and {from_before}"
    assert record.calibration.data == f"{more} and greys:all"
    fresh_hashes = content_hashes(find_inputs([str(more)]).stills)
    kept_hashes = {sample_id: known[sample_id] for sample_id in kept.ids}
    assert record.calibration.data_hash == data_hash({**fresh_hashes, **kept_hashes})
    assert {*seen.training.values(), *seen.calibration.values()} == {*known.values(), *fresh_hashes.values()}


def test_keep_leaves_out_what_calibrated_before(run: Run, registry: Registry, more: Path) -> None:
    images = sorted(map(str, more.iterdir()))
    recalibrate(run, Workplace(registry, device="cpu"), images[:120])
    result = recalibrate(open_run(run.folder), Workplace(registry, device="cpu"), images[100:], keep=True)
    assert result.fresh is not None
    assert result.fresh.seen == images[100:120]
    assert result.run.record.threshold.count == 200
    assert sorted(calibrating_scores(result.run, registry)[0]) == images
    with pytest.raises(DatasetError, match="the run has seen all 200"):
        recalibrate(result.run, Workplace(registry, device="cpu"), images, keep=True)


def test_another_image_at_the_same_path_is_another_image(
    run: Run, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera that writes over its files, or a relative path that is named from another folder."""
    monkeypatch.chdir(tmp_path)
    contents: set[str] = set()
    for day in range(3):
        paint(tmp_path / "today", usual_levels(30, 10 + day), seed=10 + day)
        contents |= set(content_hashes(find_inputs(["today"]).stills).values())
        result = recalibrate(open_run(run.folder), Workplace(registry, device="cpu"), ["today"], keep=day > 0)
        threshold = open_run(run.folder).record.threshold
        assert (threshold.count, threshold.unit) == (30 * (day + 1), "image")
        assert len(set(calibrating_scores(result.run, registry)[0])) == 30 * (day + 1)
        assert set(open_run(run.folder).seen().calibration.values()) == contents


def test_a_rule_alone_uses_the_stored_scores_and_no_model(
    any_run: Run, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("adkit.workflows.score.open_model", fail)
    before = any_run.record
    stored = [any_run.path_of(name).read_bytes() for name in (MODEL, CALIBRATION, DATA)]
    scores = sample_scores(any_run.calibration(), open_scorer(before.scorer, registry), before.smoothing_s)
    result = recalibrate(any_run, Workplace(registry), rule=ThresholdRule("percentile", 0.25))
    after = open_run(any_run.folder).record
    assert after.threshold == threshold_from(scores, ThresholdRule("percentile", 0.25))
    assert after.threshold.value < before.threshold.value
    assert [result.run.path_of(name).read_bytes() for name in (MODEL, CALIBRATION, DATA)] == stored
    assert result.fresh is None
    kept = {"source", "data", "data_hash"}
    assert after.calibration.model_dump(include=kept) == before.calibration.model_dump(include=kept)


def test_a_rule_is_kept_until_another_is_given(run: Run, registry: Registry, more: Path) -> None:
    recalibrate(run, Workplace(registry, device="cpu"), [str(more)], rule=ThresholdRule("expected", 0.1))
    result = recalibrate(open_run(run.folder), Workplace(registry, device="cpu"), [str(more)])
    assert result.run.record.calibration.rule == ThresholdRule("expected", 0.1)
    assert result.run.record.threshold.rank == 20


def test_the_stored_evaluation_stays_and_what_shows_the_old_threshold_goes(
    run: Run, registry: Registry, more: Path
) -> None:
    for name in ("evaluation/evaluation.json", "pictures/a.png", "report.html"):
        (run.folder / name).parent.mkdir(exist_ok=True)
        (run.folder / name).write_bytes(b"made")
    recalibrate(run, Workplace(registry, device="cpu"), [str(more)])
    assert (run.folder / "evaluation" / "evaluation.json").read_bytes() == b"made"
    assert not (run.folder / "pictures").exists()
    assert not (run.folder / "report.html").exists()


def test_a_judge_of_the_run_uses_the_new_threshold_and_scores(run: Run, registry: Registry, more: Path) -> None:
    result = recalibrate(run, Workplace(registry, device="cpu"), [str(more)])
    judge = open_model(find_run(run.folder.parent), registry, device="cpu")
    assert judge.threshold == result.run.record.threshold
    assert judge.normal_scores.tolist() == calibrating_scores(result.run, registry)[1].tolist()


def test_a_later_audit_leaves_the_calibrating_images_out(run: Run, registry: Registry, more: Path) -> None:
    images = sorted(map(str, more.iterdir()))
    recalibrate(run, Workplace(registry, device="cpu"), images[:150])
    found = audit(open_run(run.folder), Workplace(registry, device="cpu"), images)
    assert found.fresh.seen == images[:150]
    assert len(found.scores) == 50
    with pytest.raises(DatasetError, match="the run has seen all 150"):
        audit(open_run(run.folder), Workplace(registry, device="cpu"), images[:150])


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("method", ["grey", "grey_without_one"])
def test_images_that_replace_others_under_their_names_may_do_so_again(
    method: str, keep: bool, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training images stand where later ones are written; leave-one-out scores are of these very names."""
    monkeypatch.chdir(tmp_path)
    samples = find_inputs([str(path) for path in paint(Path("parts"), usual_levels(30, 20), seed=20)]).stills
    dataset = Greys([sample.frame.path for sample in samples])
    dataset.train = samples
    run = fit_greys(registry, dataset, tmp_path / "runs", method=method)
    count, contents = len(run.calibration().ids), set(run.seen().calibration.values())
    for day in range(1, 4):
        paint(Path("parts"), usual_levels(30, 20 + day), seed=20 + day)
        fresh = set(content_hashes(find_inputs(["parts"]).stills).values())
        run = recalibrate(open_run(run.folder), Workplace(registry, device="cpu"), ["parts"], keep=keep).run
        count, contents = (count + 30, contents | fresh) if keep else (30, fresh)
        seen, predictions = run.seen(), run.calibration()
        assert run.record.threshold.count == len(set(predictions.ids)) == count
        assert set(seen.calibration) == set(predictions.ids)
        assert contents <= set(seen.calibration.values())
        assert run.record.calibration.data_hash == data_hash(seen.calibration)


# Scores of other parts.


@pytest.mark.parametrize(("shift", "direction"), [(1.5, "higher"), (-1.5, "lower")])
def test_scores_that_moved_are_told(
    shift: float, direction: str, run: Run, registry: Registry, more: Path, tmp_path: Path
) -> None:
    first = recalibrate(run, Workplace(registry, device="cpu"), [str(more)])
    assert first.drift is not None
    assert first.drift.p_value >= LEVEL
    assert first.warning is None
    levels = [level + shift * SPREAD for level in usual_levels(60, 7)]
    others = paint(tmp_path / "others", levels, seed=7)[0].parent
    second = recalibrate(first.run, Workplace(registry, device="cpu"), [str(others)])
    earlier, later = (calibrating_scores(one.run, registry)[1] for one in (first, second))
    assert second.drift == drift_test(earlier, later)
    assert second.drift.p_value < LEVEL
    assert second.warning is not None
    assert second.warning.startswith(
        f"the new images score {direction} than those that set the threshold so far, p = {second.drift.p_value:.2g}; "
    )
    assert second.run.record.threshold.count == 60


def test_lower_scores_than_leave_one_out_are_no_sign(
    originals: dict[str, Path], registry: Registry, tmp_path: Path
) -> None:
    run = open_run(shutil.copytree(originals["grey_without_one"], tmp_path / "runs" / "one"))
    for name, shift, warned in (("dark", -2.0, False), ("bright", 2.0, True)):
        levels = [level + shift * SPREAD for level in usual_levels(40, 8)]
        images = paint(tmp_path / name, levels, seed=8)[0].parent
        copy = open_run(shutil.copytree(run.folder, tmp_path / "runs" / name))
        result = recalibrate(copy, Workplace(registry, device="cpu"), [str(images)])
        assert (result.warning is not None) is warned


def test_a_rule_alone_has_no_drift(run: Run, registry: Registry) -> None:
    result = recalibrate(run, Workplace(registry), rule=ThresholdRule("percentile", 0.5))
    assert result.drift is None
    assert result.warning is None


@pytest.mark.parametrize("shift", [-3.0, 3.0])
def test_scores_of_other_parts_are_not_pooled(
    shift: float, run: Run, registry: Registry, more: Path, tmp_path: Path
) -> None:
    recalibrate(run, Workplace(registry, device="cpu"), [str(more)])
    levels = [level + shift * SPREAD for level in usual_levels(30, 9)]
    others = paint(tmp_path / "others", levels, seed=9)[0].parent
    before = bytes_below(run.folder.parent)
    with pytest.raises(PromiseError, match="pooled scores of different parts promise nothing") as caught:
        recalibrate(open_run(run.folder), Workplace(registry, device="cpu"), [str(others)], keep=True)
    assert caught.value.hint == "leave --keep out"
    assert bytes_below(run.folder.parent) == before
    assert recalibrate(open_run(run.folder), Workplace(registry, device="cpu"), [str(others)]).warning


def test_still_images_cannot_calibrate_a_run_of_clips(registry: Registry, tmp_path: Path, more: Path) -> None:
    paths = paint(tmp_path / "frames", usual_levels(40, 3), seed=3)
    clips = [f"clip {number // 4}" for number in range(40)]
    run = fit_greys(registry, Greys(paths, clips), tmp_path / "runs", method="grey_without_one")
    assert run.record.threshold.unit == "clip"
    before = bytes_below(run.folder)
    with pytest.raises(DatasetError, match=r"the promise of this run counts clips, and .* names still images"):
        recalibrate(run, Workplace(registry, device="cpu"), [f"{more}/*.png"])
    with pytest.raises(DatasetError, match="counts clips"):
        audit(run, Workplace(registry, device="cpu"), [f"{more}/*.png"])
    assert bytes_below(run.folder) == before


# Refusals and interruptions leave the run as it was, to the byte.


@pytest.mark.parametrize(
    ("number", "rule", "keep", "expected"),
    [
        (20, ThresholdRule("expected", 0.01), False, "needs at least 99 normal samples; there are 20"),
        (20, ThresholdRule("certain", 0.05), True, "needs at least 59 normal samples; there are 30"),
        (0, ThresholdRule("expected", 0.01), False, "needs at least 99 normal samples; there are 10"),
    ],
    ids=str,
)
def test_a_promise_that_the_images_do_not_support_is_refused(
    number: int, rule: ThresholdRule, keep: bool, expected: str, run: Run, registry: Registry, more: Path
) -> None:
    before = bytes_below(run.folder.parent)
    images = sorted(map(str, more.iterdir()))[:number]
    with pytest.raises(PromiseError, match=expected):
        recalibrate(run, Workplace(registry, device="cpu"), images, rule=rule, keep=keep)
    assert bytes_below(run.folder.parent) == before


def test_too_few_are_refused_before_they_are_scored(
    run: Run, registry: Registry, more: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("adkit.workflows.score.open_model", fail)
    with pytest.raises(PromiseError):
        recalibrate(run, Workplace(registry, device="cpu"), [str(more)], rule=ThresholdRule("expected", 0.001))


def _refused(*_: Any, **__: Any) -> str:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_a_run_that_cannot_be_written_is_refused_before_the_work(
    run: Run, registry: Registry, more: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adkit.files.atomic.tempfile.mkdtemp", _refused)
    monkeypatch.setattr("adkit.workflows.score.open_model", pytest.fail)
    workplace = Workplace(registry, device="cpu")
    for work in (
        lambda: recalibrate(run, workplace, [str(more)]),
        lambda: update(run, workplace, [str(more)]),
        lambda: write_report(run, workplace, None),
    ):
        with pytest.raises(StorageError, match=r"cannot write .*: the disk is read-only"):
            work()


def test_too_few_that_can_be_read_are_refused(run: Run, registry: Registry, tmp_path: Path) -> None:
    paths = paint(tmp_path / "new", usual_levels(20, 5), seed=5)
    paths[3].write_bytes(b"")
    before = bytes_below(run.folder.parent)
    rule = ThresholdRule("expected", 0.05)
    with pytest.raises(FrameError, match=r"003\.png"):
        recalibrate(run, Workplace(registry, device="cpu"), [str(tmp_path / "new")], rule=rule)
    assert bytes_below(run.folder.parent) == before
    recalibrate(run, Workplace(registry, skip_bad=True, device="cpu"), [str(tmp_path / "new")], rule=rule)
    paths[4].write_bytes(b"")
    before = bytes_below(run.folder.parent)
    with pytest.raises(PromiseError, match="there are 18"):
        recalibrate(
            open_run(run.folder), Workplace(registry, skip_bad=True, device="cpu"), [str(tmp_path / "new")], rule=rule
        )
    assert bytes_below(run.folder.parent) == before


def test_unreadable_images_calibrate_nothing_and_are_not_remembered(
    run: Run, registry: Registry, tmp_path: Path
) -> None:
    paths = paint(tmp_path / "new", usual_levels(20, 5), seed=5)
    paths[3].write_bytes(b"")
    result = recalibrate(run, Workplace(registry, skip_bad=True, device="cpu"), [str(tmp_path / "new")])
    assert result.fresh is not None
    assert result.fresh.unreadable == [str(paths[3])]
    assert result.run.record.threshold.count == len(result.run.seen().calibration) == 19
    assert result.run.record.calibration.source == "19 further normal images"


@pytest.mark.parametrize("images", [["nowhere/at all"], []])
def test_other_faults_change_nothing_either(images: list[str], run: Run, registry: Registry) -> None:
    before = bytes_below(run.folder.parent)
    method_without_scores = run.record.model_copy(
        update={"settings": run.record.settings.model_copy(update={"scorer": "max"})}
    )
    faulty = run if images else Run(run.folder, method_without_scores)
    with pytest.raises((DatasetError, OptionError)):
        recalibrate(faulty, Workplace(registry, device="cpu"), images, rule=ThresholdRule("percentile", 0.5))
    assert bytes_below(run.folder.parent) == before


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("fault", "expected"), [(full_disk, StorageError), (KeyboardInterrupt, KeyboardInterrupt)], ids=["disk", "ctrl-c"]
)
@pytest.mark.parametrize("half", ["write_bytes", "replace"])
@pytest.mark.parametrize("step", ["calibration-2.safetensors", "data-2.json", RECORD])
def test_an_interrupted_write_leaves_the_run_as_it_was(
    step: str,
    half: str,
    fault: Callable[[], BaseException],
    expected: type[BaseException],
    run: Run,
    registry: Registry,
    more: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = bytes_below(run.folder.parent)
    whole = getattr(Path, half)

    def act(self: Path, argument: Any) -> Any:
        if self.name.startswith(prefix_of(Path(step))):
            self.write_text("half", encoding="utf-8")
            raise fault()
        return whole(self, argument)

    monkeypatch.setattr(Path, half, act)
    with pytest.raises(expected):
        recalibrate(run, Workplace(registry, device="cpu"), [str(more)])
    monkeypatch.undo()
    assert bytes_below(run.folder.parent) == before
    assert [path.name for path in run.folder.parent.iterdir()] == [run.folder.name]
    assert open_run(run.folder).record == run.record


def test_a_process_that_is_killed_at_any_moment_leaves_a_whole_run(
    run: Run, registry: Registry, more: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies on the disk before and after each step is what a kill there would leave."""
    found = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def act(self: Path, *arguments: Any, **settings: Any) -> Any:
            result = function(self, *arguments, **settings)
            found.append(shutil.copytree(run.folder, tmp_path / "killed" / str(len(found))))
            return result

        return act

    for name in ("rename", "replace", "unlink"):
        monkeypatch.setattr(Path, name, watched(getattr(Path, name)))
    after = recalibrate(run, Workplace(registry, device="cpu"), [str(more)]).run.record
    monkeypatch.undo()
    records = [open_run(folder).record for folder in found]
    assert len(records) > 5
    assert {record.threshold.count for record in records} == {run.record.threshold.count, after.threshold.count}
    changed = [record == after for record in records]
    assert changed == sorted(changed), "once it is changed it stays so"


@pytest.mark.parametrize("how", ["link", "from inside"])
def test_a_run_that_is_reached_by_another_name_is_changed_in_its_place(
    how: str, run: Run, registry: Registry, more: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "link":
        (tmp_path / "best").symlink_to(run.folder)
        opened = open_run(tmp_path / "best")
    else:
        monkeypatch.chdir(run.folder)
        opened = open_run(Path())
    result = recalibrate(opened, Workplace(registry, device="cpu"), [str(more)])
    assert open_run(run.folder).record == result.run.record
    assert open_run(run.folder).record.threshold.count == 200
    assert sorted(path.name for path in tmp_path.iterdir()) == (["best", "runs"] if how == "link" else ["runs"])
    assert [path.name for path in run.folder.parent.iterdir()] == [run.folder.name]
    if how == "link":
        assert (tmp_path / "best").is_symlink()


def test_every_refusal_is_a_fault_that_the_user_can_mend() -> None:
    assert all(issubclass(fault, AdkitError) for fault in (PromiseError, DatasetError, FrameError, StorageError))


def test_more_images_make_the_promise_what_was_aimed_at(run: Run, registry: Registry, more: Path) -> None:
    assert run.record.threshold.expected_rate == pytest.approx(1 / 11)
    result = recalibrate(run, Workplace(registry, device="cpu"), [str(more)])
    assert result.run.record.threshold.expected_rate <= 0.01
    assert np.mean(calibrating_scores(result.run, registry)[1] > result.run.record.threshold.value) <= 0.01


def test_adding_to_the_scores_needs_images(run: Run, registry: Registry) -> None:
    with pytest.raises(OptionError, match="no images to add"):
        recalibrate(run, Workplace(registry, device="cpu"), rule=ThresholdRule("expected", 0.1), keep=True)
