from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from adkit.data.view import View
from adkit.errors import OptionError, RunError, StorageError
from adkit.files.atomic import prefix_of
from adkit.runs.predictions import Predictions
from adkit.runs.record import FORMAT, CalibrationRecord, FitSettings, RunRecord, SeenData
from adkit.runs.store import (
    CALIBRATION,
    DATA,
    MODEL,
    RECORD,
    Run,
    default_runs_root,
    find_run,
    list_runs,
    new_run_id,
    open_run,
    recalibrated,
    save_run,
    uncalibrated,
)
from adkit.stats.calibration import ThresholdRule, threshold_from

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MAPS = np.random.default_rng(0).random((3, 4, 5), dtype=np.float32)
IDS = ("a", "b", "c")
SEEN = SeenData({"a": "1", "b": "2"}, {"c": "3"})
SCORES = np.array([0.1, 0.25, 1 / 3], np.float32)


def record_of(run_id: str, method: str = "patchknn", seed: int = 3, **changes: Any) -> RunRecord:
    """A record with every sort of value in it."""
    record = RunRecord(
        id=run_id,
        created=NOON,
        settings=FitSettings(
            method=method, dataset=("folder:Prüfstücke",), options={"levels": (8, 16)}, scorer="top1", seed=seed
        ),
        origin="patchknn of adkit 0.1.0",
        options={"size": "384x384", "levels": [8, 16], "ratio": 0.1, "weights": None},
        dataset="folder:Prüfstücke",
        root=None,
        device="cpu",
        view=View(frame=(384, 512)),
        window=1,
        train_count=3,
        data_hash="abc",
        skipped=["bad.png"],
        calibration=CalibrationRecord(
            created=NOON,
            source="leave-one-out on the training images",
            leave_one_out=True,
            data="folder:Prüfstücke",
            data_hash="abc",
            rule=ThresholdRule(),
            threshold=threshold_from([0.1, 0.2, 1 / 3], ThresholdRule()),
            pixel_threshold=None,
        ),
        facts={"patches": 12, "share": 0.5, "exact": True, "distance": "L2"},
        timings_s={"fit": 1.25},
        versions={"adkit": "0.1.0"},
    )
    return record.model_copy(update=changes)


def saved(root: Path, run_id: str = "one", **changes: Any) -> Path:
    """The folder of a new run."""
    state = {"bank": torch.arange(12.0).reshape(3, 4).t(), "count": torch.tensor(3)}
    return save_run(root, record_of(run_id, **changes), state, Predictions(IDS, IDS, MAPS, SCORES), SEEN).folder


def names_in(folder: Path) -> list[str]:
    """The names in a folder, hidden ones included."""
    return sorted(path.name for path in folder.iterdir())


def test_a_run_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    run = open_run(folder)
    assert run.record.model_copy(update={"files": {}}) == record_of("one")
    assert type(run.record.facts["exact"]) is bool
    assert set(run.record.files) == {MODEL, CALIBRATION, DATA}
    state = run.state()
    assert torch.equal(state["bank"], torch.arange(12.0).reshape(3, 4).t())
    assert torch.equal(state["count"], torch.tensor(3))
    calibration = run.calibration()
    assert calibration.ids == ("a", "b", "c")
    assert calibration.maps is not None
    assert calibration.scores is not None
    assert np.array_equal(calibration.maps, MAPS)
    assert np.array_equal(calibration.scores, SCORES)
    assert calibration.clips == ("a", "b", "c")
    assert run.seen() == SEEN
    assert names_in(tmp_path) == ["one"]
    assert names_in(folder) == sorted([CALIBRATION, DATA, MODEL, RECORD])


def test_what_saving_gives_is_what_opening_gives(tmp_path: Path) -> None:
    run = save_run(
        tmp_path, record_of("one"), {"x": torch.zeros(1)}, Predictions(("a",), ("a",), None, SCORES[:1]), SEEN
    )
    assert open_run(run.folder) == run


