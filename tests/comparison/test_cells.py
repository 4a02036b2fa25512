"""A cell is written whole or not at all, and found again by everything that its result depends on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from adkit.comparison import cells
from adkit.comparison.cells import (
    CELLS,
    RECORD,
    SCORES,
    Asked,
    Category,
    Cell,
    cell_folder,
    cell_key,
    compute_cell,
    load_cell,
)
from adkit.comparison.grid import Candidate
from adkit.data.datasets import open_datasets
from adkit.data.fingerprints import content_hashes, data_hash
from adkit.errors import DatasetError, OptionError, PluginError
from adkit.evaluation.evaluate import evaluate
from adkit.files.atomic import checksum, left_of
from adkit.interfaces import Dataset, Metric, Silent
from adkit.registry import Plugin, Registry
from adkit.report.comparison_page import render_comparison
from adkit.runs.store import find_run, open_run
from adkit.stats import bootstrap
from adkit.stats.significance import bootstrap_weights
from adkit.types import LabelledResults, MetricValue
from adkit.workflows.score import Workplace
from tests.comparison.fakes import (
    DAMAGES,
    FITTED,
    Level,
    Shade,
    compared,
    damage,
    fake_registry,
    one_of,
    part_of_category,
    resampled_auroc,
    same_cell,
    with_settings,
)
from tests.greys import left_by_a_killed_process

LEVEL = one_of("plain level", "level")
SHADE = one_of("shade", "shade")


def computed(candidate: Candidate, category: Category, registry: Registry, root: Path, *, seed: int = 0) -> Cell:
    return compute_cell(Asked(candidate, category, seed), Workplace(registry, device="cpu", progress=Silent()), root)


def folder_of(candidate: Candidate, category: Category, registry: Registry, root: Path, *, seed: int = 0) -> Path:
    return cell_folder(root, cell_key(Asked(candidate, category, seed), registry))


@pytest.fixture(scope="module")
def washer(datasets: Sequence[Dataset]) -> Category:
    """The washers and their fingerprints."""
    return Category.of(datasets[0])


@pytest.fixture(scope="module")
def finished(washer: Category, fakes: Registry, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Cell]:
    """A comparison's folder with one finished cell."""
    root = tmp_path_factory.mktemp("finished")
    return root, computed(LEVEL, washer, fakes, root)


@pytest.fixture
def copied(finished: tuple[Path, Cell], washer: Category, fakes: Registry, tmp_path: Path) -> Path:
    """A copy of the finished cell's folder; the comparison is two folders above it."""
    root = shutil.copytree(finished[0], tmp_path / "copied")
    return folder_of(LEVEL, washer, fakes, root)


def test_a_finished_cell_is_loaded_as_it_was_computed(
    finished: tuple[Path, Cell], washer: Category, fakes: Registry
) -> None:
    root, cell = finished
    loaded = load_cell(root, folder_of(LEVEL, washer, fakes, root), "another name")
    assert loaded is not None
    assert same_cell(loaded, cell)
    assert (cell.candidate, loaded.candidate) == ("plain level", "another name")
    assert (loaded.cost, loaded.run) == (cell.cost, cell.run)


def test_a_cell_says_what_judging_its_run_says(
    finished: tuple[Path, Cell], fakes: Registry, small_root: Path, tmp_path: Path
) -> None:
    root, cell = finished
    run = open_run(shutil.copytree(root / cell.run, tmp_path / "run"))
    judged = evaluate(run, Workplace(fakes, root=small_root))
    assert cell.ids == tuple(sample.id for sample in judged.samples)
    assert np.array_equal(cell.scores, judged.scores)
    assert np.array_equal(cell.anomalous, judged.anomalous)
    assert cell.metrics == {name: metric.value for name, metric in judged.metrics.items()}
    assert cell.threshold == judged.threshold
    assert cell.at == f"the promised {judged.threshold.expected_rate:.2%}"  # too few images for 1 %


def test_a_cell_tells_what_it_cost(finished: tuple[Path, Cell]) -> None:
    root, cell = finished
    assert cell.cost.fit_s >= 0
    assert cell.cost.decode_ms > 0
    assert cell.cost.predict_ms > 0
    assert cell.cost.peak_memory_bytes > 50e6  # torch alone takes more
    assert cell.cost.model_bytes == (root / cell.run / "model.safetensors").stat().st_size


