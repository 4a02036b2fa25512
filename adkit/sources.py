"""From what the user names to samples: dataset specs, and loose files to score."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from adkit.errors import DatasetError
from adkit.frames import is_image
from adkit.interfaces import Dataset
from adkit.registry import Registry
from adkit.spans import VideoSpans
from adkit.storage import is_folder
from adkit.types import Sample

UNREADABLE = "unreadable"
"""Stands for the checksum of a file that cannot be read."""


def open_datasets(spec: str, root: Path | None, registry: Registry) -> list[Dataset]:
    """The categories that a spec such as "mvtec:bottle,screw" names, each as a dataset of its own."""
    name, colon, selection = spec.partition(":")
    if not colon and is_folder(Path(spec)):
        raise DatasetError(
            f"{spec!r} is a path; a dataset is named as NAME:SELECTION",
            hint=f"for a folder of your own images: --dataset folder:{spec}",
        )
    if name == VideoSpans.name and selection:
        return VideoSpans.select(selection, root)
    entry = registry.datasets.get(name)
    if not selection:
        raise DatasetError(f"{spec!r} does not say which part of {name} to take", hint=f"for example: {entry.example}")
    return entry.load().select(selection, root)


def loose_samples(arguments: Iterable[str]) -> list[Sample]:
    """Images named by paths, folders (searched with all they contain) and glob patterns, each file once.

    A file that is named directly is taken whatever its suffix. Raises DatasetError when an argument names
    nothing.
    """
    paths: dict[Path, Path] = {}  # by resolved path: each file once, whatever it is called
    for argument in arguments:
        try:
            for path in _images_of(argument):
                paths.setdefault(path.resolve(), path)
        except OSError as error:
            raise DatasetError(f"cannot look for {argument}: {error.strerror}", hint="check the path") from None
    return [Sample.still(str(path), path) for path in paths.values()]


def _images_of(argument: str) -> list[Path]:
    path = Path(argument)
    if path.is_dir():
        found = sorted(inner for inner in path.rglob("*") if inner.is_file() and is_image(inner))
        if not found:
            raise DatasetError(f"there is no image in the folder {argument}", hint="name a folder of images")
    elif path.exists():
        found = [path]
    else:
        found = sorted(Path(match) for match in glob.glob(argument, recursive=True))  # noqa: PTH207
        found = [match for match in found if match.is_file() and is_image(match)]
        if not found:
            raise DatasetError(f"there is no file {argument}", hint="give images, folders or 'globs/*.png'")
    return found


def content_hashes(samples: Sequence[Sample]) -> dict[str, str]:
    """What each sample's file contains, as a checksum by sample id; every file is read.

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
    """A fingerprint of samples by their ids and what their files contain: the same for the same data anywhere."""
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
