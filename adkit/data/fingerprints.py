"""Says what files contain: checksums of samples, and one of a whole split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from adkit.types import Sample

UNREADABLE = "unreadable"
"""Stands for the checksum of a file that cannot be read."""


def content_hashes(samples: Sequence[Sample]) -> dict[str, str]:
    """Return a checksum of each sample's file, by sample id; every file is read.

    Frames of a video share their file, so their number is part of theirs.
    """
    files: dict[Path, str] = {}
    hashes = {}
    for sample in samples:
        path, number = sample.frame.path, sample.frame.number
        if path not in files:
            files[path] = _content_hash(path)
        hashes[sample.id] = files[path] if number is None else f"{files[path]}#{number}"
    return hashes


def data_hash(hashes: Mapping[str, str]) -> str:
    """Return a fingerprint of samples by ids and what their files contain: the same for the same data anywhere."""
    digest = hashlib.sha256()
    for line in sorted(f"{sample_id}\t{content}" for sample_id, content in hashes.items()):
        digest.update(line.encode(errors="surrogateescape") + b"\n")  # file names may be any bytes
    return digest.hexdigest()


def _content_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # in chunks: a file may be large
    except OSError:
        return UNREADABLE
