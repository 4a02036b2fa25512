"""Your own videos, or folders of frames."""

from collections.abc import Iterable

from adkit import DatasetEntry, hookimpl


@hookimpl
def adkit_datasets() -> Iterable[DatasetEntry]:
    """Announce `clips` and `span`."""
    yield DatasetEntry(
        "clips",
        "your own videos, or folders of frames",
        target="adkit_clips.dataset:Clips",
        example="clips:./press_line",
    )
    yield DatasetEntry(
        "span",
        "parts of one video in which all is normal, as score --learn takes them",
        target="adkit.data.spans:VideoSpans",
        example="span:line.mp4@0:00-2:00",
    )
