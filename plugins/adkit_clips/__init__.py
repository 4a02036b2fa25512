"""Your own videos, or folders of frames."""

from adkit import DatasetEntry, hookimpl


@hookimpl
def adkit_datasets() -> list[DatasetEntry]:
    return [
        DatasetEntry(
            "clips", "your own videos, or folders of frames", "adkit_clips.dataset:Clips", example="clips:./press_line"
        ),
        DatasetEntry(
            "span",
            "parts of one video in which all is normal, as score --learn takes them",
            "adkit.data.spans:VideoSpans",
            example="span:line.mp4@0:00-2:00",
        ),
    ]
