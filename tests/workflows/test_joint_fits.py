"""One model of several categories: what it learns from, and that each category's run is calibrated by its own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from adkit.data.datasets import open_datasets
from adkit.data.fingerprints import content_hashes
from adkit.data.frame_source import frames_of
from adkit.errors import AdkitError, DatasetError, StorageError
from adkit.evaluation.evaluate import evaluate
from adkit.interfaces import Batches, Dataset, Progress, Workspace
from adkit.registry import Registry
from adkit.report.page import write_report
from adkit.runs import store as runs_module
from adkit.runs.record import FitSettings
from adkit.runs.store import MODEL, Run, open_run
from adkit.stats.calibration import ThresholdRule, threshold_from
from adkit.types import Prediction
from adkit.workflows.audit import audit
from adkit.workflows.calibrate import recalibrate
from adkit.workflows.fit import fit, fit_joint
from adkit.workflows.score import Workplace, calibrating_scores, open_model
from tests.greys import METHODS, Grey, GreyWithoutOne, bytes_below, paint, with_methods

SPECS = ("mvtec:dark", "mvtec:light")
COUNTS = {"mvtec:dark": 30, "mvtec:light": 50}
LEVELS = {"mvtec:dark": 60.0, "mvtec:light": 150.0}


class Attentive(GreyWithoutOne):
    """Remembers what it was shown."""

    ids: ClassVar[tuple[str, ...]] = ()
    clips: ClassVar[tuple[str, ...]] = ()
    shown: ClassVar[list[float]] = []

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        super().fit(batches, progress)
        Attentive.ids = tuple(name for batch in batches for name in batch.ids)
        Attentive.clips = tuple(name for batch in batches for name in batch.clips)
        Attentive.shown = self.known.tolist()


class OneShort(GreyWithoutOne):
    """Forgets the last image when it calibrates itself."""

    def calibration(self) -> Prediction | None:
        return Prediction(scores=self.known[:-1])


@pytest.fixture(scope="module")
def registry() -> Registry:
    return with_methods({**METHODS, "attentive": Attentive, "one_short": OneShort})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories whose images have the same names; a test split each, with bright parts as defects."""
    folder = tmp_path_factory.mktemp("data")
    for number, (spec, level) in enumerate(LEVELS.items()):
        place, chance = folder / "mvtec" / spec.partition(":")[2], np.random.default_rng(number)
        for split, kind, usual, count in (
            ("train", "good", level, COUNTS[spec]),
            ("test", "good", level, 10),
            ("test", "bright", level + 40, 5),
        ):
            paint(place / split / kind, chance.normal(usual, 5, count), seed=10 * number + count)
    return folder


def categories(root: Path, registry: Registry) -> list[Dataset]:
    return open_datasets("mvtec:dark,light", root, registry)


def fitted(root: Path, registry: Registry, runs: Path, method: str, **settings: Any) -> dict[str, Run]:
    asked = FitSettings(method=method, device="cpu", **settings)
    made = fit_joint(asked, categories(root, registry), runs, registry)
    return {run.record.dataset: open_run(run.folder) for run in made}


@pytest.fixture(scope="module")
def joint(root: Path, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, dict[str, Run]]:
    """The runs of each method by spec."""
    folder = tmp_path_factory.mktemp("runs")
    return {name: fitted(root, registry, folder / name, name) for name in ("grey", "grey_without_one", "grey_maps")}


def brightness(root: Path, registry: Registry) -> dict[str, torch.Tensor]:
    """Of every training image, as a run of one category alone would know it."""
    return {spec: 255 * torch.tensor([_mean(path) for path in training_files(root, spec)]) for spec in SPECS}


def training_files(root: Path, spec: str) -> list[Path]:
    return sorted((root / "mvtec" / spec.partition(":")[2] / "train" / "good").iterdir())


def _mean(path: Path) -> float:
    from PIL import Image

    with Image.open(path) as picture:
        return float(np.asarray(picture).mean() / 255)


