from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adkit.errors import OptionError, PluginError, RunError, StorageError, TrainingError
from adkit.files.documents import signed
from adkit.runs.record import FitSettings
from adkit.runs.unfinished import (
    FOLDER,
    REQUEST,
    BegunCategory,
    Unfinished,
    find_unfinished,
    list_unfinished,
    workspace,
)

WASHER = BegunCategory(id="a-run", dataset="mvtec:washer", root="/data", images=8, data_hash="1f")


def asked(**changes: Any) -> FitSettings:
    return FitSettings(**{"method": "ae", "options": {"epochs": 3, "size": "64x64"}, "device": "cpu", **changes})


BEGUN = Unfinished(
    created=datetime(2026, 1, 1, tzinfo=UTC),
    settings=asked(),
    options={"epochs": 3, "size": "64x64", "patience": 12},
    origin="ae of adkit 1",
    categories=[WASHER],
)


def other_run(name: str, hours: int) -> Unfinished:
    category = WASHER.model_copy(update={"id": name})
    return BEGUN.model_copy(update={"categories": [category], "created": BEGUN.created + timedelta(hours=hours)})


def broken_off(root: Path, begun: Unfinished, reason: BaseException) -> None:
    """A fit that kept something before it ended so."""
    with workspace(root, begun) as folder:
        (folder / "kept").write_text("x")
        raise reason


def test_the_folder_is_gone_when_the_fit_ends_well(tmp_path: Path) -> None:
    with workspace(tmp_path, BEGUN) as folder:
        (folder / "kept").write_text("x")
        assert list_unfinished(tmp_path) == [BEGUN]
    assert list(tmp_path.iterdir()) == []


