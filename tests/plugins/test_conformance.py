"""Every installed plugin, built-in or not, passes the checks that adkit offers to plugin authors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from adkit.data.datasets import open_datasets
from adkit.options import options_of
from adkit.registry import load_registry
from adkit.testing import conformance
from tests.videos import write_greys

REGISTRY = load_registry()


def test_every_plugin_loads() -> None:
    assert REGISTRY.broken == []


def quick(name: str) -> dict[str, str]:
    """Options of the method that make its fit short."""
    known = options_of(REGISTRY.methods.get(name).load()).model_fields
    small = {"size": "32", "epochs": "1", "batch_size": "16", "width": "4"}
    if name == "ae":  # or it knows nothing, and noise looks no worse to it than what it has seen
        small |= {"epochs": "3", "batch_size": "4"}
    if "sequence" in known:
        small |= {"directions": "8", "code": "4", "hidden": "4", "sequence": "4"}
    return {key: value for key, value in small.items() if key in known}


@cache
def checks_of(name: str) -> dict[str, Callable[[], None]]:
    """The checks of a method, which share its fit."""
    return conformance.method_checks(REGISTRY.methods.get(name), quick(name))


@pytest.mark.parametrize("check", conformance.METHOD_CHECKS)
@pytest.mark.parametrize("name", REGISTRY.methods.names())  # all checks of a method in a row: one worker fits it once
def test_method(name: str, check: str) -> None:
    checks_of(name)[check]()


@pytest.mark.parametrize("name", REGISTRY.scorers.names())
def test_scorer(name: str) -> None:
    conformance.check_scorer(REGISTRY.scorers.get(name).load())


@pytest.mark.parametrize("name", REGISTRY.metrics.names())
def test_metric(name: str) -> None:
    conformance.check_metric(REGISTRY.metrics.get(name).load())


def test_mvtec(parts_root: Path) -> None:
    (dataset,) = open_datasets("mvtec:washer", parts_root, REGISTRY)
    conformance.check_dataset(dataset)


def test_folder(parts_root: Path) -> None:
    (dataset,) = open_datasets(f"folder:{parts_root / 'mvtec' / 'washer'}", None, REGISTRY)
    conformance.check_dataset(dataset)


@pytest.mark.usefixtures("few_demo_parts")
def test_demo() -> None:
    (dataset,) = open_datasets("demo:washer", None, REGISTRY)
    conformance.check_dataset(dataset)


def test_demo_conveyor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ADKIT_CACHE", str(tmp_path))
    monkeypatch.setattr("adkit_demo.dataset.CLIP_COUNTS", {"train": 1, "good": 1, "each_kind": 0})
    (dataset,) = open_datasets("demo:conveyor", None, REGISTRY)
    conformance.check_dataset(dataset)


def test_clips(tmp_path: Path) -> None:
    for name in ("train/a.mp4", "train/b.mp4", "test/normal/c.mp4", "test/stop/d.mp4"):
        write_greys(tmp_path / name, range(50, 120, 10))
    (dataset,) = open_datasets(f"clips:{tmp_path}", None, REGISTRY)
    conformance.check_dataset(dataset)


def test_ipad(tmp_path: Path) -> None:
    for clip in ("training/frames/01", "testing/frames/01"):
        (tmp_path / "R01" / clip).mkdir(parents=True)
        for number in range(12):
            (tmp_path / "R01" / clip / f"{number}.jpg").write_bytes(b"never decoded")
    (dataset,) = open_datasets("ipad:R01", tmp_path, REGISTRY)
    conformance.check_dataset(dataset)