@pytest.mark.parametrize("method", ["grey", "grey_without_one", "grey_maps"])
def test_each_category_gets_a_run_of_its_own_with_the_same_model(
    joint: Mapping[str, dict[str, Run]], method: str, root: Path, registry: Registry, tmp_path: Path
) -> None:
    dark, light = (joint[method][spec] for spec in SPECS)
    assert dark.record.id.endswith(f"-{method}-dark")
    assert dark.record.files[MODEL] == light.record.files[MODEL]
    assert torch.equal(dark.state()["mean"], light.state()["mean"])
    for run, dataset in zip((dark, light), categories(root, registry), strict=True):
        alone = fit(FitSettings(method=method, device="cpu"), dataset, tmp_path, registry)
        own = {"dataset", "root", "train_count", "data_hash", "options", "view"}
        assert run.record.model_dump(include=own) == alone.record.model_dump(include=own)
        assert run.calibration().ids == alone.calibration().ids  # the same are held out, or left out one by one
        assert run.record.calibration.source == alone.record.calibration.source
        assert (alone.record.joint, alone.record.learned_with) == ({}, {})
        assert alone.record.files[MODEL] != run.record.files[MODEL]


def test_leave_one_out_results_are_cut_by_category(
    joint: Mapping[str, dict[str, Run]], root: Path, registry: Registry
) -> None:
    known = brightness(root, registry)
    total, count = torch.cat(list(known.values())).sum(), sum(COUNTS.values())
    thresholds = []
    for spec in SPECS:
        run = joint["grey_without_one"][spec]
        expected = known[spec] - (total - known[spec]) / (count - 1)
        names, scores = calibrating_scores(run, registry)
        assert scores == pytest.approx(expected.numpy(), abs=1e-3)
        assert names == tuple(f"train/good/{path.stem}" for path in training_files(root, spec))
        assert run.record.threshold == threshold_from(scores, ThresholdRule())
        assert (run.record.threshold.count, run.record.train_count) == (COUNTS[spec], COUNTS[spec])
        assert run.record.calibration.leave_one_out
        thresholds.append(run.record.threshold.value)
    assert thresholds[1] - thresholds[0] > 50  # a pooled threshold would let every dark defect through


def test_held_out_images_of_a_category_calibrate_it_with_the_joint_model(
    joint: Mapping[str, dict[str, Run]], root: Path, registry: Registry
) -> None:
    known = brightness(root, registry)
    stems = {spec: [path.stem for path in training_files(root, spec)] for spec in SPECS}
    held_out, learned = {}, []
    for spec in SPECS:
        chosen = {name.rpartition("/")[2] for name in joint["grey"][spec].calibration().ids}
        pairs = list(zip(stems[spec], known[spec].tolist(), strict=True))
        held_out[spec] = [value for stem, value in pairs if stem in chosen]
        learned += [value for stem, value in pairs if stem not in chosen]
    mean = float(np.mean(learned))
    for spec, values in held_out.items():
        run = joint["grey"][spec]
        assert run.state()["mean"].item() == pytest.approx(mean, abs=1e-3)
        _, scores = calibrating_scores(run, registry)
        assert scores == pytest.approx(np.array(values) - mean, abs=1e-3)
        assert run.record.threshold == threshold_from(scores, ThresholdRule())
        assert run.record.threshold.count == len(values) == round(COUNTS[spec] / 5)


def test_the_union_is_learned_category_after_category_under_numbers(
    root: Path, registry: Registry, tmp_path: Path
) -> None:
    runs = fitted(root, registry, tmp_path, "attentive")
    expected = torch.cat([brightness(root, registry)[spec] for spec in SPECS])
    assert Attentive.shown == pytest.approx(expected.tolist(), abs=1e-3)
    assert list(Attentive.ids) == list(Attentive.clips) == [str(number) for number in range(len(expected))]
    assert not {name for run in runs.values() for name in run.calibration().ids if name.startswith("mvtec:")}