def test_what_was_kept_lasts_when_the_fit_is_broken_off(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        broken_off(tmp_path, BEGUN, KeyboardInterrupt())
    assert find_unfinished(tmp_path, "latest") == BEGUN
    with workspace(tmp_path, BEGUN, resume=True) as folder:
        assert (folder / "kept").read_text() == "x"
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_when_nothing_was_kept(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), workspace(tmp_path, BEGUN):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_after_a_fault_that_would_only_come_again(tmp_path: Path) -> None:
    with pytest.raises(OptionError):
        broken_off(tmp_path, BEGUN, OptionError("no such option", hint="…"))
    assert list(tmp_path.iterdir()) == []


def test_what_was_kept_lasts_when_memory_ran_out(tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        broken_off(tmp_path, BEGUN, TrainingError("out of memory", hint="…"))
    assert find_unfinished(tmp_path, "latest").id == BEGUN.id


def test_a_full_disk_costs_no_training(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        broken_off(tmp_path, BEGUN, StorageError("the disk is full", hint="…"))
    assert caught.value.__notes__ == [f"the training is kept; to resume it: adkit fit --resume a-run --runs {tmp_path}"]
    assert find_unfinished(tmp_path, "latest") == BEGUN


def test_nothing_is_said_when_nothing_is_kept(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as caught, workspace(tmp_path, BEGUN):
        raise KeyboardInterrupt
    assert not hasattr(caught.value, "__notes__")


def test_the_command_names_a_runs_folder_only_where_it_is_not_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert BEGUN.command(tmp_path / "runs") == BEGUN.command(Path("runs")) == "adkit fit --resume a-run"
    assert BEGUN.command(Path("a b")) == "adkit fit --resume a-run --runs 'a b'"


def test_fits_that_begin_in_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    with workspace(tmp_path, BEGUN) as one, workspace(tmp_path, BEGUN) as other:
        assert one != other
        assert [found.id for found in list_unfinished(tmp_path)] == ["a-run", "a-run-2"]
    with pytest.raises(KeyboardInterrupt):
        broken_off(tmp_path, BEGUN, KeyboardInterrupt())
    with workspace(tmp_path, BEGUN) as folder:
        assert not (folder / "kept").exists()
    assert [found.id for found in list_unfinished(tmp_path)] == ["a-run"]


def test_a_fit_that_runs_is_left_alone(tmp_path: Path) -> None:
    with workspace(tmp_path, BEGUN):
        for name in ("a-run", "latest"):
            with pytest.raises(RunError, match="a-run is still learning"):
                find_unfinished(tmp_path, name)
        with pytest.raises(RunError, match="a-run is still learning"), workspace(tmp_path, BEGUN, resume=True):
            pytest.fail("two processes are in one folder")
        with pytest.raises(KeyboardInterrupt):
            broken_off(tmp_path, other_run("b-run", -1), KeyboardInterrupt())
        assert find_unfinished(tmp_path, "latest").id == "b-run"
    assert [found.id for found in list_unfinished(tmp_path)] == ["b-run"]


def test_a_fit_that_another_process_has_finished_is_not_begun_anew(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="a-run is no longer unfinished"), workspace(tmp_path, BEGUN, resume=True):
        pytest.fail("it is finished")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / FOLDER / "a-run").mkdir(parents=True)  # the other process is about to delete it
    with pytest.raises(RunError, match="a-run is no longer unfinished"), workspace(tmp_path, BEGUN, resume=True):
        pytest.fail("it is finished")


def test_the_folder_of_another_fit_is_not_touched(tmp_path: Path) -> None:
    for one in (BEGUN, other_run("b-run", 1)):
        with pytest.raises(KeyboardInterrupt):
            broken_off(tmp_path, one, KeyboardInterrupt())
    with workspace(tmp_path, other_run("c-run", 2)):
        assert [one.id for one in list_unfinished(tmp_path)] == ["a-run", "b-run", "c-run"]
    assert [one.id for one in list_unfinished(tmp_path)] == ["a-run", "b-run"]
    assert find_unfinished(tmp_path, "latest").id == "b-run"


def test_a_name_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no unfinished fit in"):
        find_unfinished(tmp_path, "latest")
    with workspace(tmp_path, BEGUN), pytest.raises(RunError, match="there is no unfinished fit 'a-rum'") as caught:
        find_unfinished(tmp_path, "a-rum")
    assert "did you mean a-run?" in caught.value.hint


def test_a_damaged_request_is_no_unfinished_fit(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER / "a-run"
    folder.mkdir(parents=True)
    (folder / REQUEST).write_text("{}")
    assert list_unfinished(tmp_path) == []


def test_the_same_fit_may_go_on() -> None:
    BEGUN.require_same(other_run("a-run", 5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": [WASHER.model_copy(update={"images": 9})]}, "mvtec:washer had 8 training images, and has 9"),
        (
            {"categories": [WASHER.model_copy(update={"data_hash": "2e"})]},
            "training images of mvtec:washer were changed or renamed since",
        ),
        ({"settings": asked(seed=1)}, "seed was 0, and is 1"),
        ({"origin": "ae of adkit 2"}, "origin was ae of adkit 1, and is ae of adkit 2"),
        ({"options": {"epochs": 4, "size": "64x64", "patience": 12}}, "option epochs was 3, and is 4"),
        ({"options": {"epochs": 3, "size": "64x64", "patience": 9}}, "option patience was 12, and is 9"),
        ({"options": {"epochs": 3, "patience": 12}}, "option size was 64x64, and is None"),
        ({"settings": asked(max_false_alarms="5%")}, "max_false_alarms was None, and is 5%"),
    ],
)
def test_another_fit_may_not_and_the_difference_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(RunError, match="a-run cannot be resumed") as caught:
        BEGUN.require_same(BEGUN.model_copy(update=change))
    assert message in caught.value.message
    assert "without --resume" in caught.value.hint


def test_one_that_another_adkit_wrote_does_not_hide_the_others(tmp_path: Path) -> None:
    body = BEGUN.model_dump(mode="json")
    other = {**body, "settings": {"sead": 1}}
    for name, content in (("a-run", signed(body)), ("b-run", signed(other)), ("c-run", b"[" * 100_000)):
        (tmp_path / FOLDER / name).mkdir(parents=True)
        (tmp_path / FOLDER / name / REQUEST).write_bytes(content)
    assert list_unfinished(tmp_path) == [BEGUN]


def test_what_a_plugin_breaks_off_is_kept(tmp_path: Path) -> None:
    with pytest.raises(PluginError):
        broken_off(tmp_path, BEGUN, PluginError("it called sys.exit", hint="see its author"))
    assert find_unfinished(tmp_path, "latest") == BEGUN
