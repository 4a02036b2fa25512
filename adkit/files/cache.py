"""Where things are kept that can be made again: exported networks, the synthetic parts."""

import os
from pathlib import Path


def cache_root() -> Path:
    """$ADKIT_CACHE, or the user's cache folder for adkit."""
    if chosen := os.environ.get("ADKIT_CACHE"):
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("adkit")
