"""A comparison from end to end: what is computed, what is taken up again, what is refused."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adkit.cli.output import csv_text
from adkit.comparison import cells as cell_module
from adkit.comparison import compare as compare_module
from adkit.comparison.cells import CELLS, Asked, Cell
from adkit.comparison.compare import compare, compare_runs
from adkit.comparison.documents import metric_rows
from adkit.comparison.figures import ALL, Comparison
from adkit.comparison.grid import Candidate
from adkit.data.datasets import open_datasets
from adkit.errors import AdkitError, DatasetError, OptionError, PluginError, RunError, StorageError
from adkit.interfaces import Dataset
from adkit.registry import Registry
from adkit.runs.record import FitSettings
from adkit.runs.store import Run, open_run
from adkit.stats.significance import Interval
from adkit.types import Sample, Split
from adkit.workflows.fit import fit
from adkit.workflows.score import Workplace
from tests.comparison.fakes import FITTED, Level, Shade, Told, damage, fake_registry, one_of, part_of_category
from tests.greys import left_by_a_killed_process
from tests.workflows.test_engine import through_pickle

LEVEL = one_of("level", "level")
SHADE = one_of("shade", "shade")
BOTH = [LEVEL, SHADE]
PICTURES = "mvtec/washer"


def table(result: Comparison) -> str:
    return csv_text(metric_rows(result))


def failing_at(place: int, fault: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fit of that number, counted from 1, raises the fault when it is done."""
    for method in (Level, Shade):
        whole = method.fit

        @wraps(whole)
        def part(self: Any, *arguments: Any, whole: Callable[..., None] = whole) -> None:
            whole(self, *arguments)
            if len(FITTED) == place:
                raise fault

        monkeypatch.setattr(method, "fit", part)


@pytest.fixture(scope="module")
def whole(
    datasets: Sequence[Dataset], fakes: Registry, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Comparison]:
    """Two candidates on two categories with two seeds: the folder and the result."""
    output = tmp_path_factory.mktemp("whole") / "new" / "comparison"
    return output, compare(BOTH, datasets, [0, 1], output, Workplace(fakes, device="cpu"))


@pytest.fixture
def copied(whole: tuple[Path, Comparison], tmp_path: Path) -> Path:
    """A copy of that comparison's folder."""
    return shutil.copytree(whole[0], tmp_path / "copied")


def test_every_candidate_is_judged_on_every_category_with_every_seed(whole: tuple[Path, Comparison]) -> None:
    output, result = whole
    assert result.categories == ("mvtec:washer", "mvtec:connector")
    assert result.seeds == (0, 1)
    assert result.metrics == ("image_auroc", "average_precision", "highest", "margin")  # what tells most first
    assert result.failures == {}
    for (_, _, candidate), figure in result.figures.items():
        assert (figure.value is None) == (figure.why_undefined is not None)
        assert len(figure.by_seed) == (2 if figure.value is not None else 0), candidate
    assert result.figures["image_auroc", ALL, "level"].interval is not None
    assert result.figures["highest", "mvtec:washer", "level"].why_undefined == "the method gives no maps"
    assert result.figures["highest", "mvtec:washer", "shade"].is_best
    assert result.decisions["mvtec:washer", "level"].caught[0].total == 9
    assert len(list((output / CELLS).iterdir())) == 8


def test_the_runs_of_a_comparison_open_from_its_folder(whole: tuple[Path, Comparison]) -> None:
    output, result = whole
    for (category, candidate), folders in result.runs.items():
        records = [open_run(output / folder).record for folder in folders]
        assert [(record.dataset, record.method, record.settings.seed) for record in records] == [
            (category, candidate, 0),
            (category, candidate, 1),
        ]
        assert not any(Path(folder).is_absolute() for folder in folders)


