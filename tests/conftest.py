"""What several tests share: a cache of their own, small synthetic data, the real data where it is.

With several workers, what takes long to make and is only read lies in one folder for all of them.
"""

from __future__ import annotations

import os

# Every worker has a core to itself: more threads would wait for each other. Read when numpy and torch are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from hypothesis import settings

if TYPE_CHECKING:
    from adkit.registry import Registry
    from adkit.runs.store import Run

# How long an example takes is the machine's affair.
settings.register_profile("adkit", deadline=None)
settings.load_profile("adkit")

REAL_DATA = os.environ.get("ADKIT_DATA")
"""Read once: the tests themselves run without the variable, as if the user had set none."""

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
"""Which of several processes this is, if there are several."""

Shared = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def common_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this test session that all its workers see."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if WORKER else own) / "common"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def shared(common_folder: Path) -> Shared:
    """Makes a folder by name, once for all workers, who only read it: `shared("parts", write)`."""
    from adkit.files.atomic import whole_folder

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder = common_folder / name
        with FileLock(common_folder / f"{name}.lock"):
            if not folder.is_dir():
                with whole_folder(folder) as unfinished:
                    make(unfinished)
        return folder

    return made


@pytest.fixture(scope="session", autouse=True)
def own_cache(common_folder: Path) -> Iterator[Path]:
    """Exported networks and synthetic parts go to a cache that this test session made; no other setting holds."""
    with pytest.MonkeyPatch.context() as patch:
        cache = common_folder / "cache"
        patch.setenv("ADKIT_CACHE", str(cache))
        patch.delenv("ADKIT_RUNS", raising=False)
        patch.delenv("ADKIT_DATA", raising=False)
        yield cache


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The installed plugins."""
    from adkit.registry import load_registry

    return load_registry()


@pytest.fixture(scope="session")
def parts_root(shared: Shared) -> Path:
    """A root with the MVTec-like category `washer`: 8 training, 4 good and 9 defective test images, 256 px."""
    from adkit.synthetic.parts import write_parts

    def write(root: Path) -> None:
        write_parts(root / "mvtec" / "washer", "washer", seed=1, train=8, good=4, each_grade=1)

    return shared("parts", write)


@pytest.fixture
def few_demo_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """`demo:` draws 23 images of a part instead of 135, the same ones in every test."""
    monkeypatch.setattr("adkit_demo.dataset.COUNTS", {"train": 10, "good": 4, "each_grade": 1})


@pytest.fixture(scope="session")
def press_methods() -> Registry:
    """The installed plugins, methods for small videos, and the dataset of them."""
    from tests.press import press_registry

    return press_registry()


@pytest.fixture(scope="session")
def press(shared: Shared) -> Path:
    """Videos of a press: 24 to learn from, five to test with, three of which have events."""
    from tests.press import KINDS, PRESS, write_press

    return shared("press", lambda folder: write_press(folder, PRESS, kinds=KINDS))


@pytest.fixture(scope="session")
def press_run(press: Path, press_methods: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on the press that reconstructs and remembers what a clip showed before."""
    from tests.press import fit_press

    return fit_press(press_methods, press, tmp_path_factory.mktemp("press_runs"), "grey_memory")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data that $ADKIT_DATA names; the test is skipped without it."""
    if REAL_DATA and (Path(REAL_DATA) / "mvtec" / "bottle").is_dir():
        return Path(REAL_DATA).resolve()
    pytest.skip("no real data: set ADKIT_DATA to a folder with mvtec/bottle")