@pytest.mark.parametrize(
    "maps",
    [MAPS, MAPS[::-1], MAPS.transpose(0, 2, 1), np.asfortranarray(MAPS), MAPS[:, ::2], MAPS[:0]],
    ids=["plain", "reversed", "transposed", "fortran", "strided", "none"],
)
def test_maps_come_back_however_they_lie_in_memory(tmp_path: Path, maps: np.ndarray[Any, Any]) -> None:
    ids = tuple(f"ä/{number}" for number in range(len(maps)))
    (tmp_path / "p.safetensors").write_bytes(Predictions(ids, ids, maps, None).to_bytes())
    found = Predictions.from_file(tmp_path / "p.safetensors")
    assert found.ids == ids
    assert found.scores is None
    assert found.maps is not None
    assert np.array_equal(found.maps, maps)


@pytest.mark.parametrize("content", [None, b"", b"\x10\0\0\0\0\0\0\0{not json", b"text"])
def test_what_is_not_predictions_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "p.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=r"cannot read .*p\.safetensors"):
        Predictions.from_file(path)


@pytest.mark.parametrize(
    "samples", ["null", "7", "not json", "{}", '{"ids": ["a"]}', '{"ids": ["a"], "clips": null}', '["a", "b"]']
)
def test_predictions_with_other_ids_are_refused(tmp_path: Path, samples: str) -> None:
    from safetensors.numpy import save_file

    save_file({"scores": SCORES}, tmp_path / "p.safetensors", metadata={"samples": samples})
    with pytest.raises(RunError, match=r"cannot read .*p\.safetensors"):
        Predictions.from_file(tmp_path / "p.safetensors")


def test_predictions_without_ids_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"scores": SCORES}, tmp_path / "p.safetensors")
    with pytest.raises(RunError, match=r"cannot read .*p\.safetensors"):
        Predictions.from_file(tmp_path / "p.safetensors")


def test_clips_come_back_beside_the_ids(tmp_path: Path) -> None:
    predictions = Predictions(("video#0", "video#1", "still\udcfc"), ("video", "video", "still\udcfc"), None, SCORES)
    (tmp_path / "p.safetensors").write_bytes(predictions.to_bytes())
    found = Predictions.from_file(tmp_path / "p.safetensors")
    assert (found.ids, found.clips) == (predictions.ids, predictions.clips)
    assert found.maps is None


def test_the_same_predictions_are_the_same_bytes() -> None:
    contents = {Predictions(IDS, ("x", "x", "y"), MAPS, SCORES).to_bytes() for _ in range(20)}
    assert len(contents) == 1


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(full_disk, StorageError), (KeyboardInterrupt, KeyboardInterrupt), (MemoryError, MemoryError)],
)
@pytest.mark.parametrize("step", [MODEL, CALIBRATION, DATA, RECORD, "rename"])
def test_of_a_run_that_fails_nothing_remains(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    fault: Callable[[], BaseException],
    expected: type[BaseException],
) -> None:
    saved(tmp_path, "older")

    def failing_at(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def act(self: Path, *arguments: Any, **settings: Any) -> Any:
            if name in (self.name, "rename"):
                if name != "rename":
                    with self.open("wb") as file:
                        file.write(b"half")
                raise fault()
            return function(self, *arguments, **settings)

        return act

    for method in ("rename",) if step == "rename" else ("write_bytes", "write_text"):
        monkeypatch.setattr(Path, method, failing_at(step, getattr(Path, method)))
    with pytest.raises(expected):
        saved(tmp_path, "newer")
    monkeypatch.undo()
    assert names_in(tmp_path) == ["older"]
    assert find_run(tmp_path).record.id == "older"


@pytest.mark.parametrize("name", [MODEL, CALIBRATION, DATA])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path)
    (folder / name).unlink()
    with pytest.raises(RunError, match=f"the run lacks {name}: ") as caught:
        open_run(folder)
    assert str(folder) in caught.value.message


