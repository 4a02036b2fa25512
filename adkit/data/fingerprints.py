"""Says what samples show: checksums of images and of videos' frames, and one of a whole split."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from adkit.data.images import decoded_pixels
from adkit.errors import FrameError
from adkit.types import FrameRef, Sample

UNREADABLE = "unreadable"  # stands for the checksum of a file that cannot be read


def content_hashes(samples: Sequence[Sample]) -> dict[str, str]:
    """Return a checksum of each sample's pixels, of a video its file's and the frame's number, by sample id."""
    keys = [sample.frame if sample.frame.number is None else FrameRef(sample.frame.path, 0) for sample in samples]
    # Few at once: images may be large.
    with ThreadPoolExecutor(max(2, min(4, os.cpu_count() or 2)), thread_name_prefix="checksum") as pool:
        shown = list(dict.fromkeys(keys))
        hashes = dict(zip(shown, pool.map(content_hash, shown), strict=True))
    pairs = ((sample.id, sample.frame.number, hashes[key]) for sample, key in zip(samples, keys, strict=True))
    return {name: content if number is None else f"{content}#{number}" for name, number, content in pairs}


def data_hash(hashes: Mapping[str, str]) -> str:
    """Return a fingerprint of samples by ids and what their files contain: the same for the same data anywhere."""
    digest = hashlib.sha256()
    for line in sorted(f"{sample_id}\t{content}" for sample_id, content in hashes.items()):
        digest.update(line.encode(errors="surrogateescape") + b"\n")  # file names may be any bytes
    return digest.hexdigest()


def content_hash(ref: FrameRef) -> str:
    """Return a checksum of an image's pixels; of its file where it cannot be decoded, and of a video."""
    if ref.others:
        parts = map(FrameRef, (ref.path, *ref.others))
        return hashlib.sha256("\n".join(map(content_hash, parts)).encode()).hexdigest()
    if ref.number is None:
        with suppress(FrameError):
            pixels = decoded_pixels(ref)
            return hashlib.sha256(f"{pixels.shape} {pixels.dtype.name}".encode() + pixels.tobytes()).hexdigest()
    try:
        if not ref.path.is_file():
            return UNREADABLE  # a pipe or a device may never end
        with ref.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # in chunks: a file may be large
    except OSError:
        return UNREADABLE
