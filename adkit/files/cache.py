"""Where things are kept that can be made again: exported networks, the synthetic parts."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from adkit.errors import StorageError
from adkit.files.atomic import storage_faults


def cache_root() -> Path:
    """Return $ADKIT_CACHE, or the user's cache folder for adkit; of a user without a home, `temporary_cache`."""
    if chosen := os.environ.get("ADKIT_CACHE"):
        return Path(chosen)
    import platformdirs

    try:
        return platformdirs.user_cache_path("adkit")
    except RuntimeError:  # a user by number only, and no $HOME
        return temporary_cache()


def temporary_cache() -> Path:
    """Return this user's own folder among the system's temporary ones; raises StorageError where others may write."""
    user = os.getuid() if hasattr(os, "getuid") else None  # elsewhere each user has temporary files of their own
    folder = Path(tempfile.gettempdir(), "adkit-cache" if user is None else f"adkit-cache-{user}")
    with storage_faults(folder):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or (user is not None and (found.st_uid != user or found.st_mode & 0o022)):
        raise StorageError(f"{folder} may be written by others", hint="delete it, or set ADKIT_CACHE to a folder")
    return folder