@pytest.mark.parametrize("name", [MODEL, CALIBRATION, DATA])
def test_a_truncated_file_is_named_with_its_size(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path) / name
    content = path.read_bytes()
    path.write_bytes(content[:-7])
    with pytest.raises(RunError, match=f"{len(content) - 7} bytes, expected {len(content)}") as caught:
        open_run(path.parent)
    assert str(path) in caught.value.message


@pytest.mark.parametrize("name", [MODEL, CALIBRATION, DATA])
def test_an_edited_file_is_named(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path) / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match="was changed after fitting") as caught:
        open_run(path.parent)
    assert str(path) in caught.value.message


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Edits run.json as a user would."""
    body = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    change(body)
    (folder / RECORD).write_text(json.dumps(body, indent=2), encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["calibration"]["threshold"].update(value=0.0),
        lambda body: body.update(window=4),
        lambda body: body["files"].pop(MODEL),
        lambda body: body.update(extra=1),
        lambda body: body.pop("checksum"),
        lambda body: body.pop("options"),
    ],
)
def test_an_edited_record_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    folder = saved(tmp_path)
    edit(folder, change)
    with pytest.raises(RunError, match=r"run\.json was changed after fitting"):
        open_run(folder)


def test_a_record_may_be_laid_out_anew(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    edit(folder, lambda _: None)
    assert open_run(folder).record.id == "one"


@pytest.mark.parametrize("found", [FORMAT - 1, FORMAT + 1])
def test_a_record_of_another_format_is_refused(tmp_path: Path, found: int) -> None:
    folder = saved(tmp_path)
    edit(folder, lambda body: body.update(format=found))
    with pytest.raises(RunError, match=rf"run\.json has format {found}, expected {FORMAT}") as caught:
        open_run(folder)
    assert caught.value.hint == "fit again: adkit fit --method patchknn --dataset folder:Prüfstücke"


def test_a_run_of_an_older_adkit_is_refused_with_how_to_fit_again(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    edit(folder, lambda body: body.update(format=6, method="padim", dataset="mvtec:pill"))
    with pytest.raises(RunError, match="has format 6") as caught:
        open_run(folder)
    assert caught.value.hint == "fit again: adkit fit --method padim --dataset mvtec:pill"


def test_a_run_with_settings_of_another_adkit_stands_in_the_list_with_its_fault(tmp_path: Path) -> None:
    edit(saved(tmp_path, "odd"), lambda body: body["settings"].update(sead=1))
    saved(tmp_path, "sound")
    faults = {folder.name: isinstance(record, RunError) for folder, record in list_runs(tmp_path)}
    assert faults == {"odd": True, "sound": False}


def test_a_run_whose_calibration_was_undone_since_it_was_opened_says_so(tmp_path: Path) -> None:
    run = open_run(saved(tmp_path))
    later = recalibrated(run, another_calibration(), FOUR, SEEN_LATER)
    assert run.calibration().ids == IDS, "what was opened before stays what it was"
    uncalibrated(open_run(run.folder))
    for read in (later.calibration, later.seen):
        with pytest.raises(RunError, match="was calibrated anew since it was opened"):
            read()
    assert open_run(run.folder).calibration().ids == IDS


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 6', b"\xff\xfe", b"[]", b"null"])
def test_a_record_that_is_no_record_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    folder = saved(tmp_path)
    (folder / RECORD).write_bytes(content)
    with pytest.raises(RunError, match=r"run\.json (cannot be read|has format)") as caught:
        open_run(folder)
    assert str(folder / RECORD) in caught.value.message


def test_a_truncated_record_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path) / RECORD
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RunError, match=r"run\.json cannot be read"):
        open_run(path.parent)


def test_a_folder_without_a_record_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no run\.json"):
        open_run(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(RunError) as exported:
        open_run(tmp_path)
    assert exported.value.hint.startswith("adkit score judges by an export; for all else name the run that it came of")


@pytest.fixture
def three_runs(tmp_path: Path) -> Path:
    """Runs whose names do not sort by age: oldest b (patchknn), then c (ae), newest a (patchknn)."""
    for hours, (run_id, method) in enumerate([("b-bottle", "patchknn"), ("c-bottle", "ae"), ("a-screw", "patchknn")]):
        saved(tmp_path, run_id, method=method, created=NOON + timedelta(hours=hours))
    return tmp_path


def test_runs_are_listed_oldest_first(three_runs: Path) -> None:
    (three_runs / ".hidden").mkdir()
    (three_runs / "notes.txt").touch()
    assert [folder.name for folder, _ in list_runs(three_runs)] == ["b-bottle", "c-bottle", "a-screw"]


def test_a_broken_run_is_listed_with_what_is_wrong(three_runs: Path) -> None:
    (three_runs / "c-bottle" / RECORD).unlink()
    found = {folder.name: record for folder, record in list_runs(three_runs)}
    assert isinstance(found["a-screw"], RunRecord)
    assert isinstance(found["c-bottle"], RunError)


def test_no_folder_has_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "absent") == []


@pytest.mark.parametrize(("method", "expected"), [(None, "a-screw"), ("patchknn", "a-screw"), ("ae", "c-bottle")])
def test_the_latest_run(three_runs: Path, method: str | None, expected: str) -> None:
    assert find_run(three_runs, method=method).record.id == expected


def test_a_run_by_its_id_or_path(three_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert find_run(three_runs, "b-bottle").record.id == "b-bottle"
    elsewhere = tmp_path_factory.mktemp("other_root")
    assert find_run(elsewhere, str(three_runs / "b-bottle")).record.id == "b-bottle"


def test_a_run_by_the_name_that_it_was_given(
    three_runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for hours, run_id in enumerate(["z-old", "d-new"], 5):
        settings = record_of("x").settings.model_copy(update={"name": "bracket"})
        saved(three_runs, run_id, settings=settings, created=NOON + timedelta(hours=hours))
    assert find_run(three_runs, "bracket").record.id == "d-new", "the newest of them"
    monkeypatch.chdir(tmp_path_factory.mktemp("line"))
    Path("bracket").mkdir()  # the images
    assert find_run(three_runs, "bracket").record.id == "d-new"
    with pytest.raises(RunError, match="the run bracket is of patchknn, not of ae"):
        find_run(three_runs, "bracket", method="ae")
    with pytest.raises(RunError, match="there is no run 'brackt'") as caught:
        find_run(three_runs, "brackt")
    assert caught.value.hint == "did you mean bracket?"


@pytest.mark.parametrize("name", ["latest", "a/b", "-x", ".", "", "two words"])
def test_names_that_commands_could_not_tell_from_others_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match=r"name=.* is refused: .*a name has letters, digits"):
        FitSettings(method="patchknn", name=name)


@pytest.mark.parametrize("name", [".", "", "./", "../b-bottle/", "../b-bottle"])
def test_a_run_by_the_path_from_within(three_runs: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(three_runs / "b-bottle")
    for root in (three_runs, Path("runs")):
        assert find_run(root, name).record.id == "b-bottle"
    assert find_run(three_runs, "c-bottle/").record.id == "c-bottle"


def test_a_folder_that_is_no_run_is_named(three_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (three_runs / "c-bottle" / RECORD).unlink()
    with pytest.raises(RunError, match=r"c-bottle is not a run: it has no run\.json"):
        find_run(three_runs, "c-bottle")
    monkeypatch.chdir(three_runs)
    with pytest.raises(RunError, match=r"^\. is not a run"):
        find_run(three_runs, ".")


def test_commands_take_the_id_of_a_run_where_runs_usually_are(
    three_runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = three_runs / "b-bottle"
    assert open_run(folder).argument == str(folder.resolve())
    monkeypatch.setenv("ADKIT_RUNS", str(three_runs))
    assert open_run(folder).argument == "b-bottle"
    renamed = folder.rename(tmp_path / "best")
    assert open_run(renamed).argument == str(renamed.resolve())


def test_a_damaged_run_is_refused_when_it_is_named(three_runs: Path) -> None:
    (three_runs / "a-screw" / MODEL).unlink()
    for name in ("a-screw", "latest"):
        with pytest.raises(RunError, match=f"the run lacks {MODEL}"):
            find_run(three_runs, name)


def test_an_unknown_id_gets_the_nearest_one(three_runs: Path) -> None:
    with pytest.raises(RunError, match="there is no run 'b-botle' in ") as caught:
        find_run(three_runs, "b-botle")
    assert caught.value.hint == "did you mean b-bottle?"


def test_without_runs_the_hint_makes_one(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no run in ") as caught:
        find_run(tmp_path / "absent")
    assert "adkit fit --method patchknn" in caught.value.hint


def test_without_a_run_of_the_method_it_is_named(three_runs: Path) -> None:
    with pytest.raises(RunError, match="there is no run of dfm in ") as caught:
        find_run(three_runs, method="dfm")
    assert "--method dfm" in caught.value.hint


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("bottle", "20261121-120000-patchknn-bottle"),
        ("./my parts/", "20261121-120000-patchknn-my-parts"),
        ("Prüfling", "20261121-120000-patchknn-Prüfling"),
        ("../..", "20261121-120000-patchknn-data"),
        ("", "20261121-120000-patchknn-data"),
    ],
)
def test_a_run_is_named_by_time_method_and_category(tmp_path: Path, category: str, expected: str) -> None:
    assert new_run_id(tmp_path, FitSettings(method="patchknn"), f"folder:{category}", NOON) == expected


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        names.append(new_run_id(tmp_path, FitSettings(method="patchknn"), "mvtec:bottle", NOON))
        (tmp_path / names[-1]).mkdir()
    stem = "20261121-120000-patchknn-bottle"
    assert names == [stem, f"{stem}-2", f"{stem}-3"]


def test_runs_are_kept_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_runs_root() == Path("runs")
    monkeypatch.setenv("ADKIT_RUNS", "elsewhere")
    assert default_runs_root() == Path("elsewhere")
    monkeypatch.setenv("ADKIT_RUNS", "")
    assert default_runs_root() == Path("runs")


def test_a_state_on_the_tape_is_saved_without_it(tmp_path: Path) -> None:
    state: dict[str, Tensor] = {"weight": torch.ones(2, requires_grad=True)}
    run = save_run(tmp_path, record_of("one"), state, Predictions(("a",), ("a",), None, SCORES[:1]), SEEN)
    assert run.state()["weight"].requires_grad is False
    assert run.state()["weight"].tolist() == [1.0, 1.0]


def test_a_damaged_newest_run_is_not_passed_over_in_silence(three_runs: Path) -> None:
    newest = three_runs / "d-newest"
    newest.mkdir()
    (newest / "run.json").write_text("{")
    with pytest.raises(RunError, match="d-newest"):
        find_run(three_runs)
    (newest / "run.json").unlink()  # a folder that is no run at all does not matter
    assert find_run(three_runs).record.id != "d-newest"


def test_a_run_whose_name_was_taken_meanwhile_gets_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two fits of the same second: the other one comes first, after this one chose its name."""
    write_bytes = Path.write_bytes
    others: list[Path] = []

    def write_late(self: Path, content: bytes) -> int:
        if not others:
            others.append(tmp_path / "one")
            saved(tmp_path, "one", seed=99)
        return write_bytes(self, content)

    monkeypatch.setattr(Path, "write_bytes", write_late)
    folder = saved(tmp_path, "one", seed=1)
    assert folder.name == "one-2"
    assert names_in(tmp_path) == ["one", "one-2"]
    assert [open_run(tmp_path / name).record.settings.seed for name in ("one", "one-2")] == [99, 1]
    assert open_run(folder).record.id == "one-2"


