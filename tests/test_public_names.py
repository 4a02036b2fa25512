"""What plugins import from `adkit` itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import adkit
from adkit import interfaces, types


def test_every_public_name_is_there_and_listed() -> None:
    for name in adkit.__all__:
        assert getattr(adkit, name) is not None
    assert set(adkit.__all__) <= set(dir(adkit))
    assert adkit.Method is interfaces.Method
    assert adkit.Batch is types.Batch


def test_a_misspelt_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'adkit' has no attribute 'Methods'"):
        adkit.Methods  # type: ignore[attr-defined]  # noqa: B018


def test_importing_adkit_and_announcing_a_method_load_nothing_heavy() -> None:
    code = (
        "import sys; from adkit import MethodEntry, hookimpl; MethodEntry('a', 'b', target='c:D')\n"
        "print(*{'torch', 'numpy', 'pydantic'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_method_has_a_dozen_names() -> None:
    assert len([name for name in {*vars(interfaces.Method)} if not name.startswith("_")]) <= 12


@pytest.mark.parametrize("first", ["adkit", "adkit.export.score"])
def test_onnxruntime_does_not_call_home(first: str, tmp_path: Path) -> None:
    """Its telemetry would keep a database in the user's cache, and look up a host."""
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    subprocess.run(
        [sys.executable, "-c", f"import {first}; import onnxruntime"],
        env={**kept, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        check=True,
    )
    assert list(tmp_path.rglob("*.db")) == []
