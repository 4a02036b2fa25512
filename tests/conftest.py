"""What several tests share: a cache of their own, small synthetic data, the real data where it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from adkit.registry import Registry, load_registry
from adkit.runs.store import Run
from adkit.synthetic.parts import write_parts
from tests.press import KINDS, PRESS, film_registry, fit_films, write_films

# How long an example takes is the machine's affair.
settings.register_profile("adkit", deadline=None)
settings.load_profile("adkit")

REAL_DATA = os.environ.get("ADKIT_DATA")
"""Read once: the tests themselves run without the variable, as if the user had set none."""


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Exported networks and synthetic parts go to a cache that this test session made; no other setting holds."""
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        patch.setenv("ADKIT_CACHE", str(cache))
        patch.delenv("ADKIT_RUNS", raising=False)
        patch.delenv("ADKIT_DATA", raising=False)
        yield cache


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The installed plugins."""
    return load_registry()


@pytest.fixture(scope="session")
def parts_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the MVTec-like category `washer`: 8 training, 4 good and 9 defective test images, 256 px."""
    root = tmp_path_factory.mktemp("parts")
    write_parts(root / "mvtec" / "washer", "washer", seed=1, train=8, good=4, each_grade=1)
    return root


@pytest.fixture(scope="session")
def film_methods() -> Registry:
    """The installed plugins, methods for small films, and the dataset of them."""
    return film_registry()


@pytest.fixture(scope="session")
def press(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films of a press: 24 to learn from, five to test with, three of which have events."""
    return write_films(tmp_path_factory.mktemp("press"), PRESS, kinds=KINDS)


@pytest.fixture(scope="session")
def press_run(press: Path, film_methods: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on the press that reconstructs and remembers what a clip showed before."""
    return fit_films(film_methods, press, tmp_path_factory.mktemp("press_runs"), "grey_memory")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data that $ADKIT_DATA names; the test is skipped without it."""
    if REAL_DATA and (Path(REAL_DATA) / "mvtec" / "bottle").is_dir():
        return Path(REAL_DATA).resolve()
    pytest.skip("no real data: set ADKIT_DATA to a folder with mvtec/bottle")