def test_a_named_run_of_another_method_is_refused(three_runs: Path) -> None:
    assert find_run(three_runs, "b-bottle", method="patchknn").record.id == "b-bottle"
    for name in ("b-bottle", str(three_runs / "b-bottle")):
        with pytest.raises(RunError, match="b-bottle is of patchknn, not of ae") as caught:
            find_run(three_runs, name, method="ae")
        assert "--method" in caught.value.hint


def test_a_damaged_run_of_another_method_is_not_in_the_way(three_runs: Path) -> None:
    newest = three_runs / "d-ae-bottle"
    newest.mkdir()
    (newest / RECORD).write_text("{")
    assert find_run(three_runs, method="patchknn").record.id == "a-screw"
    for method in ("ae", None):
        with pytest.raises(RunError, match="d-ae-bottle"):
            find_run(three_runs, method=method)


def test_a_name_that_is_too_long_is_no_run(three_runs: Path) -> None:
    with pytest.raises(RunError, match=r"there is no run 'x+' in "):
        find_run(three_runs, "x" * 300)


def test_a_long_category_is_cut(tmp_path: Path) -> None:
    assert saved(tmp_path, new_run_id(tmp_path, FitSettings(method="patchknn"), f"folder:{'ü' * 250}", NOON)).is_dir()


