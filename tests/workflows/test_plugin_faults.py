"""What a plugin prints or does to the program while it is fitted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from adkit.containment import plugin_code
from adkit.errors import PluginError
from adkit.interfaces import Batches, Progress, Workspace
from adkit.runs.store import Run
from adkit.types import Batch, Prediction
from tests.greys import Grey, GreyMaps, Greys, GreyWithoutOne, fit_greys, paint, usual_levels, with_methods


class Talks(GreyWithoutOne):
    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        print("fitting")
        super().fit(batches, progress)


class Answers(Grey):
    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> Any:
        super().fit(batches, progress, workspace)
        return {"epochs": 3}


class Exits(Grey):
    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        sys.exit(0)


class Fails(Grey):
    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        raise ValueError("no")


class Ends(Grey):
    def predict(self, batch: Batch) -> Prediction:
        os._exit(0)


class Forgets(Grey):
    def state(self) -> dict[str, Tensor]:
        return {}


class KeepsInTheClass(Grey):
    """In the next process it knows nothing."""

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        super().fit(batches, progress)
        type(self).mean = self.mean

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        pass


class SizeIsANumber(Grey):
    frame_size = 32  # type: ignore[assignment]


class SeesNoFrame(Grey):
    window = 0


class OptionsAreADictionary(Grey):
    Options = {"size": 3}  # type: ignore[assignment]  # noqa: RUF012


class Guesses(Grey):
    def predict(self, batch: Batch) -> Prediction:
        return Prediction(scores=torch.rand(len(batch)))


class Spoils(Grey):
    def state(self) -> dict[str, Tensor]:
        return {"mean": self.mean * float("nan")}


class Mistakes(Grey):
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.mean = state["mean"] + 1


class Grows(GreyMaps):
    calls = 0

    def predict(self, batch: Batch) -> Prediction:
        maps = super().predict(batch).maps
        assert maps is not None
        self.calls += 1
        return Prediction(maps=maps[:, self.calls % 2 :])


class NamesNoScorer(GreyMaps):
    default_scorer = None


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    return paint(tmp_path / "parts", usual_levels(120, seed=1))


def fitted(method: type[Grey], pictures: list[Path], runs: Path) -> Run:
    return fit_greys(with_methods({"candidate": method}), Greys(pictures), runs, method="candidate")


def test_what_a_method_prints_is_no_result(
    pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted(Talks, pictures, tmp_path / "runs")
    assert capsys.readouterr() == ("", "fitting\n")


def test_a_method_that_ends_the_program_is_named(pictures: list[Path], tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"greys of adkit-tests 1 ended the program \(exit code 0\)"):
        fitted(Exits, pictures, tmp_path / "runs")


def test_a_method_that_fails_is_named_beside_its_traceback(pictures: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no") as caught:
        fitted(Fails, pictures, tmp_path / "runs")
    assert caught.value.__notes__ == ["raised in greys of adkit-tests 1"]


def test_a_method_that_returns_something_else_is_named(pictures: list[Path], tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="fit returned dict, not FitReport") as caught:
        fitted(Answers, pictures, tmp_path / "runs")
    assert caught.value.__notes__ == ["raised in greys of adkit-tests 1"]


def test_a_method_that_ends_the_process_is_named(pictures: list[Path], tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"tests.workflows.test_plugin_faults.Ends ended the program"):
        fitted(Ends, pictures, tmp_path / "runs")


def test_processes_that_a_plugin_forks_end_as_they_always_do() -> None:
    with plugin_code("greys"):
        if (child := os.fork()) == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    ended = subprocess.run([sys.executable, "-c", "import os; os._exit(5)"], check=False)
    assert ended.returncode == 5


@pytest.mark.parametrize(
    ("method", "told"),
    [(Forgets, "KeyError: 'mean'"), (Spoils, "not finite"), (Mistakes, "its scores are others after load_state")],
)
def test_what_could_never_score_is_not_written(
    method: type[Grey], told: str, pictures: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(PluginError, match=f"learned cannot be used again.*{told}"):
        fitted(method, pictures, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (SizeIsANumber, r"candidate: its frame_size is 32, not \(height, width\) in whole px"),
        (SeesNoFrame, "candidate: its window is 0, not a number of frames"),
        (OptionsAreADictionary, r"Options of .* is \{'size': 3\}, not a class of adkit.Options"),
    ],
)
def test_what_a_method_cannot_mean_is_told_before_it_learns(
    method: type[Grey], told: str, pictures: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(PluginError, match=told):
        fitted(method, pictures, tmp_path / "runs")


def test_a_method_that_guesses_is_told_so(pictures: list[Path], tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="Guesses gives other scores when it judges the same frames again"):
        fitted(Guesses, pictures, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_method_that_keeps_nothing_is_told(pictures: list[Path], tmp_path: Path) -> None:
    (note,) = fitted(KeepsInTheClass, pictures, tmp_path / "runs").record.notes
    assert note.startswith("candidate keeps nothing of what it learned: state() is empty.")
    assert not fitted(Talks, pictures, tmp_path / "others").record.notes


def test_maps_whose_size_changes_are_told(pictures: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"maps of \(., 8\), and of \(., 8\) before") as caught:
        fitted(Grows, pictures, tmp_path / "runs")
    assert caught.value.__notes__ == ["raised in tests.workflows.test_plugin_faults.Grows"]


def test_maps_without_a_scorer_do_not_cost_what_was_learned(pictures: list[Path], tmp_path: Path) -> None:
    record = fitted(NamesNoScorer, pictures, tmp_path / "runs").record
    assert record.scorer == "top1"
    assert record.notes == [
        "NamesNoScorer gives maps and names no scorer for them: unless --scorer says so, it is top1"
    ]