def test_a_finished_comparison_computes_nothing_again(
    copied: Path, whole: tuple[Path, Comparison], datasets: Sequence[Dataset], fakes: Registry
) -> None:
    notes: list[str] = []
    told = Told()
    again = compare(BOTH, datasets, [0, 1], copied, Workplace(fakes, device="cpu", progress=told), note=notes.append)
    assert FITTED == []
    assert notes == ["8 of 8 cells were finished before, and are taken as they are"]
    assert told.totals["comparison"] == told.done["comparison"] == 0
    assert table(again) == table(whole[1])
    assert again.runs == whole[1].runs
    assert again.expenses == whole[1].expenses


def test_workers_give_the_same_cells(
    whole: tuple[Path, Comparison],
    datasets: Sequence[Dataset],
    fakes: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compare_module, "require_engine", lambda _: None)
    monkeypatch.setattr(compare_module, "each", through_pickle)
    found = compare(BOTH, datasets, [0, 1], tmp_path, Workplace(fakes, device="cpu"), engine="ray")
    assert table(found) == table(whole[1])


def test_what_is_added_is_computed_alone_and_only_that_is_counted(
    copied: Path, datasets: Sequence[Dataset], fakes: Registry
) -> None:
    told, notes = Told(), list[str]()
    strong = one_of("strong", "level", {"strength": 2})
    compare([*BOTH, strong], datasets, [0, 1], copied, Workplace(fakes, device="cpu", progress=told), note=notes.append)
    assert FITTED == [("Level", 0), ("Level", 0), ("Level", 1), ("Level", 1)]
    assert told.totals["comparison"] == told.done["comparison"] == 4
    assert notes == ["8 of 12 cells were finished before, and are taken as they are"]