def test_names_of_any_bytes_come_back(tmp_path: Path) -> None:
    odd = "pr\udcfcf.png"
    folder = saved(tmp_path, skipped=[odd, "Prüfstück.png"], dataset=f"folder:{odd}")
    assert (folder / RECORD).read_bytes().isascii()
    record = open_run(folder).record
    assert record.skipped == [odd, "Prüfstück.png"]
    assert record.dataset == f"folder:{odd}"


def another_calibration(**changes: Any) -> CalibrationRecord:
    """Set an hour later from four scores."""
    threshold = threshold_from([4.0, 3.0, 2.0, 1.0], ThresholdRule("expected", 0.4), "clip")
    return CalibrationRecord(
        created=NOON + timedelta(hours=1),
        source="4 further normal images",
        leave_one_out=False,
        data="more/",
        data_hash="def",
        rule=ThresholdRule("expected", 0.4),
        threshold=threshold,
        pixel_threshold=threshold,
    ).model_copy(update=changes)


FOUR = Predictions(("p", "q", "r", "s"), ("p", "p", "r", "s"), None, np.array([4, 3, 2, 1], np.float32))
SEEN_LATER = SeenData(SEEN.training, {"p": "4", "q": "5"})


def test_a_recalibrated_run_comes_back_whole_with_its_history(tmp_path: Path) -> None:
    run = open_run(saved(tmp_path))
    changed = recalibrated(run, another_calibration(), FOUR, SEEN_LATER)
    found = open_run(run.folder)
    assert found == changed
    assert found.record.calibration == another_calibration()
    assert found.record.earlier_calibrations == [run.record.calibration]
    assert found.record.threshold == another_calibration().threshold
    assert found.record.pixel_threshold == another_calibration().pixel_threshold
    assert found.calibration().clips == FOUR.clips
    assert found.seen() == SEEN_LATER
    assert names_in(tmp_path) == ["one"]
    earlier = [CALIBRATION, DATA]
    assert names_in(run.folder) == sorted(["calibration-2.safetensors", "data-2.json", MODEL, RECORD, *earlier])


