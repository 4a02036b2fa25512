"""Your own videos, or folders of frames."""

from collections.abc import Iterable

from adkit import hookimpl
from adkit.interfaces import Dataset, DatasetEntry


def _load() -> type[Dataset]:
    from adkit_clips.dataset import Clips

    return Clips


@hookimpl
def adkit_datasets() -> Iterable[DatasetEntry]:
    """Announces `clips`."""
    return [DatasetEntry("clips", "your own videos, or folders of frames", _load, "clips:./press_line")]