def test_a_method_that_draws_nothing_is_fitted_once_for_all_seeds(
    datasets: Sequence[Dataset], fakes: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = replace(fakes.methods.get("shade"), draws=False)
    monkeypatch.setitem(fakes.methods.entries, "shade", still)
    notes = list[str]()
    few = one_of("few", "shade", few=2)  # which images it learns from is drawn
    result = compare(
        [LEVEL, SHADE, few], datasets[:1], [1, 2], tmp_path / "new", Workplace(fakes, device="cpu"), note=notes.append
    )
    assert FITTED == [("Level", 1), ("Shade", 0), ("Shade", 1), ("Level", 2), ("Shade", 2)]
    assert notes == ["one fit counts for all seeds where nothing is drawn at random: shade"]
    assert result.decisions[datasets[0].spec, "shade"].seeds == (1, 2)
    one, other = result.runs[datasets[0].spec, "shade"]
    assert one == other
    compare([SHADE], datasets[:1], [3], tmp_path / "new", Workplace(fakes, device="cpu"))
    assert len(FITTED) == 5
    (cell,) = (tmp_path / "new" / CELLS).glob("shade-*-0-*")
    damage(cell, "no record")
    notes.clear()
    compare([SHADE], datasets[:1], [1, 2], tmp_path / "new", Workplace(fakes, device="cpu"), note=notes.append)
    assert notes[1:] == [f"the cell {cell.name} is not whole: it is computed again"]


def test_seeds_are_outermost_and_candidates_innermost(
    datasets: Sequence[Dataset], fakes: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[tuple[int, str, str]] = []

    def watched(asked: Asked, **more: Any) -> Cell:
        order.append((asked.seed, asked.category.dataset.spec, asked.candidate.name))
        return cell_module.compute_cell(asked, **more)

    monkeypatch.setattr(compare_module, "compute_cell", watched)
    told = Told()
    compare(BOTH, datasets, [5, 1], tmp_path, Workplace(fakes, device="cpu", progress=told))
    assert order == [
        (seed, category, name)
        for seed in (5, 1)
        for category in ("mvtec:washer", "mvtec:connector")
        for name in ("level", "shade")
    ]
    assert told.done["reading the data"] == 2
    assert told.totals["comparison"] == told.done["comparison"] == 8


def test_data_that_changed_is_judged_anew(
    copied: Path, small_root: Path, fakes: Registry, tmp_path: Path, whole: tuple[Path, Comparison]
) -> None:
    shutil.copytree(small_root / PICTURES, tmp_path / PICTURES)
    (dataset,) = open_datasets("mvtec:washer", tmp_path, fakes)
    before = compare(BOTH, [dataset], [0, 1], copied, Workplace(fakes, device="cpu"))
    assert FITTED == []
    picture = tmp_path / PICTURES / "train" / "good" / "000.png"
    Image.new("RGB", (64, 64), (255, 0, 0)).save(picture)
    after = compare(BOTH, [dataset], [0, 1], copied, Workplace(fakes, device="cpu"))
    assert len(FITTED) == 4
    assert table(after) != table(before)
    shutil.copy(small_root / PICTURES / "train" / "good" / "000.png", picture)
    assert table(compare(BOTH, [dataset], [0, 1], copied, Workplace(fakes, device="cpu"))) == table(before)
    assert len(FITTED) == 4


@pytest.mark.parametrize("how", ["no record", "half a record", "no scores", "altered scores", "killed"])
def test_a_cell_that_is_not_whole_is_computed_again_and_said_to_be(
    how: str, copied: Path, whole: tuple[Path, Comparison], datasets: Sequence[Dataset], fakes: Registry
) -> None:
    cell = sorted((copied / CELLS).iterdir())[3]
    if how == "killed":  # what is left of it has another name
        left = left_by_a_killed_process(cell)
        left.rmdir()
        cell.rename(left)
    else:
        damage(cell, how)
    notes: list[str] = []
    again = compare(BOTH, datasets, [0, 1], copied, Workplace(fakes, device="cpu"), note=notes.append)
    assert notes == [
        f"the cell {cell.name} is not whole: it is computed again",
        "7 of 8 cells were finished before, and are taken as they are",
    ]
    assert len(FITTED) == 1
    assert table(again) == table(whole[1])
    assert sorted(path.name for path in (copied / CELLS).iterdir()) == sorted(
        path.name for path in (whole[0] / CELLS).iterdir()
    )


def test_a_bug_of_a_method_leaves_its_place_empty(
    datasets: Sequence[Dataset], fakes: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    failing_at(4, ValueError("a bug\nin two lines"), monkeypatch)
    result = compare(BOTH, datasets, [0, 1], tmp_path, Workplace(fakes, device="cpu"), note=notes.append)
    ((spec, name, seed),) = result.failures
    assert result.failures[spec, name, seed] == f"{name} raised ValueError: a bug in two lines"
    (note,) = notes
    assert f"--method {name} --dataset {spec}" in note
    assert len(list((tmp_path / CELLS).iterdir())) == 7


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), MemoryError()], ids=repr)
def test_an_interrupted_comparison_goes_on_where_it_was(
    fault: BaseException,
    whole: tuple[Path, Comparison],
    datasets: Sequence[Dataset],
    fakes: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        failing_at(4, fault, patch)
        with pytest.raises(type(fault)):
            compare(BOTH, datasets, [0, 1], tmp_path, Workplace(fakes, device="cpu"))
    left = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    names = [path.name for path in (tmp_path / CELLS).iterdir()]
    assert len(names) == 3
    assert not any(name.startswith(".") for name in names)
    FITTED.clear()
    again = compare(BOTH, datasets, [0, 1], tmp_path, Workplace(fakes, device="cpu"))
    assert len(FITTED) == 5
    assert {path: path.read_bytes() for path in left} == left
    assert table(again) == table(whole[1])


def test_a_candidate_that_cannot_be_fitted_leaves_its_place_empty(
    copied: Path, whole: tuple[Path, Comparison], datasets: Sequence[Dataset], fakes: Registry
) -> None:
    notes: list[str] = []
    hungry = one_of("hungry", "hungry")
    result = compare([*BOTH, hungry], datasets, [0, 1], copied, Workplace(fakes, device="cpu"), note=notes.append)
    why = "mvtec:washer has 6 training images; hungry needs at least 9"
    assert result.failures == {("mvtec:washer", "hungry", seed): why for seed in (0, 1)}
    assert notes[1:] == [
        f"hungry on mvtec:washer, seed {seed}: {why} (add more images of good parts)" for seed in (0, 1)
    ]
    assert FITTED == [("Hungry", 0), ("Hungry", 1)]
    assert result.figures["image_auroc", "mvtec:washer", "hungry"].why_undefined == why
    assert result.figures["image_auroc", "mvtec:connector", "hungry"].value is not None
    assert (result.figures["image_auroc", ALL, "hungry"].why_undefined or "").endswith(why)
    for candidate in ("level", "shade"):
        before = whole[1].figures["image_auroc", "mvtec:washer", candidate]
        assert result.figures["image_auroc", "mvtec:washer", candidate] == before


def test_a_comparison_of_which_nothing_can_be_computed_is_refused(
    datasets: Sequence[Dataset], fakes: Registry, tmp_path: Path
) -> None:
    notes: list[str] = []
    asked = [one_of("hungry", "hungry")], datasets[:1], [0], tmp_path / "compare"
    with pytest.raises(DatasetError, match="no candidate has a category with every seed computed"):
        compare(*asked, Workplace(fakes, device="cpu"), note=notes.append)
    assert "needs at least 9" in notes[0]
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_the_comparison_and_finished_cells_stay(
    datasets: Sequence[Dataset], fakes: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(2, OSError(errno.ENOSPC, "No space left on device"), monkeypatch)
    with pytest.raises(StorageError, match="the disk is full"):
        compare(BOTH, datasets, [0], tmp_path, Workplace(fakes, device="cpu"))
    assert len(FITTED) == 2
    assert len(list((tmp_path / CELLS).iterdir())) == 1


class Untouchable(Dataset):
    """Data that must not be read yet."""

    spec = "mvtec:untouchable"

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        raise NotImplementedError

    def samples(self, split: Split) -> list[Sample]:
        raise AssertionError("the data was read")


@pytest.mark.parametrize(
    ("candidate", "device", "fault"),
    [
        (one_of("a", "levle"), "cpu", "there is no method named 'levle'"),
        (one_of("a", "level", {"sied": 1}), "cpu", "level has no option 'sied'"),
        (one_of("a", "level", {"side": 0}), "cpu", "side=0 is refused"),
        (one_of("a", "shade", scorer="maxx"), "cpu", "there is no scorer named 'maxx'"),
        (one_of("a", "shade", scorer="quantile:q=7"), "cpu", "q=7 is refused"),
        (one_of("a", "hungry", few=7), "cpu", "hungry was to learn from 7 images only, and needs at least 8"),
        (SHADE, "tpu", "no device 'tpu'"),
    ],
)
def test_settings_are_checked_before_any_data_is_read(
    candidate: Candidate, device: str, fault: str, fakes: Registry, tmp_path: Path
) -> None:
    with pytest.raises(AdkitError, match=fault):
        compare([LEVEL, candidate], [Untouchable()], [0], tmp_path / "out", Workplace(fakes, device=device))
    assert not (tmp_path / "out").exists()


def test_a_category_or_a_seed_named_twice_is_refused_before_any_data_is_read(fakes: Registry, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="mvtec:untouchable is named twice"):
        compare([LEVEL], [Untouchable(), Untouchable()], [0], tmp_path / "out", Workplace(fakes, device="cpu"))
    with pytest.raises(OptionError, match="a seed is named twice"):
        compare([LEVEL], [Untouchable()], [0, 1, 0], tmp_path / "out", Workplace(fakes, device="cpu"))
    with pytest.raises(OptionError, match="there is no seed"):
        compare([LEVEL], [Untouchable()], [], tmp_path / "out", Workplace(fakes, device="cpu"))
    assert not (tmp_path / "out").exists()


def test_a_file_where_the_folder_should_be_is_refused_before_any_data_is_read(fakes: Registry, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("taken", encoding="utf-8")
    for output in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(StorageError, match="a file stands where a folder was expected"):
            compare([LEVEL], [Untouchable()], [0], output, Workplace(fakes, device="cpu"))
    assert (tmp_path / "out").read_text(encoding="utf-8") == "taken"


def test_a_category_without_a_test_split_is_refused_before_anything_is_fitted(
    datasets: Sequence[Dataset], small_root: Path, fakes: Registry, tmp_path: Path
) -> None:
    shutil.copytree(small_root / PICTURES / "train", tmp_path / "mvtec" / "bare" / "train")
    bare = open_datasets("mvtec:bare", tmp_path, fakes)
    with pytest.raises(DatasetError, match="mvtec:bare has no test images of known truth"):
        compare([LEVEL], [*datasets, *bare], [0], tmp_path / "out", Workplace(fakes, device="cpu"))
    assert FITTED == []


def test_a_rule_that_the_images_cannot_support_is_a_failure_of_the_cell(
    datasets: Sequence[Dataset], fakes: Registry, tmp_path: Path
) -> None:
    result = compare(BOTH, datasets, [0], tmp_path, Workplace(fakes, device="cpu"), max_false_alarms="10%")
    assert set(result.failures) == {
        ("mvtec:washer", "level", 0),
        ("mvtec:washer", "shade", 0),
        ("mvtec:connector", "level", 0),
    }
    assert result.decisions["mvtec:connector", "shade"].at == "the promised 10%"
    assert result.figures["image_auroc", "mvtec:connector", "shade"].is_best


def test_candidates_of_the_same_settings_share_their_cells_and_differ_by_nothing(
    datasets: Sequence[Dataset], fakes: Registry, tmp_path: Path
) -> None:
    same = one_of("the same / again", "level", {"side": 8})
    result = compare([LEVEL, same], datasets, [0, 1], tmp_path, Workplace(fakes, device="cpu"))
    assert len(FITTED) == 4
    for row in result.rows:
        for metric in ("image_auroc", "average_precision"):
            assert result.figures[metric, row, "level"].is_best
            figure = result.figures[metric, row, "the same / again"]
            assert (figure.difference, figure.difference_interval) == (0, Interval(0, 0))
            assert figure.p_value == (None if row == ALL else 1)
    for folders in result.runs.values():
        assert all((tmp_path / folder).is_dir() for folder in folders)


def test_a_candidate_with_twice_the_scores_differs_by_nothing(
    datasets: Sequence[Dataset], fakes: Registry, tmp_path: Path
) -> None:
    strong = one_of("strong", "level", {"strength": 2})
    result = compare([LEVEL, strong], datasets[:1], [0, 1], tmp_path, Workplace(fakes, device="cpu"))
    assert len(FITTED) == 4
    figure = result.figures["image_auroc", "mvtec:washer", "strong"]
    assert (figure.difference, figure.difference_interval, figure.p_value) == (0, Interval(0, 0), 1)


@pytest.mark.parametrize("only", ["normal", "anomalous", "one anomalous"])
def test_a_test_split_of_one_sort_or_with_one_defect_is_compared_as_far_as_it_goes(
    only: str, small_root: Path, fakes: Registry, tmp_path: Path
) -> None:
    kept = {
        "normal": lambda kind: kind == "good",
        "anomalous": lambda kind: kind != "good",
        "one anomalous": lambda kind: kind in ("good", "clear_stain"),
    }
    part_of_category(small_root / PICTURES, tmp_path / PICTURES, keep=kept[only])
    dataset = open_datasets("mvtec:washer", tmp_path, fakes)
    result = compare(BOTH, dataset, [0, 1], tmp_path / "out", Workplace(fakes, device="cpu"))
    for candidate in ("level", "shade"):
        figure = result.figures["image_auroc", "mvtec:washer", candidate]
        if only == "one anomalous":
            assert figure.interval is not None
            assert figure.p_value is None
        else:
            missing = "good" if only == "anomalous" else "anomalous"
            assert figure.why_undefined == f"the test split has no {missing} image"
    decisions = result.decisions["mvtec:washer", "shade"]
    assert [rate.total for rate in decisions.caught] == 2 * [{"normal": 0, "anomalous": 9}.get(only, 1)]


def test_another_version_of_a_plugin_is_another_candidate(
    copied: Path, datasets: Sequence[Dataset], fakes: Registry
) -> None:
    newer = fake_registry(methods="2.0")
    compare([LEVEL], datasets, [0], copied, Workplace(newer, device="cpu"))
    assert len(FITTED) == 2
    compare([LEVEL], datasets, [0], copied, Workplace(fakes, device="cpu"))
    assert len(FITTED) == 2


def test_the_folder_may_be_named_from_where_one_stands(
    copied: Path, datasets: Sequence[Dataset], fakes: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copied)
    result = compare([LEVEL], datasets, [0, 1], Path("../copied"), Workplace(fakes, device="cpu"))
    assert FITTED == []
    assert all(open_run(copied / folder) for folders in result.runs.values() for folder in folders)


# Runs that were fitted before


@pytest.fixture(scope="module")
def runs(datasets: Sequence[Dataset], fakes: Registry, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Runs on the washers, one also on the connectors."""
    root = tmp_path_factory.mktemp("runs")
    washer, connector = datasets
    return {
        "level": fit(FitSettings(method="level", seed=3, device="cpu"), washer, root, fakes),
        "shade": fit(FitSettings(method="shade", seed=0, device="cpu"), washer, root, fakes),
        "connector": fit(FitSettings(method="shade", device="cpu"), connector, root, fakes),
    }


def test_runs_that_were_fitted_before_are_compared_as_they_are(runs: dict[str, Run], fakes: Registry) -> None:
    told = Told()
    result = compare_runs([runs["level"], runs["shade"]], Workplace(fakes, device="cpu", progress=told))
    names = [runs[name].record.id for name in ("level", "shade")]
    assert FITTED == []
    assert [candidate.name for candidate in result.candidates] == names
    assert [candidate.settings.method for candidate in result.candidates] == ["level", "shade"]
    assert result.categories == ("mvtec:washer",)
    assert result.seeds == (0, 3)
    assert told.done["runs"] == 2
    row = [result.figures["image_auroc", "mvtec:washer", name] for name in names]
    assert sorted(figure.is_best for figure in row) == [False, True]
    (other,) = [figure for figure in row if not figure.is_best]
    assert other.p_value is not None
    assert other.difference_interval is not None
    for name in ("level", "shade"):
        (folder,) = result.runs["mvtec:washer", runs[name].record.id]
        assert Path(folder) == runs[name].folder
    expense = result.expenses["mvtec:washer", names[0]]
    assert expense.peak_memory_bytes == 0  # nobody knows it any more
    assert expense.predict_ms > 0


def test_runs_and_cells_of_the_same_settings_say_the_same(
    whole: tuple[Path, Comparison], runs: dict[str, Run], fakes: Registry
) -> None:
    found = compare_runs([runs["shade"]], Workplace(fakes, device="cpu"))
    figure = found.figures["image_auroc", "mvtec:washer", runs["shade"].record.id]
    assert figure.by_seed[0] == whole[1].figures["image_auroc", "mvtec:washer", "shade"].by_seed[0]
    assert found.across["image_auroc"].why_not == "there is one candidate only"


def test_a_run_that_is_named_from_where_one_stands_is_found_from_elsewhere(
    runs: dict[str, Run], fakes: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(runs["shade"].folder.parent)
    result = compare_runs([open_run(Path(runs["shade"].folder.name))], Workplace(fakes, device="cpu"))
    ((folder,),) = result.runs.values()
    monkeypatch.chdir(tmp_path)
    assert open_run(Path(folder)).record == runs["shade"].record


def test_runs_of_different_data_are_refused_before_they_are_judged(runs: dict[str, Run], fakes: Registry) -> None:
    told = Told()
    with pytest.raises(RunError, match="runs of different data cannot be compared") as caught:
        compare_runs([runs["shade"], runs["connector"]], Workplace(fakes, device="cpu", progress=told))
    for name in ("shade", "connector"):
        assert runs[name].record.id in caught.value.message
        assert runs[name].record.dataset in caught.value.message
    assert told.totals == {}


def test_a_run_that_is_named_twice_is_refused(runs: dict[str, Run], fakes: Registry) -> None:
    with pytest.raises(RunError, match="a run is named twice"):
        compare_runs([runs["shade"], runs["level"], runs["shade"]], Workplace(fakes, device="cpu"))


def test_runs_of_one_id_in_different_folders_are_told_apart(
    runs: dict[str, Run], fakes: Registry, tmp_path: Path
) -> None:
    first = runs["shade"]
    copy = open_run(Path(shutil.copytree(first.folder, tmp_path / first.record.id)))
    result = compare_runs([first, copy], Workplace(fakes, device="cpu"))
    assert [candidate.name for candidate in result.candidates] == [str(first.folder), str(copy.folder)]


def test_runs_of_data_that_only_has_the_same_name_are_refused(
    runs: dict[str, Run], small_root: Path, fakes: Registry, tmp_path: Path
) -> None:
    shutil.copytree(small_root / PICTURES, tmp_path / PICTURES)
    (tmp_path / PICTURES / "test" / "good" / "000.png").unlink()
    (other,) = open_datasets("mvtec:washer", tmp_path, fakes)
    run = fit(FitSettings(method="level", device="cpu"), other, tmp_path / "runs", fakes)
    with pytest.raises(RunError, match="were judged on different test images of mvtec:washer") as caught:
        compare_runs([runs["shade"], run], Workplace(fakes, device="cpu"))
    assert str(run.folder) in caught.value.message
    # Both judged on the same data are compared.
    result = compare_runs([runs["shade"], run], Workplace(fakes, root=tmp_path, device="cpu"))
    assert result.decisions["mvtec:washer", run.record.id].false_alarms[0].total == 3


def test_a_run_whose_method_is_gone_is_refused(runs: dict[str, Run], fakes: Registry) -> None:
    poorer = fake_registry()
    del poorer.methods.entries["shade"]
    with pytest.raises(PluginError, match=r"needs the method shade of .*, which is not there") as caught:
        compare_runs([runs["shade"]], Workplace(poorer, device="cpu"))
    assert "adkit --plugin FILE.py" in caught.value.hint
    poorer = replace(fakes, scorers=replace(fakes.scorers, entries={}))
    with pytest.raises(PluginError, match="needs the scorer max, which is not there"):
        Workplace(poorer).model(runs["shade"])
    poorer = replace(fakes, datasets=replace(fakes.datasets, entries={}))
    with pytest.raises(PluginError, match="needs the dataset mvtec, which is not there"):
        Workplace(poorer).dataset(runs["shade"])


def test_progress_of_a_cell_is_told_inside_that_of_the_comparison(
    datasets: Sequence[Dataset], fakes: Registry, tmp_path: Path
) -> None:
    told = Told()
    compare([SHADE], datasets[:1], [0], tmp_path, Workplace(fakes, device="cpu", progress=told))
    assert told.done["scoring"] == 13
    assert told.done["judging"] == len(fakes.metrics.names())


def test_scores_are_those_of_the_candidates_scorer(
    datasets: Sequence[Dataset], fakes: Registry, tmp_path: Path
) -> None:
    candidates = [SHADE, one_of("mean", "shade", scorer="mean"), one_of("q", "shade", scorer="quantile:q=1")]
    result = compare(candidates, datasets[:1], [0], tmp_path, Workplace(fakes, device="cpu"))
    assert len(FITTED) == 3
    figures = [result.figures["margin", "mvtec:washer", candidate.name] for candidate in candidates]
    highest, mean, quantile = (figure.value for figure in figures)
    assert highest == pytest.approx(quantile, rel=1e-6)
    assert not np.isclose(mean or 0, highest or 0)