def test_calibrations_are_undone_one_after_the_other(tmp_path: Path) -> None:
    run = open_run(saved(tmp_path))
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    second = recalibrated(run, another_calibration(), FOUR, SEEN_LATER)
    third = recalibrated(second, another_calibration(source="third"), FOUR, SEEN)
    assert (third.seen(), third.calibration().ids) == (SEEN, FOUR.ids)
    undone = uncalibrated(open_run(run.folder))
    assert undone.record == second.record
    assert undone.seen() == SEEN_LATER
    uncalibrated(open_run(run.folder))
    assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before
    with pytest.raises(RunError, match="has the calibration that it was fitted with"):
        uncalibrated(open_run(run.folder))


def test_an_earlier_calibration_that_was_not_kept_cannot_come_back(tmp_path: Path) -> None:
    run = open_run(saved(tmp_path))
    changed = recalibrated(run, another_calibration(), FOUR, SEEN_LATER)
    files = {name: file for name, file in changed.record.files.items() if name != CALIBRATION}
    with pytest.raises(RunError, match="were not kept"):
        uncalibrated(Run(run.folder, changed.record.model_copy(update={"files": files})))
    assert open_run(run.folder).record == changed.record


def test_recalibrating_touches_neither_the_model_nor_the_rest_of_the_record(tmp_path: Path) -> None:
    run = open_run(saved(tmp_path))
    model = (run.folder / MODEL).read_bytes()
    (run.folder / "evaluation").mkdir()
    (run.folder / "evaluation" / "notes").write_text("kept", encoding="utf-8")
    changed = recalibrated(run, another_calibration(), FOUR, SEEN_LATER).record
    assert (run.folder / MODEL).read_bytes() == model
    assert changed.files[MODEL] == run.record.files[MODEL]
    assert (run.folder / "evaluation" / "notes").read_text(encoding="utf-8") == "kept"
    other = {"calibration", "earlier_calibrations", "files"}
    assert changed.model_dump(exclude=other) == run.record.model_dump(exclude=other)


