"""Where things are kept that can be made again."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from adkit.files.atomic import write_whole
from adkit.files.cache import cache_root


def test_who_has_no_home_keeps_things_in_a_temporary_folder_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a container that runs under a number without a name."""
    pwd = pytest.importorskip("pwd")

    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("ADKIT_CACHE", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    write_whole(cache_root() / "onnx" / "a.onnx", b"")
    assert [path.name.startswith("adkit-cache") for path in tmp_path.iterdir()] == [True]
