"""Where things are kept that can be made again: exported networks, the synthetic parts."""

import os
from pathlib import Path


def cache_root() -> Path:
    """$ADKIT_CACHE, or the user's cache folder for adkit."""
    if chosen := os.environ.get("ADKIT_CACHE"):
        return Path(chosen)
    import platformdirs

    try:
        return platformdirs.user_cache_path("adkit")
    except RuntimeError:  # a user by number only, and no $HOME: as where nothing can be written
        return Path(os.devnull, "adkit")
