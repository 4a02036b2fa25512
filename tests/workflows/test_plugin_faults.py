"""What a plugin prints or does to the program while it is fitted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adkit.errors import PluginError
from adkit.interfaces import Batches, Progress, Workspace
from tests.greys import Grey, Greys, GreyWithoutOne, fit_greys, paint, usual_levels, with_methods


class Talks(GreyWithoutOne):
    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        print("fitting")
        super().fit(batches, progress)


class Exits(Grey):
    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        sys.exit(0)


class Fails(Grey):
    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        raise ValueError("no")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    return paint(tmp_path / "parts", usual_levels(120, seed=1))


def fitted(method: type[Grey], pictures: list[Path], runs: Path) -> None:
    fit_greys(with_methods({"candidate": method}), Greys(pictures), runs, method="candidate")


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
