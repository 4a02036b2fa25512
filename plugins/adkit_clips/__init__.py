"""Your own videos, or folders of frames."""

from collections.abc import Iterable

from adkit import DatasetEntry, hookimpl


@hookimpl
def adkit_datasets() -> Iterable[DatasetEntry]:
    """Announce `clips`."""
    yield DatasetEntry(
        "clips",
        "your own videos, or folders of frames",
        target="adkit_clips.dataset:Clips",
        example="clips:./press_line",
    )
