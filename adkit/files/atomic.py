"""Writing that is whole or not at all: files and folders appear under their name only when complete."""

import errno
import os
import re
import shutil
import socket
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
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
    errno.ELOOP: ("the link leads to itself", "choose another place"),
    errno.ENAMETOOLONG: ("the path is too long", "choose a shorter one"),
}


_RUN_RECORD, _RUN_REPORT = "run.json", "report.html"
_OLD = "-old"


@contextmanager
def storage_faults(path: Path) -> Iterator[None]:
    """Turn an OSError inside it that the user can fix into a StorageError that names `path`."""
    try:
        yield
    except OSError as error:
        if isinstance(error, shutil.Error):  # of many files, each with its own
            raise StorageError(f"cannot write {path}: {error}", hint="free some space, or choose another") from None
        if error.errno not in _FAULTS:
            raise
        found, hint = _FAULTS[error.errno]
        raise StorageError(f"cannot write {path}: {found}", hint=f"{hint}; nothing was left half-written") from None


def require_output(path: Path | None) -> None:
    """Raise StorageError where a file cannot be written, or must not be: in a run, only its report may be."""
    if path is None:
        return
    with storage_faults(path):
        _require_file(path)
    if path.name == _RUN_REPORT:
        require_writable(path.parent, path)
    else:
        require_folder_of_results(path.parent, path)


def require_folder_of_results(folder: Path, named: Path) -> None:
    """Raise StorageError, by a path in it, where a folder cannot be written into, or lies in a run."""
    require_writable(folder, named)
    run = next((place for place in (folder.absolute() / "_").parents if (place / _RUN_RECORD).is_file()), None)
    if run is not None:
        raise StorageError(f"{named} lies in the run {run.name}", hint="choose another place: runs are adkit's own")


def _require_file(path: Path) -> None:
    """Raise StorageError for what is there and no file: a device must not be replaced by what was written."""
    if is_folder(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        raise StorageError(f"{path} is a device or a pipe, a file was expected", hint="name a file")


def require_writable(folder: Path, named: Path | None = None) -> None:
    """Raise StorageError, by a path in it, where a folder cannot be made or written into."""
    with storage_faults(named or folder):
        place = folder.absolute()
        while not place.exists():
            if place.is_symlink():
                place.stat()  # raises: it leads nowhere
            place = place.parent
        Path(tempfile.mkdtemp(prefix=".adkit-", dir=place)).rmdir()


def is_folder(path: Path) -> bool:
    """Say whether there is a folder that can be reached; a name that is too long for one means no folder."""
    try:
        return path.is_dir()
    except OSError:
        return False


@contextmanager
def whole_folder(target: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield a temporary folder beside `target` that takes its name when the block ends well; else nothing remains.

    An older folder of that name is replaced; without `replace` it is kept and FileExistsError raised.
    """
    with storage_faults(target):
        if not replace and target.exists():
            raise _taken(target)
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target.parent)
        _restore_abandoned(target)
        temporary = Path(tempfile.mkdtemp(prefix=prefix_of(target), dir=target.parent))
        shadow = temporary.with_name(temporary.name + _OLD)
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
    """Yield a temporary file beside `target` that replaces it when the block ends well; else nothing remains."""
    with storage_faults(target):
        _require_file(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target.parent)
        descriptor, name = tempfile.mkstemp(prefix=prefix_of(target), suffix=target.suffix, dir=target.parent)
        try:
            os.close(descriptor)
            yield Path(name)
            with Path(name).open("rb") as file:
                os.fsync(file.fileno())  # a full disk is noticed here at the latest
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)


def owned_prefix(name: str) -> str:
    """Return how names of temporary files begin, by which `remove_abandoned` knows those whose process is gone."""
    return f"{name}-{os.getpid()}@{_machine()}-"


@cache
def _machine() -> str:
    """Name what numbers processes: this machine, and of its containers, which may share its name, this one."""
    space = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()[:32]}.{space.stat().st_ino if space.exists() else 0}"


@cache
def remove_abandoned(folder: Path) -> None:
    """Delete what processes of this machine left half done in a folder when they were killed; once is enough."""
    for path in (*folder.glob(".adkit-*"), *folder.glob("adkit-ui-*")):
        if not path.name.endswith(_OLD) and _owner_is_gone(path):
            shutil.rmtree(path, ignore_errors=True)
            with suppress(OSError):
                path.unlink()


def left_of(target: Path) -> list[Path]:
    """Return what a process that was killed left of the folder that it was about to write."""
    return [path for path in target.parent.glob(f"{_marked(target)}-*") if _owner_is_gone(path)]


def _restore_abandoned(target: Path) -> None:
    """Give the older folder its name back where a process was killed when it had none, and delete it otherwise."""
    for path in left_of(target):
        if path.name.endswith(_OLD) and not target.exists():
            path.rename(target)
        else:
            shutil.rmtree(path, ignore_errors=True)


def prefix_of(target: Path) -> str:
    """Return how the name of what is written for a target begins, until it gets its own."""
    return owned_prefix(_marked(target))


def _marked(target: Path) -> str:
    """Return what tells the target without its name, which may be as long as a name may be."""
    return f".adkit-{zlib.crc32(target.name.encode(errors='surrogateescape')):08x}"


def _owner_is_gone(path: Path) -> bool:
    owner = re.fullmatch(r"\.?adkit-[0-9a-z]+-(\d+)@(.+?)-[^-]+(-old)?", path.name)
    if owner is None or owner[2] != _machine():
        return False
    import psutil  # only where something was left

    return not psutil.pid_exists(int(owner[1]))


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