def test_the_history_of_calibrations_is_in_order(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    first = open_run(folder).record.calibration
    for number in range(3):
        recalibrated(open_run(folder), another_calibration(source=f"calibration {number}"), FOUR, SEEN_LATER)
    record = open_run(folder).record
    earlier = [first.source, "calibration 0", "calibration 1"]
    assert [calibration.source for calibration in record.earlier_calibrations] == earlier
    assert record.calibration.source == "calibration 2"


@pytest.mark.parametrize("step", ["calibration-2.safetensors", "data-2.json", RECORD])
@pytest.mark.parametrize(("fault", "expected"), [(full_disk, StorageError), (KeyboardInterrupt, KeyboardInterrupt)])
def test_a_run_whose_recalibration_fails_is_what_it_was(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    fault: Callable[[], BaseException],
    expected: type[BaseException],
) -> None:
    run = open_run(saved(tmp_path))
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}

    def failing(function: Callable[..., Any]) -> Callable[..., Any]:
        def act(self: Path, *arguments: Any, **settings: Any) -> Any:
            if self.name.startswith(prefix_of(Path(step))):
                raise fault()
            return function(self, *arguments, **settings)

        return act

    monkeypatch.setattr(Path, "write_bytes", failing(Path.write_bytes))
    with pytest.raises(expected):
        recalibrated(run, another_calibration(), FOUR, SEEN_LATER)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before
    assert names_in(tmp_path) == ["one"]
    assert open_run(run.folder).record == run.record


@pytest.mark.parametrize(
    "rule",
    [
        ThresholdRule(),
        ThresholdRule("expected", 0.005),
        ThresholdRule("certain", 0.05),
        ThresholdRule("percentile", 0.0),
    ],
)
def test_every_rule_comes_back(tmp_path: Path, rule: ThresholdRule) -> None:
    record = record_of("one")
    folder = saved(tmp_path, calibration=record.calibration.model_copy(update={"rule": rule}))
    assert open_run(folder).record.calibration.rule == rule