def test_the_record_says_what_was_learned_from_together(joint: Mapping[str, dict[str, Run]]) -> None:
    dark, light = (joint["grey"][spec].record for spec in SPECS)
    assert dark.joint == light.joint
    assert list(dark.joint) == list(SPECS)
    for record in (dark, light):
        share = record.joint[record.dataset]
        assert (share.train_count, share.data_hash) == (record.train_count, record.data_hash)
    assert dark.learned_with == {"mvtec:light": 40}
    assert light.learned_with == {"mvtec:dark": 24}


def test_a_run_has_seen_what_was_learned_from_of_all_categories(
    joint: Mapping[str, dict[str, Run]], root: Path, registry: Registry
) -> None:
    hashes = {one.spec: content_hashes(one.samples("train")) for one in categories(root, registry)}
    for method in ("grey", "grey_without_one"):
        for spec in SPECS:
            run, (other,) = joint[method][spec], (one for one in SPECS if one != spec)
            seen, elsewhere = run.seen(), joint[method][other].seen().calibration
            own = {name: content for name, content in seen.training.items() if not name.startswith("mvtec:")}
            assert {**own, **seen.calibration} == hashes[spec]
            assert own.keys().isdisjoint(seen.calibration)
            of_other = {name: content for name, content in seen.training.items() if name not in own}
            expected = {name: content for name, content in hashes[other].items() if name not in elsewhere}
            assert of_other == {f"{other} {name}": content for name, content in expected.items()}


def test_audit_and_calibrate_leave_out_what_was_learned_from_of_the_other_category(
    joint: Mapping[str, dict[str, Run]], root: Path, registry: Registry, tmp_path: Path
) -> None:
    original = joint["grey_without_one"]["mvtec:dark"]
    run = open_run(shutil.copytree(original.folder, tmp_path / original.record.id))
    new = paint(tmp_path / "new", np.random.default_rng(5).normal(60, 5, 20), seed=99)
    normal = [str(training_files(root, "mvtec:light")[0].parent), str(new[0].parent)]
    found = audit(run, Workplace(registry, device="cpu"), normal)
    assert (len(found.fresh.seen), found.names) == (50, tuple(map(str, new)))
    assert found.verdict == "kept"
    kept = recalibrate(run, Workplace(registry, device="cpu"), normal, keep=True)
    assert kept.fresh is not None
    assert len(kept.fresh.seen) == 50
    record = open_run(run.folder).record
    assert record.threshold.count == 30 + 20
    assert record.joint == original.record.joint
    assert run.record.files[MODEL] == record.files[MODEL]


@pytest.mark.parametrize("method", ["grey", "grey_without_one", "grey_maps"])
def test_a_joint_run_is_judged_on_its_own_category_at_its_own_threshold(
    joint: Mapping[str, dict[str, Run]], method: str, root: Path, registry: Registry, tmp_path: Path
) -> None:
    for spec in SPECS:
        run = open_run(shutil.copytree(joint[method][spec].folder, tmp_path / method / spec.partition(":")[2]))
        judged = evaluate(run, Workplace(registry, root=root, device="cpu"))
        assert (len(judged.samples), judged.seen) == (15, [])
        assert judged.rates.caught.share == 1
        assert judged.threshold == run.record.threshold
        assert judged.metrics["image_auroc"].value == 1
        judge = open_model(run, registry, device="cpu")
        scores = [one.score for one in judge.stream(frames_of(judged.samples, judge.view))]
        assert scores == pytest.approx(judged.scores.tolist(), abs=1e-4)


def test_the_page_of_a_joint_run_names_the_other_category_and_how_to_fit_again(
    joint: Mapping[str, dict[str, Run]], root: Path, registry: Registry, tmp_path: Path
) -> None:
    run = open_run(shutil.copytree(joint["grey"]["mvtec:light"].folder, tmp_path / "run"))
    page = write_report(run, Workplace(registry, root=root, device="cpu")).path.read_text(encoding="utf-8")
    assert "training split of mvtec:dark" in page
    assert "64 images of all categories" in page
    assert "--dataset mvtec:dark --dataset mvtec:light" in page
    assert "--joint" in page


