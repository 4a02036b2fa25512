"""Reads files that anybody may have put where a document is expected, and JSON that carries a checksum of its own."""

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adkit.files.atomic import checksum

MOST_BYTES = 1 << 28  # no document of adkit's is nearly as large
_SIGNATURE = "checksum"


def read_file(path: Path, most: int | None = None) -> bytes:
    """Return what a file holds; raises OSError for more than `most` bytes, and for a pipe or device: it may not end."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is no file")
        if most is not None and found.st_size > most:
            raise OSError(f"{path} has {found.st_size:,} bytes, expected {most:,} at most")
        return file.read()


def read_json(path: Path) -> Any:
    """Return what a JSON file says; raises OSError as `read_file` does, and ValueError for all that is no JSON."""
    try:
        return json.loads(read_file(path, MOST_BYTES).decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def signed(body: Mapping[str, Any], indent: int = 2) -> bytes:
    """Return the body as JSON with its checksum in it, in ASCII: names of files need not be UTF-8."""
    return (json.dumps({**body, _SIGNATURE: _checksum_of(body)}, indent=indent) + "\n").encode()


def take_signature(body: Any) -> bool:
    """Take the checksum out of what `signed` wrote, and say whether nothing else was changed."""
    return isinstance(body, dict) and body.pop(_SIGNATURE, None) == _checksum_of(body)


def read_signed(path: Path) -> dict[str, Any]:
    """Return the body that `signed` wrote; raises OSError and ValueError as `read_json` does, and for a changed one."""
    body = read_json(path)
    if not take_signature(body):
        raise ValueError("it was changed since it was written (its checksum differs)")
    return dict(body)


def _checksum_of(body: Mapping[str, Any]) -> str:
    return checksum(json.dumps(body, sort_keys=True).encode())
