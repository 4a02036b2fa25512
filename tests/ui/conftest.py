"""A server's folders, and a run of the method that looks at brightness."""

from __future__ import annotations

from pathlib import Path

import pytest

from adkit.registry import Registry
from adkit.runs.store import Run
from tests.greys import METHODS, Greys, fit_greys, paint, usual_levels, with_methods

pytest.importorskip("fastapi", reason="the extra ui is not installed")
pytest.importorskip("multipart", reason="the extra ui is not installed")

from adkit.ui.scoring import Judges
from adkit.ui.settings import Limits, ServerSettings


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    """Runs and data in folders of this test; small limits."""
    (tmp_path / "data").mkdir()
    limits = Limits(request_bytes=300_000, pixels=1_000_000, files=20, waiting=50)
    return ServerSettings(tmp_path / "runs", tmp_path / "data", device="cpu", limits=limits)


@pytest.fixture(scope="session")
def greys() -> Registry:
    """The installed plugins and the methods for tests."""
    return with_methods(METHODS)


@pytest.fixture
def run(settings: ServerSettings, greys: Registry, tmp_path: Path) -> Run:
    """A run that gives maps, calibrated on 40 grey images."""
    dataset = Greys(paint(tmp_path / "normal", usual_levels(40, 1)))
    return fit_greys(greys, dataset, settings.runs_root, method="grey_maps")


@pytest.fixture
def judges(settings: ServerSettings, greys: Registry) -> Judges:
    """Opens the runs of this test's folder."""
    return Judges(settings, greys)