def test_several_categories_give_the_same_runs_again(
    joint: Mapping[str, dict[str, Run]], root: Path, registry: Registry, tmp_path: Path
) -> None:
    for spec, again in fitted(root, registry, tmp_path, "grey").items():
        assert again.record.files == joint["grey"][spec].record.files


def test_a_copy_of_another_categorys_image_is_left_out(root: Path, registry: Registry, tmp_path: Path) -> None:
    """Learned from there, it would be found in the memory here."""
    data = shutil.copytree(root, tmp_path / "data")
    copy = data / "mvtec" / "light" / "train" / "good" / "copy.png"
    copy.write_bytes(training_files(root, "mvtec:dark")[3].read_bytes())
    runs = fitted(data, registry, tmp_path / "runs", "grey_without_one")
    assert [run.record.copies for run in runs.values()] == [[], [str(copy)]]
    assert [run.record.train_count for run in runs.values()] == [30, 50]


def test_two_names_of_one_category_leave_nothing_to_the_second(root: Path, registry: Registry, tmp_path: Path) -> None:
    data = shutil.copytree(root, tmp_path / "data")
    shutil.rmtree(data / "mvtec" / "light")
    shutil.copytree(data / "mvtec" / "dark", data / "mvtec" / "light")
    with pytest.raises(DatasetError, match="mvtec:light has 0 training images besides 30 of which there are copies"):
        fitted(data, registry, tmp_path / "runs", "grey")


def too_few(folder: Path) -> str:
    for path in training_files(folder, "mvtec:light")[2:]:
        path.unlink()
    return "mvtec:light has 2 training images; grey needs at least 3"


def unreadable(folder: Path) -> str:
    path = training_files(folder, "mvtec:light")[7]
    path.write_bytes(b"no image")
    return path.name


@pytest.mark.parametrize(
    ("corrupt", "rate"),
    [(too_few, None), (unreadable, None), (lambda _: "mvtec:dark: a promise of .* can spare 15 of 30", "5%")],
)
def test_nothing_is_written_when_one_category_fails(
    corrupt: Any, rate: str | None, root: Path, registry: Registry, tmp_path: Path
) -> None:
    data, fits = shutil.copytree(root, tmp_path / "data"), Grey.fits
    expected = corrupt(data)
    with pytest.raises(AdkitError, match=expected):
        fitted(data, registry, tmp_path / "runs", "grey", max_false_alarms=rate)
    assert not (tmp_path / "runs").exists()
    if corrupt is not unreadable:  # that is noticed when the file is learned from, or judged
        assert Grey.fits == fits


@pytest.mark.parametrize("fault", [StorageError("the disk is full", hint="make room"), KeyboardInterrupt()])
def test_no_run_remains_when_a_later_one_cannot_be_written(
    fault: BaseException, root: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, written = runs_module.save_run, []

    def second_fails(*arguments: Any) -> Run:
        if written:
            raise fault
        written.append(save(*arguments))
        return written[-1]

    monkeypatch.setattr(runs_module, "save_run", second_fails)
    with pytest.raises(type(fault)):
        fitted(root, registry, tmp_path, "grey")
    assert len(written) == 1
    assert bytes_below(tmp_path) == {}


def test_a_category_is_named_once(root: Path, registry: Registry, tmp_path: Path) -> None:
    first, _ = categories(root, registry)
    with pytest.raises(DatasetError, match="mvtec:dark is named twice"):
        fit_joint(FitSettings(method="grey", device="cpu"), [first, first], tmp_path, registry)


def test_a_method_that_calibrates_too_few_is_a_bug(root: Path, registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gave 79 results for 80 frames"):
        fitted(root, registry, tmp_path, "one_short")
