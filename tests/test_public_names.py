"""What plugins import from `adkit` itself."""

from __future__ import annotations

import subprocess
import sys

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