def test_a_cell_of_few_images_learns_from_so_many(washer: Category, fakes: Registry, tmp_path: Path) -> None:
    cell = computed(with_settings(LEVEL, few=3), washer, fakes, tmp_path)
    record = open_run(tmp_path / cell.run).record
    total = len(washer.dataset.samples("train"))
    assert (record.settings.few, record.train_count, record.threshold.count) == (3, 3, total - 3)


def test_an_undefined_metric_keeps_its_reason_and_has_no_resamples(finished: tuple[Path, Cell]) -> None:
    _, cell = finished
    assert cell.metrics["highest"] is None
    assert cell.why_undefined == {"highest": "the method gives no maps"}
    assert cell.metrics["margin"] is not None  # defined, but nobody resamples it
    assert set(cell.replicates) == {"image_auroc", "average_precision"}


def test_the_run_inside_a_cell_is_an_ordinary_run(finished: tuple[Path, Cell], washer: Category) -> None:
    root, cell = finished
    run = open_run(root / cell.run)
    assert run.record.dataset == washer.dataset.spec
    assert find_run((root / cell.run).parent).folder == run.folder
    assert (run.folder / "evaluation" / "evaluation.json").is_file()


def test_nothing_in_a_cell_needs_pickle(finished: tuple[Path, Cell]) -> None:
    root, cell = finished
    with np.load((root / cell.run).parent / SCORES, allow_pickle=False) as arrays:
        assert {arrays[name].dtype.kind for name in arrays.files} == {"f", "b"}
    assert {path.suffix for path in root.rglob("*") if path.is_file()} == {".json", ".npz", ".safetensors"}


def test_a_cell_with_an_object_array_is_not_loaded(copied: Path) -> None:
    np.savez(copied / SCORES, scores=np.array([{}], dtype=object))
    record = json.loads((copied / RECORD).read_text(encoding="utf-8"))
    record["scores_sha256"] = checksum((copied / SCORES).read_bytes())
    (copied / RECORD).write_text(json.dumps(record), encoding="utf-8")
    assert load_cell(copied.parents[1], copied, "x") is None


@pytest.fixture
def odd_root(small_root: Path, tmp_path: Path) -> Path:
    """A copy of the washers that a test may change."""
    shutil.copytree(small_root / "mvtec" / "washer", tmp_path / "odd" / "mvtec" / "washer")
    return tmp_path / "odd"


def changed_picture(path: Path) -> None:
    with Image.open(path) as picture:
        changed = picture.copy()
    changed.putpixel((0, 0), 128 if changed.mode == "L" else (1, 2, 3))
    changed.save(path)


def test_the_same_data_elsewhere_and_defaults_spelt_out_give_the_same_cell(
    washer: Category, fakes: Registry, odd_root: Path, tmp_path: Path
) -> None:
    (moved,) = open_datasets("mvtec:washer", odd_root, fakes)
    spelt_out = one_of("by another name", "level", {"strength": "1", "side": 8})
    assert folder_of(spelt_out, Category.of(moved), fakes, tmp_path) == folder_of(LEVEL, washer, fakes, tmp_path)
    default_scorer = with_settings(SHADE, scorer="max")
    assert folder_of(default_scorer, washer, fakes, tmp_path) == folder_of(SHADE, washer, fakes, tmp_path)
    share, percent = (cell_key(Asked(SHADE, washer, 0, rate), fakes) for rate in ("0.05", "5%"))
    assert share == percent


@pytest.mark.parametrize(
    "changed",
    [
        {"candidate": with_settings(SHADE, options={"strength": 2.0})},
        {"candidate": with_settings(SHADE, scorer="mean")},
        {"candidate": with_settings(SHADE, method="level")},
        {"seed": 1},
        {"candidate": with_settings(SHADE, few=4)},
        {"max_false_alarms": "0.2"},
        {"registry": {"methods": "1.1"}},
        {"registry": {"scorers": "9.9"}},
        {"registry": {"metrics": "9.9"}},
    ],
    ids=str,
)
def test_whatever_changes_the_result_gives_another_cell(
    changed: dict[str, Any], washer: Category, fakes: Registry, tmp_path: Path
) -> None:
    usual, (name, value) = Asked(SHADE, washer, 0), *changed.items()
    if name == "registry":
        other = cell_key(usual, fake_registry(**value))
    else:
        other = cell_key(usual._replace(**changed), fakes)
    assert cell_folder(tmp_path, other) != cell_folder(tmp_path, cell_key(usual, fakes))


