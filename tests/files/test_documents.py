"""What is read is a file of a bounded size, and JSON says when it was changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adkit.files.documents import read_file, read_json, read_signed, signed, take_signature

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
BODIES = st.dictionaries(st.text(max_size=5).filter(lambda name: name != "checksum"), VALUES, max_size=4)


@given(BODIES)
def test_a_signed_body_comes_back(body: dict[str, Any]) -> None:
    found = json.loads(signed(body))
    assert take_signature(found)
    assert found == body


@given(BODIES, BODIES)
def test_another_body_is_known_by_its_checksum(body: dict[str, Any], other: dict[str, Any]) -> None:
    changed = {**json.loads(signed(body)), **other}
    assert take_signature(changed) == (json.dumps(changed, sort_keys=True) == json.dumps(body, sort_keys=True))


@pytest.mark.parametrize("text", ["", "[" * 200_000, "9" * 5000, "\xff", "nul", '{"a": 1}', "[]"])
def test_what_is_no_signed_json_is_a_value_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"."):
        read_signed(tmp_path / "a.json")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 1 << 40)
    for path in (tmp_path / "pipe", tmp_path / "zero", tmp_path / "large", tmp_path, tmp_path / "none"):
        with pytest.raises(OSError, match=r"."):
            read_json(path)
    (tmp_path / "five").write_bytes(b"12345")
    with pytest.raises(OSError, match="5 bytes, expected 4 at most"):
        read_file(tmp_path / "five", 4)
