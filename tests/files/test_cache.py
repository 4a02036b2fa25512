"""Where things are kept that can be made again."""

from __future__ import annotations

import pytest

from adkit.errors import StorageError
from adkit.files.atomic import write_whole
from adkit.files.cache import cache_root


def test_where_nobody_knows_the_users_folder_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a container that runs under a number without a name."""
    pwd = pytest.importorskip("pwd")

    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("ADKIT_CACHE", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StorageError, match="cannot"):
        write_whole(cache_root() / "onnx" / "a.onnx", b"")
