"""Writing that is whole or not at all: files and folders appear under their name only when complete."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adkit.errors import StorageError

_FAULTS = {
    errno.EFBIG: ("the file is larger than the disk or a limit allows", "choose another folder"),
    errno.ENOSPC: ("the disk is full", "free some space, or choose another folder"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, or choose another folder"),
    errno.EROFS: ("the disk is read-only", "choose another folder"),
    errno.EACCES: ("no permission to write", "check the folder's owner and mode, or choose another folder"),
    errno.EPERM: ("no permission to write", "check the folder's owner and mode, or choose another folder"),
    errno.ENOTDIR: ("a file stands where a folder was expected", "choose another folder"),
    errno.EEXIST: ("a file stands where a folder was expected", "choose another folder"),
    errno.EISDIR: ("a folder stands where a file was expected", "name a file, or choose another place"),
    errno.EBUSY: ("it is in use", "choose another place"),
    errno.ENOENT: ("the folder cannot be made", "choose another folder"),
    errno.ENAMETOOLONG: ("the path is too long", "choose a shorter one"),
}


@contextmanager
def storage_faults(path: Path) -> Iterator[None]:
    """Turn an OSError inside it that the user can fix into a StorageError that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FAULTS:
            raise
        found, hint = _FAULTS[error.errno]
        raise StorageError(f"cannot write {path}: {found}", hint=f"{hint}; nothing was left half-written") from None


def refuse_folder(path: Path | None) -> None:
    """Raise StorageError when a folder stands where a file is to be written; for asking before the work is done."""
    if path is not None and is_folder(path):
        with storage_faults(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def require_writable(folder: Path) -> None:
    """Raise StorageError where a folder cannot be made or written into; for asking before the work is done."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    with storage_faults(folder):
        Path(tempfile.mkdtemp(prefix=".adkit-", dir=place)).rmdir()


def is_folder(path: Path) -> bool:
    """Say whether there is a folder that can be reached; a name that is too long for one means no folder."""
    try:
        return path.is_dir()
    except OSError:
        return False


@contextmanager
def whole_folder(target: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield a temporary folder beside `target` that takes its name when the block ends well.

    An older folder of that name is replaced; without `replace` it is kept and FileExistsError raised, also when
    it appears only while the block runs. When the block fails or is interrupted, nothing of the new one remains,
    and the older one stays.
    """
    with storage_faults(target):
        if not replace and target.exists():
            raise _taken(target)
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        shadow = temporary.with_name(temporary.name + "-old")
        try:
            temporary.chmod(0o777 & ~_umask())
            yield temporary
            if replace and target.exists():
                target.rename(shadow)  # and deleted later: the name is free for one instant only
            _give_name(temporary, target)
        finally:
            if shadow.exists() and not target.exists():
                shadow.rename(target)
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(shadow, ignore_errors=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then give it its own; parent folders are made."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text whole or not at all, in UTF-8; names of files in it leave as the bytes that they have on disk."""
    write_whole(path, text.encode(errors="surrogateescape"))


def plain_name(text: str, other: str = "-") -> str:
    """Return the text as a name that every file system takes: letters, digits, "._-", and `other` for all else."""
    return "".join(letter if letter.isalnum() or letter in "._-" else other for letter in text)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a temporary file beside `target` that takes its name when the block ends well; parent folders are made.

    An older file of that name is replaced. When the block fails or is interrupted, nothing of the new one remains. Both
    names have the same suffix.
    """
    refuse_folder(target)
    with storage_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
        try:
            os.close(descriptor)
            yield Path(name)
            with Path(name).open("rb") as file:
                os.fsync(file.fileno())  # a full disk is noticed here at the latest
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)


def _give_name(temporary: Path, target: Path) -> None:
    if target.exists():
        raise _taken(target)
    try:
        temporary.rename(target)
    except OSError:
        # A folder that is not empty is never replaced by renaming, however late it appeared.
        if target.exists():
            raise _taken(target) from None
        raise


def _taken(target: Path) -> FileExistsError:
    # Without an errno, which storage_faults would take for a fault of the disk.
    return FileExistsError(f"{target} exists already")


def checksum(content: bytes) -> str:
    """Return the SHA-256 of the content, as hex digits."""
    import hashlib  # loads OpenSSL, which no help and no list needs

    return hashlib.sha256(content).hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