@pytest.mark.parametrize(
    "path",
    ["train/good/003.png", "test/good/000.png", "test/clear_stain/000.png", "ground_truth/clear_stain/000_mask.png"],
)
def test_a_changed_image_or_mask_gives_another_cell(
    path: str, washer: Category, fakes: Registry, odd_root: Path, tmp_path: Path
) -> None:
    changed_picture(odd_root / "mvtec" / "washer" / path)
    (dataset,) = open_datasets("mvtec:washer", odd_root, fakes)
    assert folder_of(LEVEL, Category.of(dataset), fakes, tmp_path) != folder_of(LEVEL, washer, fakes, tmp_path)


def test_the_data_of_both_splits_are_told_apart(washer: Category, fakes: Registry, odd_root: Path) -> None:
    (odd_root / "mvtec" / "washer" / "ground_truth" / "clear_stain" / "000_mask.png").unlink()
    (dataset,) = open_datasets("mvtec:washer", odd_root, fakes)
    without_mask = Category.of(dataset)
    assert without_mask.train_hash == washer.train_hash
    assert without_mask.test_hash != washer.test_hash
    (odd_root / "mvtec" / "washer" / "train" / "good" / "003.png").unlink()
    without_picture = Category.of(dataset)
    assert without_picture.train_hash != washer.train_hash
    assert without_picture.test_hash == without_mask.test_hash


@pytest.mark.parametrize(
    ("candidate", "fault"),
    [
        (one_of("a", "levle"), PluginError),
        (one_of("a", "level", {"sied": 3}), OptionError),
        (one_of("a", "shade", scorer="maxx"), PluginError),
    ],
)
def test_a_candidate_that_does_not_exist_has_no_key(
    candidate: Candidate, fault: type[Exception], washer: Category, fakes: Registry
) -> None:
    with pytest.raises(fault, match=r"there is no|has no option"):
        cell_key(Asked(candidate, washer, 0), fakes)


@pytest.mark.parametrize("kept", ["nothing", "train only"])
def test_a_category_without_a_test_split_is_refused(
    kept: str, small_root: Path, fakes: Registry, tmp_path: Path
) -> None:
    shutil.copytree(small_root / "mvtec" / "washer" / "train", tmp_path / "mvtec" / "washer" / "train")
    if kept == "nothing":
        (tmp_path / "mvtec" / "washer" / "test").mkdir()
    (dataset,) = open_datasets("mvtec:washer", tmp_path, fakes)
    with pytest.raises(DatasetError, match="mvtec:washer has no test images of known truth"):
        Category.of(dataset)


def test_a_cell_of_an_odd_name_lies_in_one_plain_folder(tmp_path: Path) -> None:
    settings = {"method": "../my[method]", "seed": 3}
    key = {"settings": settings, "dataset": "folder:../some parts/Prüfling\udcfc [2]/"}
    folder = cell_folder(tmp_path, key)
    assert folder.parent == tmp_path / CELLS
    assert folder.name.startswith("..-my-method--Prüfling---2--3-")
    left = left_by_a_killed_process(folder)
    left_by_a_killed_process(folder.with_name("another-cell"))
    assert left_of(folder) == [left]
    assert len(cell_folder(tmp_path, {**key, "dataset": "folder:" + 300 * "x"}).name) < 120


# Damage


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_cell_is_no_cell(how: str, copied: Path) -> None:
    assert load_cell(copied.parents[1], copied, "x") is not None
    damage(copied, how)
    assert load_cell(copied.parents[1], copied, "x") is None


