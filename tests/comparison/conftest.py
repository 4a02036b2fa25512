"""Small categories, the fakes' registry, and quick cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from adkit.comparison import cells
from adkit.data.datasets import open_datasets
from adkit.interfaces import Dataset
from adkit.registry import Registry
from adkit.stats import bootstrap
from adkit.synthetic.parts import write_parts
from tests.comparison.fakes import FITTED, fake_registry


@pytest.fixture(scope="package")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with washers, 6 to learn from, and connectors, 10: each with 4 good and 9 defective test images, 64 px."""
    root = tmp_path_factory.mktemp("small")
    for part, train in (("washer", 6), ("connector", 10)):
        write_parts(root / "mvtec" / part, part, seed=2, train=train, good=4, each_grade=1)
    for path in root.rglob("*.png"):
        with Image.open(path) as picture:
            picture.reduce(4).save(path)
    return root


@pytest.fixture(scope="package", autouse=True)
def quick_cells() -> Iterator[None]:
    """Fewer resamples; and what all the tests left in memory is not searched before every cell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "RESAMPLES", 200)
        patch.setattr(cells, "gc", SimpleNamespace(collect=lambda: 0))
        yield


@pytest.fixture(autouse=True)
def nothing_fitted() -> None:
    """The count of fits starts anew."""
    FITTED.clear()


@pytest.fixture(scope="package")
def fakes() -> Registry:
    """The fake methods."""
    return fake_registry()


@pytest.fixture(scope="package")
def datasets(small_root: Path, fakes: Registry) -> list[Dataset]:
    """The washers and the connectors."""
    return open_datasets("mvtec:washer,connector", small_root, fakes)