def test_a_damaged_cell_is_replaced_and_what_a_killed_comparison_left_is_swept(
    copied: Path, finished: tuple[Path, Cell], washer: Category, fakes: Registry
) -> None:
    damage(copied, "no record")
    shutil.copytree(copied, left_by_a_killed_process(copied), dirs_exist_ok=True)
    other = copied.parent / ".another-cell-abc"
    other.mkdir()
    assert same_cell(computed(LEVEL, washer, fakes, copied.parents[1]), finished[1])
    assert sorted(copied.parent.iterdir()) == sorted([copied, other])


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["fit", "predict", "writing"])
def test_a_cell_that_fails_or_is_interrupted_leaves_nothing(
    kind: type[BaseException],
    where: str,
    washer: Category,
    fakes: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault = kind("a bug")

    def fail(*_: Any, batches: Any = None, progress: Any = None, workspace: Any = None) -> None:
        raise fault

    if where == "writing":
        monkeypatch.setattr(cells, "cell_of", fail)
    else:
        monkeypatch.setattr(Shade, where, fail)
    told = PluginError if kind is ValueError and where != "writing" else kind
    with pytest.raises(told) as raised:
        computed(SHADE, washer, fakes, tmp_path)
    assert list((tmp_path / CELLS).iterdir()) == []
    if isinstance(raised.value, PluginError):
        assert raised.value.message == "shade raised ValueError: a bug"
        assert "adkit fit --method shade --dataset mvtec:washer" in raised.value.hint
        assert raised.value.__cause__ is fault


def test_a_cell_that_fails_leaves_the_older_one_as_it_was(
    copied: Path, washer: Category, fakes: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}

    def fail(*_: Any, batches: Any = None, progress: Any = None, workspace: Any = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Level, "fit", fail)
    with pytest.raises(KeyboardInterrupt):
        computed(LEVEL, washer, fakes, copied.parents[1])
    assert {path: path.read_bytes() for path in copied.parent.rglob("*") if path.is_file()} == before


# Resamples


class Shifted(Metric):
    """An AUROC whose resamples are coarser than its value: they lie 0.25 too low."""

    def __call__(self, results: LabelledResults) -> MetricValue:
        values = resampled_auroc(results.scores, results.anomalous, np.ones((1, len(results.scores)), np.int64))
        return MetricValue(float(values[0]))

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        return resampled_auroc(results.scores, results.anomalous, weights) - 0.25


class Patchy(Shifted):
    """Undefined in every other resample."""

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        values = super().resampled(results, weights)
        values[1::2] = np.nan
        return values


class Undefined(Shifted):
    """Undefined in every resample, the split itself included."""

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.full(len(weights), np.nan)


class Failing(Shifted):
    """Cannot be resampled, by a bug."""

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        raise RuntimeError("a bug")


@pytest.fixture(scope="module")
def resampled(washer: Category, tmp_path_factory: pytest.TempPathFactory) -> tuple[Category, dict[str, Cell]]:
    """Cells of three candidates on the washers, judged by metrics of odd ways and names."""
    metrics: dict[str, type[Metric]] = {"shifted": Shifted, "patchy": Patchy, "undefined": Undefined}
    metrics["failing"] = Failing
    metrics |= dict.fromkeys(("scores", "anomalous", "file", "of shifted"), Shifted)
    registry, root = fake_registry(more=metrics), tmp_path_factory.mktemp("resampled")
    candidates = [LEVEL, SHADE, one_of("twice", "level", {"strength": 2.0})]
    return washer, {one.name: computed(one, washer, registry, root) for one in candidates}


def test_all_candidates_of_a_category_get_the_same_resamples(resampled: tuple[Category, dict[str, Cell]]) -> None:
    category, found = resampled
    # Without the masks, which another metric may not need.
    fingerprint = data_hash(content_hashes(category.dataset.samples("test")))
    weights = bootstrap_weights(found["shade"].anomalous, bootstrap.RESAMPLES, seed=int(fingerprint[:8], 16))
    for one in found.values():
        expected = resampled_auroc(one.scores, one.anomalous, weights)
        assert one.replicates["image_auroc"] == pytest.approx(expected, abs=1e-12)
    # Twice the scores are the same ranks.
    for name in ("image_auroc", "average_precision"):
        assert np.array_equal(found["twice"].replicates[name], found["plain level"].replicates[name])


def test_resamples_are_shifted_to_agree_with_the_value(resampled: tuple[Category, dict[str, Cell]]) -> None:
    _, found = resampled
    for cell in found.values():
        assert cell.replicates["shifted"] == pytest.approx(cell.replicates["image_auroc"], abs=1e-12)
        for name in ("image_auroc", "shifted", "patchy"):
            values, value = cell.replicates[name][~np.isnan(cell.replicates[name])], cell.metrics[name]
            assert value is not None
            assert abs(values.mean() - value) < 4 * values.std() / np.sqrt(len(values))
    assert found["shade"].replicates["highest"].std() > 0


def test_a_metric_may_be_undefined_in_some_resamples_or_in_all(resampled: tuple[Category, dict[str, Cell]]) -> None:
    _, found = resampled
    for cell in found.values():
        assert np.isnan(cell.replicates["patchy"]).sum() == bootstrap.RESAMPLES / 2
        assert "undefined" not in cell.replicates
        assert cell.metrics["undefined"] is not None


def test_resamples_that_fail_leave_the_value_and_say_why_there_is_no_interval(
    resampled: tuple[Category, dict[str, Cell]],
) -> None:
    category, found = resampled
    cell, told = found["shade"], "no interval, as Failing.resampled failed: RuntimeError: a bug"
    assert cell.metrics["failing"] == cell.metrics["shifted"]
    assert cell.why_undefined["failing"] == told
    figure = compared([cell]).figures["failing", category.dataset.spec, "shade"]
    assert (figure.value, figure.interval, figure.why_undefined) == (cell.metrics["failing"], None, told)
    assert told in render_comparison(compared([cell]))


def test_a_metric_may_be_named_like_anything_in_the_file(resampled: tuple[Category, dict[str, Cell]]) -> None:
    _, found = resampled
    for cell in found.values():
        assert cell.scores.shape == (13,)
        assert cell.anomalous.sum() == 9
        for name in ("scores", "anomalous", "file", "of shifted"):
            assert np.array_equal(cell.replicates[name], cell.replicates["shifted"])


def test_a_metric_that_two_plugins_claim_is_undefined_and_harms_no_other(washer: Category, tmp_path: Path) -> None:
    registry = fake_registry()
    registry.metrics.add(registry.metrics.get("image_auroc"), Plugin("other", "other", "other", "1"))
    cell = computed(LEVEL, washer, registry, tmp_path)
    assert cell.metrics["image_auroc"] is None
    assert "two plugins" in cell.why_undefined["image_auroc"]
    assert set(cell.replicates) == {"average_precision"}


def test_another_seed_is_another_fit_judged_by_the_same_resamples(
    washer: Category, fakes: Registry, finished: tuple[Path, Cell], tmp_path: Path
) -> None:
    other = computed(LEVEL, washer, fakes, tmp_path, seed=1)
    assert FITTED == [("Level", 1)]
    assert other.seed == 1
    assert not np.array_equal(other.scores, finished[1].scores)
    assert other.ids == finished[1].ids


def test_one_anomalous_image_is_enough_for_a_cell(small_root: Path, fakes: Registry, tmp_path: Path) -> None:
    part_of_category(
        small_root / "mvtec" / "washer",
        tmp_path / "mvtec" / "washer",
        keep=lambda kind: kind in ("good", "clear_stain"),
    )
    (dataset,) = open_datasets("mvtec:washer", tmp_path, fakes)
    cell = computed(LEVEL, Category.of(dataset), fakes, tmp_path)
    assert cell.anomalous.sum() == 1
    assert np.isfinite(cell.replicates["image_auroc"]).all()


@pytest.mark.parametrize("only", ["normal", "anomalous"])
def test_a_test_split_of_one_sort_leaves_metrics_undefined(
    only: str, small_root: Path, fakes: Registry, tmp_path: Path
) -> None:
    part_of_category(
        small_root / "mvtec" / "washer",
        tmp_path / "mvtec" / "washer",
        keep=lambda kind: (kind == "good") is (only == "normal"),
    )
    (dataset,) = open_datasets("mvtec:washer", tmp_path, fakes)
    cell = computed(LEVEL, Category.of(dataset), fakes, tmp_path)
    missing = "anomalous" if only == "normal" else "good"
    assert cell.why_undefined["image_auroc"] == f"the test split has no {missing} image"
    assert cell.replicates == {}
